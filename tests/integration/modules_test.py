"""Modules that misbehave cost attempts, never a node and never another task; and what users do in the middle: cancel, two jobs."""
import pathlib
import time
import unittest

from support.cluster import Cluster, ClusterTest, make_counted_text, read_counts, word_counts


class Misbehaviour(ClusterTest):
    """Two nodes; the poisoned line is record 5,000 of its dataset. A good job runs beside every bad one."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=2, slots=2, environment={"TROUPE_NODE_TASK_TIME_LIMIT_MS": "2000", "TROUPE_NODE_TASK_MEMORY": "192MiB"})
        cls.addClassCleanup(cls.cluster.close)
        good, cls.good_counts = make_counted_text(cls.cluster.folder / "good", 24)
        cls.cluster.shell("import", good, "to", "good", "--copies", "2", "--partitions", "8")
        cls.poisoned_text = b"a good line\n" * 5_000 + b"some poison here\n" + b"another good line\n" * 100
        (cls.cluster.folder / "poisoned").write_bytes(cls.poisoned_text)
        cls.cluster.shell("import", cls.cluster.folder / "poisoned", "to", "poisoned", "--copies", "2")
        for module in ("misbehave", "word_count", "gated_count"):
            cls.cluster.load(module)
        cls.before = cls.cluster.nodes()

    def fails(self, how):
        """Runs a job that misbehaves with a good one beside it; gives the bad one once both have ended."""
        bad = self.cluster.start_job("misbehave", "poisoned", f"bad_{how}", f"how={how}")
        good = self.cluster.start_job("word_count", "good", f"good_{how}")
        ended = self.cluster.wait(bad)
        beside = self.cluster.wait(good)
        self.assertEqual(beside["state"], "succeeded", beside)
        self.assertEqual(beside["lost_attempts"], 0, "a task of another job was hurt")
        self.assertEqual(read_counts(self.cluster, f"good_{how}"), self.good_counts)
        self.assertEqual(ended["state"], "failed", ended)
        self.assertEqual(ended["attempts"], 4, ended)
        self.assertEqual(ended["lost_attempts"], 4, ended)
        self.assertEqual(ended["error"]["dataset"], "poisoned")
        self.assertIn(ended["error"]["node"], self.before)
        nodes = {event["fields"].get("node", event["node"]) for event in self.cluster.json("events") if event["kind"] == "attempt_lost" and event["fields"].get("job") == str(bad)}
        self.assertEqual(nodes, set(self.before), "it was tried on both nodes")
        self.assertNotIn(f"bad_{how}", [d["name"] for d in self.cluster.json("datasets")])
        after = self.cluster.nodes()
        for name, node in self.before.items():
            self.assertEqual((after[name]["pid"], after[name]["state"]), (node["pid"], "alive"))
        return ended

    def test_one_that_throws(self):
        error = self.fails("throw")["error"]
        self.assertIn("the word poison was met", error["message"])
        self.assertEqual(error["offset"], 5_000)
        events = [event for event in self.cluster.json("events") if event["kind"] in ("attempt_lost", "job_failed") and "poison was met" in event["text"]]
        self.assertEqual([event["kind"] for event in events].count("job_failed"), 1, events)
        for event in events:
            self.assertEqual((event["fields"].get("dataset"), event["fields"].get("offset")), ("poisoned", "5000"), event)

    def test_one_that_throws_before_its_first_record(self):
        error = self.fails("throw_at_once")["error"]
        self.assertIn("thrown before any record", error["message"])
        self.assertIsNone(error["offset"])

    def test_processes_that_it_began_end_with_its_worker(self):
        error = self.fails("leave_a_process")["error"]
        self.assertIn("it left a process behind", error["message"])

        def left():
            names = []
            for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
                try:
                    if comm.read_text().strip() == "left_behind" and " Z " not in (comm.parent / "stat").read_text():
                        names.append(comm.parent.name)
                except OSError:
                    pass
            return names

        self.cluster.wait_until("nothing left behind", lambda: not left(), timeout=10)

    def test_one_that_segfaults(self):
        error = self.fails("segfault")["error"]
        self.assertIn("signal 11", error["message"])
        self.assertEqual(error["offset"], 5_000)

    def test_one_that_hangs(self):
        error = self.fails("hang")["error"]
        self.assertIn("limit of 2000 ms", error["message"])
        self.assertEqual(error["offset"], 5_000)

    def test_one_that_eats_memory(self):
        error = self.fails("eat")["error"]
        self.assertIn("memory", error["message"])
        self.assertEqual(error["offset"], 5_000)

    def test_one_that_dies_once(self):
        job = self.cluster.start_job("misbehave", "poisoned", "recovered", "how=first_only")
        ended = self.cluster.wait(job)
        self.assertEqual(ended["state"], "succeeded", ended)
        self.assertEqual(ended["lost_attempts"], 1)
        self.assertEqual(read_counts(self.cluster, "recovered"), word_counts(self.poisoned_text))

    def test_cancel_leaves_no_busy_worker(self):
        gate = self.cluster.gate("never")
        job = self.cluster.start_job("gated_count", "good", "cancelled", f"map_gate={gate}")
        self.cluster.wait_until("four maps running", lambda: self.cluster.job(job)["tasks"]["running"] == 4)
        begun = time.monotonic()
        self.cluster.shell("cancel", job)
        self.cluster.wait_until("no worker busy", lambda: not any(a["kind"] == "worker" and a["state"] == "busy" for a in self.cluster.json("tree")), timeout=5)
        self.assertLess(time.monotonic() - begun, 1.0 + 0.5, "a second, and what the shell itself takes here")
        ended = self.cluster.job(job)
        self.assertEqual(ended["state"], "cancelled")
        self.assertNotIn("cancelled", [d["name"] for d in self.cluster.json("datasets")])

    def test_two_jobs_at_once(self):
        jobs = [self.cluster.start_job("word_count", "good", f"both_{n}") for n in range(2)]
        self.assertEqual([self.cluster.wait(job)["state"] for job in jobs], ["succeeded", "succeeded"])
        for n in range(2):
            self.assertEqual(read_counts(self.cluster, f"both_{n}"), self.good_counts)


if __name__ == "__main__":
    unittest.main()
