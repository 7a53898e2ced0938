"""What the HTTP interface tells of the past: tracks as ringgate-log has them, alarms, records,
media with ranges; clients that read slowly or go; beside retention, on live and compressed logs."""

import gzip
import http.client
import json
import random
import signal
import socket
import struct
import subprocess
import time
import unittest
import urllib.parse

import api_client
import harness
import jt808
import test_attachment
import test_logtool
from jt808 import Terminal

PHONE = test_logtool.PHONE
at = test_logtool.at
DAY = {"from": "2026-11-19", "to": "2026-11-22"}
# The gateway's own time, in which it receives.
RECEIVED = {"from": "-1h", "to": "-0s"}


class History(test_logtool.LogTool):
    def client(self, gateway):
        client = api_client.Client(gateway.address("http"))
        self.addCleanup(client.close)
        return client

    def drive(self, gateway):
        """A device on its way, with a stop, a gap, a late batch and repetitions."""
        with Terminal(gateway.address(), PHONE) as first:
            first.sign_in()
            for second in range(0, 50, 5):
                self.report(first, 31.1 + second / 1000, 121.4, at(second)[0])
            for minute in range(1, 9):
                self.report(first, 31.15, 121.4, at(0, minute)[0], speed=0)
            late = b"".join(struct.pack(">H", 28) +
                            jt808.location_body(31.15 + s / 1e5, 121.4, 0, at(s)[0])
                            for s in (51, 53))
            self.assertEqual(first.exchange(jt808.LOCATION_BATCH,
                                            struct.pack(">HB", 2, 1) + late), jt808.OK)
            self.report(first, 31.3, 121.5, at(0, 30)[0])
            self.report(first, 31.3, 121.5, at(0, 30)[0])

    def track_of(self, gateway, client, phone=PHONE, **query):
        answer = client.get(f"/api/v1/devices/{phone}/track", **(DAY | query))
        self.assertEqual(answer.status, 200, answer.body)
        return answer.body

    def tool_track(self, *arguments, form="json", phone=PHONE):
        return test_logtool.tool("track", self.data_dir, "--device", phone, "--format", form,
                                 "--from", DAY["from"], "--to", DAY["to"], *arguments)

    def check_against_tool(self, gateway, client, phone=PHONE):
        for query, arguments in (({}, ()), ({"step": "20s"}, ("--step", "20s")),
                                 ({"gap": "10s"}, ("--gap", "10s")),
                                 ({"datum": "gcj02"}, ("--gcj02",))):
            with self.subTest(query=query):
                track = self.track_of(gateway, client, phone, **query)
                expected = json.loads(self.tool_track(*arguments, phone=phone))["tracks"]
                legs = expected[0]["legs"] if expected else []
                fixes = [dict(fix, leg=number) for number, leg in enumerate(legs, 1)
                         for fix in leg["fixes"]]
                self.assertEqual(track["fixes"], fixes)
                if "datum" not in query:
                    self.assertEqual([leg["length_km"] for leg in track["legs"]],
                                     [leg["length_km"] for leg in legs])
                collection = self.track_of(gateway, client, phone, format="geojson", **query)
                expected = json.loads(self.tool_track(*arguments, form="geojson", phone=phone))
                self.assertEqual(collection["features"], expected["features"])
        for form in ("gpx", "csv"):
            # Text mode has changed the tool's line ends.
            own = self.track_of(gateway, client, phone, format=form).decode()
            self.assertEqual(own.replace("\r\n", "\n"), self.tool_track(form=form, phone=phone))


