"""Requests that Schemathesis makes of a node's own OpenAPI document, against that node: no 5xx, no undocumented status, nothing but what the document promises, and nothing
but what is open without a token. scripts/fuzz-api makes the environment and runs this: run.py SCHEMATHESIS [argument of `st run`…]"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "integration"))
from support.cluster import Cluster  # noqa: E402

CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance", "response_schema_conformance", "unsupported_method",
          "allow_header_conformance", "ignored_auth"]
# A link is for a browser, which follows its answer; a node that is stopped, or drains, does no more what is asked of it, and its name is found soon.
LEFT_OUT = ["/login", "/api/v1/nodes/{name}/stop", "/api/v1/nodes/{name}/drain", "/api/v1/nodes/{name}/remove"]


def main():
    program, *more = sys.argv[1:]
    with Cluster(nodes=1) as cluster, tempfile.TemporaryDirectory(prefix="troupe-api-") as folder:
        # Something of each kind, so that not everything is just not found.
        cluster.shell("import", "-", "to", "corpus", stdin="to be or not to be\n")
        cluster.load("word_count")
        cluster.shell("run", "word_count", "corpus", "to", "counts")
        cluster.shell("user", "set", "ann", "--role", "admin")
        address = cluster.nodes()["node1"]["address"]
        log = cluster.node_folder("node1") / "node.log"
        # The cluster's token: requests change users and revoke tokens, and would lock themselves out.
        command = [program, "run", f"http://{address}/api/v1/openapi.json", "--header", f"Authorization: Bearer {cluster.token()}", "--checks", ",".join(CHECKS), "--workers", "1",
                   "--request-timeout", "30", "--suppress-health-check", "all", "--continue-on-failure", "--no-color", "--max-redirects", "1"]
        for path in LEFT_OUT:
            command += ["--exclude-path", path]
        done = subprocess.run([*command, *more], cwd=folder, env={"PATH": os.environ["PATH"], "HOME": folder, "LANG": "C.UTF-8"})
        said = log.read_text(errors="replace")
        broken = [line for line in said.splitlines() if "handler failed" in line or "a defect of this node" in line]
        for line in broken[:20]:
            print(line)
        alive = [n["name"] for n in cluster.nodes().values() if n["state"] == "alive"]
        print(json.dumps({"schemathesis": done.returncode, "handlers that failed": len(broken), "alive": alive}))
        return 0 if done.returncode == 0 and not broken and alive == ["node1"] else 1


if __name__ == "__main__":
    sys.exit(main())
