"""ringgate-ctl and the control socket against a real gateway of two shards: what people see, what
happens to terminals, and what bad clients can't do to others."""

import json
import os
import signal
import socket
import stat
import struct
import subprocess
import threading
import unittest

import harness
import jt808

# Phone numbers on both shards: some of these live on each.
PHONES = [str(13800138000 + number) for number in range(8)]


class Raw:
    """A client of the socket itself."""

    def __init__(self, path, limit_s=20):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(limit_s)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def ask(self, request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        return self.answer()

    def answer(self):
        """All lines up to the one that says ok."""
        lines = []
        for line in self.file:
            lines.append(json.loads(line))
            if "ok" in lines[-1]:
                return lines
        raise AssertionError(f"closed after {lines}")

    def close(self):
        self.file.close()
        self.socket.close()


class Answering(threading.Thread):
    """A signed-in terminal that answers every command with `result`."""

    def __init__(self, terminal, result=0):
        super().__init__(daemon=True)
        self.terminal, self.result, self.commands = terminal, result, []

    def run(self):
        try:
            while message := self.terminal.receive():
                if message.id == jt808.PLATFORM_REPLY:
                    continue
                self.commands.append(message)
                self.terminal.send(0x0001, struct.pack(">HHB", message.serial, message.id,
                                                       self.result))
        except OSError:
            pass


class Control(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.start({"server.shards": "2"})
        self.socket = self.data_dir / "control.sock"

    def terminal(self, phone, version=2013):
        terminal = jt808.Terminal(self.gateway.address(), phone, version)
        self.addCleanup(terminal.close)
        return terminal

    def ctl(self, *arguments, expect=0, data=None):
        code, out, err = harness.run(harness.CTL, "--data", data or self.data_dir, *arguments)
        self.assertEqual(code, expect, f"{arguments}: {out}{err}")
        return out if expect == 0 else err

    def rows(self, *arguments):
        return [json.loads(line) for line in self.ctl(*arguments, "--json").splitlines()]

    def test_devices_and_filters(self):
        for number, phone in enumerate(PHONES):
            terminal = self.terminal(phone, 2019 if number % 2 else 2013).sign_in()
            terminal.report(speed_kmh=10.0 * number)
            if number == 7:
                terminal.close()
        while len(self.rows("devices", "--online")) == 8:
            pass  # the eighth has closed; its link ends when the gateway has seen it
        rows = {row["phone"]: row for row in self.rows("devices")}
        self.assertEqual(sorted(rows), PHONES)
        self.assertEqual(rows[PHONES[1]]["version"], "2019")
        self.assertEqual(rows[PHONES[0]]["transport"], "tcp")
        self.assertFalse(rows[PHONES[7]]["online"])

        def phones(expression):
            return sorted(row["phone"] for row in self.rows("devices", "--filter", expression))
        self.assertEqual(phones("speed>50"), PHONES[6:])
        self.assertEqual(phones("speed>50 and online"), PHONES[6:7])
        self.assertEqual(phones("version=2019 and phone~*3"), PHONES[3:4])
        self.assertEqual(phones("in(22,113,23,115)"), PHONES)
        self.assertEqual(phones("in(23,113,24,115)"), [])
        self.assertEqual(phones("last_heard>1h"), [])
        self.assertEqual(len(self.rows("devices", "--limit", "3")), 3)
        error = self.ctl("devices", "--filter", "speed>fast", expect=2)
        self.assertIn("column 7", error)
        table = self.ctl("devices", "--online")
        self.assertEqual(len(table.splitlines()), 8)  # titles and seven
        shown = self.ctl("device", PHONES[2])
        self.assertIn("20.0 km/h", shown)
        self.assertIn("22.5 degrees", shown)
        self.assertIn("never online", self.ctl("device", "13999999999", expect=1))
        self.ctl("device", "not-a-phone", expect=2)

    def test_kick_ban_unban(self):
        terminal = self.terminal(PHONES[0]).sign_in()
        self.ctl("kick", PHONES[0], "--why", "a test")
        self.assertIsNone(terminal.receive())
        self.ctl("kick", PHONES[0], expect=1)
        again = self.terminal(PHONES[0])
        again.code = terminal.code
        self.assertEqual(again.authenticate(), jt808.OK)
        self.ctl("ban", PHONES[0], "--for", "1h", "--why", "a test")
        self.assertIsNone(again.receive())
        bans = self.rows("bans")
        self.assertEqual([(ban["phone"], ban["why"]) for ban in bans], [(PHONES[0], "a test")])
        self.assertIsNotNone(bans[0]["until"])
        banned = self.terminal(PHONES[0])
        banned.code = terminal.code
        self.assertEqual(banned.authenticate(), jt808.FAILED)
        banned.send(jt808.REGISTER, jt808.register_body())
        self.assertEqual(banned.receive().body[2], 4)
        self.ctl("unban", PHONES[0])
        self.ctl("unban", PHONES[0], expect=1)
        self.assertEqual(banned.authenticate(), jt808.FAILED)  # the old code is worth nothing
        banned.sign_in()
        self.assertEqual(self.rows("bans"), [])
        self.ctl("ban", PHONES[0], "--for", "a while", expect=2)
        self.assertEqual(self.gateway.stop(), 0)
        audits = [record["audit"] for record in harness.dump(self.data_dir)
                  if record["kind"] == "audit"]
        self.assertEqual([audit["action"] for audit in audits], ["kick", "ban", "unban"])
        self.assertIn(f"uid {os.getuid()}", audits[0]["by"])
        self.assertFalse(self.socket.exists())

    def test_trace_shows_both_directions(self):
        terminal = self.terminal(PHONES[0])
        trace = subprocess.Popen([str(harness.CTL), "--data", str(self.data_dir), "trace",
                                  PHONES[0], "--json"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(trace.stdout.close)
        self.addCleanup(trace.kill)
        self.assertEqual(json.loads(trace.stdout.readline()), {"tracing": True})
        self.ctl("trace", PHONES[0], expect=1)  # one watcher a device
        terminal.sign_in()
        terminal.report()
        self.terminal(PHONES[1]).sign_in()  # is not shown
        frames = [json.loads(trace.stdout.readline())["frame"] for _ in range(6)]
        self.assertEqual([(frame["direction"], frame["message_id"]) for frame in frames],
                         [("up", "0x0100"), ("down", "0x8100"), ("up", "0x0102"),
                          ("down", "0x8001"), ("up", "0x0200"), ("down", "0x8001")])
        self.assertEqual({frame["device"] for frame in frames}, {PHONES[0]})
        self.assertNotIn(terminal.code.hex(), frames[1]["frame"])  # secrets are blanked out
        self.assertIn("latitude_deg", json.dumps(frames[4]["body"]))
        trace.send_signal(signal.SIGINT)
        self.assertEqual(trace.wait(20), 0)
        # The place is free again.
        raw = Raw(self.socket)
        raw.socket.sendall(json.dumps({"op": "trace", "device": PHONES[0]}).encode() + b"\n")
        self.assertEqual(json.loads(raw.file.readline()), {"tracing": True})
        terminal.report()
        self.assertEqual(json.loads(raw.file.readline())["frame"]["message_id"], "0x0200")
        raw.close()

    def test_bad_frames_and_stats(self):
        terminal = self.terminal(PHONES[0]).sign_in()
        good = bytearray(terminal.frame(jt808.HEARTBEAT))
        good[-2] ^= 1
        terminal.socket.sendall(good)
        self.assertEqual(terminal.exchange(jt808.LOCATION, b"short"), jt808.MALFORMED)
        rows = self.rows("badframes")
        self.assertEqual([row["reason"] for row in rows], ["body", "checksum"])
        self.assertEqual(rows[1]["bytes"], good[:-1].hex())
        self.assertEqual(rows[1]["offset"], len(good) - 2)  # the check byte
        self.assertEqual(rows[0]["phone"], PHONES[0])
        self.assertEqual(len(self.rows("badframes", "-n", "1")), 1)
        metrics = self.rows("stats")[0]
        self.assertEqual(metrics["ringgate_jt808_devices_online"]["value"], 1)
        self.assertEqual(metrics["ringgate_jt808_bad_frames_total"]["by_reason"]["checksum"], 1)
        self.assertGreater(metrics["ringgate_log_commit_seconds"]["count"], 0)
        self.assertIn("ringgate_jt808_frames_total", self.ctl("stats"))
        raw = Raw(self.socket)
        self.addCleanup(raw.close)
        text = raw.ask({"op": "stats", "format": "prometheus"})[0]["text"]
        self.assertIn("# TYPE ringgate_links gauge", text)

    def test_send_to_one_to_some_and_to_all(self):
        terminals = []
        for number, phone in enumerate(PHONES):
            terminals.append(Answering(self.terminal(phone).sign_in(), 1 if number == 5 else 0))
            terminals[-1].start()
        command = json.dumps({"message": "0x8300", "body_hex": "0168656c6c6f"})
        done = self.rows("send", PHONES[0], command)[0]
        self.assertEqual((done["device"], done["status"]), (PHONES[0], "answered"))
        self.assertEqual(done["answer"]["message_id"], "0x0001")
        self.assertEqual(terminals[0].commands[0].body, b"\x01hello")
        text = '{"message":"text-message","flags":["display"],"text":"hello"}'
        self.assertIn("answered", self.ctl("send", PHONES[0], text))
        self.assertEqual(terminals[0].commands[1][0::4], (0x8300, b"\x04hello"))
        sent = self.rows("send", PHONES[0], "query-location", "--wait", "0s")[0]
        self.assertEqual(sent["status"], "sent")
        refused = self.ctl("send", PHONES[5], command, expect=1)
        self.assertEqual(refused, "")
        some = self.rows("send", ",".join(PHONES[1:4]), command)[0]
        self.assertEqual(some["by_status"], {"answered": 3})
        code, out, _ = harness.run(harness.CTL, "--data", self.data_dir, "send", "--all", command,
                                   "--parallel", "3", "--json")
        self.assertEqual(code, 1)
        merged = json.loads(out)
        self.assertEqual(merged["by_status"], {"answered": 7, "refused": 1})
        self.assertEqual(merged["total"], 8)
        self.assertEqual(sorted(one["device"] for one in merged["outcomes"]), PHONES)
        code, out, err = harness.run(harness.CTL, "--data", self.data_dir, "send", "--all",
                                     "--filter", f"phone={PHONES[6]}", command)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("1 devices", out)
        self.ctl("send", "13999999999", command, expect=1)
        self.ctl("send", PHONES[0], "{", expect=2)
        self.ctl("send", PHONES[0], "", expect=2)
        self.ctl("send", ",,", command, expect=2)
        self.ctl("send", "--filter", "online", PHONES[0], command, expect=2)  # without --all
        self.assertIn("'devces'", self.ctl("devces", expect=2))
        # One line in our own log for each request, however many devices it went to.
        told = [line for line in self.gateway.lines if "msg=control" in line]
        self.assertEqual(len([line for line in told if "devices=8" in line]), 1, told)
        self.ctl("send", PHONES[0], '{"message":"no-such-message"}', expect=2)
        self.ctl("send", "--all", "--filter", "online and", command, expect=2)

    def test_output_that_nobody_takes(self):
        for phone in PHONES:
            self.terminal(phone).sign_in()
        stats = [str(harness.CTL), "--data", str(self.data_dir), "stats", "--zeros", "--json"]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(stats, stdout=full, stderr=subprocess.PIPE, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(stats, stdout=writer, stderr=subprocess.PIPE, timeout=20)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGPIPE, b""))

    def test_texts_of_others_do_not_reach_the_terminal_as_commands(self):
        self.ctl("ban", PHONES[0], "--why", "\x1b]0;owned\x07\x9b2J \u8f66")
        shown = self.ctl("bans")
        self.assertIn("\\x1b]0;owned\\x07\\x9b2J \u8f66", shown)

    def test_gateways_that_are_not_there(self):
        error = self.ctl("devices", data=self.folder / "elsewhere", expect=3)
        self.assertIn("--data DIR", error)
        self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o600)
        self.gateway.kill()
        self.assertTrue(self.socket.exists())
        self.assertIn("start ringgate again", self.ctl("devices", expect=3))
        again = self.start({"server.shards": "2", "control.socket_mode": "0660"})
        self.assertEqual(stat.S_IMODE(self.socket.stat().st_mode), 0o660)
        self.assertEqual(self.rows("devices"), [])
        self.assertEqual(again.stop(), 0)
        self.start({"control.enabled": "false"})
        self.assertFalse(self.socket.exists())

    def test_a_gateway_that_ends_while_clients_wait(self):
        terminal = self.terminal(PHONES[0]).sign_in()
        waiting = [subprocess.Popen([str(harness.CTL), "--data", str(self.data_dir), *what],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for what in (("trace", PHONES[0]),
                                ("send", PHONES[0], '{"message":"0x8104","body_hex":""}',
                                 "--wait", "60s"))]
        self.assertIn("tracing", waiting[0].stderr.readline())
        while terminal.receive().id != 0x8104:
            pass
        self.gateway.kill()
        for process in waiting:
            self.addCleanup(process.stdout.close)
            _, err = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 3, err)
            self.assertIn("ended before it answered", err)

    def test_a_gateway_that_stops_tells_clients_that_wait(self):
        self.terminal(PHONES[0]).sign_in()
        raw = Raw(self.socket)
        raw.socket.sendall(json.dumps({"op": "trace", "device": PHONES[0]}).encode() + b"\n")
        self.assertEqual(json.loads(raw.file.readline()), {"tracing": True})
        self.assertEqual(self.gateway.stop(), 0)
        self.assertEqual(raw.answer()[-1]["error"]["code"], "stopping")
        raw.close()

    def test_clients_that_are_slow_many_or_make_no_sense(self):
        terminal = self.terminal(PHONES[0]).sign_in()
        slow = Raw(self.socket)  # asks for much and never reads
        slow.socket.sendall(b'{"op":"stats"}\n' * 2000)
        trace = Raw(self.socket)
        trace.socket.sendall(json.dumps({"op": "trace", "device": PHONES[0]}).encode() + b"\n")
        for _ in range(20):
            self.assertEqual(terminal.report(), jt808.OK)
        crowd = [Raw(self.socket) for _ in range(50)]
        for client in crowd:
            client.socket.sendall(b'{"op":"devices"}\n{"op":"hello"}\n')
        for client in crowd:
            self.assertEqual(client.answer()[-1]["devices"], 1)
            self.assertEqual(client.answer()[-1]["shards"], 2)
            client.close()
        raw = Raw(self.socket)
        for nonsense, code in ((b"nonsense\n", "bad-request"), (b"[]\n", "bad-request"),
                               (b'{"op":7}\n', "bad-request"), (b'{"op":"x"}\n', "unknown-op"),
                               (b'{"op":"devices","limit":"many"}\n', "bad-request"),
                               (b'{"op":"devices","limit":-1}\n', "bad-request"),
                               (b'{"op":"devices","limit":-3e84}\n', "bad-request"),
                               (b'{"op":"badframes","limit":1.5}\n', "bad-request"),
                               (b'{"op":"send","device":"1","wait_ms":1e30,'
                                b'"command":{"message":"query-location"}}\n', "bad-request"),
                               (b'{"op":"send","device":"1","parallel":0,'
                                b'"command":{"message":"query-location"}}\n', "bad-request"),
                               (b'{"op":"device"}\n', "bad-request"),
                               (b'{"op":"hello","op2":' + b"[" * 4_000_000 + b"]" * 4_000_000 +
                                b"}\n", "bad-request"),
                               (b'{"op":"send","device":"1","command":' + b'{"a":' * 100_000 +
                                b"1" + b"}" * 100_001 + b"\n", "bad-request"),
                               (b'{"op":"hello","a":"\xff\xfe"}\n', "bad-request"),
                               (b'{"op":"send","devices":7,"command":{"message":"0x8104"}}\n',
                                "bad-request"),
                               (b'{"op":"devices","filter":"not spedd>80"}\n', "bad-filter"),
                               (b'\n{"op":"kick","device":"1"}\n', "offline")):
            raw.socket.sendall(nonsense)
            self.assertEqual(raw.answer()[-1]["error"]["code"], code, nonsense)
        deep = b"[" * 1_000_000 + b"]" * 1_000_000
        for nonsense, code in (
                (b'{"op":"send","device":"1","command":{"x":' + deep + b"}}\n", "bad-request"),
                (b'{"op":"send","devices":' + deep + b"}\n", "bad-request"),
                (b'{"op":"send","command":{"message":"query-location"},"devices":["1"'
                 + b',"1"' * 2**20 + b"]}\n", "too-many-devices")):
            raw.socket.sendall(nonsense)
            self.assertEqual(raw.answer()[-1]["error"]["code"], code, nonsense[:60])
        raw.socket.sendall(b'{"op":')
        raw.close()  # in the middle of a request
        self.assertEqual(len(self.rows("devices")), 1)
        patient = Raw(self.socket)
        banned = patient.ask({"op": "ban", "device": PHONES[7], "why": "long " * 100_000})
        self.assertTrue(banned[-1]["ok"])
        patient.close()
        slow.close()
        trace.close()
        self.assertEqual(terminal.report(), jt808.OK)


if __name__ == "__main__":
    unittest.main()
