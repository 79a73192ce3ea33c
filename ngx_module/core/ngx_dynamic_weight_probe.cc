// See the header.

#include "ngx_module/core/ngx_dynamic_weight_probe.h"

#include "ngx_module/core/ngx_dynamic_weight_cluster.h"

#include <math.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "watcher/config/probe_plan.h"
#include "watcher/transport/credential_files.h"
#include "watcher/transport/credentials_look.h"
#include "weightcalc/clock.h"


static absl::Status ngx_dynamic_weight_probe_trust(ngx_conf_t *cf,
    dynweight::ProbeConfig *probe);
static void ngx_dynamic_weight_write_probe(ngx_dynamic_weight_group_t *group,
    const dynweight::ProbeWrite &write);


/* probe http|https|tcp|tls [port=] ... */

char *
ngx_dynamic_weight_probe(ngx_conf_t *cf, ngx_dynamic_weight_block_t *block,
    ngx_str_t *value)
{
    ngx_uint_t                     i;
    std::vector<std::string_view>  words;

    for (i = 1; i < cf->args->nelts; i++) {
        words.push_back(ngx_dynamic_weight_view(value[i]));
    }

    auto probe = ngx_dynamic_weight_read_probe(cf, words);

    if (!probe.ok()) {
        std::string  text(probe.status().message());

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"probe\" of cluster \"%V\": %s",
                           &block->name, text.c_str());
        return NGX_HTTP_DW_CONF_ERROR;
    }

    block->cluster->probe = *std::move(probe);

    return NGX_CONF_OK;
}


absl::StatusOr<dynweight::ProbeConfig>
ngx_dynamic_weight_read_probe(ngx_conf_t *cf,
    const std::vector<std::string_view> &words)
{
    absl::Status  status;

    auto probe = dynweight::ProbeConfig::Parse(words);

    if (!probe.ok()) {
        return probe;
    }

    status = ngx_dynamic_weight_probe_trust(cf, &*probe);

    if (!status.ok()) {
        return status;
    }

    return probe;
}


/* as proxy_ssl_trusted_certificate it is read with the configuration alone */

static absl::Status
ngx_dynamic_weight_probe_trust(ngx_conf_t *cf, dynweight::ProbeConfig *probe)
{
    ngx_str_t                   file;
    dynweight::CredentialFiles  files;

    probe->trust.tls_verify = !probe->ca_file.empty();

    if (probe->ca_file.empty()) {
        return absl::OkStatus();
    }

    file.len = probe->ca_file.size();
    file.data = reinterpret_cast<u_char *>(&probe->ca_file[0]);

    if (ngx_conf_full_name(cf->cycle, &file, 1) != NGX_OK) {
        return absl::ResourceExhaustedError("no memory");
    }

    probe->trust.ca_file = ngx_dynamic_weight_view(file);

    absl::Status  status = dynweight::CheckCredentials(probe->trust);

    if (!status.ok()) {
        return status;
    }

    auto text = files.Read(probe->trust.ca_file,
                           dynweight::kMaxCertificateBytes);
    if (!text.ok()) {
        return text.status();
    }

    probe->trust.ca_data = *std::move(text);
    probe->trust.ca_file.clear();

    return absl::OkStatus();
}


ngx_int_t
ngx_dynamic_weight_check_probe(ngx_conf_t *cf,
    const dynweight::WatcherConfig &config, uint32_t cluster,
    const ngx_dynamic_weight_place_t &place)
{
    const dynweight::ClusterConfig  &conf = config.clusters[cluster];

    if (conf.probe && dynweight::MaxProbeTargets(config, cluster) == 0) {
        return ngx_dynamic_weight_wrong(cf, place,
                  "\"probe\" of cluster \"%s\" has nothing to probe, as no "
                  "upstream has its ingress nodes as peers: remove it, or "
                  "write \"ingress_nodes %s ...\" in an upstream, for the "
                  "block",
                  conf.name.c_str(), conf.name.c_str());
    }

    return NGX_OK;
}


void
ngx_dynamic_weight_tell_probes(ngx_conf_t *cf,
    const dynweight::WatcherConfig &config)
{
    for (const dynweight::PlannedProbe &probe
         : dynweight::MakeProbePlan(config).probes)
    {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "%s: at most %ui probes a second, of %uD "
                      "addresses and ports (%s) each %L ms, from each edge",
                      probe.owner.c_str(),
                      static_cast<ngx_uint_t>(ceil(probe.Rate())),
                      probe.targets, probe.config->Text().c_str(),
                      probe.config->interval_ms);
    }
}


void
ngx_dynamic_weight_begin_probes(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    int64_t                 now;
    uint32_t                slot;
    ngx_uint_t              i;
    dynweight::PeerTable   *table;
    dynweight::ProbeResult  unknown;

    now = dynweight::SystemClock().MonotonicMs();

    const dynweight::ProbePlan  plan = dynweight::MakeProbePlan(*dmcf->config);

    for (i = 0; i < dmcf->ntables; i++) {
        table = dmcf->groups[i]->zone.table;

        const std::vector<uint16_t>  tags =
                          dynweight::ProbeTags(plan, i, table->capacity());

        for (slot = 0; slot < table->capacity(); slot++) {
            unknown.tag = tags[slot];

            if (dynweight::ProbeResult::Decode(table->health(slot).probe()).tag
                != unknown.tag)
            {
                (void) table->health(slot).SetProbe(unknown.Encode(), now);
            }
        }
    }
}


void
ngx_dynamic_weight_write_probes(ngx_dynamic_weight_group_t *group,
    absl::Span<const dynweight::ProbeWrite> writes)
{
    for (const dynweight::ProbeWrite &write : writes) {

        if (group->zone.table->generation(write.slot) == write.generation) {
            ngx_dynamic_weight_write_probe(group, write);
        }
    }

    group->zone.table->HealthChanged();
}


static void
ngx_dynamic_weight_write_probe(ngx_dynamic_weight_group_t *group,
    const dynweight::ProbeWrite &write)
{
    bool                             back;
    int64_t                          now, since, none;
    dynweight::PeerTable            *table = group->zone.table;
    dynweight::PeerHealth           &health = table->health(write.slot);
    dynweight::PeerCounters         &counters = table->counters(write.slot);

    now = ngx_max(static_cast<int64_t>(ngx_current_msec), 1);

    back = health.SetProbe(write.word, now);

    if (health.ProbedOut()) {
        /* a peer that failed before goes on being out */
        none = 0;
        counters.down_since_ms.compare_exchange_strong(none, now,
                                                   std::memory_order_relaxed);
        return;
    }

    if (!back) {
        return;
    }

    /*
     * It passes, or probes do not count any more. Failures of before are
     * forgotten in the first case alone: in the other requests must find out.
     */

    if (dynweight::ProbeResult::Decode(write.word).result
        == dynweight::ProbeResult::kPassing)
    {
        (void) health.Restore(group->conf.slots[write.slot].health);
        health.StartSlowly(now);
    }

    if (!health.Failed(group->conf.slots[write.slot].health)
        && !health.Ejected(now))
    {
        since = counters.down_since_ms.exchange(0, std::memory_order_relaxed);

        if (since) {
            counters.downtime_ms.fetch_add(ngx_max(now - since, 0),
                                           std::memory_order_relaxed);
        }
    }
}
