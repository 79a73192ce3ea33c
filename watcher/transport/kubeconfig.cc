// kubeconfig files by yaml-cpp.

#include "watcher/transport/kubeconfig.h"

#include <yaml-cpp/yaml.h>

#include <exception>
#include <string_view>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "watcher/files/regular_file.h"

namespace dynweight {
namespace {

constexpr size_t kMaxKubeconfigBytes = size_t{1} << 20;

// A member of a mapping, with the place that messages name. Only strings
// that came from our own source or are names of entries get into `place`.
struct Entry {
  YAML::Node node;
  std::string place;
};

// The first mistake sticks; later reads give nothing. Members that are absent
// or null read as "".
class KubeconfigReader {
 public:
  KubeconfigReader(const std::string& path, const YAML::Node& root)
      : path_(path), root_{root, ""} {}

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

  absl::StatusOr<Kubeconfig> Resolve(std::string context) {
    if (!root_.node.IsMap()) {
      Fail("", "is no kubeconfig: no mapping at its top");
      return status_;
    }
    if (context.empty()) context = Text(root_, "current-context");
    if (ok() && context.empty()) {
      Fail("current-context", "is missing: write kubeconfig FILE context=NAME");
    }
    const Entry chosen = Named("contexts", context, "context");
    const Entry cluster = Named("clusters", Text(chosen, "cluster"), "cluster");
    Kubeconfig result;
    ReadCluster(cluster, &result);
    const std::string user = Text(chosen, "user");
    // A context without a user is an anonymous one.
    if (!user.empty()) ReadUser(Named("users", user, "user"), &result);
    if (!ok()) return status_;
    return result;
  }

 private:
  void Fail(const std::string& place, const std::string& what) {
    if (!ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat(
        "kubeconfig \"", path_, "\"",
        place.empty() ? "" : absl::StrCat(": ", place), ": ", what));
  }

  static bool Absent(const YAML::Node& node) {
    return !node.IsDefined() || node.IsNull();
  }

  static std::string PlaceOf(const Entry& parent, const char* name) {
    return parent.place.empty() ? std::string(name)
                                : absl::StrCat(parent.place, ".", name);
  }

  // A member that may be absent; `parent` must be a mapping.
  YAML::Node Member(const Entry& parent, const char* name) {
    if (!ok() || Absent(parent.node)) return YAML::Node(YAML::NodeType::Null);
    if (!parent.node.IsMap()) {
      Fail(parent.place, "must be a mapping");
      return YAML::Node(YAML::NodeType::Null);
    }
    const YAML::Node& constant = parent.node;
    const YAML::Node member = constant[name];
    return Absent(member) ? YAML::Node(YAML::NodeType::Null) : member;
  }

  std::string Text(const Entry& parent, const char* name) {
    const YAML::Node node = Member(parent, name);
    if (!ok() || node.IsNull()) return std::string();
    if (!node.IsScalar()) {
      Fail(PlaceOf(parent, name), "must be a string");
      return std::string();
    }
    const std::string& text = node.Scalar();
    if (text.find('\0') != std::string::npos) {
      Fail(PlaceOf(parent, name), "must not contain a zero byte");
      return std::string();
    }
    return text;
  }

  bool Flag(const Entry& parent, const char* name) {
    const std::string text = Text(parent, name);
    if (text.empty() || text == "false") return false;
    if (text != "true") Fail(PlaceOf(parent, name), "must be true or false");
    return true;
  }

  // The file a member names; relative to the kubeconfig's directory.
  std::string File(const Entry& parent, const char* name) {
    const std::string file = Text(parent, name);
    if (file.empty() || file[0] == '/') return file;
    const size_t slash = path_.rfind('/');
    return slash == std::string::npos ? file
                                      : path_.substr(0, slash + 1) + file;
  }

  // PEM text that a member holds as base64.
  std::string Pem(const Entry& parent, const char* name) {
    const std::string encoded = Text(parent, name);
    if (encoded.empty()) return std::string();
    std::string pem;
    if (!absl::Base64Unescape(encoded, &pem) ||
        !absl::StrContains(pem, "-----BEGIN ")) {
      Fail(PlaceOf(parent, name), "must be PEM text in base64");
      return std::string();
    }
    return pem;
  }

