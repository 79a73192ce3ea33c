// See nacos_source.h.

#include "watcher/nacos/nacos_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "watcher/text/source_word.h"
#include "watcher/text/text_escape.h"

namespace dynweight {
namespace {

constexpr char kForms[] =
    "write service=NAME [group=NAME] [clusters=NAME,NAME]";

bool Divides(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte <= ' ' || byte == 0x7f || c == '%' || c == ',';
}

std::string Escaped(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (Divides(c)) {
      escaped += {'%', kHex[byte >> 4], kHex[byte & 15]};
    } else {
      escaped += c;
    }
  }
  return escaped;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Only what Escaped() gives; false for anything else.
bool Unescape(std::string_view text, std::string* plain) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      *plain += text[i];
      continue;
    }
    if (text.size() - i < 3) return false;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return false;
    *plain += static_cast<char>(16 * high + low);
    i += 2;
  }
  return true;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t n = Utf8SequenceLength(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// `word` is for messages.
absl::Status CheckName(std::string_view word, std::string_view name,
                       const char* what, size_t max_bytes) {
  if (name.empty()) {
    return WrongWord(word, absl::StrCat("no name of a ", what, "; ", kForms));
  }
  if (name.size() > max_bytes) {
    return WrongWord(
        word, absl::StrCat("the name of a ", what, " is not longer than ",
                           max_bytes, " bytes"));
  }
  if (name.find("@@") != std::string_view::npos) {
    return WrongWord(word,
                     "\"@@\" parts a group from a service: write "
                     "service=GROUP@@NAME, or group=GROUP service=NAME");
  }
  if (!IsUtf8(name)) return WrongWord(word, "write names in UTF-8");
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
      return WrongWord(word, "a control character in a name");
    }
  }
  return absl::OkStatus();
}

absl::Status SetService(std::string_view word, std::string_view value,
                        bool grouped, NacosSource* source) {
  const size_t at = value.find("@@");
  if (at != std::string_view::npos) {
    const std::string_view group = value.substr(0, at);
    if (grouped && group != source->group) {
      return WrongWord(word,
                       "names another group than group=; write one of them");
    }
    const absl::Status status =
        CheckName(word, group, "group", NacosSource::kMaxGroupBytes);
    if (!status.ok()) return status;
    source->group = std::string(group);
    value.remove_prefix(at + 2);
  }
  source->service = std::string(value);
  return CheckName(word, value, "service", NacosSource::kMaxServiceBytes);
}

absl::Status SetClusters(std::string_view word,
                         std::vector<std::string> clusters,
                         NacosSource* source) {
  if (clusters.size() > NacosSource::kMaxClusters) {
    return WrongWord(word,
                     absl::StrCat("more than ", NacosSource::kMaxClusters,
                                  " clusters; leave clusters= out for all"));
  }
  for (const std::string& name : clusters) {
    const absl::Status status =
        CheckName(word, name, "cluster", NacosSource::kMaxClusterBytes);
    if (!status.ok()) return status;
    // The API takes them with commas between.
    if (name.find(',') != std::string::npos) {
      return WrongWord(word, "a comma in the name of a cluster");
    }
  }
  std::sort(clusters.begin(), clusters.end());
  const auto twice = std::adjacent_find(clusters.begin(), clusters.end());
  if (twice != clusters.end()) {
    return WrongWord(word,
                     absl::StrCat("has \"", *twice, "\" twice; drop one"));
  }
  source->clusters = std::move(clusters);
  return absl::OkStatus();
}

// Values as they are meant; "" where a word is absent.
struct Values {
  std::string_view service_word, group_word, clusters_word;
  std::string service, group;
  std::vector<std::string> clusters;
};

absl::StatusOr<NacosSource> Build(const Values& values) {
  NacosSource source;
  absl::Status status;
  const bool grouped = !values.group_word.empty();
  if (grouped) {
    source.group = values.group;
    status = CheckName(values.group_word, values.group, "group",
                       NacosSource::kMaxGroupBytes);
    if (!status.ok()) return status;
  }
  if (values.service_word.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("no service; ", kForms));
  }
  status = SetService(values.service_word, values.service, grouped, &source);
  if (!status.ok()) return status;
  if (values.clusters_word.empty()) return source;
  status = SetClusters(values.clusters_word, values.clusters, &source);
  if (!status.ok()) return status;
  return source;
}

// `plain` makes a value of how it is written; false: it can't be.
absl::StatusOr<NacosSource> ParseWords(
    const std::vector<std::string_view>& words,
    bool (*plain)(std::string_view, std::string*)) {
  Values values;
  for (const std::string_view text : words) {
    const SourceWord word = SplitAtEquals(text);
    std::string_view* const seen = word.name == "service" ? &values.service_word
                                   : word.name == "group" ? &values.group_word
                                   : word.name == "clusters"
                                       ? &values.clusters_word
                                       : nullptr;
    if (word.name == "port") {
      return WrongWord(text,
                       "leave it out: the registry names the port of each "
                       "instance");
    }
    if (seen == nullptr || word.name.size() == text.size()) {
      return WrongWord(text,
                       absl::StrCat("is no part of a Nacos source; ", kForms));
    }
    if (!seen->empty()) {
      return WrongWord(text, absl::StrCat("is duplicate: write ",
                                          std::string(word.name), "= once"));
    }
    *seen = text;
    std::vector<std::string_view> parts = {word.value};
    if (word.name == "clusters") parts = Split(word.value, ',');
    for (const std::string_view part : parts) {
      std::string value;
      if (!plain(part, &value)) return WrongWord(text, "is no key of a source");
      if (word.name == "service") values.service = value;
      if (word.name == "group") values.group = value;
      if (word.name == "clusters") values.clusters.push_back(value);
    }
  }
  return Build(values);
}

}  // namespace

std::string NacosSource::Key() const {
  std::string key = absl::StrCat("service=", Escaped(service));
  if (group != kDefaultGroup) {
    absl::StrAppend(&key, " group=", Escaped(group));
  }
  for (size_t i = 0; i < clusters.size(); ++i) {
    absl::StrAppend(&key, i == 0 ? " clusters=" : ",", Escaped(clusters[i]));
  }
  return key;
}

std::string NacosSource::Clusters() const {
  return absl::StrJoin(clusters, ",");
}

std::string NacosSource::GroupedName() const {
  return absl::StrCat(group, "@@", service);
}

bool NacosSource::Begins(std::string_view text) {
  const SourceWord word = SplitAtEquals(text);
  return word.name.size() < text.size() &&
         (word.name == "service" || word.name == "group" ||
          word.name == "clusters");
}

absl::StatusOr<NacosSource> NacosSource::Parse(
    const std::vector<std::string_view>& words) {
  return ParseWords(words, [](std::string_view text, std::string* plain) {
    *plain = std::string(text);
    return true;
  });
}

absl::StatusOr<NacosSource> NacosSource::FromKey(std::string_view key) {
  return ParseWords(Split(key, ' '), &Unescape);
}

absl::Status CheckNacosNamespace(std::string_view text) {
  const bool fits = !text.empty() && text.size() <= 128 &&
                    std::all_of(text.begin(), text.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                             c == '.' || c == ':';
                    });
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "write the namespace's id, which is not its name: 1 to 128 letters, "
      "digits, \"_\", \"-\", \".\" and \":\"");
}

}  // namespace dynweight
