"""Anthropic's provider over the loopback: headers, addresses, models, retries, and the recordings of the service."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from fake_service import PATIENCE, Answer, Service, cut_in, recordings, sse

import gathering
from gathering.core import errors as e
from gathering.core.events import Done, TextDelta, ThinkingDelta, ToolCallDelta
from gathering.core.messages import Completion, Usage
from gathering.core.session import no_live_calls
from gathering.llm.anthropic_messages import build_request
from gathering.llm.anthropic_stream import MessagesStream

ASK = [{"role": "user", "content": "?"}]
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def answer(*content: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "model": "m-1",
        "content": list(content),
        "stop_reason": "end_turn",
    }


HELLO = answer({"type": "text", "text": "Hello!"})


def provider(service: Service, model: str = "claude-opus-5", **config: Any) -> Any:
    config = {"base_url": service.url, "api_key": "sk-ant-12345678", "max_retries": 0, **config}
    made = gathering.provider(f"anthropic:{model}", **config)
    made.sleep = lambda seconds: None
    return made


def refused(message: str, kind: str = "invalid_request_error", status: int = 400) -> Answer:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return Answer([json.dumps(body).encode()], status, {"x-should-retry": "false", "request-id": "req_1"})


def said(body: Any) -> Answer:
    return Answer([json.dumps(body).encode()], 200, {"content-type": "application/json"})


def test_a_request_carries_key_and_version(service: Service) -> None:
    """In the headers the service wants, and a beta beside them if asked for."""
    service.will_say(HELLO)
    p = provider(service, headers={"anthropic-beta": "a,b"}, max_tokens=100)
    assert p.complete(ASK).content == "Hello!"
    (asked,) = service.received
    assert (asked.method, asked.path) == ("POST", "/v1/messages")
    assert asked.headers["x-api-key"] == "sk-ant-12345678"
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert asked.headers["anthropic-beta"] == "a,b"
    assert "authorization" not in asked.headers
    assert asked.json["max_tokens"] == 100


def test_the_address_with_and_without_version(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anthropic's own tools write it without; the variable is theirs too."""
    service.will_say(HELLO)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", service.url.removesuffix("/v1") + "/")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "abcd1234")
    assert gathering.provider("anthropic:m").complete(ASK).content == "Hello!"
    assert service.received[0].path == "/v1/messages"
    assert service.received[0].headers["x-api-key"] == "abcd1234"


def test_without_a_key_it_is_made_but_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    p = gathering.provider("anthropic:claude-opus-5")
    assert p.base_url == "https://api.anthropic.com/v1"
    assert not p.is_available()
    assert "ANTHROPIC_API_KEY" in p.why_unavailable()
    with pytest.raises(e.AuthenticationError, match="ANTHROPIC_API_KEY"):
        p.complete(ASK)


def test_another_dialect_is_refused() -> None:
    """There is one here."""
    assert gathering.provider("anthropic:m", api="messages")
    with pytest.raises(e.ConfigurationError, match="api='chat'"):
        gathering.provider("anthropic:m", api="chat")


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-5", 1_000_000),
        ("claude-sonnet-4-6", 1_000_000),
        ("claude-haiku-4-5-20251001", 200_000),
        ("claude-sonnet-4-20250514", 200_000),
        ("other", 200_000),
    ],
)
def test_how_much_a_model_can_hold(model: str, tokens: int) -> None:
    """Known models by name, anything by ``context``; counts of tokens are estimates."""
    p = gathering.provider(f"anthropic:{model}")
    assert (p.get_max_tokens(), p.estimates_tokens) == (tokens, True)
    assert gathering.provider(f"anthropic:{model}", context=5).get_max_tokens() == 5


def test_missing_credit_is_no_bad_request(service: Service) -> None:
    """It comes as 400."""
    service.will(refused("Your credit balance is too low to access the Anthropic API."))
    with pytest.raises(e.QuotaError) as caught:
        provider(service).complete(ASK)
    assert caught.value.request_id == "req_1"