class Tracks(History):
    def test_they_are_those_of_ringgate_log(self):
        gateway = self.start({"server.shards": "2"})
        self.drive(gateway)
        client = self.client(gateway)
        self.assertEqual(gateway.stop(), 0)  # the tool sees what is proven to be committed
        gateway = self.start({"server.shards": "2"})
        client = self.client(gateway)
        self.check_against_tool(gateway, client)
        track = self.track_of(gateway, client)
        self.assertEqual((track["device"], track["datum"], track["by"]),
                         (PHONE, "wgs84", "device_time"))
        self.assertEqual([fix["time"] for fix in track["fixes"] if fix["late"]],
                         [at(51)[1], at(53)[1]])
        self.assertEqual([leg["leg"] for leg in track["legs"]], [1, 2])
        self.assertEqual([(gap["from"], gap["to"]) for gap in track["gaps"]],
                         [(at(0, 8)[1], at(0, 30)[1])])
        self.assertEqual(len(track["stops"]), 1)
        self.assertEqual(track["stops"][0]["to"], at(0, 8)[1])
        received = self.track_of(gateway, client, by="received", **RECEIVED)
        times = [fix["received"] for fix in received["fixes"]]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len(times), len(track["fixes"]))
        far = self.track_of(gateway, client, step_m=2000)
        self.assertLess(len(far["fixes"]), len(track["fixes"]))
        empty = self.track_of(gateway, client, "13999999999")
        self.assertEqual(empty["fixes"], [])

    def test_what_is_wrong_is_said(self):
        gateway = self.start()
        client = self.client(gateway)
        path = f"/api/v1/devices/{PHONE}/track"
        for query, word in (({"from": "soon"}, "from"), ({"step": "x"}, "step"),
                            ({"datum": "bd09"}, "gcj02"), ({"format": "kml"}, "geojson"),
                            ({"from": "2026-11-20", "to": "2026-11-19"}, "before"),
                            ({"step_m": "-1"}, "metres"), ({"by": "time"}, "received")):
            answer = client.get(path, **query)
            self.assertEqual(answer.status, 400, query)
            self.assertIn(word, answer.body["detail"])
        self.assertEqual(client.get("/api/v1/devices/none/track").status, 400)

    def send_batches(self, gateway, numbers):
        """Batches of 30 positions, a second apart; after each tenth nothing for six minutes."""
        with Terminal(gateway.address(), PHONE) as terminal:
            terminal.sign_in()
            for number in numbers:
                body = b""
                for i in range(30):
                    second = number * 30 + i + number // 10 * 360
                    when = at(second % 60, second // 60 % 60, 8 + second // 3600)[0]
                    body += struct.pack(">H", 28)
                    body += jt808.location_body(31 + second / 1e5, 121 + i / 1e4, 40, when)
                self.assertEqual(terminal.exchange(jt808.LOCATION_BATCH,
                                                   struct.pack(">HB", 30, 1) + body), jt808.OK)

    def test_a_long_one_of_many_segments_and_runs_compressed_and_live(self):
        """More fixes than are held at a time, late and in disorder, in segments of both kinds and
        one that grows."""
        settings = {"log.segment_size": "256KiB", "log.compress": "zstd",
                    "log.compress_after": "0s", "server.shards": "2"}
        numbers = list(range(300))
        random.Random(5).shuffle(numbers)
        for part in (numbers[:150], numbers[150:]):
            gateway = self.start(settings)
            self.load(gateway, "--in-flight", "16", "--duration", "1", devices=5)
            self.send_batches(gateway, part)
            self.assertEqual(gateway.stop(), 0)
        gateway = self.start(settings)
        client = self.client(gateway)
        self.check_against_tool(gateway, client)
        track = self.track_of(gateway, client)
        self.assertEqual((len(track["fixes"]), len(track["legs"])), (9000, 30))
        self.assertTrue(all(fix["late"] for fix in track["fixes"]))
        self.check_zipped(gateway, track)
        self.send_batches(gateway, [300])
        live = self.track_of(gateway, client)
        self.assertEqual((len(live["fixes"]), len(live["legs"])), (9030, 31))
        received = self.track_of(gateway, client, by="received", **RECEIVED)
        self.assertEqual(len(received["fixes"]), 9030)

    def check_zipped(self, gateway, track):
        raw = http.client.HTTPConnection(*gateway.address("http"), timeout=harness.LIMIT_S)
        self.addCleanup(raw.close)
        path = f"/api/v1/devices/{PHONE}/track?" + urllib.parse.urlencode(DAY)
        raw.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = raw.getresponse()
        body = answer.read()
        self.assertEqual((answer.getheader("Content-Encoding"), answer.getheader("Vary")),
                         ("gzip", "Accept-Encoding"))
        self.assertEqual(json.loads(gzip.decompress(body)), track)
        self.assertLess(len(body), len(json.dumps(track)) / 3)
        raw.request("HEAD", path)
        answer = raw.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, b""))


