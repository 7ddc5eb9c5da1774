"""What is done to the nodes. Each fault begins, lasts, and is healed; the round waits after each until appends go on."""
import os
import pathlib


class Fault:
    needs = None      # "cuts" or "disks": what the machine must give
    weight = 1.0
    lasts = (0.5, 3)  # seconds

    def __init__(self, round_):
        self.round, self.cluster, self.random = round_, round_.cluster, round_.random

    def victim(self):
        """Leaders above all: of the metadata, of logs; else a follower of a log, or anyone."""
        kind = self.random.choices(["metadata leader", "log leader", "log follower", "any"], [30, 35, 20, 15])[0]
        nodes = []
        if kind == "metadata leader":
            leader = self.cluster.metadata_leader()
            nodes = [leader] if leader else []
        elif kind.startswith("log"):
            leaders, followers = self.cluster.log_roles("clicks")
            nodes = leaders if kind == "log leader" else followers
        if not nodes:
            kind, nodes = "any", self.cluster.nodes
        node = self.random.choice(nodes)
        return node, f"{node.name} ({kind})"


class Kill(Fault):
    weight = 4
    lasts = (0.0, 3)

    def begin(self):
        self.node, what = self.victim()
        self.cluster.kill(self.node)
        return f"kill -9 of {what}"

    def heal(self):
        self.cluster.start(self.node)


class KillTwo(Fault):
    weight = 1

    def begin(self):
        first, what = self.victim()
        second = self.random.choice([n for n in self.cluster.nodes if n is not first])
        self.dead = [first, second]
        for node in self.dead:
            self.cluster.kill(node)
        return f"kill -9 of {what} and {second.name}"

    def heal(self):
        for node in self.dead:
            self.cluster.start(node)


class KillAll(Fault):
    weight = 0.4
    lasts = (0.0, 0.5)

    def begin(self):
        for node in self.cluster.nodes:
            self.cluster.kill(node)
        return "kill -9 of all nodes"

    def heal(self):
        for node in self.random.sample(self.cluster.nodes, len(self.cluster.nodes)):
            self.cluster.start(node)


class Hang(Fault):
    weight = 2
    lasts = (0.2, 4)

    def begin(self):
        self.node, what = self.victim()
        self.cluster.stop(self.node)
        return f"SIGSTOP of {what}"

    def heal(self):
        self.cluster.resume(self.node)


class CutOff(Fault):
    needs = "cuts"
    weight = 2
    lasts = (0.5, 5)

    def begin(self):
        node, what = self.victim()
        net = self.cluster.network
        self.name = f"cut {node.name}"
        net.set(self.name, [rule for other in self.cluster.nodes if other is not node for rule in (net.one_way(node.host, other.host), net.one_way(other.host, node.host))])
        return f"all lines of {what} are cut"

    def heal(self):
        self.cluster.network.heal(self.name)


class OneWay(CutOff):
    def begin(self):
        node, what = self.victim()
        net, speaks = self.cluster.network, self.random.random() < 0.5
        self.name = f"one way {node.name}"
        others = [other for other in self.cluster.nodes if other is not node]
        net.set(self.name, [net.one_way(other.host, node.host) if speaks else net.one_way(node.host, other.host) for other in others])
        return f"{what} {'is heard and hears nobody' if speaks else 'hears and is not heard'}"


class CutPair(CutOff):
    weight = 1

    def begin(self):
        node, what = self.victim()
        other = self.random.choice([n for n in self.cluster.nodes if n is not node])
        net = self.cluster.network
        self.name = f"pair {node.name} {other.name}"
        net.set(self.name, [net.one_way(node.host, other.host), net.one_way(other.host, node.host)])
        return f"the line between {what} and {other.name} is cut"


class Halves(CutOff):
    """A minority of two, with or without leaders, on its own."""
    weight = 1

    def begin(self):
        node, what = self.victim()
        other = self.random.choice([n for n in self.cluster.nodes if n is not node])
        minority = [node, other]
        majority = [n for n in self.cluster.nodes if n not in minority]
        net = self.cluster.network
        self.name = f"halves {node.name} {other.name}"
        net.set(self.name, [rule for a in minority for b in majority for rule in (net.one_way(a.host, b.host), net.one_way(b.host, a.host))])
        return f"{what} and {other.name} are cut off from the others"


class Loss(CutOff):
    weight = 1
    lasts = (2, 6)

    def begin(self):
        net = self.cluster.network
        self.name = "loss"
        net.set(self.name, [net.loss([n.host for n in self.cluster.nodes], 15)])
        return "15 % of all packets between nodes are lost"


class DiskFull(Fault):
    needs = "disks"
    weight = 1.5
    lasts = (1, 5)

    def begin(self):
        self.node, what = self.victim()
        self.filler = self.node.data / "filler"
        with open(self.filler, "wb") as file:
            free = os.statvfs(self.node.data)
            left = free.f_bavail * free.f_frsize
            while left > 0:  # by halves: the node may take what was just free
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), left)
                    file.seek(0, os.SEEK_END)
                    free = os.statvfs(self.node.data)
                    left = free.f_bavail * free.f_frsize
                except OSError:
                    left //= 2
        self.round.full.add(self.node)
        self.round.fat = self.random.random() < 0.5
        return f"the disk of {what} is full" + (", and lines are long" if self.round.fat else "")

    def heal(self):
        self.filler.unlink(missing_ok=True)
        self.round.fat = False
        self.round.full.discard(self.node)
        # A node whose disk is full may end, with its reason; whoever frees the disk starts it again.
        if not self.cluster.runs(self.node):
            self.cluster.start(self.node)


class Flip(Fault):
    """A bit of one copy of a sealed segment. Never of two copies of one segment: two others have to be intact."""
    weight = 1.5
    lasts = (0, 0.5)

    def begin(self):
        done = []
        for dataset in ("clicks", "corpus"):
            described = self.cluster.ask("GET", f"/api/v1/datasets/{dataset}", timeout=2.0)
            segments = [s for p in described["partitions"] for s in p["segments"] if len(s["copies"]) == 3 and s["id"] not in self.round.flipped] if described else []
            if not segments:
                continue
            segment = self.random.choice(segments)
            node = self.cluster.by_name[self.random.choice(segment["copies"])]
            path = pathlib.Path(node.data) / "segments" / f"{segment['id']}.seg"
            try:
                with open(path, "r+b") as file:
                    at = self.random.randrange(4096, max(4097, os.path.getsize(path)))
                    file.seek(at)
                    byte = file.read(1)[0]
                    file.seek(at)
                    file.write(bytes([byte ^ 1 << self.random.randrange(8)]))
            except FileNotFoundError:
                continue  # moved meanwhile
            self.round.flipped.add(segment["id"])
            done.append(f"byte {at} of segment {segment['id']} ({dataset}) on {node.name}")
        return "a bit is flipped: " + (", ".join(done) or "nothing is sealed with all copies yet")

    def heal(self):
        pass


ALL = [Kill, KillTwo, KillAll, Hang, CutOff, OneWay, CutPair, Halves, Loss, DiskFull, Flip]
