#!/usr/bin/env python3
"""A Carillon client in plain Python: sockets and struct, nothing else.

Written from docs/protocol.md alone, to show that another language can follow it; integration tests
use it as a client that shares no code with the node. As a program:

    protocol_client.py tcp://127.0.0.1:7070 status
    protocol_client.py tcp://... define NAME FILE
    protocol_client.py tcp://... start WORKFLOW [NAME [INPUT]]
    protocol_client.py tcp://... wait EXECUTION [SECONDS]
    protocol_client.py tcp://... echo QUEUE [TASKS]        a worker: output = input
    protocol_client.py --vectors FOLDER                    checks this file's msgpack against the vectors
"""
import json
import os
import random
import socket
import struct
import sys

HELLO, START, DESCRIBE, LIST, HISTORY, STOP, POLL, HEARTBEAT = range(1, 9)
TASK_SUCCESS, TASK_FAILURE, WATCH, DEF_PUT, DEF_GET, DEF_LIST, DEF_DELETE, STATUS = range(9, 17)
REPLY, NODE_STATE, ERROR = 64, 126, 127
RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED = range(1, 6)


# ---- msgpack: what the protocol needs of it ----

def pack(v):
    if v is None:
        return b"\xc0"
    if v is True or v is False:
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        return pack_int(v)
    if isinstance(v, str):
        raw = v.encode()
        return head(raw, 0xA0, 32, ((0xD9, "B"), (0xDA, "H"), (0xDB, "I"))) + raw
    if isinstance(v, (bytes, bytearray)):
        return head(v, None, 0, ((0xC4, "B"), (0xC5, "H"), (0xC6, "I"))) + bytes(v)
    if isinstance(v, (list, tuple)):
        return head(v, 0x90, 16, ((0xDC, "H"), (0xDD, "I"))) + b"".join(map(pack, v))
    raise TypeError(type(v))


def head(v, fix, fix_end, forms):
    n = len(v)
    if n < fix_end:
        return bytes([fix | n])
    for code, form in forms:
        if n < 1 << 8 * struct.calcsize(form):
            return struct.pack(">B" + form, code, n)
    raise ValueError("too long")


