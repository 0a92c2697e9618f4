"""Chains of models: who is asked next and why, who answered, what is shown of it, and what all of them said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from fake_service import Answer, Service, answer, chunk, sse

import gathering
from gathering import Agent
from gathering.core import errors as e
from gathering.core.events import TextDelta, UsageUpdate
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, Usage
from gathering.core.registry import PROVIDERS
from gathering.core.session import no_live_calls
from gathering.core.stream import TextStream
from gathering.llm.fallback import FallbackProvider
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

ASK: list[dict[str, Any]] = [{"role": "user", "content": "1+1?"}]
GOES_ON = [
    e.ProviderConnectionError,
    e.ProviderTimeoutError,
    e.OverloadedError,
    e.RateLimitError,
    e.QuotaError,
    e.AuthenticationError,
    e.PermissionDeniedError,
    e.ModelNotFoundError,
    e.MalformedResponseError,
    e.IncompleteStreamError,
    e.LocalModelError,
    ConnectionError,
    TimeoutError,
]
STAYS = [e.BadRequestError, e.ContentFilterError, ValueError, KeyboardInterrupt]


class Small(ScriptedProvider):
    """A scripted provider that reads so many tokens."""

    def __init__(self, answers: list[Any], name: str, reads: int) -> None:
        super().__init__(answers, name)
        self.reads = reads

    def get_max_tokens(self) -> int:
        return self.reads


def chain(*providers: ILLMProvider) -> FallbackProvider:
    made = gathering.provider("fallback", providers=list(providers))
    assert isinstance(made, FallbackProvider)
    return made


def whole(p: ILLMProvider) -> Completion:
    """Through ``complete``."""
    answer = p.complete(ASK)
    assert isinstance(answer, Completion)
    return answer


def awaited(p: ILLMProvider) -> Completion:
    """Through ``complete_async``."""
    answer = asyncio.run(_result(p))
    assert isinstance(answer, Completion)
    return answer


async def _result(p: ILLMProvider) -> Any:
    return await p.complete_async(ASK)


def streamed(p: ILLMProvider) -> Completion:
    """Through ``stream`` and ``for``."""
    stream: TextStream = p.stream(ASK)
    text = "".join(stream)
    assert text == stream.completion.content
    return stream.completion


def streamed_async(p: ILLMProvider) -> Completion:
    """Through ``stream`` and ``async for``."""

    async def read() -> Completion:
        stream: TextStream = p.stream(ASK)
        text = "".join([piece async for piece in stream])
        assert text == stream.completion.content
        return stream.completion

    return asyncio.run(read())


@pytest.fixture(params=[whole, awaited, streamed, streamed_async])
def call(request: pytest.FixtureRequest) -> Callable[[ILLMProvider], Completion]:
    """Each of the four ways to ask."""
    found: Callable[[ILLMProvider], Completion] = request.param
    return found


@pytest.mark.parametrize("kind", GOES_ON, ids=lambda kind: kind.__name__)
def test_trouble_of_one_provider_goes_to_the_next(kind: type[Exception], call: Any) -> None:
    """Whatever is the matter with a service, the next one answers and says that it did."""
    first, second = ScriptedProvider([kind("no")], "first"), ScriptedProvider(["Two."], "second", "m2")
    completion = call(chain(first, second))
    assert (completion.content, completion.provider, completion.model) == ("Two.", "second", "m2")
    assert len(first.requests) == len(second.requests) == 1


@pytest.mark.parametrize("kind", STAYS, ids=lambda kind: kind.__name__)
def test_what_is_wrong_everywhere_is_not_asked_again(kind: type[BaseException]) -> None:
    """A bad request, a filter, a fault of the program and Stop end the call where they arise."""
    for ask in (whole, streamed):
        second = ScriptedProvider(["Two."], "second")
        with pytest.raises(kind):
            ask(chain(ScriptedProvider([kind("no")], "first"), second))
        assert second.requests == []


def test_the_first_one_that_can_answers(call: Any) -> None:
    """The others are not asked."""
    second = ScriptedProvider(["Two."], "second")
    assert call(chain(ScriptedProvider(["One."], "first"), second)).provider == "first"
    assert second.requests == []


def test_nothing_is_asked_anew_after_the_first_piece() -> None:
    """Text that was shown stays; the error carries it."""
    second = ScriptedProvider(["Two."], "second")
    broken = e.ProviderConnectionError("the connection broke", provider="first", partial="Half an")
    stream = chain(ScriptedProvider([{"content": "Half an", "raises": broken}], "first"), second).stream(ASK)
    pieces: list[str] = []
    with pytest.raises(e.ProviderConnectionError) as caught:
        pieces.extend(stream)
    assert caught.value.partial == "Half an"
    assert second.requests == []


def test_a_count_of_tokens_is_no_piece(call: Any) -> None:
    """A stream that broke after its usage has shown nothing yet."""

    class Counts(ScriptedProvider):
        def stream(self, messages: Any, tools: Any = None, **params: Any) -> TextStream:
            def sync() -> Any:
                yield [UsageUpdate(Usage(3, None))]
                raise e.OverloadedError("busy")

            async def asynchronous() -> AsyncGenerator[Any, None]:
                for batch in sync():
                    yield batch

            return TextStream(sync, asynchronous)

    first = Counts([e.OverloadedError("busy")], "first")
    assert call(chain(first, ScriptedProvider(["Two."], "second"))).content == "Two."


def test_a_longer_context_helps_where_one_was_too_short(call: Any) -> None:
    """Only a provider that reads more is asked after an overflow."""
    small = Small([e.ContextOverflowError("too long")], "small", 10)
    other, large = Small(["Other."], "other", 10), Small(["Large."], "large", 20)
    assert call(chain(small, other, large)).provider == "large"
    assert other.requests == []


def test_an_overflow_nobody_can_help_with_is_told(call: Any) -> None:
    """As the first one said it."""
    small = Small([e.ContextOverflowError("small is too short")], "small", 10)
    with pytest.raises(e.ContextOverflowError, match="^small is too short$"):
        call(chain(small, Small(["Other."], "other", 10)))


def test_all_of_them_fail(call: Any) -> None:
    """One line says what each of them said; the shortest wait is kept."""
    first = ScriptedProvider([e.RateLimitError("first is busy", retry_after=9.0)], "first")
    second = ScriptedProvider([e.RateLimitError("slow down", retry_after=4.0, status=429)], "second", "m2")
    with pytest.raises(e.RateLimitError) as caught:
        call(chain(first, second))
    error = caught.value
    text = "no answer from 2 of the 2 in the chain: (1) first is busy; (2) second:m2: slow down"
    assert str(error) == text
    assert (error.provider, error.model) == ("fallback", "first:script | second:m2")
    assert (error.retry_after, error.status) == (4.0, 429)


def test_different_failures_are_a_provider_error() -> None:
    """No type of one of them would be true of all; a decisive failure keeps its own."""
    busy, lost = e.OverloadedError("busy"), e.AuthenticationError("no key")
    with pytest.raises(e.ProviderError) as caught:
        whole(chain(ScriptedProvider([busy], "a"), ScriptedProvider([lost], "b")))
    assert type(caught.value) is e.ProviderError
    with pytest.raises(e.BadRequestError, match=r"\(1\) a:script: busy; \(2\) b:script: wrong"):
        whole(chain(ScriptedProvider([busy], "a"), ScriptedProvider([e.BadRequestError("wrong")], "b")))


def test_tools_reach_a_provider_that_streams_bare_strings() -> None:
    """Bare strings cannot carry tool calls, so it is asked for a whole answer."""

    class Bare(ScriptedProvider):
        async def stream(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            yield "lost"

    calls = {"content": "", "tool_calls": [{"name": "bell", "arguments": {}}]}
    made = chain(ScriptedProvider([e.QuotaError("none")], "first"), Bare([calls], "bare"))
    stream = made.stream(ASK, [{"name": "bell", "description": "", "parameters": {}}])
    assert "".join(stream) == ""
    assert [c.name for c in stream.completion.tool_calls] == ["bell"]


def test_a_provider_with_an_async_complete_is_asked_in_a_sync_call() -> None:
    """As it would be alone."""

    class Async(ILLMProvider):
        async def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:  # type: ignore[override]
            return {"content": "Later."}

    busy = e.OverloadedError("busy")
    made = chain(ScriptedProvider([busy, busy], "first"), Async("async", {}))
    assert whole(made).content == awaited(made).content == "Later."


def test_images_go_to_those_that_see(call: Any) -> None:
    """A blind provider is not asked about an image while another one sees."""
    blind, seeing = ScriptedProvider(["Blind."], "blind"), ScriptedProvider(["Seen."], "seeing")
    blind.takes_images = False
    made = chain(blind, seeing)
    assert made.takes_images
    image = {"media_type": "image/png", "data": "aGk="}
    asked = [{"role": "user", "content": "What is this?", "images": [image]}]
    assert made.complete(asked).provider == "seeing"
    assert call(made).provider == "blind"


def test_a_forbidden_live_call_is_no_reason_to_go_on() -> None:
    """Where live calls are forbidden, they are so for each of them."""
    with no_live_calls(), pytest.raises(e.LiveCallError):
        gathering.provider("openai:m | mistral:m").complete(ASK)


def test_stop_between_two_pieces_closes_the_stream_that_runs(service: Service) -> None:
    """Leaving the chain's stream hangs up on the service behind it."""
    service.will(sse(chunk("Hel"), stall=True))
    live = gathering.provider("openai:m", base_url=service.url, api_key="k")
    stream = chain(ScriptedProvider([e.OverloadedError("busy")], "first"), live).stream(ASK)
    assert next(iter(stream)) == "Hel"
    stream.close()
    assert service.hung_up.wait(20)


