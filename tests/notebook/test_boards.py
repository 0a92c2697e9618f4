"""The memory editor, the trace explorer, the grid and the view of a conversation, with the test as their page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.agents import LongTermMemory
from gathering.compare import compare
from gathering.core.errors import ConfigurationError
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider
from tests.notebook.test_panel import Page, Waiting


class View(Page):
    """A page that also keeps the values of a panel."""

    def __init__(self, panel: Any) -> None:
        self.values: dict[str, Any] = {}
        super().__init__(panel)

    def take(self, message: dict[str, Any]) -> None:
        if message["t"] == "hello":
            self.values = {}
        if message["t"] == "data":
            self.values[message["name"]] = message["value"]
        super().take(message)

    def act(self, name: str, value: Any = None) -> dict[str, Any]:
        """Do something; the kernel's word on it."""
        return self.ask("act", name=name, value=value)

    def shown(self, panel: str) -> Any:
        """A value, once the page has it."""
        while panel not in self.values:
            self.until(lambda m: True)
        return self.values[panel]


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    return SQLiteStore(tmp_path / "trace.sqlite")


@pytest.fixture
def look() -> Iterator[Callable[[Any], View]]:
    """A function that opens the panel of something, and its page."""
    panels: list[Any] = []

    def make(panel: Any) -> View:
        panels.append(panel)
        view = View(panel)
        assert view.ask("ready")["t"] == "ack"
        return view

    yield make
    for panel in panels:
        panel.close()


def words(texts: list[str]) -> list[list[float]]:
    return [[float("peanut" in text), float("train" in text), 0.1] for text in texts]


class Embedder(ScriptedProvider):
    """Vectors of which words are there."""

    def embed(self, texts: Any, model: str | None = None) -> Any:
        from gathering.core.messages import Usage
        from gathering.core.offers import Embeddings

        return Embeddings(tuple(tuple(v) for v in words(list(texts))), "words", Usage())


# -- memory --------------------------------------------------------------------------------------------------------


@pytest.fixture
def remembering(store: SQLiteStore) -> gathering.Agent:
    memory = LongTermMemory(embedder=Embedder([]))
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["Yes."]), memory=memory, store=store)
    memory.remember("Bob must not eat peanuts.")
    memory.remember("The train leaves at nine.")
    return ada


def rows(view: View) -> dict[str, dict[str, Any]]:
    return {row["text"]: row for row in view.shown("memory")["rows"]}


def test_a_memory_is_edited_pinned_and_forgotten(remembering: gathering.Agent, look: Any) -> None:
    """What a person does in the editor is done to the memory, and every change is shown."""
    view = look(remembering.memory.panel())
    nuts = rows(view)["Bob must not eat peanuts."]
    assert (nuts["pinned"], nuts["fact"]) == (False, True)
    assert view.act("pin", {"id": nuts["id"], "pinned": True})["t"] == "ack"
    assert rows(view)["Bob must not eat peanuts."]["pinned"]
    assert (
        view.act("edit", {"id": nuts["id"], "text": "Bob may eat peanuts.", "importance": 0.9})["t"] == "ack"
    )
    assert rows(view)["Bob may eat peanuts."]["importance"] == 0.9
    train = rows(view)["The train leaves at nine."]
    assert view.act("forget", {"id": train["id"]})["t"] == "ack"
    assert view.act("add", {"text": "Eve likes tea.", "importance": 0.4})["t"] == "ack"
    memory = remembering.memory
    assert isinstance(memory, LongTermMemory)
    assert [(f.content, f.pinned) for f in memory.facts()] == [
        ("Bob may eat peanuts.", True),
        ("Eve likes tea.", False),
    ]
    assert "(pinned) Bob may eat peanuts." in view.panel.saved.bundle()["text/plain"]


