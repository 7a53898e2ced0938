"""Builds ringgate twice (release, ASan+UBSan) and runs every test. Started by tests/run.

What counts as one test: a doctest case in one build, a test method of a Python file in one build
(the structure tests know no build and count once), the replay of one fuzz corpus in one build, and
with --long one minute of one fuzzer, and whatever has threads once more under ThreadSanitizer. A
build that fails is one failure; so is an executable that ends badly without naming the case. The
last line is always the sum.
"""

import argparse
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "/usr/bin/python3"
SUMMARY = re.compile(r"\[doctest\] test cases:\s*(\d+)\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed"
                     r"\s*\|\s*(\d+) skipped")
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
# What runs with ThreadSanitizer: whatever has threads. The kernel's side of io_uring is invisible
# to it, and so are libraries that were built without it; no report of either has been seen, so
# there are no suppressions.
TSAN = {"TSAN_OPTIONS": "second_deadlock_stack=1:history_size=7"}
THREADED_UNITS = ("api", "api-history", "api-stream", "blob", "fabric", "log", "net", "observe",
                  "query", "shard", "shard-threads", "sink", "state")
THREADED_FILES = ("test_access", "test_api_commands", "test_api_history", "test_api_stream",
                  "test_compress", "test_ctl", "test_fabric", "test_registry", "test_reload",
                  "test_service", "test_sink_nats", "test_sink_postgres", "test_sink_redis",
                  "test_sinks", "test_tls")
LIMIT_S = 900  # of one executable or file: for what hangs, with room for slow machines
LONG_LIMIT_S = 4 * 3600


class Outcome:
    """What one run added to the sum, and what to print of it when it failed."""

    def __init__(self, name, passed=0, failed=0, skipped=0, output="", seconds=0.0):
        self.name, self.output, self.seconds = name, output, seconds
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def line(self):
        word = "FAIL" if self.failed else "skip" if self.skipped and not self.passed else "ok"
        counts = [f"{count} {what}, " for count, what in (
            (self.passed, "passed"), (self.failed, "failed"), (self.skipped, "skipped")) if count]
        return f"{word:4}  {self.name}  ({''.join(counts)}{self.seconds:.1f} s)"


class Sum:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.lock = threading.Lock()

    def add(self, outcome):
        with self.lock:
            self.passed += outcome.passed
            self.failed += outcome.failed
            self.skipped += outcome.skipped
            if outcome.failed:
                self.failures.append(outcome.name)
                print(outcome.output.rstrip(), flush=True)
            print(outcome.line(), flush=True)

    def last_line(self):
        line = f"{self.passed} passed, {self.failed} failed"
        return line + (f", {self.skipped} skipped" if self.skipped else "")


running = set()  # process groups, so that an interrupt can end them
running_lock = threading.Lock()


def end_everything():
    with running_lock:
        for group in running:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass


