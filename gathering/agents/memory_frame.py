"""What an agent remembers as a DataFrame: its columns, how a fact is a row of it, and how an edited one is taken over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gathering.agents.recall import Fact
from gathering.core.errors import ConfigurationError, UnknownNameError, shown
from gathering.storage.columns import COLUMNS, Kind

if TYPE_CHECKING:
    import pandas as pd

    from gathering.agents.longterm import LongTermMemory

__all__ = [
    "cell",
    "cell_text",
    "checked_importance",
    "checked_text",
    "fact_row",
    "frame_rows",
    "memory_frame",
    "take_over",
]

_ADDED: Mapping[str, Kind] = {"why": "text", "score": "real"}


def memory_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The columns of ``memories``, then ``why`` a row is in the context or is not, and the ``score`` of a recalled one."""
    from gathering.storage.frames import frame_of

    return frame_of({**COLUMNS["memories"], **_ADDED}, rows)


def fact_row(fact: Fact, score: float | None) -> dict[str, Any]:
    """A fact as a row; ``score`` is what it was recalled with for the last message, None if it was not."""
    why = "pinned" if fact.pinned else "not recalled" if score is None else "recalled for the last message"
    return {
        "memory_id": fact.memory_id,
        "agent": fact.agent,
        "kind": fact.kind,
        "content": fact.content,
        "tokens": len(fact.content.encode("utf-8", "replace")) // 4 + 1,
        "in_context": fact.pinned or score is not None,
        "created_at": fact.created_at,
        "importance": fact.importance,
        "pinned": fact.pinned,
        "embedder": fact.embedder,
        "why": why,
        "score": score,
    }


def frame_rows(frame: Any) -> list[dict[str, Any]]:
    """The rows of an edited frame of ``df()``. Raises ``ConfigurationError`` for what is none."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame) or not {"memory_id", "content"} & set(frame.columns):
        raise ConfigurationError(
            f"a {type(frame).__name__} without memory_id is no memory: edit the frame of memory.df() and give that"
        )
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def cell(value: Any, default: Any) -> Any:
    """The value of a cell, or the default where it is missing."""
    return default if value is None or value != value or str(value) == "<NA>" else value


def cell_text(value: Any) -> str:
    """The text of a cell, empty where it is missing."""
    return str(cell(value, ""))


def checked_text(text: Any) -> str:
    """The text of a memory. Raises ``ConfigurationError`` for none, and for an empty one."""
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(
            f"a memory is a text that is not empty, got {shown(text, 60)}: say what to remember"
        )
    return text.encode("utf-8", "replace").decode().strip()


def checked_importance(value: Any) -> float:
    """The importance of a memory. Raises ``ConfigurationError``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"importance {shown(value, 40)} is not usable: give a number from 0 to 1")
    return float(value)


def take_over(memory: LongTermMemory, frame: Any) -> int:
    """Give a long-term memory what was edited in its frame; how many rows changed. Nothing is where a row is wrong."""
    rows = frame_rows(frame)
    facts = {fact.memory_id for fact in memory.facts()}
    said = {row["memory_id"] for row in getattr(memory.conversation, "rows", list)()}
    for row in rows:
        memory_id = cell_text(row.get("memory_id"))
        checked_importance(cell(row.get("importance"), 0.5))
        if "content" in row or not memory_id:
            checked_text(cell_text(row.get("content")))
        if memory_id and memory_id not in facts | said:
            raise UnknownNameError("memory", memory_id, sorted(facts))
    return sum(_taken(memory, row, facts) for row in rows)


def _taken(memory: LongTermMemory, row: Mapping[str, Any], facts: set[str]) -> bool:
    memory_id, pinned = cell_text(row.get("memory_id")), cell(row.get("pinned"), None)
    content = cell_text(row["content"]) if "content" in row else None
    importance = cell(row.get("importance"), None)
    if memory_id in facts:
        kept = None if pinned is None else bool(pinned)
        return memory.change(memory_id, content=content, importance=importance, pinned=kept)
    edit = getattr(memory.conversation, "edit", None)
    changed = (
        bool(edit(memory_id, content)) if memory_id and edit is not None and content is not None else False
    )
    if content is not None and (pinned or not memory_id):  # a new fact, or a message that is to stay
        memory.remember(content, 0.5 if importance is None else importance, pin=bool(pinned))
        return True
    return changed
