"""The coordinator's end of a load worker, by hand: starts one on a socketpair, says aims, gathers
intervals. Shares no code with tools/load."""

import json
import socket
import struct
import subprocess
import time

import harness

WORKER = harness.BUILD / "tests" / "integration" / "crowd-worker"
HISTOGRAMS = ("response", "service", "lag", "connect", "delivery")


def step_lowest(step):
    """The least nanoseconds of a histogram's step."""
    if step < 64:
        return step
    shift = (step >> 6) - 1
    return (64 + (step & 63)) << shift


class Totals:
    """Tallies of a class over a run."""

    def __init__(self):
        self.numbers, self.errors, self.notes, self.last = {}, {}, {}, {}
        self.histograms = {name: {} for name in HISTOGRAMS}

    def add(self, tally):
        self.last = tally
        for name, value in tally.items():
            if isinstance(value, int):
                self.numbers[name] = self.numbers.get(name, 0) + value
        for mine, theirs in ((self.errors, "errors"), (self.notes, "notes")):
            for name, count in tally.get(theirs, {}).items():
                mine[name] = mine.get(name, 0) + count
        for name in HISTOGRAMS:
            flat = tally.get(name, {}).get("buckets", [])
            for step, count in zip(flat[::2], flat[1::2]):
                self.histograms[name][step] = self.histograms[name].get(step, 0) + count

    def __getitem__(self, name):
        return self.numbers.get(name, 0)

    def count(self, name):
        return sum(self.histograms[name].values())

    def percentile_us(self, name, percent):
        """The least of the step that this share of values does not exceed."""
        left = self.count(name) * percent / 100
        for step in sorted(self.histograms[name]):
            left -= self.histograms[name][step]
            if left <= 0:
                return step_lowest(step) / 1000
        return 0


class Worker:
    """A worker that has been told `scenario` (TOML), with classes in order."""

    def __init__(self, scenario, worker=0, workers=1, acked_file=None, tokens=()):
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen([str(WORKER), str(theirs.fileno())],
                                        pass_fds=[theirs.fileno()], stderr=subprocess.PIPE)
        theirs.close()
        self.link, self.bytes = ours, b""
        self.link.settimeout(harness.LIMIT_S)
        self.totals, self.intervals, self.acked_bytes, self.ended = [], [], b"", False
        setup = {"is": "setup", "worker": worker, "workers": workers, "scenario_name": "test",
                 "scenario_text": scenario, "sets": [], "shorten": 1.0, "seed": 0, "target": "",
                 "keep_acked": acked_file is not None, "acked_file": str(acked_file or ""),
                 "tokens": list(tokens)}
        self.say(setup)
        answer = self.hear()
        if answer["is"] != "ready":
            raise AssertionError(f"the worker is not ready: {answer}")

    def say(self, message):
        body = b"J" + json.dumps(message).encode()
        self.link.sendall(struct.pack("<I", len(body)) + body)

    def _take(self, size):
        while len(self.bytes) < size:
            chunk = self.link.recv(1 << 16)
            if not chunk:
                self.process.wait(harness.LIMIT_S)
                said = self.process.stderr.read().decode(errors="replace")
                raise AssertionError(f"the worker has gone: {self.process.returncode} {said}")
            self.bytes += chunk
        taken, self.bytes = self.bytes[:size], self.bytes[size:]
        return taken

    def hear(self):
        """The next message; intervals are added up on their way."""
        body = self._take(struct.unpack("<I", self._take(4))[0])
        if body[:1] == b"A":
            self.acked_bytes += body[1:]
            return {"is": "acked"}
        message = json.loads(body[1:])
        if message["is"] == "interval":
            self.intervals.append(message)
            for number, tally in enumerate(message["classes"]):
                if number == len(self.totals):
                    self.totals.append(Totals())
                self.totals[number].add(tally)
        self.ended = self.ended or message["is"] == "end"
        return message

    def start(self):
        self.begun = time.monotonic()
        self.say({"is": "start", "ago_ns": 0})

    def aim(self, *classes, stage=0):
        """(users, rate factor) of each class."""
        since = int((time.monotonic() - self.begun) * 1e9)
        self.say({"is": "aim", "at_ns": since, "stage": stage, "over": False,
                  "classes": [number for aim in classes for number in aim]})

    def until(self, enough, what="it"):
        """Hears until `enough` says so of the totals."""
        patience = time.monotonic() + harness.LIMIT_S
        while not (self.totals and enough(*self.totals)):
            if time.monotonic() > patience:
                seen = [[t.numbers, t.errors, t.notes] for t in self.totals]
                raise AssertionError(f"still not {what}: {seen}")
            self.hear()

    def stop(self, hard=False):
        """Ends the run; what the worker was told at its end is in the totals."""
        self.say({"is": "stop", "hard": hard})
        while not self.ended:
            self.hear()
        code = self.process.wait(harness.LIMIT_S)
        said = self.process.stderr.read().decode(errors="replace")
        self.process.stderr.close()
        self.link.close()
        if code != 0 or "Sanitizer" in said or "runtime error" in said:
            raise AssertionError(f"the worker ended with {code}: {said}")
        return self

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()
            self.link.close()


def read_acked(path):
    """(phone, serial, milliseconds) of each entry of an acked file."""
    data = path.read_bytes()
    return [(phone, low & 0xffff, low >> 16)
            for phone, low in struct.iter_unpack("<QQ", data[:len(data) // 16 * 16])]
