"""ringgate-chaos through real sockets: each fault of TCP and UDP has the effect that its page
states, measured by counts and bytes; times by what they may not fall below. Upper bounds of times
are those of the unit tests, whose clock moves as they say."""

import errno
import shutil
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path

import harness
from chaos_rig import Chaos, Peer, TcpServer, UdpServer

OLDEST = ("single_issuer defer_taskrun no_sqarray multishot_accept multishot_recv recv_bundle "
          "msg_ring multishot_recvmsg")
PLAN = """
seed = 7
[proxies.it]
listen = "127.0.0.1:0"
target = "127.0.0.1:{port}"
transport = "{transport}"
{more}
"""


class ChaosTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ringgate-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, more="", transport="tcp"):
        """A proxy named "it" before a server."""
        self.server = TcpServer() if transport == "tcp" else UdpServer(echo=True)
        self.addCleanup(self.server.close)
        self.chaos = Chaos(self.folder, PLAN.format(port=self.server.port, transport=transport,
                                                    more=more))
        self.addCleanup(self.stop)
        return self.chaos

    def stop(self):
        self.assertEqual(self.chaos.stop(), 0)

    def connect(self):
        peer = Peer(socket.create_connection(self.chaos.address("it"), harness.LIMIT_S))
        self.addCleanup(peer.close)
        return peer

    def pair(self):
        """A client, and its other end at the server."""
        client = self.connect()
        server = self.server.accept()
        self.addCleanup(server.close)
        return client, server


