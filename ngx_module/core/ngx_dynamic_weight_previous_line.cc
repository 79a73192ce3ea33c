// How the lines of a new cycle get their slots before its workers start: from
// what is known; while they are frozen, as they are in the cycle before; and
// while nothing is known, from the line that they go on as.

#include "ngx_module/core/ngx_dynamic_weight_zone.h"

#include <set>
#include <string>
#include <vector>


static std::optional<ngx_dynamic_weight_previous_line_t>
    ngx_dynamic_weight_find_line(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line,
    const ngx_dynamic_weight_previous_t &previous);
static std::optional<ngx_dynamic_weight_previous_line_t>
    ngx_dynamic_weight_open_line(
    const ngx_dynamic_weight_previous_t &previous, uint64_t i);
static std::optional<dynweight::LineWeight> ngx_dynamic_weight_stand_in(
    const ngx_dynamic_weight_previous_line_t &old,
    const dynweight::LineConfig &line, dynweight::PeerTable table,
    uint64_t scale);
static std::optional<dynweight::LineWeight> ngx_dynamic_weight_copy_line(
    const ngx_dynamic_weight_previous_line_t &old,
    const dynweight::LineConfig &line, dynweight::PeerTable table);


uint64_t
ngx_dynamic_weight_line_hash(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line)
{
    return std::hash<std::string>()(
               line.upstream + '\0' + dmcf->config->clusters[line.cluster].name
               + '\0' + line.source + '\0' + std::to_string(line.port));
}


std::optional<dynweight::LineWeight>
ngx_dynamic_weight_seed_line(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line, const dynweight::ClusterView &view,
    dynweight::PeerTable table, uint64_t scale,
    const std::optional<ngx_dynamic_weight_previous_line_t> &stand_in,
    const ngx_dynamic_weight_previous_t &previous)
{
    bool                                   freeze = false;
    std::optional<dynweight::HeldTarget>   held;
    std::optional<dynweight::LineTarget>   target;
    std::optional<dynweight::LineWeight>   frozen;

    dynweight::Tuning::Selection  rules = dmcf->tuning.rules->Select(
        line.upstream, dmcf->config->clusters[line.cluster].name);

    freeze = dynweight::LineFreeze(rules) != NULL;

    auto old = ngx_dynamic_weight_find_line(dmcf, line, previous);

    if (freeze && old) {
        frozen = ngx_dynamic_weight_copy_line(*old, line, table);
    }

    if (frozen) {
        held = dynweight::ResumeFreeze(line, *frozen, rules, table);
    }

    target = dynweight::TargetOf(line, view, rules, &held);

    if (!target) {
        return stand_in ? ngx_dynamic_weight_stand_in(*stand_in, line,
                                                      table, scale)
                        : std::nullopt;
    }

    target->weight.scale = scale;

    dynweight::ApplySlotWrites(table,
        dynweight::PlanLine(line, *target, rules, table,
                            freeze && old
                            ? old->record.Read()
                                  .value_or(dynweight::LineRecord()).scale
                            : 1));

    return target->weight;
}


uint64_t
ngx_dynamic_weight_largest(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line, const dynweight::ClusterView &view,
    const std::optional<ngx_dynamic_weight_previous_line_t> &stand_in,
    const ngx_dynamic_weight_previous_t &previous)
{
    uint64_t                               largest;
    std::optional<dynweight::HeldTarget>   held;
    std::optional<dynweight::LineWeight>   frozen;

    dynweight::Tuning::Selection  rules = dmcf->tuning.rules->Select(
        line.upstream, dmcf->config->clusters[line.cluster].name);

    auto target = dynweight::TargetOf(line, view, rules, &held);

    largest = target ? dynweight::LargestWeight(line, *target, rules) : 0;

    if (!target && stand_in) {
        auto record = stand_in->record.Read().value_or(dynweight::LineRecord());

        largest = record.weight * record.scale;
    }

    if (dynweight::LineFreeze(rules)) {
        auto old = ngx_dynamic_weight_find_line(dmcf, line, previous);

        if (old) {
            frozen = dynweight::FrozenWeight(old->record.Read()
                                         .value_or(dynweight::LineRecord()));
        }

        if (frozen) {
            largest = frozen->weight;
        }
    }

    return largest;
}


static std::optional<ngx_dynamic_weight_previous_line_t>
ngx_dynamic_weight_find_line(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line,
    const ngx_dynamic_weight_previous_t &previous)
{
    uint64_t                         i, hash;
    ngx_dynamic_weight_area_t       *a;
    ngx_dynamic_weight_root_t       *root = previous.root;

    if (root == NULL) {
        return std::nullopt;
    }

    hash = ngx_dynamic_weight_line_hash(dmcf, line);
    a = &root->areas[1 + root->nviews + root->ntables];

    for (i = 0; i < root->nlines && a->hash != hash; i++) {
        a++;
    }

    if (i == root->nlines) {
        return std::nullopt;
    }

    return ngx_dynamic_weight_open_line(previous, i);
}


