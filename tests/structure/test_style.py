"""The rules of style.py on every tracked text file, and proof that each rule can fail."""

import subprocess
import unittest
from pathlib import Path

import style

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = {".bin", ".gz", ".hex", ".zst", ".png", ".svg"}


def tracked():
    """Tracked files; without git (a release archive) every file outside build/."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT,
                            capture_output=True)
    if listed.returncode == 0:
        return [name for name in listed.stdout.decode().split("\0")
                if name and (ROOT / name).is_file()]
    return [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")
            if path.is_file() and path.relative_to(ROOT).parts[0] not in ("build", ".git")]


class Style(unittest.TestCase):
    def test_every_file_keeps_the_rules(self):
        found = []
        for name in tracked():
            if "/corpus/" in name or Path(name).suffix in BINARY:
                continue
            found += style.problems(name, (ROOT / name).read_text())
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_nothing_else_stands_at_the_top(self):
        names = {name.split("/")[0] + ("/" if "/" in name else "") for name in tracked()}
        self.assertEqual(list(style.top_problems(sorted(names))), [])
        self.assertEqual(list(style.top_problems(["docs/", "engine/", ".ci/", "Makefile"])),
                         ["docs/: not one of the things at the top",
                          "Makefile: not one of the things at the top"])

    def assert_one(self, path, text, part):
        found = style.problems(path, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(part, found[0])

    def test_a_clean_file_passes(self):
        self.assertEqual(style.problems("engine/io/a.hpp", "// A thing.\n#pragma once\n"), [])

    def test_each_text_rule_fails(self):
        self.assert_one("tools/start", "x" * 101 + "\n", "101 columns")
        self.assert_one("tools/start", "\tx\n", "a tab")
        self.assert_one("tools/start", "x \n", "space at the end")
        self.assert_one("tools/start", "# TO" + "DO later\n", "finish it")
        self.assert_one("tools/start", "x", "no newline")
        self.assert_one("tools/start", "x\n" * 901, "901 lines")
        self.assertEqual(style.problems("README.md", "\u4f60" * 100 + "\n"), [])

    def test_each_code_rule_fails(self):
        top = "// A thing.\n#pragma once\n"
        for line, part in [("thread_local int x;", "several shards"),
                           ("std::mutex m;", "no lock"),
                           ("std::shared_mutex m;", "no lock"),
                           ("void f() { throw 1; }", "no exceptions"),
                           ("#include <format>", "not there"),
                           ("using namespace std;", "stay in std"),
                           ("void f() { usleep(1); }", "wall time")]:
            with self.subTest(line=line):
                self.assert_one("engine/net/a.hpp", f"{top}{line}\n", part)
        self.assert_one("engine/net/a.hpp", "// A thing.\n", "#pragma once")
        self.assert_one("engine/net/a.hpp", "#pragma once\n", "starts with a comment")
        self.assertEqual(style.problems("engine/observe/a.hpp", f"{top}std::mutex m;\n"), [])

    def test_comments_and_strings_are_not_code(self):
        text = ("// A thing: no std::mutex, no throw.\n#pragma once\n"
                "/* thread_local */ const char* a = \"throw\\\" throw\"; const char b = '\"';\n"
                "const char* c = R\"x(throw \" )\" thread_local)x\";\nint d = 1'000'000;\n")
        self.assertEqual(style.problems("engine/net/a.hpp", text), [])

    def test_long_functions_are_found_and_nothing_else(self):
        body = "  x();\n" * 79
        top = "// A thing.\n#include <vector>\n"
        self.assert_one("engine/net/a.cpp",
                        f"{top}namespace a {{\nint f(int b) {{\n{body}}}\n}}\n", "81 lines")
        self.assert_one("engine/net/a.cpp",
                        f"{top}class A {{\n public:\n  A() : b_{{1}} {{\n{body}}}\n}};\n",
                        "81 lines")
        fits = "  x();\n" * 78
        for text in [f"namespace a {{\nint f() {{\n{fits}}}\n}}\n",
                     "struct A {\n" + "  int f() { return 1; }\n" * 200 + "};\n",
                     "const int table[] = {\n" + "  f(1),\n" * 200 + "};\n",
                     "template <class T = decltype(f())>\nstruct B {\n" + "  int a;\n" * 99
                     + "};\n"]:
            with self.subTest(text=text[:30]):
                self.assertEqual(style.problems("engine/net/a.cpp", top + text), [])


if __name__ == "__main__":
    unittest.main()
