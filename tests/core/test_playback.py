"""A provider behind a keeper: one way for whole and streamed, awaited and not; what is kept is not asked for again."""

from __future__ import annotations

from typing import Any

import pytest

from gathering.core.errors import RateLimitError
from gathering.core.events import TextDelta
from gathering.core.interfaces import ILLMProvider
from gathering.core.playback import PlaybackProvider, StandIn
from gathering.core.stored import Played, load
from gathering.testing import ScriptedProvider

HI = [{"role": "user", "content": "Hi"}]


class Shelf:
    """Keeps the last exchange of all, whatever was asked."""

    speed = 0.0

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.finds = 0

    def find(self, request: dict[str, Any]) -> tuple[int, Played | None]:
        self.finds += 1
        return 7, load(self.body) if self.body else None

    def keep(self, request: dict[str, Any], number: int, body: dict[str, Any]) -> None:
        assert number == 7
        self.body = body


async def ways(provider: ILLMProvider) -> list[str]:
    """The text of the answer, asked for in each of the four ways."""
    whole: Any = provider.complete(HI)
    awaited: Any = await provider.complete_async(HI)
    streamed = "".join(provider.stream(HI))
    return [whole["content"], awaited["content"], streamed, "".join([t async for t in provider.stream(HI)])]


async def test_made_once_and_played_in_each_way() -> None:
    """The provider is asked one time, the other three ways play what it said."""
    scripted = ScriptedProvider(["one two"])
    assert await ways(PlaybackProvider(scripted, Shelf())) == ["one two"] * 4
    assert len(scripted.requests) == 1


def test_a_stream_is_looked_up_when_it_is_read() -> None:
    """Opening a stream finds nothing, keeps nothing and sends nothing."""
    shelf, scripted = Shelf(), ScriptedProvider(["x"])
    PlaybackProvider(scripted, shelf).stream(HI)
    assert (shelf.finds, scripted.requests) == (0, [])


def test_what_is_prepared_says_whether_it_is_live() -> None:
    """Before anything is sent it is known whether a call would be made; asking it then looks up nothing more."""
    shelf = Shelf()
    provider = PlaybackProvider(ScriptedProvider(["x"]), shelf)
    first = provider.prepared(HI, None, {})
    assert first.is_live
    assert first.complete(HI)["content"] == "x"
    again = provider.prepared(HI, None, {})
    assert not again.is_live
    assert again.complete(HI)["content"] == "x"
    assert shelf.finds == 2


def test_behind_two_keepers_the_inner_ones_answer_is_not_live() -> None:
    """A tape that records what a cache gives costs nothing."""
    inner = Shelf()
    ready = PlaybackProvider(ScriptedProvider(["x"]), inner)
    ready.complete(HI)
    outer = PlaybackProvider(ready, Shelf())
    assert not outer.prepared(HI, None, {}).is_live


def test_an_error_keeps_its_place_in_the_answer() -> None:
    """Text that had arrived comes first, whole or streamed the failure is the same."""
    error = RateLimitError("slow down", retry_after=2.5)
    shelf = Shelf()
    provider = PlaybackProvider(ScriptedProvider([{"content": "Half an", "raises": error}]), shelf)
    with pytest.raises(RateLimitError):
        list(provider.stream(HI))
    with pytest.raises(RateLimitError) as caught:
        provider.complete(HI)
    assert caught.value.retry_after == 2.5
    stream = iter(provider.stream(HI).events())
    assert [next(stream), next(stream)] == [TextDelta("Half "), TextDelta("an")]


async def test_leaving_a_stream_closes_the_provider_s() -> None:
    """The connection behind it is not left to the garbage collector, in either world."""
    closed: list[str] = []

    class Endless(ILLMProvider):
        def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            raise AssertionError("only streams are opened here")

        async def stream(self, messages: Any, tools: Any = None, **params: Any) -> Any:  # type: ignore[override]
            try:
                while True:
                    yield "more "
            finally:
                closed.append("closed")

    shelf = Shelf()
    async with PlaybackProvider(Endless("endless", {}), shelf).stream(HI) as stream:
        async for _ in stream:
            break
    assert closed == ["closed"]
    assert shelf.body is not None
    assert (shelf.body["cut"], len(shelf.body["stream"])) == ("left", 1)


def test_a_coroutine_in_a_sync_call_is_awaited() -> None:
    """A user's own class with an async complete is kept and played like any other."""

    class Mine(ILLMProvider):
        async def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:  # type: ignore[override]
            return {"content": "awaited"}

    provider = PlaybackProvider(Mine("mine", {}), Shelf())
    assert [provider.complete(HI)["content"] for _ in range(2)] == ["awaited", "awaited"]


def test_a_stand_in_is_taken_for_what_it_stands_before() -> None:
    """Name, model, figures and abilities are the provider's own."""

    class Able(ScriptedProvider):
        structured_output, takes_images, one_at_a_time = "native", True, True

        def get_max_tokens(self) -> int:
            return 77

    stand_in = StandInOf(Able([], "able", "m"))
    assert repr(stand_in) == "StandInOf(able:m)"
    assert (stand_in.structured_output, stand_in.takes_images, stand_in.one_at_a_time) == (
        "native",
        True,
        True,
    )
    assert (stand_in.get_max_tokens(), stand_in.get_token_count("12345678")) == (77, 2)


class StandInOf(StandIn):
    """A stand-in that answers by itself."""

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
        return "mine"
