"""The live stream: CPU per delivered event with 1,000 WebSocket subscribers and 20,000 events a
second, against a bare ring that sends messages of the same size at the same rate in the same
bursts. What taking the reports itself costs is measured beside it, with nobody subscribed, and
taken off."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path

from measuring import LOAD, RELEASE, Failed, alternate, median, pinned, ratios, server, show_ratio
from sections.http import cpu_seconds

FANOUT = RELEASE / "perf" / "floor" / "fanout"
SUBSCRIBERS = 1000
TARGET = 1.5
PHONES = 13_800_000_000
# name, devices, reports of each a second, what a subscriber wants, connections of one burst
CASES = (("a device each", 1000, 20, ["--phone-base", PHONES], 100),
         ("one device for all", 1, 20, ["--all"], SUBSCRIBERS))


def line_of(process, word, seconds):
    """The rest of the line that begins with `word`."""
    deadline = time.monotonic() + seconds
    text = ""
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.1)[0]:
            chunk = os.read(process.stdout.fileno(), 65536).decode()
            text += chunk
            for line in text.splitlines(keepends=True):
                if line.startswith(word) and line.endswith("\n"):
                    return line[len(word):].strip()
            if not chunk:
                break
    raise Failed(f"no \"{word}\" came: {text.strip()}")


@contextlib.contextmanager
def running(cpus, command):
    process = subprocess.Popen(pinned(cpus, command), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        process.stdout.close()


def listened(settings, port, wants, pid):
    """What a listener counted, and the CPU that the server used meanwhile."""
    seconds = 2 if settings.quick else 5
    command = [FANOUT, "listen", "--port", port, "--connections", SUBSCRIBERS, "--seconds", seconds,
               *wants]
    with running(settings.load_cpus, command) as listener:
        line_of(listener, "begin", 60)
        before = cpu_seconds(pid)
        counts = json.loads(line_of(listener, "end", 60))
        counts["cpu_s"] = cpu_seconds(pid) - before
    return counts


def http_port(process, place):
    """The server's own, from /proc: its ready line has been read already."""
    inodes = set()
    for fd in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(fd)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            ports.add(int(fields[1].split(":")[1], 16))
    ports.discard(int(place.rsplit(":", 1)[1]))
    if len(ports) != 1:
        raise Failed(f"the gateway listens on {ports}")
    return ports.pop()


def gateway_once(settings, devices, rate, wants):
    seconds = 2 if settings.quick else 5
    with server(settings, "ringgate") as (process, address):
        load = [LOAD, "jt808", "--target", address, "--devices", devices, "--rate", rate,
                "--phone-base", PHONES, "--quiet", "--warmup", 0, "--duration", 600]
        with running(settings.load_cpus, load):
            time.sleep(2)
            before = cpu_seconds(process.pid)
            time.sleep(seconds)
            alone = (cpu_seconds(process.pid) - before) / seconds
            counts = listened(settings, http_port(process, address), wants, process.pid)
    if counts["events"] == 0:
        raise Failed("no event came")
    used = counts["cpu_s"] - alone * counts["seconds"]
    return {"cpu_us": 1e6 * used / counts["events"], "events_per_s": counts["events"] /
            counts["seconds"], "messages_per_s": counts["messages"] / counts["seconds"],
            "bytes": counts["bytes"] / counts["messages"],
            "events_per_message": counts["events"] / counts["messages"],
            "alone_cpu": alone, "with_cpu": counts["cpu_s"] / counts["seconds"]}


def floor_once(settings, like, burst):
    command = [FANOUT, "serve", "--connections", SUBSCRIBERS, "--bytes", round(like["bytes"]),
               "--rate", like["messages_per_s"], "--burst", burst]
    with running(settings.server_cpus, command) as process:
        port = line_of(process, "ready fanout=127.0.0.1:", 20)
        counts = listened(settings, port, [], process.pid)
    messages = counts["bytes"] / round(like["bytes"])
    return {"cpu_us": 1e6 * counts["cpu_s"] / messages / like["events_per_message"],
            "messages_per_s": messages / counts["seconds"]}


def run(settings):
    result = {}
    for name, devices, rate, wants, burst in CASES:
        last = {}

        def once(kind, a=devices, b=rate, c=wants, d=burst, last=last):
            if kind == "ringgate":  # goes first in the first round
                last.update(gateway_once(settings, a, b, c))
                return dict(last)
            return floor_once(settings, last, d)
        result[name] = alternate(settings, ["ringgate", "floor"], once, f"fanout, {name}")
    return result


def show(result):
    print(f"  CPU per delivered event, {SUBSCRIBERS:,} WebSocket subscribers, beyond what taking "
          "the reports costs")
    for name, rounds in result.items():
        values = ratios(rounds, "ringgate", "floor", "cpu_us")
        verdict = "met" if median(values) <= TARGET else "MISSED"
        print(f"  {name}: ringgate / floor {show_ratio(values)}, wanted {TARGET}: {verdict}")
        one = {key: median([each["ringgate"][key] for each in rounds])
               for key in rounds[0]["ringgate"]}
        print(f"    ringgate: {one['cpu_us']:.2f} us, {one['events_per_s']:,.0f} events/s in "
              f"{one['messages_per_s']:,.0f} messages/s of {one['bytes']:.0f} bytes; CPU "
              f"{one['with_cpu']:.0%}, with nobody subscribed {one['alone_cpu']:.0%}")
        floor = median([each["floor"]["cpu_us"] for each in rounds])
        rate = median([each["floor"]["messages_per_s"] for each in rounds])
        print(f"    floor: {floor:.2f} us, {rate:,.0f} messages/s")
