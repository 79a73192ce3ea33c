// Which peers serve now. Each worker has an index of them for its picks, built
// anew when weights change, when passive health takes a peer out or brings one
// back, and when a peer that is out is due for a probe.
//
// So a peer that is out is no candidate, and costs the picks nothing. An index
// that is older than the table is harmless: what it names is looked at again.

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <algorithm>
#include <vector>


/*
 * Where health alone has changed, an index of n slots is built anew once in
 * n / 256 milliseconds at most: thousands of peers that go up and down cost
 * a worker some percent of its time, not all of it.
 */
#define NGX_HTTP_DW_SLOTS_PER_MSEC  256


static std::vector<uint8_t> ngx_dynamic_weight_ranks(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf);
static void ngx_dynamic_weight_build(
    ngx_http_dynamic_weight_srv_conf_t *dscf);
static bool ngx_dynamic_weight_panics(
    const ngx_http_dynamic_weight_srv_conf_t *dscf);
static bool ngx_dynamic_weight_build_group(
    ngx_dynamic_weight_group_t *group, bool health);


ngx_int_t
ngx_dynamic_weight_init_serving(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_dynamic_weight_group_t *group)
{
    ngx_uint_t                           i;
    std::vector<dynweight::SlotRange>    ranges;
    ngx_http_dynamic_weight_srv_conf_t  *dscf = group->conf.srv;

    for (i = 0; i < dscf->lines.nelts; i++) {
        const dynweight::LineConfig  &line =
                              dmcf->config->lines[dscf->first_line + i];

        /* behind another node are the same pods; an instance is its own */

        if (line.table == group->conf.id && !line.instances()) {
            ranges.push_back(line.range);
        }
    }

    /* a key's draws name the successor of its peer themselves */

    group->worker.serving = ngx_dynamic_weight_own(cycle->pool,
        new dynweight::ServingWeights(group->conf.nslots, std::move(ranges),
                                      dscf->hash_key == NULL));
    if (group->worker.serving == NULL) {
        return NGX_ERROR;
    }

    if (dscf->priorities > 1 && group == &dscf->primary) {
        group->worker.serving->SetPriorities(
            ngx_dynamic_weight_ranks(dmcf, dscf), dscf->overprovisioning);
    }

    group->worker.index = ngx_dynamic_weight_own(cycle->pool,
        new dynweight::PickIndex(group->conf.nslots));
    if (group->worker.index == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* of each primary slot: servers are of the first */

static std::vector<uint8_t>
ngx_dynamic_weight_ranks(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_uint_t                        i;
    std::vector<uint8_t>              ranks(dscf->primary.conf.nslots);
    const ngx_dynamic_weight_line_t  *conf;

    conf = static_cast<const ngx_dynamic_weight_line_t *>(dscf->lines.elts);

    for (i = 0; i < dscf->lines.nelts; i++) {
        const dynweight::LineConfig  &line =
                              dmcf->config->lines[dscf->first_line + i];

        if (!conf[i].backup) {
            std::fill_n(ranks.begin() + line.range.first, line.range.count,
                        static_cast<uint8_t>(conf[i].rank));
        }
    }

    return ranks;
}


void
ngx_dynamic_weight_refresh(ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    bool  stale = false;

    for (ngx_dynamic_weight_group_t *group
         : { &dscf->primary, &dscf->backup })
    {
        if (group->conf.nslots == 0) {
            continue;
        }

        if (group->worker.version != group->zone.table->version()) {
            ngx_dynamic_weight_build(dscf);
            return;
        }

        stale |= group->worker.health_version
                 != group->zone.table->health_version()
                 || static_cast<int64_t>(ngx_current_msec)
                    >= group->worker.next_probe;
    }

    if (stale
        && ngx_current_msec - dscf->refreshed
           >= (dscf->primary.conf.nslots + dscf->backup.conf.nslots)
              / NGX_HTTP_DW_SLOTS_PER_MSEC)
    {
        ngx_dynamic_weight_build(dscf);
    }
}


static void
ngx_dynamic_weight_build(ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    bool        any = false;
    ngx_uint_t  serving;

    dscf->refreshed = ngx_current_msec;

    for (ngx_dynamic_weight_group_t *group
         : { &dscf->primary, &dscf->backup })
    {
        if (group->conf.nslots) {
            any |= ngx_dynamic_weight_build_group(group, true);
        }
    }

    serving = dscf->primary.worker.index->nonzero()
              + dscf->primary.worker.serving->standing_by();

    if (dscf->backup.conf.nslots) {
        serving += dscf->backup.worker.index->nonzero();
    }

    /*
     * When all are out, that tells nothing: each is asked, as nginx asks a
     * server that is the only one.  So it is when the few that are left would
     * have the load of all.
     */

    dscf->all_out = any
                    && (serving == 0 || ngx_dynamic_weight_panics(dscf));
    dscf->single = serving <= 1;

    if (dscf->all_out) {

        for (ngx_dynamic_weight_group_t *group
             : { &dscf->primary, &dscf->backup })
        {
            if (group->conf.nslots) {
                (void) ngx_dynamic_weight_build_group(group, false);
            }
        }
    }
}


/* where a backup peer serves, requests have somewhere to go */

static bool
ngx_dynamic_weight_panics(const ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    if (dscf->backup.conf.nslots && dscf->backup.worker.index->nonzero()) {
        return false;
    }

    return dscf->primary.worker.serving->FewerThan(dscf->panic);
}


/* true when a peer is out; without health, none is */

static bool
ngx_dynamic_weight_build_group(ngx_dynamic_weight_group_t *group,
    bool health)
{
    uint64_t                         version;
    const dynweight::PeerTable      &table = *group->zone.table;
    ngx_dynamic_weight_slot_conf_t  *slots = group->conf.slots;

    /* read before what they are about: a later change moves them on again */

    version = table.version();

    if (group->worker.hash && group->worker.version != version) {
        group->worker.hash->Invalidate();
    }

    group->worker.version = version;
    group->worker.health_version = table.health_version();

    if (health) {
        group->worker.serving->Update(table, ngx_current_msec,
            [&](uint32_t i) { return slots[i].health; });

        group->worker.next_probe = group->worker.serving->next_probe_ms();

    } else {
        group->worker.serving->UpdateWithoutHealth(table);
    }

    const dynweight::ServingWeights  &serving = *group->worker.serving;

    group->worker.index->Build(group->conf.nslots,
        [&](uint32_t i) { return serving.weight(i); });

    return serving.out() != 0;
}


bool
ngx_dynamic_weight_is_out(const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_dynamic_weight_group_t *group, uint32_t slot)
{
    return !dscf->all_out
           && group->zone.table->health(slot).Out(ngx_current_msec,
                                             group->conf.slots[slot].health);
}
