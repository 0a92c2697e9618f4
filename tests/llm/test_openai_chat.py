"""The chat-completions dialect, whole messages: what goes out and what is understood."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import ContextOverflowError, MalformedResponseError, ProviderError, RateLimitError
from gathering.core.messages import Message, Usage
from gathering.llm.openai_answer import parse_response
from gathering.llm.openai_chat import ChatStyle, build_request

TOOL = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}, "examples": [("1+1?", {})]}


def request(messages: list[Any], tools: Any = None, stream: bool = False, **params: Any) -> dict[str, Any]:
    return build_request("m", messages, tools, params, stream=stream)


def body(finish: Any = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}]}


def wire_call(identity: Any = "c1", name: str = "add", arguments: Any = '{"a": 1}') -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_conversation_with_tools_goes_out_as_the_dialect_wants_it() -> None:
    """Arguments are a JSON string, empty ones "{}", and a result names its call."""
    sent = request(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "1+1?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "name": "add", "arguments": {}}],
            },
            {"role": "tool", "content": "2", "tool_call_id": "c1", "name": "add"},
        ],
        [TOOL],
        tool_choice="add",
    )
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+1?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]
    function = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
    assert sent["tools"] == [{"type": "function", "function": function}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "add"}}


def test_parameters_pass_under_the_servers_names() -> None:
    """None is not sent, max_tokens has OpenAI's newer name there, and unknown ones go through."""
    style = ChatStyle(max_tokens="max_completion_tokens")
    sent = build_request(
        "m", [], None, {"max_tokens": 9, "seed": None, "verbosity": "low"}, stream=False, style=style
    )
    assert sent == {"model": "m", "messages": [], "max_completion_tokens": 9, "verbosity": "low"}


def test_a_tool_choice_without_tools_is_not_sent() -> None:
    """Servers refuse it."""
    assert "tool_choice" not in request([], None, tool_choice="auto", parallel_tool_calls=False)


def test_a_stream_asks_for_usage() -> None:
    """Without asking, OpenAI says nothing about tokens in a stream."""
    assert request([], stream=True)["stream_options"] == {"include_usage": True}


def test_malformed_arguments_go_back_as_json() -> None:
    """Servers parse the arguments again, so what the model wrote wrongly is wrapped."""
    call = {"id": "c", "name": "add", "arguments": {}, "malformed": '{"a": '}
    sent = request([{"role": "assistant", "content": "", "tool_calls": [call]}])
    assert json.loads(sent["messages"][0]["tool_calls"][0]["function"]["arguments"]) == {
        "malformed": '{"a": '
    }


@pytest.mark.parametrize(
    ("content", "text", "thinking"),
    [
        (None, "", ""),
        ("", "", ""),
        ("Hi", "Hi", ""),
        ([{"type": "text", "text": "Hi"}, " you"], "Hi you", ""),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
                {"type": "text", "text": "4"},
            ],
            "4",
            "Hm",
        ),
        ([{"type": "reference", "ids": [1]}], "", ""),
    ],
)
def test_content_has_many_forms(content: Any, text: str, thinking: str) -> None:
    """A string, null and lists of parts are all read; thinking never counts as text."""
    completion = parse_response(body(content=content))
    assert (completion.content, completion.thinking) == (text, thinking)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_beside_the_content_is_thinking(field: str) -> None:
    """Both of its names are read, and both together are one text."""
    assert parse_response(body(content="4", **{field: "2+2"})).thinking == "2+2"
    assert parse_response(body(content="4", reasoning="2+2", reasoning_content="2+2")).thinking == "2+2"


@pytest.mark.parametrize(
    ("wire", "arguments", "malformed"),
    [
        ('{"a": 1}', {"a": 1}, None),
        ({"a": 1}, {"a": 1}, None),
        ("", {}, None),
        (None, {}, None),
        ("[1]", {}, "[1]"),
        ('{"a":', {}, '{"a":'),
    ],
)
def test_arguments_are_read_however_they_come(wire: Any, arguments: Any, malformed: Any) -> None:
    """A string, an object and nothing are arguments; anything else is kept as it is."""
    (call,) = parse_response(body(tool_calls=[wire_call(arguments=wire)])).tool_calls
    assert (call.arguments, call.malformed) == (arguments, malformed)


@pytest.mark.parametrize("identity", ["", None, "null"])
def test_a_call_without_an_id_gets_one(identity: Any) -> None:
    """Results must name the call they answer."""
    first, second = parse_response(body(tool_calls=[wire_call(identity), wire_call(identity)])).tool_calls
    assert first.id.startswith("call_")
    assert first.id != second.id


