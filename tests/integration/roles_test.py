"""Who may do what: every endpoint with every role. A new endpoint fails this test until it has a row in the table."""
import unittest

from support.cluster import Cluster

ROLES = ["viewer", "submitter", "operator", "admin"]
OPEN = "open"  # no token needed, or looks for itself

# endpoint: the least role that may use it
TABLE = {
    ("get", "/livez"): OPEN,
    ("get", "/readyz"): OPEN,
    ("post", "/api/v1/join"): OPEN,
    ("post", "/api/v1/join/authority"): OPEN,
    ("get", "/"): OPEN,
    ("get", "/login"): OPEN,
    ("post", "/logout"): "viewer",
    ("post", "/api/v1/links"): "viewer",
    ("get", "/metrics"): "viewer",
    ("get", "/api/v1/openapi.json"): "viewer",
    ("get", "/api/v1/cluster"): "viewer",
    ("get", "/api/v1/nodes"): "viewer",
    ("get", "/api/v1/nodes/{name}/drain"): "viewer",
    ("get", "/api/v1/actors"): "viewer",
    ("get", "/api/v1/events"): "viewer",
    ("get", "/api/v1/datasets"): "viewer",
    ("get", "/api/v1/datasets/{name}"): "viewer",
    ("get", "/api/v1/datasets/{name}/export"): "viewer",
    ("get", "/api/v1/datasets/{name}/records"): "viewer",
    ("get", "/api/v1/modules"): "viewer",
    ("get", "/api/v1/jobs"): "viewer",
    ("get", "/api/v1/jobs/{id}"): "viewer",
    ("get", "/api/v1/jobs/{id}/logs"): "viewer",
    ("post", "/api/v1/datasets/{name}"): "submitter",
    ("put", "/api/v1/datasets/{name}"): "submitter",
    ("patch", "/api/v1/datasets/{name}"): "submitter",
    ("delete", "/api/v1/datasets/{name}"): "submitter",
    ("post", "/api/v1/datasets/{name}/records"): "submitter",
    ("post", "/api/v1/datasets/{name}/verify"): "submitter",
    ("post", "/api/v1/modules"): "submitter",
    ("delete", "/api/v1/modules/{name}"): "submitter",
    ("post", "/api/v1/jobs"): "submitter",
    ("post", "/api/v1/jobs/plan"): "submitter",
    ("post", "/api/v1/jobs/{id}/cancel"): "submitter",
    ("post", "/api/v1/nodes/{name}/stop"): "operator",
    ("post", "/api/v1/nodes/{name}/drain"): "operator",
    ("delete", "/api/v1/nodes/{name}/drain"): "operator",
    ("post", "/api/v1/nodes/{name}/remove"): "operator",
    ("post", "/api/v1/nodes/{name}/revoke"): "admin",
    ("get", "/api/v1/tokens"): "admin",
    ("post", "/api/v1/tokens"): "admin",
    ("delete", "/api/v1/tokens/{id}"): "admin",
    ("get", "/api/v1/users"): "admin",
    ("put", "/api/v1/users/{name}"): "admin",
    ("delete", "/api/v1/users/{name}"): "admin",
    ("get", "/api/v1/audit"): "admin",
}


