"""A chat panel by what it sends and takes, with the test as its page: no browser, no kernel."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

import gathering
from gathering import tool
from gathering.core.events import UsageUpdate
from gathering.core.messages import Usage
from gathering.core.portal import portal
from gathering.core.stream import TextStream
from gathering.notebook.items import Item
from gathering.notebook.panel import ChatPanel
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

PATIENCE = 20


class Page:
    """A page with one view of a panel, which keeps its own copy of what is shown by the rules of the protocol."""

    def __init__(self, panel: ChatPanel) -> None:
        self.panel, self.count, self.seq = panel, 0, 0
        self.messages: queue.Queue[tuple[dict[str, Any], Any]] = queue.Queue()
        panel.widget.send = lambda message, buffers=None: self.messages.put(
            (json.loads(json.dumps(message, allow_nan=False)), buffers)
        )
        self.items: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}

    def request(self, t: str, *buffers: bytes, **fields: Any) -> int:
        """Send a request; its number."""
        self.count += 1
        message = {"t": t, "view": "v", "n": self.count, **fields}
        self.panel.widget._handle_custom_msg(message, [memoryview(b) for b in buffers])
        return self.count

    def ask(self, t: str, *buffers: bytes, **fields: Any) -> dict[str, Any]:
        """Send a request and give the kernel's word on it: ``ack`` or ``refused``."""
        number = self.request(t, *buffers, **fields)
        return self.until(lambda m: m["t"] in ("ack", "refused") and m["n"] == number)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Take messages up to and with this one; it."""
        while True:
            message, _ = self.messages.get(timeout=PATIENCE)
            for one in message.get("messages", [message]):
                self.take(one)
            if wanted(message):
                return message

    def ended(self) -> dict[str, Any]:
        """The answer, once its turn is over."""
        self.until(lambda m: m["t"] == "state" and m["state"]["phase"] == "idle")
        return self.items[-1]

    def take(self, message: dict[str, Any]) -> None:
        if "seq" in message and message["t"] != "hello":
            assert message["seq"] == self.seq + 1, "no number is left out"
            self.seq += 1
        match message["t"]:
            case "hello":
                self.seq, self.items, self.state = message["seq"], message["items"], message["state"]
            case "reset":
                self.items = message["items"]
            case "start":
                self.items.append(message["item"])
            case "state":
                self.state = message["state"]
            case "delta":
                self._grow(message)
            case "tool":
                self._part(message, {"k": "tool", "call": message["call"]})["call"] = message["call"]
            case "end":
                item = self._item(message)
                sizes = [len(p.get("text", "").encode("utf-16-le")) // 2 for p in item["parts"]]
                assert message["sizes"] == sizes
                item.update({k: v for k, v in message.items() if k not in ("t", "seq", "id", "sizes")})

    def _item(self, message: dict[str, Any]) -> dict[str, Any]:
        return next(item for item in self.items if item["id"] == message["id"])

    def _part(self, message: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
        parts = self._item(message)["parts"]
        if message["part"] == len(parts):
            parts.append(fresh)
        found: dict[str, Any] = parts[message["part"]]
        return found

    def _grow(self, message: dict[str, Any]) -> None:
        part = self._part(message, {"k": message["k"], "text": ""})
        assert message["off"] == len(part["text"].encode("utf-16-le")) // 2
        part["text"] += message["text"]

    def texts(self) -> list[str]:
        """What was said, item by item."""
        return ["".join(p.get("text", "") for p in item["parts"] if p["k"] == "text") for item in self.items]


class Waiting(ScriptedProvider):
    """Says a word and then waits until it is cancelled."""

    closed = threading.Event()

    async def stream(self, messages: Any, tools: Any = None, **params: Any) -> AsyncIterator[str]:  # type: ignore[override]
        yield "It begins "
        try:
            await asyncio.sleep(3600)
        finally:
            self.closed.set()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """A function that opens a panel on an agent with this script, and its page."""
    store = SQLiteStore(tmp_path / "trace.sqlite")
    panels: list[ChatPanel] = []

    def make(script: Any = (), panel: dict[str, Any] | None = None, **parts: Any) -> Page:
        provider = script if isinstance(script, ScriptedProvider) else ScriptedProvider(list(script))
        agent = gathering.Agent("ada", llm_provider=provider, store=store, **parts)
        panels.append(agent.chat(**(panel or {})))
        return Page(panels[-1])

    yield make
    for panel in panels:
        panel.close()


def test_a_question_and_its_answer(opened: Callable[..., Page]) -> None:
    """What is sent comes back as two items, the answer in deltas that join to it, and the agent has taken a turn."""
    page = opened(["Hello 🙂 **there**, how are you?"])
    assert page.ask("ready")["t"] == "ack"
    assert page.ask("send", text="Hi")["t"] == "ack"
    answer = page.ended()
    assert page.texts() == ["Hi", "Hello 🙂 **there**, how are you?"]
    assert (answer["status"], answer["model"]) == ("done", "scripted:script")
    assert page.panel.agent.turns[0].answer == page.texts()[1]
    assert answer["turn"] == page.panel.agent.turns[0].turn_id


def test_a_page_that_comes_later_sees_the_same(opened: Callable[..., Page]) -> None:
    """Reloaded in the middle or at the end, a page is told everything at once."""
    page = opened(Waiting([]))
    page.ask("ready")
    page.ask("send", text="Hi")
    page.until(lambda m: m["t"] == "delta")
    before = page.items
    page.items = []
    page.ask("resync", last=1)
    assert page.items == before
    page.ask("stop")
    assert page.ended()["status"] == "stopped"


def test_stop_closes_the_stream_and_keeps_what_had_come(opened: Callable[..., Page]) -> None:
    """After Stop the provider's stream is closed, the text is kept and the agent takes the next message."""
    page = opened(Waiting([]))
    page.ask("ready")
    page.ask("send", text="Hi")
    page.until(lambda m: m["t"] == "delta")
    page.ask("stop")
    assert Waiting.closed.wait(PATIENCE)
    assert page.ended()["status"] == "stopped"
    assert page.texts()[1] == "It begins "
    page.panel.agent.llm_provider = ScriptedProvider(["Go on."])
    page.ask("send", text="And now?")
    assert page.ended()["status"] == "done"


