"""The chat-completions dialect, streamed: bytes of the network in, typed events out. Pure; no I/O.

Each token passes through ``ChatStream._take``, so its first lines are the common case: one choice with a piece of
text. Everything else servers send beside it (reasoning, tool calls with or without index and id, usage in five
places, errors after a good status) is read behind that. Whole answers are ``gathering.llm.openai_chat``'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gathering.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion, ToolCall, Usage
from gathering.llm.faults import error_in_body
from gathering.llm.openai_answer import (
    finish_reason_of,
    logprobs_of,
    message_in,
    model_name,
    new_call_id,
    parts_of,
    split_content,
    thinking_in,
    usage_of,
)
from gathering.llm.openai_chat import ChatStyle
from gathering.llm.reader import AnswerReader, json_in
from gathering.llm.thoughts import Kind, ThoughtSplitter

__all__ = ["ChatStream"]

_scan = json.JSONDecoder().raw_decode
_PLAIN = frozenset(("content", "role", "refusal"))
#: What each chunk has; other fields of chunks are kept, and at most about so many.
_EVERYWHERE = frozenset(("id", "object", "created", "model", "choices", "usage", "error"))
_MOST_BESIDE = 64


class ChatStream(AnswerReader):
    r"""Fed the bytes of each network read, gives the events in them; ``finish()`` gives the last ones.

    >>> stream = ChatStream("m")
    >>> stream.feed(b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    [TextDelta(text='Hi')]
    >>> stream.ended, stream.finish()[-1].completion.content
    (True, 'Hi')
    """

    service = "is a chat-completions service"

    def __init__(self, model: str = "", style: ChatStyle = ChatStyle()) -> None:  # noqa: B008 - frozen
        super().__init__()
        self._asked, self._style = model, style
        self._thinking: list[str] = []
        self._refusal: list[str] = []
        self._calls = _CallPieces()
        self._details: dict[Any, dict[str, Any]] = {}
        self._reasoning_field = ""
        self._content_parts: list[Any] | None = None
        self._finish: str | None = None
        self._usage: Any = None
        self._model: Any = None
        self._chunk: Mapping[str, Any] = {}
        self._beside: dict[str, Any] = {}  # what stood beside the choices, in any chunk
        self._logprobs: list[Mapping[str, Any]] = []
        self._tags = ThoughtSplitter() if style.think_tags else None

    @property
    def whole(self) -> bool:
        """Whether the answer is complete, even if the connection breaks now."""
        return self.ended or self._finish is not None

    def _take(self, name: str, data: str, events: list[Event]) -> None:
        """One server event: append what it says to ``events``."""
        if data == "[DONE]":
            self.ended = True
            return
        try:
            chunk = _scan(data)[0]
            choice = chunk["choices"][0]
            delta = choice["delta"]
            piece = delta["content"]
            simple = delta.keys() <= _PLAIN and not delta.get("refusal") and "error" not in chunk
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            simple = False
        if not simple:
            self._take_any(name, data, events)
            return
        if (
            chunk.get("usage") is not None
            or choice.get("finish_reason") is not None
            or choice.get("index")
            or choice.get("logprobs") is not None
            or self._style.notes
        ):
            self._take_any(name, data, events)
        elif type(piece) is str:
            if not piece:
                pass
            elif self._tags is None or (self._tags.idle and "<" not in piece):
                self._text.append(piece)
                events.append(TextDelta(piece))
            else:
                self._split(self._tags, piece, events)
        elif piece is not None:
            self._take_any(name, data, events)
        self._chunk = chunk

    def _take_any(self, name: str, data: str, events: list[Event]) -> None:
        chunk = self._mapping(data)
        if (error := error_in_body(chunk)) is not None or (
            error := self._named_error(name, chunk)
        ) is not None:
            error.partial = self.partial
            raise error
        self._chunk = chunk
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping) and not choice.get("index"):  # one answer: the first of several
                self._choice(choice, events)
        self._see_usage(chunk, events)
        if len(self._beside) < _MOST_BESIDE:
            self._beside.update({k: v for k, v in chunk.items() if k not in _EVERYWHERE and v})

    def _mapping(self, data: str) -> Mapping[str, Any]:
        chunk = self._parsed(data)
        if isinstance(chunk, list) and chunk:
            chunk = chunk[0]
        return chunk if isinstance(chunk, Mapping) else {}

    def _named_error(self, name: str, chunk: Mapping[str, Any]) -> Any:
        return error_in_body({"error": dict(chunk)}) if name == "error" else None

    def _choice(self, choice: Mapping[str, Any], events: list[Event]) -> None:
        if (error := error_in_body(choice)) is not None:
            error.partial = self.partial
            raise error
        delta = message_in(choice, "delta")
        text, thinking = split_content(delta.get("content"))
        if _is_thought(delta):
            text, thinking = "", text
        if isinstance(delta.get("content"), list):
            self._keep_content(delta["content"])
        elif self._content_parts is not None and text:
            self._keep_content([{"type": "text", "text": text}])
        self._think(thinking or self._reasoning(delta), events)
        if text and self._tags is not None:
            self._split(self._tags, text, events)
        elif text:
            self._text.append(text)
            events.append(TextDelta(text))
        self._logprobs += logprobs_of(choice.get("logprobs"))
        if delta.get("refusal"):
            self._refusal.append(str(delta["refusal"]))
        events.extend(self._calls.take(delta.get("tool_calls") or _old_call(delta)))
        # A reason once given stays: some servers send an empty one after it.
        if choice.get("finish_reason") is not None and not self._finish:
            self._finish = str(choice["finish_reason"])

    def _split(self, tags: ThoughtSplitter, text: str, events: list[Event]) -> None:
        """Take text that may hold marks of thinking."""
        self._sort(tags.take(text, line_start=not self._text or self._text[-1].endswith("\n")), events)
        if tags.settled:
            self._tags = None

    def _sort(self, pieces: list[tuple[Kind, str]], events: list[Event]) -> None:
        for kind, piece in pieces:
            if kind == "thinking":
                self._think(piece, events)
            elif kind == "text":
                self._text.append(piece)
                events.append(TextDelta(piece))
            else:  # it was given out as text, and counts as what it was
                self._thinking += self._text
                self._text.clear()

    def _last(self, events: list[Event]) -> None:
        if self._tags is not None:
            self._sort(self._tags.finish(), events)

    def _reasoning(self, delta: Mapping[str, Any]) -> str:
        if delta.get("reasoning_content"):
            self._reasoning_field = "reasoning_content"
        details = delta.get("reasoning_details")
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, Mapping):
                _join_detail(self._details, detail)
        return thinking_in(delta)

    def _think(self, thinking: str, events: list[Event]) -> None:
        if thinking:
            self._thinking.append(thinking)
            events.append(ThinkingDelta(thinking))

    def _keep_content(self, parts: list[Any]) -> None:
        if self._content_parts is None:
            self._content_parts = [{"type": "text", "text": self.partial}] if self._text else []
        for part in parts:
            _join_part(self._content_parts, part)

    def _see_usage(self, chunk: Mapping[str, Any], events: list[Event]) -> None:
        groq = chunk.get("x_groq")
        usage = chunk.get("usage") or (groq.get("usage") if isinstance(groq, Mapping) else None)
        if usage and usage != self._usage:  # cumulative where it comes often: the last one counts
            self._usage = usage
            events.append(UsageUpdate(usage_of(usage)))
        if chunk.get("model"):
            self._model = chunk["model"]

    def _completion(self) -> Completion:
        calls, extras = self._calls.finished()
        refusal, thinking = "".join(self._refusal) or None, "".join(self._thinking)
        message = {
            "content": self._content_parts,
            "reasoning_details": list(self._details.values()),
            "reasoning_content": thinking if self._reasoning_field else "",
        }
        return Completion(
            content=self.partial,
            thinking=thinking,
            refusal=refusal,
            tool_calls=calls,
            finish_reason=finish_reason_of(self._finish, calls, refusal),
            usage=usage_of(self._usage) if self._usage else Usage(),
            model=model_name(self._model or self._chunk.get("model"), self._asked),
            parts=parts_of(message, bool(calls), extras, self._style, self._beside),
            raw={**self._beside, **self._chunk, "usage": self._usage, "finish_reason": self._finish},
            logprobs=tuple(self._logprobs),
        )


class _CallPieces:
    """Tool calls as they grow. Servers number them rightly, wrongly, from one, or not at all."""

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._by_index: dict[Any, dict[str, Any]] = {}

    def take(self, pieces: Any) -> list[Event]:
        """The events of one delta's pieces."""
        pieces = pieces if isinstance(pieces, list) else ()
        return [self._take_one(piece) for piece in pieces if isinstance(piece, Mapping)]

    def _take_one(self, piece: Mapping[str, Any]) -> Event:
        index, identity = piece.get("index"), piece.get("id")
        index = index if isinstance(index, int | str) else None
        identity = identity if isinstance(identity, str) and identity not in ("", "null") else ""
        function = piece.get("function")
        function = function if isinstance(function, Mapping) else {}
        call = self._find(index, identity, function)
        call["id"] = call["id"] or identity
        call["name"] = call["name"] or str(function.get("name") or "")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
        call["arguments"].append(arguments)
        if piece.get("extra_content"):
            call["extra"] = piece["extra_content"]
        return ToolCallDelta(call["at"], call["id"], call["name"], arguments)

    def _find(self, index: Any, identity: str, function: Mapping[str, Any]) -> dict[str, Any]:
        """The call a piece belongs to, a new one if it starts one."""
        if index is None:
            last = self._calls[-1] if self._calls else None
            if last is None or self._starts(last, identity, function.get("name")):
                return self._new(None)
            return last
        known = self._by_index.get(index)
        if known is None or (identity and known["id"] and identity != known["id"]):
            return self._new(index)
        return known

    @staticmethod
    def _starts(last: dict[str, Any], identity: str, name: Any) -> bool:
        # Without a number a new id starts a call; without both a name does, unless it is only said again.
        if identity:
            return bool(identity != last["id"])
        return bool(name) and (name != last["name"] or json_in("".join(last["arguments"])) is not None)

    def _new(self, index: Any) -> dict[str, Any]:
        call: dict[str, Any] = {"id": "", "name": "", "arguments": [], "at": len(self._calls), "extra": None}
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def finished(self) -> tuple[tuple[ToolCall, ...], dict[str, Any]]:
        """The calls, each with an id, and what must go back beside them."""
        for call in self._calls:
            call["id"] = call["id"] or new_call_id()
        calls = tuple(ToolCall.from_json(c["id"], c["name"], "".join(c["arguments"])) for c in self._calls)
        return calls, {c["id"]: c["extra"] for c in self._calls if c["extra"]}


def _is_thought(delta: Mapping[str, Any]) -> bool:
    extra = delta.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    return isinstance(google, Mapping) and google.get("thought") is True


def _old_call(delta: Mapping[str, Any]) -> list[Any]:
    old = delta.get("function_call")
    return [{"index": 0, "function": old}] if isinstance(old, Mapping) else []


def _join_detail(details: dict[Any, dict[str, Any]], piece: Mapping[str, Any]) -> None:
    """Join the pieces of one reasoning detail: texts grow, the rest is taken when it comes."""
    index = piece.get("index")
    kept = details.setdefault(index if isinstance(index, int | str) else len(details), {})
    for key, value in piece.items():
        if key in ("text", "summary", "data") and isinstance(value, str) and isinstance(kept.get(key), str):
            kept[key] += value
        elif value is not None or key not in kept:
            kept[key] = value


def _join_part(parts: list[Any], part: Any) -> None:
    """Append a content part, joining it to the last one where both are text or both are thinking."""
    last = parts[-1] if parts else None
    if not isinstance(part, dict) or not isinstance(last, dict) or last.get("type") != part.get("type"):
        parts.append(dict(part) if isinstance(part, dict) else part)
    elif part.get("type") == "text" and isinstance(part.get("text"), str):
        last["text"] = f"{last.get('text', '')}{part['text']}"
    elif part.get("type") == "thinking":
        joined = split_content([last])[1] + split_content([part])[1]
        last.update(part, thinking=[{"type": "text", "text": joined}])
    else:
        parts.append(dict(part))
