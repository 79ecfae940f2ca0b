#!/usr/bin/env python3
"""The configuration blocks that our users wrote down before there was a program: each, and all of
them together, loads as it stands.

tests/golden/seed/NN.yaml are the YAML blocks of the seed document in their order, dedented byte for
byte. Where the document is at hand (../shared/ beside the source, or CARILLON_SEED) they are
compared with it; --write makes them from it."""
import os
import re
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("CARILLON_SOURCE", os.path.join(os.path.dirname(__file__), "../.."))
BIN = os.environ.get("CARILLON_BIN", os.path.join(SOURCE, "build/bin"))
SEED = os.environ.get("CARILLON_SEED",
                      os.path.join(SOURCE, "../shared/seed-scaling-considerations.md"))
GOLDEN = os.path.join(SOURCE, "tests/golden/seed")

passed = failed = 0


def check(what, good, detail=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"failed: {what}: {detail}")


def blocks(text):
    """The YAML blocks of a Markdown text, without the indentation of their fence."""
    for m in re.finditer(r"^( *)```yaml\n(.*?)^\1```$", text, re.M | re.S):
        indent, body = m.groups()
        yield re.sub(f"^{indent}", "", body, flags=re.M)


def golden():
    return sorted(f for f in os.listdir(GOLDEN) if re.fullmatch(r"\d\d\.yaml", f))


def read(path):
    with open(path, encoding="utf-8", newline="") as f:
        return f.read()


def write():
    os.makedirs(GOLDEN, exist_ok=True)
    for i, body in enumerate(blocks(read(SEED)), 1):
        with open(os.path.join(GOLDEN, f"{i:02}.yaml"), "w", encoding="utf-8", newline="") as f:
            f.write(body)


def compare():
    if not os.path.exists(SEED):
        print("the seed document is not at hand: its blocks are not compared (skipped)")
        return
    expected = list(blocks(read(SEED)))
    found = [read(os.path.join(GOLDEN, f)) for f in golden()]
    check("the blocks are those of the document", expected == found,
          f"{len(expected)} in the document, {len(found)} here; test_seed.py --write")


def check_config(*paths):
    """What --check-config says of these files: (exit status, text)."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CARILLON_")}
    args = [os.path.join(BIN, "carillond"), "--check-config"]
    for p in paths:
        args += ["--config", p]
    run = subprocess.run(args, env=env, capture_output=True, text=True, timeout=60)
    return run.returncode, run.stdout + run.stderr


def merged(names):
    """One text of several: what stands below the same key at the left margin becomes one mapping."""
    sections = {}
    for name in names:
        for m in re.finditer(r"^(\w+):\n((?:[ #].*\n|\n)*)", read(os.path.join(GOLDEN, name)), re.M):
            sections.setdefault(m.group(1), []).append(m.group(2))
    return "".join(f"{key}:\n{''.join(bodies)}" for key, bodies in sections.items())


def main():
    if sys.argv[1:] == ["--write"]:
        write()
        return 0
    compare()
    names = golden()
    check("there are blocks", len(names) == 14, f"{len(names)}")
    for name in names:
        status, text = check_config(os.path.join(GOLDEN, name))
        check(name, status == 0, text)
    sizes = [n for n in names if read(os.path.join(GOLDEN, n)).startswith("deployment:")]
    others = [n for n in names if n not in sizes]
    check("four sizes of deployment", len(sizes) == 4, sizes)
    for size in sizes:
        status, text = check_config(*(os.path.join(GOLDEN, n) for n in others + [size]))
        check(f"all files with {size}", status == 0, text)
        check(f"{size} sets nothing and says so", "deployment: sets nothing" in text, text)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(merged(others + [size]))
            f.flush()
            status, text = check_config(f.name)
            check(f"one file of all with {size}", status == 0, text)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
