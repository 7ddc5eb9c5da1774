"""What all benchmarks stand on: a cluster of their own, its memory and processor time watched, and how results are kept."""
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build" / "bench"
CLUSTER = "bench"


def say(text):
    print(f"bench: {text}", flush=True)


def die(text):
    sys.exit(f"bench: {text}")


class Cluster:
    """Nodes with one slot each, in directories of their own. `limits`: words for `up`. `pinned`: each node on one processor of its own."""

    def __init__(self, programs, count=2, name=CLUSTER, limits=(), pinned=False):
        self.count, self.limits, self.pinned = count, limits, pinned
        self.troupe = programs / "bin" / "troupe"
        self.environment = {**os.environ, "TROUPE_CLUSTER": name}
        for variable, folder in (("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state")):
            (WORK / folder).mkdir(parents=True, exist_ok=True)
            self.environment[variable] = str(WORK / folder)

    def __enter__(self):
        subprocess.run([self.troupe, "down", "--delete-data"], env=self.environment, capture_output=True)  # of a run that was cut off
        self.run("up", str(self.count), "--slots", "1", *self.limits)
        nodes = self.json("nodes")
        self.nodes, self.addresses = [n["pid"] for n in nodes], [n["address"] for n in nodes]
        self.token = (pathlib.Path(self.known()["data"]) / "token").read_text().strip()
        if self.pinned:
            for processor, pid in enumerate(self.nodes):
                for one in [pid, *self.children(pid)]:
                    subprocess.run(["taskset", "-a", "-p", "-c", str(processor), str(one)], check=True, capture_output=True)
        return self

    def known(self):
        """What the shell knows of this cluster, among all that it knows."""
        return next(c for c in self.json("clusters") if c["name"] == self.environment["TROUPE_CLUSTER"])

    def names(self):
        return [n["name"] for n in self.json("nodes")]

    def node(self, name):
        return next(n for n in self.json("nodes") if n["name"] == name)

    def restart(self, name):
        """Starts a killed node again, and waits until the cluster is as before."""
        self.run("up", str(self.count))
        end = time.monotonic() + 60
        while any(n["state"] != "alive" for n in self.json("nodes")):
            if time.monotonic() > end:
                die(f"{name} does not come back")
            time.sleep(0.05)

    def append_one(self, dataset):
        done = subprocess.run([self.troupe, "append", dataset], env=self.environment, input="first\n", capture_output=True, text=True)
        if done.returncode != 0:
            die(f"append to {dataset}: {done.stderr.strip()}")

    def logs(self):
        return sorted(pathlib.Path(self.known()["data"]).glob("*/*.log"))

    def __exit__(self, *_):
        self.run("down", "--delete-data")

    def run(self, *words):
        done = subprocess.run([self.troupe, *map(str, words)], env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            die(f"troupe {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *words):
        return json.loads(self.run("-o", "json", *words))

    def load_module(self, source):
        module = WORK / source.with_suffix(".so").name
        self.run("module", "build", source, "--output", module)
        self.run("module", "load", module)

    def load_word_count(self):
        self.load_module(ROOT / "examples/word_count/word_count.cpp")

    @staticmethod
    def children(pid):
        out = []
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                out += [int(c) for c in (task / "children").read_text().split()]
            except OSError:
                pass
        return out

    def processes(self):
        """The daemons and their workers."""
        return self.nodes + [child for pid in self.nodes for child in self.children(pid)]

    def timed_job(self, job, inputs, output):
        """Runs a job; seconds, processor seconds (user, system), and what the job says of itself."""
        user, system = self.cpu_seconds()
        begin = time.monotonic()
        self.run("run", job, *inputs, "to", output, "--replace")
        seconds = time.monotonic() - begin
        user, system = (now - then for now, then in zip(self.cpu_seconds(), (user, system)))
        return {"seconds": seconds, "user_seconds": user, "system_seconds": system, "job": self.json("jobs")[0]["id"]}

    def metric(self, name):
        """The sum over the nodes of a metric without labels."""
        total = 0.0
        for address in self.addresses:
            request = urllib.request.Request(f"http://{address}/metrics", headers={"Authorization": f"Bearer {self.token}"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                total += sum(float(line.split()[1]) for line in answer.read().decode().splitlines() if line.split(" ", 1)[0] == name)
        return int(total)

    def stages(self, job):
        return self.json("job", str(job))["stages"]

    def records(self, dataset):
        """Of a small dataset, as dictionaries."""
        return [json.loads(line) for line in self.run("export", dataset, "to", "-", "--format", "json").splitlines()]

    def cpu_seconds(self):
        """User, system: of all processes, those that have ended included."""
        user = system = 0
        for pid in self.processes():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
            except OSError:
                continue
            user += int(fields[11]) + (int(fields[13]) if pid in self.nodes else 0)
            system += int(fields[12]) + (int(fields[14]) if pid in self.nodes else 0)
        hertz = os.sysconf("SC_CLK_TCK")
        return user / hertz, system / hertz


class MemoryWatch(threading.Thread):
    """Peaks while it runs: RSS of all processes together, their private memory, and the private memory of the largest daemon. With `blocks`: also what they
    hold together, private and shared, each page counted once (`held`), and the blocks that wait in files."""

    def __init__(self, cluster, blocks=False):
        super().__init__(daemon=True)
        self.cluster, self.blocks, self.ending, self.problem = cluster, blocks, threading.Event(), None
        self.rss = self.anonymous = self.daemon_anonymous = self.held = self.blocks_spilled = 0

    @staticmethod
    def read_kib(path, names):
        try:
            lines = pathlib.Path(path).read_text().splitlines()
        except OSError:
            return {}
        return {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines if line.startswith(names))}

    def run(self):
        try:
            while not self.ending.wait(0.1):
                self.look()
        except Exception as problem:  # told by __exit__: a peak that nobody watched is none
            self.problem = problem

    def look(self):
        rss = anonymous = held = 0
        for pid in self.cluster.processes():
            kib = self.read_kib(f"/proc/{pid}/status", ("VmRSS", "RssAnon"))
            rss += kib.get("VmRSS", 0)
            anonymous += kib.get("RssAnon", 0)
            if pid in self.cluster.nodes:
                self.daemon_anonymous = max(self.daemon_anonymous, kib.get("RssAnon", 0) << 10)
            if self.blocks:
                held += sum(self.read_kib(f"/proc/{pid}/smaps_rollup", ("Pss_Anon", "Pss_Shmem")).values())
        if self.blocks:
            self.blocks_spilled = max(self.blocks_spilled, self.cluster.metric("troupe_blocks_spilled_bytes"))
        self.rss, self.anonymous, self.held = max(self.rss, rss << 10), max(self.anonymous, anonymous << 10), max(self.held, held << 10)

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        if self.problem is not None:
            die(f"memory could not be watched: {self.problem}")

    def __enter__(self):
        self.start()
        return self


def build(*targets):
    subprocess.run(["bash", "-c", 'set -eu; . "$0/scripts/lib/common.sh"; build_preset release "$@"', str(ROOT), *targets], check=True)


def finish(name, result):
    path = WORK / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    say(f"kept as {path.relative_to(ROOT)}")
