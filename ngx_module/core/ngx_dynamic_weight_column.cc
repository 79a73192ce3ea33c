// Which column of the peer tables a process counts its connections in. Workers
// of one number may live beside each other on one zone: after a binary upgrade
// the elder master can be told to serve again while its previous workers finish
// their requests. So a column belongs to a process, not to a number.
//
// An owner's pid stands in shared memory, taken and given back by one exchange.
// A process that was killed at any instruction leaves at most its pid there, in
// a column that counts what it held; who comes next finds the process gone and
// clears the column. There are twice as many columns as workers. When all are
// owned by living processes, a worker counts nothing: it sees the connections
// of the others, they don't see its own, and the log says so.

#include "ngx_module/core/ngx_dynamic_weight.h"


#define NGX_HTTP_DW_SWEEP_MSEC  1000


static void ngx_dynamic_weight_sweep_handler(ngx_event_t *ev);


ngx_uint_t  ngx_dynamic_weight_column = NGX_HTTP_DW_NO_COLUMN;

static ngx_event_t  ngx_dynamic_weight_sweep;


static void
ngx_dynamic_weight_clear_column(ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_uint_t column)
{
    for (ngx_uint_t i = 0; i < dmcf->ntables; i++) {
        dmcf->groups[i]->zone.table->ClearWorker(column);
    }
}


static bool
ngx_dynamic_weight_gone(uint64_t owner)
{
    return kill(static_cast<ngx_pid_t>(owner), 0) == -1 && ngx_errno == ESRCH;
}


/*
 * Takes a free column if this process has none, that of its number if it can;
 * and clears those of dead processes, whose connections would count for ever.
 */

static void
ngx_dynamic_weight_sweep_columns(
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    bool        want;
    uint64_t    owner, self;
    ngx_uint_t  i, column;

    self = static_cast<uint64_t>(ngx_pid);

    for (i = 0; i < dmcf->columns; i++) {

        column = (ngx_worker + i) % dmcf->columns;

        if (column == ngx_dynamic_weight_column) {
            continue;
        }

        want = ngx_dynamic_weight_column == NGX_HTTP_DW_NO_COLUMN;
        owner = dmcf->owners[column].load(std::memory_order_acquire);

        /* an own pid is that of a process which had it before */

        if (owner == 0 ? !want
            : owner != self && !ngx_dynamic_weight_gone(owner))
        {
            continue;
        }

        if (!dmcf->owners[column].compare_exchange_strong(owner, self)) {
            continue;
        }

        ngx_dynamic_weight_clear_column(dmcf, column);

        if (want) {
            ngx_dynamic_weight_column = column;

        } else {
            dmcf->owners[column].store(0, std::memory_order_release);
        }
    }
}


void
ngx_dynamic_weight_claim_column(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_dynamic_weight_column = NGX_HTTP_DW_NO_COLUMN;

    ngx_dynamic_weight_sweep_columns(dmcf);

    if (ngx_dynamic_weight_column == NGX_HTTP_DW_NO_COLUMN) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "%ui worker processes serve from one zone already: the "
                      "connections of this one are not counted, max_conns and "
                      "least_conn miss them until it is restarted",
                      dmcf->columns);
    }

    if (ngx_worker == 0) {
        ngx_dynamic_weight_sweep.handler =
                                       ngx_dynamic_weight_sweep_handler;
        ngx_dynamic_weight_sweep.data = dmcf;
        ngx_dynamic_weight_sweep.log = cycle->log;
        ngx_dynamic_weight_sweep.cancelable = 1;

        ngx_add_timer(&ngx_dynamic_weight_sweep, NGX_HTTP_DW_SWEEP_MSEC);
    }
}


/* a killed worker that was to quit has no successor which would do it */

static void
ngx_dynamic_weight_sweep_handler(ngx_event_t *ev)
{
    ngx_dynamic_weight_sweep_columns(
        static_cast<ngx_http_dynamic_weight_main_conf_t *>(ev->data));

    if (!ngx_exiting) {
        ngx_add_timer(ev, NGX_HTTP_DW_SWEEP_MSEC);
    }
}


/* at exit: what is still running then is ended with the process */

void
ngx_dynamic_weight_release_column(
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t  column = ngx_dynamic_weight_column;

    if (column == NGX_HTTP_DW_NO_COLUMN) {
        return;
    }

    ngx_dynamic_weight_column = NGX_HTTP_DW_NO_COLUMN;

    ngx_dynamic_weight_clear_column(dmcf, column);
    dmcf->owners[column].store(0, std::memory_order_release);
}
