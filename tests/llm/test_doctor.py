"""The doctor: for each provider whence its key comes, whether it answers, and what to do."""

from __future__ import annotations

import pytest
from fake_service import Service

from gathering.__main__ import main
from gathering.core.errors import UnknownNameError
from gathering.core.interfaces import ILLMProvider
from gathering.core.registry import PROVIDERS
from gathering.core.session import no_live_calls
from gathering.llm.doctor import checkups

KEY = "sk-0123456789abcdefghij"


def test_a_healthy_one(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key from the environment is named by its variable, never shown; there is nothing to do."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", service.url)
    service.will_say({"data": [{"id": "gpt-5-mini"}]})
    (found,) = checkups(["openai:gpt-5-mini"])
    assert (found.provider, found.model, found.key) == ("openai", "gpt-5-mini", "OPENAI_API_KEY")
    assert (found.reachable, found.advice) == (True, "")
    assert KEY not in repr(found)


def test_a_key_that_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is there and does not take the key: what it said, and where the key is changed."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("GROQ_BASE_URL", service.url)
    service.will_say({"error": {"message": f"Invalid API key {KEY}"}}, 401)
    (found,) = checkups(["groq"])
    assert found.reachable is False
    assert "401" in found.advice
    assert "GROQ_API_KEY" in found.advice
    assert KEY not in found.advice


def test_one_without_a_key_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no point in a request: the variable to set is what to do."""
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    (found,) = checkups(["mistral"])
    assert (found.key, found.reachable) == ("missing", None)
    assert found.advice == "set the environment variable MISTRAL_API_KEY"


def test_nobody_is_asked_where_live_calls_are_forbidden(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a test runner the doctor says why it did not look."""
    monkeypatch.setenv("OLLAMA_HOST", service.url)
    with no_live_calls("it is a test"):
        (found,) = checkups(["ollama"])
    assert found.reachable is None
    assert "it is a test" in found.advice
    assert not service.received


class Broken(ILLMProvider):
    """Somebody else's, whose own look at itself fails."""

    def complete(self, messages: object, tools: object = None, **params: object) -> dict[str, str]:
        raise NotImplementedError

    def why_unavailable(self) -> str | None:
        raise ZeroDivisionError("by hand")


def test_the_others_of_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that raises has its own row, and so has everything that is registered."""
    monkeypatch.setitem(PROVIDERS, "broken", Broken)
    monkeypatch.setattr(
        "gathering.llm.http.HTTPProvider.why_unavailable", lambda self: "not asked in this test"
    )
    steps: list[tuple[int, int]] = []
    found = {c.provider: c for c in checkups(seen=lambda done, of: steps.append((done, of)))}
    assert set(found) == set(PROVIDERS) - {"fallback"}
    assert (found["broken"].reachable, found["broken"].advice) == (False, "ZeroDivisionError: by hand")
    assert "give base_url" in found["azure"].advice
    assert steps == [(n, len(found)) for n in range(1, len(found) + 1)]


def test_an_unknown_name() -> None:
    """A slip is answered before anybody is asked."""
    with pytest.raises(UnknownNameError, match="did you mean 'ollama'"):
        checkups(["local", "olama"])


def test_on_the_command_line(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a provider; the exit code says whether those that were named are well."""
    monkeypatch.setenv("OLLAMA_HOST", service.url)
    monkeypatch.delenv("XAI_API_KEY", raising=False)
    service.will_say({"models": []})
    assert main(["doctor", "ollama"]) == 0
    assert main(["doctor", "ollama", "xai"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["ollama", "none", "needed", "yes"]
    assert lines[-1].split()[:3] == ["xai", "missing", "-"]
