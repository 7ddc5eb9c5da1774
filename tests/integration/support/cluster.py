"""A real cluster for a test: three programs, folders of its own, driven through the shell as a user would.

    with Cluster(nodes=3) as cluster:
        cluster.shell("import", file, "to", "corpus")
        job = cluster.start_job("word_count", "corpus", "counts")
        cluster.wait_for_tasks(job, done=3)
        cluster.kill("node2")
        assert cluster.wait(job)["state"] == "succeeded"
"""
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

BIN = pathlib.Path(os.environ["TROUPE_BIN"])          # where troupe, troupe-node and troupe-worker are
MODULES = pathlib.Path(os.environ["TROUPE_MODULES"])  # where the examples' and tests' modules are
SOURCE = pathlib.Path(__file__).resolve().parents[3]


BLOCK_LINES = 12_000  # of make_text, about a megabyte


class ShellError(AssertionError):
    def __init__(self, arguments, done):
        super().__init__(f"troupe {' '.join(map(str, arguments))} gave {done.returncode}\n{done.stdout}\n{done.stderr}")
        self.status = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr


class Cluster:
    def __init__(self, nodes=3, slots=None, memory=None, task_memory=None, folder=None, environment=None, up=True):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="troupe-test-"))
        self.own_folder = folder is None
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "LANG": "C.UTF-8",
            **{k: v for k, v in os.environ.items() if k.startswith(("ASAN_", "TSAN_", "UBSAN_"))},
            **(environment or {}),
        }
        for name in ("home", "data", "config", "state"):
            (self.folder / name).mkdir(exist_ok=True)
        self.up_arguments = ["up", str(nodes)]
        if slots:
            self.up_arguments += ["--slots", str(slots)]
        if memory:
            self.up_arguments += ["--memory", memory]
        if task_memory:
            self.up_arguments += ["--task-memory", task_memory]
        if up:
            try:
                self.up()
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.show_logs()
        self.close()

    # The shell

    def run(self, *arguments, stdin=None, timeout=120):
        """The command's result, whatever its exit status."""
        return subprocess.run([BIN / "troupe", *map(str, arguments)], env=self.environment, input=stdin, timeout=timeout,
                              capture_output=True, text=not isinstance(stdin, bytes))

    def shell(self, *arguments, stdin=None, timeout=120):
        """Standard output of a command that must succeed."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            raise ShellError(arguments, done)
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.shell("-o", "json", *arguments))

    def up(self):
        return self.shell(*self.up_arguments, timeout=60)

    # What is there

    def nodes(self):
        return {node["name"]: node for node in self.json("nodes")}

    def leader(self):
        return next(name for name, node in self.nodes().items() if node.get("leader"))

    def followers(self):
        return [name for name, node in self.nodes().items() if not node.get("leader") and node["state"] == "alive"]

    def job(self, job):
        return self.json("job", job)

    def node_folder(self, name):
        return next(self.folder.glob(f"data/troupe/*/{name}"))

    def token(self):
        return (self.node_folder("node1") / "token").read_text().strip()

    def api(self, path, method="GET", body=None, node=None, headers=None, address=None):
        """(status, parsed body) of a request straight to a node."""
        if address is None:
            nodes = self.nodes()
            address = nodes[node or next(iter(nodes))]["address"]
        request = urllib.request.Request(f"http://{address}{path}", method=method, data=body,
                                         headers={"Authorization": f"Bearer {self.token()}", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                status = answer.status
        except urllib.error.HTTPError as refused:
            text = refused.read()
            status = refused.code
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode(errors="replace")

    # Jobs

    def load(self, module):
        self.shell("module", "load", MODULES / f"{module}.so")

    def start_job(self, name, inputs, output, *parameters):
        """Starts a job in the background and gives its number."""
        inputs = [inputs] if isinstance(inputs, str) else inputs
        before = {job["id"] for job in self.json("jobs")}
        self.shell("run", name, *inputs, "to", output, *parameters, "&")
        started = [job["id"] for job in self.json("jobs") if job["id"] not in before]
        assert len(started) == 1, started
        return started[0]

    def prepare_gated_count(self):
        """Imports text with two copies and counts it undisturbed with gated_count: the bytes that later runs must give."""
        text, counts = make_counted_text(self.folder / "text", 72)
        self.shell("import", text, "to", "corpus", "--copies", "2", "--partitions", "6")
        self.load("gated_count")
        self.shell("run", "gated_count", "corpus", "to", "reference", "--copies", "2")
        expected = self.export("reference")
        found = dict(line.rsplit(b"\t", 1) for line in expected.splitlines())
        assert {word: int(count) for word, count in found.items()} == counts
        return expected

    def wait_until(self, what, condition, timeout=60, interval=0.02):
        """Waits for a condition; its last value goes into the message when it does not come true."""
        end = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {timeout} s: {what}")
            time.sleep(interval)

    def wait_for_tasks(self, job, done, timeout=60):
        return self.wait_until(f"job {job} with {done} tasks done", lambda: self.job(job)["tasks"]["done"] >= done, timeout)

    def wait(self, job, timeout=120):
        """The job once it has ended, whatever its fate."""
        self.run("wait", job, timeout=timeout)
        return self.job(job)

    def running(self, job):
        """How many attempts of a job each node runs now: {(node, kind): count}, kind mapper or reducer."""
        count = {}
        for actor in self.json("tree"):
            if actor["kind"] in ("mapper", "reducer") and actor["name"].split("/")[1].split(".")[0] == str(job):
                place = (actor["node"], actor["kind"])
                count[place] = count.get(place, 0) + 1
        return count

    def gate(self, name):
        """A path that does not exist yet; open_gate lets the tasks go that wait for it (modules/gated_count.cpp)."""
        path = self.folder / f"gate-{name}"
        path.unlink(missing_ok=True)
        return path

    def open_gate(self, path):
        path.touch()

    def export(self, dataset):
        """The bytes of a dataset, as TSV."""
        return self.shell("export", dataset, "to", "-", "--format", "tsv", stdin=b"")

    def whole(self):
        """Starts what is missing, and waits until every node is alive."""
        self.up()
        self.wait_until("all nodes alive", lambda: all(node["state"] == "alive" for node in self.nodes().values()))

    # Faults

    def pid(self, name):
        return self.nodes()[name]["pid"]

    def kill(self, name, how=signal.SIGKILL):
        os.kill(self.pid(name), how)

    def workers(self, name=None):
        """Process ids of troupe-worker processes of this cluster (of one node)."""
        parents = {node["pid"]: n for n, node in self.nodes().items()}
        found = []
        for folder in pathlib.Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if (folder / "comm").read_text().strip() != "troupe-worker":
                    continue
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z" and int(fields[1]) in parents and (name is None or parents[int(fields[1])] == name):
                found.append(int(folder.name))
        return found

    def processes(self):
        """Process ids of everything that runs from this test's folder."""
        found = []
        for folder in pathlib.Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            try:
                command = (folder / "cmdline").read_bytes()
                comm = (folder / "comm").read_text()
            except OSError:
                continue
            if comm.startswith("troupe") and str(self.folder).encode() in command:
                found.append(int(folder.name))
        return found

    # The end

    def show_logs(self):
        for log in sorted(self.folder.glob("data/troupe/*/*/*.log")) + sorted(self.folder.glob("data/troupe/*/*/logs/*")):
            print(f"---- {log.parent.name}/{log.name}", file=sys.stderr)
            print("\n".join(log.read_text(errors="replace").splitlines()[-60:]), file=sys.stderr)

    def close(self):
        try:
            subprocess.run([BIN / "troupe", "down"], env=self.environment, capture_output=True, timeout=40)
        except subprocess.TimeoutExpired:
            pass
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class ClusterTest(unittest.TestCase):
    """A test of a cluster in self.cluster, whose logs are shown when it fails."""

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result is not None else 0
        outcome = super().run(result)
        if result is not None and len(result.failures) + len(result.errors) > before:
            print(f"==== logs after {self.id()}", file=sys.stderr)
            self.cluster.show_logs()
        return outcome


