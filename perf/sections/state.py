"""How long a gateway takes to start that knows a fleet: a registration and a last state of every
device from a snapshot; then with the frames of a load behind it."""

import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from measuring import GATEWAY, RELEASE, Failed, load, pinned, wait_ready

START_S = 5  # wanted


def make(settings, place, devices):
    command = [RELEASE / "perf" / "micro" / "state-bench", "--dir", place, "--devices", devices]
    done = subprocess.run(pinned(settings.load_cpus, command), capture_output=True, text=True,
                          check=False, timeout=300)
    if done.returncode != 0:
        raise Failed(f"state-bench: {done.stderr.strip()}")
    return json.loads(done.stdout)


def resident_bytes(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def start(settings, place, body=None, shards=2):
    """Starts a gateway, has `body` done with it, kills it. What the start said of itself."""
    command = [GATEWAY, "--set", f"server.data_dir={place}", "--set", "jt808.listen=127.0.0.1:0",
               "--set", f"server.shards={shards}", "--set", "state.snapshot_interval=1h",
               "--set", "state.snapshot_bytes=16GiB", "--set", "server.pin=false"]
    with open(place / "stderr", "w+b") as told:
        began = time.monotonic()
        process = subprocess.Popen(pinned(settings.server_cpus, command), stdout=subprocess.PIPE,
                                   stderr=told)
        try:
            address = wait_ready(process, "ringgate", 120)
            found = {"ready_s": time.monotonic() - began,
                     "resident_bytes": resident_bytes(process.pid)}
            if body:
                body(process, address)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(20)
            process.stdout.close()
        told.seek(0)
        line = re.search(r'msg="state loaded".*', told.read().decode(errors="replace"))
    if line is None:
        raise Failed("the gateway did not say that it loaded a state")
    return found | {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line[0])}


def run(settings):
    devices = 100_000 if settings.quick else 1_000_000
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        place = Path(folder)
        result = {"devices": devices, "snapshot": make(settings, place, devices)}
        result["starts"] = []
        for _ in range(settings.rounds):
            # The same state each time, and no log behind it: nobody has come.
            one = start(settings, place)
            if one["devices"] != devices or one["snapshot_records"] != devices:
                raise Failed(f"the start knew others: {one}")
            result["starts"].append(one)

        def drive(process, address):
            load(settings, address, process, 200,
                 ["--warmup", settings.warmup_s, "--duration", settings.measure_s,
                  "--phone-base", "13000000001", "--in-flight", 16])

        start(settings, place, drive)
        result["behind"] = start(settings, place)
    return result


def show(result):
    count = result["devices"]
    starts = result["starts"]
    ready = statistics.median(one["ready_s"] for one in starts)
    loaded = statistics.median(one["ms"] for one in starts)
    met = "met" if ready < START_S and count >= 1_000_000 else "" if count < 1_000_000 else "MISSED"
    snapshot = result["snapshot"]
    print(f"  {count:,} known devices, each with a registration and a last state; snapshot of "
          f"{snapshot['bytes'] / 1e6:.0f} MB, written in {snapshot['written_s']:.2f} s")
    print(f"  ready after {ready:.2f} s, of which the state took {loaded / 1e3:.2f} s; "
          f"{starts[0]['resident_bytes'] / 1e6:.0f} MB resident: wanted < {START_S} s {met}")
    behind = result["behind"]
    more = behind["ms"] - loaded
    if more > 0 and behind["frames"] > 0:
        print(f"  {behind['frames']:,} frames ({behind['log_bytes'] / 1e6:.0f} MB of log) behind "
              f"it: {more / 1e3:.2f} s more, {behind['frames'] / more / 1e3:.2f} million a second")
