/* The folder's metrics, from metrics.def. */
#ifndef CARILLON_ENGINE_METRICS_H
#define CARILLON_ENGINE_METRICS_H

#include "base/metric.h"

#define METRIC METRIC_DECLARE
#include "engine/metrics.def"
#undef METRIC

#endif
