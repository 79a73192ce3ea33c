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
#include "ngx_module/status/overrides.h"
#include "ngx_module/status/page_assets.h"
#include "ngx_module/status/page_rows.h"
#include "ngx_module/status/upstream_walk.h"
#include "watcher/cluster_status.h"

namespace dynweight {
namespace {

// Of the peers that do not serve, that many are listed.
constexpr uint64_t kMaxDown = 200;

// Of the upstreams that have problems, that many are named in the verdict.
constexpr uint64_t kMaxNamed = 3;

// A peer of the one upstream that is asked for is a row, which costs more than
// a look; of others few are.
constexpr int kRowSlots = 4;

uint64_t SecondsSince(int64_t then_ms, int64_t now_ms) {
  return static_cast<uint64_t>(std::max<int64_t>(now_ms - then_ms, 0)) / 1000;
}

// Text that gathers, and is given out later in pieces.
class GatheredRows {
 public:
  // Where the next row goes.
  std::string* Next() {
    if (pieces_.empty() || pieces_.back().size() >= Document::kPieceBytes) {
      pieces_.emplace_back().reserve(Document::kPieceBytes + 4096);
    }
    return &pieces_.back();
  }
  // Appends the next piece; true when it was the last.
  bool Give(std::string* out) {
    if (given_ < pieces_.size()) {
      out->append(pieces_[given_]);
      pieces_[given_++] = std::string();
    }
    return given_ == pieces_.size();
  }

 private:
  std::vector<std::string> pieces_;
  size_t given_ = 0;
};

// The verdict and the upstreams with problems come first, so all are gone
// through before anything is told; their rows gather meanwhile, and follow in
// pieces.
class Page : public Document, private UpstreamVisitor {
 public:
  explicit Page(const StatusQuery& query)
      : query_(query),
        walk_(query_, AskedPeers::kAll, query_.upstream ? kRowSlots : 0),
        overrides_(query_.model->tuning) {}

 protected:
  bool Step(const Moment& now, std::string* out) override;

 private:
  enum class Phase : uint8_t {
    kStale,
    kScan,
    kHead,
    kOverrides,
    kClusters,
    kProblems,
    kUpstreams,
    kPeers,
    kDown,
    kTail,
  };

  void NoteStale(const ClusterModel& cluster, const Moment& now);
  std::string Verdict() const;
  void Head(int64_t now_ms);
  void BeginOverrides();
  void OverrideRow(const OverrideText& rule);
  void BeginClusters();
  void Cluster(const ClusterModel& cluster, const Moment& now);
  void BeginUpstreams();
  void OnUpstream(const UpstreamModel& upstream,
                  const UpstreamSums& sums) override;
  void OnPeer(const UpstreamModel& upstream, const UpstreamSums& sums,
              const PeerFacts& facts) override;
  void BeginPeers();
  void BeginDown();
  bool DownRow(std::string* out);
  void EndDown();
  void Decisions();
  void Script();

  HtmlWriter html() { return HtmlWriter(out_); }

