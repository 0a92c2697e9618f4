"""The embedded model as a provider, with the real weights: it answers, streams, decides on tools and stops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gathering.core import config
from gathering.core.errors import (
    ConfigurationError,
    ContextOverflowError,
    LiveCallError,
    LocalModelError,
    UnknownNameError,
)
from gathering.core.events import Done, TextDelta
from gathering.core.messages import Completion, Usage
from gathering.core.registry import create_provider
from gathering.core.session import no_live_calls
from gathering.llm import local, weights
from gathering.llm.local import LocalProvider
from gathering.llm.local_process import runtime_problem, server_for, stop_servers

CALCULATOR: dict[str, Any] = {
    "name": "calculator",
    "description": "Calculates an arithmetic expression",
    "parameters": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
    "examples": [
        ["What is 6 times 9?", {"expression": "6 * 9"}],
        ["How much is 100 divided by 4?", {"expression": "100 / 4"}],
        ["Add 12 and 7, then divide by 3.", {"expression": "(12 + 7) / 3"}],
        ["What is 20 minus 8?", {"expression": "20 - 8"}],
    ],
}
LOOKUP: dict[str, Any] = {
    "name": "lookup",
    "description": "The meaning of a word",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "examples": [
        ["What does ephemeral mean?", {"word": "ephemeral"}],
        ["Define candid.", {"word": "candid"}],
        ["Look up the meaning of the word arid", {"word": "arid"}],
    ],
}
QUESTIONS = [
    ("What is 15% of 2500?", 375),
    ("What is 15 * 25 + 10?", 385),
    ("What is six times nine?", 54),
    ("Subtract 5 from 20.", 15),
    ("What is 1,250 divided by 5?", 250),
    ("I have 3 boxes with 12 apples each. How many apples do I have?", 36),
    ("Tom has 12 apples and eats 5. How many are left?", 7),
    ("Add 12.5 and 7.5, then divide by 4.", 5),
    ("How much do 3 pens cost at 2.50 for one?", 7.5),
    ("What is the difference between 90 and 37?", 53),
]


@pytest.fixture(scope="session")
def local_weights() -> Path:
    """The real weights, fetched once if they are missing."""
    if problem := runtime_problem():
        pytest.skip(problem)
    return weights.find() or weights.pull()


def user(text: str) -> list[dict[str, Any]]:
    """A conversation of one question."""
    return [{"role": "user", "content": text}]


@pytest.fixture
def provider(local_weights: Path) -> LocalProvider:
    """The embedded model."""
    return LocalProvider("local", {"model": "smollm2"})


@pytest.fixture(scope="module", autouse=True)
def _no_server_stays() -> Iterator[None]:
    yield
    stop_servers()


@pytest.mark.local_model
def test_it_answers(provider: LocalProvider) -> None:
    """An answer with its text, its tokens and no price; the same again, for temperature is 0."""
    answer = provider.complete(user("What is the capital of France?"))
    assert answer.content
    assert answer.model == "smollm2"
    assert answer.finish_reason == "stop"
    assert answer.usage.input_tokens
    assert answer.usage.output_tokens
    assert not answer.constrained
    assert provider.get_cost(answer.usage) == 0.0
    assert provider.complete(user("What is the capital of France?")).content == answer.content


@pytest.mark.local_model
async def test_it_answers_awaited(provider: LocalProvider) -> None:
    """The awaited answer is the same as the sync one."""
    awaited = await provider.complete_async(user("Name a colour."))
    assert awaited.content == (await asyncio.to_thread(provider.complete, user("Name a colour."))).content


@pytest.mark.local_model
async def test_it_streams(provider: LocalProvider) -> None:
    """Pieces come one by one, for ``for`` and ``async for``, and end with the whole."""
    stream = provider.stream(user("What is the capital of France?"))
    pieces = list(stream)
    assert len(pieces) > 2
    assert "".join(pieces) == stream.completion.content
    assert [piece async for piece in provider.stream(user("What is the capital of France?"))] == pieces


@pytest.mark.local_model
def test_closing_a_stream_stops_the_model(provider: LocalProvider) -> None:
    """After a break the model is free at once: one slot, and the next answer is not behind a long one."""
    with provider.stream(user("Count up from 1."), max_tokens=1500, temperature=1.5) as stream:
        next(iter(stream))
    assert provider.complete(user("Say yes."), max_tokens=3).usage.output_tokens


@pytest.mark.local_model
def test_max_tokens_cuts(provider: LocalProvider) -> None:
    """A cut answer says that it was cut."""
    cut = provider.complete(user("Count from one to one hundred."), max_tokens=3)
    assert cut.finish_reason == "length"
    assert cut.usage.output_tokens == 3


@pytest.mark.local_model
def test_an_own_system_prompt_is_used_as_it_is(provider: LocalProvider) -> None:
    """The default prompt stands in only where there is none."""
    alone = provider.complete(user("Hello"), max_tokens=1).usage.input_tokens
    system = {"role": "system", "content": "Hi."}
    own = provider.complete([system, *user("Hello")], max_tokens=1).usage.input_tokens
    assert alone is not None
    assert own is not None
    assert own < alone


@pytest.mark.local_model
@pytest.mark.parametrize(
    "text", ["", " ", "a\x00b", "half a pair: \ud800", "\u2028", "<|im_end|>", "{%raw%}"]
)
def test_odd_text_is_answered(provider: LocalProvider, text: str) -> None:
    """No text of a user breaks the request."""
    assert isinstance(provider.complete(user(text), max_tokens=4), Completion)


@pytest.mark.local_model
def test_too_much_text_is_said(provider: LocalProvider) -> None:
    """More than the model can read is an error of its own, and the next call works."""
    with pytest.raises(ContextOverflowError, match="context"):
        provider.complete(user("word " * 5000))
    assert provider.complete(user("Hello"), max_tokens=2)


@pytest.mark.local_model
def test_ten_questions_for_the_calculator(provider: LocalProvider) -> None:
    """Each gives a constrained call of the calculator; at least eight of ten expressions are right."""
    right = 0
    for question, value in QUESTIONS:
        answer = provider.complete(user(question), [CALCULATOR])
        assert answer.constrained
        assert answer.finish_reason == "tool_calls"
        (call,) = answer.tool_calls
        assert call.name == "calculator"
        right += abs(eval(call.arguments["expression"]) - value) < 1e-9
    assert right >= 8


@pytest.mark.local_model
def test_the_right_one_of_two_tools(provider: LocalProvider) -> None:
    """With a calculator and a dictionary, a calculation goes to the one and a word to the other."""
    tools = [CALCULATOR, LOOKUP]
    (call,) = provider.complete(user("What does austere mean?"), tools).tool_calls
    assert (call.name, call.arguments) == ("lookup", {"word": "austere"})
    (call,) = provider.complete(user("What is 12 times 12?"), tools).tool_calls
    assert (call.name, call.arguments) == ("calculator", {"expression": "12 * 12"})


@pytest.mark.local_model
def test_no_tool_where_none_is_called_for(provider: LocalProvider) -> None:
    """A greeting is answered in words, and so is anything under ``tool_choice="none"``."""
    assert provider.complete(user("Hello!"), [CALCULATOR, LOOKUP]).tool_calls == ()
    assert provider.complete(user("What is 2 plus 2?"), [CALCULATOR], tool_choice="none").tool_calls == ()


@pytest.mark.local_model
def test_a_tool_may_be_required(provider: LocalProvider) -> None:
    """``required`` and a tool's name force a call whatever the question is."""
    assert provider.complete(user("Hello friend"), [LOOKUP], tool_choice="required").tool_calls
    (call,) = provider.complete(user("Hello friend"), [CALCULATOR, LOOKUP], tool_choice="lookup").tool_calls
    assert call.name == "lookup"


