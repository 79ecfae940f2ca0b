/* Facts about this process, for the metrics named process_*. */
#ifndef CARILLON_CMD_PROCESS_H
#define CARILLON_CMD_PROCESS_H

#include "cmd/admin.h"

void process_sample(struct admin_process *out); /* any thread */

#endif