class Tcp(ChaosTest):
    def test_without_rules_every_byte_passes_and_ends_are_told(self):
        self.start()
        client, server = self.pair()
        data = bytes(range(256)) * 8192
        for one, other in ((client, server), (server, client)):
            sender = threading.Thread(target=one.send, args=(data,))
            sender.start()
            self.assertEqual(other.receive(len(data)), data)
            sender.join()
        client.shut()
        self.assertEqual(server.to_the_end(), (b"", "fin"))
        server.send(b"after the client's end")  # half closed is not closed
        server.close()
        self.assertEqual(client.to_the_end(), (b"after the client's end", "fin"))
        status = self.chaos.wait_status("it", lambda status: status["connections"] == 0)
        self.assertEqual(status["up"]["bytes"], len(data))
        self.assertEqual(status["down"]["bytes"], len(data) + len(b"after the client's end"))

    def test_a_reset_is_passed_on(self):
        self.start()
        client, server = self.pair()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        self.assertEqual(server.to_the_end(), (b"", "reset"))

    def test_a_server_that_is_not_there(self):
        self.start()
        self.server.socket.close()
        try:
            end = self.connect().to_the_end()
        except ConnectionResetError:
            end = (b"", "reset")  # before this side looked whether it was connected
        self.assertEqual(end, (b"", "reset"))
        self.assertEqual(self.chaos.status("it")["target_failed"], 1)

    def test_latency_both_ways(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "far", kind="latency", latency="60ms")
        began = time.monotonic()
        client.send(b"there")
        server.receive(5)
        there = time.monotonic()
        server.send(b"back")
        client.receive(4)
        self.assertGreaterEqual(there - began, 0.06)
        self.assertGreaterEqual(time.monotonic() - there, 0.06)
        self.assertEqual(self.chaos.hits("it", "far"), 2)

    def test_jitter_keeps_the_order(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "far", kind="latency", latency="20ms", jitter="20ms", direction="up")
        lines = [b"%d\n" % i for i in range(200)]
        for line in lines:
            client.send(line)
        self.assertEqual(server.receive(len(b"".join(lines))), b"".join(lines))

    def test_direction_is_that_of_the_bytes(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "wall", kind="partition", direction="down")
        client.send(b"up")
        self.assertEqual(server.receive(2), b"up")
        server.send(b"down")
        self.assertTrue(client.is_silent())
        self.chaos.no_rules("it")
        self.assertEqual(client.receive(4), b"down")

    def test_bandwidth_is_no_more_than_its_rate(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "line", kind="bandwidth", rate="200kB/s", direction="up")
        data = bytes(100_000)
        began = time.monotonic()
        client.send(data)
        self.assertEqual(server.receive(len(data)), data)
        # Two steps of 10 ms may be ahead.
        self.assertGreaterEqual(time.monotonic() - began, 0.5 - 0.02)

    def test_a_slow_side_pauses_the_other(self):
        self.start('buffer = "64KiB"')
        client, server = self.pair()
        self.chaos.rule("it", "wall", kind="partition", direction="up")
        client.socket.setblocking(False)
        sent = 0
        piece = bytes(65536)
        still_since = time.monotonic()
        while time.monotonic() - still_since < 0.5:
            try:
                sent += client.socket.send(piece)
                still_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        waiting = self.chaos.status("it")["up"]["waiting_bytes"]
        self.assertGreaterEqual(waiting, 32 * 1024)
        self.assertLess(waiting, 64 * 1024 + 16 * 1024)
        self.chaos.no_rules("it")
        client.socket.setblocking(True)
        client.shut()
        data, end = server.to_the_end()
        self.assertEqual((len(data), end), (sent, "fin"))

    def test_without_rules_a_slow_side_pauses_the_other_too(self):
        self.start('buffer = "64KiB"')
        client, server = self.pair()
        client.socket.setblocking(False)
        sent, still_since = 0, time.monotonic()
        while time.monotonic() - still_since < 0.3:
            try:
                sent += client.socket.send(bytes(65536))
                still_since = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        self.assertLess(self.chaos.status("it")["up"]["waiting_bytes"], 80 * 1024)
        client.socket.setblocking(True)
        client.shut()
        data, end = server.to_the_end()
        self.assertEqual((len(data), end), (sent, "fin"))

    def test_loss_is_a_stall_and_loses_nothing(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "lossy", kind="loss", probability=0.2, stall="20ms", direction="up")
        began = time.monotonic()
        for i in range(60):
            client.send(bytes([i]))
            self.assertEqual(server.receive(1), bytes([i]))
        took = time.monotonic() - began
        rule = self.chaos.status("it")["rules"]["lossy"]
        self.assertTrue(4 <= rule["hits"] <= 26, rule)
        self.assertEqual(rule["seen"], 60 + self.lost_again(rule))
        self.assertGreaterEqual(took, 0.02 * rule["hits"])

    def lost_again(self, rule):
        """Draws beyond one for each chunk: those of retransmissions."""
        self.assertGreaterEqual(rule["seen"], 60 + rule["hits"] - 1)
        return rule["seen"] - 60

    def test_corrupt_changes_as_many_bytes_as_it_says(self):
        self.start()
        sent = bytes(100_000)
        positions = []
        for name in ("first", "second"):
            client, server = self.pair()
            # As if it were the first connection again: by a rule whose draws hold for every one.
            self.chaos.no_rules("it")
            self.chaos.rule("it", name, kind="corrupt", probability=0.002, direction="up", seed=3)
            client.send(sent)
            got = server.receive(len(sent))
            changed = [at for at, byte in enumerate(got) if byte]
            self.assertEqual(len(changed), self.chaos.hits("it", name))
            self.assertTrue(140 < len(changed) < 270, len(changed))
            self.assertTrue(all(bin(got[at]).count("1") == 1 for at in changed))
            positions.append(changed)
        self.assertNotEqual(positions[0], positions[1])  # another connection, other draws

    def test_the_same_run_again_changes_the_same_bytes(self):
        runs = []
        for _ in range(2):
            self.start("[proxies.it.rules.noise]\nkind = \"corrupt\"\nprobability = 0.001\n")
            client, server = self.pair()
            pieces = (10, 2)[len(runs)]  # however the bytes are cut
            for _ in range(pieces):
                client.send(bytes(50_000 // pieces))
            runs.append(server.receive(50_000))
            self.stop()
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], bytes(50_000))

    def test_slice_makes_segments_of_at_most_its_size(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "thin", kind="slice", size=100, pause="2ms", direction="up")
        data = bytes(range(250)) * 20
        began = time.monotonic()
        client.send(data)
        self.assertEqual(server.receive(len(data)), data)
        self.assertGreaterEqual(time.monotonic() - began, 49 * 0.002)
        self.assertGreaterEqual(server.segments_received(), 50)
        self.assertGreaterEqual(self.chaos.hits("it", "thin"), 49)

    def test_reset_after_bytes(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "cut", kind="reset", after_bytes=1000, direction="up")
        client.send(bytes(1500))
        self.assertEqual(server.to_the_end(), (bytes(1000), "reset"))
        self.assertEqual(client.to_the_end(), (b"", "reset"))
        self.assertEqual(self.chaos.hits("it", "cut"), 1)

    def test_reset_of_one_side_only(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "cut", kind="reset", to="client")
        self.assertEqual(client.to_the_end(), (b"", "reset"))
        self.assertEqual(server.to_the_end(), (b"", "fin"))

    def test_reset_after_a_time(self):
        self.start()
        began = time.monotonic()
        self.chaos.rule("it", "cut", kind="reset", after="200ms")
        client, server = self.pair()
        self.assertEqual(client.to_the_end(), (b"", "reset"))
        self.assertEqual(server.to_the_end(), (b"", "reset"))
        self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_half_open_tells_one_side_only(self):
        self.start()
        client, server = self.pair()
        client.send(b"hello")
        server.receive(5)
        self.chaos.rule("it", "gone", kind="half_open")
        self.assertEqual(client.to_the_end(), (b"", "reset"))
        self.assertTrue(server.is_silent())
        server.send(bytes(1_000_000))  # into nothing, without an error
        self.assertTrue(server.is_silent())
        self.assertEqual(self.chaos.status("it")["connections"], 1)
        server.close()
        self.chaos.wait_status("it", lambda status: status["connections"] == 0)

    def test_half_open_of_the_server(self):
        self.start("[proxies.it.rules.gone]\nkind = \"half_open\"\ngone = \"server\"\n"
                   "after_bytes = 10\n")
        client, server = self.pair()
        client.send(bytes(12))
        self.assertEqual(server.to_the_end(), (bytes(10), "reset"))
        client.send(b"anybody?")
        self.assertTrue(client.is_silent())

    def test_slow_close_delays_the_end_only(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "slow", kind="slow_close", delay="300ms")
        began = time.monotonic()
        client.send(b"last words")
        client.shut()
        self.assertEqual(server.receive(10), b"last words")
        self.assertTrue(server.is_silent(0.1) or time.monotonic() - began >= 0.3)
        self.assertEqual(server.to_the_end(), (b"", "fin"))
        self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_partition_holds_all_and_lets_all_pass_afterwards(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "wall", kind="partition")
        client.send(b"to nowhere")
        server.send(b"nor here")
        client.shut()
        self.chaos.wait_status("it", lambda status: status["up"]["waiting_bytes"] == 10)
        late = self.connect()
        late.send(b"is anybody there?")
        self.assertTrue(server.is_silent())
        self.assertTrue(client.is_silent(0))
        self.assertTrue(self.server.has_none(0))
        self.chaos.no_rules("it")
        self.assertEqual(server.receive(10), b"to nowhere")
        self.assertEqual(server.to_the_end(), (b"", "fin"))
        self.assertEqual(client.receive(8), b"nor here")
        behind = self.server.accept()
        self.addCleanup(behind.close)
        self.assertEqual(behind.receive(17), b"is anybody there?")

    def test_a_window_of_a_schedule(self):
        self.start()
        client, server = self.pair()
        began = time.monotonic()
        self.chaos.rule("it", "wall", kind="partition", each="300ms")
        self.chaos.rule("it", "later", kind="reset", begin="1h")
        client.send(b"x")
        self.assertEqual(server.receive(1), b"x")
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        status = self.chaos.status("it")
        self.assertFalse(status["rules"]["wall"]["active"])
        self.assertFalse(status["rules"]["later"]["active"])
        # Windows that come again: two of them must pass before three resets are counted.
        self.chaos.no_rules("it")
        self.close_all()
        began = time.monotonic()
        self.chaos.rule("it", "again", kind="reset", each="50ms", every="100ms")
        for _ in range(3):
            while self.end_of_connect() != "reset":
                pass
            self.chaos.wait_status("it", lambda status: not status["rules"]["again"]["active"])
        self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_blackhole_swallows(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "hole", kind="blackhole")
        client.send(bytes(2_000_000))  # more than all buffers: it is read
        late = self.connect()
        late.send(b"x")
        self.assertTrue(server.is_silent())
        self.assertTrue(self.server.has_none(0))
        rule = self.chaos.wait_status(
            "it", lambda status: status["rules"]["hole"]["bytes"] >= 2_000_001)["rules"]["hole"]
        self.assertEqual(rule["bytes"], 2_000_001)
        self.chaos.no_rules("it")
        client.send(b"a stream with a hole")
        self.assertTrue(server.is_silent())
        client, server = self.pair()
        client.send(b"passes")
        self.assertEqual(server.receive(6), b"passes")

    def test_blackhole_of_connects(self):
        self.start()
        stands = self.pair()
        self.chaos.rule("it", "silent", kind="blackhole", mode="connect")
        with socket.socket() as asking:
            asking.setblocking(False)
            with self.assertRaises(BlockingIOError):
                asking.connect(self.chaos.address("it"))
            self.assertTrue(self.server.has_none())
            self.assertNotEqual(asking.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1), b"\1")
            stands[0].send(b"stands")
            self.assertEqual(stands[1].receive(6), b"stands")
            self.chaos.no_rules("it")
            # The kernel asks again after a second.
            asking.settimeout(harness.LIMIT_S)
            behind = self.server.accept()
            self.addCleanup(behind.close)
            behind.send(b"hello")
            self.assertEqual(asking.recv(5), b"hello")
        self.assertEqual(self.chaos.status("it")["connections_total"], 2)

    def test_refuse(self):
        self.start()
        stands = self.pair()
        for _ in range(3):
            self.chaos.rule("it", "no", kind="refuse")
            with self.assertRaises(ConnectionRefusedError):
                self.connect()
            stands[0].send(b"stands")
            self.assertEqual(stands[1].receive(6), b"stands")
            self.chaos.no_rules("it")
            self.pair()

    def test_refuse_a_share_the_same_in_every_run(self):
        runs = []
        for _ in range(2):
            self.start("[proxies.it.rules.no]\nkind = \"refuse\"\nprobability = 0.3\n")
            self.close_all()
            runs.append([self.end_of_connect() for _ in range(60)])
            refused = self.chaos.status("it")["refused"]
            self.assertEqual(runs[-1].count("reset"), refused)
            self.assertTrue(7 <= refused <= 30, refused)
            self.stop()
        self.assertEqual(runs[0], runs[1])

    def end_of_connect(self):
        """How a connection ends that says nothing: "fin" or "reset"."""
        try:
            client = self.connect()
            client.shut()
            return client.to_the_end()[1]
        except OSError as error:
            if error.errno not in (errno.ECONNRESET, errno.ENOTCONN):
                raise
            return "reset"

    def test_limit_ends_both_sides_in_order(self):
        self.start()
        client, server = self.pair()
        self.chaos.rule("it", "quota", kind="limit", bytes=1000, direction="down")
        client.send(b"up does not count")
        server.receive(17)
        server.send(bytes(1500))
        self.assertEqual(client.to_the_end(), (bytes(1000), "fin"))
        client.close()
        self.assertEqual(server.to_the_end(), (b"", "fin"))
        server.close()
        self.chaos.wait_status("it", lambda status: status["connections"] == 0)

    def test_a_share_of_connections(self):
        self.start("[proxies.it.rules.cut]\nkind = \"reset\"\nprobability = 0.3\n")
        self.close_all()
        resets = sum(self.end_of_connect() == "reset" for _ in range(100))
        self.assertTrue(15 <= resets <= 45, resets)
        rule = self.chaos.status("it")["rules"]["cut"]
        self.assertEqual((rule["hits"], rule["seen"], rule["connections"]), (resets, 100, 100))

    def close_all(self):
        """From now on the server waits for each connection's end and closes it."""
        def run(server):
            try:
                while True:
                    peer = server.accept()
                    peer.to_the_end()
                    peer.close()
            except OSError as error:
                if error.errno not in (errno.EBADF, errno.EINVAL):
                    raise
        threading.Thread(target=run, args=(self.server,), daemon=True).start()

    def test_no_more_connections_than_the_plan_has(self):
        self.start("connections = 2")
        kept = [self.pair(), self.pair()]
        self.assertEqual(self.end_of_connect(), "reset")
        kept[0][0].close()
        kept[0][1].close()
        self.chaos.wait_status("it", lambda status: status["connections"] == 1)
        self.pair()
        self.assertEqual(self.chaos.status("it")["refused"], 1)