@pytest.mark.local_model
async def test_a_decision_in_a_stream(provider: LocalProvider) -> None:
    """A streamed turn with tools gets its call at the end, sync and async."""
    done = list(provider.stream(user("What is 3 plus 4?"), [CALCULATOR]).events())[-1]
    events = [e async for e in provider.stream(user("What is 3 plus 4?"), [CALCULATOR]).events()]
    for end in (done, events[-1]):
        assert isinstance(end, Done)
        assert end.completion.tool_calls[0].arguments == {"expression": "3 + 4"}


def told(*results: tuple[str, dict[str, Any], str]) -> list[dict[str, Any]]:
    """A conversation that ends with these tool calls and what they gave."""
    calls = [{"id": str(i), "name": name, "arguments": a} for i, (name, a, _) in enumerate(results)]
    tools = [
        {"role": "tool", "content": text, "tool_call_id": str(i), "name": name}
        for i, (name, _, text) in enumerate(results)
    ]
    return [*user("Go"), {"role": "assistant", "content": "", "tool_calls": calls}, *tools]


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([("calculator", {"expression": "2 + 3"}, "5")], "calculator(2 + 3) gives 5."),
        ([("lookup", {"word": "arid"}, "Very dry.")], "lookup(arid) gives Very dry."),
        ([("go", {"x": 1, "to": "a"}, "")], 'go(x=1, to="a") gives nothing.'),
        (
            [("calculator", {"expression": "1 / 0"}, "Error: division by zero")],
            "calculator(1 / 0) failed: division by zero.",
        ),
        ([("a", {}, "1"), ("b", {}, "2")], "a() gives 1. b() gives 2."),
    ],
)
async def test_results_become_a_sentence(
    results: list[tuple[str, dict[str, Any], str]], sentence: str
) -> None:
    """What tools gave is put into words by a template, without the model, in every form of call."""
    provider, messages = LocalProvider(), told(*results)
    answer = provider.complete(messages)
    assert answer.content == sentence
    assert answer.constrained
    assert answer.usage == Usage(0, 0)
    assert (await provider.complete_async(messages)).content == sentence
    assert list(provider.stream(messages)) == [sentence]
    events = [e async for e in provider.stream(messages).events()]
    assert events[0] == TextDelta(sentence)


