"""Datasets that grow, on real nodes: made empty or imported, appended to, followed, read by jobs, verified, moved away."""
import json
import os
import signal
import subprocess
import threading
import time
import unittest
import uuid

from support.cluster import BIN, Cluster, make_text, read_counts, word_counts


def records_of(cluster, name):
    """Every record of every partition, in order: {partition: [record, …]}."""
    described = cluster.json("describe", name)
    out = {}
    for number, partition in enumerate(described["partitions"]):
        lines = cluster.shell("-o", "json", "tail", name, "--partition", number, "--from", "begin").splitlines()
        items = [json.loads(line) for line in lines]
        offsets = [item["offset"] for item in items]
        assert offsets == list(range(partition["begin_offset"], partition["begin_offset"] + len(items))), offsets
        out[number] = [item["record"] for item in items]
    return out


def all_records(cluster, name):
    return [record for records in records_of(cluster, name).values() for record in records]


class Append(unittest.TestCase):
    def start(self, cluster, *arguments, **more):
        return subprocess.Popen([BIN / "troupe", *map(str, arguments)], env=cluster.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **more)

    def append(self, cluster, name, lines, **more):
        return cluster.run("append", name, stdin="".join(line + "\n" for line in lines), **more)

    def test_create_append_follow_and_read(self):
        with Cluster(nodes=3) as cluster:
            cluster.shell("create", "clicks", "--partitions", "2", "--copies", "2")
            lines = [f"line {i}" for i in range(5_000)]
            done = self.append(cluster, "clicks", lines)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("appended 5,000 records", done.stderr)
            self.assertEqual(sorted(all_records(cluster, "clicks")), sorted(lines))
            self.assertTrue(all(records_of(cluster, "clicks").values()), "no partition was spared")

            following = self.start(cluster, "tail", "clicks", "0", "--follow")
            appending = self.start(cluster, "append", "clicks")
            try:
                seen = []
                reading = threading.Thread(target=lambda: seen.extend(following.stdout.readline() for _ in range(3)))
                reading.start()
                for text in ("new 1", "new 2", "new 3"):
                    appending.stdin.write(text + "\n")
                    appending.stdin.flush()
                reading.join(timeout=30)
                self.assertEqual(sorted(seen), ["new 1\n", "new 2\n", "new 3\n"])
                appending.stdin.close()
                self.assertEqual(appending.wait(timeout=30), 0)
                following.send_signal(signal.SIGINT)
                self.assertEqual(following.wait(timeout=30), 130)
            finally:
                for process in (following, appending):
                    process.kill()
                    process.wait()
                    for stream in (process.stdin, process.stdout, process.stderr):
                        stream.close()
            described = cluster.json("describe", "clicks")
            self.assertEqual(described["records"], 5_003)
            self.assertEqual(sum(p["end_offset"] for p in described["partitions"]), 5_003)
            self.assertTrue(all(len(p["replicas"]) == 2 and p["leader"] for p in described["partitions"]))
            self.assertEqual(next(d for d in cluster.json("datasets") if d["name"] == "clicks")["records"], 5_003)
            self.assertEqual(len(cluster.json("head", "clicks", "7")), 7)
            self.assertEqual(sorted(cluster.shell("export", "clicks", "to", "-", stdin="").splitlines()), sorted(lines + ["new 1", "new 2", "new 3"]))
            verified = cluster.json("verify", "clicks")
            self.assertTrue(verified["sound"])
            self.assertEqual(verified["records"], 5_003)

    def test_the_same_sequence_again_adds_nothing_on_any_node(self):
        with Cluster(nodes=3) as cluster:
            cluster.shell("create", "clicks", "--partitions", "4")
            addresses = [node["address"] for node in cluster.nodes().values()]
            headers = {"Troupe-Producer": str(uuid.uuid4()), "Troupe-Sequence": "1"}
            body = "".join(f"{i}\n" for i in range(2_000)).encode()
            path = "/api/v1/datasets/clicks/records"
            first = cluster.api(path, "POST", body, headers=headers, address=addresses[0])
            self.assertEqual(first[0], 200, first)
            self.assertEqual(sum(part["count"] for part in first[1]), 2_000)
            for address in addresses * 2:
                again = cluster.api(path, "POST", body, headers=headers, address=address)
                self.assertEqual(again[0], 200, again)
                self.assertTrue(all(part["duplicate"] for part in again[1]))
                self.assertEqual([(p["partition"], p["first_offset"], p["count"]) for p in again[1]],
                                 [(p["partition"], p["first_offset"], p["count"]) for p in first[1]])
            self.assertEqual(sorted(all_records(cluster, "clicks"), key=int), [str(i) for i in range(2_000)])
            older = cluster.api(path, "POST", b"x\n", headers={**headers, "Troupe-Sequence": "0"}, address=addresses[0])
            self.assertEqual(older[0], 409, older)

    def test_a_retry_completes_what_a_silent_node_left_out(self):
        with Cluster(nodes=3) as cluster:
            # One copy each: what the silent node leads nobody else can take.
            cluster.shell("create", "clicks", "--partitions", "6", "--copies", "1")
            lines = [str(i) for i in range(3_000)]
            self.assertEqual(self.append(cluster, "clicks", [f"first {i}" for i in range(3_000)]).returncode, 0)
            leaders = [partition["leader"] for partition in cluster.json("describe", "clicks")["partitions"]]
            silent = next(name for name in cluster.followers() if name in leaders)
            theirs = {number for number, leader in enumerate(leaders) if leader == silent}
            self.assertLess(len(theirs), 6)
            asked = cluster.nodes()[cluster.leader()]["address"]
            headers = {"Troupe-Producer": str(uuid.uuid4()), "Troupe-Sequence": "1"}
            body = "".join(line + "\n" for line in lines).encode()
            path = "/api/v1/datasets/clicks/records"
            pid = cluster.pid(silent)
            os.kill(pid, signal.SIGSTOP)
            try:
                status, problem = cluster.api(f"{path}?time_max_ms=600", "POST", body, headers=headers, address=asked)
            finally:
                os.kill(pid, signal.SIGCONT)
            self.assertEqual(status, 503, problem)
            durable = {part["partition"]: part for part in problem["durable"]}
            self.assertEqual(set(durable), set(range(6)) - theirs)
            self.assertIn("same producer and sequence", problem["detail"])

            def completed():
                status, parts = cluster.api(path, "POST", body, headers=headers, address=asked)
                return parts if status == 200 else None

            parts = {part["partition"]: part for part in cluster.wait_until("the retry completes it", completed)}
            self.assertEqual(set(parts), set(range(6)))
            for number, part in durable.items():
                self.assertTrue(parts[number]["duplicate"], parts[number])
                self.assertEqual((parts[number]["first_offset"], parts[number]["count"]), (part["first_offset"], part["count"]))
            self.assertEqual(sum(part["count"] for part in parts.values()), 3_000)
            self.assertEqual(sorted(all_records(cluster, "clicks")), sorted(lines + [f"first {i}" for i in range(3_000)]))

    def test_what_can_not_be_appended_to_says_why(self):
        with Cluster(nodes=3) as cluster:
            status, problem = cluster.api("/api/v1/datasets/nothing/records", "POST", b"x\n")
            self.assertEqual(status, 404, problem)
            self.assertIn("nothing", problem["detail"])
            # More copies than there are nodes: refused, with what would do; with fewer wanted at least, all nodes take one.
            refused = cluster.run("create", "wide", "--copies", "9")
            self.assertEqual(refused.returncode, 1, refused)
            for words in ("would need 8 copies", "3 nodes are alive", "at most 3 copies", "min_copies", "add nodes"):
                self.assertIn(words, refused.stderr)
            self.assertEqual(cluster.json("datasets"), [])
            cluster.shell("create", "wide", "--copies", "9", "--min-copies", "1")
            self.assertEqual(self.append(cluster, "wide", ["x"]).returncode, 0)
            self.assertEqual(all_records(cluster, "wide"), ["x"])
            self.assertEqual(len(cluster.json("describe", "wide")["partitions"][0]["replicas"]), 3)
            refused = cluster.run("create", "wider", "--copies", "1000")
            self.assertEqual(refused.returncode, 2, refused)
            self.assertIn("from 1 to 16", refused.stderr)

    def test_typed_records_go_by_key_and_wrong_ones_are_refused(self):
        with Cluster(nodes=2) as cluster:
            cluster.shell("create", "visits", "--schema", "user:string, n:uint32, note:string?", "--key", "user", "--partitions", "3")
            lines = [json.dumps({"user": f"user{i % 7}", "n": i}) for i in range(700)]
            self.assertEqual(self.append(cluster, "visits", lines).returncode, 0)
            where = {}
            for partition, records in records_of(cluster, "visits").items():
                for record in records:
                    where.setdefault(record["user"], []).append((partition, record["n"]))
            self.assertEqual(len(where), 7)
            for user, places in where.items():
                self.assertEqual(len({partition for partition, _ in places}), 1, f"{user} is in one partition")
                self.assertEqual([n for _, n in places], sorted(n for _, n in places), f"{user} is in order")
            wrong = self.append(cluster, "visits", ['{"user":"x","n":1}', '{"user":"x","n":-1}'])
            self.assertEqual(wrong.returncode, 1)
            self.assertIn("line 2: field n: expected a whole number from 0 to 4294967295, found -1", wrong.stderr)
            self.assertEqual(len(all_records(cluster, "visits")), 700)
            cluster.shell("alter", "visits", "--add", "page:string?")
            self.assertEqual(self.append(cluster, "visits", ['{"user":"x","n":1,"page":"/"}']).returncode, 0)
            self.assertEqual(cluster.json("tail", "visits", "1")[0]["record"], {"user": "x", "n": 1, "note": None, "page": "/"})

    def test_an_imported_dataset_may_be_appended_to(self):
        with Cluster(nodes=2) as cluster:
            (cluster.folder / "text").write_text("one\ntwo\n")
            cluster.shell("import", cluster.folder / "text", "to", "text", "--copies", "2", "--partitions", "1")
            self.assertEqual(self.append(cluster, "text", ["three", "four"]).returncode, 0)
            self.assertEqual(all_records(cluster, "text"), ["one", "two", "three", "four"])
            self.assertEqual(cluster.shell("export", "text", "to", "-", stdin=""), "one\ntwo\nthree\nfour\n")
            times = [r["appended_at"] for r in cluster.json("head", "text")]
            self.assertEqual(times[:2], [None, None])
            self.assertTrue(all(times[2:]))

    def test_a_job_counts_what_was_appended_before_it_and_nothing_else(self):
        with Cluster(nodes=3) as cluster:
            cluster.load("word_count")
            cluster.shell("create", "growing", "--partitions", "2", "--copies", "2")
            text = make_text(cluster.folder / "text", 2).read_bytes()
            cluster.shell("append", "growing", "--from", cluster.folder / "text")
            cluster.shell("run", "word_count", "growing", "to", "counts")
            self.assertEqual(read_counts(cluster, "counts"), word_counts(text))
            self.assertEqual(cluster.json("jobs")[0]["input_records"], text.count(b"\n"))
            # While somebody goes on appending, a job counts whole batches of what was there when it began.
            stop = threading.Event()
            appended = []

            def append_on():
                while not stop.is_set():
                    done = self.append(cluster, "growing", ["extra"] * 100)
                    appended.append(done.returncode)

            appending = threading.Thread(target=append_on)
            appending.start()
            try:
                before = cluster.json("describe", "growing")["records"]
                cluster.shell("run", "word_count", "growing", "to", "counts", "--replace")
                after = cluster.json("describe", "growing")["records"]
            finally:
                stop.set()
                appending.join()
            self.assertEqual(set(appended), {0})
            counted = read_counts(cluster, "counts")
            extra = counted.pop(b"extra", 0)
            self.assertEqual(counted, word_counts(text))
            read = cluster.json("jobs")[0]["input_records"]
            self.assertEqual(read, text.count(b"\n") + extra)
            self.assertLessEqual(before, read)
            self.assertLessEqual(read, after)

    def test_appends_go_on_while_a_node_is_killed_and_nothing_is_lost_or_doubled(self):
        with Cluster(nodes=3) as cluster:
            cluster.shell("create", "clicks", "--partitions", "3", "--copies", "2", "--min-copies", "1")
            victim = cluster.followers()[0]
            appending = self.start(cluster, "append", "clicks")
            try:
                for i in range(300):
                    appending.stdin.write("".join(f"{i * 100 + j}\n" for j in range(100)))
                    appending.stdin.flush()
                    if i == 100:
                        cluster.kill(victim)
                _, said = appending.communicate(timeout=120)
            finally:
                appending.kill()
            self.assertEqual(appending.returncode, 0, said)
            self.assertIn("appended 30,000 records", said)
            self.assertEqual(sorted(map(int, all_records(cluster, "clicks"))), list(range(30_000)))

    def test_a_file_that_was_not_counted_is_used_when_the_counted_one_is_damaged(self):
        with Cluster(nodes=3) as cluster:
            cluster.shell("create", "clicks", "--partitions", "1", "--copies", "2")
            lines = [str(i) for i in range(1_000)]
            self.assertEqual(self.append(cluster, "clicks", lines).returncode, 0)
            # Nodes leave one by one: the segment is sealed with the copies of those that are still there, and a file that is not sealed may stay elsewhere.
            cluster.shell("down", timeout=120)
            files = [path for name in ("node1", "node2", "node3") for path in (cluster.node_folder(name) / "segments").glob("*.seg")]
            first = min({path.name for path in files}, key=lambda name: int(name.removesuffix(".seg")))
            copies = sorted((path for path in files if path.name == first), key=lambda path: path.stat().st_size)
            self.assertEqual(len(copies), 2)
            # One of them is not sealed if any is: it has the room that was reserved. The other one's header is damaged.
            with open(copies[0], "r+b") as file:
                file.seek(40)
                byte = file.read(1)
                file.seek(40)
                file.write(bytes([byte[0] ^ 0x10]))
            cluster.up()
            sound = lambda: json.loads(cluster.run("-o", "json", "verify", "clicks").stdout or "{}").get("sound")
            cluster.wait_until("all copies are there and good", lambda: sound() and cluster.json("describe", "clicks")["under_replicated"] == 0)
            self.assertEqual(sorted(map(int, all_records(cluster, "clicks"))), list(range(1_000)))
            self.assertTrue(sound())

    def test_a_node_drains_and_is_removed(self):
        with Cluster(nodes=4) as cluster:
            cluster.shell("create", "clicks", "--partitions", "4", "--copies", "2")
            lines = [f"line {i}" for i in range(1_000)]
            self.assertEqual(self.append(cluster, "clicks", lines).returncode, 0)
            leaving = cluster.followers()[-1]
            refused = cluster.run("remove", leaving)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("drain", refused.stderr)
            cluster.shell("drain", leaving, timeout=120)
            described = cluster.json("describe", "clicks")
            for partition in described["partitions"]:
                self.assertNotEqual(partition["leader"], leaving)
                self.assertNotIn(leaving, partition["replicas"])
            cluster.shell("remove", leaving, timeout=120)
            self.assertNotIn(leaving, cluster.nodes())
            self.assertEqual(sorted(all_records(cluster, "clicks")), sorted(lines))
            cluster.wait_until("every segment has its copies", lambda: cluster.json("describe", "clicks")["under_replicated"] == 0)
            self.assertTrue(cluster.json("verify", "clicks")["sound"])


if __name__ == "__main__":
    unittest.main()
