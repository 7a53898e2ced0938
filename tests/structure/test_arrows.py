"""The includes of the whole tree against the table in arrows.py, and proof that it can fail."""

import tempfile
import unittest
from pathlib import Path

import arrows

ROOT = Path(__file__).resolve().parent.parent.parent

# (including file, included file, allowed)
CASES = [
    ("engine/io/uring.cpp", "engine/base/bytes.hpp", True),
    ("engine/base/bytes.hpp", "engine/io/ring.hpp", False),
    ("engine/shard/shard.hpp", "engine/flow/watermark.hpp", True),
    ("engine/flow/pool.hpp", "engine/shard/shard.hpp", False),
    ("engine/net/link.hpp", "engine/device/table.hpp", False),
    ("engine/net/link.hpp", "storage/log/writer.hpp", False),
    ("engine/config/layers.cpp", "protocols/jt808/keys.hpp", False),
    ("storage/log/writer.hpp", "engine/device/table.hpp", True),
    ("storage/log/writer.hpp", "storage/event/catalog.hpp", True),
    ("storage/event/catalog.hpp", "storage/log/writer.hpp", False),
    ("storage/log/writer.hpp", "protocols/jt808/session.hpp", False),
    ("protocols/jt808/session.cpp", "storage/log/writer.hpp", True),
    ("protocols/jt808/session.cpp", "protocols/jt808/codec.hpp", True),
    ("protocols/jt808/codec.cpp", "engine/base/bytes.hpp", True),
    ("protocols/jt808/codec.cpp", "protocols/jt808/codec_table.hpp", True),
    ("protocols/jt808/codec.cpp", "protocols/jt808/session.hpp", False),
    ("protocols/jt808/codec.cpp", "engine/observe/counter.hpp", False),
    ("protocols/jt808/codec/frame.hpp", "storage/event/catalog.hpp", False),
    ("protocols/jsonl/session.cpp", "protocols/jt808/session.hpp", False),
    ("protocols/api/rows.cpp", "protocols/jt808/codec.hpp", False),
    ("protocols/api/rows.cpp", "protocols/http/request.hpp", True),
    ("protocols/http/request.hpp", "protocols/api/rows.hpp", False),
    ("protocols/gb28181/play.cpp", "protocols/sip/dialog.hpp", True),
    ("protocols/jt808/session.cpp", "tools/ringgate/wiring.hpp", False),
    ("tools/ringgate/main.cpp", "protocols/jt808/session.hpp", True),
    ("tools/load/main.cpp", "tools/ringgate/wiring.hpp", False),
    ("tools/load/main.cpp", "tools/common/sockets.hpp", True),
    ("tools/common/sockets.cpp", "tools/load/fleet.hpp", False),
    ("engine/io/uring.cpp", "tests/unit/io/contract.hpp", False),
    ("tests/sim/world.cpp", "tools/ringgate/wiring.hpp", True),
]


class Arrows(unittest.TestCase):
    def test_no_wrong_arrow_in_the_tree(self):
        found = arrows.violations(ROOT)
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_the_walk_sees_the_tree(self):
        self.assertIn("engine/base/bytes.hpp", list(arrows.sources(ROOT)))

    def test_every_arrow_is_judged_as_the_design_says(self):
        for source, target, allowed in CASES:
            with self.subTest(source=source, target=target):
                self.assertEqual(arrows.wrong_include(source, target) is None, allowed)

    def test_every_pair_of_engine_rooms_has_one_direction(self):
        rooms = arrows.ROOMS["engine"]
        for at, room in enumerate(rooms):
            for other in rooms[at + 1:]:
                self.assertIsNone(arrows.wrong_include(f"engine/{other}/a.hpp",
                                                       f"engine/{room}/b.hpp"))
                self.assertIsNotNone(arrows.wrong_include(f"engine/{room}/a.hpp",
                                                          f"engine/{other}/b.hpp"))

    def test_violations_names_file_line_and_reason(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for path, text in {
                "engine/base/a.hpp": '#pragma once\n  #  include "engine/net/b.hpp"\n',
                "engine/net/b.hpp": '#pragma once\n#include "engine/base/a.hpp"\n',
                "engine/attic/c.hpp": '#pragma once\n',
                "engine/io/d.cpp": '#include "e.hpp"\n',
                "protocols/jt808/codec.cpp": '#include <liburing.h>\n#include <cstdint>\n'
                                             '#include <emmintrin.h>\n#include <iconv.h>\n'
                                             '#include <unistd.h>\n',
            }.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            found = arrows.violations(root)
        self.assertEqual([line.split(": ")[0] for line in found], [
            "protocols/jt808/codec.cpp:1", "protocols/jt808/codec.cpp:5", "engine/attic/c.hpp",
            "engine/base/a.hpp:2", "engine/io/d.cpp:1"])


if __name__ == "__main__":
    unittest.main()
