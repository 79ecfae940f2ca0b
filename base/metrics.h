/* The metrics of base, declared from the table. */
#ifndef CARILLON_BASE_METRICS_H
#define CARILLON_BASE_METRICS_H

#include "base/metric.h"

#define METRIC METRIC_DECLARE
#include "base/metrics.def"
#undef METRIC

#endif
