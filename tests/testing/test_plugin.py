"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import re

import pytest

from gathering.testing.plugin import sanitize_patterns

pytest_plugins = ["pytester"]

OWN = """
import pytest
from gathering.core.errors import LiveCallError
from gathering.core.session import refuse_live_call

def test_it(no_live_calls):
    refuse_live_call("p", "m", [{"role": "user", "content": "Hi"}])
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    loaded = () if installed() else ("-p", "gathering.testing.plugin")
    return pytester.runpytest_subprocess(*loaded, "-p", "no:cacheprovider", *options)


def installed() -> bool:
    """Whether the plugin is loaded by its entry point."""
    from importlib.metadata import entry_points

    return bool([e for e in entry_points(group="pytest11") if e.value == "gathering.testing.plugin"])


def test_the_fixture_makes_live_calls_impossible(pytester: pytest.Pytester) -> None:
    """A live call is an error that names the test and the prompt; the option lets it through."""
    pytester.makepyfile(OWN)
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*LiveCallError: a live call to p:m for 'Hi' was stopped*'test_it'*"])
    run(pytester, "--gathering-live").assert_outcomes(passed=1)


def test_cells_of_a_notebook_stay_on_one_worker(pytester: pytest.Pytester) -> None:
    """With -n, files and not cells are handed out."""
    pytester.makeconftest("def pytest_sessionstart(session): print('dist:', session.config.option.dist)")
    run(pytester, "-n", "1", "--nbval", "-s").stdout.fnmatch_lines(["dist: loadfile"])
    run(pytester, "-n", "1", "-s").stdout.fnmatch_lines(["dist: load"])


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("took 1.25 s, 12 ms, 0.5 ms", "took SECONDS, MILLISECONDS, MILLISECONDS"),
        ("at 2026-11-23 10:11:12.5+00:00", "at DATE"),
        ("<object at 0x7f00aa11bb22>", "<object at ADDRESS>"),
        ("01kb0p6v9w2x3y4z5a6b7c8d9e", "ID"),
        ("375 tokens, version 1.2, 3 s", "375 tokens, version 1.2, 3 s"),
    ],
)
def test_the_shipped_patterns_take_out_what_differs(text: str, then: str) -> None:
    """Dates, durations, addresses and ids go; figures that mean something stay."""
    for pattern, replacement in sanitize_patterns():
        text = re.sub(pattern, replacement, text)
    assert text == then
