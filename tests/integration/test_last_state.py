"""The last state of every device is there after a restart: however the process ended, on however
many shards it comes back, and whatever has become of its newest snapshot."""

import json
import struct
import unittest

import harness
import jt808
import servers

# What belongs to a link, or to the process.
OF_THE_LINK = {"online", "transport", "peer", "online_since", "link", "shard", "commands"}
ODOMETER = bytes([0x01, 4]) + struct.pack(">I", 123456)


def register_2011():
    """JT/T 808-2011 8.5: the model has 8 bytes."""
    return (struct.pack(">HH", 44, 300) + b"RGATE" + b"TEST".ljust(8, b"\0") + b"T000001"
            + b"\x01" + "粤B1".encode("gbk"))


class LastState(harness.GatewayTest):
    def ctl(self, *words, code=0):
        got, out, err = harness.run(harness.CTL, "--data", self.data_dir, *words)
        self.assertEqual(got, code, out + err)
        return out

    def stat(self, name):
        return json.loads(self.ctl("stats", "--json"))[name]["value"]

    def known(self):
        """What `devices` and `device` say of each, without what belongs to a link."""
        found = {}
        for line in self.ctl("devices", "--json").splitlines():
            row = json.loads(line)
            row |= json.loads(self.ctl("device", row["phone"], "--json"))
            found[row["phone"]] = {key: value for key, value in row.items()
                                   if key not in OF_THE_LINK}
        return found

    def online(self):
        rows = map(json.loads, self.ctl("devices", "--json").splitlines())
        return sorted(row["phone"] for row in rows if row["online"])

    def drive(self, gateway, numbers, round_number):
        """Terminals come, report and go, one of them without saying so."""
        for number in numbers:
            phone = f"1380013{number:04}"
            version = 2019 if number % 3 == 0 else 2013
            with jt808.Terminal(gateway.address(), phone, version=version) as terminal:
                if number % 3 == 1:
                    terminal.send(jt808.REGISTER, register_2011())
                    terminal.code = terminal.receive().body[3:]
                    self.assertEqual(terminal.authenticate(), jt808.OK)
                else:
                    terminal.sign_in()
                for step in range(1 + number % 4):
                    terminal.report(latitude=20 + number / 100, longitude=100 + round_number,
                                    when=f"2611202{round_number}30{step:02}", items=ODOMETER)
                # From before a gap in coverage: counts, and moves nobody back.
                terminal.report(latitude=1, when="200101000000")
        servers.wait_until(lambda: self.online() == [], "all have gone")

    def assert_same_after(self, before, gateway):
        self.assertEqual(self.online(), [])
        self.assertEqual(self.known(), before)
        self.assertIn("state loaded", gateway.output)

    def test_it_outlives_the_process(self):
        before = {}
        for number in range(5):
            gateway = self.start({
                # Snapshots come early in some lives and never in others.
                "state.snapshot_interval": "1s" if number % 2 else "1h",
                "server.shards": str(1 + number % 3)})
            if before:
                self.assert_same_after(before, gateway)
            self.drive(gateway, range(10 * number, 10 * number + 15), number)
            before = self.known()
            self.assertEqual(len(before), 10 * number + 15)
            if number % 2:
                servers.wait_until(lambda: self.stat("ringgate_state_snapshot_devices") ==
                                   len(before), "a snapshot has them")
            code = gateway.stop() if number == 3 else gateway.kill()
            self.assertIn(code, (0, -9))
        self.assertEqual(before["13800130001"]["version"], "2011")
        self.assertEqual(before["13800130003"]["version"], "2019")
        self.assertEqual(before["13800130005"]["version"], "2013")
        self.assertEqual(before["13800130003"]["frames"], 5)
        self.assertEqual(before["13800130003"]["odometer_km"], 12345.6)
        # Two rounds have reported this one.
        self.assertEqual(before["13800130012"]["frames"], 2 * 2)
        self.assertEqual(before["13800130012"]["longitude_deg"], 101)

    def wait_for_two_snapshots(self, terminal):
        """The second was begun after this call. Heartbeats see to it that there is news."""
        written = self.stat("ringgate_state_snapshots_total")
        servers.wait_until(
            lambda: terminal.exchange(jt808.HEARTBEAT) == jt808.OK and
            self.stat("ringgate_state_snapshots_total") >= written + 2, "two snapshots")

    def test_a_frame_that_comes_again_after_the_restart_is_known(self):
        # From the log, from a snapshot.
        for number, interval in enumerate(("1h", "1s")):
            gateway = self.start({"state.snapshot_interval": interval})
            with jt808.Terminal(gateway.address(), "13800138000") as terminal:
                terminal.sign_in()
                sent = terminal.frame(jt808.LOCATION, jt808.location_body(speed_kmh=number))
                terminal.socket.sendall(sent)
                self.assertEqual(terminal.reply().result, jt808.OK)
                if interval == "1s":
                    self.wait_for_two_snapshots(terminal)
                gateway.kill()
            gateway = self.start({"state.snapshot_interval": interval})
            with jt808.Terminal(gateway.address(), "13800138000") as again:
                again.authenticate(terminal.code)
                again.socket.sendall(sent)
                self.assertEqual(again.reply().result, jt808.OK)
            gateway.stop()
            marks = [record.get("duplicate", False)
                     for record in harness.frames(harness.dump(self.data_dir), "0x0200")]
            self.assertEqual(marks[-2:], [False, True])

    def test_a_damaged_snapshot_costs_nothing(self):
        gateway = self.start({"state.snapshot_interval": "1s"})
        for number in range(3):
            self.drive(gateway, range(5 * number, 5 * number + 8), number)
            known = len(self.known())
            servers.wait_until(
                lambda: self.stat("ringgate_state_snapshot_devices") == known, "a snapshot has it")
        before = self.known()
        gateway.kill()
        state = self.data_dir / "state"
        for damage in ("newest", "all", "none is there"):
            for snapshot in sorted(state.glob("snapshot-*"))[-1 if damage == "newest" else 0:]:
                if damage == "none is there":
                    snapshot.unlink()
                    continue
                whole = snapshot.read_bytes()
                at = len(whole) * 2 // 3
                snapshot.write_bytes(whole[:at] + bytes([whole[at] ^ 8]) + whole[at + 1:])
            gateway = self.start({"state.snapshot_interval": "1h", "server.shards": "2"})
            self.assert_same_after(before, gateway)
            gateway.kill()

    def test_a_snapshot_without_devices_leaves_them_to_the_log(self):
        gateway = self.start({"state.snapshot_interval": "1s"})
        self.ctl("registry", "add", "13800130001")
        self.drive(gateway, range(6), 1)
        servers.wait_until(lambda: self.stat("ringgate_state_snapshot_devices") == 6, "a snapshot")
        before = self.known()
        gateway.kill()
        # As an older version wrote it: state records and the cursor, no devices.
        newest = max((self.data_dir / "state").glob("snapshot-*"))
        whole = newest.read_bytes()
        for change in (without_devices, with_another_layout):
            newest.write_bytes(changed(whole, change))
            gateway = self.start({"state.snapshot_interval": "1h"})
            self.assert_same_after(before, gateway)
            self.assertIn("they were read from all of the log", gateway.output)
            gateway.kill()
            for snapshot in (self.data_dir / "state").glob("*"):
                if snapshot > newest or snapshot.name == "covered":
                    snapshot.unlink()

    def test_commands_to_those_who_are_not_there(self):
        gateway = self.start()
        self.drive(gateway, [1], 1)
        gateway.kill()
        self.start()
        code, out, err = harness.run(harness.CTL, "--data", self.data_dir, "send", "13800130001",
                                     "query-location")
        self.assertNotEqual(code, 0)
        self.assertIn("offline", out + err)



