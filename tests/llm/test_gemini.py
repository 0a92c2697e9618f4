"""The Gemini provider: where it asks, with which key, and what the service answered when it was recorded."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from fake_service import Answer, Service, cut_in, recordings

import gathering
from gathering.core import errors as e
from gathering.core.events import Done, TextDelta, ThinkingDelta
from gathering.core.messages import Completion
from gathering.core.session import no_live_calls
from gathering.llm.gemini_answer import parse_response
from gathering.llm.gemini_content import build_request
from gathering.llm.gemini_stream import GeminiStream

ASK = [{"role": "user", "content": "?"}]
HELLO = {"candidates": [{"content": {"parts": [{"text": "Hello!"}]}, "finishReason": "STOP"}]}


def provider(service: Service, model: str = "gemini-2.5-flash", **config: Any) -> Any:
    return gathering.provider(f"gemini:{model}", base_url=service.url, max_retries=0, **config)


def test_the_model_and_the_kind_of_answer_are_in_the_path(service: Service) -> None:
    """And the key is in its header, never in the address."""
    service.will_say(HELLO)
    asked = provider(service, api_key="AIzaSecretSecretSecret")
    assert asked.complete(ASK).content == "Hello!"
    service.will_stream(HELLO)
    assert "".join(asked.stream(ASK)) == "Hello!"
    provider(service, "tunedModels/mine").complete(ASK)
    paths = [r.path for r in service.received]
    assert paths == [
        "/v1/models/gemini-2.5-flash:generateContent",
        "/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        "/v1/tunedModels/mine:generateContent",
    ]
    assert service.received[0].headers["x-goog-api-key"] == "AIzaSecretSecretSecret"
    assert "authorization" not in service.received[0].headers
    assert service.received[0].json == {"contents": [{"role": "user", "parts": [{"text": "?"}]}]}


def test_the_key_is_in_one_of_two_variables(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own one first."""
    service.will_say(HELLO)
    for name, key in (("GOOGLE_API_KEY", "second"), ("GEMINI_API_KEY", "first")):
        monkeypatch.setenv(name, key)
        provider(service).complete(ASK)
    assert [r.headers["x-goog-api-key"] for r in service.received] == ["second", "first"]


def test_without_a_key_it_can_be_made_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request goes out."""
    monkeypatch.delenv("GEMINI_BASE_URL", raising=False)
    made = gathering.provider("gemini:gemini-2.5-flash")
    assert made.base_url == "https://generativelanguage.googleapis.com/v1beta"
    assert made.is_available() is False
    assert "GEMINI_API_KEY" in made.why_unavailable()
    with pytest.raises(e.AuthenticationError, match="GEMINI_API_KEY"):
        made.complete(ASK)
    assert made.get_max_tokens() == 1_048_576


def test_the_address_may_come_from_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with every service."""
    monkeypatch.setenv("GEMINI_BASE_URL", service.url)
    service.will_say(HELLO)
    assert gathering.provider("gemini:m").complete(ASK).content == "Hello!"


def test_another_dialect_is_refused() -> None:
    """In one line that says what to do."""
    with pytest.raises(e.ConfigurationError, match="openai-compatible"):
        gathering.provider("gemini:m", api="chat")


def test_the_list_of_models(service: Service) -> None:
    """Names as a call takes them; a list that is none is said to be none."""
    service.will_say({"models": [{"name": "models/gemini-2.5-flash"}, {"name": "tunedModels/mine"}]})
    assert [m.name for m in provider(service).models()] == ["gemini-2.5-flash", "tunedModels/mine"]
    assert provider(service).is_available()
    assert service.received[0].path == "/v1/models?pageSize=1000"
    service.will_say({"pages": []})
    with pytest.raises(e.MalformedResponseError):
        provider(service).models()


def test_an_error_before_the_first_event_is_retried(service: Service) -> None:
    """An error with a good status is one that may pass."""
    busy = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    service.will_stream(busy)
    again = service.answers[0]
    service.will_stream(HELLO)
    service.will(again, *service.answers)
    asked = gathering.provider("gemini:m", base_url=service.url)
    asked.sleep = lambda seconds: None
    stream = asked.stream(ASK)
    assert "".join(stream) == "Hello!"
    assert stream.completion.attempts == 2


