"""`spawn` on machines with addresses of their own, through real sshds; everything between them is encrypted."""
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from support import hosts
from support.cluster import BIN, Cluster

WHY_NOT = hosts.enter()


# Notes its arguments, and starts the unit's program as systemd would: detached, with its output where the properties say.
SYSTEMD_RUN = '''#!/bin/sh
here=$(dirname "$0")
printf '%s\\n' "$@" >"$here/arguments"
out=/dev/null unit=
while [ $# -gt 0 ]; do
  case $1 in
    --unit=*) unit=${1#--unit=} ;;
    -p) shift; case $1 in StandardOutput=append:*) out=${1#StandardOutput=append:} ;; esac ;;
    --*) ;;
    *) break ;;
  esac
  shift
done
setsid "$@" </dev/null >>"$out" 2>&1 &
echo $! >"$here/$unit.pid"
'''
SYSTEMCTL = '''#!/bin/sh
here=$(dirname "$0")
case "$*" in
  "--user show-environment") exit 0 ;;
  "--user --quiet is-active "*) shift 3; grep -q "^State:[[:space:]]*[^Z[:space:]]" "/proc/$(cat "$here/$1.pid")/status" 2>/dev/null ;;
  *) echo "systemctl is not called like this: $*" >&2; exit 64 ;;
esac
'''


