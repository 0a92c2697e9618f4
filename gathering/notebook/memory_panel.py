"""The memory editor: what an agent remembers, and a person who pins, edits, adds, searches and forgets.

Owns the editor's rows and acts. What a memory is and does is ``gathering.agents``'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gathering.agents.longterm import LongTermMemory
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import IMemory
from gathering.notebook.board import Act, Board
from gathering.notebook.items import sendable

__all__ = ["MemoryPanel"]

#: Rows a view is sent at once; what is older is searched for.
SHOWN = 500


class MemoryPanel(Board):
    """The memory as rows, newest last; facts can be pinned, edited, forgotten and added where the memory is a long-term one."""

    kind = "memory"

    def __init__(self, memory: IMemory, *, height: int = 420, readonly: bool = False) -> None:
        if not callable(getattr(memory, "rows", None)):
            raise ConfigurationError(
                f"a {type(memory).__name__} has no rows to show: give it rows(), as WindowMemory has"
            )
        self.memory = memory
        self._found: dict[str, Any] | None = None
        name = str(getattr(memory, "agent", "") or "an agent")
        super().__init__(f"Memory of {name}", height=height, readonly=readonly)

    def read(self) -> dict[str, Any]:
        """``memory``: its rows, how many there are, and what the last search found."""
        rows = self._rows()
        return {
            "memory": {
                "rows": [_shown(row) for row in rows[-SHOWN:]],
                "total": len(rows),
                "long_term": isinstance(self.memory, LongTermMemory),
                "found": self._found,
            }
        }

    def acts(self) -> dict[str, Act]:
        """Pin, edit, forget, add, search."""
        return {
            "pin": self._pin,
            "edit": self._edit,
            "forget": self._forget,
            "add": self._add,
            "search": self._search,
            "reload": lambda value: None,
        }

    def harmless(self) -> set[str]:
        """Searching and looking again."""
        return {"search", "reload"}

    def transcript(self) -> dict[str, str]:
        """The memory's own forms."""
        from gathering.core.display import bundle

        rows = self._rows()
        left = len(rows) - len(rows[-30:])
        head = f"{self.title}: {len(rows):,} rows" + (f", the newest {len(rows) - left}" if left else "")
        lines = [f"- {_mark(row)}{' '.join(str(row['content']).split())[:200]}" for row in rows[-30:]]
        text = sendable("\n".join([head, *lines]))
        return bundle(text, markdown=sendable("\n".join([f"**{head}**", "", *lines])))

    def _rows(self) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = self.memory.rows()  # type: ignore[attr-defined] # looked for when it opened
        return rows

    def _pin(self, value: dict[str, Any]) -> None:
        self._long_term().pin(_identity(value), bool(value.get("pinned")))

    def _edit(self, value: dict[str, Any]) -> None:
        import pandas as pd

        identity = _identity(value)
        row = next((row for row in self._rows() if row["memory_id"] == identity), None)
        update = getattr(self.memory, "update", None)
        if row is None or update is None:
            raise ConfigurationError("this row is not there any more: look again")
        text = str(value.get("text", ""))
        if not text.strip():
            raise ConfigurationError("the text is empty: write something, or forget the row")
        changed = {**row, "content": text}
        if value.get("importance") is not None:
            changed["importance"] = value["importance"]
        update(pd.DataFrame([changed]))

    def _forget(self, value: dict[str, Any]) -> None:
        if not self._long_term().forget(_identity(value)):
            raise ConfigurationError(
                "only facts can be forgotten: a conversation is taken back with rewind()"
            )

    def _add(self, value: dict[str, Any]) -> None:
        memory, text = self._long_term(), str(value.get("text", ""))
        if not text.strip():
            raise ConfigurationError("the text is empty: write what is to be remembered")
        memory.remember(text, float(value.get("importance", 0.5)), pin=bool(value.get("pinned")))

    def _search(self, value: dict[str, Any]) -> None:
        query = str(value.get("query", "")).strip()
        if not query:
            self._found = None
            return
        found = self._long_term().search(query, limit=20)
        self._found = {
            "query": query,
            "rows": [{"id": f.fact.memory_id, "text": sendable(f.content), "score": f.score} for f in found],
        }

    def _long_term(self) -> LongTermMemory:
        if not isinstance(self.memory, LongTermMemory):
            raise ConfigurationError(
                "this takes a long-term memory: write memory: long_term in the agent's cell"
            )
        return self.memory


def _identity(value: dict[str, Any]) -> str:
    return str(value.get("id", ""))


def _mark(row: Mapping[str, Any]) -> str:
    return "(pinned) " if row.get("pinned") else ""


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it travels."""
    return {
        "id": row["memory_id"],
        "kind": row["kind"],
        "text": sendable(str(row["content"])),
        "tokens": row.get("tokens"),
        "in_context": bool(row.get("in_context")),
        "why": row.get("why") or "",
        "importance": row.get("importance"),
        "pinned": bool(row.get("pinned")),
        "fact": row.get("importance") is not None,
        "score": row.get("score"),
    }
