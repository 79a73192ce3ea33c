// See page.h.

#include "ngx_module/status/page.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_module/status/facts.h"
#include "ngx_module/status/html_writer.h"
#include "ngx_module/status/page_assets.h"
#include "ngx_module/status/upstream_walk.h"
#include "watcher/cluster_status.h"

namespace dynweight {
namespace {

// Of the peers that do not serve, that many are listed.
constexpr uint64_t kMaxDown = 200;

// A peer of the one upstream that is asked for is a row, which costs more than
// a look; of others few are.
constexpr int kRowSlots = 4;

// The name of an upstream that a link may carry.
constexpr size_t kMaxLinkName = 256;

constexpr std::string_view kPeerColumns =
    "<thead><tr><th>Upstream<th>Cluster<th>Server<th>Node<th>State"
    "<th class=\"n\">Weight<th class=\"n\">Active<th class=\"n\">Requests"
    "<th class=\"n\">5xx<th class=\"n\">Fails<th>Last chosen</thead>"
    "<tbody>\n";

uint64_t SecondsSince(int64_t then_ms, int64_t now_ms) {
  return static_cast<uint64_t>(std::max<int64_t>(now_ms - then_ms, 0)) / 1000;
}

// Head, clusters and upstreams are told while they are gone through; the rows
// of peers meanwhile gather, and follow in pieces.
class Page : public Document, private UpstreamVisitor {
 public:
  explicit Page(const StatusQuery& query)
      : query_(query),
        walk_(query_, AskedPeers::kAll, query_.upstream ? kRowSlots : 0) {}

 protected:
  bool Step(const Moment& now, std::string* out) override;

 private:
  enum class Phase : uint8_t {
    kHead,
    kClusters,
    kUpstreams,
    kPeers,
    kDown,
    kTail,
  };

  void Head(int64_t now_ms);
  void BeginClusters();
  void Cluster(const ClusterModel& cluster, int64_t now_ms);
  void BeginUpstreams();
  void OnUpstream(const UpstreamModel& upstream,
                  const UpstreamSums& sums) override;
  void Line(const UpstreamModel& upstream, const UpstreamSums& sums, size_t i);
  void Servers(const UpstreamModel& upstream, const UpstreamSums& sums,
               size_t group);
  void Shares(const PeerSum& sum, const PeerSum& whole);
  void Counts(const PeerSum& sum);
  void OnPeer(const UpstreamModel& upstream, const UpstreamSums& sums,
              const PeerFacts& facts) override;
  void BeginPeers();
  void BeginDown();
  bool Rows(const std::string& rows);
  void EndDown();
  void Decisions();
  void Script();

  HtmlWriter html() { return HtmlWriter(out_); }

