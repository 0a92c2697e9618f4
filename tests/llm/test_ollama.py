"""Ollama by its own API: requests, answers, streams, addresses, and what its server says of a model."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_service import Answer, Service, cut_in, recordings
from hypothesis import given, settings
from hypothesis import strategies as st

import gathering
from gathering.core import errors as e
from gathering.core.events import Done, TextDelta, ThinkingDelta, ToolCallDelta
from gathering.core.messages import Completion, Usage
from gathering.core.session import no_live_calls
from gathering.llm import listing, ollama
from gathering.llm.ollama import server_address
from gathering.llm.ollama_chat import Room, build_request, parse_response
from gathering.llm.ollama_stream import OllamaStream

ASK = [{"role": "user", "content": "1+1?"}]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 16).decode()
TOOL = {"name": "add", "description": "Adds", "parameters": {"type": "object", "properties": {}}}
CALL = {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}
END = {
    "model": "llama3.2",
    "message": {"role": "assistant", "content": ""},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 12,
    "eval_count": 3,
}
SHOWN = {
    "capabilities": ["completion", "tools"],
    "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
}


def as_json(body: Any, status: int = 200) -> Answer:
    return Answer([json.dumps(body).encode()], status, {"content-type": "application/json"})


def lines(*objects: Any, cut: int | None = None, **options: Any) -> Answer:
    text = "".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects).encode()
    return Answer(cut_in(text, cut), headers={"content-type": "application/x-ndjson"}, **options)


def says(text: str = "", **message: Any) -> dict[str, Any]:
    return {"model": "llama3.2", "message": {"role": "assistant", "content": text, **message}, "done": False}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test's server said of its models is forgotten by the next."""
    for name in ("OLLAMA_HOST", "OLLAMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    ollama._capabilities.clear()
    listing._seen.clear()


def made(service: Service, **config: Any) -> Any:
    return gathering.provider(
        "ollama:llama3.2", base_url=service.url.removesuffix("/v1"), max_retries=0, **config
    )


# -- requests ----------------------------------------------------------------------------------------------------


def test_a_conversation_as_it_is_sent() -> None:
    """System, images, a tool call and its result, each in the form of this dialect."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is this?", "images": [{"media_type": "image/png", "data": PNG}]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "name": "add", "arguments": {"a": 1}}],
            "parts": [
                {"type": "thinking", "value": "Hm.", "origin": "ollama"},
                {"type": "thinking", "value": "elsewhere", "origin": "other"},
            ],
        },
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
    ]
    body = build_request("m", messages, [TOOL], {}, stream=True)
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is this?", "images": [PNG]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": {"a": 1}}}],
            "thinking": "Hm.",
        },
        {"role": "tool", "content": "3", "tool_name": "add", "tool_call_id": "c1"},
    ]
    assert body["stream"] is True  # left out, it would mean the same
    assert body["tools"] == [{"type": "function", "function": TOOL}]


def test_parameters_have_their_names_here() -> None:
    """Sampling goes under options, the rest beside it; the cache is the server's own affair."""
    params = {
        "temperature": 0, "max_tokens": 9, "stop": "END", "seed": 7, "top_k": 3, "repeat_penalty": 1.2,
        "reasoning_effort": "low", "keep_alive": "10m", "logprobs": 2, "prompt_cache": True,
        "output": {"name": "P", "schema": {"type": "object"}},
    }  # fmt: skip
    body = build_request("m", ASK, None, params, stream=False)
    assert {k: v for k, v in body["options"].items() if k != "num_ctx"} == {
        "temperature": 0, "num_predict": 9, "stop": ["END"], "seed": 7, "top_k": 3, "repeat_penalty": 1.2,
    }  # fmt: skip
    assert (body["think"], body["keep_alive"], body["format"]) == ("low", "10m", {"type": "object"})
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert "prompt_cache" not in body
    assert build_request("m", ASK, None, {"reasoning_effort": "none"}, stream=False)["think"] is False
    old = {"response_format": {"type": "json_object"}}
    assert build_request("m", ASK, None, old, stream=False)["format"] == "json"


def test_what_it_has_not_is_left_out_with_a_warning() -> None:
    """A named tool is the only one offered; none at all are offered for ``none``."""
    other = {**TOOL, "name": "other"}
    with pytest.warns(UserWarning, match="tool_choice='add'"):
        body = build_request("m", ASK, [TOOL, other], {"tool_choice": "add"}, stream=False)
    assert [t["function"]["name"] for t in body["tools"]] == ["add"]
    assert "tools" not in build_request("m", ASK, [TOOL], {"tool_choice": "none"}, stream=False)
    with pytest.warns(UserWarning, match="parallel_tool_calls"):
        build_request("m", ASK, [TOOL], {"parallel_tool_calls": False}, stream=False)


def test_an_image_s_address_is_refused_before_anything_is_sent() -> None:
    """The server takes the bytes alone."""
    messages = [{"role": "user", "content": "", "images": [{"url": "https://h/cat.png"}]}]
    with pytest.raises(e.ConfigurationError, match="give the file's path or its bytes"):
        build_request("m", messages, None, {}, stream=False)


@pytest.mark.parametrize(
    ("words", "room", "expected"),
    [
        (10, Room(), 4096),
        (20_000, Room(), 32_768),
        (200_000, Room(), 32_768),
        (20_000, Room(most=8192), 8192),
        (10, Room(fixed=2048), 2048),
    ],
)
def test_a_prompt_gets_the_room_it_needs(words: int, room: Room, expected: int) -> None:
    """By doubling, up to what the model or the machine bears; and the server is told not to cut."""
    messages = [{"role": "user", "content": "word " * words}]
    body = build_request("m", messages, None, {}, stream=False, room=room)
    assert body["options"]["num_ctx"] == expected
    assert (body["truncate"], body["shift"]) == (False, False)
    assert build_request("m", ASK, None, {"num_ctx": 99}, stream=False)["options"]["num_ctx"] == 99


# -- answers -----------------------------------------------------------------------------------------------------


def test_a_whole_answer(service: Service) -> None:
    """The server is asked once what the model holds, then for the answer; tokens are its own counts."""
    service.will(as_json(SHOWN), as_json({**END, "message": {"role": "assistant", "content": "Two."}}))
    p = made(service, keep_alive="1h")
    answer = p.complete(ASK)
    assert (answer.content, answer.usage, answer.finish_reason) == ("Two.", Usage(12, 3), "stop")
    p.complete(ASK)
    assert [r.path for r in service.received] == ["/api/show", "/api/chat", "/api/chat"]
    assert service.received[1].json["keep_alive"] == "1h"
    assert "authorization" not in service.received[1].headers
    assert p.get_max_tokens() == 32_768
    assert not p.takes_images


@pytest.mark.parametrize("cut", [None, 1, 7])
@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json", "text/plain"])
def test_a_stream(service: Service, cut: int | None, kind: str) -> None:
    """Lines however they are cut and labelled: thoughts, text, a tool call without an id, the counts at the end."""
    stream = lines(
        says(thinking="Ä"), says("Zw"), says("ei\u2028."), says(tool_calls=[CALL, CALL]), END, cut=cut
    )
    stream.headers = {"content-type": kind}
    service.will(as_json(SHOWN), stream)
    events = list(made(service).stream(ASK).events())
    assert events[:3] == [ThinkingDelta("Ä"), TextDelta("Zw"), TextDelta("ei\u2028.")]
    deltas = [x for x in events if isinstance(x, ToolCallDelta)]
    assert [d.index for d in deltas] == [0, 1]
    done = events[-1]
    assert isinstance(done, Done)
    calls = done.completion.tool_calls
    assert [c.arguments for c in calls] == [{"a": 1, "b": 2}] * 2
    assert len({c.id for c in calls}) == 2
    assert (done.completion.finish_reason, done.completion.usage) == ("tool_calls", Usage(12, 3))
    assert done.completion.parts[0]["value"] == "Ä"


def test_awaited_it_is_the_same(service: Service) -> None:
    """What must be asked before goes on a worker thread, the loop goes on."""
    service.will(as_json(SHOWN), lines(says("Hi"), END))

    async def read() -> str:
        return "".join([piece async for piece in made(service).stream(ASK)])

    assert asyncio.run(read()) == "Hi"


def test_a_stream_that_only_stops_is_not_whole(service: Service) -> None:
    """Without ``done`` the text is kept in the error."""
    service.will(as_json(SHOWN), lines(says("Hal")))
    with pytest.raises(e.IncompleteStreamError) as caught:
        list(made(service).stream(ASK))
    assert caught.value.partial == "Hal"


def test_an_error_among_the_lines(service: Service) -> None:
    """With status 200, behind good text."""
    service.will(as_json(SHOWN), lines(says("Hal"), {"error": "llama runner process has terminated"}))
    with pytest.raises(e.ProviderError, match="has terminated") as caught:
        list(made(service).stream(ASK))
    assert caught.value.partial == "Hal"


def test_a_model_that_is_not_there(service: Service) -> None:
    """The error says how to fetch it, and no step is asked twice."""
    missing = as_json({"error": "model 'llama3.2' not found"}, 404)
    service.will(missing, missing)
    with pytest.raises(e.ModelNotFoundError, match=r"ollama pull llama3\.2"):
        made(service).complete(ASK)


@pytest.mark.parametrize("body", [[], {}, {"message": "text"}, "text", None])
def test_an_answer_of_another_server(body: Any) -> None:
    """It is said to be none of Ollama's."""
    with pytest.raises(e.MalformedResponseError):
        parse_response(body)


def test_cut_and_loaded_answers() -> None:
    """An answer cut for its length says so, even beside a call; a reason not known is ``other``."""
    cut = {**END, "done_reason": "length", "message": {"content": "", "tool_calls": [CALL]}}
    assert parse_response(cut).finish_reason == "length"
    assert parse_response({**END, "done_reason": "load"}).finish_reason == "other"


def test_probabilities() -> None:
    """In the neutral form."""
    listed = [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -2.0}]}]
    (found,) = parse_response({**END, "logprobs": listed}).logprobs
    assert found == {"token": "a", "logprob": -0.1, "top": [{"token": "b", "logprob": -2.0}]}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_noise_is_an_error_or_nothing(pieces: list[bytes], data: st.DataObject) -> None:
    """No bytes, alone or among good lines, make the reader fail in another way."""
    good = [json.dumps(says("Hi")).encode() + b"\n", json.dumps(END).encode() + b"\n"]
    stream = OllamaStream("m")
    try:
        for piece in data.draw(st.permutations([*pieces, *good])):
            stream.feed(piece)
        stream.finish()
    except e.ProviderError:
        return
    assert stream.ended