def test_a_memory_is_searched_by_meaning(remembering: gathering.Agent, look: Any) -> None:
    """What was found is there with its score, and an empty search takes it away."""
    view = look(remembering.memory.panel())
    assert view.act("search", {"query": "peanut"})["t"] == "ack"
    found = view.shown("memory")["found"]
    assert [row["text"] for row in found["rows"]][:1] == ["Bob must not eat peanuts."]
    view.act("search", {"query": " "})
    assert view.shown("memory")["found"] is None


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("edit", {"id": "?", "text": "x"}, "not there any more"),
        ("forget", {"id": "?"}, "only facts"),
        ("pin", {"id": "?", "pinned": True}, "memory"),
        ("add", {"text": " "}, "is empty"),
        ("dance", None, "does not know"),
        ("pin", None, "memory"),
    ],
)
def test_what_cannot_be_done_to_a_memory_is_said(
    remembering: gathering.Agent, look: Any, name: str, value: Any, why: str
) -> None:
    refused = look(remembering.memory.panel()).act(name, value)
    assert refused["t"] == "refused"
    assert why in refused["message"]


def test_a_memory_for_reading_takes_no_change(remembering: gathering.Agent, look: Any) -> None:
    view = look(remembering.memory.panel(readonly=True))
    nuts = rows(view)["Bob must not eat peanuts."]
    assert "for reading" in view.act("forget", {"id": nuts["id"]})["message"]
    assert view.act("search", {"query": "train"})["t"] == "ack"


