"""A turn that an earlier process began and did not end, read back from the trace so that an agent can go on with it.

Owns what is found, what of it is sure, and what is told where nothing is. How the turn goes on is the flow's
(``gathering.core.flow``): a call that waited for a person asks again, one that may have run is not run a second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.agents.branches import Row, path_of
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import IRecorder
from gathering.core.messages import Message, ToolCall
from gathering.core.recording import TurnRecord
from gathering.core.results import ToolPermission, ToolResult
from gathering.core.session import session_id

if TYPE_CHECKING:
    from gathering.agents.agent import Agent

__all__ = ["CutTurn", "recall_turns", "take_up"]

_LOST = ToolResult(
    success=False,
    error="the process ended while it ran: whether it was done is not known, so look before you repeat it",
)
#: What the trace keeps of a message beside what its provider wants back.
_OURS = frozenset({"tool_call", "tool_result", "image"})


@dataclass(frozen=True, slots=True)
class CutTurn:
    """What there is of the turn: all that was said, tool calls to settle now, and calls whose end nobody knows."""

    turn_id: str
    said: tuple[Message, ...]
    call_id: str = ""
    waiting: tuple[ToolCall, ...] = ()
    lost: tuple[ToolCall, ...] = ()

    def tell(self, record: TurnRecord) -> list[Message]:
        """Everything said, with an answer for each lost call; their rows are put."""
        said = list(self.said)
        for call in self.lost:
            record.tool_result(call, self.call_id, _LOST, None)
            said.append(_answer(call, _LOST))
            record.message(said[-1], self.call_id)
        return said


def take_up(agent: Agent, recorder: IRecorder, conversation: str | None) -> CutTurn:
    """The cut turn; the agent has the conversation it belongs to then, and remembers what was said before.

    Raises ``ConfigurationError`` where there is none, or the agent has taken turns of its own.
    """
    if len(agent.turns):
        raise ConfigurationError(
            f"{agent.name!r} has taken a turn already: make the agent anew, then resume() before the first question"
        )
    newest = _conversation(agent.name, recorder, conversation)[-1]
    found = newest["conversation"]
    path = path_of(recorder, found)
    if not path or path[-1][0]["turn_id"] != newest["turn_id"]:
        raise ConfigurationError(f"the last turn of {agent.name!r} was taken back: ask the next question")
    calls, tool_calls = _acts(recorder, path)
    *earlier, last = path
    cut = _cut(agent.name, last, calls, tool_calls)
    _restore(agent, earlier, calls, tool_calls)
    agent.conversation = found
    # Now it is this kernel's, also in the eyes of another one that looks for what it could take up.
    recorder.put("messages", {"message_id": last[0]["message_id"], "session": session_id()})
    recorder.flush()
    return cut


def recall_turns(agent: Agent, recorder: IRecorder, conversation: str) -> None:
    """Let an agent that is new remember a conversation, what led to it and nothing that was taken back."""
    path = path_of(recorder, conversation)
    _restore(agent, path, *_acts(recorder, path))


def _acts(recorder: IRecorder, path: Sequence[Sequence[Row]]) -> tuple[dict[str, Row], list[Row]]:
    """The calls by their ids, and the tool calls, of all conversations the path leads through."""
    through = {"conversation": sorted({rows[0]["conversation"] for rows in path})}
    calls = {row["call_id"]: dict(row) for row in recorder.rows("calls", through)}
    return calls, [dict(row) for row in recorder.rows("tool_calls", through)]


def _conversation(name: str, recorder: IRecorder, wanted: str | None) -> list[Row]:
    """The messages of the newest conversation that belongs to no process that still runs."""
    rows = list(recorder.rows("messages", {"agent": name, **({"conversation": wanted} if wanted else {})}))
    running = recorder.living() | {session_id()}
    taken = {row["conversation"] for row in rows if row["session"] in running}
    left = [row for row in rows if row["conversation"] not in taken]
    if not left:
        where = f"the conversation {wanted!r}" if wanted else "the trace"
        busy = (
            "a kernel that still runs has it" if taken else f"{where} has no message of an agent of that name"
        )
        raise ConfigurationError(f"{name!r} has nothing to resume ({busy}): ask the next question")
    return [row for row in left if row["conversation"] == left[-1]["conversation"]]


def _cut(name: str, rows: Sequence[Row], calls: dict[str, Row], tool_calls: Sequence[Row]) -> CutTurn:
    whole = [row for row in rows if not _is_partial(row, calls)]
    said = _messages(whole, tool_calls)
    if not said or (said[-1].role == "assistant" and not said[-1].tool_calls):
        raise ConfigurationError(f"the last turn of {name!r} came to its end: ask the next question")
    if any(part.get("type") == "image" for part in whole[0]["parts"] or ()):
        raise ConfigurationError(
            f"the turn of {name!r} that was cut began with images, which the trace does not keep: ask it again with them"
        )
    turn_id = str(rows[0]["turn_id"])
    open_calls = _open(said)
    if not open_calls:
        return CutTurn(turn_id, tuple(said))
    call_id = next(str(row["call_id"]) for row in reversed(whole) if row["role"] == "assistant")
    done = {row["tool_call_id"]: row for row in tool_calls if row["call_id"] == call_id}
    ended = [call for call in open_calls if done.get(call.id, {}).get("success") is not None]
    said += [_answer(call, _result(done[call.id])) for call in ended]
    left = [call for call in open_calls if call not in ended]
    waiting = [call for call in left if _may_run_again(call, left, done)]
    lost = [call for call in left if call not in waiting]
    return CutTurn(turn_id, tuple(said), call_id, tuple(waiting), tuple(lost))


def _may_run_again(call: ToolCall, left: Sequence[ToolCall], rows: dict[str, Row]) -> bool:
    """Whether it has not run for sure, since all of an answer wait for one question; or did no more than read."""
    asked = any(rows.get(other.id, {}).get("decision") == "ask" for other in left)
    return asked or rows.get(call.id, {}).get("permission") in (None, ToolPermission.READ.value)


def _restore(
    agent: Agent, turns: Iterable[Sequence[Row]], calls: dict[str, Row], acts: Sequence[Row]
) -> None:
    """Let the agent remember the turns before; those that were cut before an answer are left out, as they always are."""
    knows = bool(
        agent.memory.get_conversation_history()
    )  # a memory that outlives its kernel has them already
    for rows in turns:
        said = _messages([row for row in rows if row["content"] or row["parts"]], acts)
        if len(said) < 2 or _open(said):
            continue
        asked = [calls[row["call_id"]] for row in rows if row["call_id"] in calls]
        model = f"{asked[-1]['provider']}:{asked[-1]['model']}" if asked else agent.model
        agent.turns.add(str(rows[0]["turn_id"]), model, said)
        for message in () if knows else said:
            agent.memory.add_message(message.to_dict())


def _is_partial(row: Row, calls: dict[str, Row]) -> bool:
    call = calls.get(row["call_id"] or "")
    return row["role"] == "assistant" and call is not None and call["status"] != "ok"


def _open(said: Sequence[Message]) -> list[ToolCall]:
    """The tool calls that have no answer."""
    answered = {message.tool_call_id for message in said if message.role == "tool"}
    asking = next((message for message in reversed(said) if message.role == "assistant"), None)
    return [call for call in (asking.tool_calls if asking else ()) if call.id not in answered]


def _messages(rows: Iterable[Row], tool_calls: Sequence[Row]) -> list[Message]:
    failed = {(r["call_id"], r["tool_call_id"]) for r in tool_calls if r["success"] is False}
    return [_message(row, failed) for row in rows]


def _message(row: Row, failed: set[tuple[Any, Any]]) -> Message:
    parts: list[Any] = row["parts"] or []
    answers: Row = next((part for part in parts if part.get("type") == "tool_result"), {})
    identity = answers.get("id")
    return Message(
        row["role"],
        row["content"] or "",
        tool_calls=tuple(ToolCall.from_dict(part) for part in parts if part.get("type") == "tool_call"),
        tool_call_id=identity,
        name=answers.get("name"),
        parts=tuple(part for part in parts if part.get("type") not in _OURS),
        is_error=(row["call_id"], identity) in failed,
    )


def _result(row: Row) -> ToolResult:
    return ToolResult(bool(row["success"]), row["output"], row["error"])


def _answer(call: ToolCall, result: ToolResult) -> Message:
    return Message("tool", result.text(), tool_call_id=call.id, name=call.name, is_error=not result.success)
