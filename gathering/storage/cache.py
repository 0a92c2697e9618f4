"""The response cache: an equal request is answered with what was answered before. Off unless it is asked for.

Owns the file beside the trace and what counts as equal: provider, model and options, messages, tools and parameters,
and which answer of several is wanted. Only whole answers are kept, no failures, and nothing that holds a key. How an
exchange passes through is ``gathering.core.playback``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gathering.core import config
from gathering.core.errors import ConfigurationError, StoreError
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import MessageDict, ToolSpec
from gathering.core.playback import PlaybackProvider
from gathering.core.stored import Played, Request, load
from gathering.storage.folder import make_folder
from gathering.storage.requests import line_of

__all__ = [
    "CacheSize",
    "CachedProvider",
    "ResponseCache",
    "cached",
    "clear",
    "default_cache",
    "number_wanted",
    "prune",
    "size",
]

MEMORY = ":memory:"
VERSION = 1
_TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, provider TEXT, model TEXT, created_at REAL, body TEXT)"
#: Another process that writes is waited for this long (seconds).
_PATIENCE = 10.0
_DAY = 86_400
#: An answer that ended so may end otherwise the next time.
_PASSING = frozenset({"content_filter", "other"})
#: Options of a provider that change nothing about its answers, or must be written nowhere.
_APART = frozenset({"api_key", "headers", "max_retries", "model", "providers", "timeout"})


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How many answers there are, and how many bytes they take."""

    answers: int
    bytes: int


def cached(provider: ILLMProvider, wish: bool | int | None = None) -> ILLMProvider:
    """The provider behind the response cache, if that is wished: by ``wish``, else by the setting ``cache``.

    ``True`` is the first answer to a request, a number the so-many-th: the second may be another one. ``False`` takes
    the provider out from behind its cache.
    """
    if wish is not None and (not isinstance(wish, int) or wish < 0):
        raise ConfigurationError(
            f"cache = {wish!r} is not usable: give True, False or the number of the answer"
        )
    inner = provider.provider if isinstance(provider, CachedProvider) else provider
    if wish is None:
        return provider if inner is not provider or not config.recent("cache") else CachedProvider(inner)
    return CachedProvider(inner, int(wish)) if wish else inner


def number_wanted(provider: ILLMProvider, number: int, *wishes: bool | int | None) -> int | None:
    """The ``number`` as a wish, where the cache is wished for: by the first of these that says so, else as usual."""
    said = next((bool(wish) for wish in wishes if wish is not None), None)
    if said is None:
        usual = isinstance(provider, CachedProvider) or config.recent("cache")
        return number if usual else None
    return number if said else 0


def clear() -> int:
    """Forget every answer of the project's cache; how many there were."""
    return default_cache().prune(0)


def prune(days: float) -> int:
    """Forget the answers that are older than so many days; how many there were."""
    return default_cache().prune(days)


def size() -> CacheSize:
    """How large the project's cache is."""
    return default_cache().size()


class CachedProvider(PlaybackProvider):
    """A provider behind the response cache. ``number`` tells several answers to one request apart."""

    def __init__(self, provider: ILLMProvider, number: int = 1) -> None:
        super().__init__(provider, default_cache())
        self.number = number

    def request_for(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None, params: dict[str, Any]
    ) -> Request:
        """The request, with what else decides about the answer."""
        request = super().request_for(messages, tools, params)
        return {**request, "options": _options(self.provider), "number": self.number}


def _options(provider: ILLMProvider) -> dict[str, Any]:
    """What a provider was made with: where it asks, and what it sends when a call does not say otherwise."""
    options = {name: value for name, value in provider.config.items() if name not in _APART}
    place = provider.config.get("base_url") or os.environ.get(
        getattr(provider, "base_url_variable", "") or "-"
    )
    members = [[p.name, p.model, _options(p)] for p in getattr(provider, "providers", ())]
    return {**options, "params": getattr(provider, "params", {}), "base_url": place, "members": members}


