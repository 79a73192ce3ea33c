// See query.h.

#include "ngx_module/status/query.h"

namespace dynweight {

std::vector<size_t> AskedUpstreams(const StatusQuery& query) {
  std::vector<size_t> asked;
  const std::vector<UpstreamModel>& upstreams = query.model->upstreams;
  for (size_t i = 0; i < upstreams.size(); ++i) {
    const std::string_view name = upstreams[i].name;
    if (query.upstream ? name == *query.upstream
                       : name.find(query.filter) != name.npos) {
      asked.push_back(i);
    }
  }
  return asked;
}

bool AsksFor(const StatusQuery& query, const Decision& decision) {
  constexpr size_t kKept = sizeof(decision.upstream) - 1;
  return !query.upstream ||
         decision.upstream.view() ==
             std::string_view(*query.upstream).substr(0, kKept);
}

std::vector<Decision> ReadDecisions(const StatusModel& model) {
  if (model.decisions == nullptr) return {};
  return DecodeDecisions(model.decisions->ReadText());
}

}  // namespace dynweight
