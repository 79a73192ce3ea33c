// See ngx_http_dynamic_weight_health.h: dynamic_weight_probe.

#include "ngx_module/http/ngx_http_dynamic_weight_health.h"

#include "ngx_module/core/ngx_dynamic_weight_parameter.h"
#include "ngx_module/core/ngx_dynamic_weight_probe.h"

#include <vector>


using Upstream = ngx_http_dynamic_weight_srv_conf_t;


/* dynamic_weight_probe http|https|tcp|tls [via=ingress] [port=] ... */

char *
ngx_http_dynamic_weight_probe(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    Upstream *dscf = static_cast<Upstream *>(conf);

    ngx_str_t                     *value;
    ngx_uint_t                     i;
    std::vector<std::string_view>  words;

    if (dscf->probe) {
        return const_cast<char *>("is duplicate");
    }

    ngx_dynamic_weight_note_place(cf, &dscf->probe_place);

    value = static_cast<ngx_str_t *>(cf->args->elts);

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_dynamic_weight_view(value[i]) == "via=ingress") {
            dscf->probe_ingress = 1;
            continue;
        }

        words.push_back(ngx_dynamic_weight_view(value[i]));
    }

    auto probe = ngx_dynamic_weight_read_probe(cf, words);

    if (!probe.ok()) {
        std::string  text(probe.status().message());

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"dynamic_weight_probe\": %s",
                           text.c_str());
        return NGX_HTTP_DW_CONF_ERROR;
    }

    dscf->probe = ngx_dynamic_weight_own(cf->pool,
                               new dynweight::ProbeConfig(*std::move(probe)));

    return dscf->probe ? NGX_CONF_OK : NGX_HTTP_DW_CONF_ERROR;
}


/* its servers have an address each; any: there are some */

static ngx_int_t
ngx_http_dynamic_weight_check_probed_servers(ngx_conf_t *cf,
    const Upstream *dscf, bool *any)
{
    ngx_uint_t                       i;
    ngx_dynamic_weight_slot_conf_t  *slot;

    for (const ngx_dynamic_weight_group_t *group
         : { &dscf->primary, &dscf->backup })
    {
        for (i = 0; i < group->conf.nslots; i++) {
            slot = &group->conf.slots[i];

            if (slot->sockaddr == NULL) {
                break;    /* of a line */
            }

            *any = true;

            if (slot->sockaddr->sa_family == AF_UNIX) {
                return ngx_dynamic_weight_wrong(cf, dscf->probe_place,
                          "\"dynamic_weight_probe\" in upstream \"%V\" can't "
                          "ask \"server %V\": write an address and a port "
                          "there, or remove the probe",
                          &dscf->upstream->host, &slot->server);
            }
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_dynamic_weight_check_probe(ngx_conf_t *cf, const Upstream *dscf)
{
    bool                        any, asked, ingress;
    ngx_uint_t                  i;
    ngx_dynamic_weight_line_t  *line;

    any = false;
    asked = false;
    ingress = false;

    line = static_cast<ngx_dynamic_weight_line_t *>(dscf->lines.elts);

    for (i = 0; i < dscf->lines.nelts; i++) {
        ingress |= !line[i].instances;
        asked |= line[i].instances || dscf->probe_ingress;
    }

    if (ngx_http_dynamic_weight_check_probed_servers(cf, dscf, &any)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!any && !asked) {
        return ngx_dynamic_weight_wrong(cf, dscf->probe_place,
                  "\"dynamic_weight_probe\" in upstream \"%V\" has nothing to "
                  "probe but ingress nodes: write \"via=ingress\" to ask the "
                  "application through them, or \"probe\" in the cluster's "
                  "block to ask them",
                  &dscf->upstream->host);
    }

    if (dscf->probe_ingress && !ingress) {
        return ngx_dynamic_weight_wrong(cf, dscf->probe_place,
                  "\"via=ingress\" of \"dynamic_weight_probe\" in upstream "
                  "\"%V\" has no effect, as it has no \"ingress_nodes\": "
                  "remove it",
                  &dscf->upstream->host);
    }

    if (dscf->probe->mandatory && !asked) {
        return ngx_dynamic_weight_wrong(cf, dscf->probe_place,
                  "\"mandatory\" of \"dynamic_weight_probe\" in upstream "
                  "\"%V\" has no effect, as it asks servers only, and a "
                  "\"server\" serves until its first result: remove it",
                  &dscf->upstream->host);
    }

    return NGX_OK;
}
