// See probe_config.h.

#include "watcher/config/probe_config.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "weightcalc/hash.h"
#include "weightcalc/probe_result.h"

namespace dynweight {
namespace {

constexpr int64_t kLeastMs = 100;
constexpr int64_t kMostMs = 3600000;
constexpr uint32_t kMostInARow = 100;
constexpr size_t kMaxTextBytes = 1024;

constexpr struct {
  std::string_view name;
  ProbeConfig::Type type;
} kTypes[] = {
    {"http", ProbeConfig::Type::kHttp},
    {"https", ProbeConfig::Type::kHttps},
    {"tcp", ProbeConfig::Type::kTcp},
    {"tls", ProbeConfig::Type::kTls},
};

std::string_view TypeName(ProbeConfig::Type type) {
  for (const auto& entry : kTypes) {
    if (entry.type == type) return entry.name;
  }
  return "";
}

absl::Status Wrong(std::string_view word, std::string_view mend) {
  return absl::InvalidArgumentError(
      absl::StrCat("invalid \"", std::string(word), "\": ", std::string(mend)));
}

bool ParseNumber(std::string_view text, uint32_t least, uint32_t most,
                 uint32_t* number) {
  // Digits alone: SimpleAtoi() takes signs and white space.
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos &&
         absl::SimpleAtoi(absl::string_view(text.data(), text.size()),
                          number) &&
         *number >= least && *number <= most;
}

// "500ms", "2s", "1m".
bool ParseTime(std::string_view text, int64_t* ms) {
  constexpr struct {
    std::string_view unit;
    int64_t ms;
  } kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
  const size_t end =
      std::min(text.find_first_not_of("0123456789"), text.size());
  uint32_t number = 0;
  if (!ParseNumber(text.substr(0, end), 1, UINT32_MAX, &number)) return false;
  const std::string_view unit = end == text.size() ? "s" : text.substr(end);
  for (const auto& entry : kUnits) {
    if (entry.unit != unit) continue;
    *ms = number * entry.ms;
    return *ms >= kLeastMs && *ms <= kMostMs;
  }
  return false;
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c <= '~'; });
}

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= 253 &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyz"
             "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == text.npos;
}

constexpr std::string_view kStatusMend =
    "write statuses from 100 to 999 and ranges of them, such as "
    "\"status=200-399,401\"";

// "200-399,401", in any order.
absl::Status ParseStatuses(std::string_view word, std::string_view text,
                           ProbeConfig* config) {
  config->status.clear();
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view part = text.substr(0, comma);
    const size_t dash = part.find('-');
    uint32_t first = 0;
    uint32_t last = 0;
    if (!ParseNumber(part.substr(0, dash), 100, 999, &first) ||
        !ParseNumber(dash == part.npos ? part : part.substr(dash + 1), 100, 999,
                     &last)) {
      return Wrong(word, kStatusMend);
    }
    if (last < first) {
      return Wrong(word, absl::StrCat("write \"", last, "-", first, "\" for \"",
                                      std::string(part), "\""));
    }
    config->status.emplace_back(first, last);
    if (comma == text.size()) break;
    text.remove_prefix(comma + 1);
  }
  auto& status = config->status;
  std::sort(status.begin(), status.end());
  for (size_t i = 1; i < status.size(); ++i) {
    if (status[i].first > status[i - 1].second) continue;
    return Wrong(word, absl::StrCat(status[i].first,
                                    " stands in it twice: "
                                    "write ranges that do not overlap"));
  }
  return absl::OkStatus();
}

// What a parameter is of, and how it is read. `value`: behind its "=".
struct Parameter {
  std::string_view name;  // with its "="
  bool http;              // of HTTP alone
  bool tls;               // of TLS alone; both: of either
  absl::Status (*read)(std::string_view word, std::string_view value,
                       ProbeConfig* config);
};

