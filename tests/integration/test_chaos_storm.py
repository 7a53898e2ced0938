"""ringgate-chaos while everything changes at once: rules come and go by HTTP, connections open, end
well and badly, proxies are made and removed. Afterwards nothing is left over, and bytes pass."""

import random
import socket
import threading
import time
import unittest

import harness
import test_chaos
from chaos_rig import Peer, UdpServer

SECONDS = 20 if harness.LONG else 2.5
KINDS = (
    {"kind": "latency", "latency": "5ms", "jitter": "5ms"},
    {"kind": "bandwidth", "rate": "500kB/s"},
    {"kind": "loss", "probability": 0.2, "stall": "3ms"},
    {"kind": "corrupt", "probability": 0.01},
    {"kind": "slice", "size": 3},
    {"kind": "slice", "size": 50, "pause": "1ms"},
    {"kind": "reset", "after_bytes": 500, "probability": 0.5},
    {"kind": "reset", "after": "5ms", "to": "client"},
    {"kind": "reset", "for": "1ms", "every": "30ms", "to": "server"},
    {"kind": "half_open", "after": "3ms", "probability": 0.5},
    {"kind": "half_open", "gone": "server", "after_bytes": 700},
    {"kind": "slow_close", "delay": "10ms"},
    {"kind": "partition", "for": "5ms", "every": "15ms"},
    {"kind": "partition", "direction": "down"},
    {"kind": "blackhole", "probability": 0.3},
    {"kind": "blackhole", "direction": "up"},
    {"kind": "blackhole", "mode": "connect"},
    {"kind": "refuse"},
    {"kind": "refuse", "probability": 0.5},
    {"kind": "limit", "bytes": 900},
)
DATAGRAM_KINDS = ({"kind": "duplicate"}, {"kind": "reorder", "probability": 0.3},
                  {"kind": "bandwidth", "rate": "50kB/s"})


class Storm(test_chaos.ChaosTest):
    def visitor(self, seed, until):
        """Connects, talks and leaves in one of several ways, again and again."""
        chance = random.Random(seed)
        while time.monotonic() < until:
            client = socket.socket()
            client.settimeout(0.02)
            try:
                client.connect(self.chaos.address("it"))
                for _ in range(chance.randrange(8)):
                    client.sendall(bytes(chance.randrange(1, 3000)))
                    if chance.random() < 0.7:
                        client.recv(4096)
                if chance.random() < 0.5:
                    client.shutdown(socket.SHUT_WR)
                    client.recv(1 << 16)
                elif chance.random() < 0.5:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            except OSError:
                pass
            client.close()

    def sender(self, seed, until):
        chance = random.Random(seed)
        while time.monotonic() < until:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.settimeout(0.005)
                one.connect(self.chaos.address("it"))
                for _ in range(20):
                    try:
                        one.send(bytes(chance.randrange(1400)))
                        one.recv(1 << 16)
                    except OSError:
                        pass

    def echo(self, server):
        def run(peer):
            try:
                while data := peer.socket.recv(1 << 16):
                    peer.send(data)
            except OSError:
                pass
            peer.close()
        try:
            while True:
                threading.Thread(target=run, args=(server.accept(),), daemon=True).start()
        except OSError:
            pass  # closed: the test is over

    def test_everything_at_once(self):
        seed = random.randrange(1 << 32)
        with self.subTest(seed=seed):
            self.storm(random.Random(seed))

    def storm(self, chance):
        self.start('buffer = "16KiB"\nudp_idle = "1s"', transport="tcp")
        server, datagrams = self.server, UdpServer(echo=True)
        self.addCleanup(datagrams.close)
        threading.Thread(target=self.echo, args=(server,), daemon=True).start()
        listen = "%s:%d" % self.chaos.address("it")
        plan = {"listen": listen, "target": f"127.0.0.1:{server.port}", "transport": "both",
                "buffer": "16KiB", "udp_idle": "1s"}
        self.assertEqual(self.chaos.ask("PUT", "/proxies/it", plan)[0], 200)
        until = time.monotonic() + SECONDS
        crowd = [threading.Thread(target=self.visitor, args=(chance.random(), until))
                 for _ in range(12)]
        crowd += [threading.Thread(target=self.sender, args=(chance.random(), until))
                  for _ in range(3)]
        for one in crowd:
            one.start()
        while time.monotonic() < until:
            self.change(chance, plan, datagrams)
        self.chaos.no_rules("it")
        for one in crowd:
            one.join()
        plan["target"] = f"127.0.0.1:{server.port}"
        self.assertEqual(self.chaos.ask("PUT", "/proxies/it", plan)[0], 200)
        with socket.create_connection(self.chaos.address("it"), harness.LIMIT_S) as client:
            client.sendall(b"and now?")
            self.assertEqual(Peer(client).receive(8), b"and now?")
        self.chaos.wait_status("it", lambda status: status["up"]["waiting_bytes"] +
                               status["down"]["waiting_bytes"] == 0)
        self.assertEqual(self.chaos.ask("DELETE", "/proxies/it")[0], 204)

    def change(self, chance, plan, datagrams):
        name = f"r{chance.randrange(4)}"
        dice = chance.random()
        if dice < 0.6:
            rule = chance.choice(KINDS + DATAGRAM_KINDS)
            self.assertIn(self.chaos.ask("PUT", f"/proxies/it/rules/{name}", rule)[0], (200, 201))
        elif dice < 0.85:
            self.assertIn(self.chaos.ask("DELETE", f"/proxies/it/rules/{name}")[0], (204, 404))
        elif dice < 0.9:
            self.chaos.no_rules("it")
        elif dice < 0.95:
            other = self.server if chance.random() < 0.5 else datagrams
            changed = plan | {"target": f"127.0.0.1:{other.port}"}
            self.assertEqual(self.chaos.ask("PUT", "/proxies/it", changed)[0], 200)
        else:  # away, and back at the same port
            self.assertEqual(self.chaos.ask("DELETE", "/proxies/it")[0], 204)
            status, _, text = self.chaos.ask("PUT", "/proxies/it", plan)
            self.assertEqual(status, 201, text)
        time.sleep(chance.random() * 0.02)


if __name__ == "__main__":
    unittest.main()
