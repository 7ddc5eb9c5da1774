"""`spawn` through a real sshd on 127.0.0.2."""
import getpass
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import unittest

from support import ShellTest

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@unittest.skipUnless(os.access(SSHD, os.X_OK), "openssh-server is not installed (scripts/setup --tests)")
class SpawnThroughSsh(ShellTest):
    def setUp(self):
        super().setUp()
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key], check=True)
        shutil.copy2(self.folder / "user.pub", self.folder / "authorized")
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
            self.port = probe.getsockname()[1]
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.2\nPort {self.port}\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/authorized\n"
            f"PidFile {self.folder}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
            f"SetEnv XDG_DATA_HOME={self.folder}/there\n")
        (self.folder / "ssh_config").write_text(
            f"Host 127.0.0.2\n  Port {self.port}\n  User {getpass.getuser()}\n  IdentityFile {self.folder}/user\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n")
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # sshd's own wish; the service makes it too
        log = open(self.folder / "sshd.log", "w")
        self.addCleanup(log.close)
        sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", self.folder / "sshd_config"], stderr=log)
        self.addCleanup(sshd.wait)
        self.addCleanup(sshd.terminate)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.2", self.port), timeout=5).close()
                break
            except OSError:
                self.assertIsNone(sshd.poll(), (self.folder / "sshd.log").read_text())
                self.assertLess(time.monotonic(), end)
                time.sleep(0.02)

    def test_a_node_is_started_and_joins(self):
        self.ok("up", "1")
        refused = self.refused(1, "spawn", "127.0.0.2", "--ssh-config", "ssh_config")
        self.assertIn("Host key verification failed", refused)
        self.assertIn("node2 did not start on 127.0.0.2", refused)

        host_key = (self.folder / "host.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.2]:{self.port} {host_key}")
        done = self.run_shell("spawn", "127.0.0.2", "--slots", "3", "--ssh-config", "ssh_config")
        self.assertEqual(done.returncode, 0, done.stderr + (self.folder / "sshd.log").read_text())
        self.assertIn("node2 runs on 127.0.0.2 (127.0.0.2:", done.stderr)
        there = self.folder / "there" / "troupe" / "local" / "node2"
        about = json.loads((there / "node.json").read_text())
        token = (self.data() / "token").read_text().strip()
        self.assertEqual(about["token"], token)
        self.assertEqual(about["join"], json.loads((self.data() / "node1" / "ready.json").read_text())["address"])
        self.assertEqual(about["slots"], "3")
        self.assertEqual(there.stat().st_mode & 0o077, 0)
        pid = int((there / "node.pid").read_text())
        self.assertNotIn(token.encode(), pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
        self.assertNotIn(token.encode(), pathlib.Path(f"/proc/{pid}/environ").read_bytes())
        self.assertEqual(os.getsid(pid), pid)  # ssh's end is not its end
        self.assertIn(about["address"], self.json("clusters")[0]["addresses"])

    def test_a_node_that_does_not_start_there_is_said(self):
        self.ok("up", "1")
        (self.folder / "known_hosts").write_text(f"[127.0.0.2]:{self.port} " + (self.folder / "host.pub").read_text())
        (self.folder / "bin" / "troupe-node").write_text("#!/bin/sh\necho 'no luck here' >&2; exit 3\n")
        refused = self.refused(1, "spawn", "127.0.0.2", "--ssh-config", "ssh_config")
        self.assertIn("no luck here", refused)


if __name__ == "__main__":
    unittest.main()