def test_a_parameter_the_model_has_lost_is_left_out(service: Service) -> None:
    """The newest models refuse sampling parameters; the caller is told."""
    service.will(refused("`temperature` is deprecated for this model."), said(HELLO))
    with pytest.warns(UserWarning, match=r"does not take temperature=0\.5"):
        assert provider(service, max_retries=2).complete(ASK, temperature=0.5).content == "Hello!"
    assert "temperature" not in service.received[1].json


def test_an_overload_before_the_first_word_is_retried(service: Service) -> None:
    """Under its status, and inside a stream that had begun with a good one."""
    begun = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 5}}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    service.will(
        Answer([json.dumps(OVERLOADED).encode()], 529),
        sse(begun, OVERLOADED),
        sse(begun, text, {"type": "message_stop"}),
    )
    stream = provider(service, max_retries=2).stream(ASK)
    assert list(stream) == ["Hi"]
    assert stream.completion.attempts == 3


def test_nothing_is_retried_after_the_first_word(service: Service) -> None:
    """What was shown stays shown, and is in the error."""
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    service.will(sse(text, OVERLOADED))
    with pytest.raises(e.OverloadedError) as caught:
        list(provider(service, max_retries=2).stream(ASK))
    assert (caught.value.partial, len(service.received)) == ("Hi", 1)


def test_a_long_answer_to_a_whole_request_is_streamed(service: Service) -> None:
    """The caller sees no difference."""
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    service.will(sse(text, {"type": "message_stop"}))
    assert provider(service).complete(ASK, max_tokens=64_000).content == "Hi"
    assert service.received[0].json["stream"] is True


def test_an_agent_calls_tools_and_gives_thinking_back(service: Service) -> None:
    """The second request holds the thinking as it came, the call, and its result."""
    thinking = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "calculator", "input": {"expression": "15 * 25"}}
    service.will(said({**answer(thinking, call), "stop_reason": "tool_use"}), said(HELLO))
    agent = gathering.Agent("Ada", llm_provider=provider(service), tools=["calculator"])
    assert agent.ask("15 * 25?").text == "Hello!"
    first, second = (r.json for r in service.received)
    assert first["tools"][0]["input_schema"]["type"] == "object"
    *_, back, results = second["messages"]
    assert back == {"role": "assistant", "content": [thinking, call]}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "375"}
    assert results == {"role": "user", "content": [result]}


SEARCH = {"type": "web_search_20250305", "name": "web_search"}
SEARCHED = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}}
FIGURES = {"usage": {"input_tokens": 3, "output_tokens": 5}}
PAUSED = {
    **answer({"type": "text", "text": "Let me see. "}, SEARCHED),
    "stop_reason": "pause_turn",
    **FIGURES,
}
FOUND_IT = {**answer({"type": "text", "text": "Found."}), **FIGURES}


def as_events(message: dict[str, Any]) -> Answer:
    """The message as the service streams it."""
    blocks = enumerate(message["content"])
    started = [{"type": "content_block_start", "index": i, "content_block": b} for i, b in blocks]
    return sse(
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        *started,
        {
            "type": "message_delta",
            "delta": {"stop_reason": message["stop_reason"]},
            "usage": message["usage"],
        },
        {"type": "message_stop"},
    )


@pytest.mark.parametrize("form", [said, as_events])
async def test_a_paused_turn_goes_on(service: Service, form: Any) -> None:
    """The answer so far goes back as it came; what the caller gets is one answer, paid for twice."""
    for awaited in (False, True):
        service.will(form(PAUSED), form(FOUND_IT))
        service.received.clear()
        stream = provider(service).stream(ASK, [SEARCH])
        pieces = [piece async for piece in stream] if awaited else list(stream)
        assert pieces == ["Let me see. ", "Found."]
        completion = stream.completion
        assert (completion.content, completion.finish_reason) == ("Let me see. Found.", "stop")
        assert (completion.usage.input_tokens, completion.usage.output_tokens) == (6, 10)
        assert [b["type"] for b in completion.parts[0]["value"]] == ["text", "server_tool_use", "text"]
        assert service.received[1].json["messages"][1:] == [
            {"role": "assistant", "content": PAUSED["content"]}
        ]