def crc32c(data):
    table = crc32c.table = getattr(crc32c, "table", None) or [byte_crc(i) for i in range(256)]
    value = 0xffffffff
    for byte in data:
        value = table[(value ^ byte) & 0xff] ^ value >> 8
    return value ^ 0xffffffff


def byte_crc(value):
    for _ in range(8):
        value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value


def changed(snapshot, change):
    """A snapshot with `change` done to each of its records (storage/state/FORMAT.md): given a
    record's message and bytes, it gives the bytes to keep."""
    out, at = snapshot[:24], 24
    while at < len(snapshot):
        size, count = struct.unpack_from("<II", snapshot, at)
        content, at = snapshot[at + 16:at + 16 + size], at + 16 + size
        if count != 0xffffffff:
            records = [change(message, record) for message, record in split(content, count)]
            content, count = b"".join(records), sum(map(bool, records))
        head = struct.pack("<II", len(content), count)
        out += head + struct.pack("<II", crc32c(head + content), 0) + content
    return out


def split(content, count):
    at = 0
    for _ in range(count):
        message, _, id_size, size = struct.unpack_from("<HBBI", content, at)
        yield message, content[at:at + 8 + id_size + size]
        at += 8 + id_size + size


def without_devices(message, record):
    return record if message < 0x8000 else b""


def with_another_layout(message, record):
    if message != 0x8001:
        return record
    at = 8 + record[3]
    return record[:at] + struct.pack("<H", 999) + record[at + 2:]


if __name__ == "__main__":
    unittest.main()
