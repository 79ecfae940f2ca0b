/* Storage of the folder's metrics. */
#include "base/prelude.h"

#include "scheduler/metrics.h"

#define METRIC METRIC_DEFINE
#include "scheduler/metrics.def"
#undef METRIC
