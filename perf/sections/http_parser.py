"""The parser of HTTP request heads beside http_parser, the library that Node.js had."""

import json
import subprocess

from measuring import RELEASE, Failed, pinned


def run(settings):
    program = RELEASE / "perf" / "micro" / "http-bench"
    if not program.exists():
        raise Failed("http-bench is needed: apt-get install libhttp-parser-dev, then tools/build")
    rounds = "5" if settings.quick else "15"
    done = subprocess.run(pinned(settings.server_cpus, [program, "--rounds", rounds]),
                          capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise Failed(f"http-bench: {done.stderr.strip()}")
    return json.loads(done.stdout)


def show(result):
    print("  Reading a request's head, CPU   (below 1 is better)")
    for name, one in result.items():
        ratio = one["ringgate_ns"] / one["http_parser_ns"]
        print(f"  {name} ({one['bytes']:,.0f} B): ringgate / http_parser {ratio:.2f}"
              f" ({one['ringgate_ns']:.0f} ns, {one['http_parser_ns']:.0f} ns)")
