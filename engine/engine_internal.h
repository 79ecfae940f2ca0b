/* The engine's own struct, for engine.c and the parts of the front. */
#ifndef CARILLON_ENGINE_ENGINE_INTERNAL_H
#define CARILLON_ENGINE_ENGINE_INTERNAL_H

#include "engine/front.h"

struct engine {
    struct engine_config c;
    struct front front;
    struct shard *shards[ENGINE_SHARDS_MAX];
    struct owner *owner;
    struct owner_handler owner_handler;
    struct rng owner_rng;
    struct loop_timer drain; /* on the control loop: are we idle yet? */
    struct mono drain_until;
    uint32_t drain_asked, drain_busy;
    uint32_t roles_closed; /* of the front and the shards, in that order; on the control loop */
    bool front_closed;     /* on the front loop */
    struct loop_task start_front, start_control, stop_control, stop_front;
    void (*stopped)(void *arg);
    void *stopped_arg;
    enum err start_err; /* why it does not listen; told when every role is closed */
    struct err_detail start_detail;
};

/* Lanes go round the turn loops. */
static inline struct shard *engine_shard(struct engine *e, uint16_t lane)
{
    return e->shards[lane % e->c.turns_len];
}

/* client_api.c */
void tenants_fini(struct front *f);
/* A failover may have undone tenants that are in use: makes them again, checks their numbers. */
void tenants_check(struct front *f);

#endif
