// Worker 0: runs the watcher thread and applies what it hands over.
//
// The thread writes an eventfd, which is an event of nginx's loop; the loop
// takes the update and copies it to shared memory in pieces, so that no
// request waits for a large one.

#include "ngx_http_dynamic_weight.h"

#include <curl/curl.h>
#include <sys/eventfd.h>
#include <time.h>

#include <memory>
#include <string>
#include <vector>

#include "watcher/state/cluster_view_json.h"
#include "watcher/watcher.h"


/* how long the event loop may be held, and how often the clock is looked at */
#define NGX_HTTP_DW_PIECE_NSEC    300000
#define NGX_HTTP_DW_PIECE_WRITES  256
#define NGX_HTTP_DW_PIECE_BYTES   16384

#define NGX_HTTP_DW_RETRY_MSEC    1000


/* all that a worker has of this; made in start, gone in stop */

struct ngx_http_dynamic_weight_watch_t {
    ngx_http_dynamic_weight_main_conf_t  *conf;
    std::unique_ptr<dynweight::Watcher>   watcher;
    std::vector<dynweight::PeerTable>     tables;
    ngx_connection_t                     *connection;   /* the eventfd */
    ngx_event_t                           next_piece;

    /* the update being applied, and how far it has come */
    std::unique_ptr<dynweight::Update>    update;
    size_t                                table;
    size_t                                write;
    size_t                                line;
    size_t                                mark;
    size_t                                text;   /* two a document */
    size_t                                offset;
    size_t                                message;
};


static void ngx_http_dynamic_weight_wake_handler(ngx_event_t *ev);
static void ngx_http_dynamic_weight_piece_handler(ngx_event_t *ev);
static bool ngx_http_dynamic_weight_apply_piece(
    ngx_http_dynamic_weight_watch_t *watch);
static bool ngx_http_dynamic_weight_apply_tables(
    ngx_http_dynamic_weight_watch_t *watch, int64_t end);
static bool ngx_http_dynamic_weight_apply_lines(
    ngx_http_dynamic_weight_watch_t *watch, int64_t end);
static bool ngx_http_dynamic_weight_apply_tuning(
    ngx_http_dynamic_weight_watch_t *watch, int64_t end);
static bool ngx_http_dynamic_weight_apply_documents(
    ngx_http_dynamic_weight_watch_t *watch, int64_t end);
static bool ngx_http_dynamic_weight_apply_log(
    ngx_http_dynamic_weight_watch_t *watch, int64_t end);
static ngx_uint_t ngx_http_dynamic_weight_log_level(
    dynweight::LogLine::Level level);


/* a pointer, so that nothing is constructed when the module is loaded */
static ngx_http_dynamic_weight_watch_t  *ngx_http_dynamic_weight_watch;


ngx_int_t
ngx_http_dynamic_weight_start_watcher(ngx_cycle_t *cycle)
{
    int                                   fd;
    ngx_event_t                          *rev;
    ngx_connection_t                     *c;
    dynweight::Held                       held;
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    dmcf = ngx_http_dynamic_weight_cycle_conf(cycle);

    auto watch = std::make_unique<ngx_http_dynamic_weight_watch_t>();

    watch->conf = dmcf;

    /*
     * A predecessor may have died between a change and its Publish(): then no
     * plan would be due, and the other workers would miss the change.
     */

    for (ngx_uint_t i = 0; i < dmcf->ntables; i++) {
        dynweight::PeerTable  *table = dmcf->groups[i]->zone.table;

        table->Publish();
        watch->tables.push_back(*table);
    }

    /* the last view, as the master or a predecessor of this worker left it */

    for (size_t i = 0; i < dmcf->config->clusters.size(); i++) {
        auto view = dynweight::DecodeClusterView(
                        dmcf->documents[i].view->ReadText());

        held.views.push_back(view.ok()
            ? *std::move(view)
            : dynweight::InitialView(dmcf->config->clusters[i], 0));
    }

    auto retained = dynweight::DecodeClusterViews(dmcf->retained->ReadText());

    if (retained.ok()) {
        held.retained = *std::move(retained);
    }

    for (const auto &record : *dmcf->records) {
        held.lines.push_back(record.Read());
    }

    held.decisions = dmcf->decisions->ReadText();

    if (dmcf->tuning.good) {
        held.tuning = dmcf->tuning.good->ReadText();
    }

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "curl_global_init() failed, weights won't follow the "
                      "clusters");
        return NGX_ERROR;
    }

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "eventfd() failed, weights won't follow the clusters");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, cycle->log);

    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    std::unique_ptr<ngx_connection_t, void (*)(ngx_connection_t *)>
        connection(c, ngx_close_connection);

    c->data = watch.get();
    c->pool = NULL;

    /* an idle connection: nginx calls its handler when the worker is to quit */
    c->idle = 1;

    rev = c->read;
    rev->log = cycle->log;
    rev->handler = ngx_http_dynamic_weight_wake_handler;
    c->write->log = cycle->log;

    watch->connection = c;
    watch->next_piece.handler = ngx_http_dynamic_weight_piece_handler;
    watch->next_piece.data = watch.get();
    watch->next_piece.log = cycle->log;
    watch->next_piece.cancelable = 1;

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    auto watcher = dynweight::Watcher::Start(*dmcf->config, watch->tables,
                                             held, fd);
    if (!watcher.ok()) {
        std::string  why(watcher.status().message());

        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "weights won't follow the clusters: %s", why.c_str());
        return NGX_ERROR;
    }

    watch->watcher = *std::move(watcher);

    (void) connection.release();    /* the watch's from here on */

    ngx_http_dynamic_weight_watch = watch.release();

    return NGX_OK;
}


