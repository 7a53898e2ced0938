"""tools/load/scenario/KEYS.md tells of every key that the reader of scenarios knows.
`test_scenario_keys.py --page` prints what the page should be."""

import sys
import textwrap
import unittest

import harness

PAGE = harness.ROOT / "tools" / "load" / "scenario" / "KEYS.md"
PAGE_HEAD = """# Keys of a scenario

What the reader of scenarios takes, made by `python3 tests/integration/test_scenario_keys.py --page`
from its table of keys; a test compares the two. After the name stands what the value is, then its
default, then the kinds of class or stage to which the key means something (none: to all): elsewhere
it is an error. `ringgate-load scenarios --check FILE` tells every error of a file with its line and
column, and `ringgate-load scenarios peak` prints a file to begin with. How the parts belong
together is told in [the tool's page](../README.md).

A duration is `"10s"`, `"500ms"`, `"1m30s"`. A pause is drawn anew each time: `"2s"` always that,
`"1s..3s"` any time between, `"~2s"` exponential with that mean. A condition is what is measured, a
comparison and a limit: `"p99 < 20ms"`.
"""


def page():
    code, out, err = harness.run(harness.LOAD, "scenarios", "--keys")
    if code:
        raise AssertionError(f"exit {code}\n{err}")
    parts = []
    for line in out.splitlines():
        if line.startswith("#"):
            parts += ["", line.removeprefix("#"), ""]
        else:
            parts.append("\n".join(textwrap.wrap(line, 100, subsequent_indent="  ",
                                                 break_long_words=False, break_on_hyphens=False)))
    return PAGE_HEAD + "\n".join(parts) + "\n"


class ScenarioKeys(unittest.TestCase):
    def test_the_page_tells_of_every_key_and_of_no_other(self):
        self.assertEqual(PAGE.read_text(encoding="utf-8"), page(),
                         "run tests/integration/test_scenario_keys.py --page > "
                         f"{PAGE.relative_to(harness.ROOT)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--page"]:
        print(page(), end="")
    else:
        unittest.main()
