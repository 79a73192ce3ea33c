// Worker 0: keeps the windows that observed shares are measured over. Each
// minute all of them move on; after a change of weights a table's begins anew.
// Tables are gone through in pieces, so that no request waits for them.

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <deque>


#define NGX_HTTP_DW_SHARE_INTERVAL  60000
#define NGX_HTTP_DW_SHARE_PIECE     2048     /* slots */


typedef struct {
    ngx_dynamic_weight_group_t       *group;
    bool                              restart;
} ngx_dynamic_weight_share_task_t;


struct ngx_dynamic_weight_shares_t {
    ngx_http_dynamic_weight_main_conf_t              *conf;
    std::deque<ngx_dynamic_weight_share_task_t>  tasks;
    std::vector<bool>                                 restarts;  /* waiting */
    uint32_t                                          slot;  /* of the first */
    ngx_event_t                                       timer;
    ngx_event_t                                       piece;
};


static void ngx_dynamic_weight_share_timer_handler(ngx_event_t *ev);
static void ngx_dynamic_weight_share_piece_handler(ngx_event_t *ev);


/* a pointer, so that nothing is constructed when the module is loaded */
static ngx_dynamic_weight_shares_t       *ngx_dynamic_weight_shares;


void
ngx_dynamic_weight_start_shares(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_dynamic_weight_shares_t       *shares;

    shares = ngx_dynamic_weight_own(cycle->pool,
                                     new ngx_dynamic_weight_shares_t());
    if (shares == NULL) {
        return;
    }

    shares->conf = dmcf;
    shares->restarts.resize(dmcf->ntables);

    shares->timer.handler = ngx_dynamic_weight_share_timer_handler;
    shares->timer.data = shares;
    shares->timer.log = cycle->log;
    shares->timer.cancelable = 1;

    shares->piece.handler = ngx_dynamic_weight_share_piece_handler;
    shares->piece.data = shares;
    shares->piece.log = cycle->log;

    ngx_add_timer(&shares->timer, NGX_HTTP_DW_SHARE_INTERVAL);

    ngx_dynamic_weight_shares = shares;
}


void
ngx_dynamic_weight_restart_share(ngx_uint_t table)
{
    ngx_dynamic_weight_shares_t       *shares = ngx_dynamic_weight_shares;

    if (shares == NULL || shares->restarts[table]) {
        return;
    }

    shares->tasks.push_back({ shares->conf->groups[table], true });
    shares->restarts[table] = true;

    ngx_post_event(&shares->piece, &ngx_posted_next_events);
}


static void
ngx_dynamic_weight_share_timer_handler(ngx_event_t *ev)
{
    ngx_dynamic_weight_shares_t *shares =
        static_cast<ngx_dynamic_weight_shares_t *>(ev->data);

    (void) ngx_dynamic_weight_guard(ev->log, NGX_ERROR,
                                    [&]() -> ngx_int_t {
        for (ngx_uint_t i = 0; i < shares->conf->ntables; i++) {
            shares->tasks.push_back({ shares->conf->groups[i], false });
        }

        return NGX_OK;
    });

    ngx_post_event(&shares->piece, &ngx_posted_next_events);
    ngx_add_timer(ev, NGX_HTTP_DW_SHARE_INTERVAL);
}


static void
ngx_dynamic_weight_share_piece_handler(ngx_event_t *ev)
{
    uint32_t                               left, n;
    ngx_dynamic_weight_group_t            *group;
    ngx_dynamic_weight_shares_t           *shares;
    ngx_dynamic_weight_share_task_t       *task;

    shares = static_cast<ngx_dynamic_weight_shares_t *>(ev->data);

    left = NGX_HTTP_DW_SHARE_PIECE;

    while (left && !shares->tasks.empty()) {

        task = &shares->tasks.front();
        group = task->group;

        n = ngx_min(left,
                    static_cast<uint32_t>(group->conf.nslots) - shares->slot);

        if (task->restart) {
            group->zone.window->Restart(*group->zone.table, shares->slot, n);

        } else {
            group->zone.window->Roll(*group->zone.table, shares->slot, n);
        }

        left -= n;
        shares->slot += n;

        if (shares->slot < group->conf.nslots) {
            break;
        }

        group->zone.window->Finish(task->restart,
                                   ngx_dynamic_weight_unix_msec());

        if (task->restart) {
            shares->restarts[group->conf.id] = false;
        }

        shares->slot = 0;
        shares->tasks.pop_front();
    }

    if (!shares->tasks.empty()) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}
