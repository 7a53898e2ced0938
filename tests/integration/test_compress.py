"""Old segments are compressed while the gateway runs: what a dump shows stays the same, whether the
curator is killed, or a dump runs beside it."""

import random
import time
import unittest

import harness

ROUNDS = 20 if harness.LONG else 2 if harness.SANITIZED else 4
SEGMENTS = {"server.shards": "1", "log.segment_size": "256KiB"}
AT_ONCE = {**SEGMENTS, "log.compress": "zstd", "log.compress_after": "0s"}


class Compress(harness.GatewayTest):
    def load(self, gateway, seconds):
        host, port = gateway.address()
        code, _, err = harness.run(
            harness.LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "50", "--drive",
            "--in-flight", "4", "--duration", str(seconds), "--quiet", limit_s=120)
        self.assertEqual(code, 0, err)

    def files(self, ending):
        return [path for path in (self.data_dir / "log").iterdir() if path.suffix == ending]

    def plain_of(self, run):
        return [path for path in self.files(".seg") if int(path.name[:10]) < run]

    def run_number(self):
        return int((self.data_dir / "run").read_text())

    def wait_until(self, what, condition):
        deadline = time.monotonic() + harness.LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def test_dumps_stay_the_same_over_kills(self):
        gateway = self.start({**SEGMENTS, "log.compress": "off"})
        self.load(gateway, 1)
        self.assertEqual(gateway.stop(), 0)
        before = harness.dump(self.data_dir)
        self.assertGreater(len(harness.frames(before)), 2000)
        chance = random.Random(7)
        for _ in range(ROUNDS):
            gateway = self.start(AT_ONCE)
            time.sleep(chance.random() * 0.4)  # any moment will do
            gateway.kill()
            self.assertEqual(harness.dump(self.data_dir), before)
            code, said = harness.verify(self.data_dir)
            self.assertEqual(code, 0, said)
        gateway = self.start(AT_ONCE)
        run = self.run_number()
        self.wait_until("compressed", lambda: not self.plain_of(run))
        self.assertEqual(harness.dump(self.data_dir), before)
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual(harness.dump(self.data_dir), before)
        self.assertFalse(self.files(".idx"))
        sizes = sum(path.stat().st_size for path in self.files(".segz"))
        self.assertLess(3.5 * sizes, len(harness.frames(before)) * 120)
        code, said = harness.verify(self.data_dir)
        self.assertEqual(code, 0, said)

    def test_a_live_dump_beside_the_curator_misses_nothing(self):
        gateway = self.start({**SEGMENTS, "log.compress": "off"})
        self.load(gateway, 1)
        self.assertEqual(gateway.stop(), 0)
        before = harness.frames(harness.dump(self.data_dir))
        gateway = self.start(AT_ONCE)
        run = self.run_number()
        dumps = 0
        while dumps < 3 or self.plain_of(run):
            self.assertLess(dumps, 1000)
            self.assertEqual(harness.frames(harness.dump(self.data_dir)), before)
            dumps += 1
        self.assertEqual(gateway.stop(), 0)

    def test_indexes_come_by_themselves_and_tools_write_none(self):
        gateway = self.start({**SEGMENTS, "log.compress": "off"})
        self.load(gateway, 1)
        run = self.run_number()
        self.wait_until("indexes", lambda: len(self.files(".idx")) > 3)
        self.assertEqual(self.run_number(), run)
        self.assertEqual(gateway.stop(), 0)
        before = harness.dump(self.data_dir)
        for path in self.files(".idx"):
            path.unlink()
        names = sorted(path.name for path in (self.data_dir / "log").iterdir())
        self.assertEqual(harness.dump(self.data_dir), before)
        code, said = harness.verify(self.data_dir)
        self.assertEqual(code, 0, said)
        self.assertEqual(sorted(path.name for path in (self.data_dir / "log").iterdir()), names)


if __name__ == "__main__":
    unittest.main()
