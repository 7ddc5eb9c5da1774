"""Jobs one after the other on an imported text: each answer must be right."""
import os
import pathlib
import random
import threading
import time

from .http_client import Client, Unreachable

MODULES = pathlib.Path(os.environ["TROUPE_MODULES"])


class Jobs(threading.Thread):
    def __init__(self, round_, lines=60_000):
        super().__init__(daemon=True, name="jobs")
        self.round = round_
        self.random = random.Random(f"{round_.seed} jobs")
        words = [f"w{self.random.randrange(16**5):x}" for _ in range(2_000)]
        text = [" ".join(self.random.choices(words, k=10)) for _ in range(lines)]
        self.expected = {}
        for line in text:
            for word in line.split():
                self.expected[word] = self.expected.get(word, 0) + 1
        self.succeeded = self.refused = 0
        self.done = threading.Event()
        cluster = round_.cluster
        cluster.do("POST", "/api/v1/modules?name=word_count", (MODULES / "word_count.so").read_bytes(), timeout=30)
        cluster.do("POST", "/api/v1/datasets/corpus?copies=3&partitions=3", ("\n".join(text) + "\n").encode(), timeout=30)
        self.client = Client(cluster.token, cluster.source, timeout=4.0)
        self.start()

    def call(self, method, path, body=None):
        """(status, answer) of the next node that says anything."""
        try:
            return self.client.json(self.random.choice(self.round.cluster.nodes).address, method, path, body)
        except Unreachable as failed:
            return 0, str(failed)

    def run(self):
        while not self.done.is_set():
            self.run_one("counts", lambda: self.done.is_set())

    def run_one(self, output, given_up):
        status, job = self.call("POST", "/api/v1/jobs", {"job": "word_count", "inputs": ["corpus"], "output": output, "replace": True})
        if status not in (200, 201, 202):
            self.refused += 1
            if status not in (0, 409, 503, 504):  # 409: an earlier request, whose answer was lost, makes the same output
                self.round.found(f"a job is refused: {status} {job}")
            time.sleep(0.05)
            return False
        number = job["id"]
        while not given_up():
            status, job = self.call("GET", f"/api/v1/jobs/{number}?wait_ms=1000")
            if status != 200:
                if status not in (0, 503, 504):
                    self.round.found(f"job {number} was accepted, and then: {status} {job}")
                    return False
                time.sleep(0.05)
                continue
            if job["state"] in ("queued", "running"):
                continue
            if job["state"] != "succeeded":
                self.round.found(f"job {number} ended as {job['state']}: {job.get('error')}")
                return False
            return self.check(number, output, given_up)
        return False

    def check(self, number, output, given_up):
        """What is there under the output's name: of this job or of one beside it, always the same."""
        while not given_up():
            status, _, text = 0, None, b""
            try:
                status, _, text = self.client.request(self.random.choice(self.round.cluster.nodes).address, "GET", f"/api/v1/datasets/{output}/export?format=tsv", timeout=10)
            except Unreachable:
                pass
            if status == 200:
                counts = {}
                for line in text.decode().splitlines():
                    word, count = line.rsplit("\t", 1)
                    counts[word] = counts.get(word, 0) + int(count)
                if counts != self.expected:
                    self.round.found(f"job {number} gave a wrong answer: {len(counts)} words, {sum(counts.values())} in all; {len(self.expected)} and {sum(self.expected.values())} are right")
                    return False
                self.succeeded += 1
                return True
            time.sleep(0.05)
        return False

    def stop(self):
        self.done.set()
        self.join(timeout=30)
        if self.is_alive():
            self.round.found("the jobs' client does not end: a request hangs")

    def last(self, seconds=60):
        """A job on the healed cluster."""
        end = time.monotonic() + seconds
        while not self.run_one("last_counts", lambda: time.monotonic() > end):
            if time.monotonic() > end:
                return self.round.found(f"no job succeeds within {seconds} s on the healed cluster")