static std::optional<ngx_dynamic_weight_previous_line_t>
ngx_dynamic_weight_open_line(
    const ngx_dynamic_weight_previous_t &previous, uint64_t i)
{
    u_char                          *base = previous.zone->shm.addr;
    ngx_dynamic_weight_root_t       *root = previous.root;
    ngx_dynamic_weight_area_t       *a, *t;

    a = &root->areas[1 + root->nviews + root->ntables + i];
    t = &root->areas[a->table];

    auto table = dynweight::PeerTable::Attach(base + t->offset, t->size);
    auto record = dynweight::SharedRecord<dynweight::LineRecord>::Attach(
                      base + a->offset, a->size);

    if (!table.ok() || !record.ok()) {
        return std::nullopt;
    }

    return ngx_dynamic_weight_previous_line_t{
               *table, static_cast<uint32_t>(a->first),
               static_cast<uint32_t>(a->count), *record };
}


std::vector<std::optional<ngx_dynamic_weight_previous_line_t>>
ngx_dynamic_weight_stand_ins(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const std::vector<dynweight::ClusterView> &views,
    const ngx_dynamic_weight_previous_t &previous)
{
    std::set<uint64_t>               asked;
    std::set<size_t>                 used;
    ngx_dynamic_weight_root_t       *root = previous.root;

    const std::vector<dynweight::LineConfig>  &lines = dmcf->config->lines;

    std::vector<std::optional<ngx_dynamic_weight_previous_line_t>>
        found(lines.size());

    if (root == NULL) {
        return found;
    }

    for (const dynweight::LineConfig &line : lines) {
        asked.insert(ngx_dynamic_weight_line_hash(dmcf, line));
    }

    auto known = [](const auto &old) {
        return old && old->record.Read().value_or(dynweight::LineRecord())
                          .known;
    };

    for (size_t n = 0; n < lines.size(); n++) {

        if (dynweight::ComputeLineWeight(lines[n], views[lines[n].cluster])) {
            continue;
        }

        auto own = ngx_dynamic_weight_find_line(dmcf, lines[n], previous);

        if (known(own)) {
            found[n] = own;
            continue;
        }

        for (size_t i = 0; i < root->nlines && !found[n]; i++) {
            const auto  &a = root->areas[1 + root->nviews + root->ntables + i];

            uint64_t  owner = root->areas[a.table].hash;

            if (asked.count(a.hash) || used.count(i)
                || (owner != ngx_dynamic_weight_table_hash(
                                 lines[n].upstream, false)
                    && owner != ngx_dynamic_weight_table_hash(
                                    lines[n].upstream, true)))
            {
                continue;
            }

            auto old = ngx_dynamic_weight_open_line(previous, i);

            if (known(old)) {
                found[n] = old;
                used.insert(i);
            }
        }
    }

    return found;
}


/* the slots as they are there, and the weight, in this table's scale */

static std::optional<dynweight::LineWeight>
ngx_dynamic_weight_stand_in(
    const ngx_dynamic_weight_previous_line_t &old,
    const dynweight::LineConfig &line, dynweight::PeerTable table,
    uint64_t scale)
{
    uint32_t               i, slot;
    uint64_t               previous;
    dynweight::LineWeight  weight;

    auto record = old.record.Read().value_or(dynweight::LineRecord());

    previous = ngx_max(record.scale, static_cast<uint64_t>(1));

    (void) ngx_dynamic_weight_copy_line(old, line, table);

    for (i = 0; i < line.range.count; i++) {
        slot = line.range.first + i;
        table.SetWeight(slot, dynweight::ScaledWeight(
                                  table.weight(slot) * previous, scale));
    }

    weight.pods = record.pods;
    weight.ingress_nodes = record.ingress_nodes;
    weight.used_nodes = record.used_nodes;
    weight.drained_nodes = record.drained_nodes;
    weight.weight = record.weight * previous;
    weight.scale = scale;
    weight.provisional = true;

    return weight;
}


uint64_t
ngx_dynamic_weight_table_hash(std::string_view upstream, bool backup)
{
    return std::hash<std::string_view>()(upstream) * 2 + backup;
}


/*
 * What is frozen is not computed again: the slots as the previous cycle has
 * them; and its weight, if the whole line was frozen then.
 */

static std::optional<dynweight::LineWeight>
ngx_dynamic_weight_copy_line(
    const ngx_dynamic_weight_previous_line_t &old,
    const dynweight::LineConfig &line, dynweight::PeerTable table)
{
    bool                   fits;
    uint32_t               i, slot, end;
    dynweight::Peer        peer;
    std::vector<uint32_t>  slots;

    /* each keeps its place; with too few of them those that serve come first */

    fits = old.count <= line.range.count;

    for (bool serves : { true, false }) {

        for (i = old.first; i < old.first + old.count; i++) {

            if (fits ? serves : serves == (old.table.weight(i) != 0)) {
                slots.push_back(i);
            }
        }
    }

    slots.resize(ngx_min(old.count, line.range.count));

    end = line.range.first + slots.size();

    for (slot = line.range.first; slot < end; slot++) {
        i = slots[slot - line.range.first];

        if (old.table.Read(i, &peer)) {
            table.SetPeer(slot, peer.identity);
            table.SetZone(slot, old.table.zone(i));
            table.SetWeight(slot, old.table.weight(i));
        }
    }

    return dynweight::FrozenWeight(old.record.Read()
                                   .value_or(dynweight::LineRecord()));
}
