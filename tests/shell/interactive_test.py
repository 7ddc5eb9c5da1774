"""The interactive shell under a pseudo-terminal."""
import os
import pty
import re
import select
import time
import unittest

from support import ShellTest


class Terminal:
    def __init__(self, test, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(test.folder)
            os.execve(test.program, ["troupe", *arguments], test.environment)
        self.seen = ""
        test.addCleanup(self.close)

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def expect(self, pattern, timeout=20):
        """Reads until the pattern has come; what follows it stays for the next call."""
        end = time.monotonic() + timeout
        while True:
            found = re.search(pattern, self.seen)
            if found:
                before, self.seen = self.seen[:found.end()], self.seen[found.end():]
                return before
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{pattern!r} did not come; there was {self.seen!r}")
            try:
                piece = os.read(self.fd, 65536)
            except OSError:
                piece = b""
            if not piece:
                raise AssertionError(f"{pattern!r} did not come before the end; there was {self.seen!r}")
            self.seen += piece.decode(errors="replace")

    def type(self, text):
        os.write(self.fd, text.encode())

    def status(self, timeout=30):
        """Its exit status once it has ended by itself."""
        end = time.monotonic() + timeout
        while True:
            pid, how = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(how)
            if time.monotonic() > end:
                os.kill(self.pid, 9)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"the shell did not end; there was {self.seen!r}")
            time.sleep(0.01)


class Interactive(ShellTest):
    def test_a_session(self):
        t = Terminal(self)
        t.expect(r"troupe \(no cluster\)> ")
        t.type("nodse\n")
        t.expect("did you mean nodes")
        t.expect("> ")
        t.type("up 1\n")
        t.expect("started node1")
        t.expect("troupe local> ")
        t.type("nodes\n")
        t.expect("node1 +alive")
        t.expect("troupe local> ")
        t.type("kill node1; start node1\n")
        t.expect("was killed")
        t.expect("started 1 node")
        t.expect("troupe local> ")
        t.type("quit\n")
        self.assertEqual(t.status(), 0)
        self.assertEqual(len(self.daemons()), 1)
        history = self.folder / "state" / "troupe" / "history"
        self.assertEqual(history.stat().st_mode & 0o777, 0o600)
        self.assertEqual(history.read_text().splitlines(), ["nodse", "up 1", "nodes", "kill node1; start node1", "quit"])

    def test_history_comes_back_with_the_arrow_key(self):
        (self.folder / "state" / "troupe").mkdir(parents=True)
        (self.folder / "state" / "troupe" / "history").write_text("set output json\nset progress off\n")
        t = Terminal(self)
        t.expect("> ")
        t.type("\x1b[A")
        t.expect("set progress off")
        t.type("\x1b[A")
        t.expect("output json")
        t.type("\n")
        t.expect("> ")
        t.type("set\n")
        t.expect('"json"')
        t.expect("> ")
        t.type("\x04")
        t.status()

    def test_ctrl_c_gives_a_line_up_and_ctrl_d_leaves(self):
        t = Terminal(self)
        t.expect("> ")
        t.type("no such command")
        t.expect("no such command")
        t.type("\x03")
        t.expect(r"\^C")
        t.expect("troupe .*> ")
        t.type("clusters\n")
        self.assertNotIn("there is no command", t.expect("CURRENT"))
        t.expect("> ")
        t.type("\x04")
        self.assertEqual(t.status(), 0)

    def test_a_quote_goes_on_over_lines(self):
        t = Terminal(self)
        t.expect("> ")
        t.type("set 'out\n")
        t.expect("\n> ")
        t.type("put' json\n")
        t.expect("no setting")
        t.expect("> ")  # what is typed before the editor has its terminal back is lost
        t.type("\x04")
        t.status()

    def test_tab_completes_words_options_files_and_live_names(self):
        self.ok("up", "2")
        (self.folder / "some file.txt").write_text("x\n")
        t = Terminal(self)
        t.expect("> ")

        def completes(typed, expected):
            t.type(typed)
            t.type("\t\x0c")  # Ctrl-L draws the whole line anew; what Tab draws is only the difference
            t.expect("local> " + re.escape(expected))
            t.type("\x03")
            t.expect(r"\^C")
            t.expect("> ")

        completes("datas", "datasets ")
        completes("describe cor", "describe corpus ")
        completes("import so", "import 'some file.txt' ")
        completes("import x t", "import x to ")
        completes("run wor", "run word_count ")
        completes("run word_count --repl", "run word_count --replace ")
        completes("module lo", "module load ")
        completes("set out", "set output ")
        completes("set output j", "set output json ")
        completes("use lo", "use local ")
        completes("nodes; kill no", "nodes; kill node")
        t.type("kill node\t")
        t.expect("node1 +node2")
        t.type("\x03")
        t.expect(r"\^C")
        t.expect("> ")
        t.type("\x04")
        t.status()

    def test_ctrl_c_cancels_a_job_and_the_shell_goes_on(self):
        self.ok("up", "1")
        t = Terminal(self)
        t.expect("> ")
        t.type("run slow corpus to x\n")
        t.expect("map \\d/4")  # the progress line
        t.type("\x03")
        t.expect("job 1 was cancelled")
        t.expect("> ")
        t.type("jobs\n")
        t.expect("cancelled")
        t.expect("> ")
        t.type("quit\n")
        t.status()

    def test_options_go_with_a_session(self):
        t = Terminal(self, "-o", "csv")
        t.expect("> ")
        t.type("set\n")
        t.expect("output,csv")
        t.expect("> ")
        t.type("\x04")
        t.status()


if __name__ == "__main__":
    unittest.main()
