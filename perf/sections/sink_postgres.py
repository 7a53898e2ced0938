"""The PostgreSQL sink against psql's \\copy of the same rows into the same table, emptied, and a
server of their own with its defaults (fsync is on). \\copy reads a file that was made before and is
one transaction; the sink decodes each record, makes its rows, and commits every 10,000 records
together with its cursor."""

import glob
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from measuring import RELEASE, Failed, alternate, pinned, show_sides

TARGET = 0.7  # of \copy, at least
BENCH = RELEASE / "perf" / "micro" / "postgres-bench"
TABLE = "ringgate_positions"


def program(name):
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    found = shutil.which(name) or (found[-1] if found else None)
    if found is None:
        raise Failed("PostgreSQL's server and psql are needed: apt-get install postgresql")
    return found


class Server:
    """PostgreSQL as initdb leaves it, on TCP alone, pinned beside the load. It refuses to run as
    root: then it runs as user postgres."""

    def __init__(self, settings, cpus=None, directory=None):
        self.psql = program("psql")
        initdb, postgres = program("initdb"), program("postgres")
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            self.port = chosen.getsockname()[1]
        self.url = f"postgresql://ringgate@127.0.0.1:{self.port}/postgres"
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-",
                                           dir=directory or settings.directory))
        self.process = None
        try:
            who = {}
            if os.geteuid() == 0:
                shutil.chown(self.folder, "postgres")
                group = pwd.getpwnam("postgres").pw_gid
                who = {"user": "postgres", "group": group, "extra_groups": []}
            done = subprocess.run(
                [initdb, "--auth=trust", "--username=ringgate", "--encoding=UTF8", "--locale=C",
                 "-D", self.folder / "data"], capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, cwd=self.folder, **who)
            if done.returncode != 0:
                raise Failed(f"initdb: {done.stderr.strip()}")
            self.process = subprocess.Popen(
                pinned(cpus or settings.server_cpus,
                       [postgres, "-D", self.folder / "data", "-p", self.port, "-h", "127.0.0.1",
                        "-c", "unix_socket_directories="]),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                cwd=self.folder, **who)
            self.wait_ready()
        except BaseException:
            self.end()
            raise

    def wait_ready(self):
        for _ in range(500):
            if self.run("select 1").returncode == 0:
                return
            time.sleep(0.02)
        raise Failed("PostgreSQL does not answer")

    def run(self, *commands, cpus=None):
        """psql with one command after the other, each a transaction of its own."""
        command = [self.psql, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url,
                   *(part for one in commands for part in ("-c", one))]
        return subprocess.run(pinned(cpus, command) if cpus else command, capture_output=True,
                              text=True, check=False, stdin=subprocess.DEVNULL, timeout=600)

    def query(self, *commands, cpus=None):
        done = self.run(*commands, cpus=cpus)
        if done.returncode != 0:
            raise Failed(f"psql: {done.stderr.strip()}")
        return done.stdout

    def end(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # ends its clients' connections, too
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def feed(settings, server, records):
    command = [BENCH, "--url", server.url, "--records", records]
    done = subprocess.run(pinned(settings.load_cpus, command), capture_output=True, text=True,
                          check=False, timeout=600)
    if done.returncode != 0:
        raise Failed(f"postgres-bench: {done.stderr.strip()}")
    return json.loads(done.stdout)["rows_per_s"]


def copy(settings, server, file, records):
    # psql's own clock: its start and its connection are not in it.
    said = server.query("\\timing on", f"\\copy {TABLE} from '{file}'", cpus=settings.load_cpus)
    took = re.search(r"COPY (\d+)\nTime: ([\d.]+) ms", said)
    if took is None or int(took[1]) != records:
        raise Failed(f"psql \\copy of {records} rows said: {said.strip()}")
    return records / float(took[2]) * 1000


def run(settings):
    records = 200_000 if settings.quick else 800_000
    if not BENCH.exists():
        raise Failed("postgres-bench is not built: it needs libpq-dev")
    server = Server(settings)
    try:
        with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
            file = Path(folder) / "positions"
            feed(settings, server, records)  # makes the tables and the rows for \copy
            server.query(f"\\copy (select * from {TABLE}) to '{file}'")

            def once(kind):
                server.query(f"truncate {TABLE}, ringgate_cursor", "checkpoint")
                if kind == "sink":
                    rate = feed(settings, server, records)
                else:
                    rate = copy(settings, server, file, records)
                count = int(server.query(f"select count(*) from {TABLE}"))
                if count != records:
                    raise Failed(f"{count} rows are there after {records} records by {kind}")
                return {"rows_per_s": rate}

            rounds = alternate(settings, ("sink", "copy"), once, "sink-postgres")
            return {"rounds": rounds, "records": records, "file_bytes": file.stat().st_size}
    finally:
        server.end()


def show(result):
    show_sides(result, "PostgreSQL sink / psql \\copy, the same rows", ("sink", "copy"),
               "rows_per_s", TARGET)