def test_a_window_is_shown_and_its_texts_edited(store: SQLiteStore, look: Any) -> None:
    """A memory without facts has messages, says which are in the context, and refuses what only facts can."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["Blue."]), store=store)
    ada.ask("Which colour?")
    view = look(ada.memory.panel())
    assert set(rows(view)) == {"Which colour?", "Blue."}
    blue = rows(view)["Blue."]
    assert (blue["in_context"], blue["fact"]) == (True, False)
    assert view.act("edit", {"id": blue["id"], "text": "Green."})["t"] == "ack"
    assert ada.memory.get_conversation_history()[-1]["content"] == "Green."
    assert "long-term memory" in view.act("pin", {"id": blue["id"], "pinned": True})["message"]


# -- trace ---------------------------------------------------------------------------------------------------------


@gathering.tool
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


@pytest.fixture
def traced(store: SQLiteStore) -> gathering.Agent:
    script = [
        {"tool_calls": [{"name": "double", "arguments": {"number": 21}}]},
        "It is 42.",
        "You are welcome.",
    ]
    ada = gathering.Agent(
        "ada", llm_provider=ScriptedProvider(script), tools=[double], system_prompt="Be brief.", store=store
    )
    ada.ask("What is twice 21?")
    ada.ask("Thanks.")
    return ada


def test_a_turn_is_a_timeline_of_calls_and_tools(traced: gathering.Agent, look: Any) -> None:
    """Exactly what was sent and what came back, in order; another turn is one act away."""
    view = look(traced.trace.panel())
    turns = view.shown("turns")
    assert [turn["question"] for turn in turns["rows"]] == ["What is twice 21?", "Thanks."]
    assert [turn["calls"] for turn in turns["rows"]] == [2, 1]
    assert turns["open"] == turns["rows"][1]["turn_id"]
    assert view.act("open", {"turn": turns["rows"][0]["turn_id"]})["t"] == "ack"
    turn = view.shown("turn")
    assert [(step["kind"], step["status"]) for step in turn["steps"]] == [
        ("call", "ok"),
        ("tool", "ok"),
        ("call", "ok"),
    ]
    first, tool, last = turn["steps"]
    assert [m["role"] for m in first["sent"]["messages"]] == ["system", "user"]
    assert (
        first["sent"]["messages"][0]["text"] == "Be brief."
        or "Be brief." in first["sent"]["messages"][0]["text"]
    )
    assert '"double"' in first["sent"]["tools"]
    assert (tool["arguments"], tool["result"]) == ('{\n "number": 21\n}', "42")
    assert [m["role"] for m in last["sent"]["messages"]] == ["system", "user", "assistant", "tool"]
    assert last["came"][0]["text"] == "It is 42."
    assert 0 <= tool["start"] <= last["start"] <= turn["ms"]
    assert "tool double: ok" in view.panel.saved.bundle()["text/plain"]


def test_a_turn_of_another_kernel_says_that_its_request_is_gone(
    traced: gathering.Agent, look: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gathering.core import sent

    monkeypatch.setattr(sent, "_kept", {})
    step = look(traced.trace.panel()).shown("turn")["steps"][0]
    assert step["sent"] is None
    assert "the kernel that made them" in step["not_sent"]


def test_an_empty_trace_can_be_looked_at(store: SQLiteStore, look: Any) -> None:
    view = look(gathering.Agent("ada", llm_provider=ScriptedProvider([]), store=store).trace.panel())
    assert view.shown("turns") == {"rows": [], "older": 0, "open": None, "listed": False}


def test_a_turn_there_is_not_is_refused(traced: gathering.Agent, look: Any) -> None:
    with pytest.raises(ConfigurationError, match="has no turn 'x'"):
        traced.trace.panel(turn="x")
    assert "not in the trace" in look(traced.trace.panel()).act("open", {"turn": "x"})["message"]


def test_no_key_is_shown_in_a_trace(store: SQLiteStore, look: Any) -> None:
    key = "sk-proj-" + "a1B2" * 10
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["Kept."]), store=store)
    ada.ask(f"Remember {key}")
    view = look(ada.trace.panel())
    assert key not in str(view.shown("turn")) + str(view.shown("turns")) + str(view.panel.saved.bundle())


# -- grid ----------------------------------------------------------------------------------------------------------


def compared(cases: int, repeats: int = 1, **options: Any) -> Any:
    short = ScriptedProvider([f"answer {i}" for i in range(cases * repeats)], "short")
    long = ScriptedProvider([f"a much longer answer {i}" for i in range(cases * repeats)], "long")
    prompts = [f"question {i}" for i in range(cases)]
    return compare(prompts, [short, long], repeats=repeats, concurrency=1, **options)


def cells(view: View) -> dict[tuple[str, str], str]:
    return {
        (item["cell"]["row"], item["cell"]["column"]): "".join(p["text"] for p in item["parts"])
        for item in view.items
    }


def test_a_grid_pages_sorts_and_filters(look: Any) -> None:
    """A page has its cases and their cells only; the kernel sorts and filters all of them."""
    view = look(compared(25).panel())
    grid = view.shown("grid")
    assert (grid["models"], grid["count"], len(grid["cases"])) == (["short:script", "long:script"], 25, 10)
    assert cells(view)["3", "long:script"] == "a much longer answer 3"
    assert len(view.items) == 20
    view.act("look", {"start": 20})
    assert [case["id"] for case in view.shown("grid")["cases"]] == [str(i) for i in range(21, 26)]
    view.act("look", {"sort": "case", "down": True})
    assert view.shown("grid")["cases"][0]["prompt"] == "question 24"
    view.act("look", {"filter": "ANSWER 7", "down": False})
    assert [case["row"] for case in view.shown("grid")["cases"]] == [7]
    assert set(cells(view)) == {("7", "short:script"), ("7", "long:script")}
    view.act("look", {"filter": "nothing has this"})
    assert (view.shown("grid")["cases"], view.items) == ([], [])
    assert "sorted by" in view.act("look", {"sort": "beauty"})["message"]


def test_a_grid_streams_while_the_comparison_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer grows in its cell, and at the end the cells are what the rows say."""
    from gathering.notebook.grid_panel import GridPanel

    views: list[View] = []
    monkeypatch.setattr(GridPanel, "show", lambda panel: views.append(View(panel)) or views[0].ask("ready"))
    result = compared(2, repeats=2, panel=True)
    (view,) = views
    view.until(lambda m: m["t"] == "reset")
    said = {item["id"]: "".join(p["text"] for p in item["parts"]) for item in view.items}
    assert list(said.values()) == [row["output"] for row in result.rows]
    assert {item["status"] for item in view.items} == {"done"}
    assert view.shown("progress") == {"done": 8, "total": 8}
    view.panel.close()


def test_a_failed_answer_is_a_cell_that_says_why(look: Any) -> None:
    broken = ScriptedProvider([RuntimeError("out of order")], "broken")
    view = look(compare(["Hi"], [broken]).panel())
    (cell,) = view.items
    assert cell["status"] == "error"
    assert "out of order" in cell["error"]["message"]


# -- conversation --------------------------------------------------------------------------------------------------


