/* Coordination by the database alone: the first node takes every lane, others stand by until its lease
 * ends or its sessions have. See coord.h. */
#include "base/prelude.h"

#include "coord/coord.h"

#include "base/log.h"
#include "base/mem.h"

LOG_MODULE("coord");

enum { LOOK_SLACK_US = 5 * US_PER_MS }; /* after a lease ends, before it is looked at */

struct coord_db {
    struct coord base;
    struct {
        struct uuid incarnation;
        struct mono since;
    } suspect[LANES_PER_SHARD_MAX]; /* owners seen without a session, by lane */
    struct {
        struct uuid incarnation;
        int64_t lease_until; /* as first seen */
        bool told;
    } twin; /* the living owner that has our name */
};

/* A living owner has our name. It is another node if it listens elsewhere, or when its lease is seen to
 * be renewed; else it may be a past life of our own whose connections outlive it. */
static void twin_watch(struct coord_db *c, const struct coord_view *v, const struct coord_lane *l)
{
    int64_t until = v->store_now.us + l->lease_left_us;
    if (!uuid_eq(&l->owner.incarnation, &c->twin.incarnation)) {
        c->twin.incarnation = l->owner.incarnation;
        c->twin.lease_until = until;
        c->twin.told = false;
    }
    bool renewed = until > c->twin.lease_until + US_PER_MS;
    if (!c->twin.told && (renewed || !str_eq(l->owner.address, v->self.address))) {
        c->twin.told = true;
        log_error("another node runs under the name of this one, which stands by: give each a name "
                  "of its own (node.id, --node)",
                  "name=%.*s its_address=%.*s", STR_ARG(v->self.node), STR_ARG(l->owner.address));
    }
}

/* Is the owner gone though its lease lives? One without a session cannot write. A past life of our own
 * will not come back; another node may be reconnecting, and has a moment for it. */
static bool owner_gone(struct coord_db *c, const struct coord_view *v, const struct coord_lane *l,
                       int64_t *look_us)
{
    const struct coord_member *owner = &l->owner;
    if (l->has_session || !uuid_eq(&c->suspect[l->lane].incarnation, &owner->incarnation)) {
        c->suspect[l->lane].incarnation = l->has_session ? (struct uuid){{0}} : owner->incarnation;
        c->suspect[l->lane].since = v->now;
    }
    if (l->has_session) {
        return false;
    }
    int64_t left = c->suspect[l->lane].since.us + v->heartbeat_us / 4 - v->now.us;
    if (left <= 0 ||
        (str_eq(owner->node, v->self.node) && str_eq(owner->address, v->self.address))) {
        return true;
    }
    *look_us = MIN(*look_us, left);
    return false;
}

/* When to look again: twice a heartbeat, as lanes may have been given back, and when a lease ends. */
static void advise(struct coord *base, const struct coord_view *v, struct coord_advice *out)
{
    struct coord_db *c = CONTAINER_OF(base, struct coord_db, base);
    out->claim_len = 0;
    out->other = STR_NONE;
    out->look_us = v->heartbeat_us / 2;
    for (uint32_t i = 0; i < v->lanes_len; i++) {
        const struct coord_lane *l = &v->lanes[i];
        if (uuid_is_null(&l->owner.incarnation) ||
            uuid_eq(&l->owner.incarnation, &v->self.incarnation) || l->lease_left_us <= 0 ||
            owner_gone(c, v, l, &out->look_us)) {
            out->claim[out->claim_len++] = l->lane;
            continue;
        }
        out->look_us = MIN(out->look_us, l->lease_left_us + LOOK_SLACK_US);
        out->other = l->owner.node;
        if (str_eq(l->owner.node, v->self.node)) {
            twin_watch(c, v, l);
        }
    }
}

struct coord *coord_db_new(void)
{
    static const struct coord_ops ops = {advise};
    struct coord_db *c = MEM_NEW(struct coord_db);
    c->base.ops = &ops;
    return &c->base;
}

void coord_db_free(struct coord *base)
{
    if (base != NULL) {
        mem_free(CONTAINER_OF(base, struct coord_db, base));
    }
}
