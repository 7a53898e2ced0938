"""JT/T 808 over UDP on real sockets: what terminals are answered, and what the log then holds."""

import json
import re
import signal
import socket
import struct
import subprocess
import unittest

import harness
import jt808

# Nothing is to come: as long as an answer would take many times over.
SILENCE_S = 0.4


class Terminal(jt808.Terminal):
    """A terminal that sends datagrams, from a port of its own; sends again what has no answer."""

    def __init__(self, address, phone, version=2013, limit_s=20):
        self.phone, self.version, self.serial, self.code = phone, version, 0, None
        self.address, self.limit_s, self.got = address, limit_s, []
        self.socket = None
        self.rebind()

    def rebind(self):
        """Another port, as behind a NAT that has forgotten this terminal."""
        old = self.socket
        self.socket = socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET,
                                    socket.SOCK_DGRAM)
        self.socket.settimeout(self.limit_s)
        self.socket.connect(self.address)  # hears this address and port only
        if old:
            old.close()

    def datagram(self, *frames):
        self.socket.send(b"".join(frames))

    def receive(self):
        datagram = self.socket.recv(65536)
        self.got.append(datagram)
        if datagram[:1] != b"\x7e" or datagram[-1:] != b"\x7e" or datagram.count(b"\x7e") != 2:
            raise AssertionError(f"not one frame: {datagram.hex()}")
        return jt808.parse(datagram[1:-1])

    def hears_nothing(self):
        self.socket.settimeout(SILENCE_S)
        try:
            self.socket.recv(65536)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(self.limit_s)


