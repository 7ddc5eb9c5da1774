"""What the newer parts of pipelines do with real processes: several outputs, rounds that the data ends, parameters that are declared."""
from support.cluster import Cluster, ClusterTest, ShellError, make_counted_text


class Pipelines(ClusterTest):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=3, slots=2)
        cls.addClassCleanup(cls.cluster.close)
        text, cls.counts = make_counted_text(cls.cluster.folder / "text", 8)
        cls.cluster.shell("import", text, "to", "corpus", "--copies", "2", "--partitions", "6")
        cls.cluster.load("many_stages")
        cls.cluster.load("log_analysis")

    def setUp(self):
        self.cluster.whole()

    def counts_of(self, dataset):
        return {word: int(count) for word, count in (line.rsplit(b"\t", 1) for line in self.cluster.export(dataset).splitlines())}

    def datasets(self):
        return {d["name"] for d in self.cluster.json("datasets")}

    def test_two_outputs_are_two_datasets(self):
        self.cluster.shell("run", "forked", "corpus", "to", "frequent", "rare")
        self.assertEqual(self.counts_of("frequent"), {w: n for w, n in self.counts.items() if n > 100})
        self.assertEqual(self.counts_of("rare"), {w: n for w, n in self.counts.items() if n <= 100})
        for name in ("frequent", "rare"):
            self.cluster.shell("verify", name)

    def test_both_appear_at_the_end_or_neither_and_a_killed_node_changes_no_byte(self):
        gate = self.cluster.gate("fork")
        job = self.cluster.start_job("forked", "corpus", "first", "second", f"gate2={gate}")
        waits = lambda: any(s["tasks"]["running"] for s in self.cluster.job(job)["stages"][1:])
        self.cluster.wait_until("a later stage waits", waits)
        self.assertEqual(self.cluster.job(job)["outputs"], ["first", "second"])
        self.assertFalse({"first", "second"} & self.datasets())
        self.cluster.kill(self.cluster.followers()[0])
        self.cluster.open_gate(gate)
        self.assertEqual(self.cluster.wait(job)["state"], "succeeded")
        self.cluster.whole()
        self.cluster.shell("run", "forked", "corpus", "to", "again", "too")
        for name, other in (("first", "again"), ("second", "too")):
            self.assertEqual(self.cluster.export(name), self.cluster.export(other))
        # Replaced together as well; and a job that is cancelled leaves neither.
        self.cluster.shell("run", "forked", "corpus", "to", "again", "too", "--replace")
        gate = self.cluster.gate("never")
        job = self.cluster.start_job("forked", "corpus", "third", "fourth", f"gate1={gate}")
        self.cluster.shell("cancel", job)
        self.assertFalse({"third", "fourth"} & self.datasets())

    def refused(self, *words):
        done = self.cluster.run("run", *words)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stderr

    def test_names_must_fit_the_outputs(self):
        self.assertIn("job forked writes 2 datasets (frequent, rare), and 1 name was given", self.refused("forked", "corpus", "to", "one"))
        self.assertIn("two outputs of job forked are to be called same", self.refused("forked", "corpus", "to", "same", "same"))
        self.assertIn("writes 1 dataset, and 2 names were given", self.refused("log_analysis", "corpus", "to", "one", "two"))
        self.assertIn("writes frequent, rare: name a dataset for each", self.cluster.shell("explain", "forked", "corpus"))

    def test_rounds_end_when_the_data_says_so(self):
        self.cluster.shell("run", "halved", "corpus", "to", "halved")
        greatest = max(self.counts.values())
        rounds = greatest.bit_length() - 1
        self.assertEqual(self.counts_of("halved"), {word: count >> rounds for word, count in self.counts.items()})
        job = self.cluster.json("jobs")[0]
        self.assertEqual(job["name"], "halved")
        self.assertEqual(job["counters"]["rounds"], rounds)

    def test_a_node_killed_between_rounds(self):
        self.cluster.shell("run", "halved", "corpus", "to", "undisturbed")
        gate = self.cluster.gate("round")
        job = self.cluster.start_job("halved", "corpus", "disturbed", f"gate2={gate}")
        self.cluster.wait_until("a round waits", lambda: any(s["tasks"]["running"] for s in self.cluster.job(job)["stages"][1:]))
        self.cluster.kill(self.cluster.followers()[0])
        self.cluster.open_gate(gate)
        self.assertEqual(self.cluster.wait(job)["state"], "succeeded")
        self.assertEqual(self.cluster.export("disturbed"), self.cluster.export("undisturbed"))

    def test_terasort_is_valid(self):
        self.cluster.load("terasort")
        (self.cluster.folder / "ranges").write_text("".join(f"{i}000 1000\n" for i in range(40)))
        self.cluster.shell("import", self.cluster.folder / "ranges", "to", "ranges")
        self.cluster.shell("run", "tera_generate", "ranges", "to", "unsorted", "seed=7")
        self.cluster.shell("run", "tera_sort", "unsorted", "to", "sorted")
        verdicts = []
        for name in ("unsorted", "sorted"):
            self.cluster.shell("run", "tera_validate", name, "to", "verdict", "--replace")
            verdicts.append(self.cluster.export("verdict").split(b"\t"))
        (records, disorder, _, checksum, *_), (records_after, disorder_after, _, checksum_after, *_) = verdicts
        self.assertEqual((records, records_after), (b"40000", b"40000"))
        self.assertGreater(int(disorder), 10_000)
        self.assertEqual(disorder_after, b"0")
        self.assertEqual(checksum, checksum_after)

    def test_a_misspelt_parameter_is_refused_before_the_job_starts(self):
        before = len(self.cluster.json("jobs"))
        self.assertIn("job log_analysis takes no parameter status_mim: did you mean status_min?",
                      self.refused("log_analysis", "corpus", "to", "out", "status_mim=400"))
        self.assertIn("it takes by, status_min", self.refused("log_analysis", "corpus", "to", "out", "colour=red"))
        self.assertEqual(len(self.cluster.json("jobs")), before)
        self.assertIn("takes status_min=…  only requests", self.cluster.shell("explain", "log_analysis", "corpus"))
