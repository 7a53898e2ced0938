"""What the API answers where there is no room: a log that takes nothing (a disk that is full, which
needs root), tables that are full. Nothing is sent or changed that is not stored, nobody hangs, and
all goes on when there is room again."""

import http.client
import json
import socket
import unittest

import api_client
import harness
import jt808
import servers
from stream_client import until
from test_ctl import Answering as AnsweringTerminal

PHONE, AWAY, BANNED = "13800138000", "13800138001", "13800138002"
COMMAND = {"message": "0x8300", "fields": {"flags": ["display"], "text": "x"}}
LOG_FULL = "the log takes nothing now"
# Of one shard: storage/state/limits.hpp.
BANS_MAX = 65536


class FullLog(api_client.OneShard):
    def setUp(self):
        super().setUp()
        self.disk = servers.SmallDisk(24)
        self.addCleanup(self.disk.__exit__)
        self.addCleanup(self.end_gateways)
        self.data_dir = self.disk.path / "data"

    def probe(self, path):
        """Its status: openapi.json tells of no probes."""
        connection = http.client.HTTPConnection(*self.gateway.address("http"),
                                                timeout=harness.LIMIT_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def report_until(self, terminal, wanted):
        for _ in range(200_000):
            if terminal.report() == wanted:
                return
        raise AssertionError(f"no report is answered with {wanted}")

    def refused(self, answer, status=503):
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn(LOG_FULL, json.dumps(answer.body))
        if status == 503:
            self.assertEqual(answer.headers["Retry-After"], "1")
        return answer.body

    def test_commands_and_changes_while_the_log_takes_nothing(self):
        self.begin(**{"log.on_failure": "refuse", "log.segment_size": "1MiB"})
        client, path = self.client, f"/api/v1/devices/{PHONE}"
        reporting = self.sign_in("13800138009")
        answering = AnsweringTerminal(self.sign_in(PHONE))
        answering.start()
        self.sign_in(AWAY).close()
        self.sign_in(BANNED).close()
        self.assertEqual(client.put(f"/api/v1/devices/{BANNED}/ban", {}).status, 204)
        self.disk.fill()
        self.report_until(reporting, jt808.FAILED)
        before = len(answering.commands)
        # Commands: nothing is sent, and one says so whether somebody waits or asks later.
        body = self.refused(client.post(f"{path}/commands?wait=20s", COMMAND))
        self.assertEqual(body["command"]["outcome"]["status"], "not-stored")
        later = client.post(f"{path}/commands", COMMAND)
        self.assertEqual(later.status, 202)
        where = f"/api/v1/commands/{later.body['id']}"
        ended = until(lambda: (now := client.get(where).body)["state"] == "done" and now,
                      "the command ended")
        self.assertEqual(ended["outcome"]["status"], "not-stored")
        self.refused(client.post(f"/api/v1/devices/{AWAY}/commands?wait=20s",
                                 COMMAND | {"when_online": True}))
        many = client.post("/api/v1/commands", COMMAND | {"devices": [PHONE]})
        where = f"/api/v1/commands/{many.body['id']}"
        ended = until(lambda: (now := client.get(where).body)["state"] == "done" and now,
                      "the command to many ended")
        self.assertEqual([each["status"] for each in ended["outcomes"]], ["not-stored"])
        # Changes.
        self.refused(client.put(f"{path}/ban", {}))
        self.refused(client.delete(f"/api/v1/devices/{BANNED}/ban"))
        self.refused(client.put(f"/api/v1/registrations/{PHONE}", {"plate": "A"}))
        imported = client.post("/api/v1/registrations", [{"phone": PHONE, "plate": "A"}])
        self.assertEqual((imported.status, imported.body["done"]), (200, 0))
        self.assertIn(LOG_FULL, imported.body["failed"][0]["why"])
        # What needs no record goes on; its audit record is missed, not hidden.
        code, _, err = harness.run(harness.CTL, "--data", self.data_dir, "token", "create",
                                   "--name", "x")
        self.assertIn(code, (0, 1), err)  # its file may find no room either
        self.assertEqual((self.probe("/readyz"), self.probe("/livez")), (503, 200))
        self.assertEqual(client.get("/api/v1/registrations").body["registrations"], [])
        self.assertEqual(len(answering.commands), before)
        if code == 0:
            until(lambda: "audit record lost" in self.gateway.output, "the log says so")
        # There is room again.
        self.disk.free()
        self.report_until(reporting, jt808.OK)
        self.assertEqual(client.post(f"{path}/commands?wait=20s", COMMAND).status, 200)
        self.assertEqual(client.delete(f"/api/v1/devices/{BANNED}/ban").status, 204)
        self.assertEqual(client.put(f"/api/v1/registrations/{PHONE}", {"plate": "A"}).status, 200)
        self.assertEqual(self.probe("/readyz"), 200)
        self.assertEqual(len(answering.commands), before + 1)
        self.assertEqual(self.gateway.stop(), 0)
        # Nothing that was refused is in the log.
        outcomes = [record["outcome"]["status"] for record in harness.dump(self.data_dir)
                    if record["kind"] == "command" and "outcome" in record]
        self.assertEqual(outcomes, ["answered"])


@unittest.skipIf(harness.SANITIZED and not harness.LONG, "65,536 changes take long with it")
class FullTables(api_client.OneShard):
    def test_more_bans_than_are_kept(self):
        """65,536 bans, asked for by many connections that do not wait for answers."""
        self.begin()
        links, asked = 256, BANS_MAX // 256
        made = []
        for link in range(links):
            one = socket.create_connection(self.gateway.address("http"), timeout=harness.LIMIT_S)
            self.addCleanup(one.close)
            made.append(one)
            one.sendall(b"".join(
                b"PUT /api/v1/devices/%d/ban HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                % (14000000000 + link * asked + number) for number in range(asked)))
        for one in made:
            text = b""
            while text.count(b"HTTP/1.1 204") < asked:
                chunk = one.recv(1 << 16)
                self.assertTrue(chunk, text[-500:])
                text += chunk
        self.assertEqual(self.client.get("/api/v1/bans?limit=1").body["total"], BANS_MAX)
        full = self.client.put(f"/api/v1/devices/{PHONE}/ban", {"why": "one more"})
        self.assertEqual((full.status, full.body["detail"]), (507, "too many devices are banned"))
        code, _, err = harness.run(harness.CTL, "--data", self.data_dir, "ban", PHONE)
        self.assertEqual(code, 1)
        self.assertIn("too many devices are banned", err)
        # One that is banned may be banned anew, and there is room behind one that is not any more.
        self.assertEqual(self.client.put("/api/v1/devices/14000000000/ban", {}).status, 204)
        self.assertEqual(self.client.delete("/api/v1/devices/14000000000/ban").status, 204)
        self.assertEqual(self.client.put(f"/api/v1/devices/{PHONE}/ban", {}).status, 204)


if __name__ == "__main__":
    unittest.main()
