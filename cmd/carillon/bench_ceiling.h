/* What PostgreSQL alone can do for steps: the yardstick of `carillon bench`. */
#ifndef CARILLON_CMD_CARILLON_BENCH_CEILING_H
#define CARILLON_CMD_CARILLON_BENCH_CEILING_H

#include "base/err.h"

struct ceiling_result {
    double steps_s, seconds;
    double cpu_db, cpu_client; /* seconds per 1,000 steps */
    double ms_p50, ms_p99;     /* of a transaction */
};

/* Steps as a durable engine must write them at least: per step one update of the execution, one task
 * deleted, one inserted, one history row of 100 bytes; 100 steps a transaction, 4 connections with 2
 * transactions in flight each, arrays, pipeline. Makes and drops tables of its own (schema
 * "ceiling"). "server_pid": the postmaster, for CPU; 0 = unknown. */
enum err ceiling_run(const char *conninfo, int server_pid, double seconds,
                     struct ceiling_result *out, struct err_detail *detail) MUST_CHECK;

#endif
