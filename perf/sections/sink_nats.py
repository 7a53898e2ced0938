"""The NATS sink against the plainest loop over libnats (js_PublishAsync, then wait) with the same
subjects and payloads, and a nats-server of their own. The loop's payloads are made before its time
is taken, and it asks for no deduplication; the sink decodes each record on the way."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from measuring import RELEASE, Failed, alternate, pinned, show_sides

TARGET = 0.7  # of the plain loop, at least
BENCH = RELEASE / "perf" / "micro" / "nats-bench"


class Server:
    """nats-server with JetStream on files, pinned beside the load. Each run has a new one."""

    def __init__(self, settings, folder, cpus=None):
        program = shutil.which("nats-server", path="/usr/sbin:/usr/local/bin:/usr/bin")
        if program is None:
            raise Failed("nats-server is needed: apt-get install nats-server")
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            self.port = chosen.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            pinned(cpus or settings.server_cpus,
                   [program, "-a", "127.0.0.1", "-p", self.port, "-js", "-sd", folder]),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise Failed("nats-server does not answer")

    def end(self):
        self.process.terminate()
        self.process.wait()


def once(settings, kind, records):
    with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
        server = Server(settings, Path(folder) / "jetstream")
        try:
            command = [BENCH, "--url", server.url, "--kind", kind, "--records", records]
            done = subprocess.run(pinned(settings.load_cpus, command), capture_output=True,
                                  text=True, check=False, timeout=300)
            if done.returncode != 0:
                raise Failed(f"nats-bench: {done.stderr.strip()}")
            return {"records_per_s": json.loads(done.stdout)["records_per_s"]}
        finally:
            server.end()


def run(settings):
    if not BENCH.exists():
        raise Failed("nats-bench is not built: it needs libnats-dev")
    records = 50_000 if settings.quick else 200_000
    rounds = alternate(settings, ("sink", "plain"), lambda kind: once(settings, kind, records),
                       "sink-nats")
    return {"rounds": rounds, "records": records}


def show(result):
    show_sides(result, "NATS sink / plain js_PublishAsync, the same payloads", ("sink", "plain"),
               "records_per_s", TARGET)