def test_a_tool_round_gives_the_signature_back(service: Service) -> None:
    """An agent's second request holds the first answer's part as it was."""
    part = {"functionCall": {"name": "double", "args": {"x": 21}}, "thoughtSignature": "sig=="}
    answer = {"candidates": [{"content": {"parts": [part], "role": "model"}, "finishReason": "STOP"}]}
    service.will_say(answer)
    first = service.answers[0]
    service.will_say(HELLO)
    service.will(first, *service.answers)

    @gathering.tool
    def double(x: float) -> float:
        """Double a number."""
        return 2 * x

    agent = gathering.Agent("ada", llm_provider=provider(service, "gemini-3.5-flash"), tools=[double])
    assert str(agent.ask("What is double 21?")) == "Hello!"
    contents = service.received[1].json["contents"]
    assert contents[-2] == {"role": "model", "parts": [part]}
    (response,) = contents[-1]["parts"]
    assert response["functionResponse"]["name"] == "double"
    assert "id" not in response["functionResponse"]


def test_tokens_are_counted_by_the_service(service: Service) -> None:
    """What is read is counted: messages, system prompt and tools."""
    service.will_say({"totalTokens": 42})
    messages = [{"role": "system", "content": "Be brief."}, *ASK]
    counted = provider(service).count_tokens(messages, [{"name": "add", "parameters": {}}])
    assert (int(counted), counted.exact) == (42, True)
    asked = service.received[0]
    assert (asked.method, asked.path) == ("POST", "/v1/models/gemini-2.5-flash:countTokens")
    request = asked.json["generateContentRequest"]
    assert request["model"] == "models/gemini-2.5-flash"
    assert sorted(request) == ["contents", "model", "systemInstruction", "tools"]


@pytest.mark.parametrize(("body", "status"), [({"error": {"code": 404}}, 404), ({}, 200), ([], 200)])
def test_tokens_are_estimated_where_the_service_cannot_count(
    service: Service, body: Any, status: int
) -> None:
    """It has no such path, answers something else, or is not to be asked at all."""
    service.will_say(body, status)
    counted = provider(service).count_tokens(ASK)
    assert counted.tokens > 0
    assert not counted.exact
    with no_live_calls():
        assert not provider(service).count_tokens(ASK).exact
    assert len(service.received) == 1


def test_embeddings_come_in_the_order_of_the_texts(service: Service) -> None:
    """A hundred to a request; the model is in the path and in each part."""
    vectors = [{"embeddings": [{"values": [float(i), 0.5]} for i in part]} for part in ((range(100)), (100,))]
    service.will(*(Answer([json.dumps(v).encode()], 200, {}) for v in vectors))
    found = provider(service, api_key="k" * 20).embed([str(i) for i in range(101)])
    assert found.vectors == tuple((float(i), 0.5) for i in range(101))
    assert found.model == "gemini:gemini-embedding-001"
    assert found.usage.input_tokens is None
    first, second = service.received
    assert first.path == "/v1/models/gemini-embedding-001:batchEmbedContents"
    assert [len(r.json["requests"]) for r in (first, second)] == [100, 1]
    content = {"parts": [{"text": "100"}]}
    assert second.json == {"requests": [{"model": "models/gemini-embedding-001", "content": content}]}


async def test_embeddings_awaited_by_another_model(service: Service) -> None:
    """The named one, or the provider's own if it is one; too few vectors are no answer."""
    service.will_say({"embeddings": [{"values": [1, 2]}]})
    found = await provider(service).embed_async(["a"], model="tunedModels/mine")
    assert found.vectors == ((1.0, 2.0),)
    provider(service, "gemini-embedding-2").embed(["a"])
    assert [r.path for r in service.received] == [
        "/v1/tunedModels/mine:batchEmbedContents",
        "/v1/models/gemini-embedding-2:batchEmbedContents",
    ]
    for odd in ({"embeddings": []}, {"embeddings": [7]}, {"embeddings": 7}, []):
        service.will_say(odd)
        with pytest.raises(e.MalformedResponseError, match="gemini:"):
            provider(service).embed(["a"])


