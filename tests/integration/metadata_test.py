"""The metadata outlives every single node: its leader is killed, stopped or robbed of its log, and everything goes on."""
import os
import shutil
import signal
import subprocess
import time
import unittest

from support.cluster import BIN, Cluster, ClusterTest


def voters(cluster):
    return [name for name, node in cluster.nodes().items() if node["role"] in ("leader", "voter")]


def wait_for_voters(cluster, count):
    cluster.wait_until(f"{count} voters", lambda: len(voters(cluster)) == count)


class Leader(ClusterTest):
    """One cluster of three voters; each test leaves it whole."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=3, slots=2)
        cls.addClassCleanup(cls.cluster.close)
        cls.expected = cls.cluster.prepare_gated_count()

    def setUp(self):
        self.cluster.whole()
        wait_for_voters(self.cluster, 3)
        self.addCleanup(lambda: self.cluster.run("delete", "counts"))

    def check(self, job):
        ended = self.cluster.wait(job)
        self.assertEqual(ended["state"], "succeeded", ended)
        self.assertTrue(self.cluster.export("counts") == self.expected, "the output differs from that of an undisturbed run")
        return ended

    def start_job(self):
        gate = self.cluster.gate("map")
        job = self.cluster.start_job("gated_count", "corpus", "counts", f"map_gate={gate}", "free_maps=3")
        self.cluster.wait_for_tasks(job, done=3)
        return job, gate

    def test_killed_in_mid_job_and_never_back(self):
        job, gate = self.start_job()
        dead = self.cluster.leader()
        self.cluster.kill(dead)
        # Writes by the shell go on at once, through any node.
        small = self.cluster.folder / "small"
        small.write_bytes(b"one line\n")
        begin = time.monotonic()
        self.cluster.shell("import", small, "to", "small")
        self.assertLess(time.monotonic() - begin, 5)
        self.cluster.shell("delete", "small")
        self.cluster.open_gate(gate)
        self.check(job)
        nodes = self.cluster.nodes()
        self.assertEqual(nodes[dead]["state"], "dead")
        self.assertNotEqual(self.cluster.leader(), dead)

    def test_the_job_is_supervised_by_the_leader_that_dies(self):
        # Among three jobs there is one that the leader supervises.
        gate = self.cluster.gate("map")
        outputs = ["counts_a", "counts_b", "counts_c"]
        jobs = {}
        for output in outputs:
            jobs[output] = self.cluster.start_job("gated_count", "corpus", output, f"map_gate={gate}", "free_maps=2")
            self.addCleanup(self.cluster.run, "delete", output)
        leader = self.cluster.leader()
        mine = [job for job in jobs.values() if self.cluster.job(job)["supervisor"] == leader]
        self.assertTrue(mine)
        self.cluster.wait_for_tasks(mine[0], done=1)
        self.cluster.kill(leader)
        self.cluster.wait_until("another supervisor", lambda: self.cluster.job(mine[0])["supervisor"] not in (leader, None))
        self.cluster.open_gate(gate)
        for output, job in jobs.items():
            self.assertEqual(self.cluster.wait(job)["state"], "succeeded")
            self.assertTrue(self.cluster.export(output) == self.expected)

    def test_killed_one_after_the_other(self):
        for round in range(3):
            dead = self.cluster.leader()
            self.cluster.kill(dead)
            begin = time.monotonic()
            self.cluster.wait_until("another leader", lambda: any(node["leader"] and name != dead for name, node in self.cluster.nodes().items()), timeout=5)
            self.assertLess(time.monotonic() - begin, 3)
            self.cluster.wait_until("the dead is known as dead", lambda: self.cluster.nodes()[dead]["state"] == "dead", timeout=5)
            self.cluster.whole()
            wait_for_voters(self.cluster, 3)

    def test_stopped_and_fenced_when_it_wakes(self):
        job, gate = self.start_job()
        name = self.cluster.leader()
        before = self.cluster.nodes()[name]
        os.kill(before["pid"], signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            self.cluster.wait_until("another leader", lambda: any(node["leader"] and other != name for other, node in self.cluster.nodes().items()), timeout=10)
            self.assertLess(time.monotonic() - stopped, 4)  # 2 s, and the shell's wait for the silent node
            self.cluster.wait_until("it is dead", lambda: self.cluster.nodes()[name]["state"] == "dead", timeout=5)
            self.cluster.open_gate(gate)
            self.check(job)
        finally:
            os.kill(before["pid"], signal.SIGCONT)
        def returned():
            node = self.cluster.nodes()[name]
            return node["state"] == "alive" and node["incarnation"] > before["incarnation"]
        self.cluster.wait_until(f"{name} back with a new incarnation", returned)
        log = (self.cluster.node_folder(name) / "node.log").read_text()
        self.assertIn("this node is fenced: it was found dead", log)

    def test_everyone_killed(self):
        job, gate = self.start_job()
        for node in self.cluster.nodes().values():
            os.kill(node["pid"], signal.SIGKILL)
        self.cluster.up()
        self.cluster.open_gate(gate)
        self.check(job)
        wait_for_voters(self.cluster, 3)

    def test_started_in_any_order(self):
        names = list(self.cluster.nodes())
        for node in self.cluster.nodes().values():
            os.kill(node["pid"], signal.SIGKILL)
        for name in reversed(names):  # node1, which made the cluster, comes last
            folder = self.cluster.node_folder(name)
            log = open(folder / "node.log", "ab")
            subprocess.Popen([BIN / "troupe-node", "--data", folder], env=self.cluster.environment, stderr=log, stdout=log)
            log.close()
            if name == names[1]:
                self.cluster.wait_until("two of three answer", lambda: self.cluster.run("describe", "corpus").returncode == 0, timeout=20)
        self.cluster.wait_until("all are alive", lambda: all(node["state"] == "alive" for node in self.cluster.nodes().values()), timeout=20)
        self.assertEqual(self.cluster.json("describe", "corpus")["copies"], 2)

    def test_a_voter_without_its_log_refuses(self):
        name = self.cluster.followers()[0]
        self.cluster.kill(name)
        raft = self.cluster.node_folder(name) / "raft"
        away = self.cluster.folder / "raft-away"
        raft.rename(away)
        try:
            said = self.cluster.run("start", name)
            self.assertNotEqual(said.returncode, 0)
            self.assertIn("is gone", said.stderr)
            self.assertIn("joins as a new one", said.stderr)
        finally:
            shutil.rmtree(raft, ignore_errors=True)
            away.rename(raft)
        self.cluster.whole()

    def test_a_voter_with_a_damaged_log_refuses(self):
        name = self.cluster.followers()[0]
        self.cluster.kill(name)
        log = self.cluster.node_folder(name) / "raft" / "log"
        good = log.read_bytes()
        bad = bytearray(good)
        bad[64 + 200] ^= 1
        log.write_bytes(bad)
        try:
            said = self.cluster.run("start", name)
            self.assertNotEqual(said.returncode, 0)
            self.assertIn("damaged", said.stderr)
        finally:
            log.write_bytes(good)
        self.cluster.whole()

    def test_a_torn_tail_is_cut(self):
        name = self.cluster.followers()[0]
        self.cluster.kill(name)
        log = self.cluster.node_folder(name) / "raft" / "log"
        data = log.read_bytes()
        end = 64  # doc/formats/metadata_log.md
        while any(data[end:end + 32]):
            end += 32 + int.from_bytes(data[end:end + 4], "little")
        log.write_bytes(data[:end] + b"half an entry")
        self.cluster.whole()
        self.assertIn("was not whole and was cut", (self.cluster.node_folder(name) / "node.log").read_text())


class Sizes(ClusterTest):
    def test_two_nodes_say_that_they_give_no_fail_over(self):
        self.cluster = Cluster(nodes=2, slots=1)
        self.addCleanup(self.cluster.close)
        said = self.cluster.run("nodes")
        self.assertEqual(said.returncode, 0)
        self.assertIn("no fail-over", said.stderr)
        self.assertEqual(sorted(node["role"] for node in self.cluster.nodes().values()), ["leader", "learner"])
        # Reads of what a node knows work without a leader; what changes something says why it does not.
        self.cluster.kill(self.cluster.leader())
        address = next(a for a in self.cluster.json("clusters")[0]["addresses"] if self.answers(a))
        status, nodes = self.cluster.api("/api/v1/datasets?consistency=stale", address=address)
        self.assertEqual(status, 200, nodes)
        self.cluster.up()
        self.cluster.shell("spawn", "localhost", "--count", "3")
        wait_for_voters(self.cluster, 5)
        self.assertNotIn("no fail-over", self.cluster.run("nodes").stderr)

    def answers(self, address):
        try:
            return self.cluster.api("/livez", address=address)[0] == 200
        except OSError:
            return False

    def test_a_voter_that_stays_away_is_replaced(self):
        self.cluster = Cluster(nodes=4, slots=1, environment={"TROUPE_NODE_GONE_AFTER_MS": "1000"})
        self.addCleanup(self.cluster.close)
        wait_for_voters(self.cluster, 3)
        nodes = self.cluster.nodes()
        away = next(name for name, node in nodes.items() if node["role"] == "voter")
        learner = next(name for name, node in nodes.items() if node["role"] == "learner")
        self.cluster.kill(away)
        self.cluster.wait_until("the learner votes", lambda: self.cluster.nodes()[learner]["role"] == "voter" and self.cluster.nodes()[away]["role"] == "learner", timeout=20)
        # Now the cluster bears the loss of another one.
        self.cluster.kill(self.cluster.leader())
        self.cluster.wait_until("it goes on", lambda: self.cluster.run("datasets").returncode == 0, timeout=20)
        self.cluster.whole()


if __name__ == "__main__":
    unittest.main()