async def test_leaving_an_async_stream_closes_it(service: Service) -> None:
    """The same with ``async for``."""
    service.will(sse(chunk("Hel"), stall=True))
    live = gathering.provider("openai:m", base_url=service.url, api_key="k")
    async with chain(ScriptedProvider([e.OverloadedError("busy")], "first"), live).stream(ASK) as stream:
        async for piece in stream:
            assert piece == "Hel"
            break
    assert await asyncio.to_thread(service.hung_up.wait, 20)


def test_over_http_the_second_service_answers(service: Service, call: Any) -> None:
    """Real parts: a refused key at the first, an answer from the second; the completion names the second."""
    service.will(Answer([b'{"error": {"message": "bad key"}}'], 401), Answer([]))
    first = gathering.provider("openai:m", base_url=service.url, api_key="k")
    other = Service()
    try:
        other.will_say(answer("Hi"))
        second = gathering.provider("mistral:m", base_url=other.url, api_key="k")
        completion = call(chain(first, second))
    finally:
        other.close()
    assert (completion.content, completion.provider, completion.model) == ("Hi", "mistral", "m-1")


# -- as one provider ---------------------------------------------------------------------------------------------


class Priced(ScriptedProvider):
    """A scripted provider with a price for a token."""

    def __init__(self, answers: list[Any], name: str, model: str, price: float | None) -> None:
        super().__init__(answers, name, model)
        self.price = price

    def get_cost(self, usage: Usage) -> float | None:
        return None if self.price is None else self.price * (usage.output_tokens or 0)


