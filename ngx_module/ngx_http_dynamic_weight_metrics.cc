// /metrics: the text format of Prometheus. The names are those of NGINX Plus's
// exporter where they fit, with the suffixes that promtool asks for.
//
// The format wants all samples of a metric together, so peers are gone through
// once and their numbers kept.

#include "ngx_http_dynamic_weight_metrics.h"

#include <charconv>

#include "watcher/text/text_escape.h"


struct ngx_http_dynamic_weight_server_family_t {
    const char   *name;
    const char   *type;
    const char   *help;
    ngx_uint_t    value;
    ngx_uint_t    values;     /* so many: responses by class */
    bool          seconds;    /* kept as milliseconds */
    bool          sparse;     /* 0 goes without saying */
};


namespace {


const ngx_http_dynamic_weight_server_family_t  server_families[] = {
    { "upstream_server_weight", "gauge",
      "Weight of the peer; 0 gets no new request.", kWeight, 1, false, false },
    { "upstream_server_state", "gauge",
      "1 up, 2 draining, 3 down, 4 unavail, 7 drained.",
      kState, 1, false, false },
    { "upstream_server_active", "gauge",
      "Requests that the peer is serving.", kActive, 1, false, false },
    { "upstream_server_limit", "gauge",
      "max_conns, where there is one.", kLimit, 1, false, true },
    { "upstream_server_requests_total", "counter",
      "Requests sent to the peer.", kRequests, 1, false, false },
    { "upstream_server_responses_total", "counter",
      "Responses of the peer by class; a class that never came is left out.",
      kResponses1xx, 5, false, true },
    { "upstream_server_sent_bytes_total", "counter",
      "Bytes sent to the peer.", kSent, 1, false, false },
    { "upstream_server_received_bytes_total", "counter",
      "Bytes received from the peer.", kReceived, 1, false, false },
    { "upstream_server_fails_total", "counter",
      "Attempts that failed.", kFails, 1, false, false },
    { "upstream_server_unavail_total", "counter",
      "Times the peer was taken out by passive health; left out while it "
      "never was.", kUnavail, 1, false, true },
    { "upstream_server_downtime_seconds_total", "counter",
      "How long it was taken out; left out while it never was.",
      kDowntime, 1, true, true },
    { "upstream_server_response_seconds_total", "counter",
      "Response times of the peer, added up.", kResponseTime, 1, true, false },
};


using Line = ngx_http_dynamic_weight_line_sample_t;


struct LineFamily {
    const char   *name;
    const char   *type;
    const char   *help;
    /* false: there is no such sample */
    bool        (*value)(const Line &sample, std::string *out);
};


template <auto member>
bool
record_value(const Line &sample, std::string *out)
{
    if (!sample.record || !sample.record->known) {
        return false;
    }

    ngx_http_dynamic_weight_number(out, (*sample.record).*member);

    return true;
}


const LineFamily  line_families[] = {
    { "upstream_cluster_pods", "gauge",
      "Ready pods that the weight was computed from.",
      record_value<&dynweight::LineRecord::pods> },
    { "upstream_cluster_ingress_nodes", "gauge",
      "Live ingress nodes of the cluster.",
      record_value<&dynweight::LineRecord::ingress_nodes> },
    { "upstream_cluster_used_nodes", "gauge",
      "Ingress nodes that have a slot and are not drained.",
      record_value<&dynweight::LineRecord::used_nodes> },
    { "upstream_cluster_drained_nodes", "gauge",
      "Ingress nodes that have a slot and are drained by tuning.",
      record_value<&dynweight::LineRecord::drained_nodes> },
    { "upstream_cluster_weight", "gauge",
      "Weight of each ingress node.",
      [](const Line &sample, std::string *out) {
          if (!sample.record || !sample.record->known) {
              return false;
          }

          ngx_http_dynamic_weight_number(out, sample.record->weight);

          return true;
      } },
    { "upstream_cluster_provisional", "gauge",
      "1: the weight is held from before, until the API has answered.",
      record_value<&dynweight::LineRecord::provisional> },
    { "upstream_cluster_weight_changes_total", "counter",
      "How often that weight has changed.",
      [](const Line &sample, std::string *out) {
          if (!sample.record) {
              return false;
          }

          ngx_http_dynamic_weight_number(out, sample.record->generation);

          return true;
      } },
    { "upstream_cluster_target_share", "gauge",
      "Part of the upstream's requests that the weights promise.",
      [](const Line &sample, std::string *out) {
          ngx_http_dynamic_weight_share(out, sample.weight,
                                        sample.whole_weight);
          return sample.whole_weight != 0;
      } },
    { "upstream_cluster_observed_share", "gauge",
      "Part of the upstream's requests of the last one to two minutes.",
      [](const Line &sample, std::string *out) {
          ngx_http_dynamic_weight_share(out, sample.recent,
                                        sample.whole_recent);
          return sample.whole_recent != 0;
      } },
};


struct ClusterFamily {
    const char   *name;
    const char   *type;
    const char   *help;
    uint64_t      dynweight::ClusterStatus::*counter;
};


const ClusterFamily  cluster_families[] = {
    { "cluster_requests_total", "counter",
      "Requests to the cluster's API.", &dynweight::ClusterStatus::requests },
    { "cluster_lists_total", "counter",
      "Lists that were read to their end.", &dynweight::ClusterStatus::lists },
    { "cluster_relists_total", "counter",
      "Lists after the first.", &dynweight::ClusterStatus::relists },
    { "cluster_watch_starts_total", "counter",
      "Watches begun; they are begun anew every few minutes.",
      &dynweight::ClusterStatus::watches },
    { "cluster_events_total", "counter",
      "Watch events taken up.", &dynweight::ClusterStatus::events },
    { "cluster_failures_total", "counter",
      "Requests that failed and were tried again.",
      &dynweight::ClusterStatus::failures },
    { "cluster_received_bytes_total", "counter",
      "Bytes received from the API.", &dynweight::ClusterStatus::bytes },
};


}  // namespace


