"""Who may include whom. The table is the design's; test_arrows.py walks the tree against it."""

import re
from pathlib import Path

# From the top of the house to its ground: a floor includes itself and what stands after it.
FLOORS = ["tools", "protocols", "storage", "engine"]
# Inside a floor a room includes itself and what stands before it.
ROOMS = {
    "engine": ["base", "observe", "config", "io", "flow", "shard", "net", "device"],
    "storage": ["event", "log", "state", "blob", "query", "sink"],
}
PROTOCOLS = ["jsonl", "jt808", "jt1078", "http", "websocket", "api", "sip", "gb28181", "rtp",
             "xiaozhi", "ssh", "telnet", "attachment", "fabric"]
# Between protocols only these.
BETWEEN_PROTOCOLS = {
    "websocket": {"http"},
    "api": {"http", "websocket"},
    "gb28181": {"sip", "rtp", "jt1078"},
    "xiaozhi": {"http", "websocket"},
}
TOOLS = ["common", "ringgate", "load", "log", "codec", "ctl", "chaos", "doctor", "analyze"]
# These may include everything; nothing includes them.
OUTSIDE = ["tests", "perf"]
# A codec's files: protocols/X/codec*.{hpp,cpp} and everything in protocols/X/codec/.
CODEC = re.compile(r"protocols/\w+/(codec/|codec[\w.]*$)")
# What a codec may take from the system: the language's own headers, the compiler's intrinsics, and
# two that do no I/O: the C library's character sets, and a reader of JSON that is headers only. No
# kernel and no other library.
SYSTEM_HEADER_OF_THE_LANGUAGE = re.compile(
    r"([a-z_0-9]+|[a-z]mmintrin\.h|iconv\.h|nlohmann/json\.hpp)$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)
SUFFIXES = {".hpp", ".cpp", ".h", ".c", ".cc", ".inc"}


def is_codec(path):
    return bool(CODEC.match(path))


def place(path):
    """("engine", "io") for engine/io/ring.hpp; ("tests", "unit") for tests/unit/main.cpp."""
    parts = path.split("/")
    return parts[0], parts[1] if len(parts) > 2 else ""


def wrong_room(path):
    """Why a source file may not stand where it stands, or None."""
    floor, room = place(path)
    if floor in OUTSIDE:
        return None
    known = {"engine": ROOMS["engine"], "storage": ROOMS["storage"], "protocols": PROTOCOLS,
             "tools": TOOLS}
    if floor not in known:
        return f"{path}: '{floor}' is no room of the house"
    if room not in known[floor]:
        return f"{path}: '{floor}/{room}' is not in the table of rooms"
    return None


def wrong_include(source, target):
    """Why `source` may not include `target` (both paths from the root), or None."""
    (floor, room), (other_floor, other_room) = place(source), place(target)
    if floor in OUTSIDE:
        return None
    if other_floor in OUTSIDE:
        return "nothing but tests and benchmarks includes these"
    if floor not in FLOORS or other_floor not in FLOORS:
        return "not a room of the house"
    if is_codec(source) and not (is_codec(target) and other_room == room) \
            and (other_floor, other_room) != ("engine", "base"):
        return "a codec includes its own files and engine/base, nothing else"
    if FLOORS.index(other_floor) < FLOORS.index(floor):
        return f"{floor} may not know {other_floor}"
    if floor != other_floor or room == other_room:
        return None
    if floor == "tools":
        if other_room == "common":
            return None
        return "one executable may not know another's files"
    if floor == "protocols":
        if other_room in BETWEEN_PROTOCOLS.get(room, set()):
            return None
        return f"the protocol {room} may not know {other_room}"
    order = ROOMS[floor]
    if room not in order or other_room not in order or order.index(other_room) > order.index(room):
        return f"{floor}/{room} may not know {floor}/{other_room}"
    return None


def sources(root):
    for floor in [*FLOORS, *OUTSIDE]:
        for path in sorted((Path(root) / floor).rglob("*")):
            if path.is_file() and path.suffix in SUFFIXES:
                yield path.relative_to(root).as_posix()


def violations(root):
    """Every wrong arrow below root, as `file:line: reason`."""
    root = Path(root)
    found = []
    for source in sources(root):
        reason = wrong_room(source)
        if reason:
            found.append(reason)
        text = (root / source).read_text()
        for match in INCLUDE.finditer(text):
            where = f"{source}:{text.count(chr(10), 0, match.start(2)) + 1}"
            kind, target = match.groups()
            if kind == "<":
                if is_codec(source) and not SYSTEM_HEADER_OF_THE_LANGUAGE.match(target):
                    found.append(f"{where}: <{target}>: a codec takes only the language's headers")
            elif not (root / target).is_file():
                found.append(f"{where}: \"{target}\": no such file from the root of the project")
            else:
                reason = wrong_include(source, target)
                if reason:
                    found.append(f"{where}: \"{target}\": {reason}")
    return found
