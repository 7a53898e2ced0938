"""The simulated terminals of ringgate-load against a real gateway: commands over the control
socket, what the terminals then do, and what arrives of it."""

import json
import signal
import socket
import subprocess
import time
import unittest

import harness

PHONE = 13800000000
CAMERA = {"channel": 1, "command": 2, "interval_s": 0, "save": "upload", "resolution": "640x480",
          "quality": 5, "brightness": 128, "contrast": 64, "saturation": 64, "chroma": 128}
RECORDINGS = {"channel": 0, "start": None, "end": None, "type": 0, "stream": 0, "storage": 0}
# What gets lost is asked for or sent again soon, so that the test is quick.
SOON = {"jt808.part_timeout": "300ms", "jt808.command_timeout": "1s"}
# (version, transport, loss)
WAYS = [(2013, "tcp", 0), (2019, "tcp", 0.2), (2013, "udp", 0.2), (2019, "udp", 0)]


def wait_for(what, get):
    """The first true value of `get`."""
    patience = time.monotonic() + harness.LIMIT_S
    while True:
        value = get()
        if value:
            return value
        if time.monotonic() > patience:
            raise AssertionError(f"still waiting for {what}")
        time.sleep(0.05)


class Fleet:
    """ringgate-load with its terminals; ends well or fails the test."""

    def __init__(self, test, gateway, *arguments, version=2013, udp=False, loss=0, devices=1):
        self.test = test
        folder = test.folder / f"fleet-{len(test.fleets)}"
        self.files = folder / "files"
        self.files.mkdir(parents=True)
        self.events_file = folder / "events"
        host, port = gateway.address()
        command = [harness.LOAD, "jt808", "--target", f"{host}:{port}", "--devices", devices,
                   "--version", version, "--loss", loss, "--seed", 7, "--events",
                   self.events_file, "--files", self.files, *arguments]
        if udp:
            command.append("--udp")
        self.process = subprocess.Popen([str(part) for part in command], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        test.fleets.append(self)

    def events(self, name=None):
        if not self.events_file.exists():
            return []
        told = [json.loads(line) for line in self.events_file.read_text().splitlines(True)
                if line.endswith("\n")]
        return [event for event in told if name in (None, event["event"])]

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=harness.LIMIT_S)
        self.test.assertEqual(self.process.returncode, 0, said)


class Control:
    """The gateway's control socket: one JSON object a line, each way."""

    def __init__(self, data_dir):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(harness.LIMIT_S)
        self.socket.connect(str(data_dir / "control.sock"))
        self.lines = self.socket.makefile("rw")

    def ask(self, **request):
        """All lines of the answer; the last one says how it went."""
        self.lines.write(json.dumps(request) + "\n")
        self.lines.flush()
        answer = []
        while not answer or "ok" not in answer[-1]:
            answer.append(json.loads(self.lines.readline()))
        return answer

    def online(self, phone=PHONE):
        answer = self.ask(op="device", device=str(phone))[-1]
        return answer["ok"] and answer["device"].get("online")

    def send(self, message, phone=PHONE, wait_s=20, **fields):
        """The outcome of a command to one terminal."""
        answer = self.ask(op="send", device=str(phone), wait_ms=wait_s * 1000,
                          command={"message": message, **fields})
        outcomes = [line["outcome"] for line in answer if "outcome" in line]
        if len(outcomes) != 1:
            raise AssertionError(answer)
        return outcomes[0]

    def close(self):
        self.lines.close()
        self.socket.close()


