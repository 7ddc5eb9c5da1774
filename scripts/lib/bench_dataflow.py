"""Jobs of tests/benchmark/jobs on two nodes with one slot each, each against its program in tests/benchmark/reference, with two threads."""
import json
import os
import pathlib
import statistics
import subprocess

from bench_cluster import ROOT, WORK, Cluster, MemoryWatch, die, finish, say

JOBS = ROOT / "tests" / "benchmark" / "jobs"
PROGRAMS = ["bench_data", "reference_sort", "reference_shuffle", "reference_pairs", "reference_page_rank"]
ROOMY = ("--memory", "4GiB")


def data(programs, name, *words):
    """A file that bench_data makes, once, in the page cache for both."""
    path = WORK / name
    if not path.exists():
        say(f"making {name}")
        part = path.with_suffix(path.suffix + ".new")
        with open(part, "wb") as out:
            subprocess.run([programs / "benchmark" / "bench_data", *map(str, words)], stdout=out, check=True)
        part.rename(path)
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass
    return path


def run_reference(programs, name, *words):
    before = os.times()
    done = subprocess.run([programs / "benchmark" / f"reference_{name}", *map(str, words)], capture_output=True, text=True)
    after = os.times()
    if done.returncode != 0:
        die(f"reference_{name}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    result["cpu_seconds"] = after.children_user + after.children_system - before.children_user - before.children_system
    return result


def same(ours, theirs):
    """Every figure that both give: whole numbers are equal, sums of floating-point numbers nearly."""
    for name in set(ours) & set(theirs):
        x, y = ours[name], theirs[name]
        if (abs(x - y) > 1e-9 * abs(y)) if isinstance(y, float) else (x != y):
            return False
    return bool(set(ours) & set(theirs))


def spilled(cluster, job):
    return sum(stage["numbers"]["spilled_bytes"] for stage in cluster.stages(job))


def measure(cluster, row, job, inputs, reference, bytes_in, pairs):
    """A B A B…: `reference()` runs the reference. Answers are compared in each pair."""
    out = []
    with MemoryWatch(cluster) as memory:
        for i in range(pairs):
            theirs = reference()
            ours = cluster.timed_job(job, inputs, "out")
            answer = cluster.records("out")
            if len(answer) != 1 or not same(answer[0], theirs):
                die(f"{row}: the answers differ: {answer[:3]} and the reference's {theirs}")
            cpu = ours["user_seconds"] + ours["system_seconds"]
            pair = {"ratio": theirs["seconds"] / ours["seconds"], "cpu_ratio": theirs["cpu_seconds"] / max(cpu, 0.01), "ours": ours, "reference": theirs}
            out.append(pair)
            say(f"{row}, pair {i + 1}: {pair['ratio']:.2f}   troupe {ours['seconds']:.2f} s (CPU {ours['user_seconds']:.2f} + {ours['system_seconds']:.2f} s)   "
                f"reference {theirs['seconds']:.2f} s (CPU {theirs['cpu_seconds']:.2f} s)   ratio of CPU {pair['cpu_ratio']:.2f}")
    last = out[-1]["ours"]["job"]
    stages = [{"name": s["name"], "tasks": s["tasks"]["total"], **s["numbers"]} for s in cluster.stages(last)]
    result = {"row": row, "bytes": bytes_in, "ratio": statistics.median(p["ratio"] for p in out), "cpu_ratio": statistics.median(p["cpu_ratio"] for p in out),
              "spilled_bytes": sum(s["spilled_bytes"] for s in stages), "shuffled_bytes": sum(s["output_bytes"] for s in stages),
              "peak_rss_bytes": memory.rss, "peak_anonymous_bytes": memory.anonymous, "load_average": os.getloadavg(), "stages": stages, "pairs": out}
    say(f"{row}: median ratio {result['ratio']:.2f} (of CPU {result['cpu_ratio']:.2f}); {bytes_in / 1e6:.0f} MB in, {result['shuffled_bytes'] / 1e6:.0f} MB written by stages, "
        f"{result['spilled_bytes'] / 1e6:.0f} MB spilled; peak RSS {memory.rss / 1e6:.0f} MB, private {memory.anonymous / 1e6:.0f} MB; load {result['load_average'][0]:.1f}")
    return result


def records_file(programs, options):
    return data(programs, f"records-{options.mib}.txt", "records", (options.mib << 20) // 100)


def shuffle(programs, options):
    lines = records_file(programs, options)
    with Cluster(programs, limits=ROOMY) as cluster:
        cluster.load_module(JOBS / "records.cpp")
        cluster.run("import", lines, "to", "records", "--copies", "1")
        finish("shuffle", measure(cluster, "shuffle", "shuffle_records", ["records"], lambda: run_reference(programs, "shuffle", lines, 2), lines.stat().st_size, options.pairs))


def sort(programs, options):
    """In memory; and with a tenth of the data as the tasks' memory, against runs of the same size."""
    lines = records_file(programs, options)
    size = lines.stat().st_size
    result = {}
    with Cluster(programs, limits=ROOMY) as cluster:
        cluster.load_module(JOBS / "records.cpp")
        cluster.run("import", lines, "to", "records", "--copies", "1")
        result["memory"] = measure(cluster, "sort in memory", "sort_records", ["records"], lambda: run_reference(programs, "sort", lines, 2), size, options.pairs)
    task_mib = max(options.mib // 20, 16)
    with Cluster(programs, limits=(*ROOMY, "--task-memory", f"{task_mib}MiB")) as cluster:
        cluster.load_module(JOBS / "records.cpp")
        cluster.run("import", lines, "to", "records", "--copies", "1")
        result["files"] = measure(cluster, "sort with files", "sort_records", ["records"],
                                  lambda: run_reference(programs, "sort", lines, 2, 2 * task_mib, WORK), size, options.pairs)
        if result["files"]["spilled_bytes"] == 0:
            die("the sort with files has spilled nothing")
    finish("sort", result)


def pairs_data(programs, options):
    count, keys = int(options.millions * 1e6), max(int(options.millions * 2e4), 1)
    files = {form: data(programs, f"pairs-{options.millions:g}.{form}", "pairs", count, keys, form) for form in ("bin", "csv")}
    files.update({f"keys.{form}": data(programs, f"keys-{options.millions:g}.{form}", "keys", keys, form) for form in ("bin", "csv")})
    return files


PAIR = ("--format", "csv", "--schema", "key:uint64,value:uint64", "--copies", "1")


def group_by(programs, options):
    files = pairs_data(programs, options)
    with Cluster(programs, limits=ROOMY) as cluster:
        cluster.load_module(JOBS / "pairs.cpp")
        cluster.run("import", files["csv"], "to", "pairs", *PAIR)
        finish("group_by", measure(cluster, "group-by", "group_by", ["pairs"], lambda: run_reference(programs, "pairs", "group", files["bin"], 2), files["bin"].stat().st_size, options.pairs))


def join(programs, options):
    files = pairs_data(programs, options)
    result = {}
    with Cluster(programs, limits=ROOMY) as cluster:
        cluster.load_module(JOBS / "pairs.cpp")
        cluster.run("import", files["csv"], "to", "pairs", *PAIR)
        cluster.run("import", files["keys.csv"], "to", "keys", *PAIR)
        for row, job in (("join", "join"), ("join with a small side", "join_small")):
            result[job] = measure(cluster, row, job, ["pairs", "keys"], lambda: run_reference(programs, "pairs", "join", files["bin"], files["keys.bin"], 2),
                                  files["bin"].stat().st_size, options.pairs)
    finish("join", result)


def page_rank(programs, options):
    edges = int(options.millions * 1e5)
    files = {form: data(programs, f"edges-{edges}.{form}", "edges", edges, max(edges // 10, 1), form) for form in ("bin", "csv")}
    with Cluster(programs, limits=ROOMY) as cluster:
        cluster.load_module(JOBS / "ranks.cpp")
        cluster.run("import", files["csv"], "to", "edges", "--format", "csv", "--schema", "from:uint32,to:uint32", "--copies", "1")
        finish("page_rank", measure(cluster, "PageRank", "ranks", ["edges"], lambda: run_reference(programs, "page_rank", files["bin"], 10, 2), files["bin"].stat().st_size, options.pairs))


def memory(programs, options):
    """A sort of twice the nodes' budget against the same sort in memory, on two clusters in turns."""
    lines = records_file(programs, options)
    budget = max(options.mib // 4, 128)  # of each of two nodes: half of the data in all
    task = max(budget // 4, 16)
    roomy = Cluster(programs, limits=ROOMY)
    tight = Cluster(programs, name="bench_tight", limits=("--memory", f"{budget}MiB", "--task-memory", f"{task}MiB"))
    pairs = []
    with roomy, tight:
        for cluster in (roomy, tight):
            cluster.load_module(JOBS / "records.cpp")
            cluster.run("import", lines, "to", "records", "--copies", "1")
        with MemoryWatch(tight, blocks=True) as watch:
            for i in range(options.pairs):
                theirs = roomy.timed_job("sort_records", ["records"], "out")
                ours = tight.timed_job("sort_records", ["records"], "out")
                if roomy.records("out") != tight.records("out"):
                    die("memory: the answers differ")
                pairs.append({"times": ours["seconds"] / theirs["seconds"], "seconds": ours["seconds"], "in_memory_seconds": theirs["seconds"],
                              "cpu_times": (ours["user_seconds"] + ours["system_seconds"]) / (theirs["user_seconds"] + theirs["system_seconds"])})
                say(f"memory, pair {i + 1}: {pairs[-1]['times']:.2f} times as long ({ours['seconds']:.2f} s and {theirs['seconds']:.2f} s), CPU {pairs[-1]['cpu_times']:.2f} times")
            spill = spilled(tight, ours["job"])
    result = {"bytes": lines.stat().st_size, "budget_bytes": 2 * (budget + task) << 20, "times": statistics.median(p["times"] for p in pairs),
              "cpu_times": statistics.median(p["cpu_times"] for p in pairs), "peak_bytes": watch.held, "peak_anonymous_bytes": watch.anonymous, "task_spilled_bytes": spill,
              "block_spilled_bytes": watch.blocks_spilled, "pairs": pairs}
    say(f"memory: {result['times']:.2f} times as long as in memory (CPU {result['cpu_times']:.2f}); peak of all processes {watch.held / 1e6:.0f} MB "
        f"for budgets of {result['budget_bytes'] / 1e6:.0f} MB (blocks and tasks of both nodes); {spill / 1e6:.0f} MB of tasks and {watch.blocks_spilled / 1e6:.0f} MB of blocks were in files")
    finish("memory", result)


def shuffle_plane(programs, options):
    """The frames that carry blocks between nodes, against raw TCP on the loopback: without the block store and its digests, which `shuffle` has."""
    done = subprocess.run([programs / "benchmark" / "tls_stream"], capture_output=True, text=True)
    if done.returncode != 0:
        die(f"tls_stream: {done.stderr.strip()}")
    for line in done.stderr.splitlines():
        say(line)
    result = json.loads(done.stdout)
    say(f"shuffle plane: frames of 1 MiB at {result['frames_to_raw']:.2f} of raw TCP; TLS 1.3 at {result['tls_to_frames']:.2f} of frames")
    finish("shuffle_plane", result)