def test_a_structured_answer_says_how_its_form_came_about(service: Service) -> None:
    """Natively; older models are asked in words where they have tools."""
    service.will_say(HELLO)
    output = {"name": "P", "schema": {"type": "object"}}
    tools = [{"name": "add", "parameters": {}}]
    modes = [
        provider(service, model).complete(ASK, offered, output=output).output_mode
        for model, offered in (("gemini-2.5-pro", None), ("gemini-2.5-pro", tools), ("gemini-3-pro", tools))
    ]
    assert modes == ["native", "prompted", "native"]
    assert provider(service).complete(ASK).output_mode == ""


def test_a_call_that_could_not_be_read_is_asked_for_once_more(service: Service) -> None:
    """There is nothing else in such an answer; what it cost is counted, and a second failure is the answer."""
    figures = {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}}
    botched = {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}], **figures}
    tools = [{"name": "add", "parameters": {}}]
    service.will_say({**HELLO, **figures})
    good = service.answers[0]
    service.will_say(botched)
    bad = service.answers[0]
    for ask in (lambda p: p.complete(ASK, tools), lambda p: [*p.stream(ASK, tools).events()][-1].completion):
        service.will(bad, good)
        completion = ask(provider(service))
        assert (completion.content, completion.attempts, completion.usage.input_tokens) == ("Hello!", 2, 6)
        service.will(bad)
        service.received.clear()
        assert ask(provider(service)).finish_reason == "other"
        assert len(service.received) == 2


def test_how_long_an_answer_can_be(service: Service) -> None:
    """As usual in its generation, until the service's list says otherwise."""
    assert provider(service).get_max_output() == 65_536
    assert provider(service, "gemini-2.0-flash").get_max_output() == 8_192
    limits = {"inputTokenLimit": 1000, "outputTokenLimit": 100}
    service.will_say({"models": [{"name": "models/gemini-2.0-flash", **limits}]})
    asked = provider(service, "gemini-2.0-flash")
    (listed,) = asked.models()
    assert (listed.name, listed.context, listed.max_output) == ("gemini-2.0-flash", 1000, 100)
    assert (asked.get_max_tokens(), asked.get_max_output()) == (1000, 100)


# -- recordings --------------------------------------------------------------------------------------------------

ERRORS = {
    "error-400": e.AuthenticationError,
    "error-404": e.ModelNotFoundError,
    "error-429": e.RateLimitError,
}


