/* The metrics of this folder, defined from the table. */
#include "base/prelude.h"

#include "net/metrics.h"

#define METRIC METRIC_DEFINE
#include "net/metrics.def"
#undef METRIC
