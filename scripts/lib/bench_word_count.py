"""Word count against the hand-written program, and how it grows with nodes and warmth."""
import json
import os
import statistics
import subprocess
import time

from bench_cluster import WORK, Cluster, MemoryWatch, die, finish, say


def zipf_text(programs, mib):
    path = WORK / f"zipf-{mib}.txt"
    if not path.exists():
        say(f"making {mib} MiB of text whose words follow Zipf's law")
        part = path.with_suffix(".new")
        with open(part, "wb") as out:
            subprocess.run([programs / "benchmark" / "zipf_text", str(mib << 20)], stdout=out, check=True)
        part.rename(path)
    with open(path, "rb") as file:  # into the page cache, for both
        while file.read(1 << 24):
            pass
    return path


def reference_word_count(programs, text, threads, *output):
    before = os.times()
    done = subprocess.run([programs / "benchmark" / "reference_word_count", text, str(threads), *output], capture_output=True, text=True, check=True)
    after = os.times()
    result = json.loads(done.stderr)
    result["cpu_seconds"] = after.children_user + after.children_system - before.children_user - before.children_system
    return result


def compare_counts(cluster, programs, text):
    ours, theirs = WORK / "counts.ours.tsv", WORK / "counts.theirs.tsv"
    cluster.run("export", "counts", "to", ours, "--format", "tsv")
    reference_word_count(programs, text, 2, str(theirs))
    for path in (ours, theirs):
        subprocess.run(["sort", "-o", path, path], env={**os.environ, "LC_ALL": "C"}, check=True)
    if subprocess.run(["cmp", ours, theirs]).returncode != 0:
        die("the counts differ from the reference's")
    say("the counts equal the reference's")
    ours.unlink()
    theirs.unlink()


def word_count(programs, options):
    text = zipf_text(programs, options.mib)
    size = text.stat().st_size
    with Cluster(programs) as cluster, MemoryWatch(cluster) as memory:
        cluster.run("import", text, "to", "corpus", "--copies", "1")
        cluster.load_word_count()
        pairs = []
        for i in range(options.pairs):
            theirs = reference_word_count(programs, text, 2)
            user, system = cluster.cpu_seconds()
            begin = time.monotonic()
            cluster.run("run", "word_count", "corpus", "to", "counts", "--replace")
            seconds = time.monotonic() - begin
            user, system = (now - then for now, then in zip(cluster.cpu_seconds(), (user, system)))
            pair = {"ratio": theirs["seconds"] / seconds, "seconds": seconds, "user_seconds": user, "system_seconds": system,
                    "reference_seconds": theirs["seconds"], "reference_cpu_seconds": theirs["cpu_seconds"]}
            pair["cpu_ratio"] = theirs["cpu_seconds"] / (user + system)
            pairs.append(pair)
            say(f"pair {i + 1}: {pair['ratio']:.2f}   troupe {seconds:.2f} s ({size / 1e6 / seconds:.0f} MB/s, CPU {user:.2f} + {system:.2f} s)   "
                f"reference {theirs['seconds']:.2f} s ({theirs['mb_per_second']:.0f} MB/s, CPU {theirs['cpu_seconds']:.2f} s)   ratio of CPU {pair['cpu_ratio']:.2f}")
        compare_counts(cluster, programs, text)
        job = cluster.json("jobs")[0]
    result = {"bytes": size, "ratio": statistics.median(p["ratio"] for p in pairs), "cpu_ratio": statistics.median(p["cpu_ratio"] for p in pairs),
              "peak_rss_bytes": memory.rss, "peak_anonymous_bytes": memory.anonymous, "peak_daemon_anonymous_bytes": memory.daemon_anonymous,
              "tasks": job["tasks"]["total"], "pairs": pairs}
    say(f"median ratio {result['ratio']:.2f} (of CPU {result['cpu_ratio']:.2f}); peak RSS {memory.rss / 1e6:.0f} MB, "
        f"private {memory.anonymous / 1e6:.0f} MB, of a daemon {memory.daemon_anonymous / 1e6:.0f} MB")
    finish("word_count", result)


def second_run(programs, options):
    """On a cluster that has just come up, with data and module in place: the second run of a job against its first."""
    text = zipf_text(programs, options.mib)
    pairs = []
    for i in range(options.pairs):
        with Cluster(programs) as cluster:
            cluster.run("import", text, "to", "corpus", "--copies", "1")
            cluster.load_word_count()
            first, second = (cluster.timed_job("word_count", ["corpus"], "counts") for _ in range(2))
        pairs.append({"times": second["seconds"] / first["seconds"], "first": first, "second": second})
        say(f"second run, pair {i + 1}: {pairs[-1]['times']:.2f} of the first's time ({second['seconds']:.2f} s, {first['seconds']:.2f} s)")
    result = {"times": statistics.median(p["times"] for p in pairs), "pairs": pairs}
    say(f"second run: {result['times']:.2f} of the first's time")
    finish("second_run", result)


def two_nodes(programs, options):
    """Two nodes, each pinned to a processor of its own, against one that is pinned to one."""
    text = zipf_text(programs, options.mib)
    one, two = Cluster(programs, count=1, name="bench_one", pinned=True), Cluster(programs, count=2, name="bench_two", pinned=True)
    pairs = []
    with one, two:
        for cluster in (one, two):
            cluster.run("import", text, "to", "corpus", "--copies", "1")
            cluster.load_word_count()
            cluster.timed_job("word_count", ["corpus"], "counts")  # the first one warms up
        for i in range(options.pairs):
            alone, both = one.timed_job("word_count", ["corpus"], "counts"), two.timed_job("word_count", ["corpus"], "counts")
            pairs.append({"times": alone["seconds"] / both["seconds"], "one": alone, "two": both})
            say(f"two nodes, pair {i + 1}: {pairs[-1]['times']:.2f} times as fast ({both['seconds']:.2f} s, {alone['seconds']:.2f} s)")
    result = {"times": statistics.median(p["times"] for p in pairs), "pairs": pairs}
    say(f"two nodes: {result['times']:.2f} times as fast as one")
    finish("two_nodes", result)
