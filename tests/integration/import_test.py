"""Typed records from CSV and JSON files: schemas given and read off, wrong rows, headers, compressed files, and back by export."""
import csv
import gzip
import io
import json
import random
import unittest

from support.cluster import Cluster


class Import(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=2)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def file(self, name, text):
        path = self.cluster.folder / name
        path.write_text(text, newline="")
        return path

    def export(self, name, form):
        return self.cluster.shell("export", name, "to", "-", "--format", form)

    def test_csv_comes_back_as_it_was(self):
        random.seed(5)
        rows = [[str(i), random.choice(["plain", "a,b", 'quote "x"', "two\nlines", "é", ""]), f"{random.random():.6f}" if i % 3 else ""] for i in range(30_000)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(["id", "what", "price"])
        writer.writerows(rows)
        path = self.file("sales.csv", text.getvalue())
        done = self.cluster.run("import", path, "to", "sales", "--header", "--partitions", "5", "--copies", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("fields: id:int64, what:string?, price:float64?", done.stderr)
        about = self.cluster.json("describe", "sales")
        self.assertEqual((about["format"], about["records"], len(about["partitions"])), ("records", 30_000, 5))
        self.assertTrue(all(p["records"] > 0 for p in about["partitions"]), about["partitions"])
        back = list(csv.reader(io.StringIO(self.export("sales", "csv"))))
        self.assertEqual(back[0], ["id", "what", "price"])
        self.assertEqual([[r[0], r[1], float(r[2]) if r[2] else ""] for r in back[1:]], [[r[0], r[1], float(r[2]) if r[2] else ""] for r in rows])
        # The same again with a schema of ours, of which a column is left out, from a compressed file.
        packed = self.cluster.folder / "sales.csv.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        self.cluster.shell("import", packed, "to", "prices", "--header", "--schema", "price:float32?, id:uint32")
        first = json.loads(self.export("prices", "json").splitlines()[1])
        self.assertEqual(first["id"], 1)
        self.assertAlmostEqual(first["price"], float(rows[1][2]), places=5)

    def test_json_lines(self):
        records = [{"user": f"u{i}", "at": {"lat": i / 2, "lon": i}, "tags": ["x"] * (i % 3)} for i in range(1_000)]
        path = self.file("visits.jsonl", "".join(json.dumps(r) + "\n" for r in records))
        done = self.cluster.run("import", path, "to", "visits", "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("fields: user:string, at:{lat:float64, lon:int64}, tags:[string]", done.stderr)
        self.assertEqual([json.loads(line) for line in self.export("visits", "json").splitlines()], records)

    def test_wrong_rows(self):
        first = self.file("first.csv", "id;name\n1;a\n2;b\n")
        second = self.file("second.csv", "id;name\n3;c\nfour;d\n5;e;f\n6;g\n")
        options = ["--header", "--delimiter", ";", "--schema", "id:int64, name:string"]
        ended = self.cluster.run("import", first, second, "to", "people", *options)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertIn(f"{second}, line 3: column 1 (id): expected a whole number of 64 bits, found \"four\"", ended.stderr)
        self.assertNotIn("people", [d["name"] for d in self.cluster.json("datasets")])
        done = self.cluster.run("import", first, second, "to", "people", *options, "--on-error", "skip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 rows were left out, and kept as dataset people_rejected", done.stderr)
        self.assertEqual(self.export("people", "tsv"), "1\ta\n2\tb\n3\tc\n6\tg\n")
        self.assertEqual(self.export("people_rejected", "lines"), "four;d\n5;e;f\n")

    def test_wrong_words(self):
        path = self.file("x.csv", "a,b\n1,2\n")
        tags = self.file("tags.csv", "tags\nx\n")
        for words, expected in (([path, "to", "x", "--format", "parquet"], "known: lines, csv, json"), ([path, "to", "x", "--on-error", "skip"], "csv or json"),
                                ([path, "to", "x", "--delimiter", "ab"], "one character"), ([path, "to", "x", "--format", "json", "--header"], "--format csv"),
                                ([path, "to", "x", "--format", "json"], "line 1: expected an object"), ([tags, "to", "x", "--header", "--schema", "tags:[string]"], "JSON lines"),
                                ([path, "to", "x", "--header", "--schema", "c:int64"], "no column \"c\""), ([self.file("none.csv", ""), "to", "x", "--header"], "give a schema")):
            with self.subTest(words=words):
                refused = self.cluster.run("import", *words)
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn(expected, refused.stderr)
        self.assertNotIn("x", [d["name"] for d in self.cluster.json("datasets")])

    def test_the_api_takes_it_from_any_program(self):
        status, made = self.cluster.api("/api/v1/datasets/posted?format=csv&header=true", method="POST", body=b"n,w\n1,x\n2,y\n", node="node2")
        self.assertEqual((status, made["records"]), (201, 2), made)
        self.assertEqual([f["name"] for f in made["schema"]], ["n", "w"])
        status, refused = self.cluster.api("/api/v1/datasets/other?format=csv", method="POST", body=b"", node="node1")
        self.assertEqual(status, 400, refused)

    def test_a_job_reads_rows_as_its_struct(self):
        path = self.file("sold.csv", "id,name,price\n" + "".join(f"{i},n{i % 7},{i / 2 if i % 5 else ''}\n" for i in range(5_000)))
        schema = "id:int64, name:string, price:float64?"
        self.cluster.shell("import", path, "to", "sold", "--header", "--schema", schema, "--partitions", "3")
        self.cluster.load("sales_by_name")
        self.cluster.shell("run", "sales_by_name", "sold", "to", "totals", timeout=60)
        expected = {}
        for i in range(5_000):
            if i % 5:
                expected[f"n{i % 7}"] = expected.get(f"n{i % 7}", 0) + i / 2
        totals = dict(line.split("\t") for line in self.export("totals", "tsv").splitlines())
        self.assertEqual({name: float(total) for name, total in totals.items()}, expected)
        # Another type in a field is said before anything runs.
        self.cluster.shell("import", path, "to", "wrong", "--header", "--schema", "id:int32, name:string, price:float64?")
        refused = self.cluster.run("run", "sales_by_name", "wrong", "to", "nothing")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("id", refused.stderr)


if __name__ == "__main__":
    unittest.main()