absl::Status ReadPort(std::string_view word, std::string_view value,
                      ProbeConfig* config) {
  uint32_t port = 0;
  if (!ParseNumber(value, 1, 65535, &port)) {
    return Wrong(word,
                 "write a port, 1 to 65535; without port= each line's "
                 "port is probed");
  }
  config->port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

absl::Status ReadUri(std::string_view word, std::string_view value,
                     ProbeConfig* config) {
  if (value.empty() || value[0] != '/' || value.size() > kMaxTextBytes ||
      !IsPrintable(value) || value.find('#') != value.npos) {
    return Wrong(word,
                 "write a path such as \"uri=/healthz\", of ASCII "
                 "without spaces");
  }
  config->uri = std::string(value);
  return absl::OkStatus();
}

absl::Status ReadHost(std::string_view word, std::string_view value,
                      ProbeConfig* config) {
  if (!IsName(value)) {
    return Wrong(word,
                 "write a host name without port, such as "
                 "\"host=orders.example\"");
  }
  config->host = std::string(value);
  return absl::OkStatus();
}

absl::Status ReadBody(std::string_view word, std::string_view value,
                      ProbeConfig* config) {
  if (value.empty() || value.size() > kMaxTextBytes) {
    return Wrong(word, "write a part of the body, 1 to 1024 bytes");
  }
  config->body = std::string(value);
  return absl::OkStatus();
}

absl::Status ReadCaFile(std::string_view word, std::string_view value,
                        ProbeConfig* config) {
  if (value.empty()) return Wrong(word, "write a file of PEM certificates");
  config->ca_file = std::string(value);
  return absl::OkStatus();
}

template <int64_t ProbeConfig::*kMember>
absl::Status ReadTime(std::string_view word, std::string_view value,
                      ProbeConfig* config) {
  if (!ParseTime(value, &(config->*kMember))) {
    return Wrong(word, "write a time from 100ms to 1h, such as \"2s\"");
  }
  return absl::OkStatus();
}

template <uint32_t ProbeConfig::*kMember>
absl::Status ReadCount(std::string_view word, std::string_view value,
                       ProbeConfig* config) {
  if (!ParseNumber(value, 1, kMostInARow, &(config->*kMember))) {
    return Wrong(word, "write a number from 1 to 100");
  }
  return absl::OkStatus();
}

absl::Status ReadMandatory(std::string_view, std::string_view,
                           ProbeConfig* config) {
  config->mandatory = true;
  return absl::OkStatus();
}

constexpr Parameter kParameters[] = {
    {"port=", false, false, ReadPort},
    {"uri=", true, false, ReadUri},
    {"host=", true, true, ReadHost},
    {"status=", true, false, ParseStatuses},
    {"body=", true, false, ReadBody},
    {"ca_file=", false, true, ReadCaFile},
    {"interval=", false, false, ReadTime<&ProbeConfig::interval_ms>},
    {"timeout=", false, false, ReadTime<&ProbeConfig::timeout_ms>},
    {"fails=", false, false, ReadCount<&ProbeConfig::fails>},
    {"passes=", false, false, ReadCount<&ProbeConfig::passes>},
    {"mandatory", false, false, ReadMandatory},
};

absl::Status ReadWord(std::string_view word, std::set<std::string_view>* seen,
                      ProbeConfig* config) {
  const size_t eq = word.find('=');
  const std::string_view name = eq == word.npos ? word : word.substr(0, eq + 1);
  for (const Parameter& parameter : kParameters) {
    if (parameter.name != name) continue;
    if (!seen->insert(name).second) {
      return Wrong(word, "it is duplicate, write it once");
    }
    const bool fits = (!parameter.http && !parameter.tls) ||
                      (parameter.http && config->http()) ||
                      (parameter.tls && config->tls());
    if (!fits) {
      return Wrong(
          word, absl::StrCat("it has no effect on a probe of type ",
                             std::string(TypeName(config->type)),
                             ": remove "
                             "it, or write \"",
                             parameter.http ? parameter.tls
                                                  ? "http\", \"https\" or \"tls"
                                                  : "http\" or \"https"
                                            : "https\" or \"tls",
                             "\""));
    }
    return parameter.read(word, word.substr(name.size()), config);
  }
  return Wrong(word,
               "write port=, uri=, host=, status=, body=, ca_file=, "
               "interval=, timeout=, fails=, passes= or mandatory");
}

}  // namespace

bool ProbeConfig::Accepts(int http_status) const {
  return std::any_of(status.begin(), status.end(), [&](const auto& range) {
    return http_status >= range.first && http_status <= range.second;
  });
}

uint16_t ProbeConfig::Tag() const {
  std::string all = absl::StrCat(static_cast<int>(type), " ", port, " ", uri,
                                 " ", host, " ", ca_file, " ", body);
  for (const auto& [first, last] : status) {
    absl::StrAppend(&all, " ", first, "-", last);
  }
  return static_cast<uint16_t>(1 + HashBytes(all) % ProbeResult::kMaxTag);
}

bool ProbeConfig::operator==(const ProbeConfig& other) const {
  const auto all = [](const ProbeConfig& c) {
    return std::tie(c.type, c.port, c.uri, c.host, c.status, c.body, c.ca_file,
                    c.interval_ms, c.timeout_ms, c.fails, c.passes,
                    c.mandatory);
  };
  return all(*this) == all(other) && trust.ca_data == other.trust.ca_data;
}

std::string ProbeConfig::Text() const {
  std::string text(TypeName(type));
  if (port != 0 || http()) text += ' ';
  if (port != 0) absl::StrAppend(&text, ":", port);
  if (http()) text += uri;
  return text;
}

absl::StatusOr<ProbeConfig> ProbeConfig::Parse(
    const std::vector<std::string_view>& words) {
  ProbeConfig config;
  const auto* const type = std::find_if(
      std::begin(kTypes), std::end(kTypes),
      [&](const auto& t) { return !words.empty() && t.name == words[0]; });
  if (type == std::end(kTypes)) {
    return Wrong(words.empty() ? "" : words[0],
                 "write what is probed first: \"http\", \"https\", \"tcp\" or "
                 "\"tls\"");
  }
  config.type = type->type;
  std::set<std::string_view> seen;
  for (size_t i = 1; i < words.size(); ++i) {
    const absl::Status status = ReadWord(words[i], &seen, &config);
    if (!status.ok()) return status;
  }
  if (config.timeout_ms > config.interval_ms) {
    if (seen.count("timeout=") != 0) {
      return absl::InvalidArgumentError(
          "timeout= is longer than interval=: a probe must end before the next "
          "one, make one of them shorter or longer");
    }
    config.timeout_ms = config.interval_ms;
  }
  return config;
}

}  // namespace dynweight
