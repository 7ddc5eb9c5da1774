"""The part of the fake node that knows datasets which grow. What was appended lies in DATA/../log-NAME.json, so that all fake nodes see it.

The name of a dataset says what goes wrong: `flaky` answers the first try of every batch with 503 and one durable partition, `mortal` makes the node that
gets the first append die without an answer, `deaf` never answers an append, `stuck` refuses for want of copies.
"""
import json
import os
import time


class Logs:
    def __init__(self, shared, now):
        self.shared, self.now = shared, now

    def file(self, name):
        return self.shared / f"log-{name}.json"

    def load(self, name):
        return json.loads(self.file(name).read_text()) if self.file(name).exists() else None

    def save(self, name, log):
        new = self.file(name).with_suffix(".new")
        new.write_text(json.dumps(log))
        os.rename(new, self.file(name))

    def names(self):
        return [f.name[4:-5] for f in self.shared.glob("log-*.json")]

    def shape(self, name, log):
        parts = []
        for records in log["partitions"]:
            parts.append({"records": len(records), "bytes": 0, "copies": [], "segments": [], "epoch": 2, "leader": "node1", "begin_offset": log["begin"],
                          "end_offset": len(records), "open_segment": 12, "replicas": ["node1", "node2"], "refusing": "too few nodes" if name == "stuck" else "",
                          "under_replicated": 0, "under_replicated_bytes": 0, "lost": 0})
        options = log["options"]
        return {"name": name, "id": 9, "format": options.get("format", "lines"), "schema": options.get("schema", []), "state": "ready",
                "copies": options.get("copies", 2), "records": sum(map(len, log["partitions"])), "bytes": 0, "created_at": self.now(), "made_by": None,
                "partitions": parts, "min_copies": options.get("min_copies", 1), "sync": options.get("sync", "batch"),
                "key_field": options.get("key_field", ""), "keep_age_ms": options.get("keep_age_ms", 0), "keep_bytes": options.get("keep_bytes", 0),
                "under_replicated": 3 if name == "thin" else 0, "under_replicated_bytes": 3 << 20, "lost": 0, "notes": []}

    def create(self, node, name, body):
        if self.load(name) is not None:
            return node.problem(409, "already_exists", f"dataset {name} exists")
        options = json.loads(body)
        log = {"options": options, "partitions": [[] for _ in range(options.get("partitions", 1))], "begin": 0, "done": {}}
        self.save(name, log)
        return node.answer(201, self.shape(name, log))

    def alter(self, node, name, body):
        log = self.load(name)
        if log is None:
            return node.problem(404, "not_found", f"no dataset \"{name}\"")
        log["options"].update(json.loads(body))
        self.save(name, log)
        return node.answer(200, self.shape(name, log))

    def append(self, node, name, body):
        log = self.load(name)
        if log is None:
            return node.problem(404, "not_found", f"no dataset \"{name}\"")
        lines = body.decode().splitlines()
        if log["options"].get("format") == "records":
            for number, line in enumerate(lines, 1):
                try:
                    json.loads(line)
                except ValueError:
                    return node.problem(400, "invalid_argument", f"line {number}: not JSON: {line}")
        if name == "stuck":
            return node.problem(409, "failed_precondition", "dataset stuck needs 2 copies and has 1 live node")
        if name == "deaf":
            time.sleep(30)
        key = node.headers["Troupe-Producer"] + "/" + node.headers["Troupe-Sequence"]
        first_try = key not in log["done"]
        if first_try:
            log["done"][key] = []
            for number, records in enumerate(log["partitions"]):
                mine = [line for i, line in enumerate(lines) if i % len(log["partitions"]) == number]
                if mine:
                    log["done"][key].append({"partition": number, "first_offset": len(records), "count": len(mine), "duplicate": False})
                    records.extend([line, self.now()] for line in mine)
            self.save(name, log)
        answer = log["done"][key] if first_try else [{**part, "duplicate": True} for part in log["done"][key]]
        if name == "mortal" and first_try and len(log["done"]) == 1:
            os._exit(1)
        if name == "flaky" and first_try:
            problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "partition 1 has no leader now",
                       "code": "unavailable", "durable": answer[:1]}
            return node.answer(503, problem, "application/problem+json")
        return node.answer(200, answer)

    def read(self, node, name, query):
        log = self.load(name)
        partition, offset = int(query.get("partition", 0)), int(query["from"])
        until = time.monotonic() + int(query.get("wait_ms", 0)) / 1000
        while len(log["partitions"][partition]) <= offset and time.monotonic() < until:
            time.sleep(0.01)
            log = self.load(name)
        chosen = list(enumerate(log["partitions"][partition]))[offset:offset + int(query["limit"])]
        typed = log["options"].get("format") == "records"
        lines = [{"partition": partition, "offset": i, "appended_at": at, "record": json.loads(text) if typed else text} for i, (text, at) in chosen]
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return node.answer(200, body, "application/x-ndjson", {"Troupe-Next-Offset": str(offset + len(chosen))})

    def verify(self, node, name):
        bad = name == "rotten"
        wrong = [{"id": 12, "partition": 0, "records": 5, "open": False, "repairing": True,
                  "copies": [{"node": "node1", "state": "intact", "why": ""}, {"node": "node2", "state": "damaged", "why": "batch at byte 4096: its checksum is wrong"}]}]
        return node.answer(200, {"dataset": name, "sound": not bad, "copies_wanted": 2, "segments": 1, "records": 5, "bytes_checked": 1000, "copies_intact": 1 if bad else 2,
                                 "copies_bad": int(bad), "copies_unreachable": 0, "copies_missing_yet": 0, "segments_lost": 0, "seconds": 0.5,
                                 "wrong": wrong if bad else []})