def word_counts(text):
    """What word_count must give for these bytes."""
    counts = {}
    for word in text.translate(bytes.maketrans(bytes(range(33)), b" " * 33)).split(b" "):
        if word:
            counts[word] = counts.get(word, 0) + 1
    return counts


def read_counts(cluster, dataset):
    """word_count's output as a dictionary, through export."""
    path = cluster.folder / f"{dataset}.tsv"
    cluster.shell("export", dataset, "to", path, "--format", "tsv")
    counts = {}
    for line in path.read_bytes().splitlines():
        word, _, count = line.rpartition(b"\t")
        assert word not in counts, word
        counts[word] = int(count)
    return counts


def make_counted_text(path, megabytes, seed=1):
    """(path, word counts) of the text of make_text, counted once and not for every repetition."""
    make_text(path, megabytes, seed)
    with open(path, "rb") as text:
        block = b"".join(text.readline() for _ in range(BLOCK_LINES))
    repetitions, rest = divmod(os.path.getsize(path), len(block))
    assert rest == 0
    return path, {word: count * repetitions for word, count in word_counts(block).items()}


def make_text(path, megabytes, seed=1):
    """Text with a skewed choice of words, the same for the same arguments."""
    import random
    random.seed(seed)
    words = [f"w{random.randrange(16**6):x}" for _ in range(20_000)]
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(words))))
    block = "\n".join(" ".join(random.choices(words, cum_weights=weights, k=12)) for _ in range(BLOCK_LINES)).encode() + b"\n"
    with open(path, "wb") as out:
        written = 0
        while written < megabytes << 20:
            out.write(block)
            written += len(block)
    return path
