#!/usr/bin/env python3
"""The floors of the building (ARCHITECTURE.md): fails on an include that looks up or sideways, on
a third-party header outside its one home, and on a system header in code that must be pure."""
import fnmatch
import os
import re
import subprocess
import sys

# folder: what its files may include of ours ("x/" a whole folder); "-x": not even though a
# wider entry allows it. A file belongs to the longest folder that holds it.
FLOORS = {
    "base/":             "base/",
    "conf/":             "base/ conf/",
    "engine/core/":      "base/ engine/core/"
                         " -base/loop.h -base/log.h -base/os.h -base/thread.h -base/fault.h",
    "net/":              "base/ conf/ net/ include/carillon/",
    "coord/":            "base/ conf/ coord/",
    "storage/":          "base/ conf/ storage/",
    "scheduler/":        "base/ conf/ scheduler/ net/transport.h net/rpc.h net/msg.h"
                         " coord/coord.h coord/lease.h coord/member.h"
                         " storage/store.h storage/records.h",
    "engine/":           "base/ conf/ engine/ scheduler/ net/transport.h net/rpc.h net/msg.h"
                         " storage/store.h storage/records.h",
    "cmd/":              "base/ conf/ net/ coord/ storage/ scheduler/ engine/ cmd/"
                         " include/carillon/",
    "include/carillon/": "",
}
ANYTHING = ("tests/", "tools/", "docs/", "deploy/", "examples/")  # and nothing includes them

# The adapters have the operating system's headers; all others have these, without effects.
PURE_HEADERS = {"assert.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "limits.h", "math.h",
                "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
                "string.h"}
PRELUDE = "base/prelude.h"  # includes what it bans, so that the ban holds
# Programs talk to the operating system themselves.
SYSTEM_OK = ("cmd/carillond/", "cmd/carillon/")

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
GENERATED = ("gen/",)


def adapters():
    """Rows (kind, pattern, headers) of tools/adapters.txt."""
    rows = []
    with open(os.path.join(ROOT, "tools/adapters.txt")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                kind, _, pattern, *headers = line.split()
                rows.append((kind, pattern, headers))
    return rows


def files():
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard",
                          "*.c", "*.h", "*.def"],
                         cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [f for f in sorted(set(out.split())) if os.path.exists(os.path.join(ROOT, f))]


def allowed_of_ours(path, target):
    folder = max((f for f in FLOORS if path.startswith(f)), key=len)
    rules = FLOORS[folder].split()
    if "-" + target in rules:
        return False
    if target.startswith("include/carillon/") or target.startswith("carillon/"):
        return "include/carillon/" in rules
    for rule in rules:
        if target == rule:
            return True
        if rule.endswith("/") and target.startswith(rule):
            return True
    return False


def check(path, rows):
    problems = []
    mine = [(kind, headers) for kind, pattern, headers in rows if fnmatch.fnmatch(path, pattern)]
    third_party = [h for _, _, headers in rows for h in headers]
    home = [h for _, headers in mine for h in headers]
    is_adapter = any(kind == "adapter" for kind, _ in mine)

    def matches(name, patterns):
        return any(name == p or (p.endswith("/") and name.startswith(p)) for p in patterns)

    with open(os.path.join(ROOT, path), errors="replace") as f:
        for number, line in enumerate(f, 1):
            m = INCLUDE.match(line)
            if not m:
                continue
            kind, name = m.groups()
            where = f"{path}:{number}: "
            if kind == '"':
                if name.startswith(GENERATED):
                    continue
                if name.startswith(ANYTHING):
                    problems.append(where + f"nothing includes {name}")
                elif "/" not in name:
                    problems.append(where + f'"{name}": includes are written from the root')
                elif not allowed_of_ours(path, name):
                    problems.append(where + f"may not look at {name}")
            elif matches(name, third_party) or matches(name, ["msgpack/", "jansson.h"]):
                if not matches(name, home):
                    problems.append(where + f"<{name}> has its home elsewhere"
                                            " (tools/adapters.txt)")
            elif name in PURE_HEADERS or is_adapter or path == PRELUDE:
                continue
            elif not path.startswith(SYSTEM_OK):
                problems.append(where + f"<{name}> is for adapters (tools/adapters.txt)")
    return problems


def main():
    rows = adapters()
    problems = []
    count = 0
    for path in files():
        if any(path.startswith(f) for f in FLOORS):
            count += 1
            problems += check(path, rows)
        elif not path.startswith(ANYTHING):
            problems.append(f"{path}: belongs to no folder of the floor plan")
    for p in problems:
        print(p)
    if not count:
        problems.append("no file found")
    print(f"layers: {count} files, {len(problems)} wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