bool
ngx_http_dynamic_weight_metrics_t::step(std::string *out)
{
    out_ = out;

    switch (phase_) {

    case kBegin:

        if (i_ == 0) {
            clusters();
        }

        if (i_ < upstreams_.size()) {
            summary_.begin(query_, upstreams_[i_]);
            phase_ = kSummary;
            break;
        }

        phase_ = kLines;
        i_ = 0;
        break;

    case kSummary:

        if (summary_.step()) {
            snapshot_lines();
            phase_ = kSnapshot;
            cursor_.begin(upstreams_[i_]);
        }

        break;

    case kSnapshot:

        if (snapshot()) {
            phase_ = kBegin;
            i_++;
        }

        break;

    case kLines:

        if (lines()) {

            if (query_.peers == query_.kNone) {
                return true;
            }

            phase_ = kServers;
            i_ = 0;
        }

        break;

    case kServers:

        if (servers()) {
            phase_ = kNodes;
            i_ = 0;
        }

        break;

    case kNodes:
        return nodes();
    }

    return false;
}


void
ngx_http_dynamic_weight_metrics_t::head(const char *name, const char *type,
    const char *help)
{
    for (const char *line : { "# HELP ", "# TYPE " }) {
        *out_ += line;
        *out_ += NGX_HTTP_DW_METRIC;
        *out_ += name;
        *out_ += ' ';
        *out_ += line[2] == 'H' ? help : type;
        *out_ += '\n';
    }
}


void
ngx_http_dynamic_weight_metrics_t::clusters(void)
{
    std::vector<std::string>               labels;
    std::vector<dynweight::ClusterStatus>  status;


    for (size_t c = 0;
         query_.conf->documents && c < query_.conf->config->clusters.size();
         c++)
    {
        std::string  label = "{cluster=\"";

        dynweight::AppendLabelValue(query_.conf->config->clusters[c].name,
                                    &label);
        labels.push_back(label + "\"");
        status.push_back(ngx_http_dynamic_weight_cluster_status(query_.conf,
                                                                c));
    }

    auto family = [&](const char *name, const char *type, const char *help,
                      const char *label, auto &&value)
    {
        if (label[0] != ',' || ngx_strcmp(label, ",reason=\"invalid\"") == 0) {
            head(name, type, help);
        }

        for (size_t c = 0; c < status.size(); c++) {
            *out_ += NGX_HTTP_DW_METRIC;
            *out_ += name;
            *out_ += labels[c];
            *out_ += label;
            *out_ += "} ";
            value(status[c]);
            *out_ += '\n';
        }
    };

    auto number = [&](uint64_t value) {
        ngx_http_dynamic_weight_number(out_, value);
    };

    head("info", "gauge", "The version of nginx.");
    *out_ += NGX_HTTP_DW_METRIC "info{nginx=\"" NGINX_VERSION "\"} 1\n";

    head("ready", "gauge", "1: every line has, or once had, a weight.");
    *out_ += NGX_HTTP_DW_METRIC "ready ";
    *out_ += ngx_http_dynamic_weight_is_ready(query_.conf) ? "1\n" : "0\n";

    family("cluster_up", "gauge",
           "1: every source was read, and the last answers were good.", "",
           [&](auto &s) { number(ngx_http_dynamic_weight_cluster_up(s)); });

    family("cluster_last_success_timestamp_seconds", "gauge",
           "The last good answer of the source that is worst off; 0: none.", "",
           [&](auto &s) {
               number(s.last_success_ms / 1000);
               *out_ += '.';
               *out_ += std::to_string(1000 + s.last_success_ms % 1000)
                        .substr(1);
           });

    family("cluster_observed_timestamp_seconds", "gauge",
           "When the oldest part of what is in force was last said, maybe to a "
           "former run; 0: nothing is known.", "",
           [&](auto &s) { number(s.observed_ms / 1000); });

    family("cluster_warnings", "gauge",
           "What to look into though nothing fails; /status has the texts.", "",
           [&](auto &s) {
               number(s.warnings.size() + s.warnings_left_out);
           });

    for (const ClusterFamily &f : cluster_families) {
        family(f.name, f.type, f.help, "",
               [&](auto &s) { number(s.*f.counter); });
    }

    const char  *rejected = "cluster_rejected_updates_total";
    const char  *help = "Answers that were not applied: undecodable or "
                        "partial, or held back by the guard.";

    family(rejected, "counter", help, ",reason=\"invalid\"",
           [&](auto &s) { number(s.rejected - s.held_back); });
    family(rejected, "counter", help, ",reason=\"guard\"",
           [&](auto &s) { number(s.held_back); });
}