  const StatusQuery query_;
  UpstreamWalk walk_;
  std::string* out_ = nullptr;
  Phase phase_ = Phase::kHead;
  size_t cluster_ = 0;     // the next one
  std::string peers_;      // rows
  std::string down_;       // rows
  uint64_t ndown_ = 0;     // peers, more than rows maybe
  size_t rows_begin_ = 0;  // what of the rows is next
};

bool Page::Step(const Moment& now, std::string* out) {
  out_ = out;
  switch (phase_) {
    case Phase::kHead:
      Head(now.unix_ms);
      BeginClusters();
      phase_ = Phase::kClusters;
      break;
    case Phase::kClusters:
      if (cluster_ < query_.model->clusters.size()) {
        Cluster(query_.model->clusters[cluster_++], now.unix_ms);
        break;
      }
      html().Add("</table></div>\n</section>\n");
      BeginUpstreams();
      phase_ = Phase::kUpstreams;
      break;
    case Phase::kUpstreams:
      if (!walk_.Step(now, this)) break;
      html().Add("</table></div>\n</section>\n");
      if (query_.upstream) BeginPeers();
      phase_ = Phase::kPeers;
      break;
    case Phase::kPeers:
      if (!Rows(peers_)) break;
      if (query_.upstream) html().Add("</table></div>\n</section>\n");
      BeginDown();
      phase_ = Phase::kDown;
      break;
    case Phase::kDown:
      if (!Rows(down_)) break;
      EndDown();
      phase_ = Phase::kTail;
      break;
    case Phase::kTail:
      Decisions();
      Script();
      return true;
  }
  return false;
}

void Page::Head(int64_t now_ms) {
  HtmlWriter out = html();
  out.Add(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
      "<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>");
  if (query_.upstream) out.Text(*query_.upstream).Add(" · ");
  out.Add(
         "dynamic weight</title>\n<link rel=\"icon\" href=\"data:,\">\n"
         "<style nonce=\"")
      .Add(query_.nonce)
      .Add("\">")
      .Add(kPageStyle)
      .Add(
          "</style>\n</head>\n<body>\n<header>\n<h1><a href=\"./\">Dynamic "
          "weight</a>");
  if (query_.upstream) {
    out.Add(" <span>/ ").Text(*query_.upstream).Add("</span>");
  }
  out.Add("</h1>\n<p id=\"verdict\" role=\"status\"></p>\n<p id=\"time\">")
      .Time(now_ms)
      .Add("</p>\n</header>\n");
}

void Page::BeginClusters() {
  html().Add(
      "<section>\n<h2>Clusters</h2>\n<div class=\"wide\"><table "
      "id=\"clusters\">\n<thead><tr><th>Cluster<th>State<th>Last success"
      "<th>API<th class=\"n\">Events<th class=\"n\">Relists"
      "<th class=\"n\">Failures<th class=\"n\">Rejected</thead>\n");
}

void Page::Cluster(const ClusterModel& cluster, int64_t now_ms) {
  if (cluster.status == nullptr) return;
  const ClusterStatus status = ReadClusterStatus(cluster);
  HtmlWriter out = html();
  out.Add("<tr><th scope=\"row\">").Text(cluster.name);
  out.Add(IsUp(status) ? "<td><b class=\"ok\">up</b>"
                       : "<td><b class=\"bad\">stale</b>");
  if (!status.last_error.empty()) {
    out.Add("<div class=\"error\">").Text(status.last_error).Add("</div>");
  }
  for (const std::string& warning : status.warnings) {
    out.Add("<div class=\"error\">").Text(warning).Add("</div>");
  }
  out.Add("<td>");
  if (status.last_success_ms != 0) {
    out.Number(SecondsSince(status.last_success_ms, now_ms)).Add(" s ago");
  } else if (status.observed_ms != 0) {
    out.Add("never, by a former run ")
        .Number(SecondsSince(status.observed_ms, now_ms))
        .Add(" s ago");
  } else {
    out.Add("never");
  }
  out.Add("<td>").Text(status.mode).Add(" ").Text(status.api);
  for (const uint64_t count :
       {status.events, status.relists, status.failures, status.rejected}) {
    out.Add("<td class=\"n\">").Number(count);
  }
  out.Add("\n");
}

void Page::BeginUpstreams() {
  HtmlWriter out = html();
  out.Add("<section>\n<h2>Upstreams</h2>\n");
  if (!query_.upstream) {
    out.Add(
           "<form method=\"get\"><input type=\"search\" name=\"filter\" "
           "id=\"filter\" placeholder=\"Filter by name\" "
           "aria-label=\"Filter by name\" value=\"")
        .Text(query_.filter)
        .Add(
            "\"> <label hidden><input type=\"checkbox\" id=\"troubled\"> only "
            "with trouble</label> <span id=\"shown\"></span></form>\n");
  } else if (walk_.asked().empty()) {
    out.Add("<p>No upstream of this name has dynamic_weight.</p>\n");
  }
  out.Add(
      "<p class=\"legend\"><i class=\"t\"></i> target share "
      "<i class=\"o\"></i> observed share, of the last one to two "
      "minutes</p>\n<div class=\"wide\"><table id=\"upstreams\">\n"
      "<thead><tr><th>Upstream<th>To<th class=\"n\">Weight"
      "<th>Computed from<th>Share<th class=\"n\">Servers up"
      "<th class=\"h\">Last minutes</thead>\n");
}

// A row for each line, and one for the servers of each group.
void Page::OnUpstream(const UpstreamModel& upstream, const UpstreamSums& sums) {
  size_t rows = upstream.lines.size();
  for (const PeerSum& servers : sums.servers) rows += servers.peers > 0 ? 1 : 0;
  HtmlWriter out = html();
  out.Add("<tbody><tr><th scope=\"rowgroup\" rowspan=\"")
      .Number(rows)
      .Add("\"><a href=\"?upstream=");
  if (upstream.name.size() <= kMaxLinkName) out.UrlValue(upstream.name);
  out.Add("\">").Text(upstream.name).Add("</a>");
  for (size_t i = 0; i < upstream.lines.size(); ++i) Line(upstream, sums, i);
  for (const size_t group : {0, 1}) {
    if (sums.servers[group].peers > 0) Servers(upstream, sums, group);
  }
  out.Add("</tbody>\n");
}

void Page::Line(const UpstreamModel& upstream, const UpstreamSums& sums,
                size_t i) {
  const LineModel& line = upstream.lines[i];
  const std::optional<LineRecord> record = line.record->Read();
  HtmlWriter out = html();
  out.Add(i > 0 ? "<tr><td class=\"to\">" : "<td class=\"to\">")
      .Text(line.cluster_name)
      .Add(line.backup ? " <small>backup</small><td class=\"n w\">"
                       : "<td class=\"n w\">");
  if (record && record->known) {
    out.Number(record->weight)
        .Add("<td class=\"why\" title=\"")
        .Text(record->reason.view())
        .Add("\">")
        .Count(record->pods, " pod × ", " pods × ")
        .Number(upstream.base)
        .Add(" ÷ ")
        .Count(record->used_nodes, " node", " nodes");
    if (record->provisional) out.Add(" <small>provisional</small>");
  } else {
    out.Add("?<td class=\"why\">")
        .Text(record ? record->reason.view() : std::string_view());
  }
  Shares(sums.lines[i], sums.group[line.backup ? 1 : 0]);
  Counts(sums.lines[i]);
}

void Page::Servers(const UpstreamModel& upstream, const UpstreamSums& sums,
                   size_t group) {
  const PeerSum& sum = sums.servers[group];
  const bool first =
      upstream.lines.empty() && (group == 0 || sums.servers[0].peers == 0);
  html()
      .Add(first ? "<td class=\"to\">KVMs" : "<tr><td class=\"to\">KVMs")
      .Add(group == 1 ? " <small>backup</small><td class=\"n w\">"
                      : "<td class=\"n w\">")
      .Number(sum.weight / sum.peers)
      .Add("<td class=\"why\">")
      .Count(sum.peers, " server, weight ", " servers, weights ")
      .Number(sum.weight)
      .Add(sum.peers == 1 ? "" : " in all");
  Shares(sum, sums.group[group]);
  Counts(sum);
}

void Page::Shares(const PeerSum& sum, const PeerSum& whole) {
  html()
      .Add(
          "<td class=\"share\"><svg class=\"bars\" viewBox=\"0 0 1 12\" "
          "preserveAspectRatio=\"none\"><rect class=\"t\" height=\"5\" "
          "width=\"")
      .Share(sum.weight, whole.weight)
      .Add("\"/><rect class=\"o\" y=\"7\" height=\"5\" width=\"")
      .Share(sum.recent, whole.recent)
      .Add("\"/></svg><span class=\"pct\">")
      .Percent(sum.weight, whole.weight)
      .Add(" <b>")
      .Percent(sum.recent, whole.recent)
      .Add("</b></span>");
}

void Page::Counts(const PeerSum& sum) {
  html()
      .Add(sum.failed > 0 ? "<td class=\"n up bad\">" : "<td class=\"n up\">")
      .Number(sum.serving)
      .Add(" / ")
      .Number(sum.peers)
      .Add("<td class=\"h\">");
}

void AppendPeer(const UpstreamModel& upstream, const PeerFacts& facts,
                std::string* rows) {
  const char* verdict = "off";
  if (facts.state == PeerState::kUp) verdict = "ok";
  if (facts.state == PeerState::kUnavail) verdict = "bad";
  HtmlWriter out(rows);
  out.Add("<tr><td>")
      .Text(upstream.name)
      .Add("<td>")
      .Text(facts.line == nullptr ? "KVM" : facts.cluster())
      .Add(facts.backup ? " <small>backup</small><td>" : "<td>")
      .Text(facts.Address())
      .Add("<td>")
      .Text(facts.node())
      .Add("<td><b class=\"")
      .Add(verdict)
      .Add("\">")
      .Add(StateName(facts.state))
      .Add("</b>");
  for (const uint64_t value :
       {uint64_t{facts.weight}, uint64_t{facts.active}, facts.requests,
        facts.responses[4], facts.fails}) {
    out.Add("<td class=\"n\">").Number(value);
  }
  out.Add("<td>").Time(facts.selected * 1000).Add("\n");
}

void Page::OnPeer(const UpstreamModel& upstream, const UpstreamSums&,
                  const PeerFacts& facts) {
  if (facts.state != PeerState::kUp && ndown_++ < kMaxDown) {
    AppendPeer(upstream, facts, &down_);
  }
  if (query_.upstream) AppendPeer(upstream, facts, &peers_);
}

void Page::BeginPeers() {
  html()
      .Add(
          "<section>\n<h2>Servers</h2>\n<div class=\"wide\">"
          "<table id=\"peers\">\n")
      .Add(kPeerColumns);
}

void Page::BeginDown() {
  html()
      .Add(
          "<section>\n<h2>Drained and failing</h2>\n<div class=\"wide\">"
          "<table id=\"down\">\n")
      .Add(kPeerColumns);
}

// The next part of gathered rows; true when it was the last.
bool Page::Rows(const std::string& rows) {
  const size_t n = std::min(rows.size() - rows_begin_, kPieceBytes);
  out_->append(rows, rows_begin_, n);
  rows_begin_ += n;
  if (rows_begin_ < rows.size()) return false;
  rows_begin_ = 0;
  return true;
}

void Page::EndDown() {
  HtmlWriter out = html();
  out.Add("</table></div>\n<p id=\"more\">");
  if (ndown_ > kMaxDown) {
    out.Add("and ").Number(ndown_ - kMaxDown).Add(" more");
  } else if (ndown_ == 0) {
    out.Add("None.");
  }
  out.Add("</p>\n</section>\n");
}

// Newest first.
void Page::Decisions() {
  HtmlWriter out = html();
  out.Add(
      "<section>\n<h2>Decisions</h2>\n<div class=\"wide\"><table "
      "id=\"decisions\">\n<thead><tr><th>Time<th>Upstream<th>Cluster"
      "<th class=\"n\">Weight<th>Why</thead><tbody>\n");
  const std::vector<Decision> decisions = ReadDecisions(*query_.model);
  for (auto d = decisions.rbegin(); d != decisions.rend(); ++d) {
    if (!AsksFor(query_, *d)) continue;
    out.Add("<tr><td>")
        .Time(d->time_ms)
        .Add("<td>")
        .Text(d->upstream.view())
        .Add("<td>")
        .Text(d->cluster.view())
        .Add("<td class=\"n\">");
    if (d->first) {
      out.Add("?");
    } else {
      out.Number(d->old_weight);
    }
    out.Add(" → ")
        .Number(d->new_weight)
        .Add("<td>")
        .Text(d->why.view())
        .Add("\n");
  }
  out.Add("</table></div>\n</section>\n");
}

void Page::Script() {
  html()
      .Add("<script nonce=\"")
      .Add(query_.nonce)
      .Add("\">")
      .Add(kPageScript)
      .Add("</script>\n</body>\n</html>\n");
}

}  // namespace

std::unique_ptr<Document> MakePage(const StatusQuery& query) {
  return std::make_unique<Page>(query);
}

}  // namespace dynweight
