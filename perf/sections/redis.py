"""The Redis sink against redis-cli --pipe with the same bytes, and a server of their own."""

import json
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from measuring import RELEASE, Failed, alternate, pinned, show_sides

TARGET = 0.7  # of redis-cli --pipe, at least
BENCH = RELEASE / "perf" / "micro" / "redis-bench"


class Server:
    """redis-server without persistence, pinned beside the load."""

    def __init__(self, settings, cpus=None):
        program = shutil.which("redis-server")
        if program is None or shutil.which("redis-cli") is None:
            raise Failed("redis-server and redis-cli are needed: apt-get install redis-server")
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            self.port = chosen.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            pinned(cpus or settings.server_cpus,
                   [program, "--port", self.port, "--bind", "127.0.0.1", "--save", "",
                    "--appendonly", "no"]),
            stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        for _ in range(500):
            if self.cli("ping") == "PONG":
                return
            time.sleep(0.02)
        raise Failed("redis-server does not answer")

    def cli(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False)
        return done.stdout.strip()

    def end(self):
        self.process.terminate()
        self.process.wait()


def record(port, target):
    """Passes one connection on to the server and keeps what the client said."""
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source, sink, keep):
        while data := source.recv(1 << 16):
            if keep:
                keep.write(data)
            sink.sendall(data)
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def work():
        client, _ = listener.accept()
        with socket.create_connection(("127.0.0.1", port)) as server, open(target, "wb") as keep:
            back = threading.Thread(target=copy, args=(server, client, None))
            back.start()
            copy(client, server, keep)
            back.join()

    thread = threading.Thread(target=work)
    thread.start()
    return listener.getsockname()[1], thread


def bench(settings, port, records):
    command = [BENCH, "--url", f"redis://127.0.0.1:{port}", "--records", records]
    done = subprocess.run(pinned(settings.load_cpus, command), capture_output=True, text=True,
                          check=False, timeout=300)
    if done.returncode != 0:
        raise Failed(f"redis-bench: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run(settings):
    records = 100_000 if settings.quick else 400_000
    if not BENCH.exists():
        raise Failed("redis-bench is not built: it needs libhiredis-dev")
    server = Server(settings)
    try:
        with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
            stream = Path(folder) / "stream"
            port, thread = record(server.port, stream)
            bench(settings, port, records)
            thread.join()

            def once(kind):
                server.cli("flushall")
                if kind == "sink":
                    return {"records_per_s": bench(settings, server.port, records)["records_per_s"]}
                started = time.monotonic()
                with open(stream, "rb") as data:
                    done = subprocess.run(
                        pinned(settings.load_cpus, ["redis-cli", "-p", server.port, "--pipe"]),
                        stdin=data, capture_output=True, text=True, check=False, timeout=300)
                if "errors: 0" not in done.stdout:
                    raise Failed(f"redis-cli --pipe: {done.stdout.strip()}")
                return {"records_per_s": records / (time.monotonic() - started)}

            rounds = alternate(settings, ("sink", "pipe"), once, "redis")
            return {"rounds": rounds, "records": records, "stream_bytes": stream.stat().st_size}
    finally:
        server.end()


def show(result):
    show_sides(result, "Redis sink / redis-cli --pipe, the same bytes", ("sink", "pipe"),
               "records_per_s", TARGET)
