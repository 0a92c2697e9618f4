"""What every provider and every tool must do, as tests that a user's own inherits: ten lines, and pytest runs them.

Owns the expectations of ``ILLMProvider`` and ``ITool`` that a class can be held to from outside. It takes no part of
pytest: a method that begins with ``test_`` raises ``AssertionError`` with what was expected and what came, or
``unittest.SkipTest``, which pytest shows, where there is nothing to try.

>>> from gathering.testing import ScriptedProvider
>>> class TestMine(ProviderConformance):
...     def make(self):
...         return ScriptedProvider(["Hello!"] * 9)
>>> TestMine().test_a_whole_answer()
"""

from __future__ import annotations

import asyncio
import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from unittest import SkipTest

from gathering.agents import Agent
from gathering.core.errors import GatheringError
from gathering.core.events import Done, Event, TextDelta
from gathering.core.interfaces import ILLMProvider, ITool, ToolPermission, ToolResult
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage, as_completion
from gathering.core.stream import batches_of, batches_of_async
from gathering.storage import SQLiteStore
from gathering.testing.scripted import ScriptedProvider

__all__ = ["ProviderConformance", "ToolConformance"]

_UNICODE = "Grüße, 日本語, مرحبا, 👩‍🚀 \u2028 and a tab\t."
#: What a tool may take or refuse, but never raise for.
_ODD: Sequence[Any] = (None, 7, object(), ["x"], {"no such": object()})
_CITY: ToolSpec = {
    "name": "population",
    "description": "How many people live in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class ProviderConformance(ABC):
    """The tests of a provider: subclass it as ``TestMine`` and say ``make``.

    ``question`` is what is asked. ``repeats_itself`` says that equal questions get equal answers, so that they can be
    compared; ``takes_tools`` that ``tool_question`` makes the model call the tool ``population``. ``secret`` is a key
    that ``make`` hands to the provider and that must never be shown.
    """

    question: ClassVar[str] = "Say hello."
    repeats_itself: ClassVar[bool] = False
    takes_tools: ClassVar[bool] = False
    tool_question: ClassVar[str] = "How many people live in Oslo? Use the tool."
    secret: ClassVar[str] = ""

    @abstractmethod
    def make(self) -> ILLMProvider:
        """A provider that can answer, new for each test."""

    def test_what_it_is(self) -> None:
        """An ``ILLMProvider`` with a name, made by its class from plain data."""
        provider = self.make()
        _expect(isinstance(provider, ILLMProvider), "an ILLMProvider", type(provider).__mro__)
        _expect(isinstance(provider.name, str) and provider.name != "", "a name", provider.name)
        _expect(isinstance(provider.model, str), "the model as text, empty if there is none", provider.model)

    def test_a_whole_answer(self) -> None:
        """``complete`` gives a ``Completion``, or a dict with ``content``."""
        answer = _completion(self.make().complete(_user(self.question)))
        _expect(answer.content != "", "an answer with text", answer)

    def test_an_awaited_answer(self) -> None:
        """``complete_async`` gives the same kind of answer, and the same one where the provider repeats itself."""
        answer = _completion(asyncio.run(self.make().complete_async(_user(self.question))))
        _expect(answer.content != "", "an answer with text", answer)
        self._equal(answer.content, _completion(self.make().complete(_user(self.question))).content)

    def test_a_streamed_answer(self) -> None:
        """The pieces are texts, and together they are the answer."""
        events = [e for batch in batches_of(self.make().stream(_user(self.question))) for e in batch]
        self._streamed(events)

    def test_an_awaited_stream(self) -> None:
        """``async for`` gives the answer too."""

        async def read() -> list[Event]:
            stream = self.make().stream(_user(self.question))
            return [e async for batch in batches_of_async(stream) for e in batch]

        self._streamed(asyncio.run(read()))

    def _streamed(self, events: list[Event]) -> None:
        last = events[-1] if events else None
        if not isinstance(last, Done):
            raise AssertionError(f"expected Done as the last event, got {last!r:.300}")
        said = "".join(event.text for event in events if isinstance(event, TextDelta))
        _expect(said != "" and said == last.completion.content, "pieces that are the answer together", events)
        self._equal(said, _completion(self.make().complete(_user(self.question))).content)

    def test_a_stream_may_be_left(self) -> None:
        """Whoever has seen enough leaves; the provider answers the next question."""
        provider = self.make()
        running = batches_of(provider.stream(_user(self.question)))
        next(running)
        running.close()
        _expect(_completion(provider.complete(_user(self.question))).content != "", "a next answer", "none")

    def test_several_turns(self) -> None:
        """A system prompt and what was said before are taken, and nothing that is handed in is changed."""
        messages = [
            {"role": "system", "content": "You are brief."},
            *_user("My name is Ada."),
            {"role": "assistant", "content": "Hello Ada."},
            *_user(self.question),
        ]
        before = copy.deepcopy(messages)
        _completion(self.make().complete(messages))
        _expect(messages == before, "messages that stay as they were", messages)

    def test_any_text(self) -> None:
        """All of Unicode may be asked about, and a text of ten thousand letters."""
        for text in (_UNICODE, "word " * 2000):
            try:
                _completion(self.make().complete(_user(f"{self.question} {text}")))
            except GatheringError as error:  # too long for it is an answer as well, said in one line
                _expect("\n" not in str(error), "an error of one line", error)

    def test_in_an_agent(self) -> None:
        """An agent asks it, plain and streamed; the call is in the trace as answered."""
        with SQLiteStore(":memory:") as store:
            agent = Agent("conformance", llm_provider=self.make(), store=store)
            _expect(agent.ask(self.question).text != "", "a reply with text", "none")
            events = list(agent.stream(self.question))
            _expect(isinstance(events[-1], Done), "Done as the last event", events[-1])
            said = "".join(event.text for event in events if isinstance(event, TextDelta))
            _expect(said != "", "text in the stream", events)
            calls = store.rows("calls")
            _expect([row["status"] for row in calls] == ["ok", "ok"], "two answered calls", calls)

    def test_questions_at_once(self) -> None:
        """Four agents ask at the same time, and each is answered."""
        provider = self.make()

        async def ask() -> list[str]:
            with SQLiteStore(":memory:") as store:
                agents = [Agent(f"agent {n}", llm_provider=provider, store=store) for n in range(4)]
                return [r.text for r in await asyncio.gather(*(a.ask_async(self.question) for a in agents))]

        texts = asyncio.run(ask())
        _expect(all(texts), "four answers", texts)

    def test_whether_it_is_there(self) -> None:
        """``is_available`` is True or False, and False has a reason of one line."""
        provider = self.make()
        available, reason = provider.is_available(), provider.why_unavailable()
        _expect(isinstance(available, bool), "True or False", available)
        _expect((reason is None) is available, "a reason where it is not available, and only there", reason)
        _expect(reason is None or "\n" not in reason, "a reason of one line", reason)

    def test_tokens_and_bounds(self) -> None:
        """Counts of tokens are never negative, and not fewer for more text; the bounds are whole and above 0."""
        provider = self.make()
        counts = [provider.get_token_count(text) for text in ("", "Hello", "Hello " * 50, "Hello " * 5000)]
        _expect(all(isinstance(n, int | float) and n >= 0 for n in counts), "numbers of 0 or more", counts)
        _expect(counts == sorted(counts), "more tokens for more text", counts)
        _expect(provider.get_token_count(_UNICODE) > 0, "tokens for text of any language", 0)
        bounds = (provider.get_max_tokens(), provider.get_max_output())
        _expect(all(type(n) is int and n > 0 for n in bounds), "bounds above 0", bounds)
        asked = provider.count_tokens(_user(self.question))
        _expect(int(asked) > 0 and isinstance(asked.exact, bool), "a count of the request", asked)

    def test_what_it_costs(self) -> None:
        """A cost is 0 or more, or None where it is not known, and what is not used costs nothing."""
        provider = self.make()
        for usage in (Usage(0, 0), Usage(1000, 100), Usage(1000, 100, cached_tokens=500)):
            cost = provider.get_cost(usage)
            _expect(cost is None or cost >= 0, "0 or more, or None", cost)

    def test_tools_are_called(self) -> None:
        """The model's call comes back with its arguments as a dict, and the tool's result is taken."""
        if not self.takes_tools:
            raise SkipTest("takes_tools is False: say True where the model calls tools")
        provider = self.make()
        messages = _user(self.tool_question)
        answer = _completion(provider.complete(messages, [copy.deepcopy(_CITY)]))
        _expect(len(answer.tool_calls) > 0, "a call of the tool", answer)
        call = answer.tool_calls[0]
        _expect(call.name == "population" and call.id != "", "the tool's name and an id", call)
        _expect(isinstance(call.arguments, Mapping), "arguments as a dict", call.arguments)
        told = [
            {"role": "tool", "content": "709,037", "tool_call_id": c.id, "name": c.name}
            for c in answer.tool_calls
        ]
        said = _completion(provider.complete([*messages, answer.message().to_dict(), *told], [_CITY]))
        _expect(said.content != "" or len(said.tool_calls) > 0, "an answer after the result", said)

    def test_the_key_is_never_shown(self) -> None:
        """Neither the provider's text nor its answer's has the secret in it."""
        if not self.secret:
            raise SkipTest("there is no secret: give the key that make() hands over")
        provider = self.make()
        answer = provider.complete(_user(self.question))
        shown = f"{provider!r} {provider} {provider.config!r} {answer!r}"
        _expect(self.secret not in shown, "no key", "one")

    def test_a_repr_without_addresses(self) -> None:
        """What is shown is the same in every run of a notebook."""
        _expect(" at 0x" not in repr(self.make()), "a text without an address", repr(self.make()))

    def _equal(self, one: str, other: str) -> None:
        if self.repeats_itself:
            _expect(one == other, "the same answer to the same question", (one, other))


class ToolConformance(ABC):
    """The tests of a tool: subclass it as ``TestMine`` and say ``make`` and ``good_inputs``.

    ``good_inputs`` are what it does its work with; ``bad_inputs`` are what it must refuse.
    ``repeats_itself`` says that equal inputs give equal results.
    """

    good_inputs: ClassVar[Sequence[Any]] = ()
    bad_inputs: ClassVar[Sequence[Any]] = ()
    repeats_itself: ClassVar[bool] = True

    @abstractmethod
    def make(self) -> ITool:
        """A tool that is ready to be used, new for each test."""

    def test_what_it_is(self) -> None:
        """An ``ITool`` with a name and a description for the model."""
        tool = self.make()
        _expect(isinstance(tool, ITool), "an ITool", type(tool).__mro__)
        _expect(isinstance(tool.name, str) and tool.name != "", "a name", tool.name)
        _expect(tool.get_description().strip() != "", "a description", tool.get_description())
        _expect(" at 0x" not in repr(tool), "a text without an address", repr(tool))

    def test_its_schema(self) -> None:
        """The parameters are a JSON schema of an object, and JSON themselves."""
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        schema = self.make().get_parameters_schema()
        _expect(json.loads(json.dumps(schema)) == schema, "a schema that is JSON", schema)
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise AssertionError(f"expected a JSON schema, got {schema!r}: {error.message}") from error
        _expect(schema.get("type") == "object", "the schema of an object", schema)

    def test_its_permissions(self) -> None:
        """For each permission it says whether it has it."""
        tool = self.make()
        answers = {permission: tool.has_permission(permission) for permission in ToolPermission}
        _expect(all(isinstance(a, bool) for a in answers.values()), "True or False for each", answers)
        _expect(isinstance(tool.is_available(), bool), "True or False", tool.is_available())

    def test_good_input(self) -> None:
        """It does its work: success, no error, and a text for the model; the input stays as it was."""
        _expect(len(self.good_inputs) > 0, "good_inputs to try", self.good_inputs)
        for given in self.good_inputs:
            tool, before = self.make(), copy.deepcopy(given)
            _expect(tool.validate_input(given) is True, "an input that is valid", given)
            result = tool.execute(given)
            _expect(isinstance(result, ToolResult) and result.success, f"success for {given!r}", result)
            _expect(not result.error, "no error beside success", result.error)
            _expect(isinstance(result.text(), str), "a text for the model", result)
            _expect(given == before, "an input that stays as it was", given)

    def test_awaited(self) -> None:
        """``execute_async`` does the same."""
        for given in self.good_inputs:
            result = asyncio.run(self.make().execute_async(given))
            _expect(isinstance(result, ToolResult) and result.success, f"success for {given!r}", result)
            if self.repeats_itself:
                direct = self.make().execute(given)
                _expect(result.output == direct.output, "the same output", (result, direct))

    def test_bad_input(self) -> None:
        """It raises nothing: the result says why, and the next good input works."""
        tool = self.make()
        for given in (*self.bad_inputs, *_ODD):
            _expect(isinstance(tool.validate_input(given), bool), "True or False", given)
            for result in (tool.execute(given), asyncio.run(tool.execute_async(given))):
                _expect(isinstance(result, ToolResult), f"a ToolResult for {given!r}", result)
                _expect(result.success or bool(result.error), f"a reason for {given!r}", result)
                _expect(given in _ODD or not result.success, f"no success for {given!r}", result)
        for given in self.good_inputs[:1]:
            _expect(tool.execute(given).success, "success after refusals", tool.execute(given))

    def test_in_an_agent(self) -> None:
        """A model calls it with each good input that is a dict; the call is a row of the trace."""
        for given in (g for g in self.good_inputs if isinstance(g, Mapping)):
            tool = self.make()
            call = {"name": tool.name, "arguments": dict(given)}
            model = ScriptedProvider([{"content": "", "tool_calls": [call]}, "Done."])
            with SQLiteStore(":memory:") as store:
                agent = Agent("conformance", llm_provider=model, tools=[tool], store=store)
                agent.ask("Use it.")
                rows = store.rows("tool_calls")
            _expect([row["success"] for row in rows] == [True], f"one success with {given!r}", rows)


def _user(text: str) -> list[MessageDict]:
    return [{"role": "user", "content": text}]


def _completion(answer: Any) -> Completion:
    """The answer as a ``Completion``; ``AssertionError`` for what is none."""
    _expect(
        isinstance(answer, Mapping) and "content" in answer, "a Completion or a dict with content", answer
    )
    return as_completion(answer)


def _expect(holds: bool, what: str, came: Any) -> None:
    if not holds:
        raise AssertionError(f"expected {what}, got {came!r:.300}")