class Records(History):
    def test_pages_and_single_records_are_those_of_the_log(self):
        gateway = self.start({"server.shards": "2"})
        self.drive(gateway)
        self.assertEqual(gateway.stop(), 0)
        gateway = self.start({"server.shards": "2"})
        client = self.client(gateway)
        expected = [record for record in test_logtool.query(self.data_dir, "--device", PHONE)]
        seen, cursor = [], None
        while True:
            query = RECEIVED | {"device": PHONE, "limit": 7}
            query |= {"cursor": cursor} if cursor else {}
            page = client.get("/api/v1/records", **query)
            self.assertEqual(page.status, 200)
            self.assertLessEqual(len(page.body["records"]), 7)
            seen += page.body["records"]
            cursor = page.body.get("next")
            if cursor is None:
                break
        self.assertEqual([r["record_id"] for r in seen], [r["record_id"] for r in expected])
        for own, theirs in zip(seen, expected):
            self.assertEqual(own.get("frame"), theirs["frame"])
            self.assertEqual(own["received"], theirs["received"])
        one = client.get("/api/v1/records/" + urllib.parse.quote(seen[3]["record_id"], safe=""))
        self.assertEqual((one.status, one.body), (200, seen[3]))
        short = urllib.parse.quote(seen[3]["record_id"].split("/", 1)[1], safe="")
        self.assertEqual(client.get("/api/v1/records/" + short).body, seen[3])
        for wrong, status in (("1-0%2F99999999999", 404), ("7-7%2F8192", 404), ("x", 400),
                              ("1-0%2F8200", 404)):
            self.assertEqual(client.get("/api/v1/records/" + wrong).status, status, wrong)
        located = client.get("/api/v1/records", message="0x0200,location-batch", **RECEIVED).body
        self.assertEqual({r["message_id"] for r in located["records"]}, {"0x0200", "0x0704"})
        self.assertTrue(located["records"][0]["positions"])
        plain = client.get("/api/v1/records", kind="session", decode="false", **RECEIVED).body
        self.assertEqual({r["kind"] for r in plain["records"]}, {"session"})
        near = client.get("/api/v1/records", area="31.29,121.4,31.31,121.6", **RECEIVED).body
        self.assertEqual(len(near["records"]), 2)
        for query in ({"kind": "frame"}, {"message": "0xzz"}, {"area": "1,2"}, {"cursor": "1.2"},
                      {"device": "x"}, {"limit": 0}, {"decode": "maybe"}):
            self.assertEqual(client.get("/api/v1/records", **query).status, 400, query)
        text = json.dumps(client.get("/api/v1/records", message="0x0102", **RECEIVED).body)
        self.assertIn("***", text)

    def test_alarms_have_a_start_and_an_end(self):
        gateway = self.start()
        client = self.client(gateway)
        overspeed = struct.pack(">I", 2)
        with Terminal(gateway.address(), PHONE) as terminal:
            terminal.sign_in()
            for second, bits in ((0, False), (10, True), (20, True), (30, False), (40, True)):
                body = jt808.location_body(31.1, 121.4, 120, at(second)[0])
                body = (overspeed if bits else body[:4]) + body[4:]
                self.assertEqual(terminal.exchange(jt808.LOCATION, body), jt808.OK)
        for path in (f"/api/v1/devices/{PHONE}/alarms", "/api/v1/alarms"):
            alarms = client.get(path, **RECEIVED).body["alarms"]
            self.assertEqual([(a["type"], a["start"], a["last"], a["end"], a["messages"])
                              for a in alarms],
                             [("overspeed", at(10)[1], at(20)[1], at(30)[1], 2),
                              ("overspeed", at(40)[1], at(40)[1], None, 1)])
        self.assertEqual(client.get("/api/v1/alarms", type="sos", **RECEIVED).body["alarms"], [])
        self.assertEqual(client.get("/api/v1/alarms", area="10,10,11,11", **RECEIVED).body,
                         {"alarms": [], "more": False})
        self.assertTrue(client.get("/api/v1/alarms", limit=1, **RECEIVED).body["more"])


