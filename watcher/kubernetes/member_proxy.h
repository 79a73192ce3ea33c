// The paths by which a Karmada control plane gives what its members have: a
// proxy for each member, behind which is that member's whole API, and one for
// all.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_MEMBER_PROXY_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_MEMBER_PROXY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace dynweight {

// How long the proxy waits for a member that hangs, before it answers 500, and
// what is to be waited for it, so that this is what is told.
inline constexpr int64_t kMemberProxyHangMs = 10000;
inline constexpr int64_t kMemberProxyTimeoutMs = 15000;

// "BASE/apis/cluster.karmada.io/v1alpha1/clusters/bj/proxy"
std::string MemberProxyUrl(std::string_view base, std::string_view member);

// The member whose proxy the base URL of an API names; "": it names none.
std::string_view MemberOfProxy(std::string_view base);

// Whether a member may be called so: as a Cluster object, by RFC 1123.
// InvalidArgument says what to write.
absl::Status CheckMemberName(std::string_view name);

// InvalidArgument for a base URL with a path of Karmada that is none of a
// member's proxy: there the proxy for all members answers 200 where one of them
// hangs, with its objects left out and nothing that tells so, and objects of
// two members have the same namespace and name.
absl::Status CheckKarmadaPath(std::string_view base);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_MEMBER_PROXY_H_
