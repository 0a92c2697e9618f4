"""One insert, update or delete, described by data and built by SQLAlchemy: names quoted, values bound. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gathering.core.errors import ToolFailed, shown
from gathering.tools.sql_check import Dialect, TableName

__all__ = ["VERBS", "Writing"]

VERBS = ("insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Writing:
    """What is to be written where. ``where`` are columns and the values they must have (a list: one of them)."""

    verb: Literal["insert", "update", "delete"]
    table: TableName
    values: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ``ToolFailed`` for one that would do nothing, or everything."""
        if self.verb != "delete" and not self.values:
            raise ToolFailed(f"{self.verb} needs 'data': write {{column: value}}")
        if self.verb != "insert" and not self.where:
            raise ToolFailed(f"{self.verb} needs 'where': say which rows, as in {{'id': 7}}")

    def statement(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        """The SQL and its parameters, in the style of the engine's driver."""
        import sqlalchemy as sa
        from sqlalchemy.dialects import postgresql, sqlite

        names = dict.fromkeys([*map(str, self.values), *map(str, self.where)])
        target = sa.table(self.table.name, *(sa.column(n) for n in names), schema=self.table.schema or None)
        built: Any = getattr(sa, self.verb)(target)
        if self.verb != "delete":
            built = built.values({target.c[str(k)]: _bound(k, v) for k, v in self.values.items()})
        for column, value in self.where.items():
            built = built.where(_condition(target.c[str(column)], value))
        drivers: Any = (sqlite, postgresql.psycopg)
        style = drivers[0].dialect(paramstyle="named") if dialect == "sqlite" else drivers[1].dialect()
        compiled = built.compile(dialect=style, compile_kwargs={"render_postcompile": True})
        return str(compiled), dict(compiled.params)


def _condition(column: Any, value: Any) -> Any:
    if value is None:
        return column.is_(None)
    if isinstance(value, list):
        return column.in_([_bound(column.name, v) for v in value])
    return column == _bound(column.name, value)


def _bound(column: object, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping | list):
        import json

        return json.dumps(value, ensure_ascii=False, default=str)
    raise ToolFailed(
        f"the value {shown(value, 60)} of {shown(column, 40)} is no text, number, true, false or null"
    )
