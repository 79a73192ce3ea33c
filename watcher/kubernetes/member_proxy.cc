// See member_proxy.h.

#include "watcher/kubernetes/member_proxy.h"

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/dns_name.h"

namespace dynweight {
namespace {

constexpr std::string_view kClusters =
    "/apis/cluster.karmada.io/v1alpha1/clusters/";
constexpr std::string_view kProxy = "/proxy";

bool Has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

std::string MemberProxyUrl(std::string_view base, std::string_view member) {
  std::string url(base);
  url += kClusters;
  url += member;
  url += kProxy;
  return url;
}

std::string_view MemberOfProxy(std::string_view base) {
  const size_t at = base.rfind(kClusters);
  if (at == std::string_view::npos) return {};
  std::string_view rest = base.substr(at + kClusters.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos || rest.substr(slash) != kProxy) {
    return {};
  }
  return rest.substr(0, slash);
}

absl::Status CheckMemberName(std::string_view name) {
  if (IsDnsSubdomain(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "write the name that \"kubectl get clusters\" has for it on the control "
      "plane: 1 to 253 of a-z, 0-9, \"-\" and \".\"");
}

absl::Status CheckKarmadaPath(std::string_view base) {
  static constexpr char kForm[] =
      "write https://HOST:PORT/apis/cluster.karmada.io/v1alpha1/clusters/"
      "MEMBER/proxy, or \"via\" and \"member\"";
  if (Has(base, "/search.karmada.io/")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Karmada's search proxy is not supported: while a member hangs it "
        "answers with that member's objects left out, as if they were gone, "
        "and it mixes objects of one name; ",
        kForm));
  }
  if (!Has(base, "/cluster.karmada.io/")) return absl::OkStatus();
  const std::string_view member = MemberOfProxy(base);
  if (member.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("is no proxy of a member of Karmada; ", kForm));
  }
  return CheckMemberName(member);
}

}  // namespace dynweight