def run(command, limit_s, environment=None):
    """Runs a command in a process group of its own; returns (exit code or None, output, seconds).
    None: it did not end within limit_s and was killed with everything it had started."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})}, start_new_session=True)
        with running_lock:
            running.add(process.pid)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = None
        try:
            os.killpg(process.pid, signal.SIGKILL)  # whatever it left behind
        except ProcessLookupError:
            pass
        process.wait()
        with running_lock:
            running.discard(process.pid)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    seconds = time.monotonic() - started
    if code is None:
        text += f"\nkilled after {limit_s} s: {' '.join(map(str, command))}\n"
    elif code:
        text += f"\nexit code {code}: {' '.join(map(str, command))}\n"
    return code, text, seconds


def judge_doctest(name, code, text, seconds):
    """The sum of one doctest executable. Ending badly without a failed case is a failure too."""
    found = SUMMARY.search(text)
    passed, failed, skipped = (int(found[i]) for i in (2, 3, 4)) if found else (0, 0, 0)
    if (code != 0 and failed == 0) or (code == 0 and not found):
        failed += 1
    return Outcome(name, passed, failed, skipped, text, seconds)


def judge_exit(name, code, text, seconds):
    if code == 77:
        return Outcome(name, skipped=1, output=text, seconds=seconds)
    return Outcome(name, passed=int(code == 0), failed=int(code != 0), output=text, seconds=seconds)


class Job:
    def __init__(self, name, command, judge, limit_s, environment=None, alone=False):
        self.name, self.command, self.judge, self.limit_s = name, command, judge, limit_s
        self.environment, self.alone = environment or {}, alone

    def run(self):
        return self.judge(self.name, *run(self.command, self.limit_s, self.environment))


def build(kind):
    flags = {"release": [], "asan": ["--sanitize"], "tsan": ["--tsan"], "clang": ["--clang"],
             "fuzz": ["--fuzz"]}[kind]
    code, text, seconds = run(["tools/build", "--quiet", *flags], 3600)
    return Outcome(f"build {kind}", failed=int(code != 0), output=text, seconds=seconds)


def sanitizers_of(kind):
    return {"asan": SANITIZERS, "tsan": TSAN}.get(kind, {})


def compiled_jobs(kind, options):
    """Every test that meson knows in build/KIND."""
    listing = subprocess.run(["meson", "introspect", f"build/{kind}", "--tests"], cwd=ROOT,
                             check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    jobs = []
    for test in json.loads(listing.stdout):
        suites = [suite.rpartition(":")[2] for suite in test["suite"]]
        command = list(test["cmd"])
        judge = judge_exit
        if "unit" in suites or "sim" in suites:
            command += ["-nc"]
            judge = judge_doctest
            if options.long:
                command += ["-ns"]  # also the cases marked doctest::skip()
        environment = dict(test["env"]) | sanitizers_of(kind)
        limit_s = LONG_LIMIT_S if options.long else LIMIT_S
        jobs.append(Job(f"{kind} {test['name']}", command, judge, limit_s, environment))
    return jobs


def python_jobs(folder, kind, options):
    """One job per test method of tests/FOLDER/test_*.py. A method whose name ends in `_alone` gets
    the machine to itself; a file that cannot be loaded is one failing job."""
    jobs = []
    environment = {"RG_TEST_BUILD": str(ROOT / "build" / kind)} if kind else {}
    environment |= sanitizers_of(kind)
    for path in sorted((ROOT / "tests" / folder).glob("test_*.py")):
        worker = [PYTHON, "-B", str(ROOT / "tests" / "one_test.py"), str(path)]
        code, text, seconds = run([*worker, "--list"], 60, environment)
        prefix = f"{kind} " if kind else ""
        if code != 0:
            jobs.append(Job(f"{prefix}{folder} {path.stem}", [*worker, "--list"], judge_exit, 60,
                            environment))
            continue
        limit_s = LONG_LIMIT_S if options.long else LIMIT_S
        for method in text.split():
            jobs.append(Job(f"{prefix}{folder} {path.stem}.{method}", [*worker, method], judge_exit,
                            limit_s, environment, alone=method.endswith("_alone")))
    return jobs


def fuzz_jobs(options):
    """One job per fuzzer, started from its corpus; what it finds stays in a temporary folder."""
    jobs = []
    for fuzzer in sorted((ROOT / "build" / "fuzz" / "tests" / "fuzz").glob("fuzz-*")):
        if not (fuzzer.is_file() and os.access(fuzzer, os.X_OK)):
            continue
        corpus = ROOT / "tests" / "fuzz" / "corpus" / fuzzer.name.removeprefix("fuzz-")
        found = ROOT / "build" / "fuzz" / "found" / fuzzer.name
        found.mkdir(parents=True, exist_ok=True)
        command = [str(fuzzer), f"-max_total_time={options.fuzz_seconds}", "-print_final_stats=1",
                   f"-artifact_prefix={found}/", str(found)]
        jobs.append(Job(f"fuzz {fuzzer.name}", command + ([str(corpus)] if corpus.is_dir() else []),
                        judge_exit, options.fuzz_seconds + 300, SANITIZERS))
    return jobs


def run_jobs(jobs, total, workers):
    shared = [job for job in jobs if not job.alone]
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        for done in concurrent.futures.as_completed([pool.submit(job.run) for job in shared]):
            total.add(done.result())
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        end_everything()
        raise
    for job in jobs:
        if job.alone:
            total.add(job.run())


def have_clang():
    return subprocess.run(["sh", "-c", "command -v clang++"], capture_output=True).returncode == 0


def is_threaded(job):
    """Whether ThreadSanitizer has something to say of it."""
    words = job.name.split()
    return (words[1] in [f"unit-{name}" for name in THREADED_UNITS] or
            words[1] == "integration" and words[2].split(".")[0] in THREADED_FILES)


def all_tests(options, total):
    def wanted(jobs):
        return [job for job in jobs if options.filter in job.name]

    workers = max(2, len(os.sched_getaffinity(0)))
    kinds = ["release", "asan"]
    if options.long:
        kinds += ["tsan"]
    if options.long and have_clang():
        kinds += ["clang", "fuzz"]
    jobs = wanted(python_jobs("structure", None, options))
    for kind in kinds:
        print(f"      building {kind} ...", flush=True)
        outcome = build(kind)
        total.add(outcome)
        if outcome.failed:
            continue
        if kind == "fuzz":
            jobs += wanted(fuzz_jobs(options))
            continue
        known = compiled_jobs(kind, options) + python_jobs("integration", kind, options)
        if kind == "tsan":
            known = [job for job in known if is_threaded(job)]
        jobs += wanted(known)
        if kind == "release":
            jobs += wanted(python_jobs("embed", kind, options))
    run_jobs(jobs, total, workers)


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description="Builds and runs every test.")
    parser.add_argument("--long", action="store_true",
                        help="soak, more seeds and rounds, ThreadSanitizer, clang, every fuzzer")
    parser.add_argument("--filter", default="", metavar="NAME",
                        help="only tests whose name, as printed, holds NAME")
    parser.add_argument("--fuzz-seconds", type=int, default=60, metavar="S",
                        help="with --long: how long each fuzzer runs (default 60)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ["RG_TEST_LONG"] = "1" if options.long else "0"
    total = Sum()
    started = time.monotonic()
    try:
        all_tests(options, total)
    except KeyboardInterrupt:
        total.add(Outcome("interrupted", failed=1))
    except Exception as problem:  # the sum is printed whatever happens
        total.add(Outcome("tests/runner.py", failed=1, output=repr(problem)))
    if total.passed + total.failed + total.skipped == 0:
        total.add(Outcome(f"no test's name holds '{options.filter}'", failed=1))
    print(f"\n{time.monotonic() - started:.0f} s")
    for name in total.failures:
        print(f"failed: {name}")
    print(total.last_line(), flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
