// How the last good view, lines that are frozen and slow starts get into a new
// cycle before its workers start: from the zone of the cycle before, or, the
// view, from the state file.

#include "ngx_http_dynamic_weight_zone.h"

#include <map>
#include <string>
#include <utility>

#include "watcher/state_file.h"


/* a line as the former cycle has it */

typedef struct {
    dynweight::PeerTable                         table;
    uint32_t                                     first;    /* of its slots */
    uint32_t                                     count;
    dynweight::SharedRecord<dynweight::LineRecord>
                                                 record;
} ngx_http_dynamic_weight_former_line_t;


static std::optional<ngx_http_dynamic_weight_former_line_t>
    ngx_http_dynamic_weight_find_line(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line,
    const ngx_http_dynamic_weight_former_t &former);
static std::optional<dynweight::LineWeight> ngx_http_dynamic_weight_copy_line(
    const ngx_http_dynamic_weight_former_line_t &old,
    const dynweight::LineConfig &line, dynweight::PeerTable table);
static void ngx_http_dynamic_weight_resume_slow_starts(
    const ngx_http_dynamic_weight_former_line_t &old,
    const dynweight::LineConfig &line, dynweight::PeerTable table);


uint64_t
ngx_http_dynamic_weight_line_hash(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line)
{
    return std::hash<std::string>()(
               line.upstream + '\0' + dmcf->config->clusters[line.cluster].name
               + '\0' + line.source.Key() + '\0' + std::to_string(line.port));
}


std::optional<dynweight::LineWeight>
ngx_http_dynamic_weight_seed_line(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line, const dynweight::ClusterView &view,
    dynweight::PeerTable table,
    const ngx_http_dynamic_weight_former_t &former)
{
    bool                                   freeze = false;
    std::optional<dynweight::HeldTarget>   held;
    std::optional<dynweight::LineTarget>   target;
    std::optional<dynweight::LineWeight>   frozen;

    dynweight::Tuning::Selection  rules = dmcf->tuning.rules->Select(
        line.upstream, dmcf->config->clusters[line.cluster].name);

    for (const dynweight::TuningRule *rule : rules) {
        freeze |= rule->freeze.value_or(false);
    }

    auto old = ngx_http_dynamic_weight_find_line(dmcf, line, former);

    if (freeze && old) {
        frozen = ngx_http_dynamic_weight_copy_line(*old, line, table);
    }

    if (frozen) {
        held = dynweight::ResumeFreeze(line, *frozen, rules, table);
    }

    target = dynweight::TargetOf(line, view, rules, &held);

    if (!target) {
        return std::nullopt;
    }

    dynweight::ApplySlotWrites(table, dynweight::PlanLine(line, *target, rules,
                                                          table));

    if (old) {
        ngx_http_dynamic_weight_resume_slow_starts(*old, line, table);
    }

    return target->weight;
}


static std::optional<ngx_http_dynamic_weight_former_line_t>
ngx_http_dynamic_weight_find_line(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line,
    const ngx_http_dynamic_weight_former_t &former)
{
    u_char                          *base;
    uint64_t                         i, hash;
    ngx_http_dynamic_weight_area_t  *a, *t;
    ngx_http_dynamic_weight_root_t  *root = former.root;

    if (root == NULL) {
        return std::nullopt;
    }

    hash = ngx_http_dynamic_weight_line_hash(dmcf, line);
    a = &root->areas[1 + root->nviews + root->ntables];

    for (i = 0; i < root->nlines && a->hash != hash; i++) {
        a++;
    }

    if (i == root->nlines) {
        return std::nullopt;
    }

    base = former.zone->shm.addr;
    t = &root->areas[a->table];

    auto table = dynweight::PeerTable::Attach(base + t->offset, t->size);
    auto record = dynweight::SharedRecord<dynweight::LineRecord>::Attach(
                      base + a->offset, a->size);

    if (!table.ok() || !record.ok()) {
        return std::nullopt;
    }

    return ngx_http_dynamic_weight_former_line_t{
               *table, static_cast<uint32_t>(a->first),
               static_cast<uint32_t>(a->count), *record };
}


/*
 * What is frozen is not computed again: the slots as the former cycle has
 * them; and its weight, if the whole line was frozen then.
 */

static std::optional<dynweight::LineWeight>
ngx_http_dynamic_weight_copy_line(
    const ngx_http_dynamic_weight_former_line_t &old,
    const dynweight::LineConfig &line, dynweight::PeerTable table)
{
    uint32_t         i;
    dynweight::Peer  peer;

    for (i = 0; i < ngx_min(old.count, line.range.count); i++) {

        if (old.table.Read(old.first + i, &peer)) {
            table.SetPeer(line.range.first + i, peer.identity);
            table.SetWeight(line.range.first + i,
                            old.table.weight(old.first + i));
        }
    }

    return dynweight::FrozenWeight(old.record.Read()
                                   .value_or(dynweight::LineRecord()));
}


/* a node's share goes on growing from when it joined, or came back */

