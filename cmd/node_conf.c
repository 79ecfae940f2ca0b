/* See node_conf.h. */
#include "base/prelude.h"

#include "cmd/node_conf.h"

void node_config_of(const struct conf *c, struct node_config *out)
{
    *out = (struct node_config){
        .node_id = c->node_id,
        .listen = c->node_listen,
        .heartbeat_us = c->heartbeat_us,
        .window_us = c->window_us,
        .ring_windows = (uint32_t)c->partition_count,
        .promote_us = conf_scheduler(c, "LONG_TERM")->poll_us,
        .timers_chunk = (uint32_t)conf_scheduler(c, "HIGH_PRECISION")->items,
        .turn_loops = conf_turn_loops(c),
        .cache_bytes = (size_t)c->executions_bytes,
        .definitions = (uint32_t)c->workflow_defs,
        .definition_us = c->workflow_defs_us,
        .batches = (uint32_t)c->commit_in_flight,
        .batch_min = (uint32_t)c->commit_min,
        .requests_max = (uint32_t)c->workflow_queue,
        .admin = c->admin_listen,
        /* Who names an address means it. */
        .admin_taken =
            c->from.admin_listen.layer == CONF_PRESET ? ADMIN_TAKEN_OFF : ADMIN_TAKEN_FAIL,
        .admin_queue = (uint32_t)c->http_queue,
    };
}
