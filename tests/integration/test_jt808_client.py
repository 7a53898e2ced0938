"""The tests' own terminal against frames worked out by hand and from the standard."""

import unittest

import jt808


class Client(unittest.TestCase):
    def test_escape_of_the_standards_example(self):
        # JT/T 808-2013 4.4.2
        self.assertEqual(jt808.escape(bytes.fromhex("307e087d55")),
                         bytes.fromhex("307d02087d0155"))

    def test_heartbeat_of_2013_byte_by_byte(self):
        self.assertEqual(jt808.frame(jt808.HEARTBEAT, "13800138000", 7).hex(),
                         "7e" "0002" "0000" "013800138000" "0007" + "af" "7e")

    def test_frames_come_back_as_they_went(self):
        body = bytes(range(256))
        for version, width in ((2013, 12), (2019, 20)):
            made = jt808.frame(jt808.LOCATION, "13912345678", 65535, body, version)
            self.assertEqual(made.count(b"\x7e"), 2)
            self.assertEqual(jt808.parse(made[1:-1]), jt808.Message(
                jt808.LOCATION, version, "13912345678".rjust(width, "0"), 65535, body))

    def test_a_wrong_digit_is_seen(self):
        made = bytearray(jt808.frame(jt808.HEARTBEAT, "13800138000", 7))
        made[5] ^= 1
        self.assertRaises(ValueError, jt808.parse, bytes(made[1:-1]))


if __name__ == "__main__":
    unittest.main()
