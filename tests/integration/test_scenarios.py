"""ringgate-load run: every scenario that comes with the program, in small, against a real gateway;
what its run file says is held against itself and against the gateway's log. Thresholds that are
broken, a run that ends early, a knee that is found, and scenarios that are wrong."""

import heapq
import json
import selectors
import socket
import struct
import threading
import time
import unittest

import harness
import jt808

# By name: how much of it. Each then takes three seconds or so.
SHORTEN = {"baseline": 0.04, "normal": 0.02, "peak": 0.02, "stress": 0.01, "10k": 0.02,
           "100k": 0.008, "connect-storm": 0.05, "day": 0.008, "sustained": 0.02}
# A busy machine is slow: here it counts what came, not how soon.
PATIENT = ("--set", 'thresholds={all=["errors < 1%", "p99 < 60s"]}')


def shipped():
    code, out, err = harness.run(harness.LOAD, "scenarios")
    if code:
        raise AssertionError(f"exit {code}\n{err}")
    return [line.split()[0] for line in out.splitlines()]


class SlowServer:
    """A platform for terminals that takes `each_s` for every report, one after the other, however
    many wait: it bears 1 / each_s reports a second, and not one more."""

    def __init__(self, each_s):
        self.each_s, self.free_at = each_s, 0.0
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.waker, self.woken = socket.socketpair()
        self.selector.register(self.woken, selectors.EVENT_READ)
        self.rests, self.later, self.number = {}, [], 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            wait = None
            if self.later:
                wait = max(0.0, self.later[0][0] - time.monotonic())
            for key, _ in self.selector.select(wait):
                if key.fileobj is self.woken:
                    return
                if key.fileobj is self.listener:
                    link, _ = self.listener.accept()
                    link.setblocking(False)
                    self.selector.register(link, selectors.EVENT_READ)
                    self.rests[link] = b""
                else:
                    self.read(key.fileobj)
            while self.later and self.later[0][0] <= time.monotonic():
                _, _, link, answer = heapq.heappop(self.later)
                self.send(link, answer)

    def read(self, link):
        try:
            data = link.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(link)
            del self.rests[link]
            link.close()
            return
        *frames, self.rests[link] = (self.rests[link] + data).split(b"\x7e")
        for inside in filter(None, frames):
            self.answer(link, jt808.parse(inside))

    def answer(self, link, message):
        to = (message.phone, message.serial, message.version)
        result = struct.pack(">HHB", message.serial, message.id, 0)
        if message.id == jt808.REGISTER:
            body = struct.pack(">HB", message.serial, 0) + b"code"
            return self.send(link, self.frame(jt808.REGISTER_REPLY, to, body))
        made = self.frame(jt808.PLATFORM_REPLY, to, result)
        if message.id != jt808.LOCATION:
            return self.send(link, made)
        self.free_at = max(self.free_at, time.monotonic()) + self.each_s
        self.number += 1
        heapq.heappush(self.later, (self.free_at, self.number, link, made))

    @staticmethod
    def frame(message_id, to, body):
        phone, serial, version = to
        return jt808.frame(message_id, phone, serial, body, version)

    def send(self, link, answer):
        if link in self.rests:
            try:
                link.send(answer)
            except OSError:
                pass  # the next read sees it

    def close(self):
        self.waker.send(b"x")
        self.thread.join(harness.LIMIT_S)
        for link in [*self.rests, self.listener, self.waker, self.woken]:
            link.close()
        self.selector.close()


