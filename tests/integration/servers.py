"""The servers that sinks write to, as processes of a test: free ports on 127.0.0.1, temporary
directories, nothing of the system's own services. Each is a context manager; start(), stop(),
kill(), freeze() and go_on() may be called in between, and start(empty=True) forgets its data.

    with servers.Redis(password="secret") as redis:
        redis.url  # redis://:secret@127.0.0.1:41234
    with servers.Nats() as nats: ...            # with JetStream
    with servers.NatsCluster(3) as cluster: ...
    with servers.Postgres() as postgres:
        postgres.query("select 1")  # [["1"]]
    with servers.SmallDisk(64) as disk: ...     # a tmpfs of 64 MiB; needs root
    with servers.FarAway(redis, 20) as far: ...  # the same server, 20 ms for a way and back
    with servers.Stranger(b"hello") as port: ...  # says that to everybody, or nothing

A server that is not installed skips the test (tests/run installs all)."""

import contextlib
import glob
import json
import os
import pwd
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

# Only a hang reaches it.
LIMIT_S = 60
STARTS = 5  # a port may be taken between its choice and its use


def find_program(name, *elsewhere):
    """Where a server's program is; skips the test where it is not."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/bin")
    for pattern in elsewhere:
        found = found or next(reversed(sorted(glob.glob(pattern))), None)
    if found is None:
        raise unittest.SkipTest(f"{name} is not installed")
    return found


def free_ports(count=1):
    """Ports nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            sockets.append(stack.enter_context(socket.socket()))
            sockets[-1].bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until(happened, what, limit_s=LIMIT_S):
    """Asks again and again; returns the first answer that is true."""
    patience = time.monotonic() + limit_s
    while True:
        answer = happened()
        if answer:
            return answer
        if time.monotonic() > patience:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.02)


def descendants(pid):
    """The pids of a process and all that it started."""
    parents = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue
        parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += parents.get(found[-1], [])
    return found


def quote(text):
    return urllib.parse.quote(text, safe="")


