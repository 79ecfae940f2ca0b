/* A node of this process with a private PostgreSQL under it: for `carillon dev` and for whatever tries
 * something on a real node. Main thread. */
#ifndef CARILLON_CMD_CARILLON_LOCAL_NODE_H
#define CARILLON_CMD_CARILLON_LOCAL_NODE_H

#include "cmd/daemon.h"
#include "cmd/private_pg.h"

struct local_node {
    struct pg_private *pg;
    struct daemon *node;
    struct daemon_config config;
};
/* Zeroed before. Data is kept in the folder "data" (NULL: nowhere); "admin": with an admin port, the usual
 * one, or any when that is taken. False after a message; stop it in any case. Active when it returns. */
bool local_node_start(struct local_node *n, const char *data, const char *listen, bool admin);
void local_node_stop(struct local_node *n);

#endif
