"""Window memory: everything said in this process, and the newest whole turns of it that fit into the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.agents.memory_frame import memory_frame
from gathering.core import display
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import IAgent, IMemory
from gathering.core.messages import MessageDict
from gathering.core.session import new_id, now

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WindowMemory", "readable"]


@dataclass(slots=True)
class _Kept:
    memory_id: str
    message: MessageDict
    created_at: float
    tokens: int | None = None


class WindowMemory(IMemory):
    """The conversation, oldest first; ``get_context_window`` cuts it at a user's message so that it fits.

    ``max_tokens`` bounds the window below what the model could hold. ``count_tokens`` counts a text's tokens;
    an agent hands in its provider's count when none is given.
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        *,
        count_tokens: Callable[[str], int] | None = None,
        agent: str = "",
    ) -> None:
        if max_tokens is not None and max_tokens < 1:
            raise ConfigurationError(f"max_tokens {max_tokens!r} of the memory is not usable: give 1 or more")
        self.max_tokens, self.count_tokens, self.agent = max_tokens, count_tokens, agent
        self._kept: list[_Kept] = []
        self._budget: int | None = max_tokens

    def add_message(self, message: MessageDict) -> None:
        """Keep one message."""
        self._kept.append(_Kept(new_id(), dict(message), now()))

    def get_conversation_history(self, limit: int | None = None) -> list[MessageDict]:
        """The messages kept, oldest first; the last ``limit`` of them if given."""
        messages = [dict(k.message) for k in self._kept]
        return messages if limit is None else messages[max(0, len(messages) - limit) :]

    def get_context_window(self, max_tokens: int | None = None) -> list[MessageDict]:
        """The newest whole turns within ``max_tokens`` and the memory's own bound, oldest first."""
        bounds = [b for b in (max_tokens, self.max_tokens) if b is not None]
        self._budget = min(bounds) if bounds else None
        return [dict(k.message) for k in self._kept[self._first_in_context() :]]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def fork(self, messages: Sequence[MessageDict]) -> WindowMemory:
        """A memory of its own with the same bounds and these messages; those it had keep their id and time."""
        twin = copy(self)
        twin._kept = []
        for i, message in enumerate(messages):
            if i < len(self._kept) and self._kept[i].message == message:
                twin._kept.append(copy(self._kept[i]))
            else:
                twin.add_message(message)
        return twin

    def join(self, agent: IAgent) -> None:
        """Take over the agent's name and its model's way of counting, unless they are known already."""
        self.agent = self.agent or str(getattr(agent, "name", ""))
        self.count_tokens = self.count_tokens or getattr(agent, "count_tokens", None)

    def df(self) -> pd.DataFrame:
        """One row for each message: ``memory_id, agent, kind, content, tokens, in_context, created_at, ...``.

        ``kind`` is the message's role; ``in_context`` says whether the next call would be sent it, ``why`` the reason.
        ``importance``, ``pinned``, ``embedder`` and ``score`` are those of long-term memory, missing here.
        """
        return memory_frame(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``df``."""
        first = self._first_in_context()
        return [self._row(k, i >= first) for i, k in enumerate(self._kept)]

    def older(self) -> list[tuple[str, MessageDict]]:
        """The messages that no longer fit into the window, with their ids, oldest first."""
        return [(k.memory_id, dict(k.message)) for k in self._kept[: self._first_in_context()]]

    def edit(self, memory_id: str, content: str) -> bool | None:
        """Give a message another text; whether that changed it, None for an id that is not of this memory."""
        kept = next((k for k in self._kept if k.memory_id == memory_id), None)
        if kept is None:
            return None
        if content == readable(kept.message):
            return False
        kept.message, kept.tokens = {**kept.message, "content": content}, None
        return True

    def update(self, frame: pd.DataFrame) -> int:
        """Take over the texts that were edited in the frame of ``df()``; how many. Raises ``UnknownNameError``."""
        changed = 0
        for memory_id, content in zip(frame["memory_id"], frame["content"], strict=True):
            change = self.edit(str(memory_id), str(content))
            if change is None:
                raise UnknownNameError("memory", str(memory_id), [k.memory_id for k in self._kept])
            changed += change
        return changed

    def _row(self, kept: _Kept, in_context: bool) -> dict[str, Any]:
        return {
            "memory_id": kept.memory_id,
            "agent": self.agent,
            "kind": kept.message["role"],
            "content": readable(kept.message),
            "tokens": self._tokens(kept),
            "in_context": in_context,
            "created_at": kept.created_at,
            "why": "in the window" if in_context else "older than the window",
        }

    def _first_in_context(self) -> int:
        """The index of the first message of the window; a turn is sent whole or not at all."""
        if self._budget is None:
            return 0
        total, first = 0, len(self._kept)
        for index in range(len(self._kept) - 1, -1, -1):
            total += self._tokens(self._kept[index])
            if total > self._budget:
                break
            if self._kept[index].message["role"] == "user":
                first = index
        return first

    def _tokens(self, kept: _Kept) -> int:
        if kept.tokens is None:
            text = readable(kept.message)
            kept.tokens = int(self.count_tokens(text)) if self.count_tokens else len(text) // 4 + 1
        return kept.tokens

    def __len__(self) -> int:
        """How many messages are kept."""
        return len(self._kept)

    def __repr__(self) -> str:
        """How much is remembered, and how much of it is in the context."""
        inside = len(self._kept) - self._first_in_context()
        return f"WindowMemory({len(self._kept)} messages, {inside} in context)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = [(str(k.message["role"]), readable(k.message)) for k in self._kept]
        return display.card(repr(self), rows)


def readable(message: MessageDict) -> str:
    """The message's text; a call without text is shown as the calls it makes."""
    text = str(message.get("content") or "")
    calls = ", ".join(
        f"{c['name']}({', '.join(f'{k}={v!r}' for k, v in c['arguments'].items())})"
        for c in message.get("tool_calls") or ()
    )
    return f"{text}\n{calls}".strip() if calls else text
