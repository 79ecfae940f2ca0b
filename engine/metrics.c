/* Storage of the folder's metrics. */
#include "base/prelude.h"

#include "engine/metrics.h"

#define METRIC METRIC_DEFINE
#include "engine/metrics.def"
#undef METRIC
