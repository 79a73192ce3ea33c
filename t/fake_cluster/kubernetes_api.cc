#include "t/fake_cluster/kubernetes_api.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "t/fake_cluster/old_objects.h"
#include "t/fake_cluster/sample_objects.h"

namespace dynweight::fake {
namespace {

using Clock = std::chrono::steady_clock;

// How often a waiting watch looks whether its client is still there.
constexpr int64_t kGoneCheckMs = 100;
constexpr size_t kMaxPagedLists = 64;
constexpr int64_t kDefaultWatchSeconds = 1800;

Answer Failure(int code) {
  Answer answer;
  answer.status = code;
  answer.body = StatusObject(code);
  return answer;
}

Answer BadRequest(const std::string& message) {
  Answer answer;
  answer.status = 400;
  answer.body = StatusObject(400, "BadRequest", message);
  return answer;
}

Answer TooLargeVersion(uint64_t wanted, uint64_t present) {
  std::string message =
      "Too large resource version: " + std::to_string(wanted) +
      ", current: " + std::to_string(present);
  Answer answer;
  answer.status = 504;
  answer.headers.emplace("Retry-After", "1");
  answer.body = StatusObject(
      504, "Timeout", "Timeout: " + message,
      "{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\",\"message\":\"" +
          message + "\"}],\"retryAfterSeconds\":1}");
  return answer;
}

std::string ErrorEvent(const std::string& status) {
  std::string object = status;
  while (!object.empty() && object.back() == '\n') object.pop_back();
  return "{\"type\":\"ERROR\",\"object\":" + object + "}\n";
}

std::string EventLine(const char* type, const ResourceType& resource,
                      const StoredObject& object) {
  return std::string("{\"type\":\"") + type +
         "\",\"object\":" + object.Typed(resource) + "}\n";
}

std::string BookmarkLine(const ResourceType& type, uint64_t version,
                         bool initial_end) {
  return std::string("{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"") +
         type.kind + "\",\"apiVersion\":\"" + type.api_version +
         "\",\"metadata\":{\"resourceVersion\":\"" + std::to_string(version) +
         "\",\"creationTimestamp\":null" +
         (initial_end
              ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}"
              : "") +
         "}}}\n";
}

std::optional<uint64_t> ParseNumber(const std::string& text) {
  if (text.empty() || text.size() > 18 ||
      text.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  return strtoull(text.c_str(), nullptr, 10);
}

// At least.
int64_t MillisecondsTo(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time -
                                                               Clock::now())
             .count() +
         1;
}

bool True(const std::string& text) { return text == "true" || text == "1"; }

}  // namespace

bool KubernetesApi::Selection::Matches(const StoredObject& object) const {
  if (!ns.empty() && object.ns != ns) return false;
  for (const auto& [field, value] : fields) {
    if ((field == "metadata.name" ? object.name : object.ns) != value) {
      return false;
    }
  }
  return labels.Matches(object.labels);
}

std::optional<KubernetesApi::Target> KubernetesApi::FindTarget(
    const ApiRequest& request) const {
  std::vector<const ResourceType*> types = {SlicesV1Beta1(), EndpointsType()};
  for (const ResourceType& type : ResourceTypes()) types.push_back(&type);
  for (const ResourceType* served : types) {
    const ResourceType& type = *served;
    if (!Serves(type, minor_)) continue;
    std::string api = type.ApiPath() + "/";
    if (request.path.compare(0, api.size(), api) != 0) continue;
    std::string rest = request.path.substr(api.size());
    Target target;
    target.type = &type;
    target.stored = served == SlicesV1Beta1() || served == EndpointsType()
                        ? FindKind("EndpointSlice")
                        : served;
    target.watch = True(request.Query("watch"));
    if (type.namespaced && rest.compare(0, 11, "namespaces/") == 0) {
      size_t slash = rest.find('/', 11);
      if (slash == std::string::npos) continue;
      target.ns = rest.substr(11, slash - 11);
      rest.erase(0, slash + 1);
    }
    std::string plural = type.plural;
    if (rest == plural) return target;
    bool one = rest.compare(0, plural.size() + 1, plural + "/") == 0;
    if (one && (!type.namespaced || !target.ns.empty())) {
      target.name = rest.substr(plural.size() + 1);
      if (target.name.find('/') == std::string::npos) return target;
    }
  }
  return std::nullopt;
}

std::optional<KubernetesApi::Selection> KubernetesApi::Select(
    const ApiRequest& request, const Target& target) {
  std::optional<LabelSelector> labels =
      LabelSelector::Parse(request.Query("labelSelector"));
  if (!labels.has_value()) return std::nullopt;
  Selection selection;
  selection.labels = *std::move(labels);
  selection.ns = target.ns;
  std::string fields = request.Query("fieldSelector");
  while (!fields.empty()) {
    size_t comma = std::min(fields.find(','), fields.size());
    std::string field = fields.substr(0, comma);
    fields.erase(0, comma + 1);
    size_t equals = field.find('=');
    std::string key = field.substr(0, equals);
    if (equals == std::string::npos ||
        (key != "metadata.name" && key != "metadata.namespace")) {
      return std::nullopt;
    }
    size_t value = field.find_first_not_of('=', equals);
    selection.fields[key] =
        value == std::string::npos ? "" : field.substr(value);
  }
  return selection;
}

std::optional<Answer> KubernetesApi::Serve(const ApiRequest& request,
                                           Connection* connection) {
  std::optional<Target> target = FindTarget(request);
  bool watch = target.has_value() && target->watch;
  requests_->Add(request.path,
                 !target.has_value() ? &FakeRequestCounts::others
                 : watch             ? &FakeRequestCounts::watches
                                     : &FakeRequestCounts::lists,
                 request.method + " " + request.target +
                     " auth=" + (request.authorization.empty() ? "no" : "yes") +
                     " " + request.user_agent);
  std::optional<FakeFault> fault =
      faults_->Take(request.path, watch, !request.Query("continue").empty());
  if (fault.has_value() && fault->kind == "delay") {
    if (connection->WaitGone(fault->delay_ms)) {
      connection->TakeOver();
      return std::nullopt;
    }
    fault.reset();
  }

  Answer answer;
  if (request.method != "GET") {
    answer = Failure(405);
  } else if (request.path == "/readyz" || request.path == "/livez" ||
             request.path == "/healthz") {
    answer.content_type = "text/plain";
    answer.body = "ok";
  } else if (!request.authorized) {
    answer = Failure(401);
  } else if (request.path == "/version") {
    answer.body =
        "{\"major\":\"1\",\"minor\":\"36\",\"gitVersion\":\"v1.36.3-fake\"}";
  } else if (!target.has_value()) {
    answer = Failure(404);
  } else if (watch) {
    bool stream_fault =
        fault.has_value() && fault->kind.compare(0, 6, "watch_") == 0;
    if (!fault.has_value() || stream_fault) {
      std::optional<Answer> refusal =
          Watch(request, *target, fault, connection);
      if (!refusal.has_value()) return std::nullopt;
      answer = *std::move(refusal);
      fault.reset();
    } else {
      answer.body = BookmarkLine(*target->type, store_->version(), false);
    }
  } else if (!target->name.empty()) {
    answer = Get(*target);
  } else {
    answer = List(request, *target, fault.has_value() ? fault->kind : "");
  }
  answer.headers.emplace("Cache-Control", "no-cache, private");
  if (fault.has_value() && !AlterAnswer(*fault, &answer) &&
      BreakAnswer(*fault, answer, *faults_, connection)) {
    return std::nullopt;
  }
  requests_->AddBytes(request.path, answer.body.size());
  return answer;
}

Answer KubernetesApi::Get(const Target& target) const {
  ObjectPtr object = store_->Get(*target.stored, target.ns, target.name);
  if (object == nullptr) return Failure(404);
  Answer answer;
  answer.body = object->Typed(*target.type);
  return answer;
}

std::string KubernetesApi::ListBody(const Target& target,
                                    const ObjectPtr* begin,
                                    const ObjectPtr* end, uint64_t version,
                                    const std::string& next, size_t remaining) {
  const ResourceType& type = *target.type;
  size_t size = 256;
  for (const ObjectPtr* object = begin; object != end; ++object) {
    size += (*object)->body.size() + 1;
  }
  std::string body;
  body.reserve(size);
  body.append("{\"kind\":\"").append(type.kind).append("List\",");
  body.append("\"apiVersion\":\"").append(type.api_version).append("\",");
  body.append("\"metadata\":{\"resourceVersion\":\"");
  body.append(std::to_string(version)).append("\"");
  if (!next.empty()) {
    body.append(",\"continue\":\"").append(next).append("\"");
    if (remaining > 0) {
      body.append(",\"remainingItemCount\":").append(std::to_string(remaining));
    }
  }
  body.append("},\"items\":[");
  for (const ObjectPtr* object = begin; object != end; ++object) {
    if (object != begin) body += ',';
    // Built-in kinds stand without kind and apiVersion in a list.
    body.append(type.custom ? (*object)->Typed(type) : (*object)->body);
  }
  body.append("]}\n");
  return body;
}

Answer KubernetesApi::List(const ApiRequest& request, const Target& target,
                           const std::string& fault) {
  std::string limit_text = request.Query("limit");
  std::optional<uint64_t> limit =
      limit_text.empty() ? 0 : ParseNumber(limit_text);
  std::optional<Selection> selection = Select(request, target);
  std::string version_text = request.Query("resourceVersion");
  std::optional<uint64_t> wanted =
      version_text.empty() ? 0 : ParseNumber(version_text);
  if (!limit.has_value()) return BadRequest("limit: not a number");
  if (!selection.has_value()) return BadRequest("unable to parse the selector");
  if (!wanted.has_value()) return BadRequest("invalid resource version");

  if (std::string next = request.Query("continue"); !next.empty()) {
    if (!version_text.empty()) {
      return BadRequest(
          "specifying resource version is not allowed when using continue");
    }
    if (fault == "expired_continue") return Failure(410);
    unsigned long long id = 0, begin = 0;
    if (next != "loop" &&
        sscanf(next.c_str(), "p%llu-%llu", &id, &begin) != 2) {
      return BadRequest("continue key is not valid");
    }
    if (next != "loop") return Page(target, id, begin, *limit);
  }

  auto [objects, version] = store_->List(*target.stored, target.ns);
  for (ObjectPtr& object : objects) object = AsServed(*target.type, object);
  objects.erase(std::remove(objects.begin(), objects.end(), nullptr),
                objects.end());
  if (*wanted > version) return TooLargeVersion(*wanted, version);
  if (!selection->labels.empty() || !selection->fields.empty()) {
    objects.erase(std::remove_if(objects.begin(), objects.end(),
                                 [&](const ObjectPtr& object) {
                                   return !selection->Matches(*object);
                                 }),
                  objects.end());
  }

  Answer answer;
  const ObjectPtr* begin = objects.data();
  if (fault == "empty_list") {
    answer.body = ListBody(target, begin, begin, version, "", 0);
    return answer;
  }
  if (fault == "continue_loop") {
    size_t count = std::min<size_t>(objects.size(), *limit > 0 ? *limit : 1);
    answer.body = ListBody(target, begin, begin + count, version, "loop", 0);
    return answer;
  }
  size_t page = static_cast<size_t>(*limit);
  // From the watch cache a list comes whole.
  if (version_text == "0") page = 0;
  // So that there is a later page to fail.
  if (fault == "expired_continue" && *limit > 0) {
    page = std::min(page > 0 ? page : objects.size(),
                    std::max<size_t>(1, objects.size() / 2));
  }
  if (page == 0 || page >= objects.size()) {
    answer.body =
        ListBody(target, begin, begin + objects.size(), version, "", 0);
    return answer;
  }
  uint64_t id;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    id = ++last_paged_list_;
    paged_lists_[id] = {std::move(objects), version, store_->compactions()};
    if (paged_lists_.size() > kMaxPagedLists) {
      paged_lists_.erase(paged_lists_.begin());
    }
  }
  return Page(target, id, 0, page);
}

