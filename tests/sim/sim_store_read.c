/* The fake store: reads, definitions, tenants. */
#include "base/prelude.h"

#include "tests/sim/sim_store_rows.h"

#include "base/assert.h"

/* The first byte says what follows: with another one nothing fits. "s" is the reader's copy. */
static void byte_flip(struct str s)
{
    if (s.size > 0) {
        *(char *)(uintptr_t)s.p ^= 0x55;
    }
}

static void exec_out(struct sim_exec *x, const struct exec_id *id, struct str row, bool state,
                     struct exec_row *out)
{
    struct exec_rec rec;
    memcpy(&rec, row.p, sizeof(rec));
    *out = (struct exec_row){
        .exec = *id,
        .found = true,
        .tenant = rec.tenant,
        .workflow = sim_out_str(x, row_text(row, sizeof(rec), 0, rec.workflow_size)),
        .name = sim_out_str(x, row_text(row, sizeof(rec), rec.workflow_size, rec.name_size)),
        .revision = rec.revision,
        .status = (uint8_t)rec.status,
        .seq = rec.seq,
        .turn = rec.turn,
        .started_at = {rec.started_at},
        .closed_at = {rec.closed_at},
        .snapshot_seq = rec.snapshot_seq,
    };
    if (state && rec.snapshot_seq > 0) {
        out->snapshot =
            sim_out_str(x, row_text(row, sizeof(rec), (size_t)rec.workflow_size + rec.name_size,
                                    rec.snapshot_size));
        if (sim_damaged(x->s, id, SIM_HISTORY_DAMAGED)) {
            byte_flip(out->snapshot);
        }
    }
}

enum { HISTORY_SEQ_AT = 17, HISTORY_KEY_SIZE = 25 };

static struct history_row *history_out(struct sim_exec *x, const struct exec_id *id,
                                       uint64_t from_seq, uint32_t limit, uint32_t *len)
{
    struct sim_key k;
    key_begin(&k, TABLE_HISTORY);
    key_bytes(&k, id->b, sizeof(id->b));
    size_t prefix = k.size;
    key_u64(&k, from_seq);
    struct kv_node *first = kv_seek(x->s->kv, key_str(&k));
    *len = 0;
    for (struct kv_node *n = first; n != NULL && *len < limit && kv_key(n).size == k.size &&
                                    memcmp(kv_key(n).p, k.b, prefix) == 0;
         n = kv_next(n)) {
        (*len)++;
    }
    struct history_row *rows = SIM_OUT(x, struct history_row, *len);
    struct kv_node *n = first;
    for (uint32_t i = 0; i < *len; i++, n = kv_next(n)) {
        struct history_rec rec;
        memcpy(&rec, kv_value(n).p, sizeof(rec));
        rows[i] = (struct history_row){
            .seq = key_get_u64(kv_key(n), HISTORY_SEQ_AT),
            .at = {rec.at},
            .first_event = rec.first_event,
            .event_count = rec.event_count,
            .body = sim_out_str(x, row_text(kv_value(n), sizeof(rec), 0, rec.body_size)),
        };
        if (sim_damaged(x->s, id, SIM_HISTORY_DAMAGED)) {
            byte_flip(rows[i].body);
        }
    }
    return rows;
}

enum err sim_op_load(struct sim_exec *x, struct store_load *q)
{
    q->rows = SIM_OUT(x, struct exec_row, q->ids_len);
    for (uint32_t i = 0; i < q->ids_len; i++) {
        struct sim_key k;
        key_begin(&k, TABLE_EXEC);
        key_bytes(&k, q->ids[i].b, sizeof(q->ids[i].b));
        struct kv_node *n = kv_get(x->s->kv, key_str(&k));
        q->rows[i].exec = q->ids[i];
        if (sim_damaged(x->s, &q->ids[i], SIM_LOAD_FAILS)) {
            return ERR_IO;
        }
        if (n != NULL) {
            struct exec_row *out = &q->rows[i];
            exec_out(x, &q->ids[i], kv_value(n), true, out);
            out->rows =
                history_out(x, &q->ids[i], out->snapshot_seq + 1, UINT32_MAX, &out->rows_len);
        }
        if (q->inbox) {
            sim_inbox_out(x, &q->ids[i], &q->rows[i]);
        }
    }
    return ERR_OK;
}

