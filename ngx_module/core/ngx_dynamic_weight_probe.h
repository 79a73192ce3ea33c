// Probes of a cluster's ingress nodes and of an upstream's peers: what the
// configuration says of them, and their results in shared memory. Who probes, and
// when, is watcher/probe/.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PROBE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PROBE_H_

#include "ngx_module/core/ngx_dynamic_weight.h"

#include "absl/types/span.h"


/* the words behind "probe", and the file of ca_file= */
absl::StatusOr<dynweight::ProbeConfig> ngx_dynamic_weight_read_probe(
    ngx_conf_t *cf, const std::vector<std::string_view> &words);

/*
 * When all lines are known: refuses a probe of a cluster that has no ingress
 * nodes as peers.
 */
ngx_int_t ngx_dynamic_weight_check_probe(ngx_conf_t *cf,
    const dynweight::WatcherConfig &config, uint32_t cluster,
    const ngx_dynamic_weight_place_t &place);

/* when everything is known: tells how many probes a second there may be */
void ngx_dynamic_weight_tell_probes(ngx_conf_t *cf,
    const dynweight::WatcherConfig &config);

/*
 * The peers of a new zone, once they have what they inherit: results of a probe
 * that is not asked for any more, or that is another one now, are forgotten.
 */
void ngx_dynamic_weight_begin_probes(
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* worker 0: words for peers of the group; whoever has left gets none */
void ngx_dynamic_weight_write_probes(ngx_dynamic_weight_group_t *group,
    absl::Span<const dynweight::ProbeWrite> writes);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PROBE_H_
