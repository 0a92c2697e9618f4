"""A conversation on disk: one readable JSON file, written whole or not at all. No key is ever in it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gathering.agents.consensus import Agreement, Vote
from gathering.agents.floor import Speech
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import IAgent

if TYPE_CHECKING:
    from gathering.agents.conversation import Conversation

__all__ = ["read_conversation", "write_conversation"]

VERSION = 1
C = TypeVar("C", bound="Conversation")


def write_conversation(conversation: Conversation, path: str) -> None:
    """Write it beside the file and put it in its place, so that a cut writing loses nothing."""
    floor = conversation.floor
    kind, numbers, gauss = floor.chance.getstate()
    data = {
        "gathering_conversation": VERSION,
        "agents": floor.names,
        "helpers": list(floor.helpers),
        "strategy": conversation.strategy.to_dict(),
        "max_turns": conversation.max_turns,
        "max_cost": conversation.max_cost,
        "repetitions": conversation.repetitions,
        "seed": conversation.seed,
        "chance": [kind, list(numbers), gauss],
        "ended": conversation.ended,
        "told": floor.told,
        "aside": floor.aside,
        "speeches": [asdict(s) for s in floor.speeches],
        "agreements": [_agreement_data(a) for a in conversation.agreements],
        "memories": {name: _remembered(agent) for name, agent in {**floor.agents, **floor.helpers}.items()},
    }
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_text(json.dumps(data, ensure_ascii=False, indent=1), "utf-8")
        beside.replace(target)
    except OSError as err:
        with suppress(OSError):
            beside.unlink()
        raise ConfigurationError(
            f"the conversation cannot be written to {path!r} ({err.strerror}): choose another file"
        ) from err


def read_conversation(cls: type[C], path: str, agents: Sequence[IAgent], helpers: Sequence[IAgent]) -> C:
    """The conversation in the file, with these agents in it and what each remembered of it."""
    data = _read(path)
    try:
        there = {getattr(a, "name", ""): a for a in (*agents, *helpers)}
        missing = [n for n in (*data["agents"], *data["helpers"]) if n not in there]
        if missing:
            raise ConfigurationError(
                f"the conversation in {path!r} needs the agents {', '.join(missing)}: load(path, agents=[...]) with them"
            )
        conversation = cls(
            [there[n] for n in data["agents"]],
            helpers=[there[n] for n in data["helpers"]],
            strategy=data["strategy"],
            **{k: data[k] for k in ("max_turns", "max_cost", "repetitions", "seed")},
        )
        kind, numbers, gauss = data["chance"]
        conversation.floor.chance.setstate((kind, tuple(numbers), gauss))
        conversation.floor.speeches = [Speech(**s) for s in data["speeches"]]
        conversation.floor.told = dict(data["told"])
        conversation.floor.aside = float(data.get("aside", 0.0))
        conversation.ended = data["ended"]
        conversation.agreements = [_agreement(a) for a in data["agreements"]]
        for name, messages in data["memories"].items():
            _remind(there[name], messages)
    except (LookupError, TypeError, ValueError, AttributeError) as err:
        raise ConfigurationError(
            f"{path!r} holds a conversation that cannot be read ({err!r:.80}): save it anew"
        ) from err
    return conversation


def _read(path: str) -> dict[str, Any]:
    try:
        data = json.loads(Path(path).read_text("utf-8"))
    except OSError as err:
        raise ConfigurationError(
            f"the conversation {path!r} cannot be read ({err.strerror}): check the path"
        ) from err
    except ValueError as err:
        raise ConfigurationError(
            f"{path!r} is no saved conversation ({str(err)[:80]}): give a file that save() wrote"
        ) from err
    version = data.get("gathering_conversation") if isinstance(data, dict) else None
    if version != VERSION:
        raise ConfigurationError(
            f"{path!r} is no saved conversation of version {VERSION} (it says {version!r}): give a file that save() wrote"
        )
    found: dict[str, Any] = data
    return found


def _agreement_data(agreement: Agreement) -> dict[str, Any]:
    return asdict(agreement)


def _agreement(data: dict[str, Any]) -> Agreement:
    votes = tuple(Vote(v["agent"], tuple(v["choices"]), v["reason"], v["round"]) for v in data["votes"])
    return Agreement(**{**data, "options": tuple(data["options"]), "votes": votes})


def _remembered(agent: IAgent) -> list[Any]:
    memory = getattr(agent, "memory", None)
    return memory.get_conversation_history() if memory is not None else []


def _remind(agent: IAgent, messages: list[Any]) -> None:
    """Give an agent that is new what it remembered; one that still remembers is left alone."""
    memory = getattr(agent, "memory", None)
    if memory is not None and not memory.get_conversation_history():
        for message in messages:
            memory.add_message(message)
