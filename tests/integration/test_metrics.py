"""What the gateway counts, as Prometheus takes it: names, forms and the number of series; that
dashboards and alert rules ask for what is there; and that protocols/api/METRICS.md tells of each.
The page is made from what a gateway with everything says: `test_metrics.py --page` writes it."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
import urllib.request
from pathlib import Path

import harness
import jt808
import test_tls

DASHBOARD = harness.ROOT / "tools" / "grafana" / "ringgate.json"
ALERTS = harness.ROOT / "tools" / "prometheus" / "alerts.yml"
# Measured with all there is: 367 of each shard, of which 110 are buckets of its five histograms,
# and 208 of the rest (37 of each of three sinks, 29 of each of two query threads). So 64 shards are
# 24,000 series. There is room for some counters more; a histogram more (24 series a shard) is worth
# a look at these bounds.
SERIES_OF_SHARD_MAX = 385
SERIES_OF_REST_MAX = 230
NAME = re.compile(r"\bringgate_\w+")
PAGE = harness.ROOT / "protocols" / "api" / "METRICS.md"
PAGE_HEAD = """# Metrics

What `/metrics` says, and `ringgate-ctl status` sums up. Made by
`python3 tests/integration/test_metrics.py --page` from what a gateway with everything says; a test
compares the two.

Counters (`_total`) count from the start and never go back; gauges are as things are now;
histograms have 21 buckets each, from 10 us to a minute, and `_bucket`, `_sum` and `_count` behind
their name. Units are base units, as the names say: seconds, bytes, else a number of things. The
first label of a series says who counts: a `shard`, a `thread` of another kind, a `sink`, or the
`file` of a certificate. No label names a device, an address or anything that a client sends, so the
number of series depends on the configuration only.
"""
# Which part of the program a name's first words belong to; the longest that fits.
PARTS = {"": "Gateway", "ack": "Log", "api": "HTTP interface", "blob": "Uploads",
         "command": "Commands", "datagram": "UDP", "datagrams": "UDP", "fabric": "Message fabric",
         "http": "HTTP interface", "jt808": "JT/T 808", "attachment": "Uploads",
         "jsonl": "JSON lines", "links": "Links", "log": "Log", "pending": "Commands",
         "queries": "HTTP interface", "query": "HTTP interface", "sink": "Sinks", "state": "State",
         "stream": "Live streams", "tls": "TLS", "websocket": "Live streams"}


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


def everything(folder):
    """Settings of a gateway that has all there is; nobody listens where it connects to."""
    certificate, key = test_tls.make_certificate(folder, "gateway", ["gateway"])
    return {"server.shards": "2", "jsonl.listen": "127.0.0.1:0",
            "attachment.listen": "127.0.0.1:0", "jt808.tls_listen": "127.0.0.1:0",
            "tls.certificates": str(certificate), "tls.keys": str(key),
            "http.query_threads": "2",
            "sink.redis.url": "redis://127.0.0.1:1", "sink.nats.url": "nats://127.0.0.1:1",
            "sink.nats.commands": "true",
            "sink.postgres.url": "postgresql://127.0.0.1:1/nothing"}


def entry_of(name, kind, meaning, text):
    """What the page says of one metric: its type, unit, labels with their values, meaning."""
    unit = re.search(r"_(seconds|bytes)(_total)?$", name)
    labels = {}
    for series in re.findall(rf"(?m)^{name}(?:_bucket)?{{(.*?)}} ", text):
        for label, value in re.findall(r'(\w+)="(.*?)"', series):
            labels.setdefault(label, []).append(re.sub(r"^(query)-\d+$", r"\1-N", value))
    parts = []
    for label, values in labels.items():
        if label == "le":
            continue
        values = list(dict.fromkeys(values))
        known = label not in ("shard", "sink", "file")
        parts.append(f"`{label}`" + (": " + ", ".join(f"`{value}`" for value in values)
                                     if known else ""))
    said = f"- **`{name}`**: {kind}{', ' + unit[1] if unit else ''}; {'; '.join(parts)}."
    return "\n".join(textwrap.wrap(f"{said} {meaning}", 100, subsequent_indent="  ",
                                   break_long_words=False, break_on_hyphens=False))


def page_of(text):
    """METRICS.md from an exposition."""
    helps = dict(re.findall(r"(?m)^# HELP (\S+) (.*)$", text))
    parts = {}
    for name, kind in sorted(families(text).items()):
        words = name.removeprefix("ringgate_").split("_")
        part = PARTS.get(words[0], PARTS[""])
        parts.setdefault(part, []).append(entry_of(name, kind, helps[name], text))
    return PAGE_HEAD + "".join(f"\n## {part}\n\n" + "\n".join(entries) + "\n"
                               for part, entries in sorted(parts.items()))


class Metrics(harness.GatewayTest):
    def setUp(self):
        super().setUp()
        self.gateway = self.start(everything(self.folder))
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
        # What is wanted less, or not at all, is not what comes.
        for accept in ("text/plain, application/openmetrics-text;q=0.5",
                       "application/openmetrics-text;q=0, */*"):
            self.assertIn("text/plain", self.scrape(accept)[0], accept)
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
        of_shard = sum(1 for line in lines if '{shard="0"' in line)
        self.assertEqual(sum(1 for line in lines if '{shard="1"' in line), of_shard)
        self.assertLess(of_shard, SERIES_OF_SHARD_MAX)
        self.assertLess(len(lines) - 2 * of_shard, SERIES_OF_REST_MAX)
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

    def test_the_page_tells_of_every_metric(self):
        _, text = self.scrape()
        self.maxDiff = None
        self.assertEqual(page_of(text), PAGE.read_text(),
                         "make it again: tests/integration/test_metrics.py --page")
        # And of those that the program may count but this gateway did not register.
        named = {name for folder in ("engine", "storage", "protocols", "tools")
                 for source in (harness.ROOT / folder).rglob("*.[ch]pp")
                 for name in re.findall(r'\.name = "(ringgate_\w+)"', source.read_text())}
        self.assertGreater(len(named), 100)
        self.assertEqual({name for name in named if f"`{name}`" not in PAGE.read_text()}, set())


def write_page():
    with tempfile.TemporaryDirectory() as folder:
        gateway = harness.Gateway(Path(folder) / "data", everything(Path(folder)))
        try:
            host, port = gateway.address("http")
            with urllib.request.urlopen(f"http://{host}:{port}/metrics") as answer:
                PAGE.write_text(page_of(answer.read().decode()))
        finally:
            gateway.stop()


if __name__ == "__main__" and "--page" in sys.argv:
    write_page()
elif __name__ == "__main__":
    unittest.main()