Answer KubernetesApi::Page(const Target& target, uint64_t id, size_t begin,
                           size_t limit) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = paged_lists_.find(id);
  if (it == paged_lists_.end() ||
      it->second.compactions != store_->compactions() ||
      begin > it->second.objects.size()) {
    Answer answer;
    answer.status = 410;
    answer.body = StatusObject(
        410, "Expired",
        "The provided continue parameter is too old to display a consistent "
        "list result. You can start a new list without the continue "
        "parameter.");
    return answer;
  }
  const PagedList& list = it->second;
  size_t size = list.objects.size();
  size_t end = limit == 0 ? size : std::min(size, begin + limit);
  std::string next =
      end == size ? "" : "p" + std::to_string(id) + "-" + std::to_string(end);
  Answer answer;
  answer.body =
      ListBody(target, list.objects.data() + begin, list.objects.data() + end,
               list.version, next, size - end);
  return answer;
}

std::optional<Answer> KubernetesApi::Watch(
    const ApiRequest& request, const Target& target,
    const std::optional<FakeFault>& fault, Connection* connection) {
  std::optional<Selection> selection = Select(request, target);
  if (!selection.has_value()) return BadRequest("unable to parse the selector");
  if (!target.name.empty()) {
    selection->fields["metadata.name"] = target.name;
  }
  std::string version_text = request.Query("resourceVersion");
  std::optional<uint64_t> version =
      version_text.empty() ? 0 : ParseNumber(version_text);
  if (!version.has_value()) return BadRequest("invalid resource version");
  requests_->AddOpenWatches(1);
  Stream(request, target, *selection, *version, fault, connection);
  requests_->AddOpenWatches(-1);
  return std::nullopt;
}