def _loaded(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return {"name": path.stem, **loaded}


GEMINI = [r for r in map(_loaded, recordings()) if r["provider"] == "gemini"]
#: Neither chat completions nor the interactions, lists and counts of other endpoints.
OTHERS = ("embeddings", "gemini-openai-compat", "models-list", "signature", "token-count")
CONTENT = [r for r in GEMINI if r["name"] not in OTHERS]
needs_recordings = pytest.mark.skipif(not GEMINI, reason="the recordings are not here")


def body_of(recorded: dict[str, Any]) -> bytes:
    response = recorded["response"]
    text = response.get("body_text")
    return text.encode() if text is not None else base64.b64decode(response["body_base64"])


@pytest.fixture(params=CONTENT, ids=lambda r: r["name"])
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def objects_in(recorded: dict[str, Any]) -> list[Any]:
    body = body_of(recorded).decode()
    if not recorded["response"]["stream"]:
        return [json.loads(body)]
    return [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: ")]


def check(completion: Completion, recorded: dict[str, Any]) -> None:
    """Against the recording, read as simply as can be."""
    objects = objects_in(recorded)
    parts = [p for o in objects for p in o["candidates"][0]["content"].get("parts", [])]
    usage = objects[-1]["usageMetadata"]
    calls = [p["functionCall"]["name"] for p in parts if p.get("functionCall", {}).get("name")]
    assert completion.content == "".join(p.get("text", "") for p in parts if not p.get("thought"))
    assert [c.name for c in completion.tool_calls] == calls
    assert all(c.id and c.malformed is None for c in completion.tool_calls)
    assert completion.usage.input_tokens == usage["promptTokenCount"]
    written = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    assert completion.usage.output_tokens == written
    assert completion.usage.reasoning_tokens == usage.get("thoughtsTokenCount")
    assert completion.usage.cached_tokens == usage.get("cachedContentTokenCount")
    assert completion.model == objects[-1]["modelVersion"]
    kept = [p for given in completion.parts for p in given["value"]]
    signatures = [p["thoughtSignature"] for p in parts if "thoughtSignature" in p]
    assert [p["thoughtSignature"] for p in kept if "thoughtSignature" in p] == signatures
    reason = objects[-1]["candidates"][0]["finishReason"]
    expected = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}[reason]
    assert completion.finish_reason == ("tool_calls" if calls else expected)


def play(service: Service, recorded: dict[str, Any], size: int | None) -> Any:
    response = recorded["response"]
    headers = {"content-type": response["headers"]["content-type"]}
    service.will(Answer(cut_in(body_of(recorded), size), response["status"], headers))
    return provider(service, "m")


@needs_recordings
@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_recording_to_a_sync_caller(recorded: dict[str, Any], service: Service, size: int | None) -> None:
    """The answer or the error is the one recorded, however the network cuts it."""
    stream = play(service, recorded, size).stream(ASK)
    if recorded["name"] in ERRORS:
        with pytest.raises(ERRORS[recorded["name"]]) as caught:
            list(stream)
        assert "Next: " in str(caught.value)
        assert caught.value.provider == "gemini"
        return
    text = "".join(stream)
    assert text == stream.completion.content
    check(stream.completion, recorded)


@needs_recordings
async def test_a_recording_to_an_async_caller(recorded: dict[str, Any], service: Service) -> None:
    """The same by ``await`` and by ``async for``."""
    asked = play(service, recorded, 50)
    if recorded["name"] in ERRORS:
        with pytest.raises(ERRORS[recorded["name"]]):
            await asked.complete_async(ASK)
        return
    check(await asked.complete_async(ASK), recorded)
    stream = asked.stream(ASK)
    pieces = [piece async for piece in stream]
    assert "".join(pieces) == stream.completion.content
    check(stream.completion, recorded)


@needs_recordings
def test_a_recording_byte_by_byte(recorded: dict[str, Any]) -> None:
    """Events do not depend on the cuts, and a stream cut short is no answer."""
    if not recorded["response"]["stream"]:
        return
    body = body_of(recorded)
    stream = GeminiStream("m")
    seen = [event for piece in cut_in(body, 1) for event in stream.feed(piece)] + stream.finish()
    done = seen[-1]
    assert isinstance(done, Done)
    check(done.completion, recorded)
    assert "".join(x.text for x in seen if isinstance(x, TextDelta)) == done.completion.content
    assert "".join(x.text for x in seen if isinstance(x, ThinkingDelta)) == done.completion.thinking
    cut = GeminiStream("m")
    cut.feed(body[: len(body) // 2])
    assert not cut.whole
    with pytest.raises(e.IncompleteStreamError):
        cut.finish()


@needs_recordings
def test_a_recorded_wait_is_read() -> None:
    """It stands in the body."""
    (found,) = [r for r in GEMINI if r["name"] == "error-429"]
    error = _error_of(found)
    assert error.retry_after == 48


def _error_of(recorded: dict[str, Any]) -> e.ProviderError:
    with pytest.raises(e.ProviderError) as caught:
        parse_response(json.loads(body_of(recorded)))
    return caught.value


@needs_recordings
def test_the_recorded_count_of_tokens(service: Service) -> None:
    """The same contents in the same envelope, and the figure the service gave to them."""
    (found,) = [r for r in GEMINI if r["name"] == "token-count"]
    play(service, found, None)
    asked = found["request"]["json"]["generateContentRequest"]
    counted = provider(service, "gemini-3.5-flash").count_tokens(neutral(asked["contents"]))
    assert (counted.tokens, counted.exact) == (11, True)
    sent = service.received[0].json["generateContentRequest"]
    assert sent == {key: asked[key] for key in ("model", "contents")}


@needs_recordings
def test_the_recorded_embeddings(service: Service) -> None:
    """The same request but for a number of dimensions, and all figures of the vector."""
    (found,) = [r for r in GEMINI if r["name"] == "embeddings"]
    play(service, found, 7)
    texts = [r["content"]["parts"][0]["text"] for r in found["request"]["json"]["requests"]]
    embeddings = provider(service).embed(texts)
    listed = json.loads(body_of(found))["embeddings"]
    assert [list(v) for v in embeddings.vectors] == [entry["values"] for entry in listed]
    (wanted,) = found["request"]["json"]["requests"]
    assert service.received[0].json["requests"] == [{k: wanted[k] for k in ("model", "content")}]


@needs_recordings
def test_the_recorded_list_of_models(service: Service) -> None:
    """All of it, without the collection's name."""
    (found,) = [r for r in GEMINI if r["name"] == "models-list"]
    play(service, found, None)
    names = [m.name for m in provider(service).models()]
    assert "gemini-2.5-flash" in names
    assert len(names) == len(json.loads(body_of(found))["models"])
    assert not any(name.startswith("models/") for name in names)


def neutral(contents: list[Any]) -> list[dict[str, Any]]:
    """The conversation behind recorded contents."""
    messages: list[dict[str, Any]] = []
    for content in contents:
        if content["role"] == "model":
            answer = parse_response({"candidates": [{"content": content, "finishReason": "STOP"}]})
            messages.append(answer.message().to_dict())
        elif "functionResponse" in content["parts"][0]:
            for part in content["parts"]:
                response = part["functionResponse"]
                said = response["response"]["result"]
                messages.append(
                    {
                        "role": "tool",
                        "content": said,
                        "tool_call_id": response["id"],
                        "name": response["name"],
                    }
                )
        else:
            messages.append({"role": "user", "content": [*content["parts"]]})
    return messages


def plain(schema: Any) -> Any:
    """A recorded schema as JSON Schema writes it: types in small letters."""
    if isinstance(schema, list):
        return [plain(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    names = {"property_ordering": "propertyOrdering"}
    small = {names.get(k, k): plain(v) for k, v in schema.items()}
    return {**small, "type": small["type"].lower()} if isinstance(small.get("type"), str) else small


def parameters_of(wire: dict[str, Any]) -> dict[str, Any]:
    """The neutral parameters behind the options of a recorded request."""
    names = {"maxOutputTokens": "max_tokens", "safetySettings": "safety_settings"}
    names.update(cachedContent="cached_content", toolConfig="tool_config")
    config = dict(wire.get("generationConfig", {}))
    found = {}
    if (schema := config.pop("responseSchema", None)) is not None:
        assert config.pop("responseMimeType") == "application/json"
        found["output"] = {"name": "O", "schema": plain(schema)}
    options = {k: v for k, v in wire.items() if k in names}
    return {**found, **{names.get(k, k): v for k, v in {**config, **options}.items()}}


def tools_of(wire: dict[str, Any]) -> list[dict[str, Any]]:
    functions = [f for tool in wire.get("tools", ()) for f in tool.get("functionDeclarations", ())]
    own = [tool for tool in wire.get("tools", ()) if "functionDeclarations" not in tool]
    return [*own, *({**f, "parameters": plain(f["parameters"])} for f in functions)]


def comparable(wire: dict[str, Any]) -> dict[str, Any]:
    """A request without what means nothing: the old name and letters of a schema, a role of the system, empty options."""
    config = dict(wire.get("generationConfig", {}))
    config["responseJsonSchema"] = plain(config.pop("responseSchema", config.get("responseJsonSchema")))
    tools = [
        {
            **f,
            "parameters": plain(f.get("parameters", f.get("parametersJsonSchema"))),
            "parametersJsonSchema": 0,
        }
        for tool in wire.get("tools", ())
        for f in tool.get("functionDeclarations", [tool])
    ]
    system = wire.get("systemInstruction", {}).get("parts", [])
    return {**wire, "generationConfig": config, "tools": tools, "systemInstruction": system}


@needs_recordings
def test_a_recorded_request_is_made_again(recorded: dict[str, Any]) -> None:
    """From the neutral form of its messages, tools and options, equal in meaning and with nothing more in it."""
    wire = (recorded["request"] or {}).get("json")
    if wire is None:
        return
    system = wire.get("systemInstruction", {}).get("parts", [])
    messages = [*({"role": "system", "content": p["text"]} for p in system), *neutral(wire["contents"])]
    sent = build_request("gemini-2.5-flash", messages, tools_of(wire), parameters_of(wire))
    assert comparable(sent) == comparable(wire)
