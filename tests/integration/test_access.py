"""Who may use the HTTP interface of a real gateway: programs of this machine, tokens, log-ins, and
what attackers try. One listener is on loopback, the other on all addresses: there even this machine
needs credentials."""

import http.client
import json
import re
import signal
import socket
import stat
import unittest

import harness

DEVICES = "/api/v1/devices"
JSON = {"Content-Type": "application/json"}


class Base(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.settings = {"server.shards": "2", "http.listen": "127.0.0.1:0,0.0.0.0:0"}
        self.begin()

    def begin(self):
        self.gateway = self.start(self.settings)
        ports = re.search(r'http="?127\.0\.0\.1:(\d+),0\.0\.0\.0:(\d+)', self.gateway.ready_line)
        self.local, self.outside = int(ports[1]), int(ports[2])

    def ctl(self, *words):
        return harness.run(harness.CTL, "--data", self.data_dir, *words)

    def make(self, name, *more):
        code, out, err = self.ctl("token", "create", "--name", name, *more)
        self.assertEqual(code, 0, err)
        self.assertRegex(out, r"\Arg_[0-9a-f]{72}\n\Z")
        return out.strip()

    def ask(self, path=DEVICES, fields=None, method="GET", body=None, port=None):
        """(status, header fields, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.outside,
                                                timeout=harness.LIMIT_S)
        try:
            connection.request(method, path, body, fields or {})
            answer = connection.getresponse()
            raw = answer.read()
            is_json = raw and "json" in answer.getheader("Content-Type", "")
            return answer.status, answer.headers, json.loads(raw) if is_json else raw
        finally:
            connection.close()

    def status(self, *arguments, **named):
        return self.ask(*arguments, **named)[0]

    @staticmethod
    def bearer(token):
        return {"Authorization": f"Bearer {token}"}

    def log_in(self, token, port=None):
        status, headers, body = self.ask("/api/v1/login", JSON, "POST",
                                         json.dumps({"token": token}), port)
        self.assertEqual(status, 200, body)
        cookie = headers["Set-Cookie"]
        for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"):
            self.assertIn(part, cookie)
        return {"Cookie": cookie.split(";")[0]}, body


class Access(Base):
    def test_tokens_live_through_kill_and_end_at_once(self):
        status, headers, body = self.ask()
        self.assertEqual((status, headers["WWW-Authenticate"]), (401, 'Bearer realm="ringgate"'))
        self.assertEqual(headers["Content-Type"], "application/problem+json")
        self.assertEqual(self.status(port=self.local), 200)
        reader, all_may = self.make("reader"), self.make("ops", "--scope", "read,command,admin")
        self.assertEqual(self.status(fields=self.bearer(reader)), 200)
        mode = stat.S_IMODE((self.data_dir / "tokens.json").stat().st_mode)
        self.assertEqual(mode, 0o600)
        self.assertNotIn(reader[3:20], (self.data_dir / "tokens.json").read_text())

        self.gateway.process.send_signal(signal.SIGKILL)
        self.gateway.wait()
        self.begin()
        for token in (reader, all_may):
            self.assertEqual(self.status(fields=self.bearer(token)), 200)
        code, out, _ = self.ctl("token", "list", "--json")
        rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
        self.assertEqual((code, rows["reader"]["scopes"], rows["ops"]["scopes"]),
                         (0, "read", "read,command,admin"))
        self.assertIn("used", rows["reader"])
        self.assertNotIn(reader[3:20], out)

        cookie, _ = self.log_in(reader)
        self.assertEqual(self.status(fields=cookie), 200)
        self.assertEqual(self.ctl("token", "revoke", "reader")[0], 0)
        self.assertEqual(self.status(fields=self.bearer(reader)), 401)
        self.assertEqual(self.status(fields=cookie), 401)
        self.assertEqual(self.status(fields=self.bearer(all_may)), 200)
        self.gateway.process.send_signal(signal.SIGKILL)
        self.gateway.wait()
        self.begin()
        self.assertEqual(self.status(fields=self.bearer(reader)), 401)
        self.assertEqual(self.status(fields=self.bearer(all_may)), 200)
        self.assertEqual(self.ctl("token", "revoke", "reader")[0], 1)

    def test_what_ctl_refuses(self):
        self.make("ops")
        for words, said in ((("--name", "ops"), "already"), (("--name", "a b"), "letters"),
                            (("--name", "a", "--scope", "write"), "read,command,admin"),
                            (("--name", "a", "--expires", "soon"), "90d"),
                            (("--name", "a", "--expires", "0s"), "90d")):
            with self.subTest(words=words):
                code, out, err = self.ctl("token", "create", *words)
                self.assertNotEqual(code, 0)
                self.assertEqual(out, "")
                self.assertIn(said, err)

    def test_a_browser_logs_in_and_out(self):
        token = self.make("ops", "--scope", "read,admin")
        status, _, who = self.ask("/api/v1/whoami")
        self.assertEqual((status, who["credentials_needed"], who["scopes"]), (200, True, []))
        cookie, who = self.log_in(token)
        self.assertEqual((who["name"], who["how"], who["scopes"], who["credentials_needed"]),
                         ("ops", "cookie", ["read", "admin"], False))
        self.assertEqual(self.ask("/api/v1/whoami", cookie)[2], who)
        self.assertEqual(self.status(fields=cookie), 200)
        # A log-out changes something: it needs the CSRF value, and JSON.
        self.assertEqual(self.status("/api/v1/logout", cookie | JSON, "POST"), 403)
        self.assertEqual(self.status("/api/v1/logout", cookie, "POST"), 415)
        right = cookie | JSON | {"X-Ringgate-CSRF": who["csrf"]}
        status, headers, _ = self.ask("/api/v1/logout", right, "POST")
        self.assertEqual((status, "Max-Age=0" in headers["Set-Cookie"]), (200, True))
        self.assertEqual(self.status(fields=cookie), 401)
        _, _, who = self.ask("/api/v1/whoami", port=self.local)
        self.assertEqual((who["name"], who["how"], who["credentials_needed"]),
                         ("local", "local", False))

    def test_bad_log_ins_are_told_counted_and_slowed_down(self):
        token = self.make("ops")
        bodies = ['{"token":1}', '{}', '[]', '{"token":"', json.dumps({"token": token[:-1]}),
                  json.dumps({"token": token[:-1] + ("0" if token[-1] != "0" else "1")}),
                  json.dumps({"token": "x" * 3000})]
        statuses = [self.status("/api/v1/login", JSON, "POST", body) for body in bodies]
        self.assertEqual(statuses, [400] * 4 + [401] * 3)
        self.assertEqual(self.status("/api/v1/login", JSON, "POST", "x" * 5000), 413)
        statuses = [self.ask("/api/v1/login", JSON, "POST", bodies[-1]) for _ in range(6)]
        self.assertEqual(statuses[-1][0], 429)
        self.assertGreaterEqual(int(statuses[-1][1]["Retry-After"]), 1)
        # Requests with the token go on.
        self.assertEqual(self.status(fields=self.bearer(token)), 200)
        _, _, text = self.ask("/metrics", port=self.local)
        self.assertRegex(text.decode(), r'http_access_refused_total{[^}]*"rate_of_attempts"'
                                        r'[^}]*} [1-9]')
        self.assertEqual(self.gateway.stop(), 0)
        self.assertIn("a log-in is refused", self.gateway.output)
        self.assertNotIn(token[3:20], self.gateway.output)

    def test_attacks(self):
        token = self.make("ops", "--scope", "read,command,admin")
        cookie, who = self.log_in(token)
        local = f"localhost:{self.local}"
        shifted = token[:3] + token[4:] + token[3]
        cases = (
            ("DNS rebinding", 403, self.local, {"Host": f"evil.example:{self.local}"}),
            ("rebinding of an upgrade", 403, self.local,
             {"Host": f"evil.example:{self.local}", "Connection": "Upgrade",
              "Upgrade": "websocket", "Origin": f"http://evil.example:{self.local}"}),
            ("a foreign page", 403, self.local, {"Host": local, "Origin": "http://evil.example"}),
            ("a sandboxed page", 403, self.local, {"Host": local, "Origin": "null"}),
            ("another port of this machine", 403, self.local,
             {"Host": local, "Origin": "http://localhost:3000"}),
            ("an image of a foreign page", 403, self.local,
             {"Host": local, "Sec-Fetch-Site": "cross-site"}),
            ("a foreign page with the cookie", 403, self.outside,
             cookie | {"Origin": "http://evil.example"}),
            ("through a proxy", 401, self.local, {"X-Forwarded-For": "127.0.0.1"}),
            ("through a proxy, in any case", 401, self.local, {"fORWARDED": "for=127.0.0.1"}),
            ("a token that was cut", 401, self.outside, self.bearer(token[:40])),
            ("a token with digits that moved", 401, self.outside, self.bearer(shifted)),
            ("a token in capitals", 401, self.outside, self.bearer(token.upper())),
            ("a token as a password", 401, self.outside, {"Authorization": f"Basic {token}"}),
            ("the cookie as a token", 401, self.outside,
             self.bearer(cookie["Cookie"].split("=")[1])),
            ("a cookie beside ours", 401, self.outside,
             {"Cookie": f"ringgate=0; {cookie['Cookie']}"}),
            ("the token as a cookie", 401, self.outside, {"Cookie": f"ringgate={token}"}),
        )
        for name, expected, port, fields in cases:
            with self.subTest(name):
                self.assertEqual(self.status(fields=fields, port=port), expected)
        self.assertEqual(self.status(f"{DEVICES}?access_token={token}&token={token}"), 401)
        with self.subTest("a form of a foreign page, with the cookie"):
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
                self.assertEqual(self.status("/api/v1/logout", cookie | {"Content-Type": kind},
                                             "POST", "{}"), 415)
        with self.subTest("nginx as it is installed: HTTP/1.0, and no field of its own"):
            with socket.create_connection(("127.0.0.1", self.local), harness.LIMIT_S) as raw:
                raw.sendall(f"GET {DEVICES} HTTP/1.0\r\nHost: 127.0.0.1:{self.local}\r\n\r\n"
                            .encode())
                self.assertRegex(raw.recv(4096), rb"\AHTTP/1\.1 401 ")
        self.assertEqual(self.status(fields=cookie), 200)
        for name in ("authorization", "AUTHORIZATION"):
            self.assertEqual(self.status(fields={name: f"bEaReR {token}"}), 200)
        for path in ("/livez", "/readyz"):
            self.assertEqual(self.status(path), 200)
        self.assertEqual(self.status("/metrics"), 401)

    def test_every_route_asks_for_its_scope(self):
        tokens = {scope: self.make(scope, "--scope", scope)
                  for scope in ("read", "command", "admin")}
        _, _, document = self.ask("/api/v1/openapi.json", port=self.local)
        asked = 0
        for template, methods in document["paths"].items():
            path = re.sub(r"{\w+}", "13800138000", template)
            for method, operation in methods.items():
                if not operation["security"]:
                    continue
                needed, = operation["security"][0]["token"]
                with self.subTest(path=template, method=method):
                    self.assertEqual(self.status(path, JSON, method.upper()), 401)
                    for scope in tokens.keys() - {needed}:
                        fields = JSON | self.bearer(tokens[scope])
                        self.assertEqual(self.status(path, fields, method.upper()), 403)
                asked += 1
        self.assertGreaterEqual(asked, 3)

    def test_streams_ask_for_credentials_and_end_with_them(self):
        token = self.make("ops")
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        cookie, _ = self.log_in(token)
        for path, more in (("/api/v1/events", {}), ("/api/v1/stream", upgrade),
                           ("/api/v1/devices/13800138000/trace", {})):
            with self.subTest(path=path):
                self.assertEqual(self.status(path, more), 401)
                self.assertEqual(self.status(f"{path}?access_token={token}", more), 401)
                self.assertEqual(self.status(path, more | cookie |
                                             {"Origin": "http://evil.example"}), 403)
                self.assertEqual(self.status(path, more | {"Host": "evil.example"},
                                             port=self.local), 403)
        streams = []
        for fields in (self.bearer(token), cookie):
            connection = http.client.HTTPConnection("127.0.0.1", self.outside,
                                                    timeout=harness.LIMIT_S)
            self.addCleanup(connection.close)
            connection.request("GET", "/api/v1/events", headers=fields)
            streams.append(connection.getresponse())
            self.assertEqual(streams[-1].status, 200)
        self.assertEqual(self.ctl("token", "revoke", "ops")[0], 0)
        for stream in streams:
            stream.read()  # to its end

    def test_changes_leave_a_line_in_the_log(self):
        token = self.make("ops")
        cookie, who = self.log_in(token)
        self.assertEqual(self.status("/api/v1/logout", cookie | JSON |
                                     {"X-Ringgate-CSRF": who["csrf"]}, "POST"), 200)
        self.ctl("token", "revoke", "ops")
        self.assertEqual(self.gateway.stop(), 0)
        output = self.gateway.output
        self.assertRegex(output, r'action="token create" token=ops result=read by="?\w+ \(uid')
        self.assertRegex(output, r'action="token revoke" token=ops result=done by="?\w+ \(uid')
        self.assertRegex(output, r'path=/api/v1/login status=200 by="token ops from 127\.0\.0\.1"')
        self.assertRegex(output, r'path=/api/v1/logout status=200 by="token ops from 127')
        self.assertIn("serves whoever has a token", output)
        for secret in (token[3:20], who["csrf"][:20], cookie["Cookie"][9:30]):
            self.assertNotIn(secret, output)

    def test_two_hundred_streams_of_bad_tokens_cost_others_nothing(self):
        good = self.make("ops")
        connections = [http.client.HTTPConnection("127.0.0.1", self.outside,
                                                  timeout=harness.LIMIT_S) for _ in range(200)]
        for number, connection in enumerate(connections):
            self.addCleanup(connection.close)
            connection.request("GET", DEVICES, headers=self.bearer(f"rg_{number:072x}"))
        statuses = {connection.getresponse().status for connection in connections}
        self.assertEqual(statuses, {401, 429})
        self.assertEqual(self.status(fields=self.bearer(good)), 200)

    def test_damaged_tokens_do_not_start(self):
        self.make("ops")
        self.assertEqual(self.gateway.stop(), 0)
        file = self.data_dir / "tokens.json"
        file.write_text(file.read_text()[:-10])
        gateway = self.start(self.settings, wait=False)
        self.assertNotEqual(gateway.wait(), 0)
        self.assertIn("tokens.json", gateway.output)


class BehindProxy(Base):
    """A proxy of this machine that names its client (PROXY v2): then that is who asks."""

    def setUp(self):
        super().setUp()
        self.gateway.stop()
        self.settings["http.proxy_from"] = "127.0.0.1"
        self.begin()

    def through(self, client, token=None):
        """The status of a request that came to the proxy from there."""
        address = socket.inet_aton(client) + socket.inet_aton("127.0.0.1") + b"\x01\x00\x02\x00"
        header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + len(address).to_bytes(2, "big") + address
        shown = f"Authorization: Bearer {token}\r\n" if token else ""
        with socket.create_connection(("127.0.0.1", self.local), harness.LIMIT_S) as raw:
            raw.sendall(header + f"POST /api/v1/logout HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}"
                        f"Content-Type: application/json\r\nContent-Length: 0\r\n\r\n"
                        f"GET {DEVICES} HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}"
                        f"Connection: close\r\n\r\n".encode())
            answers = b"".join(iter(lambda: raw.recv(65536), b""))
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", answers)
        self.assertEqual(statuses[0], b"200", answers)
        return int(statuses[1])

    def test_its_clients_are_not_this_machine(self):
        token = self.make("ops")
        self.assertEqual(self.through("192.0.2.99"), 401)
        self.assertEqual(self.through("192.0.2.99", token), 200)
        self.assertEqual(self.through("127.0.0.1"), 200)
        self.assertEqual(self.gateway.stop(), 0)
        self.assertIn('by="token ops from 192.0.2.99"', self.gateway.output)


class Rates(harness.GatewayTest):
    def test_a_token_and_an_address_have_their_rates(self):
        gateway = self.start({"http.listen": "0.0.0.0:0", "http.rate_per_address": "1"})
        connection = http.client.HTTPConnection("127.0.0.1", gateway.address("http")[1],
                                                timeout=harness.LIMIT_S)
        self.addCleanup(connection.close)
        statuses = []
        for _ in range(200):
            connection.request("GET", DEVICES)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        self.assertEqual(set(statuses), {401, 429})
        self.assertEqual(statuses[:50], [401] * 50)
        self.assertGreaterEqual(int(answer.getheader("Retry-After")), 1)


if __name__ == "__main__":
    unittest.main()
