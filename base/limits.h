/* Every compile-time bound with its unit and reason. */
#ifndef CARILLON_BASE_LIMITS_H
#define CARILLON_BASE_LIMITS_H

enum {
    PAYLOAD_SIZE_MAX = 262144,      /* bytes of one payload: as on the recorded service */
    STATE_SIZE_MAX = 1048576,       /* bytes of one execution's state (seed: < 1 MB) */
    DEFINITION_SIZE_MAX = 1048576,  /* bytes of a definition's text */
    MESSAGE_SIZE_MAX = 8388608,     /* bytes of one nng message, either way */
    NAME_SIZE_MAX = 255,            /* bytes of names of users' things */
    STATE_NAME_SIZE_MAX = 80,       /* characters of a state's name (ASL) */
    ERROR_NAME_SIZE_MAX = 256,      /* bytes of an error name */
    CAUSE_SIZE_MAX = 32768,         /* bytes of a cause */
    POLL_TASKS_MAX = 1000,          /* tasks in one reply to a poll */
    POLL_COMPLETIONS_MAX = 1000,    /* outcomes in one poll */
    POLL_WAIT_MAX_MS = 60000,       /* a long poll is answered at the latest after this */
    START_BATCH_MAX = 1000,         /* starts in one message */
    TURN_BATCH_MAX = 512,           /* turns in one commit */
    TURN_BATCH_BYTES_MAX = 4194304, /* bytes of one commit's bodies */
    TURN_FACTS_MAX = 256,           /* facts folded into one turn; the rest wait */
    TURN_FACTS_BYTES_MAX = 2097152, /* bytes of their payloads, but for the first */
    TURN_STEPS_MAX = 1000,          /* state transitions one turn may make before it yields */
    SNAPSHOT_DELTA_MIN = 4096,      /* bytes of deltas before a snapshot is considered */
    INBOX_LOAD_MAX = 256,           /* inbox rows that come with an execution; the rest wait */
    INBOX_LOAD_BYTES_MAX = 4194304, /* bytes of their payloads, but for the first */
    LANES_PER_SHARD_DEFAULT = 16,
    LANES_PER_SHARD_MAX = 1024,
    RING_WINDOWS_DEFAULT = 12,
    RING_WINDOWS_MAX = 168,

    POLL_QUEUES_MAX = 100, /* queues of one poll */
    TENANTS_MAX = 65536,   /* of a database; about 300 bytes each in a node's memory */
    /* Open requests and outcomes of one connection (a worker of 1,000 places hands in twice as many, a
     * client has three frames of 1,000), of each connection whatever others have open, and of all
     * connections: one takes about 2 KiB while it is worked on. */
    CONN_CALLS_MAX = 4096,
    CONN_CALLS_MIN = 32,
    NODE_CALLS_MAX = 65536,
    /* Bytes that the requests of one frame may take once decoded: the largest message (base/pack.h), 1,000
     * calls and what a connection may have open make half of it. */
    FRAME_MEMORY_MAX = 16777216,
    /* Bytes of answers that wait for others of their frame, of all connections; of one: CONN_BYTES_MAX. */
    NODE_ANSWERS_MAX = 268435456,
    /* Bytes of requests not answered and answers not fetched with which a connection is not read from:
     * two of the largest messages, so that one can arrive while one is worked on. */
    CONN_BYTES_MAX = 16777216,
    /* Bytes of all connections of a listener, with their buffers: above, the one that holds most is closed.
     * 4,096 connections have 128 KiB each. */
    LISTENER_BYTES_MAX = 536870912,
};

#endif
