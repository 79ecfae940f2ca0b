/* The metrics of base, defined from the table. */
#include "base/prelude.h"

#include "base/metrics.h"

#define METRIC METRIC_DEFINE
#include "base/metrics.def"
#undef METRIC
