"""Indexes and compressed segments of a fleet's log: sizes, speed, and what the shard thread pays
while the curator works beside it."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import measuring
from measuring import GATEWAY, RELEASE, Failed, alternate, load, median, pinned, wait_ready

RATIO, SLOWER = 3.5, 1.03  # wanted
TICKS = os.sysconf("SC_CLK_TCK")


def sizes(settings):
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        command = [RELEASE / "perf" / "micro" / "index-bench", "--dir", folder, "--segments",
                   1 if settings.quick else 4]
        done = subprocess.run(pinned(settings.load_cpus, command), capture_output=True, text=True,
                              check=False, timeout=600)
    if done.returncode != 0:
        raise Failed(f"index-bench: {done.stderr.strip()}")
    return json.loads(done.stdout)


def thread_cpus(pid):
    """Seconds of CPU of each thread so far."""
    seconds = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            seconds[task.name] = (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def gateway(place, kind):
    """A gateway in `place`; with `curated` it compresses whatever it finds, at once."""
    compress = ["log.compress=zstd", "log.compress_after=0s"] if kind == "curated" else [
        "log.compress=off"]
    keys = [f"server.data_dir={place}", "jt808.listen=127.0.0.1:0",
            "http.listen=127.0.0.1:0", "server.shards=1",
            "log.segment_size=16MiB", *compress]
    return [GATEWAY, *(part for key in keys for part in ("--set", key))]


def ingest(settings, kind):
    """Reports at a fixed rate over a log that is there already; CPU of the shard's thread, which is
    the busiest, and of all others per acknowledged report."""
    with tempfile.TemporaryDirectory(dir=settings.directory) as place:
        with open(os.devnull, "wb") as nowhere:
            for measured, turn in enumerate(("off", kind)):
                process = subprocess.Popen(pinned(settings.server_cpus, gateway(place, turn)),
                                           stdout=subprocess.PIPE, stderr=nowhere)
                try:
                    address = wait_ready(process, turn)
                    before = thread_cpus(process.pid)
                    # The first turn only leaves old segments behind for the second one's curator.
                    extra = ["--drive", "--rate", "20" if measured else "40", "--duration",
                             settings.measure_s + 2 if measured else 4]
                    result = load(settings, address, process, 1000, extra)
                    after = thread_cpus(process.pid)
                finally:
                    process.send_signal(signal.SIGTERM)
                    process.wait(30)
                    process.stdout.close()
        spent = [seconds - before.get(thread, 0) for thread, seconds in after.items()]
        acks = result["window"]["acknowledged"]
        return {"shard_us": max(spent) / acks * 1e6,
                "others_us": (sum(spent) - max(spent)) / acks * 1e6,
                "acks_per_s": result["acknowledged_per_s"],
                "p99_us": measuring.figures(result)["p99_us"],
                "compressed": len(list(Path(place).glob("log/*.segz")))}


def run(settings):
    return {"sizes": sizes(settings),
            "ingest": alternate(settings, ["off", "curated"], lambda kind: ingest(settings, kind),
                                "ingest beside the curator")}


def show(result):
    made = result["sizes"]
    usual = next(one for one in made["compressed"] if one["level"] == 3)
    met = "met" if usual["ratio"] >= RATIO else "MISSED"
    print(f"  {made['devices']} vehicles, {made['segments']} segments of 64 MiB: zstd level 3 "
          f"{usual['ratio']:.1f} times smaller, {usual['mb_per_cpu_s']:.0f} MB per second of CPU; "
          f"wanted {RATIO}: {met}")
    for one in made["compressed"]:
        print(f"    level {one['level']}, chunks of {one['chunk_bytes'] >> 20:2} MiB: "
              f"{one['ratio']:5.2f} times, {one['mb_per_cpu_s']:.0f} MB/s")
    print(f"  index: {made['index_share']:.2%} of the log, {made['index_mb_per_cpu_s']:.0f} MB per "
          "second of CPU")
    rounds = result["ingest"]
    for kind in ("off", "curated"):
        figures = [each[kind] for each in rounds]
        print(f"  ingest, {kind}: shard {median([f['shard_us'] for f in figures]):.3f} us per ack, "
              f"other threads {median([f['others_us'] for f in figures]):.3f}, "
              f"{median([f['acks_per_s'] for f in figures]):,.0f} acks/s, "
              f"p99 {median([f['p99_us'] for f in figures]):,.0f} us, "
              f"{median([f['compressed'] for f in figures]):.0f} segments compressed")
    slower = [each["curated"]["shard_us"] / each["off"]["shard_us"] for each in rounds]
    met = "met" if median(slower) <= SLOWER else "MISSED"
    print(f"  shard CPU with the curator at work: {measuring.show_ratio(slower)}, wanted {SLOWER}: "
          f"{met}")
