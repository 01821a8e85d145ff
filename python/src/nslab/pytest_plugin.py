"""The pytest fixture `nslab_lab`, and the marker of that name. Where no lab can be mounted, a test that makes one is skipped."""

from __future__ import annotations

from typing import Iterator

import pytest

from nslab._lab import CannotMount, Lab


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "run no test where no lab can be mounted, instead of skipping those that make one"
    parser.getgroup("nslab").addoption("--nslab-required", action="store_true", help=text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "nslab_lab(script=None, *, file=None, options=(), ...): the arguments of nslab.Lab for the fixture nslab_lab; "
        "a relative file is one beside the test's",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("nslab_required"):
        try:
            Lab().close()
        except CannotMount as error:
            raise pytest.UsageError(f"nslab: {error}") from None


@pytest.fixture
def nslab_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab for this test alone, made with the arguments of the marker `nslab_lab` if there is one."""
    marker = request.node.get_closest_marker("nslab_lab")
    script, named = (marker.args, dict(marker.kwargs)) if marker else ((), {})
    if named.get("file") is not None:
        named["file"] = request.path.parent / named["file"]
    with Lab(*script, **named) as lab:
        yield lab
