"""one_test.py FILE --list | METHOD: lists the test methods of a unittest file as Class.method, or
runs one of them. Exit 0: passed, 77: skipped, anything else: failed."""

import importlib.util
import sys
import unittest
from pathlib import Path


def load(path):
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def names(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from names(test)
        else:
            yield f"{type(test).__name__}.{test._testMethodName}"


def main():
    module = load(Path(sys.argv[1]))
    loader = unittest.defaultTestLoader
    if sys.argv[2] == "--list":
        print("\n".join(names(loader.loadTestsFromModule(module))))
        return 0
    result = unittest.TextTestRunner(verbosity=2).run(loader.loadTestsFromName(sys.argv[2], module))
    if not result.wasSuccessful() or result.testsRun + len(result.skipped) == 0:
        return 1
    return 77 if result.skipped else 0


if __name__ == "__main__":
    sys.exit(main())
