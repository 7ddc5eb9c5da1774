"""Options, quoting, help and exit statuses: nothing here needs a cluster."""
import os
import subprocess
import unittest

from support import ShellTest


class Arguments(ShellTest):
    def test_help_and_version(self):
        self.assertIn("troupe 0.", self.ok("--version"))
        overview = self.ok("--help")
        for word in ("up [N]", "import SOURCE", "module build", "quit", "Exit status"):
            self.assertIn(word, overview)
        self.assertIn("Example:", self.ok("help", "run"))
        self.assertEqual(self.ok("help", "run"), self.ok("run", "--help"))
        self.assertIn("module build", self.ok("help", "module"))
        self.assertIn("module load", self.ok("help", "module"))

    def test_output_that_goes_nowhere_is_no_success(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([self.program, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output can't be written: No space left on device", done.stderr)
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run([self.program, "--help"], stdout=write_end, stderr=subprocess.PIPE, timeout=20)
        os.close(write_end)
        self.assertEqual((done.returncode, done.stderr), (141, b""))

    def test_wrong_usage_is_2_and_suggests(self):
        self.assertIn("did you mean nodes?", self.refused(2, "nodse"))
        self.assertIn("did you mean describe?", self.refused(2, "help", "descrbe"))
        self.assertIn("did you mean --replace?", self.refused(2, "import", "--replce", "x", "to", "y"))
        self.assertIn("did you mean module build?", self.refused(2, "module", "biuld"))
        self.assertIn("module build, module load, module delete", self.refused(2, "module"))
        self.assertIn("`help` lists them", self.refused(2, "xyzzy"))
        self.refused(2, "--nonsense")
        self.refused(2, "-o", "yaml", "clusters")
        self.refused(2, "-c", "clusters", "nodes")
        self.refused(2, "up", "none")
        self.refused(2, "up", "0")
        self.refused(2, "up", "--memory", "much")
        self.refused(2, "job", "seven")
        self.refused(2, "run", "job", "input")
        self.refused(2, "run", "job", "input", "to")
        self.refused(2, "run", "job", "input", "to", "a", "x=1", "x=2")
        self.refused(2, "nodes", "&")
        self.refused(2, "describe")
        self.refused(2, "describe", "a", "b")

    def test_no_cluster_is_3_and_says_where_it_looked(self):
        self.assertIn("clusters.toml", self.refused(3, "nodes"))
        self.assertIn("none (from --cluster)", self.refused(3, "--cluster", "none", "nodes"))
        self.assertIn("other (from TROUPE_CLUSTER)", self.refused(3, "nodes", environment={"TROUPE_CLUSTER": "other"}))
        self.assertIn("connect 127.0.0.1:1", self.refused(3, "--cluster", "127.0.0.1:1", "nodes"))
        self.refused(3, "down")
        self.refused(3, "use", "nothing")

    def test_several_commands_stop_at_the_first_that_fails(self):
        self.assertEqual(self.ok("-c", "set output csv; set"), "name,value\noutput,csv\nprogress,on\nconsistency,linearizable\n")
        done = self.run_shell("-c", "clusters\nnodes; history\nclusters")
        self.assertEqual(done.returncode, 3)
        self.assertEqual(done.stdout.count("CURRENT"), 1)
        done = self.run_shell("--keep-going", "-c", "xyzzy; nodes; clusters")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout.count("CURRENT"), 1)
        self.assertEqual(self.ok("-c", "clusters; quit; nodes").count("CURRENT"), 1)

    def test_files_and_standard_input(self):
        (self.folder / "one.troupe").write_text("# settings\nset output csv\nset  # shows them\n")
        expected = "name,value\noutput,csv\nprogress,on\nconsistency,linearizable\n"
        self.assertEqual(self.ok("-f", "one.troupe"), expected)
        self.assertEqual(self.ok("-f", "-", stdin="set output csv; set"), expected)
        self.assertEqual(self.ok(stdin="set output csv\nset\n"), expected)
        self.assertEqual(self.ok("source", "one.troupe"), expected)
        self.assertIn("no file", self.refused(1, "-f", "two.troupe"))
        (self.folder / "self.troupe").write_text("source self.troupe\n")
        self.assertIn("does one source itself?", self.refused(1, "source", "self.troupe"))
        (self.folder / "bad.troupe").write_text("nodse\nset\n")
        done = self.run_shell("source", "bad.troupe")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")

    def test_quotes(self):
        self.assertIn("\"no such\"", self.refused(2, "-c", "'no such'"))
        self.assertIn("never closed", self.refused(2, "-c", "set 'output"))
        self.assertEqual(self.ok("-c", "set \"out\"put 'c's\\v; set").splitlines()[1], "output,csv")

    def test_a_registry_that_cannot_be_read_is_named_with_its_line(self):
        (self.folder / "config" / "troupe").mkdir(parents=True)
        (self.folder / "config" / "troupe" / "clusters.toml").write_text("current = 7\n")
        self.assertIn("clusters.toml:1: expected a string", self.refused(1, "clusters"))

    def test_spawn_beyond_loopback_is_refused_with_the_reason(self):
        self.ok("up", "1")
        self.assertIn("made with `up --name NAME --address ADDRESS`", self.refused(1, "spawn", "192.0.2.1"))


if __name__ == "__main__":
    unittest.main()