def test_an_edit_goes_on_with_a_fork(opened: Callable[..., Page]) -> None:
    """The edited message is answered by a fork, the agent keeps what it had, and both versions can be gone back to."""
    page = opened(["one", "two", "three"])
    ada = page.panel.agent
    page.ask("ready")
    for text in ("first", "second"):
        page.ask("send", text=text)
        page.ended()
    page.ask("edit", id=page.items[0]["id"], text="other")
    page.ended()
    assert page.texts() == ["other", "three"]
    assert page.items[0]["branch"] == {"index": 1, "count": 2}
    assert page.panel.agent is not ada
    assert [turn.question for turn in ada.turns] == ["first", "second"]
    page.ask("branch", id=page.items[0]["id"], index=0)
    assert page.texts() == ["first", "one", "second", "two"]
    assert page.panel.agent is ada


def test_a_retry_answers_the_same_again(opened: Callable[..., Page]) -> None:
    """Retry asks the message before the answer once more; the first answer is one version back."""
    page = opened(["one", "another"])
    page.ask("ready")
    page.ask("send", text="question")
    page.ask("retry", id=page.ended()["id"])
    page.ended()
    assert page.texts() == ["question", "another"]
    assert page.items[0]["branch"] == {"index": 1, "count": 2}


def test_an_error_stands_in_its_place_and_can_be_retried(opened: Callable[..., Page]) -> None:
    """A failure is shown where the answer would be; retrying it leaves no trace of the failed try in the panel."""
    page = opened([gathering.ProviderError("the service is down: try again"), "fine"])
    page.ask("ready")
    page.ask("send", text="question")
    failed = page.ended()
    assert failed["status"] == "error"
    assert failed["error"]["message"] == "the service is down: try again"
    page.ask("retry", id=failed["id"])
    page.ended()
    assert page.texts() == ["question", "fine"]


