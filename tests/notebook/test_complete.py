"""Completion on the line and in the cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from gathering import Agent
from gathering.notebook.grammar import TAPE_WORDS
from gathering.notebook.tapes import ACTIONS
from gathering.testing.scripted import ScriptedProvider


@pytest.fixture
def complete(shell: InteractiveShell) -> Any:
    """The texts IPython offers at the place of the last ``|``, as the whole text would be with each."""
    shell.user_ns["ada"] = Agent("ada", llm_provider=ScriptedProvider(["x"]))
    shell.user_ns["amount"] = 5

    def texts(marked: str) -> list[str]:
        offset = marked.rindex("|")
        text = marked[:offset] + marked[offset + 1 :]
        with provisionalcompleter():
            found = list(shell.Completer.completions(text, offset))
        return [text[: c.start] + c.text + text[c.end :] for c in found]

    return texts


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%gathering com|", "%gathering compare"),
        ("%gathering |", "%gathering status"),
        ("%gathering @a|", "%gathering @ada"),
        ("%gathering ask a|", "%gathering ask ada"),
        ("x = %gathering ask a|", "x = %gathering ask ada"),
        ("%gathering memory |", "%gathering memory ada"),
        ("%gathering @ada --temp|", "%gathering @ada --temperature"),
        ("%gathering ask ada --model lo|", "%gathering ask ada --model local"),
        ("%gathering use open|", "%gathering use openai-compatible"),
        ('%gathering use "openai:m | loc|', '%gathering use "openai:m | local'),
        ("%%gathering agent eve\nmodel: openai:m | loc|", "%%gathering agent eve\nmodel: openai:m | local"),
        ("%gathering tape x.jsonl --mode re|", "%gathering tape x.jsonl --mode replay"),
        ("%gathering tape rer|", "%gathering tape rerecord"),
        ("%gathering config loc|", "%gathering config local_threads"),
        ("%gathering help mem|", "%gathering help memory"),
        ("%%gathering compare local @|", "%%gathering compare local @ada"),
        ("%gathering @ada What is {{ am|", "%gathering @ada What is {{ amount"),
        ("%%gathering @ada\nWhat is {{ am|", "%%gathering @ada\nWhat is {{ amount"),
        ("%%gathering @ada\nWhat is {{am| }}?\nmore", "%%gathering @ada\nWhat is {{amount }}?\nmore"),
        ("%%gathering ask ada\nTell @a|", "%%gathering ask ada\nTell @ada"),
        ("%%gathering agent eve\npers|", "%%gathering agent eve\npersonality_blocks: "),
        ("%%gathering agent eve\ntools: [calc|", "%%gathering agent eve\ntools: [calculator"),
        ("%%gathering agent eve\ntools:\n  - calc|", "%%gathering agent eve\ntools:\n  - calculator"),
        (
            "%%gathering agent eve\npersonality_blocks: [patient, cur|",
            "%%gathering agent eve\npersonality_blocks: [patient, curious",
        ),
        (
            "%%gathering agent eve\npersonality_blocks: [{name: cur|",
            "%%gathering agent eve\npersonality_blocks: [{name: curious",
        ),
        ("%%gathering agent eve\nmodel: lo|", "%%gathering agent eve\nmodel: local"),
    ],
)
def test_what_fits_is_offered(complete: Any, typed: str, offered: str) -> None:
    """Subcommands, agents, options, models, files' modes, variables and the parts of an agent."""
    assert offered in complete(typed)


def test_nothing_else_is_mixed_in(complete: Any) -> None:
    """Python's own names stay out of a ``%gathering`` line."""
    assert complete("%gathering ask a|") == ["%gathering ask ada"]


def test_other_lines_are_left_alone(complete: Any) -> None:
    """Elsewhere IPython completes as always."""
    assert "print" in complete("prin|")
    assert any(text.startswith("x = '%gathering'; amount") for text in complete("x = '%gathering'; amou|"))


def test_tapes_are_offered_by_their_files(
    complete: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of this folder and of the folders in it; the words are all that a tape can be told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tapes").mkdir()
    (tmp_path / "tapes" / "lesson.jsonl").touch()
    assert complete("%gathering tape show tap|") == ["%gathering tape show tapes/lesson.jsonl"]
    assert {"off", *ACTIONS} == set(TAPE_WORDS)
