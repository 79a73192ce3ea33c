// How what is known, the peers' health and readiness get into a new cycle before
// its workers start: from the zone of the cycle before, and, what is known, from
// the state file.

#include "ngx_module/core/ngx_dynamic_weight_zone.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "watcher/state/state_file.h"


static void ngx_dynamic_weight_read_views(ngx_shm_zone_t *shm_zone,
    const ngx_dynamic_weight_previous_t &previous,
    std::vector<dynweight::ClusterView> *held);


/*
 * A peer is the same under its address, whichever slot it has, and whichever
 * of the upstream's two groups.  A server's slot has a name that stands for
 * its address.
 */

void
ngx_dynamic_weight_inherit_health(
    const ngx_dynamic_weight_previous_t &previous, const uint64_t hashes[2],
    dynweight::PeerTable table)
{
    using Key = std::tuple<dynweight::IpAddress, in_port_t, std::string>;

    uint32_t                                                slot;
    dynweight::Peer                                         peer;
    std::multimap<Key, std::pair<dynweight::PeerTable, uint32_t>>  known;

    /* a node is known by its address alone: it may get its name later */

    auto key = [](const dynweight::PeerIdentity &identity) {
        return Key(identity.address, identity.port,
                   identity.address.family == dynweight::IpAddress::kNone
                   ? identity.node.data() : "");
    };

    for (int i = 0; i < 2; i++) {

        auto *a = ngx_dynamic_weight_previous_table(previous, hashes[i]);

        if (a == NULL) {
            continue;
        }

        auto old = dynweight::PeerTable::Attach(
                       previous.zone->shm.addr + a->offset, a->size);
        if (!old.ok()) {
            continue;
        }

        for (slot = 0; slot < old->capacity(); slot++) {
            if (old->Read(slot, &peer)) {
                known.emplace(key(peer.identity), std::pair(*old, slot));
            }
        }
    }

    if (known.empty()) {
        return;
    }

    for (slot = 0; slot < table.capacity(); slot++) {

        if (!table.Read(slot, &peer)) {
            continue;
        }

        auto it = known.find(key(peer.identity));

        if (it == known.end()) {
            continue;
        }

        auto [old, from] = it->second;

        /* a drained node would start anew */

        table.health(slot).CopyFrom(old.health(from),
                                    old.weight(from) != 0);

        table.counters(slot).down_since_ms.store(
            old.counters(from).down_since_ms.load(std::memory_order_relaxed),
            std::memory_order_relaxed);
        table.counters(slot).downtime_ms.store(
            old.counters(from).downtime_ms.load(std::memory_order_relaxed),
            std::memory_order_relaxed);

        /* of several with one address each has its own, in their order */

        if (known.count(it->first) > 1) {
            known.erase(it);
        }
    }
}


/*
 * While a cycle is being made, ngx_cycle is still the previous one; its zones
 * are freed only when the new cycle is complete.
 */

ngx_dynamic_weight_previous_t
ngx_dynamic_weight_find_previous(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t                       i;
    ngx_shm_zone_t                  *zone;
    ngx_list_part_t                 *part;
    ngx_slab_pool_t                 *shpool;
    ngx_dynamic_weight_root_t       *root;

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
            || (zone[i].init != ngx_dynamic_weight_init_zone
                && (zone[i].shm.name.len != shm_zone->shm.name.len
                    || ngx_strncmp(zone[i].shm.name.data,
                                   shm_zone->shm.name.data,
                                   shm_zone->shm.name.len) != 0)))
        {
            continue;
        }

        shpool = reinterpret_cast<ngx_slab_pool_t *>(zone[i].shm.addr);
        root = static_cast<ngx_dynamic_weight_root_t *>(shpool->data);

        if (root == NULL || root->magic != NGX_HTTP_DW_ZONE_MAGIC) {
            continue;
        }

        return { &zone[i], root };
    }
}


dynweight::TakenOver
ngx_dynamic_weight_held_views(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_dynamic_weight_previous_t &previous)
{
    std::vector<dynweight::ClusterView>  held;

    if (previous.root) {
        ngx_dynamic_weight_read_views(shm_zone, previous, &held);
    }

    if (!dmcf->config->state_file.empty()) {

        auto file = dynweight::ReadStateFile(dmcf->config->state_file);

        if (file.ok()) {
            std::move(file->begin(), file->end(), std::back_inserter(held));

        } else if (file.status().code() != absl::StatusCode::kNotFound) {
            std::string  why(file.status().message());

            ngx_log_error(NGX_LOG_ERR, shm_zone->shm.log, 0,
                          "the state file is skipped: %s", why.c_str());
        }
    }

    return dynweight::TakeOver(*dmcf->config, std::move(held),
                               ngx_dynamic_weight_unix_msec());
}


