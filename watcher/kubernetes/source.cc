// How the configuration spells where pods and ingress nodes are found.

#include "watcher/kubernetes/source.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "watcher/kubernetes/dns_name.h"
#include "watcher/kubernetes/label_selector.h"
#include "watcher/text/source_word.h"

namespace dynweight {
namespace {

constexpr size_t kMaxAddresses = 1024;
constexpr std::string_view kPort = "port=";

using NameRule = KubernetesKind::NameRule;

// Reads "NAMESPACE/NAME" or "NAMESPACE/SELECTOR" behind `word`.
absl::Status ParseScoped(std::string_view text, const SourceWord& word,
                         NameRule rule, std::string* ns, std::string* name) {
  const size_t slash = word.value.find('/');
  const std::string_view scope = word.value.substr(0, slash);
  const std::string_view rest = slash == std::string_view::npos
                                    ? std::string_view()
                                    : word.value.substr(slash + 1);
  if (scope.empty() || rest.empty()) {
    return WrongWord(
        text,
        absl::StrCat("write ", std::string(word.name), "=NAMESPACE/",
                     rule == NameRule::kSelector ? "LABEL_SELECTOR" : "NAME"));
  }
  if (!IsDnsLabel(scope)) {
    return WrongWord(text,
                     absl::StrCat("\"", std::string(scope),
                                  "\" is no namespace: 1 to 63 of a-z, 0-9 "
                                  "and \"-\", no \"-\" at either end"));
  }
  if (rule == NameRule::kSelector) {
    const absl::Status status = CheckLabelSelector(rest);
    if (!status.ok()) return WrongWord(text, std::string(status.message()));
  } else if (rule == NameRule::kLabel && !IsDnsLabel(rest)) {
    return WrongWord(text,
                     absl::StrCat("\"", std::string(rest),
                                  "\" is no name of a Service: 1 to 63 of "
                                  "a-z, 0-9 and \"-\", no \"-\" at either "
                                  "end"));
  } else if (rule == NameRule::kSubdomain && !IsDnsSubdomain(rest)) {
    return WrongWord(
        text, absl::StrCat("\"", std::string(rest), "\" names no ",
                           std::string(word.name),
                           ": 1 to 253 of a-z, 0-9, \"-\" and \".\", a "
                           "letter or digit at either end"));
  }
  *ns = std::string(scope);
  *name = std::string(rest);
  return absl::OkStatus();
}

bool CountsPods(const KubernetesKind& kind) {
  return kind.sink != KubernetesKind::Sink::kNodes &&
         kind.sink != KubernetesKind::Sink::kPresence;
}

// "service=NAMESPACE/NAME, pods=NAMESPACE/LABEL_SELECTOR, ... or ..."
std::string PodSourceForms() {
  std::vector<std::string> forms;
  for (const KubernetesKind& kind : KubernetesKinds()) {
    if (!CountsPods(kind)) continue;
    forms.push_back(absl::StrCat(
        kind.word, "=NAMESPACE/",
        kind.name_rule == NameRule::kSelector ? "LABEL_SELECTOR" : "NAME"));
  }
  const std::string last = forms.back();
  forms.pop_back();
  return absl::StrCat(absl::StrJoin(forms, ", "), " or ", last);
}

absl::Status ParseAddresses(std::string_view text, std::string_view list,
                            std::vector<IpAddress>* addresses) {
  if (list.empty()) return WrongWord(text, "write addresses=10.0.0.1,10.0.0.2");
  for (;;) {
    const size_t comma = list.find(',');
    const std::string_view word = list.substr(0, comma);
    const std::optional<IpAddress> address = IpAddress::Parse(word);
    if (!address.has_value()) {
      return WrongWord(word,
                       "is no IP address of a node; write "
                       "addresses=10.0.0.1,fd00::1, without ports or brackets");
    }
    if (addresses->size() == kMaxAddresses) {
      return absl::InvalidArgumentError(
          absl::StrCat("addresses= has more than ", kMaxAddresses,
                       " addresses; use service=, pods= or nodes= for more"));
    }
    addresses->push_back(*address);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  std::sort(addresses->begin(), addresses->end());
  const auto twice = std::adjacent_find(addresses->begin(), addresses->end());
  if (twice != addresses->end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("addresses= has ", twice->ToString(), " twice; drop one"));
  }
  return absl::OkStatus();
}

// Reads the "address=InternalIP|ExternalIP" behind nodes=.
absl::Status ParseAddressType(std::string_view text, NodeAddressType* type) {
  const SourceWord word = SplitAtEquals(text);
  if (word.name == "address" && word.value == "InternalIP") {
    *type = NodeAddressType::kInternalIp;
    return absl::OkStatus();
  }
  if (word.name == "address" && word.value == "ExternalIP") {
    *type = NodeAddressType::kExternalIp;
    return absl::OkStatus();
  }
  return WrongWord(text, "write address=InternalIP or address=ExternalIP");
}

absl::Status ParseNodesSelector(std::string_view text,
                                std::string_view selector) {
  if (selector.empty()) {
    return WrongWord(
        text,
        "write nodes=LABEL_SELECTOR, such as nodes=role=ingress; for "
        "every node nodes=kubernetes.io/hostname");
  }
  const absl::Status status = CheckLabelSelector(selector);
  return status.ok() ? status : WrongWord(text, std::string(status.message()));
}

absl::Status ParsePort(std::string_view text, PortChoice* port) {
  const std::string_view value = text.substr(kPort.size());
  const bool digits = !value.empty() &&
                      std::all_of(value.begin(), value.end(),
                                  [](char c) { return c >= '0' && c <= '9'; });
  uint32_t number = 0;
  if (digits) {
    if (!absl::SimpleAtoi({value.data(), value.size()}, &number) ||
        number < 1 || number > UINT16_MAX) {
      return WrongWord(text, "a port is a number of 1 to 65535");
    }
    port->number = static_cast<uint16_t>(number);
    return absl::OkStatus();
  }
  if (!IsDnsLabel(value)) {
    return WrongWord(text,
                     "write port=NUMBER or port=NAME, the port's name in the "
                     "Service: 1 to 63 of a-z, 0-9 and \"-\"");
  }
  port->name = std::string(value);
  return absl::OkStatus();
}

// Objects without addresses are no source, although they count pods.
absl::Status ParseService(std::string_view text, InstanceSource* source) {
  const absl::StatusOr<PodSource> pods = PodSource::Parse(text);
  if (!pods.ok()) return pods.status();
  if (pods->kind->sink != KubernetesKind::Sink::kEndpointSlices) {
    return WrongWord(
        text, absl::StrCat("is no source of instances: addresses and ports are "
                           "read from the EndpointSlices of a Service; write "
                           "service=NAMESPACE/NAME of one in front of these ",
                           "pods"));
  }
  source->ns = pods->ns;
  source->service = pods->name;
  return absl::OkStatus();
}

}  // namespace

std::string PodSource::Key() const {
  return absl::StrCat(kind->word, "=", ns, "/", name);
}

bool PodSource::Begins(std::string_view text) {
  const SourceWord word = SplitAtEquals(text);
  const KubernetesKind* const kind = FindKubernetesKind(word.name);
  return word.name.size() < text.size() && kind != nullptr && CountsPods(*kind);
}

absl::StatusOr<PodSource> PodSource::Parse(std::string_view text) {
  const SourceWord word = SplitAtEquals(text);
  const KubernetesKind* const kind = FindKubernetesKind(word.name);
  if (kind == nullptr || !CountsPods(*kind)) {
    return WrongWord(
        text, absl::StrCat("is no source of pods; write ", PodSourceForms()));
  }
  PodSource source;
  source.kind = kind;
  const absl::Status status =
      ParseScoped(text, word, kind->name_rule, &source.ns, &source.name);
  if (!status.ok()) return status;
  return source;
}

absl::StatusOr<PodSource> PodSource::ParseIngress(std::string_view text) {
  const SourceWord word = SplitAtEquals(text);
  PodSource source;
  source.kind = FindKubernetesKind("ingress");
  const absl::Status status =
      ParseScoped(text, word, source.kind->name_rule, &source.ns, &source.name);
  if (!status.ok()) return status;
  return source;
}

std::string InstanceSource::Key() const {
  std::string key = absl::StrCat("service=", ns, "/", service);
  if (port.number != 0) absl::StrAppend(&key, " port=", port.number);
  if (!port.name.empty()) absl::StrAppend(&key, " port=", port.name);
  return key;
}

absl::StatusOr<InstanceSource> InstanceSource::Parse(
    const std::vector<std::string_view>& words) {
  InstanceSource source;
  bool has_port = false;
  for (const std::string_view word : words) {
    absl::Status status;
    if (word.substr(0, kPort.size()) == kPort) {
      if (has_port) return WrongWord(word, "second port; write one in a line");
      has_port = true;
      status = ParsePort(word, &source.port);
    } else if (PodSource::Begins(word)) {
      if (!source.service.empty()) {
        return WrongWord(
            word,
            "second source; write one in a line, several lines of a "
            "cluster are allowed");
      }
      status = ParseService(word, &source);
    } else {
      status =
          WrongWord(word,
                    "unknown parameter; write service=NAMESPACE/NAME, port=, "
                    "slots=, empty=, max_fails=, fail_timeout=, max_conns=, "
                    "slow_start= or backup");
    }
    if (!status.ok()) return status;
  }
  if (source.service.empty()) {
    return absl::InvalidArgumentError(
        "no source: write whose pods are the peers, for example "
        "\"service=NAMESPACE/NAME\"");
  }
  return source;
}

std::string NodeSource::Key() const {
  switch (kind) {
    case Kind::kNone:
      break;
    case Kind::kService:
      return absl::StrCat("service=", ns, "/", name);
    case Kind::kPods:
      return absl::StrCat("pods=", ns, "/", name);
    case Kind::kNodes:
      return absl::StrCat("nodes=", name,
                          address_type == NodeAddressType::kExternalIp
                              ? " address=ExternalIP"
                              : "");
    case Kind::kAddresses: {
      std::string key;
      for (const IpAddress& address : addresses) {
        absl::StrAppend(&key, key.empty() ? "addresses=" : ",",
                        address.ToString());
      }
      return key;
    }
  }
  return std::string();
}

absl::StatusOr<NodeSource> NodeSource::Parse(
    const std::vector<std::string_view>& arguments) {
  static constexpr char kForms[] =
      "write service=NAMESPACE/NAME, pods=NAMESPACE/LABEL_SELECTOR, "
      "nodes=LABEL_SELECTOR or addresses=ADDRESS,ADDRESS";
  if (arguments.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no source of ingress nodes; ", kForms));
  }
  const std::string_view text = arguments[0];
  const SourceWord word = SplitAtEquals(text);
  NodeSource source;
  absl::Status status;
  if (word.name == "service") {
    source.kind = Kind::kService;
    status =
        ParseScoped(text, word, NameRule::kLabel, &source.ns, &source.name);
  } else if (word.name == "pods") {
    source.kind = Kind::kPods;
    status =
        ParseScoped(text, word, NameRule::kSelector, &source.ns, &source.name);
  } else if (word.name == "nodes") {
    source.kind = Kind::kNodes;
    source.name = std::string(word.value);
    status = ParseNodesSelector(text, word.value);
  } else if (word.name == "addresses") {
    source.kind = Kind::kAddresses;
    status = ParseAddresses(text, word.value, &source.addresses);
  } else {
    status = WrongWord(text,
                       absl::StrCat("is no source of ingress nodes; ", kForms));
  }
  if (!status.ok()) return status;

  if (arguments.size() > 1 && source.kind == Kind::kNodes) {
    status = ParseAddressType(arguments[1], &source.address_type);
    if (!status.ok()) return status;
  } else if (arguments.size() > 1) {
    return WrongWord(arguments[1],
                     "a second argument, address=InternalIP or "
                     "address=ExternalIP, goes with nodes= only");
  }
  if (arguments.size() > 2)
    return WrongWord(arguments[2], "one argument too many");
  return source;
}

}  // namespace dynweight