def talk(store: SQLiteStore, *scripts: Any, **options: Any) -> gathering.Conversation:
    names = ("ada", "bob")
    agents = [
        gathering.Agent(
            n, llm_provider=s if isinstance(s, ScriptedProvider) else ScriptedProvider(s), store=store
        )
        for n, s in zip(names, scripts, strict=True)
    ]
    return gathering.Conversation(agents, **options)


def said(view: View) -> list[tuple[str, str]]:
    return [(item["speaker"], text) for item, text in zip(view.items, view.texts(), strict=True)]


def test_a_conversation_is_watched_and_taken_part_in(store: SQLiteStore, look: Any) -> None:
    """Turn by turn, a word of one's own, and on to the end."""
    view = look(talk(store, ["I am Ada.", "Tea."], ["I am Bob.", "Coffee."], max_turns=4).panel())
    assert view.shown("talk")["speakers"] == ["ada", "bob"]
    view.act("next")
    view.ended()
    assert said(view) == [("ada", "I am Ada.")]
    assert view.ask("send", text="What do you drink?")["t"] == "ack"
    view.ended()
    assert said(view)[1:] == [("you", "What do you drink?"), ("bob", "I am Bob.")]
    view.act("run")
    view.ended()
    assert said(view)[3:5] == [("ada", "Tea."), ("bob", "Coffee.")]
    assert "max_turns" in view.texts()[-1]
    assert view.state["turns"] == 4
    assert "ada" in view.panel.saved.bundle()["text/markdown"]


def test_a_vote_is_shown_with_its_reasons(store: SQLiteStore, look: Any) -> None:
    view = look(talk(store, ["1 because it is warm."], ["1 and nothing else."]).panel())
    view.act("vote", {"question": "Tea or coffee?", "options": ["tea", "coffee"], "rule": "majority"})
    view.ended()
    assert len(view.items) == 1
    assert "**Vote: Tea or coffee?** tea" in view.texts()[0]
    assert "- **bob**: tea" in view.texts()[0]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"question": " "}, "question is empty"),
        ({"question": "What?", "rule": "dice"}, "majority"),
        (None, "empty"),
    ],
)
def test_a_vote_that_cannot_be_held_is_refused(store: SQLiteStore, look: Any, value: Any, why: str) -> None:
    """The form stays as it is, and nobody is asked."""
    view = look(talk(store, [], []).panel())
    refused = view.act("vote", value)
    assert refused["t"] == "refused"
    assert why in refused["message"]
    assert view.items == []


def test_stop_takes_the_turn_back(store: SQLiteStore, look: Any) -> None:
    """What had come stays to be read, the conversation is as before the turn, and it can be taken again."""
    conversation = talk(store, Waiting([]), ["Hello."])
    view = look(conversation.panel())
    view.act("next")
    view.until(lambda m: m["t"] == "delta")
    assert view.ask("stop")["t"] == "ack"
    view.ended()
    assert view.items[0]["status"] == "stopped"
    assert conversation.get_history() == []
    conversation.floor.agents["ada"].llm_provider = ScriptedProvider(["Now."])  # type: ignore[attr-defined]
    view.act("next")
    view.ended()
    assert [m["content"] for m in conversation.get_history()] == ["Now."]


def test_a_failing_speaker_is_said_in_the_log(store: SQLiteStore, look: Any) -> None:
    view = look(talk(store, [RuntimeError("out of order")], ["Hello."]).panel())
    view.act("next")
    view.ended()
    assert view.items[0]["status"] == "error"
    assert "out of order" in view.texts()[-1]


def test_what_a_cell_said_is_shown_too(store: SQLiteStore, look: Any) -> None:
    """After a cell the panel has caught up."""
    from gathering.core.portal import portal

    conversation = talk(store, ["One."], ["Two."], max_turns=2)
    panel = conversation.panel()
    view = look(panel)
    conversation.run("Count.")
    portal().loop.call_soon_threadsafe(panel.catch_up)
    view.until(lambda m: m["t"] == "reset")
    assert view.texts() == ["Count.", "One.", "Two."]


