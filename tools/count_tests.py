#!/usr/bin/env python3
"""Counts single tests in what the stages of tools/run_tests.sh left behind.

count_tests.py junit FILE   a ctest report: one line "<passed> <failed> <skipped>"; output of
                            failed programs goes to stderr
count_tests.py sim FILE     the log of tools/sim.sh
count_tests.py sum FILE     adds such lines up; prints "N passed, N failed, N skipped"; exit
                            status 1 when something failed or nothing passed

A program of libcheck prints "100%: Checks: 5, Failures: 0, Errors: 0" for each suite runner; a
script may print "5 passed, 0 failed[, 0 skipped]". Any other program counts as one test.
"""
import re
import sys
import xml.etree.ElementTree as ET

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
PLAIN = re.compile(r"^(?:.*: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.M)
SIM = re.compile(r"^sim: (\d+) seeds, (\d+) failed", re.M)


def count(output, good, skipped):
    """(passed, failed, skipped) of one program; a bad exit is at least one failure."""
    if skipped:
        return (0, 0, 1)
    plain = PLAIN.findall(output)
    check = CHECK.findall(output)
    if plain:
        result = tuple(int(n or 0) for n in plain[-1])
    elif check:
        total = sum(int(c[0]) for c in check)
        bad = sum(int(c[1]) + int(c[2]) for c in check)
        result = (total - bad, bad, 0)
    else:
        result = (1, 0, 0) if good else (0, 1, 0)
    if not good and result[1] == 0:
        result = (result[0], 1, result[2])
    if sum(result) == 0:
        print("a test program ran no test", file=sys.stderr)
        result = (0, 1, 0)
    return result


def junit(path):
    total = [0, 0, 0]
    for case in ET.parse(path).getroot().iter("testcase"):
        output = (case.findtext("system-out") or "")
        status = case.get("status")
        skipped = status in ("notrun", "disabled") and case.find("skipped") is not None \
            and "SKIP_RETURN_CODE" in (case.find("skipped").get("message") or "")
        result = count(output, status == "run", skipped)
        if result[1] > 0:
            print(f"FAILED {case.get('name')}\n{output[-20000:]}\n", file=sys.stderr)
        elif result[2] > 0:
            for line in output.splitlines():
                if "skip" in line.lower():
                    print(f"   {case.get('name')}: {line}", file=sys.stderr)
        total = [a + b for a, b in zip(total, result)]
    print(*total)


def sim(path):
    with open(path, errors="replace") as f:
        text = f.read()
    found = SIM.findall(text)
    if not found:
        print(text[-20000:], file=sys.stderr)
        print(0, 1, 0)
        return
    seeds, failed = map(int, found[-1])
    if failed or not seeds:
        print(text[-20000:], file=sys.stderr)
    print(seeds - failed, failed if seeds else 1, 0)


def total(path):
    with open(path) as f:
        rows = [tuple(map(int, line.split())) for line in f if line.strip()]
    passed, failed, skipped = (sum(r[i] for r in rows) for i in range(3))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


def main():
    mode, path = sys.argv[1:3]
    if mode == "junit":
        return junit(path)
    if mode == "sim":
        return sim(path)
    if mode == "sum":
        return total(path)
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
