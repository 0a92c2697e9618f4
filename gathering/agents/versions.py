"""Agents kept by name: described as plain data without keys, numbered anew whenever the description changes.

Owns what of an agent can be written down and how it comes back. Parts that only code can make (a function as a tool, a
block of your own class) are kept by their name, and handed in again when the agent is loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gathering.agents.competency import Competency
from gathering.agents.longterm import LongTermMemory
from gathering.agents.memory import WindowMemory
from gathering.agents.personality import PersonalityBlock
from gathering.agents.summary import SummaryMemory
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import ILLMProvider, IMemory, IRecorder
from gathering.core.masking import mask
from gathering.core.registry import PROVIDERS
from gathering.core.session import new_id, now, session_id

if TYPE_CHECKING:
    from gathering.agents.agent import Agent

__all__ = ["described", "digest_of", "load", "save"]

#: Of a provider's configuration, what is a key or may hold one.
_SECRET = re.compile(r"key|token|secret|password|headers|auth", re.IGNORECASE)


def described(agent: Agent) -> dict[str, Any]:
    """The agent as ``Agent.from_config`` takes it, and under ``own`` what has to be handed in beside that."""
    own: dict[str, list[str]] = {}
    found: dict[str, Any] = {
        "name": agent.name,
        "llm_provider": _provider(agent.llm_provider, own),
        "age": agent.age,
        "history": agent.history,
        "system_prompt": agent.system_prompt,
        "max_rounds": agent.max_rounds,
        "params": _plain(agent.params),
        "personality_blocks": _listed(own, "personality_blocks", agent.personality_blocks, _block),
        "competencies": _listed(own, "competencies", agent.competencies, _competency),
        "tools": _listed(own, "tools", agent.tools.values(), lambda tool: agent.tool_sources.get(tool.name)),
        "memory": _memory(agent.memory, own),
        "permissions": _permissions(agent, own),
        "guardrails": _listed(own, "guardrails", agent.guardrails, _guardrail),
    }
    kept = {k: v for k, v in found.items() if v not in (None, "", [], {})}
    return {**kept, **({"own": own} if own else {})}


def digest_of(description: Mapping[str, Any]) -> str:
    """What two descriptions share if they are equal."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, default=str).encode()).hexdigest()[:32]


def save(agent: Agent, store: IRecorder) -> int:
    """Keep the agent as it is; its version: a new one if anything of it has changed since, whichever kernel saved it."""
    description = described(agent)
    digest = digest_of(description)
    identity = f"{agent.name}@{digest}"
    known = list(store.rows("agents", {"agent_id": identity}))
    row: dict[str, Any] = {"agent_id": identity, "saved_at": now(), "conversation": agent.conversation}
    row["outcomes"] = {
        c.name: [c.outcomes.done, c.outcomes.tried] for c in agent.competencies if isinstance(c, Competency)
    }
    if not known:
        row |= {
            "agent": agent.name,
            "model": agent.model,
            "tools": ", ".join(agent.tools),
            "description": description,
            "created_at": row["saved_at"],
            "session": session_id(),
        }
    store.put("agents", row)
    store.flush()
    (kept,) = store.rows("agents", {"agent_id": identity})
    agent.version, agent.digest = int(kept["version"]), digest
    return agent.version


def load(
    name: str,
    version: int | None = None,
    *,
    store: IRecorder | None = None,
    conversation: bool = True,
    tools: Iterable[Any] = (),
    **parts: Any,
) -> Agent:
    """The agent that was saved under this name (its newest state, or a ``version``), with what it had said.

    ``tools`` and other ``parts`` by the names of the constructor stand for those that could not be written down, or in
    the place of saved ones. ``conversation=False`` begins anew. Raises ``UnknownNameError`` for a name or version that
    was never saved, and ``ConfigurationError`` that names the parts to hand in.
    """
    from gathering.agents.agent import Agent
    from gathering.agents.build import parts_of

    if store is None:
        from gathering.storage import default_store

        store = default_store()
    row = _found(name, version, store)
    description = dict(row["description"])
    own = {kind: list(names) for kind, names in (description.pop("own", None) or {}).items()}
    given = {**parts, **({"tools": list(tools)} if tools else {})}
    _check_own(name, own, given)
    description = {k: v for k, v in description.items() if k == "tools" or k not in given}
    made = parts_of({**description, "store": store})
    if "tools" in given:
        given["tools"] = [*(t for t in made["tools"] if _name_of(t) not in set(map(_name_of, tools))), *tools]
    agent = Agent(**{**made, **given})
    agent.version, agent.digest = int(row["version"]), str(row["agent_id"]).rpartition("@")[2]
    if parts:
        agent.version = None
    for competency in agent.competencies:
        done_of = (row["outcomes"] or {}).get(competency.name)
        if done_of and isinstance(competency, Competency):
            competency.outcomes.done, competency.outcomes.tried = done_of
    if conversation and row["conversation"]:
        _take_up(agent, store, str(row["conversation"]))
    return agent


