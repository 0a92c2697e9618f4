"""A provider behind a keeper of exchanges: it answers from what is kept, and asks only for what is not.

Owns the course of one exchange, played or made live and kept. What is kept where, and what is found again, is the
keeper's: a tape (``gathering.testing``) or the response cache (``gathering.storage``). Whole or streamed, awaited or
not, an exchange takes the one way through ``_Once``.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, closing, contextmanager
from typing import Any, Protocol, Self, TypeAlias

from gathering.core.errors import TapeError
from gathering.core.events import Done, TextDelta, ThinkingDelta, ToolCallDelta
from gathering.core.flow import with_ids
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage, as_completion
from gathering.core.offers import Embeddings, ModelInfo, TokenCount
from gathering.core.portal import portal
from gathering.core.stored import (
    Played,
    Request,
    cut_of,
    error_body,
    is_answer,
    neutral_request,
    store_answer,
    store_batch,
)
from gathering.core.stream import (
    Batch,
    TextStream,
    batches_of,
    batches_of_async,
    gives_only_text,
    whole_answer,
)

__all__ = ["Keeper", "PlaybackProvider", "StandIn"]

#: Turns of the loop that answers beside a replayed Stop have to end in; a piece of an answer takes one.
_TURNS = 10_000
#: Opens the provider's own stream.
Live: TypeAlias = Callable[[], Any]


class Keeper(Protocol):
    """Where exchanges are kept. Safe from any thread."""

    @property
    def speed(self) -> float:
        """The rhythm of what is played: 0 at once, 1 as it was, 2 twice as fast."""
        ...

    def find(self, request: Request) -> tuple[int, Played | None]:
        """The request's number among equal ones, and its exchange; none means that it is to be made live.

        Raises what forbids that.
        """
        ...

    def keep(self, request: Request, number: int, body: dict[str, Any]) -> None:
        """Keep an exchange made live, under the number ``find`` gave; ``body`` has an ``answer``, ``error`` or ``cut``."""
        ...


class StandIn(ILLMProvider):
    """A provider that stands before another and is taken for it, but for how it answers."""

    def __init__(self, provider: ILLMProvider) -> None:
        self.provider = provider
        self.name, self.config, self.model = provider.name, provider.config, provider.model
        self.structured_output, self.takes_images = provider.structured_output, provider.takes_images
        vars(self).update(
            estimates_tokens=provider.estimates_tokens, one_at_a_time=provider.one_at_a_time
        )  # of the class elsewhere

    def complete(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion | dict[str, Any]:
        """The provider's own answer."""
        return self.provider.complete(messages, tools, **params)

    def is_available(self) -> bool:
        """What the provider says."""
        return self.provider.is_available()

    def why_unavailable(self) -> str | None:
        """What the provider says."""
        return self.provider.why_unavailable()

    def get_token_count(self, text: str) -> int:
        """The provider's own count."""
        return self.provider.get_token_count(text)

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """The provider's own count."""
        return self.provider.count_tokens(messages, tools)

    def get_max_tokens(self) -> int:
        """The provider's own figure."""
        return self.provider.get_max_tokens()

    def get_max_output(self) -> int:
        """The provider's own figure."""
        return self.provider.get_max_output()

    def get_cost(self, usage: Usage) -> float | None:
        """The provider's own price."""
        return self.provider.get_cost(usage)

    def unpriced(self, tools: list[ToolSpec] | None, params: Mapping[str, Any]) -> str:
        """What the provider says."""
        return self.provider.unpriced(tools, params)

    def cost_of(self, completion: Completion) -> float | None:
        """The provider's own price; nothing for what a cache gave."""
        return 0.0 if completion.source == "cache" else self.provider.cost_of(completion)

    def models(self) -> list[ModelInfo]:
        """The provider's own list."""
        return self.provider.models()

    def embedding_model(self, model: str | None = None) -> str:
        """The provider's own name for it."""
        return self.provider.embedding_model(model)

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """The provider's own vectors."""
        return self.provider.embed(texts, model)

    async def embed_async(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """The provider's own vectors, awaited."""
        return await self.provider.embed_async(texts, model)


class PlaybackProvider(StandIn):
    """A provider behind a keeper. Each call is looked up when it is made; a stream, when its first piece is asked for."""

    def __init__(self, provider: ILLMProvider, keeper: Keeper) -> None:
        super().__init__(provider)
        self.keeper = keeper

    def prepared(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None, params: dict[str, Any]
    ) -> ILLMProvider:
        """The provider for exactly this request, looked up now and to be asked once. Raises what forbids a live call."""
        request = self.request_for(messages, tools, params)
        number, played = self.keeper.find(request)
        if played is not None:
            return _Playing(self.provider, played, self.keeper.speed)
        return _Keeping(self.provider.prepared(messages, tools, params), _Take(self, request, number))

    def request_for(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None, params: dict[str, Any]
    ) -> Request:
        """What an exchange is found by."""
        return neutral_request(self.name, self.model, messages, tools, params)

    def complete(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion | dict[str, Any]:
        """The kept answer, or the provider's own, which is kept."""
        return self.prepared(messages, tools, params).complete(messages, tools, **params)

    async def complete_async(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion | dict[str, Any]:
        """The same, awaited."""
        return await self.prepared(messages, tools, params).complete_async(messages, tools, **params)

    def stream(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> TextStream:
        """The kept events, or the provider's own, which are kept as they come."""

        def opened() -> Any:
            return self.prepared(messages, tools, params).stream(messages, tools, **params)

        return TextStream(lambda: batches_of(opened()), lambda: batches_of_async(opened()))


class _Once(StandIn):
    """One exchange, to be asked for once: whole and streamed, awaited and not, are the same walk over batches."""

    @abstractmethod
    def walk(self, live: Live) -> Generator[Batch, None, None]:
        """The batches of the exchange; ``live`` opens the provider's stream, for one that is made live."""

    @abstractmethod
    def walk_async(self, live: Live) -> AsyncGenerator[Batch, None]:
        """The same, awaited."""

    def complete(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The answer, whole."""
        *_, last = self.walk(lambda: _in_one_go(self.provider, messages, tools, params))
        return _completion_in(last)

    async def complete_async(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The answer, whole and awaited."""
        *_, last = [
            b async for b in self.walk_async(lambda: _in_one_go(self.provider, messages, tools, params))
        ]
        return _completion_in(last)

    def stream(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> TextStream:
        """The answer piece by piece."""

        def live() -> Any:
            # Bare strings cannot carry tool calls: such a provider is asked for whole answers when there are tools.
            if tools and gives_only_text(self.provider):
                return whole_answer(self.provider, messages, tools, params)
            return self.provider.stream(messages, tools, **params)

        return TextStream(lambda: self.walk(live), lambda: self.walk_async(live))


class _Playing(_Once):
    """A kept exchange, given again in its rhythm."""

    is_live = False

    def __init__(self, provider: ILLMProvider, played: Played, speed: float) -> None:
        super().__init__(provider)
        self.played, self.speed = played, speed

    def walk(self, live: Live) -> Generator[Batch, None, None]:
        with _said_to_be_played(self.played):
            for pause, batch in self._steps():
                if pause:
                    time.sleep(pause)
                yield batch or self._end(KeyboardInterrupt())

    async def walk_async(self, live: Live) -> AsyncGenerator[Batch, None]:
        with _said_to_be_played(self.played):
            for pause, batch in self._steps():
                await asyncio.sleep(pause)
                if not batch and self.played.cut == "stop":
                    await _others()
                yield batch or self._end(asyncio.CancelledError())

    def _steps(self) -> Generator[tuple[float, Batch], None, None]:
        """The kept batches, each with the seconds to wait before it; an empty one is the end."""
        last = 0.0
        for at, batch in (*self.played.batches, (self.played.latency_ms, [])):
            yield (max(0.0, at - last) / 1000 / self.speed if self.speed else 0.0), batch
            last = at

    def _end(self, stop: BaseException) -> Batch:
        error = stop if self.played.cut == "stop" else self.played.error
        if error is not None:
            error.timing = self.played.timing  # type: ignore[attr-defined]
            raise error
        if self.played.cut is not None:
            raise TapeError(
                "the stream was left here when it was recorded, and is read further now: record anew"
            )
        assert self.played.completion is not None, "an exchange has an answer, an error or a cut"
        return [Done(self.played.completion)]


@contextmanager
def _said_to_be_played(played: Played) -> Generator[None, None, None]:
    """A block in which Stop, in the middle of a rhythm, says that no service was asked; recorded failures have times that do."""
    try:
        yield
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        stop.source = played.completion.source if played.completion is not None else "tape"  # type: ignore[union-attr]
        raise


class _Keeping(_Once):
    """An exchange that is made live, and kept."""

    def __init__(self, provider: ILLMProvider, take: _Take) -> None:
        super().__init__(provider)
        self.take, self.is_live = take, provider.is_live

    def walk(self, live: Live) -> Generator[Batch, None, None]:
        with self.take, closing(batches_of(live(), self.provider)) as batches:
            for batch in batches:
                yield self.take.heard(batch)

    async def walk_async(self, live: Live) -> AsyncGenerator[Batch, None]:
        with self.take:
            async with aclosing(batches_of_async(live(), self.provider)) as batches:
                async for batch in batches:
                    yield self.take.heard(batch)


class _Take:
    """One live exchange while it is made: kept when it ends with an answer, a failure of the other side or a cut."""

    def __init__(self, provider: PlaybackProvider, request: Request, number: int) -> None:
        self.keeper, self.provider = provider.keeper, provider.provider
        self.request, self.number = request, number
        self.batches: list[list[Any]] = []
        self._first: float | None = None
        self._kept = False

    def __enter__(self) -> Self:
        self.started_at, self._begun = time.time(), time.perf_counter()
        return self

    def __exit__(self, kind: object, error: BaseException | None, frames: object) -> None:
        if error is None or self._kept:
            return
        if is_answer(error):
            self._keep({"error": error_body(error)})
        elif (cut := cut_of(error)) is not None:
            self._keep({"cut": cut})

    def heard(self, batch: Batch) -> Batch:
        """Note a batch and pass it on; the last one is the answer."""
        if stored := store_batch(batch):
            if self._first is None and any(
                isinstance(e, (TextDelta, ThinkingDelta, ToolCallDelta)) for e in batch
            ):
                self._first = self._now()
            self.batches.append([round(self._now(), 3), *stored])
        if batch and isinstance(last := batch[-1], Done):
            completion = with_ids(last.completion)  # as they will be given again
            self._keep({"answer": store_answer(completion), "cost_usd": self.provider.cost_of(completion)})
            return [*batch[:-1], Done(completion)]
        return batch

    def _keep(self, outcome: dict[str, Any]) -> None:
        now = self._now()
        timing = {
            "started_at": round(self.started_at, 6),
            "ttft_ms": round(self._first if self._first is not None else now, 3),
            "latency_ms": round(now, 3),
        }
        self._kept = True
        stream = {"stream": self.batches} if self.batches else {}
        self.keeper.keep(self.request, self.number, {**timing, **stream, **outcome})

    def _now(self) -> float:
        return (time.perf_counter() - self._begun) * 1000


async def _others() -> None:
    """Let what runs beside this one end first: it had ended before the Stop that is replayed."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def _in_one_go(
    provider: ILLMProvider, messages: list[MessageDict], tools: list[ToolSpec] | None, params: dict[str, Any]
) -> TextStream:
    """A stream that has only its end: the whole answer, without pieces to keep."""

    def sync() -> Generator[Batch, None, None]:
        answer: Any = provider.complete(messages, tools, **params)
        yield [Done(as_completion(portal().run(answer) if inspect.iscoroutine(answer) else answer))]

    async def asynchronous() -> AsyncGenerator[Batch, None]:
        yield [Done(as_completion(await provider.complete_async(messages, tools, **params)))]

    return TextStream(sync, asynchronous)


def _completion_in(batch: Batch) -> Completion:
    last = batch[-1]
    assert isinstance(last, Done), "an exchange ends with Done"
    return last.completion
