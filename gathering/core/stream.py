"""One stream object for ``for``, ``async for``, ``with`` and ``async with``.

Events travel in batches, all that one network read brought, so that the cost per token stays near that of
the network client. Owns the walk over a stream and its closing; where events come from is the maker's business.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any, Self, TypeAlias

from gathering.core.events import Done, Event, TextDelta
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, Reply, as_completion
from gathering.core.portal import portal, portal_of

__all__ = [
    "Batch",
    "Stream",
    "TextStream",
    "batches_of",
    "batches_of_async",
    "gives_only_text",
    "whole_answer",
]

Batch: TypeAlias = list[Event]


class _Closing:
    """``with`` and ``async with`` over ``close`` and ``aclose``."""

    def close(self) -> None:
        """Stop, for a stream read with ``for``: the connection is closed at once. Harmless on one that is over."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Stop, for a stream read with ``async for``."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """The stream, closed at the end of the block."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the stream."""
        self.close()

    async def __aenter__(self) -> Self:
        """The stream, closed at the end of the block."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close the stream."""
        await self.aclose()


class Stream(_Closing):
    """Typed events, in one pass: started once, closed for certain. ``.reply`` of an agent's turn is there at the end."""

    def __init__(
        self,
        sync: Callable[[], Generator[Batch, None, None]],
        asynchronous: Callable[[], AsyncGenerator[Batch, None]],
    ) -> None:
        self._start_sync, self._start_async = sync, asynchronous
        self._sync: Generator[Batch, None, None] | None = None
        self._async: AsyncGenerator[Batch, None] | None = None
        self._done: Done | None = None

    def batches(self) -> Iterator[Batch]:
        """The events in the batches in which they arrived. Reading on after a break goes on where it stopped."""
        if self._async is not None:
            raise RuntimeError("this stream is being read with 'async for': go on with that")
        if self._sync is None:
            self._sync = self._start_sync()
        for batch in self._sync:
            self._see(batch)
            yield batch

    async def batches_async(self) -> AsyncGenerator[Batch, None]:
        """The same for ``async for``."""
        if self._sync is not None:
            raise RuntimeError("this stream is being read with 'for': go on with that")
        if self._async is None:
            self._async = self._start_async()
        async for batch in self._async:
            self._see(batch)
            yield batch

    def _see(self, batch: Batch) -> None:
        if batch and isinstance(last := batch[-1], Done):
            self._done = last

    def __iter__(self) -> Iterator[Event]:
        """The events, one by one."""
        for batch in self.batches():
            yield from batch

    async def __aiter__(self) -> AsyncIterator[Event]:
        """The events, one by one."""
        async for batch in self.batches_async():
            for event in batch:
                yield event

    def events(self) -> Self:
        """The typed events, as of any stream: what iterating this one gives."""
        return self

    @property
    def completion(self) -> Completion:
        """The last call's completion, once the stream has been read to its end."""
        return self._end().completion

    @property
    def reply(self) -> Reply:
        """The agent's reply, once the stream has been read to its end."""
        reply = self._end().reply
        if reply is None:
            raise AttributeError("a provider's stream has no reply: see .completion")
        return reply

    def _end(self) -> Done:
        if self._done is None:
            raise RuntimeError("the stream has not been read to its end: loop over it first")
        return self._done

    def close(self) -> None:
        """Stop, for a stream read with ``for``: the connection is closed at once. Harmless on one that is over."""
        _close(self._sync)

    async def aclose(self) -> None:
        """Stop, for a stream read with ``async for``."""
        if self._async is not None:
            await self._async.aclose()
        self.close()


