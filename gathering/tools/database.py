"""The database tool: what an agent may ask of a database, and what it gets back. Owns the tool's input and limits.

What a query says is read by ``gathering.tools.sql_check``; what it may do is enforced by the engines
(``gathering.tools.database_sqlite``, ``gathering.tools.database_postgres``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from gathering.core.errors import (
    ConfigurationError,
    GatheringError,
    ToolExecutionError,
    ToolFailed,
    UnknownNameError,
    shown,
)
from gathering.core.interfaces import ITool
from gathering.core.results import ToolPermission, ToolResult, Touched
from gathering.tools.checks import text_or_form
from gathering.tools.database_options import (
    columns_of,
    database_url,
    file_of,
    names_of,
    positive,
    table_of,
    tables_of,
)
from gathering.tools.database_postgres import PostgresEngine
from gathering.tools.database_rows import Interrupter, Rows
from gathering.tools.database_sqlite import SQLiteEngine
from gathering.tools.database_writing import Writing
from gathering.tools.limits import await_in_time, call_in_time, on_thread
from gathering.tools.sql_check import TableName, read_query, spellings_of, verb_of

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy.engine import URL

__all__ = ["DatabaseTool"]

Engine: TypeAlias = SQLiteEngine | PostgresEngine

_GRACE = 2.0  # seconds the engine has to stop by itself before the statement is stopped from outside
_PERMISSIONS = {
    "query": ToolPermission.READ,
    "insert": ToolPermission.WRITE,
    "update": ToolPermission.WRITE,
    "delete": ToolPermission.DELETE,
}
_OPTIONS = (
    "name", "type", "connection_string", "allowed_tables", "permissions", "max_rows", "timeout", "allowed_functions",
    "allow_superuser", "max_output",
)  # fmt: skip


class DatabaseTool(ITool):
    """Asks a SQLite or PostgreSQL database: one query that only reads, or one insert, update or delete.

    ``connection_string`` is an SQLAlchemy URL, or ``"env:NAME"`` for the one in an environment variable.
    ``allowed_tables`` None is every table but the system's, an empty list is none. ``permissions`` are ``read`` unless
    said otherwise: ``write`` is insert and update, ``delete`` is delete. At most ``max_rows`` are given or written, and
    a statement is stopped after ``timeout`` seconds.
    """

    def __init__(
        self,
        name: str = "database",
        tool_type: str = "database",
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        config = {**(config or {}), **options}
        for option in config:
            if option not in _OPTIONS:
                raise UnknownNameError("option of a database tool", option, _OPTIONS)
        url = database_url(config.get("connection_string"))
        shown = {**config, "connection_string": url.render_as_string(hide_password=True)}
        super().__init__(name, tool_type, shown)
        self.max_rows = positive("max_rows", config.get("max_rows", 100), int)
        self.timeout = float(positive("timeout", config.get("timeout", 10), (int, float)))
        self.max_output = positive("max_output", config.get("max_output", self.max_output), int)
        self.allowed_functions = frozenset(names_of("allowed_functions", config.get("allowed_functions", ())))
        tables = config.get("allowed_tables")
        self.allowed_tables = None if tables is None else tables_of(tables)
        self._password = url.password
        self._engine = self._engine_of(url, bool(config.get("allow_superuser", False)))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The tool described by plain data, under ``config["name"]`` if that is given."""
        return cls(str(config.get("name") or "database"), "database", config)

    def _engine_of(self, url: URL, allow_superuser: bool) -> Engine:
        if url.get_backend_name() == "sqlite":
            path = file_of(url)
            return SQLiteEngine(
                path, self.allowed_tables, self.allowed_functions, self.max_rows, self.timeout
            )
        connect = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
        return PostgresEngine(connect, self.allowed_tables, self.max_rows, self.timeout, allow_superuser)

    def execute(self, input_data: Any) -> ToolResult:
        """What the act gave: rows as a list of dicts, or how many were written. ``success=False`` says why not.

        ``metadata`` has ``columns``, and ``truncated`` where there were more rows.
        """
        interrupter = Interrupter()
        try:
            act = self._act(input_data, interrupter)
            return call_in_time(act, self.timeout + _GRACE, self.name)  # type: ignore[no-any-return]
        except Exception as err:  # noqa: BLE001 - a driver may raise anything; the model is told
            return self._failed(err)
        finally:
            interrupter()

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The same, awaited, on a thread of its own."""
        interrupter = Interrupter()
        try:
            work = asyncio.wrap_future(on_thread(self._act(input_data, interrupter), self.name))
            return await await_in_time(work, self.timeout + _GRACE, self.name)  # type: ignore[no-any-return]
        except Exception as err:  # noqa: BLE001 - a driver may raise anything; the model is told
            return self._failed(err)
        finally:
            interrupter()

    def frame(self, source: str | ToolResult) -> pd.DataFrame:
        """A query's rows, or those of a result, as a DataFrame. Raises ``ToolExecutionError`` where there are none."""
        import pandas as pd

        if isinstance(source, ToolResult):
            if not source.success or "columns" not in source.metadata:
                raise ToolExecutionError(f"the result has no rows: {source.error or 'it is of no query'}")
            return pd.DataFrame(source.output, columns=source.metadata["columns"])
        interrupter = Interrupter()
        try:
            self._permit("query")
            rows = call_in_time(lambda: self._rows(source, interrupter), self.timeout + _GRACE, self.name)
        except ToolFailed as refusal:
            raise ToolExecutionError(self._clean(str(refusal))) from refusal
        finally:
            interrupter()
        return pd.DataFrame(rows.rows, columns=rows.columns)

    def permission_for(self, arguments: Mapping[str, Any]) -> ToolPermission:
        """``read`` for a query, ``write`` for insert and update, ``delete`` for delete."""
        return _PERMISSIONS.get(text_or_form(arguments.get("action")), ToolPermission.DELETE)

    def targets(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """``verb`` (``select``, ``insert``, ...) and ``table``: all that a query names, each with and without its schema."""
        action, written = text_or_form(arguments.get("action")), text_or_form(arguments.get("sql", ""))
        try:
            if action != "query":
                written = text_or_form(arguments.get("table", ""))
                return {"verb": action, "table": self._touched(written, [table_of(written)], written)}
            tables = read_query(written, self._engine.dialect, self.allowed_functions).tables
        except ToolFailed:  # the tool refuses it as well
            verb = verb_of(written, self._engine.dialect) if action == "query" else action
            return {"verb": verb, "table": "" if action == "query" else written}
        return {"verb": "select", "table": self._touched(",".join(map(str, sorted(tables))), tables, written)}

    def _touched(self, shown: str, tables: Iterable[TableName], written: str) -> str:
        """The tables, each as it is known, by its whole name, and as it stands in the text: rules may have any of them."""
        things = [spellings_of(table, self._engine.dialect, written) for table in sorted(tables)]
        return Touched(shown, things) if things else shown

    def why_invalid(self, input_data: Any) -> str | None:
        """Why there is no act in the input; None if there is one, whether it is allowed or not."""
        try:
            self._act(input_data, Interrupter(), permit=False)
        except ToolFailed as refusal:
            return str(refusal)
        return None

    def validate_input(self, input_data: Any) -> bool:
        """Whether there is an act in the input; not whether it is allowed."""
        return self.why_invalid(input_data) is None

    def is_available(self) -> bool:
        """Whether the database can be reached and used."""
        try:
            call_in_time(self._engine.check, self.timeout + _GRACE, self.name)
        except (ToolFailed, ConfigurationError):
            return False
        return True

    def get_description(self) -> str:
        """What it can do and on which tables, for the model."""
        acts = [a for a, p in _PERMISSIONS.items() if self.has_permission(p)]
        tables = (
            ""
            if self.allowed_tables is None
            else f" Tables: {', '.join(map(str, sorted(self.allowed_tables)))}."
        )
        engine = "SQLite" if self._engine.dialect == "sqlite" else "PostgreSQL"
        return (
            f"Asks a {engine} database; actions: {', '.join(acts)}.{tables} A query is one SELECT without functions of "
            f"the system; at most {self.max_rows} rows come back."
        )

    def get_parameters_schema(self) -> dict[str, Any]:
        """The action, and what it needs."""
        columns = {"type": "object", "additionalProperties": True}
        return {
            "type": "object",
            "properties": {
                "action": {
                    "type": "string",
                    "enum": [a for a, p in _PERMISSIONS.items() if self.has_permission(p)],
                },
                "sql": {"type": "string", "description": "For query: one SELECT"},
                "table": {"type": "string", "description": "For insert, update and delete"},
                "data": {**columns, "description": "For insert and update: the values by column"},
                "where": {
                    **columns,
                    "description": "For update and delete: the values the rows must have, by column",
                },
            },
            "required": ["action"],
            "additionalProperties": False,
        }

    def get_examples(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """A count, for small models."""
        table = str(min(self.allowed_tables)) if self.allowed_tables else "sales"
        return [(f"How many {table} are there?", {"action": "query", "sql": f"SELECT count(*) FROM {table}"})]  # noqa: S608 - shown, not run

    def __repr__(self) -> str:
        """Name and address, without the password."""
        return f"DatabaseTool({self.name}: {self.config['connection_string']})"

    def _act(self, given: Any, interrupter: Interrupter, *, permit: bool = True) -> Callable[[], ToolResult]:
        """What is to be run. Raises ``ToolFailed`` for input that makes no sense or is not permitted."""
        if not isinstance(given, Mapping):
            raise ToolFailed(
                f"{self.name} needs an object such as {{'action': 'query', 'sql': 'SELECT ...'}}"
            )
        action: Any = given.get("action")
        if text_or_form(action) not in _PERMISSIONS:
            raise ToolFailed(f"{self.name} has no action {shown(action, 40)}: use {', '.join(_PERMISSIONS)}")
        if permit:
            self._permit(action)
        if action == "query":
            sql = given.get("sql")
            if not isinstance(sql, str) or not sql.strip():
                raise ToolFailed(
                    f"action 'query' needs 'sql' as text, got {shown(sql, 40)}: write one SELECT"
                )
            return lambda: self._answer(self._rows(sql, interrupter))
        writing = Writing(
            action, table_of(given.get("table")), columns_of(given, "data"), columns_of(given, "where")
        )
        return lambda: self._written(writing, self._engine.write(writing, interrupter))

    def _permit(self, action: str) -> None:
        needed = _PERMISSIONS[action]
        if not self.has_permission(needed):
            raise ToolFailed(
                f"action {action!r} is not permitted: {self.name} has no {needed.value} permission"
            )

    def _rows(self, sql: str, interrupter: Interrupter) -> Rows:
        query = read_query(sql, self._engine.dialect, self.allowed_functions)
        return self._engine.query(query, sql, interrupter)

    def _answer(self, rows: Rows) -> ToolResult:
        metadata: dict[str, Any] = {"columns": rows.columns}
        if not rows.complete:
            metadata["truncated"] = f"only the first {len(rows.rows)} rows: ask for fewer, or for aggregates"
        return ToolResult(success=True, output=rows.records(), metadata=metadata)

    def _written(self, writing: Writing, count: int) -> ToolResult:
        return ToolResult(
            success=True, output={"action": writing.verb, "table": str(writing.table), "rows": count}
        )

    def _failed(self, err: Exception) -> ToolResult:
        said = str(err) if isinstance(err, GatheringError) else f"{type(err).__name__}: {err}"
        return ToolResult(success=False, error=self._clean(" ".join(said.split())[:1000]))

    def _clean(self, text: str) -> str:
        return text.replace(str(self._password), "***") if self._password else text