def test_a_turn_that_keeps_pausing_is_reported_as_unfinished(service: Service) -> None:
    """It is gone on with a few times; without tools of the service's own it never is."""
    service.will(said(PAUSED))
    completion = provider(service).complete(ASK, [SEARCH])
    assert (completion.finish_reason, completion.raw["stop_reason"]) == ("other", "pause_turn")
    assert 2 < len(service.received) < 20
    service.received.clear()
    assert provider(service).complete(ASK).finish_reason == "other"
    assert len(service.received) == 1


def test_stop_in_a_turn_that_goes_on_hangs_up(service: Service) -> None:
    """Also behind the pause."""
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
    begun = sse(text)
    begun.stall = True
    service.will(as_events(PAUSED), begun)
    stream = provider(service).stream(ASK, [SEARCH])
    assert [next(iter(stream)) for _ in range(2)] == ["Let me see. ", "Hi"]
    stream.close()
    assert service.hung_up.wait(PATIENCE)


def test_a_structured_answer_says_how_its_form_came_about(service: Service) -> None:
    """Natively, by the models that can; of unknown models nothing is promised."""
    service.will_say(answer({"type": "text", "text": "{}"}))
    output = {"name": "P", "schema": {"type": "object", "properties": {}}}
    assert provider(service).complete(ASK, output=output).output_mode == "native"
    assert provider(service).complete(ASK).output_mode == ""
    modes = [provider(service, m).structured_output for m in ("claude-opus-5", "claude-3-haiku", "llama3")]
    assert modes == ["native", "prompted", "prompted"]


@pytest.mark.parametrize("model", ["claude-opus-5", "claude-haiku-4-5", "claude-3-7-sonnet"])
def test_how_long_an_answer_can_be(model: str) -> None:
    """As long as the request says, also with the longest thinking; the service wants it said."""
    most = gathering.provider(f"anthropic:{model}").get_max_output()
    assert build_request(model, ASK, None, {}, stream=False)["max_tokens"] <= most
    assert build_request(model, ASK, None, {"reasoning_effort": "max"}, stream=False)["max_tokens"] <= most
    assert gathering.provider(f"anthropic:{model}", max_tokens=100).get_max_output() == 100


def test_tokens_are_counted_by_the_service(service: Service) -> None:
    """What is read is counted: messages, system prompt and tools, but no options."""
    service.will_say({"input_tokens": 42})
    messages = [{"role": "system", "content": "Be brief."}, *ASK]
    tool = {"name": "add", "description": "Adds.", "parameters": {}}
    counted = provider(service, max_tokens=5).count_tokens(messages, [tool])
    assert (int(counted), counted.exact) == (42, True)
    asked = service.received[0]
    assert (asked.method, asked.path) == ("POST", "/v1/messages/count_tokens")
    assert sorted(asked.json) == ["messages", "model", "system", "tools"]


@pytest.mark.parametrize("broken", [refused("no", "not_found_error", 404), said({"tokens": 1}), said([])])
def test_tokens_are_estimated_where_the_service_cannot_count(service: Service, broken: Answer) -> None:
    """It has no such path, answers something else, or is not to be asked at all."""
    service.will(broken)
    counted = provider(service).count_tokens(ASK)
    assert counted.tokens > 0
    assert not counted.exact
    with no_live_calls():
        assert not provider(service).count_tokens(ASK).exact
    assert len(service.received) == 1


# -- recordings --------------------------------------------------------------------------------------------------

