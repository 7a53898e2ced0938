"""A small client of NATS: its text protocol over one socket, requests, and JetStream's API by
requests. Reads on the caller's thread only."""

import json
import socket
import time
import urllib.parse


class Message:
    def __init__(self, subject, reply, headers, data):
        self.subject, self.reply, self.headers, self.data = subject, reply, headers, data

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def status(self):
        """"503": nobody listens to what was requested."""
        first = self.headers.split("\r\n", 1)[0].split()
        return first[1] if len(first) > 1 else ""


class Client:
    def __init__(self, url, limit_s=30):
        """`url` may name several servers: the first that answers is taken."""
        self.limit_s = limit_s
        error = None
        for one in url.split(","):
            parsed = urllib.parse.urlparse(one)
            try:
                self.socket = socket.create_connection((parsed.hostname, parsed.port), 5)
                break
            except OSError as why:
                error = why
        else:
            raise error
        self.file = self.socket.makefile("rb")
        self.socket.settimeout(limit_s)
        assert self.file.readline().startswith(b"INFO ")
        options = {"verbose": False, "headers": True, "no_responders": True}
        if parsed.username:
            options["user"] = urllib.parse.unquote(parsed.username)
            options["pass"] = urllib.parse.unquote(parsed.password or "")
        self.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        self.waiting = []
        self.count = 0
        line = self.file.readline()
        assert line == b"PONG\r\n", line
        self.inbox = f"_INBOX.test{id(self):x}{time.monotonic_ns():x}"
        self.subscribe(self.inbox + ".*")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def write(self, data):
        self.socket.sendall(data)

    def subscribe(self, subject):
        self.count += 1
        self.write(f"SUB {subject} {self.count}\r\n".encode())
        return self.count

    def flush(self):
        """Returns when the server has seen all that was sent."""
        self.write(b"PING\r\n")
        while (message := self.read()) is not None:
            self.waiting.append(message)

    def publish(self, subject, data=b"", reply=""):
        data = data if isinstance(data, bytes) else data.encode()
        self.write(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    def read(self):
        """The next message; None for a PONG."""
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("the server has closed")
            word, *rest = line.decode().split()
            if word == "PONG":
                return None
            if word == "PING":
                self.write(b"PONG\r\n")
            elif word == "-ERR":
                raise ConnectionError(line.decode())
            elif word in ("MSG", "HMSG"):
                sizes = [int(rest.pop()) for _ in range(2 if word == "HMSG" else 1)]
                subject, reply = rest[0], rest[2] if len(rest) > 2 else ""
                body = self.file.read(sizes[0] + 2)[:-2]
                header = sizes[1] if word == "HMSG" else 0
                return Message(subject, reply, body[:header].decode(), body[header:])

    def next(self, limit_s=None):
        """The next message that came to a subscription; None when the time is over."""
        if self.waiting:
            return self.waiting.pop(0)
        self.socket.settimeout(limit_s or self.limit_s)
        try:
            while True:
                message = self.read()
                if message is not None:
                    return message
        except TimeoutError:
            # The buffered reader can't be used after a time-out in the middle of a line; between
            # messages nothing is lost by making it anew.
            self.file = self.socket.makefile("rb")
            return None
        finally:
            self.socket.settimeout(self.limit_s)

    def request(self, subject, data=b"", limit_s=None):
        """The first answer; None when none has come."""
        self.count += 1
        reply = f"{self.inbox}.{self.count}"
        self.publish(subject, json.dumps(data) if isinstance(data, dict) else data, reply)
        end = time.monotonic() + (limit_s or self.limit_s)
        while (left := end - time.monotonic()) > 0:
            message = self.next(left)
            if message is None:
                return None
            if message.subject == reply:
                return message
        return None

    # JetStream ------------------------------------------------------------------------------------

    def api(self, what, data=b"", limit_s=10):
        message = self.request("$JS.API." + what, data, limit_s)
        return message.json if message is not None and message.data else None

    def stream(self, name="RINGGATE"):
        """The stream's info; None where it is not there or has no leader now."""
        info = self.api(f"STREAM.INFO.{name}", limit_s=3)
        return None if info is None or "error" in info else info

    def messages(self, name="RINGGATE"):
        """All messages that the stream keeps; none where nobody leads it now."""
        info = self.stream(name)
        config = {"deliver_policy": "all", "ack_policy": "none", "max_deliver": -1,
                  "inactive_threshold": 30_000_000_000}
        made = self.api(f"CONSUMER.CREATE.{name}", {"stream_name": name, "config": config})
        if info is None or made is None or "name" not in made:
            return []
        wanted, found = info["state"]["messages"], []
        while len(found) < wanted:
            self.count += 1
            reply = f"{self.inbox}.{self.count}"
            batch = min(1000, wanted - len(found))
            self.publish(f"$JS.API.CONSUMER.MSG.NEXT.{name}.{made['name']}",
                         json.dumps({"batch": batch, "expires": 5_000_000_000}), reply)
            for _ in range(batch):
                message = self.next(10)
                if message is None or not message.data:
                    break
                found.append(message)
        return found