class TextStream(_Closing):
    """A provider's stream: iterating gives the pieces of text, ``.events()`` the typed events of the same pass."""

    def __init__(
        self,
        sync: Callable[[], Generator[Batch, None, None]],
        asynchronous: Callable[[], AsyncGenerator[Batch, None]],
    ) -> None:
        self._events = Stream(sync, asynchronous)

    def events(self) -> Stream:
        """The same pass as typed events."""
        return self._events

    @property
    def completion(self) -> Completion:
        """The completion, once the stream has been read to its end."""
        return self._events.completion

    def __iter__(self) -> Iterator[str]:
        """The pieces of the text."""
        return (event.text for event in self._events if type(event) is TextDelta)

    async def __aiter__(self) -> AsyncIterator[str]:
        """The pieces of the text."""
        async for event in self._events:
            if type(event) is TextDelta:
                yield event.text

    def close(self) -> None:
        """Stop, for a stream read with ``for``."""
        self._events.close()

    async def aclose(self) -> None:
        """Stop, for a stream read with ``async for``."""
        await self._events.aclose()


def whole_answer(
    provider: ILLMProvider, messages: list[Any], tools: list[Any] | None, params: dict[str, Any]
) -> TextStream:
    """A stream that gives a provider's whole answer in one piece, for one that cannot stream."""

    def sync() -> Generator[Batch, None, None]:
        yield in_one_piece(as_completion(provider.complete(messages, tools, **params)))

    async def asynchronous() -> AsyncGenerator[Batch, None]:
        yield in_one_piece(as_completion(await provider.complete_async(messages, tools, **params)))

    return TextStream(sync, asynchronous)


def in_one_piece(completion: Completion) -> Batch:
    """The events of an answer that came whole."""
    done = Done(completion)
    return [TextDelta(completion.content), done] if completion.content else [done]


def gives_only_text(provider: ILLMProvider) -> bool:
    """Whether the provider's ``stream`` is a plain generator of strings, which cannot carry tool calls."""
    method = provider.stream
    return inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method)


def batches_of(stream: Any, provider: ILLMProvider | None = None) -> Generator[Batch, None, None]:
    """Batches of whatever a provider's ``stream`` gave, for a sync caller: ours, a generator or an async one."""
    if isinstance(stream, TextStream):
        with stream:
            yield from stream.events().batches()
        return
    if hasattr(stream, "__aiter__"):
        walker = portal() if provider is None or _awaits(provider) else portal_of(provider)
        pieces = walker.iterate(aiter(stream))
    else:
        pieces = iter(stream)
    text: list[str] = []
    try:
        for piece in pieces:
            yield [_as_event(piece, text)]
    finally:
        _close(pieces)
    yield [Done(Completion("".join(text)))]


async def batches_of_async(stream: Any, provider: ILLMProvider | None = None) -> AsyncGenerator[Batch, None]:
    """The same for an async caller; a sync generator's pieces come from a worker thread.

    An async one of a provider that knows no other awaiting may block all the same: it runs on a loop of its own.
    """
    if isinstance(stream, TextStream):
        async with stream:
            async for batch in stream.events().batches_async():
                yield batch
        return
    if not hasattr(stream, "__aiter__"):
        pieces = _on_worker(iter(stream))
    elif provider is None or _awaits(provider):
        pieces = aiter(stream)
    else:
        pieces = portal_of(provider).iterate_async(aiter(stream))
    text: list[str] = []
    try:
        async for piece in pieces:
            yield [_as_event(piece, text)]
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
    yield [Done(Completion("".join(text)))]


def _awaits(provider: ILLMProvider) -> bool:
    """Whether the provider has an awaited form of its own, so that what it holds may belong to the caller's loop."""
    return type(provider).complete_async is not ILLMProvider.complete_async


async def _on_worker(pieces: Iterator[Any]) -> AsyncGenerator[Any, None]:
    end = object()
    try:
        while (piece := await asyncio.to_thread(next, pieces, end)) is not end:
            yield piece
    finally:
        _close(pieces)


def _as_event(piece: Any, text: list[str]) -> Event:
    if not isinstance(piece, str):
        raise TypeError(
            f"a provider's stream gave {type(piece).__name__}: yield strings, or return a TextStream"
        )
    text.append(piece)
    return TextDelta(piece)


def _close(iterator: Any) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()
