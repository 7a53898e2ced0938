"""Clients of the live stream for tests, by hand: a WebSocket (RFC 6455) and server-sent events.
Neither shares code with ringgate."""

import base64
import hashlib
import json
import os
import socket
import struct
import time

import harness

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Closed(Exception):
    """The gateway closed the stream: `code`, `reason`."""

    def __init__(self, code, reason=""):
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class Reader:
    """Bytes of a socket, up to a deadline."""

    def __init__(self, link):
        self.link, self.bytes = link, b""

    def more(self):
        chunk = self.link.recv(65536)
        if not chunk:
            raise Closed(0, "end of the connection")
        self.bytes += chunk

    def take(self, size):
        while len(self.bytes) < size:
            self.more()
        taken, self.bytes = self.bytes[:size], self.bytes[size:]
        return taken

    def until(self, mark):
        while mark not in self.bytes:
            self.more()
        taken, _, self.bytes = self.bytes.partition(mark)
        return taken


def request(address, path, fields=()):
    link = socket.create_connection(address, timeout=harness.LIMIT_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = [f"GET {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", *fields, "", ""]
    link.sendall("\r\n".join(lines).encode())
    reader = Reader(link)
    head = reader.until(b"\r\n\r\n").decode()
    status = int(head.split()[1])
    return link, reader, status, head


class Socket:
    """A subscriber. `receive_bytes`: what its receive buffer is set to, for slow ones."""

    def __init__(self, address, path="/api/v1/stream", fields=(), receive_bytes=0):
        key = base64.b64encode(os.urandom(16))
        self.link, self.reader, self.status, self.head = request(address, path, (
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key.decode()}", *fields))
        if self.status == 101:
            wanted = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
            assert wanted in self.head, self.head
        if receive_bytes:
            self.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)

    def close(self):
        self.link.close()

    def send(self, payload, opcode=TEXT):
        if not isinstance(payload, (bytes, str)):
            payload = json.dumps(payload)
        if isinstance(payload, str):
            payload = payload.encode()
        mask = os.urandom(4)
        size = len(payload)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += struct.pack(">BH", 0x80 | 126, size)
        else:
            head += struct.pack(">BQ", 0x80 | 127, size)
        stretched = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big"))
        self.link.sendall(head + mask + masked.to_bytes(size, "big"))

    def frame(self):
        first, second = self.reader.take(2)
        size = second & 0x7f
        if size == 126:
            size, = struct.unpack(">H", self.reader.take(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.reader.take(8))
        assert first & 0x80 and not second & 0x80, "a fragment, or masked"
        return first & 0x0f, self.reader.take(size)

    def receive(self):
        """The next message, read as JSON."""
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                return json.loads(payload)
            if opcode == PING:
                self.send(payload, PONG)
            if opcode == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                raise Closed(code, payload[2:].decode())

    def subscribe(self, name="a", **members):
        """Subscribes; the cursor that the answer names."""
        self.send({"subscribe": {"id": name, **members}})
        return self.wait("subscribed")["subscribed"].get("cursor")

    def wait(self, member):
        """The next message that has this member."""
        while True:
            message = self.receive()
            if member in message:
                return message
            if "error" in message:
                raise AssertionError(message)

    def events(self, count, name=None):
        """At least so many events, and the last cursor."""
        found, cursor = [], None
        while len(found) < count:
            message = self.wait("events")
            if name is None or message["id"] == name:
                found += message["events"]
                cursor = message.get("cursor", cursor)
        return found, cursor


class Events:
    """Server-sent events."""

    def __init__(self, address, path, last_id=None, fields=()):
        more = [f"Last-Event-ID: {last_id}"] if last_id else []
        self.link, self.reader, self.status, self.head = request(
            address, path, ("Accept: text/event-stream", *more, *fields))
        self.text, self.last_id = b"", last_id
        self.chunked = "chunked" in self.head

    def close(self):
        self.link.close()

    def body(self):
        """What is left of an answer that is no stream."""
        while b"}" not in self.reader.bytes:
            self.reader.more()
        return self.reader.bytes

    def chunk(self):
        size = int(self.reader.until(b"\r\n"), 16)
        if size == 0:
            raise Closed(0, "the last chunk")
        self.text += self.reader.take(size + 2)[:-2]

    def receive(self):
        """The data of the next event, read as JSON."""
        while True:
            while b"\n\n" not in self.text:
                self.chunk()
            block, _, self.text = self.text.partition(b"\n\n")
            data = []
            for line in block.decode().split("\n"):
                name, _, value = line.partition(": ")
                if name == "id":
                    self.last_id = value
                if name == "data":
                    data.append(value)
            if data:
                return json.loads("\n".join(data))

    def wait(self, member):
        while True:
            message = self.receive()
            if member in message:
                return message


def until(done, what, limit_s=harness.LIMIT_S):
    """Asks again and again until `done()` gives something."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        found = done()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"it did not come to {what}")
