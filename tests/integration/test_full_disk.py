"""A disk that fills up under load, and has room again later (a small tmpfs; needs root)."""

import os
import unittest

import harness
import jt808
from jt808 import Terminal

SIZE_MIB = 24


class FullDisk(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.mount = self.folder / "disk"
        self.mount.mkdir()
        code, _, err = harness.run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m",
                                   "ringgate-test", self.mount)
        if code:
            self.skipTest(f"no tmpfs may be mounted here: {err.strip()}")
        self.addCleanup(harness.run, "umount", "-l", self.mount)
        self.addCleanup(self.end_gateways)
        self.data_dir = self.mount / "data"
        self.ballast = self.mount / "ballast"

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def report_until(self, terminal, wanted, limit=200_000):
        """Reports until the answer is `wanted`; how many were acknowledged on the way."""
        good = 0
        for _ in range(limit):
            result = terminal.report()
            good += result == jt808.OK
            if result == wanted:
                return good
        raise AssertionError(f"no answer with result {wanted} in {limit} reports")

    def test_refuses_while_full_and_recovers_by_itself(self):
        gateway = self.start({"log.on_failure": "refuse", "log.segment_size": "1MiB"})
        with Terminal(gateway.address(), "13200000000") as terminal:
            terminal.sign_in()
            good = self.report_until(terminal, jt808.OK)
            self.fill()
            good += self.report_until(terminal, jt808.FAILED)
            self.assertEqual(terminal.exchange(jt808.HEARTBEAT), jt808.OK)  # the link is kept
            os.truncate(self.ballast, 0)
            good += self.report_until(terminal, jt808.OK)
            good += self.report_until(terminal, jt808.OK)
        self.assertEqual(gateway.stop(), 0)
        # The operator hears of it, and why, and when it is over.
        self.assertRegex(gateway.output, 'level=error .*the log takes nothing.*No space left')
        self.assertIn("the log takes records again", gateway.output)
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertGreaterEqual(len(records), good)
        code, said = harness.verify(self.data_dir)
        self.assertEqual(code, 0, said)

    def test_a_disk_that_is_full_at_the_start_is_named(self):
        self.fill()
        gateway = self.start(wait=False)
        self.assertNotEqual(gateway.wait(), 0)
        self.assertIn(str(self.mount), gateway.output)


if __name__ == "__main__":
    unittest.main()
