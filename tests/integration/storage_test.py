"""Bits flip, disks fill up: another copy is used, and what cannot be had is said in a sentence."""
import os
import pathlib
import subprocess
import threading
import time
import unittest

from support.cluster import BIN, Cluster, ClusterTest, make_counted_text, read_counts


def flip_a_bit(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ 0x10]))


class Damage(ClusterTest):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=2, slots=2)
        cls.addClassCleanup(cls.cluster.close)
        cls.text, cls.counts = make_counted_text(cls.cluster.folder / "text", 8)
        cls.cluster.load("word_count")

    def import_and_damage(self, dataset, holders, partitions=2):
        """Imports the text and flips a bit in the middle of the copies of its first segment on these nodes."""
        self.cluster.shell("import", self.text, "to", dataset, "--copies", "2", "--partitions", str(partitions))
        segment = self.cluster.json("describe", dataset)["partitions"][0]["segments"][0]
        for name in holders:
            self.damage(name, segment["id"])
        return segment["id"]

    def damage(self, node, segment):
        path = self.cluster.node_folder(node) / "segments" / f"{segment}.seg"
        flip_a_bit(path, path.stat().st_size // 2)

    def damaged_copies(self):
        return {(event["node"], int(event["fields"]["segment"])) for event in self.cluster.json("events") if event["kind"] == "copy_damaged"}

    def test_a_flipped_bit_in_one_copy_does_not_change_a_job(self):
        # Every copy on node2 is damaged, and there are more tasks than slots on both nodes: whichever task runs on node2 meets damage in its own copy.
        self.cluster.shell("import", self.text, "to", "one_bad", "--copies", "2", "--partitions", "8")
        partitions = self.cluster.json("describe", "one_bad")["partitions"]
        segments = {segment["id"] for partition in partitions for segment in partition["segments"]}
        self.assertEqual(len(segments), 8)
        for segment in segments:
            self.damage("node2", segment)
        # Which node takes which task is a matter of timing; a job that leaves node2 idle proves nothing, so there may be some more.
        for attempt in range(10):
            self.cluster.shell("run", "word_count", "one_bad", "to", f"counts_{attempt}")
            self.assertEqual(read_counts(self.cluster, f"counts_{attempt}"), self.counts)
            found = self.damaged_copies()
            if found:
                break
        # What was read is reported (what is whole is never blamed), taken out, and made anew from the other copy.
        self.assertTrue(found)
        self.assertLessEqual(found, {("node2", segment) for segment in segments})
        copies = lambda: [partition["copies"] for partition in self.cluster.json("describe", "one_bad")["partitions"]]
        self.cluster.wait_until("two copies of everything", lambda: all(sorted(names) == ["node1", "node2"] for names in copies()))
        batches = lambda node, segment: (self.cluster.node_folder(node) / "segments" / f"{segment}.seg").read_bytes()[4096:]
        for node, segment in found:
            self.assertTrue(batches(node, segment) == batches("node1", segment), f"the new copy of segment {segment} is not the old one")

    def test_a_flipped_bit_in_one_copy_does_not_change_an_export(self):
        for name in ("node1", "node2"):
            self.import_and_damage(f"export_{name}", [name])
            self.cluster.shell("export", f"export_{name}", "to", self.cluster.folder / "exported")
            self.assertEqual((self.cluster.folder / "exported").read_bytes(), self.text.read_bytes())

    def test_all_copies_damaged_is_an_error_that_names_the_segment(self):
        segment = self.import_and_damage("all_bad", ["node1", "node2"])
        job = self.cluster.wait(self.cluster.start_job("word_count", "all_bad", "counts_all_bad"))
        self.assertEqual(job["state"], "failed", job)
        self.assertIn(f"segment {segment}", job["error"]["message"])
        self.assertEqual(job["error"]["dataset"], "all_bad")
        self.assertNotIn("counts_all_bad", [d["name"] for d in self.cluster.json("datasets")])
        refused = self.cluster.run("export", "all_bad", "to", self.cluster.folder / "exported_bad")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"segment {segment}", refused.stderr)


@unittest.skipUnless(os.geteuid() == 0, "mounting a small disk needs root")
class FullDisk(ClusterTest):
    """node2 keeps its data on a disk of 40 MiB."""

    def setUp(self):
        self.cluster = Cluster(nodes=2, slots=2, up=False)
        self.addCleanup(self.cluster.close)
        self.disk = self.cluster.folder / "data/troupe/local/node2"
        self.disk.mkdir(parents=True)
        self.disk.parent.chmod(0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "none", self.disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.cluster.up()

    def test_an_import_goes_elsewhere_or_is_refused_with_a_sentence(self):
        text, counts = make_counted_text(self.cluster.folder / "text", 96)
        before = self.cluster.nodes()
        # Two copies need both disks: it is said why that cannot be, and nothing stays.
        refused = self.cluster.run("import", text, "to", "both", "--copies", "2")
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.assertRegex(refused.stderr, "(?i)space|full")
        self.assertNotIn("both", [d["name"] for d in self.cluster.json("datasets")])
        # Its files go, so that the disk is of use again.
        self.cluster.wait_until("room on the small disk", lambda: os.statvfs(self.disk).f_bavail * os.statvfs(self.disk).f_frsize > 20 << 20)
        # One copy has a place.
        self.cluster.shell("import", text, "to", "single", "--copies", "1")
        self.cluster.load("word_count")
        self.cluster.shell("run", "word_count", "single", "to", "counts")
        self.assertEqual(read_counts(self.cluster, "counts"), counts)
        after = self.cluster.nodes()
        for name, node in before.items():
            self.assertEqual((after[name]["pid"], after[name]["state"]), (node["pid"], "alive"))

    def test_an_append_says_which_disk_is_full_and_goes_on_when_there_is_room(self):
        before = self.cluster.nodes()
        self.cluster.shell("create", "clicks", "--partitions", "8", "--copies", "2", "--min-copies", "2")
        self.assertEqual(self.cluster.run("append", "clicks", stdin="".join(f"{i}\n" for i in range(1000))).returncode, 0)
        # Eight logs with room set aside leave most of the disk.
        free = lambda: os.statvfs(self.disk).f_bavail * os.statvfs(self.disk).f_frsize
        self.assertGreater(free(), 16 << 20)
        filler = self.disk / "filler"
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free() - (64 << 10))
        text = "".join(f"{i:080}\n" for i in range(1000, 200_000))  # 16 MB
        process = subprocess.Popen([BIN / "troupe", "append", "clicks"], env=self.cluster.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        feeding = threading.Thread(target=lambda: (process.stdin.write(text), process.stdin.close()))
        feeding.start()
        try:
            said = lambda: " ".join(p.get("refusing") or "" for p in self.cluster.json("describe", "clicks")["partitions"])
            self.cluster.wait_until("the reason is said", lambda: "no space left on node2" in said())
            log = (self.disk / "node.log").read_text()
            filler.unlink()
            self.assertEqual(process.wait(timeout=120), 0)
            errors = process.stderr.read()
        finally:
            process.kill()
            feeding.join()
            process.stdout.close()
            process.stderr.close()
        self.assertIn("No space left on device", log)
        self.assertLess(log.count("can't be opened here"), 20)
        self.assertIn("appended 199,000 records", errors)
        self.assertEqual(self.cluster.json("describe", "clicks")["records"], 200_000)
        self.assertEqual({name: node["pid"] for name, node in self.cluster.nodes().items()}, {name: node["pid"] for name, node in before.items()})


if __name__ == "__main__":
    unittest.main()