def _mailer() -> tuple[Any, list[str]]:
    sent: list[str] = []

    @tool(permissions=["write"])
    def send_mail(to: str) -> str:
        """Send a mail."""
        sent.append(to)
        return f"sent to {to}"

    return send_mail, sent


@pytest.mark.parametrize(
    ("decision", "sent", "state"),
    [
        ({"effect": "allow"}, ["bob"], "done"),
        ({"effect": "allow", "arguments": {"to": "carol"}}, ["carol"], "done"),
        ({"effect": "deny", "reason": "not now"}, [], "denied"),
    ],
)
def test_a_person_decides_in_the_panel(
    opened: Callable[..., Page], decision: dict[str, Any], sent: list[str], state: str
) -> None:
    """A call that a rule asks about waits for the panel; what was decided happens and stands in its card."""
    send_mail, mails = _mailer()
    script = [{"tool_calls": [{"name": "send_mail", "arguments": {"to": "bob"}}]}, "Done."]
    page = opened(script, tools=[send_mail], permissions=["ask * write"])
    page.ask("ready")
    page.ask("send", text="Mail bob")
    asked = page.until(lambda m: m["t"] == "tool" and m["call"]["state"] == "asked")["call"]
    assert (asked["name"], asked["permission"]) == ("send_mail", "write")
    assert page.ask("decide", call=asked["id"], **decision)["t"] == "ack"
    answer = page.ended()
    assert mails == sent
    assert answer["parts"][0]["call"]["state"] == state
    assert page.ask("decide", call=asked["id"], effect="allow")["t"] == "refused"


def test_two_panels_stay_in_step_and_follow_python(opened: Callable[..., Page]) -> None:
    """A second panel shows what is said in the first, and both what code asks."""
    page = opened(["one", "two"])
    other = Page(page.panel.agent.chat(readonly=True))
    for each in (page, other):
        each.ask("ready")
    page.ask("send", text="first")
    page.ended()
    other.ended()
    reply = page.panel.ask("second")
    assert reply.text == "two"
    for each in (page, other):
        each.ended()
        assert each.texts() == ["first", "one", "second", "two"]
    assert other.ask("send", text="third")["message"].startswith("this panel is for reading")
    other.panel.close()


def test_turns_taken_elsewhere_are_caught_up_with(opened: Callable[..., Page]) -> None:
    """What a cell asked appears with its tokens when the cell is over; after a rewind it is gone."""
    from gathering.notebook.room import _after_cell

    page = opened(["one", "two"])
    page.ask("ready")
    page.panel.agent.ask("in a cell")
    _after_cell()
    answer = page.ended()
    assert page.texts() == ["in a cell", "one"]
    assert answer["usage"]["output"] is not None
    page.panel.agent.rewind()
    _after_cell()
    page.until(lambda m: m["t"] == "reset")
    assert page.texts() == []


def test_a_long_history_comes_in_pages(opened: Callable[..., Page]) -> None:
    """Of 10,000 messages a page is told the last fifty, and older ones when it asks."""
    page = opened()
    agent = page.panel.agent
    said = [
        (
            gathering.core.messages.Message("user", f"q{i}"),
            gathering.core.messages.Message("assistant", f"a{i}"),
        )
        for i in range(5000)
    ]
    for i, messages in enumerate(said):
        agent.turns.add(f"t{i}", "scripted:script", messages)
    page.ask("ready")
    portal().loop.call_soon_threadsafe(page.panel.room.catch_up)
    page.until(lambda m: m["t"] == "reset")
    assert len(page.items) == 50
    assert page.texts()[-1] == "a4999"
    number = page.request("page", before=page.items[0]["id"])
    older = page.until(lambda m: m["t"] == "page")
    assert (len(older["items"]), older["more"]) == (50, True)
    assert older["items"][-1]["parts"][0]["text"] == "a4974"
    page.until(lambda m: m["t"] == "ack" and m["n"] == number)


