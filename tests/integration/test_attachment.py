"""Files of alarms (T/JSATL 12) over real sockets: loss, repetition, any order, reconnects, kill -9
in the middle, names that would like to be paths, a full disk. Files must be byte-identical on disk
and be listed in the log once they are acknowledged."""

import os
import random
import re
import struct
import time
import unittest

import harness
import jt808
from jt808 import Terminal

LIST, BEGIN, END, END_REPLY = 0x1210, 0x1211, 0x1212, 0x9212
BLOCK = 65536
SETTINGS = {"attachment.listen": "127.0.0.1:0", "blob.min_free": "1MiB"}


def crc32c(data):
    table = crc32c.table
    crc = 0xffffffff
    for byte in data:
        crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8)
    return crc ^ 0xffffffff


def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


crc32c.table = _table()


def list_body(alarm, files, resend=False):
    """0x1210 as T/JSATL 12-2017 has it: terminal id 7, sign 16, number 32."""
    sign = b"T000001" + bytes.fromhex("261121120000") + bytes([1, len(files), 0])
    entries = b"".join(bytes([len(name)]) + name + struct.pack(">I", len(data))
                       for name, data in files)
    return (b"T000001" + sign + alarm.ljust(32, b"\0") + bytes([resend, len(files)]) + entries)


def notice_body(name, data, kind=0):
    return bytes([len(name)]) + name + struct.pack(">BI", kind, len(data))


def block(name, data, offset, size):
    return (b"\x30\x31\x63\x64" + name[:50].ljust(50, b"\0") + struct.pack(">II", offset, size)
            + data[offset:offset + size])


class Uploader(Terminal):
    """A terminal's link to the attachment server."""

    def file_reply(self):
        """(done, [(offset, size)...]) of a 0x9212."""
        message = self.receive()
        if message is None:
            return None
        if message.id != END_REPLY:
            raise AssertionError(f"expected 0x9212, got {message}")
        at = 1 + message.body[0] + 1
        result, count = message.body[at], message.body[at + 1]
        gaps = [struct.unpack_from(">II", message.body, at + 2 + 8 * i) for i in range(count)]
        if len(message.body) != at + 2 + 8 * count:
            raise AssertionError("0x9212 has bytes left over")
        return result == 0, gaps

    def announce(self, alarm, files, resend=False):
        return self.exchange(LIST, list_body(alarm, files, resend))

    def begin(self, name, data, kind=0):
        return self.exchange(BEGIN, notice_body(name, data, kind))

    def blocks(self, name, data, pieces):
        for offset, size in pieces:
            self.socket.sendall(block(name, data, offset, size))

    def end(self, name, data, kind=0):
        self.send(END, notice_body(name, data, kind))
        return self.file_reply()

    def finish(self, name, data, kind=0):
        """Sends what is asked for until the file is done; the pieces that were asked for."""
        asked = []
        for _ in range(200):
            done, gaps = self.end(name, data, kind)
            if done:
                return asked
            asked += gaps
            for offset, size in gaps:
                for at in range(offset, offset + size, BLOCK):
                    self.blocks(name, data, [(at, min(BLOCK, offset + size - at))])
        raise AssertionError("never done")


def pieces_of(data, size=BLOCK):
    return [(at, min(size, len(data) - at)) for at in range(0, len(data), size)]


