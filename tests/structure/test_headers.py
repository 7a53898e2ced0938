"""Every header compiles alone, and twice in one file."""

import concurrent.futures
import os
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ["engine", "storage", "protocols", "tools", "tests", "perf"]
COMMAND = ["g++", "-std=c++2b", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I.",
           "-fsyntax-only", "-x", "c++", "-"]


def problem(header):
    """What the compiler says to a file of nothing but this header, or None."""
    unit = f'#include "{header}"\n#include "{header}"\n'
    done = subprocess.run(COMMAND, cwd=ROOT, input=unit, capture_output=True, text=True)
    return None if done.returncode == 0 else f"{header}:\n{done.stderr}"


def headers_of(room):
    return [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / room).rglob("*.hpp"))]


class Headers(unittest.TestCase):
    def check(self, room):
        headers = headers_of(room)
        self.assertTrue(headers, f"{room} has none")
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            found = [text for text in pool.map(problem, headers) if text]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_a_header_that_leans_on_others_is_found(self):
        path = ROOT / "build" / "structure" / "leans.hpp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#pragma once\ninline std::string f() { return {}; }\n")
        self.addCleanup(path.unlink)
        self.assertIn("string", problem("build/structure/leans.hpp"))


def add_tests():
    """One test a folder: together they take minutes on a machine that is busy."""
    for top in ROOMS:
        folders = {Path(*Path(header).parts[:2]) if Path(header).parts[2:] else Path(top)
                   for header in headers_of(top)}
        for folder in sorted(folders):
            name = "test_headers_of_" + folder.as_posix().replace("/", "_")
            setattr(Headers, name, lambda self, folder=folder: self.check(folder))


add_tests()

if __name__ == "__main__":
    unittest.main()
