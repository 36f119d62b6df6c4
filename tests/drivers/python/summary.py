"""Runs the tests of the main module and ends with the line that tests/drivers/run counts."""

import sys
import unittest


def run(**arguments):
    result = unittest.main(verbosity=2, exit=False, **arguments).result
    failed = len({str(test) for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    print(f"{result.testsRun - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed > 0)
