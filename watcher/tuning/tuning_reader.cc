// The tuning file's text, checked whole. jsoncpp is used since it says where
// each value stands. Its own reading of comments refuses an array of nothing
// else, which a file with all rules commented out has: they are blanked out.

#include "watcher/tuning/tuning_reader.h"

#include <json/json.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "watcher/state/cluster_view_json.h"
#include "watcher/text/json_text.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxRuleNameBytes = 512;
constexpr size_t kMaxQuoted = 64;
constexpr std::string_view kKeys =
    "upstream, cluster, server, node; drain, weight, scale, min, max, freeze; "
    "expires, reason";

std::string Quoted(std::string_view text) {
  return JsonString(text, kMaxQuoted);
}

// `text` with spaces for its comments, so that all else stays in its place.
std::string WithoutComments(std::string_view text) {
  std::string out(text);
  bool in_string = false;
  for (size_t i = 0; i + 1 < out.size(); ++i) {
    if (in_string && out[i] == '\\') {
      ++i;
    } else if (out[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && out[i] == '/' &&
               (out[i + 1] == '/' || out[i + 1] == '*')) {
      const bool block = out[i + 1] == '*';
      size_t end = block ? out.find("*/", i + 2) : out.find('\n', i);
      if (end == std::string::npos && block) break;  // a mistake
      end = end == std::string::npos ? out.size() : end + 2 * block;
      for (; i < end; ++i) {
        if (out[i] != '\n') out[i] = ' ';
      }
      --i;
    }
  }
  return out;
}

// The first mistake sticks.
class RulesReader {
 public:
  RulesReader(std::string_view text, const WatcherConfig& config)
      : text_(WithoutComments(text)), config_(config) {}

  absl::StatusOr<std::vector<TuningRule>> Read();

 private:
  bool ok() const { return status_.ok(); }
  void Fail(size_t line, size_t column, const std::string& what);
  void Fail(size_t offset, const std::string& what);
  void Fail(const Json::Value& value, const std::string& what) {
    Fail(static_cast<size_t>(value.getOffsetStart()), what);
  }
  size_t KeyOffset(const std::string& key, const Json::Value& value) const;
  size_t Line(size_t offset) const;

  void ParseText(Json::Value* root);
  void ReadRoot(const Json::Value& root);
  void ReadRule(const Json::Value& object);
  void ReadMember(const std::string& key, const Json::Value& value,
                  TuningRule* rule);
  std::string Text(const std::string& key, const Json::Value& value,
                   size_t max_bytes);
  bool Flag(const std::string& key, const Json::Value& value);
  uint32_t Weight(const std::string& key, const Json::Value& value);
  double Scale(const Json::Value& value);
  void ReadExpires(const Json::Value& value, TuningRule* rule);
  void CheckEffects(const Json::Value& object, const TuningRule& rule);
  void CheckNames(const Json::Value& object, const TuningRule& rule);
  void CheckServer(const Json::Value& object, const TuningRule& rule);
  bool HasUpstream(std::string_view name) const;
  bool HasCluster(std::string_view name) const;
  bool HasLine(std::string_view upstream) const;
  bool HasLine(const TuningRule& rule) const;

  std::string text_;
  const WatcherConfig& config_;
  std::vector<TuningRule> rules_;
  absl::Status status_;
};

void RulesReader::Fail(size_t line, size_t column, const std::string& what) {
  if (!ok()) return;
  status_ =
      absl::InvalidArgumentError(absl::StrCat(line, ":", column, ": ", what));
}

void RulesReader::Fail(size_t offset, const std::string& what) {
  offset = std::min(offset, text_.size());
  const size_t newline = std::string_view(text_).substr(0, offset).rfind('\n');
  const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  Fail(Line(offset), offset - begin + 1, what);
}

size_t RulesReader::Line(size_t offset) const {
  return 1 + static_cast<size_t>(std::count(
                 text_.begin(), text_.begin() + static_cast<ptrdiff_t>(offset),
                 '\n'));
}

// A value knows where it stands, its key does not: it is the last such text
// before the value, unless it was spelt with escapes.
size_t RulesReader::KeyOffset(const std::string& key,
                              const Json::Value& value) const {
  const auto offset = static_cast<size_t>(value.getOffsetStart());
  const size_t found = std::string_view(text_).substr(0, offset).rfind(
      absl::StrCat("\"", key, "\""));
  return found == std::string_view::npos ? offset : found;
}

absl::StatusOr<std::vector<TuningRule>> RulesReader::Read() {
  if (text_.size() > kMaxTuningBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("1:1: is larger than ", kMaxTuningBytes / 1024, " KiB"));
  }
  // jsoncpp passes over a byte order mark and counts from behind it.
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (text_.compare(0, kMark.size(), kMark) == 0) text_.erase(0, kMark.size());
  Json::Value root;
  ParseText(&root);
  if (ok()) ReadRoot(root);
  if (!ok()) return status_;
  return std::move(rules_);
}

