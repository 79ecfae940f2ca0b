/* See local_node.h. */
#define CARILLON_ADAPTER 1
#include "base/prelude.h"

#include "cmd/carillon/local_node.h"

bool local_node_start(struct local_node *n, const char *data, const char *listen, bool admin)
{
    struct err_detail detail = {0};
    n->pg = pg_private_open(data, NULL, &detail);
    if (n->pg == NULL) {
        (void)fprintf(stderr, "carillon: private PostgreSQL: %s\n", detail.text);
        return false;
    }
    node_config_defaults(&n->config.node);
    n->config.node.node_id = STR("dev");
    n->config.node.listen = str_of(listen);
    n->config.node.admin_taken = ADMIN_TAKEN_ANY_PORT;
    if (!admin) {
        n->config.node.admin = STR_NONE;
    }
    n->config.database = pg_private_socket_conninfo(n->pg);
    n->node = daemon_start(&n->config, &detail);
    if (n->node == NULL) {
        (void)fprintf(stderr, "carillon: node: %s\n", detail.text);
        return false;
    }
    if (!daemon_wait_active(n->node, 30 * (int64_t)US_PER_S)) {
        (void)fprintf(stderr, "carillon: the node does not become active\n");
        return false;
    }
    return true;
}

void local_node_stop(struct local_node *n)
{
    if (n->node != NULL) {
        (void)daemon_stop(n->node);
    }
    pg_private_stop(n->pg);
}
