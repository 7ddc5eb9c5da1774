"""Five real nodes on 127.0.0.1 to 127.0.0.5, each with a disk of its own where that is possible."""
import json
import os
import pathlib
import random
import secrets
import signal
import socket
import subprocess
import threading
import time

from .http_client import Client, Unreachable
from .own_namespace import Network, tmpfs

BIN = pathlib.Path(os.environ["TROUPE_BIN"])
DISK_MEBIBYTES = 1536


class Node:
    def __init__(self, name, host, port, folder):
        self.name, self.host, self.address, self.data = name, host, f"{host}:{port}", folder
        self.log = folder.parent / f"{name}.log"  # beside the disk: it must say what happens when the disk is full
        self.process = None
        self.wanted = False   # it should run; an end of its own is then a finding
        self.stopped = False  # SIGSTOP


class FiveNodes:
    def __init__(self, folder, can, count=5, say=print):
        self.folder, self.say = pathlib.Path(folder), say
        self.disks, self.network = "disks" in can, Network("cuts" in can)
        self.source = Network.CLIENT
        self.token = secrets.token_hex(16)
        (self.folder / "token").write_text(self.token + "\n")
        (self.folder / "token").chmod(0o600)
        if "cuts" in can:
            port = 7400
        else:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        self.nodes = []
        for i in range(1, count + 1):
            data = self.folder / f"node{i}"
            data.mkdir()
            if self.disks:
                tmpfs(data, DISK_MEBIBYTES)
            self.nodes.append(Node(f"node{i}", f"127.0.0.{i}", port, data))
        self.by_name = {node.name: node for node in self.nodes}
        self.deaths = []  # (node, exit status) that nobody asked for
        self.lock = threading.Lock()
        self.local = threading.local()
        self.ended = False

    # Processes

    def begin(self):
        """Starts all of them as a new cluster."""
        for i, node in enumerate(self.nodes):
            self.start(node, *(["--bootstrap"] if i == 0 else ["--join", self.nodes[0].address]), "--listen", node.address, "--name", node.name,
                       "--token-file", str(self.folder / "token"), "--slots", "1", "--memory", "64MiB", "--task-memory", "256MiB", "--log-file", str(node.log))
            if i == 0:
                self.wait_ready([node])
        self.wait_ready()
        threading.Thread(target=self.watch, daemon=True).start()

    def start(self, node, *arguments):
        with self.lock:
            if node.process is not None and node.process.poll() is None:
                return
            err = open(self.folder / f"{node.name}.err", "ab")
            node.process = subprocess.Popen([BIN / "troupe-node", "--data", node.data, *arguments], stdin=subprocess.DEVNULL, stdout=err, stderr=err, cwd=self.folder)
            err.close()
            node.wanted, node.stopped = True, False

    def kill(self, node):
        with self.lock:
            node.wanted = False
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGKILL)
            node.process.wait()
            node.stopped = False

    def stop(self, node):
        node.process.send_signal(signal.SIGSTOP)
        node.stopped = True

    def resume(self, node):
        if node.process.poll() is None:
            node.process.send_signal(signal.SIGCONT)
        node.stopped = False

    def runs(self, node):
        return node.process is not None and node.process.poll() is None

    def watch(self):
        """Notes every end that nobody asked for."""
        while not self.ended:
            for node in self.nodes:
                with self.lock:
                    if node.wanted and node.process.poll() is not None:
                        node.wanted = False
                        self.deaths.append((node, node.process.returncode))
                        self.say(f"{node.name} ended by itself, with status {node.process.returncode}")
            time.sleep(0.02)

    def close(self):
        self.ended = True
        for node in self.nodes:
            if node.process is not None:
                self.kill(node)

    # What they say

    def client(self):
        """This thread's."""
        if not hasattr(self.local, "client"):
            self.local.client = Client(self.token, self.source)
        return self.local.client

    def ready(self, node):
        try:
            return self.client().request(node.address, "GET", "/readyz", timeout=1.0)[0] == 200
        except Unreachable:
            return False

    def wait_ready(self, nodes=None, seconds=30):
        for node in nodes or self.nodes:
            self.wait_until(f"{node.name} is ready", lambda: self.ready(node), seconds)

    def wait_until(self, what, condition, seconds=30, interval=0.02):
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {what}")
            time.sleep(interval)
        return value

    def ask(self, method, path, body=None, timeout=4.0, nodes=None):
        """The first good answer of any node, tried in random order; None when there is none."""
        nodes = list(nodes or self.nodes)
        random.shuffle(nodes)
        for node in nodes:
            try:
                status, answer = self.client().json(node.address, method, path, body, timeout)
            except Unreachable:
                continue
            if status < 300:
                return answer
        return None

    def do(self, method, path, body=None, seconds=30, timeout=10.0):
        """As `ask`, until somebody gives a good answer."""
        return self.wait_until(f"{method} {path} is answered", lambda: self.ask(method, path, body, timeout), seconds)

    def members(self):
        """As a node says that knows what is so now: one that is cut off answers too, with what it knew."""
        for node in random.sample(self.nodes, len(self.nodes)):
            try:
                status, headers, text = self.client().request(node.address, "GET", "/api/v1/nodes", timeout=1.5)
            except Unreachable:
                continue
            if status == 200 and headers.get("Troupe-Stale") != "true":
                return {item["name"]: item for item in json.loads(text)["items"]}
        return {}

    def metadata_leader(self):
        return next((self.by_name[name] for name, m in self.members().items() if m["leader"] and m["state"] == "alive"), None)

    def log_roles(self, dataset):
        """(leaders, followers) of the dataset's partitions: nodes, each once."""
        described = self.ask("GET", f"/api/v1/datasets/{dataset}", timeout=2.0)
        if described is None:
            return [], []
        leaders = {p["leader"] for p in described["partitions"] if p["leader"]}
        followers = {r for p in described["partitions"] for r in p["replicas"] if r != p["leader"]}
        return [self.by_name[n] for n in sorted(leaders)], [self.by_name[n] for n in sorted(followers)]

    def all_alive(self):
        members = self.members()
        return len(members) == len(self.nodes) and all(m["state"] == "alive" for m in members.values())

    def tails(self, lines):
        """The last lines of every node's log."""
        out = []
        for node in self.nodes:
            out.append(f"---- {node.name}")
            for path in (node.log, self.folder / f"{node.name}.err"):
                if path.exists():
                    out += path.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(out)