void RulesReader::ParseText(Json::Value* root) {
  Json::CharReaderBuilder builder;
  Json::CharReaderBuilder::strictMode(&builder.settings_);
  builder["allowTrailingCommas"] = true;  // the last rule is commented out
  builder["stackLimit"] = kMaxDepth;
  const std::unique_ptr<Json::CharReader> reader(builder.newCharReader());
  std::string errors;
  try {
    if (reader->parse(text_.data(), text_.data() + text_.size(), root,
                      &errors)) {
      return;
    }
  } catch (const std::exception&) {  // jsoncpp's way to tell of the depth
    Fail(0, absl::StrCat("is nested deeper than ", kMaxDepth, " levels"));
    return;
  }
  // "* Line 2, Column 41\n  Syntax error: ...\n", once for each mistake.
  size_t line = 1, column = 1;
  if (std::sscanf(errors.c_str(), "* Line %zu, Column %zu", &line, &column) !=
      2) {
    line = column = 1;
  }
  std::string what =
      errors.substr(std::min(errors.find("\n  "), errors.size()));
  what.erase(0, std::min<size_t>(what.size(), 3));
  what.resize(std::min(what.find('\n'), what.size()));
  if (text_.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    what = "is empty: write {} for no rules";
  }
  Fail(line, column, what);
}

void RulesReader::ReadRoot(const Json::Value& root) {
  if (!root.isObject()) {
    Fail(root, "write { \"rules\": [ ... ] }");
    return;
  }
  for (const std::string& key : root.getMemberNames()) {
    if (key == "rules") continue;
    Fail(KeyOffset(key, root[key]),
         absl::StrCat("unknown key ", Quoted(key), ": write \"rules\""));
    return;
  }
  if (!root.isMember("rules")) return;
  const Json::Value& rules = root["rules"];
  if (!rules.isArray()) {
    Fail(rules, "\"rules\" must be an array: write [ { ... }, { ... } ]");
    return;
  }
  for (const Json::Value& rule : rules) {
    if (rules_.size() == kMaxTuningRules) {
      Fail(rule, absl::StrCat("more than ", kMaxTuningRules, " rules"));
    }
    if (!ok()) return;
    ReadRule(rule);
  }
}

void RulesReader::ReadRule(const Json::Value& object) {
  if (!object.isObject()) {
    Fail(object, "a rule must be an object: write { ... }");
    return;
  }
  TuningRule rule;
  rule.line =
      static_cast<uint32_t>(Line(static_cast<size_t>(object.getOffsetStart())));
  for (const std::string& key : object.getMemberNames()) {
    ReadMember(key, object[key], &rule);
    if (!ok()) return;
  }
  CheckEffects(object, rule);
  CheckNames(object, rule);
  rules_.push_back(std::move(rule));
}

