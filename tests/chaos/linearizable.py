#!/usr/bin/env python3
"""Checks the metadata history of a round with Porcupine (linearizable/main.go), after having shown that the checker finds what is wrong.

  linearizable.py HISTORY.json [--seconds 60]

Exit status: 0 linearizable, 1 not, 2 not decided, 77 not checked, because Go or its module can't be had here."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent / "linearizable"
SKIPPED = 77
NOT_LINEARIZABLE = [  # a read that does not see what was written before it began
    {"client": 0, "key": "r", "write": True, "value": 1, "call": 0, "return": 10},
    {"client": 1, "key": "r", "write": False, "value": 0, "call": 11, "return": 12},
]


def build(folder):
    """The checker's path, or a sentence why there is none."""
    go = shutil.which("go") or next((str(p) for p in pathlib.Path("/usr/lib").glob("go*/bin/go")), None)
    if go is None:
        return None, "there is no Go compiler (package golang-go)"
    environment = {"HOME": str(folder), **os.environ, "GOFLAGS": "-mod=readonly"}
    try:
        done = subprocess.run([go, "build", "-o", folder / "linearizable", "."], cwd=HERE, env=environment, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        return None, "go build did not end within 240 s"
    if done.returncode != 0:
        said = done.stderr.strip()
        # A machine without the module's source is one thing, a checker that does not compile is another.
        unreachable = any(word in said for word in ("dial tcp", "lookup", "proxyconnect", "i/o timeout", "connection refused", "Forbidden", "Bad Gateway", "module lookup disabled"))
        if not unreachable:
            sys.exit(f"linearizable: the checker can't be built: {said}")
        return None, f"the Go module of the checker can't be had here: {said[-300:]}"
    return folder / "linearizable", None


def check(program, history, seconds):
    return subprocess.run([program, history, str(seconds)]).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("history", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=60, help="for each register")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="troupe-linearizable-") as folder:
        folder = pathlib.Path(folder)
        program, why_not = build(folder)
        if program is None:
            print(f"SKIPPED: the metadata history is not checked for linearizability: {why_not}")
            return SKIPPED
        for wrong, expected in ((True, 1), (False, 0)):
            sample = folder / "sample.json"
            sample.write_text(json.dumps([NOT_LINEARIZABLE[0], {**NOT_LINEARIZABLE[1], "value": 0 if wrong else 1}]))
            got = subprocess.run([program, sample], capture_output=True, text=True)
            if got.returncode != expected:
                sys.exit(f"linearizable: the checker is no good: it says {got.returncode} {got.stdout} of a history of which {expected} is right")
        if not options.history.exists():
            sys.exit(f"linearizable: no history {options.history}: run round.py first")
        operations = len(json.loads(options.history.read_text()))
        if operations < 100:
            sys.exit(f"linearizable: {options.history} has {operations} operations: too few to say anything")
        return check(program, options.history.resolve(), options.seconds)


if __name__ == "__main__":
    sys.exit(main())
