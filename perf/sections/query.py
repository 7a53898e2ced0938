"""One device-hour in a log of 4 GB, cold and warm; how fast a tail reads."""

import json
import subprocess
import tempfile

from measuring import RELEASE, Failed, pinned

COLD_MS, WARM_MS, SHARE = 50, 10, 0.02  # wanted, p99


def run(settings):
    gigabytes, queries = (0.5, 40) if settings.quick else (4, 200)
    result = {"gigabytes": gigabytes, "queries": queries}
    for kind in ("plain", "compressed"):
        with tempfile.TemporaryDirectory(dir=settings.directory) as folder:
            command = [RELEASE / "perf" / "micro" / "query-bench", "--dir", folder,
                       "--gb", gigabytes, "--queries", queries,
                       "--compress", int(kind == "compressed")]
            done = subprocess.run(pinned(settings.load_cpus, command), capture_output=True,
                                  text=True, check=False, timeout=1800)
            if done.returncode != 0:
                raise Failed(f"query-bench: {done.stderr.strip()}")
            result[kind] = json.loads(done.stdout)
    return result


def show(result):
    print(f"  one device-hour in {result['gigabytes']} GB, {result['queries']} questions")
    for kind in ("plain", "compressed"):
        figures = result[kind]
        dropped = "" if figures["caches_dropped"] else "; the page cache could not be dropped"
        for name in ("by_received_time", "by_device_time"):
            one = figures[name]
            met = (one["cold_p99_ms"] <= COLD_MS and one["warm_p99_ms"] <= WARM_MS
                   and one["worst_share_read"] <= SHARE)
            print(f"  {kind}, {name.replace('_', ' ')}: "
                  f"cold {one['cold_p50_ms']:.1f} ms (p99 {one['cold_p99_ms']:.1f}), "
                  f"warm {one['warm_p50_ms']:.1f} ms (p99 {one['warm_p99_ms']:.1f}), "
                  f"at most {one['worst_share_read']:.2%} read, "
                  f"{one['records_per_query']:.0f} records: {'met' if met else 'MISSED'}{dropped}")
    rate = result["plain"]["tail_records_per_cpu_s"]
    print(f"  wanted: {COLD_MS} ms cold, {WARM_MS} ms warm, {SHARE:.0%} read\n"
          f"  tail: {rate:,.0f} records per second of CPU")