class Scenarios(harness.GatewayTest):
    def gateway(self):
        gateway = self.start({"http.rate_per_address": "0"})
        self.targets = ("--target", "%s:%d" % gateway.address(),
                        "--set", "target.http=%s:%d" % gateway.address("http"))
        return gateway

    def load(self, scenario, *arguments, expect=0):
        """The run file of a run."""
        file = self.folder / "run.json"
        code, out, err = harness.run(harness.LOAD, "run", scenario, "--quiet", "--json", file,
                                     *arguments)
        self.assertEqual(code, expect, out + err)
        return json.loads(file.read_text())

    def scenario(self, text):
        file = self.folder / "scenario.toml"
        file.write_text(text)
        return file

    def check_run(self, run, scenario):
        """What holds of every run that went well."""
        self.assertEqual(run["format"], "ringgate-load run")
        self.assertEqual(run["scenario"]["name"], scenario)
        self.assertEqual(run["exit_status"], 0)
        stages = run["scenario"]["stages"]
        self.assertEqual([span["stage"] for span in run["stages"]], list(range(len(stages))))
        at = 0.0
        for span in run["stages"]:
            self.assertAlmostEqual(span["from_s"], at, delta=0.001)
            self.assertGreater(span["until_s"], span["from_s"])
            at = span["until_s"]
        self.assertTrue(all(verdict["holds"] for verdict in run["thresholds"]), run["thresholds"])
        self.assertTrue(run["workers"])
        totals, rows = run["totals"], run["timeline"]
        judged = [row for row in rows if not stages[row["stage"]]["warmup"]]
        for name in ("sent", "acknowledged", "delivered"):
            each = [of.get(name, 0) if of else 0 for of in totals["classes"]]
            self.assertEqual(totals["all"].get(name, 0), sum(each))
            for index, total in enumerate(each):
                self.assertEqual(sum(row["classes"][index].get(name, 0) for row in judged), total,
                                 f"{name} of class {index}")
        for of in filter(None, totals["classes"]):
            if of.get("acknowledged"):
                self.assertEqual(of["response"]["count"], of["acknowledged"])
                self.assertEqual(of["service"]["count"], of["acknowledged"])
        return sum(of.get("acknowledged", 0) for row in rows for of in row["classes"])

    def test_every_scenario_has_its_test(self):
        self.assertEqual(sorted(shipped()), sorted(SHORTEN))
        for name in SHORTEN:
            self.assertTrue(hasattr(self, "test_" + name.replace("-", "_") + "_in_small"))

    def test_a_broken_threshold_is_99_and_told(self):
        self.gateway()
        run = self.load("baseline", "--shorten", "0.02", *self.targets, "--set",
                        'thresholds={all=["p99 < 1us", "errors < 1%", "lost == 0"]}', expect=99)
        self.assertEqual([one["holds"] for one in run["thresholds"]], [False, True, False])
        self.assertGreater(run["thresholds"][0]["value"], 1000)
        self.assertIsNone(run["thresholds"][2]["value"])  # nobody looked
        self.assertEqual(run["exit_status"], 99)

    def test_a_run_ends_early_when_told_to(self):
        self.gateway()
        scenario = self.scenario(LONG)
        run = self.load(scenario, "--abort-early", *self.targets, expect=99)
        self.assertEqual(run["aborted"], "p50 < 1us")
        self.assertLess(run["duration_s"], 300)
        self.assertGreater(run["totals"]["all"]["acknowledged"], 0)

    def test_what_was_acknowledged_is_in_the_log(self):
        self.gateway()
        run = self.load("baseline", "--shorten", "0.03", *self.targets, "--verify-log",
                        self.data_dir, "--set",
                        'thresholds={all=["lost == 0", "duplicated == 0", "errors < 1%"]}')
        self.assertEqual(run["verification"]["lost"], 0)
        acknowledged = self.check_run(run, "baseline")
        self.assertGreaterEqual(run["verification"]["looked_up"], acknowledged)
        self.assertTrue(all(one["holds"] for one in run["thresholds"]))

    def test_a_search_finds_the_knee_of_a_slow_server(self):
        server = SlowServer(0.01)  # bears 100 reports a second
        self.addCleanup(server.close)
        run = self.load(self.scenario(SEARCH), "--target", f"127.0.0.1:{server.port}")
        stress, = run["stress"]
        levels = stress["levels"]
        good, bad = levels[stress["last_good"]], levels[stress["first_bad"]]
        # Ten reports a second of each user: ten users are what it bears.
        self.assertLessEqual(good["level"], 10)
        self.assertGreater(bad["level"], good["level"])
        self.assertEqual(bad, levels[-1])
        self.assertGreater(bad["p99_ns"], 0.4e9)
        self.assertLess(bad["acked_per_s"], 130)
        self.assertEqual((stress["stage"], stress["broken"]), ("raise", "p99 < 400ms"))
        self.assertGreater(stress["broken_value"], 0.4e9)
        self.assertEqual(stress["back_level"], good["level"])
        self.assertIn('"p99 < 400ms" was broken', run["stages"][0]["note"])
        # The stage ended with the search, long before its time.
        self.assertLess(run["stages"][0]["until_s"], 600)

    def test_a_search_finds_how_many_a_gateway_takes(self):
        gateway = self.start({"server.max_links": "12"})
        patient = SEARCH.replace("p99 < 400ms", "p99 < 30s").replace("from = 3", "from = 9")
        scenario = self.scenario(patient.replace('"2s"', '"1s"'))
        run = self.load(scenario, "--target", "%s:%d" % gateway.address())
        stress, = run["stress"]
        good, bad = (stress["levels"][stress[which]] for which in ("last_good", "first_bad"))
        self.assertEqual((good["level"], bad["level"]), (9, 27))
        self.assertEqual(stress["broken"], "users come")
        self.assertAlmostEqual(stress["broken_value"], 12 / 27, delta=2 / 27)
        self.assertEqual(stress["back_level"], 9)

    def test_wrong_scenarios_are_told_with_line_and_column(self):
        file = self.scenario(LONG.replace("p50 < 1us", "p5o < 1us").replace("users = 4",
                                                                           "user = 4"))
        for arguments in ((), ("--check",)):
            code, out, err = harness.run(harness.LOAD, "run", file, *arguments)
            self.assertEqual(code, 2, out + err)
            at = LONG.splitlines()
            users, threshold = at.index("users = 4") + 1, at.index('all = ["p50 < 1us"]') + 1
            self.assertIn(f"{file}:{users}:1: unknown key \"user\"; did you mean \"users\"?", err)
            self.assertIn(f"{file}:{threshold}:9: \"p5o < 1us\"", err)
            self.assertIn("needs users", err)
        code, out, err = harness.run(harness.LOAD, "run", "basline")
        self.assertEqual(code, 2, out)
        self.assertIn('did you mean "baseline"?', err)
        code, out, err = harness.run(harness.LOAD, "run", "baseline", "--check")
        self.assertEqual((code, err), (0, ""))


