#!/usr/bin/env python3
"""Hostile peers at the admin port of a real node: slow, oversized, malformed, many. The node lives,
its memory stays bounded, and health answers within a second to whoever asks from an address that is
not among them."""
import json
import os
import random
import resource
import select
import socket
import threading
import time

from admin_node import Node, run, until

HEADER_S, IDLE_S = 5, 30  # what docs/reference/admin.md promises
SLACK_S = 4               # of a machine that others use as well
MEMORY_PEAK = 192 << 20   # pools of 256 connections, 64 MiB of bodies, and the node itself


def dial(node, source, timeout=20):
    s = socket.socket()
    s.settimeout(timeout)
    s.bind((source, 0))
    s.connect((node.host, node.port))
    return s


def hear(s, limit=1 << 20):
    """All that comes until the other end closes."""
    got = b""
    try:
        while len(got) < limit:
            part = s.recv(65536)
            if not part:
                break
            got += part
    except (ConnectionResetError, BrokenPipeError):
        pass
    return got


def exchange(node, source, request):
    """Sends what the node takes, hears what it answers."""
    s = dial(node, source)
    try:
        s.sendall(request)
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    answer = hear(s)
    s.close()
    return answer


class Probe(threading.Thread):
    """Asks for health all the time, each time on a new connection from an address of its own."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.took, self.bad, self.over = node, [], [], False

    def run(self):
        while not self.over:
            for path in ("/health/live", "/health/ready"):
                begin = time.monotonic()
                try:
                    status = self.node.call("GET", path, timeout=10)[0]
                except OSError as e:
                    status = e
                self.took.append(time.monotonic() - begin)
                if status != 200:
                    self.bad.append((path, status))
            select.select([], [], [], 0.05)

    def verdict(self, check, during):
        self.over = True
        self.join(20)
        slowest = sorted(self.took)[-3:]
        check(f"health during {during}", not self.bad and self.took, self.bad[:5])
        # One slow answer of many may be the machine's, which runs other things as well.
        judged = slowest[-2] if len(self.took) > 10 else slowest[-1]
        check(f"health within a second during {during}", judged < 1, slowest)


def malformed(node, check):
    big = b"a" * (1 << 20)
    post = b"POST /v1/executions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    put = b"PUT /v1/workflows/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunked = post + b"Transfer-Encoding: chunked\r\n"
    cases = [
        ("a long request line", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", (414,)),
        ("an endless request line", b"GET /" + big, (414, 400, 431)),
        ("a long field", b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 20000 + b"\r\n\r\n", (431,)),
        ("an endless field", b"GET / HTTP/1.1\r\nHost: h\r\nX: " + big, (431,)),
        ("many fields", b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 100 + b"\r\n", (431,)),
        ("endless fields", b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 100000, (431,)),
        ("a query of ampersands", b"GET /?" + b"&" * 8000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
         (200, 400, 431)),
        ("a large body", post + b"Content-Length: 3000000\r\n\r\n" + b" " * 3000000, (413,)),
        ("a large definition", put + b"Content-Length: 9000000\r\n\r\n" + b" " * 9000000, (413,)),
        ("an absurd length", post + b"Content-Length: 99999999999\r\n\r\n", (413,)),
        ("no length at all", post + b"Content-Length: x\r\n\r\n", (400,)),
        ("both lengths", chunked + b"Content-Length: 5\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n", (400,)),
        ("two lengths", post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", (400,)),
        ("a bad chunk size", chunked + b"\r\nfive\r\nabcde\r\n0\r\n\r\n", (400,)),
        ("a chunk without end", chunked + b"\r\n5\r\nabcdefg\r\n0\r\n\r\n", (400,)),
        ("a chunk size over 64 bits", chunked + b"\r\n" + b"f" * 17 + b"\r\nabc", (400, 413)),
        ("a huge chunk", chunked + b"\r\nfffffff0\r\n" + big * 2, (413, 400)),
        ("an endless chunk extension", chunked + b"\r\n5;" + b"x" * 200000, (400, 408, 413)),
        ("an unknown coding", post + b"Transfer-Encoding: gzip\r\n\r\nabc", (501,)),
        ("a folded field", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", (200, 400)),
        ("no host", b"GET / HTTP/1.1\r\n\r\n", (400,)),
        ("TRACE", b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", (501,)),
        ("another version", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", (400, 505)),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", (400, 505)),
        ("TLS", bytes.fromhex("16030100c8010000c40303") + os.urandom(190), (400,)),
        ("zero bytes", b"\0" * 5000, (400, 414)),
        ("a path that climbs", b"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", (404,)),
        ("a path with a zero", b"GET /v1/workflows/a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
    ]
    for n, (what, request, wanted) in enumerate(cases):
        begin = time.monotonic()
        answer = exchange(node, f"127.0.2.{n + 1}", request)
        status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else answer[:40]
        check(what, status in wanted, status)
        check(f"{what}: in time", time.monotonic() - begin < HEADER_S + SLACK_S)


def contents(node, check):
    """Bodies that are well-formed HTTP and mean harm."""
    cases = [
        ("deep nesting", "POST", "/v1/executions",
         b'{"workflow":"w","input":' + b"[" * 100000 + b"]" * 100000 + b"}", (400, 413)),
        ("open nesting", "POST", "/v1/executions", b'{"a":' * 100000, (400, 413)),
        ("members twice", "POST", "/v1/executions", b'{"workflow":"a","workflow":"b"}', (400,)),
        ("not UTF-8", "POST", "/v1/executions", b'{"workflow":"\xff\xfe"}', (400,)),
        ("a huge number", "POST", "/v1/executions", b'{"workflow":' + b"9" * 500000 + b"}", (400,)),
        ("an input over the limit", "POST", "/v1/executions",
         json.dumps({"workflow": "w", "input": "x" * 300000}).encode(), (404, 413)),
        ("many members", "POST", "/v1/executions",
         json.dumps({f"m{i}": 1 for i in range(50000)}).encode(), (400,)),
        ("a deep definition", "PUT", "/v1/workflows/w", b'{"States":' * 80000, (400, 413)),
    ]
    for what, method, path, text, wanted in cases:
        begin = time.monotonic()
        status = node.call(method, path, text, {"Content-Type": "application/json"},
                           source="127.0.3.1")[0]
        check(what, status in wanted, status)
        check(f"{what}: in time", time.monotonic() - begin < 5)
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12))
    status = node.call("PUT", "/v1/workflows/bomb", bomb, {"Content-Type": "application/yaml"})[0]
    check("an alias bomb", status == 400, status)


def garbage(node, check):
    rng = random.Random(20261124)
    seeds = [b"GET /v1/executions?page_size=3 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
             b"POST /v1/executions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             b"Transfer-Encoding: chunked\r\n\r\n16\r\n{\"workflow\":\"nothing\"}\r\n0\r\n\r\n",
             b"PUT /v1/workflows/g HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"]
    odd = 0
    for n in range(300):
        request = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(request))
            request[at:at + rng.randint(0, 3)] = bytes(rng.randrange(256)
                                                       for _ in range(rng.randint(0, 4)))
            if not request:
                break
        answer = exchange(node, f"127.0.4.{n % 100 + 1}", bytes(request))
        if answer and not answer.startswith(b"HTTP/1.1 "):
            odd += 1
    check("garbage is answered by HTTP or not at all", odd == 0, odd)


def slow(node, check):
    """A byte now and then, from many; each must be gone when its time is over."""
    peers = []
    for n in range(60):
        s = dial(node, f"127.0.5.{n % 3 + 1}")
        if n % 3 == 0:
            s.sendall(b"GET / HTTP/1.1\r\nHost: ")
        elif n % 3 == 1:
            s.sendall(b"PUT /v1/workflows/s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        peers.append(s)  # n % 3 == 2 says nothing at all
    begin = time.monotonic()
    gone = {}
    while len(gone) < len(peers) and time.monotonic() - begin < 2 * HEADER_S + SLACK_S:
        select.select([], [], [], 0.3)
        for n, s in enumerate(peers):
            if n in gone:
                continue
            try:
                if n % 3 != 2:
                    s.send(b"x")
                s.setblocking(False)
                part = s.recv(1000)
                gone[n] = gone.get(n, b"") + part
            except BlockingIOError:
                pass
            except OSError:
                gone[n] = b"reset"
            finally:
                s.setblocking(True)
    took = time.monotonic() - begin
    check("slow peers are cut", len(gone) == len(peers), f"{len(peers) - len(gone)} left")
    check("slow peers are cut in time", took < HEADER_S + SLACK_S, f"{took:.1f} s")
    told = sum(1 for answer in gone.values() if answer.startswith(b"HTTP/1.1 408 "))
    check("who had begun is told 408", told >= 20, told)
    for s in peers:
        s.close()


def unread(node, check):
    """Asks for much and reads nothing."""
    peers = []
    for n in range(20):
        s = dial(node, f"127.0.6.{n % 2 + 1}", timeout=0.2)
        try:
            for _ in range(200):
                s.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        except OSError:
            pass  # it does not take more: that is the point
        peers.append(s)
    check("memory while nobody reads", node.status("VmRSS") < MEMORY_PEAK, node.status("VmRSS"))
    for s in peers:
        s.close()


def hoard(node, check):
    """Bodies that grow and never end: together they may take only so much."""
    peers, refused = [], 0
    head = b"PUT /v1/workflows/h HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n"
    for n in range(90):
        s = dial(node, f"127.0.10.{n % 3 + 1}", timeout=2)
        try:
            s.sendall(head + b" " * 1500000)
        except OSError:
            pass
        peers.append(s)
    check("memory while bodies grow", node.status("VmRSS") < MEMORY_PEAK, node.status("VmRSS"))
    for s in peers:
        try:  # the last bytes of those that were refused on the way
            s.sendall(b" " * 6500000)
            refused += hear(s, 100).startswith(b"HTTP/1.1 503 ")
        except OSError:
            pass
        s.close()
    check("what is too much is told 503", refused > 0, refused)


def crowd(node, check):
    """1,000 connections from 40 addresses, some silent, some with a request each."""
    peers, refused = [], 0
    for n in range(1000):
        s = dial(node, f"127.0.7.{n % 40 + 1}")
        if n % 2:
            s.sendall(b"GET /v1/executions HTTP/1.1\r\nHost: localhost\r\n\r\n")
        peers.append(s)
    held = node.call("GET", "/metrics", source="127.0.0.9")[2].decode()
    open_now = int(float(held.split("\ncarillon_net_http_connections ")[1].split("\n")[0]))
    check("at most 256 are open", open_now <= 256, open_now)
    check("memory under the crowd", node.status("VmRSS") < MEMORY_PEAK, node.status("VmRSS"))
    for s in peers:
        s.close()
    # One address alone gets no more than its share, and is told so.
    peers = [dial(node, "127.0.8.1") for _ in range(100)]
    for s in peers[-20:]:
        refused += hear(s).startswith(b"HTTP/1.1 503 ")
        s.close()
    check("one address has 32 places", refused == 20, refused)
    for s in peers[:-20]:
        s.close()


def flood(node, check):
    """More requests at once than may wait inside: answered, or told to come again."""
    results, lock = [], threading.Lock()

    def ask(n):
        for _ in range(5):
            try:
                status, fields, _ = node.call("GET", "/v1/executions", source=f"127.0.9.{n % 20 + 1}")
                good = status == 200 or (status == 503 and "retry-after" in fields)
            except OSError as e:
                status, good = e, False
            with lock:
                results.append((status, good))
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("each of 1,000 is answered", all(good for _, good in results),
          [s for s, good in results if not good][:5])
    check("most of them with what they asked", sum(s == 200 for s, _ in results) >= 500,
          sum(s == 200 for s, _ in results))


def body(check, pg):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    node = Node(pg, "--admin-listen", "127.0.0.1:0")
    threading.Thread(target=node.drain_log, daemon=True).start()
    try:
        if not check("the node comes up", until(node.ready), node.log):
            return
        before = node.status("VmRSS")
        begin = time.monotonic()
        for attack in (malformed, contents, garbage, slow, unread, hoard, crowd, flood):
            probe = Probe(node)
            probe.start()
            attack(node, check)
            probe.verdict(check, attack.__name__)
            check(f"the node lives after {attack.__name__}", node.process.poll() is None)
            print(f"{time.monotonic() - begin:5.1f} s: {attack.__name__}: {len(probe.took)} times health,"
                  f" slowest {max(probe.took) * 1000:.0f} ms, {node.status('VmRSS') >> 20} MiB")
        check("memory at its peak", node.status("VmHWM") < MEMORY_PEAK, node.status("VmHWM"))
        alone = until(lambda: b"net_http_connections 1\n" in node.call("GET", "/metrics")[2], IDLE_S)
        check("no connection is left", alone)
        text = node.call("GET", "/metrics")[2]
        check("no body is left", b"net_http_bodies_bytes 0\n" in text)
        used = node.cpu_s()
        select.select([], [], [], 1)
        check("nothing spins", node.cpu_s() - used < 0.3, node.cpu_s() - used)
        after = node.status("VmRSS")
        check("memory afterwards", after < before + (48 << 20), f"{before} then {after}")
        check("ends in order", node.end() == 0)
    finally:
        node.process.kill()


run(body)
