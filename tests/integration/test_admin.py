#!/usr/bin/env python3
"""Every answer of a real node's admin port, errors included, against docs/openapi.json; metrics
against promtool; the drain; an address that is taken."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

from admin_node import Node, SOURCE, run, until

PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": {"n": 1}, "End": True}}}
FAIL = {"StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "Bad", "Cause": "luck"}}}
WAIT = {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 600, "End": True}}}


# ---- the part of JSON Schema that the document uses ----

def resolve(doc, schema):
    while "$ref" in schema:
        node = doc
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        schema = {**node, **{k: v for k, v in schema.items() if k not in ("$ref", "description")}}
    return schema


def is_type(value, name):
    return {"object": isinstance(value, dict), "array": isinstance(value, list),
            "string": isinstance(value, str), "boolean": isinstance(value, bool),
            "integer": isinstance(value, int) and not isinstance(value, bool)}[name]


KNOWN = {"type", "enum", "const", "pattern", "minimum", "maximum", "properties", "required", "items",
         "additionalProperties", "description", "default"}


def problems(doc, schema, value, at="$"):
    schema = resolve(doc, schema)
    if set(schema) - KNOWN:
        yield f"{at}: the validator does not know {set(schema) - KNOWN}"
    if "type" in schema and not is_type(value, schema["type"]):
        yield f"{at}: {value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{at}: {value!r} is not {schema['const']!r}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r} does not match {schema['pattern']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{at}: {value} is below {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{at}: {value} is above {schema['maximum']}"
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                yield f"{at}: no {name}"
        for name, member in value.items():
            if name in known:
                yield from problems(doc, known[name], member, f"{at}.{name}")
            elif schema.get("additionalProperties", True) is False:
                yield f"{at}: {name} is not documented"
            elif isinstance(schema.get("additionalProperties"), dict):
                yield from problems(doc, schema["additionalProperties"], member, f"{at}.{name}")
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            yield from problems(doc, schema["items"], item, f"{at}[{i}]")


def strict_json(text):
    """As json.loads, but a member that comes twice is an error."""
    def unique(pairs):
        names = [k for k, _ in pairs]
        if len(names) != len(set(names)):
            raise ValueError(f"a member comes twice: {names}")
        return dict(pairs)
    return json.loads(text, object_pairs_hook=unique)


class Api:
    """Calls that are all held to the document."""

    def __init__(self, node, check, doc):
        self.node, self.check, self.doc = node, check, doc
        self.seen = set()  # (method, template, status as documented)

    def operation(self, method, path):
        path = path.split("?")[0]
        for template, item in self.doc["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                return template, item.get({"HEAD": "get"}.get(method, method.lower()))
        return None, None

    def __call__(self, method, path, body=None, headers=None, expect=200, **more):
        status, fields, text = self.node.call(method, path, body, headers, **more)
        what = f"{method} {path}"
        template, op = self.operation(method, path)
        problem = self.doc["components"]["responses"]["Problem"]
        answers = op["responses"] if op else {"default": problem}
        key = str(status) if str(status) in answers else "default"
        self.seen.add((method, template, key))
        answer = resolve(self.doc, answers[key])
        self.check(f"{what}: status", status == expect, f"{status}, not {expect}: {text}")
        self.check(f"{what}: an error is a problem",
                   key != "default" or status >= 400, status)
        for name, header in answer.get("headers", {}).items():
            header = resolve(self.doc, header)
            if name.lower() in fields and header["schema"]["type"] == "string":
                found = list(problems(self.doc, header["schema"], fields[name.lower()], name))
                self.check(f"{what}: header {name}", not found, found)
        self.check(f"{what}: request id", "x-request-id" in fields, fields)
        return self.body(what, method, status, fields, text, answer.get("content", {}))

    def body(self, what, method, status, fields, text, content):
        media = fields.get("content-type", "").split(";")[0]
        if method == "HEAD" or status in (204, 304):
            self.check(f"{what}: no body", text == b"", text)
            return None, fields
        if not self.check(f"{what}: media type {media!r} is documented", media in content, content):
            return None, fields
        value = strict_json(text) if media.endswith("json") else text.decode()
        found = list(problems(self.doc, content[media]["schema"], value))
        self.check(f"{what}: as documented", not found, found)
        if media == "application/problem+json":
            self.check(f"{what}: status in the problem", value["status"] == status, value)
            self.check(f"{what}: Retry-After", ("retry-after" in fields) == (status == 503), fields)
        return value, fields


# ---- the parts of the test ----

def workflows(api, check):
    api("GET", "/v1/executions")  # before there is anything
    api("GET", "/v1/workflows/pass", expect=404)
    put, fields = api("PUT", "/v1/workflows/pass", PASS, expect=201)
    check("first version", put["version"] == 1 and put["created"], put)
    api("PUT", "/v1/workflows/pass", PASS, expect=200)
    _, fields = api("GET", "/v1/workflows/pass")
    api("GET", "/v1/workflows/pass", headers={"If-None-Match": fields["etag"]}, expect=304)
    api("PUT", "/v1/workflows/pass", WAIT, {"If-None-Match": "*"}, expect=412)
    api("PUT", "/v1/workflows/pass", WAIT, {"If-Match": '"9"'}, expect=412)
    api("PUT", "/v1/workflows/fail", FAIL, {"If-None-Match": "*"}, expect=201)
    api("PUT", "/v1/workflows/wait", "StartAt: A\nStates: {A: {Type: Wait, Seconds: 600, End: true}}\n",
        {"Content-Type": "application/yaml"}, expect=201)
    text, fields = api("GET", "/v1/workflows/wait")
    check("YAML as it was put", text.startswith("StartAt: A\n"), text)
    broken = {"StartAt": "A", "States": {"A": {"Type": "Wat"}, "B": {"Type": "Pass"}}}
    value, _ = api("PUT", "/v1/workflows/broken", broken, expect=400)
    check("each mistake with its place", len(value["problems"]) >= 2, value)
    api("PUT", "/v1/workflows/x", PASS, {"Content-Type": "text/html"}, expect=415)
    api("PUT", "/v1/workflows/large", " " * (2 << 20) + json.dumps(PASS),
        {"Content-Type": "application/json"}, expect=413)
    api("PUT", "/v1/workflows/larger", b"x" * (9 << 20), {"Content-Type": "application/json"},
        expect=413)
    api("PUT", "/v1/workflows/gone", PASS, expect=201)
    api("DELETE", "/v1/workflows/gone", headers={"If-Match": '"2"'}, expect=412)
    api("DELETE", "/v1/workflows/gone", headers={"If-Match": '"1"'}, expect=204)
    api("DELETE", "/v1/workflows/gone", expect=404)
    listed, _ = api("GET", "/v1/workflows?page_size=2")
    rest, _ = api("GET", f"/v1/workflows?page_size=2&page_token={listed['next_page_token']}")
    names = [w["workflow"] for w in listed["workflows"] + rest["workflows"]]
    check("workflows in pages", names == ["fail", "pass", "wait"], names)


def races(node, check):
    """Of many who replace the same version one wins; the others hear that they were late."""
    node.call("PUT", "/v1/workflows/race", PASS)
    results = []

    def replace(n):
        body = dict(PASS, Comment=str(n))
        results.append(node.call("PUT", "/v1/workflows/race", body, {"If-Match": '"1"'})[0])
    threads = [threading.Thread(target=replace, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("one replaces", sorted(results) == [201] + [412] * 7, results)
    results.clear()

    def start(_):
        status, _, text = node.call("POST", "/v1/executions", {"workflow": "wait"},
                                    {"Idempotency-Key": "once"})
        results.append((status, strict_json(text)["id"]))
    threads = [threading.Thread(target=start, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check("one starts", sorted(s for s, _ in results) == [200] * 7 + [201], results)
    check("all hear of the same", len({i for _, i in results}) == 1, results)


def executions(api, check):
    started, fields = api("POST", "/v1/executions", {"workflow": "pass", "name": "p"}, expect=201)
    path = f"/v1/executions/{started['id']}"
    check("Location", fields["location"] == path, fields)

    def ended():
        x = strict_json(api.node.call("GET", path)[2])
        return x if x["status"] != "RUNNING" else None
    until(ended)
    x, _ = api("GET", path)
    check("succeeded with its output", x["status"] == "SUCCEEDED" and x["output"] == {"n": 1}, x)
    history, _ = api("GET", f"{path}/history")
    check("events 1..n", [e["id"] for e in history["events"]] ==
          list(range(1, x["event_count"] + 1)), history)
    page, _ = api("GET", f"{path}/history?page_size=1&reverse=true")
    check("the last event first", page["events"][0]["id"] == x["event_count"], page)
    again, _ = api("POST", "/v1/executions", {"workflow": "pass", "name": "p"}, expect=200)
    check("the same name, the same execution", again["id"] == started["id"], again)
    api("POST", "/v1/executions", {"workflow": "pass", "name": "p", "input": 1}, expect=409)
    failed, _ = api("POST", "/v1/executions", {"workflow": "fail"}, expect=201)
    path = f"/v1/executions/{failed['id']}"
    until(ended)
    x, _ = api("GET", path)
    check("failed with its reason", (x["status"], x["error"], x["cause"]) ==
          ("FAILED", "Bad", "luck"), x)
    waiting, _ = api("POST", "/v1/executions", {"workflow": "wait", "input": {"big": 10**20}},
                     {"Idempotency-Key": "w"}, expect=201)
    path = f"/v1/executions/{waiting['id']}"
    x, _ = api("GET", path)
    check("numbers come out as they went in", x["input"] == {"big": 10**20}, x)
    api("POST", f"{path}/stop", {"error": "E", "cause": "C"})
    x, _ = api("GET", path)
    check("stopped", (x["status"], x["error"]) == ("ABORTED", "E"), x)
    for bad in ({"workflow": "pass", "more": 1}, {"name": "n"}, {"workflow": 1}, [], "{"):
        api("POST", "/v1/executions", bad if bad != "{" else b"{",
            {"Content-Type": "application/json"}, expect=400)
    api("POST", "/v1/executions", "workflow=pass",
        {"Content-Type": "application/x-www-form-urlencoded"}, expect=415)
    api("POST", "/v1/executions", {"workflow": "nosuch"}, expect=404)
    api("POST", "/v1/executions", {"workflow": "pass"},
        {"Origin": "http://elsewhere.example"}, expect=403)
    api("GET", "/v1/executions/nonsense", expect=400)
    api("GET", f"{path}?tenant=nobody", expect=404)
    ids, token = [], ""
    while token is not None:
        page, _ = api("GET", f"/v1/executions?page_size=1{token and '&page_token=' + token}")
        ids += [e["id"] for e in page["executions"]]
        token = page.get("next_page_token")
    check("each execution once in the pages", len(ids) == len(set(ids)) == 3, ids)
    only, _ = api("GET", "/v1/executions?status=ABORTED")
    check("by status", [e["id"] for e in only["executions"]] == [waiting["id"]], only)


def others(api, check):
    index, _ = api("GET", "/")
    routes = {(r["method"], r["path"]) for r in index["routes"]}
    documented = {(m.upper(), p) for p, item in api.doc["paths"].items() for m in item}
    check("the document has the routes of the index", routes == documented, routes ^ documented)
    cluster, _ = api("GET", "/v1/cluster")
    check("owns all lanes", len(cluster["owned"]) == cluster["lanes"] == cluster["lanes_held"] > 0,
          cluster)
    check("durability", cluster["durability"] == "local", cluster)
    api("GET", "/health/live")
    api("GET", "/health/startup")
    api("GET", "/v1/errors/NO_WORKFLOW")
    api("GET", "/v1/errors/NOTHING", expect=404)
    for path in ("/", "/metrics", "/health/ready", "/v1/executions"):
        api("HEAD", path)
    api("GET", "/nowhere", expect=404)
    _, fields = api("DELETE", "/v1/cluster", expect=405)
    check("Allow", fields["allow"] == "GET, HEAD", fields)
    api("PATCH", "/v1/cluster", expect=501)
    api("TRACE", "/", expect=501)
    api("GET", "/health/live", headers={"Host": "rebound.example"}, expect=403)


def metrics(api, check):
    text, _ = api("GET", "/metrics")
    for wanted in ('carillon_build_info{version="', 'loop_busy_seconds_total{loop="front"}',
                   'cached_bytes{cache="executions"}', 'arena_peak_bytes{arena="batch"}',
                   "process_resident_memory_bytes ", "process_open_fds ",
                   "carillon_engine_turns_total "):
        check(f"has {wanted}", wanted in text, text[:200])
    rss = int(re.search(r"^process_resident_memory_bytes (\d+)$", text, re.M).group(1))
    check("RSS is the kernel's", abs(rss - api.node.status("VmRSS")) < 4 << 20, rss)
    lint = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                          capture_output=True)
    check("promtool check metrics", lint.returncode == 0 and not lint.stderr,
          lint.stdout + lint.stderr)


def standby(check, pg, doc):
    """A second node on the same database: it is fit to serve and says who owns the lanes."""
    node = Node(pg, "--admin-listen", "127.0.0.1:0", "--node", "second")
    try:
        check("the second node is ready", until(node.ready), node.log)
        api = Api(node, check, doc)
        cluster, _ = api("GET", "/v1/cluster")
        check("stands by", (cluster["state"], cluster["ownership"], cluster["lanes_held"]) ==
              ("standby", "STANDBY", 0), cluster)
        check("names the owner", cluster["other_node"] == "node-1", cluster)
        api("GET", "/v1/workflows/pass")  # what asks nothing of the owner works
        value, _ = api("POST", "/v1/executions", {"workflow": "pass"}, expect=503)
        check("starts nothing", value["code"] == "STANDBY" and value["retryable"], value)
        check("the second node ends", node.end() == 0)
    finally:
        node.process.kill()


def drain(api, check, pg):
    """While the database does not answer, the drain takes its time: what does the port say?"""
    node = api.node
    reader = threading.Thread(target=node.drain_log, daemon=True)
    reader.start()
    pg.pause()
    node.process.send_signal(signal.SIGTERM)
    check("not ready while draining",
          until(lambda: node.call("GET", "/health/ready")[0] == 503, 2))
    api("GET", "/health/ready", expect=503)
    api("GET", "/health/live")
    value, _ = api("POST", "/v1/executions", {"workflow": "pass"}, expect=503)
    check("going away", value["code"] == "GOING_AWAY" and value["retryable"], value)
    pg.resume()
    check("drained", node.process.wait(20) == 0, node.log[-3:])


def addresses(check, pg):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    node = Node(pg, "--admin-listen", f"127.0.0.1:{taken.getsockname()[1]}")
    check("an address given and taken: does not start", node.process.wait(20) == 1 and
          "Address already in use" in "".join(node.log), node.log)
    first = Node(pg)  # has the usual address, or somebody has it: either way the next cannot
    second = Node(pg, "--node", "second") if first.port else first
    check("the default taken: starts without", second.port is None and
          "no admin port" in "".join(second.log), second.log)
    for node in {first, second}:
        check("and stops", node.end() == 0)
    node = Node(pg, "--admin-listen", "")
    check("switched off", node.port is None and "no admin port" not in "".join(node.log), node.log)
    check("and stops, too", node.end() == 0)


def body(check, pg):
    node = Node(pg, "--admin-listen", "127.0.0.1:0")
    try:
        if not check("the node comes up", until(node.ready), node.log):
            return
        with open(os.path.join(SOURCE, "docs/openapi.json"), "rb") as f:
            text = f.read()
        check("serves its document", node.call("GET", "/openapi.json")[2] == text)
        api = Api(node, check, strict_json(text))
        api("GET", "/openapi.json")
        api("GET", "/health/ready")
        workflows(api, check)
        executions(api, check)
        others(api, check)
        races(node, check)
        metrics(api, check)
        standby(check, pg, api.doc)
        drain(api, check, pg)
    finally:
        node.process.kill()
    documented = {(m.upper(), p, s) for p, item in api.doc["paths"].items()
                  for m, op in item.items() for s in op["responses"] if s != "default"}
    never = documented - api.seen - {("GET", "/health/live", "503"), ("GET", "/health/startup", "503")}
    check("each documented answer was seen", not never, never)
    addresses(check, pg)


run(body)