/* of each cluster of the previous cycle, and what that had retained */

static void
ngx_dynamic_weight_read_views(ngx_shm_zone_t *shm_zone,
    const ngx_dynamic_weight_previous_t &previous,
    std::vector<dynweight::ClusterView> *held)
{
    u_char  *base = previous.zone->shm.addr;

    for (size_t i = 0; i < previous.root->nviews; i++) {
        const auto &a = previous.root->areas[1 + i];

        auto document = dynweight::SharedDocument::Attach(base + a.offset,
                                                          a.size);
        if (!document.ok()) {
            continue;
        }

        auto view = dynweight::DecodeClusterView(document->ReadText());
        if (!view.ok()) {
            std::string  why(view.status().message());

            ngx_log_error(NGX_LOG_ERR, shm_zone->shm.log, 0,
                          "the last view of a cluster can't be inherited "
                          "over: %s", why.c_str());
            continue;
        }

        held->push_back(*std::move(view));
    }

    auto document = dynweight::SharedDocument::Attach(
                        base + previous.root->retained,
                        previous.root->retained_size);
    if (!document.ok()) {
        return;
    }

    auto views = dynweight::DecodeClusterViews(document->ReadText());

    if (views.ok()) {
        std::move(views->begin(), views->end(), std::back_inserter(*held));
    }
}


std::string
ngx_dynamic_weight_held_decisions(
    const ngx_dynamic_weight_previous_t &previous)
{
    if (previous.root == NULL) {
        return "";
    }

    const auto &a = previous.root->areas[0];

    auto document = dynweight::SharedDocument::Attach(
                        previous.zone->shm.addr + a.offset, a.size);

    return document.ok() ? document->ReadText() : "";
}


ngx_dynamic_weight_area_t *
ngx_dynamic_weight_previous_table(
    const ngx_dynamic_weight_previous_t &previous, uint64_t hash)
{
    for (size_t i = 0; previous.root && i < previous.root->ntables; i++) {
        auto *a = &previous.root->areas[1 + previous.root->nviews + i];

        if (a->hash == hash) {
            return a;
        }
    }

    return NULL;
}


bool
ngx_dynamic_weight_was_ready(
    const ngx_dynamic_weight_previous_t &previous, const uint64_t hashes[2])
{
    u_char                          *base = previous.zone->shm.addr;
    ngx_dynamic_weight_area_t       *a, *t, *areas = previous.root->areas;
    ngx_dynamic_weight_root_t       *root = previous.root;

    if (hashes == NULL) {

        if (root->ready.load(std::memory_order_relaxed)) {
            return true;
        }

    } else {
        t = ngx_dynamic_weight_previous_table(previous, hashes[0]);

        if (t && t->ready.load(std::memory_order_relaxed)) {
            return true;
        }
    }

    for (size_t i = 0; i < root->nlines; i++) {

        a = &areas[1 + root->nviews + root->ntables + i];
        t = &areas[a->table];

        if (hashes && t->hash != hashes[0] && t->hash != hashes[1]) {
            continue;
        }

        auto record = dynweight::SharedRecord<dynweight::LineRecord>::Attach(
                          base + a->offset, a->size);

        if (!record.ok()
            || !record->Read().value_or(dynweight::LineRecord()).known)
        {
            return false;
        }
    }

    return true;
}


/* the sequence goes on; a fresh one starts where chance says */

uint64_t
ngx_dynamic_weight_next_pick(
    const ngx_dynamic_weight_previous_t &previous, uint64_t hash)
{
    auto *a = ngx_dynamic_weight_previous_table(previous, hash);

    if (a) {
        auto table = dynweight::PeerTable::Attach(
                         previous.zone->shm.addr + a->offset, a->size);
        if (table.ok()) {
            return table->picks();
        }
    }

    return static_cast<uint64_t>(ngx_random()) << 31
           ^ static_cast<uint64_t>(ngx_random());
}
