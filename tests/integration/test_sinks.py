"""Sinks as an operator sees them: keys, ringgate-ctl sink, a server that is not there."""

import json
import unittest

import harness
import servers
from jt808 import Terminal


class Sinks(harness.GatewayTest):
    def ctl(self, *words):
        return harness.run(harness.CTL, "--data", self.data_dir, *words)

    def sinks(self):
        code, out, err = self.ctl("sink", "--json")
        self.assertEqual(code, 0, err)
        return {row["name"]: row for row in map(json.loads, out.splitlines())}

    def report(self, gateway, count):
        with Terminal(gateway.address(), "13200000000") as terminal:
            terminal.sign_in()
            for _ in range(count):
                terminal.report()

    def test_pause_resume_seek(self):
        with servers.Redis(password="secret") as redis:
            gateway = self.start({"sink.redis.url": redis.url})
            self.report(gateway, 10)
            servers.wait_until(lambda: redis.cli("dbsize") not in ("0", ""), "rows are in Redis")
            servers.wait_until(lambda: self.sinks()["redis"]["lag_bytes"] == 0, "no lag")
            self.assertFalse(json.loads(self.ctl("status", "--json")[1])["sinks"][0]["trouble"])
            self.assertEqual(self.ctl("sink", "pause", "redis")[0], 0)
            servers.wait_until(lambda: self.sinks()["redis"]["state"] == "paused", "it pauses")
            before = self.sinks()["redis"]["records"]
            redis.cli("flushall")
            self.report(gateway, 3)
            self.assertEqual(redis.cli("dbsize"), "0")
            self.assertEqual(self.ctl("sink", "resume", "redis")[0], 0)
            servers.wait_until(lambda: self.sinks()["redis"]["records"] > before, "it goes on")
            servers.wait_until(lambda: self.sinks()["redis"]["lag_bytes"] == 0, "no lag")
            confirmed = self.sinks()["redis"]["records"]
            for place in ("beginning", "0", "2001-01-01", "-1h", "2001-01-01T08:00:00+08:00",
                          self.sinks()["redis"]["cursor"]):
                self.assertEqual(self.ctl("sink", "seek", "redis", place)[0], 0, place)
            self.assertEqual(self.ctl("sink", "seek", "redis", "beginning")[0], 0)
            servers.wait_until(lambda: self.sinks()["redis"]["records"] >= 2 * confirmed,
                               "everything goes out again")
            self.assertIn("redis", self.ctl("sink")[1])
            self.assertEqual(self.ctl("sink", "seek", "redis", "nowhere")[0], 1)
            self.assertEqual(self.ctl("sink", "pause", "nobody")[0], 1)
            self.assertEqual(self.ctl("sink", "nonsense")[0], 2)
            self.assertNotIn("secret", gateway.output)

    def test_servers_that_are_not_there_hold_nothing_up(self):
        port = servers.free_ports()[0]
        gateway = self.start({"sink.redis.url": f"redis://127.0.0.1:{port}",
                              "sink.nats.url": f"nats://127.0.0.1:{port}",
                              "sink.nats.commands": "false",
                              "server.status_interval": "1s"})
        self.report(gateway, 3)
        servers.wait_until(lambda: all(row["state"] == "backing-off" and row["error"]
                                       for row in self.sinks().values()), "they back off")
        status = json.loads(self.ctl("status", "--json")[1])
        self.assertEqual({(row["name"], row["state"], row["trouble"]) for row in status["sinks"]},
                         {("redis", "backing-off", True), ("nats", "backing-off", True)})
        self.assertIn("sink redis backing-off, ", self.ctl("status")[1])
        servers.wait_until(lambda: "redis backing-off, " in gateway.output, "the status line")
        self.assertEqual(gateway.stop(), 0)

    def test_without_sinks(self):
        self.start()
        self.assertEqual(self.ctl("sink")[1], "no sink is on\n")


if __name__ == "__main__":
    unittest.main()
