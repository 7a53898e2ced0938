"""The HTTP interface of a real gateway of two shards: devices in pages, probes, counters, its own
description, what is refused, and that bad clients cost others nothing."""

import http.client
import json
import re
import signal
import socket
import unittest
import urllib.parse

import api_client
import harness
import jt808
import servers

# Phone numbers on both shards: some of these live on each.
PHONES = [str(13800138000 + number) for number in range(8)]


class Api(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.start({"server.shards": "2"})
        self.address = self.gateway.address("http")

    def connect(self):
        connection = http.client.HTTPConnection(*self.address, timeout=harness.LIMIT_S)
        self.addCleanup(connection.close)
        return connection

    def get(self, path, method="GET", connection=None, **query):
        """(status, content type, body); JSON is read."""
        connection = connection or self.connect()
        if query:
            path += "?" + urllib.parse.urlencode(query)
        connection.request(method, path)
        answer = connection.getresponse()
        kind, body = answer.getheader("Content-Type"), answer.read()
        if body and kind and "json" in kind:
            body = json.loads(body)
        return answer.status, kind, body

    def sign_in(self, phone):
        terminal = jt808.Terminal(self.gateway.address(), phone)
        self.addCleanup(terminal.close)
        terminal.sign_in()
        terminal.report()
        return terminal

    def problem(self, expected, path, **query):
        status, kind, body = self.get(path, **query)
        self.assertEqual((status, kind, body["status"]),
                         (expected, "application/problem+json", expected), body)
        return body.get("detail", "")

    def test_devices_in_pages(self):
        for phone in PHONES:
            self.sign_in(phone)
        seen, cursor = [], None
        while True:
            query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            status, _, page = self.get("/api/v1/devices", **query)
            self.assertEqual(status, 200)
            self.assertLessEqual(len(page["devices"]), 3)
            seen += [device["phone"] for device in page["devices"]]
            cursor = page.get("next")
            if cursor is None:
                break
        self.assertEqual(sorted(seen), PHONES)
        _, _, page = self.get("/api/v1/devices", filter=f"phone~*{PHONES[3][-2:]} and online")
        self.assertEqual([device["phone"] for device in page["devices"]], [PHONES[3]])
        _, _, one = self.get(f"/api/v1/devices/{PHONES[5]}")
        self.assertEqual(one["phone"], PHONES[5])
        self.assertTrue(one["online"])

    def test_what_is_wrong_is_said(self):
        self.assertIn("column 7", self.problem(400, "/api/v1/devices", filter="speed>fast"))
        self.assertIn("1 to 10000", self.problem(400, "/api/v1/devices", limit="none"))
        self.assertIn("cursor", self.problem(400, "/api/v1/devices", cursor="9.0"))
        self.assertIn("139", self.problem(404, "/api/v1/devices/13999999999"))
        self.assertIn("phone", self.problem(400, "/api/v1/devices/not-a-phone"))
        self.assertIn("%", self.problem(400, "/api/v1/devices/13%zz"))
        self.problem(404, "/nothing")
        status, _, body = self.get("/api/v1/devices", method="DELETE")
        self.assertEqual((status, body["status"]), (405, 405))
        status, _, body = self.get("/livez", method="HEAD")
        self.assertEqual((status, body), (200, b""))

    def test_a_query_that_is_not_understood_is_refused(self):
        """Rather than taken for one without: a filter that is mistyped lets everything through."""
        for query, what in (("fliter=online", 'no parameter "fliter" here; known are: filter, q'),
                            ("filter=%zz", "two hex digits"), ("filter=%ff", "no UTF-8"),
                            ("%66ilter=online&filter=", "filter stands twice"),
                            ("limit=1&limit=2", "limit stands twice")):
            with self.subTest(query=query):
                self.assertIn(what, self.problem(400, "/api/v1/devices?" + query))
        paths = self.get("/api/v1/openapi.json")[2]["paths"]
        for path, methods in paths.items():
            streams = path.endswith(("/stream", "/trace"))
            if "get" not in methods or not path.startswith("/api/") or streams:
                continue
            with self.subTest(path=path):
                asked = path.replace("{id}", PHONES[0]) + "?nosuch=1"
                self.assertIn("there is no parameter", self.problem(400, asked))
        self.assertEqual(self.get("/metrics?format=prometheus")[0], 200)
        self.assertEqual(self.get("/api/v1/alarms?from=2026-11-20T22:00:00+08:00"
                                  "&to=2036-11-20 22:00".replace(" ", "%20"))[0], 200)

    def test_the_description_is_one_of_openapi_and_true(self):
        client = api_client.Client(self.address)
        self.addCleanup(client.close)
        self.sign_in(PHONES[0])
        for path in ("/api/v1/devices", f"/api/v1/devices/{PHONES[0]}", "/metrics"):
            self.assertEqual(client.get(path).status, 200)
        self.assertEqual(client.get("/api/v1/devices/13999999999").status, 404)
        self.assertEqual(client.get("/api/v1/devices", limit=0).status, 400)
        document = json.loads(json.dumps(client.document))
        document["paths"]["/api/v1/devices"]["get"]["responses"]["200"]["content"] = {
            "application/json": {"schema": {"type": "array"}}}
        with self.assertRaisesRegex(AssertionError, "is not of type 'array'"):
            api_client.check_answer(document, "GET", "/api/v1/devices", 200, "application/json",
                                    b'{"devices":[]}')
        for wrong in ({"openapi": "3.0.0"}, {"info": {}}, {"paths": {"devices": {}}},
                      {"paths": {"/a": {"get": {"responses": {}}}}}, {"extra": 1}):
            with self.subTest(wrong=wrong), self.assertRaises(AssertionError):
                api_client.check_document(document | wrong)

    def test_metrics(self):
        self.sign_in(PHONES[0])
        status, kind, text = self.get("/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(kind.startswith("text/plain; version=0.0.4"))
        text = text.decode()
        self.assertRegex(text, r'(?m)^ringgate_links_accepted_total{shard="[01]"} [1-9]')
        self.assertRegex(text, r'(?m)^# TYPE ringgate_http_responses_total counter$')
        self.assertNotIn(PHONES[0], text)

    def test_probes(self):
        for path, word in (("/livez", "alive"), ("/readyz", "ready"), ("/startupz", "started")):
            self.assertEqual(self.get(path)[2], {"status": word})

    def test_requests_on_one_connection_keep_their_order(self):
        self.sign_in(PHONES[0])
        paths = [f"/api/v1/devices/{PHONES[0]}", "/livez", "/api/v1/devices/13999999999",
                 "/readyz"] * 10
        with socket.create_connection(self.address, timeout=harness.LIMIT_S) as raw:
            raw.sendall(b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                                 for path in paths[:-1]) +
                        f"GET {paths[-1]} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                        .encode())
            text = b"".join(iter(lambda: raw.recv(65536), b""))
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", text)
        self.assertEqual(statuses, [b"200", b"200", b"404", b"200"] * 10)

    def test_smuggling_and_rubbish_end_their_connection_alone(self):
        good = self.connect()
        self.assertEqual(self.get("/livez", connection=good)[0], 200)
        for data, status in (
                (b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n", b"400"),
                (b"GET /livez HTTP/1.1\nHost: a\n\n", b"400"),
                (b"GET /livez HTTP/1.1\r\nHost: a\r\n x\r\n\r\n", b"400"),
                (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
                (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 100 + b"\r\n", b"431"),
                (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", b"505"),
                (b"POST /api/v1/devices HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n",
                 b"413"),
                (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400")):
            with self.subTest(data=data[:60]), \
                    socket.create_connection(self.address, timeout=harness.LIMIT_S) as raw:
                raw.sendall(data)
                text = b"".join(iter(lambda c=raw: c.recv(65536), b""))
                self.assertEqual(len(re.findall(rb"(?m)^HTTP/1\.1 ", text)), 1)
                self.assertTrue(text.startswith(b"HTTP/1.1 " + status), text[:60])
        self.assertEqual(self.get("/livez", connection=good)[0], 200)
        metrics = self.get("/metrics")[2].decode()
        bad = re.findall(r'ringgate_http_bad_heads_total{shard="\d",reason="bad_framing"} (\d+)',
                         metrics)
        self.assertEqual(sum(map(int, bad)), 1)

    def test_clients_that_leave_before_their_answer(self):
        for _ in range(200):
            with socket.create_connection(self.address, timeout=harness.LIMIT_S) as raw:
                raw.sendall(b"GET /api/v1/devices HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(self.get("/api/v1/devices")[0], 200)

    def test_slow_heads_and_bodies_end(self):
        """The listener's frame time-out ends what is begun and not ended; others go on."""
        self.gateway.stop()
        gateway = self.start({"http.frame_timeout": "200ms"})
        begun = b"POST /api/v1/openapi.json HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n"
        for slow in (b"GET /livez HT", begun):
            with socket.create_connection(gateway.address("http"), harness.LIMIT_S) as client:
                client.sendall(slow)
                # Nobody sends more: the end comes from the gateway.
                self.assertEqual(client.recv(1000), b"")
        self.address = gateway.address("http")
        self.assertEqual(self.get("/livez")[0], 200)

    def test_clients_that_take_nothing_of_their_answers_end(self):
        """Else they would keep all the places of queries from everybody, for ever."""
        self.gateway.stop()
        gateway = self.start({"server.shards": "2", "http.idle_timeout": "1s"})
        host, port = gateway.address()
        code, out, err = harness.run(harness.LOAD, "jt808", "--target", f"{host}:{port}",
                                     "--devices", "20", "--in-flight", "20", "--duration", "1",
                                     "--quiet")
        self.assertEqual(code, 0, out + err)
        self.address = gateway.address("http")

        def status():
            return self.get("/api/v1/records", limit=1)[0]

        stalled = []
        while status() == 200:
            self.assertLess(len(stalled), 100)
            raw = socket.socket()
            self.addCleanup(raw.close)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(self.address)
            raw.sendall(b"GET /api/v1/records?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            stalled.append(raw)
        self.assertGreaterEqual(len(stalled), 16)
        servers.wait_until(lambda: status() == 200, "a place for a query")

    def test_a_stop_with_open_connections(self):
        idle = self.connect()
        self.assertEqual(self.get("/livez", connection=idle)[0], 200)
        self.gateway.signal(signal.SIGTERM)
        self.assertEqual(self.gateway.wait(), 0)


if __name__ == "__main__":
    unittest.main()
