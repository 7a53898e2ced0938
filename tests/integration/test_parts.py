"""Messages in parts, over real sockets: order, repetition, requests for what is missing, media as
files, kill -9 in the middle."""

import gzip
import json
import random
import struct
import subprocess
import unittest

from harness import GatewayTest, dump, frames
from jt808 import (LOCATION, LOCATION_BATCH, MALFORMED, OK, UNSUPPORTED, Terminal, escape, header,
                   location_body, unescaped_frame, xor)

PART_REQUEST, MEDIA_UPLOAD, MEDIA_EVENT, MEDIA_REPLY = 0x8003, 0x0801, 0x0800, 0x8800
COMPRESSED, TERMINAL_KEY, PLATFORM_KEY = 0x0901, 0x0A00, 0x8A00
SOON = {"jt808.part_timeout": "300ms"}


def part(terminal, message_id, first, total, number, body):
    """JT/T 808-2013 4.4.3: attribute bit 13, total and number behind the serial."""
    raw = header(message_id, terminal.phone, (first + number - 1) & 0xffff, len(body),
                 terminal.version)
    raw = raw[:2] + struct.pack(">H", struct.unpack_from(">H", raw, 2)[0] | 0x2000) + raw[4:]
    raw += struct.pack(">HH", total, number) + body
    return b"\x7e" + escape(raw + bytes([xor(raw)])) + b"\x7e"


class Cut:
    """A message of `body` in parts of `size`; takes the serials of `terminal`."""

    def __init__(self, terminal, message_id, body, size=1000):
        self.terminal, self.id, self.first = terminal, message_id, terminal.serial
        self.pieces = [body[at:at + size] for at in range(0, len(body), size)]
        self.total = len(self.pieces)
        terminal.serial = (terminal.serial + self.total) & 0xffff

    def send(self, number, terminal=None):
        terminal = terminal or self.terminal
        terminal.socket.sendall(part(terminal, self.id, self.first, self.total, number,
                                     self.pieces[number - 1]))

    def say(self, number, terminal=None):
        """Sends a part and takes its acknowledgement."""
        terminal = terminal or self.terminal
        self.send(number, terminal)
        reply = terminal.reply()
        serial = (self.first + number - 1) & 0xffff
        if (reply.serial, reply.id, reply.result) != (serial, self.id, OK):
            raise AssertionError(f"{reply} does not acknowledge part {number}")

    def asked(self, terminal=None):
        """The numbers that the gateway's next message asks for (0x8003)."""
        terminal = terminal or self.terminal
        message = terminal.receive()
        if message.id != PART_REQUEST:
            raise AssertionError(f"expected 0x8003, got {message}")
        wide = terminal.version == 2019
        first, count = struct.unpack_from(">HH" if wide else ">HB", message.body)
        numbers = struct.unpack(f">{count}H", message.body[4 if wide else 3:])
        if first != self.first:
            raise AssertionError(f"0x8003 of serial {first}, not {self.first}")
        return list(numbers)


def jpeg(size, seed=1):
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + random.Random(seed).randbytes(size - 11)


def media_body(media_id, data, with_position=True):
    place = location_body()[:28] if with_position else b""
    return struct.pack(">IBBBB", media_id, 0, 0, 1, 2) + place + data


def wholes(records, message_id):
    return [record for record in frames(records, message_id) if record.get("whole")]


