"""One conversation with a real server that speaks three dialects: what comes back is the same in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gathering.core.interfaces import ILLMProvider
from gathering.core.registry import create_provider
from gathering.llm import weights
from gathering.llm.local import LocalProvider
from gathering.llm.local_process import runtime_problem, server_for, stop_servers

pytestmark = pytest.mark.local_model

SYSTEM = {"role": "system", "content": "You are a concise assistant."}
QUESTIONS = ["Say hello.", "Does “Zoë” have an é or an ë?", "And of France?"]


@pytest.fixture(scope="module")
def dialects() -> Iterator[dict[str, ILLMProvider]]:
    """The embedded model's server, spoken to as three services would be."""
    if problem := runtime_problem():
        pytest.skip(problem)
    if weights.find() is None:
        weights.pull()
    server = server_for(LocalProvider("local", {"model": "smollm2"})._plan())
    given: dict[str, Any] = {"api_key": server.token, "temperature": 0, "max_tokens": 64}
    yield {
        "chat": create_provider("openai:smollm2", base_url=f"{server.url}/v1", api="chat", **given),
        "responses": create_provider("openai:smollm2", base_url=f"{server.url}/v1", api="responses", **given),
        "messages": create_provider("anthropic:smollm2", base_url=server.url, **given),
    }
    stop_servers()


def transcript(provider: ILLMProvider, *, stream: bool) -> list[dict[str, Any]]:
    """What was said and read in neutral words, with the answers of each turn going back on the next."""
    messages: list[dict[str, Any]] = [dict(SYSTEM)]
    told = []
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        if stream:
            running = provider.stream(messages)
            pieces = list(running)
            completion = running.completion
            assert completion is not None
            assert "".join(pieces) == completion.content
        else:
            completion = provider.complete(messages)
        messages.append(completion.message().to_dict())
        told.append(
            {
                "text": completion.content,
                "finish_reason": completion.finish_reason,
                "read": completion.usage.input_tokens,
                "written": completion.usage.output_tokens,
                "model": completion.model,
            }
        )
    return told


@pytest.mark.parametrize("stream", [False, True])
def test_the_transcripts_are_equal(dialects: dict[str, ILLMProvider], stream: bool) -> None:
    """Text, finish reason, model and tokens of three turns do not depend on the dialect, in one piece or in many."""
    told = {name: transcript(provider, stream=stream) for name, provider in dialects.items()}
    assert all(turn["text"] and turn["read"] and turn["written"] for turn in told["chat"])
    assert told["responses"] == told["chat"]
    assert told["messages"] == told["chat"]


def test_a_cut_answer_is_a_cut_answer(dialects: dict[str, ILLMProvider]) -> None:
    """An answer at its bound has one text; two dialects call it ``length`` (this server's Responses say completed)."""
    question = [SYSTEM, {"role": "user", "content": "Count from one to one hundred in words."}]
    answers = {name: p.complete(question, max_tokens=3) for name, p in dialects.items()}
    assert len({a.content for a in answers.values()}) == 1
    assert {answers[name].finish_reason for name in ("chat", "messages")} == {"length"}
    assert {a.usage.output_tokens for a in answers.values()} == {3}


def test_the_tokens_are_counted_alike(dialects: dict[str, ILLMProvider]) -> None:
    """The count of Anthropic's endpoint and the embedded model's own agree with what a call then reads."""
    question = [SYSTEM, {"role": "user", "content": "What is the capital of Italy?"}]
    local = LocalProvider("local", {"model": "smollm2"})
    counts = [dialects["messages"].count_tokens(question), local.count_tokens(question)]
    assert [c.exact for c in counts] == [True, True]
    read = dialects["chat"].complete(question, max_tokens=1).usage.input_tokens
    assert [c.tokens for c in counts] == [read, read]
