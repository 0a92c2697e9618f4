"""What can be wrong with the file: each a one-line error with the next step, and no row lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gathering.core.errors import StoreError
from gathering.storage import SQLiteStore, schema
from gathering.storage.schema import Migration


def trouble(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        SQLiteStore(path).ready()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """A path that is a folder is said to be one."""
    assert "is a folder" in trouble(tmp_path)


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be made names the setting that helps."""
    (tmp_path / "file").write_text("")
    assert "set GATHERING_STORE to a writable file or ':memory:'" in trouble(
        tmp_path / "file" / "trace.sqlite"
    )


def test_a_place_that_takes_no_files() -> None:
    """A read-only file system says so before anything is sent."""
    if not Path("/proc/self").is_dir():
        pytest.skip("needs a file system that takes no files")
    assert "cannot be opened" in trouble(Path("/proc/self/trace.sqlite"))


def test_a_file_that_may_only_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace that cannot be written is refused by ready(), not found out by a later row."""
    with SQLiteStore(path) as store:
        store.ready()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda p, **kw: connect(f"file:{p}?mode=ro", uri=True, **kw))
    assert "readonly" in trouble(path)


def test_a_file_that_is_no_database(path: Path) -> None:
    """A file of something else is left as it is."""
    path.write_text("dear diary, " * 100)
    assert "move 'trace.sqlite' away" in trouble(path)
    assert path.read_text().startswith("dear diary")


def test_a_database_of_another_program(path: Path) -> None:
    """Tables of somebody else's database stay alone."""
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE shopping (item)")
    assert "another program" in trouble(path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == [("shopping",)]


def test_a_damaged_file(path: Path) -> None:
    """A file with its inside overwritten gives a line, not a stack of SQL."""
    with SQLiteStore(path) as store:
        store.put("memories", {"memory_id": "m", "content": "tea" * 5000})
    content = bytearray(path.read_bytes())
    content[100:8192] = b"\xff" * 8092
    path.write_bytes(bytes(content))
    assert "malformed" in trouble(path)


def test_a_file_of_a_newer_version(path: Path) -> None:
    """An older GatheRing does not touch what a newer one wrote."""
    with SQLiteStore(path) as store:
        store.ready()
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO schema_version VALUES (99, 0)")
    assert "newer GatheRing (schema 99" in trouble(path)


def test_a_file_of_the_oldest_version_is_brought_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each missing step runs once, rows stay, and the steps together give the tables the code expects."""
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    with SQLiteStore(path) as store:
        store.put("memories", {"memory_id": "m", "content": "tea"})
    monkeypatch.undo()
    with SQLiteStore(path) as store:
        assert [row["content"] for row in store.rows("memories")] == ["tea"]
    with sqlite3.connect(path) as raw:
        for name, table in schema.metadata().tables.items():
            found = {row[1] for row in raw.execute(f"PRAGMA table_info({name})")}
            assert found == set(table.columns.keys())


def test_a_step_runs_once_and_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails leaves the file as it was; when it is mended it runs, and then never again."""
    with SQLiteStore(path) as store:
        store.ready()

    def broken(connection) -> None:  # type: ignore[no-untyped-def]
        connection.exec_driver_sql("CREATE TABLE half (x)")
        connection.exec_driver_sql("CREATE TABLE calls (x)")

    def mended(connection) -> None:  # type: ignore[no-untyped-def]
        connection.exec_driver_sql("CREATE TABLE half (x)")

    first = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", [*first, Migration(len(first) + 1, broken)])
    assert "already exists" in trouble(path)
    monkeypatch.setattr(schema, "MIGRATIONS", [*first, Migration(len(first) + 1, mended)])
    for _ in range(2):
        with SQLiteStore(path) as store:
            store.ready()


def test_a_full_disk_keeps_the_rows_until_there_is_space(path: Path) -> None:
    """While nothing can be written every door says how many rows wait; afterwards they are all there, in order."""
    store = SQLiteStore(path)
    store.ready()
    limit = _limit_pages(store, 1)
    for n in range(5):
        store.put("messages", {"message_id": f"{n}", "content": "x" * 50_000})
    for door in (store.flush, store.ready, lambda: store.rows("messages")):
        with pytest.raises(StoreError, match=r"no space left.*5 rows wait"):
            door()
    _limit_pages(store, limit)
    store.ready()
    assert [row["message_id"] for row in store.rows("messages")] == list("01234")
    store.close()


def _limit_pages(store: SQLiteStore, pages: int) -> int:
    """A disk that is full, as SQLite sees it: the file may have no more pages. The limit before."""
    database = store._database
    assert database is not None
    with database._connection.begin():
        before = database._connection.exec_driver_sql("PRAGMA max_page_count").scalar()
        database._connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    return int(before)


def test_a_removed_file_is_made_again(path: Path) -> None:
    """Rows after somebody deleted the file go into a new one, not into a file nobody can open."""
    with SQLiteStore(path) as store:
        store.put("memories", {"memory_id": "1"})
        store.flush()
        for file in path.parent.glob("trace.sqlite*"):
            file.unlink()
        store.put("memories", {"memory_id": "2"})
        assert [row["memory_id"] for row in store.rows("memories")] == ["2"]
    with SQLiteStore(path) as store:
        assert store.count("memories") == 1


def test_where_a_log_cannot_be_shared_the_old_journal_serves(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive that refuses WAL still takes rows."""

    class NoWAL(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            if sql == "PRAGMA journal_mode = WAL":
                raise sqlite3.OperationalError("locking protocol")
            return super().execute(sql, *args)  # type: ignore[arg-type]

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda p, **kw: connect(p, factory=NoWAL, **kw))
    with SQLiteStore(path) as store:
        store.put("memories", {"memory_id": "m"})
        assert store.count("memories") == 1
        assert not path.with_name("trace.sqlite-wal").exists()
