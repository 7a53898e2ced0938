"""ringgate-log on the log of a real gateway: query, track, export, stat, verify --deep, backup,
repair and replay."""

import csv
import io
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest
import xml.etree.ElementTree as ElementTree

import harness
import jt808
from jt808 import Terminal

GPX = "{http://www.topografix.com/GPX/1/1}"
PHONE = "13100000001"


def tool(*arguments, code=0):
    """stdout of ringgate-log; fails on another exit code."""
    ended, out, err = harness.run(harness.LOG, *arguments)
    if ended != code:
        raise AssertionError(f"ringgate-log {arguments}: exit {ended}, not {code}\n{out}{err}")
    return out


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def query(data_dir, *arguments):
    return lines(tool("query", data_dir, *arguments))


def at(second, minute=0, hour=8):
    """A device's BCD time (GMT+8) on 2026-11-20, and the same as UTC text."""
    return (f"261120{hour:02}{minute:02}{second:02}",
            f"2026-11-20T{hour - 8:02}:{minute:02}:{second:02}.000Z")


class LogTool(harness.GatewayTest):
    def report(self, terminal, latitude, longitude, when, speed=36.5):
        body = jt808.location_body(latitude, longitude, speed, when)
        self.assertEqual(terminal.exchange(jt808.LOCATION, body), jt808.OK)

    def load(self, gateway, *arguments, devices=10):
        host, port = gateway.address()
        code, out, err = harness.run(harness.LOAD, "jt808", "--target", f"{host}:{port}",
                                     "--devices", devices, "--quiet", *arguments)
        self.assertEqual(code, 0, out + err)


