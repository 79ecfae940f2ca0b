#!/usr/bin/env python3
"""Runs the commands of README and docs as a newcomer would: page after page in a fresh clone of HEAD.

A block marked `sh` is run by bash -e; all blocks follow one another in the clone's folder. Words behind
`sh` on the fence say more:
    sh file=NAME      is no command but the text of a file, written as it stands
    sh background     keeps running until the page ends (a node, a worker)
    sh fails          must end with another status than 0
A block may be followed by one marked `text`: each of its lines must stand in the block's output, where
`...` fits anything. Blocks in other languages (yaml, c, json) with file=NAME are written, too.
Usage: docs_run.py [PAGE...]        last line: N passed, N failed, N skipped"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGES = ["README.md", "docs/tutorial.md", "docs/workflow-test.md", "docs/operate.md"]
SECONDS = 400


def blocks(text):
    """(language, words, body, line) of each fenced block."""
    for m in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.M | re.S):
        yield m[1], m[2].split(), m[3], text.count("\n", 0, m.start()) + 1


def fits(expected, output):
    """The first expected line that the output lacks, or None."""
    for line in filter(None, (l.strip() for l in expected.splitlines())):
        pattern = ".*".join(re.escape(p) for p in line.split("..."))
        if not re.search(pattern, output):
            return line
    return None


class Page:
    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.background, self.passed, self.failed = [], 0, 0
        self.env = dict(os.environ, CARILLON_DOCS="1")

    def say(self, line, what, output=""):
        self.failed += 1
        print(f"{self.name}:{line}: {what}\n{output[-3000:]}")

    def run(self, line, body, words):
        log = tempfile.NamedTemporaryFile("w+", delete=False)
        p = subprocess.Popen(["bash", "-euo", "pipefail", "-c", body], cwd=self.folder, env=self.env, stdout=log,
                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        if "background" in words:
            self.background.append(p)
            self.passed += 1
            return None
        try:
            status = p.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            status = "time-out"
        with open(log.name) as f:
            output = f.read()
        os.unlink(log.name)
        if (status != 0) != ("fails" in words):
            self.say(line, f"status {status} of\n{body}", output)
        else:
            self.passed += 1
        return output

    def end(self):
        for p in reversed(self.background):
            try:
                os.killpg(p.pid, signal.SIGTERM)
                p.wait(20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(p.pid, signal.SIGKILL)

    def read(self, text):
        output = None
        for language, words, body, line in blocks(text):
            named = [w[5:] for w in words if w.startswith("file=")]
            if named:
                with open(os.path.join(self.folder, named[0]), "w") as f:
                    f.write(body)
            elif language == "sh":
                output = self.run(line, body, words)
                continue
            elif language == "text" and output is not None:
                lacks = fits(body, output)
                if lacks is not None:
                    self.say(line, f"the output has no line like: {lacks}", output)
            output = None


def main():
    passed = failed = 0
    work = tempfile.mkdtemp(prefix="carillon-docs-")
    os.chmod(work, 0o755)
    try:
        clone = os.path.join(work, "carillon")
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        for name in sys.argv[1:] or PAGES:
            page, start = Page(name, clone), time.time()
            try:
                with open(os.path.join(clone, name)) as f:
                    page.read(f.read())
            finally:
                page.end()
            print(f"{name}: {page.passed} blocks passed, {page.failed} failed, {time.time() - start:.0f} s")
            passed, failed = passed + page.passed, failed + page.failed
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
