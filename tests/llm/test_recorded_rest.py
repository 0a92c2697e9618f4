"""What was recorded beside chat and Responses, asked for again: Ollama's own requests, vectors, and where each request goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_service import Answer, Service
from recorded import Recording, everything
from test_recordings import KEY, made

import gathering
from gathering.llm.hosts import HOSTS

Json = Any
OLLAMA = [r for r in everything() if r.kind == "ollama" and isinstance(r.asked, dict)]
VECTORS = [r for r in everything() if r.kind == "embeddings" and isinstance(r.asked, dict)]
#: Recordings of a service at its usual address: through a proxy, another door or an own deployment it was another one.
PLACED = [
    r
    for r in everything()
    if r.url and r.kind in ("chat", "responses", "messages", "gemini", "ollama") and r.provider != "azure"
]
ELSEWHERE = {"gemini/gemini-openai-compat": "/v1beta/openai", "huggingface/parallel-tools": "/together/v1"}

pytestmark = pytest.mark.skipif(not everything(), reason="the recordings are not here")


def plain(asked: Json) -> Json:
    """A request without what is empty."""
    return {k: v for k, v in asked.items() if v not in (None, "", [], {}) and k != "stream"}


@pytest.mark.parametrize("recording", OLLAMA, ids=lambda r: r.name)
def test_a_request_of_ollama_is_made_again(
    recording: Recording, record_property: Callable[[str, Any], None]
) -> None:
    """The same but for the room of the prompt, which its clients leave to the server, and a name beside a result."""
    record_property("recording", recording.name)
    asked = recording.asked
    calls: list[Json] = []
    messages = []
    for message in asked["messages"]:
        if message.get("tool_calls"):
            calls = [{"id": f"call_{i}", **call["function"]} for i, call in enumerate(message["tool_calls"])]
            message = {**message, "tool_calls": list(calls)}
        elif message["role"] == "tool":
            message = {**message, "tool_call_id": calls.pop(0)["id"]}
        messages.append(message)
    tools = [tool["function"] for tool in asked.get("tools", ())]
    sent = made(recording).dialect.build_request(
        asked["model"], messages, tools or None, dict(asked.get("options") or {}), stream=asked["stream"]
    )
    sent["options"] = {k: v for k, v in sent.get("options", {}).items() if k != "num_ctx"}
    for message in sent["messages"]:
        message.pop("tool_name", None), message.pop("tool_call_id", None)
        for call in message.get("tool_calls", ()):
            call.pop("id", None), call["function"].pop("index", None)
    # Ours says that a prompt which is too long is an error.
    assert (sent.pop("truncate"), sent.pop("shift")) == (False, False)
    assert plain(sent) == plain(asked)


@pytest.mark.parametrize("recording", VECTORS, ids=lambda r: r.name)
def test_vectors_are_asked_for_again(recording: Recording, service: Service) -> None:
    """The same texts and model, in the same envelope; how the figures are packed is left open."""
    if "prompt" in recording.asked:
        return  # the endpoint of one text at a time, whose answers are read and which is not asked any more
    service.will(Answer([recording.body], headers={"content-type": "application/json"}))
    asked = recording.asked
    if "requests" in asked:
        texts = [r["content"]["parts"][0]["text"] for r in asked["requests"]]
        model = asked["requests"][0]["model"].removeprefix("models/")
    else:
        texts, model = asked["input"], asked["model"]
        texts = [texts] if isinstance(texts, str) else texts
    size = asked.get("dimensions") or asked.get("requests", [{}])[0].get("outputDimensionality")
    config = {"base_url": service.url, "api_key": KEY, **({"dimensions": size} if size else {})}
    gathering.provider(f"{recording.provider}:m", **config).embed(texts, model=model)
    sent = service.received[0].json
    for entry in sent.get("requests", [sent]):
        entry.pop("encoding_format", None)
    for entry in (asked := json.loads(json.dumps(asked))).get("requests", [asked]):
        entry.pop("encoding_format", None)
    if isinstance(asked.get("input"), str):
        asked["input"] = [asked["input"]]
    assert sent == asked
    assert service.received[0].path.endswith(urlsplit(recording.url).path.rpartition("/")[2])


@pytest.mark.parametrize("recording", PLACED, ids=lambda r: r.name)
def test_a_request_goes_where_it_went(recording: Recording) -> None:
    """The host's own address and the format's path, the model's name in it where it belongs there."""
    provider = made(recording)
    went, goes = (
        urlsplit(recording.url),
        urlsplit(provider.base_url + provider.path_for(stream=recording.stream)),
    )
    path = went.path
    if recording.kind == "gemini":
        path = f"{path.rpartition('/')[0]}/m:{path.rpartition(':')[2]}"
    if recording.name in ELSEWHERE:
        path = path.replace(ELSEWHERE[recording.name], "/v1")
    elif recording.provider in (*HOSTS, "openai", "anthropic", "gemini") and went.hostname != "localhost":
        assert goes.netloc == went.netloc
    assert goes.path == path