class Roles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(nodes=1)
        cls.address = cls.cluster.nodes()["node1"]["address"]
        cls.tokens = {}
        for role in ROLES:
            cls.cluster.shell("user", "set", f"a_{role}", "--role", role)
            cls.tokens[role] = cls.cluster.shell("token", "create", "--user", f"a_{role}", "--for", "1h").strip()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def ask(self, token, method, path, body=None):
        headers = {"Authorization": f"Bearer {token}" if token else "", "Content-Type": "application/json"}
        return self.cluster.api(path, method=method.upper(), body=body, headers=headers, address=self.address)

    def test_every_endpoint_lets_in_its_roles_and_no_others(self):
        status, document = self.ask(self.tokens["viewer"], "get", "/api/v1/openapi.json")
        self.assertEqual(status, 200)
        endpoints = {(method, path) for path, methods in document["paths"].items() for method in methods}
        self.assertEqual(endpoints - set(TABLE), set(), "endpoints without a row")
        self.assertEqual(set(TABLE) - endpoints, set(), "rows without an endpoint")
        for (method, path), least in sorted(TABLE.items()):
            actual = path.replace("{name}", "nothing_of_that_name").replace("{id}", "999999")
            for role in ROLES:
                with self.subTest(method=method, path=path, role=role):
                    # A body that is refused wherever one is taken, so that nothing is done.
                    status, answer = self.ask(self.tokens[role], method, actual, body=None if method in ("get", "delete") else b"{\"no\":1}")
                    may = least == OPEN or ROLES.index(role) >= ROLES.index(least)
                    if not may:
                        self.assertEqual(status, 403, answer)
                        self.assertIn(f"needs the role {least}; a_{role} has the role {role}", answer["detail"])
                    elif path.startswith("/api/v1/join"):
                        self.assertIn(status, (400, 403), answer)
                    else:
                        self.assertNotIn(status, (401, 403), answer)
            if least != OPEN:
                self.assertEqual(self.ask("", method, actual)[0], 401, path)

    def test_tokens_end(self):
        c = self.cluster
        c.shell("user", "set", "eve", "--role", "viewer")
        token = c.shell("token", "create", "--user", "eve").strip()
        self.assertEqual(self.ask(token, "get", "/api/v1/nodes")[0], 200)
        self.assertEqual(self.ask(token[:-1] + ("0" if token[-1] != "0" else "1"), "get", "/api/v1/nodes")[0], 401)
        c.shell("token", "revoke", token.removeprefix("troupe-access-").split(".")[0])
        self.assertEqual(self.ask(token, "get", "/api/v1/nodes")[0], 401)
        another = c.shell("token", "create", "--user", "eve").strip()
        # A role counts from the change on, for tokens that were made before, too.
        self.assertEqual(self.ask(another, "get", "/api/v1/audit")[0], 403)
        c.shell("user", "set", "eve", "--role", "admin")
        self.assertEqual(self.ask(another, "get", "/api/v1/audit")[0], 200)
        c.shell("user", "delete", "eve")
        self.assertEqual(self.ask(another, "get", "/api/v1/nodes")[0], 401)
        states = {t["id"]: t["state"] for t in c.json("token", "list")}
        self.assertEqual(states[another.removeprefix("troupe-access-").split(".")[0]], "revoked")

    def test_no_secret_of_a_token_is_kept(self):
        token = self.cluster.shell("token", "create", "--user", "a_viewer").strip()
        secret = token.split(".")[1]
        self.assertNotIn(secret, self.cluster.shell("-o", "json", "token", "list"))
        folder = self.cluster.node_folder("node1")
        for file in folder.rglob("*"):
            if file.is_file():
                self.assertNotIn(secret.encode(), file.read_bytes(), file)

    def test_changes_are_in_the_audit_log_with_who_and_what_became_of_it(self):
        self.ask(self.tokens["viewer"], "delete", "/api/v1/datasets/nothing")
        self.ask(self.tokens["submitter"], "delete", "/api/v1/datasets/nothing")
        entries = [(e["who"], e["what"], e["result"]) for e in self.cluster.json("audit", "--last", "1000")]
        self.assertIn(("a_viewer", "DELETE /api/v1/datasets/nothing", "403"), entries)
        self.assertIn(("a_submitter", "DELETE /api/v1/datasets/nothing", "404"), entries)
        self.assertIn(("cluster token", "PUT /api/v1/users/a_viewer", "204"), entries)
        self.assertFalse([e for e in entries if e[1].startswith("GET")])


if __name__ == "__main__":
    unittest.main()
