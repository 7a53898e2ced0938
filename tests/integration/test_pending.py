"""Commands that wait for their device to come online: kept over kill -9, delivered in order,
repeated where nobody knows, ended when they are done, too old or cancelled."""

import json
import struct
import unittest

import harness
import jt808
import nats_client
import servers

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


if __name__ == "__main__":
    unittest.main()
