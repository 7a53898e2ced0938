#!/usr/bin/env python3
"""Makes the C++ source that holds the report's page: bundles report.js with esbuild and puts it and
the style into report.html. The same input gives the same output, byte by byte.

usage: embed.py OUT.cpp --missing WORD...             a page that says what to install
       embed.py OUT.cpp --esbuild PROGRAM --modules DIR   where chart.js is
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Of browsers that are kept up to date; of three years ago.
TARGET = "chrome100,firefox100,safari15.4"


def bundled(esbuild, modules, name, *more):
    done = subprocess.run(
        [esbuild, name, "--bundle", "--minify", f"--target={TARGET}", "--charset=utf8",
         "--legal-comments=none", "--log-level=warning", *more],
        check=True, capture_output=True, env={**os.environ, "NODE_PATH": str(modules)}, cwd=HERE)
    return done.stdout.decode()


def page(arguments):
    if arguments.missing:
        style = (HERE / "report.css").read_text(encoding="utf-8")
        script = (f"window.ringgateMissing = {json.dumps(', '.join(arguments.missing))};\n"
                  + (HERE / "missing.js").read_text(encoding="utf-8"))
    else:
        style = bundled(arguments.esbuild, arguments.modules, "report.css")
        script = bundled(arguments.esbuild, arguments.modules, "report.js", "--format=iife")
    if "</script" in script:
        raise SystemExit("the script would end its own element")
    text = (HERE / "report.html").read_text(encoding="utf-8")
    return text.replace("@STYLE@", style).replace("@SCRIPT@", script)


def source(text):
    content = text.encode()
    lines = ["".join(f"{byte}," for byte in content[at:at + 24])
             for at in range(0, len(content), 24)]
    return ("// Made by tools/load/run/page/embed.py.\n#include \"tools/load/run/html.hpp\"\n\n"
            "namespace ringgate::load {\n\nnamespace {\n\n"
            "constexpr unsigned char page[] = {\n" + "\n".join(lines) + "\n};\n\n"
            "}  // namespace\n\nstd::string_view report_page() {\n"
            "  return {reinterpret_cast<const char*>(page), sizeof page};\n}\n\n"
            "}  // namespace ringgate::load\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--esbuild")
    parser.add_argument("--modules", type=Path)
    parser.add_argument("--missing", nargs="*")
    arguments = parser.parse_args()
    arguments.out.write_text(source(page(arguments)), encoding="utf-8")


if __name__ == "__main__":
    main()
