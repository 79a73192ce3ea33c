// Fuzz target (libFuzzer): what a registry answers. No text breaks what reads
// it, and what it is read as keeps its promises; names are read back.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "watcher/nacos/grpc_message.h"
#include "watcher/nacos/http_refusal.h"
#include "watcher/nacos/nacos_source.h"
#include "watcher/nacos/service_answer.h"

namespace {

using dynweight::Instance;
using dynweight::NacosApi;
using dynweight::NacosSource;
using dynweight::ServiceAnswer;

void Check(const ServiceAnswer& answer) {
  if (answer.instances.size() + answer.unusable > answer.hosts) abort();
  for (size_t i = 0; i < answer.instances.size(); ++i) {
    const Instance& instance = answer.instances[i];
    if (instance.port == 0 || instance.weight_milli > 10000000) abort();
    if (instance.name.size() > 253) abort();
    if (i > 0 && !(answer.instances[i - 1] < instance)) abort();
  }
  if (answer.hosts == 0 && answer.WhyUncertain().empty()) abort();
  if (ReachesProtectionThreshold(answer, answer)) abort();
}

void ReadKey(std::string_view text) {
  const auto source = NacosSource::FromKey(text);
  if (!source.ok()) return;
  const auto again = NacosSource::FromKey(source->Key());
  if (!again.ok() || !(*again == *source)) abort();
}

// In one piece and in many.
void ReadStream(std::string_view text) {
  std::string read[2];
  bool failed[2] = {};
  for (const size_t i : {0, 1}) {
    dynweight::GrpcFraming framing;
    const size_t piece = i == 0 ? 3 : text.size();
    for (size_t at = 0; at < text.size() && !failed[i]; at += piece) {
      failed[i] = !framing
                       .Append(text.substr(at, piece),
                               [&](std::string_view payload) {
                                 const auto message =
                                     dynweight::ReadGrpcPayload(payload);
                                 if (message.ok()) read[i] += message->type;
                                 return message.status();
                               })
                       .ok();
    }
  }
  if (failed[0] != failed[1] || (!failed[0] && read[0] != read[1])) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const NacosApi api : {NacosApi::kV1, NacosApi::kV2, NacosApi::kV3}) {
    const auto answer = dynweight::ReadServiceList(api, text);
    if (answer.ok()) Check(*answer);
  }
  dynweight::DescribeRefusal(500, text);
  ReadStream(text);
  ReadKey(text);
  return 0;
}
