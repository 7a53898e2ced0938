"""Several gateways that share NATS: commands reach a device wherever it is, while devices move,
gateways die and servers go away."""

import time
import unittest

import harness
import jt808
import nats_client
import servers
from test_ctl import Answering

PHONE = "13800138000"
TEXT = {"message": "text-message", "flags": 1, "text": "hello", "wait": "5s", "by": "a test"}
SECOND = 1.0


class Fabric(harness.GatewayTest):
    def node(self, name, url, **settings):
        gateway = self.start({"node.name": name, "sink.nats.url": url, "server.shards": "1",
                              **settings}, data_dir=self.folder / name)
        servers.wait_until(lambda: "fabric joined" in gateway.output, f"{name} has joined")
        return gateway

    def client(self, url):
        client = nats_client.Client(url)
        self.addCleanup(client.close)
        return client

    def terminal(self, gateway, phone=PHONE):
        terminal = jt808.Terminal(gateway.address(), phone)
        self.addCleanup(terminal.close)
        terminal.sign_in()
        answering = Answering(terminal)
        answering.start()
        return terminal

    def ask(self, client, phone=PHONE, limit_s=10, **changes):
        message = client.request(f"ringgate.cmd.{phone}", TEXT | changes, limit_s)
        self.assertIsNotNone(message, "nobody has answered")
        self.assertNotEqual(message.status, "503", "nobody listens")
        return message.json

    def found_within(self, client, node, limit_s=SECOND, phone=PHONE):
        """How long it takes until a request for the device is answered by `node`."""
        begun = time.monotonic()
        while True:
            answer = client.request(f"ringgate.cmd.{phone}", TEXT, 0.5)
            took = time.monotonic() - begun
            if answer is not None and answer.data and answer.json.get("status") == "answered" and \
                    answer.json["node"] == node:
                self.assertLess(took, limit_s)
                return took
            self.assertLess(took, 30, f"not found at {node}: {answer and answer.data}")

    def test_two_nodes_and_one_server(self):
        with servers.Nats() as nats:
            a, b = self.node("a", nats.url), self.node("b", nats.url)
            client = self.client(nats.url)
            self.terminal(a)
            self.terminal(b, "13800138001")
            one = self.ask(client)
            self.assertEqual((one["status"], one["node"], one["device"]), ("answered", "a", PHONE))
            two = self.ask(client, "013800138001")
            self.assertEqual((two["status"], two["node"]), ("answered", "b"))
            # Who asked stands in the log of the node that did it.
            servers.wait_until(lambda: any(
                (each.get("audit") or {}).get("by") == "fabric a test"
                for each in harness.dump(self.folder / "b")), "the audit record")
            # What is wrong with a request is told once, by the node that has the device.
            self.assertEqual(self.ask(client, message="no-such")["error"]["code"], "bad-command")
            self.assertEqual(self.ask(client, wait="soon")["error"]["code"], "bad-request")
            self.assertEqual(self.ask(client, wait="10h")["error"]["code"], "bad-request")
            self.assertEqual(self.ask(client, "no%2Ephone")["error"]["code"], "bad-device")
            # A device that nobody knows.
            self.assertEqual(self.ask(client, "13900000000")["status"], "unknown")
            self.assertIsNone(client.next(1), "an answer too many")

    def test_a_device_moves_while_its_old_link_lives_on(self):
        with servers.Nats() as nats:
            nodes = {name: self.node(name, nats.url) for name in ("a", "b", "c")}
            client = self.client(nats.url)
            self.terminal(nodes["a"])
            self.found_within(client, "a", 5)
            # The terminals of before stay connected: their nodes have not noticed anything.
            for name in ("b", "c", "a", "b", "a"):
                self.terminal(nodes[name])
                self.found_within(client, name)
            for _ in range(20):
                self.assertEqual(self.ask(client)["node"], "a")
            self.assertIsNone(client.next(1), "an answer too many")

    def test_a_node_is_killed_and_comes_back(self):
        with servers.Nats() as nats:
            a, b = self.node("a", nats.url), self.node("b", nats.url)
            client = self.client(nats.url)
            first = self.terminal(a)
            self.found_within(client, "a", 5)
            a.kill()
            first.close()
            self.terminal(b)
            self.found_within(client, "b")
            # Back again, it knows where devices are; who it never heard of is told from others.
            news = self.client(nats.url)
            news.subscribe("ringgate.presence.b")
            news.flush()
            again = self.node("a", nats.url)
            while (told := news.next().json)["what"] != "list":
                pass
            self.assertEqual(told["online"][0][0], PHONE)
            self.assertEqual(self.ask(client)["node"], "b")
            b.kill()
            # Nobody has it now. The node that is left says so once the other one is silent.
            servers.wait_until(
                lambda: (client.request(f"ringgate.cmd.{PHONE}", TEXT, 2) or None) is not None,
                "somebody answers for a device of a dead node")
            outcome = self.ask(client)
            self.assertEqual((outcome["node"], outcome["status"]), ("a", "offline"))
            self.assertEqual(again.stop(), 0)

    def test_offline_is_said_by_the_last_node_at_once(self):
        with servers.Nats() as nats:
            a, _ = self.node("a", nats.url), self.node("b", nats.url)
            client = self.client(nats.url)
            terminal = self.terminal(a)
            self.found_within(client, "a", 5)
            terminal.reset()
            servers.wait_until(lambda: self.ask(client)["status"] == "offline", "offline")
            begun = time.monotonic()
            outcome = self.ask(client)
            self.assertEqual((outcome["node"], outcome["status"]), ("a", "offline"))
            self.assertLess(time.monotonic() - begun, SECOND)

    def test_the_server_goes_away(self):
        with servers.Nats(user="gate", password="p@ss:w%rd") as nats:
            a, b = self.node("a", nats.url), self.node("b", nats.url)
            self.terminal(a)
            nats.kill()
            # While nobody can tell, the device moves.
            self.terminal(b)
            nats.start()
            client = servers.wait_until(lambda: self.try_client(nats.url), "a client")
            self.found_within(client, "b", 10)
            self.assertNotIn("p@ss", a.output)
            self.assertNotIn("p%40ss", a.output)

    def try_client(self, url):
        try:
            return self.client(url)
        except OSError:
            return None

    def test_a_cluster_loses_a_server(self):
        with servers.NatsCluster(3) as cluster:
            nodes = [self.node(name, cluster.url) for name in ("a", "b", "c")]
            self.terminal(nodes[0])
            client = self.client(cluster.nodes[2].url)
            self.found_within(client, "a", 5)
            cluster.nodes[0].kill()
            self.found_within(client, "a", 10)
            self.terminal(nodes[1])
            self.found_within(client, "b", 5)
            for _ in range(10):
                self.assertEqual(self.ask(client)["node"], "b")

    def test_many_devices_and_a_node_that_comes_late(self):
        with servers.Nats() as nats:
            a = self.node("a", nats.url)
            phones = [str(13700000000 + i) for i in range(1500)]
            for phone in phones:
                terminal = jt808.Terminal(a.address(), phone)
                self.addCleanup(terminal.close)
                terminal.sign_in()
            b = self.node("b", nats.url)
            client = self.client(nats.url)
            watch = nats_client.Client(nats.url)
            self.addCleanup(watch.close)
            watch.subscribe("ringgate.presence.*")
            late = self.node("c", nats.url)
            del b, late
            named = set()
            while len(named) < len(phones):
                message = watch.next(10)
                self.assertIsNotNone(message, f"{len(named)} of {len(phones)} are told")
                self.assertLess(len(message.data), 64 * 1024)
                if message.json["node"] == "a":
                    named |= {device for device, _ in message.json.get("online", ())}
            self.assertEqual(named, set(phones))
            outcome = self.ask(client, phones[700], wait="0s")
            self.assertEqual(outcome["node"], "a")


if __name__ == "__main__":
    unittest.main()
