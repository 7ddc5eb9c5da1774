"""Clients that set and read a parameter of datasets through any node, and the history of what they saw, which has to be linearizable."""
import itertools
import random
import threading
import time

from .http_client import Client, Unreachable


class Registers:
    """A register is keep_bytes of an empty dataset: PATCH writes it, a describe reads it."""

    def __init__(self, round_, count=4, clients=4, pause=0.02):
        self.round, self.pause = round_, pause
        self.names = [f"register{i}" for i in range(count)]
        self.values = itertools.count(1)
        self.operations = []  # {"client", "key", "write": bool, "value", "call", "return" (ns; 0: not known)}
        self.lock = threading.Lock()
        self.done = threading.Event()
        for name in self.names:
            round_.cluster.do("PUT", f"/api/v1/datasets/{name}", {"partitions": 1, "copies": 3, "keep_bytes": 1 << 40})
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True, name=f"register client {i}") for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        cluster = self.round.cluster
        choice = random.Random(f"{self.round.seed} register client {number}")
        client = Client(cluster.token, cluster.source, timeout=4.0)
        while not self.done.wait(choice.random() * 2 * self.pause):
            key, write, node = choice.choice(self.names), choice.random() < 0.4, choice.choice(cluster.nodes)
            value = 0
            if write:
                with self.lock:
                    value = next(self.values)
            call = time.monotonic_ns()
            try:
                if write:
                    status, answer = client.json(node.address, "PATCH", f"/api/v1/datasets/{key}", {"keep_bytes": (1 << 40) + value})
                else:
                    status, answer = client.json(node.address, "GET", f"/api/v1/datasets/{key}")
            except Unreachable:
                status, answer = 0, None
            returned = time.monotonic_ns()
            if status == 200 and not write:
                value = answer["keep_bytes"] - (1 << 40)
            elif status != 200 and not write:
                returned = None
            elif status != 200:
                returned = 0  # it may have been done, or be done later
            if status not in (0, 200, 503, 504):
                self.round.found(f"register client {number}: {node.name} answers {'PATCH' if write else 'GET'} of {key} with {status} {answer}")
            if returned is not None:
                with self.lock:
                    self.operations.append({"client": number, "key": key, "write": write, "value": value, "call": call, "return": returned})
        client.close()

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join(timeout=20)
            if thread.is_alive():
                self.round.found(f"{thread.name} does not end: a request hangs")

    def history(self):
        """Writes without an answer whose value nobody ever read can stand at the very end of any history: they are left out, the checker is faster for it."""
        read = {(o["key"], o["value"]) for o in self.operations if not o["write"]}
        return [o for o in self.operations if o["return"] or (o["key"], o["value"]) in read]
