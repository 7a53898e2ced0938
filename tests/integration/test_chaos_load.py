"""A gateway behind ringgate-chaos: whatever the proxy does to the connections, no report that was
acknowledged to a terminal is missing from the log; and 2,000 connections at once."""

import collections
import json
import subprocess
import unittest

import harness
from chaos_rig import Chaos

DEVICES = 10
SECONDS = 1.5
FAULTS = {
    "none": "",
    "latency": 'latency = "5ms"\njitter = "5ms"',
    "bandwidth": 'rate = "4kB/s"',
    "loss": 'probability = 0.1\nstall = "20ms"',
    "corrupt": 'per = "chunk"\nprobability = 0.1',
    "slice": 'size = 7',
    "reset": 'after_bytes = 1500',
    "half_open": 'after = "50ms"\nfor = "200ms"\nevery = "600ms"\nprobability = 0.5',
    "slow_close": 'delay = "200ms"',
    "partition": 'for = "150ms"\nevery = "400ms"',
    # The gateway gives such links up, and that comes through.
    "blackhole": 'direction = "up"\nfor = "100ms"\nevery = "400ms"\nprobability = 0.2',
    "refuse": 'probability = 0.4',
    "limit": 'bytes = "2KiB"',
}
# These end connections: acknowledgements are fewer, and the load tool sees errors.
CUTTING = {"corrupt", "reset", "half_open", "blackhole", "refuse", "limit"}


def proxy(name, target, rule):
    text = f'[proxies.{name}]\nlisten = "127.0.0.1:0"\ntarget = "{target}"\n'
    if rule:
        text += f'[proxies.{name}.rules.fault]\nkind = "{name}"\n{rule}\n'
    return text


class Load(harness.GatewayTest):
    def start_chaos(self, plan):
        chaos = Chaos(self.folder, plan)
        self.addCleanup(lambda: self.assertEqual(chaos.stop(), 0))
        return chaos

    def load(self, chaos, name, *arguments):
        host, port = chaos.address(name)
        process = subprocess.Popen(
            [str(harness.LOAD), "jt808", "--target", f"{host}:{port}", "--quiet", "--json", "-",
             *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_no_acknowledged_report_is_lost_under_any_fault(self):
        gateway = self.start({"jt808.idle_timeout": "3s"})
        target = "%s:%d" % gateway.address()
        chaos = self.start_chaos("seed = 3\n" + "".join(proxy(name, target, rule)
                                                       for name, rule in FAULTS.items()))
        runs = {}
        for number, name in enumerate(FAULTS, 1):
            runs[name] = self.load(chaos, name, "--devices", DEVICES, "--rate", 30, "--duration",
                                   SECONDS, "--reconnect", "--phone-base",
                                   13_000_000_000 + 1000 * number, "--acked-log",
                                   self.folder / f"{name}.acked")
        answered = {}
        for name, process in runs.items():
            out, err = process.communicate(timeout=harness.LIMIT_S)
            answered[name] = json.loads(out)["total"]["acknowledged"]
            if name not in CUTTING:
                self.assertIn(process.returncode, (0, 1), err)
            self.assertGreater(answered[name], 0, f"{name}: {err}")
        state = json.loads(chaos.ask("GET", "/status")[2])["proxies"]
        for name in FAULTS:
            if name not in ("none", "slow_close"):
                self.assertGreater(state[name]["rules"]["fault"]["connections"], 0, name)
        for name in ("latency", "bandwidth", "loss", "corrupt", "slice", "reset", "half_open",
                     "blackhole", "limit", "refuse"):
            self.assertGreater(state[name]["rules"]["fault"]["hits"], 0, name)
        self.assertEqual(chaos.stop(), 0)
        self.assertEqual(gateway.stop(), 0)
        logged = collections.Counter(
            (record["device"], record["serial"])
            for record in harness.frames(harness.dump(self.data_dir), "0x0200"))
        for name in FAULTS:
            acked = collections.Counter()
            for line in (self.folder / f"{name}.acked").read_text().splitlines():
                phone, serial = line.split(",")
                acked[phone, int(serial)] += 1
            self.assertGreater(sum(acked.values()), 0, name)
            # A terminal begins its serials anew with each connection.
            lost = {key: count for key, count in acked.items() if logged[key] < count}
            self.assertEqual(lost, {}, name)

    def test_2000_connections_at_once(self):
        gateway = self.start()
        target = "%s:%d" % gateway.address()
        chaos = self.start_chaos(proxy("none", target, "") +
                                 proxy("latency", target, FAULTS["latency"]))
        for name, devices, base in (("none", 2000, 13_100_000_000), ("latency", 500,
                                                                     13_200_000_000)):
            load = self.load(chaos, name, "--devices", devices, "--rate", 2, "--duration", 0.7,
                             "--phone-base", base)
            chaos.wait_status(name, lambda status, all_of_them=devices:
                              status["connections"] == all_of_them)
            out, err = load.communicate(timeout=harness.LIMIT_S)
            self.assertEqual(load.returncode, 0, err + out)
            state = chaos.wait_status(name, lambda status: status["connections"] == 0)
            self.assertEqual(state["connections_total"], devices)
            self.assertEqual(state["up"]["waiting_bytes"] + state["down"]["waiting_bytes"], 0)


if __name__ == "__main__":
    unittest.main()
