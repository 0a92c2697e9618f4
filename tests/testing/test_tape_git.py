"""Tapes in git: two branches that recorded different cells come together, and what git could not join is said."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from gathering.core.errors import TapeError
from gathering.testing import ScriptedProvider, tape
from gathering.testing.tape_file import TapeFile

PATH = Path("tapes/lesson.jsonl")


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    name = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *name, *arguments], capture_output=True, text=True, check=False)


def record(prompt: str, answer: str) -> None:
    """One exchange more, as a cell that is new adds it."""
    file = TapeFile(PATH)
    file.index()
    with tape("one.jsonl", "record") as made:
        made.wrap(ScriptedProvider([answer])).complete([{"role": "user", "content": prompt}])
    (entry,) = TapeFile("one.jsonl").entries()
    file.append(entry)
    Path("one.jsonl").unlink()


def branches(attributes: str) -> subprocess.CompletedProcess[str]:
    """A common tape, then each of two branches with a new cell that shares a long text; the result of their merge."""
    git("init", "-q", "-b", "main")
    Path(".gitattributes").write_text(attributes)
    record("Common", "c")
    git("add", ".")
    git("commit", "-q", "-m", "base")
    for name in ("left", "right"):
        git("checkout", "-q", "-b", name, "main")
        record(f"Of {name}", f"{name} says: " + "the same long words " * 50)
        record(f"Also of {name}", "short")
        git("commit", "-q", "-a", "-m", name)
    return git("merge", "-q", "-m", "both", "left")


def prompts() -> list[Any]:
    return [entry.request["messages"][0]["content"] for entry in TapeFile(PATH).entries()]


def test_both_branches_recordings_are_on_the_merged_tape() -> None:
    """With the advised line in .gitattributes git joins them by itself, and every entry reads back."""
    merged = branches("*.jsonl merge=union\n")
    assert merged.returncode == 0, merged.stdout + merged.stderr
    assert sorted(prompts()) == ["Also of left", "Also of right", "Common", "Of left", "Of right"]


def test_without_that_line_no_mark_is_inside_an_entry() -> None:
    """Git's marks stand on lines of their own; the tape names the first one, and is left as it is."""
    assert branches("").returncode != 0
    before = PATH.read_bytes()
    with pytest.raises(TapeError, match=r"line 3 \(the mark of a git merge: 'gathering tape merge FILE'"):
        tape(PATH)
    assert PATH.read_bytes() == before
    lines = before.splitlines()
    assert all(line.startswith((b"{", b"<<<<<<<", b"=======", b">>>>>>>")) for line in lines)
