"""The Redis sink with real servers: last states, places, events; servers that die, forget, refuse,
are full or slow; a cluster; TLS; a device that moves between two gateways."""

import subprocess
import unittest

import harness
import jt808
import servers

PHONES = [f"1380013{index:04}" for index in range(8)]


def last_reports(data_dir):
    """{device: its newest report} of a log."""
    newest = {}
    for record in harness.frames(harness.dump(data_dir), "0x0200"):
        newest[record["device"]] = record
    return newest


class RedisSink(harness.GatewayTest):
    def settings(self, redis, **more):
        return {"sink.redis.url": redis.url, "node.name": "one",
                "sink.redis.batch_delay": "5ms"} | more

    def hash_of(self, redis, phone):
        words = redis.cli("hgetall", f"ringgate:device:jt808:{phone}").splitlines()
        return dict(zip(words[::2], words[1::2]))

    def await_state(self, redis, phone, **wanted):
        def there():
            found = self.hash_of(redis, phone)
            return found if all(found.get(key) == value for key, value in wanted.items()) else None
        return servers.wait_until(there, f"{phone} has {wanted}")

    def events(self, redis):
        """[{field: value}] of the stream, oldest first."""
        lines = redis.cli("xrange", "ringgate:events", "-", "+").splitlines()
        found, fields = [], []
        for line in lines:
            head, dash, tail = line.partition("-")
            if dash and head.isdigit() and tail.isdigit() and len(head) == 13:
                fields = []
                found.append(fields)
            else:
                fields.append(line)
        return [dict(zip(each[::2], each[1::2])) for each in found]

    def await_caught_up(self, redis, data_dir=None):
        """Every device's hash tells of its newest report in the log."""
        newest = last_reports(data_dir or self.data_dir)
        for device, record in newest.items():
            servers.wait_until(
                lambda device=device, record=record:
                int(self.hash_of(redis, device).get("received_us", 0)) >= record["received"],
                f"Redis knows {device}'s newest report")
        return newest

    def test_last_state_place_and_events(self):
        with servers.Redis(password="s p@ce") as redis:
            gateway = self.start(self.settings(redis))
            with jt808.Terminal(gateway.address(), PHONES[0]) as terminal:
                terminal.sign_in()
                terminal.report(latitude=31.25, longitude=121.5, speed_kmh=42.0)
                state = self.await_state(redis, PHONES[0], latitude="31.250000", online="1")
                self.assertEqual(state["longitude"], "121.500000")
                self.assertEqual(state["speed_kmh"], "42.0")
                self.assertEqual(state["node"], "one")
                near = redis.cli("geosearch", "ringgate:geo", "fromlonlat", 121.5, 31.25,
                                 "byradius", 1, "km")
                self.assertEqual(near, f"jt808:{PHONES[0]}")
                self.assertGreater(int(redis.cli("ttl", f"ringgate:device:jt808:{PHONES[0]}")),
                                   600_000)
            self.await_state(redis, PHONES[0], online="0")
            seen = [(event["kind"], event.get("what")) for event in self.events(redis)]
            self.assertIn(("session", "online"), seen)
            self.assertEqual(seen[-1], ("session", "offline"))
            self.assertNotIn("s p@ce", gateway.output)

    def test_a_server_that_dies_and_forgets(self):
        with servers.Redis() as redis:
            gateway = self.start(self.settings(redis))
            terminals = [jt808.Terminal(gateway.address(), phone) for phone in PHONES]
            for terminal in terminals:
                terminal.sign_in()
                terminal.report(latitude=30.0)
            self.await_caught_up(redis)
            redis.kill()
            for terminal in terminals:  # devices are answered all the same
                terminal.report(latitude=31.0)
            redis.start(empty=True)
            self.await_caught_up(redis)
            self.assertEqual(self.hash_of(redis, PHONES[0])["latitude"], "31.000000")
            redis.cli("script", "flush")
            terminals[0].report(latitude=32.0)
            self.await_state(redis, PHONES[0], latitude="32.000000")
            for terminal in terminals:
                terminal.close()

    def test_nothing_is_passed_over_while_the_server_is_away(self):
        with servers.Redis() as redis:
            redis.kill()
            gateway = self.start(self.settings(redis))
            with jt808.Terminal(gateway.address(), PHONES[0]) as terminal:
                terminal.sign_in()
                terminal.report(latitude=30.5)
            self.assertEqual(gateway.stop(), 0)
            redis.start()
            self.start(self.settings(redis))
            self.await_state(redis, PHONES[0], latitude="30.500000", online="0")

    def test_a_server_that_refuses(self):
        with servers.Redis(password="right") as redis:
            wrong = redis.url.replace("right", "wr0ng")
            gateway = self.start(self.settings(redis) | {"sink.redis.url": wrong})
            servers.wait_until(lambda: "WRONGPASS" in gateway.output, "the log says why")
            self.assertNotIn("wr0ng", gateway.output)
            with jt808.Terminal(gateway.address(), PHONES[0]) as terminal:
                terminal.sign_in()
                terminal.report()
            self.assertEqual(gateway.stop(), 0)
            self.start(self.settings(redis))
            self.await_caught_up(redis)

    def test_a_server_that_is_full(self):
        with servers.Redis(arguments=["--maxmemory", "1", "--maxmemory-policy",
                                      "noeviction"]) as redis:
            gateway = self.start(self.settings(redis))
            with jt808.Terminal(gateway.address(), PHONES[0]) as terminal:
                terminal.sign_in()
                terminal.report(latitude=33.0)
                servers.wait_until(lambda: "OOM" in gateway.output, "the log says why")
                redis.cli("config", "set", "maxmemory", "0")
                self.await_state(redis, PHONES[0], latitude="33.000000")

    def test_a_server_that_stands_still_holds_nobody_up(self):
        with servers.Redis() as redis:
            gateway = self.start(self.settings(redis))
            with jt808.Terminal(gateway.address(), PHONES[0]) as terminal:
                terminal.sign_in()
                terminal.report(latitude=30.0)
                self.await_state(redis, PHONES[0], latitude="30.000000")
                redis.freeze()
                for step in range(20):
                    terminal.report(latitude=31.0 + step / 100)
            self.assertEqual(gateway.stop(), 0)
            redis.go_on()
            self.start(self.settings(redis))
            self.await_state(redis, PHONES[0], latitude="31.190000")

    def test_a_device_that_moves_is_not_turned_offline_by_its_old_gateway(self):
        with servers.Redis() as redis:
            one = self.start(self.settings(redis))
            two = self.start(self.settings(redis) | {"node.name": "two"},
                             data_dir=self.folder / "two")
            old = jt808.Terminal(one.address(), PHONES[0])
            old.sign_in()
            self.await_state(redis, PHONES[0], node="one", online="1")
            with jt808.Terminal(two.address(), PHONES[0]) as new:
                new.sign_in()
                self.await_state(redis, PHONES[0], node="two", online="1")
                old.close()
                # Later news of the old gateway have passed once this one is there.
                with jt808.Terminal(one.address(), PHONES[1]) as other:
                    other.sign_in()
                    self.await_state(redis, PHONES[1], online="1")
                    state = self.hash_of(redis, PHONES[0])
                    self.assertEqual((state["node"], state["online"]), ("two", "1"))

    def test_a_cluster(self):
        with servers.RedisCluster() as cluster:
            gateway = self.start(self.settings(cluster))
            for phone in PHONES:
                with jt808.Terminal(gateway.address(), phone) as terminal:
                    terminal.sign_in()
                    terminal.report()
            newest = self.await_caught_up(cluster.nodes[0])
            self.assertEqual(len(newest), len(PHONES))
            holds = [int(node.cli("dbsize")) for node in cluster.nodes]
            self.assertEqual(sum(holds), len(PHONES) + 3)
            self.assertGreater(sum(1 for count in holds if count > 0), 1)

    def test_a_cluster_whose_first_seed_is_dead(self):
        with servers.RedisCluster() as cluster:
            ports = [servers.free_ports()[0], *(node.port for node in cluster.nodes[1:])]
            seeds = ",".join(f"127.0.0.1:{port}" for port in ports)
            gateway = self.start(self.settings(cluster) |
                                 {"sink.redis.url": f"redis://{seeds}"})
            with jt808.Terminal(gateway.address(), PHONES[0]) as terminal:
                terminal.sign_in()
                terminal.report()
            self.await_caught_up(cluster.nodes[0])

    def test_a_replica_takes_over(self):
        with servers.Redis() as master, servers.Redis() as replica:
            replica.cli("replicaof", "127.0.0.1", master.port)
            servers.wait_until(lambda: "master_link_status:up" in replica.cli("info",
                                                                              "replication"),
                               "it follows")
            # The replica stands first: it is passed over while it is one.
            url = {"sink.redis.url":
                   f"redis://127.0.0.1:{replica.port},127.0.0.1:{master.port}"}
            gateway = self.start(self.settings(master) | url)
            with jt808.Terminal(gateway.address(), PHONES[0]) as terminal:
                terminal.sign_in()
                terminal.report(latitude=30.0)
                self.await_state(master, PHONES[0], latitude="30.000000")
                master.kill()
                terminal.report(latitude=31.0)
                replica.cli("replicaof", "no", "one")
                self.await_state(replica, PHONES[0], latitude="31.000000")

    def test_a_replica_alone_is_told(self):
        with servers.Redis() as master, servers.Redis() as replica:
            replica.cli("replicaof", "127.0.0.1", master.port)
            gateway = self.start(self.settings(replica))
            servers.wait_until(lambda: "name its master" in gateway.output, "it says so")

    def test_tls(self):
        names = [self.folder / name for name in ("key.pem", "cert.pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", names[0], "-out", names[1]], check=True, capture_output=True)
        port = servers.free_ports()[0]
        with servers.Redis(arguments=["--tls-port", str(port), "--tls-cert-file", str(names[1]),
                                      "--tls-key-file", str(names[0]), "--tls-auth-clients",
                                      "no"]) as redis:
            url = {"sink.redis.url": f"rediss://127.0.0.1:{port}"}
            stranger = self.start(self.settings(redis) | url)
            servers.wait_until(lambda: "certificate is not accepted" in stranger.output,
                               "an unknown certificate is not taken")
            self.assertEqual(stranger.stop(), 0)
            gateway = self.start(self.settings(redis) | url |
                                 {"sink.redis.ca_file": str(names[1])})
            with jt808.Terminal(gateway.address(), PHONES[0]) as terminal:
                terminal.sign_in()
                terminal.report(latitude=29.0)
                self.await_state(redis, PHONES[0], latitude="29.000000")

    def test_kill_rounds(self):
        rounds = 20 if harness.LONG else 3
        with servers.Redis(durable=True) as redis:
            for number in range(rounds):
                gateway = self.start(self.settings(redis))
                for phone in PHONES:
                    with jt808.Terminal(gateway.address(), phone) as terminal:
                        terminal.sign_in()
                        terminal.report(latitude=20.0 + number / 10)
                if number % 2:
                    redis.kill()
                gateway.kill()
                if number % 2:
                    redis.start()
            gateway = self.start(self.settings(redis))
            self.await_caught_up(redis)
            self.assertEqual(gateway.stop(), 0)
            # At least once: no link's begin or end is missing among the events.
            logged = {record["record_id"] for record in harness.dump(self.data_dir)
                      if record["kind"] == "session"}
            known = {event["record_id"] for event in self.events(redis)
                     if event["kind"] == "session"}
            self.assertGreaterEqual(len(logged), rounds * len(PHONES))
            self.assertLessEqual(logged, known)

    def test_a_bad_url_is_a_plain_error(self):
        for url in ("redis://:hush@", "http://:hush@host", "redis://h:99999"):
            code, out, err = harness.run(harness.GATEWAY, "--set", f"sink.redis.url={url}",
                                         "--set", f"server.data_dir={self.data_dir}")
            self.assertNotEqual(code, 0)
            self.assertIn("sink.redis.url", out + err)
            self.assertNotIn("hush", out + err)


if __name__ == "__main__":
    unittest.main()
