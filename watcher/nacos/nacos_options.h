// How a registry is asked.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_OPTIONS_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_OPTIONS_H_

#include <cstdint>
#include <string>

namespace dynweight {

struct NacosOptions {
  std::string ns = "public";   // the namespace's id
  bool subscribe = true;       // by gRPC, and polled where that is refused
  int64_t interval_ms = 5000;  // from the begin of one round to the next
  int64_t timeout_ms = 5000;   // to connect, and of silence
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_OPTIONS_H_