def pack_int(v):
    if 0 <= v < 128:
        return bytes([v])
    if -32 <= v < 0:
        return struct.pack("b", v)
    forms = ((0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q"))
    if v < 0:
        forms = ((0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q"))
    for code, form in forms:
        try:
            return struct.pack(">B" + form, code, v)
        except struct.error:
            pass
    raise ValueError("number too large")


def unpack(raw):
    v, at = unpack_at(raw, 0)
    if at != len(raw):
        raise ValueError("bytes behind the end")
    return v


FORMS = {0xC4: "B", 0xC5: "H", 0xC6: "I", 0xCA: "f", 0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I",
         0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q", 0xD9: "B", 0xDA: "H", 0xDB: "I",
         0xDC: "H", 0xDD: "I"}


def unpack_at(raw, at):
    c = raw[at]
    at += 1
    if c < 0x80:
        return c, at
    if c >= 0xE0:
        return c - 256, at
    if c in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[c], at
    if 0x90 <= c < 0xA0:
        return unpack_array(raw, at, c & 15)
    if 0xA0 <= c < 0xC0:
        return raw[at:at + (c & 31)].decode(), at + (c & 31)
    form = ">" + FORMS[c]
    n = struct.unpack_from(form, raw, at)[0]
    at += struct.calcsize(form)
    if c in (0xC4, 0xC5, 0xC6):
        return bytes(raw[at:at + n]), at + n
    if c in (0xD9, 0xDA, 0xDB):
        return raw[at:at + n].decode(), at + n
    if c in (0xDC, 0xDD):
        return unpack_array(raw, at, n)
    return n, at


def unpack_array(raw, at, n):
    out = []
    for _ in range(n):
        v, at = unpack_at(raw, at)
        out.append(v)
    return out, at


# ---- the connection ----

class CarillonError(Exception):
    """An ERROR message: code, text, retry_after_ms, problems."""

    def __init__(self, code, text=None, retry_after_ms=0, problems=None, *_):
        super().__init__("error %d: %s" % (code, text))
        self.code, self.text = code, text
        self.retry_after_ms, self.problems = retry_after_ms or 0, problems or []


class Client:
    """One connection to one node; one request at a time."""

    def __init__(self, address, name="python", tenant="", instance=None, held=(), timeout=40):
        if address.startswith("ipc://"):
            self.sock, self.prefix = socket.socket(socket.AF_UNIX), b"\x01"
            self.sock.settimeout(timeout)
            self.sock.connect(address[len("ipc://"):])
        else:
            host, port = address[len("tcp://"):].rsplit(":", 1)
            self.sock, self.prefix = socket.create_connection((host, int(port)), timeout), b""
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number, self.corr = random.getrandbits(31), 0
        self.sock.sendall(bytes.fromhex("0053500000300000"))
        if self.read(8) != bytes.fromhex("0053500000310000"):
            raise ConnectionError("the other end is no REP socket")
        self.instance = instance if instance is not None else random.getrandbits(64)
        self.hello = self.call(HELLO, 1, name, tenant, self.instance, list(held))

    def close(self):
        self.sock.close()

    def read(self, n):
        out = b""
        while len(out) < n:
            part = self.sock.recv(n - len(out))
            if not part:
                raise ConnectionError("the node has closed the connection")
            out += part
        return out

    def exchange(self, frame):
        """Sends the bytes of a frame, returns the bytes of the answer."""
        self.number = (self.number + 1) & 0x7FFFFFFF
        word = struct.pack(">I", self.number | 0x80000000)
        self.sock.sendall(self.prefix + struct.pack(">Q", len(frame) + 4) + word + frame)
        while True:
            if self.prefix and self.read(1) != self.prefix:
                raise ConnectionError("not a message")
            raw = self.read(struct.unpack(">Q", self.read(8))[0])
            if raw[:4] == word:
                return raw[4:]

    def many(self, requests):
        """[(type, field, ...), ...] in one frame; their answers, in order: the fields or a CarillonError."""
        first = self.corr + 1
        self.corr += len(requests)
        frame = [[r[0], first + i, *r[1:]] for i, r in enumerate(requests)]
        out = [None] * len(requests)
        for m in unpack(self.exchange(pack(frame))):
            if m[1] == 0 and m[0] == ERROR:
                raise CarillonError(*m[2:])
            if m[1] == 0:
                continue
            wanted = requests[m[1] - first][0] + REPLY
            if m[0] == ERROR:
                out[m[1] - first] = CarillonError(*m[2:])
            elif m[0] == wanted or (m[0] == TASK_SUCCESS + REPLY and wanted == TASK_FAILURE + REPLY):
                out[m[1] - first] = m[2:]
            else:
                raise ConnectionError("the answer does not belong to the request")
        return out

    def call(self, *request):
        answer = self.many([request])[0]
        if isinstance(answer, CarillonError):
            raise answer
        return answer

    # ---- requests ----

    def define(self, workflow, text):
        return self.call(DEF_PUT, workflow, text)[0]

    def start(self, workflow, name=None, payload=None):
        """Returns (execution, created)."""
        name = name or "py-%016x" % random.getrandbits(64)  # so that a repeat is no second start
        return self.call(START, workflow, name, json.dumps({} if payload is None else payload))[:2]

    def describe(self, execution):
        names = ("execution", "workflow", "name", "status", "input", "output", "error", "cause",
                 "started_at_ms", "closed_at_ms", "event_count", "workflow_version")
        return dict(zip(names, self.call(DESCRIBE, execution)))

    def history(self, execution):
        out, after = [], 0
        while True:
            events, after = self.call(HISTORY, execution, after, 1000)[:2]
            out += map(json.loads, events)
            if not after:
                return out

    def stop(self, execution, error=None, cause=None):
        return self.call(STOP, execution, error, cause)

    def wait(self, execution, seconds=30.0):
        """Returns (status, output, error, cause); status RUNNING when it has not ended."""
        left = int(seconds * 1000)
        while True:
            step = min(left, 20000)
            answer = self.call(WATCH, execution, step)
            left -= step
            if answer[0] or left <= 0:
                return tuple((answer + [None] * 5)[1:5])

    def poll(self, queues, capacity=1, wait_ms=1000, completions=()):
        """completions: (token, output) or (token, error, cause). Returns (acks, tasks as dicts)."""
        rows = [[c[0], 0, c[1]] if len(c) == 2 else [c[0], 1, None, c[1], c[2]] for c in completions]
        acks, tasks = self.call(POLL, list(queues), capacity, wait_ms, rows)[:2]
        names = ("token", "queue", "workflow", "name", "execution", "state", "attempt", "input",
                 "timeout_at_ms", "heartbeat_ms")
        return acks or [], [dict(zip(names, t)) for t in tasks or []]

    def heartbeat(self, tokens):
        return self.call(HEARTBEAT, list(tokens))[0]

    def status(self):
        return json.loads(self.call(STATUS)[0])

    def echo(self, queue, tasks=None):
        """A worker that gives back its input, until it has done "tasks" (None: for ever)."""
        done, outcomes = 0, []
        while tasks is None or done < tasks or outcomes:
            wanted = 1 if tasks is None or done < tasks else 0
            acks, got = self.poll([queue], wanted, 20000, outcomes)
            if any(acks):
                raise RuntimeError("outcome refused: %r" % acks)
            outcomes = [(t["token"], t["input"]) for t in got]
            done += len(got)
        return done


# ---- as a program ----

def check_vectors(folder):
    def value(v):
        if isinstance(v, list):
            return [value(x) for x in v]
        if isinstance(v, dict):
            return bytes.fromhex(v["bin"]) if "bin" in v else int(v["u64"])
        return v

    with open(os.path.join(folder, "messages.json")) as f:
        vectors = json.load(f)
    for v in vectors:
        raw = bytes.fromhex(v["msgpack"])
        if pack(value(v["array"])) != raw or unpack(raw) != value(v["array"]):
            raise SystemExit("%s: not as in the vectors" % v["message"])
    with open(os.path.join(folder, "examples.json")) as f:
        for v in json.load(f):
            raw = bytes.fromhex(v["wire"])
            if v["messages"] and unpack(raw[12:]) != value(v["messages"]):
                raise SystemExit("%s: not as in the examples" % v["what"])
    print("%d vectors as expected" % len(vectors))


def main(args):
    if len(args) == 2 and args[0] == "--vectors":
        return check_vectors(args[1])
    if len(args) < 2:
        raise SystemExit(__doc__)
    client, verb, rest = Client(args[0]), args[1], args[2:]
    if verb == "status":
        print(json.dumps(client.status()))
    elif verb == "define":
        with open(rest[1]) as f:
            print(client.define(rest[0], f.read()))
    elif verb == "start":
        payload = json.loads(rest[2]) if len(rest) > 2 else None
        print(*client.start(rest[0], rest[1] if len(rest) > 1 else None, payload))
    elif verb == "wait":
        print(*client.wait(rest[0], float(rest[1]) if len(rest) > 1 else 30.0))
    elif verb == "echo":
        print(client.echo(rest[0], int(rest[1]) if len(rest) > 1 else None))
    else:
        raise SystemExit(__doc__)
    client.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (CarillonError, OSError) as problem:
        sys.exit("protocol_client: %s" % problem)
