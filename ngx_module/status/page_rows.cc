// See page_rows.h.

#include "ngx_module/status/page_rows.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ngx_module/status/html_writer.h"

namespace dynweight {
namespace {

// The name of an upstream that a link may carry.
constexpr size_t kMaxLinkName = 256;

void AppendShares(const PeerSum& sum, const PeerSum& whole, std::string* rows) {
  HtmlWriter(rows)
      .Add(
          "<td class=\"share\"><svg class=\"bars\" viewBox=\"0 0 1 12\" "
          "preserveAspectRatio=\"none\"><rect class=\"t\" height=\"5\" "
          "width=\"")
      .Share(sum.target, whole.target)
      .Add("\"/><rect class=\"o\" y=\"7\" height=\"5\" width=\"")
      .Share(sum.recent, whole.recent)
      .Add("\"/></svg><span class=\"pct\">")
      .Percent(sum.target, whole.target)
      .Add(" <b>")
      .Percent(sum.recent, whole.recent)
      .Add("</b></span>");
}

void AppendCounts(const PeerSum& sum, std::string* rows) {
  HtmlWriter(rows)
      .Add(sum.failed > 0 ? "<td class=\"n up bad\">" : "<td class=\"n up\">")
      .Number(sum.serving)
      .Add(" / ")
      .Number(sum.peers)
      .Add("<td class=\"h\">");
}

void AppendArithmetic(const LineModel& line, const LineRecord& record,
                      std::string* rows) {
  HtmlWriter out(rows);
  if (line.instances) {
    out.Count(record.pods, " instance × ", " instances, each × ")
        .Number(line.base);
    return;
  }
  out.Count(record.pods, " pod × ", " pods × ")
      .Number(line.base)
      .Add(" ÷ ")
      .Count(record.used_nodes, " node", " nodes");
}

// What is in force instead of that weight.
void AppendTuned(const PeerSum& sum, std::string* rows) {
  if (sum.tuned == 0) return;
  HtmlWriter out(rows);
  out.Add(" · ").Number(sum.tuned).Add(" by tuning: ").Number(sum.tuned_least);
  if (sum.tuned_least != sum.tuned_most) out.Add(" to ").Number(sum.tuned_most);
}

// Which of the upstream's priorities the line is of, and whether it waits.
void AppendPriority(const UpstreamModel& upstream, const UpstreamSums& sums,
                    const LineModel& line, std::string* rows) {
  if (upstream.priorities.empty() || line.backup) return;
  HtmlWriter out(rows);
  out.Add(" <small>priority ").Number(line.priority);
  if (line.rank < sums.loads.size() && sums.loads[line.rank].percent == 0) {
    out.Add(", stands by");
  }
  out.Add("</small>");
}

void AppendLine(const UpstreamModel& upstream, const UpstreamSums& sums,
                size_t i, std::string* rows) {
  const LineModel& line = upstream.lines[i];
  const std::optional<LineRecord> record = line.record->Read();
  HtmlWriter out(rows);
  out.Add(i > 0 ? "<tr><td class=\"to\">" : "<td class=\"to\">")
      .Text(line.cluster_name)
      .Add(line.backup ? " <small>backup</small>" : "");
  AppendPriority(upstream, sums, line, rows);
  out.Add("<td class=\"n w\">");
  if (record && record->known) {
    out.Number(record->weight)
        .Add("<td class=\"why\" title=\"")
        .Text(record->reason.view())
        .Add("\">");
    AppendArithmetic(line, *record, rows);
    if (record->no_ingress) out.Add(" · no ").Text(line.ingress);
    if (record->provisional) out.Add(" · provisional");
    AppendTuned(sums.lines[i], rows);
  } else {
    out.Add("?<td class=\"why\">")
        .Text(record ? record->reason.view() : std::string_view());
  }
  AppendShares(sums.lines[i], sums.group[line.backup ? 1 : 0], rows);
  AppendCounts(sums.lines[i], rows);
}

void AppendServers(const UpstreamModel& upstream, const UpstreamSums& sums,
                   size_t group, std::string* rows) {
  const PeerSum& sum = sums.servers[group];
  const bool first =
      upstream.lines.empty() && (group == 0 || sums.servers[0].peers == 0);
  HtmlWriter(rows)
      .Add(first ? "<td class=\"to\">servers" : "<tr><td class=\"to\">servers")
      .Add(group == 1 ? " <small>backup</small><td class=\"n w\">"
                      : "<td class=\"n w\">")
      .Number(sum.weight / sum.peers)
      .Add("<td class=\"why\">")
      .Count(sum.peers, " server, weight ", " servers, weights ")
      .Number(sum.weight)
      .Add(sum.peers == 1 ? "" : " in all");
  AppendShares(sum, sums.group[group], rows);
  AppendCounts(sum, rows);
}

}  // namespace

void AppendUpstreamRows(const UpstreamModel& upstream, const UpstreamSums& sums,
                        bool problem, std::string* rows) {
  size_t nrows = upstream.lines.size();
  for (const PeerSum& servers : sums.servers) {
    nrows += servers.peers > 0 ? 1 : 0;
  }
  HtmlWriter out(rows);
  out.Add(problem ? "<tbody class=\"problem\">" : "<tbody>")
      .Add("<tr><th scope=\"rowgroup\" rowspan=\"")
      .Number(nrows)
      .Add("\"><a href=\"?upstream=");
  if (upstream.name.size() <= kMaxLinkName) out.UrlValue(upstream.name);
  out.Add("\">").Text(upstream.name).Add("</a>");
  for (size_t i = 0; i < upstream.lines.size(); ++i) {
    AppendLine(upstream, sums, i, rows);
  }
  for (const size_t group : {0, 1}) {
    if (sums.servers[group].peers > 0) {
      AppendServers(upstream, sums, group, rows);
    }
  }
  out.Add("</tbody>\n");
}

void AppendPeerRow(const UpstreamModel& upstream, const PeerFacts& facts,
                   std::string* rows) {
  const char* verdict = "off";
  if (facts.state == PeerState::kUp) verdict = "ok";
  if (IsOut(facts.state)) verdict = "bad";
  HtmlWriter out(rows);
  out.Add("<tr><td>")
      .Text(upstream.name)
      .Add("<td>")
      .Text(facts.line == nullptr ? "–" : facts.cluster())
      .Add(facts.backup ? " <small>backup</small><td>" : "<td>")
      .Text(facts.Address())
      .Add("<td>")
      .Text(facts.node())
      .Add("<td><b class=\"")
      .Add(verdict);
  if (IsOut(facts.state)) out.Add("\" title=\"").Text(facts.WhyOut());
  out.Add("\">").Add(StateName(facts.state)).Add("</b>");
  for (const uint64_t value :
       {uint64_t{facts.weight}, uint64_t{facts.active}, facts.requests,
        facts.responses[4], facts.fails}) {
    out.Add("<td class=\"n\">").Number(value);
  }
  out.Add("<td>").Time(facts.selected * 1000).Add("\n");
}

}  // namespace dynweight
