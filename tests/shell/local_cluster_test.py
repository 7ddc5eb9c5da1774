"""`up`, `down` and what signals do, with real processes (of a fake node)."""
import json
import os
import pathlib
import signal
import subprocess
import time
import unittest

from support import ShellTest


class LocalCluster(ShellTest):
    def pids(self):
        return {n["name"]: n["pid"] for n in self.json("nodes")}

    def test_up_makes_a_cluster_and_can_be_repeated(self):
        done = self.run_shell("up", "2", "--slots", "3", "--memory", "64MiB")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("started node1, node2", done.stderr)
        self.assertEqual([line.split()[0] for line in done.stdout.splitlines()], ["NAME", "node1", "node2"])
        token = self.data() / "token"
        self.assertEqual(token.stat().st_mode & 0o777, 0o600)
        self.assertEqual(len(token.read_text().strip()), 64)
        self.assertNotIn(token.read_text().strip().encode(), b"".join(pathlib.Path(f"/proc/{p}/cmdline").read_bytes() for p in self.daemons()))
        before = self.pids()
        self.assertEqual({n["slots"] for n in self.json("nodes")}, {3})
        self.assertIn("up already", self.run_shell("up").stderr)
        self.assertEqual(self.pids(), before)
        self.ok("up", "3")
        after = self.pids()
        self.assertEqual(set(after), {"node1", "node2", "node3"})
        self.assertEqual({name: after[name] for name in before}, before)
        self.assertIn("has 3 nodes", self.run_shell("up", "1").stderr)
        cluster = self.json("clusters")[0]
        self.assertEqual((cluster["name"], cluster["current"], cluster["running_here"], len(cluster["addresses"])), ("local", True, 3, 3))
        self.assertEqual(cluster["id"], "5d3c1f7e-0000-4000-8000-000000000001")

    def test_a_daemon_outlives_the_shell_and_its_session(self):
        self.ok("up", "1")
        pid = self.daemons()[0]
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null")

    def test_down_stops_in_order_and_up_brings_back_with_the_same_addresses(self):
        self.ok("up", "3")
        addresses = sorted(n["address"] for n in self.json("nodes"))
        self.assertIn("its data stays", self.run_shell("down").stderr)
        self.assertEqual(self.daemons(), [])
        stops = [r["path"].split("/")[4] for r in self.requests("POST") if r["path"].endswith("/stop")]
        self.assertEqual(stops[-1], "node1")  # the one that holds the metadata
        said = self.refused(3, "nodes")
        self.assertEqual(said, "troupe: no node of cluster local answers (nothing listens at their addresses); `up` starts it, `clusters` lists those that are known\n")
        self.ok("up")
        nodes = self.json("nodes")
        self.assertEqual(sorted(n["address"] for n in nodes), addresses)
        self.assertEqual({n["incarnation"] for n in nodes}, {2})

    def test_a_cluster_that_was_killed_comes_back(self):
        self.ok("up", "2")
        for pid in self.daemons():
            os.kill(pid, signal.SIGKILL)
        self.ok("up")
        self.assertEqual({n["state"] for n in self.json("nodes")}, {"alive"})

    def test_kill_pause_resume_and_start_take_the_right_process(self):
        self.ok("up", "2")
        pid = self.pids()["node2"]
        self.ok("pause", "node2")
        self.assertEqual(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1][0], "T")
        self.assertIn("paused", self.run_shell("start", "node2").stderr)
        self.ok("resume", "node2")
        self.assertNotEqual(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ")[1][0], "T")
        self.ok("kill", "node2")
        self.assertFalse(pid in self.daemons())
        self.assertIn("does not run; `start node2`", self.refused(1, "kill", "node2"))
        self.assertIn("there are node1, node2", self.refused(1, "kill", "node7"))
        # Its number may belong to somebody else by now.
        innocent = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(innocent.wait)
        self.addCleanup(innocent.kill)
        (self.data() / "node2" / "node.pid").write_text(str(innocent.pid))
        self.refused(1, "kill", "node2")
        self.assertIsNone(innocent.poll())
        self.ok("start", "node2")
        self.assertEqual({n["state"] for n in self.json("nodes")}, {"alive"})

    def test_down_of_a_paused_node(self):
        self.ok("up", "2")
        self.ok("pause", "node2")
        begun = time.monotonic()
        self.ok("down")
        self.assertLess(time.monotonic() - begun, 9)
        self.assertEqual(self.daemons(), [])

    def test_a_paused_node_does_not_hold_commands_up(self):
        self.ok("up", "2")
        self.ok("pause", "node1")
        begun = time.monotonic()
        self.assertEqual(len(self.json("nodes")), 2)
        self.assertLess(time.monotonic() - begun, 5)

    def test_delete_data(self):
        self.ok("up", "1")
        self.ok("down", "--delete-data")
        self.assertFalse(self.data().exists())
        self.assertEqual(self.json("clusters"), [])
        self.refused(3, "nodes")

    def test_a_node_that_does_not_start_is_said_with_the_end_of_its_log(self):
        refused = self.refused(1, "up", "2", environment={"FAKE_START": "fail"})
        self.assertIn("node1 did not start", refused)
        self.assertIn("the disk is on fire", refused)
        self.ok("up", "2")  # nothing is left in the way

    def test_spawn_adds_a_node_here(self):
        self.ok("up", "1")
        added = self.json("spawn", "localhost", "--count", "2")
        self.assertEqual([n["name"] for n in added], ["node2", "node3"])
        self.assertEqual(self.json("clusters")[0]["running_here"], 3)

    def test_limits_are_passed_on(self):
        limit = lambda name: json.loads((self.data() / name / "node.json").read_text())["task_time_limit_ms"]
        self.ok("up", "1", "--task-time-limit", "30min")
        self.assertEqual(limit("node1"), "1800000")
        self.ok("spawn", "localhost", "--task-time-limit", "none")
        self.assertEqual(limit("node2"), "0")
        self.assertIn("90s", self.refused(2, "up", "--task-time-limit", "90"))  # of what?
        self.assertIn("write none", self.refused(2, "up", "--task-time-limit", "0s"))

    def test_another_shell_connects_with_the_token(self):
        self.ok("up", "2")
        address = self.json("nodes")[0]["address"]
        there = {"XDG_CONFIG_HOME": str(self.folder / "elsewhere")}
        self.assertIn("--token-file", self.refused(2, "connect", address, environment=there))
        (self.folder / "wrong").write_text("wrong\n")
        self.assertIn("refuses the token", self.refused(3, "connect", address, "--token-file", "wrong", environment=there))
        self.ok("connect", address, "--token-file", self.data() / "token", "to", "shared", environment=there)
        self.assertIn("node2", self.ok("nodes", environment=there))
        self.assertIn("not this shell's to stop", self.refused(1, "down", environment=there))
        self.assertIn("node2", self.ok("--cluster", address, "nodes", environment=there))

    def test_two_clusters_and_use(self):
        self.ok("up", "1", "--name", "one")
        self.ok("up", "1", "--name", "two")
        self.assertEqual([c["current"] for c in self.json("clusters")], [False, True])
        self.ok("use", "one")
        self.assertEqual([c["current"] for c in self.json("clusters")], [True, False])
        self.assertEqual(len(self.ok("--cluster", "two", "nodes").splitlines()), 2)
        self.refused(1, "up", "--name", "Not A Name")


if __name__ == "__main__":
    unittest.main()
