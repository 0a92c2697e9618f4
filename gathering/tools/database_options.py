"""The options and inputs of the database tool, read and checked: its URL, its tables, its numbers. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gathering.core.errors import ConfigurationError, ToolFailed, shown
from gathering.tools.sql_check import TableName

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

__all__ = ["columns_of", "database_url", "file_of", "names_of", "positive", "table_of", "tables_of"]


def database_url(given: Any) -> URL:
    """The URL in an option, or in the environment variable it names. Raises ``ConfigurationError``, without the text."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if isinstance(given, str) and given.startswith("env:"):
        variable = given.removeprefix("env:")
        if not os.environ.get(variable):
            raise ConfigurationError(
                f"the environment variable {variable!r} with the database's URL is not set"
            )
        given = os.environ[variable]
    if not isinstance(given, str) or not given.strip():
        raise ConfigurationError(
            "a database tool needs connection_string: write a URL such as 'sqlite:///shop.db' or 'env:DATABASE_URL'"
        )
    try:
        url = make_url(given.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError) as err:  # the text may hold a password, so it is not shown
        raise ConfigurationError(
            "the connection_string is no database URL: write 'sqlite:///shop.db' or 'postgresql://user@host/name'"
        ) from err
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationError(f"no database tool for {url.get_backend_name()!r}: use sqlite or postgresql")
    return url


def file_of(url: URL) -> Path:
    """The file an SQLite URL names. Raises ``ConfigurationError`` where it names none."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError(
            f"{url.database or ':memory:'!r} is no file: a database tool needs a path, as in 'sqlite:///shop.db'"
        )
    return Path(url.database)


def tables_of(given: Any) -> frozenset[TableName]:
    """The tables in an option. Raises ``ConfigurationError`` for one of the system."""
    tables = frozenset(map(table_of, names_of("allowed_tables", given)))
    for table in tables:
        if table.name.lower().startswith(("sqlite_", "pg_")) or table.schema.lower() in (
            "pg_catalog",
            "information_schema",
        ):
            raise ConfigurationError(
                f"the table {str(table)!r} is the system's: leave it out of allowed_tables"
            )
    return tables


def names_of(option: str, given: Any) -> list[str]:
    """The list of names in an option."""
    if (
        isinstance(given, str)
        or not isinstance(given, Iterable)
        or not all(isinstance(g, str) for g in given)
    ):
        raise ConfigurationError(
            f"{option} = {shown(given, 60)} is no list of names: write ['sales', 'items']"
        )
    return list(given)


def table_of(given: Any) -> TableName:
    """The table a text names. Raises ``ToolFailed``."""
    if not isinstance(given, str) or not given.strip() or given.count(".") > 1:
        raise ToolFailed(f"{shown(given, 60)} names no table: write 'table' as its name, or as 'schema.name'")
    schema, _, name = given.strip().rpartition(".")
    return TableName(schema, name)


def columns_of(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The columns and values under a key of the input, none if it is not there. Raises ``ToolFailed``."""
    columns = given.get(key) or {}
    if not isinstance(columns, Mapping) or not all(isinstance(c, str) and c for c in columns):
        raise ToolFailed(f"{key!r} must be an object of columns and values, got {shown(columns, 60)}")
    return dict(columns)


def positive(option: str, given: Any, kind: Any) -> Any:
    """The number in an option, which must be above 0."""
    if not isinstance(given, kind) or isinstance(given, bool) or given <= 0:
        raise ConfigurationError(f"{option} = {given!r} is not usable: give a number above 0")
    return given
