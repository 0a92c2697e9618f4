"""Window memory: everything said in this process, and the newest whole turns of it that fit into the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.agents.memory_frame import cell, cell_text, frame_rows, memory_frame
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
    pinned: bool = False


class WindowMemory(IMemory):
    """The conversation, oldest first; ``get_context_window`` cuts it at a user's message so that it fits.

    The turn of a message that is pinned is sent before any other. ``max_tokens`` bounds the window below what the model could hold. ``count_tokens`` counts a text's tokens;
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
        """Pinned and then the newest whole turns within ``max_tokens`` and the memory's own bound, oldest first."""
        bounds = [b for b in (max_tokens, self.max_tokens) if b is not None]
        self._budget = min(bounds) if bounds else None
        return [dict(k.message) for k, sent in zip(self._kept, self._sent(), strict=True) if sent]

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
        return [self._row(k, sent) for k, sent in zip(self._kept, self._sent(), strict=True)]

    def older(self) -> list[tuple[str, MessageDict]]:
        """The messages that no longer fit into the window, with their ids, oldest first."""
        together = zip(self._kept, self._sent(), strict=True)
        return [(k.memory_id, dict(k.message)) for k, sent in together if not sent]

    def edit(self, memory_id: str, content: str) -> bool | None:
        """Give a message another text; whether that changed it, None for an id that is not of this memory."""
        kept = next((k for k in self._kept if k.memory_id == memory_id), None)
        if kept is None:
            return None
        if content == readable(kept.message):
            return False
        kept.message, kept.tokens = {**kept.message, "content": content}, None
        return True

    def pin(self, memory_id: str, pinned: bool = True) -> None:
        """Have a message's turn sent as long as there is room for it at all, or no longer. Raises ``UnknownNameError``."""
        self._of(memory_id).pinned = pinned

    def update(self, frame: pd.DataFrame) -> int:
        """Take over texts and pins that were edited in the frame of ``df()``; how many rows changed.

        Columns and rows that are not in the frame stay as they are. Raises ``UnknownNameError``, with nothing changed.
        """
        rows = frame_rows(frame)
        kept = [self._of(cell_text(row.get("memory_id"))) for row in rows]
        changed = 0
        for row, one in zip(rows, kept, strict=True):
            pinned = bool(cell(row.get("pinned"), one.pinned))
            content = cell(row.get("content"), None)
            edited = content is not None and self.edit(one.memory_id, str(content))
            changed += bool(edited or pinned != one.pinned)
            one.pinned = pinned
        return changed

    def _of(self, memory_id: str) -> _Kept:
        found = next((k for k in self._kept if k.memory_id == memory_id), None)
        if found is None:
            raise UnknownNameError("memory", memory_id, [k.memory_id for k in self._kept])
        return found

    def _row(self, kept: _Kept, in_context: bool) -> dict[str, Any]:
        return {
            "memory_id": kept.memory_id,
            "agent": self.agent,
            "kind": kept.message["role"],
            "content": readable(kept.message),
            "tokens": self._tokens(kept),
            "in_context": in_context,
            "created_at": kept.created_at,
            "pinned": kept.pinned or None,
            "why": _why(kept, in_context),
        }

    def _sent(self) -> list[bool]:
        """For each message whether it is in the window: a turn is sent whole or not at all, the pinned ones before others."""
        if self._budget is None:
            return [True] * len(self._kept)
        turns, room = self._turns(), self._budget
        chosen: set[int] = set()
        for number, turn in enumerate(turns):
            size = sum(map(self._tokens, turn))
            if any(k.pinned for k in turn) and size <= room:
                chosen.add(number)
                room -= size
        for number in range(len(turns) - 1, -1, -1):
            size = 0 if number in chosen else sum(map(self._tokens, turns[number]))
            if size > room:
                break
            chosen.add(number)
            room -= size
        before = len(self._kept) - sum(map(len, turns))
        return [False] * before + [n in chosen for n, turn in enumerate(turns) for _ in turn]

    def _turns(self) -> list[list[_Kept]]:
        """The messages from each of a person's to the next; what stands before the first is in none."""
        turns: list[list[_Kept]] = []
        for kept in self._kept:
            if kept.message["role"] == "user":
                turns.append([])
            if turns:
                turns[-1].append(kept)
        return turns

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
        inside = sum(self._sent())
        return f"WindowMemory({len(self._kept)} messages, {inside} in context)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = [(str(k.message["role"]), readable(k.message)) for k in self._kept]
        return display.card(repr(self), rows)


def _why(kept: _Kept, in_context: bool) -> str:
    if kept.pinned:
        return "pinned" if in_context else "pinned, and longer than there is room for"
    return "in the window" if in_context else "older than the window"


def readable(message: MessageDict) -> str:
    """The message's text; a call without text is shown as the calls it makes."""
    text = str(message.get("content") or "")
    calls = ", ".join(
        f"{c['name']}({', '.join(f'{k}={v!r}' for k, v in c['arguments'].items())})"
        for c in message.get("tool_calls") or ()
    )
    return f"{text}\n{calls}".strip() if calls else text
