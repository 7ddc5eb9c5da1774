"""Machines of a test's own: network namespaces with an address and an sshd each, behind one bridge. What is done here stays in namespaces of the test's."""
import getpass
import os
import pathlib
import shutil
import subprocess
import sys
import time

MARK = "TROUPE_HOSTS_NAMESPACE"
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
OWN = "10.77.0.1"


def enter():
    """Runs this program again in namespaces of its own. A sentence why not, or nothing."""
    if os.environ.get(MARK):
        return None
    for program in ("unshare", "ip", "ssh", "ssh-keygen"):
        if not shutil.which(program):
            return f"{program} is missing"
    if not os.access(SSHD, os.X_OK):
        return "openssh-server is not installed"
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    probe = "mount -t tmpfs tmpfs /run && ip link add name probe0 type bridge && ip link add name probe1 type veth peer name probe2 && ip netns add x && ip link set probe2 netns x"
    if os.geteuid() != 0 or subprocess.run(["unshare", *flags, "sh", "-c", probe], capture_output=True).returncode != 0:
        return "this machine gives no network namespaces with addresses of their own (root, veth)"
    os.execvpe("unshare", ["unshare", *flags, sys.executable, *sys.orig_argv[1:]], {**os.environ, MARK: "1"})


class Hosts:
    """`names` as hosts with addresses 10.77.0.11, 12 …; those in `silent` have no sshd. `environment` has variables for programs that are run on a host: {name: {variable:
    value}}."""

    def __init__(self, folder, names, silent=(), environment=None):
        self.folder = pathlib.Path(folder)
        self.address = {name: f"10.77.0.{11 + i}" for i, name in enumerate(names)}
        run = lambda *words: subprocess.run(words, check=True, capture_output=True)
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        os.makedirs("/run/sshd")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "name", "bridge0", "type", "bridge")
        run("ip", "address", "add", f"{OWN}/24", "dev", "bridge0")
        run("ip", "link", "set", "bridge0", "up")
        for key in ("host", "user"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key)
        shutil.copy2(self.folder / "user.pub", self.folder / "authorized")
        known, config, self.daemons = [], [], []
        for i, (name, address) in enumerate(self.address.items()):
            run("ip", "netns", "add", name)
            run("ip", "link", "add", "name", f"v{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"v{i}", "master", "bridge0", "up")
            inside = lambda *words, name=name: run("ip", "-n", name, *words)
            inside("address", "add", f"{address}/24", "dev", "eth0")
            inside("link", "set", "eth0", "up")
            inside("link", "set", "lo", "up")
            home = self.home(name)
            home.mkdir()
            (self.folder / f"sshd_{name}").write_text(
                f"ListenAddress {address}\nPort 22\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/authorized\nPidFile none\n"
                f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
                "SetEnv " + " ".join(f"{k}={v}" for k, v in {"XDG_DATA_HOME": home, **(environment or {}).get(name, {})}.items()) + "\n")
            known.append(f"{address} {(self.folder / 'host.pub').read_text()}")
            config.append(f"Host {address}\n  User {getpass.getuser()}\n  IdentityFile {self.folder}/user\n  IdentitiesOnly yes\n"
                          f"  UserKnownHostsFile {self.folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n")
            if name not in silent:
                with open(self.folder / f"sshd_{name}.log", "w") as log:
                    self.daemons.append(subprocess.Popen(["ip", "netns", "exec", name, SSHD, "-D", "-e", "-f", self.folder / f"sshd_{name}"], stderr=log))
        (self.folder / "known_hosts").write_text("".join(known))
        (self.folder / "ssh_config").write_text("".join(config))
        end = time.monotonic() + 20
        for name, address in self.address.items():
            while name not in silent:
                if subprocess.run(["ssh", "-F", self.folder / "ssh_config", "-o", "BatchMode=yes", address, "true"], capture_output=True).returncode == 0:
                    break
                if time.monotonic() > end:
                    raise AssertionError((self.folder / f"sshd_{name}.log").read_text())

    def home(self, name):
        return self.folder / f"home_{name}"

    def processes(self, name):
        """Ids of the nodes that run on that host."""
        ids = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True).stdout.split()
        return [int(i) for i in ids if b"troupe-node" in pathlib.Path(f"/proc/{i}/cmdline").read_bytes()]

    def close(self):
        for name in self.address:
            for i in subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split():
                try:
                    os.kill(int(i), 9)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "delete", name], check=True)
        for daemon in self.daemons:
            daemon.wait()
        subprocess.run(["ip", "link", "delete", "bridge0"], check=True)
        subprocess.run(["umount", "-l", "/run"], check=True)
