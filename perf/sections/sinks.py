"""What sinks cost the shard's thread: its CPU per acknowledged message at 20,000 messages/s with
all sinks on that can be, each with a server of its own, against none. The shard is pinned to one
CPU and the sinks' threads are not. Servers share the load's CPU and keep their data in memory: the
log's disk is not theirs. Where CPUs are short, the shard waits for its turn and then handles more
records at once, which is cheaper for each. Then that ratio proves nothing, and the report says so;
the closed case, where as many reports are under way on either side, compares the same work."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from measuring import (GATEWAY, Failed, alternate, judge, load_command, median, pinned, ratios,
                       show_ratio, wait_ready)
from sections import redis, sink_nats, sink_postgres

TARGET = 1.10  # of the shard's CPU without sinks, at most
# (name, devices, ringgate-load's arguments)
CASES = (("20,000/s open", 1000, ("--rate", "20")), ("192 x 1 closed", 192, ("--in-flight", "1")))
CTL = GATEWAY.with_name("ringgate-ctl")
MEMORY = "/dev/shm"
BUNCHED = 1.25  # times as many records in a commit: the two sides are not the same work any more
CURRENT = 1.0  # a sink that is up to date lags by less, in seconds


@contextlib.contextmanager
def servers(settings):
    """{sink: url} of all that are built in and have a server here; sinks that have none."""
    urls, missing = {}, {}
    with contextlib.ExitStack() as stack:
        # Their disk is not the log's, either.
        memory = MEMORY if os.access(MEMORY, os.W_OK) else settings.directory
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=memory))
        cpus = settings.load_cpus
        kinds = {"redis": lambda: redis.Server(settings, cpus),
                 "nats": lambda: sink_nats.Server(settings, Path(folder) / "jetstream", cpus),
                 "postgres": lambda: sink_postgres.Server(settings, cpus, memory)}
        benches = {"redis": redis.BENCH, "nats": sink_nats.BENCH, "postgres": sink_postgres.BENCH}
        for name, start in kinds.items():
            if not benches[name].exists():
                missing[name] = "not built in"
                continue
            try:
                server = start()
            except Failed as failure:
                missing[name] = str(failure)
                continue
            stack.callback(server.end)
            urls[name] = server.url
        if not urls:
            raise Failed(f"no sink can be on: {missing}")
        yield urls, missing


def threads(pid):
    """{thread: (name, seconds of CPU so far)}."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            nanoseconds = int((task / "schedstat").read_text().split()[0])
            found[int(task.name)] = ((task / "comm").read_text().strip(), nanoseconds / 1e9)
    return found


def check_places(settings, pid, names):
    """The shard alone is pinned, else its CPU would be shared with the sinks' threads."""
    for thread, (name, _) in threads(pid).items():
        cpus = sorted(os.sched_getaffinity(thread))
        if name == "shard-0" and cpus != settings.server_cpus:
            raise Failed(f"the shard may use CPUs {cpus}, wanted {settings.server_cpus}")
        if name in names and settings.separate and len(cpus) < 2:
            raise Failed(f"thread {name} is pinned to CPU {cpus}")


def spent(before, after):
    """Seconds of CPU in between, by group of threads."""
    seconds = {"shard": 0.0, "sinks": 0.0, "others": 0.0}
    for thread, (name, now) in after.items():
        group = name.split("-")[0] + "s" if name.startswith("sink-") else name.split("-")[0]
        seconds[group if group in seconds else "others"] += now - before.get(thread, (name, 0))[1]
    return seconds