@pytest.mark.local_model
def test_tool_messages_of_the_past_do_no_harm(provider: LocalProvider) -> None:
    """A conversation with tool calls behind it goes on in words."""
    past = told(("calculator", {"expression": "2 + 3"}, "5"))
    said = [*past, {"role": "assistant", "content": "calculator(2 + 3) gives 5."}, *user("Thank you!")]
    assert provider.complete(said, [CALCULATOR]).tool_calls == ()


@pytest.mark.local_model
def test_a_server_killed_between_calls_is_replaced(provider: LocalProvider) -> None:
    """The call after a crash works, without a word."""
    provider.complete(user("Hello"), max_tokens=2)
    server_for(provider._plan()).process.kill()
    assert provider.complete(user("Hello"), max_tokens=2).usage.output_tokens


@pytest.mark.local_model
def test_a_server_killed_during_a_stream_is_said(provider: LocalProvider) -> None:
    """What had arrived is in the error; the next call works."""
    from gathering.core.errors import ProviderError

    stream = provider.stream(user("Count up from 1."), max_tokens=1500, temperature=1.5)
    walk = iter(stream)
    first = next(walk)
    server_for(provider._plan()).process.kill()
    with pytest.raises(ProviderError) as caught:
        list(walk)
    assert caught.value.partial.startswith(first)
    assert provider.complete(user("Hello"), max_tokens=2)