enum err sim_op_start_lookup(struct sim_exec *x, struct store_start_lookup *q)
{
    q->found = SIM_OUT(x, struct start_found, q->keys_len);
    for (uint32_t i = 0; i < q->keys_len; i++) {
        struct sim_key k;
        struct start_rec rec;
        key_begin(&k, TABLE_START);
        key_u32(&k, q->keys[i].tenant);
        key_text(&k, q->keys[i].workflow);
        key_text(&k, q->keys[i].name);
        struct kv_node *n = kv_get(x->s->kv, key_str(&k));
        if (n != NULL) {
            memcpy(&rec, kv_value(n).p, sizeof(rec));
            q->found[i] = (struct start_found){true, rec.exec, rec.digest};
        }
    }
    return ERR_OK;
}

enum err sim_op_list(struct sim_exec *x, struct store_list *q)
{
    struct sim_key k;
    key_begin(&k, TABLE_EXEC_NEW);
    key_u32(&k, q->tenant);
    size_t prefix = k.size;
    if (q->before.us != 0) {
        key_i64(&k, ~q->before.us);
        for (size_t i = 0; i < sizeof(q->before_exec.b); i++) {
            uint8_t inverted = (uint8_t)~q->before_exec.b[i];
            key_bytes(&k, &inverted, 1);
        }
        key_bytes(&k, "", 1);
    }
    struct kv_node *n = kv_seek(x->s->kv, key_str(&k));
    struct exec_id *ids = MEM_ARRAY(struct exec_id, MAX(q->limit, 1U));
    uint32_t len = 0;
    for (; n != NULL && len < q->limit && kv_key(n).size > prefix &&
           memcmp(kv_key(n).p, k.b, prefix) == 0;
         n = kv_next(n)) {
        struct sim_key row_key;
        struct exec_rec rec;
        memcpy(ids[len].b, kv_value(n).p, sizeof(ids[len].b));
        key_begin(&row_key, TABLE_EXEC);
        key_bytes(&row_key, ids[len].b, sizeof(ids[len].b));
        struct str row = kv_value(kv_get(x->s->kv, key_str(&row_key)));
        memcpy(&rec, row.p, sizeof(rec));
        bool of_workflow = q->workflow.size == 0 ||
                           str_eq(q->workflow, row_text(row, sizeof(rec), 0, rec.workflow_size));
        if (of_workflow && (q->status == 0 || q->status == rec.status)) {
            len++;
        }
    }
    q->rows = SIM_OUT(x, struct exec_row, len);
    q->rows_len = len;
    for (uint32_t i = 0; i < len; i++) {
        struct sim_key row_key;
        key_begin(&row_key, TABLE_EXEC);
        key_bytes(&row_key, ids[i].b, sizeof(ids[i].b));
        exec_out(x, &ids[i], kv_value(kv_get(x->s->kv, key_str(&row_key))), false, &q->rows[i]);
    }
    mem_free(ids);
    return ERR_OK;
}

enum err sim_op_history(struct sim_exec *x, struct store_history *q)
{
    q->rows = history_out(x, &q->exec, q->from_seq, q->limit, &q->rows_len);
    return ERR_OK;
}

/* ---- definitions ---- */

static void version_key(struct sim_key *k, uint32_t tenant, struct str workflow)
{
    key_begin(k, TABLE_DEF_VERSION);
    key_u32(k, tenant);
    key_text(k, workflow);
}

static void def_key(struct sim_key *k, uint64_t revision)
{
    key_begin(k, TABLE_DEF);
    key_u64(k, revision);
}

static bool key_has_prefix(struct kv_node *n, const struct sim_key *prefix)
{
    return n != NULL && kv_key(n).size >= prefix->size &&
           memcmp(kv_key(n).p, prefix->b, prefix->size) == 0;
}

/* Row of the newest version; NULL when the workflow is unknown. */
static struct kv_node *def_newest(struct sim_store *s, uint32_t tenant, struct str workflow,
                                  uint64_t *revision)
{
    struct sim_key k;
    version_key(&k, tenant, workflow);
    struct kv_node *n = kv_seek(s->kv, key_str(&k));
    if (!key_has_prefix(n, &k)) {
        return NULL;
    }
    memcpy(revision, kv_value(n).p, sizeof(*revision));
    def_key(&k, *revision);
    return kv_get(s->kv, key_str(&k));
}

