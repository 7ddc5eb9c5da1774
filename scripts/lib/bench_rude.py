"""What `scripts/bench rude` measures: round trips of a well-behaved client while thousands of connections are rude, with and without a job."""
import contextlib
import json
import pathlib
import socket
import statistics
import subprocess
import time

from bench_cluster import Cluster, die, finish, say
from bench_word_count import zipf_text

SECONDS = 5.0


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


class Client:
    """One connection, one request after the other: GET /api/v1/nodes, which a member that does not lead asks the leader for."""

    def __init__(self, address, token):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"GET /api/v1/nodes HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    def close(self):
        self.socket.close()

    def round_trip(self):
        """Milliseconds."""
        begin = time.monotonic()
        self.socket.sendall(self.request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.more()
        head, body = answer.split(b"\r\n\r\n", 1)
        lines = head.lower().split(b"\r\n")
        if lines[0].split()[1] != b"200":
            die(f"the well-behaved client was refused: {answer[:300].decode(errors='replace')}")
        length = int(next(line.split(b":")[1] for line in lines if line.startswith(b"content-length:")))
        missing = length - len(body)
        while missing > 0:
            missing -= len(self.more())
        return (time.monotonic() - begin) * 1000

    def more(self):
        got = self.socket.recv(65536)
        if not got:
            die("the node closed the well-behaved client's connection")
        return got

    def measure(self, seconds):
        """A request every 2 ms at most: a client that waits for itself measures a queue of its own."""
        took, end = [], time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            took.append(self.round_trip())
            time.sleep(max(0.0, 0.002 - (time.monotonic() - now)))
        return took


@contextlib.contextmanager
def rude_peers(programs, address, connections, per_second):
    host, port = address.rsplit(":", 1)
    process = subprocess.Popen([programs / "benchmark" / "rude_peers", host, port, str(connections), str(per_second)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    report = {}
    try:
        time.sleep(max(1.0, connections / per_second))  # until all are there
        yield report
    finally:
        process.stdin.close()
        report.update(json.loads(process.stdout.read() or "{}"))
        if process.wait() != 0:
            die("rude_peers failed")


@contextlib.contextmanager
def jobs_without_end(cluster):
    """One word count after the other, in the background."""
    script = 'while :; do "$0" run word_count corpus to counts --replace >/dev/null || exit 1; done'
    process = subprocess.Popen(["bash", "-c", script, str(cluster.troupe)], env=cluster.environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        time.sleep(1)
        if process.poll() is not None:
            die("the job does not run")
        yield
        if process.poll() is not None:
            die("a job failed among the rude connections")
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
        process.wait()
        for job in cluster.json("jobs"):
            if job["state"] in ("queued", "running"):
                cluster.run("cancel", str(job["id"]))


def rounds(programs, cluster, token, options):
    """Round trips of a quiet cluster and one with rude connections, in turn; the same with jobs running."""
    follower = next(n for n in cluster.json("nodes") if not n["leader"])
    client = Client(follower["address"], token)
    client.measure(0.5)
    result = {}
    for name, background in (("without a job", contextlib.nullcontext), ("beside a job", lambda: jobs_without_end(cluster))):
        pairs = []
        with background():
            for i in range(options.pairs):
                quiet = client.measure(SECONDS)
                with rude_peers(programs, follower["address"], options.connections, options.per_second) as report:
                    rude = client.measure(SECONDS)
                pair = {"quiet_p50_ms": statistics.median(quiet), "quiet_p99_ms": percentile(quiet, 99), "rude_p50_ms": statistics.median(rude),
                        "rude_p99_ms": percentile(rude, 99), "peers": dict(report)}
                pair["ratio"] = pair["rude_p99_ms"] / pair["quiet_p99_ms"]
                pairs.append(pair)
                say(f"{name}, pair {i + 1}: p99 {pair['quiet_p99_ms']:.2f} ms quiet, {pair['rude_p99_ms']:.2f} ms with rude connections: {pair['ratio']:.2f} times   "
                    f"(p50 {pair['quiet_p50_ms']:.2f}, {pair['rude_p50_ms']:.2f}; {report['opened'] / report['seconds']:.0f} opened a second)")
        result[name.replace(" ", "_")] = {"ratio": statistics.median(p["ratio"] for p in pairs), "pairs": pairs}
    client.close()
    for node in cluster.json("nodes"):
        if node["state"] != "alive" or node["incarnation"] != 1:
            die(f"node {node['name']} is {node['state']}, incarnation {node['incarnation']}")
    return result


def rude(programs, options):
    text = zipf_text(programs, min(options.mib, 256))
    with Cluster(programs, 2) as cluster:
        cluster.run("import", text, "to", "corpus", "--copies", "2")
        cluster.load_word_count()
        token = (pathlib.Path(cluster.json("clusters")[0]["data"]) / "token").read_text().strip()
        before = [path.stat().st_size for path in cluster.logs()]
        begin = time.monotonic()
        result = rounds(programs, cluster, token, options)
        seconds = time.monotonic() - begin
        lines = max(sum(b" refused" in line for line in path.read_bytes()[size:].splitlines()) for path, size in zip(cluster.logs(), before))
        if lines > seconds / 10 + 2:
            die(f"{lines} log lines of one node about refused connections in {seconds:.0f} s: more than one in 10 s")
    result["log_lines_per_10_s"] = lines * 10 / seconds
    for name in ("without_a_job", "beside_a_job"):
        say(f"{name.replace('_', ' ')}: p99 {result[name]['ratio']:.2f} times the quiet one (at most 2)")
    finish("rude", result)