class OldKernel(ChaosTest):
    """As on kernels that lack what may lack; and over IPv6."""

    def test_both_transports(self):
        self.start()
        self.stop()
        datagrams = UdpServer(echo=True)
        self.addCleanup(datagrams.close)
        for host in ("127.0.0.1", "[::1]"):
            plan = "".join(f"""
[proxies.{name}]
listen = "{host}:0"
target = "127.0.0.1:{port}"
transport = "{name}"
[proxies.{name}.rules.far]
kind = "latency"
latency = "1ms"
""" for name, port in (("tcp", self.server.port), ("udp", datagrams.port)))
            with self.subTest(host=host):
                chaos = self.chaos = Chaos(self.folder, plan, ["--without", OLDEST])
                family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
                with socket.socket(family, socket.SOCK_DGRAM) as one:
                    one.settimeout(harness.LIMIT_S)
                    one.connect((host.strip("[]"), chaos.address("udp")[1]))
                    for number in range(50):
                        one.send(b"%d" % number)
                        self.assertEqual(one.recv(100), b"%d" % number)
                for _ in range(5):
                    with socket.socket(family) as one:
                        one.connect((host.strip("[]"), chaos.address("tcp")[1]))
                        server = self.server.accept()
                        one.sendall(bytes(100_000))
                        self.assertEqual(server.receive(100_000), bytes(100_000))
                        server.close()
                self.stop()