/* within a second; safe to call when nothing runs */

void
ngx_http_dynamic_weight_stop_watcher(void)
{
    ngx_http_dynamic_weight_watch_t  *watch = ngx_http_dynamic_weight_watch;

    if (watch == NULL) {
        return;
    }

    ngx_http_dynamic_weight_watch = NULL;

    if (watch->next_piece.posted) {
        ngx_delete_posted_event(&watch->next_piece);
    }

    if (watch->next_piece.timer_set) {
        ngx_del_timer(&watch->next_piece);
    }

    (void) ngx_http_dynamic_weight_guard(ngx_cycle->log, NGX_ERROR,
                                         [&]() -> ngx_int_t {
        watch->watcher->Stop();

        /*
         * What was taken is applied whole: the running requests of an old
         * worker go on picking for as long as they last.
         */

        while (watch->update && !ngx_http_dynamic_weight_apply_piece(watch)) {
            /* void */
        }

        return NGX_OK;
    });

    ngx_close_connection(watch->connection);

    delete watch;
}


static void
ngx_http_dynamic_weight_wake_handler(ngx_event_t *ev)
{
    uint64_t                          n;
    ngx_connection_t                 *c;
    ngx_http_dynamic_weight_watch_t  *watch;

    c = static_cast<ngx_connection_t *>(ev->data);
    watch = static_cast<ngx_http_dynamic_weight_watch_t *>(c->data);

    if (c->close) {
        /* the worker was told to quit: the next cycle's worker watches */
        ngx_http_dynamic_weight_stop_watcher();
        return;
    }

    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ALERT, ev->log, ngx_errno,
                      "read() of the watcher's eventfd failed");
    }

    if (watch->update == nullptr) {
        ngx_http_dynamic_weight_piece_handler(&watch->next_piece);
    }
}


static void
ngx_http_dynamic_weight_piece_handler(ngx_event_t *ev)
{
    ngx_http_dynamic_weight_watch_t *watch =
        static_cast<ngx_http_dynamic_weight_watch_t *>(ev->data);

    ngx_int_t  rc = ngx_http_dynamic_weight_guard(ev->log, NGX_ERROR,
                                                  [&]() -> ngx_int_t {
        if (watch->update == nullptr) {
            watch->update = watch->watcher->Take();
            watch->table = 0;
            watch->write = 0;
            watch->line = 0;
            watch->mark = 0;
            watch->text = 0;
            watch->offset = 0;
            watch->message = 0;
        }

        if (watch->update == nullptr) {
            return NGX_OK;
        }

        if (!ngx_http_dynamic_weight_apply_piece(watch)) {
            ngx_post_event(ev, &ngx_posted_next_events);
            return NGX_OK;
        }

        watch->watcher->Done(std::move(watch->update));

        return NGX_OK;
    });

    if (rc != NGX_OK && watch->update) {
        /* no memory, most likely: it goes on where it stopped */
        ngx_add_timer(ev, NGX_HTTP_DW_RETRY_MSEC);
    }
}