def test_a_conversation_takes_one_thing_at_a_time(store: SQLiteStore, look: Any) -> None:
    conversation = talk(store, Waiting([]), ["Hello."])
    view = look(conversation.panel())
    view.act("next")
    view.until(lambda m: m["t"] == "delta")
    assert "press Stop first" in view.act("next")["message"]
    view.ask("stop")
    view.ended()
    assert "for reading" in look(conversation.panel(readonly=True)).act("next")["message"]


def test_speakers_that_speak_at_once_stream_at_once(store: SQLiteStore, look: Any) -> None:
    conversation = talk(store, ["Left."], ["Right."], strategy="everyone", max_turns=1)
    view = look(conversation.panel())
    view.act("run")
    view.ended()
    assert sorted(said(view)[:2]) == [("ada", "Left."), ("bob", "Right.")]
    assert asyncio.run(conversation.process_turn_async()) == []


@gathering.tool(permissions=["write"])
def plant(what: str) -> str:
    """Plant something."""
    return f"{what} is planted"


@pytest.mark.parametrize(("effect", "left"), [("allow", "oak is planted"), ("deny", "was not allowed")])
def test_a_speaker_s_tool_is_decided_in_the_panel(
    store: SQLiteStore, look: Any, effect: str, left: str
) -> None:
    """The turn waits for the person's word, and goes on with what it led to."""
    wants = {"tool_calls": [{"name": "plant", "arguments": {"what": "oak"}}]}
    ada = gathering.Agent(
        "ada",
        llm_provider=ScriptedProvider([wants, lambda messages: messages[-1]["content"]]),
        tools=[plant],
        permissions=["ask * write"],
        store=store,
    )
    bob = gathering.Agent("bob", llm_provider=ScriptedProvider(["Fine."]), store=store)
    view = look(gathering.Conversation([ada, bob]).panel())
    view.act("next")
    asked = view.until(lambda m: m["t"] == "tool" and m["call"]["state"] == "asked")
    assert view.ask("decide", call=asked["call"]["id"], effect=effect)["t"] == "ack"
    view.ended()
    assert left in view.texts()[0]
    assert "nobody waits" in view.ask("decide", call=asked["call"]["id"], effect=effect)["message"]


# -- elsewhere -----------------------------------------------------------------------------------------------------


def test_where_nothing_can_hide_it_the_transcript_is_folded(
    remembering: gathering.Agent, look: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VS Code shows view and transcript below each other: there it is one line until it is opened."""
    from gathering.notebook import saved

    shown: list[dict[str, str]] = []
    monkeypatch.setattr(saved, "way_of", lambda shell: "live")
    monkeypatch.setattr("IPython.core.getipython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append(data))
    panel = look(remembering.memory.panel()).panel
    panel.show()
    monkeypatch.setenv("VSCODE_PID", "1")
    panel.show()
    assert not shown[1]["text/html"].startswith("<details>")
    assert shown[3]["text/html"].startswith("<details><summary>transcript</summary>")
    assert shown[1]["text/plain"] == shown[3]["text/plain"]


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_nbconvert_keeps_the_transcripts(
    store: SQLiteStore, remembering: gathering.Agent, traced: gathering.Agent, look: Any, form: str
) -> None:
    """A page and a Markdown file made of the notebook have what every panel showed, and nothing of it twice."""
    import nbconvert
    import nbformat

    conversation = talk(store, ["Trees."], ["A bridge."], max_turns=2)
    conversation.run("What first?")
    panels = [conversation.panel(), remembering.memory.panel(), traced.trace.panel(), compared(1).panel()]
    book: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for panel in panels:
        look(panel)
        outputs = [
            nbformat.v4.new_output("display_data", data=data)  # type: ignore[no-untyped-call]
            for data in (panel.view_bundle(), panel.saved.bundle())
        ]
        book.cells.append(nbformat.v4.new_code_cell("panel", outputs=outputs))  # type: ignore[no-untyped-call]
    exporter = nbconvert.HTMLExporter if form == "html" else nbconvert.MarkdownExporter
    text, _ = exporter().from_notebook_node(book)
    for said in ("A bridge.", "Bob must not eat peanuts.", "Thanks.", "a much longer answer 0"):
        assert text.count(said) == 1, said
