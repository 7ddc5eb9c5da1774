#!/usr/bin/env python3
"""Stands in for troupe-node: the same command line, the same files in its data directory, and enough of the HTTP API to show the shell's side of it.

What it was asked is kept in DATA/../requests.jsonl. Environment: FAKE_START=fail ends at once with a message; FAKE_TERM=ignore ignores SIGTERM and the
stop request.
"""
import argparse
import datetime
import http.server
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request

import fake_logs

parser = argparse.ArgumentParser()
for name in ("--data", "--listen", "--name", "--cluster-name", "--token-file", "--join", "--slots", "--memory", "--task-time-limit-ms"):
    parser.add_argument(name)
parser.add_argument("--version", action="version", version="0.1.0")
parser.add_argument("--bootstrap", action="store_true")
given = vars(parser.parse_args())
data = pathlib.Path(given["data"])
if os.environ.get("FAKE_START") == "fail":
    sys.exit("troupe-node: the disk is on fire")
if (data / "node.json").exists():
    known = json.loads((data / "node.json").read_text())
    known.update({k: v for k, v in given.items() if v})
else:
    known = given
    if not known["token_file"]:
        known["token"] = (data / "token").read_text().strip()
    else:
        known["token"] = pathlib.Path(known["token_file"]).read_text().strip()
    known["starts"] = 0
known["starts"] += 1
shared = data.parent


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def nodes():
    out = []
    for ready in sorted(shared.glob("*/ready.json")):
        told = json.loads(ready.read_text())
        about = json.loads((ready.parent / "node.json").read_text())
        alive = pathlib.Path(f"/proc/{told['pid']}").exists() and "Z" not in pathlib.Path(f"/proc/{told['pid']}/stat").read_text().rsplit(")")[1][:3]
        out.append({"name": told["name"], "id": told["member_id"], "address": told["address"], "pid": told["pid"],
                    "state": "alive" if alive else "dead", "state_reason": "", "incarnation": about["starts"],
                    "leader": bool(about["bootstrap"]), "role": "leader" if about["bootstrap"] else "learner", "cores": 2, "slots": int(about["slots"] or 2), "memory_bytes": 1 << 30,
                    "version": "0.1.0", "started_at": now(), "future_member": 1})
    return out


jobs = {}
logs = fake_logs.Logs(shared, now)


def job_of(number, request):
    return {"id": number, "name": request["job"], "module": "m", "module_hash": "ab" * 32, "inputs": request["inputs"], "outputs": [request["output"]],
            "parameters": request.get("parameters", {}), "state": "running", "error": None, "created_at": now(), "started_at": now(), "finished_at": None,
            "tasks": {"total": 5, "done": 0, "running": 1},
            "stages": [{"name": "map", "tasks": {"total": 4, "done": 0, "running": 1}}, {"name": "reduce", "tasks": {"total": 1, "done": 0, "running": 0}}],
            "attempts": 5, "lost_attempts": 1, "lost_task_seconds": 0.25, "input_bytes": 2048, "input_records": 1234, "output_records": 56,
            "counters": {"words": 7}, "supervisor": "node1"}