# -- beside answers ----------------------------------------------------------------------------------------------


def test_models_with_their_contexts(service: Service) -> None:
    """The list has names alone; on this machine each model is asked for."""
    tags = {"models": [{"name": "llama3.2:latest"}, {"name": "nomic-embed-text:latest"}]}
    service.will(as_json(tags), as_json(SHOWN), as_json({"error": "no"}, 500))
    found = made(service).models()
    assert [(m.name, m.context) for m in found] == [
        ("llama3.2:latest", 131072),
        ("nomic-embed-text:latest", None),
    ]


def test_vectors(service: Service) -> None:
    """Many texts in one request, in their order; the provider's own model is no embedding model."""
    service.will_say({"embeddings": [[1, 0], [0, 1]], "prompt_eval_count": 4})
    found = made(service).embed(["a", "b"], model="nomic-embed-text")
    assert (found.vectors, found.model) == (((1.0, 0.0), (0.0, 1.0)), "ollama:nomic-embed-text")
    assert found.usage.input_tokens == 4
    assert service.received[0].path == "/api/embed"
    assert service.received[0].json == {"model": "nomic-embed-text", "input": ["a", "b"]}
    with pytest.raises(e.ConfigurationError, match="name one"):
        made(service).embed(["a"])
    with pytest.raises(e.MalformedResponseError, match="2 vectors to 1 texts"):
        made(service).embed(["a"], model="nomic-embed-text")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("", "http://127.0.0.1:11434"),
        ("gpu", "http://gpu:11434"),
        ("gpu:8000", "http://gpu:8000"),
        (":8000", "http://127.0.0.1:8000"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("http://gpu", "http://gpu:80"),
        ("https://gpu/ollama/", "https://gpu:443/ollama"),
        ("'gpu:8000' ", "http://gpu:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ("gpu:99999", "http://gpu:11434"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_the_address_in_every_form(host: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the server itself reads its variable."""
    assert server_address(host) == address
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert gathering.provider("ollama:m").base_url == f"{address}/api"  # type: ignore[attr-defined]


@pytest.mark.parametrize("tail", ["", "/", "/api", "/v1", "/v1/"])
def test_a_base_url_with_or_without_its_path(tail: str) -> None:
    """Whatever is copied from a guide."""
    p: Any = gathering.provider("ollama:m", base_url=f"http://gpu:1{tail}")
    assert p.base_url == "http://gpu:1/api"
    assert (
        gathering.provider("ollama:m", base_url=f"http://gpu:1{tail}", api="chat").base_url
        == "http://gpu:1/v1"
    )  # type: ignore[attr-defined]


def test_a_key_is_needed_in_the_cloud_alone() -> None:
    """A server of one's own has none, wherever it is."""
    assert gathering.provider("ollama:m", base_url="https://ollama.com").needs_key  # type: ignore[attr-defined]
    assert not gathering.provider("ollama:m", base_url="https://notollama.com.example").needs_key  # type: ignore[attr-defined]


def test_the_chat_path_by_its_name(service: Service) -> None:
    """As before: chat completions of the same server, nothing asked in front."""
    service.will_say({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    assert made(service, api="chat").complete(ASK).content == "Hi"
    assert [r.path for r in service.received] == ["/v1/chat/completions"]
    with pytest.raises(e.ConfigurationError, match="api='responses'"):
        made(service, api="responses")


def test_where_live_calls_are_forbidden_nothing_is_asked(service: Service) -> None:
    """Not even what the model holds."""
    with no_live_calls("in a test"), pytest.raises(e.LiveCallError):
        made(service).complete(ASK)
    assert not service.received


RECORDED = [
    p
    for p in recordings()
    if p.parent.name == "ollama"
    and (json.loads(p.read_text("utf-8"))["request"] or {}).get("url", "").endswith("/api/chat")
    and not p.stem.startswith(("error", "stream"))
]


@pytest.mark.skipif(not RECORDED, reason="the recordings are not here")
@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.stem)
def test_recorded_answers(path: Any) -> None:
    """What a server once said is read as it stands there."""
    body = json.loads(json.loads(path.read_text("utf-8"))["response"]["body_text"])
    answer: Completion = parse_response(body)
    assert answer.content == body["message"]["content"]
    calls = [c["function"] for c in body["message"].get("tool_calls") or ()]
    assert [(c.name, c.arguments) for c in answer.tool_calls] == [(c["name"], c["arguments"]) for c in calls]
    assert answer.usage == Usage(body.get("prompt_eval_count"), body.get("eval_count"))
