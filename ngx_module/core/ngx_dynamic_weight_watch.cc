// Worker 0: the watcher's life, and when what it hands over is applied.
//
// The thread writes an eventfd, which is an event of nginx's loop; the loop
// takes the update and applies it piece by piece, see _apply.cc.

#include "ngx_module/core/ngx_dynamic_weight_apply.h"

#include <curl/curl.h>
#include <sys/eventfd.h>

#include <memory>
#include <string>

#include "ngx_module/core/ngx_dynamic_weight_zone.h"
#include "watcher/cluster_status.h"
#include "watcher/state/cluster_view_json.h"
#include "watcher/watcher.h"
#include "weightcalc/clock.h"


/* how long one waits for memory */
#define NGX_HTTP_DW_RETRY_MSEC  1000


/* how often it is seen whether the thread is at work */
#define NGX_HTTP_DW_LOOK_MSEC  5000


/* all that a worker has of this; made in start, gone in stop */

struct ngx_dynamic_weight_watch_t {
    ngx_dynamic_weight_apply_t            apply;
    std::unique_ptr<dynweight::Watcher>   watcher;
    ngx_connection_t                     *connection;   /* the eventfd */
    ngx_event_t                           next_piece;
    ngx_event_t                           look;
    int64_t                               looked_ms;
    ngx_uint_t                            late;  /* the log has told of it */
};


using EventConnection =
    std::unique_ptr<ngx_connection_t, void (*)(ngx_connection_t *)>;


static void ngx_dynamic_weight_open_tables(
    ngx_dynamic_weight_apply_t *apply);
static dynweight::Held ngx_dynamic_weight_held(
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static EventConnection ngx_dynamic_weight_open_eventfd(
    ngx_cycle_t *cycle);
static ngx_int_t ngx_dynamic_weight_add_events(
    ngx_dynamic_weight_watch_t *watch, ngx_connection_t *c);
static void ngx_dynamic_weight_wake_handler(ngx_event_t *ev);
static void ngx_dynamic_weight_piece_handler(ngx_event_t *ev);
static void ngx_dynamic_weight_look_handler(ngx_event_t *ev);


/* a pointer, so that nothing is constructed when the module is loaded */
static ngx_dynamic_weight_watch_t       *ngx_dynamic_weight_watch;


ngx_int_t
ngx_dynamic_weight_start_watcher(ngx_cycle_t *cycle)
{
    dynweight::Held                       held;
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    dmcf = ngx_http_dynamic_weight_cycle_conf(cycle);

    auto watch = std::make_unique<ngx_dynamic_weight_watch_t>();

    watch->apply.conf = dmcf;
    watch->apply.log = cycle->log;

    ngx_dynamic_weight_open_tables(&watch->apply);

    held = ngx_dynamic_weight_held(dmcf);

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "curl_global_init() failed, weights won't follow the "
                      "clusters");
        return NGX_ERROR;
    }

    auto connection = ngx_dynamic_weight_open_eventfd(cycle);

    if (connection == nullptr
        || ngx_dynamic_weight_add_events(watch.get(), connection.get())
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    auto watcher = dynweight::Watcher::Start(*dmcf->config,
                                             watch->apply.tables, held,
                                             connection->fd);
    if (!watcher.ok()) {
        std::string  why(watcher.status().message());

        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "weights won't follow the clusters: %s", why.c_str());
        return NGX_ERROR;
    }

    watch->watcher = *std::move(watcher);
    ngx_add_timer(&watch->look, NGX_HTTP_DW_LOOK_MSEC);

    (void) connection.release();    /* the watch's from here on */

    ngx_dynamic_weight_watch = watch.release();

    return NGX_OK;
}


/*
 * A predecessor may have died between a change and its Publish(): then no plan
 * would be due, and the other workers would miss the change.
 */

static void
ngx_dynamic_weight_open_tables(ngx_dynamic_weight_apply_t *apply)
{
    ngx_uint_t             i;
    dynweight::PeerTable  *table;

    for (i = 0; i < apply->conf->ntables; i++) {
        table = apply->conf->groups[i]->zone.table;

        table->Publish();
        apply->tables.push_back(*table);
    }
}


/* what the master or a predecessor of this worker left in the zone */

static dynweight::Held
ngx_dynamic_weight_held(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    size_t           i;
    dynweight::Held  held;

    for (i = 0; i < dmcf->config->clusters.size(); i++) {
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

    return held;
}


/* NULL: the log says why */

static EventConnection
ngx_dynamic_weight_open_eventfd(ngx_cycle_t *cycle)
{
    int                fd;
    ngx_connection_t  *c = NULL;

    fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "eventfd() failed, weights won't follow the clusters");

    } else {
        c = ngx_get_connection(fd, cycle->log);

        if (c == NULL) {
            (void) close(fd);
        }
    }

    return EventConnection(c, ngx_close_connection);
}


