"""No key gets onto a tape: not from a prompt, a parameter, a tool, a person, an error or a vector's text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.core.errors import AuthenticationError
from gathering.core.permissions import Decision, set_asker
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider, tape
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