LONG = """
[[class]]
name = "a"
kind = "terminal"
interval = "100ms"

[[stage]]
kind = "constant"
users = 4
duration = "10m"

[thresholds]
all = ["p50 < 1us"]
abort_after = "1s"
"""

SEARCH = """
[[class]]
name = "vehicles"
kind = "terminal"
interval = "100ms"

[[stage]]
name = "raise"
kind = "stress"
from = 3
to = 300
growth = 3
every = "2s"
patience = "2s"
recover = "2s"
bounds = ["p99 < 400ms", "errors < 50%"]
duration = "10m"
"""


def in_small(name, factor):
    def test(self):
        gateway = self.gateway()
        run = self.load(name, "--shorten", str(factor), *self.targets, *PATIENT)
        acknowledged = self.check_run(run, name)
        kinds = {of["name"]: of["kind"] for of in run["scenario"]["classes"]}
        for (of, kind), total in zip(kinds.items(), run["totals"]["classes"]):
            self.assertIsNotNone(total, of)
            if kind in ("terminal", "api"):
                self.assertGreater(total.get("acknowledged", 0), 0, of)
        # Nothing is acknowledged that the gateway has not written down.
        self.assertEqual(gateway.stop(), 0)
        reports = harness.frames(harness.dump(self.data_dir), "0x0200")
        of_api = [index for index, of in enumerate(run["scenario"]["classes"])
                  if of["kind"] == "api"]
        answered = sum(row["classes"][index].get("acknowledged", 0)
                       for row in run["timeline"] for index in of_api)
        self.assertGreaterEqual(len(reports), acknowledged - answered)
        if name == "stress":
            self.assertTrue(run["stress"][0]["levels"])
        if name == "sustained":
            self.assertIn("acked_rate 40/s", run["stages"][0]["note"])
    return test


for scenario_name, scenario_factor in SHORTEN.items():
    setattr(Scenarios, "test_" + scenario_name.replace("-", "_") + "_in_small",
            in_small(scenario_name, scenario_factor))

if __name__ == "__main__":
    unittest.main()
