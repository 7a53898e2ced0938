"""A JT/T 808 terminal for tests: builds and parses frames of 2013 and 2019 on its own, without any
of ringgate's code, so that both sides do not share a mistake."""

import socket
import struct
from collections import namedtuple

REGISTER, REGISTER_REPLY = 0x0100, 0x8100
AUTHENTICATE, HEARTBEAT, LOGOUT, TIME_QUERY, TIME_REPLY = 0x0102, 0x0002, 0x0003, 0x0004, 0x8004
LOCATION, LOCATION_BATCH, PLATFORM_REPLY = 0x0200, 0x0704, 0x8001
OK, FAILED, MALFORMED, UNSUPPORTED = 0, 1, 2, 3

Message = namedtuple("Message", "id version phone serial body")
Reply = namedtuple("Reply", "serial id result")


def xor(data):
    check = 0
    for byte in data:
        check ^= byte
    return check


def escape(data):
    return data.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02")


def header(message_id, phone, serial, body_size, version=2013):
    """JT/T 808-2013 4.4.3, 2019 4.4.3: the header without subpackages."""
    if version == 2019:
        return struct.pack(">HHB10sH", message_id, body_size | 0x4000, 1,
                           bytes.fromhex(phone.rjust(20, "0")), serial)
    return struct.pack(">HH6sH", message_id, body_size, bytes.fromhex(phone.rjust(12, "0")), serial)


def unescaped_frame(message_id, phone, serial, body=b"", version=2013):
    """Header and body, as ringgate-log shows them."""
    return header(message_id, phone, serial, len(body), version) + body


def frame(message_id, phone, serial, body=b"", version=2013):
    raw = unescaped_frame(message_id, phone, serial, body, version)
    return b"\x7e" + escape(raw + bytes([xor(raw)])) + b"\x7e"


def parse(data):
    """One frame without its delimiters."""
    raw = data.replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
    if xor(raw) != 0:
        raise ValueError(f"wrong check byte: {data.hex()}")
    raw = raw[:-1]
    message_id, attributes = struct.unpack_from(">HH", raw)
    version = 2019 if attributes & 0x4000 else 2013
    at = 5 if version == 2019 else 4
    digits = 10 if version == 2019 else 6
    phone = raw[at:at + digits].hex()
    serial, = struct.unpack_from(">H", raw, at + digits)
    body = raw[at + digits + 2:]
    if len(body) != attributes & 0x3ff:
        raise ValueError(f"body of {len(body)} bytes, header says {attributes & 0x3ff}")
    return Message(message_id, version, phone, serial, body)


def register_body(version=2013):
    """JT/T 808-2013 8.5, 2019 8.5."""
    maker, model, terminal = (11, 30, 30) if version == 2019 else (5, 20, 7)
    return (struct.pack(">HH", 44, 300) + b"RGATE".ljust(maker, b"\0")
            + b"TEST".ljust(model, b"\0") + b"T000001".ljust(terminal, b"\0")
            + b"\x01" + "粤B12345".encode("gbk"))


def authenticate_body(code, version=2013):
    """JT/T 808-2013 8.8; 2019 8.8: length, code, IMEI, software version."""
    if version == 2019:
        return bytes([len(code)]) + code + b"0" * 15 + b"1.0".ljust(20, b"\0")
    return code


def location_body(latitude=22.5, longitude=114.0, speed_kmh=36.5, when="261120223000", items=b""):
    """JT/T 808-2013 8.18: the 28 bytes every report has, then items {id, length, value}."""
    return struct.pack(">IIIIHHH6s", 0, 0x3, round(latitude * 1e6), round(longitude * 1e6), 25,
                       round(speed_kmh * 10), 90, bytes.fromhex(when)) + items


class Terminal:
    """One connection. Every wait ends after `limit_s` with an error; none is needed to pass."""

    def __init__(self, address, phone, version=2013, limit_s=20):
        self.phone, self.version, self.serial, self.code = phone, version, 0, None
        self.rest = b""
        self.socket = socket.create_connection(address, timeout=limit_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def frame(self, message_id, body=b""):
        """The next frame of this terminal; counts its serial on."""
        made = frame(message_id, self.phone, self.serial, body, self.version)
        self.serial = (self.serial + 1) & 0xffff
        return made

    def send(self, message_id, body=b""):
        """Returns the serial it went out with."""
        serial = self.serial
        self.socket.sendall(self.frame(message_id, body))
        return serial

    def receive(self):
        """The next message of the gateway, or None when it has closed the connection."""
        while True:
            start = self.rest.find(b"\x7e")
            end = self.rest.find(b"\x7e", start + 1)
            if start >= 0 and end > start + 1:
                made, self.rest = self.rest[start + 1:end], self.rest[end + 1:]
                return parse(made)
            if end == start + 1:
                self.rest = self.rest[end:]
                continue
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self.rest += more

    def reply(self):
        """The next message, which must be 0x8001 (or None: closed)."""
        message = self.receive()
        if message is None:
            return None
        if message.id != PLATFORM_REPLY:
            raise AssertionError(f"expected 0x8001, got {message}")
        return Reply(*struct.unpack(">HHB", message.body))

    def exchange(self, message_id, body=b""):
        """Sends, and returns the result byte of the 0x8001 that answers exactly this message."""
        serial = self.send(message_id, body)
        reply = self.reply()
        if reply is None:
            raise AssertionError(f"the gateway closed instead of answering {message_id:#06x}")
        if (reply.serial, reply.id) != (serial, message_id):
            raise AssertionError(f"{reply} does not answer {message_id:#06x} serial {serial}")
        return reply.result

    def register(self):
        serial = self.send(REGISTER, register_body(self.version))
        message = self.receive()
        if message is None or message.id != REGISTER_REPLY:
            raise AssertionError(f"expected 0x8100, got {message}")
        answered, result = struct.unpack_from(">HB", message.body)
        if (answered, result) != (serial, 0):
            raise AssertionError(f"registration refused: result {result} to serial {answered}")
        self.code = message.body[3:]
        return self.code

    def authenticate(self, code=None):
        return self.exchange(AUTHENTICATE,
                             authenticate_body(self.code if code is None else code, self.version))

    def sign_in(self):
        self.register()
        if self.authenticate() != OK:
            raise AssertionError("authentication refused")
        return self

    def report(self, **fields):
        return self.exchange(LOCATION, location_body(**fields))
