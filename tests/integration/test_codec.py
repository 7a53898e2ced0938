"""ringgate-codec: decode, encode, explain and list, as a person calls them."""

import json
import re
import subprocess
import unittest

import harness

CODEC = harness.BUILD / "tools" / "codec" / "ringgate-codec"
FRAMES = harness.ROOT / "tests" / "unit" / "jt808" / "jt808-frames.hex"
HEARTBEAT = "7e0002000001234567890100018b7e"


def run(*arguments, given=b""):
    if isinstance(given, str):
        given = given.encode()
    done = subprocess.run([CODEC, *arguments], input=given, capture_output=True,
                          timeout=harness.LIMIT_S)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def wire(frame):
    """`frame` (hex, header to body) with delimiters, escapes and check."""
    content = bytes.fromhex(frame)
    check = 0
    for byte in content:
        check ^= byte
    content += bytes([check])
    escaped = content.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02")
    return (b"\x7e" + escaped + b"\x7e").hex()


class Codec(unittest.TestCase):
    def test_documents_name_messages_that_there_are(self):
        code, listed, err = run("list", "jt808")
        self.assertEqual((code, err), (0, ""))
        rows = [line.split() for line in listed.splitlines() if line.startswith("0x")]
        known = {row[0] for row in rows} | {row[2] for row in rows}
        found = 0
        for page in harness.ROOT.glob("**/*.md"):
            if "build" in page.relative_to(harness.ROOT).parts:
                continue
            text = page.read_text()
            for name in re.findall(r'"message": ?"([a-z0-9-]+)"', text):
                found += 1
                self.assertIn(name, known, page)
            for size, payload in re.findall(r"PUB \S+ \S+ (\d+)\\r\\n(.*?)\\r\\n", text):
                self.assertEqual(int(size), len(payload.encode()), page)
        self.assertGreater(found, 5)

    def test_every_public_frame_comes_back(self):
        lines = [line for line in FRAMES.read_text().splitlines() if not line.startswith("#")]
        code, decoded, err = run("decode", "jt808", "-", given=FRAMES.read_text())
        self.assertEqual((code, err), (0, ""))
        objects = [json.loads(line) for line in decoded.splitlines()]
        self.assertEqual(len(objects), len(lines))
        self.assertEqual({item["version"] for item in objects}, {"2013", "2019"})
        code, encoded, err = run("encode", "jt808", "-", given=decoded)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(encoded.splitlines(), lines)

    def test_several_frames_in_one_argument_and_as_bytes(self):
        two = wire("000200000123456789010001") + wire("000300000123456789010002")
        for arguments, given in [((two,), b""), (("-", "--binary"), bytes.fromhex(two)),
                                 (("-",), two + "\n\n# a comment\n")]:
            code, out, err = run("decode", "jt808", *arguments, given=given)
            self.assertEqual((code, err), (0, ""))
            self.assertEqual([json.loads(line)["message"] for line in out.splitlines()],
                             ["heartbeat", "logout"])

    def test_output_that_nobody_takes(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([CODEC, "list", "jt808"], stdout=full, stderr=subprocess.PIPE,
                                  timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)

    def test_a_bad_frame_is_told_and_the_next_one_follows(self):
        good = wire("000200000123456789010001")
        broken = good[:-4] + "ff7e"
        code, out, err = run("decode", "jt808", broken + good)
        self.assertEqual(code, 1)
        self.assertEqual(err, "ringgate-codec: offset 0: checksum\n")
        self.assertEqual(json.loads(out)["message"], "heartbeat")
        code, out, err = run("decode", "jt808", "-", given=f"{good}\nxyz\n{good[:-2]}\n{good}\n")
        self.assertEqual((code, len(out.splitlines())), (1, 2))
        self.assertEqual(err, "ringgate-codec: line 2: character 1 is no hex digit\n"
                              "ringgate-codec: line 3, offset 0: no closing 7e\n")

    def test_answers_come_while_the_input_is_open(self):
        frame = wire("000200000123456789010001")
        for arguments, given, told in [
                (["decode", "jt808", "-"], frame.encode() + b"\n", b"heartbeat"),
                (["decode", "jt808", "-", "--binary"], bytes.fromhex(frame + "7e00"), b"heartbeat"),
                (["encode", "jt808", "-"], b'{"message":"heartbeat",\n "phone":"1"}\n', b"7e0002")]:
            with subprocess.Popen([CODEC, *arguments], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
                running.stdin.write(given)
                running.stdin.flush()
                self.assertIn(told, running.stdout.readline())
                running.stdin.close()
                running.wait(harness.LIMIT_S)

    def test_stored_frames_need_no_delimiters(self):
        stored = "000200000123456789010001"
        code, out, err = run("decode", "jt808", stored, "--stored")
        self.assertEqual((code, json.loads(out)["serial"]), (0, 1))
        code, back, err = run("encode", "jt808", out, "--stored")
        self.assertEqual((code, back.strip()), (0, stored))
        code, back, err = run("encode", "jt808", out)
        self.assertEqual((code, back.strip()), (0, wire(stored)))

    def test_what_is_wrong_in_json_is_named(self):
        text = {"message": "text-message", "phone": "13800138000", "bdoy": {}}
        for item, told in [({"message": "heartbeat", "phone": "1", "bdoy": {}}, "bdoy"),
                           ({"message": "heartbaet", "phone": "1"}, "heartbaet"),
                           ({"message": "time-reply", "phone": "1", "body": {"tmie": None}},
                            "tmie"),
                           (text, "bdoy")]:
            code, out, err = run("encode", "jt808", json.dumps(item))
            self.assertEqual((code, out), (1, ""))
            self.assertIn(told, err)
        code, out, err = run("encode", "jt808", "-", given='{"message":"heartbeat","phone":"1"}\n'
                             'nonsense\n{\n  "message": "logout",\n  "phone": "1"\n}\n')
        self.assertEqual((code, len(out.splitlines())), (1, 2))
        self.assertIn("object 2: no object at offset 0", err)

    def test_redact_hides_codes_everywhere(self):
        frame = wire("010200060123456789010001" + b"s3cret".hex())
        for command in ["decode", "explain"]:
            self.assertIn("s3cret", run(command, "jt808", frame)[1])
            out = run(command, "jt808", frame, "--redact")[1]
            self.assertNotIn("s3cret", out)
            self.assertNotIn(b"s3cret".hex(), out)
            self.assertIn("******", out)

    def test_explain_names_every_byte(self):
        code, out, err = run("explain", "jt808", wire("80010005012345678901007d" "007e0200" "00"))
        self.assertEqual((code, err), (0, ""))
        self.assertNotIn("\x1b", out)
        for told in ["0x8001 platform-reply", "(JT/T 808-2019 8.2)", "reply_serial",
                     '"0x0200"', '"ok"', "7d01 on the wire is 7d", "7d02 on the wire is 7e"]:
            self.assertIn(told, out)
        # The bytes of the dump, one after the other, are the frame and its check.
        shown = "".join(line.split()[1] for line in out.split("escapes")[0].splitlines()
                        if line[:4].strip())
        self.assertEqual(shown[:-2], "80010005012345678901007d007e020000")
        code, out, err = run("explain", "jt808", wire("000100020123456789010001aabb"))
        self.assertEqual(code, 0)
        self.assertIn("! body too short", out.replace("  ", ""))

    def test_list_tells_what_the_tables_say(self):
        code, out, err = run("list", "jt808")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"0x0200 +up +location-report +JT/T 808")
        code, out, err = run("list", "jt808", "--json")
        told = json.loads(out)
        self.assertEqual(told["protocol"], "jt808")
        message = next(item for item in told["messages"] if item["id"] == "0x0704")
        self.assertEqual(message["direction"], "up")
        self.assertEqual([field["key"] for field in message["fields"]],
                         ["count", "type", "locations"])
        items = next(item for item in told["item_lists"] if item["name"] == "location items")
        odometer = next(item for item in items["items"] if item["id"] == "0x01")
        self.assertEqual(odometer["fields"][0]["unit"], "km")
        self.assertEqual(odometer["fields"][0]["decimals"], 1)
        for item in told["messages"]:
            self.assertTrue(item["name"] and item["source"] and item["versions"])

    def test_the_page_of_messages_is_what_the_tables_say(self):
        code, out, err = run("list", "jt808", "--markdown")
        self.assertEqual((code, err), (0, ""))
        stale = ("protocols/jt808/MESSAGES.md is stale; refresh it: build/bin/ringgate-codec list "
                 "jt808 --markdown > protocols/jt808/MESSAGES.md")
        page = (harness.ROOT / "protocols" / "jt808" / "MESSAGES.md").read_text()
        self.assertEqual(page.splitlines(), out.splitlines(), stale)
        told = json.loads(run("list", "jt808", "--json")[1])
        for item in sum([one["items"] for one in told["item_lists"]], told["messages"]):
            self.assertRegex(out, rf"\n\| {item['id']}( to 0x\w+)? \| {item['name']} \|")

    def test_jsonl_has_its_place(self):
        code, out, err = run("decode", "jsonl", '{"id":"a"}'.encode().hex())
        self.assertEqual((code, json.loads(out)), (0, {"id": "a"}))
        self.assertEqual(run("encode", "jsonl", '{"id":"a"}')[0], 0)

    def test_exit_codes_and_help(self):
        self.assertEqual(run("decode", "modbus", HEARTBEAT)[0], 2)
        self.assertEqual(run("decode", "jt808")[0], 2)
        self.assertEqual(run("--nonsense")[0], 2)
        for command in [[], ["decode"], ["encode"], ["explain"], ["list"]]:
            code, out, err = run(*command, "--help")
            self.assertEqual(code, 0)
            if command != ["list"]:
                self.assertIn("Example", out)


if __name__ == "__main__":
    unittest.main()
