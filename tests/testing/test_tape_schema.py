"""The format as it is documented: every line of real tapes is what the schema says, and little else is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import gathering
from gathering.core.errors import RateLimitError
from gathering.core.offers import Embeddings
from gathering.core.permissions import Decision, set_asker
from gathering.testing import ScriptedProvider, tape

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


@pytest.fixture(scope="module")
def schema() -> Any:
    text = files("gathering.testing").joinpath("tape_schema.json").read_text("utf-8")
    found = json.loads(text)
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


class Embedder(ScriptedProvider):
    """Short vectors of texts."""

    def __init__(self, name: str, config: Any) -> None:
        super().__init__([], name)

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        return Embeddings(tuple((0.1, float(len(text))) for text in texts), "e:short")


def checked(path: Path, schema: Any) -> int:
    """How many lines, each of them valid."""
    lines = path.read_text("utf-8").split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        problems = [error.message[:200] for error in schema.iter_errors(json.loads(line))]
        assert not problems, f"line {number}: {problems}"
    return len(lines)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("tapes/*.jsonl")), ids=lambda path: path.name)
def test_the_committed_tapes_have_the_form(path: Path, schema: Any) -> None:
    """Recorded with a real model."""
    assert checked(path, schema) > 1


def test_every_kind_of_entry_has_the_form(schema: Any) -> None:
    """Streams, thoughts, tools, a person, a failure, Stop, a stream that was left, long texts and images."""

    def roll(sides: int) -> list[int]:
        """Throws a die."""
        return [sides, 4]

    call = {"tool_calls": [{"name": "roll", "arguments": {"sides": 6}}], "thinking": "a die?"}
    script = [call, "Four. " * 200, RateLimitError("slow", status=429, retry_after=2.0), "One two", "x"]
    stopped = {"content": "Half", "raises": KeyboardInterrupt()}
    before = set_asker(lambda request: Decision("allow", "person"))
    with tape("t.jsonl", "record") as made:
        provider = ScriptedProvider([*script, stopped])
        ada = gathering.Agent("ada", llm_provider=provider, tools=[roll], permissions=["ask *"])
        list(ada.stream("Throw."))
        with pytest.raises(RateLimitError):
            ada.ask("Again.")
        taped = made.wrap(provider)
        with taped.stream([{"role": "user", "content": "Go"}]) as stream:
            next(iter(stream))
        taped.complete(
            [{"role": "user", "content": "?", "images": [{"media_type": "image/png", "data": "A" * 600}]}]
        )
        wrapped = made.wrap(Embedder("e", {}))
        wrapped.embed(["one", "two"])
        with pytest.raises(KeyboardInterrupt):
            list(taped.stream([{"role": "user", "content": "Stop"}]))
    set_asker(before)
    assert checked(Path("t.jsonl"), schema) == 12
    outcomes = {name for line in Path("t.jsonl").read_text().splitlines() for name in json.loads(line)}
    assert {"answer", "error", "cut", "result", "decision", "vectors", "long", "stream"} <= outcomes


@pytest.mark.parametrize("line", [
    {"gathering_tape": 2},
    {"key": "0" * 32, "ordinal": 0, "request": {"provider": "p"}, "answer": {}},
    {"long": "short", "value": "x"},
    {"key": "0" * 32, "ordinal": 0, "request": {"tool": "t", "agent": "a", "call": "c", "arguments": {}}},
    {"note": "mine"},
])  # fmt: skip
def test_what_is_no_line_of_a_tape_is_none(line: Any, schema: Any) -> None:
    """The schema refuses it."""
    assert not schema.is_valid(line)
