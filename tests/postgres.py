"""A real PostgreSQL for tests: made once for the session in a temporary folder, on a free port of the loopback.

Where the server is not installed, tests that need it are skipped; under ``CI`` they fail, so that nothing is left
untested unnoticed. The server refuses to run as root: then it runs as ``postgres`` or ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Postgres", "postgres"]


@dataclass(frozen=True)
class Postgres:
    """A running server. ``admin`` is its superuser, who needs no password."""

    port: int
    admin: str = "admin"

    def url(self, database: str = "postgres", user: str | None = None, password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user or self.admin}{secret}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Run statements as the superuser, each by itself; the rows of the last one."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def _program(name: str) -> str | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ.get("PATH", "")]))


def _user() -> str | None:
    """Whom the server runs as; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server, stopped and removed with the session."""
    initdb, control = _program("initdb"), _program("pg_ctl")
    if initdb is None or control is None:
        if os.environ.get("CI"):
            pytest.fail("no PostgreSQL server here: install the package postgresql")
        pytest.skip("no PostgreSQL server here: install the package postgresql")
    folder, user, port = Path(tempfile.mkdtemp(prefix="gathering-pg-")), _user(), _free_port()
    if user is not None:
        shutil.chown(folder, user)
    place = folder / "data"

    def run(*command: str) -> None:
        ran = subprocess.run(
            command,
            user=user,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stdout

    run(
        initdb, "-D", str(place), "-A", "trust", "-U", Postgres.admin, "-E", "UTF8", "--locale=C", "--no-sync"
    )
    options = f"-c listen_addresses=127.0.0.1 -p {port} -c fsync=off -c unix_socket_directories={folder}"
    run(control, "-D", str(place), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield Postgres(port)
    finally:
        run(control, "-D", str(place), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