/* i_ is the family, sample_ the sample; true after the last of all */

bool
ngx_http_dynamic_weight_metrics_t::servers(void)
{
    ngx_uint_t           n;
    const auto  &family = server_families[i_];

    if (sample_ == 0) {
        head(family.name, family.type, family.help);
        name_ = std::string(NGX_HTTP_DW_METRIC) + family.name + "{";
    }

    const auto  &samples = snapshot_->servers;

    for (n = 0; n < NGX_HTTP_DW_STATUS_SLOTS && sample_ < samples.size(); n++) {
        server_family(family, samples[sample_++]);
    }

    if (sample_ < samples.size()) {
        return false;
    }

    sample_ = 0;

    return ++i_ == sizeof(server_families) / sizeof(server_families[0]);
}


void
ngx_http_dynamic_weight_metrics_t::server_family(
    const ngx_http_dynamic_weight_server_family_t &family,
    const ngx_http_dynamic_weight_server_sample_t &sample)
{
    char        *p, number[32];
    uint64_t     value;
    ngx_uint_t   i;

    static const char *const  codes[] = {
        ",code=\"1xx\"} ", ",code=\"2xx\"} ", ",code=\"3xx\"} ",
        ",code=\"4xx\"} ", ",code=\"5xx\"} "
    };

    for (i = 0; i < family.values; i++) {
        value = sample.values[family.value + i];

        if (value == 0 && family.sparse) {
            continue;
        }

        p = number;

        if (family.seconds) {
            p = std::to_chars(p, number + sizeof(number), value / 1000).ptr;
            *p++ = '.';
            *p++ = '0' + value / 100 % 10;
            *p++ = '0' + value / 10 % 10;
            *p++ = '0' + value % 10;

        } else {
            p = std::to_chars(p, number + sizeof(number), value).ptr;
        }

        *p++ = '\n';

        /* hundreds of thousands of lines: few and long pieces */

        out_->append(name_);
        out_->append(snapshot_->labels, sample.labels,
                     sample.labels_end - sample.labels);
        out_->append(family.values > 1 ? codes[i] : "} ");
        out_->append(number, p - number);
    }
}


bool
ngx_http_dynamic_weight_metrics_t::nodes(void)
{
    ngx_uint_t  n;

    if (i_ == 0) {
        head("upstream_server_info", "gauge",
             "The node's name as its cluster has it.");
    }

    const auto  &samples = snapshot_->nodes;

    for (n = 0; n < NGX_HTTP_DW_STATUS_SLOTS && i_ < samples.size(); n++) {
        const auto  &node = samples[i_++];
        const auto  &sample = snapshot_->servers[node.server];

        *out_ += NGX_HTTP_DW_METRIC "upstream_server_info{";
        out_->append(snapshot_->labels, sample.labels,
                     sample.labels_end - sample.labels);
        *out_ += ",node=\"";
        dynweight::AppendLabelValue(node.name, out_);
        *out_ += "\"} 1\n";
    }

    return i_ == samples.size();
}


/* as servers() */

bool
ngx_http_dynamic_weight_metrics_t::lines(void)
{
    ngx_uint_t         n;
    std::string        value;
    const LineFamily  &family = line_families[i_];

    if (sample_ == 0) {
        head(family.name, family.type, family.help);
    }

    const auto  &samples = snapshot_->lines;

    for (n = 0; n < NGX_HTTP_DW_STATUS_SLOTS && sample_ < samples.size(); n++) {

        const Line  &sample = samples[sample_++];

        value.clear();

        if (!family.value(sample, &value)) {
            continue;
        }

        *out_ += NGX_HTTP_DW_METRIC;
        *out_ += family.name;
        *out_ += '{';
        *out_ += sample.labels;
        *out_ += "} ";
        *out_ += value;
        *out_ += '\n';
    }

    if (sample_ < samples.size()) {
        return false;
    }

    sample_ = 0;

    return ++i_ == sizeof(line_families) / sizeof(line_families[0]);
}


std::unique_ptr<ngx_http_dynamic_weight_document_t>
ngx_http_dynamic_weight_metrics(const ngx_http_dynamic_weight_query_t &query)
{
    return std::make_unique<ngx_http_dynamic_weight_metrics_t>(query);
}
