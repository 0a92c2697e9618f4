"""A kernel that dies in the middle of a turn: another process goes on with it, and nothing is lost or done twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.core.errors import ConfigurationError
from gathering.core.permissions import Decision, PermissionRequest, set_asker
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

# Says where it is, and then waits to be killed.
PROGRAM = """
import sys, threading
import gathering
from gathering.core.permissions import Decision, set_asker
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

store, dies = SQLiteStore(sys.argv[1]), sys.argv[2]

def die(where):
    if where == dies:
        store.flush()
        print("waiting", flush=True)
        threading.Event().wait()

@gathering.tool(permissions=["write"])
def publish(text: str) -> str:
    "Put a text on the wall."
    die("in the tool")
    return "published"

@gathering.tool(permissions=["read"])
def look(text: str) -> str:
    "Look at the wall."
    die("in a reading tool")
    return "an empty wall"

def asker(request):
    die("at the question")
    return Decision("allow", "person")

def last(messages):
    die("before the answer")
    return "never said"

name = "look" if dies == "in a reading tool" else "publish"
wants = {"content": "One moment.", "tool_calls": [{"name": name, "arguments": {"text": "hello"}}]}
set_asker(asker)
ada = gathering.Agent(
    "ada", llm_provider=ScriptedProvider(["Good morning.", wants, last]), tools=[publish, look],
    permissions=["allow look", "ask publish"], store=store,
)
ada.ask("Hello.")
ada.ask("Write hello on the wall.")
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace.sqlite"


@pytest.fixture(autouse=True)
def nobody_is_asked_afterwards() -> Iterator[None]:
    yield
    set_asker(None)


def killed(trace: Path, where: str) -> None:
    """A process that was killed at this place of its second turn."""
    command = [sys.executable, "-c", PROGRAM, str(trace), where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGKILL)


def reborn(trace: Path, *answers: Any) -> tuple[gathering.Agent, list[str], ScriptedProvider]:
    """The agent, made anew in this process, with what its tools did here."""
    done: list[str] = []

    @gathering.tool(permissions=["write"])
    def publish(text: str) -> str:
        """Put a text on the wall."""
        done.append(text)
        return f"published {text}"

    @gathering.tool(permissions=["read"])
    def look(text: str) -> str:
        """Look at the wall."""
        done.append(f"looked for {text}")
        return "an empty wall"

    provider = ScriptedProvider(list(answers))
    ada = gathering.Agent(
        "ada",
        llm_provider=provider,
        tools=[publish, look],
        permissions=["allow look", "ask publish"],
        store=SQLiteStore(trace),
    )
    return ada, done, provider


def answer(decision: Decision) -> list[PermissionRequest]:
    asked: list[PermissionRequest] = []

    def asker(request: PermissionRequest) -> Decision:
        asked.append(request)
        return decision

    set_asker(asker)
    return asked


def test_a_turn_that_waited_for_a_person_asks_again_and_goes_on(trace: Path) -> None:
    """Killed while the asker waited: the same question, then the tool, then the answer, all in the same turn's rows."""
    killed(trace, "at the question")
    asked = answer(Decision("allow", "person"))
    ada, done, provider = reborn(trace, "It is on the wall.")
    reply = ada.resume()
    assert (reply.text, done, len(asked)) == ("It is on the wall.", ["hello"], 1)
    assert (asked[0].tool, asked[0].call.arguments) == ("publish", {"text": "hello"})
    sent = [(m["role"], m["content"]) for m in provider.requests[0].messages]
    assert sent[-5:] == [
        ("user", "Hello."),
        ("assistant", "Good morning."),
        ("user", "Write hello on the wall."),
        ("assistant", "One moment."),
        ("tool", "published hello"),
    ]
    rows = ada.trace.tool_calls()
    assert rows[["tool", "decision", "decided_by", "success", "output"]].values.tolist() == [
        ["publish", "allow", "person", True, "published hello"]
    ]
    assert ada.trace.calls()["turn_id"].nunique() == 2
    assert rows["turn_id"].iloc[0] == reply.turn_id == ada.turns[1].turn_id
    assert [turn.answer for turn in ada.turns] == ["Good morning.", "It is on the wall."]
    assert list(ada.trace.messages()["content"]).count("Write hello on the wall.") == 1


def test_the_waiting_question_may_be_denied(trace: Path) -> None:
    """The tool does not run; the model is told."""
    killed(trace, "at the question")
    answer(Decision("deny", "person", "not today"))
    ada, done, _ = reborn(trace, lambda messages: messages[-1]["content"])
    assert ada.resume().text == "Error: publish was not allowed to run: not today"
    assert done == []


