"""kill -9 under load at random moments: nothing acknowledged is lost, however often.

This proves recovery, not the disk: the page cache outlives the process. tests/sim has the cuts."""

import random
import selectors
import unittest

import harness
import jt808
from jt808 import Terminal

ROUNDS = 100 if harness.LONG else 3 if harness.SANITIZED else 6
DEVICES = 8
IN_FLIGHT = 16


class Kill(harness.GatewayTest):
    def load_until_killed(self, gateway, kills_after, serials, acknowledged):
        """Keeps IN_FLIGHT reports of each device under way, kills after that many answers, then
        takes in the answers that had left before."""
        terminals = []
        for device, first in enumerate(serials):
            terminal = Terminal(gateway.address(), str(13300000000 + device)).sign_in()
            terminal.serial = first
            terminals.append(terminal)
        with selectors.DefaultSelector() as selector:
            for terminal in terminals:
                selector.register(terminal.socket, selectors.EVENT_READ, terminal)
                for _ in range(IN_FLIGHT):
                    terminal.send(jt808.LOCATION, jt808.location_body())
            answers = 0
            while answers < kills_after:
                for key, _ in selector.select():
                    self.assertEqual(self.take(key.data, acknowledged), jt808.OK)
                    key.data.send(jt808.LOCATION, jt808.location_body())
                    answers += 1
        gateway.process.kill()
        for device, terminal in enumerate(terminals):
            while self.take(terminal, acknowledged) is not None:
                pass
            serials[device] = terminal.serial
            terminal.close()
        gateway.wait()

    def take(self, terminal, acknowledged):
        reply = terminal.reply()
        if reply is None:
            return None
        if reply.result == jt808.OK:
            acknowledged.add((terminal.phone, reply.serial))
        return reply.result

    def test_rounds(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        acknowledged = set()
        serials = [1000] * DEVICES
        for turn in range(ROUNDS):
            gateway = self.start({"server.shards": "1" if turn % 2 else "2"})
            self.load_until_killed(gateway, chance.randrange(1, 1500), serials, acknowledged)
            code, said = harness.verify(self.data_dir)
            self.assertEqual(code, 0, f"seed {seed}, round {turn}: {said}")
            found = {(record["device"], record["serial"])
                     for record in harness.frames(harness.dump(self.data_dir), "0x0200")}
            lost = acknowledged - found
            self.assertFalse(lost, f"seed {seed}, round {turn}: {len(lost)} of "
                                   f"{len(acknowledged)} acknowledged reports are gone")
        self.assertGreater(len(acknowledged), ROUNDS)


if __name__ == "__main__":
    unittest.main()
