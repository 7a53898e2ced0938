"""Servers of sinks that are slow, hostile or full: `ringgate-ctl sink` has a sentence for each, and
nothing is lost once they are well again."""

import json
import types
import unittest

import harness
import nats_client
import servers
from jt808 import Terminal

PHONE = "13300000001"
KINDS = ("redis", "nats", "postgres")


class HostileServers(harness.GatewayTest):
    def urls(self, **urls):
        """Settings with these urls, and no more patience than a test has."""
        settings = {f"sink.{name}.url": url for name, url in urls.items()}
        if "postgres" in urls:
            settings |= {"sink.postgres.timeout": "2s", "sink.postgres.batch_delay": "20ms"}
        if "nats" in urls:
            settings |= {"sink.nats.commands": "false"}
        return settings

    def report(self, gateway, count=20):
        with Terminal(gateway.address(), PHONE) as terminal:
            terminal.sign_in()
            for _ in range(count):
                terminal.report()

    def sinks(self):
        code, out, err = harness.run(harness.CTL, "--data", self.data_dir, "sink", "--json")
        self.assertEqual(code, 0, err)
        return {row["name"]: row for row in map(json.loads, out.splitlines())}

    def report_until(self, gateway, name, word):
        """Reports until the sink's error has that word; no more than a small disk has room for
        once it is free again."""
        batches = iter(range(20))

        def told():
            error = self.sinks()[name].get("error")
            if not error and next(batches, None) is not None:
                self.report(gateway, 200)
            return error and word in error
        servers.wait_until(told, f"{name} says that the disk is full")

    def says_nothing(self, name):
        servers.wait_until(lambda: not self.sinks()[name].get("error"), f"{name} has no error")

    def says(self, name, *words):
        """Waits until the sink's error has one of these words; the error. It must be a sentence
        that says who."""
        def told():
            error = self.sinks()[name].get("error") or ""
            return error if any(word in error for word in words) else None
        try:
            error = servers.wait_until(told, f"{name} says one of {words}")
        except AssertionError as failure:
            raise AssertionError(f"{failure}; it says: {self.sinks()[name]}") from None
        self.assertRegex(error, {"redis": "Redis", "nats": "(nats|tls)://127",
                                 "postgres": "PostgreSQL"}[name])
        self.assertNotIn("hush", error)
        return error

    def logged(self):
        return {record["record_id"] for record in harness.dump(self.data_dir)
                if record["kind"] == "frame-up" and record["message_id"] == "0x0200"
                and not record.get("duplicate")}

    def arrives(self, gateway, redis=None, nats=None, postgres=None):
        """All reports of the log are in these servers."""
        self.report(gateway, 1)
        wanted = len(self.logged())
        if postgres:
            def rows():
                code, out, _ = postgres.psql("select count(*) from ringgate_positions")
                return code == 0 and int(out) >= wanted
            servers.wait_until(rows, f"{wanted} rows")
        if nats:
            client = nats_client.Client(nats.url)
            self.addCleanup(client.close)

            def messages():
                info = client.stream()
                return info is not None and info["state"]["messages"] >= wanted
            servers.wait_until(messages, f"{wanted} messages")
        if redis:
            key = f"ringgate:device:jt808:{PHONE}"
            servers.wait_until(lambda: redis.cli("hget", key, "time_us"), "the state is there")
        for name in KINDS:
            if name in self.sinks():
                servers.wait_until(lambda name=name: not self.sinks()[name].get("error"),
                                   f"{name} is well")

    def strangers(self, words, **expected):
        """All kinds meet a server that says `words`; then the real ones stand in its place."""
        real = {"redis": servers.Redis(), "nats": servers.Nats(), "postgres": servers.Postgres()}
        with servers.Stranger(words) as port:
            wires = {name: servers.FarAway(server, 0) for name, server in real.items()}
            for name, wire in wires.items():
                self.enterContext(real[name])
                self.enterContext(wire)
            urls = {name: wire.url for name, wire in wires.items()}
            for wire in wires.values():
                wire.server = types.SimpleNamespace(port=port)
            gateway = self.start(self.urls(**urls))
            self.report(gateway)
            for name, words in expected.items():
                self.says(name, *words)
            for name, wire in wires.items():
                wire.server = real[name]
                wire.cut()
            self.arrives(gateway, **real)

    def test_servers_that_accept_and_never_answer(self):
        self.strangers(b"", redis=["no reply within 15 s"],
                       nats=["no answer within"], postgres=["no answer for 2 s"])

    def test_servers_that_answer_garbage(self):
        self.strangers(b"\x00\xff\x17garbage\r\n\x00\x00" * 40,
                       redis=["rotocol", "answer", "reply"], nats=["rotocol", "no answer within"],
                       postgres=["invalid response", "expected authentication"])

    def test_servers_that_speak_http(self):
        self.strangers(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
                       redis=["rotocol", "answer", "reply"], nats=["rotocol", "no answer within"],
                       postgres=["invalid response", "expected authentication"])

    def test_tls_to_servers_that_have_none(self):
        with servers.Redis() as redis, servers.Nats() as nats, servers.Postgres() as postgres:
            gateway = self.start(self.urls(redis=redis.url.replace("redis:", "rediss:"),
                                           nats=nats.url.replace("nats:", "tls:"),
                                           postgres=postgres.url + "?sslmode=require"))
            self.report(gateway)
            self.says("redis", "TLS")
            self.says("nats", "ecure", "TLS", "SSL")
            self.says("postgres", "SSL")
            self.assertEqual(gateway.stop(), 0)
            gateway = self.start(self.urls(redis=redis.url, nats=nats.url, postgres=postgres.url))
            self.arrives(gateway, redis, nats, postgres)

    def test_wrong_passwords(self):
        with servers.Redis(password="right") as redis, \
                servers.Nats(user="u", password="right") as nats, \
                servers.Postgres(password="right") as postgres:
            wrong = {name: server.url.replace("right", "hush") for name, server in
                     {"redis": redis, "nats": nats, "postgres": postgres}.items()}
            gateway = self.start(self.urls(**wrong))
            self.report(gateway)
            self.says("redis", "sink.redis.url")
            self.says("nats", "sink.nats.url")
            self.says("postgres", "sink.postgres.url")
            self.assertNotIn("hush", gateway.output)
            self.assertEqual(gateway.stop(), 0)
            gateway = self.start(self.urls(redis=redis.url, nats=nats.url, postgres=postgres.url))
            self.arrives(gateway, redis, nats, postgres)

    def test_a_standby_that_is_promoted(self):
        with servers.Postgres() as primary:
            with primary.copy(standby=True) as standby:
                gateway = self.start(self.urls(postgres=standby.url))
                self.report(gateway)
                error = self.says("postgres", "read-only")
                self.assertIn("target_session_attrs", error)
                standby.query("select pg_promote()")
                self.arrives(gateway, postgres=standby)

    def test_the_primary_among_several_hosts_is_found(self):
        with servers.Postgres() as primary:
            with primary.copy(standby=True) as standby:
                url = (f"postgresql://ringgate@127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
                       "/ringgate?target_session_attrs=read-write")
                gateway = self.start(self.urls(postgres=url))
                self.report(gateway)
                self.arrives(gateway, postgres=primary)

    def test_a_first_host_that_hangs_does_not_hide_the_second(self):
        with servers.Stranger() as port, servers.Postgres() as postgres:
            url = (f"postgresql://ringgate@127.0.0.1:{port},127.0.0.1:{postgres.port}/ringgate")
            gateway = self.start(self.urls(postgres=url))
            self.report(gateway)
            self.arrives(gateway, postgres=postgres)

    def test_a_locked_table(self):
        with servers.Postgres() as postgres:
            gateway = self.start(self.urls(postgres=postgres.url))
            self.report(gateway)
            self.arrives(gateway, postgres=postgres)
            # Holds the lock until it is ended.
            with postgres.session("begin; lock table ringgate_positions; select 'locked';") as lock:
                self.assertIn("locked", lock.readline())
                self.report(gateway)
                self.assertIn("pg_locks", self.says("postgres", "lock"))
                # Nobody waits there any more, again and again: no heap of waiting sessions.
                waiting = postgres.query("select count(*) from pg_stat_activity "
                                         "where wait_event_type = 'Lock'")
                self.assertLessEqual(int(waiting[0][0]), 1)
            self.arrives(gateway, postgres=postgres)

    def test_rights_that_are_missing(self):
        with servers.Postgres() as postgres:
            postgres.query("create role gate login")
            gateway = self.start(self.urls(postgres=postgres.url.replace("ringgate@", "gate@")))
            self.report(gateway)
            self.assertIn("grant", self.says("postgres", "permission denied"))
            postgres.query("grant all on schema public to gate; "
                           "grant all on database ringgate to gate")
            self.arrives(gateway, postgres=postgres)

    def test_a_table_that_is_gone(self):
        with servers.Postgres() as postgres:
            gateway = self.start(self.urls(postgres=postgres.url))
            self.report(gateway)
            self.arrives(gateway, postgres=postgres)
            postgres.query("alter table ringgate_positions rename to elsewhere")
            self.report(gateway)
            self.says("postgres", '"ringgate_positions" does not exist')
            postgres.query("alter table elsewhere rename to ringgate_positions")
            self.arrives(gateway, postgres=postgres)

    def test_redis_with_a_full_disk(self):
        with servers.SmallDisk(8) as disk, \
                servers.Redis(durable=True, arguments=["--dir", str(disk.path)]) as redis:
            gateway = self.start(self.urls(redis=redis.url))
            self.report(gateway, 5)
            self.arrives(gateway, redis=redis)
            disk.fill()
            self.report_until(gateway, "redis", "MISCONF")
            disk.free()
            self.arrives(gateway, redis=redis)

    def test_nats_with_a_full_disk(self):
        with servers.SmallDisk(12) as disk, servers.Nats(store=disk.path) as nats:
            gateway = self.start(self.urls(nats=nats.url))
            self.report(gateway, 5)
            self.arrives(gateway, nats=nats)
            disk.fill()
            self.report_until(gateway, "nats", "")
            self.says("nats", "")
            nats.kill()
            disk.free()
            nats.start()
            self.says_nothing("nats")
            # What the server had acknowledged and not on its disk is lost there, and only the log
            # can bring it back.
            code, _, err = harness.run(harness.CTL, "--data", self.data_dir, "sink", "seek",
                                       "nats", "beginning")
            self.assertEqual(code, 0, err)
            self.arrives(gateway, nats=nats)


if __name__ == "__main__":
    unittest.main()
