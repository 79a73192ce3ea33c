// How a collection of an API server is asked for.

#include "watcher/kubernetes/list_watch_request.h"

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/member_proxy.h"
#include "watcher/text/url_text.h"

namespace dynweight {
namespace {

void AppendSelectors(const Collection& collection, std::string* url) {
  if (!collection.label_selector.empty()) {
    AppendUrlParameter("labelSelector", collection.label_selector, url);
  }
  if (!collection.field_selector.empty()) {
    AppendUrlParameter("fieldSelector", collection.field_selector, url);
  }
}

const char* Word(Verb verb) { return verb == Verb::kList ? "list" : "watch"; }

// "endpointslices in namespace prod"
std::string Scope(const Collection& collection) {
  std::string text(collection.resource());
  if (!collection.ns().empty()) {
    absl::StrAppend(&text, " in namespace ", std::string(collection.ns()));
  }
  return text;
}

// What an operator can do about it; empty: nothing.
std::string Mend(Verb verb, const Collection& collection, int code) {
  switch (code) {
    case 401:
      return "the token is missing, wrong or expired; renew what token_file "
             "(or the client certificate) holds";
    case 403:
      return absl::StrCat("the token may not ", Word(verb), " ",
                          Scope(collection),
                          "; grant it list and watch by RBAC, see conf.d/rbac");
    case 404:
      return absl::StrCat(
          "the API server has no ", std::string(collection.resource()),
          " there: its API group is not served, or the path prefix of api is "
          "wrong");
    case 406:
    case 415:
      return "the server does not speak JSON; api must name an API server";
    case 429:
      return "the API server limits requests; asking again when it allows";
    default:
      if (code >= 300 && code < 400) {
        return "redirects are not followed; api must name the server itself";
      }
      return "";
  }
}

// The same where the server is Karmada's proxy to a member; empty: as for any.
std::string MendOfProxy(std::string_view member, const ApiRefusal& refusal) {
  const std::string name(member);
  if (refusal.code == 404 && refusal.missing_member == name) {
    return absl::StrCat("no such member cluster: Karmada has no \"", name,
                        "\"; see \"kubectl get clusters\"");
  }
  if (refusal.code >= 500) {
    return absl::StrCat("member cluster \"", name,
                        "\" does not answer Karmada's proxy",
                        refusal.message.empty() ? "" : ": ", refusal.message);
  }
  return std::string();
}

absl::StatusCode Code(int http_status) {
  switch (http_status) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

std::string_view Collection::resource() const {
  return std::string_view(path).substr(path.rfind('/') + 1);
}

std::string_view Collection::ns() const {
  constexpr std::string_view kBefore = "/namespaces/";
  const std::string_view text = path;
  const size_t at = text.find(kBefore);
  if (at == std::string_view::npos) return {};
  const size_t begin = at + kBefore.size();
  return text.substr(begin, text.find('/', begin) - begin);
}

std::string ListUrl(std::string_view base, const Collection& collection,
                    const ListQuery& query) {
  std::string url = std::string(base) + collection.path;
  if (query.limit > 0) {
    AppendUrlParameter("limit", absl::StrCat(query.limit), &url);
  }
  if (!query.next.empty()) {
    AppendUrlParameter("continue", query.next, &url);
  } else if (query.resource_version.has_value()) {
    AppendUrlParameter("resourceVersion", *query.resource_version, &url);
    // Without it a limit would make it "exactly this one", which is gone as
    // soon as etcd is compacted. Servers before 1.19 don't know it.
    if (!query.resource_version->empty() && *query.resource_version != "0") {
      AppendUrlParameter("resourceVersionMatch", "NotOlderThan", &url);
    }
  }
  AppendSelectors(collection, &url);
  return url;
}

std::string WatchUrl(std::string_view base, const Collection& collection,
                     std::string_view resource_version, int timeout_seconds) {
  std::string url = std::string(base) + collection.path;
  AppendUrlParameter("watch", "1", &url);
  AppendUrlParameter("resourceVersion", resource_version, &url);
  AppendUrlParameter("allowWatchBookmarks", "true", &url);
  AppendUrlParameter("timeoutSeconds", absl::StrCat(timeout_seconds), &url);
  AppendSelectors(collection, &url);
  return url;
}

absl::Status RefusalError(Verb verb, std::string_view base,
                          const Collection& collection,
                          const ApiRefusal& refusal) {
  std::string text = absl::StrCat("HTTP ", refusal.code);
  const std::string_view member = MemberOfProxy(base);
  std::string mend;
  if (!member.empty()) mend = MendOfProxy(member, refusal);
  if (mend.empty()) mend = Mend(verb, collection, refusal.code);
  if (!mend.empty()) {
    absl::StrAppend(&text, ": ", mend);
  } else if (!refusal.message.empty()) {
    absl::StrAppend(&text, ": ", refusal.message);
  }
  return RequestError(verb, base, collection,
                      absl::Status(Code(refusal.code), text));
}

absl::Status RequestError(Verb verb, std::string_view base,
                          const Collection& collection,
                          const absl::Status& error) {
  return absl::Status(error.code(),
                      absl::StrCat(Word(verb), " ", std::string(base),
                                   collection.path, ": ", error.message()));
}

}  // namespace dynweight