class Attachment(harness.GatewayTest):
    def uploader(self, gateway, phone="13500000001"):
        link = Uploader(gateway.address("attachment"), phone)
        self.addCleanup(link.close)
        return link

    def blobs(self):
        """Media records of the log, each with the content of its file."""
        found = []
        for record in harness.dump(self.data_dir):
            if record["kind"] != "media":
                continue
            blob = record["blob"]
            path = self.data_dir / "blobs" / blob["file"]
            found.append((blob, path.read_bytes(), record))
        return found

    def check(self, expected):
        """Exactly these files, {name: content}, are listed and lie where the log says."""
        blobs = self.blobs()
        self.assertEqual({blob["name"]: data for blob, data, _ in blobs}, expected)
        self.assertEqual(len(blobs), len(expected))
        for blob, data, _ in blobs:
            self.assertEqual(blob["size_bytes"], len(data))
            if len(data) < 1 << 20:
                self.assertEqual(blob["crc32c"], f"{crc32c(data):08x}")
        self.assertEqual(list((self.data_dir / "blobs" / "partial").iterdir()), [])

    def test_files_of_one_alarm_with_loss_repetition_and_disorder(self):
        chance = random.Random(7)
        files = [(b"00_65_6401_0_ALARM1.jpg", b"\xff\xd8\xff\xe0" + chance.randbytes(300_001)),
                 (b"02_65_6401_1_ALARM1.h264", b"\0\0\0\1\x67" + chance.randbytes(4 << 20)),
                 (b"03_65_6401_2_ALARM1.bin", b""),
                 (b"04_65_6401_3_ALARM1.bin", chance.randbytes(777))]
        gateway = self.start(SETTINGS)
        link = self.uploader(gateway)
        self.assertEqual(link.announce(b"ALARM1", files), jt808.OK)
        for name, data in files:
            self.assertEqual(link.begin(name, data), jt808.OK)
            pieces = pieces_of(data, chance.choice([BLOCK, 10_000]))
            lost = set(chance.sample(range(len(pieces)), len(pieces) // 4))
            sent = [piece for i, piece in enumerate(pieces) if i not in lost]
            sent += sent[:3]
            chance.shuffle(sent)
            link.blocks(name, data, sent)
            asked = link.finish(name, data)
            missing = sum(pieces[i][1] for i in lost)
            self.assertEqual(sum(size for _, size in asked), missing)
            # Listed and there, in a gateway that still runs. (A reader of a live log believes a
            # record once the next one proves it.)
            self.until(lambda: any(one[0]["name"] == name.decode() for one in self.blobs()))
            blob, content, record = next(one for one in self.blobs()
                                         if one[0]["name"] == name.decode())
            self.assertEqual(content, data)
            self.assertEqual((blob["alarm_number"], record["device"]), ("ALARM1", "13500000001"))
        # What was done before is done again without its bytes.
        self.assertEqual(link.begin(*files[0]), jt808.OK)
        self.assertEqual(link.end(*files[0]), (True, []))
        self.assertEqual(gateway.stop(), 0)
        self.check({name.decode(): data for name, data in files})
        records = harness.dump(self.data_dir)
        self.assertEqual(len(harness.frames(records, "0x1210")), 1)
        self.assertEqual(len(harness.frames(records, "0x1211")), 5)
        self.assertLess(sum(file.stat().st_size for file in (self.data_dir / "log").iterdir()
                            if file.stat().st_size < 1 << 20), 4 << 20)

    def test_goes_on_after_a_reconnect(self):
        data = random.Random(8).randbytes(2 << 20)
        name = b"02_65_6401_0_ALARM2.mp4"
        gateway = self.start(SETTINGS | {"server.shards": "2"})
        half = pieces_of(data)[:20]
        asked = []
        for attempt in range(4):
            link = self.uploader(gateway)
            self.assertEqual(link.announce(b"ALARM2", [(name, data)], attempt > 0), jt808.OK)
            self.assertEqual(link.begin(name, data), jt808.OK)
            if attempt == 0:
                link.blocks(name, data, half)
                self.assertFalse(link.end(name, data)[0])
            elif attempt < 3:
                done, gaps = link.end(name, data)
                self.assertFalse(done)
                asked.append(gaps)
                # A block that is cut in the middle.
                link.socket.sendall(block(name, data, 20 * BLOCK, BLOCK)[:30_000])
            else:
                link.finish(name, data)
            link.reset() if attempt == 1 else link.close()
        self.assertEqual(asked[0], [(20 * BLOCK, len(data) - 20 * BLOCK)])
        self.assertEqual(gateway.stop(), 0)
        self.check({name.decode(): data})

    def test_goes_on_after_kill_9(self):
        data = random.Random(9).randbytes(12 << 20)
        name = b"02_65_6401_0_ALARM3.mp4"
        gateway = self.start(SETTINGS)
        link = self.uploader(gateway)
        self.assertEqual(link.announce(b"ALARM3", [(name, data)]), jt808.OK)
        self.assertEqual(link.begin(name, data), jt808.OK)
        link.blocks(name, data, pieces_of(data)[:150])
        self.assertFalse(link.end(name, data)[0])
        # The note of what is durable comes by itself.
        partial = self.data_dir / "blobs" / "partial"
        self.until(lambda: any(path.suffix == ".note" and path.stat().st_size > 0
                               for path in partial.iterdir()))
        gateway.kill()
        link.close()
        gateway = self.start(SETTINGS)
        link = self.uploader(gateway)
        self.assertEqual(link.announce(b"ALARM3", [(name, data)], True), jt808.OK)
        self.assertEqual(link.begin(name, data), jt808.OK)
        asked = link.finish(name, data)
        self.assertLess(sum(size for _, size in asked), len(data))
        self.assertEqual(gateway.stop(), 0)
        self.check({name.decode(): data})
        code, said = harness.verify(self.data_dir)
        self.assertEqual(code, 0, said)

    def until(self, condition):
        patience = time.monotonic() + harness.LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), patience, "it does not happen")
            time.sleep(0.02)

    def test_names_are_no_paths(self):
        names = [b"../../../../tmp/evil.jpg", b"/etc/passwd", b"..", b"a/b\\c.jpg", b"\xff\xfe.jpg",
                 b"x" * 60 + b".jpg", b".", b"partial", "图片.jpg".encode("gbk")]
        gateway = self.start(SETTINGS)
        link = self.uploader(gateway)
        data = b"\xff\xd8\xff" + b"harmless"
        for name in names:
            self.assertEqual(link.announce(b"../../AL/RM", [(name, data)]), jt808.OK)
            self.assertEqual(link.begin(name, data), jt808.OK)
            link.blocks(name, data, [(0, len(data))])
            self.assertEqual(link.end(name, data), (True, []))
        self.assertEqual(gateway.stop(), 0)
        blobs = self.blobs()
        self.assertEqual(len(blobs), len(names))
        for blob, content, _ in blobs:
            self.assertRegex(blob["file"], r"^\d{8}/[0-9a-f-]+\.jpg$")
            self.assertEqual(content, data)
        self.assertIn("图片.jpg", [blob["name"] for blob, _, _ in blobs])
        # Nothing anywhere bears a name from the wire.
        ours = re.compile(r"^(\d{8}|partial|[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+\.jpg)$")
        for path in (self.data_dir / "blobs").rglob("*"):
            self.assertRegex(path.name, ours)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"data"})

    def test_files_that_look_the_same(self):
        gateway = self.start(SETTINGS)
        name = b"00.jpg"
        one, other = (b"\xff\xd8\xff" + digit * 70_000 for digit in (b"1", b"2"))

        def upload(link, data, half=False):
            self.assertEqual(link.begin(name, data), jt808.OK)
            link.blocks(name, data, [(0, 30_000)] if half else pieces_of(data))
            return link.end(name, data)

        # Without an alarm they are not each other's beginning, nor repetition.
        link = self.uploader(gateway)
        self.assertEqual(upload(link, one, half=True), (False, [(30_000, len(one) - 30_000)]))
        link.close()
        link = self.uploader(gateway)
        self.assertEqual(upload(link, other), (True, []))
        self.assertEqual(upload(link, one), (True, []))
        # What another device sends for the same alarm under the same name is its own.
        links = [self.uploader(gateway, phone) for phone in ("13500000001", "13500000002")]
        for link, data in zip(links, (one, other)):
            self.assertEqual(link.announce(b"ALARM7", [(name, data)]), jt808.OK)
            self.assertEqual(upload(link, data, half=True), (False, [(30_000, len(data) - 30_000)]))
        for link, data in zip(links, (one, other)):
            self.assertEqual(upload(link, data), (True, []))
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual([(blob.get("alarm_number"), record["device"], content)
                          for blob, content, record in self.blobs()],
                         [(None, "13500000001", other), (None, "13500000001", one),
                          ("ALARM7", "13500000001", one), ("ALARM7", "13500000002", other)])

    def test_a_block_larger_than_any_file(self):
        gateway = self.start(SETTINGS | {"attachment.max_file_size": "1MiB"})
        name, data = b"00_65.bin", b"x" * 100_000
        for header in ((0, 0xffffffff), (0xffffffff, (1 << 20) + 1)):
            link = self.uploader(gateway)
            self.assertEqual(link.announce(b"ALARM8", [(name, data)]), jt808.OK)
            self.assertEqual(link.begin(name, data), jt808.OK)
            link.socket.sendall(block(name, data, 0, 0)[:-8] + struct.pack(">II", *header))
            self.assertIsNone(link.receive())
        link = self.uploader(gateway)
        self.assertEqual(link.announce(b"ALARM8", [(name, data)]), jt808.OK)
        # Beyond the end, across it, and of no length.
        for offset, content in ((0xffffffff, b"y"), (99_000, b"x" * 1_000 + b"y" * 500), (5, b"")):
            self.assertEqual(link.begin(name, data), jt808.OK)
            link.socket.sendall(block(name, data, 0, 0)[:-8] +
                                struct.pack(">II", offset, len(content)) + content)
        self.assertEqual(link.finish(name, data), [(0, 99_000)])
        self.assertEqual(gateway.stop(), 0)
        self.check({name.decode(): data})

    def test_few_descriptors(self):
        gateway = self.start(SETTINGS, prefix=("prlimit", "--nofile=600:600"))
        data, answers, links = b"x" * 100_000, [], []
        for number in range(100):
            links.append(self.uploader(gateway, str(13600000000 + number)))
            name = b"%d.bin" % number
            self.assertEqual(links[-1].announce(b"F%d" % number, [(name, data)]), jt808.OK)
            answers.append(links[-1].begin(name, data))
            links[-1].blocks(name, data, [(0, 3_000)])
        # A quarter of them is for uploads, three each; links and the log have the rest.
        self.assertEqual([answers.count(result) for result in (jt808.OK, jt808.FAILED)], [50, 50])
        terminal = Terminal(gateway.address(), "13900000000")
        self.addCleanup(terminal.close)
        self.assertEqual(terminal.sign_in().report(), jt808.OK)
        links[0].close()
        self.until(lambda: links[99].begin(b"99.bin", data) == jt808.OK)

    def test_what_is_refused(self):
        gateway = self.start(SETTINGS | {"attachment.max_file_size": "1MiB",
                                         "attachment.max_files": "2",
                                         "attachment.max_bad_frames": "3"})
        link = self.uploader(gateway)
        self.assertEqual(link.announce(b"ALARM4", []), jt808.OK)
        self.assertEqual(link.begin(b"large.bin", bytes((1 << 20) + 1)), jt808.FAILED)
        for name in (b"a.bin", b"b.bin"):
            self.assertEqual(link.begin(name, b"content"), jt808.OK)
        self.assertEqual(link.begin(b"c.bin", b"content"), jt808.FAILED)
        # Content of a file that was never begun is dropped, and the link goes on.
        link.blocks(b"stray.bin", b"nothing", [(0, 7)])
        self.assertEqual(link.exchange(jt808.HEARTBEAT), jt808.OK)
        self.assertEqual(link.exchange(0x1210, b"too short"), jt808.MALFORMED)
        other = self.uploader(gateway, "13500000002")
        other.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIsNone(other.receive())
        self.assertEqual(link.exchange(jt808.HEARTBEAT), jt808.OK)

    def test_only_expected_files_where_it_says_so(self):
        gateway = self.start(SETTINGS | {"attachment.admission": "expected"})
        link = self.uploader(gateway)
        self.assertEqual(link.announce(b"ALARM5", [(b"a.bin", b"x")]), jt808.FAILED)
        self.assertEqual(link.begin(b"a.bin", b"x"), jt808.FAILED)

    def test_many_links_at_once(self):
        count = 200
        gateway = self.start(SETTINGS | {"server.shards": "2", "blob.buffers": "1MiB"})
        files = {}
        links = []
        for i in range(count):
            link = self.uploader(gateway, str(13600000000 + i))
            name = f"00_65_6401_0_M{i}.bin".encode()
            data = random.Random(i).randbytes(100_000 + i)
            files[name.decode()] = data
            self.assertEqual(link.announce(b"M%d" % i, [(name, data)]), jt808.OK)
            self.assertEqual(link.begin(name, data), jt808.OK)
            links.append((link, name, data))
        # Piece by piece, all at the same time: each piece but the last waits for more.
        for at in range(0, 110_000, 7_000):
            for link, name, data in links:
                size = min(7_000, len(data) - at)
                if size > 0:
                    link.blocks(name, data, [(at, size)])
        for link, name, data in links:
            link.send(END, notice_body(name, data))
        for link, name, data in links:
            self.assertEqual(link.file_reply(), (True, []))
        self.assertEqual(gateway.stop(), 0)
        self.check(files)


