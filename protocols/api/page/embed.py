#!/usr/bin/env python3
"""Makes the C++ source that holds the dashboard: bundles src/ with esbuild, packs every file, names
it by its content. The same input gives the same output, byte by byte.

usage: embed.py OUT.cpp --missing WORD...             a page that says what to install
       embed.py OUT.cpp --esbuild PROGRAM --modules DIR   where leaflet and chart.js are
"""

import argparse
import gzip
import hashlib
import html
import os
import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml", ".bin": "application/octet-stream",
         ".html": "text/html; charset=utf-8"}
# Of browsers that are kept up to date; of three years ago.
TARGET = "chrome100,firefox100,safari15.4"


def bundle(esbuild, modules, place):
    """What esbuild makes: names that say the content, and which of them the page begins with. Views
    that need more than the map are pieces of their own, loaded when they are opened."""
    subprocess.run(
        [esbuild, "src/main.js", "--bundle", "--splitting", "--minify", "--format=esm",
         f"--target={TARGET}", "--charset=utf8", "--loader:.png=dataurl", "--legal-comments=none",
         "--log-level=warning", "--entry-names=app-[hash]", "--chunk-names=[name]-[hash]",
         f"--outdir={place}"],
        check=True, env={**os.environ, "NODE_PATH": str(modules)}, cwd=HERE)
    return {path.name: path.read_bytes() for path in sorted(place.iterdir())}


def at_once(bundled):
    """The pieces that the page's own script imports: fetched beside it, not after it."""
    app = next(content for name, content in bundled.items() if re.match(r"app-.*\.js$", name))
    found = re.findall(rb'(?:from|import)"\./([\w.-]+\.js)"', app)
    return sorted({name.decode() for name in found})


def without_page(missing):
    """What "/" says where the build had no bundler."""
    text = (HERE / "missing.html").read_text(encoding="utf-8")
    return text.replace("@MISSING@", html.escape(", ".join(missing))).encode()


def digest(content):
    return hashlib.sha256(content).hexdigest()[:12]


def build(arguments):
    """[(path, type, content, whether the path names the content)]; the page first."""
    if arguments.missing:
        return [("/", TYPES[".html"], without_page(arguments.missing), False)]
    with tempfile.TemporaryDirectory() as folder:
        bundled = bundle(arguments.esbuild, arguments.modules, Path(folder))
    parts = dict(bundled)
    preloads = "\n".join(f'<link rel="modulepreload" href="/page/{name}">'
                         for name in at_once(bundled))
    names = {"app" + Path(name).suffix: f"/page/{name}" for name in bundled
             if name.startswith("app-")}
    for path in (HERE / "icon.svg", HERE / "world" / "world.bin"):
        content = path.read_bytes()
        name = f"{path.stem}-{digest(content)}{path.suffix}"
        parts[name], names[path.name] = content, f"/page/{name}"
    index = (HERE / "index.html").read_text(encoding="utf-8")
    index = index.replace("@preloads@", preloads)
    index = re.sub(r"@([\w.]+)@", lambda found: names[found[1]], index)
    files = [("/", TYPES[".html"], index.encode(), False)]
    for name, content in sorted(parts.items()):
        files.append((f"/page/{name}", TYPES[Path(name).suffix], content, True))
    return files


def packed(content):
    small = gzip.compress(content, compresslevel=9, mtime=0)
    return small if len(small) < len(content) * 0.95 else b""


def array(name, content):
    lines = []
    for at in range(0, len(content), 24):
        lines.append("".join(f"{byte}," for byte in content[at:at + 24]))
    return f"constexpr unsigned char {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def view(name, content):
    return f"{{reinterpret_cast<const char*>({name}), sizeof {name}}}" if content else "{}"


def source(files):
    out = ["// Made by protocols/api/page/embed.py.\n#include \"protocols/api/page/files.hpp\"\n\n"
           "namespace ringgate::api {\n\nnamespace {\n\n"]
    rows = []
    for number, (path, kind, content, lasting) in enumerate(files):
        small = packed(content)
        out.append(array(f"plain_{number}", content))
        if small:
            out.append(array(f"gzip_{number}", small))
        rows.append(f"      {{\"{path}\", \"{kind}\", \"{digest(content)}\",\n"
                    f"       {view(f'plain_{number}', content)},\n"
                    f"       {view(f'gzip_{number}', small)}, {str(lasting).lower()}}},\n")
    out.append("\n}  // namespace\n\nstd::span<const PageFile> page_files() {\n"
               "  static const PageFile files[] = {\n" + "".join(rows) +
               "  };\n  return files;\n}\n\n}  // namespace ringgate::api\n")
    return "".join(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--esbuild")
    parser.add_argument("--modules", type=Path)
    parser.add_argument("--missing", nargs="*")
    arguments = parser.parse_args()
    arguments.out.write_text(source(build(arguments)), encoding="utf-8")


if __name__ == "__main__":
    main()
