"""Commands, pending commands, bans, the registry, the table of messages and bad frames over HTTP;
every answer is checked against openapi.json. Terminals are real connections."""

import json
import socket
import struct
import threading
import unittest

import api_client
import harness
import jsonschema
import jt808
import servers
from test_ctl import Answering

PHONE, OTHER, NOBODY = "13800138000", "13800138001", "13999999999"
TERMINAL_REPLY, TEXT_MESSAGE = 0x0001, 0x8300


def text(words, **more):
    return {"message": "0x8300", "fields": {"flags": ["display"], "text": words}} | more


def example(schema):
    """The least that a form of `schema` can say."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "oneOf" in schema:
        return example(schema["oneOf"][0])
    kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]
    if kind == "object":
        return example_object(schema)
    if kind == "array":
        return [example(schema["items"])] * schema.get("minItems", 0)
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 0), 0)
    if schema.get("x-hex"):
        return "0" * schema.get("minLength", 0)
    for given, text in (("date-time", "2026-01-31T08:00:00Z"), ("date", "2026-01-31")):
        if schema.get("format") == given:
            return text
    pattern = schema.get("pattern", "")
    return "0x0001" if pattern.startswith("^0x") else "08:00:00.1230" if ":" in pattern else ""


def example_object(schema):
    """Members come in the order of the message, so that those before one decide about it."""
    made = {}
    for key, member in schema["properties"].items():
        if key in schema["required"] or holds(member.get("x-when"), schema["properties"], made):
            made[key] = example(member)
    return made


def holds(when, properties, made):
    """Whether a member is there, by those before it."""
    if when is None or when["key"] not in made:
        return False
    asked, value = properties[when["key"]], made[when["key"]]
    if "x-values" in asked:
        value = asked["x-values"][asked["enum"].index(value)]
    if isinstance(value, list):
        names = asked["items"].get("enum", [])
        bits = [asked["items"]["x-bits"][names.index(name)] for name in value]
        return (when["value"] in bits) == (when["test"] == "bit")
    if isinstance(value, str):
        value = int(value, 16)
    return {"equal": value == when["value"], "not-equal": value != when["value"],
            "at-least": value >= when["value"], "bit": value >> when["value"] & 1 == 1,
            "no-bit": value >> when["value"] & 1 == 0}[when["test"]]


class CommandsTest(harness.GatewayTest):
    settings = {"server.shards": "2"}

    def setUp(self):
        super().setUp()
        self.gateway = self.start(self.settings)
        self.client = self.connect()

    def connect(self):
        client = api_client.Client(self.gateway.address("http"))
        self.addCleanup(client.close)
        return client

    def terminal(self, phone=PHONE, version=2013):
        terminal = jt808.Terminal(self.gateway.address(), phone, version)
        self.addCleanup(terminal.close)
        return terminal.sign_in()

    def answering(self, phone=PHONE, result=0, version=2013):
        answering = Answering(self.terminal(phone, version), result)
        answering.start()
        return answering

    def command(self, body, phone=PHONE, **options):
        return self.client.post(f"/api/v1/devices/{phone}/commands", body, **options)

    def until_done(self, id):
        """The command once it has ended."""
        path, last = f"/api/v1/commands/{id}", {}

        def ended():
            last.update(self.client.get(path).body)
            return last["state"] == "done"

        servers.wait_until(ended, "the command ended")
        return last


class Commands(CommandsTest):
    def test_a_text_and_its_answer(self):
        answering = self.answering()
        answer = self.command(text("你好"), wait="20s")
        self.assertEqual(answer.status, 200, answer.body)
        outcome = answer.body["outcome"]
        self.assertEqual((answer.body["state"], outcome["status"]), ("done", "answered"))
        self.assertEqual(outcome["answer"]["message_id"], "0x0001")
        self.assertEqual(outcome["answer"]["body"]["body"]["result"], "ok")
        self.assertEqual(answering.commands[0].body[1:].decode("gbk"), "你好")
        self.assertEqual(answer.headers["Location"], f"/api/v1/commands/{answer.body['id']}")
        self.assertEqual(self.client.get(answer.headers["Location"]).body, answer.body)
        # By name, on the other shard, in the layout of 2019, and by its bytes.
        self.answering(OTHER, version=2019)
        body = {"message": "text-message",
                "fields": {"flags": ["display"], "level": "notice", "type": "notice", "text": "a"}}
        self.assertEqual(self.command(body, OTHER, wait="20s").status, 200)
        self.assertEqual(self.command({"message": "0x8F01", "body_hex": "0102"}, wait="20s").status,
                         200)
        self.assertEqual(answering.commands[-1].body, b"\1\2")
        self.assertEqual(self.gateway.stop(), 0)
        records = harness.dump(self.data_dir)
        self.assertIn("command", {record["kind"] for record in records})
        acts = [record for record in records if record["kind"] == "audit"]
        self.assertTrue(any("send 0x8300" in json.dumps(act) for act in acts), acts)

    def test_without_wait_and_when_it_runs_out(self):
        terminal = self.terminal()
        answer = self.command(text("later"))
        self.assertEqual((answer.status, answer.body["state"]), (202, "running"))
        waited = self.command(text("later, too"), wait="50ms")
        self.assertEqual((waited.status, waited.body["state"]), (202, "running"))
        for _ in range(2):
            message = terminal.receive()
            while message.id != TEXT_MESSAGE:
                message = terminal.receive()
            terminal.send(TERMINAL_REPLY, struct.pack(">HHB", message.serial, message.id, 1))
        for one in (answer, waited):
            done = self.until_done(one.body["id"])
            self.assertEqual(done["outcome"]["status"], "refused")
            self.assertIn("ended", done)

    def test_what_can_go_wrong_has_its_status(self):
        self.assertEqual(self.command(text("x"), NOBODY, wait="5s").status, 404)
        terminal = self.terminal()
        terminal.close()
        servers.wait_until(lambda: not self.client.get(f"/api/v1/devices/{PHONE}").body["online"],
                           "it has gone")
        offline = self.command(text("x"), wait="5s")
        self.assertEqual(offline.status, 409)
        self.assertEqual(offline.body["command"]["outcome"]["status"], "offline")
        # Asynchronously the same is what became of it.
        self.assertEqual(self.until_done(self.command(text("x")).body["id"])["outcome"]["status"],
                         "offline")
        self.answering(OTHER, version=2019)
        old = {"message": "0x8301", "fields": {"type": "delete-all"}}
        self.assertIn(self.command(old, OTHER, wait="5s").status, (200, 422))
        for body, named in (
                ({}, "message"),
                ({"message": 5}, "message"),
                ({"message": "no-such-message"}, "no-such-message"),
                ({"message": "0x0200", "fields": {}}, "message of terminals"),
                ({"message": "0x8300", "fields": {"flags": []}}, "text: is missing"),
                ({"message": "0x8300", "fields": {"flags": [], "text": 5}}, "text"),
                ({"message": "0x8300", "fields": {"flags": ["loud"], "text": ""}}, "flags"),
                ({"message": "0x8300", "fields": {"flags": [], "txt": ""}}, "txt"),
                ({"message": "0x8300", "fields": []}, "fields"),
                (text("x", body_hex="00"), "body_hex"),
                (text("x", colour="red"), "colour: unknown key"),
                (text("x", expires="1h"), "expires"),
                (text("x", when_online=1), "when_online"),
                (text("x", when_online=True, expires="91d"), "expires"),
                ({"message": "0x8F01", "body_hex": "0"}, "body_hex")):
            with self.subTest(body=body):
                answer = self.command(body)
                self.assertEqual(answer.status, 400, answer.body)
                self.assertIn(named, answer.body["detail"])
        for wait in ("soon", "-1s", "121s", "5"):
            self.assertEqual(self.command(text("x"), wait=wait).status, 400)
        self.assertEqual(self.command(text("x"), "nobody").status, 400)
        self.assertEqual(self.client.get("/api/v1/commands/" + "0" * 32).status, 404)
        one = self.command(text("x")).body["id"]
        self.assertEqual(self.client.delete(f"/api/v1/commands/{one}").status, 409)

    def test_a_repeated_request_is_the_same_command(self):
        answering = self.answering()
        key = {"Idempotency-Key": "7e0d1c3a"}
        first = self.command(text("once"), headers=key, wait="20s")
        again = self.command(text("once"), headers=key, wait="20s")
        self.assertEqual((first.status, again.status), (200, 200))
        self.assertEqual(first.body, again.body)
        self.assertEqual((first.headers["Idempotency-Replayed"],
                          again.headers["Idempotency-Replayed"]), (None, "true"))
        self.assertEqual(self.command(text("other"), headers=key).status, 422)
        self.assertEqual(self.command(text("x"), headers={"Idempotency-Key": "k" * 201}).status,
                         400)
        # The key of another device is another key.
        self.answering(OTHER)
        self.assertEqual(self.command(text("once"), OTHER, headers=key, wait="20s").status, 200)
        self.assertEqual(len(answering.commands), 1)
        many = {"devices": [PHONE, OTHER]} | text("many")
        first = self.client.post("/api/v1/commands", many, headers=key)
        self.assertEqual(self.client.post("/api/v1/commands", many, headers=key).body["id"],
                         first.body["id"])

    def test_a_client_that_goes_away_neither_cancels_nor_leaks(self):
        terminal = self.terminal()
        body = json.dumps(text("still")).encode()
        for _ in range(5):
            with socket.create_connection(self.gateway.address("http")) as raw:
                raw.sendall(b"POST /api/v1/devices/%s/commands?wait=60s HTTP/1.1\r\n"
                            b"Host: localhost\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\n\r\n%s"
                            % (PHONE.encode(), len(body), body))
                message = terminal.receive()
                while message.id != TEXT_MESSAGE:
                    message = terminal.receive()
            terminal.send(TERMINAL_REPLY, struct.pack(">HHB", message.serial, message.id, 0))
        Answering(terminal).start()
        self.assertEqual(self.command(text("next"), wait="20s").status, 200)

    def test_the_gateway_stops_while_somebody_waits(self):
        terminal = self.terminal()
        got = []
        waiter = threading.Thread(target=lambda: got.append(
            self.connect().post(f"/api/v1/devices/{PHONE}/commands", text("x"), wait="60s")))
        waiter.start()
        message = terminal.receive()
        while message.id != TEXT_MESSAGE:
            message = terminal.receive()
        self.assertEqual(self.gateway.stop(), 0)
        waiter.join(harness.LIMIT_S)
        self.assertFalse(waiter.is_alive())

    def test_hostile_bodies(self):
        deep = b'{"message":"0x8300","fields":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
        long = json.dumps(text("x" * (1 << 20))).encode()
        for data, status in (
                (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'"text"', 400),
                (deep, 400), (long, 202), (b'{"message":"\xff"}', 400),
                (b'{"message":"0x8300","message":"0x8104"}', 400),
                (b'{"message":"0x8300","fields":{"text":"a","text":"b","flags":[]}}', 400),
                (b'{"message":"0x8300","fields":{"flags":1e999,"text":""}}', 400),
                (b'{"message":"0x8300","fields":{"flags":' + b"9" * 5000 + b',"text":""}}', 400),
                (b'{"message":"\\ud800","fields":{}}', 400), (b'{"message":"0x8300"}}', 400),
                (b'{"message":"' + b"x" * 100_000 + b'"}', 400)):
            with self.subTest(data=data[:60]):
                answer = self.command(data)
                self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(self.client.post("/api/v1/registrations", b"[" * 100_000).status, 400)
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            answer = self.command(text("x"), headers={"Content-Type": kind})
            self.assertEqual(answer.status, 415)
        answer = self.command(text("x"), headers={"Origin": "http://elsewhere.example"})
        self.assertEqual(answer.status, 403)


class ManyDevices(CommandsTest):
    def test_many_devices_in_pages(self):
        phones = [str(13800138000 + number) for number in range(20)]
        answering = [self.answering(phone) for phone in phones[:15]]
        # Numbers that mean the same device are one.
        asked = {"devices": phones + ["0" + phones[0], phones[0]]}
        answer = self.client.post("/api/v1/commands", asked | text("all"))
        self.assertEqual((answer.status, answer.body["total"]), (202, 20))
        done = self.until_done(answer.body["id"])
        self.assertEqual(done["by_status"], {"answered": 15, "unknown": 5})
        self.assertEqual({len(one.commands) for one in answering}, {1})
        seen, cursor = [], "0"
        while cursor:
            page = self.client.get(answer.headers["Location"], limit=7, cursor=cursor).body
            seen += page["outcomes"]
            cursor = page.get("next")
        self.assertEqual(sorted(row["phone"] for row in seen), phones)
        self.assertEqual(self.client.get(answer.headers["Location"], cursor="21").status, 400)
        filtered = self.client.post("/api/v1/commands", {"filter": "online and phone~*3"} |
                                    text("some"))
        done = self.until_done(filtered.body["id"])
        self.assertEqual((done["total"], done["by_status"]), (2, {"answered": 2}))
        for wrong, named in (({}, "devices"), ({"devices": []}, "devices"),
                             ({"devices": [PHONE, 5]}, "devices[1]"),
                             ({"devices": ["x"]}, "devices[0]"),
                             ({"devices": [PHONE], "filter": ""}, "devices"),
                             ({"filter": "speed>fast"}, "column 7"),
                             ({"filter": "", "parallel": 0}, "parallel")):
            with self.subTest(wrong=wrong):
                answer = self.client.post("/api/v1/commands", wrong | text("x"))
                self.assertEqual(answer.status, 400, answer.body)
                self.assertIn(named, answer.body["detail"])

    def test_it_ends_by_delete(self):
        phones = [str(13800138000 + number) for number in range(6)]
        terminals = [self.terminal(phone) for phone in phones]
        answer = self.client.post("/api/v1/commands",
                                  {"devices": phones, "parallel": 2} | text("slow"))
        path = answer.headers["Location"]
        servers.wait_until(lambda: self.client.get(path).body["under_way"] == 2, "two are sent")
        ended = self.client.delete(path)
        self.assertEqual((ended.status, ended.body["state"], ended.body["cancelled"]),
                         (200, "cancelling", True))
        for terminal in terminals:
            Answering(terminal).start()
        done = self.until_done(answer.body["id"])
        self.assertEqual((done["done"], done["by_status"]), (2, {"answered": 2}))


class Administration(CommandsTest):
    def test_commands_that_wait_for_their_device(self):
        kept = self.command(text("when you come", when_online=True, expires="1h"), wait="5s")
        self.assertEqual((kept.status, kept.body["state"]), (202, "waiting"))
        second = self.command(text("never", when_online=True, expires=3600))
        path = f"/api/v1/devices/{PHONE}/pending"
        servers.wait_until(lambda: self.client.get(path).body["total"] == 2, "both wait")
        rows = self.client.get(path).body["pending"]
        self.assertEqual([row["tries"] for row in rows], [0, 0])
        self.assertEqual(self.client.get(kept.headers["Location"]).body["kept"]["id"],
                         rows[0]["id"])
        self.assertEqual(self.client.delete(f"{path}/{rows[1]['id']}", why="typo").body,
                         {"cancelled": [{"id": rows[1]["id"], "was_sent": False}], "total": 1})
        self.assertEqual(self.client.delete(f"{path}/{rows[1]['id']}").status, 404)
        self.assertEqual(self.client.delete(f"{path}/x").status, 400)
        self.assertEqual(self.client.get(second.headers["Location"]).body["state"], "gone")
        answering = self.answering()
        servers.wait_until(lambda: self.client.get(path).body["total"] == 0, "it was delivered")
        self.assertEqual([one.body[1:] for one in answering.commands], [b"when you come"])
        self.assertEqual(self.client.get(kept.headers["Location"]).body["state"], "gone")
        for _ in range(3):
            self.command(text("x", when_online=True), OTHER, wait="5s")
        other = f"/api/v1/devices/{OTHER}/pending"
        self.assertEqual(self.client.delete(other).body["total"], 3)
        self.assertEqual(self.client.delete(other).body, {"cancelled": [], "total": 0})
        # Online: the outcome is told.
        told = self.command(text("now", when_online=True), wait="20s")
        self.assertEqual((told.status, told.body["outcome"]["status"]), (200, "answered"))

    def test_kick_and_ban(self):
        path = f"/api/v1/devices/{PHONE}"
        self.assertEqual(self.client.post(path + "/kick", {"why": "test"}).status, 404)
        terminal = self.terminal()
        self.assertEqual(self.client.post(path + "/kick", {"why": "test"}).status, 204)
        self.assertIsNone(terminal.receive())
        self.assertEqual(self.client.post(path + "/kick").status, 409)
        self.assertEqual(self.client.post(path + "/kick", {"reason": ""}).status, 400)
        self.assertEqual(self.client.delete(path + "/ban").status, 404)
        terminal = self.terminal()
        ban = {"until": "2099-12-31T23:59:59Z", "why": "stolen"}
        self.assertEqual(self.client.put(path + "/ban", ban).status, 204)
        self.assertIsNone(terminal.receive())
        bans = self.client.get("/api/v1/bans").body
        self.assertEqual((bans["total"], bans["bans"][0]["phone"], bans["bans"][0]["why"],
                          bans["bans"][0]["until"]),
                         (1, PHONE, "stolen", "2099-12-31T23:59:59.000Z"))
        with self.assertRaises(AssertionError):
            self.terminal()
        self.assertEqual(self.client.put(path + "/ban").status, 204)
        self.assertIsNone(self.client.get("/api/v1/bans").body["bans"][0]["until"])
        for wrong in ({"until": "tomorrow"}, {"until": 5}, {"until": "2001-01-01T00:00:00Z"},
                      {"until": "-1d"}, {"why": "x" * 201}):
            with self.subTest(wrong=wrong):
                self.assertEqual(self.client.put(path + "/ban", wrong).status, 400)
        self.assertEqual(self.client.delete(path + "/ban").status, 204)
        self.assertEqual(self.client.get("/api/v1/bans").body, {"bans": [], "total": 0})
        self.terminal()

    def test_the_registry(self):
        path, new = "/api/v1/registrations", f"/api/v1/registrations/{PHONE}"
        self.assertEqual(self.client.get(new).status, 404)
        self.assertEqual(self.client.patch(new, {"plate": "x"}).status, 404)
        self.assertEqual(self.client.delete(new).status, 404)
        put = self.client.put(new, {"plate": "京A12345", "plate_colour": 2, "note": "bus"})
        self.assertEqual((put.status, put.body["plate"], put.body["enabled"]),
                         (200, "京A12345", True))
        patched = self.client.patch(new, {"enabled": False, "phone": PHONE})
        self.assertEqual((patched.body["note"], patched.body["enabled"]), ("bus", False))
        self.assertEqual(self.client.get(new).body, patched.body)
        for wrong, named in (({"plate": 5}, "plate"), ({"plate": "x" * 65}, "plate"),
                             ({"plate_colour": 256}, "plate_colour"), ({"enabled": 1}, "enabled"),
                             ({"colour": 1}, "colour"), ({"phone": OTHER}, "phone")):
            with self.subTest(wrong=wrong):
                answer = self.client.put(new, wrong)
                self.assertEqual(answer.status, 400)
                self.assertIn(named, answer.body["detail"])
        rows = [{"phone": str(13900000000 + number), "plate": f"B{number}"}
                for number in range(500)]
        rows[7]["plate_colour"] = -1
        rows[9] = "row"
        rows[11]["phone"] = "x"
        told = self.client.post(path, rows)
        self.assertEqual((told.status, told.body["done"]), (200, 497))
        self.assertEqual([row["row"] for row in told.body["failed"]], [7, 9, 11])
        seen, cursor = [], ""
        while cursor is not None:
            page = self.client.get(path, limit=100, cursor=cursor).body
            self.assertLessEqual(len(page["registrations"]), 100)
            seen += [row["phone"] for row in page["registrations"]]
            cursor = page.get("next")
        self.assertEqual((len(seen), len(set(seen))), (498, 498))
        found = self.client.get(path, filter="plate=B42 and enabled").body["registrations"]
        self.assertEqual([row["phone"] for row in found], ["13900000042"])
        self.assertEqual(self.client.get(path, filter="colour=1").status, 400)
        self.assertEqual(self.client.get(path, cursor="9.9").status, 400)
        self.assertEqual(self.client.post(path, {"phone": PHONE}).status, 400)
        self.assertEqual(self.client.delete(new).status, 204)
        # What was answered is durable.
        self.gateway.kill()
        self.gateway = self.start(self.settings)
        client = self.connect()
        self.assertEqual(client.get(new).status, 404)
        self.assertEqual(client.get(f"{path}/13900000042").body["plate"], "B42")

    def test_messages_and_their_forms(self):
        listed = self.client.get("/api/v1/messages").body["messages"]
        down = self.client.get("/api/v1/messages", direction="down").body["messages"]
        self.assertGreater(len(listed), len(down))
        self.assertEqual({row["direction"] for row in down}, {"down"})
        for row in down:
            with self.subTest(message=row["name"]):
                one = self.client.get(f"/api/v1/messages/{row['id']}").body
                self.assertEqual(one["name"], row["name"])
                self.assertTrue(one["forms"])
                for form in one["forms"]:
                    api_client.check_schema(form["fields"], row["name"])
        text_message = self.client.get("/api/v1/messages/text-message").body
        forms = {form["versions"][0]: jsonschema.Draft202012Validator(form["fields"])
                 for form in text_message["forms"]}
        self.assertEqual(sorted(forms), ["2013", "2019"])
        self.assertTrue(forms["2013"].is_valid({"flags": ["urgent", "tts"], "text": "x"}))
        self.assertFalse(forms["2019"].is_valid({"flags": ["urgent"], "text": "x"}))
        self.assertFalse(forms["2013"].is_valid({"flags": []}))
        self.assertNotIn("forms", self.client.get("/api/v1/messages/0x0200").body)
        self.assertEqual(self.client.get("/api/v1/messages/0x9999").status, 404)
        self.assertEqual(self.client.get("/api/v1/messages", direction="left").status, 400)

    def test_what_a_form_makes_is_taken(self):
        """The least and, of items, each: it fits its own schema, and is a message."""
        count = 0
        for row in self.client.get("/api/v1/messages", direction="down").body["messages"]:
            for form in self.client.get(f"/api/v1/messages/{row['id']}").body["forms"]:
                check = jsonschema.Draft202012Validator(form["fields"])
                for body in self.examples(form["fields"]):
                    with self.subTest(message=row["name"], version=form["versions"], body=body):
                        self.assertEqual([error.message for error in check.iter_errors(body)], [])
                        answer = self.client.post("/api/v1/messages/encode", {
                            "message": row["name"], "version": form["versions"][0],
                            "phone": PHONE, "body": body})
                        self.assertEqual(answer.status, 200, answer.body)
                        count += 1
        self.assertGreater(count, 100)

    @staticmethod
    def examples(schema):
        least = example(schema)
        yield least
        for key, member in schema["properties"].items():
            for item in member.get("items", {}).get("oneOf", []):
                yield least | {key: [example_object(item)]}

    def test_frames_read_written_and_explained(self):
        wire = jt808.frame(0x0200, PHONE, 7, jt808.location_body(speed_kmh=36.5)).hex()
        told = self.client.post("/api/v1/messages/decode", {"frame": wire}).body
        self.assertEqual(told["message"]["body"]["speed_kmh"], 36.5)
        made = self.client.post("/api/v1/messages/encode", told["message"]).body
        self.assertEqual((made["wire"], made["frame"]), (wire, told["frame"]))
        # As stored it is the same.
        self.assertEqual(self.client.post("/api/v1/messages/decode",
                                          {"frame": told["frame"]}).body, told)
        lines = self.client.post("/api/v1/messages/explain", {"frame": wire}).body["lines"]
        speed = next(line for line in lines if line["name"] == "speed_kmh")
        self.assertEqual((speed["value"], speed["unit"], speed["size"]), ("36.5", "km/h", 2))
        covered = sum(line["size"] for line in lines)
        self.assertEqual(covered, len(told["frame"]) // 2)
        for path, body, status in (("decode", {}, 400), ("decode", {"frame": "xyz"}, 400),
                                   ("decode", {"frame": wire[:-4] + "007e"}, 422),
                                   ("explain", {"frame": ""}, 400),
                                   ("encode", {"message": "location-report"}, 400)):
            with self.subTest(path=path, body=body):
                self.assertEqual(
                    self.client.post(f"/api/v1/messages/{path}", body).status, status)

    def test_bad_frames_are_explained(self):
        with socket.create_connection(self.gateway.address(), timeout=harness.LIMIT_S) as raw:
            good = jt808.frame(0x0002, PHONE, 1)
            raw.sendall(good[:-2] + bytes([good[-2] ^ 1]) + good[-1:])
            servers.wait_until(
                lambda: self.client.get("/api/v1/bad-frames").body["total"] == 1, "it was noted")
        frame = self.client.get("/api/v1/bad-frames").body["bad_frames"][0]
        self.assertEqual(frame["reason"], "checksum")
        names = {line["name"]: line.get("value") for line in frame["explanation"]}
        self.assertEqual(names["phone"], PHONE)
        self.assertIn("heartbeat", names["message_id"])


if __name__ == "__main__":
    unittest.main()