std::string KubernetesApi::ChangeLine(const ResourceType& type,
                                      const Selection& selection,
                                      const Change& change) {
  const ObjectPtr previous = AsServed(type, change.before);
  const ObjectPtr present = AsServed(type, change.after);
  const bool before = previous != nullptr && selection.Matches(*previous);
  if (present != nullptr && selection.Matches(*present)) {
    return EventLine(before ? "MODIFIED" : "ADDED", type, *present);
  }
  // An object that leaves the selection is shown as it was, with the version of
  // the change.
  return before ? EventLine("DELETED", type, *previous) : "";
}

void KubernetesApi::Stream(const ApiRequest& request, const Target& target,
                           const Selection& selection, uint64_t version,
                           const std::optional<FakeFault>& first_fault,
                           Connection* connection) {
  const ResourceType& type = *target.type;
  bool open = true;
  auto send = [&](const std::string& line) {
    requests_->AddBytes(request.path, line.size());
    open = open && connection->SendChunk(line);
  };
  auto tell = [&](const Change& change) {
    const std::string line = ChangeLine(type, selection, change);
    if (!line.empty()) send(line);
  };
  connection->TakeOver();
  Answer head;
  head.headers.emplace("Cache-Control", "no-cache, private");
  connection->Send(HttpHead(head) + "Transfer-Encoding: chunked\r\n\r\n");

  bool bookmarks = True(request.Query("allowWatchBookmarks"));
  if (version == 0) {
    // "Any" version: what is there comes first, as if just added.
    auto [objects, now] = store_->List(*target.stored, target.ns);
    for (const ObjectPtr& object : objects) {
      tell({0, nullptr, object});
    }
    version = now;
    if (bookmarks && True(request.Query("sendInitialEvents"))) {
      send(BookmarkLine(type, version, true));
    }
  } else if (!store_->Reaches(*target.stored, version)) {
    send(ErrorEvent(
        StatusObject(410, "Expired",
                     "too old resource version: " + std::to_string(version))));
    send("");
    return;
  }

  int64_t seconds = atoll(request.Query("timeoutSeconds").c_str());
  Clock::time_point end =
      Clock::now() +
      std::chrono::seconds(seconds > 0 ? seconds : kDefaultWatchSeconds);
  Clock::time_point last_bookmark = Clock::now();
  std::optional<FakeFault> fault = first_fault;
  std::vector<Change> changes;
  while (open && !connection->WaitGone(0)) {
    if (!fault.has_value()) fault = faults_->TakeRunning(request.path);
    if (fault.has_value()) {
      BreakWatch(*fault,
                 ErrorEvent(fault->body.empty() ? StatusObject(fault->code)
                                                : fault->body),
                 *faults_, connection);
      return;
    }
    Clock::time_point bookmark =
        last_bookmark + std::chrono::milliseconds(bookmark_interval_ms_.load());
    if (Clock::now() >= end) {
      if (bookmarks) send(BookmarkLine(type, version, false));
      send("");
      return;
    }
    if (bookmarks && Clock::now() >= bookmark) {
      send(BookmarkLine(type, version, false));
      last_bookmark = Clock::now();
      continue;
    }
    int64_t wait =
        std::min({kGoneCheckMs, MillisecondsTo(end),
                  bookmarks ? MillisecondsTo(bookmark) : kGoneCheckMs});
    uint64_t now = version;
    if (!store_->Wait(*target.stored, version, wait, &changes, &now)) {
      send(ErrorEvent(StatusObject(410)));
      send("");
      return;
    }
    for (const Change& change : changes) tell(change);
    // A later version than a watch began with in a cluster that went back.
    version = std::max(version, now);
  }
}

}  // namespace dynweight::fake
