"""Texts found by the words in them: an index in memory, by SQLite's full-text search. Owns no row of the trace."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Iterable
from typing import Any

__all__ = ["WordIndex"]

_MOST_WORDS = 64  # of a question
#: English words that nearly every text has: they would find everything.
_COMMON = frozenset(
    [
        "a",
        "about",
        "all",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "is",
        "it",
        "its",
        "me",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "she",
        "should",
        "so",
        "some",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "us",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


class WordIndex:
    """Texts by their ids. A word counts more the rarer it is (BM25), whatever its case, accents or English ending.

    >>> index = WordIndex([("1", "Bob likes green tea."), ("2", "The bus leaves at nine.")])
    >>> index.ranked("What teas does Bob like?", 5)
    [('1', 1.0)]
    """

    def __init__(self, texts: Iterable[tuple[str, str]] = ()) -> None:
        self._open: sqlite3.Connection | None = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self._open.execute(
                "CREATE VIRTUAL TABLE words USING fts5(id UNINDEXED, text, tokenize='porter unicode61')"
            )
        except (
            sqlite3.OperationalError
        ):  # an SQLite that was built without full-text search: nothing is found
            self._open = None
        #: By id the number of its row: full-text search finds a row by nothing else without reading all of them.
        self._rows: dict[str, int] = {}
        self._next = itertools.count(1)
        self._insert(texts)

    def put(self, key: str, text: str) -> None:
        """Keep a text, in the place of what was there under its id."""
        self.drop(key)
        self._insert([(key, text)])

    def drop(self, key: str) -> None:
        """Keep the text no longer."""
        row = self._rows.pop(key, None)
        if row is not None:
            self._run("DELETE FROM words WHERE rowid = ?", [(row,)])

    def _insert(self, texts: Iterable[tuple[str, str]]) -> None:
        self._run(
            "INSERT INTO words (rowid, id, text) VALUES (?, ?, ?)",
            ((self._numbered(key), key, _readable(text)) for key, text in texts),
        )

    def _numbered(self, key: str) -> int:
        self._rows[key] = next(self._next)
        return self._rows[key]

    def ranked(self, question: str, most: int) -> list[tuple[str, float]]:
        """The ids of texts that share a word with the question, best first, each with its weight: 1 for the best."""
        asked = [w for w in re.findall(r"\w+", _readable(question).lower()) if w not in _COMMON][:_MOST_WORDS]
        if self._open is None or not asked:
            return []
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(asked))
        with contextlib.closing(
            self._open.execute(
                "SELECT id, -bm25(words) FROM words WHERE words MATCH ? ORDER BY bm25(words), id LIMIT ?",
                (match, most),
            )
        ) as rows:
            found = [(str(key), float(weight)) for key, weight in rows]
        best = max((weight for _, weight in found), default=0.0) or 1.0
        return [(key, weight / best) for key, weight in found]

    def _run(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        if self._open is not None:
            self._open.executemany(sql, rows)


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
