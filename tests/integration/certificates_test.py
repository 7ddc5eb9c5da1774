"""Certificates of a running node: a node's own is renewed before it ends, given files are read again when they change; connections that are there stay."""
import http.client
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import time
import unittest
import uuid

from support.cluster import BIN, Cluster

WHY_NOT = None if shutil.which("openssl") else "openssl is missing"

CONFIGURATION = """[ca]
default_ca = own
[own]
dir = {folder}
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
certificate = {ca}
private_key = {key}
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[extensions]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


def day(offset):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + offset * 86400))


@unittest.skipIf(WHY_NOT, WHY_NOT)
class Certificates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=2, up=False, memory="64MiB")
        cls.cluster.up_arguments += ["--tls", "always"]
        cls.cluster.up()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="troupe-pki-"))
        first = cls.cluster.node_folder("node1")
        (cls.folder / "index.txt").touch()
        (cls.folder / "serial").write_text("7700")
        cls.authority = first / "security" / "ca.crt"
        cls.authority_key, cls.seal = first / "security" / "ca.key", first / "security" / "ca.seal"
        cls.cluster_id = json.loads((first / "identity.json").read_text())["cluster_id"]

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()
        shutil.rmtree(cls.folder, True)

    def openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    def make(self, member, key, begins, ends):
        """A certificate of that member for that key, from the cluster's own authority, as somebody with its key and seal makes it by hand."""
        names = f"URI:troupe://{self.cluster_id}/{member},IP:127.0.0.1"
        (self.folder / "ca.cnf").write_text(CONFIGURATION.format(folder=self.folder, ca=self.authority, key=self.authority_key, names=names))
        self.openssl("req", "-new", "-key", key, "-subj", "/CN=by hand", "-out", self.folder / "csr")
        self.openssl("ca", "-batch", "-notext", "-config", self.folder / "ca.cnf", "-extensions", "extensions", "-passin", f"file:{self.seal}", "-in", self.folder / "csr", "-out",
                     self.folder / "made.crt", "-startdate", day(begins), "-enddate", day(ends))
        return (self.folder / "made.crt").read_text()

    def new_key(self, path):
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        path.chmod(0o600)

    def shown(self, address):
        """The certificate that a new connection sees."""
        context = ssl.create_default_context(cafile=self.authority)
        host, port = address.split(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=10, context=context)
        connection.connect()
        try:
            return connection.sock.getpeercert()
        finally:
            connection.close()

    def wait_for_log(self, log, words, after=0):
        end = time.monotonic() + 60
        while words not in log.read_text()[after:]:
            self.assertLess(time.monotonic(), end, log.read_text()[-3000:])
            time.sleep(0.05)

    def test_given_files_are_read_again_without_a_restart(self):
        member, folder = uuid.uuid4(), self.folder / "given"
        folder.mkdir()
        self.new_key(folder / "node.key")
        (folder / "node.crt").write_text(self.make(member, folder / "node.key", -1, 20.5))
        shutil.copy(self.authority, folder / "ca.crt")
        (folder / "token").touch(mode=0o600)
        (folder / "token").write_text(self.cluster.token())
        seed = self.cluster.nodes()["node1"]["address"]
        (folder / "given.toml").write_text(f'listen = "127.0.0.1:0"\nname = "given"\ntls = "always"\nmemory = "64MiB"\njoin = ["{seed}"]\ntoken-file = "{folder}/token"\n'
                                           f'certificate = "{folder}/node.crt"\ncertificate-key = "{folder}/node.key"\nauthority = "{folder}/ca.crt"\n')
        log = folder / "node.log"
        log.touch()
        process = subprocess.Popen([BIN / "troupe-node", "--data", folder / "data", "--config", folder / "given.toml", "--log-file", log], env=self.cluster.environment)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        end = time.monotonic() + 30
        while not (folder / "data" / "ready.json").exists():
            self.assertIsNone(process.poll(), log.read_text())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        node = self.cluster.nodes()["given"]
        self.assertEqual(node["id"], str(member))
        before = self.shown(node["address"])
        self.assertIn(("URI", f"troupe://{self.cluster_id}/{member}"), before["subjectAltName"])
        self.wait_for_log(log, "certificate ends in 20 days")

        # A connection from before, which shall go on.
        context = ssl.create_default_context(cafile=self.authority)
        kept = http.client.HTTPSConnection(*node["address"].split(":"), timeout=30, context=context)
        self.addCleanup(kept.close)
        headers = {"Authorization": f"Bearer {self.cluster.token()}"}
        kept.request("GET", "/api/v1/cluster", headers=headers)
        self.assertEqual(kept.getresponse().read()[:1], b"{")
        socket_before = kept.sock

        # Half of a change: the key is another's. It is told once, and the good one goes on.
        self.new_key(folder / "new.key")
        second = self.make(member, folder / "new.key", -1, 80)
        (folder / "node.crt.new").write_text(second)
        os.replace(folder / "node.crt.new", folder / "node.crt")
        self.wait_for_log(log, "the new certificate is not taken")
        self.assertEqual(self.shown(node["address"])["serialNumber"], before["serialNumber"])
        os.replace(folder / "new.key", folder / "node.key")
        self.wait_for_log(log, "took the new certificate")
        after = self.shown(node["address"])
        self.assertNotEqual(after["serialNumber"], before["serialNumber"])
        self.assertEqual(after["subjectAltName"], before["subjectAltName"])
        self.assertEqual(log.read_text().count("the new certificate is not taken"), 1)
        # Another member's is not taken, though the authority signed it.
        (folder / "other.crt").write_text(self.make(uuid.uuid4(), folder / "node.key", -1, 80))
        size = len(log.read_text())
        os.replace(folder / "other.crt", folder / "node.crt")
        self.wait_for_log(log, "the new certificate is not taken", size)
        self.assertEqual(self.shown(node["address"])["serialNumber"], after["serialNumber"])

        kept.request("GET", "/api/v1/cluster", headers=headers)
        self.assertEqual(kept.getresponse().status, 200)
        self.assertIs(kept.sock, socket_before)
        self.assertIsNone(process.poll())
        self.assertEqual(self.cluster.nodes()["given"]["state"], "alive")
        self.assertEqual(self.cluster.nodes()["given"]["pid"], process.pid)

    def test_a_certificate_near_its_end_is_renewed(self):
        c = self.cluster
        node = c.nodes()["node2"]
        security = c.node_folder("node2") / "security"
        log = c.node_folder("node2") / "node.log"
        c.shell("kill", "node2")
        # Its own key, and a certificate that has been good for 80 days and will be for 10.
        (security / "node.crt").write_text(self.make(node["id"], security / "node.key", -80, 10))
        c.up()
        address = c.nodes()["node2"]["address"]
        end = time.monotonic() + 60
        while True:
            left = ssl.cert_time_to_seconds(self.shown(address)["notAfter"]) - time.time()
            if left > 85 * 86400:
                break
            self.assertLess(left, 11 * 86400)
            self.assertLess(time.monotonic(), end, log.read_text()[-3000:])
            time.sleep(0.1)
        self.assertNotIn("by hand", str(self.shown(address)["subject"]))
        # What is on the disk is the new one, too, with its key; and everybody hears of it.
        lasts = ["openssl", "x509", "-in", security / "node.crt", "-noout", "-checkend", str(85 * 86400)]
        c.wait_until("the new one is on the disk", lambda: subprocess.run(lasts, capture_output=True).returncode == 0)
        c.wait_until("nodes tells the new end", lambda: c.nodes()["node2"]["certificate_expires_at"] > time.strftime("%Y-%m-%dT", time.gmtime(time.time() + 85 * 86400)))
        self.assertEqual(c.nodes()["node2"]["state"], "alive")
        c.shell("kill", "node2")
        c.up()
        self.assertEqual(c.nodes()["node2"]["state"], "alive")


if __name__ == "__main__":
    unittest.main()
