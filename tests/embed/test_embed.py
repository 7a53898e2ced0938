"""Installs the engine into a temporary prefix and builds a program against it by pkg-config."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ.get("RG_TEST_BUILD", ROOT / "build" / "release"))


def run(*command, **environment):
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


class Embed(unittest.TestCase):
    def setUp(self):
        self.prefix = Path(tempfile.mkdtemp(prefix="ringgate-embed-"))
        self.addCleanup(shutil.rmtree, self.prefix)
        run("meson", "install", "-C", BUILD, "--no-rebuild", DESTDIR=str(self.prefix))
        self.library = next(self.prefix.rglob("libringgate-engine.a"))
        self.pkg_config = {"PKG_CONFIG_SYSROOT_DIR": str(self.prefix),
                           "PKG_CONFIG_PATH": str(self.library.parent / "pkgconfig")}

    def flags(self, what):
        return run("pkg-config", what, "ringgate-engine", **self.pkg_config).split()

    def test_program_builds_and_runs(self):
        program = self.prefix / "program"
        run("g++", *self.flags("--cflags"), HERE / "program.cpp", "-o", program,
            *self.flags("--libs"))
        self.assertEqual(run(program).strip(), '{"timers":1,"slot":808,"failed":false}')

    def test_every_header_of_the_source_is_installed(self):
        include = next(self.prefix.rglob("include/ringgate"))
        installed = {path.relative_to(include) for path in include.rglob("*.hpp")}
        source = {path.relative_to(ROOT) for path in (ROOT / "engine").rglob("*.hpp")}
        self.assertEqual(installed, source)

    def test_the_archive_holds_its_objects(self):
        # A thin archive would name files of the build directory that others do not have.
        self.assertEqual(self.library.read_bytes()[:7], b"!<arch>")


if __name__ == "__main__":
    unittest.main()
