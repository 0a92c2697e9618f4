"""No key gets onto a tape: not from a prompt, a parameter, a tool, a person, an error or a vector's text."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.core.errors import AuthenticationError
from gathering.core.permissions import Decision, set_asker
from gathering.notebook.items import Item, turn_items
from gathering.notebook.saved import conversation_bundle
from gathering.notebook.transcript import Transcript
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider, tape
from gathering.testing.lanes import Result
from gathering.testing.report import html_page, junit_xml, table
from gathering.testing.scan import scan

TAPE = "lesson.jsonl"
FORMS = (
    "sk-proj-{}",
    "sk-ant-api03-{}",
    "sk-or-v1-{}",
    "AIzaSy{}",
    "gsk_{}",
    "xai-{}",
    "hf_{}",
    "nvapi-{}",
    "pplx-{}",
    "r8_{}",
    "fw_{}",
    "csk-{}",
    "tgp_v1_{}",
    "ghp_{}",
    "github_pat_{}",
    "Bearer {}",
    "api_key={}",
)
BODY = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY"


@pytest.mark.parametrize("form", FORMS)
def test_a_key_planted_anywhere_is_not_on_the_tape(form: str) -> None:
    """In every place in which something is said; and what was said there still replays."""
    key = form.format(BODY)

    def look(sides: int) -> str:
        """Looks something up."""
        return f"found {key}"

    def fail(sides: int) -> str:
        """Fails."""
        raise RuntimeError(f"refused: {key}")

    def lesson(answers: list[Any]) -> list[Any]:
        ada = gathering.Agent(
            "ada",
            llm_provider=ScriptedProvider(answers),
            tools=[look, fail],
            permissions=["ask *"],
            params={"extra_headers": {"authorization": key}},
            store=SQLiteStore(":memory:"),
        )
        ada.ask(f"My key is {key}.")
        with pytest.raises(AuthenticationError):
            ada.ask("Again.")
        return list(ada.trace.tool_calls()["success"])

    calls = [{"name": name, "arguments": {"sides": 6}} for name in ("look", "fail")]
    script = [
        {"tool_calls": calls, "thinking": f"the key is {key}"},
        f"It is {key}.",
        AuthenticationError(f"wrong key {key}", status=401),
    ]
    before = set_asker(lambda request: Decision("allow", "person", f"because of {key}"))
    with tape(TAPE, "record"):
        recorded = lesson(script)
    set_asker(before)
    text = Path(TAPE).read_text("utf-8")
    assert BODY not in text
    assert text.count("***") >= 6
    assert scan([TAPE]) == []
    with tape(TAPE, "replay"):
        assert lesson([]) == recorded == [True, False]


def test_a_hundred_keys_leave_nowhere(tmp_path: Path) -> None:
    """119 different keys, one of each form in each place: none is on the tape, in the trace, in an output or in a report."""
    rng = random.Random(20261124)
    letters = string.ascii_letters + string.digits

    def bodies() -> list[str]:
        return ["a1B" + "".join(rng.choices(letters, k=29)) for _ in FORMS]

    places = {
        name: bodies() for name in ("prompt", "answer", "thinking", "result", "failure", "error", "headers")
    }
    said = {name: " and ".join(map(str.format, FORMS, found)) for name, found in places.items()}
    keys = [body for found in places.values() for body in found]
    assert len(set(keys)) == 119

    def look() -> str:
        """Looks something up."""
        return said["result"]

    def fail() -> str:
        """Fails."""
        raise RuntimeError(said["failure"])

    calls = [{"name": name, "arguments": {}} for name in ("look", "fail")]
    script = [
        {"tool_calls": calls, "thinking": said["thinking"]},
        said["answer"],
        AuthenticationError(said["error"], status=401),
    ]
    trace = tmp_path / "trace.sqlite"
    store = SQLiteStore(trace)
    with tape(TAPE, "record"):
        headers = {
            f"x-key-{n}": form.format(key)
            for n, (form, key) in enumerate(zip(FORMS, places["headers"], strict=True))
        }
        model = ScriptedProvider(script)
        ada = gathering.Agent(
            "ada", llm_provider=model, tools=[look, fail], params={"extra_headers": headers}, store=store
        )
        reply = ada.ask(said["prompt"])
        with pytest.raises(AuthenticationError) as failed:
            ada.ask("Again.")
    outputs = [*Transcript.of(reply).bundle().values(), *conversation_bundle("ada", room_items(ada)).values()]
    found = Result(
        "n.ipynb", "replay", f"Cell 1: {said['prompt']}", "failed", 0.0, f"{failed.value} {said['answer']}"
    )
    reports = [form([found]) for form in (table, junit_xml, html_page)]
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("trace.sqlite*"))
    for text in (Path(TAPE).read_text("utf-8"), kept.decode("latin-1"), *outputs, *reports):
        assert [key for key in keys if key in text] == []


def room_items(agent: gathering.Agent) -> list[Item]:
    """What a panel on this agent would show."""
    return [
        item
        for number, turn in enumerate(agent.turns)
        for item in turn_items((f"u{number}", f"a{number}"), "ada", turn.model, turn.turn_id, turn.messages)
    ]
