"""A tail in another process, beside a gateway under load: killed and started again, with small
segments that retention takes and recycles."""

import random
import subprocess
import unittest

import harness
import test_kill

PROBE = harness.BUILD / "tests" / "integration" / "tail-probe"
ROUNDS = 20 if harness.LONG else 3
LOCATION = 0x0200


class Probe:
    """tail-probe and what it said."""

    def __init__(self, test, data_dir):
        self.file = open(test.folder / "tailed", "w+", encoding="utf-8")
        test.addCleanup(self.file.close)
        self.process = subprocess.Popen([PROBE, data_dir], stdin=subprocess.PIPE,
                                        stdout=self.file)
        test.addCleanup(self.process.kill)

    def end(self):
        """(records, problems, lost bytes): records as (stream, position, device, message,
        serial)."""
        self.process.stdin.close()
        code = self.process.wait(timeout=harness.LIMIT_S)
        assert code == 0, f"tail-probe: exit {code}"
        self.file.seek(0)
        records, problems, lost = [], [], None
        for line in self.file.read().splitlines():
            words = line.split()
            if words[0] == "problem":
                problems.append(line)
            elif words[0] == "lost":
                lost = int(words[1])
            else:
                stream, position, device, message, serial = words
                records.append((stream, int(position), device, int(message), int(serial)))
        return records, problems, lost


class Tail(harness.GatewayTest):
    load_until_killed = test_kill.Kill.load_until_killed
    take = test_kill.Kill.take

    def check_order(self, records):
        last = {}
        for stream, position, *_ in records:
            self.assertGreater(position, last.get(stream, -1), f"{stream} goes back or repeats")
            last[stream] = position

    def test_kills(self):
        chance = random.Random(random.randrange(1 << 32))
        acknowledged, serials, probe = set(), [1000] * test_kill.DEVICES, None
        for turn in range(ROUNDS):
            gateway = self.start({"server.shards": "1" if turn % 2 else "2",
                                  "log.segment_size": "256KiB"})
            probe = probe or Probe(self, self.data_dir)
            self.load_until_killed(gateway, chance.randrange(1000, 6000), serials, acknowledged)
        gateway = self.start()
        self.assertEqual(gateway.stop(), 0)
        records, problems, lost = probe.end()
        self.assertEqual(problems, [])
        self.assertEqual(lost, 0)
        self.check_order(records)
        seen = {(device, serial) for _, _, device, message, serial in records
                if message == LOCATION}
        self.assertFalse(acknowledged - seen)
        self.assertGreater(len(acknowledged), 1000 * ROUNDS)

    def test_retention(self):
        gateway = self.start({"log.segment_size": "256KiB", "log.retention_bytes": "2MiB",
                              "server.shards": "2"})
        probe = Probe(self, self.data_dir)
        host, port = gateway.address()
        code, _, err = harness.run(
            harness.LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "20", "--in-flight",
            "16", "--duration", "3", "--quiet", limit_s=120)
        self.assertEqual(code, 0, err)
        self.assertEqual(gateway.stop(), 0)
        records, problems, lost = probe.end()
        self.check_order(records)
        taken = [problem for problem in problems if "taken away" in problem]
        self.assertEqual(problems, taken)
        self.assertEqual(bool(taken), lost > 0)
        # All that retention has left was handed out.
        seen = {(device, serial) for _, _, device, message, serial in records
                if message == LOCATION}
        left = {(record["device"], record["serial"])
                for record in harness.frames(harness.dump(self.data_dir), "0x0200")}
        self.assertGreater(len(left), 1000)
        self.assertFalse(left - seen)
        # Every gap is the unused end of a segment (shorter than the longest record and a mark), or
        # was counted.
        for stream in {stream for stream, *_ in records}:
            places = [position for of, position, *_ in records if of == stream]
            gaps = [b - a for a, b in zip(places, places[1:]) if b - a > 4096]
            self.assertLessEqual(sum(gaps) - 4096 * len(gaps), lost)


if __name__ == "__main__":
    unittest.main()
