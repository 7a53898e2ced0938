"""protocols/jsonl through the whole gateway."""

import json
import socket
import unittest

import harness

SETTINGS = {"jsonl.listen": "127.0.0.1:0", "server.shards": "2"}


class Jsonl(harness.GatewayTest):
    def talk(self, gateway, text, answers):
        with socket.create_connection(gateway.address("jsonl"), harness.LIMIT_S) as link:
            link.sendall(text)
            with link.makefile("r") as lines:
                return [json.loads(lines.readline()) for _ in range(answers)]

    def test_lines_of_many_devices_are_answered_in_order_and_logged(self):
        gateway = self.start(SETTINGS)
        lines = [{"id": f"pump-{i % 7}", "n": i} for i in range(300)]
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        answers = self.talk(gateway, text, len(lines))
        self.assertEqual(answers, [{"ok": i + 1} for i in range(len(lines))])
        self.assertEqual(gateway.stop(), 0)
        records = [record for record in harness.dump(self.data_dir)
                   if record["kind"] == "frame-up"]
        stored = {}
        for record in records:
            line = json.loads(bytes.fromhex(record["frame"]))
            self.assertEqual(record["device"], line["id"])
            stored.setdefault(line["id"], []).append(line["n"])
        self.assertEqual(sum(map(len, stored.values())), len(lines))
        for numbers in stored.values():
            self.assertEqual(numbers, sorted(numbers))

    def test_bad_lines_are_answered_in_their_place(self):
        gateway = self.start(SETTINGS)
        text = b'{"id":"a"}\nnonsense\n{"id":""}\n{"x":1}\n\n{"id":7}\r\n{"id":"b"\n{"id":"c"}\n'
        self.assertEqual(self.talk(gateway, text, 7), [
            {"ok": 1}, {"error": "no_object", "line": 2}, {"error": "bad_id", "line": 3},
            {"error": "bad_id", "line": 4}, {"ok": 5}, {"error": "not_json", "line": 6},
            {"ok": 7}])

    def test_a_line_without_end_closes_the_link_with_a_reason(self):
        gateway = self.start(SETTINGS)
        with socket.create_connection(gateway.address("jsonl"), harness.LIMIT_S) as link:
            link.sendall(b'{"id":"' + b"x" * 20_000)
            self.assertEqual(link.recv(1000), b'{"error":"too_long","line":1}\n')
            self.assertEqual(link.recv(1000), b"")


if __name__ == "__main__":
    unittest.main()