void RulesReader::ReadMember(const std::string& key, const Json::Value& value,
                             TuningRule* rule) {
  if (key == "upstream") {
    rule->upstream = Text(key, value, kMaxRuleNameBytes);
  } else if (key == "cluster") {
    rule->cluster = Text(key, value, kMaxRuleNameBytes);
  } else if (key == "server") {
    rule->server = Text(key, value, kMaxRuleNameBytes);
    rule->address = PeerAddress::Parse(rule->server);
  } else if (key == "node") {
    // Tables hold as much of a name.
    rule->node = Text(key, value, kMaxNodeNameBytes);
  } else if (key == "drain") {
    rule->drain = Flag(key, value);
  } else if (key == "freeze") {
    rule->freeze = Flag(key, value);
  } else if (key == "weight") {
    rule->weight = Weight(key, value);
  } else if (key == "scale") {
    rule->scale = Scale(value);
  } else if (key == "min") {
    rule->min = Weight(key, value);
  } else if (key == "max") {
    rule->max = Weight(key, value);
  } else if (key == "expires") {
    ReadExpires(value, rule);
  } else if (key == "reason") {
    rule->reason = Text(key, value, kMaxTuningReason);
  } else {
    Fail(KeyOffset(key, value),
         absl::StrCat("unknown key ", Quoted(key), ": a rule may have ",
                      std::string(kKeys)));
  }
}

std::string RulesReader::Text(const std::string& key, const Json::Value& value,
                              size_t max_bytes) {
  if (!value.isString() || value.asString().empty()) {
    Fail(value,
         absl::StrCat("\"", key, "\" must be a string that is not empty"));
    return std::string();
  }
  if (value.asString().size() > max_bytes) {
    Fail(value,
         absl::StrCat("\"", key, "\" is longer than ", max_bytes, " bytes"));
  }
  return value.asString();
}

bool RulesReader::Flag(const std::string& key, const Json::Value& value) {
  if (!value.isBool()) {
    Fail(value, absl::StrCat("\"", key, "\" must be true or false"));
    return false;
  }
  return value.asBool();
}

uint32_t RulesReader::Weight(const std::string& key, const Json::Value& value) {
  if (!value.isUInt() || value.asUInt() < 1 || value.asUInt() > kMaxWeight) {
    Fail(value,
         absl::StrCat("\"", key, "\" must be a whole number from 1 to ",
                      kMaxWeight, "; to send nothing write \"drain\": true"));
    return 1;
  }
  return value.asUInt();
}

double RulesReader::Scale(const Json::Value& value) {
  if (!value.isNumeric() || !(value.asDouble() >= kMinTuningScale &&
                              value.asDouble() <= kMaxTuningScale)) {
    Fail(value, absl::StrCat("\"scale\" must be a number from ",
                             kMinTuningScale, " to ", kMaxTuningScale,
                             "; to send nothing write \"drain\": true"));
    return 1;
  }
  return value.asDouble();
}

void RulesReader::ReadExpires(const Json::Value& value, TuningRule* rule) {
  constexpr size_t kShortest = sizeof("2026-12-01T18:00Z") - 1;
  constexpr size_t kLongest = 40;
  const std::string text = value.isString() ? value.asString() : "";
  absl::Time time;
  std::string ignored;
  // A digit in front, since Abseil knows "infinite-future", too.
  if (text.size() < kShortest || text.size() > kLongest || text[0] < '0' ||
      text[0] > '9' ||
      !absl::ParseTime(absl::RFC3339_full, text, &time, &ignored)) {
    Fail(value,
         "\"expires\" must be a time with its zone: write "
         "\"2026-12-01T18:00:00+08:00\" or \"2026-12-01T10:00:00Z\"");
    return;
  }
  rule->expires = text;
  rule->expires_ms = absl::ToUnixMillis(time);
}

void RulesReader::CheckEffects(const Json::Value& object,
                               const TuningRule& rule) {
  if (!object.isMember("drain") && !object.isMember("freeze") && !rule.weight &&
      !rule.scale && !rule.min && !rule.max) {
    Fail(object,
         "the rule does nothing: write drain, weight, scale, min, max or "
         "freeze");
    return;
  }
  const bool moderates = rule.scale || rule.min || rule.max;
  const bool drains = rule.drain.value_or(false);
  const bool freezes = rule.freeze.value_or(false);
  if (drains + freezes + rule.weight.has_value() + moderates > 1) {
    Fail(object,
         "drain, weight, freeze, and scale with min and max exclude each "
         "other: write a rule for each");
    return;
  }
  if (rule.freeze == false && !rule.for_whole_lines()) {
    Fail(object["freeze"],
         "\"freeze\": false exempts an upstream or a cluster: write it "
         "without server and node");
    return;
  }
  if (rule.min && rule.max && *rule.min > *rule.max) {
    Fail(object["min"],
         absl::StrCat("\"min\" ", *rule.min, " is above \"max\" ", *rule.max));
    return;
  }
  const bool all =
      rule.for_whole_lines() && rule.upstream.empty() && rule.cluster.empty();
  if (all && !rule.freeze) {
    Fail(object,
         "the rule is for every peer: name an upstream, cluster, server or "
         "node; only freeze may do without");
  }
}

