"""Sentence vectors of services: batches, both forms of a vector, order, models, and answers that are none."""

from __future__ import annotations

import array
import base64
import json
from typing import Any

import pytest
from fake_service import Answer, Service, recordings

import gathering
from gathering.core import errors as e
from gathering.core.session import no_live_calls
from gathering.llm.embeddings import EmbeddingForm, form_of

KEY = "sk-verysecretkey0123456789"


def listed(*vectors: Any, tokens: int = 3) -> dict[str, Any]:
    data = [{"index": i, "embedding": v} for i, v in enumerate(vectors)]
    return {"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def packed(*figures: float) -> str:
    return base64.b64encode(array.array("f", figures).tobytes()).decode()


def as_json(body: Any, status: int = 200) -> Answer:
    return Answer([json.dumps(body).encode()], status, {"content-type": "application/json"})


def test_vectors_of_a_service(service: Service) -> None:
    """In the order of the texts whatever the order of the answer; packed or as numbers; tokens counted."""
    body = listed(packed(1.0, 0.5), [0.0, 2.0])
    body["data"].reverse()
    service.will_say(body)
    p = gathering.provider("openai:gpt-5-mini", base_url=service.url, api_key=KEY)
    found = p.embed(["a", "b"])
    assert found.vectors == ((1.0, 0.5), (0.0, 2.0))
    assert (found.model, found.usage.input_tokens) == ("openai:text-embedding-3-small", 3)
    (sent,) = service.received
    assert (sent.path, sent.headers["authorization"]) == ("/v1/embeddings", f"Bearer {KEY}")
    assert sent.json == {"model": "text-embedding-3-small", "input": ["a", "b"], "encoding_format": "base64"}


async def test_awaited_and_in_batches(service: Service) -> None:
    """As many requests as it takes, one after the other; the vectors are in one order."""
    service.will(as_json(listed(*[[float(i)] for i in range(64)])), as_json(listed([64.0], [65.0])))
    p = gathering.provider("mistral:mistral-small-latest", base_url=service.url, api_key=KEY)
    found = await p.embed_async([str(i) for i in range(66)])
    assert [v[0] for v in found.vectors] == [float(i) for i in range(66)]
    assert found.usage.input_tokens == 6
    assert [len(r.json["input"]) for r in service.received] == [64, 2]
    assert "encoding_format" not in service.received[0].json


def test_no_text_is_no_request(service: Service) -> None:
    """And no vector."""
    found = gathering.provider("openai:m", base_url=service.url, api_key=KEY).embed([])
    assert (len(found), service.received) == (0, [])


def test_a_request_is_tried_again_like_a_call(service: Service) -> None:
    """A service that is busy for a moment is asked once more."""
    service.will(as_json({"error": {"message": "busy"}}, 503), as_json(listed([1.0])))
    p: Any = gathering.provider("openai:m", base_url=service.url, api_key=KEY)
    p.sleep = lambda seconds: None
    assert len(p.embed(["a"])) == 1


def test_which_model_is_asked() -> None:
    """The named one, the provider's own if it makes vectors, or the host's usual one."""
    form = EmbeddingForm("usual")
    assert form.model("p", "bge-m3", "named") == "named"
    assert form.model("p", "BAAI/bge-m3", None) == "BAAI/bge-m3"
    assert form.model("p", "gpt-5-mini", None) == "usual"
    with pytest.raises(e.ConfigurationError, match="name one"):
        EmbeddingForm().model("vllm", "llama", None)


@pytest.mark.parametrize("name", ["anthropic", "groq", "deepseek"])
def test_a_service_without_vectors_says_who_has_them(name: str) -> None:
    """Before anything is sent."""
    with pytest.raises(e.ConfigurationError, match=r"provider\('local'\)\.embed"):
        gathering.provider(f"{name}:m", api_key=KEY).embed(["a"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"data": []},
        {"data": [{"embedding": "!"}]},
        {"data": [{"embedding": ["x"]}]},
        listed([1.0], [1.0]),
        {"data": None},
    ],
)
def test_an_answer_that_holds_no_vectors(service: Service, body: Any) -> None:
    """One typed error that names the provider."""
    service.will_say(body)
    with pytest.raises(e.MalformedResponseError, match="openai"):
        gathering.provider("openai:m", base_url=service.url, api_key=KEY).embed(["a"])


def test_live_calls_can_be_forbidden(service: Service) -> None:
    """Vectors are a call like any other."""
    with no_live_calls(), pytest.raises(e.LiveCallError):
        gathering.provider("openai:m", base_url=service.url, api_key=KEY).embed(["a"])
    assert not service.received


RECORDED = [p for p in recordings() if p.stem == "embeddings" and p.parent.name not in ("gemini", "ollama")]


@pytest.mark.skipif(not RECORDED, reason="the recordings are not here")
@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.parent.name)
def test_recorded_vectors(path: Any) -> None:
    """What services once answered is read."""
    recorded = json.loads(path.read_text("utf-8"))
    asked = recorded["request"]["json"]["input"]
    count = 1 if isinstance(asked, str) else len(asked)
    form = form_of(path.parent.name)
    assert form is not None
    vectors, usage = form.read(json.loads(recorded["response"]["body_text"]), count)
    assert len(vectors) == count
    assert len(vectors[0]) >= 3
    assert usage.input_tokens
