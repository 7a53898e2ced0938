"""What a message costs that goes through ringgate-chaos without rules: CPU of the proxy for each
report and its acknowledgement, two messages, beside haproxy (one thread, mode tcp) where it is
installed, and with a rule that delays by nothing. From /proc, while ringgate-load drives a gateway
behind it."""

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from measuring import (ROOT, Failed, alternate, load, median, pinned, ratios, server, show_ratio)

CHAOS = ROOT / "build" / "bin" / "ringgate-chaos"
CASES = (("64 x 1", 64, 1), ("1,000 x 1", 1000, 1), ("64 x 16", 64, 16))
RULE = '[proxies.it.rules.none]\nkind = "latency"\nlatency = "0s"\n'


def free_port():
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


def wait_listening(port, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.02)
    raise Failed("haproxy does not listen")


@contextlib.contextmanager
def proxying(settings, kind, target):
    """(the proxy's process, its address)."""
    place = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=settings.directory))
    config = place / "config"
    if kind == "haproxy":
        port = free_port()
        config.write_text(
            "global\n  nbthread 1\n  maxconn 4000\n"
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n"
            f"listen it\n  bind 127.0.0.1:{port}\n  server it {target}\n")
        command = [shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-db", "-f", config]
    else:
        config.write_text('control.listen = ""\n[proxies.it]\nlisten = "127.0.0.1:0"\n'
                          f'target = "{target}"\n' + (RULE if kind == "with a rule" else ""))
        command = [CHAOS, config]
    process = subprocess.Popen(pinned(settings.server_cpus, command), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    try:
        if kind == "haproxy":
            wait_listening(port)
        else:
            found = re.match(r"ready it=127\.0\.0\.1:(\d+)", process.stdout.readline())
            if not found:
                raise Failed("ringgate-chaos did not get ready")
            port = int(found[1])
        yield process, f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
        shutil.rmtree(place, ignore_errors=True)


def once(settings, kind, devices, in_flight):
    with server(settings, "ringgate") as (_, target):
        with proxying(settings, kind, target) as (process, address):
            result = load(settings, address, process, devices,
                          ["--in-flight", in_flight, "--warmup", settings.warmup_s, "--duration",
                           settings.measure_s])
            return {"cpu_us": result["server"]["cpu_us_per_ack"] / 2,
                    "acks_per_s": result["acknowledged_per_s"]}


def run(settings):
    kinds = ["ringgate-chaos", "with a rule"]
    if shutil.which("haproxy", path="/usr/sbin:/usr/bin"):
        kinds.append("haproxy")
    return {name: alternate(settings, kinds,
                            lambda kind, d=devices, n=in_flight: once(settings, kind, d, n),
                            f"chaos {name}")
            for name, devices, in_flight in CASES}


def show(result):
    print("\nringgate-chaos: CPU of the proxy per forwarded message, without rules")
    for name, rounds in result.items():
        for kind in rounds[0]:
            cpu = median([each[kind]["cpu_us"] for each in rounds])
            rate = median([each[kind]["acks_per_s"] for each in rounds])
            print(f"  {name:12} {kind:16} {cpu:6.2f} us   {2 * rate:9,.0f} messages/s")
        if "haproxy" in rounds[0]:
            values = ratios(rounds, "ringgate-chaos", "haproxy", "cpu_us")
            print(f"  {name:12} of haproxy's    {show_ratio(values)}")
