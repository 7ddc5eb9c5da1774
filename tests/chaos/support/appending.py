"""Producers and readers at full speed, and what must be true of their records in the end."""
import hashlib
import itertools
import json
import random
import threading
import time
import uuid

from .http_client import Client, Unreachable

KNOWN_REFUSALS = {503, 504}  # can't be done now, or is not known in time; everything else is a finding
TOO_FEW = b"member(s) can take one now"  # below min_copies nothing is appended, and that is said


def fields_of(record):
    """(producer, sequence, index) of a record."""
    producer, sequence, index, _ = record.split(" ", 3)  # and padding
    return int(producer), int(sequence), int(index)


class Producer(threading.Thread):
    """Appends numbered lines, one request after the other, by any node; the same sequence until it is acknowledged."""

    def __init__(self, round_, number, dataset, lines):
        super().__init__(daemon=True, name=f"producer {number}")
        self.round, self.number, self.dataset, self.lines = round_, number, dataset, lines
        self.random = random.Random(f"{round_.seed} producer {number}")
        self.id = str(uuid.UUID(int=self.random.getrandbits(128)))
        self.acknowledged = {}  # sequence: [(partition, first offset, count)]
        self.sequence = 0       # the last one that is acknowledged
        self.last = time.monotonic()
        self.gap = 0.0          # longest time between two acknowledgements since it was last asked for
        self.fat = {}           # sequence: its lines are long; a retry must send the same bytes
        self.refusals = {}      # text: times
        self.refused = ""       # the last one
        self.done = threading.Event()

    def body(self, sequence):
        padding = "x" * (10 + sequence % 50 + (self.fat.setdefault(sequence, self.round.fat) and 5_000))
        return "".join(f"{self.number} {sequence} {i} {padding}\n" for i in range(self.lines)).encode()

    def take_gap(self):
        gap, self.gap = max(self.gap, time.monotonic() - self.last), 0.0
        return gap

    def run(self):
        cluster = self.round.cluster
        client = Client(cluster.token, cluster.source, timeout=4.0)
        node = self.random.choice(cluster.nodes)
        while not self.done.is_set():
            sequence = self.sequence + 1
            try:
                status, _, text = client.request(node.address, "POST", f"/api/v1/datasets/{self.dataset}/records?time_max_ms=3000", self.body(sequence),
                                                 {"Troupe-Producer": self.id, "Troupe-Sequence": str(sequence), "Content-Type": "text/plain"})
            except Unreachable as failed:
                status, text = 0, str(failed).encode()
            if status == 200:
                self.take(sequence, json.loads(text), node)
                continue
            if status and status not in KNOWN_REFUSALS and not (status == 409 and TOO_FEW in text):
                self.round.found(f"producer {self.number}, sequence {sequence}: {node.name} answers {status} {text.decode(errors='replace')[:500]}")
            self.refused = f"{node.name}: {status} {text.decode(errors='replace')[:400]}"
            kind = f"{status} " + (json.loads(text).get("code", "") if status else text.decode()[:40])
            self.refusals[kind] = self.refusals.get(kind, 0) + 1
            node = self.random.choice(cluster.nodes)
            self.done.wait(0.01)
        client.close()

    def take(self, sequence, parts, node):
        count = sum(part["count"] for part in parts)
        if count != self.lines:
            self.round.found(f"producer {self.number}, sequence {sequence}: {self.lines} lines were sent, {node.name} acknowledges {count}: {parts}")
        self.fat.pop(sequence, None)
        self.acknowledged[sequence] = [(p["partition"], p["first_offset"], p["count"]) for p in parts]
        now = time.monotonic()
        self.gap, self.last = max(self.gap, now - self.last), now
        self.sequence = sequence


class Reader(threading.Thread):
    """Follows every partition from its begin, each page from any node. What it saw must be there in the end, at the same offsets."""

    def __init__(self, round_, number, dataset, partitions):
        super().__init__(daemon=True, name=f"reader {number}")
        self.round, self.number, self.dataset = round_, number, dataset
        self.random = random.Random(f"{round_.seed} reader {number}")
        self.next = [0] * partitions
        self.digests = [hashlib.blake2b(digest_size=16) for _ in range(partitions)]
        self.done = threading.Event()

    def run(self):
        cluster = self.round.cluster
        client = Client(cluster.token, cluster.source, timeout=4.0)
        while not self.done.is_set():
            partition = self.random.randrange(len(self.next))
            node = self.random.choice(cluster.nodes)
            try:
                status, items = read_page(client, node, self.dataset, partition, self.next[partition], 2_000, 100)
            except Unreachable:
                continue
            if status != 200:
                if status not in KNOWN_REFUSALS:
                    self.round.found(f"reader {self.number}: {node.name} answers a read of partition {partition} from {self.next[partition]} with {status} {items}")
                self.done.wait(0.02)
                continue
            for offset, record in items:
                if offset != self.next[partition]:
                    return self.round.found(f"reader {self.number}: {node.name} gave offset {offset} of partition {partition}, after {self.next[partition]} was asked for")
                self.next[partition] += 1
                self.digests[partition].update(record.encode() + b"\n")
        client.close()