class Reading(LogTool):
    def drive(self):
        """Two devices; the first sends a late batch and a fix of long after."""
        gateway = self.start()
        with Terminal(gateway.address(), PHONE) as first, \
                Terminal(gateway.address(), "13100000002") as second:
            first.sign_in()
            second.sign_in()
            for second_of in (0, 10, 20, 30):
                self.report(first, 31.1 + second_of / 1000, 121.4, at(second_of)[0])
            self.report(second, 22.5, 114.0, at(5)[0])
            self.report(first, 31.2, 121.5, at(0, minute=30)[0])
            late = b"".join(struct.pack(">H", 28) + jt808.location_body(31.15, 121.45, 0, at(s)[0])
                            for s in (45, 50))
            batch = struct.pack(">HB", 2, 1) + late
            self.assertEqual(first.exchange(jt808.LOCATION_BATCH, batch), jt808.OK)
            self.report(first, 31.2, 121.5, at(0, minute=30)[0])  # the same position once more
        self.assertEqual(gateway.stop(), 0)

    def test_query_selects_by_each_condition(self):
        self.drive()
        everything = harness.dump(self.data_dir)
        self.assertEqual(query(self.data_dir), everything)
        own = query(self.data_dir, "--device", "0" + PHONE)
        self.assertEqual(own, [r for r in everything if r["device"] == PHONE])
        self.assertTrue(own)
        both = query(self.data_dir, "--device", PHONE, "--device", "13100000002",
                     "--message-id", "0x0200")
        self.assertEqual({r["device"] for r in both}, {PHONE, "13100000002"})
        self.assertEqual({r["message_id"] for r in both}, {"0x0200"})
        sessions = query(self.data_dir, "--kind", "session")
        self.assertEqual({r["kind"] for r in sessions}, {"session"})
        near = query(self.data_dir, "--area", "22,113,23,115")
        self.assertEqual([r["device"] for r in near], ["13100000002"])
        timed = query(self.data_dir, "--device-from", at(40)[1], "--device-to", at(55)[1])
        self.assertEqual([r["message_id"] for r in timed], ["0x0704"])
        middle = everything[len(everything) // 2]["received"]
        self.assertEqual(
            query(self.data_dir, "--from", str(middle // 1_000_000 - 3600), "--to", "-0s"),
            everything)
        self.assertEqual(query(self.data_dir, "--to", "2020-01-01"), [])
        self.assertEqual(tool("query", self.data_dir, "--count").strip(), str(len(everything)))
        self.assertEqual(query(self.data_dir, "--limit", "2"), everything[:2])
        code, out, err = harness.run(harness.LOG, "query", self.data_dir, "--count", "--stats")
        self.assertEqual(code, 0)
        self.assertIn(f"{len(everything)} records of", err)

    def test_wrong_arguments_say_what_is_wrong(self):
        self.drive()
        for arguments, words in ((("query", self.data_dir, "--area", "1,2,3"), "LAT,LON"),
                                 (("query", self.data_dir, "--kind", "frame"), "frame-up"),
                                 (("query", self.data_dir, "--from", "noon"), "is no time"),
                                 (("query", self.data_dir, "--message-id", "x"), "0x0200"),
                                 (("track", self.data_dir, "--device", "1", "--step", "x"), "30s"),
                                 (("stat", self.data_dir, "--device", "1"), "--by"),
                                 (("export", self.data_dir, "--format", "parquet"), "duckdb"),
                                 (("query", self.folder / "nothing"), "data directory"),
                                 (("repair", self.data_dir, "-o", self.data_dir), "already")):
            code, out, err = harness.run(harness.LOG, *arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertIn(words, err)
        for command in ("dump", "query", "track", "export", "stat", "verify", "replay", "backup",
                        "repair"):
            self.assertIn("Examples:", tool(command, "--help"))

    def test_track_is_in_order_of_the_device_and_cut_where_fixes_are_missing(self):
        self.drive()
        rows = list(csv.DictReader(io.StringIO(
            tool("track", self.data_dir, "--device", PHONE, "--format", "csv"))))
        times = [at(s)[1] for s in (0, 10, 20, 30, 45, 50)] + [at(0, minute=30)[1]]
        self.assertEqual([row["device_time"] for row in rows], times)
        self.assertEqual([row["leg"] for row in rows], ["1"] * 6 + ["2"])
        self.assertEqual([row["late"] for row in rows], ["false"] * 4 + ["true"] * 2 + ["false"])
        self.assertEqual(rows[1]["latitude_deg"], "31.110000")
        self.assertEqual(rows[1]["speed_kmh"], "36.5")

        told = json.loads(tool("track", self.data_dir, "--device", PHONE))
        self.assertEqual(told["type"], "FeatureCollection")
        line, point = told["features"]
        self.assertEqual((line["geometry"]["type"], point["geometry"]["type"]),
                         ("LineString", "Point"))
        self.assertEqual(line["geometry"]["coordinates"][0], [121.4, 31.1, 25])
        self.assertEqual(line["properties"]["coordTimes"], times[:6])

        gpx = ElementTree.fromstring(tool("track", self.data_dir, "--device", PHONE, "--format",
                                          "gpx", "--gap", "0", "--step", "20s"))
        self.assertEqual((gpx.tag, gpx.get("version")), (GPX + "gpx", "1.1"))
        segments = gpx.findall(f"{GPX}trk/{GPX}trkseg")
        self.assertEqual([point.find(GPX + "time").text for point in segments[0]],
                         [at(0)[1], at(20)[1], at(45)[1], at(0, minute=30)[1]])
        for point in segments[0]:
            self.assertEqual([child.tag.split("}")[1] for child in point],
                             ["ele", "time", "extensions"])

        legs = json.loads(tool("track", self.data_dir, "--device", PHONE, "--format", "json",
                               "--from", at(15)[1], "--to", at(40)[1]))["tracks"][0]["legs"]
        self.assertEqual([fix["time"] for fix in legs[0]["fixes"]], [at(20)[1], at(30)[1]])
        empty = json.loads(tool("track", self.data_dir, "--device", "1", code=1))
        self.assertEqual(empty["features"], [])

    def test_places_on_maps_of_china(self):
        self.drive()
        for device, wgs84, gcj02 in ((PHONE, (31.1, 121.4), (31.098, 121.4045)),
                                     ("13100000002", (22.5, 114.0), (22.497, 114.005))):
            arguments = ("--device", device, "--to", at(7)[1])
            plain, moved = (lines(tool("export", self.data_dir, "--device", device, *more))[0]
                            for more in ((), ("--gcj02",)))
            row = next(csv.DictReader(io.StringIO(tool(
                "track", self.data_dir, *arguments, "--format", "csv", "--gcj02"))))
            record = query(self.data_dir, "--device", device, "--message-id", "0x0200",
                           "--gcj02")[0]
            self.assertEqual((plain["latitude_deg"], plain["longitude_deg"]), wgs84)
            for place in (moved, row, record["gcj02"][0]):
                self.assertAlmostEqual(float(place["latitude_deg"]), gcj02[0], delta=0.001)
                self.assertAlmostEqual(float(place["longitude_deg"]), gcj02[1], delta=0.001)
                self.assertNotEqual(float(place["longitude_deg"]), wgs84[1])
            self.assertNotIn("gcj02", query(self.data_dir, "--device", device)[0])

    def test_output_that_can_not_be_written_is_a_failure_and_a_closed_pipe_is_none(self):
        self.drive()
        for command in (("query",), ("dump",), ("export",), ("track", "--device", PHONE)):
            arguments = [harness.LOG, command[0], self.data_dir, *command[1:]]
            with open("/dev/full", "wb") as full:
                done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=60, check=False)
            self.assertEqual(done.returncode, 2, command)
            self.assertIn("No space left", done.stderr)
            reader, writer = os.pipe()
            os.close(reader)
            with os.fdopen(writer, "wb") as closed:
                done = subprocess.run(arguments, stdout=closed, stderr=subprocess.PIPE, text=True,
                                      timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)

    def test_exports_have_the_same_rows_in_every_format(self):
        self.drive()
        for rows, count in (("positions", 9), ("sessions", None), ("devices", None),
                            ("alarms", 0), ("media", 0),
                            ("records", len(harness.dump(self.data_dir)))):
            as_json = lines(tool("export", self.data_dir, "--rows", rows))
            file = self.folder / f"{rows}.csv"
            tool("export", self.data_dir, "--rows", rows, "--format", "csv", "-o", file)
            with open(file, newline="", encoding="utf-8") as text:
                as_csv = list(csv.DictReader(text))
            self.assertEqual(len(as_json), len(as_csv))
            if count is None:
                self.assertTrue(as_json, rows)
            else:
                self.assertEqual(len(as_json), count, rows)
            self.assertTrue(file.read_bytes().startswith(b"record_id,"))
            for one, other in zip(as_json, as_csv):
                self.assertEqual(list(one), list(other))
                self.assertEqual(one["record_id"], other["record_id"])
                self.assertEqual(one["device"], other["device"])
        area = lines(tool("export", self.data_dir, "--area", "31.14,121.44,31.16,121.46"))
        self.assertEqual([row["device_time"] for row in area], [at(45)[1], at(50)[1]])

    def test_stat_counts_by_device_message_kind_and_hour(self):
        self.drive()
        records = harness.dump(self.data_dir)
        for by, key in (("device", "device"), ("kind", "kind")):
            told = json.loads(tool("stat", self.data_dir, "--by", by, "--json"))
            counted = {row[by]: row["records"] for row in told["rows"]}
            self.assertEqual(counted, {value: sum(r[key] == value for r in records)
                                       for value in {r[key] for r in records}})
        told = json.loads(tool("stat", self.data_dir, "--by", "message", "--json", "--top", "1"))
        self.assertEqual((told["rows"][0]["message"], told["rows"][0]["name"]),
                         ("jt808 0x0200", "location-report"))
        self.assertIn("others", tool("stat", self.data_dir, "--by", "device", "--top", "1"))
        hours = json.loads(tool("stat", self.data_dir, "--by", "hour", "--json"))["rows"]
        self.assertEqual(sum(row["records"] for row in hours), len(records))

    def test_output_that_could_not_be_written_is_told(self):
        self.drive()
        for command in (("stat",), ("stat", "--by", "device", "--json"), ("verify",), ("dump",)):
            with open("/dev/full", "w") as full:
                done = subprocess.run([harness.LOG, command[0], self.data_dir, *command[1:]],
                                      stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=harness.LIMIT_S)
            self.assertEqual(done.returncode, 2, (command, done.stderr))
            self.assertIn("cannot write to stdout", done.stderr)
        # Whoever reads no more has seen enough: no complaint, and no crash.
        script = '("$0" stat "$1" --by device; echo "code $?" >&2) | true'
        done = subprocess.run(["sh", "-c", script, harness.LOG, self.data_dir], text=True,
                              stderr=subprocess.PIPE, timeout=harness.LIMIT_S)
        self.assertIn(done.stderr, ("code 0\n", "code 1\n"))

    def test_reading_leaves_the_directory_as_it_is(self):
        self.drive()
        before = {path: path.stat().st_mtime_ns for path in self.data_dir.rglob("*")}
        tool("query", self.data_dir)
        tool("verify", "--deep", self.data_dir)
        tool("track", self.data_dir, "--device", PHONE)
        tool("backup", self.data_dir, self.folder / "copy")
        tool("repair", self.data_dir, "-o", self.folder / "repaired")
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.data_dir.rglob("*")},
                         before)


class Deep(LogTool):
    def test_wholes_commands_and_blobs_hold_together(self):
        gateway = self.start()
        host, port = gateway.address()
        vehicles = subprocess.Popen(
            [harness.LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "2", "--demo",
             "--quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        harness.dump_until(self.data_dir, lambda found: len({r["device"] for r in found}) == 2,
                           "0x0200")
        phone = "13800000000"
        code, out, err = harness.run(
            harness.CTL, "--data", self.data_dir, "send", phone, "--wait", "20s",
            '{"message":"camera","channel":1,"command":1,"resolution":"640x480"}')
        self.assertEqual(code, 0, out + err)
        patience = time.monotonic() + harness.LIMIT_S
        while not (blobs := list((self.data_dir / "blobs").glob("2*/*.jpg"))):
            self.assertLess(time.monotonic(), patience)
            time.sleep(0.05)
        vehicles.send_signal(signal.SIGINT)
        vehicles.wait(harness.LIMIT_S)
        self.assertEqual(gateway.stop(), 0)
        told = json.loads(tool("verify", "--deep", "--json", self.data_dir))
        deep = told["deep"]
        self.assertEqual((told["problems"], deep["bad_bodies"]), ([], 0))
        self.assertGreaterEqual(deep["wholes"], 1)
        self.assertGreater(deep["parts"], deep["wholes"])
        self.assertEqual(deep["intents"], deep["outcomes"])
        self.assertEqual((deep["blobs"], deep["blobs_checked"]), (len(blobs), len(blobs)))

        copy = self.folder / "copy"
        tool("backup", self.data_dir, copy, "--with-blobs")
        self.assertEqual(json.loads(tool("verify", "--deep", "--json", copy))["deep"], deep)
        content = bytearray(blobs[0].read_bytes())
        content[len(content) // 2] ^= 1
        blobs[0].write_bytes(content)
        self.assertIn("not what was stored", tool("verify", "--deep", self.data_dir, code=1))
        blobs[0].write_bytes(content[:-1])
        self.assertIn("bytes,", tool("verify", "--deep", self.data_dir, code=1))


class Backup(LogTool):
    def test_a_live_log_is_copied_again_and_again(self):
        gateway = self.start({"log.segment_size": "512KiB", "server.shards": "2"})
        host, port = gateway.address()
        load = subprocess.Popen(
            [harness.LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "20", "--quiet",
             "--in-flight", "2", "--duration", "3"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        plain, linked = self.folder / "plain", self.folder / "linked"
        counts = []
        while load.poll() is None:
            tool("backup", self.data_dir, plain)
            tool("backup", self.data_dir, linked, "--link")
            for copy in (plain, linked):
                told = json.loads(tool("verify", "--json", copy))
                self.assertEqual((told["problems"], told["dropped_records"]), ([], 0))
            counts.append(told["records"])
        self.assertEqual(counts, sorted(counts))
        self.assertEqual(gateway.stop(), 0)
        tool("backup", self.data_dir, plain)
        tool("backup", self.data_dir, linked, "--link")
        self.assertEqual(harness.dump(plain), harness.dump(self.data_dir))
        self.assertEqual(harness.dump(linked), harness.dump(self.data_dir))
        nothing = json.loads(tool("backup", self.data_dir, plain, "--json"))
        self.assertEqual((nothing["segments_copied"], nothing["bytes"]), (0, 0))
        self.assertEqual(nothing["segments_equal"], len(list((plain / "log").glob("*.seg*"))))
        for name in ("node", "run", "jt808.key"):
            self.assertEqual((plain / name).read_bytes(), (self.data_dir / name).read_bytes())
            self.assertEqual((plain / name).stat().st_mode, (self.data_dir / name).stat().st_mode)
        # The copy is a data directory: a gateway starts on it and goes on.
        records = len(harness.dump(plain))
        second = self.start(data_dir=plain)
        self.load(second, "--rate", "5", "--duration", "1")
        self.assertEqual(second.stop(), 0)
        self.assertGreater(len(harness.dump(plain)), records)
        self.assertEqual(harness.verify(plain)[0], 0)

    def test_retention_beside_it_takes_nothing_from_a_linked_copy(self):
        gateway = self.start({"log.segment_size": "256KiB", "log.retention_bytes": "1MiB"})
        self.load(gateway, "--in-flight", "4", "--duration", "1")
        linked = self.folder / "linked"
        tool("backup", self.data_dir, linked, "--link")
        kept = harness.dump(linked)
        # Until retention was at work.
        while harness.dump(self.data_dir)[0]["received"] <= kept[0]["received"]:
            self.load(gateway, "--in-flight", "4", "--duration", "1")
        self.assertEqual(harness.dump(linked), kept)
        told = json.loads(tool("backup", self.data_dir, linked, "--link", "--json"))
        self.assertGreater(told["segments_removed"], 0)
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual(harness.verify(linked)[0], 0)

    def test_it_is_never_made_onto_something_else(self):
        self.start().stop()
        other = self.folder / "other"
        self.start(data_dir=other).stop()
        self.assertIn("another node", harness.run(harness.LOG, "backup", self.data_dir, other)[2])
        full = self.folder / "full"
        full.mkdir()
        (full / "letter").write_text("dear")
        self.assertEqual(harness.run(harness.LOG, "backup", self.data_dir, full)[0], 2)
        for inside in (self.data_dir, self.data_dir / "copy", self.data_dir / "log" / "copy"):
            self.assertEqual(harness.run(harness.LOG, "backup", self.data_dir, inside)[0], 2)
            self.assertEqual(harness.run(harness.LOG, "repair", self.data_dir, "-o", inside)[0], 2)
        self.assertFalse((self.data_dir / "copy").exists())


class Repair(LogTool):
    def make_log(self, least=2):
        """A log of at least so many segments."""
        gateway = self.start({"log.segment_size": "256KiB"})
        while len(list((self.data_dir / "log").glob("*.seg"))) < least + 1:
            self.load(gateway, "--in-flight", "4", "--duration", "0.5")
        self.assertEqual(gateway.stop(), 0)
        return sorted((self.data_dir / "log").glob("*.seg"))

    def places(self):
        """Of each record of the log: the file it is in, and its first byte and the one after."""
        segments = []
        for path in sorted((self.data_dir / "log").glob("*.seg")):
            segments.append((int(path.stem.split("-")[2], 16), path))
        found = []
        for record in harness.dump(self.data_dir):
            position = int(record["record_id"].split("/")[2])
            base, path = max(item for item in segments if item[0] <= position)
            found.append([record["record_id"], path, position - base + 8192])
        for one, after in zip(found, found[1:]):
            one.append(after[2] if after[1] == one[1] else 1 << 40)
        found[-1].append(1 << 40)
        return found

    def test_whatever_is_not_damaged_is_there_afterwards(self):
        segments = self.make_log()
        places = self.places()
        for seed in range(12):
            chance = random.Random(seed)
            damaged = self.folder / "damaged"
            shutil.copytree(self.data_dir, damaged, ignore=shutil.ignore_patterns("control.sock"))
            hurt = {}
            for _ in range(chance.choice((1, 3, 20))):
                path = chance.choice(segments)
                size = path.stat().st_size
                start = chance.randrange(8192, size)
                length = min(chance.choice((1, 4, 100, 5000)), size - start)
                with open(damaged / "log" / path.name, "r+b") as file:
                    file.seek(start)
                    file.write(chance.randbytes(length))
                hurt.setdefault(path, []).append((start, start + length))
            for index in (damaged / "log").glob("*.idx"):
                index.unlink()
            repaired = self.folder / "repaired"
            code, out, err = harness.run(harness.LOG, "repair", damaged, "-o", repaired)
            self.assertIn(code, (0, 1), out + err)
            self.assertEqual("LOST" in out, code == 1)
            self.assertEqual(harness.verify(repaired)[0], 0, out)
            kept = [record["record_id"] for record in harness.dump(repaired)]
            there = set(kept)
            wanted = [identity for identity, path, begin, end in places
                      if not any(begin < to and start < end for start, to in hurt.get(path, ()))]
            self.assertEqual([identity for identity in wanted if identity not in there], [])
            every = {identity for identity, *_ in places}
            self.assertTrue(there <= every)
            self.assertEqual(kept, [identity for identity, *_ in places if identity in there])
            shutil.rmtree(damaged)
            shutil.rmtree(repaired)

    def test_heads_and_whole_segments(self):
        segments = self.make_log(least=4)
        places = self.places()
        segments[1].write_bytes(bytes(4096) + segments[1].read_bytes()[4096:])  # the seal is left
        segments[2].unlink()
        for index in (self.data_dir / "log").glob("*.idx"):
            index.unlink()
        self.assertEqual(harness.verify(self.data_dir)[0], 1)
        repaired = self.folder / "repaired"
        out = tool("repair", self.data_dir, "-o", repaired, code=1)
        self.assertIn("made anew", out)
        self.assertIn("segments are missing", out)
        self.assertEqual(harness.verify(repaired)[0], 0)
        self.assertEqual([record["record_id"] for record in harness.dump(repaired)],
                         [identity for identity, path, *_ in places if path != segments[2]])
        gateway = self.start(data_dir=repaired)
        self.assertEqual(gateway.stop(), 0)

    def test_one_segment(self):
        segments = self.make_log()
        content = bytearray(segments[0].read_bytes())
        content[9000] ^= 0xff
        segments[0].write_bytes(content)
        fixed = self.folder / "fixed.seg"
        out = tool("repair", self.data_dir, "--segment", segments[0].name, "-o", fixed, code=1)
        self.assertIn("LOST  positions", out)
        self.assertEqual(segments[0].read_bytes(), bytes(content))
        os.replace(fixed, segments[0])
        for index in (self.data_dir / "log").glob("*.idx"):
            index.unlink()
        self.assertEqual(harness.verify(self.data_dir)[0], 0)


class Compressed(LogTool):
    def wait_for(self, pattern, least):
        patience = time.monotonic() + harness.LIMIT_S
        while len(found := [path for path in (self.data_dir / "log").glob(pattern)
                            if path.suffix != ".segz" or not path.with_suffix(".seg").exists()]
                  ) < least:
            self.assertLess(time.monotonic(), patience, f"{len(found)} of {pattern}")
            time.sleep(0.05)

    def test_everything_works_on_compressed_segments(self):
        gateway = self.start({"log.segment_size": "256KiB"})
        while len(list((self.data_dir / "log").glob("0*.seg"))) < 4:
            self.load(gateway, "--in-flight", "4", "--duration", "1", "--drive")
        self.wait_for("0*.idx", 2)
        plain = self.folder / "plain"
        tool("backup", self.data_dir, plain)
        self.assertGreaterEqual(json.loads(
            tool("verify", "--deep", "--json", plain))["deep"]["indexes"], 2)
        self.assertEqual(gateway.stop(), 0)
        gateway = self.start({"log.segment_size": "256KiB", "log.compress": "zstd",
                              "log.compress_after": "0s"})
        self.wait_for("0*.segz", 2)
        self.assertEqual(gateway.stop(), 0)
        records = harness.dump(self.data_dir)
        self.assertEqual(query(self.data_dir), records)
        device = records[0]["device"]
        self.assertEqual(query(self.data_dir, "--device", device),
                         [record for record in records if record["device"] == device])
        told = json.loads(tool("verify", "--deep", "--json", self.data_dir))
        self.assertEqual(told["problems"], [])
        self.assertGreaterEqual(told["deep"]["compressed_segments"], 2)
        # What was copied plain is there compressed now, once.
        tool("backup", self.data_dir, plain)
        # Where the end came between naming a compressed file and removing its plain one, both are
        # there, and the plain one counts.
        self.assertEqual({path.name for path in (plain / "log").iterdir()},
                         {path.name for path in (self.data_dir / "log").iterdir()
                          if not path.name.startswith("spare-") and path.name != "times"
                          and not (path.suffix == ".segz" and path.with_suffix(".seg").exists())})
        self.assertEqual(harness.dump(plain), records)

        hurt = sorted((plain / "log").glob("0*.segz"))[0]
        content = bytearray(hurt.read_bytes())
        content[len(content) // 3] ^= 0xff
        hurt.unlink()  # it may be a link
        hurt.write_bytes(content)
        self.assertEqual(harness.verify(plain)[0], 1)
        repaired = self.folder / "repaired"
        self.assertIn("LOST", tool("repair", plain, "-o", repaired, code=1))
        self.assertEqual(harness.verify(repaired)[0], 0)
        kept = [record["record_id"] for record in harness.dump(repaired)]
        every = [record["record_id"] for record in records]
        there = set(kept)
        self.assertEqual(kept, [identity for identity in every if identity in there])
        self.assertGreater(len(kept), len(every) // 2)


class Replay(LogTool):
    def test_another_gateway_gets_every_frame(self):
        gateway = self.start({"server.shards": "2"})
        self.load(gateway, "--in-flight", "4", "--duration", "0.5", devices=20)
        with Terminal(gateway.address(), PHONE, 2019) as terminal:
            terminal.sign_in()
            for _ in range(3):
                self.assertEqual(terminal.report(), jt808.OK)
            terminal.send(0x0001, struct.pack(">HHB", 1, 0x8104, 0))
            self.assertEqual(terminal.report(), jt808.OK)
        self.assertEqual(gateway.stop(), 0)
        sent = [r for r in harness.frames(harness.dump(self.data_dir))
                if r["message_id"] not in ("0x0100", "0x0102")]
        self.assertIn(f"{len(sent)} frames", tool("replay", self.data_dir, "--dry-run"))
        other = self.folder / "other"
        second = self.start(data_dir=other)
        host, port = second.address()
        told = json.loads(tool("replay", self.data_dir, "--target", f"{host}:{port}", "--speed",
                               "0", "--json"))
        self.assertEqual((told["frames"], told["sent"]), (len(sent), len(sent)))
        self.assertEqual((told["acknowledged"], told["no_answer_due"]), (len(sent) - 1, 1))
        # At 200 times the speed it takes its time, and everything comes once more.
        told = json.loads(tool("replay", self.data_dir, "--target", f"{host}:{port}", "--speed",
                               "200", "--device", PHONE, "--json"))
        self.assertEqual((told["sent"], told["devices"]), (5, 1))
        self.assertEqual(second.stop(), 0)
        received = [r for r in harness.frames(harness.dump(other))
                    if r["message_id"] not in ("0x0100", "0x0102")]
        for device in {r["device"] for r in sent}:
            once = [r["frame"] for r in sent if r["device"] == device]
            self.assertEqual([r["frame"] for r in received if r["device"] == device],
                             once * (2 if device == PHONE else 1))

    def test_what_is_not_acknowledged_is_told(self):
        gateway = self.start()
        with Terminal(gateway.address(), PHONE) as terminal:
            terminal.sign_in().report()
        self.assertEqual(gateway.stop(), 0)
        told = json.loads(tool("replay", self.data_dir, "--target", "127.0.0.1:1", "--speed", "0",
                               "--json", code=1))
        self.assertEqual((told["not_acknowledged"], told["devices_given_up"]), (1, 1))
        self.assertEqual(harness.run(harness.LOG, "replay", self.data_dir)[0], 2)
        self.assertEqual(harness.run(harness.LOG, "replay", self.data_dir, "--target", "x")[0], 2)

    def test_lines_of_jsonl(self):
        gateway = self.start({"jsonl.listen": "127.0.0.1:0"})
        with socket.create_connection(gateway.address("jsonl"), timeout=20) as link:
            link.sendall(b'{"id":"truck-1","n":1}\n{"id":"truck-2","n":2}\n')
            answers = b""
            while answers.count(b"\n") < 2:
                answers += link.recv(4096)
        harness.dump_until(self.data_dir, lambda found: len(found) == 2)
        host, port = gateway.address("jsonl")
        told = json.loads(tool("replay", self.data_dir, "--target", f"{host}:{port}", "--protocol",
                               "jsonl", "--speed", "0", "--json"))
        self.assertEqual((told["acknowledged"], told["devices"]), (2, 2))
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual(len(harness.frames(harness.dump(self.data_dir))), 4)


if __name__ == "__main__":
    unittest.main()
