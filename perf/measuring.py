"""What every section of perf/run measures with: servers, load, benchmarks, ratios."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = ROOT / "build" / "release"
GATEWAY = ROOT / "build" / "bin" / "ringgate"
LOAD = ROOT / "build" / "bin" / "ringgate-load"
FLOOR = RELEASE / "perf" / "floor" / "floor"


class Failed(Exception):
    """Something did not run; the message says what."""


class Settings:
    """How long and how often; where things run."""

    def __init__(self, arguments):
        quick = arguments.quick
        self.quick = quick
        self.rounds = arguments.rounds or (3 if quick else 5)
        self.warmup_s = 0.3 if quick else 0.7
        self.measure_s = 0.8 if quick else 2.5
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpus = cpus[:1]
        self.load_cpus = cpus[1:2] or cpus[:1]
        # Two shards get a CPU each only where the load tool still has its own: sharing one with it
        # would measure the scheduler.
        self.shard_cpus = [cpus[0], cpus[2]] if len(cpus) > 2 else cpus[:1]
        self.separate = len(cpus) > 1
        self.against = arguments.against
        self.directory = Path(arguments.dir).resolve()


# ---- processes ---------------------------------------------------------------------------------

def pinned(cpus, command):
    return ["taskset", "-c", ",".join(map(str, cpus)), *map(str, command)]


def wait_ready(process, what, seconds=20):
    """The address behind jt808= in the line that starts with `ready`."""
    deadline = time.monotonic() + seconds
    text = ""
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.1)[0]:
            chunk = os.read(process.stdout.fileno(), 65536).decode(errors="replace")
            text += chunk
            found = re.search(r"^ready\b.*?\bjt808=(\S+)\s", text, re.MULTILINE)
            if found:
                return found[1]
            if not chunk:
                break
    raise Failed(f"{what} did not get ready: {text.strip() or 'it printed nothing'}")


@contextlib.contextmanager
def server(settings, kind, shards=1, cpus=None):
    """A fresh server on a directory of its own; gives (process, address). `kind`: "floor",
    "ringgate", or "other", the gateway that --against names."""
    place = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=settings.directory))
    if kind == "floor":
        command = [FLOOR, "--file", place / "floor.data"]
    else:
        command = [settings.against if kind == "other" else GATEWAY,
                   "--set", f"server.data_dir={place}", "--set", "jt808.listen=127.0.0.1:0",
                   "--set", "http.listen=127.0.0.1:0", "--set", f"server.shards={shards}"]
    with open(place / "stderr", "w+b") as errors:
        process = subprocess.Popen(pinned(cpus or settings.server_cpus, command),
                                   stdout=subprocess.PIPE, stderr=errors)
        try:
            yield process, wait_ready(process, kind)
        except Failed as failure:
            time.sleep(0.2)  # a process that dies is not gone at once
            status = process.poll()
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()[-5:]
            if status is not None:
                said.insert(0, f"{kind} ended with status {status}")
            raise Failed("\n".join([f"{kind}: {failure}", *said])) from None
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            shutil.rmtree(place, ignore_errors=True)


def load_command(settings, address, devices, extra):
    return pinned(settings.load_cpus, [LOAD, "jt808", "--target", address, "--devices", devices,
                                       "--cpu", settings.load_cpus[0], *extra])


def load(settings, address, process, devices, extra):
    """Runs ringgate-load to its end and gives its JSON."""
    command = load_command(settings, address, devices,
                           ["--server-pid", process.pid, "--quiet", "--json", "-", *extra])
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    try:
        result = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise Failed(f"ringgate-load failed: {done.stderr.strip()}") from None
    if done.returncode != 0:
        raise Failed(f"ringgate-load saw errors: {result['total']['errors']} {done.stderr.strip()}")
    return result


@contextlib.contextmanager
def idle_links(settings, address, devices, phone_base):
    """Holds authenticated links while the body runs."""
    command = load_command(settings, address, devices, ["--idle", "--phone-base", phone_base])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        text = ""
        deadline = time.monotonic() + 60
        while f"measuring: {devices} online" not in text:
            if time.monotonic() > deadline or process.poll() is not None:
                raise Failed(f"{devices} idle links did not come up: {text[-300:]}")
            if select.select([process.stderr], [], [], 0.2)[0]:
                text += os.read(process.stderr.fileno(), 65536).decode(errors="replace")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stderr.close()


def anonymous_bytes(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024


# ---- figures -----------------------------------------------------------------------------------

def figures(result):
    latency = result["response"]
    return {"cpu_us": result["server"]["cpu_us_per_ack"],
            "acks_per_s": result["acknowledged_per_s"],
            "p50_us": latency["p50_us"], "p99_us": latency["p99_us"],
            "p99_9_us": latency["p99_9_us"], "load_cpu": result["own_cpu_share"],
            "bottleneck": result["bottleneck"]}


def median(values):
    return statistics.median(values) if values else float("nan")


def ratio(above, below):
    return above / below if below else float("nan")


def ratios(rounds, above, below, key):
    return [ratio(each[above][key], each[below][key]) for each in rounds]


def show_ratio(values):
    return f"{median(values):5.2f} ({min(values):.2f}-{max(values):.2f})"


def judge(values, target):
    verdict = "met" if median(values) <= target else "MISSED"
    return f"{median(values):.2f}, wanted {target}: {verdict}"


def show_sides(result, title, sides, key, target):
    """Two ways of doing the same, `sides`: the first is ours and wants `target` of the other's."""
    values = ratios(result["rounds"], *sides, key)
    verdict = "met" if median(values) >= target else "MISSED"
    print(f"  {title}   (above 1 is better)\n  {show_ratio(values)}, wanted {target}: {verdict}")
    for side in sides:
        rate = median([each[side][key] for each in result["rounds"]])
        print(f"  {side}: {rate:,.0f} {key.removesuffix('_per_s')}/s")


def alternate(settings, names, run, note):
    """Rounds of {name: run(name)}; who goes first changes each round."""
    rounds = []
    for number in range(settings.rounds):
        order = names if number % 2 == 0 else names[::-1]
        rounds.append({name: run(name) for name in order})
        progress(f"{note}: round {number + 1} of {settings.rounds}")
    return rounds


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def bench(settings, name, arguments, pin=True):
    """One of perf/micro; gives its JSON. One that is not pinned chooses its CPUs itself."""
    path = RELEASE / "perf" / "micro" / name
    if not path.exists():
        raise Failed(f"{path} is not there")
    with tempfile.NamedTemporaryFile(dir=settings.directory, suffix=".json") as out:
        command = [str(part) for part in (path, "--json", out.name, *arguments)]
        done = subprocess.run(pinned(settings.server_cpus, command) if pin else command,
                              capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise Failed(f"{name}: {(done.stderr or done.stdout).strip()}")
        return json.loads(Path(out.name).read_text()), done.stdout


def measure(settings, kind, devices, extra, shards=1, cpus=None):
    """One round of one server. A window without any answer is tried again, longer."""
    for attempt in range(3):
        seconds = settings.measure_s * 2 ** attempt
        with server(settings, kind, shards, cpus) as (process, address):
            result = load(settings, address, process, devices,
                          [*extra, "--warmup", settings.warmup_s, "--duration", seconds])
        if result["window"]["acknowledged"] > 0:
            return figures(result)
    raise Failed(f"{devices} devices got no answer from {kind} within {seconds} s: "
                 "the machine is too busy")
