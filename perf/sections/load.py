"""The load tool itself: CPU of ringgate-load per report against a bare ring client
(perf/floor/client.cpp) at the same gateway; its memory per idle device: what a worker's resident
memory grows by from 1,000 to 9,000 terminals that only hold their links; and its service times
beside those that a capture of the wire shows (where one is permitted)."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import (LOAD, RELEASE, Failed, alternate, judge, median, pinned, ratios, server,
                       show_ratio, ROOT)
from measuring import load as load_terminals

sys.path.insert(0, str(ROOT / "tests" / "integration"))
import wire_capture  # noqa: E402: the tests' own

CLIENT = RELEASE / "perf" / "floor" / "floor-client"
LINKS = 1000
CPU_TARGET = 1.2
FEW, MANY = 1000, 9000
BYTES_TARGET = 400
SCENARIO = """
[[class]]
name = "terminals"
kind = "terminal"
interval = "0s"

[[stage]]
name = "idle"
kind = "constant"
users = {users}
duration = "{seconds}s"
"""


def cpu_of_load(settings, process, address):
    result = load_terminals(settings, address, process, LINKS,
                            ["--in-flight", "1", "--warmup", settings.warmup_s,
                             "--duration", settings.measure_s])
    acknowledged = result["window"]["acknowledged"]
    cpu_s = result["own_cpu_share"] * result["window_s"]
    return {"cpu_us": cpu_s * 1e6 / acknowledged if acknowledged else 0,
            "acks_per_s": result["acknowledged_per_s"]}


def cpu_of_client(settings, address):
    command = pinned(settings.load_cpus, [
        CLIENT, "--target", address, "--links", LINKS, "--cpu", settings.load_cpus[0],
        "--warmup", settings.warmup_s, "--seconds", settings.measure_s])
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise Failed(f"floor-client: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    return {"cpu_us": result["cpu_us_per_ack"],
            "acks_per_s": result["acknowledged"] / result["seconds"]}


def memory(settings, users):
    """Resident bytes of a worker with so many idle terminals."""
    with tempfile.TemporaryDirectory(dir=settings.directory) as place:
        scenario, out = Path(place) / "idle.toml", Path(place) / "run.json"
        scenario.write_text(SCENARIO.format(users=users, seconds=8))
        with server(settings, "ringgate") as (_, address):
            command = pinned(settings.load_cpus, [LOAD, "run", scenario, "--target", address,
                                                  "--workers", 1, "--quiet", "--json", out])
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise Failed(f"ringgate-load run: {(done.stderr or done.stdout).strip()[-300:]}")
        result = json.loads(out.read_text())
    ready = result["totals"]["all"]["authenticated"]
    if ready < users:
        raise Failed(f"only {ready} of {users} idle terminals came up")
    return result["workers"][0]["rss_bytes"]


def wire(settings):
    """{percentile: (tool us, wire us)} of each round, or why there is none."""
    reason = wire_capture.missing()
    if reason:
        return reason
    rounds = []
    for _ in range(settings.rounds):
        with tempfile.TemporaryDirectory(dir=settings.directory) as place, \
                server(settings, "ringgate") as (_, address):
            times, _, _ = wire_capture.agreement(
                int(address.rpartition(":")[2]), pinned(settings.load_cpus, [LOAD]),
                Path(place) / "wire.pcap", address)
            rounds.append({str(percent): pair for percent, pair in times.items()})
    return rounds


def run(settings):
    def once(kind):
        with server(settings, "ringgate") as (process, address):
            if kind == "client":
                return cpu_of_client(settings, address)
            return cpu_of_load(settings, process, address)

    rounds = alternate(settings, ("load", "client"), once, "load: CPU per report")
    few, many = memory(settings, FEW), memory(settings, MANY)
    return {"rounds": rounds, "wire": wire(settings), "idle_bytes": (many - few) / (MANY - FEW),
            "rss_few": few, "rss_many": many}


def show(result):
    print("\nThe load tool")
    values = ratios(result["rounds"], "load", "client", "cpu_us")
    print(f"  CPU per report, {LINKS:,} links x 1, against a bare ring client: "
          f"{show_ratio(values)}; {judge(values, CPU_TARGET)}")
    for side in ("load", "client"):
        print(f"  {side}: {median([each[side]['cpu_us'] for each in result['rounds']]):.2f} us, "
              f"{median([each[side]['acks_per_s'] for each in result['rounds']]):,.0f} reports/s")
    size = result["idle_bytes"]
    verdict = "met" if size <= BYTES_TARGET else "MISSED"
    print(f"  user memory per idle terminal, {FEW:,} to {MANY:,}: {size:.0f} B, "
          f"wanted {BYTES_TARGET}: {verdict}")
    if isinstance(result["wire"], str):
        print(f"  service times beside the wire's: {result['wire']}")
        return
    for percent in ("50", "99"):
        pairs = [each[percent] for each in result["wire"]]
        good = sum(wire_capture.agrees(*pair) for pair in pairs)
        print(f"  p{percent} of 1,000 reports/s, tool and wire: "
              + ", ".join(f"{tool:.0f} and {seen:.0f} us" for tool, seen in pairs)
              + f"; within max(5 %, 50 us) in {good} of {len(pairs)} rounds")
