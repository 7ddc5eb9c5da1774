"""A cluster that encrypts on loopback, too: everything works as without, nodes join by token, the wrong ones do not, and secrets stay secret."""
import json
import os
import pathlib
import socket
import ssl
import subprocess
import time
import unittest
import urllib.error
import urllib.request

from support.cluster import BIN, Cluster


class EncryptedCluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=3, up=False)
        cls.cluster.up_arguments += ["--tls", "always"]
        cls.cluster.up()
        cls.by_hand = {}

    @classmethod
    def tearDownClass(cls):
        for process in cls.by_hand.values():
            process.kill()
            process.wait()
        cls.cluster.close()

    def data(self):
        return self.cluster.node_folder("node1").parent

    def start_by_hand(self, name, token, *more):
        """A node as an administrator starts it, with a token in a file."""
        folder = self.cluster.folder / "by_hand" / name
        folder.mkdir(parents=True)
        file = self.cluster.folder / f"{name}.token"
        file.touch(mode=0o600)
        file.write_text(token + "\n")
        seeds = ",".join(n["address"] for n in self.cluster.nodes().values() if n["state"] == "alive")
        log = open(folder / "node.log", "w")
        self.addCleanup(log.close)
        process = subprocess.Popen([BIN / "troupe-node", "--data", folder / "data", "--listen", "127.0.0.1:0", "--tls", "always", "--name", name,
                                    "--join", seeds, "--token-file", file, "--memory", "64MiB", *more], stderr=log, env=self.cluster.environment)
        self.by_hand[name] = process
        return folder, process

    def wait_ready(self, folder, process):
        end = time.monotonic() + 30
        while not (folder / "data" / "ready.json").exists():
            self.assertIsNone(process.poll(), (folder / "node.log").read_text())
            self.assertLess(time.monotonic(), end, (folder / "node.log").read_text())
            time.sleep(0.01)

    def join_token(self, *more):
        return self.cluster.shell("token", "create", *more).strip()

    def test_1_jobs_run(self):
        c = self.cluster
        text = c.folder / "text"
        text.write_text("to be or not to be\n" * 20_000)
        c.shell("import", text, "to", "corpus", "--partitions", "6")
        c.load("word_count")
        c.shell("run", "word_count", "corpus", "to", "counts", timeout=120)
        counts = dict(line.split("\t") for line in c.shell("export", "counts", "to", "-").splitlines())
        self.assertEqual(counts, {"to": "40000", "be": "40000", "or": "20000", "not": "20000"})
        self.assertEqual([n["state"] for n in c.nodes().values()].count("alive"), 3)

    def test_2_nothing_is_plain(self):
        host, port = self.cluster.nodes()["node1"]["address"].split(":")
        for opening in (b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\x89TRP\r\n\x1a\n"):
            with socket.create_connection((host, int(port)), timeout=10) as plain:
                plain.sendall(opening)
                answer = plain.recv(4096)
            self.assertNotIn(b"200", answer.split(b"\r\n")[0])
        # What a program of somebody else's makes of it: the authority's certificate is all that it needs.
        context = ssl.create_default_context(cafile=self.data() / "ca.crt")
        with socket.create_connection((host, int(port)), timeout=10) as raw, context.wrap_socket(raw, server_hostname=host) as secured:
            self.assertEqual(secured.version(), "TLSv1.3")
            secured.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            self.assertIn(b"200", secured.recv(4096))
        old = ssl.create_default_context(cafile=self.data() / "ca.crt")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection((host, int(port)), timeout=10) as raw, self.assertRaises(ssl.SSLError):
            old.wrap_socket(raw, server_hostname=host)
        with socket.create_connection((host, int(port)), timeout=10) as raw, self.assertRaises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(raw, server_hostname=host)

    def test_3_a_node_joins_by_token_once_and_is_revoked(self):
        token = self.join_token()
        begun = time.monotonic()
        folder, process = self.start_by_hand("extra", token)
        self.wait_ready(folder, process)
        took = time.monotonic() - begun
        print(f"joined by token in {took:.2f} s")
        self.assertLess(took, 2.0 if not os.environ.get("TROUPE_SLOW") else 20.0)
        self.assertEqual((folder / "data" / "token").read_text().strip(), self.cluster.token())
        self.assertEqual(self.cluster.nodes()["extra"]["state"], "alive")
        # Replay: it has let in as many as it may.
        again, second = self.start_by_hand("second", token)
        self.assertNotEqual(second.wait(timeout=30), 0)
        self.assertIn("has let in as many members as it may", (again / "node.log").read_text())

        self.cluster.shell("revoke", "extra", "--reason", "test")
        end = time.monotonic() + 10
        while self.cluster.nodes()["extra"]["state"] == "alive":
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        process.kill()
        process.wait()
        (folder / "data" / "ready.json").unlink()
        log = open(folder / "again.log", "w")
        self.addCleanup(log.close)
        back = subprocess.Popen([BIN / "troupe-node", "--data", folder / "data"], stderr=log, env=self.cluster.environment)
        self.by_hand["back"] = back
        end = time.monotonic() + 20
        while "revoked" not in (folder / "again.log").read_text():
            self.assertLess(time.monotonic(), end, (folder / "again.log").read_text())
            time.sleep(0.05)
        self.assertFalse((folder / "data" / "ready.json").exists())

    def test_4_tokens_that_are_no_good(self):
        revoked = self.join_token()
        self.cluster.shell("token", "revoke", revoked.removeprefix("troupe-join-").split(".")[0])
        expired = self.join_token("--for", "1s")
        stranger = "troupe-join-" + "0" * 16 + "." + "0" * 64 + "." + revoked.split(".")[2]
        pinned_elsewhere = ".".join([*self.join_token().split(".")[:2], "a" * 64])
        self.cluster.shell("user", "set", "ann", "--role", "admin")
        access = self.cluster.shell("token", "create", "--user", "ann").strip()
        time.sleep(1.1)  # the token's own time
        for name, token, words in (("revoked", revoked, "was revoked"), ("expired", expired, "has expired"), ("stranger", stranger, "is no join token of the cluster"),
                                   ("pinned", pinned_elsewhere, "its certificate is refused"), ("access", access, "a node needs a join token")):
            with self.subTest(name):
                folder, process = self.start_by_hand(name, token)
                self.assertNotEqual(process.wait(timeout=60), 0)
                log = (folder / "node.log").read_text()
                self.assertIn(words, log)
                self.assertNotIn(token.split(".")[1], log)

    def test_5_it_comes_back_with_its_data_and_another_cluster_is_no_friend(self):
        c = self.cluster
        c.shell("down", timeout=120)
        c.up()
        self.assertIn("corpus", [d["name"] for d in c.json("datasets")])
        with Cluster(nodes=1, up=False) as other:
            other.up_arguments += ["--tls", "always"]
            other.up()
            authority = c.node_folder("node1").parent / "ca.crt"
            address = other.nodes()["node1"]["address"]
            refused = c.run("connect", address, "--token-file", c.node_folder("node1") / "token", "--authority", authority, "to", "elsewhere")
            self.assertEqual(refused.returncode, 3, refused.stderr)
            self.assertIn("its certificate is refused", refused.stderr)

    def test_7_every_voter_signs_so_that_nodes_join_without_the_first(self):
        end = time.monotonic() + 60
        while [n["signs"] for n in self.cluster.nodes().values() if n["state"] == "alive" and n["role"] != "learner"] != [True] * 3:
            self.assertLess(time.monotonic(), end, self.cluster.nodes())
            time.sleep(0.1)
        for node in self.cluster.nodes().values():
            if node["state"] == "alive":
                self.assertIsNotNone(node["certificate_expires_at"])
        for name in ("node1", "node2", "node3"):
            key = self.data() / name / "security" / "ca.key"
            self.assertIn("ENCRYPTED", key.read_text())
            self.assertEqual(key.stat().st_mode & 0o077, 0)
        # The cluster's token alone does not get it, not even on this machine, nor a member that is none.
        node = self.cluster.nodes()["node2"]
        request = urllib.request.Request(f"https://{node['address']}/api/v1/join/authority", method="POST", data=json.dumps({"member": node["id"]}).encode(),
                                         headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.cluster.token()}"})
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context(cafile=self.data() / "ca.crt"))
        self.assertEqual(refused.exception.code, 403)
        refused.exception.close()
        token = self.join_token()
        self.cluster.shell("kill", "node1")
        folder, process = self.start_by_hand("late", token)
        self.wait_ready(folder, process)
        self.assertEqual(self.cluster.nodes()["late"]["state"], "alive")
        self.cluster.up()

    def test_8_secrets_are_nowhere(self):
        data = self.data()
        secrets = {"the cluster's token": self.cluster.token(), "the administrator's": (data / "access-token").read_text().strip().split(".")[1],
                   "the seal": (data / "node1" / "security" / "ca.seal").read_text().strip()}
        for name in ("node1", "node2", "node3"):
            key = (data / name / "security" / "node.key").read_text()
            secrets[f"{name}'s key"] = key.splitlines()[1]
            self.assertEqual((data / name / "security" / "node.key").stat().st_mode & 0o077, 0)
        self.assertIn("ENCRYPTED", (data / "node1" / "security" / "ca.key").read_text())
        texts = {str(log): log.read_bytes() for log in self.cluster.folder.rglob("*.log")}
        for process in pathlib.Path("/proc").iterdir():
            try:
                if process.name.isdigit() and b"troupe" in (process / "cmdline").read_bytes():
                    texts[f"{process}/cmdline"] = (process / "cmdline").read_bytes()
                    texts[f"{process}/environ"] = (process / "environ").read_bytes()
            except OSError:
                pass
        texts["an error"] = json.dumps(self.cluster.run("connect", "127.0.0.1:1", "--token-file", data / "token").stderr).encode()
        texts["metrics and events"] = self.cluster.run("-o", "json", "events").stdout.encode()
        self.assertGreater(len(texts), 5)
        for where, text in texts.items():
            for what, secret in secrets.items():
                self.assertNotIn(secret.encode(), text, f"{what} is in {where}")
            self.assertNotIn(b"PRIVATE KEY", text, where)


if __name__ == "__main__":
    unittest.main()
