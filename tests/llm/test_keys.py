"""Keys: where they come from, and that they are never shown."""

from __future__ import annotations

import json
import pickle
import sys
import types

import pytest

import gathering
from gathering.core.errors import AuthenticationError, ConfigurationError
from gathering.llm import keys
from gathering.llm.keys import Secret, find_key, is_loopback, shown_url, source_of_key

KEY = "sk-abcdefghij0123456789"


@pytest.fixture(autouse=True)
def nothing_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_found", {})
    monkeypatch.setattr(keys, "_sources", {})


def find(given: Secret | None = None, *, needed: bool = True, ask: bool = True) -> Secret | None:
    return find_key("SOME_API_KEY", given, provider="some", needed=needed, ask=ask)


def test_a_secret_shows_nothing() -> None:
    """Not in repr, text, format, a container, JSON or a pickle."""
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {[secret]}"
    assert KEY not in shown
    with pytest.raises(TypeError):
        json.dumps({"api_key": secret})
    assert KEY.encode() not in pickle.dumps(secret)
    assert secret.reveal() == KEY


@pytest.mark.parametrize("bad", ["sk-\u201cquoted\u201d", "two\nlines"])
def test_a_key_no_header_can_carry(bad: str) -> None:
    """It is refused at once, without being shown."""
    with pytest.raises(ConfigurationError, match="copy it again") as caught:
        Secret(bad)
    assert bad not in str(caught.value)


def test_the_configuration_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed in counts; spaces and line ends around a key do not."""
    monkeypatch.setenv("SOME_API_KEY", f" {KEY}\n")
    found, given = find(), find(Secret("given"))
    assert found is not None
    assert given is not None
    assert (found.reveal(), given.reveal()) == (KEY, "given")


def test_without_a_key_the_variable_is_named() -> None:
    """Under a test runner nobody is asked."""
    with pytest.raises(AuthenticationError, match="SOME_API_KEY"):
        find()
    assert find(needed=False) is None
    assert find(ask=False) is None


def test_the_keyring_is_asked_when_a_key_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring that is locked is as good as none."""
    ring = types.ModuleType("keyring")
    ring.get_password = lambda service, name: (
        KEY if (service, name) == ("gathering", "SOME_API_KEY") else None
    )  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.setattr(keys, "under_test", lambda: False)
    assert find(needed=False) is None
    found = find(ask=False)
    assert found is not None
    assert found.reveal() == KEY

    def locked(service: str, name: str) -> str:
        raise RuntimeError("locked")

    ring.get_password = locked  # type: ignore[attr-defined]
    keys._found.clear()
    assert find(ask=False) is None


def colab(monkeypatch: pytest.MonkeyPatch, **secrets: str) -> None:
    """A Colab notebook with these secrets; for any other one it raises, as Colab does."""
    names = ("google", "google.colab", "google.colab.userdata")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[-1]].get = secrets.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(keys, "under_test", lambda: False)


def test_a_secret_of_a_colab_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found behind the environment and the keyring, and before a person is asked."""
    colab(monkeypatch, SOME_API_KEY=KEY)
    found = find()
    assert found is not None
    assert found.reveal() == KEY
    assert source_of_key("SOME_API_KEY", None, needed=True) == "Colab secret"
    monkeypatch.setenv("SOME_API_KEY", "of-the-environment")
    assert source_of_key("SOME_API_KEY", None, needed=True) == "SOME_API_KEY"


def test_a_colab_notebook_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is as good as no key."""
    colab(monkeypatch)
    assert find(ask=False) is None


def test_where_a_key_comes_from_is_told_without_it() -> None:
    """The name of a place, never the key."""
    assert source_of_key("SOME_API_KEY", Secret(KEY), needed=True) == "api_key"
    assert source_of_key("SOME_API_KEY", None, needed=True) is None


def test_a_key_in_the_wrong_place_is_not_shown() -> None:
    """Headers that are a text are refused by their type: the text may be the key."""
    with pytest.raises(ConfigurationError, match="headers of openai is a str") as caught:
        gathering.provider("openai:m", headers=f"Authorization: Bearer {KEY}")
    assert KEY not in str(caught.value)


def test_a_person_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer lives as long as the process."""
    asked: list[str] = []
    monkeypatch.setattr(keys, "_person_is_there", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or KEY)
    for _ in range(2):
        found = find()
        assert found is not None
        assert found.reveal() == KEY
    assert len(asked) == 1


@pytest.mark.parametrize("err", [EOFError, OSError, RuntimeError])
def test_a_front_end_without_input_is_nobody(monkeypatch: pytest.MonkeyPatch, err: type[Exception]) -> None:
    """A question that cannot be asked is a missing key."""

    def nobody(prompt: str) -> str:
        raise err

    monkeypatch.setattr(keys, "_person_is_there", lambda: True)
    monkeypatch.setattr("getpass.getpass", nobody)
    with pytest.raises(AuthenticationError):
        find()


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_this_machine_is_recognised(host: str) -> None:
    """No key is needed there."""
    assert is_loopback(host)
    assert not is_loopback("api.openai.com")
    assert not is_loopback("10.0.0.1")


def test_an_address_is_shown_without_credentials() -> None:
    """User, password and query stay out."""
    assert shown_url("https://me:pw@host:8/v1?key=1#x") == "https://host:8/v1"