def test_files_become_part_of_the_message(opened: Callable[..., Page]) -> None:
    """A text file is put below the message with its name; what is neither text nor image is refused and nothing is lost."""
    page = opened(["read"])
    page.ask("ready")
    file = {"name": "data.csv", "media_type": "text/csv"}
    refused = page.ask("send", b"\xff\xfe\x00", text="Read this", files=[{"name": "x.bin", "media_type": ""}])
    assert "neither an image nor text" in refused["message"]
    image = {"name": "photo.png", "media_type": "image/png"}
    refused = page.ask("send", b"no picture", text="Look", files=[image])
    assert refused["message"].startswith("'photo.png': these bytes hold no image")
    refused = page.ask("send", b"\x89PNG\r\n\x1a\n" + bytes(21 * 1024**2), text="Look", files=[image])
    assert "scale it below 20 MB" in refused["message"]
    refused = page.ask("send", b"x" * 1_000_001, text="Read this", files=[file])
    assert "'data.csv' has 1,000,001 bytes" in refused["message"]
    page.ask("send", "a,b\n1,2 é".encode(), text="Read this", files=[file])
    page.ended()
    assert page.texts()[0] == "Read this\n\ndata.csv:\n```\na,b\n1,2 é\n```"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"t": "send", "text": "  "}, "empty"),
        ({"t": "edit", "id": "i99", "text": "x"}, "not shown any more"),
        ({"t": "model", "name": "nobody:none"}, "unknown provider"),
        ({"t": "decide", "call": "c", "effect": "maybe"}, "allow or deny"),
        ({"t": "asset", "name": "../secrets"}, "no asset"),
        ({"t": "dance"}, "does not know"),
        ({"t": "page", "before": "i99"}, "not shown any more"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    opened: Callable[..., Page], request_: dict[str, Any], why: str
) -> None:
    """Each request that makes no sense gets a reason, and the panel goes on."""
    page = opened(["fine"])
    page.ask("ready")
    kind = request_.pop("t")
    refused = page.ask(kind, **request_)
    assert why in refused["message"]
    assert "\n" not in refused["message"]
    page.ask("send", text="Hi")
    assert page.ended()["status"] == "done"


def test_another_model_answers_from_then_on(opened: Callable[..., Page]) -> None:
    """The model can be switched in the panel; that is noted in the log, and the agent has it."""
    page = opened(["one"])
    page.ask("ready")
    page.ask("model", name="openai:gpt-5-mini")
    assert page.panel.agent.model == "openai:gpt-5-mini"
    assert page.texts() == ["openai:gpt-5-mini answers from here on"]
    assert page.items[0]["role"] == "note"


def test_no_key_reaches_the_page(opened: Callable[..., Page]) -> None:
    """A key that a model repeats is masked in every delta, however it is cut into pieces."""
    key = "sk-proj-" + "a1B2" * 10
    page = opened([f"Your key is {key}, keep it."])
    page.ask("ready")
    page.ask("send", text=f"My key is {key}")
    page.ended()
    assert "a1B2" not in json.dumps(page.items)
    assert page.texts()[1] == "Your key is ***, keep it."
    assert "a1B2" not in json.dumps(page.panel.saved.bundle())


