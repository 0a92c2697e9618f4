"""An answer while it comes: what is painted, what stays, how much goes over the wire."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import IncompleteStreamError
from gathering.core.events import Done, Event, TextDelta, ThinkingDelta, ToolFinished, ToolStarted
from gathering.core.messages import Completion, Message, Reply, ToolCall, Usage
from gathering.core.results import ToolResult
from gathering.core.stream import Batch, Stream
from gathering.notebook.live import (
    PANE,
    FinalView,
    LiveView,
    SilentView,
    TextView,
    finished_blocks,
    show_stream,
)
from gathering.notebook.screen import Screen, way_of

#: Bytes of a display message besides its data: header, parent header, ids.
ENVELOPE = 700


class Publisher:
    """A display publisher that keeps every message, and what a notebook would hold of them."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def publish(self, **message: Any) -> None:
        self.messages.append(message)

    @property
    def wire_bytes(self) -> int:
        return sum(len(json.dumps(m)) + ENVELOPE for m in self.messages)

    def saved(self) -> list[dict[str, str]]:
        """The outputs of the cell as a saved notebook has them, empty ones left out."""
        outputs: list[dict[str, str]] = []
        places: dict[str, int] = {}
        for message in self.messages:
            identity = message.get("transient", {}).get("display_id")
            if message.get("update"):
                outputs[places[identity]] = message["data"]
                continue
            if identity:
                places[identity] = len(outputs)
            outputs.append(message["data"])
        return [data for data in outputs if data]


class Shell:
    """As much of a shell as a screen needs."""

    def __init__(self) -> None:
        self.display_pub = Publisher()


