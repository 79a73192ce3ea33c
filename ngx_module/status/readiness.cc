// See readiness.h.

#include "ngx_module/status/readiness.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "ngx_module/status/facts.h"
#include "ngx_module/status/json_writer.h"

namespace dynweight {
namespace {

// Lines that are named one by one.
constexpr size_t kMaxLines = 100;

// How far each line is; a cluster's status is read once, not for each line.
class Readiness {
 public:
  explicit Readiness(const StatusModel& model)
      : model_(model), statuses_(model.clusters.size()) {}

  // A line without a weight waits for nothing when its cluster has answered
  // all: it has no ingress node.
  bool Answered(const LineModel& line,
                const std::optional<LineRecord>& record) {
    return (record && record->known) || Status(line).complete;
  }

  // An edge does not wait for what an API refuses to tell: it would for ever.
  // The line is named, and its upstream is not ready.
  bool Refused(const LineModel& line) { return Status(line).rest_refused; }

 private:
  const ClusterStatus& Status(const LineModel& line) {
    std::optional<ClusterStatus>& status = statuses_[line.cluster];
    if (!status) status = ReadClusterStatus(model_.clusters[line.cluster]);
    return *status;
  }

  const StatusModel& model_;
  std::vector<std::optional<ClusterStatus>> statuses_;
};

bool Noted(const std::atomic<uint64_t>* ready) {
  return ready != nullptr && ready->load(std::memory_order_relaxed) != 0;
}

// A line that is waited for.
void AppendLine(const UpstreamModel& upstream, const LineModel& line,
                bool provisional, JsonWriter* json) {
  json->BeginObject();
  json->Text("upstream", upstream.name);
  json->Text("cluster", line.cluster_name);
  json->Text("source", line.source_key);
  json->Flag("provisional", provisional);
  json->EndObject();
}

// What is found while lines are gone through.
struct Waiting {
  bool known = true;  // nothing that must be waited for is unknown
  size_t lines = 0;
  std::set<uint32_t> clusters;
  std::string named;  // JSON of the first lines
};

Waiting Look(const StatusQuery& query) {
  Waiting waiting;
  JsonWriter json;
  json.set_out(&waiting.named);
  json.BeginArray();
  Readiness readiness(*query.model);
  for (const UpstreamModel& upstream : query.model->upstreams) {
    if (query.upstream && upstream.name != *query.upstream) continue;
    for (const LineModel& line : upstream.lines) {
      const std::optional<LineRecord> record = line.record->Read();
      const bool known = record && record->known;
      if (known ? record->provisional == 0 : readiness.Answered(line, record)) {
        continue;
      }
      waiting.known = waiting.known &&
                      (known || (!query.upstream && readiness.Refused(line)));
      waiting.clusters.insert(line.cluster);
      if (waiting.lines++ < kMaxLines) AppendLine(upstream, line, known, &json);
    }
  }
  json.EndArray();
  return waiting;
}

}  // namespace

bool IsReady(const StatusModel& model) {
  if (Noted(model.ready)) return true;
  Readiness readiness(model);
  for (const UpstreamModel& upstream : model.upstreams) {
    for (const LineModel& line : upstream.lines) {
      if (!readiness.Answered(line, line.record->Read()) &&
          !readiness.Refused(line)) {
        return false;
      }
    }
  }
  return true;
}

ReadyAnswer AnswerReady(const StatusQuery& query) {
  const StatusModel& model = *query.model;
  const Waiting waiting = Look(query);
  ReadyAnswer answer;
  answer.ready =
      waiting.known ||
      Noted(query.upstream ? model.upstreams[AskedUpstreams(query)[0]].ready
                           : model.ready);

  // Once ready it stays so, also where the next cycle finds no weights.
  if (answer.ready && model.ready != nullptr && !query.upstream) {
    model.ready->store(1, std::memory_order_relaxed);
  }

  JsonWriter json;
  json.set_out(&answer.body);
  json.BeginObject();
  json.Flag("ready", answer.ready);
  if (waiting.lines > 0) {
    json.Key("waiting_for");
    json.BeginArray();
    for (const uint32_t cluster : waiting.clusters) {
      json.Text(model.clusters[cluster].name);
    }
    json.EndArray();
    json.Raw("lines", waiting.named);
    if (waiting.lines > kMaxLines) {
      json.Number("more", waiting.lines - kMaxLines);
    }
  }
  json.EndObject();
  answer.body += '\n';
  return answer;
}

}  // namespace dynweight
