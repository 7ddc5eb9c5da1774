"""What `scripts/bench log` measures: replicated appends against tests/benchmark/reference/three_replica_writer.cpp, and gaps when nodes are killed."""
import contextlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import statistics
import subprocess
import time

LOAD_SECONDS = 3.0


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def free_ports(count):
    """Ports below the kernel's range for outgoing connections: nobody takes one while its process is being started again."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


class Reference:
    """A leader and two followers, three processes, three files beside the cluster's."""

    def __init__(self, programs, folder):
        self.program, self.folder = programs / "benchmark" / "reference_three_replica_writer", folder
        folder.mkdir(parents=True, exist_ok=True)
        self.processes = []

    def __enter__(self):
        ports = [str(port) for port in free_ports(3)]
        for i in (1, 2):
            self.processes.append(subprocess.Popen([self.program, "follower", self.folder / f"follower{i}", ports[i]]))
        self.processes.append(subprocess.Popen([self.program, "leader", self.folder / "leader", *ports]))
        end = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(ports[0])), timeout=1):
                break
            if time.monotonic() > end:
                raise SystemExit("bench: the reference writer does not start")
            time.sleep(0.01)
        self.target = ["plain", "127.0.0.1", ports[0], "-", "-"]
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        for file in self.folder.iterdir():
            file.unlink()


def load(programs, target, line_bytes, lines, connections, seconds=LOAD_SECONDS):
    words = [programs / "benchmark" / "append_load", *target, line_bytes, lines, connections, seconds]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(map(str, words))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


class Log:
    """A dataset of one partition and three copies, and the way to it by the node that leads it."""

    def __init__(self, cluster, name, copies=3):
        self.cluster, self.name = cluster, name
        cluster.run("create", name, "--partitions", "1", "--copies", str(copies))
        known = cluster.known()
        self.token = str(pathlib.Path(known["data"]) / "token")
        cluster.append_one(name)

    def partition(self):
        return self.cluster.json("describe", self.name)["partitions"][0]

    def target(self, node):
        host, port = self.cluster.node(node)["address"].rsplit(":", 1)
        return ["http", host, port, f"/api/v1/datasets/{self.name}/records", self.token]

    def leader_target(self):
        return self.target(self.partition()["leader"])


def pairs(programs, log, reference, line_bytes, lines, connections, count, say, what, figure, ratio):
    """A B A B…: the median of the pairs' ratios."""
    out = []
    for i in range(count):
        theirs = load(programs, reference.target, line_bytes, lines, connections)
        ours = load(programs, log.leader_target(), line_bytes, lines, connections)
        out.append({"ratio": ratio(ours, theirs), "ours": ours, "reference": theirs})
        say(f"{what}, pair {i + 1}: {out[-1]['ratio']:.2f}   troupe {figure(ours)}   reference {figure(theirs)}")
    return {"ratio": statistics.median(p["ratio"] for p in out), "ours": statistics.median(p["ours"]["bytes_per_second"] for p in out), "pairs": out}


def gaps(programs, cluster, log, victim_of, kills, say):
    """Longest times without any acknowledged append around a kill -9: three clients append small records by nodes that live, one request after the other."""
    out = []
    for k in range(kills):
        partition = log.partition()
        victim = victim_of(partition)
        others = [name for name in cluster.names() if name != victim]
        pid = cluster.node(victim)["pid"]
        words = [[str(w) for w in (programs / "benchmark" / "append_load", *log.target(name), 100, 1, 1, 2.5)] for name in others]
        loads = [subprocess.Popen(w, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for w in words]
        time.sleep(0.7 + 0.01 * (k % 20))
        os.kill(pid, signal.SIGKILL)
        results = [json.loads(one.communicate()[0]) for one in loads]
        # Each client's gap: the shortest is when appends went on at all, the longest what the unluckiest client saw.
        out.append({"first_ms": min(r["gap_us"] for r in results) / 1000, "ms": max(r["gap_us"] for r in results) / 1000})
        cluster.restart(victim)
    waits = [g["ms"] for g in out]
    result = {"kills": kills, "p50_ms": statistics.median(waits), "p99_ms": percentile(waits, 99), "max_ms": max(waits), "gaps": out}
    say(f"{kills} kills: gap p50 {result['p50_ms']:.0f} ms, p99 {result['p99_ms']:.0f} ms, longest {result['max_ms']:.0f} ms (the unluckiest of {len(others)} clients)")
    return result


def spurious(cluster, minutes, folder, say):
    """Elections and lost leases of an idle cluster while eight processes spin and one keeps the disk busy."""
    before = happened(cluster)
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(8)]
    busy = subprocess.Popen(["sh", "-c", f"while :; do dd if=/dev/zero of={folder}/busy bs=1M count=256 conv=fdatasync 2>/dev/null; done"], start_new_session=True)
    try:
        time.sleep(minutes * 60)
    finally:
        for one in hogs:
            one.kill()
            one.wait()
        os.killpg(busy.pid, signal.SIGKILL)
        busy.wait()
        (folder / "busy").unlink(missing_ok=True)
    after = happened(cluster)
    result = {"minutes": minutes, "elections": after["elections"] - before["elections"], "lost": after["lost"] - before["lost"]}
    say(f"{minutes} min with 8 CPU hogs and a busy disk: {result['elections']} elections, {result['lost']} members found dead or fenced")
    return result


def happened(cluster):
    text = "\n".join(path.read_text(errors="replace") for path in cluster.logs())
    return {"elections": len(set(re.findall(r"leads the metadata, in term (\d+)", text))), "lost": len(re.findall(r"this node is fenced|member_lost|this node leads no logs and runs no tasks", text))}


def table(rows, say):
    """rows: [(what, figure, text, floor, aim, higher is better)]"""
    say(f"{'':58} {'measured':>12} {'floor':>10} {'aim':>10}")
    for what, figure, unit, floor, aim, higher in rows:
        if figure is None:
            say(f"{what:58} {'not run':>12} {floor:>10g} {aim:>10g} {unit}")
            continue
        good = (lambda limit: figure >= limit) if higher else (lambda limit: figure <= limit)
        verdict = "aim reached" if good(aim) else "above the floor" if good(floor) else "MISSES THE FLOOR"
        say(f"{what:58} {figure:>12.4g} {floor:>10g} {aim:>10g} {unit}: {verdict}")
