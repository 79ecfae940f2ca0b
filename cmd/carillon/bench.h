/* Inside `carillon bench`: the stage (bench.c: database, node, workers), the workloads (bench_loads.c). */
#ifndef CARILLON_CMD_CARILLON_BENCH_H
#define CARILLON_CMD_CARILLON_BENCH_H

#include "cmd/carillon/bench_ceiling.h"
#include "cmd/carillon/bench_sys.h"
#include "cmd/carillon/cli.h"
#include "cmd/private_pg.h"

enum { BENCH_WORKERS_MAX = 16 };

struct bench {
    struct cli *cli;
    struct pg_private *pg;
    char conninfo[1024];
    int pg_pid, node_pid;
    int workers[BENCH_WORKERS_MAX], workers_len;
    char address[64];
    char workflow[32];
    carillon_client *client;
    double begin_node, begin_db, begin_workers, begin_self, begin_machine, begin_at;
};

/* Counters of the node. */
struct counts {
    double starts, outcomes, closed, batches, turns;
};

int bench_counts(struct bench *b, struct counts *out);
/* One number of the database; -1 when it cannot be read. */
double bench_sql(struct bench *b, const char *sql);
/* Runs a statement; prints the rows of its answer to standard error, a line each. */
void bench_sql_show(struct bench *b, const char *sql);
int bench_workers_start(struct bench *b, int n, const char *queue, int concurrency,
                        const char *file);
int bench_define(struct bench *b, const char *name, const char *definition);
/* Costs are counted from here; the JSON members of what was spent since, per 1,000 "units". */
void bench_costs_begin(struct bench *b);
void bench_costs_print(struct bench *b, double units);
/* Waits until the node has closed "n" executions, at most "seconds". */
bool bench_wait_closed(struct bench *b, double n, double seconds);

/* Each prints its JSON object as the last line and gives an exit code. */
int bench_w1(struct bench *b);
int bench_w2(struct bench *b);
int bench_w3(struct bench *b);
int bench_w4(struct bench *b);
int bench_idle(struct bench *b);
int bench_rss(struct bench *b);
int bench_core(struct bench *b);

#endif
