"""The metadata service alone, against fdatasync; and every row of replicated logs together."""
import os
import statistics
import subprocess
import time
import uuid

import bench_log
from bench_cluster import WORK, Cluster, die, finish, say
from bench_import import import_file


class MetadataMembers:
    """Three processes of tests/benchmark/metadata_member.cpp: the metadata service alone."""

    def __init__(self, programs):
        self.program = programs / "benchmark" / "metadata_member"
        self.folder = WORK / "metadata"
        subprocess.run(["rm", "-rf", self.folder], check=True)
        self.folder.mkdir(parents=True)
        self.cluster = str(uuid.uuid4())
        self.ids = [str(uuid.uuid4()) for _ in range(3)]
        self.starts = [0, 0, 0]
        self.ports = bench_log.free_ports(3)
        self.members = [None, None, None]

    def __enter__(self):
        for i in range(3):
            self.start(i)
        while int(self.ask(0, "voters")) != 3:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.kill()
            member.wait()

    def start(self, i):
        self.starts[i] += 1
        seeds = ",".join(f"127.0.0.1:{port}" for k, port in enumerate(self.ports) if k != i)
        if i == 0 and self.starts[0] == 1:
            seeds = "bootstrap"
        log = open(self.folder / f"{i}.log", "ab")
        self.members[i] = subprocess.Popen([self.program, self.folder / str(i), self.cluster, self.ids[i], str(self.starts[i]), str(self.ports[i]), seeds],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1)
        if self.answer(i) != "joined":
            die(f"member {i} did not join; see {self.folder}/{i}.log")

    def tell(self, i, words):
        self.members[i].stdin.write(words + "\n")

    def answer(self, i):
        return self.members[i].stdout.readline().strip()

    def ask(self, i, words):
        self.tell(i, words)
        return self.answer(i)

    def leader(self):
        while True:
            for i in range(3):
                if self.ask(i, "leads") == "1":
                    return i
            time.sleep(0.01)

    def load(self, i, in_flight, seconds):
        self.tell(i, f"load {in_flight} {int(seconds * 1000)}")

    def result(self, i):
        words = self.answer(i).split()
        if len(words) != 6:
            die(f"member {i} ended in mid-load; see {self.folder}/{i}.log")
        return dict(zip(("commits", "seconds", "p50_us", "p99_us", "gap_us", "errors"), (float(w) for w in words)))


def sync_rate(bytes_each, seconds):
    """Appends of so many bytes, each with its fdatasync: what the disk gives one writer that waits for every commit."""
    path = WORK / "sync.probe"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(fd, 0, 16 << 20)
        os.fsync(fd)
        count, begin = 0, time.monotonic()
        while time.monotonic() - begin < seconds:
            os.pwrite(fd, b"x" * bytes_each, count * bytes_each % (15 << 20))
            os.fdatasync(fd)
            count += 1
        return count / (time.monotonic() - begin)
    finally:
        os.close(fd)
        path.unlink()


