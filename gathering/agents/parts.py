"""What the constructor of an agent takes, turned into what the agent works with; one line for what is not usable.

Owns no names of an agent's description: plain data is ``gathering.agents.build``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gathering.agents.competency import Competency
from gathering.agents.memory import WindowMemory
from gathering.agents.personality import PersonalityBlock
from gathering.core import config
from gathering.core.errors import ConfigurationError, shown
from gathering.core.interfaces import (
    IAgent,
    ICompetency,
    ILLMProvider,
    IMemory,
    IPersonalityBlock,
    IRecorder,
    ITool,
)
from gathering.core.permissions import IPolicy
from gathering.core.registry import create_provider, create_tool

__all__ = [
    "blocks_of",
    "checked_message",
    "checked_rounds",
    "checked_store",
    "checked_texts",
    "competencies_of",
    "listed",
    "memory_of",
    "params_of",
    "policy_of",
    "provider_of",
    "tools_of",
]


def provider_of(spec: ILLMProvider | str | None) -> ILLMProvider:
    """The provider itself, or that of a text; None is the default model's. Raises ``ConfigurationError``."""
    if isinstance(spec, ILLMProvider):
        return spec
    if spec is not None and not isinstance(spec, str):
        raise ConfigurationError(
            f'{spec!r:.60} is no provider: give an ILLMProvider or a text like "openai:gpt-5-mini"'
        )
    return create_provider(spec or str(config.get("model")))


def blocks_of(blocks: Any) -> tuple[IPersonalityBlock, ...]:
    """The personality blocks, those of names made. Raises ``ConfigurationError``."""
    several = listed("personality_blocks", blocks)
    return tuple([_made("personality block", PersonalityBlock, IPersonalityBlock, one) for one in several])


def competencies_of(competencies: Any) -> tuple[ICompetency, ...]:
    """The competencies, those of names made. Raises ``ConfigurationError``."""
    several = listed("competencies", competencies)
    return tuple([_made("competency", Competency, ICompetency, one) for one in several])


def _made(what: str, of_name: Callable[[str], Any], kind: type[Any], one: Any) -> Any:
    if isinstance(one, str):
        return of_name(one)
    if not isinstance(one, kind):
        raise ConfigurationError(f"{shown(one, 60)} is no {what}: give its name or {of_name.__name__}(...)")
    return one


def listed(part: str, given: Any) -> Iterable[Any]:
    """The several things of a part; one alone is a list of it. Raises ``ConfigurationError`` for what is no list."""
    if isinstance(given, list | tuple):  # nearly always: asked first, an agent is made in microseconds
        return given
    if (
        isinstance(given, Mapping)
        and part == "tools"
        and all(isinstance(one, ITool) for one in given.values())
    ):
        return given.values()
    if isinstance(given, str | Mapping | ITool | IPersonalityBlock | ICompetency | IAgent):
        return (given,)
    if not isinstance(given, Iterable):
        raise ConfigurationError(f"{part}={shown(given, 60)} is no list: give a list of them")
    return given


def checked_texts(**texts: Any) -> None:
    """Raise ``ConfigurationError`` for a part that is no text."""
    for part, text in texts.items():
        if not isinstance(text, str):
            raise ConfigurationError(f"{part}={shown(text, 60)} is not usable: give a text")


def checked_rounds(max_rounds: Any) -> int:
    """How often a turn may come back with tools' results. Raises ``ConfigurationError``."""
    if isinstance(max_rounds, bool) or not isinstance(max_rounds, int) or max_rounds < 1:
        raise ConfigurationError(
            f"max_rounds={shown(max_rounds, 40)} is not usable: give a whole number of 1 or more"
        )
    return max_rounds


def params_of(params: Any) -> dict[str, Any]:
    """The parameters of each call. Raises ``ConfigurationError``."""
    if params is not None and not isinstance(params, Mapping):
        raise ConfigurationError(
            f"params={shown(params, 60)} is not usable: give names and values, as {{'temperature': 0}}"
        )
    return dict(params or {})


def policy_of(permissions: IPolicy | Iterable[Any] | None) -> IPolicy | None:
    """The policy of these rules; None, which costs nothing, where there are none. Raises ``ConfigurationError``."""
    if permissions is None or isinstance(permissions, IPolicy):
        return permissions
    if not isinstance(permissions, Iterable):
        raise ConfigurationError(
            f"permissions={shown(permissions, 60)} is no list of rules: write ['ask * write']"
        )
    from gathering.tools.permissions import Policy

    return Policy(permissions)


def checked_store(store: IRecorder | None) -> IRecorder | None:
    """The store, if it is one. Raises ``ConfigurationError``."""
    if store is not None and not isinstance(store, IRecorder):
        raise ConfigurationError(
            f"store={store!r:.60} is no store: give SQLiteStore({str(store)!r:.60}), or set GATHERING_STORE"
        )
    return store


def memory_of(memory: Any, agent: str) -> IMemory:
    """The memory itself, a window where there is none, or what a description such as ``"long_term"`` says.

    Raises ``ConfigurationError``.
    """
    if memory is None:
        return WindowMemory()
    if isinstance(memory, IMemory):
        return memory
    from gathering.agents.build import described_memory

    return described_memory(agent, memory)


def tools_of(tools: Any) -> tuple[dict[str, ITool], dict[str, Any]]:
    """The tools by name, made from names, mappings and functions; and those names and mappings, as far as there are.

    Raises ``ConfigurationError``.
    """
    found: dict[str, ITool] = {}
    sources: dict[str, Any] = {}
    for item in listed("tools", tools):
        plain = isinstance(item, str | Mapping)
        for one in (create_tool(item) if plain else _as_tool(item)).expand():
            if one.name in found:
                raise ConfigurationError(f"two tools are named {one.name!r}: give one of them another name")
            found[one.name] = one
            if plain:
                sources[one.name] = item if isinstance(item, str) else dict(item)
    return found, sources


def _as_tool(item: Any) -> ITool:
    if isinstance(item, ITool):
        return item
    if isinstance(item, IAgent):
        from gathering.agents.delegation import AgentTool

        return AgentTool(item)
    if callable(item) and not isinstance(item, type):
        from gathering.tools import tool

        made: ITool = tool(item)
        return made
    raise ConfigurationError(f"{item!r:.60} is no tool: give a name, a function, an agent or an ITool")


def checked_message(message: Any) -> str:
    """The message if it can be sent; a ``ConfigurationError`` that says what to do if not."""
    if not isinstance(message, str):
        raise ConfigurationError(f"the message is {type(message).__name__}, not text: give a string")
    if not message.strip():
        raise ConfigurationError("the message is empty: write something to send")
    if "\0" in message:
        raise ConfigurationError(
            f"the message has a NUL character at position {message.index(chr(0))}: remove it"
        )
    try:
        message.encode()
    except UnicodeEncodeError as err:
        raise ConfigurationError(
            f"the message has half a character (a lone surrogate) at position {err.start}: "
            "read the text as UTF-8, or clean it with text.encode('utf-8', 'replace').decode()"
        ) from err
    return message
