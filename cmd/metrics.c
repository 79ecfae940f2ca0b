/* The metrics of this folder, defined from the table. */
#include "base/prelude.h"

#include "cmd/metrics.h"

#define METRIC METRIC_DEFINE
#include "cmd/metrics.def"
#undef METRIC
