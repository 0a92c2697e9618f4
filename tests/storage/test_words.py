"""Texts found by their words, as they come, change and go."""

from __future__ import annotations

import sqlite3

from gathering.storage.words import WordIndex


def test_a_text_that_is_put_again_or_dropped_is_found_no_longer() -> None:
    """An id has one text at a time, also one that was there from the beginning."""
    index = WordIndex([("1", "green tea"), ("2", "black tea")])
    index.put("1", "coffee")
    index.put("3", "mint tea")
    index.drop("2")
    index.drop("nobody")
    assert [key for key, _ in index.ranked("tea", 5)] == ["3"]
    assert [key for key, _ in index.ranked("coffee", 5)] == ["1"]


def test_a_change_does_not_read_the_other_texts() -> None:
    """A hundred thousand facts are put in one by one, too: the work of each does not grow with their number."""
    assert steps(2_000) < 10 * steps(20)


def steps(size: int) -> int:
    """SQLite's steps for one change among so many texts."""
    index = WordIndex((str(number), f"fact {number}") for number in range(size))
    taken: list[int] = []
    connection = index._open
    assert isinstance(connection, sqlite3.Connection)
    connection.set_progress_handler(lambda: taken.append(1), 1)
    index.put("7", "another fact")
    return len(taken)
