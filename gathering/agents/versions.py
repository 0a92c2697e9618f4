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
from gathering.core.playback import StandIn
from gathering.core.registry import PROVIDERS
from gathering.core.session import now, session_id

if TYPE_CHECKING:
    from gathering.agents.agent import Agent

__all__ = ["described", "digest_of", "load", "recall_conversation", "save"]

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
        "tools": _tools(agent, own),
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
    agent.keep_branch()
    description = described(agent)
    digest = digest_of(description)
    identity = f"{agent.name}@{digest}"
    known = list(store.rows("agents", {"agent_id": identity}))
    row: dict[str, Any] = {"agent_id": identity, "saved_at": now(), "conversation": agent.conversation}
    row["session"] = session_id()
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
        recall_conversation(agent, store, str(row["conversation"]))
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


def recall_conversation(agent: Agent, store: IRecorder, conversation: str) -> None:
    """Let the agent remember what was said; another kernel that runs and has the conversation keeps it to itself."""
    from gathering.agents.resuming import recall_turns

    rows = list(store.rows("messages", {"conversation": conversation}))
    recall_turns(agent, store, conversation)
    held = {row["session"] for row in rows} & (store.living() - {session_id()})
    if held:
        agent.branch = agent.branch_here(conversation)
    else:
        agent.conversation, agent.branch = conversation, None


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


def _tools(agent: Agent, own: dict[str, list[str]]) -> list[Any]:
    """Each source once: one of them may stand for several tools, as that of an MCP server does."""
    found: list[Any] = []
    sources = agent.tool_sources
    for source in _listed(own, "tools", agent.tools.values(), lambda tool: sources.get(tool.name)):
        if source not in found:
            found.append(source)
    return found


def _provider(provider: ILLMProvider, own: dict[str, list[str]]) -> dict[str, Any] | None:
    if isinstance(provider, StandIn):  # a cache before it
        return _provider(provider.provider, own)
    known = provider.name in PROVIDERS and isinstance(provider, PROVIDERS.resolve(provider.name))
    options = {k: v for k, v in provider.config.items() if k != "model" and not _SECRET.search(k)}
    found = {"provider": provider.name, "model": provider.model, **_plain(options)}
    if not known or _hides(found):
        own["llm_provider"] = [type(provider).__name__]
        return None
    return {k: v for k, v in found.items() if v not in (None, "")}


def _model(model: ILLMProvider | str | None) -> str | None:
    """The provider as the text that makes it."""
    if isinstance(model, ILLMProvider):
        return model.name if model.name == "local" else f"{model.name}:{model.model}".rstrip(":")
    return model


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
    found = {
        "name": competency.name,
        "level": competency.level,
        "keywords": list(competency.keywords),
        "evidence": list(competency.evidence),
        "embedder": _model(competency.embedder),
    }
    return {k: v for k, v in found.items() if v not in (None, [])}


def _memory(memory: IMemory, own: dict[str, list[str]]) -> list[dict[str, Any]] | None:
    """The memory from the inside out; None for a plain window, and for one of somebody's own class."""
    found: list[dict[str, Any]] = []
    inner = memory
    if type(inner) is LongTermMemory:
        found.insert(0, {"type": "long_term", **inner.options(), "embedder": _model(inner.embedder)})
        inner = inner.conversation
    if type(inner) is SummaryMemory:
        found.insert(0, {"type": "summary", **inner.options(), "model": _model(inner.model)})
        inner = inner.window
    if type(inner) is not WindowMemory:
        own["memory"] = [type(memory).__name__]
        return None
    found.insert(0, {"type": "window", "max_tokens": inner.max_tokens})
    kept = [{k: v for k, v in one.items() if v is not None} for one in found]
    return kept if kept != [{"type": "window"}] else None


def _guardrail(rule: Any) -> dict[str, Any] | None:
    if rule.function is not None or isinstance(rule.by, ILLMProvider):
        return None
    return {k: v for k in rule.__dataclass_fields__ if (v := getattr(rule, k)) is not None}


def _permissions(agent: Agent, own: dict[str, list[str]]) -> list[dict[str, Any]] | None:
    """The rules; a policy that says more than its rules is handed in, or it would allow more than it did."""
    from gathering.tools.permissions import Policy

    policy = agent.permissions
    if policy is None:
        return None
    if type(policy) is not Policy or any(rule.cell is not None for rule in policy.rules):
        own["permissions"] = [type(policy).__name__]
        return None
    return [
        {
            "effect": r.effect,
            "tool": r.tool,
            "permission": r.permission,
            "where": dict(r.where),
            **({"only": True} if r.only else {}),
        }
        for r in policy.rules
    ]
