"""What every test gets: no trace in the working folder, settings as on a fresh machine, and no key."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from postgres import postgres  # noqa: F401 - a fixture for every room

from gathering.core import budget, config, session

os.environ["GATHERING_STORE"] = ":memory:"
# A shell ignores interrupts for what it starts in the background, and Python takes that over: the tests of Stop need them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting, wrapper, budget or key of one test reaches the next."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or (name.startswith("GATHERING_") and name in _SETTINGS):
            monkeypatch.delenv(name)
    config.reset()
    budget.budget_off()
    monkeypatch.setattr(budget, "_session", budget.Account())
    session.forbid_live_calls(None)
    for name in ("limits", "circuit"):  # what is known of services is the process's
        if f"gathering.llm.{name}" in sys.modules:
            sys.modules[f"gathering.llm.{name}"].reset()


_SETTINGS = {f"GATHERING_{name.upper()}" for name in config.SETTINGS} - {
    "GATHERING_STORE",
    "GATHERING_LOCAL_MODEL",
}


def pytest_sessionfinish() -> None:
    """A parallel worker ends without its exit handlers, so what it measured is written here."""
    coverage = sys.modules.get("coverage")
    measuring = coverage.Coverage.current() if coverage else None
    if measuring and "PYTEST_XDIST_WORKER" in os.environ:
        measuring.save()
