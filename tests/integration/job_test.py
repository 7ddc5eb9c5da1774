"""Jobs on a healthy cluster."""
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


if __name__ == "__main__":
    unittest.main()
