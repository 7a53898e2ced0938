"""Sinks as an operator sees them: keys, ringgate-ctl sink, a server that is not there."""

import json
import signal
import subprocess
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
            self.assertEqual(gateway.stop(), 0)
            audits = [record["audit"] for record in harness.dump(self.data_dir)
                      if record["kind"] == "audit" and record["device"] == ""]
            self.assertEqual([audit["action"] for audit in audits],
                             ["sink pause", "sink resume"] + ["sink seek"] * 7)
            self.assertEqual((audits[2]["sink"], audits[2]["to"]), ("redis", "beginning"))

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

    def test_everything_at_once(self):
        """All threads of a gateway at work: what ThreadSanitizer should see."""
        with servers.Redis() as redis, servers.Nats() as nats, servers.Postgres() as postgres:
            gateway = self.start({
                "server.shards": "2", "server.pin": "false", "log.segment_size": "1MiB",
                "log.compress_after": "1s", "log.retention_bytes": "16MiB",
                "state.snapshot_interval": "1s", "sink.redis.url": redis.url,
                "sink.nats.url": nats.url, "sink.postgres.url": postgres.url})
            host, port = gateway.address()
            load = subprocess.Popen(
                [harness.LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "50", "--rate",
                 "100", "--duration", "3600", "--drive", "--reconnect", "--quiet"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.addCleanup(load.wait)
            self.addCleanup(load.kill)
            self.addCleanup(load.stdout.close)
            fleet = self.folder / "fleet.csv"
            fleet.write_text("phone,note\n" + "".join(f"{i},n{i}\n" for i in range(1, 5001)))
            servers.wait_until(lambda: self.sinks()["postgres"]["records"] > 100, "rows go out")
            self.assertEqual(self.ctl("registry", "import", fleet)[0], 0)
            self.assertIn("answered", self.ctl("send", "--all", '{"message":"query-location"}',
                                               "--filter", "online", "--parallel", "20")[1])
            for name in ("redis", "nats", "postgres"):
                for words in (("pause", name), ("resume", name), ("seek", name, "beginning")):
                    self.assertEqual(self.ctl("sink", *words)[0], 0)
            self.assertEqual(self.ctl("ban", "13800000009", "--for", "1h")[0], 0)
            self.assertEqual(self.ctl("kick", "13800000010")[0], 0)
            self.assertEqual(self.ctl("stats")[0], 0)
            gateway.signal(signal.SIGHUP)
            gateway.signal(signal.SIGUSR1)
            load.send_signal(signal.SIGINT)
            load.communicate(timeout=harness.LIMIT_S)
            servers.wait_until(lambda: all(row["records"] and row["lag_bytes"] == 0
                                           for row in self.sinks().values()), "no lag")
            self.assertEqual(gateway.stop(), 0)

    def test_without_sinks(self):
        self.start()
        self.assertEqual(self.ctl("sink")[1], "no sink is on\n")


if __name__ == "__main__":
    unittest.main()