class Parts(GatewayTest):
    def test_batch_in_parts_any_order(self):
        gateway = self.start(SOON)
        for version in (2013, 2019):
            with Terminal(gateway.address(), f"1380013{version}", version) as terminal:
                terminal.sign_in()
                count = 80
                body = struct.pack(">HB", count, 1)
                for number in range(count):
                    item = location_body(latitude=20 + number / 100)
                    body += struct.pack(">H", len(item)) + item
                cut = Cut(terminal, LOCATION_BATCH, body, 700)
                order = list(range(1, cut.total + 1)) + [1, 2]
                random.Random(version).shuffle(order)
                for number in order:
                    cut.say(number)
                cut.say(3)
        gateway.stop()
        records = dump(self.data_dir, "--decode")
        whole = wholes(records, "0x0704")
        self.assertEqual(len(whole), 2)
        for record in whole:
            self.assertEqual(len(record["body"]["body"]["locations"]), 80)
        parts = [record for record in frames(records, "0x0704") if not record.get("whole")]
        self.assertEqual(len(parts), 2 * (cut.total + 3))
        self.assertEqual(sum(record["duplicate"] for record in parts), 6)

    def test_missing_parts_are_asked_for(self):
        gateway = self.start(SOON)
        for version in (2013, 2019):
            with Terminal(gateway.address(), f"1380014{version}", version) as terminal:
                terminal.sign_in()
                cut = Cut(terminal, 0x0F00, random.Random(7).randbytes(5500))
                for number in (2, 3, 5):
                    cut.say(number)
                self.assertEqual(cut.asked(), [1, 4, 6])
                for number in (1, 4):
                    cut.say(number)
                self.assertEqual(cut.asked(), [6])
                cut.say(6)
        gateway.stop()
        whole = wholes(dump(self.data_dir), "0x0f00")
        self.assertEqual(len(whole), 2)
        for record in whole:
            self.assertEqual(bytes.fromhex(record["frame"])[-5500:],
                             random.Random(7).randbytes(5500))

    def test_killed_in_the_middle(self):
        gateway = self.start(SOON)
        terminal = Terminal(gateway.address(), "13800150001")
        code = terminal.sign_in().code
        data = jpeg(6000)
        cut = Cut(terminal, MEDIA_UPLOAD, media_body(9, data))
        for number in (1, 2, 4):
            cut.say(number)
        gateway.kill()
        terminal.close()
        gateway = self.start(SOON)
        with Terminal(gateway.address(), "13800150001") as terminal:
            terminal.serial = cut.first + cut.total
            self.assertEqual(terminal.authenticate(code), OK)
            for number in (3, 5, 6):
                cut.say(number, terminal)
            # What it was told before the kill is in the log and no longer in memory.
            asked = cut.asked(terminal)
            self.assertEqual(asked, [1, 2, 4, 7])
            for number in asked:
                cut.say(number, terminal)
            done = terminal.receive()
            self.assertEqual((done.id, done.body), (MEDIA_REPLY, struct.pack(">I", 9)))
        gateway.stop()
        self.assertEqual(self.files(), [data])
        self.assertEqual(len(wholes(dump(self.data_dir), "0x0801")), 1)

    def files(self):
        found = sorted(path for path in (self.data_dir / "blobs").rglob("*.jpg")
                       if path.is_file())
        return [path.read_bytes() for path in found]

    def test_media_becomes_a_file(self):
        gateway = self.start(SOON)
        with Terminal(gateway.address(), "13800160001") as terminal:
            terminal.sign_in()
            self.assertEqual(terminal.exchange(MEDIA_EVENT, struct.pack(">IBBBB", 5, 0, 0, 1, 2)),
                             OK)
            data = jpeg(300_000)
            cut = Cut(terminal, MEDIA_UPLOAD, media_body(5, data))
            missing = {2, 3, 100, cut.total}
            for number in range(1, cut.total + 1):
                if number not in missing:
                    cut.say(number)
            message = terminal.receive()
            self.assertEqual(message.id, MEDIA_REPLY)
            media_id, count = struct.unpack_from(">IB", message.body)
            self.assertEqual(media_id, 5)
            self.assertEqual(set(struct.unpack(f">{count}H", message.body[5:])), missing)
            for number in missing:
                cut.say(number)
            done = terminal.receive()
            self.assertEqual((done.id, done.body), (MEDIA_REPLY, struct.pack(">I", 5)))
            self.assertEqual(self.files(), [data])
            # The same upload with new serials is answered and not stored again.
            cut = Cut(terminal, MEDIA_UPLOAD, media_body(5, data))
            for number in range(1, cut.total + 1):
                cut.say(number)
            done = terminal.receive()
            self.assertEqual((done.id, done.body), (MEDIA_REPLY, struct.pack(">I", 5)))
            self.assertEqual(self.files(), [data])
            # Another picture in one frame, without the position.
            small = jpeg(900, seed=2)
            terminal.send(MEDIA_UPLOAD, media_body(6, small, with_position=False))
            done = terminal.receive()
            self.assertEqual((done.id, done.body), (MEDIA_REPLY, struct.pack(">I", 6)))
        gateway.stop()
        self.assertCountEqual(self.files(), [data, small])
        records = dump(self.data_dir)
        listed = [record for record in records if record["kind"] == "media"]
        self.assertEqual(len(listed), 2)
        facts = listed[0]["blob"]
        self.assertEqual((facts["multimedia_id"], facts["channel"]), (5, 2))
        self.assertEqual(facts["location"]["latitude_deg"], 22.5)
        # Longer than a record: not whole in the log but a note, and its parts.
        self.assertEqual(wholes(records, "0x0801"), [])
        notes = [record for record in records if record["kind"] == "audit"]
        self.assertEqual(len(notes), 2)

    def test_compressed(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800170001") as terminal:
            terminal.sign_in()
            inner = unescaped_frame(LOCATION, "13800170001", 7, location_body(latitude=31.25))
            packed = gzip.compress(inner)
            self.assertEqual(terminal.exchange(COMPRESSED, struct.pack(">I", len(packed)) + packed),
                             OK)
            bomb = gzip.compress(bytes(900_000))
            self.assertEqual(terminal.exchange(COMPRESSED, struct.pack(">I", len(bomb)) + bomb),
                             MALFORMED)
            self.assertEqual(terminal.report(), OK)
        gateway.stop()
        records = frames(dump(self.data_dir, "--decode"), "0x0901")
        shown = [record["body"]["inflated"] for record in records]
        self.assertEqual(shown[0]["as"], "header-and-body")
        self.assertIn("31.25", json.dumps(shown[0]["message"]))
        self.assertIn("error", shown[1])

    def openssl(self, *arguments, data=b""):
        return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True,
                              timeout=60).stdout

    def encrypted(self, terminal, message_id, body):
        """One frame whose attributes say RSA (bit 10)."""
        raw = unescaped_frame(message_id, terminal.phone, terminal.serial, body, terminal.version)
        terminal.serial += 1
        raw = raw[:2] + struct.pack(">H", struct.unpack_from(">H", raw, 2)[0] | 0x0400) + raw[4:]
        return b"\x7e" + escape(raw + bytes([xor(raw)])) + b"\x7e"

    def test_encrypted(self):
        key = self.folder / "key.pem"
        self.openssl("genrsa", "-out", str(key), "1024")
        gateway = self.start({"jt808.rsa_key_file": str(key)})
        with Terminal(gateway.address(), "13800180001") as terminal:
            terminal.sign_in()
            terminal.send(TERMINAL_KEY, struct.pack(">I", 65537) + bytes(128))
            answer = terminal.receive()
            self.assertEqual(answer.id, PLATFORM_KEY)
            self.assertEqual(struct.unpack_from(">I", answer.body)[0], 65537)
            modulus = self.openssl("rsa", "-in", str(key), "-noout", "-modulus").decode()
            self.assertEqual(answer.body[4:].hex().upper(), modulus.strip().split("=")[1])
            sealed = self.openssl("pkeyutl", "-encrypt", "-inkey", str(key),
                                  data=location_body(latitude=31.25))
            terminal.socket.sendall(self.encrypted(terminal, LOCATION, sealed))
            self.assertEqual(terminal.reply().result, OK)
            terminal.socket.sendall(self.encrypted(terminal, LOCATION, bytes(128)))
            self.assertEqual(terminal.reply().result, UNSUPPORTED)
        gateway.stop()
        records = frames(dump(self.data_dir, "--decode"), "0x0200")
        self.assertEqual([bool(record.get("whole")) for record in records], [False, True, False])
        self.assertIn("31.25", json.dumps(records[1]["body"]))
        self.assertEqual(records[0]["body"]["encryption"], 1)


if __name__ == "__main__":
    unittest.main()