def test_the_bundle_is_sent_once_it_is_asked_for(opened: Callable[..., Page]) -> None:
    """A widget carries a stub of a kilobyte; the module itself comes as a buffer."""
    page = opened()
    assert len(page.panel.widget._esm) < 1500
    page.request("asset", name="panel.js")
    message, buffers = page.messages.get(timeout=PATIENCE)
    assert (message["t"], message["name"]) == ("asset", "panel.js")
    assert b"DOMPurify" in buffers[0]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"height": 5}, "height"),
        ({"height": "tall"}, "height"),
        ({"starters": "Hello"}, "lists"),
        ({"models": "local"}, "lists"),
    ],
)
def test_a_wrong_option_says_what_would_be_right(options: dict[str, Any], why: str) -> None:
    """Bad options are refused before anything is shown."""
    with pytest.raises(gathering.ConfigurationError, match=why):
        gathering.Agent("ada", llm_provider=ScriptedProvider([]), store=None).chat(**options)


@pytest.mark.parametrize("end", [".html", ".md", ".json", ".ipynb"])
def test_a_conversation_is_exported(opened: Callable[..., Page], tmp_path: Path, end: str) -> None:
    """Each form has what was said, with a model's HTML as text; the notebook is a valid one."""
    page = opened(["An <b>answer</b> with 1 < 2"])
    page.panel.ask("A question")
    path = tmp_path / f"chat{end}"
    page.panel.export(path)
    text = path.read_text("utf-8")
    assert "A question" in text
    if end == ".html":
        assert "&lt;b&gt;answer" in text
        assert "<b>answer" not in text
    if end == ".json":
        assert json.loads(text)["items"][1]["parts"][0]["text"] == "An <b>answer</b> with 1 < 2"
    if end == ".ipynb":
        nbformat.validate(nbformat.reads(text, as_version=4))  # type: ignore[no-untyped-call]
    if end in (".md", ".ipynb"):
        assert "An &lt;b>answer&lt;/b> with 1 < 2" in text


def test_an_export_to_another_form_says_which_there_are(opened: Callable[..., Page], tmp_path: Path) -> None:
    """An end that is not known is one line with those that are."""
    with pytest.raises(gathering.ConfigurationError, match=r"\.html, \.md, \.json, \.ipynb"):
        opened().panel.export(tmp_path / "chat.docx")


def test_the_transcript_is_short_and_the_same_each_time(opened: Callable[..., Page]) -> None:
    """What stands in the notebook has no address, id or time, and of a long conversation only the newest part."""
    from gathering.notebook.saved import kept_bundle

    page = opened(["word " * 500] * 20)
    for i in range(20):
        page.panel.ask(f"question {i}")
    items: list[Item] = page.panel.room.items
    kept = page.panel.saved.bundle()
    assert "question 19" in kept["text/plain"]
    assert "question 1\n" not in kept["text/plain"]
    assert "earlier messages are not kept here" in kept["text/markdown"]
    assert sum(map(len, kept.values())) < 50_000
    assert kept == kept_bundle("ada", items)
    assert repr(page.panel) == "ChatPanel('Chat with ada')"


@pytest.mark.parametrize(
    "text",
    [
        "word " * 20_000,
        "字" * 50_000,
        "<&>" * 20_000,
        "a | b\n" * 9_000,
        "a\n" * 9_000,
        '"' * 20_000,
        "\x01" * 20_000,
    ],
    ids=["long", "cjk", "html", "rows", "lines", "quotes", "control"],
)
def test_twenty_transcripts_stay_below_a_megabyte(opened: Callable[..., Page], text: str) -> None:
    """Whatever was said, what one panel leaves is a twentieth of a megabyte at most, and says what it leaves out."""
    page = opened([text])
    page.panel.ask("Say much")
    kept = page.panel.saved.bundle()
    output = nbformat.v4.new_output("display_data", kept)  # type: ignore[no-untyped-call]
    cell = nbformat.v4.new_code_cell(outputs=[output])  # type: ignore[no-untyped-call]
    written = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))  # type: ignore[no-untyped-call]
    assert len(written.encode()) < 48_000
    assert "export() writes them" in kept["text/plain"]
    assert text[:20].strip() in kept["text/plain"]


