"""The trace: what happened, kept in SQLite and shown as DataFrames.

Owns tables, files and frames. What becomes a row is said by the flow of a turn (``gathering.core``).
"""

from __future__ import annotations

import threading

from gathering.core import config, session
from gathering.storage.frames import COLUMNS, Trace, frame, frame_of
from gathering.storage.sqlite import SQLiteStore

__all__ = ["COLUMNS", "SQLiteStore", "Trace", "default_store", "frame", "frame_of"]

_stores: dict[str, SQLiteStore] = {}
_lock = threading.Lock()


def default_store() -> SQLiteStore:
    """The store the settings name, one for each file and process; it opens when it is first used.

    In a replay, whose ids come again each time, it is in memory unless a setting names it.
    """
    path = config.get("store") or (
        ":memory:"
        if session.clock() is not None
        else str(config.project_folder() / ".gathering" / "trace.sqlite")
    )
    with _lock:
        store = _stores.get(path)
        if store is None:
            store = _stores[path] = SQLiteStore(path)
        return store
