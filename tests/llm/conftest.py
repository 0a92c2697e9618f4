"""Fixtures of the HTTP providers' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_service import Service, answer


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
