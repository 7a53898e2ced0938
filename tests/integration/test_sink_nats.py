"""The NATS sink of real gateways: whatever is in the log is in JetStream, once, while servers and
gateways are killed, emptied, frozen, full, or say no."""

import re
import threading
import time
import unittest

import harness
import jt808
import nats_client
import servers

ROUNDS = 20 if harness.LONG else 4
PHONES = [str(13800138000 + number) for number in range(4)]


class SinkNats(harness.GatewayTest):
    def gateway(self, url, **settings):
        settings = {key.replace("__", "."): value for key, value in settings.items()}
        return self.start({"node.name": "north", "sink.nats.url": url, "server.shards": "1",
                           **settings})

    def terminals(self, gateway):
        found = []
        for phone in PHONES:
            terminal = jt808.Terminal(gateway.address(), phone)
            self.addCleanup(terminal.close)
            found.append(terminal.sign_in())
        return found

    def report(self, terminals, count):
        for number in range(count):
            for terminal in terminals:
                terminal.report(speed_kmh=float(number % 100))

    def client(self, url):
        client = nats_client.Client(url)
        self.addCleanup(client.close)
        return client

    @staticmethod
    def ids(messages):
        return [re.search(r"Nats-Msg-Id: *(\S+)", each.headers)[1] for each in messages]

    def wait_all(self, client, limit_s=60):
        """Until each record of the log is in the stream; no record may be there twice. Returns the
        messages by the record's id."""
        def complete():
            logged = {each["record_id"] for each in harness.dump(self.data_dir)}
            info = client.stream()
            if info is None or info["state"]["messages"] < len(logged):
                return None
            messages = client.messages()
            ids = self.ids(messages)
            self.assertEqual(len(ids), len(set(ids)), "a record is there twice")
            return dict(zip(ids, messages)) if logged <= set(ids) else None
        return servers.wait_until(complete, "all records are in the stream", limit_s)

    def test_every_record_once_with_its_subject_and_content(self):
        with servers.Nats() as nats:
            gateway = self.gateway(nats.url, sink__nats__payload="both")
            self.report(self.terminals(gateway), 20)
            client = self.client(nats.url)
            found = self.wait_all(client)
            for record in harness.dump(self.data_dir, "--decode"):
                message = found[record["record_id"]]
                content = message.json
                for key in ("record_id", "time", "received", "device", "protocol", "kind", "link"):
                    self.assertEqual(content[key], record[key])
                if record["kind"] == "frame-up":
                    self.assertEqual(content["body"], record["body"])
                    self.assertEqual(content["frame"], record["frame"])
                what = {"session": "session"}.get(record["kind"], content.get("message"))
                self.assertEqual(message.subject,
                                 f"ringgate.north.jt808.{what}.{record['device']}")
            place = next(each.json for each in found.values()
                         if ".location-report." in each.subject)["positions"][0]
            self.assertEqual((place["latitude_deg"], place["longitude_deg"]), (22.5, 114.0))
            self.assertEqual(client.stream()["config"]["subjects"], ["ringgate.*.*.*.*"])

    def test_killed_gateways_and_servers(self):
        with servers.Nats() as nats:
            for round_number in range(ROUNDS):
                gateway = self.gateway(nats.url)
                terminals = self.terminals(gateway)
                broken = []

                def send(terminals=terminals, broken=broken):
                    try:
                        self.report(terminals, 100)
                    except (OSError, AssertionError) as error:
                        broken.append(error)
                sender = threading.Thread(target=send)
                sender.start()
                in_the_middle = round_number % 4 == 0
                if round_number % 2:
                    nats.kill()
                    sender.join()
                    nats.start()
                elif not in_the_middle:
                    sender.join()
                gateway.kill()
                sender.join()
                self.assertFalse(broken and not in_the_middle, broken)
                for terminal in terminals:
                    terminal.close()
            gateway = self.gateway(nats.url)
            found = self.wait_all(self.client(nats.url))
            self.assertGreaterEqual(len(found), ROUNDS * 4 * 75)
            self.assertEqual(gateway.stop(), 0)
            # Nothing is in the stream that the log does not have.
            logged = {each["record_id"] for each in harness.dump(self.data_dir)}
            self.assertLessEqual(set(found), logged)

    def test_a_server_that_comes_back_empty(self):
        with servers.Nats() as nats:
            gateway = self.gateway(nats.url)
            terminals = self.terminals(gateway)
            self.report(terminals, 10)
            client = self.client(nats.url)
            before = set(self.wait_all(client))
            nats.kill()
            self.report(terminals, 10)
            nats.start(empty=True)
            client = self.client(nats.url)
            logged = {each["record_id"] for each in harness.dump(self.data_dir)}
            fresh = logged - before
            # The newest record of a live log is shown once a later write proves it.
            self.assertGreaterEqual(len(fresh), 39)
            servers.wait_until(
                lambda: (client.stream() or {"state": {"messages": 0}})["state"]["messages"]
                >= len(fresh), "what was not confirmed comes to the new stream")
            self.assertLessEqual(fresh, set(self.ids(client.messages())))

    def test_a_wrong_password(self):
        with servers.Nats(user="gate", password="right") as nats:
            gateway = self.gateway(nats.url.replace("right", "wrong"))
            self.report(self.terminals(gateway), 5)
            servers.wait_until(lambda: "uthorization" in gateway.output, "it is said")
            self.assertNotIn("wrong", gateway.output)
            self.assertEqual(gateway.stop(), 0)
            self.gateway(nats.url)
            self.wait_all(self.client(nats.url))

    def test_a_full_stream_and_more_room(self):
        with servers.Nats() as nats:
            gateway = self.gateway(nats.url, sink__nats__stream_max_bytes="40KiB")
            self.report(self.terminals(gateway), 50)
            servers.wait_until(lambda: "maximum bytes" in gateway.output, "it is said")
            client = self.client(nats.url)
            config = client.stream()["config"]
            config["max_bytes"] = 50 << 20
            self.assertNotIn("error", client.api("STREAM.UPDATE.RINGGATE", config))
            logged = {each["record_id"] for each in harness.dump(self.data_dir)}
            # Ever stored: nats-server drops some of the oldest of a full stream.
            servers.wait_until(lambda: client.stream()["state"]["last_seq"] >= len(logged),
                               "all were stored")

    def test_a_frozen_server(self):
        with servers.Nats() as nats:
            gateway = self.gateway(nats.url)
            terminals = self.terminals(gateway)
            self.report(terminals, 5)
            nats.freeze()
            self.report(terminals, 50)
            nats.go_on()
            self.wait_all(self.client(nats.url))
            nats.freeze()
            self.report(terminals, 5)
            begun = time.monotonic()
            self.assertEqual(gateway.stop(), 0)
            self.assertLess(time.monotonic() - begun, 10)
            nats.go_on()
            self.gateway(nats.url)
            self.wait_all(self.client(nats.url))

    def test_a_cluster_with_a_replicated_stream_loses_a_server(self):
        with servers.NatsCluster(3) as cluster:
            gateway = self.gateway(cluster.url, sink__nats__replicas="3")
            terminals = self.terminals(gateway)
            self.report(terminals, 20)
            client = self.client(cluster.nodes[0].url)
            self.wait_all(client)
            info = client.stream()
            self.assertEqual(info["config"]["num_replicas"], 3)
            leader = info["cluster"]["leader"]
            dead = next(i for i, _ in enumerate(cluster.nodes) if leader == f"ringgate-test-{i}")
            client.close()
            cluster.nodes[dead].kill()
            self.report(terminals, 30)
            client = self.client(cluster.nodes[(dead + 1) % 3].url)
            self.wait_all(client, 90)


if __name__ == "__main__":
    unittest.main()
