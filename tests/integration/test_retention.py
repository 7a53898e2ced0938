"""Old segments go as a whole and their files are used again."""

import unittest

import harness


class Retention(harness.GatewayTest):
    def test_the_log_stays_below_its_bound_and_reads_back(self):
        segment = 1 << 20
        bound = 4 * segment
        gateway = self.start({"log.segment_size": "1MiB", "log.retention_bytes": "4MiB"})
        host, port = gateway.address()
        code, _, err = harness.run(
            harness.LOAD, "jt808", "--target", f"{host}:{port}", "--devices", "20", "--in-flight",
            "16", "--duration", "3", "--quiet", limit_s=120)
        self.assertEqual(code, 0, err)
        self.assertEqual(gateway.stop(), 0)
        log = self.data_dir / "log"
        names = sorted(path.name for path in log.iterdir())
        kept = [path for path in log.iterdir() if path.suffix == ".seg"]
        # The bound, the segment being written and the one that waits for it.
        self.assertLessEqual(sum(path.stat().st_size for path in kept), bound + 2 * segment, names)
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertGreater(len(records), 1000)
        # Far more was acknowledged than fits: the oldest are gone, what is left has no gap.
        by_device = {}
        for record in records:
            by_device.setdefault(record["device"], []).append(record["serial"])
        for serials in by_device.values():
            steps = {(b - a) % 65536 for a, b in zip(serials, serials[1:])}
            self.assertEqual(steps, {1})
        code, said = harness.verify(self.data_dir)
        self.assertEqual(code, 0, said)


if __name__ == "__main__":
    unittest.main()
