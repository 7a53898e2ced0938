"""tools/start and ringgate-load against a real gateway."""

import json
import os
import signal
import subprocess
import unittest

import harness
import jt808
from jt808 import Terminal


def processes_with(text):
    """Command lines of running processes that hold `text`."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if text in line:
                found.append(line)
    return found


class Load(harness.GatewayTest):
    def test_closed_load_is_all_acknowledged_and_logged(self):
        gateway = self.start()
        host, port = gateway.address()
        result = self.folder / "load.json"
        code, out, err = harness.run(harness.LOAD, "jt808", "--target", f"{host}:{port}",
                                     "--devices", "50", "--in-flight", "2", "--duration", "2",
                                     "--json", result)
        self.assertEqual(code, 0, out + err)
        told = json.loads(result.read_text())["total"]
        self.assertGreater(told["acknowledged"], 50)
        self.assertEqual(gateway.stop(), 0)
        logged = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertGreaterEqual(len(logged), told["acknowledged"])

    def test_nobody_there_is_an_error(self):
        code, out, err = harness.run(harness.LOAD, "jt808", "--target", "127.0.0.1:1",
                                     "--devices", "2", "--rate", "1", "--duration", "1")
        self.assertNotEqual(code, 0, out + err)


@unittest.skipIf(harness.BUILD.name != "release", "tools/start runs the release build")
class Start(harness.GatewayTest):
    def test_demo_starts_vehicles_and_ends_them(self):
        started = subprocess.Popen(
            [harness.ROOT / "tools" / "start", "--demo", "3", "--set", "server.shards=1",
             "--set", f"server.data_dir={self.data_dir}", "--set",
             "jt808.listen=127.0.0.1:0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, target = [], None
        for line in started.stdout:
            said.append(line)
            if "simulated vehicles report to" in line:
                target = line.split(" report to ")[1].split(";")[0]
                break
        self.assertIsNotNone(target, "".join(said))
        self.assertIn("ringgate-log dump", "".join(said))
        harness.dump_until(self.data_dir, lambda records: 3 == len(
            {record["device"] for record in records}), "0x0200")
        self.assertTrue(processes_with(f"--target {target}"))
        host, _, port = target.rpartition(":")
        with Terminal((host, int(port)), "13100000000") as terminal:
            self.assertEqual(terminal.sign_in().report(), jt808.OK)
        started.send_signal(signal.SIGTERM)
        rest = started.stdout.read()  # ends when the follower, too, has ended
        self.assertEqual(started.wait(harness.LIMIT_S), 0, rest)
        self.assertEqual(processes_with(f"--target {target}"), [])
        self.assertEqual(harness.verify(self.data_dir)[0], 0)


if __name__ == "__main__":
    unittest.main()
