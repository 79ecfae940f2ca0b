"""What the tests of the admin port share: a private PostgreSQL, a real node, plain HTTP calls, and
the count of checks. Standard library only."""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time

SOURCE = os.environ.get("CARILLON_SOURCE", os.path.join(os.path.dirname(__file__), "../.."))
BIN = os.path.join(SOURCE, os.environ.get("CARILLON_BIN", "build/bin"))


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, what, good, seen=""):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print(f"failed: {what}: {str(seen)[:600]}", flush=True)
        return bool(good)

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


def until(condition, seconds=30):
    """Waits for the condition; its value, or None when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    return None


class Postgres:
    """Dies with this process."""

    def __init__(self):
        out = subprocess.run(["tools/services.sh", "start", "pg"], cwd=SOURCE, check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        self.env = dict(re.findall(r"(\w+)=(\S+)", out))
        self.conninfo = "host={PGHOST} port={PGPORT} user={PGUSER} dbname={PGDATABASE}".format(
            **self.env)

    def processes(self):
        pid = self.env["CARILLON_PG_PID"]
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(p) for p in f.read().split()]

    def pause(self):
        """Backends stop in the middle of what they do; the postmaster takes no new ones."""
        os.kill(int(self.env["CARILLON_PG_PID"]), signal.SIGSTOP)
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def resume(self):
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)
        os.kill(int(self.env["CARILLON_PG_PID"]), signal.SIGCONT)

    def stop(self):
        os.kill(int(self.env["CARILLON_PG_SUPERVISOR"]), signal.SIGTERM)


class Node:
    def __init__(self, pg, *options):
        self.log = []
        self.process = subprocess.Popen(
            [f"{BIN}/carillond", "--database", pg.conninfo, "--listen", "tcp://127.0.0.1:0",
             "--heartbeat", "1s", *options], stderr=subprocess.PIPE, text=True)
        self.host = self.port = None
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r'msg="ready".* address=(\S+) admin=(\S+)', line)
            if found:
                self.address = found.group(1)
                if found.group(2) != "none":
                    self.host, port = found.group(2).rsplit(":", 1)
                    self.port = int(port)
                break

    def drain_log(self):
        """Keeps the pipe empty; to be run on a thread."""
        for line in self.process.stderr:
            self.log.append(line)

    def status(self, field):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(rf"^{field}:\s+(\d+) kB", f.read(), re.M).group(1)) * 1024

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def call(self, method, path, body=None, headers=None, source="127.0.0.1", timeout=20):
        """Status, headers (names in lower case), body as bytes."""
        c = http.client.HTTPConnection(self.host, self.port, timeout=timeout,
                                       source_address=(source, 0))
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            c.request(method, path, body=body, headers=headers)
            r = c.getresponse()
            return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        finally:
            c.close()

    def ready(self):
        try:
            return self.call("GET", "/health/ready", timeout=2)[0] == 200
        except OSError:
            return False

    def end(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "killed"


def run(body):
    """Runs body(checks, pg) and exits with its verdict; servers end whatever happens."""
    checks = Checks()
    pg = Postgres()
    try:
        body(checks, pg)
    finally:
        pg.stop()
    sys.exit(checks.end())
