"""What earlier programs wrote is read by today's; what a later one may write is left alone, with a
sentence that says so (storage/log/FORMAT.md, "Versions")."""

import collections
import struct
import tarfile
import unittest
from pathlib import Path

from harness import CTL, GATEWAY, LOAD, LOG, GatewayTest, dump, frames, run, verify

FORMATS = Path(__file__).resolve().parent / "formats"
ARCHIVES = sorted(path.name.removesuffix(".tar.gz") for path in FORMATS.glob("*.tar.gz"))
# The oldest that has each of them.
COMPRESSED = STATE = "d1febdf"


def contents(folder):
    """Every file's name and bytes."""
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


def reports(records):
    """(phone, serial) of what was reported."""
    return collections.Counter((record["device"].lstrip("0"), record["serial"])
                               for record in frames(records, "0x0200"))


class Formats(GatewayTest):
    def unpack(self, name):
        folder = self.folder / name
        with tarfile.open(FORMATS / f"{name}.tar.gz") as archive:
            archive.extractall(folder)
        acknowledged = collections.Counter()
        for line in (folder / "acknowledged").read_text().splitlines():
            phone, serial = line.split(",")
            acknowledged[phone.lstrip("0"), int(serial)] += 1
        self.assertGreater(sum(acknowledged.values()), 1000)
        return folder / "data", acknowledged

    def assert_all_there(self, data, acknowledged):
        found = reports(dump(data))
        self.assertEqual(acknowledged - found, collections.Counter())
        code, out = verify(data)
        self.assertEqual(code, 0, out)

    def assert_unchanged(self, data, before, but=()):
        after = contents(data)
        self.assertEqual([name for name in sorted({*before, *after} - {*but})
                          if before.get(name) != after.get(name)], [])

    def load(self, gateway):
        """More reports; what of them was acknowledged, as unpack() has it."""
        path = self.folder / "more"
        path.unlink(missing_ok=True)
        host, port = gateway.address()
        code, out, err = run(LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "5",
                             "--phone-base", "13000000000", "--rate", "50", "--duration", "0.3",
                             "--quiet", "--acked-log", path)
        self.assertEqual(code, 0, out + err)
        more = collections.Counter()
        for line in path.read_text().splitlines():
            phone, serial = line.split(",")
            more[phone.lstrip("0"), int(serial)] += 1
        return more

    def test_every_earlier_format_is_read_and_gone_on_with(self):
        self.assertGreaterEqual(len(ARCHIVES), 3)
        for name in ARCHIVES:
            with self.subTest(archive=name):
                data, acknowledged = self.unpack(name)
                # The killed run is read as it lies there, before anybody seals it.
                self.assert_all_there(data, acknowledged)
                gateway = self.start({"server.shards": "3", "log.compress_after": "0s",
                                      "log.segment_size": "256KiB"}, data_dir=data)
                self.assertNotIn("level=error", gateway.output)
                acknowledged += self.load(gateway)
                self.assertEqual(gateway.stop(), 0)
                self.assert_all_there(data, acknowledged)
                # And once more, from today's snapshots.
                self.start(data_dir=data).stop()
                self.assert_all_there(data, acknowledged)

    def test_tools_read_every_earlier_format(self):
        for name in ARCHIVES:
            with self.subTest(archive=name):
                data, acknowledged = self.unpack(name)
                before = contents(data)
                total = sum(acknowledged.values())
                code, out, err = run(LOG, "stat", data, "--by", "message", "--json")
                self.assertEqual(code, 0, out + err)
                phone = sorted(acknowledged)[0][0]
                code, out, err = run(LOG, "query", data, "--device", phone)
                self.assertEqual(code, 0, out + err)
                mine = sum(n for (who, _), n in acknowledged.items() if who == phone)
                self.assertGreaterEqual(out.count('"0x0200"'), mine)
                self.assertEqual(run(LOG, "verify", "--deep", data)[0], 0)
                copy = self.folder / f"{name}-copy"
                self.assertEqual(run(LOG, "backup", data, copy)[0], 0)
                self.assertGreaterEqual(sum(reports(dump(copy)).values()), total)
                self.assert_unchanged(data, before)

    def test_state_of_an_earlier_format(self):
        data, _ = self.unpack(STATE)
        gateway = self.start(data_dir=data)
        registry = run(CTL, "--data", data, "registry", "list")[1]
        for phone, plate in (("13000000001", "FIX1"), ("13000000002", "FIX2")):
            self.assertRegex(registry, rf"{phone}.*{plate}")
        self.assertIn("13000000009", run(CTL, "--data", data, "bans")[1])
        devices = run(CTL, "--data", data, "devices")[1]
        self.assertIn("13000000004", devices, "known, though its snapshot has no devices")
        gateway.stop()

    # What later programs may write ---------------------------------------------------------------

    def later(self, path, offset=8, version=2):
        """Makes a file one of a later version: version fields never move."""
        raw = bytearray(path.read_bytes())
        raw[offset:offset + 4] = struct.pack("<I", version)
        path.write_bytes(raw)

    def refused(self, data, name):
        """Starts a gateway, which must not start; what it said. Nothing may have changed."""
        before = contents(data)
        code, out, err = run(GATEWAY, "--set", f"server.data_dir={data}", "--set", "http.listen=",
                             "--set", "jt808.listen=127.0.0.1:0",
                             "--set", "log.retention_bytes=1MiB")
        self.assertEqual(code, 1, out + err)
        said = next(line for line in err.splitlines() if line.startswith("ringgate: "))
        self.assertIn(name, said)
        self.assertIn("format version 2, this program reads 1", said)
        self.assertIn("a newer ringgate wrote it", said)
        self.assertIn("was not changed. Cure: start the newer program", said)
        self.assert_unchanged(data, before, but=("run", "lock"))
        return said

    def test_a_segment_of_a_later_version_is_left_alone(self):
        data, acknowledged = self.unpack("b485b2a")
        segments = sorted((data / "log").glob("*.seg"))
        for segment in (segments[0], segments[-1]):
            with self.subTest(segment=segment.name):
                plain = segment.read_bytes()
                self.later(segment)
                self.refused(data, segment.name)
                # Tools show the rest, and say which file they could not read.
                code, out = verify(data)
                self.assertEqual(code, 1)
                self.assertIn(f"{segment.name}: format version 2, this program reads 1", out)
                done = run(LOG, "dump", data)
                self.assertIn("a newer ringgate wrote it", done[2])
                self.assertGreater(done[1].count('"0x0200"'), 300)
                code, out, err = run(LOG, "repair", data, "--output",
                                     self.folder / f"r-{segment.name}")
                self.assertIn("repair it with that program", out)
                self.assertNotEqual(code, 0)
                segment.write_bytes(plain)
        # With the file away it goes on; put back, all is there.
        self.later(segments[0])
        segments[0].rename(self.folder / "away")
        gateway = self.start(data_dir=data)
        acknowledged += self.load(gateway)
        gateway.stop()
        (self.folder / "away").rename(segments[0])
        self.later(segments[0], version=1)
        self.assert_all_there(data, acknowledged)

    def test_a_compressed_segment_of_a_later_version_is_left_alone(self):
        data, _ = self.unpack(COMPRESSED)
        packed = sorted((data / "log").glob("*.segz"))[0]
        plain = packed.with_suffix(".seg")
        self.assertTrue(plain.exists())
        for offset in (8, 4096 + 8):  # its own version, that of the segment in it
            with self.subTest(offset=offset):
                before = packed.read_bytes()
                self.later(packed, offset)
                if offset == 8:  # beside a plain one that reads well
                    self.refused(data, packed.name)
                away = self.folder / "away"
                plain.rename(away)
                self.refused(data, packed.name)
                away.rename(plain)
                packed.write_bytes(before)
        before = plain.read_bytes()
        self.later(plain)  # the other way round
        self.refused(data, plain.name)
        plain.write_bytes(before)

    def test_a_snapshot_of_a_later_version_is_left_alone(self):
        data, _ = self.unpack(STATE)
        self.start(data_dir=data).stop()  # seals what the killed one had open
        newest = sorted((data / "state").glob("snapshot-*"))[-1]
        raw = newest.read_bytes()
        self.assertEqual(raw[:8], b"RGSTATE1")
        newest.write_bytes(b"RGSTATE2" + raw[8:])
        said = self.refused(data, newest.name)
        self.assertIn("move all snapshots to another directory", said)
        newest.write_bytes(b"RGSTATEX" + raw[8:])  # damage, no version: the log knows
        gateway = self.start(data_dir=data)
        self.assertIn("no snapshot of the state", gateway.output)
        self.assertEqual(gateway.stop(), 0)

    def test_derived_files_of_a_later_version_are_made_anew(self):
        data, acknowledged = self.unpack(COMPRESSED)
        (data / "log" / "times").write_bytes(b"RGLOGTIM" + struct.pack("<I", 9) + bytes(100))
        plain = sorted((data / "log").glob("0000000002*.seg"))[0]
        index = plain.with_suffix(".idx")
        index.write_bytes(b"RGLOGIDX" + struct.pack("<I", 9) + bytes(4084))
        self.assert_all_there(data, acknowledged)
        gateway = self.start(data_dir=data)
        self.assertEqual(gateway.stop(), 0)
        self.assert_all_there(data, acknowledged)


if __name__ == "__main__":
    unittest.main()
