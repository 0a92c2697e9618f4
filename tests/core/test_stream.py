"""One stream object for all four ways of reading, whatever a provider's ``stream`` is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import gathering
from gathering.core.errors import IncompleteStreamError
from gathering.core.events import Done, TextDelta
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion
from gathering.core.stream import TextStream
from gathering.testing import ScriptedProvider


class Whole(ILLMProvider):
    """Says only ``complete``."""

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
        return {"content": "all at once"}


class SyncPieces(Whole):
    """Streams by a plain generator."""

    def stream(self, messages: Any, tools: Any = None, **params: Any) -> Iterator[str]:
        yield from ("a", "b")


class AsyncPieces(Whole):
    """Streams by an async generator."""

    async def stream(self, messages: Any, tools: Any = None, **params: Any) -> AsyncIterator[str]:
        for piece in ("a", "b"):
            await asyncio.sleep(0)
            yield piece


class Endless(Whole):
    """Its stream ends without Done."""

    def stream(self, messages: Any, tools: Any = None, **params: Any) -> TextStream:
        async def none() -> Any:
            yield [TextDelta("a")]

        return TextStream(lambda: iter([[TextDelta("a")]]), none)


class Wrong(Whole):
    """Its stream gives something that is no text."""

    def stream(self, messages: Any, tools: Any = None, **params: Any) -> Iterator[Any]:
        yield 3


async def read(stream: Any) -> list[Any]:
    return [item async for item in stream]


@pytest.mark.parametrize(
    ("cls", "pieces"), [(Whole, ["all at once"]), (SyncPieces, ["a", "b"]), (AsyncPieces, ["a", "b"])]
)
def test_any_kind_of_provider_stream_becomes_events(cls: Any, pieces: list[str]) -> None:
    """In a sync and in an awaited turn."""
    ada = gathering.Agent("ada", llm_provider=cls("own", {}))
    for events in (list(ada.stream("Hi")), asyncio.run(read(ada.stream("Hi")))):
        assert [e.text for e in events[:-1]] == pieces
        assert events[-1].reply.text == "".join(pieces)


def test_a_provider_that_says_only_complete_streams_in_one_piece() -> None:
    """Iterating gives strings, ``.events()`` the same pass as events."""
    provider = Whole("own", {})
    stream = provider.stream([{"role": "user", "content": "x"}])
    assert list(stream) == ["all at once"]
    assert stream.completion.content == "all at once"
    assert [type(e) for e in provider.stream([]).events()] == [TextDelta, Done]
    assert asyncio.run(read(provider.stream([]))) == ["all at once"]


def test_a_provider_with_an_async_complete_serves_a_sync_caller() -> None:
    """It runs on the I/O thread."""

    class Awaited(Whole):
        async def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            await asyncio.sleep(0)
            return "awaited"

    ada = gathering.Agent("ada", llm_provider=Awaited("own", {}))
    assert ada.ask("Hi").text == "awaited"
    assert asyncio.run(ada.ask_async("Hi")).text == "awaited"


def test_a_text_provider_is_asked_whole_when_there_are_tools() -> None:
    """A stream of bare strings cannot carry a tool call."""
    ada = gathering.Agent("ada", llm_provider=SyncPieces("own", {}), tools=["calculator"])
    assert [type(e) for e in ada.stream("Hi")] == [TextDelta, Done]
    stream = ada.stream("Again")
    list(stream)
    assert stream.reply.text == "all at once"


@pytest.mark.parametrize(("cls", "error"), [(Endless, IncompleteStreamError), (Wrong, TypeError)])
def test_a_stream_that_breaks_its_word_is_an_error(cls: Any, error: type[Exception]) -> None:
    """No end, or no text."""
    for read_it in (lambda s: list(s), lambda s: asyncio.run(read(s))):
        with pytest.raises(error):
            read_it(gathering.Agent("ada", llm_provider=cls("own", {})).stream("Hi"))


def test_a_stream_is_read_once_and_one_way() -> None:
    """Reading on goes on; the other way is refused; the result is there only at the end."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["one two three"]))
    with ada.stream("Hi") as stream:
        next(iter(stream))
        with pytest.raises(RuntimeError, match="to its end"):
            _ = stream.reply
        with pytest.raises(RuntimeError, match="go on with that"):
            asyncio.run(read(stream))
        rest = list(stream)
    assert isinstance(rest[-1], Done)
    assert list(stream) == []
    assert stream.reply.text == "one two three"


async def test_async_with_closes() -> None:
    """Leaving the block early leaves the agent free."""
    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["one two", "three"]))
    async with ada.stream("Hi") as stream:
        async for _ in stream:
            break
    assert (await ada.ask_async("Next")).text == "three"


def test_a_providers_stream_has_no_reply() -> None:
    """It has a completion."""
    stream = ScriptedProvider(["x"]).stream([]).events()
    list(stream)
    assert stream.completion == stream.completion
    assert isinstance(stream.completion, Completion)
    with pytest.raises(AttributeError, match=r"\.completion"):
        _ = stream.reply
