"""Starts the real executables for tests: a gateway on port 0 with a data directory of its own, and
the tools. RG_TEST_BUILD names the build directory (default build/release). api_client.py talks to
its HTTP interface, and checks every answer against openapi.json."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("RG_TEST_BUILD", ROOT / "build" / "release"))
GATEWAY = BUILD / "tools" / "ringgate" / "ringgate"
LOG = BUILD / "tools" / "log" / "ringgate-log"
LOAD = BUILD / "tools" / "load" / "ringgate-load"
CTL = BUILD / "tools" / "ctl" / "ringgate-ctl"
CHAOS = BUILD / "tools" / "chaos" / "ringgate-chaos"
LONG = os.environ.get("RG_TEST_LONG") == "1"
SANITIZED = BUILD.name in ("asan", "tsan")
# Only a hang reaches it.
LIMIT_S = 60

DEFAULTS = {"server.shards": "1", "jt808.listen": "127.0.0.1:0",
            "http.listen": "127.0.0.1:0"}


class Gateway:
    """A running gateway. `settings`: key=value, on top of DEFAULTS. Ready once constructed."""

    def __init__(self, data_dir, settings=None, arguments=(), wait=True, prefix=()):
        options = DEFAULTS | {"server.data_dir": str(data_dir)} | (settings or {})
        command = [*prefix, str(GATEWAY), *arguments]
        for key, value in options.items():
            command += ["--set", f"{key}={value}"]
        self.begin(data_dir, command)
        if wait:
            self.wait_ready()

    def begin(self, data_dir, command):
        """Starts the gateway by a command of the test's own."""
        self.data_dir = Path(data_dir)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.lines, self.ready_line = [], None
        self.told = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.lines.append(line)
            if line.startswith("ready ") and self.ready_line is None:
                self.ready_line = line
                self.told.set()
        self.told.set()

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_ready(self):
        if not self.told.wait(LIMIT_S) or self.ready_line is None:
            self.kill()
            raise AssertionError(f"the gateway did not get ready:\n{self.output}")
        return self

    def address(self, name="jt808"):
        """(host, port) of a listener, from the ready line: `ready jt808=127.0.0.1:41234 ...`."""
        found = re.search(rf"\b{name}=\"?\[?([0-9a-f.:]+?)\]?:(\d+)", self.ready_line)
        if not found:
            raise AssertionError(f"no {name} in: {self.ready_line}")
        return found[1], int(found[2])

    def wait(self):
        """The exit code, once it has ended by itself or by a signal sent before."""
        try:
            code = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the gateway did not end:\n{self.output}") from None
        self.reader.join(LIMIT_S)
        self.process.stdout.close()
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        return self.wait()


def run(*command, limit_s=LIMIT_S, **options):
    """(exit code, stdout, stderr) of a tool."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=limit_s, errors="replace", **options)
    return done.returncode, done.stdout, done.stderr


def dump(data_dir, *arguments):
    """What `ringgate-log dump` shows, one dict a record."""
    code, out, err = run(LOG, "dump", *arguments, data_dir)
    if code:
        raise AssertionError(f"ringgate-log dump: exit {code}\n{err}")
    return [json.loads(line) for line in out.splitlines()]


def frames(records, message_id=None):
    """The frames that devices sent, of one message id where it is given (like "0x0200")."""
    return [record for record in records if record["kind"] == "frame-up"
            and message_id in (None, record["message_id"])]


def dump_until(data_dir, enough, message_id=None):
    """Dumps a live log again and again until `enough` says so of its frames."""
    patience = time.monotonic() + LIMIT_S
    while True:
        found = frames(dump(data_dir), message_id)
        if enough(found):
            return found
        if time.monotonic() > patience:
            raise AssertionError(f"still only {len(found)} frames in the live log")
        time.sleep(0.05)


# Signals that nobody sends: the gateway's own.
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


def verify(data_dir):
    """(exit code, output) of `ringgate-log verify`."""
    code, out, err = run(LOG, "verify", data_dir)
    return code, out + err


class GatewayTest(unittest.TestCase):
    """A test with a temporary data directory; gateways it starts end with it, and must end well
    unless the test has ended them itself."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ringgate-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data_dir = self.folder / "data"
        self.gateways = []
        self.addCleanup(self.end_gateways)

    def start(self, settings=None, arguments=(), data_dir=None, **options):
        gateway = Gateway(data_dir or self.data_dir, settings, arguments, **options)
        self.gateways.append(gateway)
        return gateway

    def end_gateways(self):
        for gateway in self.gateways:
            if gateway.process.poll() is None and gateway.stop() != 0:
                self.fail(f"the gateway ended badly:\n{gateway.output}")
            if -(gateway.process.returncode or 0) in CRASHES:
                self.fail(f"the gateway crashed:\n{gateway.output}")
            if "Sanitizer" in gateway.output or "runtime error:" in gateway.output:
                self.fail(f"a sanitizer has spoken:\n{gateway.output}")
