"""ringgate-analyze against trouble that is really made: each is named first, and a gateway without
any has none. The machine that tests run on is busy with other tests: what they do to its CPUs and
disk is trouble too, so each test looks away from what it does not make (`away`)."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

import harness
import servers

ANALYZE = harness.BUILD / "tools" / "analyze" / "ringgate-analyze"
# What a busy machine does to every gateway. Beside it --pid 0: waits for CPUs are not looked at.
TIMES = ("loop.turn", "cpu.busy", "commit.p99")


def away(*looked_at):
    """Arguments that raise the thresholds of all times but those."""
    return [word for name in TIMES if name not in looked_at
            for word in ("--threshold", f"{name}=60s" if name != "cpu.busy" else "cpu.busy=10")]


def generator_away():
    return ["--threshold", "generator.lag=60s", "--threshold", "generator.cpu=10",
            "--threshold", "generator.dropped=1"]


class Analyze(harness.GatewayTest):
    def url(self, gateway):
        return "http://%s:%d" % gateway.address("http")

    @contextlib.contextmanager
    def load(self, gateway, devices=100, rate=10, *more):
        """Terminals that report until the block ends."""
        process = subprocess.Popen(
            [harness.LOAD, "jt808", "--target", "%s:%d" % gateway.address("jt808"), "--devices",
             str(devices), "--rate", str(rate), "--duration", str(harness.LIMIT_S), "--quiet",
             *more], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def metric(self, gateway, name):
        with urllib.request.urlopen(self.url(gateway) + "/metrics", timeout=harness.LIMIT_S) as got:
            return sum(float(line.rsplit(" ", 1)[1]) for line in got.read().decode().splitlines()
                       if line.startswith((name + "{", name + " ")))

    def await_metric(self, gateway, name, least):
        servers.wait_until(lambda: self.metric(gateway, name) >= least, f"{name} is {least}")

    def queued(self, gateway):
        """Bytes that wait for the slowest subscriber."""
        url = self.url(gateway) + "/api/v1/consumers"
        with urllib.request.urlopen(url, timeout=harness.LIMIT_S) as got:
            return max(one["queued_bytes"] for one in json.load(got)["consumers"])

    def report(self, gateway, *arguments, duration="3s"):
        """(exit code, the JSON) of a look at a gateway."""
        code, out, err = harness.run(ANALYZE, "report", self.url(gateway), "--format", "json",
                                     "--duration", duration, "--interval", "200ms", *arguments)
        self.assertIn(code, (0, 1), err)
        found = json.loads(out)
        self.assertEqual(code, 1 if found["verdicts"] else 0)
        return found

    def first(self, found, cause, signals):
        """That this is what is named first, and by one of its signals."""
        self.assertTrue(found["verdicts"], found)
        verdict = found["verdicts"][0]
        self.assertEqual((found["bottleneck"], verdict["cause"]), (cause, cause), found["verdicts"])
        self.assertIn(verdict["signal"], signals)
        self.assertTrue(verdict["changes"])
        return verdict

    def test_nothing_wrong(self):
        gateway = self.start()
        with self.load(gateway, 20, 5):
            self.await_metric(gateway, "ringgate_jt808_devices_online", 20)
            found = self.report(gateway, "--pid", "0", *away())
            self.assertEqual((found["bottleneck"], found["verdicts"]), (None, []))
            self.assertGreater(found["messages_per_s"], 0)
            self.assertTrue(found["enough"])
            code, out, err = harness.run(ANALYZE, "live", self.url(gateway), "--duration", "2",
                                         "--interval", "100ms", "--pid", "0", *away())
        self.assertEqual(code, 0, out + err)
        self.assertIn("nothing wrong", out)

    def test_shards_without_cpu(self):
        if not shutil.which("taskset") or not os.path.exists("/proc/self/schedstat"):
            self.skipTest("no taskset, or no scheduler statistics")
        cpu = str(min(os.sched_getaffinity(0)))
        gateway = self.start(prefix=["taskset", "-c", cpu, "nice", "-n", "5"])
        burners = []
        self.addCleanup(lambda: [(one.kill(), one.wait()) for one in burners])
        with self.load(gateway, 100, 20):
            self.await_metric(gateway, "ringgate_jt808_devices_online", 50)
            for _ in range(2):
                burners.append(subprocess.Popen(["taskset", "-c", cpu, "sh", "-c",
                                                 "while :; do :; done"]))
            found = self.report(gateway, *away("loop.turn", "cpu.busy"), duration="5s")
        verdict = self.first(found, "cpu", {"cpu.wait", "cpu.busy"})
        self.assertIn(verdict["severity"], ("high", "critical"))

    def test_slow_disk(self):
        with Throttle(self, self.folder) as throttle:
            gateway = self.start(prefix=throttle.prefix)
            with self.load(gateway, 100, 10):
                self.await_metric(gateway, "ringgate_jt808_devices_online", 100)
                throttle.limit(20)
                found = self.report(gateway, "--pid", "0", *away("commit.p99"), duration="4s")
                throttle.limit(0)
            gateway.stop()
        verdict = self.first(found, "commit", {"commit.p99"})
        self.assertEqual(verdict["severity"], "critical")
        self.assertGreater(verdict["value"], 0.03)
        keys = {change["key"]: change for change in verdict["changes"]}
        self.assertEqual(keys["server.data_dir"]["present"], str(self.data_dir))

    def test_slow_subscriber(self):
        gateway = self.start({"http.send_buffer": "4KiB"})
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(gateway.address("http"))
            reader.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b"200", reader.recv(15))  # and no more
            with self.load(gateway, 200, 20):
                servers.wait_until(lambda: self.queued(gateway) > 200 * 1024, "a queue is full")
                found = self.report(gateway, "--pid", "0", *away())
            verdict = self.first(found, "subscriber", {"subscriber.queue", "subscriber.left_out"})
            self.assertEqual(verdict["severity"], "critical")
            # It is told who.
            self.assertIn("127.0.0.1:%d" % reader.getsockname()[1], verdict["where"])
            self.assertIn("http.send_buffer", [one["key"] for one in verdict["changes"]])

    def test_sink_whose_server_is_stopped(self):
        with servers.Redis() as redis:
            gateway = self.start({"sink.redis.url": redis.url})
            with self.load(gateway, 20, 10):
                self.await_metric(gateway, "ringgate_sink_records_total", 1)
                redis.kill()
                self.await_metric(gateway, "ringgate_sink_failures_total", 1)
                found = self.report(gateway, "--pid", "0", *away())
        verdict = self.first(found, "sink", {"sink.down", "sink.lag"})
        self.assertEqual((verdict["where"], verdict["severity"]), ("redis", "critical"))
        self.assertIn("sink.redis.url", [one["key"] for one in verdict["changes"]])

    def test_little_memory(self):
        gateway = self.start({"memory.limit": "400KiB"})
        with self.load(gateway, 400, 1):
            self.await_metric(gateway, "ringgate_memory_bytes", 220 * 1024)
            found = self.report(gateway, "--pid", "0", *away())
        verdict = self.first(found, "memory", {"memory.share"})
        [change] = verdict["changes"]
        self.assertEqual((change["key"], change["present"]), ("memory.limit", "400KiB"))
        self.assertGreaterEqual(verdict["value"], 0.5)

    def test_a_run_file(self):
        gateway = self.start()
        file = self.folder / "run.json"
        code, out, err = harness.run(
            harness.LOAD, "run", "baseline", "--target", "%s:%d" % gateway.address("jt808"),
            "--shorten", "0.1", "--quiet", "--json", file)
        self.assertIn(code, (0, 99), out + err)
        code, out, err = harness.run(ANALYZE, "run", file, "--format", "json")
        self.assertIn(code, (0, 1), err)
        found = json.loads(out)
        self.assertGreater(found["messages_per_s"], 0)
        named = {one["signal"]: one for one in found["signals"]}
        self.assertLessEqual({"generator.lag", "generator.cpu", "generator.dropped", "reply.p99"},
                             set(named))
        # A generator that is said to be late comes first.
        code, out, _ = harness.run(ANALYZE, "run", file, "--json", "--threshold",
                                   "generator.lag=1ns")
        self.assertEqual((code, json.loads(out)["bottleneck"]), (1, "generator"))

    def test_a_run_says_what_its_gateway_waited_for(self):
        with servers.Redis() as redis:
            gateway = self.start({"sink.redis.url": redis.url})
            redis.kill()
            file = self.folder / "run.json"
            # Sixteen seconds: eight samples, of which five are the least that are judged.
            code, out, err = harness.run(
                harness.LOAD, "run", "baseline", "--target", "%s:%d" % gateway.address("jt808"),
                "--set", "target.http=%s:%d" % gateway.address("http"), "--shorten", "0.25",
                "--quiet", "--json", file)
        self.assertIn(code, (0, 99), out + err)
        run = json.loads(file.read_text())
        self.assertGreaterEqual(len(run["gateway"]["times_s"]), 6)
        self.assertNotIn("problem", run["gateway"])
        if os.path.exists("/proc/self/schedstat"):
            self.assertIn("shard_wait_s", run["timeline"][2]["server"])
        code, out, err = harness.run(ANALYZE, "run", file, "--format", "json", "--threshold",
                                     "cpu.wait=1000", "--threshold", "reply.p99=60s",
                                     "--threshold", "cpu.process=100",
                                     *generator_away(), *away())
        self.assertEqual(code, 1, out + err)
        verdict = self.first(json.loads(out), "sink", {"sink.down", "sink.lag"})
        self.assertEqual(verdict["where"], "redis")
        [change] = [one for one in verdict["changes"] if one["key"] == "sink.redis.url"]
        self.assertEqual(change["present"], "***")  # it may hold a password

    @unittest.skipIf(harness.SANITIZED, "a slower gateway is short of CPU before it is of memory")
    def test_an_export_of_prometheus(self):
        from test_prometheus import Prometheus
        gateway = self.start({"memory.limit": "400KiB"})
        with self.load(gateway, 400, 1), Prometheus("%s:%d" % gateway.address("http")) as server:
            self.await_metric(gateway, "ringgate_memory_bytes", 220 * 1024)
            asked = urllib.parse.urlencode({"query": '{__name__=~"ringgate_.*"}', "step": "0.2",
                                            "start": time.time() - 3, "end": time.time() + 60})
            url = f"http://127.0.0.1:{server.port}/api/v1/query_range?{asked}"
            file = self.folder / "export.json"

            def named():
                with urllib.request.urlopen(url, timeout=harness.LIMIT_S) as got:
                    file.write_bytes(got.read())
                out = harness.run(ANALYZE, "report", file, "--json", *away())[1]
                return out and json.loads(out)["bottleneck"] == "memory" and out
            found = json.loads(servers.wait_until(named, "the export shows a full memory"))
        self.first(found, "memory", {"memory.share"})

    def test_ctrl_c_judges_what_there_is_and_a_page_is_written(self):
        gateway = self.start()
        page = self.folder / "report.html"
        process = subprocess.Popen([ANALYZE, "report", self.url(gateway), "--duration", "1h",
                                    "--interval", "100ms", "--format", "html", "-o", page, "--pid",
                                    "0", *away()], stdin=subprocess.DEVNULL)
        # Each sample is two responses, and each look at the counter is one.
        self.await_metric(gateway, "ringgate_http_responses_total", 120)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(harness.LIMIT_S), 0)
        text = page.read_text()
        self.assertIn("Nothing wrong", text)
        self.assertIn("<svg", text)
        for outside in ("src=", "href=", "url(", "@import"):
            self.assertNotIn(outside, text)

    def test_what_is_wrong_with_a_source_is_said(self):
        free = servers.free_ports()[0]
        for code, arguments, said in (
                (1, ["live", f"http://127.0.0.1:{free}"], "cannot be reached"),
                (1, ["live", "https://127.0.0.1:7880"], "tunnel"),
                (1, ["run", "/nowhere.json"], "can't be read"),
                (2, ["live", "127.0.0.1:7880"], "is no URL"),
                (2, ["live", "http://127.0.0.1:7880", "--duration", "soon"], "--duration"),
                (2, ["report", "x.json", "--threshold", "commit=1"], "no signal 'commit'"),
                (2, ["report", "x.json", "--format", "pdf"], "format"),
                (2, [], "subcommand")):
            got, _, err = harness.run(ANALYZE, *arguments)
            self.assertEqual(got, code, arguments)
            self.assertIn(said, err)
        gateway = self.start({"http.trust_loopback": "false"})
        code, _, err = harness.run(ANALYZE, "live", "http://%s:%d" % gateway.address("jt808"))
        self.assertEqual(code, 1)
        self.assertIn("is this the gateway's HTTP listener (http.listen)?", err)
        code, _, err = harness.run(ANALYZE, "live", self.url(gateway))
        self.assertEqual(code, 1)
        self.assertIn("--token-file", err)

    def test_a_gateway_that_goes_away_is_judged_by_what_was_seen(self):
        gateway = self.start()
        process = subprocess.Popen([ANALYZE, "report", self.url(gateway), "--duration", "1h",
                                    "--interval", "100ms", "--json", "--pid", "0", *away()],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.await_metric(gateway, "ringgate_http_responses_total", 120)
        gateway.stop()
        out = process.communicate(timeout=harness.LIMIT_S)[0]
        found = json.loads(out)
        self.assertTrue(any("went away" in note for note in found["notes"]), found["notes"])
        self.assertGreater(found["samples"], 5)


class Throttle:
    """Limits a gateway's writes a second by a cgroup (blkio of version 1, io of version 2); skips
    the test where there is none to be had."""

    def __init__(self, test, folder):
        device = os.stat(folder).st_dev
        block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
        if os.geteuid() != 0 or not block.exists():
            test.skipTest("needs root and a disk of its own")
        if (block / "partition").exists():
            block = block.parent
        self.device = (block / "dev").read_text().strip()
        top = Path("/sys/fs/cgroup/blkio")
        self.old = top.is_dir()
        try:
            self.group = Path(tempfile.mkdtemp(prefix="ringgate-test-",
                                               dir=top if self.old else "/sys/fs/cgroup"))
            self.limit(0)
        except OSError as error:
            test.skipTest(f"no cgroup that limits writes: {error}")
        self.prefix = ["sh", "-c", f'echo $$ > {self.group}/cgroup.procs && exec "$@"', "sh"]

    def limit(self, writes_per_s):
        """0 is none."""
        if self.old:
            file, text = "blkio.throttle.write_iops_device", f"{self.device} {writes_per_s}"
        else:
            file, text = "io.max", f"{self.device} wiops={writes_per_s or 'max'}"
        (self.group / file).write_text(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.limit(0)
        # Processes of the group that have ended leave it a moment later.
        servers.wait_until(self.removed, "the cgroup is empty")

    def removed(self):
        try:
            self.group.rmdir()
        except OSError:
            for pid in (self.group / "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
            return False
        return True


if __name__ == "__main__":
    unittest.main()
