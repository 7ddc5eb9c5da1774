"""What a task reaches of its node and of the network, and what a crash of a node leaves behind."""
import os
import pathlib
import resource
import signal
import subprocess
import unittest

from support.cluster import BIN, Cluster


def look(cluster, output, *options):
    cluster.shell("run", "look_around", "line", "to", output, *options)
    return dict(line.split("\t") for line in cluster.shell("export", output, "to", "-", "--format", "tsv").splitlines())


class Network(unittest.TestCase):
    def make(self, policy=None):
        cluster = Cluster(nodes=1, memory="64MiB", environment={"TROUPE_NODE_WORKER_NETWORK": policy} if policy else None)
        self.addCleanup(cluster.close)
        cluster.shell("import", "-", "to", "line", stdin="one\n")
        cluster.load("look_around")
        return cluster

    def test_a_job_has_the_network_when_it_asks_and_never_the_worker_of_another(self):
        c = self.make()
        # In turn, so that each finds idle workers of the other kind.
        for turn in range(3):
            without = look(c, f"without{turn}")
            self.assertEqual(without["socket"], "Operation not permitted")
            self.assertEqual(without["signal to the node"], "Operation not permitted")
            # Also where both are root: a worker has none of root's powers.
            self.assertEqual(without["memory of the node"], "Permission denied")
            asked = look(c, f"asked{turn}", "--network")
            self.assertEqual(asked["socket"], "possible")
            self.assertEqual(asked["signal to the node"], "Operation not permitted")
        jobs = {job["outputs"][0]: job["parameters"] for job in c.json("jobs")}
        self.assertEqual(jobs["asked0"], {"troupe.network": "yes"})
        self.assertEqual(jobs["without0"], {})
        refused = c.run("run", "look_around", "line", "to", "sly", "troupe.network=yes")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("are troupe's own", refused.stderr)

    def test_a_node_that_forbids_it_has_the_last_word(self):
        c = self.make("forbidden")
        self.assertEqual(look(c, "without")["socket"], "Operation not permitted")
        refused = c.run("run", "look_around", "line", "to", "asked", "--network")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("the owner of this node forbids the network to jobs", refused.stderr)
        self.assertIn('worker-network = "forbidden"', (c.node_folder("node1") / "node.toml").read_text())

    def test_a_node_that_allows_it_to_all(self):
        self.assertEqual(look(self.make("allowed"), "without")["socket"], "possible")


class Crash(unittest.TestCase):
    """A node's memory has keys and tokens: a crash leaves no core file, unless its owner wants them."""

    def crash(self, folder, *options):
        """Whether the kernel dumped a core of a node that ended with SIGABRT."""
        data = folder / "data"
        folder.mkdir()
        log = open(folder / "node.log", "w")
        self.addCleanup(log.close)
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text("0123456789abcdef0123456789abcdef\n")
        unlimited = lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        node = subprocess.Popen([BIN / "troupe-node", "--data", data, "--bootstrap", "--token-file", token, "--memory", "64MiB", *options], stderr=log, cwd=folder,
                                preexec_fn=unlimited)
        self.addCleanup(lambda: node.poll() is None and node.kill())
        self.cluster.wait_until("ready", lambda: (data / "ready.json").exists() or node.poll() is not None)
        self.assertIsNone(node.poll(), (folder / "node.log").read_text())
        os.kill(node.pid, signal.SIGABRT)
        _, status = os.waitpid(node.pid, 0)
        node.returncode = 0
        self.assertTrue(os.WIFSIGNALED(status))
        return os.WCOREDUMP(status)

    def setUp(self):
        self.cluster = Cluster(nodes=1, up=False)
        self.addCleanup(self.cluster.close)

    def test_no_core_file_unless_it_is_wanted(self):
        probe = subprocess.Popen(["sleep", "60"], cwd=self.cluster.folder,
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
        os.kill(probe.pid, signal.SIGABRT)
        _, status = os.waitpid(probe.pid, 0)
        probe.returncode = 0
        self.assertFalse(self.crash(self.cluster.folder / "as_it_is"))
        self.assertEqual([f for f in (self.cluster.folder / "as_it_is").iterdir() if f.name.startswith("core")], [])
        if os.WCOREDUMP(status):  # else this machine makes none of anything
            self.assertTrue(self.crash(self.cluster.folder / "debuggable", "--debuggable"))
            self.assertIn("debuggable = true", (self.cluster.folder / "debuggable" / "data" / "node.toml").read_text())
        for core in pathlib.Path(self.cluster.folder).rglob("core*"):
            core.unlink()


@unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
class AnotherUser(unittest.TestCase):
    def test_a_task_does_not_read_the_memory_of_its_node(self):
        cluster = Cluster(nodes=1, up=False, memory="64MiB")
        self.addCleanup(cluster.close)
        os.chmod(cluster.folder, 0o755)
        for path in [cluster.folder, *cluster.folder.rglob("*")]:
            os.chown(path, 65534, 65534)
        (cluster.folder / "bin").mkdir()
        for name in ("troupe", "troupe-node", "troupe-worker"):
            subprocess.run(["cp", BIN / name, cluster.folder / "bin"], check=True)
        subprocess.run(["cp", pathlib.Path(os.environ["TROUPE_MODULES"]) / "look_around.so", cluster.folder / "bin"], check=True)

        def shell(*words, stdin=""):
            done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", cluster.folder / "bin" / "troupe", *map(str, words)], env=cluster.environment,
                                  cwd=cluster.folder, input=stdin, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        shell(*cluster.up_arguments)
        shell("import", "-", "to", "line", stdin="one\n")
        shell("module", "load", cluster.folder / "bin" / "look_around.so")
        shell("run", "look_around", "line", "to", "seen")
        seen = dict(line.split("\t") for line in shell("export", "seen", "to", "-", "--format", "tsv").splitlines())
        self.assertEqual(seen["memory of the node"], "Permission denied")
        self.assertEqual(seen["socket"], "Operation not permitted")


if __name__ == "__main__":
    unittest.main()