class Server:
    """One server process with a folder and a port of its own. A child says how it is started and
    when it answers."""

    name = "server"
    user = None  # runs as this user where we are root

    def __init__(self, folder=None):
        self.own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix=f"ringgate-{self.name}-"))
        self.port = free_ports()[0]
        self.process = None
        self.log = None

    # What a child has -----------------------------------------------------------------------------

    def command(self):
        raise NotImplementedError

    def prepare(self):
        """Before each start."""

    def answers(self):
        with socket.socket() as probe:
            probe.settimeout(2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    # What tests call ------------------------------------------------------------------------------

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.kill()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, empty=False):
        """Starts it, on the same port as before; waits until it answers."""
        first = self.process is None
        if empty:
            self.forget()
        for attempt in range(STARTS):
            self.prepare()
            self.spawn()
            if wait_until(lambda: self.process.poll() is not None or self.answers(),
                          f"{self.name} starts") and self.process.poll() is None:
                return self
            if first:
                self.port = free_ports()[0]
            elif attempt + 1 < STARTS:
                time.sleep(0.2)
        raise AssertionError(f"{self.name} does not start:\n{self.output()}")

    def forget(self):
        for entry in self.folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def stop(self):
        """Asks it to end; waits."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            self.process.wait(LIMIT_S)
        self.close_log()

    stop_signal = signal.SIGTERM

    def kill(self):
        """SIGKILL to it and all that it started; waits."""
        if self.process is not None and self.process.poll() is None:
            for pid in descendants(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(LIMIT_S)
        self.close_log()

    def freeze(self):
        """Stops it without closing anything: a server that has become infinitely slow."""
        for pid in descendants(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def go_on(self):
        for pid in descendants(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def output(self):
        path = self.folder / "output.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    # ----------------------------------------------------------------------------------------------

    def spawn(self):
        self.close_log()
        self.log = open(self.folder / "output.txt", "ab")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, cwd=self.folder,
                                        **self.identity())

    def identity(self):
        if self.user is None or os.geteuid() != 0:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def close_log(self):
        if self.log is not None:
            self.log.close()
            self.log = None


class Redis(Server):
    """redis-server; keeps what it has over stop() (not over kill()) where `durable`."""

    name = "redis"

    def __init__(self, password=None, durable=False, cluster=False, arguments=(), folder=None):
        self.program = find_program("redis-server")
        self.password, self.durable, self.cluster = password, durable, cluster
        self.arguments = list(arguments)
        super().__init__(folder)
        if cluster:  # its bus is the port + 10,000
            self.port = next(port for port in free_ports(50) if port < 55000)

    @property
    def url(self):
        secret = f":{quote(self.password)}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}"

    def command(self):
        command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
                   str(self.folder), "--save", "", "--appendonly", "yes" if self.durable else "no"]
        if self.password:
            command += ["--requirepass", self.password]
        if self.cluster:
            command += ["--cluster-enabled", "yes", "--cluster-config-file",
                        str(self.folder / "nodes.conf"), "--cluster-node-timeout", "1000"]
        return command + self.arguments

    def cli(self, *words):
        """What redis-cli prints, as text."""
        command = [find_program("redis-cli"), "-h", "127.0.0.1", "-p", str(self.port)]
        if self.password:
            command += ["-a", self.password, "--no-auth-warning"]
        if self.cluster:
            command += ["-c"]
        done = subprocess.run([*command, *map(str, words)], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=LIMIT_S, errors="replace")
        return done.stdout.rstrip("\n")

    def answers(self):
        return super().answers() and self.cli("ping") == "PONG"


class RedisCluster:
    """Redis Cluster of masters without replicas."""

    def __init__(self, count=3, **options):
        self.nodes = [Redis(cluster=True, **options) for _ in range(count)]

    @property
    def url(self):
        return self.nodes[0].url

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
            addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
            command = [find_program("redis-cli"), "--cluster", "create", *addresses,
                       "--cluster-yes"]
            if self.nodes[0].password:
                command += ["-a", self.nodes[0].password, "--no-auth-warning"]
            subprocess.run(command, stdin=subprocess.DEVNULL, check=True, capture_output=True,
                           timeout=LIMIT_S)
            wait_until(lambda: all("cluster_state:ok" in node.cli("cluster", "info")
                                   for node in self.nodes), "the cluster is whole")
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for node in self.nodes:
            node.end()


class Nats(Server):
    """nats-server with JetStream. `routes`: ports of the cluster's other nodes."""

    name = "nats"

    def __init__(self, user=None, password=None, cluster_name=None, index=0, cluster_ports=(),
                 arguments=(), store=None, folder=None):
        self.program = find_program("nats-server")
        self.login = (user, password) if user else None
        self.cluster_name, self.index, self.cluster_ports = cluster_name, index, cluster_ports
        self.arguments, self.store = list(arguments), store
        super().__init__(folder)
        self.monitor_port = free_ports()[0]

    @property
    def url(self):
        login = ":".join(map(quote, self.login)) + "@" if self.login else ""
        return f"nats://{login}127.0.0.1:{self.port}"

    def prepare(self):
        lines = [f'server_name: "ringgate-test-{self.index}"', 'host: "127.0.0.1"',
                 f"port: {self.port}", f'http: "127.0.0.1:{self.monitor_port}"',
                 f'jetstream {{ store_dir: "{self.store or self.folder / "jetstream"}" }}']
        if self.login:
            lines.append(f'authorization {{ user: "{self.login[0]}", '
                         f'password: "{self.login[1]}" }}')
        if self.cluster_name:
            others = [port for i, port in enumerate(self.cluster_ports) if i != self.index]
            routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in others)
            lines.append(f'cluster {{ name: "{self.cluster_name}", listen: '
                         f'"127.0.0.1:{self.cluster_ports[self.index]}", routes: [{routes}] }}')
        (self.folder / "nats.conf").write_text("\n".join(lines) + "\n")

    def command(self):
        return [self.program, "--config", str(self.folder / "nats.conf"), *self.arguments]

    def answers(self):
        """Healthy: with JetStream, and where it is one of several, with a leader."""
        path = "/varz" if self.cluster_name else "/healthz"
        try:
            address = f"http://127.0.0.1:{self.monitor_port}{path}"
            with urllib.request.urlopen(address, timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def monitor(self, path):
        """The monitor's answer to a path like "/jsz?streams=true", as an object."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}{path}",
                                    timeout=LIMIT_S) as answer:
            return json.load(answer)


class NatsCluster:
    """nats-servers with JetStream that know each other; whole once entered."""

    def __init__(self, count=3, **options):
        ports = free_ports(count)
        self.nodes = [Nats(cluster_name="ringgate-test", index=i, cluster_ports=ports, **options)
                      for i in range(count)]

    @property
    def url(self):
        return ",".join(node.url for node in self.nodes)

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
            self.wait_whole()
            return self
        except BaseException:
            self.__exit__()
            raise

    def wait_whole(self):
        """Until the living nodes have chosen one leader of JetStream and are all current."""
        living = [node for node in self.nodes if node.process.poll() is None]

        def whole():
            try:
                infos = [node.monitor("/jsz").get("meta_cluster", {}) for node in living]
            except OSError:
                return False
            return all(info.get("leader") for info in infos) and \
                len({info["leader"] for info in infos}) == 1 and \
                all(info.get("cluster_size") == len(self.nodes) for info in infos)
        wait_until(whole, "the cluster has a leader")

    def __exit__(self, *_):
        for node in self.nodes:
            node.end()


class Postgres(Server):
    """PostgreSQL with a superuser `ringgate` and a database of that name. `password`: of
    everybody, asked for over TCP. `data_dir`: instead of one in the folder (SmallDisk)."""

    name = "postgres"
    user = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends its clients' connections

    def __init__(self, password=None, settings=None, data_dir=None, folder=None):
        where = "/usr/lib/postgresql/*/bin/"
        self.programs = {name: find_program(name, where + name)
                         for name in ("postgres", "initdb", "psql")}
        self.password = password
        self.settings = {"fsync": "off", "shared_buffers": "64MB", "max_connections": "40",
                         "log_min_messages": "warning"} | (settings or {})
        super().__init__(folder)
        self.data_dir = Path(data_dir or self.folder / "data")
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)

    @property
    def url(self):
        return self.url_of(self.password)

    def url_of(self, password):
        secret = f":{quote(password)}" if password else ""
        return f"postgresql://ringgate{secret}@127.0.0.1:{self.port}/ringgate"

    def prepare(self):
        if (self.data_dir / "PG_VERSION").exists():
            (self.data_dir / "postmaster.pid").unlink(missing_ok=True)  # all of it was killed
            return
        secret = self.folder / "secret"
        secret.write_text(self.password or "unused")
        if os.geteuid() == 0:
            shutil.chown(secret, self.user)
        way = "scram-sha-256" if self.password else "trust"
        subprocess.run([self.programs["initdb"], "--no-sync", "--auth-local=trust",
                        f"--auth-host={way}", "--username=ringgate", "--encoding=UTF8",
                        "--locale=C", f"--pwfile={secret}", "-D", str(self.data_dir)],
                       stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=LIMIT_S,
                       cwd=self.folder, **self.identity())

    def copy(self, standby=False):
        """Another server with what this one has now; not started. A `standby` follows it from
        then on, and only reads."""
        other = Postgres()
        program = find_program("pg_basebackup", "/usr/lib/postgresql/*/bin/pg_basebackup")
        subprocess.run([program, "-D", str(other.data_dir), "-c", "fast", "-d", self.url,
                        *(["-R"] if standby else [])], stdin=subprocess.DEVNULL, check=True,
                       capture_output=True, timeout=LIMIT_S, cwd=other.folder,
                       **other.identity())
        return other

    def command(self):
        command = [self.programs["postgres"], "-D", str(self.data_dir), "-p", str(self.port),
                   "-k", str(self.folder), "-h", "127.0.0.1"]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def psql(self, sql, database="ringgate"):
        """(exit code, stdout, stderr); rows as lines, columns with | between them."""
        done = subprocess.run([self.programs["psql"], "-X", "-A", "-t", "-q", "-v",
                               "ON_ERROR_STOP=1", "-h", str(self.folder), "-p", str(self.port),
                               "-U", "ringgate", "-d", database],
                              input=sql, text=True, capture_output=True, timeout=LIMIT_S,
                              errors="replace")
        return done.returncode, done.stdout, done.stderr

    @contextlib.contextmanager
    def session(self, sql):
        """A session of its own that has run `sql` and stays; what it prints, by lines."""
        process = subprocess.Popen([self.programs["psql"], "-X", "-A", "-t", "-q", "-h",
                                    str(self.folder), "-p", str(self.port), "-U", "ringgate",
                                    "-d", "ringgate"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        try:
            process.stdin.write(sql + "\n")
            process.stdin.flush()
            yield process.stdout
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait(LIMIT_S)

    def query(self, sql, database="ringgate"):
        """Rows as lists of texts."""
        code, out, err = self.psql(sql, database)
        if code:
            raise AssertionError(f"psql: {err}")
        return [line.split("|") for line in out.splitlines()]

    def answers(self):
        if not super().answers() or self.psql("select 1", "postgres")[0] != 0:
            return False
        if not self.query("select 1 from pg_database where datname = 'ringgate'", "postgres"):
            self.query("create database ringgate", "postgres")
        return True


class FarAway:
    """A wire to a server on 127.0.0.1 that everything takes half of `round_trip_ms` on, each way.
    `url` is that server's with the wire's port; cut() breaks all connections."""

    def __init__(self, server, round_trip_ms):
        self.server, self.delay_s = server, round_trip_ms / 2000
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.ends, self.threads = [], []
        self.connections = 0

    @property
    def url(self):
        return self.server.url.replace(f":{self.server.port}", f":{self.port}")

    def __enter__(self):
        self.start(self.accept)
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.threads[0].join(LIMIT_S)
        self.cut()
        for thread in self.threads:
            thread.join(LIMIT_S)
        for each in [self.listener, *self.ends]:
            each.close()

    def start(self, target, *arguments):
        self.threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self.threads[-1].start()

    def cut(self):
        for end in self.ends:
            self.close(end)

    @staticmethod
    def close(end):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.connections += 1
                far = socket.socket()
                self.ends += [near, far]
                if far.connect_ex(("127.0.0.1", self.server.port)) != 0:
                    near.close()
                    continue
                for one, other in ((near, far), (far, near)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    waiting = queue.Queue(64)
                    self.start(self.take, one, waiting)
                    self.start(self.deliver, other, waiting)

    def take(self, one, waiting):
        data = b"more"
        while data:
            try:
                data = one.recv(1 << 18)
            except OSError:
                data = b""
            waiting.put((time.monotonic() + self.delay_s, data))

    def deliver(self, other, waiting):
        """What comes goes on later, in its order, without waiting for what came before."""
        broken = False
        while True:
            at, data = waiting.get()
            if not data:
                self.close(other)
                return
            time.sleep(max(at - time.monotonic(), 0))
            try:
                if not broken:
                    other.sendall(data)
            except OSError:
                broken = True


class Stranger:
    """Accepts everybody, says `words` and nothing more, and reads what they say."""

    def __init__(self, words=b""):
        self.words = words
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.links = []
        self.thread = threading.Thread(target=self.accept, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self.port

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(LIMIT_S)
        for link in self.links:
            link.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                link, _ = self.listener.accept()
                self.links.append(link)
                with contextlib.suppress(OSError):
                    link.sendall(self.words)


class SmallDisk:
    """A tmpfs of `size_mib`, which everybody may write; skips the test where none may be mounted.
    fill() and free() take what room there is, and give it back."""

    def __init__(self, size_mib):
        self.path = Path(tempfile.mkdtemp(prefix="ringgate-disk-"))
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0777",
                               "ringgate-test", str(self.path)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode:
            self.path.rmdir()
            raise unittest.SkipTest(f"no tmpfs may be mounted here: {done.stderr.strip()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.path)], stdin=subprocess.DEVNULL, check=True)
        self.path.rmdir()

    def fill(self):
        with open(self.path / "ballast", "wb", buffering=0) as file:
            for size in (1 << 16, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self):
        (self.path / "ballast").unlink(missing_ok=True)
