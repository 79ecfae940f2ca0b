/* The folder's metrics, from metrics.def. */
#ifndef CARILLON_NET_METRICS_H
#define CARILLON_NET_METRICS_H

#include "base/metric.h"

#define METRIC METRIC_DECLARE
#include "net/metrics.def"
#undef METRIC

#endif
