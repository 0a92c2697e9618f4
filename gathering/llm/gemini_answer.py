"""The Gemini dialect, on the way back: what the parts of an answer say, put together. Pure; no I/O.

A streamed answer is a row of whole response objects with new parts only, so one ``Answer`` takes both: a whole
response once, a stream's one after the other. Parts are kept beside what they say, with their signatures where they
were, because the service wants them back like that. Bytes and framing are ``gathering.llm.gemini_stream``'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gathering.core.errors import MalformedResponseError
from gathering.core.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, UsageUpdate
from gathering.core.messages import Completion, FinishReason, ToolCall, Usage
from gathering.core.session import new_id
from gathering.llm.faults import error_in_body
from gathering.llm.figures import count_of

__all__ = ["Answer", "is_botched", "parse_response", "usage_of"]

_FINISH: Mapping[str, FinishReason] = {"STOP": "stop", "MAX_TOKENS": "length"}
_FILTERS = frozenset(
    (
        *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
        *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
    )
)
_STEP = re.compile(r"""\.?([^.\[\]]+)|\[(\d+)\]|\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]""")


def parse_response(body: Any, model: str = "", *, origin: str = "gemini") -> Completion:
    """The completion in a whole answer. Raises the typed error it holds, or ``MalformedResponseError``.

    A list is what a stream becomes where something between here and the service dropped ``alt=sse``.
    """
    chunks = [c for c in (body if isinstance(body, list) else [body]) if isinstance(c, Mapping)]
    answer = Answer(model, origin)
    known = False
    for chunk in chunks:
        if (error := error_in_body(chunk)) is not None:
            error.partial = answer.text
            raise error
        known = known or not chunk.keys().isdisjoint(("candidates", "promptFeedback", "usageMetadata"))
        answer.take(chunk)
    if not known:
        raise MalformedResponseError(
            f"the answer has no candidates ({json.dumps(body)[:200]}): check that base_url is a Gemini service"
        )
    return answer.completion()


def is_botched(completion: Completion) -> bool:
    """Whether there is nothing in the answer because the model wrote a call that the service could not read."""
    candidate = _first(_mapping(completion.raw).get("candidates"))
    unread = candidate.get("finishReason") in ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE")
    return unread and not completion.content and not completion.tool_calls


class Answer:
    """Takes response objects, gives the events in each, and at the end the completion of all.

    >>> answer = Answer("m")
    >>> answer.take({"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]})
    [TextDelta(text='Hi')]
    >>> answer.whole, answer.completion().content
    (True, 'Hi')
    """

    def __init__(self, model: str = "", origin: str = "gemini") -> None:
        self._model, self._origin = model, origin
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._parts: list[dict[str, Any]] = []
        self._calls: list[ToolCall] = []
        self._open: _OpenCall | None = None
        self._finish = ""
        self._finish_message = ""
        self._blocked = ""
        self._usage: dict[str, Any] = {}
        self._logprobs: list[Mapping[str, Any]] = []
        self._last: Mapping[str, Any] = {}

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    @property
    def whole(self) -> bool:
        """Whether the service said why it stopped."""
        return bool(self._finish or self._blocked)

    def take(self, chunk: Mapping[str, Any]) -> list[Event]:
        """The events in one response object."""
        self._last = chunk
        events: list[Event] = []
        candidate = _first(chunk.get("candidates"))
        for part in _list(_mapping(candidate.get("content")).get("parts")):
            if isinstance(part, Mapping):
                self._part(dict(part), events)
        if "logprobsResult" in candidate:
            self._logprobs += _logprobs_in(candidate["logprobsResult"])
        if candidate.get("finishReason"):
            self._finish = str(candidate["finishReason"])
            self._finish_message = str(candidate.get("finishMessage") or "")
        feedback = _mapping(chunk.get("promptFeedback"))
        if feedback.get("blockReason"):
            self._blocked = str(feedback["blockReason"])
            self._finish_message = str(feedback.get("blockReasonMessage") or "")
        self._see_usage(_mapping(chunk.get("usageMetadata")), events)
        return events

    def _part(self, part: dict[str, Any], events: list[Event]) -> None:
        if isinstance(part.get("functionCall"), Mapping):
            self._call(part, part["functionCall"], events)
            return
        text = part.get("text")
        if isinstance(text, str) and text:
            thought = bool(part.get("thought"))
            (self._thinking if thought else self._text).append(text)
            events.append(ThinkingDelta(text) if thought else TextDelta(text))
        self._keep(part)

    def _keep(self, part: dict[str, Any]) -> None:
        """Keep a part to go back. Pieces of one text are joined; a part with a signature stays as it came."""
        last = self._parts[-1] if self._parts else {}
        if _is_plain(part) and not part["text"]:
            return
        if _is_plain(part) and _is_plain(last) and bool(part.get("thought")) == bool(last.get("thought")):
            last["text"] += part["text"]
        else:
            self._parts.append(part)

    # -- calls -----------------------------------------------------------------------------------------------------

    def _call(self, part: dict[str, Any], call: Mapping[str, Any], events: list[Event]) -> None:
        """A call, whole or in pieces: a name, then arguments by path, then a call with nothing in it."""
        if self._open is None and not call.get("name"):
            return
        if self._open is None and not (call.get("willContinue") or "partialArgs" in call):
            self._close(_OpenCall(part, self._id(call)), events)
            return
        if self._open is not None and call.get(
            "name"
        ):  # a new one begins, whether or not the last one was closed
            self._close(self._open, events)
            self._open = None
        if self._open is None:
            self._open = _OpenCall(part, self._id(call))
        else:
            self._open.join(part)
        self._open.grow(_list(call.get("partialArgs")))
        if not call.get("willContinue"):
            self._close(self._open, events)
            self._open = None

    def _id(self, call: Mapping[str, Any]) -> str:
        given = call.get("id")
        used = {c.id for c in self._calls}
        return given if isinstance(given, str) and given and given not in used else f"call_{new_id()}"

    def _close(self, opened: _OpenCall, events: list[Event]) -> None:
        made = opened.call()
        arguments = (
            json.dumps(made.arguments, ensure_ascii=False) if made.malformed is None else made.malformed
        )
        events.append(ToolCallDelta(len(self._calls), made.id, made.name, arguments))
        self._calls.append(made)
        self._parts.append(opened.whole_part())

    # -- the end ---------------------------------------------------------------------------------------------------

    def _see_usage(self, usage: Mapping[str, Any], events: list[Event]) -> None:
        before = usage_of(self._usage)
        self._usage.update(usage)  # cumulative: the last figures count
        if (now := usage_of(self._usage)) != before:
            events.append(UsageUpdate(now))

    def completion(self) -> Completion:
        """Everything taken, as one completion."""
        calls = list(self._calls)
        parts = list(self._parts)
        if self._open is not None:  # cut off in the middle of its arguments
            cut = self._open.call()
            written = json.dumps(cut.arguments, ensure_ascii=False)
            calls.append(ToolCall(cut.id, cut.name, malformed=cut.malformed or written.removesuffix("}")))
            parts.append(self._open.whole_part())
        refusal = self._refusal()
        return Completion(
            content=self.text,
            thinking="".join(self._thinking),
            refusal=refusal,
            tool_calls=tuple(calls),
            finish_reason=self._reason(calls),
            usage=usage_of(self._usage),
            model=self._model_name(),
            parts=_to_give_back(parts, self._origin),
            raw=dict(self._last, usageMetadata=self._usage) if self._usage else dict(self._last),
            logprobs=tuple(self._logprobs),
        )

    def _reason(self, calls: Sequence[ToolCall]) -> FinishReason:
        """Why it stopped. The service says STOP beside calls, too."""
        if self._blocked or self._finish in _FILTERS:
            return "content_filter"
        known = _FINISH.get(self._finish, "other")
        return "tool_calls" if calls and known != "length" else known

    def _refusal(self) -> str | None:
        if self._blocked:
            return self._finish_message or f"The service blocked the prompt ({self._blocked})."
        if self._finish in _FILTERS:
            return self._finish_message or f"The service's filter stopped the answer ({self._finish})."
        return None

    def _model_name(self) -> str:
        said = self._last.get("modelVersion")
        return (said if isinstance(said, str) and said else self._model).removeprefix("models/")


class _OpenCall:
    """One call while it grows. ``part`` is the part it began with, whose signature it keeps."""

    def __init__(self, part: dict[str, Any], identity: str) -> None:
        self._part, self._id = part, identity
        self._function = dict(part["functionCall"])
        given = self._function.get("args")
        self._args: Any = {} if given is None else given

    def join(self, part: Mapping[str, Any]) -> None:
        """A later piece of the same call."""
        self._part = {**part, **self._part}

    def grow(self, pieces: Sequence[Any]) -> None:
        """Put values where their paths say; strings grow."""
        if not isinstance(self._args, dict):
            return
        for piece in pieces:
            if not isinstance(piece, Mapping):
                continue
            steps = _steps(str(piece.get("jsonPath", "")))
            for kind in ("stringValue", "numberValue", "boolValue", "nullValue"):
                if kind in piece and steps:
                    _put(self._args, steps, None if kind == "nullValue" else piece[kind])

    def call(self) -> ToolCall:
        """The call as far as it is known."""
        name = str(self._function.get("name") or "")
        if isinstance(self._args, dict):
            return ToolCall(self._id, name, self._args)
        return ToolCall(self._id, name, malformed=json.dumps(self._args, ensure_ascii=False))

    def whole_part(self) -> dict[str, Any]:
        """The part that goes back: the call in one piece."""
        left_out = ("partialArgs", "willContinue", "args")
        function = {k: v for k, v in self._function.items() if k not in left_out}
        args = self._args if isinstance(self._args, dict) else {"malformed": self._args}
        return {**self._part, "functionCall": {**function, "args": args}}


def usage_of(usage: Any) -> Usage:
    """The tokens of a call. What is thought is not among the candidates' tokens, what tools' prompts read not among the prompt's."""
    usage = _mapping(usage)
    prompt, tools = count_of(usage.get("promptTokenCount")), count_of(usage.get("toolUsePromptTokenCount"))
    written, thought = count_of(usage.get("candidatesTokenCount")), count_of(usage.get("thoughtsTokenCount"))
    total = count_of(usage.get("totalTokenCount"))
    read = None if prompt is None and tools is None else (prompt or 0) + (tools or 0)
    if written is None and thought is None:  # zeros are left out
        output = None if total is None or read is None else max(0, total - read)
    else:
        output = (written or 0) + (thought or 0)
    return Usage(read, output, count_of(usage.get("cachedContentTokenCount")), thought)


def _logprobs_in(result: Any) -> list[Mapping[str, Any]]:
    """The tokens of an answer with how likely each was, and what else stood at its place."""
    result = _mapping(result)
    others = [_list(_mapping(step).get("candidates")) for step in _list(result.get("topCandidates"))]
    found: list[Mapping[str, Any]] = []
    for at, chosen in enumerate(_list(result.get("chosenCandidates"))):
        top = [_logprob(o) for o in others[at]] if at < len(others) else []
        found.append({**_logprob(chosen), "top": top})
    return found


def _logprob(candidate: Any) -> dict[str, Any]:
    candidate = _mapping(candidate)
    return {"token": str(candidate.get("token", "")), "logprob": candidate.get("logProbability")}


def _to_give_back(parts: Sequence[Mapping[str, Any]], origin: str) -> tuple[Mapping[str, Any], ...]:
    """The parts the next request must hold, marked with where they are from; none where text says it all."""
    kept = [p for p in parts if not (_is_plain(p) and p.get("thought"))]
    if all(_is_plain(p) for p in kept):
        return ()
    return ({"type": "content", "value": kept, "origin": origin},)


def _is_plain(part: Mapping[str, Any]) -> bool:
    """Whether a part is nothing but text or a thought."""
    return isinstance(part.get("text"), str) and part.keys() <= {"text", "thought"}


def _steps(path: str) -> list[str | int]:
    """The steps of a path.

    >>> _steps("$.where.cities[0]['a b']")
    ['where', 'cities', 0, 'a b']
    """
    steps: list[str | int] = []
    for plain, number, single, double in _STEP.findall(path.removeprefix("$")):
        steps.append(int(number[:9]) if number else plain or re.sub(r"\\(.)", r"\1", single or double))
    return steps


def _put(container: Any, steps: list[str | int], value: Any) -> None:
    """Set a value inside nested dicts and lists, made as needed; a string continues the one that is there."""
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(container, list) and isinstance(step, int):
            if step >= len(container):
                container.append(None)
                step = len(container) - 1
            there = container[step]
        elif isinstance(container, dict):
            step = str(step)
            there = container.get(step)
        else:
            return
        if after is None:
            both = isinstance(value, str) and isinstance(there, str)
            container[step] = there + value if both else value
        elif not isinstance(there, dict | list):
            container[step] = [] if isinstance(after, int) else {}
        container = container[step]


def _first(candidates: Any) -> Mapping[str, Any]:
    """The first of several answers."""
    return next((c for c in _list(candidates) if isinstance(c, Mapping) and not c.get("index")), {})


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
