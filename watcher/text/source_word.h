// Words of a configuration that name a source, "service=prod/orders", whatever
// the cluster's type.

#ifndef DYNAMIC_WEIGHT_WATCHER_TEXT_SOURCE_WORD_H_
#define DYNAMIC_WEIGHT_WATCHER_TEXT_SOURCE_WORD_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace dynweight {

struct SourceWord {
  std::string_view name;   // before the first '='; all, where there is none
  std::string_view value;  // behind it
};

// Points into `text`. Thread-safe.
inline SourceWord SplitAtEquals(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {text, {}};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

// InvalidArgument: what is wrong with the word `text`, and the fix.
inline absl::Status WrongWord(std::string_view text, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\": ", why));
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TEXT_SOURCE_WORD_H_