def metadata(programs, options):
    with MetadataMembers(programs) as members:
        rates = {}
        for in_flight in (1, 8, 64):
            pairs = []
            for _ in range(options.pairs):
                theirs = sync_rate(160, 1)
                row = {"fdatasyncs_per_second": theirs}
                for role, i in (("leader", members.leader()), ("follower", (members.leader() + 1) % 3)):
                    members.load(i, in_flight, 2)
                    got = members.result(i)
                    row[role] = {"commits_per_second": got["commits"] / got["seconds"], **got}
                pairs.append(row)
            rates[in_flight] = {"commits_per_second": statistics.median(p["leader"]["commits_per_second"] for p in pairs),
                                "from_a_follower": statistics.median(p["follower"]["commits_per_second"] for p in pairs),
                                "per_fdatasync": statistics.median(p["leader"]["commits_per_second"] / p["fdatasyncs_per_second"] for p in pairs), "pairs": pairs}
            say(f"{in_flight} in flight: {rates[in_flight]['commits_per_second']:.0f} commits/s at the leader, {rates[in_flight]['from_a_follower']:.0f} from a follower; "
                f"{rates[in_flight]['per_fdatasync']:.2f} for each fdatasync of one waiting writer")
        gaps = []
        for k in range(options.kills):
            dead = members.leader()
            i = (dead + 1 + k % 2) % 3
            members.load(i, 8, 3)
            time.sleep(0.5 + 0.01 * (k % 20))
            members.members[dead].kill()
            members.members[dead].wait()
            got = members.result(i)
            if got["errors"]:
                die(f"{got['errors']:.0f} commands failed when the leader was killed")
            gaps.append(got["gap_us"] / 1000)
            members.start(dead)
            while int(members.ask(i, "voters")) != 3:
                time.sleep(0.01)
        gaps.sort()
    result = {"rates": rates, "kills": options.kills, "gap_p50_ms": statistics.median(gaps), "gap_p99_ms": gaps[min(len(gaps) - 1, len(gaps) * 99 // 100)], "gap_max_ms": gaps[-1]}
    say(f"{options.kills} kills of the leader: gap in commits p50 {result['gap_p50_ms']:.0f} ms, p99 {result['gap_p99_ms']:.0f} ms, longest {result['gap_max_ms']:.0f} ms")
    finish("metadata", result)
    return result


def log(programs, options):
    kills = 100 if options.full else options.kills
    result, write, MB = {"load_average": os.getloadavg()}, bench_log, 1e6
    megabytes = lambda r: f"{r['bytes_per_second'] / MB:.0f} MB/s"
    with Cluster(programs, 4) as cluster, write.Reference(programs, WORK / "reference") as reference:
        clicks = write.Log(cluster, "clicks")
        throughput = lambda ours, theirs: ours["bytes_per_second"] / theirs["bytes_per_second"]
        result["throughput"] = write.pairs(programs, clicks, reference, 1024, 64, 8, options.pairs, say, "64 KiB batches, 8 in flight", megabytes, throughput)
        result["group_commit"] = write.pairs(programs, clicks, reference, 1024, 1, 64, options.pairs, say, "1 KiB, 64 in flight", lambda r: f"{r['records_per_second']:.0f} appends/s", throughput)
        result["small"] = write.pairs(programs, clicks, reference, 100, 1, 1, options.pairs, say, "one append of 100 bytes", lambda r: f"p50 {r['p50_us']} us",
                                      lambda ours, theirs: ours["p50_us"] / theirs["p50_us"])
        result["lines"] = write.pairs(programs, clicks, reference, 100, 1000, 1, options.pairs, say, "batches of 1,000 lines of 100 bytes, one connection",
                                      lambda r: f"{r['records_per_second']:.0f} records/s", throughput)
        result["leader_killed"] = write.gaps(programs, cluster, clicks, lambda p: p["leader"], kills, say)
        result["follower_killed"] = write.gaps(programs, cluster, clicks, lambda p: next(r for r in p["replicas"] if r != p["leader"]), kills, say)
        if options.full:
            result["spurious"] = write.spurious(cluster, options.minutes, WORK, say)
    options.kills = kills
    committed = metadata(programs, options)
    imported = import_file(programs, options)
    result.update({"metadata": committed, "import": imported})
    lines = statistics.median(p["ours"]["records_per_second"] for p in result["lines"]["pairs"])
    spurious = result["spurious"]["elections"] + result["spurious"]["lost"] if options.full else None
    write.table([
        ("metadata commits a second, 3 voters, 64 in flight", committed["rates"][64]["commits_per_second"], "/s", 10_000, 20_000, True),
        ("gap in commits after the leader's kill -9, p99", committed["gap_p99_ms"], "ms", 1000, 250, False),
        ("append, 64 KiB batches, 3 copies, throughput", result["throughput"]["ratio"], "of the reference", 0.5, 0.85, True),
        ("durable append, group commit, 1 KiB", result["group_commit"]["ratio"], "of the reference", 0.667, 1, True),
        ("append through HTTP, 1,000 lines of 100 bytes, 1 connection", lines, "records/s", 200_000, 1_000_000, True),
        ("one small synchronous append, p50", result["small"]["ratio"], "times the reference", 2, 1.2, False),
        ("gap in appends after the log leader's kill -9, p99", result["leader_killed"]["p99_ms"], "ms", 1000, 150, False),
        ("gap in appends after a log follower's kill -9, p99", result["follower_killed"]["p99_ms"], "ms", 500, 50, False),
        ("import of a local file, 2 copies", imported["ratio"], "of cp twice and sync", 0.5, 0.9, True),
        ("spurious elections or lost leases", spurious, f"in {options.minutes:g} min", 0, 0, False),
    ], say)
    finish("log", result)
