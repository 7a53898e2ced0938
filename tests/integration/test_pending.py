"""Commands that wait for their device to come online: kept over kill -9, delivered in order,
repeated where nobody knows, ended when they are done, too old or cancelled."""

import json
import struct
import unittest

import harness
import jt808
import nats_client
import servers
from test_ctl import Answering

PHONE = "13800138000"
TERMINAL_REPLY = 0x0001
TEXT_MESSAGE = 0x8300


def text(words):
    return json.dumps({"message": "text-message", "flags": 1, "text": words})


class Pending(harness.GatewayTest):
    def ctl(self, *words, code=0, **options):
        got, out, err = harness.run(harness.CTL, "--data", self.data_dir, *words, **options)
        self.assertEqual(got, code, out + err)
        return out + err

    def keep(self, words, *options, phone=PHONE):
        """Sends when online; the outcome, which must be that it waits."""
        told = json.loads(self.ctl("send", phone, text(words), "--when-online", "--json", *options))
        self.assertEqual(told["status"], "pending", told)
        return told

    def waiting(self, *phone):
        return [json.loads(row) for row in self.ctl("pending", *phone, "--json").splitlines()
                if row.startswith("{")]

    def terminal(self, gateway, phone=PHONE):
        terminal = jt808.Terminal(gateway.address(), phone)
        self.addCleanup(terminal.close)
        return terminal.sign_in()

    def texts(self, terminal, count, answer=True):
        """The texts of the next commands, each answered."""
        got = []
        while len(got) < count:
            message = terminal.receive()
            self.assertIsNotNone(message, f"closed after {got}")
            if message.id != TEXT_MESSAGE:
                continue
            got.append(message.body[1:].decode())
            if answer:
                terminal.send(TERMINAL_REPLY, struct.pack(">HHB", message.serial, message.id, 0))
        return got

    def ends(self):
        """What the log says of commands that ended: [(id, how, ...)]. Stop the gateway first."""
        rows = [record for record in harness.dump(self.data_dir) if record["kind"] == "state"]
        return [row["state"] for row in rows if "how" in row.get("state", {})]

    def until_none_waits(self):
        servers.wait_until(lambda: self.waiting() == [], "no command waits")

    def test_it_outlives_the_process_and_is_delivered_in_order(self):
        gateway = self.start({"server.shards": "2"})
        ids = [self.keep(f"text {number}")["id"] for number in range(6)]
        self.assertEqual([row["id"] for row in self.waiting(PHONE)], ids)
        self.assertIn("6", self.ctl("device", PHONE))
        self.assertEqual(json.loads(self.ctl("device", PHONE, "--json"))["commands_pending"], 6)
        gateway.kill()
        gateway = self.start({"server.shards": "1"})
        self.assertEqual([row["id"] for row in self.waiting()], ids)
        self.assertIn("text-message", self.ctl("pending"))
        terminal = self.terminal(gateway)
        self.assertEqual(self.texts(terminal, 6), [f"text {number}" for number in range(6)])
        self.until_none_waits()
        # Online: at once, and its answer is told.
        sent = self.ctl("send", PHONE, text("now"), "--when-online", "--wait", "0s")
        self.assertIn("pending", sent)
        self.assertEqual(self.texts(terminal, 1), ["now"])
        self.until_none_waits()
        stats = json.loads(self.ctl("stats", "--json"))
        self.assertEqual(stats["ringgate_pending_commands_ended_total"]["by_how"]["answered"], 7)
        self.assertEqual(stats["ringgate_pending_commands"]["value"], 0)
        self.assertEqual(gateway.stop(), 0)
        self.start()
        self.assertEqual(self.waiting(), [])

    def test_what_was_sent_and_not_answered_is_sent_again_after_a_kill(self):
        gateway = self.start()
        one = self.keep("twice")
        terminal = self.terminal(gateway)
        self.assertEqual(self.texts(terminal, 1, answer=False), ["twice"])
        self.assertEqual([(row["tries"], row["under_way"]) for row in self.waiting()], [(1, True)])
        gateway.kill()
        gateway = self.start()
        self.assertEqual([row["tries"] for row in self.waiting()], [1])
        terminal = self.terminal(gateway)
        self.assertEqual(self.texts(terminal, 1), ["twice"])
        self.until_none_waits()
        stats = json.loads(self.ctl("stats", "--json"))
        self.assertEqual(stats["ringgate_pending_deliveries_repeated_total"]["value"], 1)
        self.assertEqual(gateway.stop(), 0)
        records = [record for record in harness.dump(self.data_dir) if record["kind"] == "state"]
        told = [record["state"] for record in records]
        self.assertEqual({state["id"] for state in told}, {one["id"]})
        self.assertEqual(told[0]["command"]["text"], "twice")
        self.assertEqual([state["tries"] for state in told[1:-1]], [1, 2])
        self.assertEqual(told[-1]["how"], "answered")

    def test_expiry_and_cancel(self):
        gateway = self.start({"server.shards": "2"})
        self.keep("too late", "--expires", "1s")
        wrong, right = self.keep("wrong"), self.keep("right", "--expires", "1d12h")
        self.keep("elsewhere", phone="13800138001")
        # Of an offline device too, and without anybody asking.
        servers.wait_until(lambda: len(self.waiting(PHONE)) == 2, "one is over")
        self.assertIn("cancelled", self.ctl("cancel", PHONE, str(wrong["id"]), "--why", "typo"))
        self.assertIn("no command", self.ctl("cancel", PHONE, str(wrong["id"]), code=1))
        self.assertIn("no command", self.ctl("cancel", "13800138001", str(right["id"]), code=1))
        terminal = self.terminal(gateway)
        self.assertEqual(self.texts(terminal, 1), ["right"])
        servers.wait_until(lambda: len(self.waiting()) == 1, "the other device's is left")
        for wrong_words in (("--expires", "1h"), ("--when-online", "--expires", "soon"),
                            ("--when-online", "--expires", "91d"),
                            ("--when-online", "--expires", "0s")):
            self.ctl("send", PHONE, text("x"), *wrong_words, code=2)
        self.assertIn("8192 bytes", self.ctl("send", PHONE, json.dumps(
            {"message": "0x8F01", "body_hex": "00" * 8192}), "--when-online", code=1))
        for _ in range(31):
            self.keep("many", phone="13800138001")
        told = self.ctl("send", "13800138001", text("one more"), "--when-online", code=1)
        self.assertIn("32 commands wait for this device already", told)
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual([end["how"] for end in self.ends()], ["expired", "cancelled", "answered"])
        self.assertEqual(self.ends()[1]["detail"], "typo")

    def test_several_and_all_devices_and_whoever_waits_for_the_answer(self):
        gateway = self.start({"server.shards": "2"})
        there, away = self.terminal(gateway), self.terminal(gateway, "13800138001")
        away.close()
        answering = Answering(there)
        answering.start()
        servers.wait_until(lambda: not json.loads(
            self.ctl("device", "13800138001", "--json"))["online"], "it has gone")
        told = json.loads(self.ctl("send", f"{PHONE},13800138001", text("both"), "--when-online",
                                   "--json"))
        self.assertEqual(told["by_status"], {"answered": 1, "pending": 1})
        told = json.loads(self.ctl("send", "--all", text("everybody"), "--when-online", "--json"))
        self.assertEqual(told["by_status"], {"answered": 1, "pending": 1})
        self.assertEqual(self.texts(self.terminal(gateway, "13800138001"), 2),
                         ["both", "everybody"])
        self.until_none_waits()

    def test_over_the_fabric(self):
        request = {"message": "text-message", "flags": 1, "text": "by NATS", "by": "a test",
                   "deliver": "when_online", "expires": 3600}
        with servers.Nats() as nats:
            settings = {"node.name": "north", "sink.nats.url": nats.url}
            gateway = self.start(settings)
            servers.wait_until(lambda: "fabric joined" in gateway.output, "it has joined")
            client = nats_client.Client(nats.url)
            self.addCleanup(client.close)
            told = client.request(f"ringgate.cmd.{PHONE}", request, 10).json
            self.assertEqual((told["status"], told["node"]), ("pending", "north"))
            bad = client.request(f"ringgate.cmd.{PHONE}", request | {"expires": "soon"}, 10).json
            self.assertEqual(bad["error"]["code"], "bad-request")
            gateway.kill()
            gateway = self.start(settings)
            row = self.waiting()[0]
            self.assertEqual((row["id"], row["by"]), (told["id"], "fabric a test"))
            self.assertEqual(self.texts(self.terminal(gateway), 1), ["by NATS"])
            self.until_none_waits()

    def test_it_follows_its_device_to_another_node(self):
        request = {"message": "text-message", "flags": 1, "text": "by NATS", "by": "a test",
                   "deliver": "when_online"}
        with servers.Nats() as nats:
            gateways = {}
            for name in ("a", "b"):
                gateways[name] = self.start(
                    {"node.name": name, "sink.nats.url": nats.url, "server.shards": "2"},
                    data_dir=self.folder / name)
                servers.wait_until(lambda at=gateways[name]: "fabric joined" in at.output, name)
            client = nats_client.Client(nats.url)
            self.addCleanup(client.close)
            told = client.request(f"ringgate.cmd.{PHONE}", request, 10).json
            self.assertEqual(told["status"], "pending")
            kept, other = ("a", "b") if told["node"] == "a" else ("b", "a")
            self.data_dir = self.folder / kept
            # Another one, of somebody at that node.
            self.keep("by hand")
            terminal = self.terminal(gateways[other])
            self.assertEqual(sorted(self.texts(terminal, 2)), ["by NATS", "by hand"])
            self.until_none_waits()
            moved = json.loads(self.ctl("stats", "--json"))
            self.assertEqual(moved["ringgate_pending_commands_ended_total"]["by_how"]["moved"], 2)
            self.data_dir = self.folder / other
            self.until_none_waits()


if __name__ == "__main__":
    unittest.main()
