"""The shell in a folder of its own, with a fake troupe-node beside it."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

PROGRAM = pathlib.Path(os.environ["TROUPE_PROGRAM"])
HERE = pathlib.Path(__file__).resolve().parent


class ShellTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="troupe-shell-"))
        self.addCleanup(self.clean)
        (self.folder / "bin").mkdir()
        self.program = self.folder / "bin" / "troupe"
        try:
            os.link(PROGRAM, self.program)
        except OSError:
            shutil.copy2(PROGRAM, self.program)
        shutil.copy2(HERE / "fake_node.py", self.folder / "bin" / "troupe-node")
        os.chmod(self.folder / "bin" / "troupe-node", 0o755)
        shutil.copy2(HERE / "fake_logs.py", self.folder / "bin" / "fake_logs.py")
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", "TERM": "xterm",
                            "XDG_DATA_HOME": str(self.folder / "data"), "XDG_CONFIG_HOME": str(self.folder / "config"),
                            "XDG_STATE_HOME": str(self.folder / "state"), "PYTHONDONTWRITEBYTECODE": "1",
                            **{k: v for k, v in os.environ.items() if k.startswith(("ASAN_", "TSAN_", "UBSAN_"))}}

    def clean(self):
        for pid in self.daemons():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.folder, ignore_errors=True)

    def daemons(self):
        """Process ids of nodes that run from this test's folder."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.folder / "bin" / "troupe-node").encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def run_shell(self, *arguments, stdin="", environment=None):
        return subprocess.run([self.program, *map(str, arguments)], env={**self.environment, **(environment or {})}, input=stdin, text=True,
                              capture_output=True, timeout=60, cwd=self.folder)

    def ok(self, *arguments, **more):
        done = self.run_shell(*arguments, **more)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def refused(self, status, *arguments, **more):
        """stderr of a command that ends with this status."""
        done = self.run_shell(*arguments, **more)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stderr

    def json(self, *arguments):
        return json.loads(self.ok("-o", "json", *arguments))

    def data(self, cluster="local"):
        return self.folder / "data" / "troupe" / cluster

    def requests(self, method=None):
        all_of_them = [json.loads(line) for line in (self.data() / "requests.jsonl").read_text().splitlines()]
        return [r for r in all_of_them if method is None or r["method"] == method]
