"""Jobs on a healthy cluster, and what happens to them when parts of it are killed."""
import os
import signal
import unittest

from support.cluster import Cluster, make_text, read_counts, word_counts


class WordCount(unittest.TestCase):
    def test_counts_what_a_dictionary_counts(self):
        with Cluster(nodes=3) as cluster:
            text = make_text(cluster.folder / "text", 40)
            cluster.shell("import", text, "to", "corpus", "--copies", "2")
            cluster.load("word_count")
            cluster.shell("run", "word_count", "corpus", "to", "counts")
            self.assertEqual(read_counts(cluster, "counts"), word_counts(text.read_bytes()))
            job = cluster.json("jobs")[0]
            self.assertEqual(job["state"], "succeeded")
            self.assertEqual(job["tasks"]["done"], job["tasks"]["total"])
            self.assertEqual(job["lost_attempts"], 0)
            self.assertEqual(job["input_records"], text.read_bytes().count(b"\n"))
            described = cluster.json("describe", "counts")
            self.assertEqual(described["records"], len(word_counts(text.read_bytes())))
            self.assertTrue(all(len(p["copies"]) == 2 for p in described["partitions"] if p["records"]))

    def test_an_empty_input_gives_an_empty_output(self):
        with Cluster(nodes=1) as cluster:
            (cluster.folder / "empty").write_bytes(b"")
            cluster.shell("import", cluster.folder / "empty", "to", "nothing")
            cluster.load("word_count")
            cluster.shell("run", "word_count", "nothing", "to", "counts")
            self.assertEqual(read_counts(cluster, "counts"), {})

    def test_two_jobs_at_once_give_what_each_gives_alone(self):
        with Cluster(nodes=2) as cluster:
            one, two = make_text(cluster.folder / "one", 24, seed=1), make_text(cluster.folder / "two", 24, seed=2)
            cluster.shell("import", one, "to", "one")
            cluster.shell("import", two, "to", "two")
            cluster.load("word_count")
            jobs = [cluster.start_job("word_count", "one", "counts_one"), cluster.start_job("word_count", "two", "counts_two")]
            self.assertEqual([cluster.wait(job)["state"] for job in jobs], ["succeeded", "succeeded"])
            self.assertEqual(read_counts(cluster, "counts_one"), word_counts(one.read_bytes()))
            self.assertEqual(read_counts(cluster, "counts_two"), word_counts(two.read_bytes()))


class Losses(unittest.TestCase):
    """The job must give the same bytes whatever is killed under it."""

    def setUp(self):
        self.cluster = Cluster(nodes=3)
        self.addCleanup(self.cluster.close)
        self.text = make_text(self.cluster.folder / "text", 200)
        self.cluster.shell("import", self.text, "to", "corpus", "--copies", "2")
        self.cluster.load("word_count")
        self.expected = word_counts(self.text.read_bytes())

    def check_result(self, job):
        ended = self.cluster.wait(job)
        self.assertEqual(ended["state"], "succeeded", ended)
        self.assertEqual(read_counts(self.cluster, "counts"), self.expected)
        return ended

    def test_a_node_killed_among_the_maps(self):
        job = self.cluster.start_job("word_count", "corpus", "counts")
        self.cluster.wait_for_tasks(job, done=3)
        self.cluster.kill(self.cluster.followers()[-1])
        ended = self.check_result(job)
        self.assertGreaterEqual(ended["lost_attempts"], 1)

    def test_a_worker_killed(self):
        job = self.cluster.start_job("word_count", "corpus", "counts")
        self.cluster.wait_for_tasks(job, done=1)
        workers = self.cluster.wait_until("a worker", self.cluster.workers)
        for worker in workers:
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.check_result(job)

    def test_a_node_that_hangs(self):
        job = self.cluster.start_job("word_count", "corpus", "counts")
        self.cluster.wait_for_tasks(job, done=3)
        name = self.cluster.followers()[-1]
        pid = self.cluster.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            self.check_result(job)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.cluster.wait_until(f"{name} back with a new incarnation",
                                lambda: self.cluster.nodes()[name]["state"] == "alive" and self.cluster.nodes()[name]["incarnation"] > 1)

    def test_everything_killed_and_up_again(self):
        job = self.cluster.start_job("word_count", "corpus", "counts")
        self.cluster.wait_for_tasks(job, done=2)
        for node in self.cluster.nodes().values():
            os.kill(node["pid"], signal.SIGKILL)
        self.cluster.up()
        self.check_result(job)


if __name__ == "__main__":
    unittest.main()
