"""The pytest plugin: a switch against live calls, and notebooks under nbval without any configuration.

Owns what pytest is told. A notebook run by nbval replays its tapes, cannot reach a model, and is compared without
dates, durations, addresses and ids. ``--gathering-live`` lifts all of that for the lane that asks real models.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gathering.core import session
from gathering.testing.outputs import read_settled

__all__ = [
    "no_live_calls",
    "pytest_addoption",
    "pytest_configure",
    "pytest_runtest_setup",
    "sanitize_patterns",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--gathering-live``."""
    parser.getgroup("gathering").addoption(
        "--gathering-live",
        action="store_true",
        help="let tests and notebooks call real models, past tapes and the no_live_calls fixture",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the cells of a notebook on one worker of ``-n``: they need the same kernel."""
    if _runs_notebooks(config) and config.getoption("dist", "no") == "load":
        config.option.dist = "loadfile"


@pytest.fixture
def no_live_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test in which a live call raises ``LiveCallError``; ``--gathering-live`` switches it off."""
    if request.config.getoption("--gathering-live"):
        yield
        return
    with session.no_live_calls(f"the test {request.node.name!r} allows none"):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Start a notebook's kernel in the environment of a test, and mend its outputs' comparison."""
    if not _is_cell(item):
        return (yield)
    with _kernel_environment(item.config):
        result = yield
    notebook: Any = item.parent
    read_settled(notebook.kernel)
    for pattern, replacement in sanitize_patterns():
        notebook.sanitize_patterns.setdefault(pattern, replacement)
    return result


def sanitize_patterns() -> list[tuple[str, str]]:
    """The shipped patterns and what each is replaced by, as in ``nbval_sanitize.cfg``."""
    lines = Path(__file__).with_name("nbval_sanitize.cfg").read_text("utf-8").splitlines()
    values = [line.partition(": ")[2] for line in lines if line.startswith(("regex: ", "replace: "))]
    return list(zip(values[::2], values[1::2], strict=True))


def _runs_notebooks(config: pytest.Config) -> bool:
    return bool(config.getoption("nbval", False) or config.getoption("nbval_lax", False))


def _is_cell(item: pytest.Item) -> bool:
    return type(item).__module__.partition(".")[0] == "nbval"


class _kernel_environment:  # noqa: N801 - used as a block, like the context managers of contextlib
    """The variables a kernel inherits: no live call, unless recording or a live run was asked for."""

    def __init__(self, config: pytest.Config) -> None:
        if config.getoption("--gathering-live"):
            self.wanted = {"GATHERING_TAPE_MODE": "live"}
        elif os.environ.get("GATHERING_TAPE_MODE") in ("record", "live"):
            self.wanted = {}
        else:
            self.wanted = {"GATHERING_LIVE": "never"}

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.wanted}
        for name, value in self.wanted.items():
            os.environ[name] = os.environ.get(name) or value

    def __exit__(self, *exc: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
