#!/usr/bin/env python3
"""Five real nodes, producers, readers, jobs and metadata clients, and one fault after the other. Everything acknowledged must be there in the end.

  round.py [--minutes 2] [--seed N] [--faults kill,cutoff] [--out FOLDER]

Prints its seed, every fault, and at a failure what the nodes logged last. The seed chooses faults, victims and times; how processes interleave is the
machine's choice, so a seed makes a failure likely again, not sure. Leaves FOLDER/history.json, which linearizable.py checks.
Exit status: 0 nothing found, 1 something found."""
import argparse
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

from support import faults, own_namespace
from support.appending import Workload
from support.five_nodes import FiveNodes
from support.jobs import Jobs
from support.registers import Registers

PROGRESS_SECONDS = 20  # from the end of a fault until every producer goes on: fault detection, restart, take-over under load
RETURN_SECONDS = 40    # until all nodes are alive again at the end
REPAIR_SECONDS = 90    # until every copy is whole again at the end


class Round:
    def __init__(self, seed, can, folder, faults_wanted):
        self.seed, self.random = seed, random.Random(seed)
        self.begun = time.monotonic()
        self.problems, self.history = [], []
        self.lock = threading.Lock()
        self.full = set()      # nodes whose disk is full: they may end
        self.fat = False       # producers send long lines, so that reserved room is used up on full disks
        self.flipped = set()   # segments of which a copy was damaged
        self.gaps = {}         # fault: longest times between two acknowledged appends of a producer
        self.kinds = [k for k in faults.ALL if (k.needs is None or k.needs in can) and (not faults_wanted or k.__name__.lower() in faults_wanted)]
        self.cluster = FiveNodes(folder, can, say=self.say)

    def say(self, text):
        line = f"[{time.monotonic() - self.begun:7.2f} s] {text}"
        with self.lock:
            self.history.append(line)
            print(line, flush=True)

    def found(self, text):
        with self.lock:
            self.problems.append(text)
        self.say(f"FOUND: {text}")

    def begin(self):
        self.cluster.begin()
        self.workload = Workload(self)
        self.registers = Registers(self)
        self.jobs = Jobs(self)
        self.cluster.wait_until("five nodes are alive", self.cluster.all_alive)
        self.check_progress("at the begin")
        self.say(f"five nodes run, with {len(self.workload.producers)} producers, {len(self.workload.readers)} readers, {len(self.registers.threads)} metadata clients and jobs")

    def check_progress(self, what):
        late = self.workload.wait_for_progress(PROGRESS_SECONDS)
        if late:
            self.found(f"{what}: {late}")

    def check_deaths(self):
        """Nodes that ended by themselves: a finding, unless their disk is or was full, when they start again."""
        while self.cluster.deaths:
            node, status = self.cluster.deaths.pop(0)
            if node in self.full or getattr(self, "was_full", None) is node:
                continue
            self.found(f"{node.name} ended by itself, with status {status}")

    def step(self):
        chosen = [self.random.choices(self.kinds, [k.weight for k in self.kinds])[0](self)]
        if self.random.random() < 0.25:
            chosen.append(self.random.choice(self.kinds)(self))
        self.workload.take_gap()
        begun = []
        for fault in chosen:
            begun.append(fault)
            self.say(fault.begin())
            if isinstance(fault, faults.DiskFull):
                self.was_full = fault.node
            time.sleep(self.random.uniform(*fault.lasts))
        for fault in begun:
            fault.heal()
        self.say("healed")
        healed = time.monotonic()
        self.check_progress(" and ".join(self.history[-1 - len(begun):-1]))
        gap = self.workload.take_gap()
        self.gaps.setdefault(" + ".join(sorted(type(f).__name__ for f in begun)), []).append(gap)
        self.say(f"appends go on {time.monotonic() - healed:.2f} s later; the longest gap was {gap:.2f} s; {self.workload.requests()} requests, {len(self.registers.operations)} metadata operations, {self.jobs.succeeded} jobs")
        self.check_deaths()
        for node in self.cluster.nodes:
            if not self.cluster.runs(node):
                self.cluster.start(node)
        time.sleep(self.random.uniform(0, 1.5))

    def end(self):
        self.cluster.network.cuts.clear()
        if self.cluster.network.works:
            self.cluster.network.apply()
        try:
            self.cluster.wait_ready(seconds=RETURN_SECONDS)
            self.cluster.wait_until("all nodes are alive", self.cluster.all_alive, RETURN_SECONDS)
        except TimeoutError as late:
            self.found(f"the healed cluster is not whole: {late}; {self.cluster.members()}")
        self.check_progress("on the healed cluster")
        self.jobs.stop()
        self.registers.stop()
        self.workload.stop()
        self.jobs.last()
        records = self.workload.check()
        self.say(f"{records} records of {self.workload.requests()} acknowledged requests were read back")
        for dataset in (self.workload.dataset, "corpus"):
            self.check_copies(dataset)
        self.check_deaths()

    def check_copies(self, dataset):
        """Every copy is whole, or is made whole by itself."""
        end = time.monotonic() + REPAIR_SECONDS
        while True:
            verified = self.cluster.ask("POST", f"/api/v1/datasets/{dataset}/verify", timeout=60)
            described = self.cluster.ask("GET", f"/api/v1/datasets/{dataset}")
            if verified and described and verified["sound"] and described["under_replicated"] == 0 and verified["copies_missing_yet"] == 0:
                return self.say(f"{dataset}: {verified['segments']} segments with {verified['copies_intact']} copies are whole")
            if verified and verified["segments_lost"] or time.monotonic() > end:
                return self.found(f"{dataset} is not whole {REPAIR_SECONDS} s after the end: {json.dumps(verified)[:3000]} under_replicated {described and described['under_replicated']}")
            time.sleep(0.5)

    def run(self, minutes):
        try:
            self.begin()
            until = time.monotonic() + minutes * 60
            while time.monotonic() < until and not self.problems:
                self.step()
            self.end()
        except (TimeoutError, AssertionError) as failed:
            self.found(f"{type(failed).__name__}: {failed}")
        except Exception as failed:
            self.found(f"the round itself broke: {type(failed).__name__}: {failed}")
            raise

    def report(self, out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "history.json").write_text(json.dumps(self.registers.history() if hasattr(self, "registers") else []))
        print("longest gap between two acknowledged appends of one producer, by fault (median, longest, times):")
        for kind, gaps in sorted(self.gaps.items()):
            print(f"  {kind:28} {sorted(gaps)[len(gaps) // 2]:6.2f} s {max(gaps):6.2f} s {len(gaps):4}")
        for path in self.cluster.folder.glob("*.log"):
            shutil.copy(path, out)
        (out / "faults.txt").write_text(f"seed {self.seed}\n" + "\n".join(self.history) + "\n")
        if not self.problems:
            return
        print("\n==== the faults", *self.history, "==== what the nodes logged last", self.cluster.tails(25), "==== found", sep="\n")
        for problem in self.problems[:20]:
            print(f"- {problem}")
        print(f"{len(self.problems)} findings with seed {self.seed}; the nodes' logs are in {out}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--faults", default="", help="only these: " + ", ".join(k.__name__.lower() for k in faults.ALL))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(os.environ["TROUPE_BIN"]).parent / "chaos")
    parser.add_argument("--keep", action="store_true", help="copies the nodes' data to the out folder as well when something is found")
    options = parser.parse_args()
    can, lacks = own_namespace.enter()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"chaos: seed {seed}, {options.minutes} minutes", flush=True)
    if lacks:
        print(f"chaos: {lacks}; the other faults run", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="troupe-chaos-"))
    round_ = Round(seed, can, folder, set(filter(None, options.faults.lower().split(","))))
    try:
        round_.run(options.minutes)
        round_.report(options.out)
        if round_.problems and options.keep:
            shutil.copytree(folder, options.out / f"data-{seed}", dirs_exist_ok=True)
    finally:
        round_.cluster.close()
        if not round_.cluster.disks:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"chaos: seed {seed}: {'FAILED' if round_.problems else 'nothing found'}")
    return 1 if round_.problems else 0


if __name__ == "__main__":
    sys.exit(main())
