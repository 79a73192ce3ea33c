// Ejections of peers that answer badly, in shared memory. Who is ejected, and
// for how long, is watcher/outlier/.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_OUTLIER_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_OUTLIER_H_

#include "ngx_module/core/ngx_dynamic_weight.h"

#include "absl/types/span.h"


/*
 * The peers of a new zone, once they have what they inherit: ejections of an
 * upstream that has no dynamic_weight_outlier any more are over.
 */
void ngx_dynamic_weight_begin_outliers(
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* worker 0: for peers of the group; whoever has left is not ejected */
void ngx_dynamic_weight_write_ejections(ngx_dynamic_weight_group_t *group,
    absl::Span<const dynweight::EjectionWrite> writes);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_OUTLIER_H_
