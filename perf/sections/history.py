"""A device-hour as a track over HTTP beside what the library takes for it; what a client that reads
slowly costs a shard that has its own work."""

import contextlib
import json
import os
import random
import re
import select
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from measuring import GATEWAY, LOAD, RELEASE, Failed, pinned

RATIO = 2.0  # wanted, of the medians
DAY_BEGIN_S = 1_790_000_000  # of query-bench's log
SLOW_CLIENTS = 8


@contextlib.contextmanager
def gateway(settings, data_dir):
    """(pid, HTTP address, JT/T 808 address)."""
    command = [GATEWAY, "--set", f"server.data_dir={data_dir}", "--set", "server.shards=1",
               "--set", "http.listen=127.0.0.1:0", "--set", "jt808.listen=127.0.0.1:0",
               "--set", "log.compress=off", "--set", "server.pin=false",
               "--set", "http.rate_per_address=0"]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        try:
            text = ""
            while not (found := re.search(r"ready jt808=(\S+):(\d+).*http=(\S+):(\d+)", text)):
                if not select.select([process.stdout], [], [], 60)[0]:
                    raise Failed(f"it did not get ready: {text}")
                more = os.read(process.stdout.fileno(), 65536).decode(errors="replace")
                if not more:
                    raise Failed(f"it ended: {text}")
                text += more
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield process.pid, (found[3], int(found[4])), (found[1], int(found[2]))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def fetch(raw, path):
    """The body of one answer that has a length."""
    raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    text = b""
    while b"\r\n\r\n" not in text:
        text += raw.recv(1 << 18)
    head, _, body = text.partition(b"\r\n\r\n")
    size = re.search(rb"Content-Length: (\d+)", head)
    if not head.startswith(b"HTTP/1.1 200") or size is None:
        raise Failed(f"{path}: {text[:300]}")
    while len(body) < int(size[1]):
        body += raw.recv(1 << 18)
    return body


def track_times(address, devices, count):
    """Milliseconds of each warm track of a device-hour, and how many fixes it has."""
    chance, times, fixes = random.Random(4), [], []
    with socket.create_connection(address, timeout=60) as raw:
        for _ in range(count):
            phone = 13_800_000_000 + chance.randrange(devices)
            begin = DAY_BEGIN_S + chance.randrange(23 * 3600)
            path = f"/api/v1/devices/{phone}/track?from={begin}&to={begin + 3600}"
            fetch(raw, path)
            began = time.perf_counter()
            body = fetch(raw, path)
            times.append((time.perf_counter() - began) * 1000)
            fixes.append(len(json.loads(body)["fixes"]))
    return times, fixes


def shard_seconds(pid):
    """CPU that the shard's thread has used."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("shard-"):
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    raise Failed("no thread of a shard")


def under_load(settings, pid, target, seconds):
    """CPU of the shard per report, in microseconds, at a fixed rate."""
    with tempfile.NamedTemporaryFile("r") as results:
        before = shard_seconds(pid)
        subprocess.run(pinned(settings.load_cpus, [
            LOAD, "jt808", "--target", f"{target[0]}:{target[1]}", "--devices", 1000, "--rate", 10,
            "--duration", seconds, "--quiet", "--json", results.name]),
            check=True, stdout=subprocess.DEVNULL, timeout=120)
        used = shard_seconds(pid) - before
        sent = json.load(results)["total"]["acknowledged"]
    return used / sent * 1e6


def download(address, slowly):
    """A whole day of records, a little at a time."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(address)
    raw.sendall(b"GET /api/v1/records?limit=10000&from=-1h&decode=false HTTP/1.1\r\n"
                b"Host: 127.0.0.1\r\n\r\n")

    def read():
        with contextlib.suppress(OSError):
            while not slowly.wait(0.05) and raw.recv(4096):
                pass
        raw.close()
    thread = threading.Thread(target=read)
    thread.start()
    return thread


def run(settings):
    gigabytes, queries, devices = (0.2, 50, 2000) if settings.quick else (1, 200, 2000)
    seconds = 3 if settings.quick else 8
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        done = subprocess.run(pinned(settings.load_cpus, [
            RELEASE / "perf" / "micro" / "query-bench", "--dir", folder, "--gb", gigabytes,
            "--devices", devices, "--queries", queries, "--compress", 0, "--keep", 1]),
            capture_output=True, text=True, check=False, timeout=1800)
        if done.returncode != 0:
            raise Failed(f"query-bench: {done.stderr.strip()}")
        library = json.loads(done.stdout)["by_device_time"]
        with gateway(settings, Path(folder) / "query-bench-data") as (pid, address, target):
            times, fixes = track_times(address, devices, queries)
            under_load(settings, pid, target, 1)
            alone, beside = [], []
            for _ in range(settings.rounds):
                alone.append(under_load(settings, pid, target, seconds))
                end = threading.Event()
                clients = [download(address, end) for _ in range(SLOW_CLIENTS)]
                beside.append(under_load(settings, pid, target, seconds))
                end.set()
                for client in clients:
                    client.join()
    return {"library_ms": library["warm_p50_ms"], "library_p99_ms": library["warm_p99_ms"],
            "http_ms": statistics.median(times),
            "http_p99_ms": sorted(times)[len(times) * 99 // 100],
            "fixes": statistics.median(fixes), "alone_us": statistics.median(alone),
            "beside_us": statistics.median(beside)}


def show(result):
    ratio = result["http_ms"] / result["library_ms"]
    print(f"  a device-hour of {result['fixes']:.0f} fixes, warm: "
          f"{result['http_ms']:.2f} ms by HTTP "
          f"(p99 {result['http_p99_ms']:.2f}), {result['library_ms']:.2f} ms in the library "
          f"(p99 {result['library_p99_ms']:.2f}): {ratio:.2f}: "
          f"{'met' if ratio <= RATIO else 'MISSED'} (at most {RATIO})")
    print(f"  CPU of the shard for a report: {result['alone_us']:.2f} us alone, "
          f"{result['beside_us']:.2f} us beside {SLOW_CLIENTS} clients that read slowly: "
          f"{result['beside_us'] / result['alone_us']:.2f}")
