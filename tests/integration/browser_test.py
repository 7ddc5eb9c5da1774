"""A browser's way in: a link that works once, a cookie that no page reads, and pages that load nothing from elsewhere. Also the rate of a user."""
import http.client
import json
import re
import unittest
import urllib.parse

from support.cluster import Cluster


class Browser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A rate that a loop of requests exceeds at once, and nothing else here.
        cls.cluster = Cluster(nodes=1, environment={"TROUPE_NODE_REQUESTS_PER_SECOND": "20"})
        cls.address = cls.cluster.nodes()["node1"]["address"]
        for name, role in (("ann", "submitter"), ("vic", "viewer"), ("ada", "admin"), ("eve", "viewer")):
            cls.cluster.shell("user", "set", name, "--role", role)
        cls.cluster.shell("import", "-", "to", "corpus", stdin="one\ntwo\n")

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def ask(self, method, path, body=None, **headers):
        """(status, headers, text) without following anything."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def link(self, user):
        url = self.cluster.shell("link", "--user", user).strip()
        parts = urllib.parse.urlsplit(url)
        self.assertEqual((parts.scheme, parts.netloc, parts.path), ("http", self.address, "/login"))
        return f"{parts.path}?{parts.query}"

    def log_in(self, user):
        """The cookie of a new session."""
        status, headers, _ = self.ask("GET", self.link(user))
        self.assertEqual(status, 303)
        self.assertEqual(headers["Location"], "/")
        return headers["Set-Cookie"].split(";")[0]

    def test_a_link_becomes_a_cookie_once(self):
        link = self.link("ann")
        self.assertEqual(self.ask("HEAD", link)[0], 405)  # looking ahead does not use it up
        status, headers, _ = self.ask("GET", link)
        self.assertEqual(status, 303)
        cookie, *attributes = headers["Set-Cookie"].split("; ")
        self.assertEqual(set(attributes), {"Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"})
        self.assertEqual(headers["Referrer-Policy"], "no-referrer")
        again, headers, page = self.ask("GET", link)
        self.assertEqual(again, 403)
        self.assertNotIn("Set-Cookie", headers)
        self.assertIn("troupe link", page)
        status, _, page = self.ask("GET", "/", Cookie=cookie)
        self.assertEqual(status, 200)
        self.assertIn("<h2>Jobs</h2>", page)
        self.assertEqual(self.ask("GET", "/api/v1/nodes", Cookie=cookie)[0], 200)
        # What is in the cookie is no token of a program, and a link's code is neither.
        for text in (cookie.split("=")[1], link.split("code=")[1]):
            self.assertEqual(self.ask("GET", "/api/v1/nodes", Authorization=f"Bearer {text}")[0], 401)
        name = cookie.split("=")[0]
        self.assertEqual(self.ask("GET", "/api/v1/nodes", Cookie=f"{name}={link.split('code=')[1]}")[0], 401)
        for wrong in ("", "x", "troupe-link-" + "0" * 16 + "." + "0" * 64, link.split("code=")[1][:-1]):
            self.assertIn(self.ask("GET", "/login?code=" + wrong)[0], (400, 403))

    def test_what_changes_something_needs_an_origin_which_is_ours(self):
        cookie = self.log_in("ann")
        for origin, status in ((None, 403), ("http://evil.example", 403), ("null", 403), (f"http://127.0.0.1:{1}", 403), (f"http://{self.address}", 204)):
            self.ask("PUT", "/api/v1/datasets/made", body=b"{}", Authorization=f"Bearer {self.cluster.token()}", Content_Type="application/json")
            headers = {"Cookie": cookie} | ({"Origin": origin} if origin else {})
            with self.subTest(origin=origin):
                self.assertEqual(self.ask("DELETE", "/api/v1/datasets/made", **headers)[0], status)
        # A role counts as with a token.
        status, _, text = self.ask("DELETE", "/api/v1/datasets/corpus", Cookie=self.log_in("vic"), Origin=f"http://{self.address}")
        self.assertEqual(status, 403)
        self.assertIn("needs the role submitter; vic has the role viewer", text)

    def test_a_session_ends(self):
        cookie = self.log_in("ann")
        origin = f"http://{self.address}"
        self.assertEqual(self.ask("POST", "/logout", Cookie=cookie)[0], 403)
        status, headers, _ = self.ask("POST", "/logout", Cookie=cookie, Origin=origin)
        self.assertEqual(status, 204)
        self.assertIn("Max-Age=0", headers["Set-Cookie"])
        self.assertEqual(self.ask("GET", "/api/v1/nodes", Cookie=cookie)[0], 401)
        status, _, page = self.ask("GET", "/", Cookie=cookie)
        self.assertEqual(status, 401)
        self.assertIn("troupe link", page)
        other = self.log_in("ann")
        self.cluster.shell("token", "revoke", other.split("troupe-session-")[1].split(".")[0])
        self.assertEqual(self.ask("GET", "/api/v1/nodes", Cookie=other)[0], 401)

    def test_who_may_make_a_link_for_whom(self):
        def ask_for(token, body):
            status, _, text = self.ask("POST", "/api/v1/links", body=json.dumps(body), Authorization=f"Bearer {token}", Content_Type="application/json")
            return status, json.loads(text)
        tokens = {user: self.cluster.shell("token", "create", "--user", user).strip() for user in ("vic", "ada")}
        self.assertEqual(ask_for(tokens["vic"], {})[1]["user"], "vic")
        self.assertEqual(ask_for(tokens["vic"], {"user": "vic"})[0], 201)
        status, answer = ask_for(tokens["vic"], {"user": "ada"})
        self.assertEqual(status, 403)
        self.assertIn("needs the role admin", answer["detail"])
        self.assertEqual(ask_for(tokens["ada"], {"user": "vic"})[1]["user"], "vic")
        self.assertEqual(ask_for(tokens["ada"], {"user": "nobody"})[0], 404)
        status, answer = ask_for(self.cluster.token(), {})
        self.assertEqual(status, 400)
        self.assertIn("say whose link it shall be", answer["detail"])
        refused = self.cluster.run("link")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--user", refused.stderr)

    def test_the_page_loads_nothing_from_elsewhere(self):
        for cookie, status in ((self.log_in("vic"), 200), ("", 401)):
            got, headers, page = self.ask("GET", "/", Cookie=cookie)
            self.assertEqual(got, status)
            policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
            self.assertEqual(policy["default-src"], "'none'")
            self.assertEqual(policy["connect-src"], "'self'")
            self.assertEqual(policy["frame-ancestors"], "'none'")
            nonce = re.fullmatch(r"'nonce-([0-9a-f]{32})'", policy["script-src"]).group(1)
            self.assertIn(f'<style nonce="{nonce}">', page)
            self.assertNotIn("NONCE", page)
            self.assertFalse(re.findall(r"""(?:src|href|url)\s*[=(]""", page))
            self.assertNotIn("innerHTML", page)
            self.assertNotEqual(nonce, re.search("nonce-([0-9a-f]+)", self.ask("GET", "/", Cookie=cookie)[1]["Content-Security-Policy"]).group(1))

    def test_secrets_are_in_no_file_and_no_list(self):
        link = self.link("vic")
        status, headers, _ = self.ask("GET", link)
        self.assertEqual(status, 303)
        for text in (link.split("code=")[1], headers["Set-Cookie"].split(";")[0]):
            secret = text.split(".")[1]
            self.assertEqual(len(secret), 64)
            for file in self.cluster.folder.rglob("*"):
                if file.is_file():
                    self.assertNotIn(secret.encode(), file.read_bytes(), file)
            self.assertNotIn(secret, self.cluster.shell("-o", "json", "token", "list"))
        entries = [(e["who"], e["what"], e["result"]) for e in self.cluster.json("audit", "--last", "1000")]
        self.assertIn(("vic", "GET /login", "303"), entries)

    def test_a_user_who_asks_too_often_is_told_when_to_come_back(self):
        token = self.cluster.shell("token", "create", "--user", "eve").strip()
        connection = http.client.HTTPConnection(self.address, timeout=30)
        self.addCleanup(connection.close)
        statuses, waits = [], set()
        for _ in range(300):
            connection.request("GET", "/api/v1/cluster", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
            if answer.status == 429:
                waits.add(answer.headers["Retry-After"])
        self.assertEqual(set(statuses), {200, 429})
        self.assertEqual(set(statuses[:40]), {200})
        self.assertEqual(waits, {"1"})
        # Others are not concerned, the cluster's token has no rate, and it is told in the metrics.
        status, _, text = self.ask("GET", "/metrics", Authorization=f"Bearer {self.cluster.token()}")
        self.assertEqual(status, 200)
        self.assertEqual(int(re.search(r"^troupe_http_too_fast_total (\d+)", text, re.M).group(1)), statuses.count(429))
        self.assertIn("requests-per-second = 20", (self.cluster.node_folder("node1") / "node.toml").read_text())


if __name__ == "__main__":
    unittest.main()
