#!/usr/bin/env python3
"""Line coverage by folder from the cov build (gcov's JSON), with the floors that CI asks:
engine/core and scheduler 95 %, all 85 %. Usage: coverage.py [--uncovered FOLDER]"""
import collections
import glob
import json
import os
import subprocess
import sys

from check_layers import ROOT

FLOORS = {"engine/core": 95.0, "scheduler": 95.0, "all": 85.0}
FOLDERS = ("base", "conf", "engine/core", "engine", "net", "coord", "storage", "scheduler", "cmd")


def lines():
    """file -> line -> times run, over all programs."""
    total = collections.defaultdict(lambda: collections.defaultdict(int))
    build = os.path.join(ROOT, "build/cov")
    data = [p for p in glob.glob(build + "/CMakeFiles/carillon_*.dir/**/*.gcno", recursive=True)]
    for start in range(0, len(data), 50):
        out = subprocess.run(["gcov", "--json-format", "--stdout", *data[start:start + 50]],
                             cwd=build, capture_output=True, text=True).stdout
        for doc in out.splitlines():
            if not doc.startswith("{"):
                continue
            for f in json.loads(doc)["files"]:
                path = os.path.relpath(os.path.join(build, f["file"]), ROOT)
                if path.startswith(("..", "build/", "tests/")) or not path.endswith(".c"):
                    continue
                for line in f["lines"]:
                    total[path][line["line_number"]] += line["count"]
    return total


def folder_of(path):
    return max((f for f in FOLDERS if path.startswith(f + "/")), key=len, default="other")


def main():
    total = lines()
    if len(sys.argv) > 2 and sys.argv[1] == "--uncovered":
        for path in sorted(p for p in total if p.startswith(sys.argv[2])):
            missed = sorted(n for n, count in total[path].items() if not count)
            print(f"{path}: {missed}")
        return 0
    run, have = collections.Counter(), collections.Counter()
    for path, counts in total.items():
        for folder in (folder_of(path), "all"):
            have[folder] += len(counts)
            run[folder] += sum(1 for c in counts.values() if c)
    bad = 0
    for folder in [f for f in (*FOLDERS, "all") if have[f]]:
        percent = 100.0 * run[folder] / have[folder]
        floor = FLOORS.get(folder, 0)
        verdict = "" if percent >= floor else f"  below {floor:.0f} %"
        bad += percent < floor
        print(f"{folder:12} {percent:6.1f} %  {run[folder]:6} of {have[folder]:6} lines{verdict}")
    return 1 if bad or not have["all"] else 0


if __name__ == "__main__":
    sys.exit(main())
