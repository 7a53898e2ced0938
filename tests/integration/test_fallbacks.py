"""What a kernel or a file system may lack is taken away, and everything still works."""

import unittest

import harness
import jt808
from jt808 import Terminal

# Each feature alone, what Linux 6.1 lacks, and nothing at all.
FEATURES = ("defer_taskrun", "no_sqarray", "registered_ring", "multishot_accept", "multishot_recv",
            "recv_bundle", "msg_ring")
LINUX_6_1 = "no_sqarray,recv_bundle"
OLDEST = ("single_issuer,defer_taskrun,coop_taskrun,no_sqarray,registered_ring,multishot_accept,"
          "multishot_recv,recv_bundle,msg_ring")


class Fallbacks(harness.GatewayTest):
    def works(self, settings):
        # Two shards: links move, and shards wake each other.
        gateway = self.start({"server.shards": "2"} | settings)
        sent = 0
        for device in range(6):
            with Terminal(gateway.address(), str(13700000000 + device)) as terminal:
                terminal.sign_in()
                for _ in range(40):  # more than one receive buffer in one go
                    terminal.send(jt808.LOCATION, jt808.location_body(items=bytes(400)))
                for _ in range(40):
                    self.assertEqual(terminal.reply().result, jt808.OK)
                    sent += 1
        self.assertEqual(gateway.stop(), 0)
        records = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertEqual(len(records), sent)
        code, said = harness.verify(self.data_dir)
        self.assertEqual(code, 0, said)

    def test_linux_6_1(self):
        self.works({"engine.without": LINUX_6_1})

    def test_without_anything_that_may_lack(self):
        self.works({"engine.without": OLDEST})

    def test_buffered_writes(self):
        self.works({"log.direct": "off"})

    def test_an_unknown_feature_is_named(self):
        code, _, err = harness.run(harness.GATEWAY, "--set", "engine.without=warp")
        self.assertEqual(code, 2)
        self.assertIn("warp", err)


def each_alone(feature):
    return lambda self: self.works({"engine.without": feature})


for name in FEATURES:
    setattr(Fallbacks, f"test_without_{name}", each_alone(name))


if __name__ == "__main__":
    unittest.main()
