// A line of 16 slots and a view, for tests of the way from one to the other.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_COMPUTATION_FIXTURE_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_COMPUTATION_FIXTURE_H_

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "weightcalc/forked_process.h"
#include "weightcalc/weight_computation.h"

namespace dynweight {

class WeighingTest : public testing::Test {
 protected:
  WeighingTest()
      : memory_(PeerTable::Bytes(32, 1)),
        table_(PeerTable::Create(memory_.get(), 32, 1)) {
    line_.source = "service=prod/orders";
    line_.port = 80;
    line_.range = {4, 16};
  }
  void Know(uint64_t pods, int nodes) {
    view_.pods["service=prod/orders"] = {pods, 1};
    NodeSet& set = view_.nodes.emplace();
    for (int i = 1; i <= nodes; i++) {
      set.nodes.push_back(
          {IpAddress::Parse(absl::StrCat("10.0.0.", i)).value(), ""});
    }
  }

  std::vector<SlotWrite> Plan(const Tuning::Selection& rules = {}) {
    const auto target = TargetOf(line_, view_, rules, &held_);
    if (!target) return {};
    return PlanLine(line_, *target, rules, table_);
  }

  SharedMapping memory_;
  PeerTable table_;
  std::optional<HeldTarget> held_;
  LineConfig line_;
  ClusterView view_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_COMPUTATION_FIXTURE_H_
