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

#include "watcher/cluster_view.h"
#include "watcher/watcher.h"


/* how long the event loop may be held, and how often the clock is looked at */
#define NGX_HTTP_DW_PIECE_NSEC    300000
#define NGX_HTTP_DW_PIECE_WRITES  256


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
    size_t                                document;
};


static void ngx_http_dynamic_weight_wake_handler(ngx_event_t *ev);
static void ngx_http_dynamic_weight_piece_handler(ngx_event_t *ev);
static bool ngx_http_dynamic_weight_apply_piece(
    ngx_http_dynamic_weight_watch_t *watch);
static void ngx_http_dynamic_weight_log(ngx_http_dynamic_weight_watch_t *watch,
    ngx_log_t *log);


/* a pointer, so that nothing is constructed when the module is loaded */
static ngx_http_dynamic_weight_watch_t  *ngx_http_dynamic_weight_watch;


ngx_int_t
ngx_http_dynamic_weight_start_watcher(ngx_cycle_t *cycle)
{
    int                                   fd;
    ngx_event_t                          *rev;
    ngx_connection_t                     *c;
    std::vector<dynweight::ClusterView>   views;
    ngx_http_dynamic_weight_srv_conf_t  **dscf;
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    dmcf = ngx_http_dynamic_weight_cycle_conf(cycle);

    auto watch = std::make_unique<ngx_http_dynamic_weight_watch_t>();

    watch->conf = dmcf;

    std::vector<dynweight::PeerTable *>  tables(dmcf->ntables);

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
        dmcf->upstreams.elts);

    for (ngx_uint_t i = 0; i < dmcf->upstreams.nelts; i++) {
        tables[dscf[i]->primary.id] = dscf[i]->primary.table;

        if (dscf[i]->backup.nseats) {
            tables[dscf[i]->backup.id] = dscf[i]->backup.table;
        }
    }

    /*
     * A predecessor may have died between a change and its Publish(): then no
     * plan would be due, and the other workers would miss the change.
     */

    for (dynweight::PeerTable *table : tables) {
        table->Publish();
        watch->tables.push_back(*table);
    }

    /* what the master, or a predecessor of this worker, left as the last view */

    for (size_t i = 0; i < dmcf->config->clusters.size(); i++) {
        dynweight::SharedDocument  *document = dmcf->documents[i].view;

        std::string  text(document->capacity(), '\0');
        text.resize(document->Read(text.data()));

        auto view = dynweight::DecodeClusterView(text);

        views.push_back(view.ok()
            ? *std::move(view)
            : dynweight::InitialView(dmcf->config->clusters[i], 0));
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

    if (ngx_add_event(rev, NGX_READ_EVENT, 0) != NGX_OK) {
        ngx_close_connection(c);
        return NGX_ERROR;
    }

    auto watcher = dynweight::Watcher::Start(*dmcf->config, watch->tables,
                                             std::move(views), fd);
    if (!watcher.ok()) {
        std::string  why(watcher.status().message());

        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "weights won't follow the clusters: %s", why.c_str());
        ngx_close_connection(c);
        return NGX_ERROR;
    }

    watch->watcher = *std::move(watcher);

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

    (void) ngx_http_dynamic_weight_guard(ngx_cycle->log, NGX_ERROR,
                                         [&]() -> ngx_int_t {
        watch->watcher->Stop();
        return NGX_OK;
    });

    if (watch->next_piece.posted) {
        ngx_delete_posted_event(&watch->next_piece);
    }

    /*
     * What was taken is applied whole: the running requests of an old worker
     * go on picking for as long as they last.
     */

    while (watch->update && !ngx_http_dynamic_weight_apply_piece(watch)) {
        /* void */
    }

    if (watch->connection) {
        ngx_close_connection(watch->connection);
    }

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

    (void) ngx_http_dynamic_weight_guard(ev->log, NGX_ERROR,
                                         [&]() -> ngx_int_t {
        if (watch->update == nullptr) {
            watch->update = watch->watcher->Take();
            watch->table = 0;
            watch->write = 0;
            watch->document = 0;
        }

        if (watch->update == nullptr) {
            return NGX_OK;
        }

        if (!ngx_http_dynamic_weight_apply_piece(watch)) {
            ngx_post_event(ev, &ngx_posted_next_events);
            return NGX_OK;
        }

        watch->watcher->Done();

        return NGX_OK;
    });
}


static int64_t
ngx_http_dynamic_weight_nsec(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return static_cast<int64_t>(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}


/* true when the update is complete, and then forgotten */

static bool
ngx_http_dynamic_weight_apply_piece(ngx_http_dynamic_weight_watch_t *watch)
{
    size_t              n;
    int64_t             end;
    dynweight::Update  *update = watch->update.get();

    end = ngx_http_dynamic_weight_nsec() + NGX_HTTP_DW_PIECE_NSEC;

    while (watch->table < update->tables.size()) {

        dynweight::TableUpdate  &table = update->tables[watch->table];

        auto writes = absl::MakeConstSpan(table.writes)
                      .subspan(watch->write, NGX_HTTP_DW_PIECE_WRITES);

        dynweight::ApplySlotWrites(watch->tables[table.table], writes);

        watch->write += writes.size();

        if (watch->write == table.writes.size()) {
            watch->tables[table.table].Publish();
            watch->table++;
            watch->write = 0;
        }

        if (ngx_http_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    while (watch->document < update->documents.size()) {

        const auto  &document = update->documents[watch->document++];
        auto        &shared = watch->conf->documents[document.cluster];

        for (n = 0; n < 2; n++) {
            const std::string  &text = n ? document.status : document.view;

            if (text.empty()) {
                continue;
            }

            absl::Status  status = (n ? shared.status : shared.view)->Write(text);

            if (!status.ok()) {
                std::string  why(status.message());

                ngx_log_error(NGX_LOG_ALERT, watch->connection->log, 0,
                              "cluster \"%s\": %s",
                              watch->conf->config->clusters[document.cluster]
                                  .name.c_str(),
                              why.c_str());
            }
        }

        if (ngx_http_dynamic_weight_nsec() > end) {
            return false;
        }
    }

    ngx_http_dynamic_weight_log(watch, watch->connection->log);

    watch->update.reset();

    return true;
}


static void
ngx_http_dynamic_weight_log(ngx_http_dynamic_weight_watch_t *watch,
    ngx_log_t *log)
{
    ngx_uint_t  level;

    for (const dynweight::LogLine &line : watch->update->log) {

        switch (line.level) {

        case dynweight::LogLine::Level::kError:
            level = NGX_LOG_ERR;
            break;

        case dynweight::LogLine::Level::kWarn:
            level = NGX_LOG_WARN;
            break;

        case dynweight::LogLine::Level::kNotice:
            level = NGX_LOG_NOTICE;
            break;

        default:
            level = NGX_LOG_INFO;
        }

        ngx_log_error(level, log, 0, "dynamic_weight: %s", line.text.c_str());
    }
}
