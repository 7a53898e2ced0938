#!/usr/bin/env python3
"""Makes the C++ source that holds the scenarios which come with the program.

usage: embed.py OUT.cpp SCENARIO.toml...
"""

import sys
from pathlib import Path


def literal(text):
    """The text as strings of C++, a line each: no limit of a compiler is near."""
    lines = []
    for line in text.splitlines(keepends=True):
        kept = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'    "{kept}"')
    return "\n".join(lines)


def main(out, *files):
    parts = ["// Made by embed.py.\n#include \"tools/load/scenario/scenario.hpp\"\n\n"
             "namespace ringgate::load {\nnamespace {\n\nconstexpr ShippedScenario shipped[] = {"]
    for file in map(Path, files):
        parts.append(f'  {{"{file.stem}",\n{literal(file.read_text(encoding="utf-8"))}}},')
    parts.append("};\n\n}  // namespace\n\n"
                 "std::span<const ShippedScenario> shipped_scenarios() { return shipped; }\n\n"
                 "}  // namespace ringgate::load\n")
    Path(out).write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
