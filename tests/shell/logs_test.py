"""The words of datasets that grow: what they ask of the API, and what they say when something goes wrong."""
import csv
import io
import json
import os
import pty
import signal
import subprocess
import time
import unittest

from support import ShellTest


class Logs(ShellTest):
    def setUp(self):
        super().setUp()
        self.ok("up", "2")

    def start(self, *arguments, stdin=None):
        return subprocess.Popen([self.program, *arguments], env=self.environment, cwd=self.folder, stdin=stdin, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def log(self, name):
        return json.loads((self.data() / f"log-{name}.json").read_text())

    def texts(self, name):
        """What was appended, partition by partition."""
        return [[text for text, _ in records] for records in self.log(name)["partitions"]]

    def test_create_sends_what_was_typed_in_units(self):
        done = self.run_shell("create", "visits", "--schema", "user:string, seconds:float?", "--key", "user", "--partitions", "4", "--copies", "2",
                              "--min-copies", "1", "--sync", "seal", "--keep-age", "7d", "--keep-bytes", "10GiB")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("created visits: 4 partitions, 2 copies", done.stderr)
        self.assertIn("kept for 7 d", done.stderr)
        asked = json.loads(self.requests("PUT")[-1]["body"])
        self.assertEqual(asked, {"format": "records", "partitions": 4, "copies": 2, "min_copies": 1, "sync": "seal", "keep_age_ms": 7 * 86400 * 1000,
                                 "keep_bytes": 10 << 30, "key_field": "user",
                                 "schema": [{"name": "user", "type": "string", "children": []},
                                            {"name": "seconds", "type": "optional", "children": [{"name": "", "type": "float64", "children": []}]}]})
        self.assertEqual(self.json("create", "clicks")["format"], "lines")
        self.assertIn("exists", self.refused(1, "create", "clicks"))
        shown = self.ok("describe", "visits")
        self.assertIn("partition by user", shown)
        self.assertIn("user:string seconds:float64?", shown)
        self.assertIn("node1 node2", shown)

    def test_a_schema_may_stand_in_a_file(self):
        (self.folder / "schema.txt").write_text("user:string,\nplace:{lat:float64, lon:float64}\n")
        self.ok("create", "visits", "--schema", "@schema.txt")
        self.assertEqual([f["type"] for f in self.log("visits")["options"]["schema"]], ["string", "record"])

    def test_wrong_options_are_usage_and_send_nothing(self):
        for wrong in (["--keep-age", "7"], ["--keep-age", "0d"], ["--keep-bytes", "much"], ["--sync", "never"], ["--format", "xml"], ["--format", "records"],
                      ["--schema", "user"], ["--schema", "user:strin"], ["--format", "lines", "--schema", "a:int"], ["--partitions", "0"]):
            self.refused(2, "create", "x", *wrong)
        self.refused(2, "alter", "x")
        self.assertEqual(self.requests("PUT"), [])

    def test_alter_sends_what_changes_only(self):
        self.ok("create", "visits", "--schema", "user:string")
        self.ok("alter", "visits", "--keep-age", "forever", "--copies", "2")
        self.assertEqual(json.loads(self.requests("PATCH")[-1]["body"]), {"copies": 2, "keep_age_ms": 0})
        self.ok("alter", "visits", "--add", "referrer:string?")
        self.assertEqual([f["name"] for f in json.loads(self.requests("PATCH")[-1]["body"])["schema"]], ["user", "referrer"])
        self.assertIn("no dataset", self.refused(1, "alter", "none", "--copies", "2"))

    def test_append_takes_a_pipe_and_a_file_in_batches(self):
        self.ok("create", "clicks")
        done = self.run_shell("append", "clicks", stdin="one\ntwo\n\nfour")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("appended 4 records", done.stderr)
        self.assertEqual(self.texts("clicks"), [["one", "two", "", "four"]])
        lines = [f"line {i} {'x' * 80}" for i in range(10_000)]
        (self.folder / "big").write_text("".join(line + "\n" for line in lines))
        told = self.json("append", "clicks", "--from", "big")
        self.assertEqual(told["records"], 10_000)
        self.assertEqual(told["partitions"], [{"partition": 0, "first_offset": 4, "records": 10_000}])
        self.assertEqual(self.texts("clicks")[0][4:], lines)
        sequences = [r["sequence"] for r in self.requests("POST") if r["path"].startswith("/api/v1/datasets/clicks/records")]
        self.assertEqual(sequences, ["1"] + [str(i + 1) for i in range(told["batches"])])
        self.assertGreater(told["batches"], 2)
        self.assertIn("appended 0 records", self.run_shell("append", "clicks", stdin="").stderr)
        self.assertIn("no dataset", self.refused(1, "append", "none", stdin="x\n"))
        self.assertIn("No such file", self.refused(1, "append", "clicks", "--from", "missing"))

    def test_a_pipe_that_is_silent_holds_nothing_back(self):
        self.ok("create", "clicks")
        appending = self.start("append", "clicks", stdin=subprocess.PIPE)
        tailing = self.start("tail", "clicks", "--follow")
        for text in ("one", "two"):
            appending.stdin.write(text + "\n")
            appending.stdin.flush()
            self.assertEqual(tailing.stdout.readline(), text + "\n")  # seen while the pipe is still open
        appending.stdin.close()
        self.assertEqual(appending.wait(timeout=20), 0)
        tailing.send_signal(signal.SIGINT)
        self.assertEqual(tailing.wait(timeout=20), 130)
        for process in (appending, tailing):
            process.stdout.close()
            process.stderr.close()

    def test_a_batch_that_is_durable_in_part_is_sent_again_and_is_there_once(self):
        self.ok("create", "flaky", "--partitions", "2")
        told = self.run_shell("-o", "json", "append", "flaky", stdin="a\nb\nc\n")
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertEqual(json.loads(told.stdout)["records"], 3)
        self.assertEqual(self.texts("flaky"), [["a", "c"], ["b"]])
        sequences = [r["sequence"] for r in self.requests("POST") if "/records" in r["path"]]
        self.assertEqual(sequences, ["1", "1"])

    def test_a_node_that_dies_with_the_answer_makes_no_duplicate(self):
        self.ok("create", "mortal")
        done = self.run_shell("append", "mortal", stdin="a\nb\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("appended 2 records", done.stderr)
        self.assertEqual(self.texts("mortal"), [["a", "b"]])
        asked = [r for r in self.requests("POST") if "/records" in r["path"]]
        self.assertEqual(len({r["node"] for r in asked}), 2)

    def test_a_wrong_line_is_named_by_its_number_in_the_input(self):
        self.ok("create", "visits", "--schema", "n:int")
        good = "".join(f'{{"n":{i},"pad":"{"x" * 90}"}}\n' for i in range(5_000))
        (self.folder / "in").write_text(good + "oops\n" + good)
        said = self.refused(1, "append", "visits", "--from", "in")
        self.assertIn("line 5001: not JSON: oops", said)
        there = len(self.texts("visits")[0])
        self.assertGreater(there, 0)
        self.assertIn(f"{there:,} records are durable in visits", said)

    def test_a_line_that_is_too_long_is_refused_before_it_is_sent(self):
        self.ok("create", "clicks")
        said = self.refused(1, "append", "clicks", stdin="short\n" + "x" * (3 << 20))
        self.assertIn("longer than 1 MiB", said)
        self.assertIn("line 2", said)

    def test_ctrl_c_says_what_is_durable(self):
        self.ok("create", "clicks")
        appending = self.start("append", "clicks", stdin=subprocess.PIPE)
        appending.stdin.write("one\ntwo\n")
        appending.stdin.flush()
        while self.texts("clicks") != [["one", "two"]]:
            time.sleep(0.01)
        appending.send_signal(signal.SIGINT)
        _, said = appending.communicate(timeout=20)
        self.assertEqual(appending.returncode, 130)
        self.assertIn("2 records are durable in clicks", said)

    def test_ctrl_c_while_a_batch_is_on_its_way_says_that_its_fate_is_not_known(self):
        self.ok("create", "deaf")
        appending = self.start("append", "deaf", stdin=subprocess.PIPE)
        appending.stdin.write("one\n")
        appending.stdin.flush()
        while not [r for r in self.requests("POST") if "/records" in r["path"]]:
            time.sleep(0.01)
        appending.send_signal(signal.SIGINT)
        _, said = appending.communicate(timeout=40)
        self.assertEqual(appending.returncode, 130)
        self.assertIn("nothing was appended; whether the 1 from line 1 on are, is not known", said)

    def test_typed_lines_go_out_as_they_are_typed(self):
        self.ok("create", "clicks")
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(self.program, ["troupe", "append", "clicks"], self.environment)
        self.addCleanup(os.close, terminal)
        self.expect(terminal, b"Ctrl-D ends")
        os.write(terminal, b"first\n")
        while self.texts("clicks") != [["first"]]:
            time.sleep(0.01)
        os.write(terminal, b"second\n\x04")
        self.expect(terminal, b"appended 2 records")
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual(self.texts("clicks"), [["first", "second"]])

    def expect(self, terminal, text):
        seen = b""
        while text not in seen:
            seen += os.read(terminal, 4096)

    def test_tail_shows_the_last_of_all_partitions_by_their_time(self):
        self.ok("create", "clicks", "--partitions", "2")
        for batch in ("a\nb\n", "c\nd\n", "e\n"):
            self.run_shell("append", "clicks", stdin=batch)
        self.assertEqual(self.ok("tail", "clicks", "1"), "e\n")
        self.assertEqual(sorted(self.ok("tail", "clicks").split()), list("abcde"))
        self.assertEqual(self.ok("tail", "clicks", "--partition", "1"), "b\nd\n")
        self.assertEqual(self.ok("tail", "clicks", "--partition", "0", "--from", "1"), "c\ne\n")
        self.assertEqual(sorted(self.ok("tail", "clicks", "--from", "begin").split()), list("abcde"))
        self.assertIn("--partition", self.refused(2, "tail", "clicks", "--from", "1"))
        self.refused(2, "tail", "clicks", "--partition", "2")
        self.assertEqual(len(self.json("tail", "clicks", "3")), 3)
        self.assertIn("no dataset", self.refused(1, "tail", "none"))

    def test_tail_shows_fields_as_columns(self):
        self.ok("create", "visits", "--schema", "user:string, n:int")
        self.run_shell("append", "visits", stdin='{"user":"alice","n":1}\n{"user":"bob","n":2}\n')
        self.assertEqual(self.ok("tail", "visits", "1").split(), ["PARTITION", "OFFSET", "user", "n", "0", "1", "bob", "2"])
        rows = list(csv.reader(io.StringIO(self.ok("-o", "csv", "tail", "visits", "--from", "begin"))))
        self.assertEqual(rows, [["partition", "offset", "record.user", "record.n"], ["0", "0", "alice", "1"], ["0", "1", "bob", "2"]])
        lines = [json.loads(line) for line in self.ok("-o", "json", "tail", "visits", "--from", "1").splitlines()]
        self.assertEqual(lines[0]["record"], {"user": "bob", "n": 2})

    def test_verify_says_what_is_wrong_and_that_repair_is_under_way(self):
        self.assertIn("everything is as it should be", self.ok("verify", "corpus"))
        done = self.run_shell("verify", "rotten")
        self.assertEqual(done.returncode, 1)
        self.assertIn("1 copy is damaged or gone", done.stdout)
        self.assertIn("under way", done.stdout)
        self.assertIn("its checksum is wrong", done.stdout)
        self.assertEqual(json.loads(self.run_shell("-o", "json", "verify", "rotten").stdout)["copies_bad"], 1)
        self.refused(2, "verify", "corpus", "--time-max", "10")

    def test_describe_says_what_is_not_as_it_should_be(self):
        self.ok("create", "thin")
        self.ok("create", "stuck")
        self.assertIn("3 segments (3.00 MiB) still lack copies", self.ok("describe", "thin"))
        self.assertIn("partition 0 takes no appends: too few nodes", self.ok("describe", "stuck"))

    def test_drain_waits_until_nothing_is_left_and_can_be_undone(self):
        done = self.run_shell("drain", "node2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("`remove node2` takes it out", done.stderr)
        self.assertEqual(self.json("drain", "node2", "--no-wait")["segments"], 2)
        self.assertIn("takes part as before", self.run_shell("drain", "node2", "--undo").stderr)
        self.assertFalse((self.data() / "draining-node2").exists())
        self.assertIn("no node", self.refused(1, "drain", "node9"))

    def test_remove_asks_another_node_and_puts_the_data_aside(self):
        self.assertIn("only copy", self.refused(1, "remove", "node2"))
        self.ok("kill", "node2")
        done = self.run_shell("remove", "node2", "--accept-loss")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("node2 was removed", done.stderr)
        asked = [r for r in self.requests("POST") if "/remove" in r["path"]][-1]
        self.assertEqual(asked["node"], "node1")
        self.assertTrue((self.data() / ".removed-node2").is_dir())
        self.assertIn("no node", self.refused(1, "start", "node2"))

    def test_help_has_an_example_of_each(self):
        for word in ("create", "alter", "append", "tail", "verify", "drain", "remove"):
            text = self.ok("help", word)
            self.assertIn("Example:", text)
            self.assertIn(word, text.split("Example:")[1])


if __name__ == "__main__":
    unittest.main()
