"""What an agent remembers as a DataFrame: its columns, how a fact is a row of it, and how an edited cell is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gathering.agents.recall import Fact
from gathering.storage.columns import COLUMNS, Kind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cell", "cell_text", "fact_row", "memory_frame"]

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


def cell(value: Any, default: Any) -> Any:
    """The value of a cell, or the default where it is missing."""
    return default if value is None or value != value or str(value) == "<NA>" else value


def cell_text(value: Any) -> str:
    """The text of a cell, empty where it is missing."""
    return str(cell(value, ""))
