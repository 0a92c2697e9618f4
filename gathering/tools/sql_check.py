"""What a query says, read before any engine sees it: one statement, that only reads, its tables and its functions.

Gives good error messages and the text that is run; it is no boundary of its own. The engines enforce the same again
(``gathering.tools.database_sqlite``, ``gathering.tools.database_postgres``). Opens no connection.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from gathering.core.errors import ConfigurationError, ToolFailed
from gathering.tools.sql_functions import ALLOWED_FUNCTIONS

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["Dialect", "Query", "TableName", "read_query", "spellings_of", "verb_of"]

Dialect: TypeAlias = Literal["sqlite", "postgres"]

_LONGEST = 20_000  # characters
_DEEPEST = 200  # brackets in brackets


class TableName(NamedTuple):
    """A table as it is written; ``schema`` is empty where none is named."""

    schema: str
    name: str

    def __str__(self) -> str:
        """The name as it is written in SQL, without quotes."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True, slots=True)
class Query:
    """A query that only reads. ``sql`` is written anew from what was understood, without comments."""

    sql: str
    tables: frozenset[TableName]
    names: frozenset[str]  # of its WITH parts, in lower case


def read_query(sql: str, dialect: Dialect, functions: Iterable[str] = ()) -> Query:
    """The query in the text. Raises ``ToolFailed`` with one line for anything that is not one query that only reads."""
    statement = _parsed(sql, dialect)
    _refuse_acts(statement, sql)
    _refuse_functions(statement, ALLOWED_FUNCTIONS.union(f.lower() for f in functions))
    fold: Callable[[exp.Identifier], str] = _folded if dialect == "postgres" else _lower
    return Query(
        statement.sql(dialect=dialect, comments=False),
        frozenset(_tables(statement, fold)),
        frozenset(_with_names(statement)),
    )


def spellings_of(table: TableName, dialect: Dialect, written: str) -> tuple[str, ...]:
    """The names that mean this table: without its schema where that is the usual one, with it, and as ``written``.

    >>> spellings_of(TableName("", "users"), "sqlite", "select * from Users")
    ('users', 'main.users', 'Users')
    """
    usual = "main" if dialect == "sqlite" else "public"
    name = table.name.lower() if dialect == "sqlite" else table.name
    if table.schema.lower() not in ("", usual):
        return (f"{table.schema}.{name}",)
    found = (
        re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", written, re.IGNORECASE) if dialect == "sqlite" else []
    )
    return tuple(dict.fromkeys((name, f"{usual}.{name}", *found)))


def verb_of(sql: str, dialect: Dialect) -> str:
    """``select`` for a query, else the first word of what it is: for rules and messages, never for a decision here."""
    try:
        read_query(sql, dialect, ALLOWED_FUNCTIONS)
    except ToolFailed:
        words = sql.split(None, 1)
        return words[0].lower()[:20] if words else ""
    return "select"


def _parsed(sql: str, dialect: Dialect) -> exp.Expression:
    sqlglot = _parser()
    if len(sql) > _LONGEST:
        raise ToolFailed(f"the SQL has {len(sql):,} characters, {_LONGEST:,} are the most: ask for less")
    if "\0" in sql or (not sql.isprintable() and any("\ud800" <= c <= "\udfff" for c in sql)):
        raise ToolFailed("the SQL has a character no database takes (NUL or half of one): write it plainly")
    if _depth(sql) > _DEEPEST:
        raise ToolFailed(f"the SQL has more than {_DEEPEST} brackets in brackets: write it plainly")
    try:
        statements = [s for s in sqlglot.parse(sql, read=dialect) if s is not None]
    except Exception as err:  # the parser of a stranger's text; whatever it trips over is not run
        where = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise ToolFailed(f"the SQL cannot be read ({where[:200]}): write one SELECT") from err
    if len(statements) != 1:
        raise ToolFailed(f"the SQL has {len(statements)} statements: send one SELECT at a time")
    found: exp.Expression = statements[0]
    return found


def _parser() -> Any:
    try:
        import sqlglot
    except ImportError as err:
        raise ConfigurationError(
            "queries are checked with sqlglot, which is not installed: pip install 'gathering[database]'"
        ) from err
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it cannot read it would also print
    return sqlglot


def _depth(sql: str) -> int:
    deepest = depth = 0
    for character in sql:
        depth += (character in "([") - (character in ")]")
        deepest = max(deepest, depth)
    return deepest


def _refuse_acts(statement: exp.Expression, sql: str) -> None:
    from sqlglot import exp

    if not isinstance(statement, exp.Query):
        raise ToolFailed(
            f"{sql.split(None, 1)[0].upper()[:20]} is not allowed here: action 'query' takes one SELECT, "
            "writing is done with action 'insert', 'update' or 'delete'"
        )
    acts = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock, exp.Command)
    for act in acts:
        found = statement.find(act)
        if found is not None:
            raise ToolFailed(f"the query has {found.key.upper()} in it: a query may only read")
    for cast in statement.find_all(exp.DataType):
        name = cast.sql().lower()
        if name.startswith("reg") or cast.is_type("name"):
            raise ToolFailed(f"the type {name} names parts of the system: leave it out")


def _refuse_functions(statement: exp.Expression, allowed: frozenset[str]) -> None:
    from sqlglot import exp

    for dot in statement.find_all(exp.Dot):
        if isinstance(dot.expression, exp.Func):
            raise ToolFailed(f"{dot.sql()!r:.60} calls a function by its schema: write its name alone")
    if statement.find(exp.Operator) is not None:
        raise ToolFailed("OPERATOR(...) is not allowed: write the operator itself")
    for function in statement.find_all(exp.Func):
        names = _function_names(function)
        if not names & allowed:
            shown = min(names, default=function.key)
            raise ToolFailed(
                f"the function {shown} is not allowed: use aggregates, arithmetic, text and date functions, or add it "
                "to the tool's allowed_functions"
            )


def _function_names(function: exp.Func) -> set[str]:
    from sqlglot import exp

    if isinstance(function, exp.Anonymous | exp.AnonymousAggFunc):
        return {str(function.name).lower()}
    return {name.lower() for name in function.sql_names()} | {function.key.lower()}


def _tables(statement: exp.Expression, fold: Callable[[exp.Identifier], str]) -> Iterable[TableName]:
    """Every table that is named and is no part of a WITH. Parts of a WITH that hide a table are refused later."""
    from sqlglot import exp

    parts = _with_names(statement)
    for table in statement.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            continue  # a function that gives rows: checked as a function
        if table.args.get("catalog") is not None:
            raise ToolFailed(f"{table.sql()!r:.80} names a database: name the schema and table only")
        schema = table.args.get("db")
        name = TableName("" if schema is None else fold(schema), fold(table.this))
        if name.schema or name.name.lower() not in parts:
            yield name


def _with_names(statement: exp.Expression) -> set[str]:
    from sqlglot import exp

    return {cte.alias.lower() for cte in statement.find_all(exp.CTE)}


def _folded(identifier: exp.Identifier) -> str:
    return str(identifier.this) if identifier.quoted else str(identifier.this).lower()


def _lower(identifier: exp.Identifier) -> str:
    return str(identifier.this).lower()
