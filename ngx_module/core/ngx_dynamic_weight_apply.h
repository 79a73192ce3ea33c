// An update of the watcher, applied to shared memory in pieces. Worker 0's event
// loop alone has it.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_APPLY_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_APPLY_H_

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <memory>
#include <vector>

#include "watcher/watcher.h"


/* the update being applied, and how far it has come */

struct ngx_dynamic_weight_apply_t {
    ngx_http_dynamic_weight_main_conf_t  *conf;
    ngx_log_t                            *log;
    std::vector<dynweight::PeerTable>     tables;
    std::unique_ptr<dynweight::Update>    update;    /* NULL: none */
    size_t                                table;
    size_t                                write;
    size_t                                probe;
    size_t                                ejection;
    size_t                                line;
    size_t                                mark;
    size_t                                text;      /* two a document */
    size_t                                offset;
    size_t                                message;
};


/* from its beginning; NULL: there is none */
void ngx_dynamic_weight_begin_update(
    ngx_dynamic_weight_apply_t *apply,
    std::unique_ptr<dynweight::Update> update);

/*
 * Holds the event loop for 0.3 ms or so; true when the update is complete. An
 * exception leaves it where it was: it may be called again.
 */
bool ngx_dynamic_weight_apply_piece(
    ngx_dynamic_weight_apply_t *apply);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_APPLY_H_
