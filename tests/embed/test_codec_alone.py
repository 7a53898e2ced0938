"""Builds a program against a codec and engine/base alone: no other header can be seen, no other
archive is linked."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ.get("RG_TEST_BUILD", ROOT / "build" / "release"))
FOLDERS = ["engine/base", "protocols/jt808/codec"]
HEARTBEAT = "7e0002000001234567890100018b7e"


class CodecAlone(unittest.TestCase):
    def test_program_builds_and_runs(self):
        folder = Path(tempfile.mkdtemp(prefix="ringgate-codec-"))
        self.addCleanup(shutil.rmtree, folder)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, folder / name)
        program = folder / "program"
        flags = ["-fsanitize=address,undefined"] if BUILD.name == "asan" else []
        command = ["g++", "-std=c++2b", *flags, f"-I{folder}", HERE / "codec_program.cpp", "-o",
                   program, BUILD / "protocols/jt808/codec/libjt808-codec.a",
                   next(BUILD.rglob("libringgate-base.a"))]
        built = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(built.returncode, 0, built.stderr)
        done = subprocess.run([program, HEARTBEAT], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stderr)
        decoded, wire = done.stdout.splitlines()
        self.assertEqual(json.loads(decoded)["message"], "heartbeat")
        self.assertEqual(wire, HEARTBEAT)


if __name__ == "__main__":
    unittest.main()
