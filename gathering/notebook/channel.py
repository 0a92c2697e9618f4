"""Kernel to view: numbers the messages of a panel, holds back text that grows, and sends to all who look.

Owns the messages' types and order (``docs/guides/panel-protocol.md``). What they are about is ``items``, when text is
flushed ``flusher``. Everything here happens on the I/O thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from gathering.core.portal import portal
from gathering.notebook.flusher import flusher
from gathering.notebook.items import Item, Kind, Part, sendable

__all__ = ["VERSION", "Channel", "Outgoing", "PanelInfo", "PanelKind", "Request", "Sink", "State"]

#: The version of the protocol.
VERSION = 1

#: Somewhere to send to: the message and its buffers.
Sink: TypeAlias = "Callable[[Outgoing, Sequence[bytes]], None]"


PanelKind: TypeAlias = Literal["chat", "conversation", "grid", "memory", "trace"]


class PanelInfo(TypedDict):
    """What a panel is, as ``hello`` says it."""

    kind: PanelKind
    title: str
    height: int
    readonly: bool
    starters: list[str]
    agent: str
    models: list[str]


class State(TypedDict):
    """How it stands, as ``state`` says it."""

    phase: Literal["idle", "answering", "cell"]
    model: str
    tokens: dict[str, int]
    cost: float | None
    turns: int
    branch: int


class Outgoing(TypedDict, total=False):
    """A message of the kernel; which fields there are depends on ``t``."""

    t: str
    seq: int
    view: str
    v: int
    n: int
    id: str
    part: int
    k: Kind
    off: int
    text: str
    item: dict[str, Any]
    items: list[dict[str, Any]]
    more: bool
    call: dict[str, Any]
    state: State
    panel: PanelInfo
    message: str
    next: str
    name: str
    value: Any
    version: str
    before: str
    messages: list[Outgoing]
    sizes: list[int]


class Request(TypedDict):
    """A message of a view."""

    t: str
    view: NotRequired[str]
    n: NotRequired[int]
    id: NotRequired[str]
    text: NotRequired[str]
    files: NotRequired[list[dict[str, str]]]
    name: NotRequired[str]
    value: NotRequired[Any]
    index: NotRequired[int]
    before: NotRequired[str]
    last: NotRequired[int]
    call: NotRequired[str]
    effect: NotRequired[str]
    scope: NotRequired[str]
    reason: NotRequired[str]
    arguments: NotRequired[dict[str, Any] | None]


#: A word that may be the beginning of a key waits for its end, or it would be sent half and not be known as one.
_UNFINISHED = re.compile(r"[A-Za-z0-9_\-.+/=]{4,400}\Z")


class Channel:
    """What all views of one log are told, in one order. Several panels on one agent share it."""

    def __init__(self) -> None:
        self.seq = 0
        self.sinks: list[Sink] = []
        self._waiting: dict[tuple[str, int], tuple[Item, list[str]]] = {}
        self._later: Callable[[], Outgoing] | None = None

    def post(self, message: Outgoing) -> None:
        """Send a message that changes what is shown, after all text that waits."""
        self.flush()
        self._send([self._numbered(message)])

    def start(self, item: Item) -> None:
        """A new item, at the end."""
        self.post({"t": "start", "item": item.to_dict()})

    def grow(self, item: Item, place: int, text: str) -> None:
        """More text of a part; it is sent with the next flush."""
        self._waiting.setdefault((item.id, place), (item, []))[1].append(text)
        flusher(portal().loop).soon(self)

    def later(self, message: Callable[[], Outgoing]) -> None:
        """Send what this gives with the next flush; of several only the last."""
        self._later = message
        flusher(portal().loop).soon(self)

    def tool(self, item: Item, place: int) -> None:
        """A tool call is new, or has come further."""
        call = item.parts[place].call
        assert call is not None
        self.post({"t": "tool", "id": item.id, "part": place, "call": call.to_dict()})

    def end(self, item: Item) -> None:
        """The item will not grow any more."""
        self.flush(whole=True)
        sizes = [part.size for part in item.parts]
        message: Any = {"t": "end", "id": item.id, "sizes": sizes, **item.end_dict()}
        self.post(message)

    def flush(self, *, whole: bool = False) -> None:
        """Send what waits. Unless ``whole``, the last word of a part that may go on stays, if it could be a key."""
        messages = []
        for key, (item, pieces) in list(self._waiting.items()):
            text = "".join(pieces)
            # What another part follows is whole: its last word must not wait as long as a tool takes.
            kept = "" if whole or key[1] < len(item.parts) - 1 else _unfinished(text)
            if kept:
                text = text[: -len(kept)]
                self._waiting[key] = (item, [kept])
            else:
                del self._waiting[key]
            if text:
                messages.append(self._delta(key, item.parts[key[1]], sendable(text)))
        later, self._later = self._later, None
        if later is not None:
            messages.append(self._numbered(later()))
        if not self._waiting:
            flusher(portal().loop).forget(self)
        if messages:
            self._send(messages)

    def _delta(self, key: tuple[str, int], part: Part, text: str) -> Outgoing:
        message: Outgoing = {
            "t": "delta",
            "id": key[0],
            "part": key[1],
            "k": part.kind,
            "off": part.size,
            "text": text,
        }
        part.grow(text)
        return self._numbered(message)

    def _numbered(self, message: Outgoing) -> Outgoing:
        self.seq += 1
        message["seq"] = self.seq
        return message

    def _send(self, messages: list[Outgoing]) -> None:
        message: Outgoing = messages[0] if len(messages) == 1 else {"t": "batch", "messages": messages}
        for sink in list(self.sinks):
            sink(message, ())


def _unfinished(text: str) -> str:
    found = _UNFINISHED.search(text, max(0, len(text) - 400))
    return found[0] if found else ""