static void def_out(struct sim_exec *x, uint64_t revision, struct str row, bool text,
                    struct definition_row *out)
{
    struct def_rec rec;
    memcpy(&rec, row.p, sizeof(rec));
    size_t skip = rec.workflow_size;
    *out = (struct definition_row){
        .revision = revision,
        .tenant = rec.tenant,
        .workflow = sim_out_str(x, row_text(row, sizeof(rec), 0, rec.workflow_size)),
        .version = rec.version,
        .digest = sim_out_str(x, row_text(row, sizeof(rec), skip, rec.digest_size)),
        .created_at = {rec.created_at},
        .deleted = rec.deleted != 0,
    };
    if (text) {
        skip += rec.digest_size;
        out->text = sim_out_str(x, row_text(row, sizeof(rec), skip, rec.text_size));
    }
}

static void workflow_delete(struct sim_store *s, uint32_t tenant, struct str workflow)
{
    struct sim_key prefix, k;
    version_key(&prefix, tenant, workflow);
    for (struct kv_node *n = kv_seek(s->kv, key_str(&prefix)); key_has_prefix(n, &prefix);
         n = kv_next(n)) {
        uint64_t revision;
        struct def_rec rec;
        memcpy(&revision, kv_value(n).p, sizeof(revision));
        def_key(&k, revision);
        struct str row = kv_value(kv_get(s->kv, key_str(&k)));
        size_t size = row.size - sizeof(rec);
        char *texts = mem_realloc(NULL, size + 1);
        memcpy(&rec, row.p, sizeof(rec));
        memcpy(texts, row.p + sizeof(rec), size);
        rec.deleted = 1;
        sim_row_put(s, &k, &rec, sizeof(rec), (struct str){texts, size}, STR_NONE, STR_NONE);
        mem_free(texts);
    }
}

enum err sim_op_def_put(struct sim_exec *x, struct store_def_put *q)
{
    struct sim_store *s = x->s;
    struct def_rec old = {0};
    struct meta_rec m;
    struct sim_key k;
    uint64_t revision = 0;
    struct kv_node *n = def_newest(s, q->tenant, q->workflow, &revision);
    struct str digest = STR_NONE;
    if (n != NULL) {
        memcpy(&old, kv_value(n).p, sizeof(old));
        digest = row_text(kv_value(n), sizeof(old), old.workflow_size, old.digest_size);
    }
    q->revision = revision;
    q->version = old.version;
    q->created = false;
    bool there = n != NULL && old.deleted == 0;
    if (!q->delete_workflow && there && str_eq(digest, q->digest)) {
        return ERR_OK;
    }
    if ((q->if_version != 0 && (!there || old.version != q->if_version)) ||
        (q->if_absent && there)) {
        return ERR_PRECONDITION;
    }
    if (q->delete_workflow) {
        if (!there) {
            return ERR_NO_WORKFLOW;
        }
        workflow_delete(s, q->tenant, q->workflow);
        return ERR_OK;
    }
    sim_meta_get(s, &m);
    q->created = true;
    q->revision = m.next_revision++;
    q->version = old.version + 1;
    sim_meta_put(s, &m);
    struct def_rec rec = {
        .created_at = x->now.us,
        .tenant = q->tenant,
        .version = q->version,
        .workflow_size = (uint32_t)q->workflow.size,
        .digest_size = (uint32_t)q->digest.size,
        .text_size = (uint32_t)q->text.size,
    };
    def_key(&k, q->revision);
    sim_row_put(s, &k, &rec, sizeof(rec), q->workflow, q->digest, q->text);
    version_key(&k, q->tenant, q->workflow);
    key_u32(&k, ~q->version);
    sim_row_put(s, &k, &q->revision, sizeof(q->revision), STR_NONE, STR_NONE, STR_NONE);
    return ERR_OK;
}

