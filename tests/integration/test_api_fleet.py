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
        for bad in ({"area": "1,2,3"}, {"area": "2,0,1,0"}, {"cells": 0}, {"points_max": "x"}):
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


if __name__ == "__main__":
    unittest.main()
