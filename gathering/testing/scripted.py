"""A provider that says what it was told to say, for tests of whatever stands on a provider. No network, no model.

Owns no recording: what a real model said is on a tape (``gathering.testing.tape``).
"""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from gathering.core.errors import GatheringError
from gathering.core.events import Done, TextDelta, ThinkingDelta, ToolCallDelta
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage, as_completion, text_of
from gathering.core.stream import Batch, TextStream

__all__ = ["Answer", "ScriptedProvider", "ScriptedRequest"]

Answer: TypeAlias = (
    str
    | Mapping[str, Any]
    | Completion
    | BaseException
    | type[BaseException]
    | Callable[[list[MessageDict]], Any]
)


@dataclass(frozen=True, slots=True)
class ScriptedRequest:
    """What the provider was asked: copies, so that what happens later does not change them."""

    messages: list[MessageDict]
    tools: list[ToolSpec] | None = None
    params: dict[str, Any] = field(default_factory=dict)


class ScriptedProvider(ILLMProvider):
    """A provider that gives these answers, one for each call, in order.

    An answer is a string; a dict with any of ``content``, ``thinking``, ``tool_calls`` (each ``{"name",
    "arguments"}``), ``finish_reason``, ``usage``; an exception to raise; or a function of the messages that returns
    one of these. ``{"content": "Half an ans", "raises": error}`` says the text and then raises. A stream gives the
    text word by word. What was asked is in ``requests``. Tokens are counted as words, where an answer does not say.

    >>> provider = ScriptedProvider(["Hello there!"])
    >>> list(provider.stream([{"role": "user", "content": "Hi"}]))
    ['Hello ', 'there!']
    >>> provider.requests[0].messages
    [{'role': 'user', 'content': 'Hi'}]
    """

    takes_images: bool = True

    def __init__(self, answers: Iterable[Answer], name: str = "scripted", model: str = "script") -> None:
        if isinstance(answers, str):
            answers = [answers]
        super().__init__(name, {"model": model})
        self.answers = list(answers)
        self.requests: list[ScriptedRequest] = []
        self._lock = threading.Lock()

    def complete(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The next answer. Raises what the script says, or ``GatheringError`` when there is none left."""
        completion, error = self._next(messages, tools, params)
        if error is not None:
            raise error
        return completion

    async def complete_async(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The next answer, awaited."""
        return self.complete(messages, tools, **params)

    def stream(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> TextStream:
        """The next answer word by word. It is taken from the script when reading begins."""

        def sync() -> Generator[Batch, None, None]:
            completion, error = self._next(messages, tools, params)
            yield from _pieces(completion, error)

        async def asynchronous() -> AsyncGenerator[Batch, None]:
            for batch in sync():
                yield batch

        return TextStream(sync, asynchronous)

    def _next(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None, params: Mapping[str, Any]
    ) -> tuple[Completion, BaseException | None]:
        with self._lock:
            number = len(self.requests)
            self.requests.append(ScriptedRequest(*copy.deepcopy((messages, tools, dict(params)))))
            if number >= len(self.answers):
                raise GatheringError(
                    f"{self.name!r} has {len(self.answers)} scripted answers and was asked for number {number + 1}: "
                    "script one more"
                )
            answer = self.answers[number]
        completion, error = _read(answer, messages)
        usage = completion.usage if completion.usage != Usage() else _usage(messages, completion)
        if error is not None and not getattr(error, "partial", None) and hasattr(error, "partial"):
            error.partial = completion.content
        return replace(completion, usage=usage, model=completion.model or self.model), error


def _read(answer: Any, messages: list[MessageDict]) -> tuple[Completion, BaseException | None]:
    """What the answer says, and what it raises afterwards."""
    if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
        return Completion(), _raised(answer)
    if callable(answer):
        return _read(answer(messages), messages)
    if isinstance(answer, Completion):  # a mapping too, but one that says more than its keys
        return answer, None
    if isinstance(answer, Mapping):
        completion = as_completion({k: v for k, v in _with_ids(answer).items() if k != "raises"})
        error = _raised(answer["raises"]) if answer.get("raises") is not None else None
        return replace(completion, raw=None), error
    return as_completion(answer), None


def _raised(error: BaseException | type[BaseException]) -> BaseException:
    return error("as the script says") if isinstance(error, type) else error


def _with_ids(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if not answer.get("tool_calls"):
        return answer
    calls = [{"id": f"call_{n}", **call} for n, call in enumerate(answer["tool_calls"], 1)]
    return {**answer, "tool_calls": calls}


def _pieces(completion: Completion, error: BaseException | None) -> Generator[Batch, None, None]:
    for word in _words(completion.thinking):
        yield [ThinkingDelta(word)]
    for word in _words(completion.content):
        yield [TextDelta(word)]
    for index, call in enumerate(completion.tool_calls):
        yield [ToolCallDelta(index, call.id, call.name, _arguments(call.arguments))]
    if error is not None:
        raise error
    yield [Done(completion)]


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*|\s+", text)


def _arguments(arguments: dict[str, Any]) -> str:
    import json

    return json.dumps(arguments, ensure_ascii=False, default=str)


def _usage(messages: list[MessageDict], completion: Completion) -> Usage:
    read = sum(len(text_of(m.get("content")).split()) for m in messages)
    return Usage(read, len(f"{completion.thinking} {completion.content}".split()))
