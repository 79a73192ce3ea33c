// See weight_text.h.

#include "watcher/weight_text.h"

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

std::string LineName(const LineConfig& line, const std::string& cluster) {
  return absl::StrCat("upstream \"", line.upstream, "\" cluster \"", cluster,
                      "\": ");
}

template <typename Number>
std::string Change(const char* what, const std::optional<Number>& before,
                   Number after) {
  if (!before || *before == after) return absl::StrCat(what, " ", after);
  return absl::StrCat(what, " ", *before, " -> ", after);
}

}  // namespace

std::string CauseText(const LineConfig& line,
                      const std::optional<LineWeight>& before,
                      const LineWeight& after) {
  std::optional<uint64_t> pods, nodes, drained;
  if (before) {
    pods = before->pods;
    nodes = before->ingress_nodes;
    drained = before->drained_nodes;
  }
  std::string text =
      line.instances()
          ? Change("instances", pods, after.pods)
          : absl::StrCat(Change("pods", pods, after.pods), ", ",
                         Change("nodes", nodes, after.ingress_nodes));
  if (after.drained_nodes != drained.value_or(0)) {
    absl::StrAppend(&text, ", ",
                    Change("drained", drained, after.drained_nodes));
  }
  if (after.frozen != (before && before->frozen)) {
    absl::StrAppend(&text, after.frozen ? ", frozen" : ", no longer frozen");
  }
  if (after.no_ingress != (before && before->no_ingress)) {
    absl::StrAppend(&text, after.no_ingress ? ", no " : ", again ",
                    line.ingress);
  }
  const uint64_t scale = before ? before->scale : 1;
  if (after.scale != scale) {
    absl::StrAppend(
        &text, ", ",
        Change("scale", std::optional<uint64_t>(scale), after.scale));
  }
  if (after.provisional != (before && before->provisional)) {
    absl::StrAppend(&text, after.provisional ? ", provisional" : ", confirmed");
  }
  return text;
}

std::string WeightChangeText(const LineConfig& line, const std::string& cluster,
                             const std::optional<LineWeight>& before,
                             const LineWeight& after) {
  std::optional<uint32_t> weight;
  if (before) weight = before->in_force();
  return absl::StrCat(LineName(line, cluster), CauseText(line, before, after),
                      ", ", Change("weight", weight, after.in_force()));
}

std::string ScaleText(const LineConfig& line, uint64_t largest,
                      uint64_t scale) {
  return absl::StrCat("upstream \"", line.upstream, "\": a weight of ", largest,
                      " is too large: all of the upstream's weights are "
                      "divided by ",
                      scale, "; lower dynamic_weight_base (", line.base, ")");
}

std::string SlotShortageText(const LineConfig& line, const std::string& cluster,
                             const LineWeight& weight) {
  return absl::StrCat(
      LineName(line, cluster), weight.ingress_nodes,
      line.instances() ? " instances serve" : " ingress nodes are live",
      ", but slots=", line.range.count, ": only the first ",
      weight.assigned_nodes(), " by address are used; raise slots= and reload");
}

}  // namespace dynweight
