"""Fixtures of the HTTP providers' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_service import Service, answer
from recorded import table


@pytest.fixture
def service() -> Iterator[Service]:
    """A service of this test's own."""
    service = Service()
    service.will_say(answer())
    yield service
    service.close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' service is reached directly whatever the machine's settings are."""
    from gathering.llm import clients

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    clients._way.cache_clear()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many recorded exchanges were played, and a table of features by providers (not with ``-q``)."""
    played: dict[str, bool] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            for name in (v for k, v in getattr(report, "user_properties", ()) if k == "recording"):
                played[name] = played.get(name, True) and outcome == "passed"
    if not played:
        return
    good = sum(played.values())
    terminalreporter.section("recorded exchanges")
    terminalreporter.line(f"{len(played)} recorded exchanges played, {good} passed")
    if terminalreporter.verbosity >= 0:
        for line in table(played):
            terminalreporter.line(line)
