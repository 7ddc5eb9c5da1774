"""Logs under kills: a producer appends by HTTP while the nodes that lead and follow its partition are killed; everything acknowledged is read back
once and in order."""
import http.client
import json
import os
import signal
import threading
import time
import unittest
import uuid

from support.cluster import Cluster


class Producer(threading.Thread):
    """Appends numbered lines, one request after the other, by whichever of the given nodes answers; the same sequence until it is acknowledged."""

    def __init__(self, addresses, token, dataset, lines=20):
        super().__init__(daemon=True)
        self.addresses, self.token, self.dataset, self.lines = addresses, token, dataset, lines
        self.producer = str(uuid.uuid4())
        self.acknowledged = 0  # requests
        self.longest = 0.0     # seconds between two acknowledgements
        self.failures = []
        self.done = threading.Event()
        self.start()

    def body(self, sequence):
        return "".join(f"{sequence} {i}\n" for i in range(self.lines)).encode()

    def post(self, address, sequence, patience=5):
        connection = http.client.HTTPConnection(address, timeout=patience)
        try:
            connection.request("POST", f"/api/v1/datasets/{self.dataset}/records", self.body(sequence),
                               {"Authorization": f"Bearer {self.token}", "Troupe-Producer": self.producer, "Troupe-Sequence": str(sequence),
                                "Content-Type": "text/plain"})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, text
        finally:
            connection.close()

    def run(self):
        sequence, turn, last = 1, 0, time.monotonic()
        while not self.done.is_set():
            try:
                status, text = self.post(self.addresses[turn % len(self.addresses)], sequence)
            except OSError as failed:
                status, text = 0, str(failed)
            if status == 200:
                assert sum(part["count"] for part in json.loads(text)) == self.lines
                now = time.monotonic()
                self.longest, last = max(self.longest, now - last), now
                self.acknowledged = sequence
                sequence += 1
            else:
                self.failures.append((sequence, status, text))
                turn += 1

    def stop(self):
        self.done.set()
        self.join(timeout=30)


def read_all(cluster, address, dataset, partition=0):
    out, offset = [], 0
    token = cluster.token()
    while True:
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", f"/api/v1/datasets/{dataset}/records?partition={partition}&from={offset}&limit=1000&wait_ms=500",
                           headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status == 200, text
        records = [json.loads(line) for line in text.splitlines()]
        if not records:
            return out
        for record in records:
            assert record["offset"] == offset, (record, offset)
            offset += 1
        out += [record["record"] for record in records]


class Log(unittest.TestCase):
    def check(self, cluster, producer, addresses):
        expected = [f"{s} {i}" for s in range(1, producer.acknowledged + 1) for i in range(producer.lines)]
        for address in addresses:
            records = read_all(cluster, address, "clicks")
            # What was under way when the producer stopped may be there as well.
            self.assertEqual(records[:len(expected)], expected)
            self.assertLessEqual(len(records), len(expected) + producer.lines)

    def run_with_kills(self, victim_of, rounds, limit_seconds):
        with Cluster(nodes=3) as cluster:
            cluster.shell("create", "clicks", "--partitions", "1", "--copies", "2", "--min-copies", "1")
            addresses = {name: node["address"] for name, node in cluster.nodes().items()}
            producer = Producer(list(addresses.values()), cluster.token(), "clicks")
            try:
                for _ in range(rounds):
                    before = producer.acknowledged
                    cluster.wait_until("appends go on", lambda: producer.acknowledged > before + 20)
                    partition = cluster.json("describe", "clicks")["partitions"][0]
                    victim = victim_of(partition)
                    before = producer.acknowledged
                    cluster.kill(victim)
                    cluster.wait_until("appends go on after the kill", lambda: producer.acknowledged > before + 20)
                    cluster.whole()
            finally:
                producer.stop()
            print(f"longest gap between two acknowledged appends: {producer.longest * 1000:.0f} ms", flush=True)
            self.check(cluster, producer, addresses.values())
            self.assertLess(producer.longest, limit_seconds, producer.failures[:5])

    def test_an_append_that_a_stopped_leader_has_is_there_once(self):
        with Cluster(nodes=3) as cluster:
            cluster.shell("create", "clicks", "--partitions", "1", "--copies", "2", "--min-copies", "1")
            addresses = {name: node["address"] for name, node in cluster.nodes().items()}
            producer = Producer(list(addresses.values()), cluster.token(), "clicks", lines=1)
            cluster.wait_until("appends go on", lambda: producer.acknowledged > 20)
            producer.stop()
            stopped = cluster.json("describe", "clicks")["partitions"][0]["leader"]
            asked = next(address for name, address in addresses.items() if name != stopped)
            pid = cluster.pid(stopped)
            os.kill(pid, signal.SIGSTOP)
            try:
                # The first goes to the one that is stopped and waits in its socket; another node leads before it is answered.
                for sequence in range(producer.acknowledged + 1, producer.acknowledged + 6):
                    status, text = producer.post(asked, sequence, patience=15)
                    self.assertEqual(status, 200, text)
                    [part] = json.loads(text)
                    self.assertEqual(part["first_offset"], sequence - 1)
            finally:
                os.kill(pid, signal.SIGCONT)
            cluster.wait_until("all nodes alive", lambda: all(node["state"] == "alive" for node in cluster.nodes().values()))
            status, text = producer.post(asked, sequence, patience=15)
            self.assertEqual((status, json.loads(text)[0]["duplicate"], json.loads(text)[0]["first_offset"]), (200, True, sequence - 1), text)
            for address in addresses.values():
                self.assertEqual(read_all(cluster, address, "clicks"), [f"{s} 0" for s in range(1, sequence + 1)])

    def test_leaders_are_killed(self):
        self.run_with_kills(lambda partition: partition["leader"], rounds=3, limit_seconds=10)

    def test_followers_are_killed(self):
        self.run_with_kills(lambda partition: next(r for r in partition["replicas"] if r != partition["leader"]), rounds=3, limit_seconds=10)


if __name__ == "__main__":
    unittest.main()