def end(job, state):
    job.update(state=state, finished_at=now(), supervisor=None)
    if state == "failed":
        job["error"] = {"message": "it threw", "node": "node1", "dataset": job["inputs"][0], "offset": 41}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, value=None, kind="application/json", fields=None):
        body = b"" if value is None else value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, text in (fields or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def problem(self, status, code, detail):
        self.answer(status, {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code}, "application/problem+json")

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            out = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                out += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return out
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def handle_any(self):
        target = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(target.query))
        path = [urllib.parse.unquote(part) for part in target.path.strip("/").split("/")]
        body = self.body()
        if target.path == "/readyz":
            return self.answer(200, b"ready", "text/plain")
        if self.headers.get("Authorization") != f"Bearer {known['token']}":
            return self.problem(401, "permission_denied", "the token is wrong")
        with open(shared / "requests.jsonl", "a") as log:
            log.write(json.dumps({"method": self.command, "path": self.path, "body": body.decode(errors="replace"),
                                  "length": self.headers.get("Content-Length"), "sequence": self.headers.get("Troupe-Sequence"), "node": known["name"]}) + "\n")
        name = f"{self.command}_{path[2]}" if len(path) > 2 else ""
        handler = getattr(self, name, None)
        if handler is None:
            return self.problem(404, "not_found", f"no such path: {target.path}")
        handler(path[3:], query, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def GET_cluster(self, rest, query, body):
        self.answer(200, {"id": "5d3c1f7e-0000-4000-8000-000000000001", "name": known["cluster_name"], "version": "0.1.0", "node": known["name"],
                          "leader": "node1", "nodes_total": len(nodes()), "nodes_alive": sum(n["state"] == "alive" for n in nodes())})

    def GET_nodes(self, rest, query, body):
        if rest[1:] == ["drain"]:
            return self.answer(200, self.drain_progress(rest[0]))
        everyone, begin = nodes(), int(query.get("cursor", 0))  # pages of two
        more = str(begin + 2) if begin + 2 < len(everyone) else None
        self.answer(200, {"items": everyone[begin:begin + 2], "next_cursor": more})

    def POST_nodes(self, rest, query, body):
        found = [n for n in nodes() if n["name"] == rest[0]]
        if found and rest[1:] == ["drain"]:
            (shared / f"draining-{rest[0]}").write_text("2")
            return self.answer(202, self.drain_progress(rest[0]))
        if found and rest[1:] == ["remove"]:
            if rest[0] == "node2" and "accept_loss" not in query:
                return self.problem(409, "failed_precondition", "node node2 has the only copy of 1 segment(s), which would be lost")
            return self.answer(204)
        if not found or rest[1:] != ["stop"]:
            return self.problem(404, "not_found", f"no node \"{rest[0]}\"")
        if rest[0] != known["name"]:
            request = urllib.request.Request(f"http://{found[0]['address']}{self.path}", method="POST",
                                             headers={"Authorization": self.headers["Authorization"]})
            urllib.request.urlopen(request, timeout=5).read()
        self.answer(202, found[0])
        if rest[0] == known["name"] and os.environ.get("FAKE_TERM") != "ignore":
            threading.Thread(target=server.shutdown).start()

    def drain_progress(self, name):
        """Every look finds one segment less."""
        file = shared / f"draining-{name}"
        left = int(file.read_text()) if file.exists() else 0
        draining = file.exists()
        if left > 0:
            file.write_text(str(left - 1))
        return {"node": name, "draining": draining, "segments": left, "bytes": left << 20, "partitions": 0, "done": draining and left == 0}

    def DELETE_nodes(self, rest, query, body):
        (shared / f"draining-{rest[0]}").unlink(missing_ok=True)
        self.answer(200, self.drain_progress(rest[0]))

    def PUT_datasets(self, rest, query, body):
        logs.create(self, rest[0], body)

    def PATCH_datasets(self, rest, query, body):
        logs.alter(self, rest[0], body)

    def GET_datasets(self, rest, query, body):
        if rest and rest[0] in logs.names():
            return logs.read(self, rest[0], query) if rest[1:] == ["records"] else self.answer(200, logs.shape(rest[0], logs.load(rest[0])))
        dataset = {"name": "counts", "id": 3, "format": "records", "state": "ready", "copies": 2, "records": 2, "bytes": 1536, "created_at": now(),
                   "made_by": 1}
        if not rest:
            lines = {**dataset, "name": "corpus", "id": 2, "format": "lines", "partition_count": 4, "made_by": None}
            return self.answer(200, {"items": [lines, {**dataset, "partition_count": 1}], "next_cursor": None})
        if rest[0] not in ("counts", "corpus"):
            return self.problem(404, "not_found", f"no dataset \"{rest[0]}\"")
        if rest[1:] == ["export"]:
            if query["format"] == "lines":
                # Ends before its last chunk: a node that died in the middle.
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"4\r\nhalf\r\n")
                self.close_connection = True
                return None
            return self.answer(200, query["format"].encode() + b"\n", "text/plain")
        if rest[1:] == ["records"]:
            records = [{"word": "a,b", "count": 3}, {"word": "c", "count": 1}] if rest[0] == "counts" else ["first line", "a\u001b[2Jb"]
            lines = [json.dumps({"partition": 0, "offset": i, "record": r}) for i, r in enumerate(records)]
            return self.answer(200, "".join(line + "\n" for line in lines[:int(query["limit"])]).encode(), "application/x-ndjson")
        schema = [{"name": "word", "type": "string", "children": []}, {"name": "count", "type": "uint64", "children": []}]
        segment = {"id": 9, "records": 2, "bytes": 1536, "digest": "0" * 32, "copies": ["node1", "node2"]}
        return self.answer(200, {**dataset, "name": rest[0], "format": "records" if rest[0] == "counts" else "lines", "schema": schema,
                                 "partitions": [{"records": 2, "bytes": 1536, "copies": ["node1", "node2"], "segments": [segment]}]})

    def POST_datasets(self, rest, query, body):
        if rest[1:] == ["records"]:
            return logs.append(self, rest[0], body)
        if rest[1:] == ["verify"]:
            return logs.verify(self, rest[0])
        if rest[0] == "taken" and "replace" not in query:
            return self.problem(409, "already_exists", "dataset taken exists; --replace takes its place")
        (shared / f"imported-{rest[0]}").write_bytes(body)
        self.answer(201, {"name": rest[0], "id": 5, "format": "lines", "schema": [], "state": "ready", "copies": 1, "records": body.count(b"\n"),
                          "bytes": len(body), "created_at": now(), "made_by": None, "partitions": []})

    def DELETE_datasets(self, rest, query, body):
        self.answer(204) if rest[0] == "counts" else self.problem(404, "not_found", f"no dataset \"{rest[0]}\"")

    def GET_modules(self, rest, query, body):
        self.answer(200, {"items": [{"name": "words", "hash": "ab" * 32, "abi": "x", "size_bytes": 2048, "loaded_at": now(),
                                     "jobs": [{"name": "word_count", "input_format": "lines", "input_schema": [], "output_format": "records",
                                               "output_schema": [], "stages": 2}], "nodes": ["node1"]}], "next_cursor": None})

    def POST_modules(self, rest, query, body):
        if body[:4] != b"\x7fELF":
            return self.problem(400, "invalid_argument", f"{query['name']}.so is not a shared library")
        self.answer(201, {"name": query["name"], "hash": "cd" * 32, "abi": "x", "size_bytes": len(body), "loaded_at": now(), "jobs": [], "nodes": ["node1"]})

    def DELETE_modules(self, rest, query, body):
        self.answer(204)

    def GET_jobs(self, rest, query, body):
        if not rest:
            return self.answer(200, {"items": [jobs[k] for k in sorted(jobs, reverse=True)], "next_cursor": None})
        job = jobs.get(int(rest[0]))
        if job is None:
            return self.problem(404, "not_found", f"no job {rest[0]}; `jobs` lists those that are known")
        if rest[1:] == ["logs"]:
            return self.answer(200, {"items": [{"time": now(), "node": "node1", "stage": 0, "task": 2, "attempt": 1, "text": "hello"}], "next_cursor": None})
        if job["name"] == "slow" and job["state"] == "running":
            time.sleep(int(query.get("wait_ms", 0)) / 1000)
            job["stages"][0]["tasks"]["done"] = min(4, job["stages"][0]["tasks"]["done"] + 1)
        elif job["state"] == "running":
            end(job, "failed" if job["name"] == "fails" else "succeeded")
        return self.answer(200, job)

    def POST_jobs(self, rest, query, body):
        if rest[1:] == ["cancel"]:
            end(jobs[int(rest[0])], "cancelled")
            return self.answer(200, jobs[int(rest[0])])
        request = json.loads(body)
        if request["inputs"][0] == "nothing":
            return self.problem(404, "not_found", "no dataset \"nothing\"")
        number = len(jobs) + 1
        jobs[number] = job_of(number, request)
        return self.answer(201, jobs[number])

    def GET_actors(self, rest, query, body):
        def one(key, parent, name, kind, pid=None):
            return {"id": key, "parent": parent, "name": name, "kind": kind, "node": "node1", "pid": pid, "state": "running", "restarts": 0, "detail": ""}
        self.answer(200, {"items": [one("1", None, "node_supervisor/node1", "node_supervisor"), one("2", "1", "worker/1", "worker", 77),
                                    one("3", "2", "mapper/7.0.3.1", "mapper", 77), one("4", "1", "worker/2", "worker", 78),
                                    one("5", "gone", "monitor", "monitor")], "next_cursor": None})

    def GET_events(self, rest, query, body):
        events = [{"id": 1, "time": now(), "kind": "member_joined", "node": "node2", "text": "node2 joined", "fields": {}},
                  {"id": 2, "time": now(), "kind": "attempt_lost", "node": "node1", "text": "an attempt was lost", "fields": {"job": "7"}}]
        after = int(query.get("after", 0))
        self.answer(200, {"items": [e for e in events if e["id"] > after], "next_cursor": None})


class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True


host, _, port = (known.get("address") or known["listen"] or "127.0.0.1:0").rpartition(":")
server = Server((host, int(port)), Handler)
known["address"] = f"{host}:{server.server_address[1]}"
(data / "node.json").write_text(json.dumps(known))
(data / "node.pid").write_text(f"{os.getpid()}\n")
ready = {"address": known["address"], "pid": os.getpid(), "name": known["name"], "member_id": f"00000000-0000-4000-8000-{int(known['name'][4:]):012d}"}
(data / "ready.json.new").write_text(json.dumps(ready))
os.rename(data / "ready.json.new", data / "ready.json")
if os.environ.get("FAKE_TERM") == "ignore":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
