// The watcher's updates on their way into shared memory, in worker 0.
//
//   none ──► tables ─► health ─► lines ─► tuning ─► documents ─► log ──► none
//       taken   └─────────┴────────┬──▲──┴───────────┴──────────┘   done
//            0.3 ms are over, or   │  │   the event loop has had its turn, or
//            there is no memory    ▼  │   a second is over: where it stopped
//                                waiting
//
// So no request waits for a large one. A table is published when all of its
// writes are in, a document is shown when it is whole, and what tells of the
// weights comes after them. One update is applied at a time; when the worker is
// to quit, what is left of it at once. Who waits, and for what, is _watch.cc.

#include "ngx_module/core/ngx_dynamic_weight_apply.h"
#include "ngx_module/core/ngx_dynamic_weight_outlier.h"
#include "ngx_module/core/ngx_dynamic_weight_probe.h"

#include <time.h>

#include <string>
#include <utility>


/* how long the event loop may be held, and how often the clock is looked at */
#define NGX_HTTP_DW_PIECE_NSEC    300000
#define NGX_HTTP_DW_PIECE_WRITES  256
#define NGX_HTTP_DW_PIECE_BYTES   16384


static bool ngx_dynamic_weight_apply_tables(
    ngx_dynamic_weight_apply_t *apply, int64_t end);
static bool ngx_dynamic_weight_apply_health(
    ngx_dynamic_weight_apply_t *apply, int64_t end);
static bool ngx_dynamic_weight_apply_lines(
    ngx_dynamic_weight_apply_t *apply, int64_t end);
static bool ngx_dynamic_weight_apply_tuning(
    ngx_dynamic_weight_apply_t *apply, int64_t end);
static bool ngx_dynamic_weight_apply_documents(
    ngx_dynamic_weight_apply_t *apply, int64_t end);
static bool ngx_dynamic_weight_apply_log(
    ngx_dynamic_weight_apply_t *apply, int64_t end);
static ngx_uint_t ngx_dynamic_weight_log_level(
    dynweight::LogLine::Level level);


void
ngx_dynamic_weight_begin_update(ngx_dynamic_weight_apply_t *apply,
    std::unique_ptr<dynweight::Update> update)
{
    apply->update = std::move(update);
    apply->table = 0;
    apply->write = 0;
    apply->probe = 0;
    apply->ejection = 0;
    apply->line = 0;
    apply->mark = 0;
    apply->text = 0;
    apply->offset = 0;
    apply->message = 0;
}


