// What is known of each service that lines ask of a registry.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_SERVICE_TABLE_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_SERVICE_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "watcher/discovery/discovery.h"
#include "watcher/nacos/nacos_source.h"
#include "watcher/nacos/service_answer.h"

namespace dynweight {

// A service is named by its index, and so is its quantity. Keeps the last
// answer of each that was evidence. Not thread-safe.
class ServiceTable {
 public:
  explicit ServiceTable(const std::vector<NacosSource>& sources);

  size_t size() const { return services_.size(); }
  const NacosSource& source(size_t service) const {
    return services_[service].source;
  }
  const std::vector<Quantity>& quantities() const { return quantities_; }

  // The registry answers.
  void Take(size_t service, ServiceAnswer answer);
  // It was asked and refuses, in words for a person.
  void Refuse(size_t service, std::string why);

  // Every service was answered, or refused, at least once.
  bool complete() const { return answered_ == services_.size(); }
  // As Discovery has them.
  std::vector<size_t> TakeChanged();
  Observation Observe(size_t service) const;
  std::string WhyUncertain(size_t service) const;
  std::string WhyNone(size_t service) const;
  // How many registrations have an address or port that no peer has, a host
  // name perhaps, and of which service the first is; "": there are none.
  std::string Unusable() const;

 private:
  struct Service {
    NacosSource source;
    ServiceAnswer evidence;
    bool known = false;  // there is evidence
    bool answered = false;
    bool changed = false;  // stands in changed_
    std::string uncertain;  // why the last answer is no evidence
  };

  void Answered(Service* service);
  void Change(size_t index);

  std::vector<Service> services_;
  std::vector<Quantity> quantities_;
  size_t answered_ = 0;
  size_t unusable_ = 0;  // of the evidence of all
  std::vector<size_t> changed_;  // since TakeChanged()
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_SERVICE_TABLE_H_