static ngx_int_t
ngx_dynamic_weight_add_events(ngx_dynamic_weight_watch_t *watch,
    ngx_connection_t *c)
{
    c->data = watch;
    c->pool = NULL;

    /* an idle connection: nginx calls its handler when the worker is to quit */
    c->idle = 1;

    c->read->log = c->log;
    c->read->handler = ngx_dynamic_weight_wake_handler;
    c->write->log = c->log;

    watch->connection = c;
    watch->next_piece.handler = ngx_dynamic_weight_piece_handler;
    watch->next_piece.data = watch;
    watch->next_piece.log = c->log;
    watch->next_piece.cancelable = 1;
    watch->look.handler = ngx_dynamic_weight_look_handler;
    watch->look.data = watch;
    watch->look.log = c->log;
    watch->look.cancelable = 1;

    return ngx_add_event(c->read, NGX_READ_EVENT, 0);
}


/* within a second; safe to call when nothing runs */

void
ngx_dynamic_weight_stop_watcher(void)
{
    ngx_dynamic_weight_watch_t       *watch = ngx_dynamic_weight_watch;

    if (watch == NULL) {
        return;
    }

    ngx_dynamic_weight_watch = NULL;

    if (watch->next_piece.posted) {
        ngx_delete_posted_event(&watch->next_piece);
    }

    if (watch->next_piece.timer_set) {
        ngx_del_timer(&watch->next_piece);
    }

    if (watch->look.timer_set) {
        ngx_del_timer(&watch->look);
    }

    (void) ngx_dynamic_weight_guard(ngx_cycle->log, NGX_ERROR,
                                    [&]() -> ngx_int_t {
        watch->watcher->Stop();

        /*
         * What was taken is applied whole: the running requests of an old
         * worker go on picking for as long as they last.
         */

        while (watch->apply.update
               && !ngx_dynamic_weight_apply_piece(&watch->apply))
        {
            /* void */
        }

        return NGX_OK;
    });

    ngx_close_connection(watch->connection);

    delete watch;
}


static void
ngx_dynamic_weight_wake_handler(ngx_event_t *ev)
{
    uint64_t                          n;
    ngx_connection_t                 *c;
    ngx_dynamic_weight_watch_t       *watch;

    c = static_cast<ngx_connection_t *>(ev->data);
    watch = static_cast<ngx_dynamic_weight_watch_t *>(c->data);

    if (c->close) {
        /* the worker was told to quit: the next cycle's worker watches */
        ngx_dynamic_weight_stop_watcher();
        return;
    }

    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ALERT, ev->log, ngx_errno,
                      "read() of the watcher's eventfd failed");
    }

    if (watch->apply.update == nullptr) {
        ngx_dynamic_weight_piece_handler(&watch->next_piece);
    }
}


static void
ngx_dynamic_weight_piece_handler(ngx_event_t *ev)
{
    ngx_dynamic_weight_watch_t *watch =
        static_cast<ngx_dynamic_weight_watch_t *>(ev->data);

    ngx_dynamic_weight_apply_t       *apply = &watch->apply;

    ngx_int_t  rc = ngx_dynamic_weight_guard(ev->log, NGX_ERROR,
                                             [&]() -> ngx_int_t {
        if (apply->update == nullptr) {
            ngx_dynamic_weight_begin_update(apply,
                                            watch->watcher->Take());
        }

        if (apply->update == nullptr) {
            return NGX_OK;
        }

        if (!ngx_dynamic_weight_apply_piece(apply)) {
            ngx_post_event(ev, &ngx_posted_next_events);
            return NGX_OK;
        }

        watch->watcher->Done(std::move(apply->update));

        return NGX_OK;
    });

    if (rc != NGX_OK && apply->update) {
        /* no memory, most likely: it goes on where it stopped */
        ngx_add_timer(ev, NGX_HTTP_DW_RETRY_MSEC);
    }
}


/*
 * The thread can't say that it hangs. What it was last seen at work lies in the
 * zone, so that a worker that hangs with it is found out by the others, too.
 */

static void
ngx_dynamic_weight_look_handler(ngx_event_t *ev)
{
    int64_t                      now, seen, age;
    ngx_dynamic_weight_watch_t  *watch;

    watch = static_cast<ngx_dynamic_weight_watch_t *>(ev->data);

    seen = watch->watcher->SeenMs();
    now = dynweight::SystemClock().MonotonicMs();
    age = now - seen;

    watch->apply.conf->root->watcher_seen_ms.store(seen,
                                                   std::memory_order_relaxed);

    if (now - watch->looked_ms > 2 * NGX_HTTP_DW_LOOK_MSEC) {
        /* the whole process stood still: the thread had no chance either */

    } else if (age > dynweight::kWatcherLateMs && !watch->late) {
        watch->late = 1;
        ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                      "dynamic_weight: the watcher's thread has not been at "
                      "work for %L s: weights hold; if it does not go on, end "
                      "this worker, and nginx starts another", age / 1000);

    } else if (age <= dynweight::kWatcherLateMs && watch->late) {
        watch->late = 0;
        ngx_log_error(NGX_LOG_NOTICE, ev->log, 0,
                      "dynamic_weight: the watcher's thread is at work again");
    }

    watch->looked_ms = now;

    ngx_add_timer(ev, NGX_HTTP_DW_LOOK_MSEC);
}