  // root[list]: the entry called `name`, and in it the member `member`.
  Entry Named(const char* list, const std::string& name, const char* member) {
    const Entry nothing{YAML::Node(YAML::NodeType::Null), member};
    const YAML::Node entries = Member(root_, list);
    if (!ok()) return nothing;
    if (name.empty()) {
      Fail(list, absl::StrCat("the context names no ", member));
      return nothing;
    }
    if (!entries.IsNull() && !entries.IsSequence()) {
      Fail(list, "must be a sequence");
      return nothing;
    }
    for (const YAML::Node& node : entries) {
      const Entry entry{node, list};
      if (Text(entry, "name") != name) continue;
      const YAML::Node found = Member(entry, member);
      if (!ok()) return nothing;
      return {found, absl::StrCat(member, " \"", name, "\"")};
    }
    Fail(list, absl::StrCat("has no ", member, " \"", name, "\""));
    return nothing;
  }

  void ReadCluster(const Entry& cluster, Kubeconfig* result) {
    Credentials& credentials = result->credentials;
    result->server = Text(cluster, "server");
    while (absl::EndsWith(result->server, "/")) result->server.pop_back();
    if (!absl::StartsWith(result->server, "https://") &&
        !absl::StartsWith(result->server, "http://")) {
      Fail(PlaceOf(cluster, "server"), "must be a URL: https://HOST:PORT");
    }
    if (result->server.find_first_of("@?# ") != std::string::npos) {
      Fail(PlaceOf(cluster, "server"),
           "must have no user, query or fragment; credentials belong to the "
           "user's entry");
    }
    credentials.ca_file = File(cluster, "certificate-authority");
    credentials.ca_data = Pem(cluster, "certificate-authority-data");
    credentials.tls_server_name = Text(cluster, "tls-server-name");
    credentials.tls_verify = !Flag(cluster, "insecure-skip-tls-verify");
    credentials.proxy_url = Text(cluster, "proxy-url");
  }

  void ReadUser(const Entry& user, Kubeconfig* result) {
    // Ignoring one of these would mean acting as somebody else.
    for (const char* refused : {"exec", "auth-provider", "username", "password",
                                "as", "as-uid", "as-groups", "as-user-extra"}) {
      if (!Member(user, refused).IsNull()) {
        Fail(PlaceOf(user, refused),
             "is not supported; use token, tokenFile or client-certificate");
      }
    }
    Credentials& credentials = result->credentials;
    credentials.client_certificate = File(user, "client-certificate");
    credentials.client_certificate_data = Pem(user, "client-certificate-data");
    credentials.client_certificate_key = File(user, "client-key");
    credentials.client_certificate_key_data = Pem(user, "client-key-data");
    credentials.token_file = File(user, "tokenFile");
    credentials.token = Text(user, "token");
    if (!credentials.token_file.empty()) credentials.token.clear();
    if (credentials.token.find_first_of("\r\n") != std::string::npos) {
      Fail(PlaceOf(user, "token"), "must be one line");
    }
    const bool certificate = !credentials.client_certificate.empty() ||
                             !credentials.client_certificate_data.empty();
    const bool key = !credentials.client_certificate_key.empty() ||
                     !credentials.client_certificate_key_data.empty();
    if (certificate != key) {
      Fail(user.place, certificate
                           ? "has client-certificate but no client-key"
                           : "has client-key but no client-certificate");
    }
  }

  const std::string& path_;
  const Entry root_;
  absl::Status status_;
};

// What yaml-cpp says may quote the text, so only the place is passed on.
absl::Status NotYaml(const std::string& path, const YAML::Mark& mark) {
  return absl::InvalidArgumentError(
      mark.is_null()
          ? absl::StrCat("kubeconfig \"", path, "\": is no YAML")
          : absl::StrCat("kubeconfig \"", path, "\": line ", mark.line + 1,
                         ", column ", mark.column + 1, ": is no YAML"));
}

}  // namespace

absl::StatusOr<Kubeconfig> ReadKubeconfig(const std::string& path,
                                          const std::string& context) {
  const absl::StatusOr<std::string> text =
      ReadRegularFile(path, kMaxKubeconfigBytes, SymbolicLinks::kFollow);
  if (!text.ok()) {
    return absl::Status(text.status().code(),
                        absl::StrCat("kubeconfig ", text.status().message()));
  }
  try {
    return KubeconfigReader(path, YAML::Load(*text)).Resolve(context);
  } catch (const YAML::Exception& error) {
    return NotYaml(path, error.mark);
  } catch (const std::exception&) {
    return NotYaml(path, YAML::Mark::null_mark());
  }
}

}  // namespace dynweight
