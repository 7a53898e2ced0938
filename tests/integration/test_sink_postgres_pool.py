"""The PostgreSQL sink with several connections, far servers, other versions of its tables, other
nodes at the same time, and TimescaleDB: every row exactly once."""

import json
import random
import threading
import unittest

import harness
import servers
from jt808 import LOCATION, OK, Terminal, location_body

ROUNDS = 20 if harness.LONG else 2
# The tables as version 1 made them (the part of it that version 2 changes).
VERSION_1 = """
create table ringgate_schema (version int4 primary key, applied timestamptz not null default now());
create table ringgate_cursor (node uuid primary key, name text not null, cursor text not null,
  updated timestamptz not null default now());
create table ringgate_alarms (node uuid not null, run int4 not null, shard int2 not null,
  position int8 not null, sub int4 not null, namespace int2 not null, device text not null,
  received timestamptz not null, device_time timestamptz not null, type text not null,
  source text not null, alarm_id int8 not null, level int2 not null, latitude float8,
  longitude float8, speed_kmh float8, primary key (node, run, shard, position, sub));
create table ringgate_sessions (node uuid not null, run int4 not null, shard int2 not null,
  position int8 not null, sub int4 not null, namespace int2 not null, device text not null,
  received timestamptz not null, what text not null, detail text not null,
  primary key (node, run, shard, position, sub));
create table ringgate_devices (node uuid not null, run int4 not null, shard int2 not null,
  position int8 not null, sub int4 not null, namespace int2 not null, device text not null,
  received timestamptz not null, plate text not null, plate_colour int2 not null,
  terminal_id text not null, maker text not null, model text not null, version text not null,
  primary key (namespace, device));
create table ringgate_media (node uuid not null, run int4 not null, shard int2 not null,
  position int8 not null, sub int4 not null, namespace int2 not null, device text not null,
  received timestamptz not null, device_time timestamptz not null, blob text not null,
  name text not null, type text not null, size_bytes int8 not null, metadata text not null,
  primary key (node, run, shard, position, sub));
create table ringgate_positions (node uuid not null, run int4 not null, shard int2 not null,
  position int8 not null, sub int4 not null, namespace int2 not null, device text not null,
  received timestamptz not null, device_time timestamptz not null, latitude float8 not null,
  longitude float8 not null, altitude_m float8, speed_kmh float8, heading_deg float8,
  odometer_km float8, alarm_bits int8 not null, status_bits int8 not null, fixed bool not null,
  late bool not null, primary key (node, run, shard, position, sub, device_time))
  partition by range (device_time);
create table ringgate_positions_other partition of ringgate_positions default;
insert into ringgate_schema (version) values (1);
"""


class SinkTest(harness.GatewayTest):
    def settings(self, url, **more):
        more = {"sink.postgres." + key: str(value) for key, value in more.items()}
        return {"sink.postgres.url": url, "sink.postgres.batch_delay": "20ms"} | more

    def load(self, gateway, devices=40, seconds=1, rate=400):
        host, port = gateway.address()
        code, out, err = harness.run(harness.LOAD, "jt808", "--target", f"{host}:{port}",
                                     "--devices", devices, "--drive", "--quiet", "--rate", rate,
                                     "--warmup", 0, "--duration", seconds)
        self.assertEqual(code, 0, out + err)

    def filled_log(self, data_dir=None):
        """A log of some ten thousand reports that no sink has seen; their number."""
        gateway = self.start(data_dir=data_dir)
        self.load(gateway)
        self.assertEqual(gateway.stop(), 0)
        return self.logged(data_dir)

    def logged(self, data_dir=None):
        return sum(not frame.get("duplicate", False) for frame in
                   harness.frames(harness.dump(data_dir or self.data_dir), "0x0200"))

    def rows(self, postgres, table="ringgate_positions"):
        code, out, _ = postgres.psql(f"select count(*) from {table}")
        return int(out) if code == 0 else 0

    def sink(self, data_dir=None):
        code, out, err = harness.run(harness.CTL, "--data", data_dir or self.data_dir, "sink",
                                     "--json")
        self.assertEqual(code, 0, err)
        return json.loads(out)

    def wait_rows(self, postgres, wanted, table="ringgate_positions"):
        servers.wait_until(lambda: self.rows(postgres, table) >= wanted,
                           f"{wanted} rows in {table}; there are {self.rows(postgres, table)}")
        self.assertEqual(self.rows(postgres, table), wanted)

    def wait_current(self, data_dir=None):
        def current():
            sink = self.sink(data_dir)
            return sink["state"] == "running" and sink["lag_bytes"] == 0
        servers.wait_until(current, "no lag")

    def kill_rounds(self, postgres):
        """At the end there are as many rows as records in the log."""
        chance = random.Random(5)
        postgres.settings["fsync"] = "on"
        for _ in range(ROUNDS):
            gateway = self.start(self.settings(postgres.url, batch=2000, connections=3))
            self.load(gateway, devices=40, seconds=0.2, rate=chance.randrange(50, 800))
            if chance.random() < 0.5:
                postgres.kill()
                self.load(gateway, devices=40, seconds=0.1, rate=chance.randrange(50, 800))
            gateway.kill()
            if postgres.process.poll() is not None:
                postgres.start()
        self.start(self.settings(postgres.url))
        self.wait_rows(postgres, self.logged())
        for table in ("sessions", "devices"):
            self.assertGreater(self.rows(postgres, "ringgate_" + table), 0)