def _found(name: str, version: int | None, store: IRecorder) -> Mapping[str, Any]:
    rows = sorted(store.rows("agents", {"agent": name}), key=lambda row: (row["saved_at"], row["version"]))
    if not rows:
        saved = {str(row["agent"]) for row in store.rows("agents")}
        raise UnknownNameError("saved agent", name, saved, "(agent.save() keeps one)")
    if version is None:
        return rows[-1]
    found = next((row for row in rows if row["version"] == version), None)
    if found is None:
        there = sorted(str(row["version"]) for row in rows)
        raise UnknownNameError(f"version of {name!r}", str(version), there)
    return found


def _take_up(agent: Agent, store: IRecorder, conversation: str) -> None:
    """Let the agent remember what was said; another kernel that runs and has the conversation keeps it to itself."""
    from gathering.agents.resuming import recall_turns

    rows = list(store.rows("messages", {"conversation": conversation}))
    recall_turns(agent, store, conversation, rows)
    held = {row["session"] for row in rows} & (store.living() - {session_id()})
    agent.conversation = new_id() if held else conversation


def _check_own(name: str, own: Mapping[str, list[str]], given: Mapping[str, Any]) -> None:
    for kind, names in own.items():
        there = {_name_of(part) for part in given.get(kind) or ()} if kind in ("tools",) else set(names)
        missing = [n for n in names if kind not in given or n not in there]
        if missing:
            raise ConfigurationError(
                f"{name!r} was saved with {kind} that only code can make ({', '.join(missing)}): "
                f"hand them in, as in gathering.load({name!r}, {kind}=[...])"
            )


def _name_of(part: Any) -> str:
    if isinstance(part, Mapping):
        return str(part.get("name") or part.get("type") or "")
    return (
        part if isinstance(part, str) else str(getattr(part, "name", None) or getattr(part, "__name__", ""))
    )


def _listed(
    own: dict[str, list[str]], kind: str, parts: Iterable[Any], describe: Callable[[Any], Any]
) -> list[Any]:
    """The parts that can be described; the names of the others go into ``own``."""
    found = []
    for part in parts:
        description = describe(part)
        if description is None or _hides(description):
            own.setdefault(kind, []).append(str(part.name))
        else:
            found.append(description)
    return found


def _hides(description: Any) -> bool:
    """Whether something in it must not be written down: a key, or a password in an address."""
    text = json.dumps(description, default=str)
    return mask(text) != text or re.search(r"://[^/\s:@]+:[^/\s@]+@", text) is not None


def _provider(provider: ILLMProvider, own: dict[str, list[str]]) -> dict[str, Any] | None:
    if provider.name not in PROVIDERS:
        own["llm_provider"] = [type(provider).__name__]
        return None
    options = {k: v for k, v in provider.config.items() if k != "model" and not _SECRET.search(k)}
    found = {"provider": provider.name, "model": provider.model, **_plain(options)}
    return {k: v for k, v in found.items() if v not in (None, "")}


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that are JSON."""
    kept = {}
    for name, value in options.items():
        try:
            kept[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError):
            continue
    return kept


def _block(block: Any) -> dict[str, Any] | None:
    if type(block) is not PersonalityBlock:
        return None
    found = {"name": block.name, "intensity": block.intensity}
    return found if block.prompt is None else {**found, "prompt": block.prompt}


def _competency(competency: Any) -> dict[str, Any] | None:
    if type(competency) is not Competency:
        return None
    by = competency.embedder
    found = {
        "name": competency.name,
        "level": competency.level,
        "keywords": list(competency.keywords),
        "evidence": list(competency.evidence),
        "embedder": by and (by.name if by.name == "local" else f"{by.name}:{by.model}".rstrip(":")),
    }
    return {k: v for k, v in found.items() if v not in (None, [])}


def _memory(memory: IMemory, own: dict[str, list[str]]) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] = []
    if isinstance(memory, LongTermMemory):
        found.insert(0, {"type": "long_term", **memory.options()})
        memory = memory.conversation
    if isinstance(memory, SummaryMemory):
        found.insert(0, {"type": "summary", "words": memory.words, "every": memory.every})
        memory = memory.window
    if type(memory) is WindowMemory:
        bound = {} if memory.max_tokens is None else {"max_tokens": memory.max_tokens}
        found.insert(0, {"type": "window", **bound})
    elif not isinstance(memory, WindowMemory):
        own["memory"] = [type(memory).__name__]
        return None
    return found if found != [{"type": "window"}] else None


def _guardrail(rule: Any) -> dict[str, Any] | None:
    if rule.function is not None or isinstance(rule.by, ILLMProvider):
        return None
    return {k: v for k in rule.__dataclass_fields__ if (v := getattr(rule, k)) is not None}


def _permissions(agent: Agent, own: dict[str, list[str]]) -> list[str] | None:
    if agent.permissions is None:
        return None
    rules = getattr(agent.permissions, "rules", None)
    if not isinstance(rules, list):
        own["permissions"] = [type(agent.permissions).__name__]
        return None
    return [str(rule) for rule in rules]
