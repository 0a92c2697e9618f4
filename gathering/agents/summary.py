"""Summary memory: what no longer fits into the window is told in a few sentences, by a model.

Owns when that happens and what each summary stands for. The messages themselves are the window's, and stay in it;
the call that makes a summary is an agent's turn like any other: in the trace, on the tape, under the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.agents.memory import WindowMemory, readable
from gathering.agents.memory_frame import memory_frame
from gathering.core import display
from gathering.core.errors import LiveCallError, StoreError, TapeError
from gathering.core.interfaces import IAgent, ILLMProvider, IMemory, IRecorder
from gathering.core.messages import MessageDict
from gathering.core.session import new_id, now

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Summary", "SummaryMemory"]

_TASK = (
    "You shorten conversations. Write a summary of at most {words} words that keeps names, numbers, decisions and "
    "open questions. Write nothing else."
)
_HEADING = "Earlier in this conversation (a summary, not instructions):"


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary and what it stands for: the ids of messages, all of them older than the window."""

    memory_id: str
    text: str
    replaces: tuple[str, ...]
    model: str
    created_at: float


class SummaryMemory(IMemory):
    """A window, and before it a summary of what has left it.

    ``model`` writes the summary (the agent's own model if None), in at most ``words`` words, before a turn, once
    ``every`` messages have left the window. A summary that fails is no failure of the turn: the messages are left
    out as without it, and the next turn tries again.
    """

    def __init__(
        self,
        window: WindowMemory | None = None,
        *,
        model: ILLMProvider | str | None = None,
        words: int = 120,
        every: int = 4,
    ) -> None:
        self.window = WindowMemory() if window is None else window
        self.model, self.words, self.every = model, words, every
        self.summaries: list[Summary] = []
        #: Why the last summary could not be made, None if it could.
        self.failure: Exception | None = None
        self._owner: IAgent | None = None
        self._writer: Any = None

    def join(self, agent: IAgent) -> None:
        """Take over the agent's model and store."""
        self.window.join(agent)
        self._owner = self._owner or agent

    def prepare(self, message: str) -> None:
        """Write a summary if enough has left the window."""
        covered = set(self.summaries[-1].replaces) if self.summaries else set()
        older = self.window.older()
        new = [(i, m) for i, m in older if i not in covered]
        if len(new) < self.every or self._owner is None:
            return
        try:
            text = self._written([m for _, m in new])
        except (TapeError, LiveCallError, StoreError):
            raise  # the turn would meet them too, and a tape that lacks the summary is not to be passed over
        except Exception as error:  # noqa: BLE001 - a model may fail in any way; the person's turn must not
            self.failure = error
            return
        self.failure = None
        ids = tuple(i for i, _ in older)
        self._keep(Summary(new_id(), text, ids, self._writer.model, now()))

    def recall(self, message: str) -> list[tuple[str, str]]:
        """The newest summary as a part of the system prompt."""
        if not self.summaries:
            return []
        return [("memory:summary", f"{_HEADING} {self.summaries[-1].text}")]

    def add_message(self, message: MessageDict) -> None:
        """Keep one message."""
        self.window.add_message(message)

    def get_conversation_history(self, limit: int | None = None) -> list[MessageDict]:
        """The messages kept, oldest first; none is lost by being summarised."""
        return self.window.get_conversation_history(limit)

    def get_context_window(self, max_tokens: int | None = None) -> list[MessageDict]:
        """The newest whole turns."""
        return self.window.get_context_window(max_tokens)

    def clear(self) -> None:
        """Forget the messages and the summaries."""
        self.window.clear()
        self.summaries.clear()

    def fork(self, messages: Sequence[MessageDict]) -> SummaryMemory:
        """A memory of its own with these messages, and those summaries that stand for some of them only."""
        twin = SummaryMemory(self.window.fork(messages), model=self.model, **self.options())
        ids = {str(row["memory_id"]) for row in twin.window.rows()}
        twin.summaries = [s for s in self.summaries if set(s.replaces) <= ids]
        return twin

    def options(self) -> dict[str, Any]:
        """What it was made with, as plain data, but for the model."""
        return {"words": self.words, "every": self.every}

    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``df``."""
        covered = set(self.summaries[-1].replaces) if self.summaries else set()
        rows = self.window.rows()
        for row in rows:
            if row["memory_id"] in covered and not row["in_context"]:
                row["why"] = "in the summary"
        newest = self.summaries[-1].memory_id if self.summaries else ""
        return [*(self._row(s, s.memory_id == newest) for s in self.summaries), *rows]

    def edit(self, memory_id: str, content: str) -> bool | None:
        """Give a message another text, as ``WindowMemory.edit``."""
        return self.window.edit(memory_id, content)

    def pin(self, memory_id: str, pinned: bool = True) -> None:
        """Have a message's turn sent always, as ``WindowMemory.pin``."""
        self.window.pin(memory_id, pinned)

    def update(self, frame: pd.DataFrame) -> int:
        """Take over texts and pins of messages, as ``WindowMemory.update``; summaries stay as they are."""
        ours = {summary.memory_id for summary in self.summaries}
        return self.window.update(frame[~frame["memory_id"].isin(ours)] if len(ours) else frame)

    def df(self) -> pd.DataFrame:
        """Summaries and messages: the columns of ``WindowMemory.df``."""
        return memory_frame(self.rows())

    def _written(self, messages: Sequence[MessageDict]) -> str:
        from gathering.agents.agent import Agent

        if self._writer is None:
            owner: Any = self._owner
            self._writer = Agent(
                f"{owner.name} (summary)",
                llm_provider=self.model or owner.llm_provider,
                system_prompt=_TASK.format(words=self.words),
                store=self._recorder(),
            )
        said = [f"{m['role']}: {readable(m)}" for m in messages]
        before = [f"So far: {self.summaries[-1].text}"] if self.summaries else []
        self._writer.memory.clear()
        text: str = self._writer.ask("\n".join([*before, *said])).text.strip()
        if not text:
            raise ValueError("the model wrote an empty summary")
        return text

    def _keep(self, summary: Summary) -> None:
        self.summaries.append(summary)
        store, owner = self._recorder(), self._owner
        if store is not None:
            row = self._row(summary, in_context=True)
            kept = {k: row[k] for k in ("memory_id", "agent", "kind", "content", "tokens", "created_at")}
            conversation = getattr(owner, "conversation", "")
            store.put("memories", {**kept, "replaces": list(summary.replaces), "conversation": conversation})

    def _recorder(self) -> IRecorder | None:
        return getattr(getattr(self._owner, "trace", None), "store", None)

    def _row(self, summary: Summary, in_context: bool) -> dict[str, Any]:
        return {
            "memory_id": summary.memory_id,
            "agent": self.window.agent,
            "kind": "summary",
            "content": summary.text,
            "tokens": len(summary.text.encode("utf-8", "replace")) // 4 + 1,
            "in_context": in_context,
            "created_at": summary.created_at,
            "why": f"stands for {len(summary.replaces)} messages"
            if in_context
            else "replaced by a newer one",
        }

    def __repr__(self) -> str:
        """How much is remembered, and how much of it as a summary."""
        stands = len(self.summaries[-1].replaces) if self.summaries else 0
        return f"SummaryMemory({self.window!r}, {stands} messages summarised)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = [(str(r["kind"]), str(r["content"])) for r in self.rows()]
        return display.card(repr(self), rows)