class Media(History):
    def upload(self, gateway, seconds="4"):
        self.kept = self.folder / "kept"
        self.kept.mkdir(exist_ok=True)
        self.load(gateway, "--demo", "--alarms", "1", "--files", self.kept, "--duration", seconds,
                  devices=3)

    def test_files_come_back_whole_in_parts_and_from_where_they_stopped(self):
        gateway = self.start(test_attachment.SETTINGS)
        client = self.client(gateway)
        chance = random.Random(7)
        files = [(b"a.jpg", b"\xff\xd8\xff\xe0" + chance.randbytes(3 << 20)),
                 (b"b.html", b"<script>alert(1)</script>" + b"x" * 1000), (b"c.bin", b"")]
        link = test_attachment.Uploader(gateway.address("attachment"), "13500000001")
        self.addCleanup(link.close)
        self.assertEqual(link.announce(b"ALARM1", files), jt808.OK)
        for name, data in files:
            kind = 3 if name == b"b.html" else 0  # a text
            self.assertEqual(link.begin(name, data, kind), jt808.OK)
            link.blocks(name, data, test_attachment.pieces_of(data))
            link.finish(name, data, kind)
        listed = client.get("/api/v1/media", **RECEIVED).body["media"]
        self.assertEqual({one["name"]: one["size_bytes"] for one in listed},
                         {name.decode(): len(data) for name, data in files})
        by_name = {one["name"].encode(): one for one in listed}
        for name, data in files:
            one = by_name[name]
            self.assertEqual(one["details"]["alarm_number"], "ALARM1")
            self.assertEqual(client.get(f"/api/v1/media/{one['id']}").body, one)
            self.check_content(client, one, data)
        html = client.get(by_name[b"b.html"]["content"])
        self.assertEqual(html.headers["Content-Type"], "application/octet-stream")
        self.assertTrue(html.headers["Content-Disposition"].startswith("attachment;"))
        self.assertEqual(html.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(client.get(by_name[b"a.jpg"]["content"]).headers["Content-Type"],
                         "image/jpeg")
        for type_, count in (("image", 1), ("image/jpeg", 1), ("imag", 0)):
            found = client.get("/api/v1/media", type=type_, **RECEIVED).body["media"]
            self.assertEqual(len(found), count, type_)
        self.assertEqual(client.get("/api/v1/media", alarm="ALARM2", **RECEIVED).body["media"], [])
        for wrong in ("..%2F..%2Fnode", "0193c8f2a1b-7-0-2a", "x"):
            self.assertEqual(client.get(f"/api/v1/media/{wrong}/content").status, 404)

    def check_content(self, client, one, data):
        path = one["content"]
        whole = client.get(path)
        self.assertEqual((whole.status, whole.body), (200, data))
        tag = whole.headers["ETag"]
        self.assertEqual(whole.headers["Accept-Ranges"], "bytes")
        self.assertIsNone(whole.headers["Content-Encoding"])
        head = client.request("HEAD", path)
        self.assertEqual((head.status, head.headers["Content-Length"]), (200, str(len(data))))
        self.assertEqual(client.request("GET", path, headers={"If-None-Match": tag}).status, 304)
        if not data:
            return
        for field, first, end in (("bytes=0-9", 0, 10), ("bytes=100-", 100, len(data)),
                                  ("bytes=-7", len(data) - 7, len(data))):
            part = client.request("GET", path, headers={"Range": field, "If-Range": tag})
            self.assertEqual((part.status, part.body), (206, data[first:end]))
            self.assertEqual(part.headers["Content-Range"],
                             f"bytes {first}-{end - 1}/{len(data)}")
        head = client.request("HEAD", path, headers={"Range": "bytes=0-9"})
        self.assertEqual((head.status, head.headers["Content-Length"]), (200, str(len(data))))
        stale = client.request("GET", path, headers={"Range": "bytes=0-9", "If-Range": '"x"'})
        self.assertEqual((stale.status, stale.body), (200, data))
        beyond = client.request("GET", path, headers={"Range": f"bytes={len(data)}-"})
        self.assertEqual((beyond.status, beyond.headers["Content-Range"]),
                         (416, f"bytes */{len(data)}"))

    def test_what_terminals_attach_is_what_comes_back(self):
        gateway = self.start({"attachment.listen": "127.0.0.1:0"})
        client = self.client(gateway)
        self.upload(gateway)
        kept = {path.read_bytes() for path in self.kept.rglob("*") if path.is_file()}
        listed = client.get("/api/v1/media", limit=1000, **RECEIVED).body["media"]
        for one in listed:
            content = client.get(one["content"])
            self.assertEqual(content.status, 200)
            self.assertIn(content.body, kept)


class Clients(History):
    """Those that behave badly."""

    def big(self, gateway):
        """A path whose answer is some megabytes."""
        self.load(gateway, "--drive", "--in-flight", "16", "--duration", "2", devices=10)
        return "/api/v1/records?limit=10000&from=-1h"

    def send(self, gateway, path):
        raw = socket.socket()
        self.addCleanup(raw.close)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(harness.LIMIT_S)
        raw.connect(gateway.address("http"))
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return raw

    def test_one_that_stops_reading_delays_nobody(self):
        gateway = self.start({"http.query_threads": "1"})
        path = self.big(gateway)
        slow = [self.send(gateway, path) for _ in range(4)]
        for raw in slow:
            self.assertTrue(raw.recv(100).startswith(b"HTTP/1.1 200"))
        client = self.client(gateway)
        for _ in range(5):
            self.assertEqual(client.get("/api/v1/records", limit=10, **RECEIVED).status, 200)
        # And then it reads on, to the very end.
        text = b""
        while b"\r\n0\r\n\r\n" not in text[-20:]:
            piece = slow[0].recv(1 << 16)
            self.assertTrue(piece)
            text += piece
        self.assertGreater(len(text), 1 << 20)

    def test_those_that_go_leave_nothing_behind(self):
        gateway = self.start({"http.query_threads": "1"})
        path = self.big(gateway)
        for _ in range(5):
            gone = [self.send(gateway, path) for _ in range(10)]
            gone[0].recv(100)
            for raw in gone:
                raw.close()
        client = self.client(gateway)

        def cancelled():
            text = client.get("/metrics").body.decode()
            return 'ringgate_queries_total{thread="query-0",end="cancelled"} 0' not in text

        patience = time.monotonic() + harness.LIMIT_S
        while not cancelled():
            self.assertLess(time.monotonic(), patience)
            time.sleep(0.02)
        while client.get("/api/v1/records", limit=1, **RECEIVED).status != 200:
            self.assertLess(time.monotonic(), patience)
            time.sleep(0.02)

    def test_too_many_of_one_client_are_refused(self):
        gateway = self.start({"http.query_threads": "1"})
        path = self.big(gateway)
        waiting = [self.send(gateway, path) for _ in range(20)]
        answers = [raw.recv(4096) for raw in waiting]
        refused = [text for text in answers if text.startswith(b"HTTP/1.1 503")]
        self.assertEqual(len(refused), 4)
        for text in refused:
            self.assertIn(b"\r\nRetry-After: ", text)

    def test_a_stop_cuts_a_long_answer_where_it_shows(self):
        gateway = self.start({"server.drain_timeout": "5s"})
        raw = self.send(gateway, self.big(gateway))
        self.assertTrue(raw.recv(100).startswith(b"HTTP/1.1 200"))
        gateway.signal(signal.SIGTERM)
        text = b""
        try:
            while piece := raw.recv(1 << 16):
                text += piece
        except ConnectionError:
            pass
        self.assertNotIn(b"\r\n0\r\n\r\n", text[-20:])
        self.assertEqual(gateway.wait(), 0)

    def test_while_retention_deletes(self):
        gateway = self.start({"log.segment_size": "256KiB", "log.retention_bytes": "2MiB"})
        host, port = gateway.address()
        load = subprocess.Popen(
            [str(harness.LOAD), "jt808", "--target", f"{host}:{port}", "--devices", "20",
             "--in-flight", "16", "--duration", "4", "--quiet"],
            stdout=subprocess.DEVNULL)
        client = self.client(gateway)
        statuses = []
        while load.poll() is None:
            statuses.append(client.get("/api/v1/records", limit=10000, decode="false",
                                       **RECEIVED).status)
            statuses.append(client.get("/api/v1/alarms", **RECEIVED).status)
        self.assertEqual(load.returncode, 0)
        self.assertEqual(set(statuses), {200})


if __name__ == "__main__":
    unittest.main()
