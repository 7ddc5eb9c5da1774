"""Small jobs: how long one takes on a warm cluster, and how many a second when many are under way."""
import http.client
import json
import pathlib
import statistics
import subprocess
import time

from bench_cluster import WORK, Cluster, die, finish, say


def prepare(cluster):
    """Word count, and a dataset of one line for it."""
    cluster.load_word_count()
    line = WORK / "line.txt"
    line.write_text("one line of words\n")
    cluster.run("import", line, "to", "line", "--copies", "2")


def empty_job(programs, options):
    with Cluster(programs) as cluster:
        prepare(cluster)
        token = cluster.token
        connection = http.client.HTTPConnection(cluster.addresses[0])

        def call(method, path, body=None):
            connection.request(method, "/api/v1" + path, json.dumps(body) if body else None,
                               {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                die(f"{method} {path}: {answer.status} {text.decode()}")
            return json.loads(text)

        milliseconds = []
        for i in range(options.runs + 10):
            begin = time.monotonic()
            job = call("POST", "/jobs", {"job": "word_count", "inputs": ["line"], "output": "words", "replace": True})
            while job["state"] in ("queued", "running"):
                job = call("GET", f"/jobs/{job['id']}?wait_ms=10000")
            if job["state"] != "succeeded":
                die(f"job {job['id']} ended as {job['state']}: {job['error']}")
            if i >= 10:  # the first ones warm the workers up
                milliseconds.append((time.monotonic() - begin) * 1000)
    milliseconds.sort()
    result = {"runs": options.runs, "p50_ms": statistics.median(milliseconds), "p99_ms": milliseconds[min(len(milliseconds) - 1, len(milliseconds) * 99 // 100)],
              "max_ms": milliseconds[-1]}
    say(f"p50 {result['p50_ms']:.1f} ms, p99 {result['p99_ms']:.1f} ms, longest {result['max_ms']:.1f} ms")
    finish("empty_job", result)


def many_jobs(programs, options):
    """The same job of one line from 64 clients at once; rounds of ten times --runs jobs."""
    with Cluster(programs) as cluster:
        prepare(cluster)
        known = cluster.known()
        rounds = []
        for i in range(options.pairs):
            host, port = cluster.addresses[i % len(cluster.addresses)].rsplit(":", 1)
            user, system = cluster.cpu_seconds()
            done = subprocess.run([programs / "benchmark" / "job_load", host, port, pathlib.Path(known["data"]) / "token", "word_count", "line", "64", str(options.runs * 10)],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                die(f"many_jobs: {done.stderr.strip()} {done.stdout.strip()}")
            got = json.loads(done.stdout)
            got["cpu_ms_each"] = sum(now - then for now, then in zip(cluster.cpu_seconds(), (user, system))) * 1000 / got["jobs"]
            got["jobs_per_second"] = got["jobs"] / got["seconds"]
            rounds.append(got)
            say(f"round {i + 1}: {got['jobs_per_second']:.0f} jobs/s, p50 {got['p50_us'] / 1000:.1f} ms, p99 {got['p99_us'] / 1000:.1f} ms, CPU of nodes {got['cpu_ms_each']:.2f} ms each")
    result = {"jobs_per_second": statistics.median(r["jobs_per_second"] for r in rounds), "rounds": rounds}
    say(f"median {result['jobs_per_second']:.0f} jobs/s with 64 in flight")
    finish("many_jobs", result)
