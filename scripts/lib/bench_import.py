"""Import of a local file against cp twice and sync."""
import statistics
import subprocess
import time

from bench_cluster import WORK, Cluster, finish, say
from bench_word_count import zipf_text


def import_file(programs, options):
    text = zipf_text(programs, options.mib)
    size = text.stat().st_size
    copies = [WORK / "copy.1", WORK / "copy.2"]
    pairs = []
    with Cluster(programs) as cluster:
        for i in range(options.pairs):
            begin = time.monotonic()
            for copy in copies:
                subprocess.run(["cp", text, copy], check=True)
            subprocess.run(["sync", *copies], check=True)
            theirs = time.monotonic() - begin
            for copy in copies:
                copy.unlink()
            cpu = sum(cluster.cpu_seconds())
            begin = time.monotonic()
            cluster.run("import", text, "to", "corpus", "--copies", "2")
            ours = time.monotonic() - begin
            cpu = sum(cluster.cpu_seconds()) - cpu
            cluster.run("delete", "corpus")
            pairs.append({"ratio": theirs / ours, "seconds": ours, "reference_seconds": theirs, "cpu_seconds": cpu})
            say(f"pair {i + 1}: {theirs / ours:.2f}   import {ours:.2f} s ({size / 1e6 / ours:.0f} MB/s, CPU of nodes {cpu:.2f} s)   cp twice and sync {theirs:.2f} s")
    result = {"bytes": size, "ratio": statistics.median(p["ratio"] for p in pairs), "pairs": pairs}
    say(f"median ratio {result['ratio']:.2f}")
    finish("import", result)
    return result
