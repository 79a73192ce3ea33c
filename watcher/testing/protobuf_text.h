// A field of a protobuf message, as tests write them.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_PROTOBUF_TEXT_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_PROTOBUF_TEXT_H_

#include <cstdint>
#include <protozero/pbf_writer.hpp>
#include <string>

namespace dynweight {

inline std::string Text(uint32_t number, const std::string& text) {
  std::string bytes;
  protozero::pbf_writer(bytes).add_string(number, text);
  return bytes;
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_PROTOBUF_TEXT_H_