def test_the_cost_is_of_who_answered() -> None:
    """Also where two models of one service are in the chain, and where the service names the model more exactly."""
    answer = {"content": "x", "usage": {"input_tokens": 1, "output_tokens": 10}}
    plain, mini = Priced([e.OverloadedError("busy")], "s", "gpt", 2.0), Priced([answer], "s", "gpt-mini", 1.0)
    made = chain(plain, mini)
    assert made.cost_of(whole(made)) == 10.0
    said = Completion("x", provider="s", model="gpt-mini-2026", usage=Usage(1, 10))
    assert made.cost_of(said) == 10.0
    assert made.cost_of(Completion("x", provider="s", model="gpt-2026", usage=Usage(1, 10))) == 20.0
    assert made.get_cost(Usage(1, 10)) == 20.0


def test_an_unknown_price_makes_the_worst_case_unknown() -> None:
    """Not the dearest of those that are known."""
    assert chain(Priced([], "a", "m", 1.0), Priced([], "b", "m", None)).get_cost(Usage(1, 1)) is None


def test_a_chain_is_available_with_one_that_is() -> None:
    """Only when none is does it say why, of each."""

    class Gone(ScriptedProvider):
        def is_available(self) -> bool:
            return False

    up, down, off = ScriptedProvider([], "up"), Gone([], "down"), Gone([], "off")
    assert chain(down, up).is_available()
    assert chain(down, up).why_unavailable() is None
    assert not chain(down, off).is_available()
    assert chain(down, off).why_unavailable() == (
        "down:script: down is not reachable; off:script: off is not reachable"
    )


def test_context_and_structured_answers_are_what_holds_for_the_chain() -> None:
    """A conversation is cut to the first one's context; a schema is left to the weakest way they share."""
    native, prompted = Small([], "a", 10), Small([], "b", 20)
    native.structured_output = "native"
    made = chain(native, prompted)
    assert (made.get_max_tokens(), made.get_max_output(), made.structured_output) == (10, 20, "prompted")
    assert chain(native, native).structured_output == "native"
    assert [m.name for m in made.models()] == ["a:script", "b:script"]
    assert made.get_token_count("12345678") == native.get_token_count("12345678")
    assert made.count_tokens(ASK).tokens == native.count_tokens(ASK).tokens


