"""Terminals that send anything: all ids, parts in any order and number, broken, encrypted and
compressed frames, for other phones too, over TCP and UDP. The gateway lives, answers everybody
else, and has what it has acknowledged after a kill."""

import gzip
import random
import signal
import socket
import struct
import threading
import unittest

import harness
import jt808
import test_udp

IDS = [0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0100, 0x0102, 0x0104, 0x0107, 0x0108, 0x0200,
       0x0201, 0x0302, 0x0500, 0x0702, 0x0704, 0x0800, 0x0801, 0x0802, 0x0805, 0x0900, 0x0901,
       0x0a00, 0x1205, 0x1210, 0x8001, 0xffff]
ROUNDS = 400 if harness.LONG else 60
HOSTILE = 6


def body_of(message_id, dice):
    if message_id == 0x0005:
        count = dice.choice([0, 1, 255, 500])
        return struct.pack(">HH", dice.randrange(100), count) + bytes(2 * count)
    if message_id == 0x0901:
        return gzip.compress(bytes(dice.choice([100, 60_000, 900_000])))[:1000]
    if message_id == 0x0801:
        return (struct.pack(">IBBBB", dice.randrange(20), 0, 0, 0, 1) + jt808.location_body()
                + b"\xff\xd8\xff\xe0" + dice.randbytes(dice.randrange(800)))
    if message_id == 0x0200 and dice.random() < 0.5:
        return jt808.location_body()
    return dice.randbytes(dice.choice([0, 1, 5, 28, 128, 896, 1000]))


def frame_with(message_id, phone, serial, body, attributes, part, version):
    """A frame with attribute bits and (total, number), whatever they say."""
    raw = bytearray(jt808.header(message_id, phone, serial & 0xffff, len(body), version))
    raw[2] |= attributes >> 8 | (0x20 if part else 0)
    raw += struct.pack(">HH", *part) if part else b""
    raw += body
    return b"\x7e" + jt808.escape(bytes(raw) + bytes([jt808.xor(raw)])) + b"\x7e"


class Hostile(threading.Thread):
    def __init__(self, address, number):
        super().__init__(daemon=True)
        self.address, self.dice, self.udp = address, random.Random(number), number % 2 == 1

    def frame(self, terminal):
        dice, message_id = self.dice, self.dice.choice(IDS)
        phone = terminal.phone if dice.random() < 0.95 else str(13900000000 + dice.randrange(9))
        body, part, attributes = body_of(message_id, dice), None, 0
        terminal.serial = (terminal.serial + 1) & 0xffff
        serial = terminal.serial
        if dice.random() < 0.5:
            total = dice.choice([1, 2, 2, 3, 300, 0xffff])
            part = (total, dice.choice([1, 2, total, dice.randrange(total + 1)]))
            serial = dice.choice([100, 65534, serial]) + part[1]
        if dice.random() < 0.1:
            attributes = dice.choice([0x400, 0x800])
        made = bytearray(frame_with(message_id, phone, serial, body, attributes, part,
                                    terminal.version))
        if dice.random() < 0.05:
            made[dice.randrange(len(made))] ^= 1 << dice.randrange(8)
        return bytes(made) if dice.random() < 0.95 else bytes(made[:dice.randrange(len(made))])

    def run(self):
        kind = test_udp.Terminal if self.udp else jt808.Terminal
        for _ in range(ROUNDS):
            phone = str(13900000000 + self.dice.randrange(9))
            terminal = kind(self.address, phone, self.dice.choice([2013, 2019]), limit_s=2)
            terminal.serial = self.dice.randrange(65536)  # a repeated 0x0102 waits
            try:
                if self.dice.random() < 0.9:
                    terminal.sign_in()
                frames = [self.frame(terminal) for _ in range(self.dice.randrange(60))]
                for frame in frames if self.udp else [b"".join(frames)]:
                    terminal.socket.send(frame)
                if not self.udp and self.dice.random() < 0.5:
                    terminal.socket.shutdown(socket.SHUT_WR)
                    while terminal.socket.recv(65536):
                        pass
                    terminal.close()
                else:
                    terminal.reset()
            except (OSError, AssertionError, ValueError, struct.error):
                terminal.close()  # another one has the phone now, or the gateway had enough


class Everybody(harness.GatewayTest):
    def test_others_are_served_and_nothing_is_lost(self):
        gateway = self.start({"server.shards": "2", "jt808.part_timeout": "300ms",
                              "jt808.max_bad_frames": "1000"})
        good = [jt808.Terminal(gateway.address(), str(13800000000 + i)).sign_in()
                for i in range(4)]
        hostile = [Hostile(gateway.address(), number) for number in range(HOSTILE)]
        for one in hostile:
            one.start()
        sent = set()
        while any(one.is_alive() for one in hostile):
            for terminal in good:
                sent.add((terminal.phone, terminal.serial))
                self.assertEqual(terminal.report(), jt808.OK)
        self.assertIsNone(gateway.process.poll(), gateway.output)
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        stored = {(record["device"], record["serial"])
                  for record in harness.frames(harness.dump(self.data_dir), "0x0200")}
        self.assertLessEqual(sent, stored)
        for terminal in good:
            terminal.close()


if __name__ == "__main__":
    unittest.main()