static struct kv_node *def_version(struct sim_store *s, const struct store_def_get *q,
                                   uint64_t *revision)
{
    struct sim_key k;
    version_key(&k, q->tenant, q->workflow);
    key_u32(&k, ~q->version);
    struct kv_node *n = kv_get(s->kv, key_str(&k));
    if (n == NULL) {
        return NULL;
    }
    memcpy(revision, kv_value(n).p, sizeof(*revision));
    def_key(&k, *revision);
    return kv_get(s->kv, key_str(&k));
}

enum err sim_op_def_get(struct sim_exec *x, struct store_def_get *q)
{
    struct sim_key k;
    uint64_t revision = q->revision;
    struct kv_node *n;
    if (revision != 0) {
        def_key(&k, revision);
        n = kv_get(x->s->kv, key_str(&k));
    } else {
        n = q->version == 0 ? def_newest(x->s, q->tenant, q->workflow, &revision)
                            : def_version(x->s, q, &revision);
    }
    if (n == NULL || (q->revision != 0 && q->revision == x->s->damaged_revision)) {
        return ERR_NO_WORKFLOW;
    }
    def_out(x, revision, kv_value(n), true, &q->row);
    return q->revision == 0 && q->row.deleted ? ERR_NO_WORKFLOW : ERR_OK;
}

enum err sim_op_def_list(struct sim_exec *x, struct store_def_list *q)
{
    struct sim_store *s = x->s;
    struct sim_key tenant, k;
    key_begin(&tenant, TABLE_DEF_VERSION);
    key_u32(&tenant, q->tenant);
    k = tenant;
    if (q->after.p != NULL && q->after.size > 0) {
        key_bytes(&k, q->after.p, q->after.size);
        key_bytes(&k, "\1", 1); /* behind all versions of that name */
    }
    uint64_t *found = MEM_ARRAY(uint64_t, MAX(q->limit, 1U));
    uint32_t len = 0;
    struct kv_node *n;
    while (len < q->limit && key_has_prefix(n = kv_seek(s->kv, key_str(&k)), &tenant)) {
        struct def_rec rec;
        uint64_t revision;
        memcpy(&revision, kv_value(n).p, sizeof(revision));
        k.size = 0;
        key_bytes(&k, kv_key(n).p, kv_key(n).size - 5); /* without NUL and version */
        key_bytes(&k, "\1", 1);
        struct sim_key row;
        def_key(&row, revision);
        memcpy(&rec, kv_value(kv_get(s->kv, key_str(&row))).p, sizeof(rec));
        if (rec.deleted == 0) {
            found[len++] = revision;
        }
    }
    q->rows = SIM_OUT(x, struct definition_row, len);
    q->rows_len = len;
    for (uint32_t i = 0; i < len; i++) {
        def_key(&k, found[i]);
        def_out(x, found[i], kv_value(kv_get(s->kv, key_str(&k))), false, &q->rows[i]);
    }
    mem_free(found);
    return ERR_OK;
}

static bool number_taken(struct sim_store *s, uint32_t number)
{
    struct sim_key k;
    key_begin(&k, TABLE_TENANT);
    for (struct kv_node *n = kv_seek(s->kv, key_str(&k));
         n != NULL && kv_key(n).p[0] == TABLE_TENANT; n = kv_next(n)) {
        if (memcmp(kv_value(n).p, &number, sizeof(number)) == 0) {
            return true;
        }
    }
    return false;
}

enum err sim_op_tenant(struct sim_exec *x, struct store_tenant *q)
{
    struct sim_store *s = x->s;
    struct sim_key k;
    key_begin(&k, TABLE_TENANT);
    key_text(&k, q->name);
    struct kv_node *n = kv_get(s->kv, key_str(&k));
    if (n != NULL) {
        memcpy(&q->number, kv_value(n).p, sizeof(q->number));
        return ERR_OK;
    }
    if (!q->create) {
        return ERR_NOT_FOUND;
    }
    struct meta_rec m;
    sim_meta_get(s, &m);
    if (q->max > 0 && m.tenants >= q->max) {
        return ERR_LIMIT;
    }
    m.tenants++;
    sim_meta_put(s, &m);
    q->number = tenant_number(q->name);
    while (number_taken(s, q->number)) {
        q->number = q->number % TENANT_MAX + 1;
    }
    sim_row_put(s, &k, &q->number, sizeof(q->number), STR_NONE, STR_NONE, STR_NONE);
    return ERR_OK;
}