# -- by name -----------------------------------------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two registered providers, one of which is always down; the options each was made with."""
    made: dict[str, Any] = {}

    class Down(ILLMProvider):
        def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            made["down"] = self.config
            raise e.ProviderConnectionError(f"{self.name} is down")

    class Up(ILLMProvider):
        def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
            made["up"] = self.config
            return {"content": "up", "model": self.model}

    monkeypatch.setitem(PROVIDERS._entries, "down", Down)
    monkeypatch.setitem(PROVIDERS._entries, "up", Up)
    return made


def test_a_chain_is_written_where_a_model_is(names: dict[str, Any]) -> None:
    """Options are given to each of them."""
    provider = gathering.provider("down:m1 |up:m2", temperature=0)
    assert (provider.name, provider.model) == ("fallback", "down:m1 | up:m2")
    assert whole(provider).model == "m2"
    assert names == {"down": {"model": "m1", "temperature": 0}, "up": {"model": "m2", "temperature": 0}}


def test_nobody_is_waited_for_while_another_stands_ready() -> None:
    """A provider of a chain waits out a refusal of seconds, not of a minute; the last one does, and whoever was told to."""
    made = gathering.provider("openai:m | mistral:m | openai:n")
    assert isinstance(made, FallbackProvider)
    assert [getattr(p, "max_wait", None) for p in made.providers] == [5, 5, 120]
    told = gathering.provider("openai:m | mistral:m", max_wait=60)
    assert isinstance(told, FallbackProvider)
    assert [getattr(p, "max_wait", None) for p in told.providers] == [60, 60]


def test_the_name_of_a_chain_makes_it_again(names: dict[str, Any]) -> None:
    """What an agent shows as its model can be given to another one."""
    ada = Agent("ada", llm_provider="down:m1 | up:m2", store=SQLiteStore(":memory:"))
    assert whole(gathering.provider(ada.model)).model == "m2"


def test_the_trace_says_who_answered(names: dict[str, Any]) -> None:
    """The row of the call, and the reply; when nobody did, the row says why."""
    store = SQLiteStore(":memory:")
    ada = Agent("ada", llm_provider="down:m1 | up:m2", store=store)
    assert ada.ask("Hi").model == "up:m2"
    eve = Agent("eve", llm_provider="down:m1 | down:m2", store=store)
    with pytest.raises(e.ProviderConnectionError):
        eve.ask("Hi")
    rows = [(r["provider"], r["model"], r["status"]) for r in store.rows("calls")]
    assert rows == [("up", "m2", "ok"), ("fallback", "down:m1 | down:m2", "error")]


def test_a_comparison_takes_chains(names: dict[str, Any]) -> None:
    """A chain is one column, under the name it was given."""
    frame = gathering.compare("Hi", models=["down:m1 | up:m2", "up:m3"], store=SQLiteStore(":memory:")).df()
    assert list(frame["model"]) == ["down:m1 | up:m2", "up:m3"]


def test_an_agent_from_data_takes_a_chain(names: dict[str, Any]) -> None:
    """As the value of ``model``."""
    config = {"name": "ada", "model": "down:m1 | up:m2", "store": SQLiteStore(":memory:")}
    assert Agent.from_config(config).ask("Hi").text == "up"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gathering.provider("fallback"), "needs the providers it is made of"),
        (lambda: gathering.provider("fallback", providers=[]), "needs the providers it is made of"),
        (lambda: gathering.provider("fallback", providers=[7]), "needs the providers it is made of"),
        (lambda: gathering.provider("up: m | "), "has a gap"),
        (lambda: gathering.provider("up:m | opennai:m"), "did you mean 'openai'"),
        (lambda: gathering.provider("up:m | up:n", api_key="k"), "api_key belongs to one provider"),
    ],
)
def test_a_chain_that_cannot_be_made_says_so(names: dict[str, Any], make: Any, words: str) -> None:
    """In one line, with the right form."""
    with pytest.raises(e.ConfigurationError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_events_of_the_second_are_its_own() -> None:
    """Nothing of the first one's failure is among them."""
    made = chain(ScriptedProvider([e.OverloadedError("busy")], "a"), ScriptedProvider(["Two words"], "b"))
    events = list(made.stream(ASK).events())
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Two ", "words"]
