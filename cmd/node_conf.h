/* From the user's configuration to what a node takes. Pure. */
#ifndef CARILLON_CMD_NODE_CONF_H
#define CARILLON_CMD_NODE_CONF_H

#include "cmd/node.h"
#include "conf/conf.h"

/* Texts are borrowed from "c". */
void node_config_of(const struct conf *c, struct node_config *out);

#endif
