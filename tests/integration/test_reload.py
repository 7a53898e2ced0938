"""SIGHUP reads the configuration again: all or nothing."""

import signal
import time
import unittest

import harness


class Reload(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.file = self.folder / "ringgate.toml"

    def reload(self, gateway, text, wanted):
        """Writes the file, sends the signal, waits for the log line that tells the outcome."""
        seen = len(gateway.lines)
        self.file.write_text(text)
        gateway.signal(signal.SIGHUP)
        patience = time.monotonic() + harness.LIMIT_S
        while not any(wanted in line for line in gateway.lines[seen:]):
            self.assertLess(time.monotonic(), patience, f"no {wanted!r} in\n{gateway.output}")
            time.sleep(0.01)
        return "\n".join(gateway.lines[seen:])

    def test_live_keys_change_and_others_refuse_the_whole(self):
        self.file.write_text('[jt808]\nidle_timeout = "2m"\n')
        gateway = self.start(arguments=("--config", str(self.file)))
        said = self.reload(gateway, '[jt808]\nidle_timeout = "3m"\n', "configuration reloaded")
        self.assertIn("was=2m is=3m", said)
        said = self.reload(gateway, '[jt808]\nidle_timeout = "3 minutes"\n', "reload refused")
        self.assertIn("ringgate.toml:2:", said)
        said = self.reload(gateway, '[log]\nsegment_size = "8MiB"\n', "reload refused")
        self.assertIn("log.segment_size", said)
        # What was refused changed nothing: the last good state is the one compared with.
        said = self.reload(gateway, '[jt808]\nidle_timeout = "4m"\n', "configuration reloaded")
        self.assertIn("was=3m is=4m", said)
        self.assertEqual(gateway.stop(), 0)


if __name__ == "__main__":
    unittest.main()