ERRORS = {
    "error-400": e.ContextOverflowError,
    "error-401": e.AuthenticationError,
    "error-404": e.ModelNotFoundError,
}
OTHER = ("models-list", "token-count")
FOUND = {p.stem: p for p in recordings() if p.parent.name == "anthropic"}
ANSWERS = [name for name in FOUND if name not in OTHER]
recorded_only = pytest.mark.skipif(not FOUND, reason="the recordings are not here")


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    response = data["response"]
    text = response.get("body_text")
    body = text.encode() if text is not None else base64.b64decode(response["body_base64"])
    return {
        "name": path.stem,
        "asked": (data.get("request") or {}).get("json"),
        "status": response["status"],
        "headers": {
            k: v for k, v in response["headers"].items() if k not in ("transfer-encoding", "content-length")
        },
        "stream": bool(response["stream"]),
        "body": body,
    }


@pytest.fixture(params=ANSWERS)
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load(FOUND[request.param])


def read_simply(recorded: dict[str, Any]) -> tuple[str, str, list[str], int]:
    """Text, thinking, names of the calls and output tokens, read as simply as can be."""
    body = recorded["body"].decode()
    if not recorded["stream"]:
        message = json.loads(body)
        blocks, tokens = message["content"], message["usage"]["output_tokens"]
    else:
        lines = [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: {")]
        blocks = [x["content_block"] for x in lines if x["type"] == "content_block_start"]
        blocks += [x["delta"] for x in lines if x["type"] == "content_block_delta"]
        last = next(x["usage"] for x in lines if x["type"] == "message_delta")
        rounds = [r for r in last.get("iterations", ()) if r["type"] == "compaction"]
        tokens = last["output_tokens"] + sum(r["output_tokens"] for r in rounds)
    text = "".join(b["text"] for b in blocks if b["type"] in ("text", "text_delta"))
    thinking = "".join(b["thinking"] for b in blocks if b["type"] in ("thinking", "thinking_delta"))
    return text, thinking, [b["name"] for b in blocks if b["type"] == "tool_use"], tokens


def check(completion: Completion, recorded: dict[str, Any]) -> None:
    text, thinking, calls, tokens = read_simply(recorded)
    assert (completion.content, completion.thinking) == (text, thinking)
    assert [c.name for c in completion.tool_calls] == calls
    assert all(c.id and c.malformed is None for c in completion.tool_calls)
    assert completion.usage.output_tokens == tokens
    expected = {"refusal": "refusal", "retry-after": "length"}.get(recorded["name"])
    assert completion.finish_reason == (expected or ("tool_calls" if calls else "stop"))
    assert completion.model.startswith("claude-")


def play(service: Service, recorded: dict[str, Any], size: int | None) -> Any:
    service.will(Answer(cut_in(recorded["body"], size), recorded["status"], recorded["headers"]))
    return provider(service)


@recorded_only
@pytest.mark.parametrize("size", [None, 7])
def test_a_recording_to_a_sync_caller(recorded: dict[str, Any], service: Service, size: int | None) -> None:
    """The answer or the error is the one recorded, however the network cuts it."""
    stream = play(service, recorded, size).stream(ASK)
    if recorded["name"] in ERRORS:
        with pytest.raises(ERRORS[recorded["name"]]) as caught:
            list(stream)
        assert caught.value.provider == "anthropic"
        assert caught.value.request_id
        assert "Next: " in str(caught.value)
    else:
        assert "".join(stream) == read_simply(recorded)[0]
        check(stream.completion, recorded)


@recorded_only
async def test_a_recording_to_an_async_caller(recorded: dict[str, Any], service: Service) -> None:
    """The same answer or error by ``async for`` and by ``await``."""
    p = play(service, recorded, 50)
    if recorded["name"] in ERRORS:
        with pytest.raises(ERRORS[recorded["name"]]):
            await p.complete_async(ASK)
        return
    check(await p.complete_async(ASK), recorded)
    stream = p.stream(ASK)
    assert "".join([piece async for piece in stream]) == read_simply(recorded)[0]
    check(stream.completion, recorded)


@recorded_only
def test_a_recording_byte_by_byte(recorded: dict[str, Any]) -> None:
    """Events do not depend on the cuts, at none of the places there are, and say what the completion says."""
    if not recorded["stream"]:
        return
    whole, cut = MessagesStream("m"), MessagesStream("m")
    expected = whole.feed(recorded["body"]) + whole.finish()
    seen = [event for piece in cut_in(recorded["body"], 1) for event in cut.feed(piece)] + cut.finish()
    assert seen == expected
    done = seen[-1]
    assert isinstance(done, Done)
    assert "".join(x.text for x in seen if isinstance(x, TextDelta)) == done.completion.content
    assert "".join(x.text for x in seen if isinstance(x, ThinkingDelta)) == done.completion.thinking
    pieces = [x for x in seen if isinstance(x, ToolCallDelta)]
    for index, call in enumerate(done.completion.tool_calls):
        text = "".join(p.arguments for p in pieces if p.index == index)
        assert json.loads(text or "{}") == call.arguments


@recorded_only
def test_a_recording_cut_short_is_no_answer(recorded: dict[str, Any]) -> None:
    """Without its end mark a stream is a failure that keeps what had arrived."""
    if not recorded["stream"]:
        return
    for part in (0.2, 0.5, 0.95):
        stream = MessagesStream("m")
        stream.feed(recorded["body"][: int(len(recorded["body"]) * part)])
        with pytest.raises(e.IncompleteStreamError) as caught:
            stream.finish()
        assert caught.value.partial == stream.partial


@recorded_only
def test_a_recording_goes_back_as_it_came(recorded: dict[str, Any]) -> None:
    """Every block that is more than text and calls is in the next request: thinking, signatures, server tools."""
    if recorded["name"] in ERRORS or not recorded["stream"]:
        return
    stream = MessagesStream("m", "anthropic")
    stream.feed(recorded["body"])
    done = stream.finish()[-1]
    assert isinstance(done, Done)
    message = json.loads(json.dumps(done.completion.message().to_dict()))
    sent = build_request("m", [*ASK, message], None, {}, stream=False, origin="anthropic")["messages"][1]
    starts = [
        json.loads(line[6:]) for line in recorded["body"].decode().split("\n") if line.startswith("data: {")
    ]
    kinds = [x["content_block"]["type"] for x in starts if x["type"] == "content_block_start"]
    assert [b["type"] for b in sent["content"]] == kinds
    for block in sent["content"]:
        assert block["type"] != "thinking" or block["signature"]
        assert block["type"] != "redacted_thinking" or block["data"]
        assert block["type"] != "server_tool_use" or block["input"]


def neutral(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The recorded messages in neutral form."""
    system = asked.get("system")
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for turn in asked["messages"]:
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = [b for b in blocks if b["type"] == "tool_result"]
        messages += [
            {
                "role": "tool",
                "content": b["content"],
                "tool_call_id": b["tool_use_id"],
                "is_error": b.get("is_error", False),
            }
            for b in results
        ]
        rest = [b for b in blocks if b not in results]
        calls = [b for b in rest if b["type"] == "tool_use"]
        if turn["role"] == "assistant":
            text = "".join(b["text"] for b in rest if b["type"] == "text")
            made = [{"id": c["id"], "name": c["name"], "arguments": c["input"]} for c in calls]
            messages.append({"role": "assistant", "content": text, "tool_calls": made})
        elif rest:
            messages.append({"role": "user", "content": rest})
    return messages


def comparable(turns: list[dict[str, Any]]) -> list[Any]:
    """Turns without what the neutral form does not say: marks for the cache, and that a result is no error."""
    flat: list[Any] = []
    for turn in turns:
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        kept = [{k: v for k, v in b.items() if (k, v) != ("is_error", False)} for b in blocks]
        flat.append((turn["role"], [{k: v for k, v in b.items() if k != "cache_control"} for b in kept]))
    return flat


@recorded_only
@pytest.mark.parametrize("name", [n for n in FOUND if "max_tokens" in (load(FOUND[n])["asked"] or {})])
def test_a_recorded_request_is_built_again(name: str) -> None:
    """From the neutral form of its messages, tools and options."""
    asked = load(FOUND[name])["asked"]
    tools = [
        {**{k: v for k, v in t.items() if k != "input_schema"}, "parameters": t["input_schema"]}
        if "input_schema" in t
        else t
        for t in asked.get("tools", ())
    ]
    params = {k: v for k, v in asked.items() if k not in ("model", "messages", "system", "tools", "stream")}
    if "stop_sequences" in params:
        params["stop"] = params.pop("stop_sequences")
    sent = build_request(asked["model"], neutral(asked), tools, params, stream=bool(asked.get("stream")))
    assert comparable(sent.pop("messages")) == comparable(asked["messages"])
    assert sent.pop("system", None) == asked.get("system")
    sent_tools = sent.pop("tools", [])
    assert [t["name"] for t in sent_tools] == [t["name"] for t in tools]
    assert [t.get("input_schema") for t in sent_tools] == [t.get("parameters") for t in tools]
    rest = {k: v for k, v in asked.items() if k not in ("messages", "system", "tools", "stream")}
    assert {k: v for k, v in sent.items() if k != "stream"} == rest


@recorded_only
def test_the_list_of_models(service: Service) -> None:
    """As the service lists them, in one page; a service that lists them is available."""
    recorded = load(FOUND["models-list"])
    p = play(service, recorded, None)
    listed = [m.name for m in p.models()]
    assert listed[0] == "claude-opus-5"
    assert len(listed) == len(json.loads(recorded["body"])["data"])
    assert p.is_available()
    assert service.received[0].path == "/v1/models?limit=1000"
    assert service.received[0].headers["anthropic-version"] == "2023-06-01"
    (haiku,) = [m for m in p.models() if m.name.startswith("claude-haiku-4-5")]
    assert (haiku.context, haiku.max_output) == (200_000, 64_000)
    assert provider(service, "claude-sonnet-4-5-20250929").get_max_tokens() == 1_000_000


@recorded_only
def test_the_recorded_count_of_tokens(service: Service) -> None:
    """The same request, and the figure the service gave to it."""
    recorded = load(FOUND["token-count"])
    p = play(service, recorded, None)
    counted = p.count_tokens(neutral(recorded["asked"]))
    assert (counted.tokens, counted.exact) == (20, True)
    sent = service.received[0].json
    assert service.received[0].path == "/v1/messages/count_tokens"
    assert sent.pop("model") == "claude-opus-5"
    assert sent == {k: v for k, v in recorded["asked"].items() if k != "model"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kept", "tokens"),
    [
        (None, 1_250_000),
        ({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1_000_000}, 2_000_000),
    ],
)
def test_what_is_written_into_the_cache_costs_more(
    service: Service, kept: dict[str, int] | None, tokens: int, stream: bool
) -> None:
    """A quarter more than reading for five minutes, twice as much for an hour; read again it costs a tenth."""
    usage = {"input_tokens": 0, "cache_creation_input_tokens": 1_000_000, "output_tokens": 0}
    usage["cache_creation"] = kept  # type: ignore[assignment]
    p = provider(service, "claude-sonnet-5")
    if stream:
        begun = {"type": "message_start", "message": {**HELLO, "content": [], "usage": usage}}
        ended = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 0}}
        service.will(sse(begun, ended, {"type": "message_stop"}))
        running = p.stream(ASK)
        list(running)
        completion = running.completion
    else:
        service.will_say({**HELLO, "usage": usage})
        completion = p.complete(ASK)
    read = p.get_cost(Usage(1_000_000, 0))
    assert p.cost_of(completion) == pytest.approx(read * tokens / 1_000_000)
    assert p.get_cost(Usage(1_000_000, 0, cached_tokens=1_000_000)) == pytest.approx(read / 10)