@unittest.skipIf(WHY_NOT, WHY_NOT)
class SpawnOnHosts(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="troupe-hosts-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        # «two» has a systemd of its user's, as far as anybody asks it: programs of that name, which note how they were called.
        self.tools = self.folder / "tools"
        self.tools.mkdir()
        for name, text in (("systemd-run", SYSTEMD_RUN), ("systemctl", SYSTEMCTL)):
            (self.tools / name).write_text(text)
            (self.tools / name).chmod(0o755)
        systemd = {"PATH": f"{self.tools}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "XDG_RUNTIME_DIR": self.tools}
        self.hosts = hosts.Hosts(self.folder, ["one", "two", "three", "off"], silent=["off"], environment={"two": systemd})
        self.addCleanup(self.hosts.close)
        self.cluster = Cluster(nodes=1, up=False, memory="64MiB")
        self.addCleanup(self.cluster.close)
        self.cluster.up_arguments += ["--address", hosts.OWN]
        self.cluster.up()

    def spawn(self, *names, more=()):
        return self.cluster.run("spawn", *(self.hosts.address[n] for n in names), "--memory", "64MiB", "--ssh-config", self.folder / "ssh_config", *more)

    def wait_state(self, node, *states):
        end = time.monotonic() + 20
        while self.cluster.nodes().get(node, {}).get("state", "gone") not in states:
            self.assertLess(time.monotonic(), end, self.cluster.nodes())
            time.sleep(0.05)

    def test_nodes_on_other_machines(self):
        c = self.cluster
        begun = time.monotonic()
        done = self.spawn("one", "two", "three", "off")
        took = time.monotonic() - begun
        print(f"spawn on four hosts, one of them off: {took:.1f} s")
        # One that is off does not stop the others, and is told.
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("1 of 4 nodes did not start", done.stderr)
        self.assertIn(f"node5 did not start on {self.hosts.address['off']}", done.stderr)
        nodes = c.nodes()
        self.assertEqual({n: nodes[n]["state"] for n in nodes}, {f"node{i}": "alive" for i in (1, 2, 3, 4)})
        by_host = {address: name for name, address in self.hosts.address.items()}
        where = {n: by_host.get(nodes[n]["address"].rsplit(":", 1)[0], "here") for n in nodes}
        self.assertEqual(sorted(where.values()), ["here", "one", "three", "two"])

        # Nothing that they were told is to be seen in a list of processes, and the join token is gone from the disk.
        secret = c.token().encode()
        for n, host in where.items():
            if host == "here":
                continue
            (pid,) = self.hosts.processes(host)
            for part in ("cmdline", "environ"):
                text = pathlib.Path(f"/proc/{pid}/{part}").read_bytes()
                self.assertNotIn(secret, text)
                self.assertNotIn(b"troupe-join-", text)
            kept = self.hosts.home(host) / "troupe" / "local" / n
            self.assertEqual((kept / "token").read_text().strip().encode(), secret)
            self.assertEqual((kept / "token").stat().st_mode & 0o077, 0)
        # A plain request is refused wherever it goes, and the cluster's token alone is worth nothing from another machine.
        for n, node in nodes.items():
            plain = subprocess.run(["ip", "netns", "exec", "one", "python3", "-c",
                                    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); s.sendall(b'GET /livez HTTP/1.1\\r\\n"
                                    "Host: x\\r\\n\\r\\n'); print(s.recv(1000))", *node["address"].rsplit(":", 1)], capture_output=True, text=True)
            self.assertIn("use https", plain.stdout, plain.stderr)
        authority = c.node_folder("node1").parent / "ca.crt"
        ask = ("import ssl, sys, urllib.request\nr = urllib.request.Request(sys.argv[1], headers={'Authorization': 'Bearer ' + sys.stdin.read().strip()})\n"
               "try: print(urllib.request.urlopen(r, context=ssl.create_default_context(cafile=sys.argv[2])).status)\n"
               "except urllib.error.HTTPError as e: print(e.code)")
        url = f"https://{nodes['node1']['address']}/api/v1/nodes"
        outside = lambda token: subprocess.run(["ip", "netns", "exec", "one", "python3", "-c", ask, url, authority], input=token, capture_output=True, text=True).stdout.strip()
        self.assertEqual(outside(c.token()), "401")
        self.assertEqual(outside((authority.parent / "access-token").read_text()), "200")

        # Work goes across.
        text = c.folder / "text"
        text.write_text("to be or not to be\n" * 50_000)
        c.shell("import", text, "to", "corpus", "--partitions", "4")
        c.load("word_count")
        c.shell("run", "word_count", "corpus", "to", "counts", timeout=120)
        self.assertIn("be\t100000", c.shell("export", "counts", "to", "-"))

        # They are killed, started, drained and removed like those here.
        victim = next(n for n, host in where.items() if host == "two")
        c.shell("kill", victim)
        self.wait_state(victim, "dead", "suspect")
        c.shell("start", victim)
        self.wait_state(victim, "alive")
        c.shell("drain", victim, timeout=120)
        c.shell("remove", victim)
        self.assertNotIn(victim, c.nodes())
        end = time.monotonic() + 20  # it has left; its process finishes in order
        while self.hosts.processes("two"):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_where_the_user_has_a_systemd_the_node_is_a_unit_of_it(self):
        c = self.cluster
        done = self.spawn("two")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(c.nodes()["node2"]["state"], "alive")
        arguments = (self.tools / "arguments").read_text().splitlines()
        data = self.hosts.home("two") / "troupe" / "local" / "node2"
        log = f"append:{data}/node.log"
        before = ["--quiet", "--user", "--collect", "--unit=troupe-local-node2", "-p", f"StandardOutput={log}", "-p", f"StandardError={log}", "-p", "NoNewPrivileges=yes", "-p", "UMask=0077"]
        self.assertEqual(arguments[:len(before)], before)
        program, *options = arguments[len(before):]
        self.assertEqual(pathlib.Path(program).name, "troupe-node")
        self.assertEqual(options[:2], ["--data", str(data)])
        self.assertIn(self.hosts.address["two"] + ":0", options)
        for secret in (c.token(), "troupe-join-"):
            self.assertNotIn(secret, "\n".join(arguments))
        # systemd-run knows these words: an unknown option or property would end it before it looks for a manager.
        if shutil.which("systemd-run"):
            real = subprocess.run(["systemd-run", *before, "--help"], capture_output=True, text=True)
            self.assertEqual(real.returncode, 0, real.stderr)
        # After its end it begins again as the same unit, with nothing but its data.
        (pid,) = self.hosts.processes("two")
        c.shell("kill", "node2")
        self.wait_state("node2", "dead", "suspect")
        c.shell("start", "node2")
        self.wait_state("node2", "alive")
        self.assertEqual((self.tools / "arguments").read_text().splitlines(), before + [program, "--data", str(data)])
        self.assertNotEqual(self.hosts.processes("two"), [pid])
        # A unit that ends before it is ready is told at once, with its last words.
        c.shell("kill", "node2")
        self.wait_state("node2", "dead", "suspect")
        (data / "identity.json").unlink()
        begun = time.monotonic()
        failed = c.run("start", "node2")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("its identity.json is gone", failed.stderr)
        self.assertLess(time.monotonic() - begun, 20)

    def test_programs_are_copied_and_other_versions_are_refused(self):
        bin_there = self.hosts.home("one") / "troupe" / "bin"
        bin_there.mkdir(parents=True)
        (bin_there / "troupe-node").write_text("#!/bin/sh\necho 0.0.1\n")
        (bin_there / "troupe-node").chmod(0o755)
        refused = self.spawn("one")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is version 0.0.1", refused.stderr)
        done = self.spawn("one", more=["--install"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((bin_there / "troupe-node").read_bytes()[:64], (BIN / "troupe-node").read_bytes()[:64])
        (pid,) = self.hosts.processes("one")
        self.assertEqual(pathlib.Path(f"/proc/{pid}/exe").readlink(), bin_there / "troupe-node")


if __name__ == "__main__":
    unittest.main()
