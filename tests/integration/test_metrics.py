"""What the gateway counts, as Prometheus takes it: names, forms and the number of series; and that
dashboards and alert rules ask for what is there."""

import json
import re
import shutil
import subprocess
import unittest
import urllib.request

import harness
import jt808
import test_tls

DASHBOARD = harness.ROOT / "tools" / "grafana" / "ringgate.json"
ALERTS = harness.ROOT / "tools" / "prometheus" / "alerts.yml"
# Of a gateway of two shards with every protocol, TLS and a sink.
SERIES_MAX = 1500
NAME = re.compile(r"\bringgate_\w+")


def base_name(name):
    return re.sub(r"_(bucket|sum|count)$", "", name)


def families(text):
    """{name: type} of an exposition."""
    return dict(re.findall(r"(?m)^# TYPE (\S+) (\w+)$", text))


def promtool(test, *arguments, text=None):
    program = shutil.which("promtool")
    if program is None:
        test.skipTest("promtool is not installed (Debian: prometheus)")
    done = subprocess.run([program, *map(str, arguments)], input=text, text=True,
                          capture_output=True, timeout=harness.LIMIT_S)
    test.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Metrics(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        certificate, key = test_tls.make_certificate(self.folder, "gateway", ["gateway"])
        self.gateway = self.start({
            "server.shards": "2", "jsonl.listen": "127.0.0.1:0",
            "attachment.listen": "127.0.0.1:0", "jt808.tls_listen": "127.0.0.1:0",
            "tls.certificates": str(certificate), "tls.keys": str(key),
            # Nobody listens there: the sink counts all the same.
            "sink.redis.url": "redis://127.0.0.1:1"})
        terminal = jt808.Terminal(self.gateway.address(), "13800138000")
        self.addCleanup(terminal.close)
        terminal.sign_in()
        terminal.report()

    def scrape(self, accept=None):
        """(content type, text)"""
        host, port = self.gateway.address("http")
        request = urllib.request.Request(f"http://{host}:{port}/metrics",
                                         headers={"Accept": accept} if accept else {})
        with urllib.request.urlopen(request, timeout=harness.LIMIT_S) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    def test_both_forms_and_their_rules(self):
        kind, text = self.scrape()
        self.assertEqual(kind, "text/plain; version=0.0.4; charset=utf-8")
        promtool(self, "check", "metrics", text=text)
        kind, opened = self.scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        self.assertEqual(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.assertTrue(opened.endswith("\n# EOF\n"))
        wanted = {name.removesuffix("_total") if of == "counter" else name: of
                  for name, of in families(text).items()}
        self.assertEqual(families(opened), wanted)
        for name, unit in re.findall(r"(?m)^# UNIT (\S+) (\w+)$", opened):
            self.assertTrue(name.endswith(unit))
        # The same series in both.
        series = r"(?m)^(ringgate_\w+{.*?}) "
        self.assertEqual(set(re.findall(series, text)), set(re.findall(series, opened)))

    def test_series_are_bounded_and_name_no_device(self):
        _, text = self.scrape()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.assertLess(len(lines), SERIES_MAX)
        self.assertNotIn("13800138000", text)
        for more in range(8):
            terminal = jt808.Terminal(self.gateway.address(), str(13800138001 + more))
            self.addCleanup(terminal.close)
            terminal.sign_in()
        _, again = self.scrape()
        self.assertEqual(len(lines), sum(1 for line in again.splitlines()
                                         if line and not line.startswith("#")))

    def test_histograms_add_up(self):
        _, text = self.scrape()
        for name in ("ringgate_ack_seconds", "ringgate_log_commit_seconds",
                     "ringgate_loop_turn_seconds", "ringgate_http_handler_seconds"):
            self.assertEqual(families(text)[name], "histogram")
            for shard in ("0", "1"):
                buckets = [int(count) for count in re.findall(
                    rf'(?m)^{name}_bucket{{shard="{shard}",le=".*"}} (\d+)$', text)]
                count = int(re.search(rf'(?m)^{name}_count{{shard="{shard}"}} (\d+)$', text)[1])
                self.assertEqual(buckets, sorted(buckets))
                self.assertEqual(buckets[-1], count)
        acks = re.findall(r'(?m)^ringgate_ack_seconds_count{.*} (\d+)$', text)
        self.assertGreater(sum(map(int, acks)), 0)

    def test_dashboard_and_alerts_ask_for_what_is_there(self):
        there = families(self.scrape()[1])
        dashboard = json.loads(DASHBOARD.read_text())
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        self.assertGreater(len(asked), 15)
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}),
                         len(dashboard["panels"]))
        for text in [*asked, ALERTS.read_text().split("groups:", 1)[1]]:
            for name in NAME.findall(text):
                known = there.get(name) or (there.get(base_name(name)) == "histogram")
                self.assertTrue(known, f"{name} is not among the metrics: {text[:200]}")

    def test_alert_rules(self):
        promtool(self, "check", "rules", ALERTS)
        promtool(self, "test", "rules", ALERTS.with_name("alerts_test.yml"))


if __name__ == "__main__":
    unittest.main()
