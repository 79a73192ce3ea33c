// The rows of the page's tables of upstreams and of peers, as HTML.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_ROWS_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_ROWS_H_

#include <string>
#include <string_view>

#include "ngx_module/status/facts.h"
#include "ngx_module/status/model.h"

namespace dynweight {

// A row for each line, and one for the servers of each group.
void AppendUpstreamRows(const UpstreamModel& upstream, const UpstreamSums& sums,
                        bool problem, std::string* rows);

inline constexpr std::string_view kPeerColumns =
    "<thead><tr><th>Upstream<th>Cluster<th>Server<th>Node<th>State"
    "<th class=\"n\">Weight<th class=\"n\">Active<th class=\"n\">Requests"
    "<th class=\"n\">5xx<th class=\"n\">Fails<th>Last selected</thead>"
    "<tbody>\n";

void AppendPeerRow(const UpstreamModel& upstream, const PeerFacts& facts,
                   std::string* rows);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_ROWS_H_
