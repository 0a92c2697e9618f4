"""The Anthropic Messages dialect, streamed: bytes of the network in, typed events out. Pure; no I/O.

Puts the blocks of an answer together from their pieces; what the whole message means is
``gathering.llm.anthropic_answer``'s. Events, blocks and pieces of unknown types say nothing and harm nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from gathering.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion
from gathering.llm.anthropic_answer import completion_of, error_of, usage_of
from gathering.llm.reader import AnswerReader, json_in

__all__ = ["MessagesStream"]

#: The block a piece belongs to, for a server that did not announce the block.
_BLOCK_OF = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking"}


class MessagesStream(AnswerReader):
    r"""Fed the bytes of each network read, gives the events in them; ``finish()`` gives the last ones.

    >>> stream = MessagesStream("m")
    >>> piece = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}'
    >>> stream.feed(b"data: " + piece + b'\n\ndata: {"type":"message_stop"}\n\n')
    [TextDelta(text='Hi')]
    >>> stream.ended, stream.finish()[-1].completion.content
    (True, 'Hi')
    """

    service = "is an Anthropic Messages service"

    def __init__(self, model: str = "", origin: str = "") -> None:
        super().__init__()
        self._asked, self._origin = model, origin
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[str, _Block] = {}
        self._begun = False
        self._takers: Mapping[str, Callable[[Mapping[str, Any], list[Event]], None]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
        }

    def _take(self, name: str, text: str, events: list[Event]) -> None:
        """One server event: append what it says to ``events``. The type inside counts, gateways drop names."""
        if text.strip() == "[DONE]":  # the end mark of another dialect, added by a gateway
            self.ended = self._message.get("stop_reason") is not None
            return
        data = self._parsed(text)
        if not isinstance(data, Mapping):
            return
        kind = str(data.get("type", name))
        error = error_of({"type": "error", **data}) if kind == "error" or "error" in data else None
        if error is not None:
            error.partial = self.partial
            raise error
        if (take := self._takers.get(kind)) is not None:
            take(data, events)

    def _message_start(self, data: Mapping[str, Any], events: list[Event]) -> None:
        message = _mapping(data.get("message"))
        if self._begun and message.get("id") == self._message.get("id"):
            return  # said twice by a proxy
        self._begun = True
        # Its figures are not news yet: what fails before the first word can still be asked for again.
        self._message, self._usage = dict(message), _figures(message)
        self._blocks.clear()  # the answer has begun anew: what came before is not part of it
        self._text.clear()

    def _block_start(self, data: Mapping[str, Any], events: list[Event]) -> None:
        raw = _mapping(data.get("content_block"))
        block = _Block(dict(raw), sum(b.is_call for b in self._blocks.values()))
        self._blocks[str(data.get("index"))] = block
        if block.is_call:
            given = json.dumps(raw["input"], ensure_ascii=False) if raw.get("input") else ""
            events.append(ToolCallDelta(block.number, block.id, block.name, given))
        self._say(raw, events)

    def _block_delta(self, data: Mapping[str, Any], events: list[Event]) -> None:
        delta = _mapping(data.get("delta"))
        index = str(data.get("index"))
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block({"type": _BLOCK_OF.get(str(delta.get("type")))})
        block.take(delta)
        piece = delta.get("partial_json")
        if not block.is_call:
            self._say(delta, events)
        elif isinstance(piece, str) and piece:
            events.append(ToolCallDelta(block.number, block.id, block.name, piece))

    def _say(self, said: Mapping[str, Any], events: list[Event]) -> None:
        """The text or thinking of a block's beginning or of a piece."""
        kind = str(said.get("type")).removesuffix("_delta")
        text = said.get(kind) if kind in ("text", "thinking") else None
        if not isinstance(text, str) or not text:
            return
        if kind == "text":
            self._text.append(text)
            events.append(TextDelta(text))
        else:
            events.append(ThinkingDelta(text))

    def _message_delta(self, data: Mapping[str, Any], events: list[Event]) -> None:
        delta = _mapping(data.get("delta"))
        self._message.update({k: v for k, v in delta.items() if v is not None})
        self._see_usage(data, events)

    def _message_stop(self, data: Mapping[str, Any], events: list[Event]) -> None:
        self.ended = True

    def _see_usage(self, data: Mapping[str, Any], events: list[Event]) -> None:
        """Figures are of the whole call each time, and each takes the place of its like before."""
        if said := _figures(data):
            self._usage.update(said)
            events.append(UsageUpdate(usage_of(self._usage)))

    def _completion(self) -> Completion:
        content = [block.whole() for block in self._blocks.values()]
        message = {**self._message, "content": content, "usage": self._usage}
        return completion_of(message, self._asked, self._origin)


class _Block:
    """One block as it grows. ``number`` counts the calls of the answer, from 0."""

    __slots__ = ("_pieces", "number", "raw")

    def __init__(self, raw: dict[str, Any], number: int = 0) -> None:
        self.raw, self.number = raw, number
        self._pieces: dict[str, list[str]] = {}

    @property
    def is_call(self) -> bool:
        return self.raw.get("type") == "tool_use"

    @property
    def id(self) -> str:
        return str(self.raw.get("id") or "")

    @property
    def name(self) -> str:
        return str(self.raw.get("name") or "")

    def take(self, delta: Mapping[str, Any]) -> None:
        """One piece: texts grow, citations are collected, the rest is taken when it comes."""
        kind = delta.get("type")
        if kind == "citations_delta":
            before = self.raw.get("citations")
            self.raw["citations"] = [*(before if isinstance(before, list) else ()), delta.get("citation")]
            return
        for key, value in delta.items():
            if key in ("text", "thinking", "partial_json", "content") and isinstance(value, str):
                self._pieces.setdefault(key, []).append(value)
            elif key != "type" and value is not None:
                self.raw[key] = value

    def whole(self) -> dict[str, Any]:
        """The block as it would have come at once; arguments that are no JSON stay text."""
        block = dict(self.raw)
        for key, pieces in self._pieces.items():
            text = "".join(pieces)
            if key != "partial_json":
                begun = block.get(key)
                block[key] = f"{begun}{text}" if isinstance(begun, str) else text
            elif text.strip():
                arguments = json_in(text)
                block["input"] = arguments if isinstance(arguments, dict) else text
        return block


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _figures(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in _mapping(data.get("usage")).items() if v is not None}
