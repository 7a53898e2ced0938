"""The page in a real Chromium: numbers and a map of vehicles that drive, a command and its answer,
languages, themes, sizes, a gateway that is killed and comes back, logging in; and how its files are
served. Without chromium, its driver or selenium only the latter is tested."""

import http.client
import json
import re
import shutil
import subprocess
import unittest

import api_client
import harness
import jt808
import servers

try:
    from selenium import webdriver
    from selenium.common.exceptions import JavascriptException
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
NODE = shutil.which("node")
HOSTILE = "<img src=x onerror=document.title='owned'>"


class PageTest(harness.GatewayTest):
    def begin(self, **settings):
        self.gateway = self.start({"server.shards": "2"} | settings)
        return self.gateway

    def get(self, path, method="GET", **fields):
        connection = http.client.HTTPConnection(*self.gateway.address("http"),
                                                timeout=harness.LIMIT_S)
        try:
            connection.request(method, path, headers=fields)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def require_page(self):
        if b"app-" not in self.get("/")[2]:
            self.skipTest("this build has no dashboard: esbuild, libjs-leaflet, libjs-chart.js")


class Files(PageTest):
    def test_files_are_served_as_they_should(self):
        self.begin()
        self.require_page()
        status, fields, index = self.get("/")
        self.assertEqual((status, fields["Cache-Control"]), (200, "no-cache"))
        for name, part in (("Content-Security-Policy", "default-src 'none'"),
                           ("Content-Security-Policy", "frame-ancestors 'none'"),
                           ("X-Content-Type-Options", "nosniff"),
                           ("Referrer-Policy", "no-referrer")):
            self.assertIn(part, fields[name])
        self.assertNotIn("unsafe", fields["Content-Security-Policy"])
        # Chromium complains of it where there is no TLS.
        self.assertNotIn("Cross-Origin-Opener-Policy", fields)
        total = 0
        for path in re.findall(r'"(/page/[^"]+)"', index.decode()):
            status, fields, body = self.get(path, **{"Accept-Encoding": "gzip"})
            self.assertEqual(status, 200, path)
            self.assertIn("immutable", fields["Cache-Control"])
            self.assertEqual(int(fields["Content-Length"]), len(body))
            total += len(body)
            head = self.get(path, "HEAD", **{"Accept-Encoding": "gzip"})
            self.assertEqual((head[0], head[1]["Content-Length"], head[2]),
                             (200, fields["Content-Length"], b""))
            again = self.get(path, **{"Accept-Encoding": "gzip",
                                      "If-None-Match": fields["ETag"]})
            self.assertEqual((again[0], again[2]), (304, b""))
            # The tag is of this coding: what is not packed is another thing.
            self.assertEqual(self.get(path, **{"If-None-Match": fields["ETag"]})[0]
                             if "Content-Encoding" in fields else 200, 200)
        self.assertLess(total, 400 * 1024)
        self.assertEqual(self.get("/", "POST")[0], 405)
        self.assertEqual(self.get("/page/none.js")[0], 404)

    def test_tiles_are_allowed_by_the_policy_and_nothing_else(self):
        self.begin(**{"http.tile_url": "https://{s}.tile.example.org/{z}/{x}/{y}.png"})
        policy = self.get("/")[1]["Content-Security-Policy"]
        self.assertIn("img-src 'self' data: blob: https://*.tile.example.org;", policy)
        for bad in ("ftp://a/{z}/{x}/{y}", "https://a/{z}/{x}", "https://a b/{z}/{x}/{y}",
                    "https://a;script-src/{z}/{x}/{y}"):
            code, _, err = harness.run(harness.GATEWAY, "--check-config", "--set",
                                       f"http.tile_url={bad}")
            self.assertNotEqual(code, 0, bad)
            self.assertIn("http.tile_url", err)

    @unittest.skipUnless(NODE, "no node")
    def test_the_logic_of_the_page(self):
        folder = harness.ROOT / "tests" / "unit" / "page"
        code, out, err = harness.run(NODE, "--test", folder)
        self.assertEqual(code, 0, out + err)


