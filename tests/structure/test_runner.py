"""The runner's own judgement: nothing that went wrong may count as passed."""

import sys
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import runner  # noqa: E402

GOOD = "[doctest] test cases:  3 |  3 passed | 0 failed | 1 skipped\n"
BAD = "[doctest] test cases:  3 |  2 passed | 1 failed | 0 skipped\n"


def counts(outcome):
    return outcome.passed, outcome.failed, outcome.skipped


class Runner(unittest.TestCase):
    def test_doctest_cases_are_counted(self):
        self.assertEqual(counts(runner.judge_doctest("a", 0, GOOD, 0)), (3, 0, 1))
        self.assertEqual(counts(runner.judge_doctest("a", 1, BAD, 0)), (2, 1, 0))

    def test_a_bad_end_is_a_failure_whatever_was_printed(self):
        for code in (1, -11, None):
            self.assertEqual(counts(runner.judge_doctest("a", code, GOOD, 0)), (3, 1, 1))
            self.assertEqual(counts(runner.judge_doctest("a", code, "", 0)), (0, 1, 0))
        self.assertEqual(counts(runner.judge_doctest("a", 0, "", 0)), (0, 1, 0))

    def test_exit_codes(self):
        self.assertEqual(counts(runner.judge_exit("a", 0, "", 0)), (1, 0, 0))
        self.assertEqual(counts(runner.judge_exit("a", 77, "", 0)), (0, 0, 1))
        for code in (1, 2, -6, None):
            self.assertEqual(counts(runner.judge_exit("a", code, "", 0)), (0, 1, 0))

    def test_a_hang_is_killed_with_what_it_started(self):
        code, output, _ = runner.run(["sh", "-c", "sleep 600 & echo $!; sleep 600"], 1)
        self.assertIsNone(code)
        child = int(output.split()[0])
        stat = Path(f"/proc/{child}/stat")
        patience = time.monotonic() + 30  # the kernel takes a moment to carry a kill out

        def alive():
            try:
                return stat.read_text().split()[2] not in "ZX"
            except OSError:
                return False
        while alive() and time.monotonic() < patience:
            time.sleep(0.01)
        self.assertFalse(alive())

    def test_the_last_line(self):
        total = runner.Sum()
        total.passed, total.failed = 5, 0
        self.assertEqual(total.last_line(), "5 passed, 0 failed")
        total.skipped = 2
        self.assertEqual(total.last_line(), "5 passed, 0 failed, 2 skipped")

    def test_a_python_test_that_fails_or_does_not_load_is_not_passed(self):
        folder = ROOT / "build" / "structure"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "test_sample.py"
        self.addCleanup(path.unlink)
        path.write_text("import unittest\nclass A(unittest.TestCase):\n"
                        "    def test_bad(self): self.fail()\n"
                        "    def test_good(self): pass\n"
                        "    def test_not_here(self): self.skipTest('')\n")
        worker = [runner.PYTHON, "-B", str(ROOT / "tests" / "one_test.py"), str(path)]
        for method, expected in (("A.test_good", 0), ("A.test_bad", 1), ("A.test_not_here", 77),
                                 ("A.test_unknown", 1)):
            self.assertEqual(runner.run([*worker, method], 60)[0], expected, method)
        path.write_text("import nothing_like_this\n")
        self.assertNotEqual(runner.run([*worker, "--list"], 60)[0], 0)


if __name__ == "__main__":
    unittest.main()
