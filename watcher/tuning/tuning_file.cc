// See tuning_file.h.

#include "watcher/tuning/tuning_file.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "watcher/files/regular_file.h"
#include "watcher/text/json_text.h"
#include "watcher/tuning/tuning_reader.h"

namespace dynweight {
namespace {

constexpr size_t kMaxPath = 512;
constexpr size_t kMaxError = 512;
constexpr size_t kMaxName = 512;
// The log takes so many lines a second; others are to find room beside these.
constexpr size_t kMaxRulesLogged = LogQueue::kMaxLines / 4;
// Room for a rule that is cut down to its line.
constexpr size_t kShortRuleBytes = 80;

void AppendText(const char* name, const std::string& text, std::string* out) {
  if (text.empty()) return;
  absl::StrAppend(out, ",\"", name, "\":");
  AppendJsonString(text, kMaxName, out);
}

template <typename Number>
void AppendNumber(const char* name, const std::optional<Number>& number,
                  std::string* out) {
  if (number) absl::StrAppend(out, ",\"", name, "\":", *number);
}

void AppendFlag(const char* name, const std::optional<bool>& flag,
                std::string* out) {
  if (!flag) return;
  absl::StrAppend(out, ",\"", name, "\":", *flag ? "true" : "false");
}

std::string EncodeRuleHead(const TuningRule& rule, bool in_force,
                           uint32_t peers) {
  return absl::StrCat("{\"line\":", rule.line,
                      ",\"in_force\":", in_force ? "true" : "false",
                      ",\"peers\":", peers);
}

// As the file has it, behind the head.
std::string EncodeRuleBody(const TuningRule& rule) {
  std::string out;
  AppendText("upstream", rule.upstream, &out);
  AppendText("cluster", rule.cluster, &out);
  AppendText("server", rule.server, &out);
  AppendText("node", rule.node, &out);
  AppendFlag("drain", rule.drain, &out);
  AppendFlag("freeze", rule.freeze, &out);
  AppendNumber("weight", rule.weight, &out);
  AppendNumber("scale", rule.scale, &out);
  AppendNumber("min", rule.min, &out);
  AppendNumber("max", rule.max, &out);
  AppendText("expires", rule.expires, &out);
  AppendText("reason", rule.reason, &out);
  return out;
}

// `line 4 {"server":"10.0.0.1","drain":true}`
std::string RuleText(const TuningRule& rule) {
  std::string body = EncodeRuleBody(rule);
  if (!body.empty()) body[0] = '{';
  return absl::StrCat("line ", rule.line, " ", body, "}");
}

}  // namespace

absl::StatusOr<std::string> ReadTuningFile(const std::string& path) {
  return ReadRegularFile(path, kMaxTuningBytes, SymbolicLinks::kFollow);
}

TuningFile::TuningFile(const WatcherConfig& config, Read read,
                       const Clock* clock, LogQueue* log)
    : config_(config),
      read_(std::move(read)),
      clock_(clock),
      log_(log),
      due_ms_(config.tuning_file.empty() ? kNever : INT64_MIN) {}

void TuningFile::Restore(std::string_view text) {
  if (config_.tuning_file.empty() || text.empty()) return;
  absl::StatusOr<Tuning> tuning = ReadTuning(text, config_);
  if (!tuning.ok()) return;  // the file itself will tell
  tuning_ = *std::move(tuning);
  text_ = std::string(text);
  last_ = acted_ = {true, text_};
  taken_up_ms_ = clock_->UnixMs();
  tuning_.Advance(taken_up_ms_);
}

TuningFile::Changes TuningFile::Tick() {
  Changes changes;
  if (clock_->MonotonicMs() < due_ms_) return changes;
  due_ms_ = clock_->MonotonicMs() + kLookMs;
  absl::StatusOr<std::string> text = read_(config_.tuning_file);
  Look look = {text.ok(), text.ok() ? *std::move(text)
                                    : std::string(text.status().message())};
  if (look == last_ && !(look == acted_)) {
    changes.rules = TakeUp(look);
    changes.status = true;
    acted_ = look;
  }
  last_ = std::move(look);
  if (Expire()) changes.rules = changes.status = true;
  return changes;
}

// Whether other rules are in force.
bool TuningFile::TakeUp(const Look& look) {
  if (!look.good) {
    Fail(look.text);
    return false;
  }
  if (look.text != text_ || taken_up_ms_ == 0) {
    absl::StatusOr<Tuning> tuning = ReadTuning(look.text, config_);
    if (!tuning.ok()) {
      Fail(absl::StrCat("\"", config_.tuning_file,
                        "\":", std::string(tuning.status().message())));
      return false;
    }
    tuning_ = *std::move(tuning);
    text_ = look.text;
    taken_up_ms_ = clock_->UnixMs();
    tuning_.Advance(taken_up_ms_);
    peers_noted_ = false;
    error_.clear();
    LogRules();
    return true;
  }
  error_.clear();
  Log(LogLine::Level::kNotice, "is good again; its rules stay in force");
  return false;
}

void TuningFile::Fail(const std::string& error) {
  error_ = error;
  error_ms_ = clock_->UnixMs();
  log_->Add(LogLine::Level::kError,
            absl::StrCat("tuning file ", error,
                         "; the last good rules stay in force"),
            clock_->MonotonicMs());
}

void TuningFile::Log(LogLine::Level level, const std::string& text) {
  log_->Add(level,
            absl::StrCat("tuning file \"", config_.tuning_file, "\" ", text),
            clock_->MonotonicMs());
}

void TuningFile::LogRules() {
  Log(LogLine::Level::kNotice,
      absl::StrCat("is loaded: ", tuning_.rules().size(), " rules"));
  const size_t told = std::min(tuning_.rules().size(), kMaxRulesLogged);
  for (size_t i = 0; i < told; ++i) {
    Log(LogLine::Level::kNotice,
        absl::StrCat(RuleText(tuning_.rules()[i]),
                     tuning_.in_force(i) ? "" : " has expired"));
  }
  if (told < tuning_.rules().size()) {
    Log(LogLine::Level::kNotice,
        absl::StrCat("has ", tuning_.rules().size() - told,
                     " more rules: see the status"));
  }
}

bool TuningFile::Expire() {
  const std::vector<size_t> changed = tuning_.Advance(clock_->UnixMs());
  for (const size_t i : changed) {
    Log(LogLine::Level::kNotice,
        absl::StrCat(RuleText(tuning_.rules()[i]),
                     tuning_.in_force(i) ? " is in force again: the clock was "
                                           "set back"
                                         : " has expired"));
  }
  return !changed.empty();
}

void TuningFile::NotePeers(const std::vector<uint32_t>& peers) {
  if (std::exchange(peers_noted_, true)) return;
  for (size_t i = 0; i < tuning_.rules().size(); ++i) {
    if (!tuning_.in_force(i) || peers[i] != 0) continue;
    Log(LogLine::Level::kWarn,
        absl::StrCat(RuleText(tuning_.rules()[i]),
                     " is for no peer: there is none of that name now, a "
                     "later rule wins, or no earlier one is there to exempt "
                     "from"));
  }
}

std::string TuningFile::EncodeStatus(const std::vector<uint32_t>& peers) const {
  std::string out = "{\"file\":";
  AppendJsonString(config_.tuning_file, kMaxPath, &out);
  absl::StrAppend(&out, ",\"taken_up\":", taken_up_ms_, ",\"error\":");
  if (error_.empty()) {
    out += "null,\"error_at\":null";
  } else {
    AppendJsonString(error_, kMaxError, &out);
    absl::StrAppend(&out, ",\"error_at\":", error_ms_);
  }
  out += ",\"rules\":[\n";
  const size_t n = tuning_.rules().size();
  for (size_t i = 0; i < n; ++i) {
    const TuningRule& rule = tuning_.rules()[i];
    out += EncodeRuleHead(rule, tuning_.in_force(i), peers[i]);
    const std::string body = EncodeRuleBody(rule);
    const size_t others = (n - i) * kShortRuleBytes;
    if (out.size() + body.size() + others <= kMaxTuningStatusBytes) out += body;
    out += i + 1 < n ? "},\n" : "}\n";
  }
  out += "]}";
  return out;
}

}  // namespace dynweight