async def test_a_cut_turn_is_gone_on_with_in_an_awaited_call(trace: Path) -> None:
    """As in a plain one, and the next question follows on it."""
    killed(trace, "at the question")
    answer(Decision("allow", "person"))
    ada, done, provider = reborn(trace, "Done.", "You are welcome.")
    assert (await ada.resume_async()).text == "Done."
    assert (await ada.ask_async("Thanks.")).text == "You are welcome."
    assert [m["content"] for m in provider.requests[1].messages][-2:] == ["Done.", "Thanks."]
    assert done == ["hello"]


def test_a_tool_that_may_have_run_is_not_run_again(trace: Path) -> None:
    """Killed inside of a tool that writes: nobody knows how far it came, so the model is told just that."""
    killed(trace, "in the tool")
    asked = answer(Decision("allow", "person"))
    ada, done, _ = reborn(trace, lambda messages: messages[-1]["content"])
    assert "whether it was done is not known" in ada.resume().text
    assert (done, asked) == ([], [])
    row = ada.trace.tool_calls().iloc[-1]
    assert (row["success"], row["decision"]) == (False, "allow")


def test_a_tool_that_only_reads_is_run_again(trace: Path) -> None:
    """Reading twice harms nobody."""
    killed(trace, "in a reading tool")
    ada, done, _ = reborn(trace, lambda messages: messages[-1]["content"])
    assert ada.resume().text == "an empty wall"
    assert done == ["looked for hello"]


def test_a_turn_that_was_cut_at_the_model_asks_the_model_again(trace: Path) -> None:
    """What the tool gave before is not asked for a second time."""
    killed(trace, "before the answer")
    ada, done, provider = reborn(trace, "It is there.")
    assert ada.resume().text == "It is there."
    assert provider.requests[0].messages[-1]["content"] == "published"
    assert done == []
    assert list(ada.trace.calls()["status"]) == ["ok", "ok", "interrupted", "ok"]


def test_what_has_been_resumed_is_not_resumed_twice(trace: Path) -> None:
    """The second agent is told that a kernel which still runs has the conversation."""
    killed(trace, "at the question")
    answer(Decision("allow", "person"))
    reborn(trace, "Done.")[0].resume()
    with pytest.raises(ConfigurationError, match="a kernel that still runs has it"):
        reborn(trace)[0].resume()


def test_where_nothing_was_cut_it_is_said(trace: Path) -> None:
    """An agent nobody knows, a turn that came to its end, an agent with turns of its own: one line each."""
    ada, _, _ = reborn(trace, "Hi.")
    with pytest.raises(ConfigurationError, match="no message of an agent of that name"):
        ada.resume()
    rows = SQLiteStore(trace)
    said = {"conversation": "c", "agent": "ada", "turn_id": "t", "session": "gone", "parts": []}
    rows.put("messages", {**said, "message_id": "1", "role": "user", "content": "Hello."})
    rows.put("messages", {**said, "message_id": "2", "role": "assistant", "content": "Hi.", "call_id": "k"})
    rows.put("calls", {"call_id": "k", "turn_id": "t", "conversation": "c", "status": "ok"})
    rows.flush()
    with pytest.raises(ConfigurationError, match="came to its end"):
        ada.resume("c")
    ada.ask("Hello.")
    with pytest.raises(ConfigurationError, match="has taken a turn already"):
        ada.resume()


def test_a_turn_with_an_image_is_asked_anew(trace: Path) -> None:
    """The trace keeps what an image was, not the image: going on without it would be another question."""
    ada, _, _ = reborn(trace)
    rows = SQLiteStore(trace)
    row = {"message_id": "1", "conversation": "c", "agent": "ada", "turn_id": "t", "session": "gone"}
    rows.put("messages", {**row, "role": "user", "content": "What is it?", "parts": [{"type": "image"}]})
    rows.flush()
    with pytest.raises(ConfigurationError, match="began with images"):
        ada.resume()


def test_a_half_written_answer_is_not_gone_on_from(trace: Path) -> None:
    """The text that had arrived stays in the trace; the model is asked for the whole of it."""
    rows = SQLiteStore(trace)
    row = {"conversation": "c", "agent": "ada", "turn_id": "t", "session": "gone", "parts": []}
    rows.put("messages", {**row, "message_id": "1", "role": "user", "content": "Count."})
    rows.put(
        "messages", {**row, "message_id": "2", "role": "assistant", "content": "One, tw", "call_id": "k"}
    )
    call = {"call_id": "k", "turn_id": "t", "conversation": "c", "session": "gone", "status": "started"}
    rows.put("calls", call)
    rows.flush()
    ada, _, provider = reborn(trace, "One, two, three.")
    assert ada.resume().text == "One, two, three."
    assert [m["content"] for m in provider.requests[0].messages][-1] == "Count."
    assert "One, tw" in list(ada.trace.messages()["content"])
