"""Builds without the libraries of sinks: each alone where it decides what is compiled, and all of
them whole, whose program says what is missing. With --long (RG_TEST_LONG=1): it compiles for
minutes."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILDS = ROOT / "build" / "structure"
# option: (a url of its sink, what is missing, the package that has it)
SINKS = {"redis": ("redis://host", "hiredis", "libhiredis-dev"),
         "nats": ("nats://host", "libnats", "libnats-dev"),
         "postgres": ("postgresql://host/db", "libpq", "libpq-dev")}
# Objects in which the options are looked at.
DECIDES = re.compile(r"^((?:storage|tools/ringgate|tests/unit/unit-sink)[^:]*"
                     r"(?:sink|wiring|server|main|fabric)[^:/]*\.o):", re.MULTILINE)


@unittest.skipUnless(os.environ.get("RG_TEST_LONG") == "1", "--long")
class Builds(unittest.TestCase):
    def run_tool(self, *command):
        done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-1000:])
        return done.stdout

    def set_up(self, *without, tests):
        folder = BUILDS / ("without-" + "-".join(without))
        shutil.rmtree(folder, ignore_errors=True)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.run_tool("meson", "setup", folder, "--buildtype=plain", "-Dperf=false",
                      f"-Dtests={tests}", *(f"-D{name}=disabled" for name in without))
        return folder

    def test_without_one(self):
        for name in SINKS:
            with self.subTest(without=name):
                folder = self.set_up(name, tests="true")
                objects = DECIDES.findall(self.run_tool("ninja", "-C", folder, "-t", "targets",
                                                        "all"))
                self.assertGreater(len(objects), 10)
                self.run_tool("ninja", "-C", folder, *objects)

    def test_without_all(self):
        folder = self.set_up(*SINKS, tests="false")
        self.run_tool("ninja", "-C", folder, "tools/ringgate/ringgate")
        gateway = folder / "tools" / "ringgate" / "ringgate"
        self.run_tool(gateway, "--check-config")
        for name, (url, library, package) in SINKS.items():
            done = subprocess.run([gateway, "--check-config", "--set", f"sink.{name}.url={url}"],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 2)
            for word in (f"sink.{name}.url", library, package):
                self.assertIn(word, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