def read_page(client, node, dataset, partition, start, limit, wait_ms=0, timeout=None):
    """(200, [(offset, record)]) or (status, text)"""
    status, _, text = client.request(node.address, "GET", f"/api/v1/datasets/{dataset}/records?partition={partition}&from={start}&limit={limit}&wait_ms={wait_ms}", timeout=timeout)
    if status != 200:
        return status, text.decode(errors="replace")[:500]
    out = []
    for line in text.splitlines():
        item = json.loads(line)
        out.append((item["offset"], item["record"]))
    return 200, out


def read_whole(client, node, dataset, partition, end, seconds=60):
    """Every record of a partition up to `end`, as this node gives it."""
    out, until = [], time.monotonic() + seconds
    while len(out) < end:
        try:
            status, items = read_page(client, node, dataset, partition, len(out), 10_000, 500, timeout=15)
        except Unreachable as failed:
            status, items = 0, str(failed)
        if status == 200:
            for offset, record in items:
                assert offset == len(out), f"{node.name} gave offset {offset} of partition {partition} where {len(out)} was asked for"
                out.append(record)
        if time.monotonic() > until:
            raise AssertionError(f"{node.name} gives {len(out)} of {end} records of partition {partition} within {seconds} s; its last answer: {status} {str(items)[:300]}")
    return out


class Workload:
    def __init__(self, round_, dataset="clicks", partitions=4, copies=3, producers=4, readers=2, lines=20):
        self.round, self.dataset, self.partitions = round_, dataset, partitions
        round_.cluster.do("PUT", f"/api/v1/datasets/{dataset}", {"partitions": partitions, "copies": copies})
        self.producers = [Producer(round_, i, dataset, lines) for i in range(producers)]
        self.readers = [Reader(round_, i, dataset, partitions) for i in range(readers)]
        for thread in itertools.chain(self.producers, self.readers):
            thread.start()

    def requests(self):
        return sum(p.sequence for p in self.producers)

    def wait_for_progress(self, seconds):
        """Until every producer has one more request acknowledged that began after now; a sentence when one has not."""
        before = [p.sequence for p in self.producers]
        end = time.monotonic() + seconds
        while late := [p for p, s in zip(self.producers, before) if p.sequence < s + 2]:
            if time.monotonic() > end:
                return f"appends do not go on within {seconds} s of the end of the fault: " + "; ".join(f"{p.name} waits for sequence {p.sequence + 1}, last refused by {p.refused}" for p in late)
            time.sleep(0.01)
        return None

    def take_gap(self):
        return max(p.take_gap() for p in self.producers)

    def stop(self):
        for thread in itertools.chain(self.producers, self.readers):
            thread.done.set()
        for thread in itertools.chain(self.producers, self.readers):
            thread.join(timeout=20)
            if thread.is_alive():
                self.round.found(f"{thread.name} does not end: a request hangs")

    def check(self):
        """After stop: everything acknowledged once, where it was said to be, in order; what readers saw is what is there. Returns how many records."""
        cluster, found = self.round.cluster, self.round.found
        client = Client(cluster.token, cluster.source, timeout=15)
        seen = {}  # (producer, sequence): {index: (partition, offset)}
        records = 0
        described = cluster.do("GET", f"/api/v1/datasets/{self.dataset}")
        for partition in range(self.partitions):
            end = described["partitions"][partition]["end_offset"]
            nodes = self.round.random.sample(cluster.nodes, 2)
            content, other = (read_whole(client, node, self.dataset, partition, end) for node in nodes)
            if content != other:
                at = next(i for i, (a, b) in enumerate(itertools.zip_longest(content, other)) if a != b)
                found(f"partition {partition}: {nodes[0].name} and {nodes[1].name} differ at offset {at}: {content[at:at + 1]} and {other[at:at + 1]}")
            records += len(content)
            last = {}
            for offset, record in enumerate(content):
                producer, sequence, index = fields_of(record)
                place = seen.setdefault((producer, sequence), {})
                if index in place:
                    found(f"record {producer} {sequence} {index} is there twice: partition {place[index][0]} offset {place[index][1]} and partition {partition} offset {offset}")
                place[index] = (partition, offset)
                if (sequence, index) <= last.get(producer, (0, -1)):
                    found(f"partition {partition}, offset {offset}: record {producer} {sequence} {index} comes after {last[producer]}")
                last[producer] = (sequence, index)
            for reader in self.readers:
                digest = hashlib.blake2b("".join(r + "\n" for r in content[:reader.next[partition]]).encode(), digest_size=16)
                if reader.next[partition] > len(content):
                    found(f"{reader.name} saw {reader.next[partition]} records of partition {partition}, where only {len(content)} are now")
                elif digest.digest() != reader.digests[partition].digest():
                    found(f"{reader.name} saw other records in the first {reader.next[partition]} of partition {partition} than are there now")
        for producer in self.producers:
            for sequence, parts in producer.acknowledged.items():
                place = seen.pop((producer.number, sequence), {})
                if missing := [i for i in range(producer.lines) if i not in place]:
                    found(f"acknowledged and lost: producer {producer.number}, sequence {sequence}, lines {missing}; it was said to be at {parts}")
                wanted = {(p, first + k) for p, first, count in parts for k in range(count)}
                if not missing and set(place.values()) != wanted:
                    found(f"producer {producer.number}, sequence {sequence} was said to be at {parts}, and is at {sorted(place.values())}")
            seen.pop((producer.number, producer.sequence + 1), None)  # under way when it was stopped
        for producer, sequence in seen:
            found(f"nobody appended producer {producer}, sequence {sequence}")
        client.close()
        return records
