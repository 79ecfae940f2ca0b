-- Schema of the store, version 1. Readable names for people are in the views at the end; see
-- docs/sql.md. A shard is one database; "shard" stands in the keys so that rows say so themselves
-- (the id of an execution begins with it and the slot). Tenants and definitions are of the whole
-- cluster.
--
-- Locks: the fence of a lane is the advisory lock (1128354377, shard << 16 | lane), held shared by
-- whoever inserts tasks or timers into the lane, exclusively by whoever changes the lane row. It
-- is taken by a statement of its own, before the one that reads the row: a statement's snapshot is
-- older than the locks it waits for.
CREATE SCHEMA carillon;

CREATE TABLE carillon.meta (
    key text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO carillon.meta VALUES ('schema_version', '1');

CREATE TABLE carillon.tenant (
    number int4 PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE carillon.definition (
    revision int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int4 NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    version int4 NOT NULL,
    text bytea NOT NULL,
    digest text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted bool NOT NULL DEFAULT false,
    UNIQUE (tenant, workflow, version)
);
CREATE TABLE carillon.definition_state (
    revision int8 NOT NULL REFERENCES carillon.definition,
    idx int4 NOT NULL,
    path text NOT NULL,
    PRIMARY KEY (revision, idx)
);

-- One row an execution. A turn is a HOT update: no column of an index changes but at the close.
-- The newest task of an execution that has no other stands in the row itself (task_*; none:
-- task_queue null): a sequence of steps then needs no row of carillon.task at all. A queue that
-- begins with "!" (no name does) is of a task that was submitted: the call has been answered, the
-- outcome comes by itself, and nobody is to get the task any more.
CREATE TABLE carillon.execution (
    id uuid NOT NULL,
    seq int8 NOT NULL,
    turn int8 NOT NULL,
    snapshot_seq int8 NOT NULL DEFAULT 0,
    revision int8 NOT NULL,
    started_at timestamptz NOT NULL,
    closed_at timestamptz,
    task_seq int8 NOT NULL DEFAULT 0,
    task_nonce int8 NOT NULL DEFAULT 0,
    task_timeout_at timestamptz,
    task_heartbeat_us int8 NOT NULL DEFAULT 0,
    task_idx int4 NOT NULL DEFAULT 0,
    task_attempt int4 NOT NULL DEFAULT 0,
    tenant int4 NOT NULL,
    status int2 NOT NULL,
    task_more bool NOT NULL DEFAULT false, -- carillon.task may hold tasks of this execution
    workflow text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    task_queue text,
    PRIMARY KEY (id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0.2,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX execution_started ON carillon.execution (tenant, started_at, id);
-- Open executions: what a new owner of a lane reads.
CREATE INDEX execution_open ON carillon.execution (id) WHERE status = 1;

CREATE TABLE carillon.start_key (
    shard int4 NOT NULL,
    tenant int4 NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    digest int8 NOT NULL,
    closed_at timestamptz,
    PRIMARY KEY (shard, tenant, workflow, name)
) WITH (fillfactor = 80, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE carillon.turn (
    id uuid NOT NULL,
    seq int8 NOT NULL,
    at timestamptz NOT NULL,
    first_event int4 NOT NULL,
    event_count int4 NOT NULL,
    codec int2 NOT NULL DEFAULT 0,
    body bytea NOT NULL,
    outcomes text,
    PRIMARY KEY (id, seq)
) WITH (toast_tuple_target = 8160);

CREATE TABLE carillon.snapshot (
    id uuid PRIMARY KEY,
    seq int8 NOT NULL,
    body bytea NOT NULL
) WITH (fillfactor = 70, toast_tuple_target = 8160, autovacuum_vacuum_cost_delay = 0);

-- Tasks beside the one in the execution row (Parallel, Map). No payload, no other index.
CREATE TABLE carillon.task (
    id uuid NOT NULL,
    seq int8 NOT NULL,
    nonce int8 NOT NULL,
    timeout_at timestamptz,
    heartbeat_us int8 NOT NULL DEFAULT 0,
    idx int4 NOT NULL,
    attempt int4 NOT NULL,
    queue text NOT NULL,
    PRIMARY KEY (id, seq, idx)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

DO $$
BEGIN
    ALTER TABLE carillon.turn ALTER body SET COMPRESSION lz4;
    ALTER TABLE carillon.snapshot ALTER body SET COMPRESSION lz4;
    ALTER TABLE carillon.definition ALTER text SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL; -- this server was built without lz4: its default will do
END $$;

-- ---- timers: one table per slot of the ring, and the long term ----
-- Plain tables, addressed by name: a partitioned parent would open all children for each insert.
CREATE FUNCTION carillon.ring_table(p_idx int) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT 'timer_w' || CASE WHEN p_idx < 10 THEN '0' ELSE '' END || p_idx $$;

CREATE FUNCTION carillon.ring_create(p_windows int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 0 .. p_windows - 1 LOOP
        CONTINUE WHEN to_regclass('carillon.' || carillon.ring_table(i)) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE carillon.%I (due timestamptz NOT NULL, id uuid NOT NULL,
             seq int8 NOT NULL, idx int4 NOT NULL, PRIMARY KEY (due, id, seq, idx))
             WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000,
             autovacuum_vacuum_cost_delay = 0)', carillon.ring_table(i));
    END LOOP;
END $$;
SELECT carillon.ring_create(12);

CREATE TABLE carillon.timer_long (
    due timestamptz NOT NULL,
    id uuid NOT NULL,
    seq int8 NOT NULL,
    idx int4 NOT NULL,
    PRIMARY KEY (due, id, seq, idx)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000,
        autovacuum_vacuum_cost_delay = 0);

-- Which absolute window the table of each ring slot serves now.
CREATE TABLE carillon.ring (
    shard int4 NOT NULL,
    idx int4 NOT NULL,
    win int8 NOT NULL,
    PRIMARY KEY (shard, idx)
);

-- ---- ownership ----
CREATE TABLE carillon.lane (
    shard int4 NOT NULL,
    lane int4 NOT NULL,
    slot_lo int4 NOT NULL,
    slot_hi int4 NOT NULL,
    epoch int8 NOT NULL DEFAULT 0,
    claim uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    incarnation uuid,
    node text NOT NULL DEFAULT '',
    closed_to int8 NOT NULL DEFAULT -2,
    accept_from int8 NOT NULL DEFAULT -1,
    open_to int8 NOT NULL DEFAULT -1,
    window_us int8 NOT NULL DEFAULT 1,
    PRIMARY KEY (shard, lane)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

CREATE TABLE carillon.claim_log (
    n int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard int4 NOT NULL,
    lane int4 NOT NULL,
    epoch int8 NOT NULL,
    claim uuid NOT NULL,
    incarnation uuid NOT NULL,
    node text NOT NULL,
    claimed_at timestamptz NOT NULL,
    UNIQUE (shard, lane, epoch, claim)
);

CREATE TABLE carillon.node (
    incarnation uuid PRIMARY KEY,
    node text NOT NULL,
    address text NOT NULL,
    lease_until timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    timeline int8 NOT NULL, -- when it registered: a failover makes every incarnation stale
    evicted bool NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

CREATE TABLE carillon.leader (
    shard int4 PRIMARY KEY,
    epoch int8 NOT NULL,
    claim uuid NOT NULL,
    incarnation uuid NOT NULL,
    node text NOT NULL,
    claimed_at timestamptz NOT NULL
);

-- ---- between executions ----
-- A row is written by the turn of one execution (source: unique, what it is about) and deleted by
-- the turn of the other that folds it. Whoever does not own the lane of the other announces it in
-- lane_inbox; a new owner looks through inbox itself.
CREATE TABLE carillon.inbox (
    id uuid NOT NULL,
    source text COLLATE "C" NOT NULL,
    kind int2 NOT NULL,
    payload bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, source)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE carillon.lane_inbox (
    shard int4 NOT NULL,
    lane int4 NOT NULL,
    id int8 GENERATED ALWAYS AS IDENTITY,
    exec uuid NOT NULL,
    PRIMARY KEY (shard, lane, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE carillon.outbox (
    n int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target_shard int4 NOT NULL,
    target uuid,
    source text COLLATE "C" NOT NULL,
    kind int2 NOT NULL,
    payload bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
        autovacuum_vacuum_cost_delay = 0);

-- ---- functions of the control path ----
-- Errors raised: CA001 fenced, CA002 conflict, CA003 invalid, CA004 no such workflow, CA005 no
-- such tenant, CA006 precondition.

-- Lowest id of (shard, slot); slot 4096 is the next shard's first.
CREATE FUNCTION carillon.id_low(p_shard int, p_slot int) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN p_shard::int8 * 4096 + p_slot > 16777215
           THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'
           ELSE lpad(to_hex(p_shard::int8 * 4096 + p_slot), 6, '0') || repeat('0', 26) END::uuid
$$;

CREATE FUNCTION carillon.id_slot(p_id uuid) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT ('x' || substr(p_id::text, 4, 3))::bit(12)::int $$;

CREATE FUNCTION carillon.lane_key(p_shard int, p_lane int) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT (p_shard << 16) | p_lane $$;

-- Creates the lane rows of a shard when it has none: equal ranges of slots.
CREATE FUNCTION carillon.shard_init(p_shard int, p_lanes int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO carillon.lane (shard, lane, slot_lo, slot_hi)
    SELECT p_shard, l, l * 4096 / p_lanes, (l + 1) * 4096 / p_lanes
    FROM generate_series(0, p_lanes - 1) l
    WHERE NOT EXISTS (SELECT FROM carillon.lane WHERE shard = p_shard)
    ON CONFLICT DO NOTHING;
END $$;

-- The present timeline; the control file may lag behind it until the next checkpoint.
CREATE FUNCTION carillon.timeline() RETURNS int8 LANGUAGE sql VOLATILE AS $$
    SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int8
$$;

-- Refuses an incarnation from within a statement.
CREATE FUNCTION carillon.fenced(p_inc uuid) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'incarnation % was evicted, or registered before a failover', p_inc
        USING ERRCODE = 'CA001';
END $$;

-- Does any session of the incarnation live? Sessions are named carillon/<node>/<incarnation>.
CREATE FUNCTION carillon.has_session(p_inc uuid) RETURNS bool LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pg_stat_activity
                   WHERE application_name LIKE 'carillon/%/' || p_inc::text)
$$;

-- Ends the sessions of an incarnation that must not write any more.
CREATE FUNCTION carillon.end_sessions(p_inc uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name LIKE 'carillon/%/' || p_inc::text AND pid <> pg_backend_pid();
END $$;

-- Ends whoever holds the fence of a lane against a claimant: the frozen owner, and any session
-- whose transaction has waited for its client for 400 ms (a node frozen while it sent a batch).
CREATE FUNCTION carillon.end_holders(p_shard int, p_lane int, p_inc uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_stat_clear_snapshot();
    PERFORM pg_terminate_backend(a.pid)
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.classid = 1128354377::oid
      AND l.objid = carillon.lane_key(p_shard, p_lane)::oid AND l.objsubid = 2 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND a.pid <> pg_backend_pid()
      AND (a.application_name LIKE 'carillon/%/' || p_inc::text
           OR (a.wait_event = 'ClientRead' AND a.state_change < clock_timestamp() - interval '400 ms'));
END $$;

CREATE FUNCTION carillon.lease(p_inc uuid, p_node text, p_address text, p_lease_us int8,
                               p_renew_only bool,
                               OUT lease_until timestamptz, OUT now_at timestamptz,
                               OUT system_id int8, OUT timeline int8)
LANGUAGE plpgsql AS $$
BEGIN
    now_at := clock_timestamp();
    timeline := carillon.timeline();
    lease_until := now_at + p_lease_us * interval '1 microsecond';
    UPDATE carillon.node n
    SET node = p_node, address = p_address, lease_until = lease.lease_until
    WHERE n.incarnation = p_inc AND NOT n.evicted AND n.timeline = lease.timeline;
    IF NOT FOUND THEN
        IF p_renew_only OR EXISTS (SELECT FROM carillon.node n WHERE n.incarnation = p_inc) THEN
            PERFORM carillon.fenced(p_inc);
        END IF;
        INSERT INTO carillon.node (incarnation, node, address, lease_until, timeline)
        VALUES (p_inc, p_node, p_address, lease.lease_until, lease.timeline);
        DELETE FROM carillon.node n WHERE n.lease_until < now_at - interval '30 days';
    END IF;
    SELECT c.system_identifier INTO system_id FROM pg_control_system() c;
END $$;

-- Refuses an incarnation that holds no lease.
CREATE FUNCTION carillon.lease_check(p_inc uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM carillon.node n WHERE n.incarnation = p_inc AND NOT n.evicted
                   AND n.timeline = carillon.timeline() AND n.lease_until > clock_timestamp()) THEN
        RAISE EXCEPTION 'incarnation % holds no lease', p_inc USING ERRCODE = 'CA001';
    END IF;
END $$;

-- Takes the fences (in order) and compares; p_exclusive when the lane rows will be changed: then it
-- waits for 1 s in all, not for each, as those it has keep others waiting.
CREATE FUNCTION carillon.fence(p_shards int4[], p_lanes int4[], p_epochs int8[], p_claims uuid[],
                               p_exclusive bool) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    k int;
    held bool;
    give_up timestamptz := clock_timestamp() + interval '1 s';
BEGIN
    FOR i IN 1 .. cardinality(p_lanes) LOOP
        k := carillon.lane_key(p_shards[i], p_lanes[i]);
        IF p_exclusive THEN
            PERFORM set_config('lock_timeout', greatest(1, ceil(extract(
                epoch FROM give_up - clock_timestamp()) * 1000)) || 'ms', true);
            PERFORM pg_advisory_xact_lock(1128354377, k);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(1128354377, k);
        END IF;
        SELECT l.epoch = p_epochs[i] AND l.claim = p_claims[i] AND l.incarnation IS NOT NULL
               AND NOT EXISTS (SELECT FROM carillon.node n WHERE n.incarnation = l.incarnation
                               AND n.timeline <> carillon.timeline())
        INTO held FROM carillon.lane l WHERE l.shard = p_shards[i] AND l.lane = p_lanes[i];
        IF held IS NOT TRUE THEN
            RAISE EXCEPTION 'lane %/% is not held under epoch %', p_shards[i], p_lanes[i],
                p_epochs[i] USING ERRCODE = 'CA001';
        END IF;
    END LOOP;
    IF p_exclusive THEN
        PERFORM set_config('lock_timeout', '1s', true);
    END IF;
END $$;

-- has_session as carillon.has_session() says, for all owners at once.
CREATE FUNCTION carillon.lanes(p_shard int)
RETURNS TABLE (shard int4, lane int4, slot_lo int4, slot_hi int4, epoch int8, claim uuid,
               incarnation uuid, node text, address text, closed_to int8, accept_from int8,
               open_to int8, lease_left_us int8, has_session bool)
LANGUAGE sql STABLE AS $$
    SELECT l.shard, l.lane, l.slot_lo, l.slot_hi, l.epoch, l.claim, l.incarnation, l.node,
           coalesce(n.address, ''), l.closed_to, l.accept_from, l.open_to,
           CASE WHEN n.incarnation IS NULL OR n.evicted OR n.timeline <> t.now THEN 0
                ELSE (extract(epoch FROM n.lease_until - clock_timestamp()) * 1000000)::int8 END,
           a.incarnation IS NOT NULL
    FROM carillon.timeline() t(now)
    CROSS JOIN carillon.lane l
    LEFT JOIN carillon.node n ON n.incarnation = l.incarnation
    LEFT JOIN (SELECT DISTINCT right(application_name, 36) AS incarnation FROM pg_stat_activity
               WHERE application_name LIKE 'carillon/%/%') a ON a.incarnation = l.incarnation::text
    WHERE l.shard = p_shard ORDER BY l.lane
$$;

CREATE FUNCTION carillon.window_start(p_window int8, p_window_us int8) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT to_timestamp(0) + p_window * p_window_us * interval '1 microsecond' $$;

-- The last window that the ring serves without a gap, counted from p_from; p_from - 1 when none.
CREATE FUNCTION carillon.ring_reach(p_shard int, p_from int8, p_to int8) RETURNS int8
LANGUAGE plpgsql STABLE AS $$
DECLARE
    w int8 := p_from;
BEGIN
    WHILE w <= p_to AND EXISTS (SELECT FROM carillon.ring r WHERE r.shard = p_shard AND r.win = w)
    LOOP
        w := w + 1;
    END LOOP;
    RETURN w - 1;
END $$;

-- First claim of a lane: [the present window, as far as the ring reaches]; a ring that serves
-- only older windows (nobody turned it for long) gives its last one.
CREATE FUNCTION carillon.lane_first(p_shard int, p_lane int, p_window_us int8, p_ring int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w int8 := floor(extract(epoch FROM clock_timestamp()) * 1000000 / p_window_us);
    top int8;
BEGIN
    SELECT max(r.win) INTO top FROM carillon.ring r WHERE r.shard = p_shard;
    IF top IS NULL THEN
        INSERT INTO carillon.ring SELECT p_shard, g % p_ring, g
        FROM generate_series(w, w + p_ring - 1) g;
        top := w + p_ring - 1;
    END IF;
    w := least(w, top);
    UPDATE carillon.lane l
    SET closed_to = w - 1, accept_from = w, window_us = p_window_us,
        open_to = greatest(w, carillon.ring_reach(p_shard, w, w + p_ring - 1))
    WHERE l.shard = p_shard AND l.lane = p_lane;
END $$;

-- May p_inc take the lane from its owner?
CREATE FUNCTION carillon.claimable(p_owner uuid, p_inc uuid, p_takeover bool) RETURNS bool
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN p_owner IS NULL OR p_owner = p_inc OR p_takeover
        OR NOT EXISTS (SELECT FROM carillon.node n WHERE n.incarnation = p_owner
                       AND NOT n.evicted AND n.lease_until > clock_timestamp()
                       AND n.timeline = carillon.timeline())
        OR NOT carillon.has_session(p_owner);
END $$;

-- The exclusive fence of a lane for a claimant: 500 ms of patience, then eviction, a few times.
CREATE FUNCTION carillon.claim_lock(p_shard int, p_lane int, p_owner uuid) RETURNS bool
LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 4 LOOP
        BEGIN
            PERFORM pg_advisory_xact_lock(1128354377, carillon.lane_key(p_shard, p_lane));
            RETURN true;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM carillon.end_holders(p_shard, p_lane, p_owner);
        END;
    END LOOP;
    RETURN false;
END $$;

CREATE FUNCTION carillon.claim(p_shard int, p_inc uuid, p_node text, p_lanes int4[],
                               p_claims uuid[], p_takeover bool, p_window_us int8, p_ring int)
RETURNS SETOF int4 LANGUAGE plpgsql AS $$
DECLARE
    l carillon.lane;
    was text;
    give_up timestamptz := clock_timestamp() + interval '1.5 s';
BEGIN
    PERFORM carillon.lease_check(p_inc);
    PERFORM set_config('lock_timeout', '500ms', true);
    IF NOT EXISTS (SELECT FROM carillon.meta WHERE key = 'ring_windows') THEN
        PERFORM pg_advisory_xact_lock(1128354377, -1);
        PERFORM carillon.ring_create(p_ring);
        INSERT INTO carillon.meta VALUES ('window_us', p_window_us), ('ring_windows', p_ring)
        ON CONFLICT DO NOTHING;
    END IF;
    SELECT string_agg(key || ' ' || value, ', ' ORDER BY key) INTO was FROM carillon.meta
    WHERE (key = 'window_us' AND value <> p_window_us::text)
       OR (key = 'ring_windows' AND value <> p_ring::text);
    IF was IS NOT NULL THEN
        RAISE EXCEPTION 'the database was set up with %', was USING ERRCODE = 'CA002';
    END IF;
    FOR i IN 1 .. cardinality(p_lanes) LOOP
        EXIT WHEN clock_timestamp() > give_up; -- what was had so far counts; the rest another time
        SELECT * INTO l FROM carillon.lane x WHERE x.shard = p_shard AND x.lane = p_lanes[i];
        CONTINUE WHEN NOT FOUND OR NOT carillon.claimable(l.incarnation, p_inc, p_takeover);
        IF p_takeover AND l.incarnation <> p_inc THEN
            PERFORM carillon.end_sessions(l.incarnation);
        END IF;
        CONTINUE WHEN NOT carillon.claim_lock(p_shard, p_lanes[i], l.incarnation);
        SELECT * INTO l FROM carillon.lane x WHERE x.shard = p_shard AND x.lane = p_lanes[i];
        CONTINUE WHEN NOT carillon.claimable(l.incarnation, p_inc, p_takeover);
        IF l.incarnation <> p_inc THEN
            UPDATE carillon.node n
            SET evicted = true, lease_until = least(n.lease_until, clock_timestamp())
            WHERE n.incarnation = l.incarnation AND NOT n.evicted;
        END IF;
        IF l.epoch = 0 THEN
            PERFORM pg_advisory_xact_lock(1128354377, -1);
            PERFORM carillon.lane_first(p_shard, p_lanes[i], p_window_us, p_ring);
        END IF;
        UPDATE carillon.lane x
        SET epoch = x.epoch + 1, claim = p_claims[i], incarnation = p_inc, node = p_node
        WHERE x.shard = p_shard AND x.lane = p_lanes[i];
        INSERT INTO carillon.claim_log (shard, lane, epoch, claim, incarnation, node, claimed_at)
        VALUES (p_shard, p_lanes[i], l.epoch + 1, p_claims[i], p_inc, p_node, clock_timestamp());
        RETURN NEXT p_lanes[i];
    END LOOP;
    -- A claim under way together with this one may have evicted us: then nothing of this one counts.
    PERFORM FROM carillon.node n WHERE n.incarnation = p_inc FOR SHARE;
    PERFORM carillon.lease_check(p_inc);
END $$;

-- Gives lanes up; those not held under the given claim are left alone. p_lanes null: all.
CREATE FUNCTION carillon.release(p_inc uuid, p_shards int4[], p_lanes int4[], p_epochs int8[],
                                 p_claims uuid[], p_leave bool) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM carillon.fenced(n.incarnation) FROM carillon.node n
    WHERE n.incarnation = p_inc AND (n.evicted OR n.timeline <> carillon.timeline());
    PERFORM pg_advisory_xact_lock(1128354377, carillon.lane_key(h.shard, h.lane))
    FROM (SELECT l.shard, l.lane FROM carillon.lane l
          WHERE l.incarnation = p_inc AND (p_lanes IS NULL OR (l.shard, l.lane) IN
                (SELECT * FROM unnest(p_shards, p_lanes)))
          ORDER BY l.shard, l.lane) h;
    UPDATE carillon.lane l SET incarnation = NULL, node = ''
    WHERE l.incarnation = p_inc AND (p_lanes IS NULL OR (l.shard, l.lane, l.epoch, l.claim) IN
          (SELECT * FROM unnest(p_shards, p_lanes, p_epochs, p_claims)));
    IF p_leave THEN
        DELETE FROM carillon.node n WHERE n.incarnation = p_inc;
    END IF;
END $$;

-- The id ranges of lanes that have been claimed; neighbours whose windows stand alike are one.
CREATE FUNCTION carillon.spans(p_shards int4[], p_lanes int4[])
RETURNS TABLE (lo uuid, hi uuid, closed_to int8, accept_from int8, open_to int8, window_us int8)
LANGUAGE sql STABLE AS $$
    SELECT carillon.id_low(x.shard, min(x.slot_lo)), carillon.id_low(x.shard, max(x.slot_hi)),
           x.closed_to, x.accept_from, x.open_to, x.window_us
    FROM (SELECT l.*, l.slot_hi - sum(l.slot_hi - l.slot_lo) OVER (
                     PARTITION BY l.shard, l.closed_to, l.accept_from, l.open_to, l.window_us
                     ORDER BY l.slot_lo) AS island
          FROM unnest(p_shards, p_lanes) h(s, n)
          JOIN carillon.lane l ON l.shard = h.s AND l.lane = h.n) x
    GROUP BY x.shard, x.island, x.closed_to, x.accept_from, x.open_to, x.window_us
$$;

-- ---- moving rows: in chunks of p_limit, so that no call lasts long whatever there is to move ----
-- A chunk is found through the primary key, whatever the statistics say, and deleted by ctid (a
-- timer row is never updated). Rows of other lanes on the way are passed over.

-- Moves long-term rows of the lanes into the ring, in key order, from due time p_from on: those due
-- in the open windows and, up to p_to, in the next ones that the ring's tables serve already. Rows
-- there are not seen before the window is opened. reached: due time of the last one.
CREATE FUNCTION carillon.promote_rows(p_shards int4[], p_lanes int4[], p_to int8,
                                      p_from timestamptz, p_limit int8,
                                      OUT moved int8, OUT reached timestamptz)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    ring int;
    w record;
    inserts text;
BEGIN
    SELECT value::int INTO STRICT ring FROM carillon.meta WHERE key = 'ring_windows';
    SELECT min(r.accept_from) AS first, max(r.upto) AS last, max(r.window_us) AS us,
           array_agg(r.lo) AS los, array_agg(r.hi) AS his, array_agg(r.accept_from) AS accepts,
           array_agg(carillon.window_start(r.upto + 1, r.window_us)) AS ends
    INTO w
    FROM (SELECT s.*, greatest(s.open_to, carillon.ring_reach(p_shards[1], s.open_to + 1, p_to))
                      AS upto
          FROM carillon.spans(p_shards, p_lanes) s) r;
    SELECT coalesce(string_agg(format(
        ', i%s AS (INSERT INTO carillon.%I SELECT due, id, seq, idx FROM d WHERE win = %s
                   ON CONFLICT DO NOTHING)', i, carillon.ring_table((i % ring)::int), i), ''), '')
    INTO inserts FROM generate_series(w.first, w.last) i;
    EXECUTE 'WITH c AS MATERIALIZED (
            SELECT x.at, greatest(x.accept, (extract(epoch FROM x.due) * 1000000)::int8 / $6) AS win
            FROM (SELECT t.ctid AS at, t.due,
                         (SELECT r.accept FROM unnest($1, $2, $3, $4) r(lo, hi, accept, upto)
                          WHERE t.id >= r.lo AND t.id < r.hi AND t.due < r.upto) AS accept
                  FROM carillon.timer_long t WHERE t.due >= $7 AND t.due < $5
                  ORDER BY t.due, t.id, t.seq, t.idx) x
            WHERE x.accept IS NOT NULL LIMIT $8),
        d AS (DELETE FROM carillon.timer_long t USING c WHERE t.ctid = c.at
              RETURNING t.due, t.id, t.seq, t.idx, c.win)' || inserts ||
        ' SELECT count(*), max(due) FROM d'
    INTO moved, reached
    USING w.los, w.his, w.accepts, w.ends, carillon.window_start(w.last + 1, w.us), w.us, p_from,
        p_limit;
END $$;

-- Moves what is left in windows below accept_from of each lane into that window, oldest window
-- first, in key order.
CREATE FUNCTION carillon.leftovers(p_shards int4[], p_lanes int4[], p_limit int8) RETURNS int8
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    ring int;
    w record;
    inserts text;
    moved int8 := 0;
    n int8;
BEGIN
    SELECT value::int INTO STRICT ring FROM carillon.meta WHERE key = 'ring_windows';
    SELECT min(s.closed_to) + 1 AS first, max(s.accept_from) - 1 AS last,
           array_agg(s.lo) AS los, array_agg(s.hi) AS his, array_agg(s.closed_to) AS closed,
           array_agg(s.accept_from) AS accepts
    INTO w FROM carillon.spans(p_shards, p_lanes) s;
    SELECT coalesce(string_agg(format(
        ', i%s AS (INSERT INTO carillon.%I SELECT due, id, seq, idx FROM d WHERE win = %s
                   ON CONFLICT DO NOTHING)', i, carillon.ring_table((i % ring)::int), i), ''), '')
    INTO inserts FROM (SELECT DISTINCT u FROM unnest(w.accepts) u) a(i);
    FOR i IN coalesce(w.first, 0) .. coalesce(w.last, -1) LOOP
        EXECUTE format('WITH c AS MATERIALIZED (
                SELECT x.at, x.win
                FROM (SELECT t.ctid AS at,
                             (SELECT r.accept FROM unnest($1, $2, $3, $4) r(lo, hi, closed, accept)
                              WHERE t.id >= r.lo AND t.id < r.hi AND r.closed < %2$s
                                AND r.accept > %2$s) AS win
                      FROM carillon.%1$I t ORDER BY t.due, t.id, t.seq, t.idx) x
                WHERE x.win IS NOT NULL LIMIT $5),
            d AS (DELETE FROM carillon.%1$I t USING c WHERE t.ctid = c.at
                  RETURNING t.due, t.id, t.seq, t.idx, c.win)',
            carillon.ring_table((i % ring)::int), i) || inserts || ' SELECT count(*) FROM d'
        INTO n USING w.los, w.his, w.closed, w.accepts, p_limit - moved;
        moved := moved + n;
        EXIT WHEN moved >= p_limit;
    END LOOP;
    RETURN moved;
END $$;

CREATE FUNCTION carillon.promote(p_shards int4[], p_lanes int4[], p_epochs int8[], p_claims uuid[],
                                 p_to int8, p_from timestamptz, p_limit int8,
                                 OUT promoted int8, OUT reached timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM carillon.fence(p_shards, p_lanes, p_epochs, p_claims, false);
    SELECT r.moved, r.reached INTO promoted, reached
    FROM carillon.promote_rows(p_shards, p_lanes, p_to, p_from, p_limit) r;
END $$;

-- Opens windows after a last promotion that leaves nothing; none when it does not get through with
-- p_limit rows: then the caller promotes again before it comes back.
CREATE FUNCTION carillon.window_open(p_shards int4[], p_lanes int4[], p_epochs int8[],
                                     p_claims uuid[], p_open_to int8, p_limit int8,
                                     OUT opened_to int8, OUT promoted int8)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM carillon.fence(p_shards, p_lanes, p_epochs, p_claims, true);
    SELECT r.moved INTO promoted
    FROM carillon.promote_rows(p_shards, p_lanes, p_open_to, '-infinity', p_limit) r;
    IF promoted < p_limit THEN
        UPDATE carillon.lane l SET open_to = t.reach
        FROM (SELECT x.shard, x.lane,
                     carillon.ring_reach(x.shard, x.open_to + 1, p_open_to) AS reach
              FROM unnest(p_shards, p_lanes) h(s, n)
              JOIN carillon.lane x ON x.shard = h.s AND x.lane = h.n) t
        WHERE l.shard = t.shard AND l.lane = t.lane AND l.open_to < t.reach;
    END IF;
    SELECT min(l.open_to) INTO opened_to
    FROM unnest(p_shards, p_lanes) h(s, n) JOIN carillon.lane l ON l.shard = h.s AND l.lane = h.n;
END $$;

-- Leftovers move under the shared fence once accept_from is past them: nobody adds to their windows
-- any more. Only the call that finds none closes the windows; it holds no row then, for whose lock
-- somebody could wait who holds the fence that this one waits for.
CREATE FUNCTION carillon.window_close(p_shards int4[], p_lanes int4[], p_epochs int8[],
                                      p_claims uuid[], p_accept_from int8, p_finish bool,
                                      p_limit int8)
RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    moved int8 := 0;
    swept bool := false;
    l record;
BEGIN
    IF p_finish THEN
        PERFORM carillon.fence(p_shards, p_lanes, p_epochs, p_claims, false);
        swept := NOT EXISTS (SELECT FROM unnest(p_shards, p_lanes) h(s, n)
                             JOIN carillon.lane x ON x.shard = h.s AND x.lane = h.n
                             WHERE x.accept_from < p_accept_from);
        IF swept THEN
            moved := carillon.leftovers(p_shards, p_lanes, p_limit);
            IF moved > 0 THEN
                RETURN moved;
            END IF;
        END IF;
    END IF;
    PERFORM carillon.fence(p_shards, p_lanes, p_epochs, p_claims, true);
    SELECT x.shard, x.lane INTO l FROM unnest(p_shards, p_lanes) h(s, n)
    JOIN carillon.lane x ON x.shard = h.s AND x.lane = h.n WHERE x.open_to < p_accept_from LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'lane %/%: window % is not open', l.shard, l.lane, p_accept_from
            USING ERRCODE = 'CA003';
    END IF;
    UPDATE carillon.lane x SET accept_from = p_accept_from
    FROM unnest(p_shards, p_lanes) h(s, n)
    WHERE x.shard = h.s AND x.lane = h.n AND x.accept_from < p_accept_from;
    IF p_finish AND NOT swept THEN
        moved := carillon.leftovers(p_shards, p_lanes, p_limit);
    END IF;
    IF p_finish AND moved = 0 THEN
        UPDATE carillon.lane x SET closed_to = x.accept_from - 1
        FROM unnest(p_shards, p_lanes) h(s, n)
        WHERE x.shard = h.s AND x.lane = h.n AND x.closed_to < x.accept_from - 1;
    END IF;
    RETURN moved;
END $$;

-- Empties the table of a window that all lanes (those ever claimed) have closed. True also when it
-- was emptied before.
CREATE FUNCTION carillon.window_empty(p_shard int, p_window int8) RETURNS bool
LANGUAGE plpgsql AS $$
DECLARE
    n int;
    serves int8;
    t text;
    left_over bool;
BEGIN
    SELECT value::int INTO n FROM carillon.meta WHERE key = 'ring_windows';
    SELECT r.win INTO serves FROM carillon.ring r
    WHERE r.shard = p_shard AND r.idx = p_window % n FOR UPDATE;
    IF serves > p_window THEN
        RETURN true;
    END IF;
    IF serves IS DISTINCT FROM p_window OR EXISTS (
           SELECT FROM carillon.lane l WHERE l.epoch > 0 AND l.closed_to < p_window) THEN
        RETURN false;
    END IF;
    t := carillon.ring_table((p_window % n)::int);
    BEGIN
        PERFORM set_config('lock_timeout', '100ms', true);
        EXECUTE format('LOCK TABLE carillon.%I IN ACCESS EXCLUSIVE MODE', t);
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
    EXECUTE format('SELECT EXISTS (SELECT FROM carillon.%I)', t) INTO left_over;
    IF left_over THEN
        RETURN false; -- never while the fences hold; a row is worth more than a table
    END IF;
    EXECUTE format('TRUNCATE carillon.%I', t);
    UPDATE carillon.ring r SET win = p_window + n
    WHERE r.shard = p_shard AND r.idx = p_window % n;
    RETURN true;
END $$;

-- A page of the lanes' timers: of each lane those in its windows that are not closed and open. (In
-- the next window of a lane there may be rows already, promoted ahead.)
CREATE FUNCTION carillon.timers(p_shards int4[], p_lanes int4[], p_epochs int8[], p_claims uuid[],
                                p_due timestamptz, p_id uuid, p_seq int8, p_idx int4,
                                p_due_to timestamptz, p_limit int8)
RETURNS TABLE (due timestamptz, id uuid, seq int8, idx int4, win int8)
LANGUAGE plpgsql AS $$
DECLARE
    q text;
    w record;
BEGIN
    PERFORM carillon.fence(p_shards, p_lanes, p_epochs, p_claims, false);
    SELECT array_agg(s.lo) AS los, array_agg(s.hi) AS his, array_agg(s.closed_to) AS closed,
           array_agg(s.open_to) AS opens, min(s.closed_to) AS after, max(s.open_to) AS last
    INTO w FROM carillon.spans(p_shards, p_lanes) s;
    SELECT string_agg(format(
        '(SELECT t.due, t.id, t.seq, t.idx, %1$s::int8 AS win FROM carillon.%2$I t
          WHERE (t.due, t.id, t.seq, t.idx) > ($1, $2, $3, $4) AND t.due <= $5
            AND (SELECT true FROM unnest($7, $8, $9, $10) r(lo, hi, closed, opn)
                 WHERE t.id >= r.lo AND t.id < r.hi AND r.closed < %1$s AND r.opn >= %1$s)
          ORDER BY t.due, t.id, t.seq, t.idx LIMIT $6)', r.win, carillon.ring_table(r.idx)),
        ' UNION ALL ')
    INTO q
    FROM carillon.ring r WHERE r.shard = p_shards[1] AND r.win > w.after AND r.win <= w.last;
    IF q IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE 'SELECT * FROM (' || q || ') a ORDER BY 1, 2, 3, 4 LIMIT $6'
    USING p_due, p_id, p_seq, p_idx, p_due_to, p_limit, w.los, w.his, w.closed, w.opens;
END $$;

-- Deletes timer rows; p_wins: the window each stands in, -1 for the long term.
CREATE FUNCTION carillon.timers_drop(p_shards int4[], p_lanes int4[], p_epochs int8[],
                                     p_claims uuid[], p_due timestamptz[], p_id uuid[],
                                     p_seq int8[], p_idx int4[], p_win int8[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w int8;
    ring int;
BEGIN
    PERFORM carillon.fence(p_shards, p_lanes, p_epochs, p_claims, false);
    SELECT value::int INTO STRICT ring FROM carillon.meta WHERE key = 'ring_windows';
    FOR w IN SELECT DISTINCT u FROM unnest(p_win) u ORDER BY u LOOP
        EXECUTE format(
            'DELETE FROM carillon.%I t USING unnest($1, $2, $3, $4, $5) u(due, id, seq, idx, win)
             WHERE u.win = $6 AND t.due = u.due AND t.id = u.id AND t.seq = u.seq
               AND t.idx = u.idx',
            CASE WHEN w < 0 THEN 'timer_long' ELSE carillon.ring_table((w % ring)::int) END)
        USING p_due, p_id, p_seq, p_idx, p_win, w;
    END LOOP;
END $$;

-- p_wanted: what the name alone gives. So a number is not given to somebody else after a failover that
-- undid the tenant. p_max: how many there may be; 0 = any number.
CREATE FUNCTION carillon.tenant(p_name text, p_wanted int4, p_max int4, p_create bool) RETURNS int4
LANGUAGE plpgsql AS $$
DECLARE
    n int4;
BEGIN
    SELECT t.number INTO n FROM carillon.tenant t WHERE t.name = p_name;
    IF n IS NULL THEN
        IF NOT p_create THEN
            RAISE EXCEPTION 'no tenant "%"', p_name USING ERRCODE = 'CA005';
        END IF;
        PERFORM pg_advisory_xact_lock(1128354377, -2);
        SELECT t.number INTO n FROM carillon.tenant t WHERE t.name = p_name;
        IF n IS NULL THEN
            IF p_max > 0 AND (SELECT count(*) FROM carillon.tenant) >= p_max THEN
                RAISE EXCEPTION 'there are % tenants already', p_max USING ERRCODE = 'CA007';
            END IF;
            n := p_wanted;
            WHILE EXISTS (SELECT FROM carillon.tenant t WHERE t.number = n) LOOP
                n := n % 16777215 + 1;
            END LOOP;
            INSERT INTO carillon.tenant (number, name) VALUES (n, p_name);
        END IF;
    END IF;
    RETURN n;
END $$;

CREATE FUNCTION carillon.def_put(p_tenant int4, p_workflow text, p_text bytea, p_digest text,
                                 p_paths text[], p_delete bool, p_if_version int4,
                                 p_if_absent bool,
                                 OUT revision int8, OUT version int4, OUT created bool)
LANGUAGE plpgsql AS $$
DECLARE
    d carillon.definition;
BEGIN
    PERFORM pg_advisory_xact_lock(1128354377, -3);
    SELECT * INTO d FROM carillon.definition x
    WHERE x.tenant = p_tenant AND x.workflow = p_workflow ORDER BY x.version DESC LIMIT 1;
    revision := d.revision;
    version := d.version;
    created := false;
    IF NOT p_delete AND d.digest = p_digest AND NOT d.deleted THEN
        RETURN;
    END IF;
    IF d.revision IS NULL OR d.deleted THEN
        IF p_if_version <> 0 THEN
            RAISE EXCEPTION 'there is no workflow "%"', p_workflow USING ERRCODE = 'CA006';
        END IF;
    ELSIF p_if_absent OR p_if_version NOT IN (0, d.version) THEN
        RAISE EXCEPTION 'the newest version of "%" is %', p_workflow, d.version
            USING ERRCODE = 'CA006';
    END IF;
    IF p_delete THEN
        IF d.revision IS NULL OR d.deleted THEN
            RAISE EXCEPTION 'no workflow "%"', p_workflow USING ERRCODE = 'CA004';
        END IF;
        UPDATE carillon.definition x SET deleted = true
        WHERE x.tenant = p_tenant AND x.workflow = p_workflow;
        RETURN;
    END IF;
    created := true;
    version := coalesce(d.version, 0) + 1;
    INSERT INTO carillon.definition AS x (tenant, workflow, version, text, digest)
    VALUES (p_tenant, p_workflow, def_put.version, p_text, p_digest)
    RETURNING x.revision INTO revision;
    INSERT INTO carillon.definition_state
    SELECT def_put.revision, u.n - 1, u.path FROM unnest(p_paths) WITH ORDINALITY u(path, n);
END $$;

-- ---- views for people and checkers; see docs/sql.md ----
CREATE FUNCTION carillon.partition_name(p_shard int, p_ring int, p_lane int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT p_shard || CASE WHEN p_ring < 10 THEN '/w0' ELSE '/w' END || p_ring || '/l' || p_lane
$$;

-- Numbers of the ring's tables: 0 to partitionCount - 1, which is 12 until a lane was claimed.
CREATE FUNCTION carillon.ring_slots() RETURNS SETOF int LANGUAGE sql STABLE AS $$
    SELECT generate_series(0, coalesce((SELECT value::int FROM carillon.meta
                                        WHERE key = 'ring_windows'), 12) - 1)
$$;

CREATE VIEW carillon.executions AS
SELECT e.id, (('x' || substr(e.id::text, 1, 3))::bit(12)::int) AS shard,
       carillon.id_slot(e.id) AS slot, t.name AS tenant, e.workflow, e.name, d.version, e.revision,
       e.status, e.status = 1 AS open, e.seq, e.started_at, e.closed_at
FROM carillon.execution e
LEFT JOIN carillon.tenant t ON t.number = e.tenant
LEFT JOIN carillon.definition d ON d.revision = e.revision;

CREATE VIEW carillon.history AS
SELECT h.id AS execution, h.seq, h.at, h.first_event, h.event_count, h.codec,
       octet_length(h.body) AS size
FROM carillon.turn h;

-- history.outcomes has a line "state index:attempt:worker" for each outcome the turn accepted.
CREATE VIEW carillon.outcomes AS
SELECT h.id AS execution, h.seq, split_part(o.line, ':', 1)::int AS state_index,
       s.path AS state_path, split_part(o.line, ':', 2)::int AS attempt,
       substr(o.line, length(split_part(o.line, ':', 1)) + length(split_part(o.line, ':', 2)) + 3)
           AS worker,
       h.at AS accepted_at
FROM carillon.turn h
JOIN carillon.execution e ON e.id = h.id
CROSS JOIN LATERAL string_to_table(rtrim(h.outcomes, E'\n'), E'\n') o(line)
LEFT JOIN carillon.definition_state s
    ON s.revision = e.revision AND s.idx = split_part(o.line, ':', 1)::int
WHERE h.outcomes IS NOT NULL;

-- A claim is of a lane, which is all partitions of it: (window, lane) for each window of the ring.
CREATE VIEW carillon.claims AS
SELECT carillon.partition_name(c.shard, r.idx, c.lane) AS partition, c.shard, c.lane, c.epoch,
       c.claim, c.node, c.incarnation, c.claimed_at
FROM carillon.claim_log c CROSS JOIN carillon.ring_slots() r(idx);

CREATE VIEW carillon.open_tasks AS
SELECT e.id AS execution, e.task_seq AS seq, e.task_idx AS idx, e.task_attempt AS attempt,
       ltrim(e.task_queue, '!') AS queue, e.task_timeout_at AS timeout_at,
       e.task_heartbeat_us AS heartbeat_us, left(e.task_queue, 1) = '!' AS submitted
FROM carillon.execution e WHERE e.status = 1 AND e.task_queue IS NOT NULL
UNION ALL
SELECT t.id, t.seq, t.idx, t.attempt, ltrim(t.queue, '!'), t.timeout_at, t.heartbeat_us,
       left(t.queue, 1) = '!'
FROM carillon.task t;

CREATE VIEW carillon.messages AS
SELECT i.id AS execution, i.source, i.kind, octet_length(i.payload) AS size, i.at
FROM carillon.inbox i;

CREATE VIEW carillon.partitions AS
SELECT carillon.partition_name(l.shard, s.idx, l.lane) AS partition, l.shard, l.lane,
       CASE WHEN n.incarnation IS NULL OR n.evicted OR n.lease_until < clock_timestamp()
                 OR r.win IS NULL OR r.win > l.open_to THEN 'OFFLINE'
            WHEN r.win <= l.closed_to THEN 'CLOSED'
            WHEN r.win < l.accept_from THEN 'CLOSING'
            WHEN r.win = l.accept_from THEN 'ACTIVE'
            ELSE 'OPEN' END AS state,
       r.win AS "window", carillon.window_start(r.win, m.us) AS window_from,
       carillon.window_start(r.win + 1, m.us) AS window_to, l.slot_lo, l.slot_hi, l.epoch, l.claim,
       l.node, n.address, l.incarnation, n.lease_until, l.closed_to, l.accept_from, l.open_to
FROM carillon.lane l
CROSS JOIN carillon.ring_slots() s(idx)
CROSS JOIN (SELECT max(value)::int8 AS us FROM carillon.meta WHERE key = 'window_us') m
LEFT JOIN carillon.ring r ON r.shard = l.shard AND r.idx = s.idx
LEFT JOIN carillon.node n ON n.incarnation = l.incarnation;

-- Views are for reading. Those over one table would pass changes on to it.
CREATE FUNCTION carillon.read_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'carillon.% is for reading only', TG_TABLE_NAME USING ERRCODE = '55000';
END $$;

-- The second trigger is for statements that find no row; it needs the first.
CREATE FUNCTION carillon.views_read_only() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v text;
BEGIN
    FOR v IN SELECT viewname FROM pg_views WHERE schemaname = 'carillon' LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER read_only_row INSTEAD OF INSERT OR UPDATE OR DELETE
            ON carillon.%I FOR EACH ROW EXECUTE FUNCTION carillon.read_only()', v);
        EXECUTE format('CREATE OR REPLACE TRIGGER read_only BEFORE INSERT OR UPDATE OR DELETE
            ON carillon.%I FOR EACH STATEMENT EXECUTE FUNCTION carillon.read_only()', v);
    END LOOP;
END $$;
SELECT carillon.views_read_only(); -- last, after all views