class ResponseCache:
    """The answers in the SQLite file at ``path``, or in memory. Safe from any thread and any process.

    Raises ``StoreError`` where the file cannot be used, before anything is sent; an answer that cannot be kept is a
    warning, since it is there.
    """

    speed = 0.0

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: tuple[int, sqlite3.Connection] | None = None

    def find(self, request: Request) -> tuple[int, Played | None]:
        """The number of the answer that is wanted, and the answer if it is there."""
        key = _key(request)
        if key is None:
            return int(request["number"]), None
        with self._explained("read"), self._lock:
            row = self._connection().execute("SELECT body FROM answers WHERE key = ?", (key,)).fetchone()
        return int(request["number"]), None if row is None else _read(row[0])

    def keep(self, request: Request, number: int, body: dict[str, Any]) -> None:
        """Keep an answer. The first one stays, where several were given at the same time."""
        key, text = _key(request), _text(body)
        if key is None or text is None:
            return
        row = (key, request["provider"], request["model"], time.time(), text)
        try:
            with self._explained("written"), self._lock:
                self._connection().execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?)", row)
        except StoreError as error:
            warnings.warn(str(error), stacklevel=2)

    def prune(self, days: float) -> int:
        """Forget what is older than so many days, and give the space back; how many answers that were."""
        if isinstance(days, bool) or not isinstance(days, int | float) or not days >= 0:
            raise ConfigurationError(f"days = {days!r} is not usable: give a number of 0 or more")
        with self._explained("written"), self._lock:
            connection = self._connection()
            gone = connection.execute(
                "DELETE FROM answers WHERE created_at <= ?", (time.time() - days * _DAY,)
            ).rowcount
            connection.execute("VACUUM")
        return gone

    def size(self) -> CacheSize:
        """How many answers there are, and how many bytes they take."""
        if self.path != MEMORY and not Path(self.path).exists():
            return CacheSize(0, 0)
        with self._explained("read"), self._lock:
            found = (
                self._connection()
                .execute("SELECT count(*), total(length(CAST(body AS BLOB))) FROM answers")
                .fetchone()
            )
        return CacheSize(int(found[0]), int(found[1]))

    def close(self) -> None:
        """Close the file; it opens again when it is used again."""
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is not None and opened[0] == os.getpid():
                opened[1].close()

    def __repr__(self) -> str:
        """Where the answers are kept."""
        return f"ResponseCache({self.path!r})"

    def _connection(self) -> sqlite3.Connection:
        """The open file; a forked child opens it for itself, and leaves its parent's alone."""
        if self._opened is None or self._opened[0] != os.getpid() or self._is_gone():
            self._opened = (os.getpid(), _open(self.path))
        return self._opened[1]

    def _is_gone(self) -> bool:
        return self.path != MEMORY and not Path(self.path).exists()

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as err:
            raise StoreError(
                f"the response cache {Path(self.path).name!r} cannot be {what} ({err}): "
                "remove the file, or go on with cache=False"
            ) from err


_caches: dict[str, ResponseCache] = {}
_caches_lock = threading.Lock()


def default_cache() -> ResponseCache:
    """The cache beside the trace the settings name, one for each file and process; in memory where the trace is."""
    store = config.recent("store")
    if store is None or "://" in store:
        path = str(config.project_folder() / ".gathering" / "cache.sqlite")
    else:
        path = (
            store
            if store == MEMORY
            else str(Path(store).expanduser().absolute().with_suffix(".cache.sqlite"))
        )
    with _caches_lock:
        return _caches.setdefault(path, ResponseCache(path))


def _open(path: str) -> sqlite3.Connection:
    """The file, made if it is not there. Raises ``sqlite3.Error``, ``OSError``, or ``StoreError`` for a newer one."""
    if path != MEMORY:
        make_folder(Path(path).parent)
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        connection.close()
        raise StoreError(
            f"the response cache {Path(path).name!r} was written by a newer GatheRing: "
            "upgrade with pip install -U gathering, or remove the file"
        )
    if path != MEMORY and version == 0:
        # Another process that opens it right now answers "locked" at once, and has set the same mode.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(_TABLE)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    return connection


def _key(request: Request) -> str | None:
    """What an equal request is found by; None for one that holds what JSON has no form for, so that nobody can tell."""
    try:
        text = json.dumps(request, sort_keys=True)
    except (TypeError, ValueError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _text(body: dict[str, Any]) -> str | None:
    """The exchange as it is kept; None for a failure, for an answer that may pass, and for one that shows a key."""
    if "answer" not in body or body["answer"]["finish_reason"] in _PASSING:
        return None
    masked = line_of(body)
    return masked if json.loads(masked) == json.loads(json.dumps(body, default=str)) else None


def _read(text: str) -> Played | None:
    """The kept exchange; None for one that another version wrote in another form."""
    try:
        return load(json.loads(text), "cache")
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
