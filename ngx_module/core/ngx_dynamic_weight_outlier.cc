// See the header.

#include "ngx_module/core/ngx_dynamic_weight_outlier.h"


static void ngx_dynamic_weight_write_ejection(ngx_dynamic_weight_group_t *group,
    const dynweight::EjectionWrite &write);


void
ngx_dynamic_weight_begin_outliers(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    uint32_t               slot;
    ngx_uint_t             i;
    dynweight::PeerTable  *table;

    for (i = 0; i < dmcf->ntables; i++) {

        if (dmcf->groups[i]->conf.srv->outlier_place.file) {
            continue;
        }

        table = dmcf->groups[i]->zone.table;

        for (slot = 0; slot < table->capacity(); slot++) {
            table->health(slot).SetEjection(dynweight::Ejection());
        }
    }
}


void
ngx_dynamic_weight_write_ejections(ngx_dynamic_weight_group_t *group,
    absl::Span<const dynweight::EjectionWrite> writes)
{
    for (const dynweight::EjectionWrite &write : writes) {

        if (group->zone.table->generation(write.slot) == write.generation) {
            ngx_dynamic_weight_write_ejection(group, write);
        }
    }

    group->zone.table->HealthChanged();
}


static void
ngx_dynamic_weight_write_ejection(ngx_dynamic_weight_group_t *group,
    const dynweight::EjectionWrite &write)
{
    int64_t                 none;
    dynweight::PeerTable   *table = group->zone.table;
    dynweight::PeerHealth  &health = table->health(write.slot);

    health.SetEjection(write.ejection);

    if (!write.begins) {
        return;
    }

    /* a slow start from when it ends */

    health.StartSlowly(write.ejection.until_ms);

    table->CountEjection();

    /* a peer that failed before goes on being out */

    none = 0;
    table->counters(write.slot).down_since_ms.compare_exchange_strong(none,
        ngx_max(static_cast<int64_t>(ngx_current_msec), 1),
        std::memory_order_relaxed);
}