def ask(place, *words):
    """The rows that ringgate-ctl prints."""
    done = subprocess.run([CTL, "--data", place, *words, "--json"], capture_output=True,
                          text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise Failed(f"ringgate-ctl {words[0]}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def sinks_of(place):
    """{sink: its row}."""
    rows = [row.get("sink", row) for row in ask(place, "sink", "list")]
    return {row["name"]: row for row in rows if "name" in row}


def records_per_commit(place):
    """How many records the shard wrote at once, on average."""
    stats = ask(place, "stats", "--zeros")[0]
    return (stats["ringgate_log_records_total"]["value"] /
            max(stats["ringgate_log_commits_total"]["value"], 1))


def wait_running(place, names):
    for _ in range(500):
        rows = sinks_of(place)
        if all(rows.get(name, {}).get("state") == "running" for name in names):
            return
        time.sleep(0.02)
    raise Failed(f"sinks do not run: {rows}")


def wait_measuring(process, devices):
    text = ""
    deadline = time.monotonic() + 60
    while f"measuring: {devices} online" not in text:
        if time.monotonic() > deadline or process.poll() is not None:
            raise Failed(f"{devices} links did not come up: {text[-300:]}")
        if select.select([process.stderr], [], [], 0.05)[0]:
            text += os.read(process.stderr.fileno(), 65536).decode(errors="replace")


def under_load(settings, address, pid, place, case):
    """Samples the gateway's threads while reports come; gives what ringgate-load says, and with
    it the seconds of CPU by group of threads, and the sinks at the end."""
    _, devices, extra = case
    seconds = 3 if settings.quick else 10
    with tempfile.NamedTemporaryFile(dir=settings.directory, suffix=".json") as out:
        command = load_command(settings, address, devices,
                               [*extra, "--warmup", settings.warmup_s + 1, "--duration",
                                seconds + 2, "--json", out.name])
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            wait_measuring(process, devices)
            began, before = time.monotonic(), threads(pid)
            time.sleep(seconds)
            ended, after = time.monotonic(), threads(pid)
            rows, together = sinks_of(place), records_per_commit(place)
            _, said = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stderr.close()
        if process.returncode != 0:
            raise Failed(f"ringgate-load: {said.decode(errors='replace').strip()[-300:]}")
        result = json.loads(Path(out.name).read_text())
        return result | {"cpu": spent(before, after), "sampled_s": ended - began, "sinks": rows,
                         "together": together}


def once(settings, urls, case):
    place = Path(tempfile.mkdtemp(prefix="sinks-", dir=settings.directory))
    keys = [f"server.data_dir={place}", "jt808.listen=127.0.0.1:0",
            "http.listen=127.0.0.1:0", "server.shards=1",
            "server.pin=true", *(f"sink.{name}.url={url}" for name, url in urls.items())]
    cpus = sorted({*settings.server_cpus, *settings.load_cpus})
    with open(place / "stderr", "wb") as errors:
        process = subprocess.Popen(
            pinned(cpus, [GATEWAY, *(part for key in keys for part in ("--set", key))]),
            stdout=subprocess.PIPE, stderr=errors)
    try:
        address = wait_ready(process, "ringgate")
        wait_running(place, urls)
        check_places(settings, process.pid, {f"sink-{name}" for name in urls})
        result = under_load(settings, address, process.pid, place, case)
        failures = re.findall(r"sink fails.*", (place / "stderr").read_text(errors="replace"))
        if failures:
            raise Failed(failures[0])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
        shutil.rmtree(place, ignore_errors=True)
    cpu, acks = result["cpu"], result["acknowledged_per_s"] * result["sampled_s"]
    if acks == 0 or cpu["shard"] == 0:
        raise Failed("no answers, or no thread with the name of a shard")
    return {"shard_us": cpu["shard"] / acks * 1e6, "sinks_us": cpu["sinks"] / acks * 1e6,
            "gateway_us": sum(cpu.values()) / acks * 1e6,
            "acks_per_s": result["acknowledged_per_s"], "p99_us": result["response"]["p99_us"],
            "records_per_commit": result["together"],
            "sinks": {name: {key: row[key] for key in ("lag_s", "lag_bytes", "records", "skipped")}
                      for name, row in result["sinks"].items()}}


def run(settings):
    with servers(settings) as (urls, missing):
        cases = {}
        for case in CASES:
            def run_once(kind, case=case):
                return once(settings, urls if kind == "all" else {}, case)
            cases[case[0]] = alternate(settings, ("none", "all"), run_once, f"sinks {case[0]}")
        return {"cases": cases, "on": list(urls), "missing": missing}


def show(result):
    print(f"  sinks on ({', '.join(result['on'])}) / none: CPU of the shard's thread per ack")
    for name, rounds in result["cases"].items():
        show_case(name, rounds, result["on"])
    for name, why in result["missing"].items():
        print(f"  {name} was not on: {why}")


def show_case(name, rounds, sinks):
    values = ratios(rounds, "all", "none", "shard_us")
    bunched = median(ratios(rounds, "all", "none", "records_per_commit"))
    if bunched > BUNCHED:
        print(f"  {name}: {show_ratio(values)}   not judged: with sinks a commit held "
              f"{bunched:.1f}\n    times as many records: the shard waited for CPUs in use")
    else:
        print(f"  {name}: {show_ratio(values)}   {judge(values, TARGET)}")
    for kind in ("none", "all"):
        middle = {key: median([each[kind][key] for each in rounds])
                  for key in ("shard_us", "sinks_us", "gateway_us", "acks_per_s", "p99_us",
                              "records_per_commit")}
        print(f"  {kind}: shard {middle['shard_us']:.3f} us per ack, threads of sinks "
              f"{middle['sinks_us']:.3f}, the whole gateway {middle['gateway_us']:.3f}; "
              f"{middle['acks_per_s']:,.0f} acks/s, p99 {middle['p99_us']:,.0f} us, "
              f"{middle['records_per_commit']:.1f} records a commit")
    for name in sinks:
        ends = [each["all"]["sinks"][name] for each in rounds]
        worst = max(end["lag_s"] for end in ends)
        print(f"  {name} at the end: lag {median([end['lag_s'] for end in ends]):.3f} s (at most "
              f"{worst:.3f}, {'up to date' if worst < CURRENT else 'BEHIND'}), "
              f"{median([end['records'] for end in ends]):,.0f} records confirmed, "
              f"{sum(end['skipped'] for end in ends)} skipped")
