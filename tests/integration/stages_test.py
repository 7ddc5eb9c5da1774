"""Jobs of many stages on real nodes: the same bytes with one, two and three nodes, and whatever is killed in whichever stage."""
import os
import signal
import unittest

from support.cluster import Cluster, ClusterTest, make_counted_text

MEGABYTES = 72  # two partitions of a shuffle
# Where the gates of many_stages.cpp's job `ranked` are.
STAGE_OF_GATE = {1: 0, 2: 2, 3: 4, 4: 7, 5: 8}


def prepare(cluster, text, copies):
    cluster.shell("import", text, "to", "corpus", "--copies", str(copies), "--partitions", "6")
    cluster.load("many_stages")


class Stages(ClusterTest):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=3, slots=2)
        cls.addClassCleanup(cls.cluster.close)
        cls.text, cls.counts = make_counted_text(cls.cluster.folder / "text", MEGABYTES)
        prepare(cls.cluster, cls.text, 2)
        cls.expected = {}
        for job in ("ranked", "rounds"):
            cls.cluster.shell("run", job, "corpus", "to", "reference_" + job)
            cls.expected[job] = cls.cluster.export("reference_" + job)

    def setUp(self):
        self.cluster.whole()
        self.addCleanup(lambda: self.cluster.run("delete", "out"))

    def check(self, job, name, lost=1):
        ended = self.cluster.wait(job)
        self.assertEqual(ended["state"], "succeeded", ended)
        self.assertEqual(ended["tasks"]["done"], ended["tasks"]["total"])
        self.assertTrue(self.cluster.export("out") == self.expected[name], "the output differs from that of an undisturbed run")
        self.assertGreaterEqual(ended["lost_attempts"], lost)

    def stopped_in(self, stage, job):
        running = lambda: self.cluster.job(job)["stages"][stage]["tasks"]["running"] > 0
        self.cluster.wait_until(f"tasks of stage {stage} running", running)

    def test_the_answer_is_right(self):
        ranked = [line.split(b"\t") for line in self.expected["ranked"].splitlines()]
        self.assertEqual([int(line[0]) for line in ranked], list(range(len(self.counts))))
        letters = {}
        for word in self.counts:
            letters[word[:2]] = letters.get(word[:2], 0) + 1
        order = sorted(self.counts.items(), key=lambda item: (item[1], item[0]), reverse=True)
        for (rank, what), (word, count) in zip(ranked, order):
            self.assertIn(word, what)
            self.assertIn(str(count).encode(), what)
            self.assertIn(str(letters[word[:2]]).encode(), what)

    def test_a_node_killed_in_each_stage(self):
        for gate, stage in STAGE_OF_GATE.items():
            with self.subTest(stage=stage):
                self.cluster.whole()
                path = self.cluster.gate(f"node{gate}")
                job = self.cluster.start_job("ranked", "corpus", "out", f"gate{gate}={path}", "--replace")
                self.stopped_in(stage, job)
                busy = [node for (node, _) in self.cluster.running(job) if node in self.cluster.followers()]
                supervisor = self.cluster.job(job)["supervisor"]
                victims = [n for n in busy if n != supervisor] or busy or self.cluster.followers()
                self.cluster.kill(victims[0])
                self.cluster.open_gate(path)
                self.check(job, "ranked", lost=0)

    def test_workers_killed_in_each_stage(self):
        for gate, stage in STAGE_OF_GATE.items():
            with self.subTest(stage=stage):
                path = self.cluster.gate(f"worker{gate}")
                job = self.cluster.start_job("ranked", "corpus", "out", f"gate{gate}={path}", "--replace")
                self.stopped_in(stage, job)
                for worker in self.cluster.workers():
                    os.kill(worker, signal.SIGKILL)
                self.cluster.open_gate(path)
                self.check(job, "ranked")

    def test_a_node_killed_in_an_iteration(self):
        path = self.cluster.gate("round")
        job = self.cluster.start_job("rounds", "corpus", "out", f"gate2={path}")
        self.cluster.wait_until("a round waits", lambda: any(s["tasks"]["running"] for s in self.cluster.job(job)["stages"][1:]))
        self.cluster.kill(self.cluster.followers()[0])
        self.cluster.open_gate(path)
        self.check(job, "rounds", lost=0)


class Sizes(ClusterTest):
    """What the number of nodes must not change."""

    def test_one_and_two_nodes_give_the_same_bytes(self):
        outputs = {}
        for nodes in (1, 2, 3):
            with Cluster(nodes=nodes, slots=2) as self.cluster:
                text, _ = make_counted_text(self.cluster.folder / "text", MEGABYTES)
                prepare(self.cluster, text, min(nodes, 2))
                for job in ("ranked", "rounds"):
                    self.cluster.shell("run", job, "corpus", "to", job)
                    outputs.setdefault(job, []).append(self.cluster.export(job))
        for job, results in outputs.items():
            self.assertTrue(results[0] == results[1] == results[2], f"{job} gave different bytes")
            self.assertGreater(len(results[0]), 1000)


class Memory(ClusterTest):
    """Every kind of operator with a fraction of its data as a task's memory: it spills, and gives the same bytes."""
    JOBS = ("large_groups", "large_sort", "large_join", "large_fold")

    def test_a_tenth_of_the_data_is_enough(self):
        outputs = {}
        for task_memory in ("4MiB", "1GiB"):
            with Cluster(nodes=1, slots=2, task_memory=task_memory) as self.cluster:
                text = self.cluster.folder / "text"
                with open(text, "wb") as out:
                    for i in range(800_000):
                        out.write(b"key %06x, and text of line %d\n" % (i * 7919 % 400_009, i))
                self.cluster.shell("import", text, "to", "corpus")
                self.cluster.load("many_stages")
                for job in self.JOBS:
                    number = self.cluster.start_job(job, "corpus", job)
                    ended = self.cluster.wait(number)
                    self.assertEqual(ended["state"], "succeeded", ended)
                    spilled = sum(stage["numbers"]["spilled_bytes"] for stage in ended["stages"])
                    self.assertEqual(spilled > 8 << 20, task_memory == "4MiB", f"{job} spilled {spilled} bytes with {task_memory}")
                    outputs.setdefault(job, []).append(self.cluster.export(job))
        for job, (little, much) in outputs.items():
            self.assertTrue(little == much, f"{job} gives other bytes with less memory")
        lines = outputs["large_sort"][0].splitlines()
        self.assertEqual(len(lines), 800_000)
        self.assertEqual(lines, sorted(lines))


if __name__ == "__main__":
    unittest.main()
