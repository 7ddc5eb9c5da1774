"""Jobs on a healthy cluster."""
import unittest

from support.cluster import Cluster, make_text, read_counts, word_counts


class WordCount(unittest.TestCase):
    def test_counts_what_a_dictionary_counts(self):
        with Cluster(nodes=3) as cluster:
            text = make_text(cluster.folder / "text", 20)
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


if __name__ == "__main__":
    unittest.main()
