#!/usr/bin/env python3
"""House rules that no compiler knows; a test, run by `make check`. One function a rule; each
yields problems as text. STYLE.md says why."""
import fnmatch
import os
import re
import subprocess
import sys

from check_layers import ROOT, adapters, files

LINES_MAX = 1000
# One list of cases each, with the helpers that only they use; the reader scrolls to one case.
LONG = (
    "tests/contract/store_suite.c",
    "net/transport_nng.c",  # the one home of nng: listener and dialer share the framing
)
PRODUCTION = ("base/", "conf/", "engine/", "net/", "coord/", "storage/", "scheduler/", "cmd/")
PROGRAMS = ("cmd/carillon/", "cmd/carillond/")
# Who may use base/thread.h beside base: code that foreign threads call (STYLE.md, threads).
LOCK_USERS = ("base/*", "net/client*.c", "net/*_nng.c", "cmd/carillon/*")


def read(path):
    with open(os.path.join(ROOT, path), errors="replace") as f:
        return f.read()


def all_files():
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                         cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [f for f in sorted(set(out.splitlines())) if os.path.isfile(os.path.join(ROOT, f))]


def kinds_of(path, rows):
    return {kind for kind, pattern, _ in rows if fnmatch.fnmatch(path, pattern)}


def strip_comments(text):
    """Comments become blanks, so that line numbers stay."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.S)


def rule_prelude(sources, rows):
    """The prelude with its ban list comes first; only adapters and programs lift the ban."""
    for path in sources:
        if not path.endswith(".c") or not path.startswith(PRODUCTION):
            continue
        lines = [l.strip() for l in strip_comments(read(path)).splitlines() if l.strip()]
        lifted = lines and lines[0] == "#define CARILLON_ADAPTER 1"
        first = next((l for l in lines if l.startswith("#include")), "")
        if first != '#include "base/prelude.h"':
            yield f'{path}: first include must be "base/prelude.h"'
        may = "adapter" in kinds_of(path, rows) or path.startswith(PROGRAMS)
        if "CARILLON_ADAPTER" in "\n".join(lines):
            if not may:
                yield f"{path}: lifts the ban list, but is not in tools/adapters.txt"
            elif not lifted:
                yield f"{path}: #define CARILLON_ADAPTER 1 comes before all else"


def rule_length(sources, rows):
    """A file that needs scrolling for a day hides two files. Tables (*.def) are long by nature."""
    for path in all_files():
        if path.endswith((".c", ".h", ".py", ".sh")) and path not in LONG:
            if path.startswith("tests/golden/"):
                continue
            n = read(path).count("\n")
            if n > LINES_MAX:
                yield f"{path}: {n} lines, the limit is {LINES_MAX}"


def rule_todo(sources, rows):
    """Left-over work has an issue number or does not exist."""
    mark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\s*\(#\d+\))")
    for path in all_files():
        if path.endswith((".c", ".h", ".def", ".sql", ".sh", ".py", ".cmake", ".txt", "Makefile")):
            if path in ("tools/tidy.py",):
                continue
            for n, line in enumerate(read(path).splitlines(), 1):
                if mark.search(line):
                    yield f"{path}:{n}: left-over mark without an issue number"


def rule_records(sources, rows):
    """Each decision record is in the index; numbers are unique; the index has no dead link."""
    index = read("docs/adr/README.md")
    seen = {}
    for path in all_files():
        m = re.fullmatch(r"docs/adr/((\d{4})-[a-z0-9-]+\.md)", path)
        if not m:
            continue
        name, number = m.groups()
        if f"({name})" not in index:
            yield f"{path}: not linked from docs/adr/README.md"
        if number in seen:
            yield f"{path}: the number is {seen[number]}'s"
        seen[number] = name
    for name in re.findall(r"\((\d{4}-[^)]+\.md)\)", index):
        if name not in seen.values():
            yield f"docs/adr/README.md: no such record: {name}"


def rule_links(sources, rows):
    """Links between the documents lead somewhere."""
    for path in all_files():
        if not path.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", read(path)):
            if "://" in target or target.startswith("mailto:"):
                continue
            full = os.path.normpath(os.path.join(ROOT, os.path.dirname(path), target))
            if not os.path.exists(full):
                yield f"{path}: dead link {target}"


def rule_dead(sources, rows):
    """A header or table that nobody includes, a tool that nobody calls."""
    texts = {p: read(p) for p in all_files()
             if p.endswith((".c", ".h", ".def", ".cmake", ".txt", ".sh", ".py", ".md", ".yaml"))
             or p in ("Makefile", ".ci/run")}
    included = set()
    for text in texts.values():
        included.update(re.findall(r'#\s*include\s+"([^"]+)"', text))
        public = re.findall(r'#\s*include\s+[<"](carillon/[^>"]+)[>"]', text)
        included.update("include/" + n for n in public)
    for path in sources:
        if path.endswith((".h", ".def")) and path not in included:
            yield f"{path}: nobody includes it"
    for path in all_files():
        if path.startswith("tools/") and path.endswith((".sh", ".py", ".c")):
            name = os.path.basename(path)
            if not any(name in text or os.path.splitext(name)[0] in text
                       for p, text in texts.items() if p != path):
                yield f"{path}: nobody calls it"


def rule_numbers(sources, rows):
    """Numbers that leave the process (wire, store, exit) are unique within their table."""
    tables = {"base/err.def": r"^ERR\(\s*(\w+)\s*,\s*(\d+)",
              "net/msg.def": r"^MSG\(\s*(\w+)\s*,\s*(\d+)",
              "engine/core/event.def": r"^EVENT\(\s*(\w+)\s*,\s*(\d+)"}
    for path, pattern in tables.items():
        if not os.path.exists(os.path.join(ROOT, path)):
            continue
        pairs = re.findall(pattern, strip_comments(read(path)), re.M)
        if not pairs:
            # The table may put number first; then the same rule with the columns swapped.
            pattern = pattern.replace(r"(\w+)\s*,\s*(\d+)", r"(\d+)\s*,\s*(\w+)")
            pairs = [(b, a) for a, b in re.findall(pattern, strip_comments(read(path)), re.M)]
        if not pairs:
            yield f"{path}: no row with a number found"
        for column in (0, 1):
            values = [p[column] for p in pairs]
            for v in sorted({v for v in values if values.count(v) > 1}):
                yield f"{path}: {v} stands twice"


def rule_migrations(sources, rows):
    """Migrations are numbered from 1 without a gap."""
    numbers = sorted(int(m.group(1)) for p in all_files()
                     if (m := re.fullmatch(r"storage/sql/(\d{4})_\w+\.sql", p)))
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"storage/sql: numbers must be 1, 2, 3, ...: {numbers}"


def rule_paths(sources, rows):
    """The tree is built anywhere by anyone."""
    home = re.compile(r"(?<![\w.$}/-])/(work|root|farm|home/\w+)/[\w.]")
    for path in all_files():
        if path == "tools/tidy.py" or path.startswith(("tests/golden/", "tests/fuzz/corpus/")):
            continue
        for n, line in enumerate(read(path).splitlines(), 1):
            if home.search(line):
                yield f"{path}:{n}: a path of one machine"


def rule_locks(sources, rows):
    """State belongs to a loop; a lock outside base needs a decision record and a row here."""
    lock = re.compile(r"\b(mutex_(init|lock)|pthread_(create|mutex|cond|rwlock|spin|barrier)\w*|cond_(wait|signal)\w*|thread_start)\s*\(")
    for path in sources:
        if not path.startswith(PRODUCTION):
            continue
        if any(fnmatch.fnmatch(path, pattern) for pattern in LOCK_USERS):
            continue
        for n, line in enumerate(strip_comments(read(path)).splitlines(), 1):
            if lock.search(line):
                yield f"{path}:{n}: a lock or a thread outside base"


def rule_sleeps(sources, rows):
    """A test waits for a condition; a fixed pause is slow on one machine and short on another."""
    for path in all_files():
        if path.startswith("tests/") and path.endswith(".c"):
            code = strip_comments(read(path))
            for n, line in enumerate(code.splitlines(), 1):
                if re.search(r"\b(sleep|usleep)\s*\(", line):
                    yield f"{path}:{n}: fixed sleep"
        elif path.startswith("tests/") and path.endswith(".sh"):
            for n, line in enumerate(read(path).splitlines(), 1):
                if re.search(r"^\s*sleep [1-9]", line):
                    yield f"{path}:{n}: fixed sleep (poll a condition with short ones)"


def rule_text(sources, rows):
    """Newline at the end, none of the white space that diffs stumble over."""
    for path in all_files():
        if not path.endswith((".c", ".h", ".def", ".sql", ".sh", ".py", ".cmake", ".md")):
            continue
        if path.startswith(("tests/golden/", "tests/fuzz/corpus/", "tests/vectors/")):
            continue
        text = read(path)
        if text and not text.endswith("\n"):
            yield f"{path}: no newline at the end"
        for n, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip() and not path.endswith(".md"):
                yield f"{path}:{n}: white space at the end"
            if "\t" in line and path.endswith((".c", ".h", ".def", ".py")):
                yield f"{path}:{n}: tab"


RULES = [v for k, v in sorted(globals().items()) if k.startswith("rule_")]


def main():
    sources, rows = files(), adapters()
    problems = 0
    for rule in RULES:
        for p in rule(sources, rows):
            print(f"{rule.__name__[5:]}: {p}")
            problems += 1
    print(f"tidy: {len(RULES)} rules, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