@pytest.mark.parametrize(
    ("finish", "message", "expected"),
    [
        ("stop", {"content": "Hi"}, "stop"),
        ("stop", {"tool_calls": [wire_call()]}, "tool_calls"),
        ("tool_calls", {"content": "Hi", "tool_calls": []}, "other"),
        ("length", {"content": "Hi"}, "length"),
        ("model_length", {"content": "Hi"}, "length"),
        ("content_filter", {}, "content_filter"),
        ("stop", {"content": None, "refusal": "No."}, "refusal"),
        (None, {"content": "Hi"}, "stop"),
        ("", {"content": "Hi"}, "stop"),
        ("eos", {"content": "Hi"}, "stop"),
        ("insufficient_system_resource", {"content": "Hi"}, "other"),
        ("function_call", {"function_call": {"name": "add", "arguments": "{}"}}, "tool_calls"),
    ],
)
def test_why_it_stopped(finish: Any, message: Any, expected: str) -> None:
    """Calls count by their presence, and an unknown reason never raises."""
    assert parse_response(body(finish, **message)).finish_reason == expected


def test_usage_in_all_its_places() -> None:
    """Details may be null or absent; DeepSeek names its cache otherwise."""
    full = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert parse_response({**body(), "usage": full}).usage == Usage(10, 7, 4, 3)
    bare = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "prompt_tokens_details": None,
        "prompt_cache_hit_tokens": 2,
    }
    assert parse_response({**body(), "usage": bare}).usage == Usage(10, 7, 2, None)
    assert parse_response(body()).usage == Usage()


def test_what_must_go_back_goes_back_to_its_own_server_only() -> None:
    """Reasoning of a tool-calling message returns to where it came from and nowhere else."""
    here, elsewhere = ChatStyle(origin="a"), ChatStyle(origin="b")
    wire = {**wire_call(), "extra_content": {"google": {"thought_signature": "s"}}}
    completion = parse_response(body(tool_calls=[wire], reasoning_content="Hm"), style=here)
    message = completion.message().to_dict()
    back, *_ = build_request("m", [message], None, {}, stream=False, style=here)["messages"]
    assert back["reasoning_content"] == "Hm"
    assert back["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s"}}
    other, *_ = build_request("m", [message], None, {}, stream=False, style=elsewhere)["messages"]
    assert "reasoning_content" not in other
    assert "extra_content" not in other["tool_calls"][0]


def test_plain_reasoning_does_not_go_back() -> None:
    """Some models refuse it where no tool was called."""
    message = parse_response(body(content="4", reasoning_content="Hm")).message().to_dict()
    assert "reasoning_content" not in request([message])["messages"][0]


def test_an_answer_without_choices() -> None:
    """A filtered prompt has none; anything that is no chat completion at all is said to be so."""
    assert parse_response({"choices": [], "prompt_filter_results": [{}]}).finish_reason == "content_filter"
    with pytest.raises(MalformedResponseError, match="base_url"):
        parse_response({"hello": "world"})


def test_an_error_in_a_good_answer_is_raised() -> None:
    """Status 200 does not make it an answer."""
    with pytest.raises(RateLimitError, match="slow down"):
        parse_response({"error": {"code": 429, "message": "slow down"}})
    failed = {"choices": [{"error": {"code": 400, "message": "maximum context length is 5 tokens"}}]}
    with pytest.raises(ContextOverflowError):
        parse_response(failed)


def test_the_path_of_a_model_file_is_not_shown() -> None:
    """A llama.cpp server without an alias answers with the path on its disk."""
    assert parse_response({**body(), "model": "/home/ada/models/small.gguf"}).model == "small.gguf"
    assert parse_response({**body(), "model": "qwen/qwen3"}).model == "qwen/qwen3"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "tool_calls", "function", "usage", "error", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_answer_breaks_the_reading(answer: Any) -> None:
    """Whatever JSON comes, there is a completion or a typed error."""
    with contextlib.suppress(ProviderError):
        parse_response({"choices": answer, "usage": answer} if not isinstance(answer, dict) else answer)


@given(st.text(max_size=30))
def test_text_survives_the_way_out_and_back(text: str) -> None:
    """What a message says is what is sent."""
    message = Message("assistant", text).to_dict()
    assert request([message])["messages"][0]["content"] == text
