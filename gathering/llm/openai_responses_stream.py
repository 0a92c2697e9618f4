"""The Responses dialect, streamed: bytes of the network in, typed events out. Pure; no I/O.

An answer is a list of items, each announced, sent in pieces and sent again whole. The pieces are the events here; the
whole items are what counts at the end, and what they say beyond the pieces is given as a last piece. Servers leave out
any of the three, and the numbers and ids that tie them together. What the items mean is
``gathering.llm.openai_responses_answer``'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gathering.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion
from gathering.llm.openai_answer import new_call_id
from gathering.llm.openai_responses_answer import completion_of, failure_of, item_text, thoughts_in, usage_of
from gathering.llm.reader import AnswerReader

__all__ = ["ResponsesStream"]

#: What the pieces of an item are, by the event's name without ``response.`` and ``.delta`` or ``.done``; where the
#: whole is in the latter; and the type of item they belong to.
_PIECES = {
    "output_text": ("text", "text", "message"),
    "refusal": ("refusal", "refusal", "message"),
    "reasoning_summary_text": ("thinking", "text", "reasoning"),
    "reasoning_text": ("thinking", "text", "reasoning"),
    "reasoning": ("thinking", "text", "reasoning"),
    "function_call_arguments": ("arguments", "arguments", "function_call"),
}
_ENDS = ("response.completed", "response.incomplete", "response.cancelled")


class _Item:
    """One item of the answer as far as it is known."""

    __slots__ = ("at", "call_id", "done", "name", "pieces", "said")

    def __init__(self, kind: str) -> None:
        self.said: dict[str, Any] = {"type": kind}  # as the server last sent it
        self.pieces: dict[tuple[str, int], list[str]] = {}  # text, thinking, ... and the number of the part
        self.done = False
        self.call_id = self.name = ""
        self.at = 0  # which of the calls it is

    @property
    def kind(self) -> str:
        return str(self.said.get("type"))

    def whole(self) -> dict[str, Any]:
        """The item; one whose end never came, out of its pieces."""
        if self.done:
            return self.said
        found = [(what, "".join(pieces)) for (what, _), pieces in self.pieces.items()]
        item = dict(self.said)
        if item["type"] == "message":
            item.setdefault("role", "assistant")
            item["content"] = [
                {"type": "refusal", "refusal": text}
                if what == "refusal"
                else {"type": "output_text", "text": text}
                for what, text in found
            ]
        elif item["type"] == "reasoning":
            item["summary"] = [{"type": "summary_text", "text": text} for _, text in found]
            item.pop("content", None)
            item.pop("encrypted_content", None)  # of the beginning: it is another at the end
        elif item["type"] == "function_call":
            item["arguments"] = "".join(text for _, text in found)
        return item


class ResponsesStream(AnswerReader):
    r"""Fed the bytes of each network read, gives the events in them; ``finish()`` gives the last ones.

    >>> stream = ResponsesStream("m")
    >>> stream.feed(b'data: {"type":"response.output_text.delta","output_index":0,"delta":"Hi"}\n\n')
    [TextDelta(text='Hi')]
    >>> stream.feed(b'data: {"type":"response.completed","response":{"status":"completed"}}\n\n')
    []
    >>> stream.ended, stream.finish()[-1].completion.content
    (True, 'Hi')
    """

    service = "has the Responses API"

    def __init__(self, model: str = "", origin: str = "") -> None:
        super().__init__()
        self._asked, self._origin = model, origin
        self._thinking: list[str] = []
        self._thought: Any = None  # the part the last thought belongs to
        self._items: list[_Item] = []
        self._by_key: dict[Any, _Item] = {}
        self._response: Mapping[str, Any] = {}

    def _take(self, name: str, text: str, events: list[Event]) -> None:
        """One server event: append what it says to ``events``."""
        if text == "[DONE]":  # some servers add it; it marks nothing here
            return
        said = self._parsed(text)
        if isinstance(said, Mapping):
            self._take_said(name, said, events)

    def _take_said(self, name: str, said: Mapping[str, Any], events: list[Event]) -> None:
        kind = said.get("type") or name
        kind = kind if isinstance(kind, str) else ""
        if kind == "response.output_text.delta":  # each token passes here
            self._piece(
                self._item(said, "message"), "text", said.get("content_index"), said.get("delta"), events
            )
        elif kind.endswith(".delta"):
            self._delta(kind[9:-6], said, events)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._whole_item(said, kind.endswith("done"), events)
        elif kind.endswith(".done"):
            self._whole_part(kind[9:-5], said, events)
        elif kind in _ENDS:
            self._end(said, events)
        elif (
            kind == "response.failed"
            or "error" in (kind, name)
            or (said.get("error") and not kind.startswith("response."))
        ):
            self._fail(said)
        elif isinstance(said.get("response"), Mapping):
            self._response = said["response"]

    def _fail(self, said: Mapping[str, Any]) -> None:
        known = said.get("error") or isinstance(said.get("response"), Mapping)
        error = failure_of(said if known else {"error": dict(said)}) or failure_of({"status": "failed"})
        assert error is not None, "what failed is an error"
        error.partial = self.partial or error.partial
        raise error

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _delta(self, what: str, said: Mapping[str, Any], events: list[Event]) -> None:
        if what in _PIECES:
            kind, _, owner = _PIECES[what]
            self._piece(self._item(said, owner), kind, _part_number(said, what), said.get("delta"), events)

    def _whole_part(self, what: str, said: Mapping[str, Any], events: list[Event]) -> None:
        if what in _PIECES:
            kind, field, owner = _PIECES[what]
            item = self._item(said, owner)
            self._settle(item, kind, _part_number(said, what), said.get(field), events)

    def _piece(self, item: _Item, kind: str, part: Any, piece: Any, events: list[Event]) -> None:
        """Keep one piece, and give it out."""
        if not isinstance(piece, str):
            piece = "" if piece is None else json.dumps(piece, ensure_ascii=False)
        if not piece:
            return
        key = (kind, part if isinstance(part, int) else 0)
        item.pieces.setdefault(key, []).append(piece)
        if kind == "text":
            self._text.append(piece)
            events.append(TextDelta(piece))
        elif kind == "arguments":
            events.append(ToolCallDelta(item.at, item.call_id, item.name, piece))
        elif kind == "thinking":
            if self._thought not in (None, (item, key)):
                piece = f"\n\n{piece}"
            self._thought = (item, key)
            self._thinking.append(piece)
            events.append(ThinkingDelta(piece))

    def _settle(self, item: _Item, kind: str, part: Any, text: Any, events: list[Event]) -> None:
        """Give out what the whole text of a part has beyond its pieces: all of it where there were none."""
        if item.done or not isinstance(text, str):
            return
        key = (kind, part if isinstance(part, int) else 0)
        had = "".join(item.pieces.get(key, ()))
        if text.startswith(had):
            self._piece(item, kind, part, text[len(had) :], events)

    # -- items -----------------------------------------------------------------------------------------------------

    def _item(self, said: Mapping[str, Any], kind: str) -> _Item:
        """The item an event is about, by its number; by its id where there is none; else the last one of its kind."""
        for key in (said.get("output_index"), said.get("item_id")):
            if isinstance(key, int | str) and key in self._by_key:
                return self._by_key[key]
        if not isinstance(said.get("output_index"), int):
            for item in reversed(self._items):
                if item.kind == kind and not item.done:
                    return item
        return self._new(kind, said.get("output_index"), said.get("item_id"))

    def _new(self, kind: str, *keys: Any) -> _Item:
        item = _Item(kind)
        item.at = sum(known.kind == "function_call" for known in self._items)
        self._items.append(item)
        self._by_key |= {key: item for key in keys if isinstance(key, int | str)}
        return item

    def _whole_item(self, said: Mapping[str, Any], done: bool, events: list[Event]) -> None:
        """An item is announced, or has been sent."""
        content = said.get("item")
        if not isinstance(content, Mapping):
            return
        index, identity = said.get("output_index"), content.get("id")
        key = index if isinstance(index, int) else identity
        item = self._by_key.get(key) if isinstance(key, int | str) else None
        if item is None or (item.done and (not done or item.said.get("id") != identity)):
            # A number used again is a new item.
            item = self._new(str(content.get("type")), index, identity)
        self._see(item, content, done, events)

    def _see(self, item: _Item, content: Mapping[str, Any], done: bool, events: list[Event]) -> None:
        """Take over what the server says of an item."""
        if item.done:
            return
        item.said = {**content, "type": str(content.get("type"))}
        if item.kind == "function_call":
            self._see_call(item, content, events)
        if done:
            for kind, part, text in _texts(content):
                self._settle(item, kind, part, text, events)
            item.done = True

    def _see_call(self, item: _Item, content: Mapping[str, Any], events: list[Event]) -> None:
        begun = bool(item.call_id)
        item.call_id = str(item.call_id or content.get("call_id") or content.get("id") or new_call_id())
        item.name = item.name or str(content.get("name") or "")
        item.said["call_id"] = item.call_id
        if not begun:
            events.append(ToolCallDelta(item.at, item.call_id, item.name, ""))

    # -- the end ---------------------------------------------------------------------------------------------------

    def _end(self, said: Mapping[str, Any], events: list[Event]) -> None:
        """The answer is whole: ``status`` says how it ended."""
        if isinstance(said.get("response"), Mapping):
            self._response = said["response"]
        if self._response.get("status") == "failed":
            self._fail(said)
        if said.get("type") == "response.incomplete":
            self._response = {"status": "incomplete", **self._response}
        output = self._response.get("output")
        if not self._items or not all(item.done for item in self._items):
            self._fill(output if isinstance(output, list) else [], events)
        self.ended = True
        if isinstance(self._response.get("usage"), Mapping):
            events.append(UsageUpdate(usage_of(self._response["usage"])))

    def _fill(self, output: list[Any], events: list[Event]) -> None:
        """Take from the whole answer the items that were not sent whole by themselves."""
        free = list(self._items)
        for content in output:
            if not isinstance(content, Mapping):
                continue
            item = next((i for i in free if i.said.get("id") == content.get("id") is not None), None)
            item = item or next((i for i in free if i.kind == content.get("type")), None)
            if item is None:
                item = self._new(str(content.get("type")))
            else:
                free.remove(item)
            self._see(item, content, True, events)

    def _completion(self) -> Completion:
        items = [item.whole() for item in self._items]
        found = completion_of(items, self._response, self._asked, self._origin)
        # What was given out piece by piece is what was said, also where the whole items say it otherwise.
        return replace(found, content=self.partial, thinking="".join(self._thinking))


def _part_number(said: Mapping[str, Any], what: str) -> Any:
    """Which part of its item a piece belongs to; summaries are told apart from what they sum up."""
    if what == "reasoning_text":
        number = said.get("content_index")
        return -1 - number if isinstance(number, int) else -1
    return said.get("summary_index" if what == "reasoning_summary_text" else "content_index")


def _texts(content: Mapping[str, Any]) -> list[tuple[str, int, Any]]:
    """The texts of a whole item: what each is, the number of its part, and the text."""
    kind = content.get("type")
    if kind == "function_call":
        arguments = content.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        return [("arguments", 0, arguments)]
    found: list[tuple[str, int, Any]] = []
    for field, sign in (("summary", 0), ("content", -1)) if kind == "reasoning" else ():
        parts = content.get(field)
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            text = thoughts_in({"type": kind, "summary": [part]})
            found += [("thinking", number if sign == 0 else -1 - number, t) for t in text]
    if kind == "message":
        parts = content.get("content")
        for number, part in enumerate(parts if isinstance(parts, list) else [parts]):
            one = {"type": kind, "content": part if isinstance(part, str) else [part]}
            found.append(("text", number, item_text(one, "output_text")))
            found.append(("refusal", number, item_text(one, "refusal")))
    return found