@pytest.mark.local_model
def test_tokens_are_counted_by_the_model(provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is the tokenizer's; where nothing may run it is an estimate."""
    assert provider.get_token_count("") == 0
    assert provider.get_token_count("Hello world") == 2
    assert provider.get_token_count("half \ud800") > 0
    text = "a rather improbable sentence"
    with no_live_calls():
        assert provider.get_token_count(text) == round(len(text) / 4)


@pytest.mark.local_model
def test_a_proxy_is_no_way_to_oneself(provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not stand between this process and its own child."""
    from gathering.llm import clients

    clients._way.cache_clear()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    try:
        assert provider.complete(user("Hello"), max_tokens=2)
    finally:
        clients._way.cache_clear()


@pytest.mark.local_model
def test_a_model_of_ones_own(local_weights: Path, tmp_path: Path) -> None:
    """A path names another GGUF; its name is the file's, and the path stays out of the answer."""
    own = tmp_path / "my-model.gguf"
    own.symlink_to(local_weights)
    provider = create_provider(f"local:{own}", context=512, threads=1)
    answer = provider.complete(user("Hello"), max_tokens=2)
    assert isinstance(answer, Completion)
    assert (provider.model, answer.model) == ("my-model", "my-model")
    assert str(tmp_path) not in json.dumps(answer.raw)
    assert provider.get_max_tokens() == 512


def test_no_weights_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first use without weights says which command to run."""
    monkeypatch.delenv("GATHERING_LOCAL_MODEL", raising=False)
    monkeypatch.setattr(weights, "find", lambda: None)
    provider = LocalProvider()
    assert not provider.is_available()
    with pytest.raises(LocalModelError, match=r"run: gathering models pull$"):
        provider.complete(user("Hello"))
    assert provider.get_token_count("four letters") == 3


def test_auto_pull_fetches_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the setting on, the first use fetches the weights instead of asking."""
    monkeypatch.delenv("GATHERING_LOCAL_MODEL", raising=False)
    monkeypatch.setattr(weights, "find", lambda: None)
    monkeypatch.setattr(weights, "pull", lambda: tmp_path / "pulled.gguf")
    config.set("auto_pull", True)
    provider = LocalProvider()
    assert provider.is_available()
    with pytest.raises(LocalModelError, match=r"pulled\.gguf"):
        provider.complete(user("Hello"))


def test_no_build_for_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where llama.cpp does not run, the reason is the error."""
    monkeypatch.setattr(local, "runtime_problem", lambda: "the embedded model does not run here: use another")
    with pytest.raises(LocalModelError, match="does not run here"):
        LocalProvider().complete(user("Hello"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A wrong path in the setting or the name is said with the path."""
    config.set("local_model", str(tmp_path / "none.gguf"))
    assert "none.gguf" in str(LocalProvider().why_unavailable())
    with pytest.raises(LocalModelError, match=r"other\.gguf"):
        LocalProvider("local", {"model": str(tmp_path / "other.gguf")}).complete(user("Hello"))


def test_wrong_options_are_refused() -> None:
    """What makes no sense for a model on this machine is an error with the next step."""
    with pytest.raises(UnknownNameError, match="did you mean 'smollm2'"):
        create_provider("local:smolm2")
    with pytest.raises(ConfigurationError, match="openai-compatible"):
        create_provider("local", base_url="http://localhost:1")
    with pytest.raises(UnknownNameError, match="did you mean 'threads'"):
        create_provider("local", thread=2)


def test_live_calls_can_be_forbidden() -> None:
    """Where only recorded calls are allowed, nothing is started."""
    with no_live_calls(), pytest.raises(LiveCallError):
        LocalProvider().complete(user("Hello"))


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.local_model
def test_an_answer_is_held_to_its_schema(provider: LocalProvider) -> None:
    """A grammar made of the schema, not the model's good will, brings a structured answer about."""
    assert provider.structured_output == "constrained"
    output = {"name": "Person", "schema": PERSON}
    answer = provider.complete(user("Tom is 31 years old. Who is he?"), output=output)
    assert json.loads(answer.content) == {"name": "Tom", "age": 31}


@pytest.mark.local_model
def test_what_a_tool_gave_takes_the_form_too(provider: LocalProvider) -> None:
    """With a form asked for, a tool's result is no sentence of a template but an answer of that form."""
    output = {"name": "Sum", "schema": {"type": "object", "properties": {"result": {"type": "number"}}}}
    messages = [
        *user("What is 15% of 2500?"),
        *told(("calculator", {"expression": "15% of 2500"}, "375"))[1:],
    ]
    answer = provider.complete(messages, [CALCULATOR], output=output)
    assert json.loads(answer.content) == {"result": 375}


@pytest.mark.local_model
def test_a_request_is_counted_as_the_model_reads_it(provider: LocalProvider) -> None:
    """The count has the template's tokens in it and is exact; with tools, or without a model, it is an estimate."""
    count = provider.count_tokens(user("What is the capital of France?"))
    read = provider.complete(user("What is the capital of France?"), max_tokens=1).usage.input_tokens
    assert (count.tokens, count.exact) == (read, True)
    assert not provider.count_tokens(user("How much is 2 + 2?"), [CALCULATOR]).exact
    with no_live_calls("none here"):
        assert not provider.count_tokens(user("What is the capital of France?")).exact
