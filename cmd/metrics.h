/* The folder's metrics, from metrics.def. */
#ifndef CARILLON_CMD_METRICS_H
#define CARILLON_CMD_METRICS_H

#include "base/metric.h"

#define METRIC METRIC_DECLARE
#include "cmd/metrics.def"
#undef METRIC

#endif