class FullDisk(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.mount = self.folder / "disk"
        self.mount.mkdir()
        code, _, err = harness.run("mount", "-t", "tmpfs", "-o", "size=48m", "ringgate-test",
                                   self.mount)
        if code:
            self.skipTest(f"no tmpfs may be mounted here: {err.strip()}")
        self.addCleanup(harness.run, "umount", "-l", self.mount)
        self.addCleanup(self.end_gateways)
        self.data_dir = self.mount / "data"

    def test_uploads_stop_before_the_log_does(self):
        gateway = self.start(SETTINGS | {"log.segment_size": "1MiB", "blob.min_free": "8MiB"})
        taken = 0
        data = random.Random(3).randbytes(4 << 20)
        with Uploader(gateway.address("attachment"), "13500000003") as link:
            self.assertEqual(link.announce(b"FULL", []), jt808.OK)
            for number in range(20):
                name = b"%d.bin" % number
                if link.begin(name, data) != jt808.OK:
                    break
                link.blocks(name, data, pieces_of(data))
                self.assertEqual(link.finish(name, data), [])
                taken += 1
            self.assertTrue(0 < taken < 20)
            # The log has room: frames are taken as ever.
            for _ in range(2000):
                self.assertEqual(link.exchange(jt808.HEARTBEAT), jt808.OK)
            for path in (self.data_dir / "blobs").glob("2*/*"):
                os.remove(path)
                break
            self.assertEqual(link.begin(b"again.bin", data), jt808.OK)
            link.blocks(b"again.bin", data, pieces_of(data))
            self.assertEqual(link.finish(b"again.bin", data), [])
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual(list((self.data_dir / "blobs" / "partial").iterdir()), [])
        code, said = harness.verify(self.data_dir)
        self.assertEqual(code, 0, said)


if __name__ == "__main__":
    unittest.main()
