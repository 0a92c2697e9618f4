"""Rows as DataFrames, and the trace as a person looks at it. Reads a recorder; owns no storage.

pandas is imported when the first DataFrame is made.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gathering.core.errors import StoreError
from gathering.core.interfaces import IRecorder
from gathering.core.registry import open_panel
from gathering.storage.columns import COLUMNS, Kind
from gathering.storage.database import MEMORY
from gathering.storage.sqlite import SQLiteStore

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Trace", "frame", "frame_of"]

_TYPES: Mapping[Kind, str] = {
    "text": "string",
    "integer": "Int64",
    "real": "Float64",
    "flag": "boolean",
    "json": "object",
    "bytes": "object",
}
# What a timestamp of microseconds can hold; beyond it a time is missing.
_FIRST_TIME, _LAST_TIME = -62_135_596_800, 253_402_300_799


def frame(table: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a DataFrame with the table's columns, in order and with their types, also when there are none."""
    if table not in COLUMNS:
        raise StoreError(f"the trace has no table {table!r}: it has {', '.join(COLUMNS)}")
    return frame_of(COLUMNS[table], rows)


def frame_of(columns: Mapping[str, Kind], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a DataFrame of these columns; a value a row does not have is missing, others are left out."""
    import pandas as pd

    rows = list(rows)
    return pd.DataFrame(
        {name: _column([row.get(name) for row in rows], kind) for name, kind in columns.items()},
        columns=list(columns),
    )


def _column(values: Sequence[Any], kind: Kind) -> Any:
    import pandas as pd

    if kind == "time":
        return pd.to_datetime(
            pd.Series([_microseconds(v) for v in values], dtype="Int64"), unit="us", utc=True
        )
    dtype: Any = _TYPES[kind]
    return pd.Series(values, dtype=dtype)


def _microseconds(value: float | None) -> int | None:
    if value is None or not _FIRST_TIME <= value <= _LAST_TIME:
        return None
    return round(value * 1_000_000)


#: Tables of which nothing is said while they are empty.
_RARE = ("checks", "agents", "branches")


@dataclass(frozen=True, slots=True)
class Trace:
    """What was recorded, as DataFrames: of this session, of one agent, or of whatever ``where`` says.

    >>> Trace(SQLiteStore(":memory:")).calls().empty
    True
    """

    store: IRecorder
    where: Mapping[str, Any] = field(default_factory=dict)

    def calls(self) -> pd.DataFrame:
        """Every request to a provider: model, tokens, cost, times, how it ended."""
        return self._frame("calls")

    def messages(self) -> pd.DataFrame:
        """Every message of a person, a model or a tool."""
        return self._frame("messages")

    def tool_calls(self) -> pd.DataFrame:
        """Every tool call: arguments, result, time, permission, decision."""
        return self._frame("tool_calls")

    def memories(self) -> pd.DataFrame:
        """Everything kept in a memory."""
        return self._frame("memories")

    def checks(self) -> pd.DataFrame:
        """Every expectation about an answer: what was expected, what came, whether it held."""
        return self._frame("checks")

    def agents(self) -> pd.DataFrame:
        """Every version of every agent that was saved, by any session: what it was made of, and when."""
        return frame("agents", self.store.rows("agents"))

    def branches(self) -> pd.DataFrame:
        """Every place where a conversation went on from another (``fork``) or from an earlier turn (``rewind``)."""
        return self._frame("branches")

    def panel(self, **options: Any) -> Any:
        """An explorer for a notebook: each turn a timeline, with what was sent and what came back; ``turn``, ``height``."""
        return open_panel("trace", self, **options)

    def everything(self) -> Trace:
        """The same without the limit to one session."""
        return Trace(self.store, {c: v for c, v in self.where.items() if c != "session"})

    def _frame(self, table: str) -> pd.DataFrame:
        return frame(table, self.store.rows(table, self.where))

    def _counts(self) -> dict[str, int]:
        counts = {table: _count(self.store, table, self.where) for table in COLUMNS}
        return {table: count for table, count in counts.items() if count or table not in _RARE}

    def __repr__(self) -> str:
        """How much there is and where it is kept, on one line."""
        said = ", ".join(_amount(n, table) for table, n in self._counts().items())
        return f"Trace: {said}, kept in {_place(self.store)}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        counts, place = self._counts(), _place(self.store)
        names = [_words(table) for table in counts]
        numbers = [str(n) for n in counts.values()]
        heads = "".join(f'<th scope="col">{name}</th>' for name in names)
        cells = "".join(f"<td>{number}</td>" for number in numbers)
        return {
            "text/plain": repr(self),
            "text/markdown": f"| {' | '.join(names)} |\n|{'---:|' * len(names)}\n| {' | '.join(numbers)} |\n\n"
            f"kept in `{place}`",
            "text/html": f"<table><caption>trace, kept in <code>{html.escape(place)}</code></caption>"
            f"<thead><tr>{heads}</tr></thead><tbody><tr>{cells}</tr></tbody></table>",
        }


def _count(store: IRecorder, table: str, where: Mapping[str, Any]) -> int:
    if isinstance(store, SQLiteStore):
        return store.count(table, where)
    return sum(1 for _ in store.rows(table, where))


def _words(table: str) -> str:
    return table.replace("_", " ")


def _amount(number: int, table: str) -> str:
    plural = _words(table)
    singular = "memory" if table == "memories" else plural.removesuffix("s")
    return f"{number} {singular if number == 1 else plural}"


def _place(store: IRecorder) -> str:
    """Where the trace is kept, from here if it is below: a saved notebook should not name a home folder."""
    path = getattr(store, "path", None)
    if path is None:
        return type(store).__name__
    if path == MEMORY:
        return "memory"
    try:
        return Path(path).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return Path(path).name
