"""The dashboard with a fleet that the gateway knows from its state: from the navigation in a fresh
Chromium until numbers and map are there, with a gateway that nobody has asked before; and what the
API takes for a map of all. The browser is driven over WebDriver's HTTP."""

import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from measuring import GATEWAY, Failed, load_command, median, pinned
from sections.http import free_port, needed, wait_http
from sections.state import make

DEVICES = 100_000
USABLE_MS = 1000  # wanted
MAP_MS = 3  # wanted of the gateway, for a map of all devices
DRIVING, FRAMES, FRAME_MS = 2000, 200, 8  # vehicles in sight, drawn so often; wanted of a frame
WORLD = "/api/v1/map?area=-60,-180,75,180&cells=48"
MARKS = ("numbers", "list", "map")


@contextlib.contextmanager
def gateway(settings, place):
    vehicles = free_port()
    keys = [f"server.data_dir={place}", f"jt808.listen=127.0.0.1:{vehicles}", "server.shards=2",
            "http.listen=127.0.0.1:0", "state.snapshot_interval=1h", "server.pin=false"]
    command = [GATEWAY, *(word for key in keys for word in ("--set", key))]
    process = subprocess.Popen(pinned(settings.server_cpus, command), stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        yield wait_http(process), vehicles
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


@contextlib.contextmanager
def driving(settings, port, place):
    """Vehicles on the road, each with a report a second."""
    log = open(place / "load", "w+b")
    process = subprocess.Popen(load_command(settings, f"127.0.0.1:{port}", DRIVING,
                                            ["--drive", "--rate", "1", "--duration", "600"]),
                               stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while f"measuring: {DRIVING} online".encode() not in (place / "load").read_bytes():
            if time.monotonic() > deadline or process.poll() is not None:
                raise Failed("the vehicles did not come up")
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait(20)
        log.close()


@contextlib.contextmanager
def driver(settings):
    """The port of a chromedriver."""
    port = free_port()
    process = subprocess.Popen(pinned(settings.load_cpus,
                                      [needed("chromedriver"), f"--port={port}"]),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                if ask(port, "GET", "/status")["ready"]:
                    break
            if time.monotonic() > deadline:
                raise Failed("chromedriver did not get ready")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
    finally:
        connection.close()
    if isinstance(value, dict) and "error" in value:
        raise Failed(f"chromedriver: {value['message']}")
    return value


def visit(port, url, frames_wanted=1):
    """Milliseconds from the navigation to each mark, and of the map's frames."""
    words = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
             "--window-size=1280,800"]
    options = {"browserName": "chrome", "goog:chromeOptions": {
        "binary": shutil.which("chromium") or "chromium", "args": words}}
    session = ask(port, "POST", "/session", {"capabilities": {"alwaysMatch": options}})
    base = f"/session/{session['sessionId']}"
    try:
        ask(port, "POST", f"{base}/url", {"url": url})
        script = {"script": "const page = globalThis.ringgatePage;"
                  " return [page?.marks ?? {}, page?.map?.frameMs ?? []]",
                  "args": []}
        deadline = time.monotonic() + 30
        while True:
            marks, frames = ask(port, "POST", f"{base}/execute/sync", script)
            if all(mark in marks for mark in MARKS) and len(frames) >= frames_wanted:
                return marks | {"frame_ms": median(frames)}
            if time.monotonic() > deadline:
                shown = ask(port, "GET", f"{base}/title")
                raise Failed(f"the page did not get ready: {shown!r}, {marks}")
            time.sleep(0.05)
    finally:
        ask(port, "DELETE", base)


def fetch(port, path):
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Failed(f"{path}: {answer.status} {body[:200]}")
        return 1000 * (time.monotonic() - began), json.loads(body)
    finally:
        connection.close()


def run(settings):
    result = {"devices": DEVICES, "visits": []}
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder, driver(settings) as browser:
        place = Path(folder)
        make(settings, place, DEVICES)
        for _ in range(settings.rounds):
            with gateway(settings, place) as (port, _):
                result["visits"].append(visit(browser, f"http://127.0.0.1:{port}/#/map"))
        with gateway(settings, place) as (port, _):
            result["first_map_ms"], found = fetch(port, WORLD)
            result["located"] = sum(cell["devices"] for cell in found["cells"])
            result["map_ms"] = [fetch(port, WORLD)[0] for _ in range(50)]
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder, \
            driver(settings) as browser, gateway(settings, Path(folder) / "data") as (port, to), \
            driving(settings, to, Path(folder)):
        result["driving"] = visit(browser, f"http://127.0.0.1:{port}/#/map", FRAMES)
    return result


def show(result):
    print(f"  The page with {result['devices']:,} known devices, fresh browser and gateway")
    usable = [max(visit[mark] for mark in MARKS) for visit in result["visits"]]
    for mark in MARKS:
        print(f"    {mark}: {median([visit[mark] for visit in result['visits']]):.0f} ms")
    met = "met" if median(usable) <= USABLE_MS else "MISSED"
    print(f"  usable after {median(usable):.0f} ms ({min(usable):.0f}-{max(usable):.0f}),"
          f" wanted {USABLE_MS}: {met}")
    frame = result["driving"]["frame_ms"]
    met = "met" if frame <= FRAME_MS else "MISSED"
    print(f"  a frame of the map with {DRIVING:,} vehicles that drive: {frame:.1f} ms,"
          f" wanted {FRAME_MS}: {met}")
    print(f"  a map of all over HTTP: {result['first_map_ms']:.0f} ms the first time (all devices"
          f" are fetched), then {median(result['map_ms']):.1f} ms, wanted {MAP_MS};"
          f" {result['located']:,} devices have a place")
