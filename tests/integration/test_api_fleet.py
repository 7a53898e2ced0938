"""The fleet as a whole over HTTP: the map, and what the gateway says of itself."""

import http.client
import unittest

import api_client
import harness
import jt808
import servers

PHONES = [str(13800138000 + number) for number in range(8)]


class Fleet(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.start({"server.shards": "2",
                                   "jt808.command_timeout": "1s", "jt808.command_retries": "0",
                                   "sink.redis.url": "redis://:secret@127.0.0.1:1"})
        self.terminals = {}
        for phone in PHONES:
            terminal = self.terminals[phone] = jt808.Terminal(self.gateway.address(), phone)
            self.addCleanup(terminal.close)
            terminal.sign_in()
            terminal.report()
        self.client = api_client.Client(self.gateway.address("http"))
        self.addCleanup(self.client.close)

    def test_the_map_shows_devices_or_cells(self):
        found = self.client.get("/api/v1/map").body
        self.assertEqual(sorted(device["phone"] for device in found["devices"]), PHONES)
        self.assertEqual((found["total"]["devices"], found["total"]["online"]), (8, 8))
        one = found["devices"][0]
        area = "{},{},{},{}".format(one["latitude_deg"] - 1, one["longitude_deg"] - 1,
                                    one["latitude_deg"] + 1, one["longitude_deg"] + 1)
        self.assertEqual(len(self.client.get("/api/v1/map", area=area).body["devices"]), 8)
        far = self.client.get("/api/v1/map", area="-60,-60,-50,-50").body
        self.assertEqual((far["devices"], far["inside"]["devices"]), ([], 0))
        cells = self.client.get("/api/v1/map", points_max=7).body["cells"]
        self.assertEqual([cell["devices"] for cell in cells], [8])
        self.assertEqual(cells[0]["latitude_deg"], one["latitude_deg"])
        for bad in ({"area": "1,2,3"}, {"area": "0,0,1,181"}, {"cells": 0}, {"points_max": "x"}):
            self.assertEqual(self.client.get("/api/v1/map", **bad).status, 400)

    def test_the_map_follows_what_happens(self):
        self.assertEqual(self.client.get("/api/v1/map").body["total"]["online"], 8)
        self.terminals[PHONES[0]].close()
        servers.wait_until(lambda: self.client.get("/api/v1/map").body["total"]["online"] == 7,
                           "the map sees a terminal go")
        late = jt808.Terminal(self.gateway.address(), "13800139999")
        self.addCleanup(late.close)
        late.sign_in()
        late.report()
        servers.wait_until(lambda: self.client.get("/api/v1/map").body["total"]["devices"] == 9,
                           "the map sees a new terminal")

    def pages(self, **query):
        """The numbers of all pages, and their devices."""
        found, cursor = [], {}
        for _ in range(20):
            answer = self.client.get("/api/v1/devices", **query, **cursor)
            self.assertEqual(answer.status, 200, answer.body)
            found += answer.body["devices"]
            if "next" not in answer.body:
                return [device["phone"] for device in found], found
            cursor = {"cursor": answer.body["next"]}
        self.fail("the list has no end")

    def plate(self, phone, plate):
        answer = self.client.put(f"/api/v1/registrations/{phone}", {"plate": plate})
        self.assertIn(answer.status, (200, 201), answer.body)

    def test_devices_are_found_by_plate_and_number(self):
        for number, plate in enumerate(["京A10001", "京A10002", "粤B10001", "粤B10001D"]):
            self.plate(PHONES[number], plate)
        # What the registry learns later comes with the next walk over the devices.
        self.assertEqual(self.pages(q="京")[0], PHONES[:2])
        devices = self.pages(q="粤b1")[1]
        self.assertEqual([(device["phone"], device["plate"], device["online"])
                          for device in devices],
                         [(PHONES[2], "粤B10001", True), (PHONES[3], "粤B10001D", True)])
        self.assertIn("last_heard", devices[0])  # rows as the list has them
        # Plate or number, and the number is that of another device.
        self.assertEqual(self.pages(q="0001")[0], [PHONES[0], PHONES[2], PHONES[3]])
        self.assertEqual(self.pages(q=PHONES[5])[0], [PHONES[5]])
        self.assertEqual(self.pages(q="1380013", limit=3)[0], PHONES)
        self.assertEqual(self.pages(plate="粤B10001")[0], [PHONES[2]])
        self.assertEqual(self.pages(plate="粤B*", sort="-plate")[0], [PHONES[3], PHONES[2]])
        # Those without a plate are last, both ways.
        self.assertEqual(self.pages(sort="plate", limit=3)[0], PHONES)
        self.assertEqual(self.pages(sort="-plate", limit=3)[0], PHONES[3::-1] + PHONES[4:])
        self.assertEqual(self.pages(q="nobody"), ([], []))
        self.assertEqual(self.pages(q="1380013", filter=f"phone~*{PHONES[6][-2:]}")[0],
                         [PHONES[6]])

    def test_devices_in_an_order(self):
        self.assertEqual(self.pages(sort="-phone", limit=3)[0], PHONES[::-1])
        heard = [device["last_heard_us"] for device in self.pages(sort="-last_heard", limit=2)[1]]
        self.assertEqual(heard, sorted(heard, reverse=True))
        self.terminals[PHONES[3]].close()
        servers.wait_until(lambda: self.pages(sort="online", limit=3)[0][0] == PHONES[3],
                           "the list sees a terminal go")
        self.assertEqual(self.pages(sort="-online", limit=3)[0][-1], PHONES[3])
        self.assertEqual(self.pages(sort="-phone", filter="not online")[0], [PHONES[3]])
        self.assertEqual(self.pages(sort="-phone", filter="online", limit=2)[0],
                         [phone for phone in PHONES[::-1] if phone != PHONES[3]])
        cursor = self.client.get("/api/v1/devices", sort="phone", limit=1).body["next"]
        for bad in ({"sort": "colour"}, {"q": "x" * 65}, {"plate": "a*b"}, {"sort": "-phone",
                    "cursor": cursor}, {"sort": "phone", "cursor": "0.1"}, {"cursor": cursor},
                    {"sort": "phone", "filter": "speed>"}):
            self.assertEqual(self.client.get("/api/v1/devices", **bad).status, 400, bad)
        odd = self.client.get("/api/v1/devices?q=%E4%BA")
        self.assertEqual(odd.status, 400)

    def test_an_unchanged_map_is_short(self):
        connection = http.client.HTTPConnection(*self.gateway.address("http"),
                                                timeout=harness.LIMIT_S)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/map")
        answer = connection.getresponse()
        tag, body = answer.headers["ETag"], answer.read()
        self.assertGreater(len(body), 100)
        connection.request("GET", "/api/v1/map", headers={"If-None-Match": tag})
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()), (304, b""))

    def test_figures(self):
        stats = self.client.get("/api/v1/stats").body
        self.assertEqual(stats["devices_online"], 8)
        self.assertGreaterEqual(stats["frames"], 24)  # registration, authentication, position
        self.assertEqual(sum(shard["links"] for shard in stats["shards"]), stats["links"])
        self.assertEqual(len(stats["shards"]), 2)
        self.assertGreater(stats["ack"]["count"], 0)
        self.assertLessEqual(stats["commit"]["p50_s"], stats["commit"]["p99_s"])

    def test_sinks_configuration_and_consumers(self):
        sinks = self.client.get("/api/v1/sinks").body["sinks"]
        self.assertEqual([sink["name"] for sink in sinks], ["redis"])
        keys = {entry["key"]: entry for entry in self.client.get("/api/v1/config").body["keys"]}
        self.assertEqual(keys["server.shards"]["value"], "2")
        self.assertIn("--set", keys["server.shards"]["source"])
        self.assertEqual(keys["jt808.idle_timeout"]["source"], "default")
        self.assertNotIn("secret", str(keys["sink.redis.url"]))
        self.assertEqual(self.client.get("/api/v1/consumers").body["consumers"], [])

    def test_what_went_wrong(self):
        def sink_line(found):
            return next((line for line in found["errors"] if line["source"] == "sink-redis"), None)

        servers.wait_until(lambda: sink_line(self.client.get("/api/v1/errors").body),
                           "the sink's failure is told")
        found = self.client.get("/api/v1/errors").body
        self.assertIn("127.0.0.1:1", sink_line(found)["text"])
        self.assertNotIn("secret", str(found))
        self.assertEqual(found["requests"], [])
        before = found["failed_answers"]
        # Nobody answers it: twice 504.
        for _ in range(2):
            answer = self.client.post(
                f"/api/v1/devices/{PHONES[0]}/commands",
                {"message": "text-message", "fields": {"flags": ["display"], "text": "hi"}},
                wait="30s")
            self.assertEqual(answer.status, 504)
        found = self.client.get("/api/v1/errors").body
        self.assertEqual([(one["method"], one["path"], one["status"], one["count"])
                          for one in found["requests"]],
                         [("POST", "/api/v1/devices/{id}/commands", 504, 2)])
        self.assertEqual(found["failed_answers"], before + 2)
        # The sink tries again: its line is there once, and counts.
        first = sink_line(found)["first"]
        servers.wait_until(
            lambda: sink_line(self.client.get("/api/v1/errors").body)["count"] > 1, "it counts")
        found = self.client.get("/api/v1/errors").body
        self.assertEqual(sink_line(found)["first"], first)
        self.assertGreater(sink_line(found)["time"], first)
        times = [line["time"] for line in found["errors"]]
        self.assertEqual(times, sorted(times, reverse=True))

    def test_who_sends_most(self):
        for number, phone in enumerate(PHONES):
            for _ in range(5 * number):
                self.terminals[phone].report()
        found = self.client.get("/api/v1/talkers").body
        self.assertEqual(found["seconds"], 60)
        # One report each was before. So few are counted one by one.
        self.assertEqual([(one["phone"], one["frames"], one["frames_error"])
                          for one in found["talkers"]],
                         [(phone, 1 + 5 * number, 0)
                          for number, phone in reversed(list(enumerate(PHONES)))])
        size = len(jt808.unescaped_frame(jt808.LOCATION, PHONES[0], 0, jt808.location_body()))
        for one in found["talkers"]:
            self.assertEqual(one["bytes"], one["frames"] * size)
            self.assertAlmostEqual(one["frames_per_s"], one["frames"] / 60, places=2)
        # Few but long ones: first by bytes, not by frames.
        for _ in range(10):
            self.terminals[PHONES[0]].report(items=b"\xe1\xf0" + bytes(240))
        most = self.client.get("/api/v1/talkers", by="bytes", limit=2).body["talkers"]
        self.assertEqual([one["phone"] for one in most], [PHONES[0], PHONES[7]])
        self.assertEqual(most[0]["bytes"], 11 * size + 10 * 242)
        most = self.client.get("/api/v1/talkers", limit=1).body["talkers"]
        self.assertEqual([one["phone"] for one in most], [PHONES[7]])
        for bad in ({"limit": 0}, {"limit": 101}, {"by": "noise"}):
            self.assertEqual(self.client.get("/api/v1/talkers", **bad).status, 400)


if __name__ == "__main__":
    unittest.main()