class Udp(harness.GatewayTest):
    def test_the_way_of_a_report(self):
        for version in (2013, 2019):
            with self.subTest(version=version):
                data_dir = self.folder / str(version)
                gateway = self.start(data_dir=data_dir)
                with Terminal(gateway.address(), "13800138000", version) as terminal:
                    terminal.sign_in()
                    sent = [jt808.unescaped_frame(jt808.LOCATION, "13800138000",
                                                  terminal.serial + i,
                                                  jt808.location_body(latitude=20 + i), version)
                            for i in range(5)]
                    for i in range(5):
                        self.assertEqual(terminal.report(latitude=20 + i), jt808.OK)
                    self.assertEqual(terminal.exchange(jt808.HEARTBEAT), jt808.OK)
                self.assertEqual(gateway.stop(), 0)
                records = harness.dump(data_dir)
                self.assertEqual([record["frame"]
                                  for record in harness.frames(records, "0x0200")],
                                 [raw.hex() for raw in sent])
                sessions = [record for record in records if record["kind"] == "session"]
                self.assertEqual(len(sessions), 2)  # online, offline

    def test_several_frames_in_a_datagram_are_answered_in_order(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138001") as terminal:
            terminal.sign_in()
            first = terminal.serial
            frames = [terminal.frame(jt808.LOCATION, jt808.location_body()) for _ in range(20)]
            terminal.datagram(*frames)
            replies = [terminal.reply() for _ in range(20)]
        self.assertEqual(replies, [jt808.Reply(first + i, jt808.LOCATION, jt808.OK)
                                   for i in range(20)])
        self.assertEqual(len(harness.dump_until(self.data_dir, lambda found: len(found) == 20,
                                                "0x0200")), 20)

    def test_half_a_frame_is_not_kept(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138002") as terminal:
            terminal.sign_in()
            lost = terminal.frame(jt808.LOCATION, jt808.location_body())
            terminal.datagram(lost[:20])
            terminal.datagram(lost[20:])
            self.assertTrue(terminal.hears_nothing())
            self.assertEqual(terminal.report(), jt808.OK)

    def test_a_retransmission_is_answered_and_marked(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138003") as terminal:
            terminal.sign_in()
            frame = terminal.frame(jt808.LOCATION, jt808.location_body())
            for _ in range(2):
                terminal.datagram(frame)
                self.assertEqual(terminal.reply().result, jt808.OK)
        gateway.stop()
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual([record["duplicate"] for record in records], [False, True])

    def test_another_address_must_authenticate(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138004") as terminal:
            terminal.sign_in().report()
            terminal.rebind()
            self.assertEqual(terminal.report(), jt808.FAILED)
            self.assertEqual(terminal.authenticate(b"wrong" * 4), jt808.FAILED)
            self.assertEqual(terminal.authenticate(), jt808.OK)
            self.assertEqual(terminal.report(), jt808.OK)
        gateway.stop()
        records = harness.dump(self.data_dir)
        self.assertEqual(len(harness.frames(records, "0x0200")), 2)
        sessions = [record["text"] if "text" in record else str(record)
                    for record in records if record["kind"] == "session"]
        self.assertEqual(len(sessions), 4)
        self.assertEqual(sum("replaced" in text for text in sessions), 1)

    def test_a_late_copy_of_an_authentication_does_not_bring_the_old_address_back(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138013") as terminal, \
                Terminal(gateway.address(), "13800138013") as elsewhere:
            terminal.register()
            copy = jt808.frame(jt808.AUTHENTICATE, terminal.phone, terminal.serial,
                               jt808.authenticate_body(terminal.code))
            self.assertEqual(terminal.authenticate(), jt808.OK)
            elsewhere.datagram(copy)
            self.assertTrue(elsewhere.hears_nothing())
            self.assertEqual(terminal.report(), jt808.OK)
            elsewhere.serial = 100  # not a copy: it has moved
            self.assertEqual(elsewhere.authenticate(terminal.code), jt808.OK)
            self.assertEqual(elsewhere.report(), jt808.OK)
            self.assertEqual(terminal.report(), jt808.FAILED)

    def test_a_terminal_that_starts_anew_is_heard_at_once(self):
        gateway = self.start()
        for _ in range(3):  # another port, the same serials, the same code: the same frames
            with Terminal(gateway.address(), "13800138014") as terminal:
                terminal.register()
                self.assertEqual(terminal.authenticate(), jt808.OK)
                self.assertEqual(terminal.report(), jt808.OK)

    def test_from_tcp_to_udp_and_back(self):
        gateway = self.start()
        with jt808.Terminal(gateway.address(), "13800138005") as over_tcp, \
                Terminal(gateway.address(), "13800138005") as over_udp:
            over_udp.code = over_tcp.register()
            self.assertEqual(over_tcp.authenticate(), jt808.OK)
            self.assertEqual(over_udp.report(), jt808.FAILED)
            self.assertEqual(over_udp.authenticate(), jt808.OK)
            self.assertIsNone(over_tcp.receive())  # replaced
            self.assertEqual(over_udp.report(), jt808.OK)
            with jt808.Terminal(gateway.address(), "13800138005") as again:
                self.assertEqual(again.authenticate(over_udp.code), jt808.OK)
                self.assertEqual(over_udp.report(), jt808.FAILED)
                self.assertEqual(again.report(), jt808.OK)

    def test_two_shards_serve_devices_of_both(self):
        gateway = self.start({"server.shards": "2"})
        terminals = [Terminal(gateway.address(), str(13900000000 + i)) for i in range(40)]
        for terminal in terminals:
            terminal.sign_in()
        for terminal in terminals:
            self.assertEqual(terminal.report(), jt808.OK)
        for terminal in terminals:
            terminal.close()
        self.assertEqual(gateway.stop(), 0)
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual(sorted(record["device"] for record in records),
                         [str(13900000000 + i) for i in range(40)])
        streams = {record["record_id"].split("/")[1] for record in records}
        self.assertEqual(streams, {"1-0", "1-1"})

    def test_strangers_get_no_more_than_they_send(self):
        gateway = self.start()
        stranger = Terminal(gateway.address(), "13800138006")
        frame = stranger.frame(jt808.HEARTBEAT)
        stranger.datagram(frame)
        self.assertTrue(stranger.hears_nothing())  # the answer is longer than the question
        for _ in range(99):
            stranger.datagram(frame)
        while not stranger.hears_nothing():
            pass
        stranger.datagram(b"GET / HTTP/1.1\r\n\r\n")
        stranger.datagram(b"\x00" * 1400)
        stranger.datagram(b"")
        self.assertTrue(stranger.hears_nothing())
        with Terminal(gateway.address(), "13800138007") as terminal:
            self.assertEqual(terminal.sign_in().report(), jt808.OK)
        stranger.close()

    def test_a_flood_from_one_address_does_not_stop_others(self):
        gateway = self.start()
        with Terminal(gateway.address(), "13800138008") as terminal:
            terminal.sign_in()
            with Terminal(gateway.address(), "13800138009") as flood:
                frames = 40 * flood.frame(jt808.HEARTBEAT)
                for _ in range(2000):
                    flood.datagram(frames)
                sent = 2000 * len(frames)
                for _ in range(20):
                    self.assertEqual(terminal.report(), jt808.OK)
                got = 0
                flood.socket.settimeout(SILENCE_S)
                try:
                    while True:
                        got += len(flood.socket.recv(65536))
                except TimeoutError:
                    pass
                self.assertLess(got, sent / 2)

    def test_udp_can_be_off(self):
        gateway = self.start({"jt808.udp": "false"})
        with Terminal(gateway.address(), "13800138010") as terminal:
            terminal.send(jt808.REGISTER, jt808.register_body())
            with self.assertRaises(ConnectionRefusedError):
                terminal.receive()
        with jt808.Terminal(gateway.address(), "13800138010") as terminal:
            self.assertEqual(terminal.sign_in().report(), jt808.OK)

    def test_ipv6(self):
        try:
            gateway = self.start({"jt808.listen": "[::1]:0"})
        except AssertionError as error:
            if "Cannot assign" in str(error) or "not supported" in str(error):
                self.skipTest("no IPv6 here")
            raise
        port = int(re.search(r"jt808=\"?\[::1\]:(\d+)", gateway.ready_line)[1])
        with Terminal(("::1", port), "13800138011") as terminal:
            self.assertEqual(terminal.sign_in().report(), jt808.OK)

    def test_a_listener_of_all_addresses_answers_from_the_one_that_was_asked(self):
        for listen, without in (("0.0.0.0:0", ""), (":0", ""), ("0.0.0.0:0", "multishot_recvmsg")):
            with self.subTest(listen=listen, without=without):
                gateway = self.start({"jt808.listen": listen, "server.shards": "2",
                                      "engine.without": without},
                                     data_dir=self.folder / f"{listen}{without}")
                port = int(re.search(r"jt808=\S*:(\d+)", gateway.ready_line)[1])
                for number in range(9):
                    host = f"127.0.0.{1 + number % 3}"
                    with Terminal((host, port), str(13900002000 + number)) as terminal:
                        self.assertEqual(terminal.sign_in().report(), jt808.OK)

    def test_without_multishot(self):
        gateway = self.start({"engine.without": "multishot_recvmsg"})
        with Terminal(gateway.address(), "13800138012") as terminal:
            terminal.sign_in()
            for _ in range(10):
                self.assertEqual(terminal.report(), jt808.OK)

    def command(self, phone, message):
        """Sends a command; returns what waits for its outcome."""
        process = subprocess.Popen([str(harness.CTL), "--data", str(self.data_dir), "send", phone,
                                    json.dumps(message), "--wait", "20s", "--json"], text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)

        def outcome():
            said, _ = process.communicate(timeout=harness.LIMIT_S)
            return json.loads(said)
        return outcome

    def test_commands_reach_terminals_of_both_shards_and_follow_them(self):
        gateway = self.start({"server.shards": "2", "jt808.command_timeout": "20s"})
        for number in range(6):
            with Terminal(gateway.address(), str(13900003000 + number)) as terminal:
                terminal.sign_in()
                outcome = self.command(terminal.phone, {"message": "0x8f00", "body_hex": "0102"})
                first = terminal.receive()
                self.assertEqual((first.id, first.body), (0x8f00, b"\1\2"))
                if number % 2:
                    # Nobody answers here; the terminal speaks from another address, and is sent
                    # the same there. Copies on the way to the old one go by.
                    terminal.rebind()
                    self.assertEqual(terminal.authenticate(), jt808.OK)
                    self.assertEqual(terminal.receive(), first)
                terminal.send(0x0001, struct.pack(">HHB", first.serial, first.id, 0))
                done = outcome()
                self.assertEqual(done["status"], "answered", done)
                self.assertEqual(done["transmissions"], 1 + number % 2)
        # Who answers for another terminal's command answers nothing.
        with Terminal(gateway.address(), "13900003100") as asked, \
                Terminal(gateway.address(), "13900003101") as other:
            asked.sign_in()
            other.sign_in()
            outcome = self.command(asked.phone, {"message": "0x8f00", "body_hex": "03"})
            frame = asked.receive()
            answer = struct.pack(">HHB", frame.serial, frame.id, 1)
            for serial in (frame.serial, frame.serial + 1):
                other.send(0x0001, struct.pack(">HHB", serial, frame.id, 1))
                other.datagram(jt808.frame(0x0001, asked.phone, 7, answer))
            self.assertEqual(other.report(), jt808.OK)  # all of that was handled
            asked.send(0x0001, answer[:-1] + b"\0")
            self.assertEqual(outcome()["status"], "answered")

    def test_a_long_command_loses_a_part_and_is_traced(self):
        gateway = self.start({"server.shards": "2"})
        with Terminal(gateway.address(), "13900003200", 2019) as terminal:
            terminal.sign_in()
            trace = subprocess.Popen([str(harness.CTL), "--data", str(self.data_dir), "trace",
                                      terminal.phone, "--json"], stdout=subprocess.PIPE, text=True)
            self.addCleanup(trace.stdout.close)
            self.addCleanup(trace.kill)
            self.assertEqual(json.loads(trace.stdout.readline()), {"tracing": True})
            body = bytes(range(256)) * 12  # four parts
            outcome = self.command(terminal.phone, {"message": "0x8f01", "body_hex": body.hex()})

            def part():
                datagram = terminal.socket.recv(65536)
                raw = datagram[1:-1].replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
                serial, total, number = struct.unpack_from(">HHH", raw, 15)
                self.assertEqual((raw[:2], total), (b"\x8f\x01", 4))
                return serial, number, raw[21:-1]
            got = {number: (serial, piece) for serial, number, piece in (part() for _ in range(4))}
            first = got[1][0]
            lost = got.pop(3)
            terminal.send(0x0005, struct.pack(">HHH", first, 1, 3))
            again = part()
            self.assertEqual(again, (lost[0], 3, lost[1]))
            self.assertEqual(terminal.reply().result, jt808.OK)
            got[3] = lost
            self.assertEqual(b"".join(got[number][1] for number in (1, 2, 3, 4)), body)
            terminal.send(0x0001, struct.pack(">HHB", first + 3, 0x8f01, 0))
            self.assertEqual(outcome()["status"], "answered")
            frames = [json.loads(trace.stdout.readline())["frame"] for _ in range(8)]
            self.assertEqual([(frame["direction"], frame["message_id"]) for frame in frames],
                             [("down", "0x8f01")] * 4 + [("up", "0x0005"), ("down", "0x8f01"),
                                                         ("down", "0x8001"), ("up", "0x0001")])
            trace.send_signal(signal.SIGINT)
            self.assertEqual(trace.wait(harness.LIMIT_S), 0)

    def test_kill_keeps_what_was_acknowledged(self):
        gateway = self.start({"server.shards": "2"})
        phones = [str(13900001000 + i) for i in range(8)]
        terminals = [Terminal(gateway.address(), phone).sign_in() for phone in phones]
        acknowledged = set()
        for turn in range(40):
            sent = {}
            for terminal in terminals:
                sent[terminal] = terminal.send(jt808.LOCATION, jt808.location_body())
            for terminal in terminals[:len(terminals) if turn < 39 else 4]:
                reply = terminal.reply()
                self.assertEqual((reply.serial, reply.result), (sent[terminal], jt808.OK))
                acknowledged.add((terminal.phone, reply.serial))
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        code, output = harness.verify(self.data_dir)
        self.assertIn(code, (0, 1), output)
        again = self.start({"server.shards": "2"})
        self.assertEqual(again.stop(), 0)
        stored = {(record["device"], record["serial"])
                  for record in harness.frames(harness.dump(self.data_dir), "0x0200")}
        self.assertLessEqual(acknowledged, stored)
        for terminal in terminals:
            terminal.close()


if __name__ == "__main__":
    unittest.main()
