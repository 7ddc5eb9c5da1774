"""Nodes and workers are killed, stopped and hung in every phase of a job: the answer must be the same bytes."""
import http.client
import os
import signal
import unittest

from support.cluster import Cluster, ClusterTest


class Losses(ClusterTest):
    """One cluster for all tests: each leaves it whole. Two reduces, six maps, two copies of everything."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=3, slots=2)
        cls.addClassCleanup(cls.cluster.close)
        cls.expected = cls.cluster.prepare_gated_count()

    def setUp(self):
        self.cluster.whole()
        self.addCleanup(lambda: self.cluster.run("delete", "counts"))

    def start(self, output="counts", **gates):
        return self.cluster.start_job("gated_count", "corpus", output, *(f"{k}={v}" for k, v in gates.items()))

    def check(self, job, output="counts"):
        ended = self.cluster.wait(job)
        self.assertEqual(ended["state"], "succeeded", ended)
        self.assertEqual(ended["tasks"]["done"], ended["tasks"]["total"])
        self.assertTrue(self.cluster.export(output) == self.expected, "the output differs from that of an undisturbed run")
        return ended

    def victim(self, job, kind):
        """A node that runs a task of the job, is not the metadata's holder, and does not supervise the job if possible."""
        running = [node for (node, what) in self.cluster.running(job) if what == kind and node in self.cluster.followers()]
        supervisor = self.cluster.job(job)["supervisor"]
        return next((node for node in running if node != supervisor), running[0])

    def test_a_node_killed_in_the_map_phase(self):
        gate = self.cluster.gate("map")
        job = self.start(map_gate=gate, free_maps=3)
        self.cluster.wait_until("three maps done and the others running", lambda: (seen := self.cluster.job(job)["tasks"])["done"] == 3 and seen["running"] == 3)
        self.cluster.kill(self.victim(job, "mapper"))
        self.cluster.open_gate(gate)
        self.assertGreaterEqual(self.check(job)["lost_attempts"], 1)

    def test_a_node_killed_during_the_shuffle(self):
        gate = self.cluster.gate("reduce")
        job = self.start(reduce_gate=gate)
        maps_done = lambda: self.cluster.job(job)["stages"][0]["tasks"]["done"] == 6
        self.cluster.wait_until("all maps done", maps_done, interval=0)
        supervisor = self.cluster.job(job)["supervisor"]
        victims = self.cluster.followers()
        self.cluster.kill(next((node for node in victims if node != supervisor), victims[0]))
        self.cluster.open_gate(gate)
        self.assertGreaterEqual(self.check(job)["lost_attempts"], 1)

    def test_a_node_killed_in_the_reduce(self):
        gate = self.cluster.gate("reduce")
        job = self.start(reduce_gate=gate)
        self.cluster.wait_until("both reduces running", lambda: self.cluster.job(job)["stages"][1]["tasks"]["running"] == 2)
        self.cluster.kill(self.victim(job, "reducer"))
        self.cluster.open_gate(gate)
        self.assertGreaterEqual(self.check(job)["lost_attempts"], 1)

    def test_a_job_that_is_not_deterministic_fails_instead_of_mixing_answers(self):
        gate = self.cluster.gate("reduce")
        job = self.start(reduce_gate=gate, undetermined=1)
        self.cluster.wait_until("both reduces running", lambda: self.cluster.job(job)["stages"][1]["tasks"]["running"] == 2)
        # Its reduce begins anew elsewhere, so the maps that it held are run again, and give something else.
        self.cluster.kill(self.victim(job, "reducer"))
        self.cluster.open_gate(gate)
        ended = self.cluster.wait(job)
        self.assertEqual(ended["state"], "failed", ended)
        self.assertRegex(ended["error"]["message"], "gave another output when it was repeated .*not deterministic")
        self.assertNotIn("counts", [d["name"] for d in self.cluster.json("datasets")])

    def test_workers_killed(self):
        gate = self.cluster.gate("map")
        job = self.start(map_gate=gate)
        self.cluster.wait_until("six maps running", lambda: self.cluster.job(job)["tasks"]["running"] == 6)
        for worker in self.cluster.workers(self.cluster.followers()[0]):
            os.kill(worker, signal.SIGKILL)
        self.cluster.open_gate(gate)
        self.assertGreaterEqual(self.check(job)["lost_attempts"], 1)
        self.assertTrue(all(node["state"] == "alive" for node in self.cluster.nodes().values()))

    def test_the_supervising_node_killed(self):
        # A job's supervisor is the member with the fewest jobs: among three jobs there is one that a follower supervises.
        gate = self.cluster.gate("map")
        outputs = ["counts_a", "counts_b", "counts_c"]
        jobs = [self.start(output, map_gate=gate, free_maps=2) for output in outputs]
        for output in outputs:
            self.addCleanup(self.cluster.run, "delete", output)
        supervisors = {job: self.cluster.job(job)["supervisor"] for job in jobs}
        name = next(supervisor for supervisor in supervisors.values() if supervisor in self.cluster.followers())
        mine = next(job for job, supervisor in supervisors.items() if supervisor == name)
        self.cluster.wait_for_tasks(mine, done=1)
        self.cluster.kill(name)
        self.cluster.wait_until("another supervisor", lambda: self.cluster.job(mine)["supervisor"] not in (name, None))
        self.cluster.open_gate(gate)
        for job, output in zip(jobs, outputs):
            self.check(job, output)

    def test_the_metadata_holder_killed(self):
        gate = self.cluster.gate("map")
        job = self.start(map_gate=gate, free_maps=3)
        self.cluster.wait_for_tasks(job, done=3)
        self.cluster.kill(self.cluster.leader())
        self.cluster.open_gate(gate)
        self.cluster.up()
        self.check(job)

    def test_a_node_that_hangs(self):
        gate = self.cluster.gate("map")
        job = self.start(map_gate=gate, free_maps=3)
        self.cluster.wait_until("three maps done and the others running", lambda: (seen := self.cluster.job(job)["tasks"])["done"] == 3 and seen["running"] == 3)
        name = self.victim(job, "mapper")
        before = self.cluster.nodes()[name]
        os.kill(before["pid"], signal.SIGSTOP)
        try:
            self.cluster.open_gate(gate)
            self.assertGreaterEqual(self.check(job)["lost_attempts"], 1)
            self.assertEqual(self.cluster.nodes()[name]["state"], "dead")
        finally:
            os.kill(before["pid"], signal.SIGCONT)
        def returned():
            node = self.cluster.nodes()[name]
            return node["state"] == "alive" and node["incarnation"] > before["incarnation"]
        self.cluster.wait_until(f"{name} back with a new incarnation", returned)

    def test_a_node_whose_voters_fall_silent_stops_its_tasks_and_says_why(self):
        gate = self.cluster.gate("map")
        job = self.start(map_gate=gate, free_maps=3)
        self.cluster.wait_until("three maps done and the others running", lambda: (seen := self.cluster.job(job)["tasks"])["done"] == 3 and seen["running"] == 3)
        name = self.victim(job, "mapper")
        log = self.cluster.node_folder(name) / "node.log"
        others = [node["pid"] for other, node in self.cluster.nodes().items() if other != name]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            self.cluster.wait_until("it has lost its lease", lambda: "leads no logs and runs no tasks" in log.read_text(), timeout=10)
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)
        self.assertRegex(log.read_text(), "its lease has run out: no leader of the metadata has confirmed it for [0-9]+ ms, and 2 of 3 voters are silent")
        self.cluster.open_gate(gate)
        self.assertGreaterEqual(self.check(job)["lost_attempts"], 1)

    def test_everything_killed_and_up_again(self):
        gate = self.cluster.gate("map")
        job = self.start(map_gate=gate, free_maps=3)
        self.cluster.wait_for_tasks(job, done=3)
        for node in self.cluster.nodes().values():
            os.kill(node["pid"], signal.SIGKILL)
        self.cluster.up()
        self.cluster.open_gate(gate)
        self.check(job)
        self.assertTrue(self.cluster.export("reference") == self.expected)

    def test_the_importing_node_killed(self):
        name = self.cluster.followers()[-1]
        connection = self.begin_import(name, "half")
        self.cluster.kill(name)
        connection.close()
        self.check_nothing_of("half")

    def test_the_importing_client_gone(self):
        connection = self.begin_import(self.cluster.followers()[-1], "half")
        connection.close()
        self.check_nothing_of("half")

    def begin_import(self, node, dataset):
        """Half an import: the node has taken bytes and waits for more."""
        host, port = self.cluster.nodes()[node]["address"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.putrequest("POST", f"/api/v1/datasets/{dataset}?copies=2")
        connection.putheader("Authorization", f"Bearer {self.cluster.token()}")
        connection.putheader("Content-Length", str(64 << 20))
        connection.endheaders()
        with open(self.cluster.folder / "text", "rb") as text:
            for _ in range(20):
                connection.send(text.read(1 << 20))
        return connection

    def check_nothing_of(self, dataset):
        """It is not there, its name is free again, and no file of it stays."""
        self.assertNotIn(dataset, [d["name"] for d in self.cluster.json("datasets")])
        small = self.cluster.folder / "small"
        small.write_bytes(b"one line\n")
        self.cluster.wait_until("the name is free", lambda: self.cluster.run("import", small, "to", dataset).returncode == 0, timeout=10)
        self.assertEqual(self.cluster.json("describe", dataset)["records"], 1)
        self.cluster.shell("delete", dataset)


if __name__ == "__main__":
    unittest.main()