@unittest.skipUnless(webdriver and CHROMIUM and DRIVER, "no chromium, chromedriver or selenium")
class Browser(PageTest):
    def open(self, path="#/map", language="en", size=(1280, 800), dark=False):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                     f"--window-size={size[0]},{size[1]}", f"--lang={language}",
                     f"--user-data-dir={self.folder / 'browser'}"):
            options.add_argument(word)
        if dark:
            options.add_argument("--blink-settings=preferredColorScheme=0")
        options.add_experimental_option("prefs", {"intl.accept_languages": language})
        if size[0] < 500:
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": {
                "width": size[0], "height": size[1], "pixelRatio": 2.0}})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.browser = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.addCleanup(self.browser.quit)
        host, port = self.gateway.address("http")
        self.base = f"http://{host}:{port}"
        self.browser.get(f"{self.base}/{path}")

    def js(self, code, *arguments):
        return self.browser.execute_script(f"return {code}", *arguments)

    # A page that is still loading has none of its things: an error is "not yet".
    def until(self, code, *arguments):
        def holds():
            try:
                return self.js(code, *arguments)
            except JavascriptException:
                return False
        servers.wait_until(holds, code)

    def text(self, selector):
        return self.js("document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def load(self, devices=20):
        host, port = self.gateway.address()
        process = subprocess.Popen([harness.LOAD, "jt808", "--target", f"{host}:{port}",
                                    "--devices", str(devices), "--demo", "--quiet"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def assert_clean(self):
        """No errors on the console, and no request to anybody but the gateway."""
        errors = [entry["message"] for entry in self.browser.get_log("browser")
                  if entry["level"] == "SEVERE"]
        self.assertEqual(errors, [])
        # Debian's browser asks for a start page of its own; what ours asks for has our document.
        log = " ".join(entry["message"] for entry in self.browser.get_log("performance")
                       if f'"documentURL":"{self.base}' in entry["message"]
                       or "webSocketCreated" in entry["message"])
        asked = set(re.findall(r'"url":"((?:https?|wss?)://[^/"]+)', log))
        self.assertEqual({url.split("://")[1] for url in asked}, {self.base.split("://")[1]})

    def test_the_first_evening(self):
        self.begin()
        self.require_page()
        self.open()
        self.until("document.querySelector('.empty .command')?.textContent.includes('-load')")
        self.load()
        self.until("document.querySelector('#number-online').textContent === '20'")
        self.until("ringgatePage.map.motions.size === 20")
        self.until("document.querySelector('#state').classList.contains('live')")
        self.until("document.querySelectorAll('#devices li').length === 20")
        # They move.
        place = "[...ringgatePage.map.motions.things.values()].map(one => one.item.x).join()"
        before = self.js(place)
        self.until(f"{place} !== arguments[0]", before)
        phone = self.js("[...ringgatePage.map.motions.things.keys()][0]")
        self.js("location.hash = '#/device/' + arguments[0] + '/command'", phone)
        self.until("document.querySelector('#command-send')?.disabled === false")
        self.js("document.querySelector('.form textarea').value = 'Come home'")
        self.js("document.querySelector('.form-flags input').click()")
        self.js("document.querySelector('#command-send').click()")
        self.until("/answered/.test(document.querySelector('#outcomes').textContent)")
        self.assertIn("terminal reply", self.text("#outcomes"))
        self.js("location.hash = '#/gateway'")
        self.until("document.querySelectorAll('.chart canvas').length >= 5")
        self.until("document.querySelector('#gateway-links')?.textContent === '20' || "
                   "Number(document.querySelector('#gateway-links')?.textContent) > 20")
        rows = ("[...document.querySelectorAll('.gateway-view h3')].find(title => "
                "title.textContent === arguments[0])?.parentElement")
        self.until(f"{rows}?.querySelectorAll('tbody a').length === 20", "Who sends most")
        self.until(f"{rows}?.textContent.length > 'Last errors'.length", "Last errors")
        self.js("location.hash = '#/map'")
        self.until("document.querySelector('#map canvas')")
        self.assert_clean()

    def test_languages_themes_and_sizes(self):
        self.begin()
        self.require_page()
        self.open(language="zh-CN", size=(390, 844), dark=True)
        self.until("document.querySelector('.tab span')?.textContent === '地图'")
        self.assertEqual(self.js("document.documentElement.dataset.theme"), "dark")
        self.assertTrue(self.js("document.documentElement.scrollWidth <= innerWidth"))
        self.js("document.querySelector('#language').click()")
        self.until("document.querySelector('.tab span')?.textContent === 'Map'")
        self.js("document.querySelector('#theme').click()")
        self.assertEqual(self.js("document.documentElement.dataset.theme"), "light")
        self.browser.refresh()
        self.until("document.querySelector('.tab span')?.textContent === 'Map'")
        self.assertEqual(self.js("document.documentElement.dataset.theme"), "light")

    def test_a_gateway_that_is_killed_and_comes_back(self):
        self.begin()
        self.require_page()
        host, port = self.gateway.address("http")
        self.open()
        self.until("document.querySelector('#state')?.classList.contains('live')")
        self.gateway.kill()
        self.until("document.querySelector('#state').classList.contains('away')")
        self.until("document.querySelector('.notice').hidden === false")
        # A view that was not open before can't be loaded now: the one that is open stays.
        self.js("location.hash = '#/device/13800138000'")
        self.until("ringgatePage.waits === true")
        self.assertTrue(self.js("document.querySelector('#number-devices') !== null"))
        self.begin(**{"http.listen": f"{host}:{port}"})
        self.until("document.querySelector('#state').classList.contains('live')")
        # A device that nobody knows: there is a way back, and nobody to kick.
        self.until("document.querySelector('.device-view .back')")
        self.assertTrue(self.js("document.querySelector('.button.danger').disabled"))
        self.js("location.hash = '#/map'")
        self.until("document.querySelector('#number-devices')?.textContent === '0'")
        self.until("document.querySelector('.notice').hidden")

    def test_searching(self):
        self.begin()
        self.require_page()
        self.load(3)
        client = api_client.Client(self.gateway.address("http"))
        self.addCleanup(client.close)

        def known():
            return [device["phone"] for device in client.get("/api/v1/devices").body["devices"]]

        servers.wait_until(lambda: len(known()) == 3, "the gateway knows three devices")
        phones = sorted(known())
        plates = {phones[0]: "京A10001", phones[1]: "粤B10002", "13999999999": "粤Z99999"}
        for phone, plate in plates.items():
            client.put(f"/api/v1/registrations/{phone}", {"plate": plate})
        self.open()
        names = ("[...document.querySelectorAll('#devices .name')]"
                 ".map(one => one.textContent).join()")
        self.until(f"{names} === arguments[0]", f"京A10001,粤B10002,{phones[2]}")
        # The last one is registered and was never here.
        for text, wanted in (("b1", "粤B10002"), ("1000", "京A10001,粤B10002"),
                             (phones[2], phones[2]), ("京", "京A10001"), ("nobody", ""),
                             ("粤z9", "粤Z99999")):
            self.js("(document.querySelector('#search').value = arguments[0], document"
                    ".querySelector('#search').dispatchEvent(new Event('input')))", text)
            self.until(f"{names} === arguments[0]", wanted)
        self.assert_clean()

    def test_the_order_of_the_list_is_a_persons(self):
        self.begin()
        self.require_page()
        client = api_client.Client(self.gateway.address("http"))
        self.addCleanup(client.close)
        speeds = {"13800138000": 30, "13800138001": 90, "13800138002": 60}
        for phone, speed in speeds.items():
            terminal = jt808.Terminal(self.gateway.address(), phone)
            self.addCleanup(terminal.close)
            terminal.sign_in()
            terminal.report(speed_kmh=speed)
        self.open()
        names = ("[...document.querySelectorAll('#devices .name')]"
                 ".map(one => one.textContent).join()")
        self.until(f"{names}.split(',').length === 3")
        for order in ("-speed", "phone", "-speed", ""):
            self.js("(document.querySelector('#sort').value = arguments[0], document"
                    ".querySelector('#sort').dispatchEvent(new Event('change')))", order)
            by = sorted(speeds, key=lambda phone: -speeds[phone]) if order == "-speed" \
                else sorted(speeds)
            self.until(f"{names} === arguments[0]", ",".join(by))
        # It stays while the page is open.
        self.js("(document.querySelector('#sort').value = '-speed', document"
                ".querySelector('#sort').dispatchEvent(new Event('change')))")
        self.js("location.hash = '#/gateway'")
        self.until("document.querySelectorAll('.chart canvas').length >= 5")
        self.js("location.hash = '#/map'")
        self.until("document.querySelector('#sort')?.value === '-speed'")
        self.assert_clean()

    def test_a_map_that_is_told_asks_seldom(self):
        """Vehicles move by the stream, not by what the map asks for each second."""
        self.begin()
        self.require_page()
        terminal = jt808.Terminal(self.gateway.address(), "13800138000")
        self.addCleanup(terminal.close)
        terminal.sign_in()
        terminal.report(latitude=31.2, longitude=121.4)
        self.open()
        self.until("ringgatePage.map.motions.size === 1")
        self.until("document.querySelector('#state').classList.contains('live')")
        maps = ("performance.getEntriesByType('resource')"
                ".filter(one => one.name.includes('/api/v1/map')).length")
        place = "[...ringgatePage.map.motions.things.values()][0].item.x"
        # As often as a vehicle reports it moves; the map has asked for less than that.
        before, moves = self.js(maps), 0
        while moves < 40:
            at = self.js(place)
            moves += 1
            terminal.report(latitude=31.2, longitude=121.4 + moves * 0.0005)
            self.until(f"{place} !== arguments[0]", at)
        self.assertLess(self.js(maps) - before, moves / 2)
        self.assert_clean()

    def test_a_plate_that_wants_to_be_markup(self):
        self.begin()
        self.require_page()
        self.load(1)
        self.open()
        self.until("ringgatePage.map.motions.size === 1")
        phone = self.js("[...ringgatePage.map.motions.things.keys()][0]")
        host, port = self.gateway.address("http")
        connection = http.client.HTTPConnection(host, port, timeout=harness.LIMIT_S)
        self.addCleanup(connection.close)
        connection.request("PUT", f"/api/v1/registrations/{phone}",
                           f'{{"plate": "{HOSTILE[:30]}", "note": "{HOSTILE}"}}',
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        self.assertLess(answer.status, 300, answer.read())
        self.js("location.hash = '#/device/' + arguments[0]", phone)
        self.until("document.querySelector('.device-view')?.textContent.includes('<img src')")
        self.assertEqual(self.js("document.querySelectorAll('img').length"), 0)
        self.assertNotEqual(self.browser.title, "owned")

    def test_a_load_run_in_progress(self):
        self.begin()
        self.require_page()
        self.open("#/gateway")
        self.until("document.querySelector('.runs')?.hidden === true")
        connection = http.client.HTTPConnection(*self.gateway.address("http"),
                                                timeout=harness.LIMIT_S)
        self.addCleanup(connection.close)
        run = {"scenario": HOSTILE, "stage": "rush", "phase": "running", "elapsed_s": 15,
               "planned_s": 60, "users": 90, "users_wanted": 100, "acknowledged_per_s": 450,
               "p50_ms": 0.4, "p99_ms": 12.5, "errors": 3, "workers": 2, "workers_lost": 1,
               "faults": ["tunnel"]}

        def told():
            connection.request("PUT", "/api/v1/runs/a", json.dumps(run),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.read()), (204, b""))
            return self.js("document.querySelector('.runs .load-run') !== null")
        servers.wait_until(told, "the run is shown")
        text = self.text(".runs")
        for part in (HOSTILE, "rush · running", "90 / 100 users", "450/s", "p99 12.5 ms",
                     "Errors: 3", "tunnel", "1 workers lost"):
            self.assertIn(part, text)
        self.assertEqual(self.js("document.querySelector('.runs progress').value"), 0.25)
        self.assertEqual(self.js("document.querySelectorAll('img').length"), 0)
        self.assert_clean()

    def test_logging_in(self):
        self.begin(**{"http.trust_loopback": "false"})
        self.require_page()
        code, out, err = harness.run(harness.CTL, "--data", self.data_dir, "token", "create",
                                     "--name", "page", "--scope", "read,command")
        self.assertEqual(code, 0, out + err)
        token = re.search(r"rg_[\w-]+", out)[0]
        self.open()
        self.until("document.querySelector('#token')")
        self.js("document.querySelector('#token').value = 'rg_wrong'")
        self.js("document.querySelector('.login form').requestSubmit()")
        self.until("document.querySelector('.login .problem').hidden === false")
        self.log_in(token)
        self.until("document.querySelector('#number-devices')?.textContent === '0'")

    def log_in(self, token):
        self.until("document.querySelector('#token')")
        self.js("document.querySelector('#token').value = arguments[0]", token)
        self.js("document.querySelector('.login form').requestSubmit()")
        self.until("document.querySelector('#number-devices')")

    def test_what_a_token_may_not_do_is_not_offered(self):
        self.begin(**{"http.trust_loopback": "false"})
        self.require_page()
        terminal = jt808.Terminal(self.gateway.address(), "13800138000")
        self.addCleanup(terminal.close)
        terminal.sign_in()
        buttons = ("[...document.querySelectorAll('.device-body button')].filter(one => "
                   "!one.hidden && !one.disabled).map(one => one.textContent).join()")
        opened = False
        for scopes, may, may_send in (("read", "", False), ("read,command", "Kick", True),
                                      ("read,command,admin", "Kick,Ban", True)):
            code, out, err = harness.run(harness.CTL, "--data", self.data_dir, "token", "create",
                                         "--name", f"scopes{len(scopes)}", "--scope", scopes)
            self.assertEqual(code, 0, out + err)
            if not opened:
                self.open()
            else:
                self.js("document.querySelector('.tools [title=\"Log out\"]').click()")
            opened = True
            self.log_in(re.search(r"rg_[\w-]+", out)[0])
            self.js("location.hash = '#/device/13800138000'")
            self.until("document.querySelector('.device-facts')?.textContent.length > 10")
            self.until(f"{buttons} === arguments[0]", may)
            self.assertEqual("lacks" in self.text(".device-body"), may != "Kick,Ban")
            self.js("location.hash = '#/device/13800138000/command'")
            self.until("document.querySelector('.form textarea')")
            self.assertEqual(self.js("document.querySelector('#command-send').disabled"),
                             not may_send)
            self.assertEqual("lacks the scope “command”" in self.text(".device-body"),
                             not may_send)
            self.js("location.hash = '#/map'")
            self.until("document.querySelector('#number-devices')")


if __name__ == "__main__":
    unittest.main()
