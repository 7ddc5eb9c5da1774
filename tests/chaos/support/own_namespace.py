"""Network, mount and process namespaces of a test's own: rules of its own packet filter, disks of its own size, and nothing that outlives it."""
import os
import pathlib
import shutil
import subprocess
import sys

MARK = "TROUPE_CHAOS_NAMESPACE"  # set within: what the namespace can do, a comma between


def able(flags):
    return subprocess.run(["unshare", *flags, "true"], capture_output=True).returncode == 0


def enter():
    """Runs this program again in namespaces of its own, if the machine gives them. Returns what can be done here: a set of "cuts" and "disks"; and why not
    more, a sentence or nothing."""
    if MARK in os.environ:
        can = set(filter(None, os.environ[MARK].split(",")))
        if "cuts" in can:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        missing = os.environ.get(MARK + "_LACKS", "")
        return can, missing
    base = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    if not shutil.which("unshare") or not able([*user, *base]):
        os.environ[MARK], os.environ[MARK + "_LACKS"] = "", "this machine gives no namespaces (unshare is refused): no cuts, no loss, no full disks"
        return enter()
    can, lacks = {"disks"}, ""
    network = []
    if not shutil.which("nft") or not shutil.which("ip"):
        lacks = "nft or ip is missing (packages nftables, iproute2): no cuts, no loss"
    elif not able([*user, *base, "--net"]):
        lacks = "this machine gives no network namespaces: no cuts, no loss"
    elif subprocess.run(["unshare", *user, *base, "--net", "nft", "add", "table", "inet", "probe"], capture_output=True).returncode != 0:
        lacks = "the packet filter (nft) does not work in a namespace here: no cuts, no loss"
    else:
        can.add("cuts")
        network = ["--net"]
    environment = {**os.environ, MARK: ",".join(sorted(can)), MARK + "_LACKS": lacks}
    os.execvpe("unshare", ["unshare", *user, *base, *network, sys.executable, *sys.orig_argv[1:]], environment)


def tmpfs(path, mebibytes):
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=700", "tmpfs", path], check=True)


class Network:
    """Which packets between nodes are lost. Every node sends from its own address, clients from CLIENT, which nothing here ever cuts."""
    CLIENT = "127.0.0.100"

    def __init__(self, works):
        self.works = works
        self.cuts = {}  # name of the fault: [rule]

    def apply(self):
        rules = "\n".join(rule for rules in self.cuts.values() for rule in rules)
        # Lost where they arrive: a sender that hears of a drop would not behave as with a cut cable.
        text = f"""table inet chaos
delete table inet chaos
table inet chaos {{
  chain arriving {{
    type filter hook input priority 0;
{rules}
  }}
}}
"""
        subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)

    def set(self, name, rules):
        self.cuts[name] = rules
        self.apply()

    def heal(self, name):
        if self.cuts.pop(name, None) is not None:
            self.apply()

    @staticmethod
    def one_way(a, b):
        return f"    ip saddr {a} ip daddr {b} drop"

    @staticmethod
    def loss(addresses, percent):
        among = ", ".join(addresses)
        return f"    ip saddr {{ {among} }} ip daddr {{ {among} }} numgen random mod 100 < {percent} drop"
