// The tables. Numbers are those of generated.proto of k8s.io/api and
// k8s.io/apimachinery, which never change for a version of a kind.

#include "watcher/kubernetes/protobuf/message_fields.h"

#include <algorithm>

namespace dynweight {
namespace {

using Type = MessageField::Type;

// ---- What all have in common.

constexpr MessageField kMeta[] = {
    {1, "name", Type::kText},
    {3, "namespace", Type::kText},
    {6, "resourceVersion", Type::kText},
    {9, "deletionTimestamp", Type::kTime},
};
constexpr MessageFields kMetaFields = {kMeta};

constexpr MessageField kLabelled[] = {
    {1, "name", Type::kText},
    {3, "namespace", Type::kText},
    {6, "resourceVersion", Type::kText},
    {9, "deletionTimestamp", Type::kTime},
    {11, "labels", Type::kMap},
    {12, "annotations", Type::kMap},
};
constexpr MessageFields kLabelledFields = {kLabelled};

// Of a Node and of a Pod.
constexpr MessageField kCondition[] = {
    {1, "type", Type::kText},
    {2, "status", Type::kText},
};
constexpr MessageFields kConditionFields = {kCondition};

constexpr MessageField kReference[] = {
    {3, "name", Type::kText},
    {4, "uid", Type::kText},
};
constexpr MessageFields kReferenceFields = {kReference};

// ---- discovery.k8s.io/v1

constexpr MessageField kEndpointConditions[] = {
    {1, "ready", Type::kBool},
    {2, "serving", Type::kBool},
    {3, "terminating", Type::kBool},
};
constexpr MessageFields kEndpointConditionsFields = {kEndpointConditions};

constexpr MessageField kEndpoint[] = {
    {1, "addresses", Type::kTexts},
    {2, "conditions", Type::kMessage, &kEndpointConditionsFields},
    {4, "targetRef", Type::kMessage, &kReferenceFields},
    {6, "nodeName", Type::kText},
};
constexpr MessageFields kEndpointFields = {kEndpoint};

constexpr MessageField kSlicePort[] = {
    {1, "name", Type::kText},
    {2, "protocol", Type::kText},
    {3, "port", Type::kInteger},
};
constexpr MessageFields kSlicePortFields = {kSlicePort};

constexpr MessageField kEndpointSlice[] = {
    {1, "metadata", Type::kMessage, &kLabelledFields},
    {2, "endpoints", Type::kMessages, &kEndpointFields},
    {3, "ports", Type::kMessages, &kSlicePortFields},
    {4, "addressType", Type::kText},
};
constexpr MessageFields kEndpointSliceFields = {kEndpointSlice};

// ---- v1

constexpr MessageField kEndpointAddress[] = {
    {1, "ip", Type::kText},
    {2, "targetRef", Type::kMessage, &kReferenceFields},
    {4, "nodeName", Type::kText},
};
constexpr MessageFields kEndpointAddressFields = {kEndpointAddress};

constexpr MessageField kSubsetPort[] = {
    {1, "name", Type::kText},
    {2, "port", Type::kInteger},
    {3, "protocol", Type::kText},
};
constexpr MessageFields kSubsetPortFields = {kSubsetPort};

constexpr MessageField kSubset[] = {
    {1, "addresses", Type::kMessages, &kEndpointAddressFields},
    {2, "notReadyAddresses", Type::kMessages, &kEndpointAddressFields},
    {3, "ports", Type::kMessages, &kSubsetPortFields},
};
constexpr MessageFields kSubsetFields = {kSubset};

constexpr MessageField kEndpoints[] = {
    {1, "metadata", Type::kMessage, &kMetaFields},
    {2, "subsets", Type::kMessages, &kSubsetFields},
};
constexpr MessageFields kEndpointsFields = {kEndpoints};

constexpr MessageField kTaint[] = {{1, "key", Type::kText}};
constexpr MessageFields kTaintFields = {kTaint};

constexpr MessageField kNodeSpec[] = {
    {5, "taints", Type::kMessages, &kTaintFields},
};
constexpr MessageFields kNodeSpecFields = {kNodeSpec};

constexpr MessageField kNodeAddress[] = {
    {1, "type", Type::kText},
    {2, "address", Type::kText},
};
constexpr MessageFields kNodeAddressFields = {kNodeAddress};

constexpr MessageField kNodeStatus[] = {
    {4, "conditions", Type::kMessages, &kConditionFields},
    {5, "addresses", Type::kMessages, &kNodeAddressFields},
};
constexpr MessageFields kNodeStatusFields = {kNodeStatus};

constexpr MessageField kNode[] = {
    {1, "metadata", Type::kMessage, &kLabelledFields},
    {2, "spec", Type::kMessage, &kNodeSpecFields},
    {3, "status", Type::kMessage, &kNodeStatusFields},
};
constexpr MessageFields kNodeFields = {kNode};

constexpr MessageField kPodSpec[] = {{10, "nodeName", Type::kText}};
constexpr MessageFields kPodSpecFields = {kPodSpec};

constexpr MessageField kPodStatus[] = {
    {1, "phase", Type::kText},
    {2, "conditions", Type::kMessages, &kConditionFields},
    {5, "hostIP", Type::kText},
};
constexpr MessageFields kPodStatusFields = {kPodStatus};

constexpr MessageField kPod[] = {
    {1, "metadata", Type::kMessage, &kMetaFields},
    {2, "spec", Type::kMessage, &kPodSpecFields},
    {3, "status", Type::kMessage, &kPodStatusFields},
};
constexpr MessageFields kPodFields = {kPod};

// ---- apps/v1

constexpr MessageField kDeploymentStatus[] = {
    {2, "replicas", Type::kInteger},
    {7, "readyReplicas", Type::kInteger},
};
constexpr MessageFields kDeploymentStatusFields = {kDeploymentStatus};

constexpr MessageField kDeployment[] = {
    {1, "metadata", Type::kMessage, &kMetaFields},
    {3, "status", Type::kMessage, &kDeploymentStatusFields},
};
constexpr MessageFields kDeploymentFields = {kDeployment};

constexpr MessageField kStatefulSetStatus[] = {
    {2, "replicas", Type::kInteger},
    {3, "readyReplicas", Type::kInteger},
};
constexpr MessageFields kStatefulSetStatusFields = {kStatefulSetStatus};

constexpr MessageField kStatefulSet[] = {
    {1, "metadata", Type::kMessage, &kMetaFields},
    {3, "status", Type::kMessage, &kStatefulSetStatusFields},
};
constexpr MessageFields kStatefulSetFields = {kStatefulSet};

// ---- meta/v1

constexpr MessageField kCause[] = {
    {1, "reason", Type::kText},
    {2, "message", Type::kText},
};
constexpr MessageFields kCauseFields = {kCause};

constexpr MessageField kDetails[] = {
    {1, "name", Type::kText},
    {2, "group", Type::kText},
    {3, "kind", Type::kText},
    {4, "causes", Type::kMessages, &kCauseFields},
    {5, "retryAfterSeconds", Type::kInteger},
};
constexpr MessageFields kDetailsFields = {kDetails};

constexpr MessageField kStatus[] = {
    {3, "message", Type::kText},
    {4, "reason", Type::kText},
    {5, "details", Type::kMessage, &kDetailsFields},
    {6, "code", Type::kInteger},
};
constexpr MessageFields kStatusFields = {kStatus};

constexpr MessageField kListMeta[] = {
    {2, "resourceVersion", Type::kText},
    {3, "continue", Type::kText},
};

// ---- networking.k8s.io/v1

constexpr MessageField kIngress[] = {
    {1, "metadata", Type::kMessage, &kMetaFields},
};
constexpr MessageFields kIngressFields = {kIngress};

constexpr ProtobufKind kKinds[] = {
    {"/apis/discovery.k8s.io/v1", "endpointslices", "discovery.k8s.io/v1",
     "EndpointSlice", &kEndpointSliceFields},
    {"/api/v1", "endpoints", "v1", "Endpoints", &kEndpointsFields},
    {"/api/v1", "nodes", "v1", "Node", &kNodeFields},
    {"/api/v1", "pods", "v1", "Pod", &kPodFields},
    {"/apis/apps/v1", "deployments", "apps/v1", "Deployment",
     &kDeploymentFields},
    {"/apis/apps/v1", "statefulsets", "apps/v1", "StatefulSet",
     &kStatefulSetFields},
    {"/apis/networking.k8s.io/v1", "ingresses", "networking.k8s.io/v1",
     "Ingress", &kIngressFields},
};

bool Begins(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

bool Ends(std::string_view text, std::string_view with) {
  return text.size() >= with.size() &&
         text.substr(text.size() - with.size()) == with;
}

}  // namespace

const ProtobufKind kStatusKind = {"", "", "v1", "Status", &kStatusFields};
const MessageFields kListMetaFields = {kListMeta};

const MessageField* MessageFields::Find(uint32_t number) const {
  const auto* field =
      std::find_if(fields.begin(), fields.end(),
                   [number](const auto& f) { return f.number == number; });
  return field == fields.end() ? nullptr : field;
}

const ProtobufKind* FindProtobufKind(std::string_view path) {
  for (const ProtobufKind& kind : kKinds) {
    const std::string_view group = kind.group;
    const std::string_view plural = kind.plural;
    // What stands between is "/", or "/namespaces/NAME/".
    if (!Begins(path, group) || !Ends(path, plural) ||
        path.size() <= group.size() + plural.size()) {
      continue;
    }
    path.remove_prefix(group.size());
    path.remove_suffix(plural.size());
    const bool whole = path == "/";
    const bool of_namespace = Begins(path, "/namespaces/") && Ends(path, "/");
    return whole || of_namespace ? &kind : nullptr;
  }
  return nullptr;
}

absl::Span<const ProtobufKind> ProtobufKinds() { return kKinds; }

}  // namespace dynweight
