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


class Headers(unittest.TestCase):
    def test_each_header_compiles_alone(self):
        headers = [path.relative_to(ROOT).as_posix()
                   for room in ROOMS for path in sorted((ROOT / room).rglob("*.hpp"))]
        self.assertIn("engine/base/bytes.hpp", headers)
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            found = [text for text in pool.map(problem, headers) if text]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_a_header_that_leans_on_others_is_found(self):
        path = ROOT / "build" / "structure" / "leans.hpp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#pragma once\ninline std::string f() { return {}; }\n")
        self.addCleanup(path.unlink)
        self.assertIn("string", problem("build/structure/leans.hpp"))


if __name__ == "__main__":
    unittest.main()
