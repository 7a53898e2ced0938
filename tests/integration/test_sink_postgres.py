"""The PostgreSQL sink with a real server: every row exactly once, whatever is killed."""

import json
import random
import unittest

import harness
import servers
from jt808 import Terminal

ROUNDS = 20 if harness.LONG else 2


class SinkPostgres(harness.GatewayTest):
    def settings(self, postgres, **more):
        return {"sink.postgres.url": postgres.url, "sink.postgres.batch_delay": "20ms"} | more

    def sink(self):
        code, out, err = harness.run(harness.CTL, "--data", self.data_dir, "sink", "--json")
        self.assertEqual(code, 0, err)
        return json.loads(out)

    def report(self, gateway, count, phone="13200000000"):
        with Terminal(gateway.address(), phone) as terminal:
            terminal.sign_in()
            for _ in range(count):
                terminal.report()

    def logged(self):
        return sum(not frame.get("duplicate", False)
                   for frame in harness.frames(harness.dump(self.data_dir), "0x0200"))

    def rows(self, postgres):
        code, out, _ = postgres.psql("select count(*) from ringgate_positions")
        return int(out) if code == 0 else 0

    def wait_equal(self, postgres):
        """As many rows as the log has records, and each of them once (the key sees to that)."""
        wanted = self.logged()
        servers.wait_until(lambda: self.rows(postgres) >= wanted,
                           f"{wanted} rows; there are {self.rows(postgres)}")
        self.assertEqual(self.rows(postgres), wanted)

    def test_rows_cursor_and_seek(self):
        with servers.Postgres(password="it's") as postgres:
            gateway = self.start(self.settings(postgres))
            self.report(gateway, 50)
            self.wait_equal(postgres)
            self.assertEqual(postgres.query(
                "select distinct device from ringgate_positions"), [["13200000000"]])
            self.assertNotEqual(postgres.query("select count(*) from ringgate_sessions"), [["0"]])
            self.assertNotEqual(postgres.query("select count(*) from ringgate_devices"), [["0"]])
            before = self.sink()["records"]
            code, _, err = harness.run(harness.CTL, "--data", self.data_dir, "sink", "seek",
                                       "postgres", "beginning")
            self.assertEqual(code, 0, err)
            servers.wait_until(lambda: self.sink()["records"] > before, "it comes again")
            servers.wait_until(lambda: self.sink()["lag_bytes"] == 0, "no lag")
            self.report(gateway, 5)
            self.wait_equal(postgres)
            self.assertNotIn("it's", gateway.output)
            self.assertNotIn("it%27s", gateway.output)

    def test_gateway_and_server_are_killed(self):
        chance = random.Random(7)
        with servers.Postgres() as postgres:
            postgres.settings["fsync"] = "on"
            for _ in range(ROUNDS):
                gateway = self.start(self.settings(postgres))
                self.report(gateway, chance.randrange(200))
                if chance.random() < 0.5:
                    postgres.kill()
                    self.report(gateway, chance.randrange(50))
                if chance.random() < 0.7:
                    gateway.kill()
                else:
                    self.assertEqual(gateway.stop(), 0)
                if postgres.process.poll() is not None:
                    postgres.start()
            self.start(self.settings(postgres))
            self.wait_equal(postgres)

    def test_an_empty_server_is_filled_again(self):
        with servers.Postgres() as postgres:
            gateway = self.start(self.settings(postgres))
            self.report(gateway, 20)
            self.wait_equal(postgres)
            postgres.kill()
            postgres.start(empty=True)
            self.report(gateway, 20)
            self.wait_equal(postgres)

    def test_a_frozen_server_and_a_quick_stop(self):
        with servers.Postgres() as postgres:
            gateway = self.start(self.settings(postgres))
            self.report(gateway, 5)
            self.wait_equal(postgres)
            postgres.freeze()
            self.report(gateway, 20)
            self.assertEqual(gateway.stop(), 0)
            postgres.go_on()
            self.start(self.settings(postgres))
            self.wait_equal(postgres)

    def test_wrong_password(self):
        with servers.Postgres(password="right") as postgres:
            gateway = self.start({"sink.postgres.url": postgres.url_of("wrong")})
            self.report(gateway, 3)
            servers.wait_until(lambda: "reason=refused" in gateway.output, "it says refused")
            self.assertNotIn("wrong@", gateway.output)

    def test_full_disk(self):
        with servers.SmallDisk(160) as disk:
            with servers.Postgres(data_dir=disk.path / "data", settings={
                    "max_wal_size": "32MB", "min_wal_size": "32MB"}) as postgres:
                gateway = self.start(self.settings(postgres))
                self.report(gateway, 5)
                self.wait_equal(postgres)
                disk.fill()
                servers.wait_until(lambda: self.report(gateway, 500) or
                                   "sink fails" in gateway.output, "the disk is full")
                postgres.kill()
                disk.free()
                postgres.start()
                self.wait_equal(postgres)


if __name__ == "__main__":
    unittest.main()
