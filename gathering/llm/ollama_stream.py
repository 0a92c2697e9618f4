"""Ollama's own dialect, streamed: one JSON object a line in, typed events out. Pure; no I/O.

Owns the cutting into lines and what an object adds. Whole answers are ``gathering.llm.ollama_chat``'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from gathering.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion, ToolCall, text_of
from gathering.llm.faults import error_in_body
from gathering.llm.ollama_chat import calls_in, finished, message_in
from gathering.llm.openai_answer import logprobs_of
from gathering.llm.reader import AnswerReader
from gathering.llm.sse import ServerEvent

__all__ = ["LineReader", "OllamaStream"]


class LineReader:
    r"""Lines out of bytes, however the network cuts them; they end at LF and nowhere else.

    >>> lines = LineReader()
    >>> lines.feed(b'{"a": 1}\n{"b"'), lines.feed(b': 2}\r\n'), lines.flush()
    ([('', '{"a": 1}')], [('', '{"b": 2}')], [])
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail: list[bytes] = []

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The lines that end within these bytes."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._tail.append(data)
            return []
        lines = b"".join((*self._tail, data[:end]))
        self._tail = [data[end:]] if end < len(data) else []
        return self._cut(lines)

    def flush(self) -> list[ServerEvent]:
        """The line the stream ended in without an end of line."""
        rest, self._tail = b"".join(self._tail), []
        return self._cut(rest)

    @staticmethod
    def _cut(lines: bytes) -> list[ServerEvent]:
        stripped = (line.strip() for line in lines.split(b"\n"))
        return [("", line.decode("utf-8", "replace")) for line in stripped if line]


class OllamaStream(AnswerReader):
    r"""Fed the bytes of each network read, gives the events in them; ``finish()`` gives the last ones.

    >>> stream = OllamaStream("m")
    >>> stream.feed(b'{"message": {"content": "Hi"}}\n{"done": true}\n')
    [TextDelta(text='Hi')]
    >>> stream.finish()[-1].completion.content
    'Hi'
    """

    service: ClassVar[str] = "is an Ollama server"

    def __init__(self, model: str = "", origin: str = "ollama") -> None:
        super().__init__(LineReader())
        self._model, self._origin = model, origin
        self._thinking: list[str] = []
        self._calls: list[ToolCall] = []
        self._logprobs: list[Mapping[str, Any]] = []
        self._done: Mapping[str, Any] = {}

    def _take(self, name: str, text: str, events: list[Event]) -> None:
        chunk = self._parsed(text)
        if not isinstance(chunk, Mapping):
            return
        if (error := error_in_body(chunk)) is not None:
            error.partial = self.partial
            raise error
        if (message := message_in(chunk)) is not None:
            self._message(message, events)
        self._logprobs.extend(logprobs_of(chunk.get("logprobs")))
        if chunk.get("done") is True:
            self._done, self.ended = chunk, True

    def _message(self, message: Mapping[str, Any], events: list[Event]) -> None:
        if thought := text_of(message.get("thinking")):
            self._thinking.append(thought)
            events.append(ThinkingDelta(thought))
        if piece := text_of(message.get("content")):
            self._text.append(piece)
            events.append(TextDelta(piece))
        for call in calls_in(message):
            arguments = json.dumps(call.arguments, ensure_ascii=False)
            events.append(ToolCallDelta(len(self._calls), call.id, call.name, call.malformed or arguments))
            self._calls.append(call)

    def _last(self, events: list[Event]) -> None:
        usage = self._completion().usage
        if usage.input_tokens is not None or usage.output_tokens is not None:
            events.append(UsageUpdate(usage))

    def _completion(self) -> Completion:
        return finished(
            self._done,
            self._model,
            self._origin,
            text=self.partial,
            thinking="".join(self._thinking),
            calls=tuple(self._calls),
            logprobs=tuple(self._logprobs),
        )