class Udp(ChaosTest):
    def start(self, more="", transport="udp"):
        super().start(more, transport)
        return self.client()

    def client(self):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.settimeout(harness.LIMIT_S)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        one.connect(self.chaos.address("it"))
        self.addCleanup(one.close)
        return one

    def send(self, client, first, count):
        """Not faster than the proxy takes them: a socket that is full drops."""
        for number in range(first, first + count):
            client.send(b"%d" % number)
            if number % 64 == 63:
                self.chaos.wait_status("it", lambda status, upto=number - first + 1:
                                       status["up"]["chunks"] >= upto)

    def test_without_rules(self):
        first, second = self.start(), self.client()
        for size in (0, 1, 1400, 60_000):
            first.send(bytes(size))
            self.assertEqual(first.recv(1 << 16), bytes(size))
        second.send(b"mine")
        self.assertEqual(second.recv(100), b"mine")
        for begin in (0, 100, 200):  # the client's buffer has room for some 270
            self.send(first, begin, 100)
            self.assertEqual([first.recv(100) for _ in range(100)],
                             [b"%d" % i for i in range(begin, begin + 100)])
        status = self.chaos.status("it")
        self.assertEqual((status["connections"], status["up"]["chunks"], status["up"]["dropped"]),
                         (2, 305, 0))

    def test_loss(self):
        client = self.start()
        self.chaos.rule("it", "lossy", kind="loss", probability=0.3, direction="up")
        self.send(client, 0, 500)
        status = self.chaos.wait_status("it", lambda status: status["up"]["chunks"] == 500)
        lost = status["rules"]["lossy"]["hits"]
        self.assertTrue(100 < lost < 200, lost)
        self.assertEqual(status["up"]["dropped"], lost)
        self.chaos.no_rules("it")
        client.send(b"last")
        got = self.server.wait(500 - lost + 1)
        self.assertEqual(got[-1], b"last")
        self.assertEqual(got[:-1], sorted(got[:-1], key=int))

    def test_the_same_are_lost_in_every_run(self):
        runs = []
        for _ in range(2):
            client = self.start("[proxies.it.rules.lossy]\nkind = \"loss\"\nprobability = 0.5\n"
                                "direction = \"up\"\n")
            self.send(client, 0, 100)
            status = self.chaos.wait_status("it", lambda status: status["up"]["chunks"] == 100)
            runs.append(self.server.wait(100 - status["rules"]["lossy"]["hits"]))
            self.stop()
        self.assertEqual(runs[0], runs[1])

    def test_duplicate(self):
        client = self.start()
        self.chaos.rule("it", "twice", kind="duplicate", probability=0.5, direction="up", copies=2)
        self.send(client, 0, 200)
        hits = self.chaos.wait_status("it", lambda status: status["up"]["chunks"] == 200)
        hits = hits["rules"]["twice"]["hits"]
        got = self.server.wait(200 + 2 * hits)
        self.assertTrue(60 < hits < 140, hits)
        self.assertEqual(sorted(set(got), key=int), [b"%d" % i for i in range(200)])
        self.assertEqual(sum(got.count(one) == 3 for one in set(got)), hits)

    def test_reorder(self):
        client = self.start()
        self.chaos.rule("it", "mixed", kind="reorder", probability=0.2, gap=2, hold="30s",
                        direction="up")
        self.send(client, 0, 200)
        hits = self.chaos.wait_status(
            "it", lambda status: status["up"]["chunks"] == 200)["rules"]["mixed"]["hits"]
        self.chaos.no_rules("it")  # what was held at the end
        got = [int(one) for one in self.server.wait(200)]
        self.assertEqual(sorted(got), list(range(200)))
        late = sum(any(other > one for other in got[:at]) for at, one in enumerate(got))
        self.assertTrue(15 < hits < 70, hits)
        self.assertTrue(hits - 2 <= late <= hits, (late, hits))

    def test_reorder_does_not_hold_longer_than_said(self):
        client = self.start()
        self.chaos.rule("it", "mixed", kind="reorder", hold="100ms", direction="up")
        began = time.monotonic()
        client.send(b"alone")
        self.assertEqual(self.server.wait(1), [b"alone"])
        self.assertGreaterEqual(time.monotonic() - began, 0.1)

    def test_corrupt(self):
        client = self.start()
        self.chaos.rule("it", "noise", kind="corrupt", per="chunk", bits=255, direction="up")
        client.send(bytes(100))
        got = self.server.wait(1)[0]
        self.assertEqual(sorted(got), [0] * 99 + [255])

    def test_latency(self):
        client = self.start()
        self.chaos.rule("it", "far", kind="latency", latency="60ms")
        began = time.monotonic()
        client.send(b"x")
        client.recv(10)
        self.assertGreaterEqual(time.monotonic() - began, 0.12)

    def test_bandwidth(self):
        client = self.start('buffer = "8KiB"')
        self.chaos.rule("it", "line", kind="bandwidth", rate="20kB/s", direction="up")
        began = time.monotonic()
        for _ in range(30):
            client.send(bytes(1000))
        status = self.chaos.wait_status("it", lambda status: status["up"]["chunks"] == 30)
        passed = 30 - status["up"]["dropped"]
        self.assertTrue(7 <= passed < 30, passed)
        self.server.wait(passed)
        self.assertGreaterEqual(time.monotonic() - began, (passed - 1) * 0.05 - 0.02)

    def test_partition_and_blackhole(self):
        client = self.start()
        for count, kind in enumerate(("partition", "blackhole"), 1):
            self.chaos.rule("it", "wall", kind=kind)
            client.send(b"gone")
            self.chaos.wait_status("it", lambda status, n=count: status["up"]["dropped"] == n)
            self.chaos.no_rules("it")
            client.send(b"passes")
            self.assertEqual(client.recv(100), b"passes")

    def test_a_silent_sender_is_forgotten(self):
        client = self.start('udp_idle = "1s"')
        client.send(b"x")
        client.recv(10)
        self.assertEqual(self.chaos.status("it")["connections"], 1)
        self.chaos.wait_status("it", lambda status: status["connections"] == 0)
        client.send(b"y")
        self.assertEqual(client.recv(10), b"y")


if __name__ == "__main__":
    unittest.main()
