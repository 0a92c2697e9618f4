"""One thing changed: exactly the turns that depend on it are missed, and each says which field it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.core.errors import MissingRecordingError
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider, tape

TAPE = "lesson.jsonl"


def tool_of(description: str) -> Callable[[int], int]:
    def roll(sides: int) -> int:
        return sides

    roll.__doc__ = description
    return roll


def lesson(answers: bool, **changed: Any) -> dict[str, Any]:
    """Three agents' turns, each by itself; the error of each turn that had one."""
    now: Mapping[str, Any] = {
        "prompt": "What is a mean?",
        "intensity": 0.5,
        "temperature": 0.1,
        "tool": "Throws a die.",
        "model": "large",
        **changed,
    }
    agents = {
        "ada": {"personality_blocks": [gathering.PersonalityBlock("curious", now["intensity"])], "prompt": now["prompt"]},
        "bob": {"params": {"temperature": now["temperature"]}, "prompt": "What is a median?"},
        "eve": {"tools": [tool_of(now["tool"])], "prompt": "What is a mode?"},
        "kim": {"prompt": "What is a range?", "model": now["model"]},
    }  # fmt: skip
    errors: dict[str, Any] = {}
    for name, options in agents.items():
        prompt, model = options.pop("prompt"), options.pop("model", "small")
        provider = ScriptedProvider(["x"] if answers else [], model=str(model))
        ada = gathering.Agent(name, llm_provider=provider, store=SQLiteStore(":memory:"), **options)  # type: ignore[arg-type]
        try:
            ada.ask(str(prompt))
        except MissingRecordingError as error:
            errors[name] = error
    return errors


@pytest.mark.parametrize(("changed", "who", "said"), [
    ({"prompt": "What is the mean?"}, "ada", "prompt: 'What is a mean?' -> 'What is the mean?'"),
    ({"intensity": 0.9}, "ada", "system: "),
    ({"temperature": 0.2}, "bob", "params.temperature: 0.1 -> 0.2"),
    ({"tool": "Throws two dice."}, "eve", "tools.roll.description: 'Throws a die.' -> 'Throws two dice.'"),
    ({"model": "huge"}, "kim", "model: 'large' -> 'huge'"),
])  # fmt: skip
def test_what_depends_on_the_change_is_missed_and_nothing_else(changed: Any, who: str, said: str) -> None:
    """The other turns replay; the missed one names its prompt and the field, from its own recording."""
    with tape(TAPE, "record"):
        assert lesson(answers=True) == {}
    before = Path(TAPE).read_bytes()
    with tape(TAPE, "replay", unused="ignore") as made:
        errors = lesson(answers=False, **changed)
    assert list(errors) == [who]
    (difference,) = errors[who].differences
    assert difference.startswith(said)
    assert difference in str(errors[who])
    assert (len(made.missed()), len(made.unused())) == (1, 1)
    assert Path(TAPE).read_bytes() == before