bool RulesReader::HasUpstream(std::string_view name) const {
  for (const LineConfig& line : config_.lines) {
    if (line.upstream == name) return true;
  }
  for (const ServerConfig& server : config_.servers) {
    if (server.upstream == name) return true;
  }
  return false;
}

bool RulesReader::HasCluster(std::string_view name) const {
  for (const ClusterConfig& cluster : config_.clusters) {
    if (cluster.name == name) return true;
  }
  return false;
}

bool RulesReader::HasLine(std::string_view upstream) const {
  for (const LineConfig& line : config_.lines) {
    if (line.upstream == upstream) return true;
  }
  return false;
}

bool RulesReader::HasLine(const TuningRule& rule) const {
  for (const LineConfig& line : config_.lines) {
    if (line.upstream == rule.upstream &&
        config_.clusters[line.cluster].name == rule.cluster) {
      return true;
    }
  }
  return false;
}

void RulesReader::CheckNames(const Json::Value& object,
                             const TuningRule& rule) {
  if (!ok()) return;
  if (!rule.upstream.empty() && !HasUpstream(rule.upstream)) {
    Fail(object["upstream"],
         absl::StrCat("unknown upstream ", Quoted(rule.upstream),
                      ": none with \"dynamic_weight\" has this name"));
  }
  if (!rule.cluster.empty() && !HasCluster(rule.cluster)) {
    Fail(object["cluster"],
         absl::StrCat("unknown cluster ", Quoted(rule.cluster),
                      ": no \"dynamic_weight_cluster\" has this name"));
  }
  if (!rule.upstream.empty() && !rule.cluster.empty() && !HasLine(rule)) {
    Fail(object["cluster"], absl::StrCat("upstream ", Quoted(rule.upstream),
                                         " has no ingress nodes of cluster ",
                                         Quoted(rule.cluster)));
  }
  if (!rule.upstream.empty() && !HasLine(rule.upstream)) {
    const char* const key = !rule.node.empty() ? "node"
                            : rule.freeze      ? "freeze"
                                               : nullptr;
    if (key != nullptr) {
      Fail(object[key], absl::StrCat("upstream ", Quoted(rule.upstream),
                                     " has no ingress nodes, and \"", key,
                                     "\" is for those"));
    }
  }
  if (!rule.server.empty()) CheckServer(object, rule);
}

// Ingress nodes come and go, so any address may be one; a name can only be
// that of a `server` line.
void RulesReader::CheckServer(const Json::Value& object,
                              const TuningRule& rule) {
  if (rule.address) return;
  for (const ServerConfig& server : config_.servers) {
    if (!rule.cluster.empty()) break;  // such a server is of none
    if ((rule.upstream.empty() || rule.upstream == server.upstream) &&
        (rule.server == server.name || rule.server == server.address)) {
      return;
    }
  }
  Fail(object["server"],
       absl::StrCat("unknown server ", Quoted(rule.server),
                    ": write an address such as \"10.0.0.1\" or "
                    "\"10.0.0.1:80\", a \"server\" line's name as written "
                    "there, or \"node\" for an ingress node's name"));
}

}  // namespace

absl::StatusOr<Tuning> ReadTuning(std::string_view text,
                                  const WatcherConfig& config) {
  absl::StatusOr<std::vector<TuningRule>> rules = ReadTuningRules(text, config);
  if (!rules.ok()) return rules.status();
  return Tuning(*std::move(rules));
}

absl::StatusOr<std::vector<TuningRule>> ReadTuningRules(
    std::string_view text, const WatcherConfig& config) {
  return RulesReader(text, config).Read();
}

}  // namespace dynweight