class Pool(SinkTest):
    def test_gateway_and_server_are_killed(self):
        with servers.Postgres() as postgres:
            self.kill_rounds(postgres)

    def test_a_far_server_gets_several_connections_and_every_row_once(self):
        wanted = self.filled_log()
        self.assertGreater(wanted, 5000)
        with servers.Postgres() as postgres, servers.FarAway(postgres, 10) as far:
            self.start(self.settings(far.url, batch=2500, connections=4))
            self.wait_rows(postgres, wanted)
            self.wait_current()
            self.assertGreaterEqual(far.connections, 3)
            self.assertEqual(postgres.query(
                "select count(*), min(part), max(part), count(distinct cursor) "
                "from ringgate_cursor"), [["4", "0", "3", "1"]])

    def test_connections_that_break_at_any_time(self):
        chance = random.Random(11)
        wanted = self.filled_log()
        with servers.Postgres() as postgres, servers.FarAway(postgres, 4) as far:
            gateway = self.start(self.settings(far.url, batch=2000, connections=3))
            done = threading.Event()

            def trouble():
                for _ in range(8):
                    if done.wait(chance.uniform(0.01, 0.1)):
                        return
                    if chance.random() < 0.5:
                        far.cut()
                    else:
                        postgres.psql("select pg_terminate_backend(pid) from pg_stat_activity "
                                      "where usename = 'ringgate' and pid <> pg_backend_pid() "
                                      "and backend_type = 'client backend' order by random() "
                                      "limit 1")
            thread = threading.Thread(target=trouble)
            thread.start()
            try:
                self.load(gateway, seconds=0.5)
            finally:
                done.set()
                thread.join()
            self.assertEqual(gateway.stop(), 0)
            self.assertGreater(self.logged(), wanted)
            self.start(self.settings(far.url, batch=2000, connections=2))
            self.wait_rows(postgres, self.logged())

    def test_recycled_connections(self):
        wanted = self.filled_log()
        with servers.Postgres() as postgres, servers.FarAway(postgres, 1) as far:
            self.start(self.settings(far.url, batch=2000, connections=2, max_uses=1))
            self.wait_rows(postgres, wanted)
            self.assertGreaterEqual(far.connections, 4)

    def test_a_server_with_few_places(self):
        wanted = self.filled_log()
        with servers.Postgres() as postgres:
            # A place for the sink, one for the test.
            postgres.query("create role gate login; grant create on database ringgate to gate; "
                           "grant all on schema public to gate; alter role gate connection limit 1")
            url = postgres.url.replace("ringgate@", "gate@")
            gateway = self.start(self.settings(url, batch=2000, connections=4))
            self.wait_rows(postgres, wanted)
            servers.wait_until(lambda: "fewer connections than allowed" in gateway.output,
                               "it says so")

    def test_a_seek_with_several_connections(self):
        wanted = self.filled_log()
        with servers.Postgres() as postgres:
            self.start(self.settings(postgres.url, batch=2000, connections=3))
            self.wait_rows(postgres, wanted)
            self.wait_current()
            postgres.query("delete from ringgate_positions where position % 2 = 0")
            code, _, err = harness.run(harness.CTL, "--data", self.data_dir, "sink", "seek",
                                       "postgres", "beginning")
            self.assertEqual(code, 0, err)
            self.wait_rows(postgres, wanted)

    def test_another_server_behind_the_name_gets_what_it_lacks(self):
        with servers.Postgres() as postgres, servers.FarAway(postgres, 1) as far:
            gateway = self.start(self.settings(far.url, connections=2, max_uses=3))
            self.load(gateway, devices=10, seconds=0.3, rate=100)
            self.wait_current()
            with postgres.copy() as copy:
                self.load(gateway, devices=10, seconds=0.3, rate=100)
                self.wait_current()
                far.server = copy  # connections that are there stay with the first
                servers.wait_until(
                    lambda: self.load(gateway, devices=5, seconds=0.1, rate=50) or
                    "does not hold the cursor" in gateway.output, "it notices")
                self.wait_current()
                self.assertEqual(gateway.stop(), 0)
                self.wait_rows(copy, self.logged())

    def test_registration_and_attributes_in_one_batch(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13200000001") as terminal:
            terminal.sign_in()
            # 0x0107: type, maker, model, id, ICCID, hardware, firmware, GNSS, communication
            body = (b"\x00\x07" + b"MAKER" + b"M".ljust(20, b"\0") + b"T000009" + bytes(10) +
                    b"\x01H" + b"\x01F" + b"\x01\x01")
            self.assertEqual(terminal.exchange(0x0107, body), OK)
            self.assertEqual(terminal.exchange(LOCATION, location_body()), OK)
        self.assertEqual(gateway.stop(), 0)
        with servers.Postgres() as postgres:
            self.start(self.settings(postgres.url))
            self.wait_current()
            found = postgres.query("select plate, model from ringgate_devices")
            self.assertEqual(found, [["粤B12345", "M"]])

    def test_tables_of_version_1(self):
        with servers.Postgres() as postgres:
            postgres.query(VERSION_1)
            wanted = self.filled_log()
            self.start(self.settings(postgres.url))
            self.wait_rows(postgres, wanted)
            self.assertEqual(postgres.query("select version from ringgate_schema order by 1"),
                             [["1"], ["2"]])
            self.assertEqual(postgres.query("select phase from ringgate_alarms limit 0"), [])

    def test_tables_of_a_later_version_are_left_alone(self):
        with servers.Postgres() as postgres:
            postgres.query("create table ringgate_schema (version int4 primary key, applied "
                           "timestamptz default now()); insert into ringgate_schema values (99)")
            self.start(self.settings(postgres.url))
            servers.wait_until(lambda: "version 99" in self.sink().get("error", ""), "it is said")

    def test_nodes_that_start_at_once_make_the_tables_once(self):
        folders = [self.folder / f"node{number}" for number in range(3)]
        with servers.Postgres() as postgres:
            gateways = [self.start(self.settings(postgres.url) | {"node.name": folder.name},
                                   data_dir=folder, wait=False) for folder in folders]
            for gateway in gateways:
                gateway.wait_ready()
            for gateway in gateways:  # the same devices at all of them
                self.load(gateway, devices=20, seconds=0.5, rate=50)
            for folder in folders:
                self.wait_current(folder)
            self.assertEqual(postgres.query("select version from ringgate_schema order by 1"),
                             [["1"], ["2"]])
            self.assertEqual(postgres.query("select count(distinct name) from ringgate_cursor"),
                             [["3"]])
            for gateway in gateways:
                self.assertEqual(gateway.stop(), 0)
                self.assertNotIn("sink fails", gateway.output)
            self.wait_rows(postgres, sum(self.logged(folder) for folder in folders))
            self.assertEqual(self.rows(postgres, "ringgate_devices"), 20)


class TimescaleDb(SinkTest):
    """The same sink where the extension is there; TimescaleDB is no package of Debian's, so most
    hosts skip it."""

    def hypertables(self, postgres):
        available = postgres.query("select count(*) from pg_available_extensions "
                                   "where name = 'timescaledb'")
        if available != [["1"]]:
            self.skipTest("the extension TimescaleDB is not installed")
        postgres.stop()
        postgres.settings |= {"shared_preload_libraries": "timescaledb",
                              "timescaledb.telemetry_level": "off"}
        postgres.start()
        postgres.query("create extension timescaledb")

    def test_positions_are_a_hypertable(self):
        with servers.Postgres() as postgres:
            self.hypertables(postgres)
            wanted = self.filled_log()
            gateway = self.start(self.settings(postgres.url, batch=2000, connections=3))
            self.wait_rows(postgres, wanted)
            self.assertEqual(postgres.query(
                "select count(*) from timescaledb_information.hypertables "
                "where hypertable_name = 'ringgate_positions'"), [["1"]])
            self.assertNotEqual(postgres.query("select count(*) from show_chunks("
                                               "'ringgate_positions')"), [["0"]])
            # Again from the beginning: what is there stays, what is missing comes.
            self.wait_current()
            postgres.query("delete from ringgate_positions where position % 2 = 0")
            code, _, err = harness.run(harness.CTL, "--data", self.data_dir, "sink", "seek",
                                       "postgres", "beginning")
            self.assertEqual(code, 0, err)
            self.wait_rows(postgres, wanted)
            self.wrong_clock(gateway, postgres)

    def wrong_clock(self, gateway, postgres):
        chunks = postgres.query("select count(*) from show_chunks('ringgate_positions')")
        with Terminal(gateway.address(), "13200000002") as terminal:
            terminal.sign_in()
            for year in range(1, 20):
                terminal.report(when=f"{year:02}0101000000")
        self.wait_rows(postgres, 19, "ringgate_positions_other")
        self.assertEqual(postgres.query("select count(*) from show_chunks('ringgate_positions')"),
                         chunks)

    def test_gateway_and_server_are_killed(self):
        with servers.Postgres() as postgres:
            self.hypertables(postgres)
            self.kill_rounds(postgres)


if __name__ == "__main__":
    unittest.main()
