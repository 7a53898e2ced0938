"""A real Prometheus scrapes a real gateway: every query of the Grafana dashboard and every alert
rule is asked through its HTTP API, and an alert comes up. Skipped where Prometheus is not
installed."""

import json
import math
import re
import signal
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import harness
import jt808
import servers
from test_metrics import ALERTS, DASHBOARD, everything

# So that a rate has its two scrapes soon, and its window holds some.
CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: ringgate
    static_configs: [{{targets: ["{target}"]}}]
"""
RATE_INTERVAL = "1m"
COMPARISON = re.compile(r"(==|!=|>=|<=|>|<)(\s*bool\b)?")


class Prometheus:
    """Prometheus on a free port of 127.0.0.1, with the alert rules."""

    def __init__(self, target):
        self.program = servers.find_program("prometheus")
        self.target = target

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ringgate-prometheus-")
        path = Path(self.folder.name)
        config = path / "prometheus.yml"
        config.write_text(CONFIG.format(rules=ALERTS, target=self.target))
        for _ in range(servers.STARTS):
            self.port = servers.free_ports()[0]
            self.log = open(path / "log", "w+b")
            self.process = subprocess.Popen(
                [self.program, f"--config.file={config}", f"--storage.tsdb.path={path / 'data'}",
                 f"--web.listen-address=127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
            servers.wait_until(lambda: self.process.poll() is not None or self.ready(),
                               "Prometheus is ready")
            if self.process.poll() is None:
                return self
        raise AssertionError(f"Prometheus does not start:\n{self.said()}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(servers.LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def ready(self):
        try:
            with self.open("/-/ready"):
                return True
        except OSError:  # it does not listen yet, or says 503
            return False

    def open(self, path):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}",
                                      timeout=servers.LIMIT_S)

    def get(self, path, **parameters):
        """The data of an answer of its API."""
        try:
            with self.open(f"{path}?{urllib.parse.urlencode(parameters)}") as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None
        if body["status"] != "success" or body.get("warnings"):
            raise AssertionError(f"{path} {parameters}: {body}")
        return body["data"]

    def ask(self, expression):
        """[(labels, value)]"""
        found = self.get("/api/v1/query", query=expression)
        return [(each["metric"], float(each["value"][1])) for each in found["result"]]


def asked_by_dashboard():
    """(title of the panel, expression as Grafana would send it)"""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], (target["expr"].replace("$__rate_interval", RATE_INTERVAL)
                                   .replace("$instance", ".*"))


def compared(expression):
    """The sides of an expression's outermost comparison; empty where it has none."""
    depth, at = 0, 0
    while at < len(expression):
        if expression[at] == '"':
            at = expression.index('"', at + 1)
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(expression[at], 0)
        found = COMPARISON.match(expression, at) if depth == 0 else None
        if found:
            return expression[:at], expression[found.end():]
        at += 1
    return ()


class AskedByPrometheus(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        servers.find_program("prometheus")
        self.gateway = self.start(everything(self.folder))
        self.terminal = jt808.Terminal(self.gateway.address(), "13800138000")
        self.addCleanup(self.terminal.close)
        self.terminal.sign_in()

    def target(self):
        host, port = self.gateway.address("http")
        return f"{host}:{port}"

    def scraped(self, prometheus):
        """Waits for three scrapes more, with reports before each of them."""
        def scrapes():
            found = prometheus.ask(f'count_over_time(up{{job="ringgate"}}[{RATE_INTERVAL}])')
            return int(found[0][1]) if found else 0

        def more():
            self.terminal.report()
            return scrapes() >= before + 3

        before = scrapes()
        servers.wait_until(more, "Prometheus scrapes")

    def test_every_query_has_an_answer(self):
        with Prometheus(self.target()) as prometheus:
            self.scraped(prometheus)
            targets = prometheus.get("/api/v1/targets")["activeTargets"]
            self.assertEqual([(each["health"], each["lastError"]) for each in targets],
                             [("up", "")])
            for title, expression in asked_by_dashboard():
                with self.subTest(panel=title, expression=expression):
                    found = prometheus.ask(expression)
                    self.assertTrue(found)
                    # Where nothing happens a quantile is no number; reports and scrapes did.
                    if title in ("Acknowledgements wait", "Commits", "Turns of the loops, p99"):
                        self.assertTrue(any(math.isfinite(value) for _, value in found), found)
            devices = 'sum(ringgate_jt808_devices_online{instance=~".*"})'
            self.assertEqual(prometheus.ask(devices)[0][1], 1)
            frames = f"sum(rate(ringgate_jt808_frames_total[{RATE_INTERVAL}]))"
            self.assertGreater(prometheus.ask(frames)[0][1], 0)
            self.assertIn(self.target(), prometheus.get("/api/v1/label/instance/values"))
            self.check_metadata(prometheus)

    def check_metadata(self, prometheus):
        """Prometheus knows of each metric what it is."""
        known = prometheus.get("/api/v1/targets/metadata", limit=100_000)
        kinds = {each["metric"]: each["type"] for each in known}
        for name, kind in (("ringgate_jt808_frames", "counter"),
                           ("ringgate_jt808_frames_total", "counter"),
                           ("ringgate_links", "gauge"), ("ringgate_ack_seconds", "histogram")):
            if name in kinds:  # a counter has one of both names, by the form that was asked for
                self.assertEqual(kinds[name], kind)
        self.assertIn("ringgate_ack_seconds", kinds)

    def test_alert_rules_find_what_they_compare_and_fire(self):
        with Prometheus(self.target()) as prometheus:
            self.scraped(prometheus)

            def rules():
                groups = prometheus.get("/api/v1/rules")["groups"]
                return {rule["name"]: rule for group in groups for rule in group["rules"]}

            evaluated = servers.wait_until(
                lambda: (now := rules()) and all(rule["health"] != "unknown"
                                                 for rule in now.values()) and now,
                "all rules are evaluated")
            written = ALERTS.read_text()
            self.assertEqual(len(evaluated), written.count("- alert:"))
            for name, rule in evaluated.items():
                with self.subTest(alert=name, expression=rule["query"]):
                    self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""))
                    self.assertIn(f"- alert: {name}\n", written)
                    # In good order it finds nothing; what it compares is there all the same.
                    self.assertEqual((rule["state"], prometheus.ask(rule["query"])),
                                     ("inactive", []))
                    sides = compared(rule["query"])
                    self.assertTrue(sides)
                    self.assertTrue(prometheus.ask(sides[0]), sides[0])
            self.assertEqual(self.gateway.stop(), 0)
            down = servers.wait_until(lambda: prometheus.get("/api/v1/alerts")["alerts"],
                                      "an alert comes up")
            self.assertEqual({alert["labels"]["alertname"] for alert in down}, {"RinggateDown"})
            self.assertEqual(down[0]["state"], "pending")  # it fires after its minute


if __name__ == "__main__":
    unittest.main()
