#!/usr/bin/env python3
"""clang-tidy over the tree, as .clang-tidy says. What was clean stays clean: a file is looked at
again only when its preprocessed text or the rules change (results in build/lint).
Usage: lint.py [FILE...]"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

from check_layers import ROOT

CACHE = os.path.join(ROOT, "build/lint")
TIDY = "clang-tidy-14"


def commands():
    """file -> compile flags that clang understands, from the dev build."""
    with open(os.path.join(ROOT, "build/dev/compile_commands.json")) as f:
        entries = json.load(f)
    result = {}
    for e in entries:
        path = os.path.relpath(e["file"], ROOT)
        words = shlex.split(e["command"])
        keep = []
        for word, following in zip(words, words[1:] + [""]):
            if word == "-isystem":
                keep += [word, following]
            elif re.match(r"-[IDU]|-std=", word):
                keep.append(word)
        result.setdefault(path, keep)
    return result


def key_of(path, flags):
    """Hash of all that the verdict depends on; None when clang cannot read the file."""
    run = subprocess.run(["clang-14", "-E", "-w", *flags, path], cwd=ROOT, capture_output=True)
    if run.returncode:
        return None
    with open(os.path.join(ROOT, ".clang-tidy"), "rb") as f:
        return hashlib.sha256(f.read() + b"\0" + run.stdout).hexdigest()


def lint(path, flags):
    key = key_of(path, flags)
    stamp = os.path.join(CACHE, key) if key else None
    if stamp and os.path.exists(stamp):
        return path, True, ""
    run = subprocess.run([TIDY, "--quiet", path, "--", *flags, "-Wno-everything"], cwd=ROOT,
                         capture_output=True, text=True)
    text = run.stdout.strip()
    good = run.returncode == 0 and not re.search(r"(warning|error): ", text)
    if good and stamp:
        open(stamp, "w").close()
    return path, good, text or run.stderr.strip()


def main():
    os.makedirs(CACHE, exist_ok=True)
    todo = commands()
    if len(sys.argv) > 1:
        todo = {p: f for p, f in todo.items() if p in sys.argv[1:]}
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(lint, p, f) for p, f in sorted(todo.items())]
        for job in jobs:
            path, good, text = job.result()
            if not good:
                bad += 1
                print(text.replace(ROOT + "/", ""))
    print(f"lint: {len(todo)} files, {bad} with findings")
    return 1 if bad or not todo else 0


if __name__ == "__main__":
    sys.exit(main())
