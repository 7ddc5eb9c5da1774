"""Nodes that must not start, words that are wrong, and a whole cluster that goes and comes back."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import unittest

from support.cluster import BIN, Cluster, ClusterTest, make_counted_text, read_counts


class Refusals(ClusterTest):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=2, slots=1)
        cls.addClassCleanup(cls.cluster.close)
        (cls.cluster.folder / "small").write_bytes(b"a small text\nof two lines\n")
        cls.cluster.shell("import", cls.cluster.folder / "small", "to", "small")
        cls.cluster.load("word_count")

    def start(self, directory, *options, timeout=20):
        """What a daemon that must not come up says."""
        done = subprocess.run([BIN / "troupe-node", "--data", directory, *options], env=self.cluster.environment, capture_output=True, text=True, timeout=timeout)
        self.assertNotEqual(done.returncode, 0)
        return done.stdout + done.stderr

    def address(self, name="node1"):
        return self.cluster.nodes()[name]["address"]

    def folder(self, name):
        folder = self.cluster.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def token_file(self):
        return next(self.cluster.folder.glob("data/troupe/*/token"))

    def test_a_data_directory_serves_one_node(self):
        said = self.start(self.cluster.node_folder("node2"))
        self.assertRegex(said, "(?i)lock|in use|runs")
        self.assertEqual(self.cluster.nodes()["node2"]["state"], "alive")

    def test_of_a_copied_data_directory_one_node_is_left(self):
        # On the same port the copy cannot listen.
        copy = self.folder("copied")
        shutil.copytree(self.cluster.node_folder("node2"), copy)
        self.assertIn("in use", self.start(copy))
        # On another one the cluster hears of two nodes with one identity: the one that came last has it, the other is fenced,
        # and finds when it starts anew that its directory is not the newest.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        before = self.cluster.nodes()["node2"]
        process = subprocess.Popen([BIN / "troupe-node", "--data", copy, "--listen", f"127.0.0.1:{port}"], env=self.cluster.environment, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.cluster.wait_until("one of them has ended", lambda: process.poll() is not None or not pathlib.Path(f"/proc/{before['pid']}").exists(), timeout=15)
        log = (self.cluster.node_folder("node2") / "node.log").read_text()
        self.assertIn("a later start of its data directory is known", log)
        process.kill()
        process.wait()
        # Every start counts one up from what its own directory knows, until it is above the copy's.
        self.cluster.wait_until("node2 is back", lambda: self.cluster.run("up").returncode == 0)

    def test_a_wrong_token_is_refused(self):
        wrong = self.cluster.folder / "wrong-token"
        wrong.write_text("0123456789abcdef0123456789abcdef\n")
        wrong.chmod(0o600)
        directory = self.folder("stranger")
        process = subprocess.Popen([BIN / "troupe-node", "--data", directory, "--token-file", wrong, "--join", self.address(), "--listen", "127.0.0.1:0"],
                                   env=self.cluster.environment, stderr=subprocess.PIPE, text=True)
        said = ""
        for line in process.stderr:
            said += line
            if "token" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
        self.assertIn("token", said)
        self.assertEqual(set(self.cluster.nodes()), {"node1", "node2"})
        # And over HTTP, also without any.
        for headers in ({"Authorization": "Bearer " + "0" * 64}, {"Authorization": ""}):
            status, problem = self.cluster.api("/api/v1/nodes", address=self.address(), headers=headers)
            self.assertEqual(status, 401, problem)
        self.assertEqual(self.cluster.api("/livez", address=self.address(), headers={"Authorization": ""})[0], 200)

    def test_a_foreign_host_or_origin_is_refused(self):
        for refusal, header in ((421, {"Host": "example.org"}), (403, {"Origin": "http://example.org"})):
            status, problem = self.cluster.api("/api/v1/nodes", address=self.address(), headers=header)
            self.assertEqual(status, refusal, problem)

    def test_a_node_that_would_listen_everywhere_does_not_start(self):
        said = self.start(self.folder("outside"), "--token-file", self.token_file(), "--bootstrap", "--listen", "0.0.0.0:0")
        self.assertIn("give the one address", said)

    def test_a_token_that_others_can_read_is_refused(self):
        loose = self.cluster.folder / "loose-token"
        loose.write_text("0123456789abcdef0123456789abcdef\n")
        loose.chmod(0o644)
        self.assertIn("chmod 600", self.start(self.folder("loose"), "--token-file", loose, "--bootstrap"))

    def test_wrong_words(self):
        def refused(status, expected, *words):
            done = self.cluster.run(*words)
            self.assertEqual(done.returncode, status, (words, done.stdout, done.stderr))
            self.assertIn(expected, done.stderr)
            self.assertEqual(done.stdout, "")
        refused(2, "did you mean import", "imprt", "a", "to", "b")
        refused(2, "something is missing", "run", "word_count")
        refused(2, "7400000", "job", "7400000x")
        refused(1, "missing", "describe", "missing")
        refused(1, "missing", "export", "missing", "to", "-")
        refused(1, "missing", "delete", "missing")
        refused(1, "no_such_job", "run", "no_such_job", "small", "to", "out")
        refused(1, "missing", "run", "word_count", "missing", "to", "out")
        refused(1, "small", "import", self.cluster.folder / "small", "to", "small")
        refused(1, "nowhere", "import", self.cluster.folder / "nowhere", "to", "other")
        refused(1, "copies", "import", self.cluster.folder / "small", "to", "other", "--copies", "3")
        refused(1, "7400000", "job", "7400000")
        refused(1, "7400000", "cancel", "7400000")
        refused(1, "small", "module", "load", self.cluster.folder / "small")
        refused(1, "node9", "kill", "node9")
        refused(3, "elsewhere", "--cluster", "elsewhere", "nodes")
        self.assertEqual([d["name"] for d in self.cluster.json("datasets")], ["small"])


class DownAndUp(ClusterTest):
    def test_down_and_up_again_with_data(self):
        self.cluster = Cluster(nodes=3, slots=1)
        self.addCleanup(self.cluster.close)
        text = self.cluster.folder / "text"
        text.write_bytes(b"".join(b"line %d\n" % n for n in range(10_000)))
        self.cluster.shell("import", text, "to", "lines", "--copies", "2")
        before = self.cluster.nodes()
        self.cluster.shell("down")
        self.assertEqual(self.cluster.processes(), [])
        self.cluster.up()
        after = self.cluster.nodes()
        self.assertEqual({name: node["address"] for name, node in after.items()}, {name: node["address"] for name, node in before.items()})
        self.assertTrue(all(node["state"] == "alive" for node in after.values()))
        self.cluster.shell("export", "lines", "to", self.cluster.folder / "again")
        self.assertEqual((self.cluster.folder / "again").read_bytes(), text.read_bytes())
        self.cluster.shell("down", "--delete-data")
        self.assertEqual(list(self.cluster.folder.glob("data/troupe/*")), [])

    def test_what_jobs_logged_and_what_happened_outlives_every_node(self):
        self.cluster = Cluster(nodes=2, slots=1)
        self.addCleanup(self.cluster.close)
        text = self.cluster.folder / "requests"
        text.write_bytes(b"not a request\n" * 2)
        self.cluster.shell("import", text, "to", "requests", "--copies", "2")
        self.cluster.load("log_analysis")
        job = self.cluster.start_job("log_analysis", "requests", "report")
        self.assertEqual(self.cluster.wait(job)["state"], "succeeded")
        said = self.cluster.wait_until("both lines", lambda: len(lines := self.cluster.json("logs", str(job))) == 2 and lines)
        before = [(e["kind"], e["text"]) for e in self.cluster.json("events")]
        self.assertIn("job_finished", [kind for kind, _ in before])
        for node in self.cluster.nodes().values():
            os.kill(node["pid"], signal.SIGKILL)
        self.cluster.up()
        self.assertEqual(self.cluster.json("logs", str(job)), said)
        after = [(e["kind"], e["text"]) for e in self.cluster.json("events")]
        self.assertEqual(after[:len(before)], before)

    def test_up_again_after_a_node_was_killed_and_the_others_went_in_order(self):
        self.cluster = Cluster(nodes=3, slots=1)
        self.addCleanup(self.cluster.close)
        self.cluster.kill("node2")
        self.cluster.shell("down")
        self.cluster.up()  # also node1, which left in order
        self.assertEqual({name: node["state"] for name, node in self.cluster.nodes().items()}, {f"node{k}": "alive" for k in (1, 2, 3)})
        self.cluster.shell("down")
        self.cluster.shell("start", "node1", "node2")  # two of three voters
        self.assertEqual([self.cluster.nodes()[name]["state"] for name in ("node1", "node2")], ["alive", "alive"])

    def test_what_was_damaged_meanwhile_is_refused_or_made_anew(self):
        self.cluster = Cluster(nodes=3, slots=1)
        self.addCleanup(self.cluster.close)
        text, counts = make_counted_text(self.cluster.folder / "text", 4)
        self.cluster.shell("import", text, "to", "text", "--copies", "3")
        self.cluster.load("word_count")
        self.cluster.shell("run", "word_count", "text", "to", "counts")
        self.cluster.shell("down")
        # A module with other bytes than its name says: the right ones come from another node.
        module, = (self.cluster.node_folder("node2") / "modules").glob("*.so")
        right = module.read_bytes()
        module.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
        self.cluster.up()
        self.cluster.shell("kill", "node3")
        self.cluster.shell("run", "word_count", "text", "to", "again")
        self.assertEqual(read_counts(self.cluster, "again"), counts)
        self.assertTrue(not module.exists() or module.read_bytes() == right)
        # Without its identity a directory with data is nobody's: no other cluster begins in it.
        self.cluster.shell("down")
        (self.cluster.node_folder("node1") / "identity.json").unlink()
        refused = self.cluster.run("up")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("its identity.json is gone", refused.stderr)

    def test_a_majority_comes_up_without_the_first_node(self):
        self.cluster = Cluster(nodes=3, slots=1)
        self.addCleanup(self.cluster.close)
        self.cluster.wait_until("three voters", lambda: [n["role"] for n in self.cluster.nodes().values()].count("voter") == 2)
        self.cluster.shell("down")
        shutil.rmtree(self.cluster.node_folder("node1"))
        self.cluster.shell("start", "node2", "node3")
        self.assertEqual([self.cluster.nodes()[name]["state"] for name in ("node2", "node3")], ["alive", "alive"])


if __name__ == "__main__":
    unittest.main()
