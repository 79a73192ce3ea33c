// See service_table.h.

#include "watcher/nacos/service_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace dynweight {

ServiceTable::ServiceTable(const std::vector<NacosSource>& sources) {
  for (const NacosSource& source : sources) {
    Service service;
    service.source = source;
    services_.push_back(std::move(service));
    quantities_.push_back({Quantity::Kind::kInstances, source.Key()});
  }
}

void ServiceTable::Answered(Service* service) {
  if (!std::exchange(service->answered, true)) ++answered_;
}

void ServiceTable::Take(size_t index, ServiceAnswer answer) {
  Service& service = services_[index];
  Answered(&service);
  const std::string before =
      std::exchange(service.uncertain, answer.WhyUncertain());
  if (service.uncertain != before) Change(index);
  if (!service.uncertain.empty()) return;
  if (!service.known || service.evidence.instances != answer.instances) {
    Change(index);
  }
  service.known = true;
  unusable_ += answer.unusable;
  unusable_ -= service.evidence.unusable;
  service.evidence = std::move(answer);
}

void ServiceTable::Refuse(size_t index, std::string why) {
  Service& service = services_[index];
  Answered(&service);
  if (service.uncertain != why) Change(index);
  service.uncertain = std::move(why);
}

void ServiceTable::Change(size_t index) {
  if (!std::exchange(services_[index].changed, true)) changed_.push_back(index);
}

std::vector<size_t> ServiceTable::TakeChanged() {
  for (const size_t index : changed_) services_[index].changed = false;
  std::vector<size_t> changed = std::exchange(changed_, {});
  std::sort(changed.begin(), changed.end());
  return changed;
}

Observation ServiceTable::Observe(size_t service) const {
  Observation observation;
  observation.instances = services_[service].evidence.instances;
  return observation;
}

std::string ServiceTable::WhyUncertain(size_t index) const {
  const Service& service = services_[index];
  if (!service.answered) return "the registry has not been asked yet";
  return service.uncertain;
}

std::string ServiceTable::WhyNone(size_t index) const {
  const ServiceAnswer& answer = services_[index].evidence;
  return absl::StrCat("none of ", answer.hosts,
                      " registered instances is healthy and enabled");
}

std::string ServiceTable::Unusable() const {
  if (unusable_ == 0) return std::string();
  const auto first = std::find_if(
      services_.begin(), services_.end(),
      [](const Service& service) { return service.evidence.unusable != 0; });
  return absl::StrCat(
      unusable_,
      " registered instances get no request, as their address or port "
      "is none that a peer can have (of ",
      first->source.Key(), "): register them with an IP address");
}

}  // namespace dynweight
