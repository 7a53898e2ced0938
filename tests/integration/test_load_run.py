"""`ringgate-load run` with real workers against a real gateway: files of a run, a worker that is
killed, workers on another address, verification, faults, the screen, the report in Chromium."""

import csv
import json
import os
import pty
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
import unittest
import urllib.request
from pathlib import Path

import harness

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None

CHAOS = harness.BUILD / "tools" / "chaos" / "ringgate-chaos"
SCENARIO = """
seed = 7
[target]
jt808 = "{target}"
{more}
[[class]]
name = "cars"
kind = "terminal"
interval = "200ms"
weight = 3
[[class]]
name = "parked"
kind = "terminal"
interval = "300ms"
version = 2019
[[stage]]
name = "come"
kind = "ramp"
to = 20
duration = "500ms"
warmup = true
[[stage]]
name = "work"
kind = "constant"
users = 20
duration = "{work}"
[thresholds]
all = {thresholds}
"""


def wait_for(what, condition):
    patience = time.monotonic() + harness.LIMIT_S
    while not condition():
        if time.monotonic() > patience:
            raise AssertionError(f"still no {what}")
        time.sleep(0.02)


def children_of(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


class LoadRunTest(harness.GatewayTest):
    def target(self, gateway, name="jt808"):
        return "%s:%d" % gateway.address(name)

    def scenario(self, target, thresholds='["errors == 0"]', work="1500ms", more="", extra=""):
        path = self.folder / "town.toml"
        path.write_text(SCENARIO.format(target=target, thresholds=thresholds, work=work, more=more)
                        + extra)
        return path

    def run_load(self, *arguments):
        return harness.run(harness.LOAD, "run", *arguments)

    def begin(self, *arguments):
        """A run in the background whose lines are read one by one."""
        run = subprocess.Popen([str(part) for part in (harness.LOAD, "run", *arguments)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
        self.addCleanup(run.stderr.close)
        self.addCleanup(run.stdout.close)
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        return run


class Files(LoadRunTest):
    def test_what_a_run_leaves_agrees_with_itself_and_with_the_log(self):
        gateway = self.start()
        out = {kind: self.folder / f"run.{kind}" for kind in ("json", "csv", "html")}
        code, table, lines = self.run_load(
            self.scenario(self.target(gateway), '["p99 < 30s", "errors == 0", "lost == 0"]'),
            "--workers", 2, "--json", out["json"], "--csv", out["csv"], "--report", out["html"],
            "--verify-log", self.data_dir)
        self.assertEqual(code, 0, table + lines)
        self.assertIn("20 of 20 users", lines)
        run = json.loads(out["json"].read_text())
        self.assertEqual((run["format"], run["format_version"], run["exit_status"]),
                         ("ringgate-load run", 1, 0))
        self.assertEqual([one["name"] for one in run["scenario"]["classes"]], ["cars", "parked"])
        self.assertEqual(len(run["workers"]), 2)
        self.assertEqual(run["server"]["pid"], gateway.process.pid)
        self.assertGreater(run["server"]["cpu_s"], 0)
        # Rows add up to the totals of their stages, and these to what was looked up.
        for stage, totals in enumerate(run["totals"]["stages"]):
            rows = [row for row in run["timeline"] if row["stage"] == stage]
            for which, tally in enumerate(totals["classes"]):
                for name in ("sent", "acknowledged"):
                    self.assertEqual(sum(row["classes"][which].get(name, 0) for row in rows),
                                     tally.get(name, 0))
                response = tally["response"]
                self.assertEqual(sum(response["buckets"][1::2]), response["count"])
        acknowledged = sum(stage["all"]["acknowledged"] for stage in run["totals"]["stages"])
        self.assertGreater(acknowledged, 50)
        verified = run["verification"]
        self.assertEqual((verified["looked_up"], verified["lost"], verified["duplicated"],
                          verified["reordered"]), (acknowledged, 0, 0, 0))
        reports = harness.frames(harness.dump(self.data_dir), "0x0200")
        self.assertGreaterEqual(len(reports), acknowledged)
        self.assertEqual([one["holds"] for one in run["thresholds"]], [True] * 3)
        with open(out["csv"], encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 2 * len(run["timeline"]))
        self.assertEqual(sum(int(row["acknowledged"]) for row in rows), acknowledged)
        self.assertEqual({row["class"] for row in rows}, {"cars", "parked"})
        self.assertIn("ringgate-load run", out["html"].read_text())
        self.assertIsNone(re.search(r'(?:src|href)="(?!data:)', out["html"].read_text()))

    def test_exit_status_says_how_it_went(self):
        gateway = self.start()
        target = self.target(gateway)
        code, table, _ = self.run_load(self.scenario(target, '["p99 < 1ns"]', "300ms"), "--quiet")
        self.assertEqual(code, 99)
        self.assertIn("BROKEN  p99 < 1ns", table)
        code, _, err = self.run_load(self.scenario(target, '["p98 < "]'))
        self.assertEqual(code, 2)
        self.assertRegex(err, r"town\.toml:\d+:\d+: ")
        code, _, err = self.run_load("bseline")
        self.assertEqual(code, 2)
        self.assertIn("baseline", err)
        code, out, _ = self.run_load(self.scenario(target), "--check")
        self.assertEqual(code, 0)
        self.assertIn("20 users", out)
        nobody = self.scenario("127.0.0.1:1", "[]", "300ms")
        code, table, _ = self.run_load(nobody, "--quiet")
        self.assertEqual(code, 1, table)
        self.assertIn("connect_failed", table)
        for arguments in (["--workers", "0"], ["--worker", "127.0.0.1"],
                          ["--secret-file", "/nonexistent"], ["--json", "/nonexistent/run.json"]):
            code, _, err = self.run_load(self.scenario(target), *arguments)
            self.assertEqual(code, 2, err)

    def test_a_report_of_what_is_no_run_names_it(self):
        other = self.folder / "other.json"
        for text in ("{}", "[", '{"format": "ringgate-load run", "format_version": 2}',
                     '{"format": "ringgate-load run", "format_version": 1}'):
            other.write_text(text)
            code, _, err = harness.run(harness.LOAD, "report", other, "-o", self.folder / "x.html")
            self.assertEqual(code, 2)
            self.assertIn("other.json", err)
            self.assertFalse((self.folder / "x.html").exists())


class Workers(LoadRunTest):
    def kill_one(self, run):
        wait_for("worker at work", lambda: "20 of 20 users" in run.stderr.readline())
        workers = children_of(run.pid)
        self.assertEqual(len(workers), 2)
        os.kill(workers[1], signal.SIGKILL)
        return workers

    def test_a_killed_worker_is_named_and_the_rest_stays_right(self):
        gateway = self.start()
        file = self.folder / "run.json"
        run = self.begin(self.scenario(self.target(gateway), "[]", "3s"), "--workers", "2",
                         "--json", file, "--verify-log", self.data_dir)
        workers = self.kill_one(run)
        table, lines = run.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(run.returncode, 1, table)
        self.assertIn(f"worker 1 (pid {workers[1]}) was lost at", table)
        self.assertIn("killed by signal 9", table)
        self.assertLess(table.index("was lost at"), table.index("class"))
        self.assertIn("1 of 2 workers LOST", lines)
        found = json.loads(file.read_text())
        self.assertNotIn("lost", found["workers"][0])
        self.assertEqual(found["workers"][1]["lost"]["users"], 9)
        last = [row for row in found["timeline"] if row["workers"] == 1]
        self.assertTrue(last)
        # What it was told before it died was kept, and is in the log.
        self.assertEqual(found["verification"]["lost"], 0)
        self.assertGreater(found["workers"][1]["acked"], 0)

    def test_users_are_split_by_the_limit_of_files(self):
        gateway = self.start()
        file = self.folder / "run.json"
        arguments = [harness.LOAD, "run", self.scenario(self.target(gateway), "[]", "500ms"),
                     "--set", "stage.come.to=300", "--set", "stage.work.users=300", "--quiet",
                     "--json", file]

        def limited():
            resource.setrlimit(resource.RLIMIT_NOFILE, (520, 520))
        code, table, err = harness.run(*arguments, preexec_fn=limited)
        self.assertEqual(code, 0, table + err)
        run = json.loads(file.read_text())
        self.assertEqual([worker["users_max"] for worker in run["workers"]], [151, 149])
        code, _, err = harness.run(*arguments, "--workers", 1, preexec_fn=limited)
        self.assertEqual(code, 2)
        self.assertIn("--workers", err)

    def test_workers_end_with_their_coordinator(self):
        gateway = self.start()
        run = self.begin(self.scenario(self.target(gateway), "[]", "60s"), "--workers", "2")
        wait_for("worker at work", lambda: "20 of 20 users" in run.stderr.readline())
        workers = children_of(run.pid)
        run.kill()
        wait_for("end of the workers", lambda: all(gone(worker) for worker in workers))

    def test_interrupting_ends_it_in_order(self):
        gateway = self.start()
        run = self.begin(self.scenario(self.target(gateway), '["errors == 0"]', "60s"))
        wait_for("worker at work", lambda: "20 of 20 users" in run.stderr.readline())
        run.send_signal(signal.SIGINT)
        table, _ = run.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(run.returncode, 0, table)
        self.assertIn("interrupted", table)

    def test_a_directory_is_no_run_file(self):
        code, _, said = harness.run(harness.LOAD, "report", self.folder, "-o",
                                    self.folder / "out.html")
        self.assertEqual(code, 2, said)
        self.assertIn("Is a directory", said)

    def test_impatience_and_a_closed_terminal_lose_no_worker(self):
        gateway = self.start()
        for first, pause_s in ((signal.SIGINT, 0), (signal.SIGHUP, 0.03), (signal.SIGTERM, 0.06)):
            run = self.begin(self.scenario(self.target(gateway), '["errors == 0"]', "60s"),
                             "--workers", 3)
            wait_for("workers at work", lambda: "20 of 20 users" in run.stderr.readline())
            run.send_signal(first)
            time.sleep(pause_s)  # meanwhile some worker may have said its last word, or all
            run.send_signal(signal.SIGINT)
            table, lines = run.communicate(timeout=harness.LIMIT_S)
            self.assertEqual(run.returncode, 0, table + lines)
            self.assertIn("interrupted", table)
            self.assertNotIn("was lost", table)


class Remote(LoadRunTest):
    def worker(self, *arguments):
        process = subprocess.Popen([str(harness.LOAD), "worker", "--listen", "127.0.0.2:0",
                                    *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, process.stdout.readline().split()[-1]

    def secret(self, name, text):
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def test_a_worker_elsewhere_has_its_share_and_sends_its_truth(self):
        gateway = self.start()
        secret = self.secret("secret", "0123456789abcdef")
        process, address = self.worker("--secret-file", secret)
        file = self.folder / "run.json"
        scenario = self.scenario(self.target(gateway))
        code, table, err = self.run_load(scenario, "--workers", 1, "--worker", address,
                                         "--secret-file", secret, "--json", file, "--verify-log",
                                         self.data_dir)
        self.assertEqual(code, 0, table + err)
        run = json.loads(file.read_text())
        self.assertEqual([worker["remote"] for worker in run["workers"]], [False, True])
        self.assertEqual([worker["users_max"] for worker in run["workers"]], [11, 9])
        self.assertGreater(run["workers"][1]["acked"], 0)
        self.assertEqual(run["verification"]["lost"], 0)
        self.assertLess(abs(run["workers"][1]["clock_offset_us"]), 100_000)
        # Once more: it takes runs one after the other.
        wait_for("end of the first run", lambda: "is over" in process.stdout.readline())
        other = self.secret("other", "fedcba9876543210")
        for arguments in ([], ["--secret-file", other]):
            code, _, err = self.run_load(scenario, "--worker", address, *arguments)
            self.assertEqual(code, 2)
            self.assertIn("secret", err)
            wait_for("refusal", lambda: "refused" in process.stdout.readline())
        code, table, _ = self.run_load(scenario, "--worker", address, "--secret-file", secret)
        self.assertEqual(code, 0, table)

    def test_silent_strangers_keep_no_coordinator_out(self):
        gateway = self.start()
        secret = self.secret("secret", "0123456789abcdef")
        process, address = self.worker("--secret-file", secret)
        host, port = address.rsplit(":", 1)
        strangers = [socket.create_connection((host, int(port)), harness.LIMIT_S)
                     for _ in range(3)]
        for stranger in strangers:
            self.addCleanup(stranger.close)
            self.assertGreater(len(stranger.recv(1)), 0)  # it is being listened to
        strangers[1].sendall(b"\xff\xff\xff\xffJ")
        wait_for("refusal", lambda: "refused" in process.stdout.readline())
        code, table, err = self.run_load(self.scenario(self.target(gateway)), "--worker", address,
                                         "--secret-file", secret)
        self.assertEqual(code, 0, table + err)
        self.assertIn("20 of 20 users", err)

    def test_nobody_listens_to_the_world_without_a_secret(self):
        code, _, err = harness.run(harness.LOAD, "worker", "--listen", "0.0.0.0:0")
        self.assertEqual(code, 2)
        self.assertIn("--secret-file", err)
        loose = self.secret("loose", "0123456789abcdef")
        loose.chmod(0o644)
        code, _, err = harness.run(harness.LOAD, "worker", "--listen", "0.0.0.0:0",
                                   "--secret-file", loose)
        self.assertEqual(code, 2)
        self.assertIn("chmod 600", err)


class Dashboard(LoadRunTest):
    def test_the_gateway_shows_the_run(self):
        gateway = self.start()
        http = self.target(gateway, "http")
        run = self.begin(self.scenario(self.target(gateway), "[]", "60s", f'http = "{http}"'))

        def shown():
            with urllib.request.urlopen(f"http://{http}/api/v1/runs",
                                        timeout=harness.LIMIT_S) as answer:
                return [one for one in json.load(answer)["runs"] if one["users"] == 20]
        wait_for("run on the gateway", shown)
        one = shown()[0]
        self.assertEqual((one["scenario"], one["stage"], one["phase"], one["workers"]),
                         ("town", "work", "running", 1))
        run.send_signal(signal.SIGINT)
        table, lines = run.communicate(timeout=harness.LIMIT_S)
        self.assertEqual(run.returncode, 0, table + lines)
        self.assertNotIn("does not show", lines)


class Verify(LoadRunTest):
    def test_what_is_not_in_the_log_is_lost(self):
        """Everything goes to one gateway and is looked up in another's log, then in its own."""
        gateway = self.start()
        other = self.start(data_dir=self.folder / "other")
        scenario = self.scenario(self.target(gateway), '["lost == 0"]')
        file = self.folder / "run.json"
        code, table, _ = self.run_load(scenario, "--quiet", "--json", file, "--verify-log",
                                       self.folder / "other")
        self.assertEqual(code, 99, table)
        found = json.loads(file.read_text())["verification"]
        self.assertGreater(found["looked_up"], 50)
        self.assertEqual(found["lost"], found["looked_up"])
        self.assertRegex(found["examples"][0], r"^lost: phone \d+ serial \d+$")
        code, table, err = self.run_load(scenario, "--quiet", "--json", file, "--verify-api",
                                         self.target(gateway, "http"))
        self.assertEqual(code, 0, table + err)
        found = json.loads(file.read_text())["verification"]
        self.assertGreater(found["looked_up"], 50)
        self.assertEqual((found["lost"], found["duplicated"]), (0, 0))
        code, table, _ = self.run_load(scenario, "--quiet", "--verify-api",
                                       self.target(other, "http"))
        self.assertEqual(code, 99, table)
        code, table, err = self.run_load(scenario, "--quiet", "--verify-log",
                                         self.folder / "none")
        self.assertEqual((code, table), (2, ""))  # before the run, not after it
        self.assertIn("nothing could be verified: ", err)
        code, table, _ = self.run_load(scenario, "--quiet", "--verify-api", "127.0.0.1:1")
        self.assertEqual(code, 99, table)
        self.assertIn("not verified", table)


class FaultsAndScreen(LoadRunTest):
    def test_a_fault_has_its_place_on_the_time_line(self):
        if not CHAOS.exists():
            self.skipTest("this build has no ringgate-chaos")
        gateway = self.start()
        plan = self.folder / "plan.toml"
        plan.write_text('[control]\nlisten = "127.0.0.1:0"\n[proxies.front]\n'
                        f'listen = "127.0.0.1:0"\ntarget = "{self.target(gateway)}"\n')
        chaos = subprocess.Popen([str(CHAOS), str(plan)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(chaos.stdout.close)
        self.addCleanup(chaos.wait)
        self.addCleanup(chaos.terminate)
        ready = chaos.stdout.readline()
        front = re.search(r"front=(\S+)", ready)[1]
        control = re.search(r"control=(\S+)", ready)[1]
        file = self.folder / "run.json"
        scenario = self.scenario(front, "[]", "2s", f'chaos = "{control}"', """
[[fault]]
name = "slow"
stage = "work"
at = "500ms"
for = "800ms"
proxy = "front"
rule = { kind = "latency", latency = "150ms" }
""")
        code, table, err = self.run_load(scenario, "--json", file, "--plain")
        self.assertIn(code, (0, 1), table + err)
        run = json.loads(file.read_text())
        self.assertEqual(len(run["faults"]), 1)
        fault = run["faults"][0]
        self.assertNotIn("problem", fault)
        self.assertGreaterEqual(fault["until_s"] - fault["from_s"], 0.5)
        self.assertGreaterEqual(run["totals"]["all"]["service"]["max_ns"], 150_000_000)
        wrong = self.scenario(front, "[]", "2s", f'chaos = "{control}"', """
[[fault]]
at = "500ms"
for = "800ms"
proxy = "back"
rule = { kind = "latency", latency = "150ms" }
""")
        code, _, err = self.run_load(wrong)
        self.assertEqual(code, 2)
        self.assertIn("/proxies/back", err)

    def test_the_screen_is_drawn_and_given_back(self):
        gateway = self.start()
        own, other = pty.openpty()
        self.addCleanup(os.close, own)
        run = subprocess.Popen([str(harness.LOAD), "run",
                                str(self.scenario(self.target(gateway), "[]", "60s"))],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=other)
        os.close(other)
        self.addCleanup(run.stdout.close)
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        seen = b""
        patience = time.monotonic() + harness.LIMIT_S
        interrupted = False
        while time.monotonic() < patience:
            try:
                piece = os.read(own, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
            if not interrupted and "cars" in seen.decode(errors="replace") \
                    and b"20 of 20" in seen:
                run.send_signal(signal.SIGINT)
                interrupted = True
        self.assertTrue(interrupted)
        self.assertEqual(run.wait(harness.LIMIT_S), 0)
        self.assertTrue(seen.startswith(b"\x1b[?1049h"))
        self.assertIn(b"\x1b[?25h\x1b[?1049l", seen)
        self.assertGreater(seen.rindex(b"\x1b[?1049l"), seen.rindex(b"\x1b[H"))


@unittest.skipUnless(webdriver and shutil.which("chromium") and shutil.which("chromedriver"),
                     "chromium, chromium-driver and python3-selenium are not all there")
class Page(LoadRunTest):
    def open(self, path, width, dark):
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.addCleanup(driver.quit)
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        driver.get(f"file://{path}")
        return driver

    def check(self, driver, width):
        self.assertEqual(driver.get_log("browser"), [])
        canvases = driver.execute_script(
            "return [...document.querySelectorAll('canvas')].map((c) => c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data.some((byte) => byte))")
        self.assertGreaterEqual(len(canvases), 10)
        self.assertTrue(all(canvases), canvases)  # each has something drawn
        self.assertLessEqual(
            driver.execute_script("return document.documentElement.scrollWidth"), width)

    def test_moments_of_a_long_run_are_said_in_minutes_and_hours(self):
        functions = (harness.ROOT / "tools/load/run/page/figures.js").read_text()
        page = self.folder / "empty.html"
        page.write_text("<title>x</title>")
        driver = self.open(page, 400, False)
        for end, labels in ((6, "0 s,1 s,2 s,3 s,4 s,5 s,6 s"),
                            (140, "0 s,30 s,60 s,90 s,120 s"),
                            (2750, "0 min,10 min,20 min,30 min,40 min"),
                            (11_000, "0 h,0.5 h,1 h,1.5 h,2 h,2.5 h,3 h"),
                            (86_400, "0 h,3 h,6 h,9 h,12 h,15 h,18 h,21 h,24 h")):
            said = driver.execute_script(
                functions.replace("export ", "") + f"const m = moments({end});"
                "return [m.at.map((one) => m.show(one)).join(), moment(3723.4), moment(12.34)]")
            self.assertEqual(said, [labels, "1:02:03 h", "12.3 s"])

    def test_the_report_in_a_browser(self):
        gateway = self.start()
        files = [self.folder / "a.json", self.folder / "b.json"]
        hostile = "<script>document.title='owned'</script></script>"
        scenario = self.scenario(self.target(gateway))
        scenario.write_text(f'description = "{hostile}"\n' + scenario.read_text())
        for file in files:
            code, table, _ = self.run_load(scenario, "--quiet", "--json", file)
            self.assertEqual(code, 0, table)
        one, two = self.folder / "one.html", self.folder / "two.html"
        for arguments in ((files[0], "-o", one), (*files, "-o", two)):
            self.assertEqual(harness.run(harness.LOAD, "report", *arguments)[0], 0)
        if "was built without" in one.read_text():
            self.skipTest("this build draws no report: esbuild, libjs-chart.js")
        driver = self.open(one, 1280, False)
        self.check(driver, 1280)
        text = driver.find_element("tag name", "body").text
        for part in ("town", hostile, "all thresholds hold", "done per second", "errors == 0",
                     "stage work", "parked"):
            self.assertIn(part, text)
        self.assertEqual(driver.title, "ringgate-load: town")
        before = driver.find_element("css selector", ".card b").text
        driver.execute_script(
            "const pick = document.querySelector('select'); pick.value = '1';"
            "pick.dispatchEvent(new Event('change'))")
        self.assertNotEqual(driver.find_element("css selector", ".card b").text, before)
        self.check(driver, 1280)
        driver = self.open(two, 390, True)
        self.check(driver, 390)
        text = driver.find_element("tag name", "body").text
        for part in ("A: town", "B: town", "against A"):
            self.assertIn(part, text)


if __name__ == "__main__":
    unittest.main()