  const StatusQuery query_;
  UpstreamWalk walk_;
  std::string* out_ = nullptr;
  Phase phase_ = Phase::kStale;
  const Overrides overrides_;
  size_t override_ = 0;  // the next one
  size_t cluster_ = 0;   // the next one
  std::vector<std::string_view> stale_;
  uint64_t failing_ = 0;    // servers
  uint64_t nproblems_ = 0;  // upstreams
  std::vector<std::string_view> first_problems_;
  GatheredRows problems_;   // upstreams that have some
  GatheredRows upstreams_;  // the others
  GatheredRows peers_;      // of the one upstream that is asked for
  // Of peers that do not serve, kMaxDown of each at most.
  std::vector<std::string> failing_peers_;
  std::vector<std::string> other_peers_;
  uint64_t ndown_ = 0;   // peers, more than rows maybe
  size_t down_row_ = 0;  // the next one
};

bool Page::Step(const Moment& now, std::string* out) {
  out_ = out;
  switch (phase_) {
    case Phase::kStale:
      if (cluster_ < query_.model->clusters.size()) {
        NoteStale(query_.model->clusters[cluster_++], now);
        break;
      }
      cluster_ = 0;
      phase_ = Phase::kScan;
      break;
    case Phase::kScan:
      if (walk_.Step(now, this)) phase_ = Phase::kHead;
      break;
    case Phase::kHead:
      Head(now.unix_ms);
      BeginOverrides();
      phase_ = Phase::kOverrides;
      break;
    case Phase::kOverrides:
      if (override_ < overrides_.size()) {
        OverrideRow(overrides_.Describe(override_++));
        break;
      }
      html().Add("</table></div>\n</section>\n");
      BeginClusters();
      phase_ = Phase::kClusters;
      break;
    case Phase::kClusters:
      if (cluster_ < query_.model->clusters.size()) {
        Cluster(query_.model->clusters[cluster_++], now);
        break;
      }
      html().Add("</table></div>\n</section>\n");
      BeginUpstreams();
      phase_ = Phase::kProblems;
      break;
    case Phase::kProblems:
      if (problems_.Give(out)) phase_ = Phase::kUpstreams;
      break;
    case Phase::kUpstreams:
      if (!upstreams_.Give(out)) break;
      html().Add("</table></div>\n</section>\n");
      if (query_.upstream) BeginPeers();
      phase_ = Phase::kPeers;
      break;
    case Phase::kPeers:
      if (!peers_.Give(out)) break;
      if (query_.upstream) html().Add("</table></div>\n</section>\n");
      BeginDown();
      phase_ = Phase::kDown;
      break;
    case Phase::kDown:
      if (!DownRow(out)) break;
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

void Page::NoteStale(const ClusterModel& cluster, const Moment& now) {
  if (cluster.status == nullptr || IsUp(ReadClusterStatus(cluster, now)))
    return;
  stale_.push_back(cluster.name);
}

// As the script has it; "" when nothing is wrong. HTML.
std::string Page::Verdict() const {
  std::string text;
  HtmlWriter out(&text);
  const auto separate = [&] { out.Add(text.empty() ? "" : " · "); };
  if (!stale_.empty()) {
    out.Count(stale_.size(), " cluster stale: ", " clusters stale: ");
    for (size_t i = 0; i < stale_.size(); ++i) {
      out.Add(i > 0 ? ", " : "").Text(stale_[i]);
    }
  }
  if (failing_ > 0) {
    separate();
    out.Count(failing_, " server failing", " servers failing");
  }
  if (nproblems_ > 0) {
    separate();
    out.Count(nproblems_,
              " upstream with problems: ", " upstreams with problems: ");
    for (size_t i = 0; i < first_problems_.size(); ++i) {
      out.Add(i > 0 ? ", " : "").Text(first_problems_[i]);
    }
    if (nproblems_ > kMaxNamed) out.Add(", …");
  }
  if (!overrides_.error().empty()) {
    separate();
    out.Add("tuning file not loaded");
  }
  return text;
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
  const std::string verdict = Verdict();
  const size_t overrides = overrides_.in_force();
  out.Add("</h1>\n<p id=\"verdict\" role=\"status\"")
      .Add(!verdict.empty() ? " class=\"bad\">"
           : overrides > 0  ? " class=\"off\">"
                            : ">OK")
      .Add(verdict);
  if (overrides > 0) {
    out.Add(verdict.empty() ? "" : " · ")
        .Count(overrides, " runtime override in force",
               " runtime overrides in force");
  }
  out.Add("</p>\n<p id=\"time\">").Time(now_ms).Add("</p>\n</header>\n");
}

// Hidden while there is nothing in it, and by the script from then on.
void Page::BeginOverrides() {
  const bool empty = overrides_.size() == 0 && overrides_.error().empty();
  html()
      .Add("<section id=\"overrides\"")
      .Add(empty ? " hidden>" : ">")
      .Add("\n<h2>Runtime overrides</h2>\n<p id=\"tuning\" class=\"error\">")
      .Text(overrides_.error())
      .Add(
          "</p>\n<div class=\"wide\"><table id=\"rules\">\n<thead><tr><th>For"
          "<th>Override<th class=\"n\">Servers<th>Until<th>Reason"
          "<th class=\"n\">Line</thead><tbody>\n");
}

void Page::OverrideRow(const OverrideText& rule) {
  html()
      .Add("<tr><td>")
      .Text(rule.whom)
      .Add("<td>")
      .Text(rule.what)
      .Add(rule.in_force && rule.peers == 0 ? "<td class=\"n bad\">"
                                            : "<td class=\"n\">")
      .Number(rule.peers)
      .Add("<td>")
      .Text(!rule.in_force         ? "has expired"
            : rule.expires.empty() ? "removed"
                                   : rule.expires)
      .Add("<td>")
      .Text(rule.reason)
      .Add("<td class=\"n\">")
      .Number(rule.line)
      .Add("\n");
}

void Page::BeginClusters() {
  html().Add(
      "<section>\n<h2>Clusters</h2>\n<div class=\"wide\"><table "
      "id=\"clusters\">\n<thead><tr><th>Cluster<th>State<th>Last success"
      "<th>API<th class=\"n\">Events<th class=\"n\">Relists"
      "<th class=\"n\">Failures<th class=\"n\">Rejected</thead>\n");
}

void Page::Cluster(const ClusterModel& cluster, const Moment& now) {
  if (cluster.status == nullptr) return;
  const ClusterStatus status = ReadClusterStatus(cluster, now);
  const int64_t now_ms = now.unix_ms;
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
    out.Add("never, by a previous run ")
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
            "\"> <label hidden><input type=\"checkbox\" id=\"problems\"> "
            "problems only</label> <span id=\"shown\"></span></form>\n");
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

void Page::OnUpstream(const UpstreamModel& upstream, const UpstreamSums& sums) {
  const bool problem = HasProblem(upstream, sums);
  if (problem && ++nproblems_ <= kMaxNamed) {
    first_problems_.push_back(upstream.name);
  }
  failing_ += sums.group[0].failed + sums.group[1].failed;
  AppendUpstreamRows(upstream, sums, problem,
                     (problem ? problems_ : upstreams_).Next());
}

void Page::OnPeer(const UpstreamModel& upstream, const UpstreamSums&,
                  const PeerFacts& facts) {
  if (facts.state != PeerState::kUp) {
    ++ndown_;
    const bool failing = IsOut(facts.state);
    std::vector<std::string>& rows = failing ? failing_peers_ : other_peers_;
    if (rows.size() < kMaxDown) {
      AppendPeerRow(upstream, facts, &rows.emplace_back());
    }
  }
  if (query_.upstream) AppendPeerRow(upstream, facts, peers_.Next());
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

// Those that fail come first; true when that was the last row.
bool Page::DownRow(std::string* out) {
  const size_t failing = failing_peers_.size();
  if (down_row_ < failing) {
    out->append(failing_peers_[down_row_++]);
  } else if (down_row_ < kMaxDown &&
             down_row_ - failing < other_peers_.size()) {
    out->append(other_peers_[down_row_++ - failing]);
  } else {
    return true;
  }
  return false;
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
      "<section>\n<h2>Weight changes</h2>\n<div class=\"wide\"><table "
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
