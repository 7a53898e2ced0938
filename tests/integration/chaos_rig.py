"""What tests of ringgate-chaos stand on: the proxy as a process with its HTTP interface, and
servers behind it that tell what has come and how it ended."""

import http.client
import json
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import harness

# Nothing is to come: as long as it would take many times over.
SILENCE_S = 0.3


class Chaos:
    """A running proxy with the plan given; ready once constructed."""

    def __init__(self, folder, plan="", arguments=()):
        path = folder / "chaos.toml"
        if "[control]" not in plan:
            plan += '\n[control]\nlisten = "127.0.0.1:0"\n'
        path.write_text(plan)
        self.errors = open(folder / "chaos.stderr", "w+", encoding="utf-8")
        self.process = subprocess.Popen([str(harness.CHAOS), str(path), *arguments],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True)
        words = self.process.stdout.readline().split()
        if words[:1] != ["ready"]:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            raise AssertionError(f"the proxy did not get ready: {self.said()}")
        self.addresses = dict(word.split("=", 1) for word in words[1:])
        self.connection, self.code = None, None

    def address(self, name):
        host, port = self.addresses[name].rsplit(":", 1)
        return host, int(port)

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def ask(self, method, path, body=None, **fields):
        """(status, fields, body as text). A body that is no text is sent as JSON."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(*self.address("control"),
                                                         timeout=harness.LIMIT_S)
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        if body is not None:
            fields = {"Content-Type": "application/json"} | fields
        self.connection.request(method, path, body, fields)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        return answer.status, dict(answer.getheaders()), text

    def rule(self, proxy, name, **rule):
        if "each" in rule:  # "for" is no name of an argument
            rule["for"] = rule.pop("each")
        if "begin" in rule:
            rule["from"] = rule.pop("begin")
        status, _, text = self.ask("PUT", f"/proxies/{proxy}/rules/{name}", rule)
        if status not in (200, 201):
            raise AssertionError(f"{status}: {text}")

    def no_rules(self, proxy):
        status, _, text = self.ask("DELETE", f"/proxies/{proxy}/rules")
        if status != 204:
            raise AssertionError(f"{status}: {text}")

    def status(self, proxy):
        return json.loads(self.ask("GET", "/status")[2])["proxies"][proxy]

    def hits(self, proxy, rule):
        return self.status(proxy)["rules"][rule]["hits"]

    def wait_status(self, proxy, enough):
        """The status once `enough` says so of it."""
        patience = time.monotonic() + harness.LIMIT_S
        while True:
            status = self.status(proxy)
            if enough(status):
                return status
            if time.monotonic() > patience:
                raise AssertionError(f"not yet: {status}")
            time.sleep(0.01)

    def stop(self):
        """SIGTERM; the exit code, also when asked again. What a sanitizer has said is an error."""
        if self.code is not None:
            return self.code
        if self.connection is not None:
            self.connection.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.code = self.process.wait(harness.LIMIT_S)
        self.process.stdout.close()
        said = self.said()
        self.errors.close()
        if "Sanitizer" in said or "runtime error:" in said or -code in harness.CRASHES:
            raise AssertionError(f"the proxy ended with {code}:\n{said}")
        return code


class Peer:
    """One end of a TCP connection: what came, and how it ended ("", "fin" or "reset")."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(harness.LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, size):
        """Exactly so many bytes."""
        parts, missing = [], size
        while missing:
            part = self.socket.recv(min(missing, 1 << 16))
            if not part:
                raise AssertionError(f"the end came {missing} bytes too early")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def to_the_end(self):
        """(all bytes that come, how it ended)."""
        parts = []
        while True:
            try:
                part = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return b"".join(parts), "reset"
            if not part:
                return b"".join(parts), "fin"
            parts.append(part)

    def is_silent(self, seconds=SILENCE_S):
        return not select.select([self.socket], [], [], seconds)[0]

    def segments_received(self):
        """Segments with data (tcp_info.tcpi_data_segs_in)."""
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
        return struct.unpack_from("=I", info, 152)[0]

    def shut(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()


class TcpServer:
    """Accepts when it is asked to."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.socket.settimeout(harness.LIMIT_S)
        self.port = self.socket.getsockname()[1]

    def accept(self):
        return Peer(self.socket.accept()[0])

    def has_none(self, seconds=SILENCE_S):
        return not select.select([self.socket], [], [], seconds)[0]

    def close(self):
        """Ends an accept that waits, too."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed before
        self.socket.close()


class UdpServer:
    """Keeps what comes, and sends it back where `echo`."""

    def __init__(self, echo=False):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.got, self.changed = [], threading.Condition()
        self.thread = threading.Thread(target=self._run, args=(echo,), daemon=True)
        self.thread.start()

    def _run(self, echo):
        while True:
            data, sender = self.socket.recvfrom(1 << 16)
            if data == b"end of the server":
                return
            with self.changed:
                self.got.append(data)
                self.changed.notify_all()
            if echo:
                self.socket.sendto(data, sender)

    def wait(self, count):
        """The first `count` datagrams."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.got) >= count, harness.LIMIT_S):
                raise AssertionError(f"only {len(self.got)} of {count} datagrams")
            return self.got[:count]

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            while self.thread.is_alive():  # a socket that is full drops it
                last.sendto(b"end of the server", ("127.0.0.1", self.port))
                self.thread.join(0.05)
        self.socket.close()
