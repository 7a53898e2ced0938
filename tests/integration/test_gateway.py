"""One gateway, real sockets: what terminals are answered, and what the log then holds."""

import signal
import struct
import threading
import unittest

import harness
import jt808
from jt808 import Terminal


class HappyPath(harness.GatewayTest):
    def way_of_a_report(self, version):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138000", version) as terminal:
            terminal.sign_in()
            sent = [jt808.unescaped_frame(jt808.LOCATION, "13800138000", terminal.serial + i,
                                          jt808.location_body(latitude=20 + i), version)
                    for i in range(5)]
            for i in range(5):
                self.assertEqual(terminal.report(latitude=20 + i), jt808.OK)
            # The live log shows all of it once the idle stream has written its commit mark.
            live = harness.dump_until(self.data_dir, lambda records: len(records) == 5, "0x0200")
            self.assertEqual([record["frame"] for record in live], [raw.hex() for raw in sent])
            self.assertEqual(terminal.exchange(jt808.HEARTBEAT), jt808.OK)
        self.assertEqual(gateway.stop(), 0)
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual([record["frame"] for record in records], [raw.hex() for raw in sent])
        for record in records:
            self.assertEqual(record["device"], "13800138000")
            self.assertEqual(record["protocol"], "jt808")
            self.assertFalse(record["duplicate"])
        serials = [record["serial"] for record in records]
        self.assertEqual(serials, list(range(serials[0], serials[0] + 5)))
        self.assertEqual(len({record["record_id"] for record in records}), 5)
        self.assertEqual(harness.verify(self.data_dir)[0], 0)

    def test_2013(self):
        self.way_of_a_report(2013)

    def test_2019(self):
        self.way_of_a_report(2019)

    def test_decoded_dump(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138001") as terminal:
            terminal.sign_in().report(latitude=22.5, longitude=114.25, speed_kmh=36.5)
        gateway.stop()
        record, = harness.frames(harness.dump(self.data_dir, "--decode"), "0x0200")
        text = str(record["body"])
        for value in ("22.5", "114.25", "36.5"):
            self.assertIn(value, text)

    def test_time_query_needs_no_authentication(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138002", 2019) as terminal:
            terminal.send(jt808.TIME_QUERY)
            reply = terminal.receive()
            self.assertEqual((reply.id, len(reply.body)), (jt808.TIME_REPLY, 6))
            self.assertRegex(reply.body.hex(), r"^\d\d(0[1-9]|1[0-2])[0-3]\d[0-2]\d[0-5]\d[0-6]\d$")

    def test_pipelined_reports_are_answered_in_order(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138003") as terminal:
            terminal.sign_in()
            first = terminal.serial
            terminal.socket.sendall(b"".join(
                terminal.frame(jt808.LOCATION, jt808.location_body()) for _ in range(2000)))
            replies = [terminal.reply() for _ in range(2000)]
        self.assertEqual(replies, [jt808.Reply(first + i, jt808.LOCATION, jt808.OK)
                                   for i in range(2000)])
        self.assertEqual(len(harness.frames(harness.dump(self.data_dir), "0x0200")), 2000)

    def test_batch_of_positions(self):
        item = jt808.location_body()
        batch = struct.pack(">HB", 3, 1) + 3 * (struct.pack(">H", len(item)) + item)
        gateway = self.start()
        with Terminal(gateway.address(), "13800138004") as terminal:
            self.assertEqual(terminal.sign_in().exchange(jt808.LOCATION_BATCH, batch), jt808.OK)
        self.assertEqual(len(harness.frames(harness.dump(self.data_dir), "0x0704")), 1)

    def test_two_shards_serve_many_devices(self):
        gateway = self.start({"server.shards": "2"})
        for i in range(40):
            with Terminal(gateway.address(), str(13900000000 + i)) as terminal:
                self.assertEqual(terminal.sign_in().report(), jt808.OK)
        self.assertEqual(gateway.stop(), 0)
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual(sorted(record["device"] for record in records),
                         [str(13900000000 + i) for i in range(40)])


class Admission(harness.GatewayTest):
    def test_nothing_but_registration_before_authentication(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13700000000") as terminal:
            for message_id in (jt808.LOCATION, jt808.HEARTBEAT, 0x0704, 0x0900):
                self.assertEqual(terminal.exchange(message_id, jt808.location_body()),
                                 jt808.FAILED)
        gateway.stop()
        self.assertEqual(harness.frames(harness.dump(self.data_dir), "0x0200"), [])

    def test_wrong_codes_are_refused(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13700000001") as terminal:
            code = terminal.register()
            self.assertEqual(terminal.authenticate(b""), jt808.MALFORMED)
            for wrong in (b"x", code[:-1], code + b"0", bytes([code[0] ^ 1]) + code[1:]):
                self.assertEqual(terminal.authenticate(wrong), jt808.FAILED, wrong)
        with Terminal(gateway.address(), "13700000002") as other:
            self.assertEqual(other.authenticate(code), jt808.FAILED)

    def test_a_code_outlives_the_gateway(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13700000003") as terminal:
            code = terminal.register()
        gateway.kill()
        gateway = self.start()
        with Terminal(gateway.address(), "13700000003") as terminal:
            self.assertEqual(terminal.authenticate(code), jt808.OK)
            self.assertEqual(terminal.report(), jt808.OK)

    def test_codes_are_not_in_the_dump(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13700000004") as terminal:
            terminal.sign_in()
            code = terminal.code
        gateway.stop()
        code_, out, _ = harness.run(harness.LOG, "dump", "--decode", self.data_dir)
        self.assertEqual(code_, 0)
        self.assertNotIn(code.hex(), out)
        self.assertNotIn(code.decode(), out)

    def test_the_secret_is_for_the_owner_alone(self):
        self.start().stop()
        self.assertEqual((self.data_dir / "jt808.key").stat().st_mode & 0o777, 0o600)

    def test_the_same_phone_again_replaces_the_old_link_once_authenticated(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13700000005") as old, \
                Terminal(gateway.address(), "13700000005") as new:
            old.sign_in()
            self.assertEqual(old.report(), jt808.OK)
            self.assertEqual(new.authenticate(b"wrong"), jt808.FAILED)
            self.assertEqual(old.report(), jt808.OK)
            self.assertEqual(new.authenticate(old.code), jt808.OK)
            self.assertIsNone(old.receive())
            self.assertEqual(new.report(), jt808.OK)
        self.assertEqual(len(harness.frames(harness.dump(self.data_dir), "0x0200")), 3)


class Answers(harness.GatewayTest):
    def test_unknown_and_malformed_messages_are_logged_and_answered(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13600000000") as terminal:
            terminal.sign_in()
            self.assertEqual(terminal.exchange(0x0f01, b"abc"), jt808.UNSUPPORTED)
            self.assertEqual(terminal.exchange(jt808.LOCATION, b"short"), jt808.MALFORMED)
            self.assertEqual(terminal.report(), jt808.OK)
        gateway.stop()
        records = harness.dump(self.data_dir)
        self.assertEqual(len(harness.frames(records, "0x0f01")), 1)
        self.assertEqual(len(harness.frames(records, "0x0200")), 2)

    def test_a_retransmission_is_acknowledged_again_and_flagged(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13600000001") as terminal:
            terminal.sign_in()
            self.assertEqual(terminal.report(), jt808.OK)
            terminal.serial -= 1
            self.assertEqual(terminal.report(), jt808.OK)
            terminal.serial -= 1
            self.assertEqual(terminal.report(latitude=1.0), jt808.OK)  # another body: no repetition
        gateway.stop()
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual([record["duplicate"] for record in records], [False, True, False])


class Ending(harness.GatewayTest):
    def test_sigterm_ends_with_0_and_loses_nothing(self):
        gateway = self.start({"server.drain_timeout": "5s"})
        terminal = Terminal(gateway.address(), "13500000000").sign_in()
        sent = [terminal.frame(jt808.LOCATION, jt808.location_body()) for _ in range(500)]
        terminal.socket.sendall(b"".join(sent))
        self.assertIsNotNone(terminal.reply())
        gateway.signal(signal.SIGTERM)
        acknowledged = 1
        while terminal.reply() is not None:
            acknowledged += 1
        terminal.close()
        self.assertEqual(gateway.wait(), 0)
        logged = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertGreaterEqual(len(logged), acknowledged)

    def test_sigint_ends_with_0_while_nobody_is_connected(self):
        gateway = self.start()
        gateway.signal(signal.SIGINT)
        self.assertEqual(gateway.wait(), 0)

    def test_a_second_gateway_on_the_same_data_is_refused(self):
        first = self.start()
        second = self.start(wait=False)
        self.assertNotEqual(second.wait(), 0)
        self.assertIn(str(self.data_dir), second.output)
        with Terminal(first.address(), "13500000001") as terminal:
            self.assertEqual(terminal.sign_in().report(), jt808.OK)

    def test_sigusr1_prints_the_counters(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13500000002") as terminal:
            terminal.sign_in().report()
        before = len(gateway.lines)
        gateway.signal(signal.SIGUSR1)
        gateway.stop()
        self.assertIn("jt808", "\n".join(gateway.lines[before:]))


class BadInput(harness.GatewayTest):
    """Whatever strangers send, a well-behaved device is served, and the gateway ends well."""

    def setUp(self):
        super().setUp()
        self.gateway = self.start()
        self.good = Terminal(self.gateway.address(), "13400000000").sign_in()
        self.addCleanup(self.good.close)
        self.reports = 0

    def still_served(self):
        self.assertEqual(self.good.report(), jt808.OK)
        self.reports += 1

    def end(self):
        self.still_served()
        self.good.close()
        self.assertEqual(self.gateway.stop(), 0)
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        mine = [record for record in records if record["device"] == "13400000000"]
        self.assertEqual(len(mine), self.reports)

    def stranger(self, data, phone="13400000001"):
        terminal = Terminal(self.gateway.address(), phone)
        self.addCleanup(terminal.close)
        try:
            terminal.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the gateway has had enough of it
        return terminal

    def test_garbage_tls_and_http(self):
        for data in (bytes(range(256)) * 64, b"\x00" * 5000, b"\x7e" * 5000, b"\x7e\x7d" * 3000,
                     bytes.fromhex("16030100c8010000c40303") + bytes(200),
                     b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x7e" + b"a" * 100_000):
            self.stranger(data)
            self.still_served()
        self.end()

    def test_bad_frames_between_good_ones_do_not_end_a_link(self):
        terminal = self.stranger(b"", "13400000002").sign_in()
        good = terminal.frame(jt808.HEARTBEAT)
        wrong_check = bytearray(good)
        wrong_check[-2] ^= 1
        broken_escape = good[:5] + b"\x7d\x05" + good[5:]
        wrong_length = bytearray(jt808.frame(jt808.HEARTBEAT, "13400000002", 9))
        wrong_length[4] ^= 4
        wrong_length[-2] ^= 4
        data = b"noise" + bytes(wrong_check) + b"\x7e\x7e" + broken_escape + bytes(wrong_length)
        terminal.socket.sendall(data + good)
        while True:
            reply = terminal.reply()
            self.assertIsNotNone(reply)
            if reply.result == jt808.OK:
                break
        self.assertEqual(terminal.report(), jt808.OK)
        self.end()

    def test_one_byte_at_a_time(self):
        terminal = self.stranger(b"", "13400000003").sign_in()
        data = terminal.frame(jt808.LOCATION, jt808.location_body(longitude=125.0))
        for at in range(len(data)):
            terminal.socket.sendall(data[at:at + 1])
            if at % 16 == 0:
                self.still_served()
        self.assertEqual(terminal.reply().result, jt808.OK)
        self.end()

    def test_port_scans_and_resets_in_mid_frame(self):
        for i in range(200):
            terminal = Terminal(self.gateway.address(), "13400000004")
            if i % 2:
                terminal.socket.sendall(terminal.frame(jt808.REGISTER, bytes(60))[:20 + i % 30])
            (terminal.reset if i % 3 else terminal.close)()
            if i % 50 == 0:
                self.still_served()
        self.end()

    def test_many_links_that_say_nothing(self):
        silent = [self.stranger(b"") for _ in range(400)]
        for _ in range(20):
            self.still_served()
        for terminal in silent[:200]:
            terminal.reset()
        self.end()

    def test_a_peer_that_never_reads_its_answers(self):
        terminal = self.stranger(b"", "13400000005").sign_in()
        terminal.socket.settimeout(0.2)
        flood = terminal.frame(jt808.HEARTBEAT) * 2000

        def send():
            try:
                for _ in range(200):
                    terminal.socket.sendall(flood)
            except OSError:
                pass  # back-pressure reached us, or the link was closed

        sender = threading.Thread(target=send)
        sender.start()
        for _ in range(20):
            self.still_served()
        sender.join()
        terminal.reset()
        self.end()

    def test_idle_links_are_closed(self):
        gateway = self.start({"jt808.idle_timeout": "1s"}, data_dir=self.folder / "other")
        with Terminal(gateway.address(), "13400000006") as terminal:
            self.assertIsNone(terminal.receive())


if __name__ == "__main__":
    unittest.main()