class TerminalTest(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.fleets = []
        self.addCleanup(self.end_fleets)

    def end_fleets(self):
        for fleet in self.fleets:
            if fleet.process.poll() is None:
                fleet.process.kill()
                fleet.process.communicate()

    def begin(self, *arguments, settings=None, **options):
        """A gateway, a fleet whose first terminal is online, and the control socket."""
        gateway = self.start(SOON | (settings or {}))
        fleet = Fleet(self, gateway, *arguments, **options)
        control = Control(self.data_dir)
        self.addCleanup(control.close)
        wait_for("the terminal", control.online)
        return gateway, fleet, control

    def each_way(self, check):
        """Calls check(version, fleet, control) for each of WAYS."""
        for version, transport, loss in WAYS:
            with self.subTest(version=version, transport=transport, loss=loss):
                self.data_dir = self.folder / f"{version}-{transport}-{loss}"
                gateway, fleet, control = self.begin("--idle", version=version, loss=loss,
                                                     udp=transport == "udp")
                check(version, fleet, control)
                fleet.end()
                self.assertEqual(gateway.stop(), 0)

    def answered(self, outcome):
        self.assertEqual(outcome["status"], "answered", outcome)
        return outcome.get("answer", {}).get("body", {}).get("body", {})


class Commands(TerminalTest):
    def test_parameters_are_set_and_read_back(self):
        def check(_version, _fleet, control):
            self.answered(control.send("set-parameters", parameters=[
                {"id": "0x0001", "value_s": 33}, {"id": "0x0055", "value_kmh": 77}]))
            told = self.answered(control.send("query-some-parameters",
                                              parameter_ids=["0x0001", "0x0055"]))
            self.assertEqual([(one["id"], one.get("value_s"), one.get("value_kmh"))
                              for one in told["parameters"]],
                             [("0x0001", 33, None), ("0x0055", None, 77)])
            every = self.answered(control.send("query-parameters"))["parameters"]
            self.assertGreater(len(every), 60)
            self.assertEqual(every[0]["value_s"], 33)
        self.each_way(check)

    def test_texts_short_and_long(self):
        def check(version, fleet, control):
            flags = {"flags": ["display"]}
            if version == 2019:
                flags |= {"level": "service", "type": "notice"}
            for text in ("请到三号门卸货", "x" * 1024):
                self.answered(control.send("text-message", text=text, **flags))
            shown = [bytes.fromhex(event["gbk"]).decode("gbk") for event in fleet.events("text")]
            self.assertEqual(shown, ["请到三号门卸货", "x" * 1024])
        self.each_way(check)

    def test_areas_are_kept_and_their_borders_watched(self):
        def check(version, fleet, control):
            # Terminals that do not drive stand in the middle of this one, at 60 km/h.
            area = {"area_id": 7, "attributes": ["entry-to-platform", "speed-limit"],
                    "latitude_deg": 31.230416, "longitude_deg": 121.473701, "radius_m": 500,
                    "speed_limit_kmh": 40, "overspeed_s": 1}
            if version == 2019:
                area |= {"night_speed_limit_kmh": 30, "area_name": "码头"}
            self.answered(control.send("set-circles", operation="update", areas=[area]))
            if version == 2019:
                told = self.answered(control.send("query-areas", type="circle", ids=[]))
                self.assertEqual(told["circles"][0]["area_name"], "码头")
                self.assertEqual(told["circles"][0]["area_id"], 7)
            wait_for("alarms of the area", lambda: len(fleet.events("area-alarm")) == 2)
            records = harness.dump_until(self.data_dir, lambda found: len(found) >= 2, "0x0200")
            self.assertEqual(len(records), 2)
            self.answered(control.send("delete-circles", area_ids=[]))
        self.each_way(check)

    def test_a_list_of_recordings_that_takes_many_parts(self):
        def check(_version, _fleet, control):
            told = self.answered(control.send("search-recordings", **RECORDINGS))
            self.assertGreater(len(told["recordings"]), 200)
            self.assertEqual({one["channel"] for one in told["recordings"]}, {1, 2, 3, 4})
        self.each_way(check)

    def test_a_question_is_answered_by_the_driver(self):
        def check(_version, fleet, control):
            told = self.answered(control.send(
                "question", flags=["tts"], question="ready?",
                answers=[{"answer_id": 3, "text": "yes"}, {"answer_id": 4, "text": "no"}]))
            self.assertEqual(told["answer_id"], fleet.events("question")[0]["chosen"])
        self.each_way(check)

    def test_a_reset_leaves_and_comes_back(self):
        gateway, fleet, control = self.begin("--rate", "5")
        self.answered(control.send("control-terminal", command="reset"))
        wait_for("the terminal to come back", lambda: fleet.events("online"))
        self.answered(control.send("query-attributes"))
        fleet.end()
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual(len(harness.frames(harness.dump(self.data_dir), "0x0100")), 2)

    def test_many_terminals_at_once(self):
        gateway, fleet, control = self.begin("--rate", "2", "--drive", devices=200, loss=0.1)
        wait_for("all terminals",
                 lambda: all(control.online(PHONE + i) for i in (0, 57, 111, 199)))
        answer = control.ask(op="send", all=True, wait_ms=20_000, parallel=200,
                             command={"message": "query-parameters"})
        self.assertEqual(answer[-1]["by_status"], {"answered": 200})
        fleet.end()
        self.assertEqual(gateway.stop(), 0)


class Media(TerminalTest):
    def test_snapshots_arrive_as_they_were_taken(self):
        def check(_version, fleet, control):
            told = self.answered(control.send("camera", **CAMERA))
            self.assertEqual(told["media_ids"], [1, 2])
            taken = sorted(path.read_bytes() for path in fleet.files.iterdir())
            self.assertEqual(len(taken), 2)
            wait_for("two pictures",
                     lambda: sorted(path.read_bytes() for path in
                                    (self.data_dir / "blobs").rglob("*.jpg")) == taken)
            wait_for("their receipts", lambda: len(fleet.events("uploaded")) == 2)
        self.each_way(check)

    def test_snapshot_from_a_shell(self):
        gateway, fleet, _ = self.begin("--idle", loss=0.2)
        code, out, err = harness.run(
            harness.CTL, "--data", self.data_dir, "send", PHONE, "--wait", "20s",
            json.dumps({"message": "camera", **CAMERA, "command": 1}))
        self.assertEqual(code, 0, out + err)
        self.assertIn("camera-reply", out)
        wait_for("the picture", lambda: fleet.events("uploaded"))
        kept = [path.read_bytes() for path in (self.data_dir / "blobs").rglob("*.jpg")]
        self.assertEqual(kept, [path.read_bytes() for path in fleet.files.iterdir()])
        fleet.end()
        self.assertEqual(gateway.stop(), 0)

    def test_sound(self):
        gateway, fleet, control = self.begin("--idle")
        self.answered(control.send("record-audio", command=1, duration_s=1, save="upload",
                                   rate="8-khz"))
        wait_for("the recording", lambda: fleet.events("uploaded"))
        heard = [path.read_bytes() for path in (self.data_dir / "blobs").rglob("*.wav")]
        self.assertEqual(heard, [path.read_bytes() for path in fleet.files.iterdir()])
        fleet.end()
        self.assertEqual(gateway.stop(), 0)


class Attachments(TerminalTest):
    def test_files_of_an_alarm_arrive_whatever_gets_lost(self):
        for version, transport, loss in WAYS:
            with self.subTest(version=version, transport=transport, loss=loss):
                self.data_dir = self.folder / f"{version}-{transport}-{loss}"
                gateway, fleet, control = self.begin(
                    "--idle", "--alarms", "5", settings={"attachment.listen": "127.0.0.1:0"},
                    version=version, loss=loss, udp=transport == "udp")
                self.fetch(gateway, fleet, control, alarms=4)
                fleet.end()
                self.assertEqual(gateway.stop(), 0)

    def fetch(self, gateway, fleet, control, alarms):
        host, port = gateway.address("attachment")
        reports = harness.dump_until(self.data_dir, lambda found: len(found) >= alarms, "0x0200")
        decoded = harness.frames(harness.dump(self.data_dir, "--decode"), "0x0200")[:alarms]
        self.assertGreaterEqual(len(reports), alarms)
        for number, report in enumerate(decoded):
            sign = next(item["alarm_sign"] for item in report["body"]["body"]["items"]
                        if "alarm_sign" in item)
            self.answered(control.send(
                "request-attachments", address=host, tcp_port=port, udp_port=0, alarm_sign=sign,
                alarm_number=f"ALARM-{number}"))
        wait_for("the uploads", lambda: len(fleet.events("attached") +
                                            fleet.events("not-attached")) == alarms)
        done = fleet.events("attached") + fleet.events("not-attached")
        self.assertEqual([event["event"] for event in done], ["attached"] * alarms, done)
        sent = sorted(path.read_bytes() for path in fleet.files.iterdir())
        self.assertEqual(len(sent), sum(event["files"] for event in done))
        kept = [path for path in (self.data_dir / "blobs").rglob("*")
                if path.is_file() and path.suffix != ".json"]
        self.assertEqual(sorted(path.read_bytes() for path in kept), sent)


if __name__ == "__main__":
    unittest.main()
