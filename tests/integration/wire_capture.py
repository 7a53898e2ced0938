"""What a report took, seen on the wire: a capture of the loopback interface (dumpcap), read with
tshark. From the packet that has the whole report to the packet that has its acknowledgement."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path


def missing():
    """Why nothing can be captured here, or None."""
    for program in ("dumpcap", "tshark"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install tshark)"
    probe = subprocess.run(["dumpcap", "-q", "-i", "lo", "-a", "duration:1", "-w", "/dev/null"],
                           capture_output=True, text=True, check=False)
    return f"nothing may be captured: {probe.stderr.strip()}" if probe.returncode else None


class Capture:
    """All TCP of a port, while the body runs."""

    def __init__(self, file, port):
        self.file, self.port = Path(file), port

    def __enter__(self):
        self.process = subprocess.Popen(
            ["dumpcap", "-q", "-i", "lo", "-f", f"tcp port {self.port}", "-s", "8192", "-B", "64",
             "-w", str(self.file)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        limit = time.monotonic() + 20
        while not self.file.exists() or self.file.stat().st_size == 0:
            if self.process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(f"dumpcap: {self.process.stderr.read().decode()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self.process.stderr.close()

    def packets(self):
        """(nanoseconds, goes to the gateway, port of the other end, payload) in order."""
        done = subprocess.run(
            ["tshark", "-r", str(self.file), "-Y", "tcp.len > 0", "-o", "tcp.desegment_tcp_streams"
             ":FALSE", "-T", "fields", "-e", "frame.time_epoch", "-e", "tcp.srcport", "-e",
             "tcp.dstport", "-e", "tcp.payload"], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            when, source, target, payload = line.split("\t")
            seconds, _, fraction = when.partition(".")
            stamp = int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9])
            inward = int(target) == self.port
            yield stamp, inward, int(source if inward else target), bytes.fromhex(payload)


def unescape(frame):
    return frame.replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")


def report_times(capture):
    """Nanoseconds from each report (2013) to its acknowledgement."""
    pieces, waiting, taken = {}, {}, []
    for stamp, inward, port, payload in capture.packets():
        key = (port, inward)
        *whole, pieces[key] = (pieces.get(key, b"") + payload).split(b"\x7e")
        for frame in map(unescape, whole):
            if inward and frame[:2] == b"\x02\x00":
                waiting[port, frame[10:12]] = stamp
            elif frame[:2] == b"\x80\x01" and frame[14:16] == b"\x02\x00":
                sent = waiting.pop((port, frame[12:14]), None)
                if sent is not None:
                    taken.append(stamp - sent)
    return taken


def percentile_us(values, percent):
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1] / 1000


def agreement(gateway_port, load, file, target, seconds=3):
    """Runs `load jt808` at 1,000 reports a second and gives {percent: (tool us, wire us)}, how many
    reports each has seen, and how late the tool was by its own account (p99, us)."""
    with Capture(file, gateway_port) as capture:
        done = subprocess.run(
            [*map(str, load), "jt808", "--target", target, "--devices", "100", "--rate", "10",
             "--duration", str(seconds), "--quiet", "--json", "-"],
            capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise AssertionError(f"ringgate-load: {done.stderr}")
    result = json.loads(done.stdout)
    wire = report_times(capture)
    times = {percent: (result["service"][f"p{percent}_us"], percentile_us(wire, percent))
             for percent in (50, 99)}
    return times, (result["service"]["count"], len(wire)), result["lag"]["p99_us"]


def agrees(tool_us, wire_us):
    return abs(tool_us - wire_us) <= max(0.05 * wire_us, 50)