class Clock:
    """A clock that moves on by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def shell() -> Shell:
    return Shell()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def reply_to(text: str, **more: Any) -> Reply:
    return Reply(text, agent="ada", messages=(Message("assistant", text),), **more)


def stream_of(
    events: Iterable[Event], reply: Reply | None = None, clock: Clock | None = None, every: float = 0
) -> Stream:
    """A turn of these events, one batch each, with ``every`` seconds between them."""

    def sync() -> Generator[Batch, None, None]:
        for event in events:
            if clock is not None:
                clock.now += every
            yield [event]
        if reply is not None:
            yield [Done(Completion(reply.text), reply)]

    return Stream(sync, None)  # type: ignore[arg-type]


def live(shell: Shell, clock: Clock) -> LiveView:
    return LiveView(Screen(shell, "live"), "ada", clock)


def long_answer() -> list[str]:
    """2,000 tokens of about six characters in paragraphs, a list and a code block."""
    tokens = [f"word{n % 10} " for n in range(2000)]
    for n in range(0, 2000, 90):
        tokens[n] = "end.\n\n"
    tokens[600], tokens[700] = "```python\n", "\n```\n\n"
    return tokens


@pytest.mark.parametrize("seconds", [2, 40])
def test_a_long_answer_stays_far_below_a_megabyte(shell: Shell, clock: Clock, seconds: int) -> None:
    """2,000 tokens cost well under 1 MB of messages, whether they come fast or slowly."""
    tokens = long_answer()
    stream = stream_of(map(TextDelta, tokens), reply_to("".join(tokens)), clock, seconds / len(tokens))
    show_stream(stream, live(shell, clock))
    assert shell.display_pub.wire_bytes < 1_000_000
    assert len(shell.display_pub.messages) <= 10 * seconds + 60


def test_one_block_without_end_stays_below_a_megabyte(shell: Shell, clock: Clock) -> None:
    """A code block of 2,000 tokens cannot be parted; it is repainted less often the longer it gets."""
    tokens = ["```\n", *("word \n" for _ in range(2000))]
    show_stream(stream_of(map(TextDelta, tokens), reply_to("".join(tokens)), clock, 0.02), live(shell, clock))
    assert shell.display_pub.wire_bytes < 1_000_000


def test_finished_blocks_are_not_painted_again(shell: Shell, clock: Clock) -> None:
    """Once a pane holds enough, its text is never sent again before the end."""
    first = "beginning " * (PANE // 10 + 1) + "\n\n"
    later = [TextDelta("more ") for _ in range(100)]
    show_stream(stream_of([TextDelta(first), *later], reply_to("done"), clock, 0.2), live(shell, clock))
    painted = [m["data"].get("text/plain", "") for m in shell.display_pub.messages]
    assert sum("beginning" in text for text in painted) <= 2
    assert sum("more" in text for text in painted) > 20


def test_what_is_saved_is_one_display_as_under_a_test_runner(shell: Shell, clock: Clock) -> None:
    """After the end nothing of the panes is left: the notebook holds what a test runner would see."""
    tokens = long_answer()
    reply = reply_to("".join(tokens), usage=Usage(3, 2000))
    show_stream(stream_of(map(TextDelta, tokens), reply, clock, 0.01), live(shell, clock))
    other = Shell()
    show_stream(stream_of(map(TextDelta, tokens), reply), FinalView(Screen(other, "final"), "ada"))
    assert len(other.display_pub.messages) == 1
    assert shell.display_pub.saved() == other.display_pub.saved()


def test_the_final_display_has_three_forms_and_one_log(shell: Shell) -> None:
    """Plain text, Markdown and HTML; a screen reader finds one log; no id and no address."""
    show_stream(stream_of([TextDelta("*hi*")], reply_to("*hi*")), FinalView(Screen(shell, "final"), "ada"))
    data = shell.display_pub.messages[0]["data"]
    assert data["text/plain"] == data["text/markdown"] == "*hi*"
    assert "<em>hi</em>" in data["text/html"]
    assert data["text/html"].count('role="log"') == 1
    assert "0x" not in json.dumps(data)


def test_a_tool_call_is_a_line_and_thinking_is_folded(shell: Shell, clock: Clock) -> None:
    """The tool line shows arguments and result; thinking is a folded detail of the HTML only."""
    call = ToolCall("c1", "calculator", {"expression": "15 * 25"})
    reply = Reply(
        "It is 375.",
        agent="ada",
        thinking="Let me see",
        messages=(
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", "375", tool_call_id="c1"),
            Message("assistant", "It is 375."),
        ),
    )
    events = [
        ThinkingDelta("Let me "),
        ThinkingDelta("see"),
        ToolStarted(call),
        ToolFinished(call, ToolResult(True, 375)),
        TextDelta("It is 375."),
    ]
    show_stream(stream_of(events, reply, clock, 0.2), live(shell, clock))
    (saved,) = shell.display_pub.saved()
    assert saved["text/plain"] == 'calculator(expression="15 * 25") -> 375\nIt is 375.'
    assert "<details" in saved["text/html"]
    assert "Let me see" in saved["text/html"]
    lines = [m["data"].get("text/plain", "") for m in shell.display_pub.messages]
    assert 'calculator(expression="15 * 25") ...' in lines
    assert "thinking (10 characters)" in lines


def test_tools_side_by_side_are_all_shown_while_they_run(shell: Shell, clock: Clock) -> None:
    """One pane holds all running tools; each gets its line when it is done."""
    calls = [ToolCall(f"c{n}", "look", {"n": n}) for n in range(2)]
    view = live(shell, clock)
    view.add([ToolStarted(call) for call in calls])
    assert shell.display_pub.saved()[-1]["text/plain"] == "look(n=0) ...\nlook(n=1) ..."
    view.add([ToolFinished(call, ToolResult(False, error="no")) for call in calls])
    assert [d["text/plain"] for d in shell.display_pub.saved()] == [
        "look(n=0) -> Error: no",
        "look(n=1) -> Error: no",
    ]


def test_what_a_model_or_a_tool_wrote_is_never_html(shell: Shell, clock: Clock) -> None:
    """Names, arguments, results and text are escaped in every message."""
    call = ToolCall("c1", "<b>t</b>", {"<i>": "<script>"})
    events = [
        ToolStarted(call),
        ToolFinished(call, ToolResult(True, "<img src=x>")),
        TextDelta("<script>x</script>"),
    ]
    reply = Reply(
        "<script>x</script>",
        agent="<u>ada</u>",
        model="<s>m</s>",
        messages=(
            Message("assistant", "", (call,)),
            Message("tool", "<img src=x>", tool_call_id="c1"),
            Message("assistant", "<script>x</script>"),
        ),
    )
    show_stream(stream_of(events, reply, clock, 0.2), live(shell, clock))
    html = "".join(m["data"].get("text/html", "") for m in shell.display_pub.messages)
    for tag in ("<script", "<img", "<b>", "<i>", "<u>", "<s>"):
        assert tag not in html


def test_long_arguments_and_results_are_shortened(shell: Shell) -> None:
    """A tool line stays a line, and says how long what it leaves out is."""
    call = ToolCall("c1", "read", {"text": "a\nb " * 5000})
    events = [ToolStarted(call), ToolFinished(call, ToolResult(True, "y" * 50_000))]
    view = FinalView(Screen(shell, "final"), "ada")
    view.add(events)
    view.end(view.transcript)
    line = shell.display_pub.messages[0]["data"]["text/plain"]
    assert "\n" not in line
    assert len(line) < 400
    assert "(50,000 characters)" in line


def test_stop_keeps_what_had_arrived_and_says_so(shell: Shell, clock: Clock) -> None:
    """KeyboardInterrupt is raised again, after the partial answer was shown with a notice."""

    def events() -> Generator[Event, None, None]:
        yield TextDelta("Half an ans")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        show_stream(stream_of(events()), live(shell, clock))
    (saved,) = shell.display_pub.saved()
    assert saved["text/plain"] == "Half an ans\n[stopped after 11 characters; the partial answer is kept]"
    assert 'role="status"' in saved["text/html"]


def test_a_dropped_connection_shows_what_had_arrived(shell: Shell) -> None:
    """An error in the middle is raised again; what had come is shown as broken off."""

    def events() -> Generator[Event, None, None]:
        yield TextDelta("Half")
        raise IncompleteStreamError("the stream ended early: ask again")

    with pytest.raises(IncompleteStreamError):
        show_stream(stream_of(events()), FinalView(Screen(shell, "final"), "ada"))
    assert "[broken off after 4 characters" in shell.display_pub.messages[0]["data"]["text/plain"]


def test_a_terminal_gets_text_as_it_comes_without_its_control_codes(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a terminal the answer is written piece by piece, and cannot steer the terminal."""
    call = ToolCall("c1", "calculator", {"expression": "1+1"})
    events = [
        TextDelta("See:"),
        ToolStarted(call),
        ToolFinished(call, ToolResult(True, 2)),
        TextDelta("It is \x1b[31m2\x07."),
        TextDelta(" Yes."),
    ]
    show_stream(stream_of(events, reply_to("It is 2.")), TextView(Screen(shell, "text"), "ada"))
    assert capsys.readouterr().out == 'See:\ncalculator(expression="1+1") -> 2\nIt is [31m2. Yes.\n'
    assert not shell.display_pub.messages