static int64_t
ngx_http_dynamic_weight_nsec(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return static_cast<int64_t>(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}


/* true when the update is complete; each part goes on where it stopped */

static bool
ngx_http_dynamic_weight_apply_piece(ngx_http_dynamic_weight_watch_t *watch)
{
    int64_t  end = ngx_http_dynamic_weight_nsec() + NGX_HTTP_DW_PIECE_NSEC;

    return ngx_http_dynamic_weight_apply_tables(watch, end)
           && ngx_http_dynamic_weight_apply_lines(watch, end)
           && ngx_http_dynamic_weight_apply_tuning(watch, end)
           && ngx_http_dynamic_weight_apply_documents(watch, end)
           && ngx_http_dynamic_weight_apply_log(watch, end);
}


static bool
ngx_http_dynamic_weight_apply_tables(ngx_http_dynamic_weight_watch_t *watch,
    int64_t end)
{
    dynweight::Update  *update = watch->update.get();

    while (watch->table < update->tables.size()) {

        dynweight::TableUpdate  &table = update->tables[watch->table];

        auto writes = absl::MakeConstSpan(table.writes)
                      .subspan(watch->write, NGX_HTTP_DW_PIECE_WRITES);

        dynweight::ApplySlotWrites(watch->tables[table.table], writes,
                                   ngx_current_msec);

        watch->write += writes.size();

        if (watch->write == table.writes.size()) {
            watch->tables[table.table].Publish();
            ngx_http_dynamic_weight_restart_share(table.table);
            watch->table++;
            watch->write = 0;
        }

        if (ngx_http_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    return true;
}


static bool
ngx_http_dynamic_weight_apply_lines(ngx_http_dynamic_weight_watch_t *watch,
    int64_t end)
{
    dynweight::Update  *update = watch->update.get();

    while (watch->line < update->lines.size()) {

        const dynweight::LineUpdate  &line = update->lines[watch->line++];

        (*watch->conf->records)[line.line].Write(line.record);

        if (watch->line % NGX_HTTP_DW_PIECE_WRITES == 0
            && ngx_http_dynamic_weight_nsec() > end)
        {
            return false;
        }
    }

    if (!update->decisions.empty()) {
        /* it fits: the ring's length is bounded */
        (void) watch->conf->decisions->Write(update->decisions);
        update->decisions.clear();
    }

    return true;
}


static bool
ngx_http_dynamic_weight_apply_tuning(ngx_http_dynamic_weight_watch_t *watch,
    int64_t end)
{
    dynweight::Update  *update = watch->update.get();

    while (watch->mark < update->marks.size()) {

        ngx_http_dynamic_weight_write_marks(watch->conf,
                                            update->marks[watch->mark++]);

        if (ngx_http_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    /* both fit: the file's size is bounded, and so is what tells of it */

    if (!update->tuning.text.empty()) {
        (void) watch->conf->tuning.good->Write(update->tuning.text);
        update->tuning.text.clear();
    }

    if (!update->tuning.status.empty()) {
        (void) watch->conf->tuning.status->Write(update->tuning.status);
        update->tuning.status.clear();
    }

    return true;
}


static bool
ngx_http_dynamic_weight_apply_documents(ngx_http_dynamic_weight_watch_t *watch,
    int64_t end)
{
    bool                        is_status;
    absl::Status                status;
    std::string_view            text, piece;
    dynweight::Update          *update = watch->update.get();
    dynweight::SharedDocument  *shared;

    while (watch->text < 2 * update->documents.size()) {

        const auto  &document = update->documents[watch->text / 2];
        const auto  &documents = watch->conf->documents[document.cluster];

        is_status = watch->text % 2;
        text = is_status ? document.status : document.view;
        shared = is_status ? documents.status : documents.view;

        if (text.empty()) {
            watch->text++;
            continue;
        }

        if (watch->offset == 0) {
            status = shared->Begin(text.size());

            if (!status.ok()) {
                std::string  why(status.message());

                ngx_log_error(NGX_LOG_ALERT, watch->connection->log, 0,
                              "cluster \"%s\": %s",
                              watch->conf->config->clusters[document.cluster]
                                  .name.c_str(),
                              why.c_str());
                watch->text++;
                continue;
            }
        }

        piece = text.substr(watch->offset, NGX_HTTP_DW_PIECE_BYTES);

        shared->Fill(watch->offset, piece);

        watch->offset += piece.size();

        if (watch->offset == text.size()) {
            shared->Show();
            watch->text++;
            watch->offset = 0;
        }

        if (ngx_http_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    return true;
}


static bool
ngx_http_dynamic_weight_apply_log(ngx_http_dynamic_weight_watch_t *watch,
    int64_t end)
{
    dynweight::Update  *update = watch->update.get();

    while (watch->message < update->log.size()) {

        const dynweight::LogLine  &line = update->log[watch->message++];

        ngx_log_error(ngx_http_dynamic_weight_log_level(line.level),
                      watch->connection->log, 0, "dynamic_weight: %s",
                      line.text.c_str());

        if (ngx_http_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    return true;
}


static ngx_uint_t
ngx_http_dynamic_weight_log_level(dynweight::LogLine::Level level)
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