static void
ngx_http_dynamic_weight_resume_slow_starts(
    const ngx_http_dynamic_weight_former_line_t &old,
    const dynweight::LineConfig &line, dynweight::PeerTable table)
{
    int64_t                                  since;
    uint32_t                                 i, slot;
    dynweight::Peer                          peer;
    std::map<dynweight::IpAddress, int64_t>  started;

    for (i = 0; i < old.count; i++) {
        slot = old.first + i;
        since = old.table.health(slot).started_ms();

        /* a drained node would start anew */

        if (since && old.table.weight(slot) && old.table.Read(slot, &peer)) {
            started[peer.identity.address] = since;
        }
    }

    if (started.empty()) {
        return;
    }

    for (i = 0; i < line.range.count; i++) {
        slot = line.range.first + i;

        if (!table.Read(slot, &peer)) {
            continue;
        }

        auto it = started.find(peer.identity.address);

        if (it != started.end()) {
            table.health(slot).StartSlowly(it->second);
        }
    }
}


/*
 * While a cycle is being made, ngx_cycle is still the former one; its zones
 * are freed only when the new cycle is complete.
 */

ngx_http_dynamic_weight_former_t
ngx_http_dynamic_weight_find_former(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t                       i;
    ngx_shm_zone_t                  *zone;
    ngx_list_part_t                 *part;
    ngx_slab_pool_t                 *shpool;
    ngx_http_dynamic_weight_root_t  *root;

    part = const_cast<ngx_list_part_t *>(&ngx_cycle->shared_memory.part);
    zone = static_cast<ngx_shm_zone_t *>(part->elts);

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return { NULL, NULL };
            }

            part = part->next;
            zone = static_cast<ngx_shm_zone_t *>(part->elts);
            i = 0;
        }

        /* by its name, or under another one by what fills it */

        if (&zone[i] == shm_zone
            || zone[i].shm.addr == NULL
            || (zone[i].init != ngx_http_dynamic_weight_init_zone
                && (zone[i].shm.name.len != shm_zone->shm.name.len
                    || ngx_strncmp(zone[i].shm.name.data,
                                   shm_zone->shm.name.data,
                                   shm_zone->shm.name.len) != 0)))
        {
            continue;
        }

        shpool = reinterpret_cast<ngx_slab_pool_t *>(zone[i].shm.addr);
        root = static_cast<ngx_http_dynamic_weight_root_t *>(shpool->data);

        if (root == NULL || root->magic != NGX_HTTP_DW_ZONE_MAGIC) {
            continue;
        }

        return { &zone[i], root };
    }
}


std::vector<dynweight::ClusterView>
ngx_http_dynamic_weight_held_views(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_former_t &former)
{
    int64_t                              now;
    std::vector<dynweight::ClusterView>  views, held;

    now = ngx_http_dynamic_weight_unix_msec();

    if (former.root) {

        for (size_t i = 0; i < former.root->nviews; i++) {
            const auto &a = former.root->areas[1 + i];

            auto document = dynweight::SharedDocument::Attach(
                                former.zone->shm.addr + a.offset, a.size);
            if (!document.ok()) {
                continue;
            }

            auto view = dynweight::DecodeClusterView(document->ReadText());
            if (!view.ok()) {
                std::string  why(view.status().message());

                ngx_log_error(NGX_LOG_ERR, shm_zone->shm.log, 0,
                              "the last view of a cluster can't be carried "
                              "over: %s", why.c_str());
                continue;
            }

            held.push_back(*std::move(view));
        }

    } else if (!dmcf->config->state_file.empty()) {

        auto file = dynweight::ReadStateFile(dmcf->config->state_file);

        if (file.ok()) {
            held = *std::move(file);

        } else if (file.status().code() != absl::StatusCode::kNotFound) {
            std::string  why(file.status().message());

            ngx_log_error(NGX_LOG_ERR, shm_zone->shm.log, 0,
                          "the state file is passed over: %s", why.c_str());
        }
    }

    for (size_t c = 0; c < dmcf->config->clusters.size(); c++) {

        views.push_back(dynweight::InitialView(dmcf->config->clusters[c], now));

        for (const dynweight::ClusterView &view : held) {
            if (view.cluster == dmcf->config->clusters[c].name) {
                dynweight::AdoptHeldView(*dmcf->config, c, view, &views[c]);
            }
        }
    }

    return views;
}


std::string
ngx_http_dynamic_weight_held_decisions(
    const ngx_http_dynamic_weight_former_t &former)
{
    if (former.root == NULL) {
        return "";
    }

    const auto &a = former.root->areas[0];

    auto document = dynweight::SharedDocument::Attach(
                        former.zone->shm.addr + a.offset, a.size);

    return document.ok() ? document->ReadText() : "";
}


/* the sequence goes on; a fresh one starts where chance says */

uint64_t
ngx_http_dynamic_weight_next_pick(
    const ngx_http_dynamic_weight_former_t &former, uint64_t hash)
{
    for (size_t i = 0; former.root && i < former.root->ntables; i++) {
        const auto &a = former.root->areas[1 + former.root->nviews + i];

        if (a.hash != hash) {
            continue;
        }

        auto table = dynweight::PeerTable::Attach(
                         former.zone->shm.addr + a.offset, a.size);
        if (table.ok()) {
            return table->picks();
        }
    }

    return static_cast<uint64_t>(ngx_random()) << 31
           ^ static_cast<uint64_t>(ngx_random());
}
