"""The examples of the documentation give what they show."""

from __future__ import annotations

import doctest
import unittest

import nslab


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None) -> unittest.TestSuite:
    def set_up(test: object) -> None:
        nslab.Lab().close()  # Where that cannot be, the examples are skipped.

    tests.addTests(doctest.DocFileSuite("../README.md", setUp=set_up))
    tests.addTests(doctest.DocTestSuite(nslab, setUp=set_up))
    return tests
