"""Names become objects: built in, registered, installed; a wrong one names the nearest right one."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest

from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import ILLMProvider, ITool
from gathering.core.registry import PROVIDERS, TOOLS, Registry, create_provider, create_tool, split_model


class Mine(ILLMProvider):
    def complete(self, messages: Any, tools: Any = None, **params: Any) -> dict[str, Any]:
        return {"content": "mine"}


class Bell(ITool):
    def execute(self, input_data: Any) -> Any:
        return "ding"


@pytest.fixture
def providers() -> Any:
    """A registry that knows one class and one import string."""
    return Registry(
        "provider", "gathering.tests.none", {"mine": f"{__name__}:Mine", "lost": "nowhere.at_all:Thing"}
    )


def test_every_built_in_name_can_be_imported() -> None:
    """No entry of the built-in tables is stale."""
    for registry in (PROVIDERS, TOOLS):
        for name in registry:
            assert isinstance(registry.resolve(name), type)


def test_a_wrong_name_answers_with_the_nearest_right_one() -> None:
    """In one line, with the grammar of a model's name."""
    with pytest.raises(UnknownNameError) as caught:
        create_provider("opennai:gpt-5-mini")
    assert caught.value.suggestions[0] == "openai"
    assert "did you mean 'openai'?" in str(caught.value)


def test_a_provider_gets_its_model_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that are None were not given."""
    monkeypatch.setitem(PROVIDERS._entries, "mine", Mine)
    provider = create_provider("mine:m1:free", api_key="k", base_url=None)
    assert (provider.name, provider.model, provider.config) == (
        "mine",
        "m1:free",
        {"model": "m1:free", "api_key": "k"},
    )
    assert "k" not in repr(provider).replace("mine", "")


def test_a_registration_that_cannot_be_imported_says_so(providers: Any) -> None:
    """It names the string that is wrong."""
    with pytest.raises(ConfigurationError, match="nowhere.at_all:Thing"):
        providers.resolve("lost")


def test_an_installed_plugin_is_found(providers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points of the group are names as any other."""
    point = importlib.metadata.EntryPoint("plugged", f"{__name__}:Mine", "gathering.tests.none")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [point] if group == providers.group else []
    )
    assert providers.resolve("plugged").__name__ == "Mine"
    assert list(providers) == ["lost", "mine", "plugged"]


def test_a_registry_is_a_mapping(providers: Any) -> None:
    """Set, ask, count and delete as with a dict."""
    providers["own"] = Mine
    assert providers["own"] is Mine
    assert "own" in providers
    assert len(providers) == 3
    del providers["own"]
    assert "own" not in providers
    with pytest.raises(ConfigurationError, match="needs a name"):
        providers[""] = Mine


@pytest.mark.parametrize("wrong", [3, None, dict, object()], ids=lambda wrong: type(wrong).__name__)
def test_what_makes_no_tool_is_refused_when_it_is_registered(wrong: Any) -> None:
    """Not when the tool is wanted, with an attribute that the user never heard of; nothing is registered."""
    with pytest.raises(ConfigurationError, match=r"^the tool 'odd' cannot be [^\n]*\"module:Class\"$"):
        TOOLS["odd"] = wrong
    assert "odd" not in TOOLS


def test_what_a_string_leads_to_must_make_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known when it is imported."""
    monkeypatch.setitem(TOOLS._entries, "odd", "json:JSONDecoder")
    with pytest.raises(ConfigurationError, match="the tool 'odd' cannot be .*JSONDecoder"):
        create_tool("odd")


def test_a_tool_is_made_by_name_or_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """``type`` is only needed where it differs from the name."""
    monkeypatch.setitem(TOOLS._entries, "bell", Bell)
    assert create_tool("bell").execute({}) == "ding"
    assert create_tool({"name": "door", "type": "bell"}).name == "door"
    for wrong in ({}, {"name": 3}, ""):
        with pytest.raises(ConfigurationError, match="needs a name"):
            create_tool(wrong)


@pytest.mark.parametrize("wrong", ["", ":model", "  "])
def test_a_model_without_a_provider_is_refused(wrong: str) -> None:
    """The grammar is provider:model."""
    with pytest.raises(ConfigurationError, match="provider:model"):
        split_model(wrong)