def test_an_exported_notebook_makes_the_same_agent(opened: Callable[..., Page], tmp_path: Path) -> None:
    """Its first cells describe the agent as it is, what only code can make is named, and each message is asked again."""
    page = opened(["Yes."], history="A careful teacher", personality_blocks=["patient"], tools=["calculator"])
    page.panel.ask("Are you {{ there }}?")
    page.panel.export(tmp_path / "chat.ipynb")
    book = nbformat.read(tmp_path / "chat.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    agent, question = book.cells[1], book.cells[2]
    assert agent.source.startswith("%%gathering agent ada\n# made by code, put it in again: llm_provider")
    assert "history: A careful teacher" in agent.source
    assert "patient" in agent.source
    assert "calculator" in agent.source
    assert question.source == "%%gathering ask ada\nAre you {{ '{{' }} there }}?"
    assert question.outputs[0].data["text/plain"] == "Yes."


def test_a_view_that_missed_nothing_is_not_told_everything(opened: Callable[..., Page]) -> None:
    """``check`` is answered with an ack alone by who is up to date, and with everything by who is not."""
    page = opened(["Yes."])
    page.ask("ready")
    page.ask("send", text="Hi")
    page.ended()
    number = page.request("check", last=page.seq)
    message, _ = page.messages.get(timeout=PATIENCE)
    assert (message["t"], message["n"]) == ("ack", number)
    shown, page.items = page.texts(), []
    page.ask("check", last=page.seq - 1)
    assert page.texts() == shown == ["Hi", "Yes."]


def test_what_a_model_says_before_a_tool_is_there_while_a_person_is_asked(
    opened: Callable[..., Page],
) -> None:
    """The last word before a tool call does not wait for the decision."""

    @tool(permissions=["write"])
    def send_mail(to: str) -> str:
        """Send a mail."""
        return f"sent to {to}"

    wants = {
        "content": "I would like to send",
        "tool_calls": [{"name": "send_mail", "arguments": {"to": "bob"}}],
    }
    page = opened([wants, "Done."], tools=[send_mail], permissions=["ask * write"])
    page.ask("ready")
    page.request("send", text="Mail bob")
    asked = page.until(lambda m: m["t"] == "tool" and m["call"]["state"] == "asked")
    assert page.items[-1]["parts"][0]["text"] == "I would like to send"
    page.ask("decide", call=asked["call"]["id"], effect="allow")
    assert page.ended()["status"] == "done"


class Counting(ScriptedProvider):
    """Counts tokens with every piece, as some services do."""

    def stream(self, messages: Any, tools: Any = None, **params: Any) -> Any:
        inner = super().stream(messages, tools, **params)

        async def batches() -> AsyncIterator[Any]:
            count = 0
            async for batch in inner.batches_async():
                count += 1
                yield [*batch, UsageUpdate(Usage(10, count))]

        return TextStream(inner.batches, batches)

    def get_cost(self, usage: Usage) -> float | None:
        return 0.001 * (usage.output_tokens or 0)


def test_tokens_and_cost_grow_while_an_answer_comes(opened: Callable[..., Page]) -> None:
    """Figures of the calls of one turn add up, never go back, and do not travel more often than text does."""

    @tool
    def now() -> str:
        """The time."""
        return "noon"

    page = opened(
        Counting([{"content": "a b c", "tool_calls": [{"name": "now", "arguments": {}}]}, "word " * 400]),
        tools=[now],
    )
    page.ask("ready")
    page.request("send", text="Hi")
    states: list[dict[str, Any]] = []

    def noted(message: dict[str, Any]) -> bool:
        states.extend(m["state"] for m in message.get("messages", [message]) if m["t"] == "state")
        return bool(states) and len(states) > 1 and states[-1]["phase"] == "idle"

    page.until(noted)
    figures = [state["tokens"]["output"] for state in states]
    assert figures == sorted(figures)
    assert len(figures) < 100
    assert states[-1]["cost"] == pytest.approx(0.001 * figures[-1])
