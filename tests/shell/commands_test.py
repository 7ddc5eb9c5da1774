"""What the words ask of the API, and how they show what it answers."""
import csv
import io
import json
import os
import signal
import subprocess
import time
import unittest

from support import ShellTest


class Commands(ShellTest):
    def setUp(self):
        super().setUp()
        self.ok("up", "3")

    def start(self, *arguments):
        return subprocess.Popen([self.program, *arguments], env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_lists_come_as_table_json_and_csv_and_over_all_pages(self):
        self.assertEqual([n["name"] for n in self.json("nodes")], ["node1", "node2", "node3"])
        self.assertEqual(self.json("nodes")[0]["future_member"], 1)  # exactly the API's items
        rows = list(csv.DictReader(io.StringIO(self.ok("-o", "csv", "nodes"))))
        self.assertEqual([r["name"] for r in rows], ["node1", "node2", "node3"])
        self.assertEqual(rows[0]["memory_bytes"], str(1 << 30))
        table = self.ok("nodes").splitlines()
        self.assertIn("1.00 GiB", table[1])
        self.assertEqual(len({line.index("0.1.0") for line in table[1:]}), 1)
        self.assertIn("corpus", self.ok("datasets"))

    def test_describe_and_head(self):
        self.assertEqual(self.json("describe", "counts")["partitions"][0]["copies"], ["node1", "node2"])
        self.assertIn("node1 node2", self.ok("describe", "counts"))
        self.assertIn("word:string count:uint64", self.ok("describe", "counts"))
        self.assertIn("no dataset", self.refused(1, "describe", "none"))
        self.assertEqual(self.ok("head", "corpus", "1"), "first line\n")
        self.assertEqual(self.ok("head", "corpus").splitlines()[1], "a·[2Jb")  # data cannot drive the terminal
        self.assertEqual(list(csv.reader(io.StringIO(self.ok("-o", "csv", "head", "counts"))))[1], ["0", "0", "a,b", "3"])
        self.assertEqual(self.json("head", "counts")[1], {"partition": 0, "offset": 1, "record": {"word": "c", "count": 1}})

    def test_import_streams_files_and_standard_input(self):
        (self.folder / "a").write_text("1\n2")
        (self.folder / "b").write_text("3\n")
        self.assertIn("imported 6 B to x", self.run_shell("import", "a", "b", "to", "x", "--copies", "2").stderr)
        self.assertEqual((self.data() / "imported-x").read_text(), "1\n2\n3\n")
        post = self.requests("POST")[-1]
        self.assertIn("copies=2", post["path"])
        self.assertEqual(post["length"], "6")
        process = self.start("import", "-", "a", "to", "y")
        process.kill()
        process.communicate()
        with open(self.folder / "pipe.txt", "w") as out:
            out.write("0\n" * 300000)
        subprocess.run(f"cat pipe.txt | {self.program} import - a to y", shell=True, check=True, env=self.environment, cwd=self.folder, capture_output=True)
        self.assertEqual((self.data() / "imported-y").read_text(), "0\n" * 300000 + "1\n2")
        self.assertEqual(self.json("import", "a", "to", "z")["records"], 1)

    def test_import_refuses_before_it_sends(self):
        (self.folder / "a").write_text("1\n")
        before = len(self.requests("POST"))
        self.assertIn("missing: No such file", self.refused(1, "import", "a", "missing", "to", "x"))
        self.assertIn("is a directory", self.refused(1, "import", "a", self.folder, "to", "x"))
        self.assertIn("not a name", self.refused(1, "import", "a", "to", "Not/A/Name"))
        self.refused(2, "import", "a", "x")
        self.assertEqual(len(self.requests("POST")), before)
        self.assertIn("--replace takes its place", self.refused(1, "import", "a", "to", "taken"))
        self.ok("import", "a", "to", "taken", "--replace")

    def test_import_is_interrupted_while_it_waits_for_its_input(self):
        read, write = os.pipe()
        process = subprocess.Popen([self.program, "import", "-", "to", "x"], env=self.environment, stdin=read, stderr=subprocess.PIPE, text=True)
        os.write(write, b"1\n")
        while int(open(f"/proc/{process.pid}/io").read().split("rchar: ")[1].split()[0]) == 0 or not self.connected(process.pid):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=20)
        os.close(write)
        os.close(read)
        self.assertEqual(process.returncode, 130, messages)
        self.assertIn("x was not imported", messages)

    def connected(self, pid):
        return any("socket:" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))

    def test_export_chooses_its_format_and_writes_whole_files(self):
        for file, expected in (("x.tsv", "tsv\n"), ("x.csv", "csv\n"), ("x.json", "json\n"), ("x.txt", "tsv\n")):
            self.ok("export", "counts", "to", file)
            self.assertEqual((self.folder / file).read_text(), expected)
        self.ok("export", "counts", "to", "x.tsv", "--format", "csv")
        self.assertEqual((self.folder / "x.tsv").read_text(), "csv\n")
        self.assertEqual(self.ok("export", "counts", "to", "-"), "tsv\n")
        self.refused(2, "export", "counts", "to", "x", "--format", "yaml")
        files = sorted(os.listdir(self.folder))
        self.refused(1, "export", "corpus", "to", "cut.txt")  # the answer ends before its last chunk
        self.assertEqual(sorted(os.listdir(self.folder)), files)

    def test_run_waits_and_tells(self):
        done = self.run_shell("run", "word_count@abcdef", "corpus", "to", "counts", "min=3", "name=a b", "--replace")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("job 1", done.stderr)
        self.assertIn("job 1 (word_count) succeeded: 1,234 records (2.00 KiB) in, 56 out", done.stdout)
        self.assertIn("1 attempt lost", done.stdout)
        asked = json.loads([r for r in self.requests("POST") if r["path"] == "/api/v1/jobs"][-1]["body"])
        self.assertEqual(asked, {"job": "word_count", "module_hash": "abcdef", "inputs": ["corpus"], "output": "counts", "replace": True, "more_outputs": [], "copies": 0, "network": False,
                                 "parameters": {"min": "3", "name": "a b"}})
        self.assertEqual(self.json("run", "word_count", "a", "b", "to", "c")["state"], "succeeded")
        self.assertEqual(self.json("jobs")[0]["id"], 2)
        self.assertIn("supervisor", self.ok("job", "1"))

    def test_a_failed_job_is_1_and_says_where(self):
        self.assertIn("job 1 (fails) failed: node1, record 41 of corpus: it threw", self.refused(1, "run", "fails", "corpus", "to", "x"))
        self.assertIn("it threw", self.refused(1, "wait", "1"))
        self.assertIn("no dataset", self.refused(1, "run", "word_count", "nothing", "to", "x"))
        self.assertIn("no job 99", self.refused(1, "wait", "99"))

    def test_run_in_the_background_and_wait(self):
        self.assertEqual(self.ok("run", "word_count", "corpus", "to", "x", "&"), "job 1\n")
        self.assertIn("succeeded", self.ok("wait", "1"))
        self.assertEqual(self.ok("-c", "run word_count corpus to x & jobs").splitlines()[0], "job 2")

    def test_ctrl_c_cancels_run(self):
        process = self.start("run", "slow", "corpus", "to", "x")
        self.assertEqual(process.stderr.readline(), "job 1\n")
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130)
        self.assertIn("job 1 was cancelled", messages)
        self.assertEqual(self.json("job", "1")["state"], "cancelled")

    def test_ctrl_c_leaves_a_job_that_is_waited_for_or_watched(self):
        self.ok("run", "slow", "corpus", "to", "x", "&")
        watching = self.start("watch", "1")
        self.assertIn("job 1 (slow) running", watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        self.assertIn("job 1 goes on", watching.communicate(timeout=20)[1])
        self.assertEqual(watching.returncode, 130)
        self.assertEqual(self.json("job", "1")["state"], "running")
        waiting = self.start("wait", "1")
        self.assertIn("map", waiting.stderr.readline())  # its progress line, after half a second
        waiting.send_signal(signal.SIGINT)
        self.assertIn("job 1 goes on", waiting.communicate(timeout=20)[1])
        self.ok("cancel", "1")
        self.assertIn("cancelled", self.refused(1, "wait", "1"))

    def test_a_killed_run_says_that_its_job_goes_on(self):
        for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            process = self.start("run", "slow", "corpus", "to", "x")
            job = process.stderr.readline().split()[1]
            process.send_signal(number)
            _, messages = process.communicate(timeout=20)
            self.assertEqual(process.returncode, status, messages)
            self.assertIn(f"job {job} goes on; `watch {job}` follows it, `cancel {job}` ends it", messages)
            self.assertEqual(self.json("job", job)["state"], "running")
        # What else was to be done is not begun, and a job that is only waited for is left alone, too.
        process = self.start("--keep-going", "-c", "wait 1; nodes")
        self.assertIn("map", process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        result, messages = process.communicate(timeout=20)
        self.assertEqual((process.returncode, result), (143, ""), messages)
        self.assertIn("job 1 goes on", messages)

    def test_without_a_terminal_progress_is_not_said_twice(self):
        self.ok("run", "slow", "corpus", "to", "x", "&")
        waiting = self.start("wait", "1")
        time.sleep(12)  # its stages stand at 4 of 4 after a second
        self.ok("cancel", "1")
        lines = [line for line in waiting.communicate(timeout=20)[1].splitlines() if "map" in line]
        self.assertIn(len(lines), (1, 2))
        self.assertEqual(len(set(lines)), len(lines))

    def test_nohup_outlasts_its_terminal(self):
        process = subprocess.Popen(["nohup", self.program, "run", "slow", "corpus", "to", "x"], env=self.environment, cwd=self.folder,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(process.stderr.readline(), "job 1\n")
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        self.assertIsNone(process.poll())
        self.ok("cancel", "1")
        self.assertIn("cancelled", process.communicate(timeout=20)[1])

    def test_modules(self):
        self.assertIn("word_count", self.ok("modules"))
        (self.folder / "good.so").write_bytes(b"\x7fELF")
        (self.folder / "bad.so").write_bytes(b"text")
        self.assertEqual(self.json("module", "load", "good.so")[0]["name"], "good")
        self.assertIn("bad.so is not a shared library", self.refused(1, "module", "load", "bad.so"))
        self.assertIn("no file", self.refused(1, "module", "load", "none.so"))
        self.assertIn("--name", self.refused(1, "module", "load", "bin/troupe-node", "--name", "Not good"))
        self.ok("module", "delete", "words")

    def test_tree_events_and_logs(self):
        tree = self.ok("tree").splitlines()
        self.assertTrue(tree[1].startswith("node_supervisor/node1"))
        self.assertTrue(tree[2].startswith("├─ worker/1"))
        self.assertTrue(tree[3].startswith("│  └─ mapper/7.0.3.1"))
        self.assertTrue(tree[4].startswith("└─ worker/2"))
        self.assertTrue(tree[5].startswith("monitor"))
        self.assertEqual(len(self.json("tree")), 5)
        self.assertEqual([e["id"] for e in self.json("events")], [1, 2])
        self.assertEqual([e["id"] for e in self.json("events", "node2")], [1])
        self.assertEqual([e["id"] for e in self.json("events", "7")], [2])
        self.assertEqual([e["id"] for e in self.json("events", "--limit", "1")], [2])
        self.ok("run", "word_count", "corpus", "to", "x")
        self.assertIn("stage 0 task 2 attempt 1: hello", self.ok("logs", "1"))

    def test_delete(self):
        self.ok("delete", "counts")
        self.assertIn("no dataset", self.refused(1, "delete", "none"))

    def test_the_next_node_is_asked_when_one_is_gone(self):
        os.kill(self.json("nodes")[0]["pid"], signal.SIGKILL)
        self.assertEqual(self.json("nodes")[0]["state"], "dead")
        self.ok("run", "word_count", "corpus", "to", "x")


if __name__ == "__main__":
    unittest.main()
