// A line for an operator.

#ifndef DYNAMIC_WEIGHT_WATCHER_TEXT_LOG_LINE_H_
#define DYNAMIC_WEIGHT_WATCHER_TEXT_LOG_LINE_H_

#include <cstdint>
#include <string>

namespace dynweight {

struct LogLine {
  enum class Level : uint8_t { kError, kWarn, kNotice, kInfo };
  Level level = Level::kInfo;
  std::string text;  // one line, printable, no secret
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TEXT_LOG_LINE_H_