def test_a_silenced_turn_shows_nothing(shell: Shell) -> None:
    """After a ``;`` there is no display at all."""
    show_stream(stream_of([TextDelta("x")], reply_to("x")), SilentView(Screen(shell, "live"), "ada"))
    assert not shell.display_pub.messages


def test_half_a_character_does_not_break_the_display(shell: Shell) -> None:
    """A lone surrogate, which no message can carry, is replaced."""
    show_stream(
        stream_of([TextDelta("a\ud800b")], reply_to("a\ud800b")), FinalView(Screen(shell, "final"), "ada")
    )
    assert shell.display_pub.messages[0]["data"]["text/plain"] == "a?b"


@given(st.text(alphabet="ab \n`~#-", max_size=200))
def test_blocks_end_at_blank_lines_outside_fences(text: str) -> None:
    """A cut leaves the text whole, lies behind a blank line, and never inside an open fence."""
    cut = finished_blocks(text)
    assert 0 <= cut <= len(text)
    if cut:
        assert text[:cut].splitlines(keepends=True)[-1].strip() == ""
        assert finished_blocks(text[:cut]) == cut


def test_a_fence_is_one_block() -> None:
    """Blank lines in a code block do not end it."""
    text = "a\n\n```\nx\n\ny\n"
    assert finished_blocks(text) == 3
    assert finished_blocks(text + "```\n\nb") == len(text) + 5


@pytest.mark.parametrize(
    ("kind", "takes_input", "tested", "way"),
    [
        ("ZMQInteractiveShell", True, False, "live"),
        ("ZMQInteractiveShell", False, False, "final"),
        ("ZMQInteractiveShell", True, True, "final"),
        ("TerminalInteractiveShell", True, False, "text"),
        ("InteractiveShell", True, False, "final"),
    ],
)
def test_the_way_fits_who_is_watching(
    monkeypatch: pytest.MonkeyPatch, kind: str, takes_input: bool, tested: bool, way: str
) -> None:
    """Live in a watched notebook, text in a terminal, one display where nobody watches."""
    monkeypatch.setenv("PYTEST_VERSION", "9") if tested else monkeypatch.delenv("PYTEST_VERSION")
    kernel = type("Kernel", (), {"_allow_stdin": takes_input})()
    assert way_of(type(kind, (), {"kernel": kernel})()) == way