static int64_t
ngx_dynamic_weight_nsec(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return static_cast<int64_t>(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}


/* each part goes on where it stopped, and does nothing when it is done */

bool
ngx_dynamic_weight_apply_piece(ngx_dynamic_weight_apply_t *apply)
{
    int64_t  end = ngx_dynamic_weight_nsec() + NGX_HTTP_DW_PIECE_NSEC;

    return ngx_dynamic_weight_apply_tables(apply, end)
           && ngx_dynamic_weight_apply_health(apply, end)
           && ngx_dynamic_weight_apply_lines(apply, end)
           && ngx_dynamic_weight_apply_tuning(apply, end)
           && ngx_dynamic_weight_apply_documents(apply, end)
           && ngx_dynamic_weight_apply_log(apply, end);
}


static bool
ngx_dynamic_weight_apply_tables(ngx_dynamic_weight_apply_t *apply,
    int64_t end)
{
    dynweight::Update  *update = apply->update.get();

    while (apply->table < update->tables.size()) {

        dynweight::TableUpdate  &table = update->tables[apply->table];

        auto writes = absl::MakeConstSpan(table.writes)
                      .subspan(apply->write, NGX_HTTP_DW_PIECE_WRITES);

        dynweight::ApplySlotWrites(apply->tables[table.table], writes,
                                   ngx_current_msec);

        apply->write += writes.size();

        if (apply->write == table.writes.size()) {
            apply->tables[table.table].Publish();
            ngx_dynamic_weight_restart_share(table.table);
            apply->table++;
            apply->write = 0;
        }

        if (ngx_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    return true;
}


/* `next` of the tables is the one that comes, and apply->write its next write */

template <typename Table, typename Write>
static bool
ngx_dynamic_weight_apply_writes(ngx_dynamic_weight_apply_t *apply, int64_t end,
    const std::vector<Table> &tables, size_t *next, Write write)
{
    while (*next < tables.size()) {

        const Table  &table = tables[*next];

        auto writes = absl::MakeConstSpan(table.writes)
                      .subspan(apply->write, NGX_HTTP_DW_PIECE_WRITES);

        write(apply->conf->groups[table.table], writes);

        apply->write += writes.size();

        if (apply->write == table.writes.size()) {
            (*next)++;
            apply->write = 0;
        }

        if (ngx_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    return true;
}


static bool
ngx_dynamic_weight_apply_health(ngx_dynamic_weight_apply_t *apply,
    int64_t end)
{
    dynweight::Update  *update = apply->update.get();

    return ngx_dynamic_weight_apply_writes(apply, end, update->probes,
                                           &apply->probe,
                                           ngx_dynamic_weight_write_probes)
           && ngx_dynamic_weight_apply_writes(apply, end, update->ejections,
                                              &apply->ejection,
                                            ngx_dynamic_weight_write_ejections);
}


static bool
ngx_dynamic_weight_apply_lines(ngx_dynamic_weight_apply_t *apply,
    int64_t end)
{
    dynweight::Update  *update = apply->update.get();

    while (apply->line < update->lines.size()) {

        const dynweight::LineUpdate  &line = update->lines[apply->line++];

        (*apply->conf->records)[line.line].Write(line.record);

        if (apply->line % NGX_HTTP_DW_PIECE_WRITES == 0
            && ngx_dynamic_weight_nsec() > end)
        {
            return false;
        }
    }

    if (!update->decisions.empty()) {
        /* it fits: the ring's length is bounded */
        (void) apply->conf->decisions->Write(update->decisions);
        update->decisions.clear();
    }

    return true;
}


static bool
ngx_dynamic_weight_apply_tuning(ngx_dynamic_weight_apply_t *apply,
    int64_t end)
{
    dynweight::Update  *update = apply->update.get();

    while (apply->mark < update->marks.size()) {

        ngx_dynamic_weight_write_marks(apply->conf,
                                       update->marks[apply->mark++]);

        if (ngx_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    /* both fit: the file's size is bounded, and so is what tells of it */

    if (!update->tuning.text.empty()) {
        (void) apply->conf->tuning.good->Write(update->tuning.text);
        update->tuning.text.clear();
    }

    if (!update->tuning.status.empty()) {
        (void) apply->conf->tuning.status->Write(update->tuning.status);
        update->tuning.status.clear();
    }

    return true;
}


static bool
ngx_dynamic_weight_apply_documents(ngx_dynamic_weight_apply_t *apply,
    int64_t end)
{
    bool                        is_status;
    absl::Status                status;
    std::string_view            text, piece;
    dynweight::Update          *update = apply->update.get();
    dynweight::SharedDocument  *shared;

    while (apply->text < 2 * update->documents.size()) {

        const auto  &document = update->documents[apply->text / 2];
        const auto  &documents = apply->conf->documents[document.cluster];

        is_status = apply->text % 2;
        text = is_status ? document.status : document.view;
        shared = is_status ? documents.status : documents.view;

        if (text.empty()) {
            apply->text++;
            continue;
        }

        if (apply->offset == 0) {
            status = shared->Begin(text.size());

            if (!status.ok()) {
                std::string  why(status.message());

                ngx_log_error(NGX_LOG_ALERT, apply->log, 0,
                              "cluster \"%s\": %s",
                              apply->conf->config->clusters[document.cluster]
                                  .name.c_str(),
                              why.c_str());
                apply->text++;
                continue;
            }
        }

        piece = text.substr(apply->offset, NGX_HTTP_DW_PIECE_BYTES);

        shared->Fill(apply->offset, piece);

        apply->offset += piece.size();

        if (apply->offset == text.size()) {
            shared->Show();
            apply->text++;
            apply->offset = 0;
        }

        if (ngx_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    return true;
}


static bool
ngx_dynamic_weight_apply_log(ngx_dynamic_weight_apply_t *apply,
    int64_t end)
{
    dynweight::Update  *update = apply->update.get();

    while (apply->message < update->log.size()) {

        const dynweight::LogLine  &line = update->log[apply->message++];

        ngx_log_error(ngx_dynamic_weight_log_level(line.level),
                      apply->log, 0, "dynamic_weight: %s",
                      line.text.c_str());

        if (ngx_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    return true;
}


static ngx_uint_t
ngx_dynamic_weight_log_level(dynweight::LogLine::Level level)
{
    switch (level) {

    case dynweight::LogLine::Level::kError:
        return NGX_LOG_ERR;

    case dynweight::LogLine::Level::kWarn:
        return NGX_LOG_WARN;

    case dynweight::LogLine::Level::kNotice:
        return NGX_LOG_NOTICE;

    default:
        return NGX_LOG_INFO;
    }
}
