"""The question whether a tool may run, as it is put to a person: the card, the answers, and where nobody is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gathering.core.messages import ToolCall
from gathering.core.permissions import Decision, PermissionRequest
from gathering.notebook.approval import Approval
from gathering.notebook.screen import Screen

REQUEST = PermissionRequest(
    "ada", ToolCall("c1", "files", {"path": "<b>ü</b>.txt"}), "write", {"path": "x"}, "the rule 'ask files'"
)


class Paper(Screen):
    """A screen that keeps what was shown."""

    def __init__(self, way: Any) -> None:
        self.way = way
        self.cards: list[dict[str, str]] = []
        self.written = ""

    def open(self, data: Any) -> str:
        self.cards.append(data)
        return "card"

    def paint(self, identity: str, data: Any) -> None:
        self.cards.append(data)

    def write(self, text: str) -> None:
        self.written += text


def answering(*lines: str, way: str = "live") -> tuple[Paper, Callable[[PermissionRequest], Decision]]:
    typed: Iterator[str] = iter(lines)
    paper = Paper(way)

    def read(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    return paper, Approval(lambda: paper, read)


@pytest.mark.parametrize(
    ("lines", "decision"),
    [
        (["y"], Decision("allow", "person")),
        (["YES"], Decision("allow", "person")),
        (["c"], Decision("allow", "person", scope="cell")),
        (["session"], Decision("allow", "person", scope="session")),
        (["a"], Decision("allow", "person", scope="always")),
        (["n"], Decision("deny", "person")),
        (["no not this one"], Decision("deny", "person", "not this one")),
        (["e", '{"path": "other"}'], Decision("allow", "person", arguments={"path": "other"})),
        (["e", "", "n"], Decision("deny", "person")),
        (["e", "{oops", "e", "[1]", "y"], Decision("allow", "person")),
        (["", "what?", "y"], Decision("allow", "person")),
    ],
)
def test_what_is_typed_is_the_decision(lines: list[str], decision: Decision) -> None:
    """Anything else is asked again; a wrong edit loses nothing."""
    assert answering(*lines)[1](REQUEST) == decision


def test_the_card_shows_the_arguments_and_then_the_answer() -> None:
    """Escaped, with the reason of the question, and painted over with what was decided."""
    paper, ask = answering("n too risky")
    ask(REQUEST)
    before, after = paper.cards
    assert "ada wants to use files (write)" in before["text/plain"]
    assert "the rule 'ask files'" in before["text/plain"]
    assert "&lt;b&gt;ü&lt;/b&gt;" in before["text/html"]
    assert "<b>ü" not in before["text/html"]
    assert "Denied by person: too risky" in after["text/plain"]


def test_in_a_terminal_the_card_is_text() -> None:
    """No display that is painted over, the same words."""
    paper, ask = answering("y", way="text")
    ask(REQUEST)
    assert paper.cards == []
    assert "ada wants to use files (write)" in paper.written


def test_under_a_test_runner_nobody_is_asked() -> None:
    """The setting answers at once: it denies."""
    decision = answering("y", way="final")[1](REQUEST)
    assert (decision.effect, decision.decided_by) == ("deny", "unattended")


def test_a_front_end_without_input_counts_as_nobody() -> None:
    """The end of the input is no answer."""
    assert answering()[1](REQUEST).decided_by == "unattended"


def test_another_thread_does_not_take_the_keyboard() -> None:
    """A question from a background thread is answered by the setting."""
    found: list[Decision] = []
    ask = answering("y")[1]
    worker = threading.Thread(target=lambda: found.append(ask(REQUEST)))
    worker.start()
    worker.join()
    assert found[0].decided_by == "unattended"


def test_the_magic_lists_rules_and_ledger(run: Any) -> None:
    """Each decision is a row; the rules stand beside it."""
    run("import gathering\nfrom gathering.testing import ScriptedProvider")
    run(
        "ada = gathering.Agent('ada', llm_provider=ScriptedProvider([{'tool_calls': [{'name': 'calculator', "
        "'arguments': {'expression': '1+1'}}]}, 'two']), tools=['calculator'], permissions=['deny calculator'])"
    )
    run("%gathering ask ada How much?")
    found = run("%gathering permissions ada").result
    assert list(found.ledger["decision"]) == ["deny"]
    assert list(found.rules["tool"]) == ["calculator"]
    assert "deny" in repr(found)
    assert "<table" in found._repr_mimebundle_()["text/html"]
    assert list(run("%gathering permissions").result.rules["agent"]) == ["ada"]
