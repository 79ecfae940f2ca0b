/* The configuration of this process: the files that the command line names, the environment, the
 * flags. Main thread. */
#ifndef CARILLON_CMD_CARILLOND_CONFIG_H
#define CARILLON_CMD_CARILLOND_CONFIG_H

#include "conf/conf.h"

enum { CONFIG_PATHS_MAX = 64, CONFIG_FLAGS_MAX = 256 };

/* As given; kept, so that SIGHUP can look again. */
struct config_args {
    const char *paths[CONFIG_PATHS_MAX]; /* files, or folders whose *.yaml count by name */
    size_t paths_len;
    struct conf_flag flags[CONFIG_FLAGS_MAX];
    size_t flags_len;
};

/* Reads it all. NULL when something is wrong: "problems" says what. */
struct conf *config_read(const struct config_args *args, struct conf_problems *problems);

#endif
