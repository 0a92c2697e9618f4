"""The Anthropic Messages dialect, whole messages: what goes out, in the order the service demands, and what comes in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core import errors as e
from gathering.core.messages import Completion, Usage
from gathering.llm.anthropic_answer import parse_response
from gathering.llm.anthropic_messages import NOTHING, OPENING, build_request

ASK = [{"role": "user", "content": "?"}]
USAGE = {"input_tokens": 3, "output_tokens": 7}
ADD = {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {}}}


def request(messages: Any = ASK, tools: Any = None, model: str = "claude-opus-5", **params: Any) -> Any:
    return build_request(model, messages, tools, params, stream=False, origin="here")


def turns(*messages: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(t["role"], t["content"]) for t in request(messages)["messages"]]


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def use(identity: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": "add", "input": arguments}


def result(identity: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identity, "content": content, **more}


def called(*ids: str, content: str = "", **more: Any) -> dict[str, Any]:
    calls = [{"id": i, "name": "add", "arguments": {}} for i in ids]
    return {"role": "assistant", "content": content, "tool_calls": calls, **more}


def told(identity: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": identity, "name": "add"}


def answer(*content: Any, stop: Any = "end_turn", **more: Any) -> Completion:
    body = {"id": "msg_1", "type": "message", "model": "m-1", "content": list(content), "stop_reason": stop}
    return parse_response({**body, "usage": USAGE, **more}, "m", origin="here")


def test_a_plain_question() -> None:
    """The limit of the answer is always said; the system prompt is no message."""
    asked = request([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    assert asked == {
        "model": "claude-opus-5",
        "max_tokens": 16_384,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [said("Hi")]}],
    }
    assert build_request("m", ASK, None, {}, stream=True)["stream"] is True
    assert request(model="claude-3-haiku-20240307")["max_tokens"] == 4096


def test_a_long_answer_is_streamed() -> None:
    """The service hangs up on whole answers after ten minutes."""
    assert "stream" not in request(max_tokens=16_000)
    assert request(max_tokens=64_000)["stream"] is True


def test_system_prompts_with_blocks_stay_blocks() -> None:
    """A mark for the cache is kept, and none of several prompts is lost."""
    cached = {**said("A"), "cache_control": {"type": "ephemeral"}}
    system = {"role": "system", "content": [cached]}
    assert request([system, *ASK, {"role": "system", "content": "B"}])["system"] == [cached, said("B")]


@pytest.mark.parametrize(
    ("params", "fields"),
    [
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ("A", "B")}, {"stop_sequences": ["A", "B"]}),
        ({"temperature": 0, "top_k": 5}, {"temperature": 0, "top_k": 5}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"tool_choice": {"type": "none"}}),
        ({"tool_choice": "add"}, {"tool_choice": {"type": "tool", "name": "add"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "add"}}},
            {"tool_choice": {"type": "tool", "name": "add"}},
        ),
        (
            {"parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ),
        ({"response_format": {"type": "text"}, "metadata": {"user_id": "u"}}, {"metadata": {"user_id": "u"}}),
        (
            {"reasoning_effort": "minimal"},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
            },
        ),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    ],
)
def test_options_are_translated(params: dict[str, Any], fields: dict[str, Any]) -> None:
    """Neutral words become the service's, its own pass through."""
    asked = request(tools=[ADD], **params)
    for name in ("model", "messages", "tools", "max_tokens"):
        asked.pop(name)
    assert asked == fields


def test_older_models_think_by_the_number() -> None:
    """The budget is within the limit of the answer, which leaves room for an answer if nothing was said."""
    asked = request(model="claude-haiku-4-5-20251001", reasoning_effort="low")
    assert (asked["thinking"], asked["max_tokens"]) == ({"type": "enabled", "budget_tokens": 2048}, 18_432)
    asked = request(model="claude-haiku-4-5", reasoning_effort="high", max_tokens=4000)
    assert (asked["thinking"]["budget_tokens"], asked["max_tokens"]) == (3999, 4000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1),
        ("frequency_penalty", 0.5),
        ("response_format", {"type": "json_object"}),
        ("logprobs", True),
        ("logprobs", 0),
        ("stop", " \n"),
    ],
)
def test_what_the_service_has_not_is_left_out_aloud(name: str, value: Any) -> None:
    """It would refuse the request; the caller is told."""
    with pytest.warns(UserWarning, match=f"does not take {name}="):
        assert request(**{name: value}) == request()
    with pytest.warns(UserWarning, match="reasoning_effort"):
        assert "thinking" not in request(model="claude-haiku-4-5", reasoning_effort="low", max_tokens=500)
    with pytest.warns(UserWarning, match="reasoning_effort"):
        assert "thinking" not in request(model="claude-3-haiku-20240307", reasoning_effort="low")


def test_tools() -> None:
    """Schemas always say that they are objects; the service's own tools pass as they are."""
    search = {"type": "web_search_20250305", "name": "web_search"}
    chat = {"type": "function", "function": {"name": "f", "strict": True}}
    empty = {"type": "object", "properties": {}}
    assert request(tools=[{**ADD, "examples": [["1+1", {}]]}, search, chat])["tools"] == [
        {"name": "add", "description": "Adds.", "input_schema": empty},
        search,
        {"name": "f", "strict": True, "input_schema": empty},
    ]
    assert "tool_choice" not in request(tool_choice="auto")


def test_images_are_blocks() -> None:
    """As data or by address; the service's own blocks pass as they are."""
    own = {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}
    content = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "image_url", "image_url": "https://x.test/a.png"},
        own,
        said(""),
        "What?",
    ]
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    address = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}
    expected = [{"type": "image", "source": source}, address, own, said("What?")]
    assert turns({"role": "user", "content": content}) == [("user", expected)]


def test_the_images_of_a_message_come_before_its_text() -> None:
    """Of a user as of a tool, whether or not the tool's call is still there."""
    shown = [{"media_type": "image/png", "data": "QUJD"}, {"url": "https://x.test/a.png"}]
    blocks = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
    ]
    assert turns({"role": "user", "content": "What?", "images": shown})[0][1] == [*blocks, said("What?")]
    assert turns({"role": "user", "content": "", "images": shown})[0][1] == blocks
    drawn = {**told("a", "A plot."), "images": shown}
    assert turns(ASK[0], called("a"), drawn)[2][1] == [result("a", [said("A plot."), *blocks])]
    assert turns(ASK[0], drawn)[0][1] == [said("?"), said("Result of the tool add: A plot."), *blocks]


MARK = {"cache_control": {"type": "ephemeral"}}


def test_what_repeats_is_marked_for_the_cache() -> None:
    """Tools, system prompt and conversation, each at its last block; not without being asked."""
    messages = [{"role": "system", "content": "Be brief."}, *ASK]
    asked = request(messages, [ADD, ADD], prompt_cache=True)
    assert asked["system"] == [{**said("Be brief."), **MARK}]
    assert asked["messages"][-1]["content"] == [{**said("?"), **MARK}]
    assert ["cache_control" in tool for tool in asked["tools"]] == [False, True]
    hour = request(messages, prompt_cache="1h")["system"][0]["cache_control"]
    assert hour == {"type": "ephemeral", "ttl": "1h"}
    assert request(messages, [ADD], prompt_cache=False) == request(messages, [ADD])
    with pytest.raises(e.ConfigurationError, match="prompt_cache is '2h'"):
        request(prompt_cache="2h")


def test_marks_for_the_cache_are_four_at_most() -> None:
    """Those of the caller count, and stay; what came from the model as thinking cannot have one."""
    own = {"role": "user", "content": [{**said("A"), **MARK}, {**said("B"), **MARK}, {**said("C"), **MARK}]}
    asked = request([own, *ASK], [ADD], prompt_cache=True)
    assert json.dumps(asked).count("cache_control") == 4
    assert asked["messages"][-1]["content"][-1] == {**said("?"), **MARK}
    thought = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    part = {"type": "content", "origin": "here", "value": [said("A"), thought]}
    back = {"role": "assistant", "content": "A", "parts": [part]}
    assert request([*ASK, back], prompt_cache=True)["messages"][-1]["content"] == [
        {**said("A"), **MARK},
        thought,
    ]
    assert part["value"] == [said("A"), thought]


PERSON = {
    "name": "Person",
    "schema": {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}},
}


def test_a_structured_answer_is_the_services_own_form() -> None:
    """Beside an effort, too; a model that has it not is asked without, and the caller told."""
    asked = request(output=PERSON, reasoning_effort="low")["output_config"]
    schema = asked["format"].pop("schema")
    assert asked == {"effort": "low", "format": {"type": "json_schema"}}
    age = {"type": "integer", "description": "(minimum: 0)"}
    assert schema == {"type": "object", "properties": {"age": age}, "additionalProperties": False}
    with pytest.warns(UserWarning, match="output='Person'"):
        assert "output_config" not in request(model="claude-sonnet-4-20250514", output=PERSON)


def test_options_that_contradict_each_other_do_not_go_out_together() -> None:
    """The service refuses such requests; the caller is told what was left out."""
    with pytest.warns(UserWarning, match="thinking='adaptive' beside a tool"):
        asked = request(tools=[ADD], tool_choice="add", reasoning_effort="low")
    assert "thinking" not in asked
    with pytest.warns(UserWarning, match=r"temperature=0\.5 beside thinking"):
        asked = request(reasoning_effort="low", temperature=0.5)
    assert asked["thinking"]["type"] == "adaptive"
    assert "temperature" not in asked
    assert request(reasoning_effort="none", temperature=0.5)["temperature"] == 0.5


def test_results_of_one_turn_are_one_message() -> None:
    """In the order of the calls, before anything the user says."""
    assert turns(
        ASK[0],
        called("a", "b", content="Both."),
        {"role": "user", "content": "Well?"},
        told("b", "2"),
        {**told("a", "Error: no"), "is_error": True},
        {"role": "assistant", "content": "3 "},
    ) == [
        ("user", [said("?")]),
        ("assistant", [said("Both."), use("a"), use("b")]),
        ("user", [result("a", "Error: no", is_error=True), result("b", "2"), said("Well?")]),
        ("assistant", [said("3")]),
    ]


def test_every_call_is_answered() -> None:
    """A loop that was stopped leaves calls without results, which the service refuses."""
    *_, (role, content) = turns(ASK[0], called("a", "b"), told("a", "1"), ASK[0])
    assert (role, content[0], content[2]) == ("user", result("a", "1"), said("?"))
    assert (content[1]["tool_use_id"], content[1]["is_error"]) == ("b", True)
    *_, (role, content) = turns(ASK[0], called("a"))
    assert (role, content[0]["is_error"]) == ("user", True)


def test_a_result_without_its_call_is_told() -> None:
    """The call may have left the memory's window."""
    assert turns(told("a", "1")) == [("user", [said("Result of the tool add: 1")])]


def test_ids_are_made_valid_and_unique() -> None:
    """Other services give ids this one refuses, the same ones each turn, or none."""
    sent = turns(ASK[0], called("f:0", ""), told("f:0", "1"), told("", "2"), called("f:0"), told("f:0", "3"))
    assert sent[1][1] == [use("f_0"), use("call")]
    assert sent[2][1] == [result("f_0", "1"), result("call", "2")]
    assert (sent[3][1], sent[4][1]) == ([use("f_0_2")], [result("f_0_2", "3")])


def test_nothing_is_never_sent() -> None:
    """Empty texts are refused, and so is a conversation that a user does not begin."""
    assert turns({"role": "user", "content": " "}) == [("user", [said(NOTHING)])]
    assert turns({"role": "assistant", "content": "Hello\n"}) == [
        ("user", [said(OPENING)]),
        ("assistant", [said("Hello")]),
    ]
    assert turns(ASK[0], {"role": "assistant", "content": ""}, ASK[0]) == [("user", [said("?"), said("?")])]
    assert turns(ASK[0], called("a"), told("a", ""))[2][1] == [result("a", "")]


def test_malformed_arguments_go_back_as_an_object() -> None:
    """The service takes nothing else."""
    call = {"id": "a", "name": "add", "arguments": {}, "malformed": "{x"}
    sent = turns(ASK[0], {"role": "assistant", "content": None, "tool_calls": [call]})
    assert sent[1][1] == [use("a", malformed="{x")]


THINKING = {"type": "thinking", "thinking": "", "signature": "s"}
REDACTED = {"type": "redacted_thinking", "data": "d"}


def test_thinking_goes_back_as_it_came() -> None:
    """With its signature, in place, also redacted or not shown; blank texts are left out."""
    came = [THINKING, REDACTED, said("\n\n"), said("Let me see."), use("a", x=1)]
    seen = answer(*came, stop="tool_use")
    assert (seen.content, seen.thinking, seen.tool_calls[0].arguments) == ("\n\nLet me see.", "", {"x": 1})
    message = json.loads(json.dumps(seen.message().to_dict()))
    assert turns(ASK[0], message, told("a", "1"))[1][1] == [THINKING, REDACTED, said("Let me see."), came[4]]


def test_thinking_of_another_service_or_another_text_stays_here() -> None:
    """It is bound to the service that signed it and to what was said after it."""
    message = answer(THINKING, said("Hi")).message().to_dict()
    assert turns(ASK[0], {**message, "content": "Edited"})[1][1] == [said("Edited")]
    elsewhere = build_request("m", [*ASK, message], None, {}, stream=False, origin="elsewhere")
    assert elsewhere["messages"][1]["content"] == [said("Hi")]


def test_plain_answers_need_no_parts() -> None:
    """Text and calls alone say all that must go back."""
    assert answer(said("Hi"), {**use("a"), "caller": {"type": "direct"}}).parts == ()
    assert answer({**use("a"), "caller": {"type": "code_execution_20250825"}}).parts


def test_an_answer() -> None:
    """Texts are one text, thinking is apart, blocks of unknown types say nothing but go back."""
    unknown = {"type": "hologram", "text": "?"}
    seen = answer({"type": "thinking", "thinking": "Hm", "signature": "s"}, said("4"), unknown, said("2"))
    assert (seen.content, seen.thinking, seen.finish_reason, seen.model) == ("42", "Hm", "stop", "m-1")
    assert seen.parts[0]["value"][2] == unknown
    assert seen.usage == Usage(3, 7)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "other"),
        ("pause_turn", "other"),
        ("refusal", "refusal"),
        ("brand_new", "other"),
        (None, "stop"),
    ],
)
def test_why_the_model_stopped(stop: Any, reason: str) -> None:
    """Unknown reasons raise nothing."""
    assert answer(said("Hi"), stop=stop).finish_reason == reason


def test_calls_count_by_presence() -> None:
    """Whatever the reason says; an answer that was cut is still cut."""
    assert answer(use("a"), stop="end_turn").finish_reason == "tool_calls"
    assert answer(use("a"), stop="max_tokens").finish_reason == "length"
    assert answer({"type": "tool_use", "name": "add", "input": {}}).tool_calls[0].id


def test_a_refusal_says_so() -> None:
    """With the service's words where it has some."""
    assert answer(stop="refusal", stop_details=None).refusal == "the model declined to answer"
    assert answer(stop="refusal", stop_details={"explanation": "No."}).refusal == "No."
    assert answer(said("Hi")).refusal is None


def test_usage_counts_all_that_was_read() -> None:
    """Cached tokens, written or read, are not in the service's own figure, nor is shortening the conversation."""
    cached = {"cache_creation_input_tokens": 10, "cache_read_input_tokens": 100}
    details = {"output_tokens_details": {"thinking_tokens": 5}}
    assert answer(usage={**USAGE, **cached, **details}).usage == Usage(113, 7, 100, 5)
    rounds = [{**USAGE, "type": "compaction"}, {**USAGE, "type": "message"}]
    assert answer(usage={**USAGE, "iterations": rounds}).usage == Usage(6, 14)
    assert answer(usage=None).usage == answer(usage={"input_tokens": None}).usage == Usage()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "!"}}, e.OverloadedError),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "!"}}, e.RateLimitError),
        ({"type": "error", "error": {"type": "billing_error", "message": "!"}}, e.QuotaError),
        ({"type": "error", "error": {"type": "brand_new_error", "message": "!"}}, e.ProviderError),
        ({"type": "error", "message": "!"}, e.ProviderError),
        ({"error": "!"}, e.ProviderError),
        ({"choices": []}, e.MalformedResponseError),
        ([], e.MalformedResponseError),
        (None, e.MalformedResponseError),
    ],
)
def test_an_error_with_a_good_status(body: Any, kind: type[e.ProviderError]) -> None:
    """Its type says which error it is."""
    with pytest.raises(kind):
        parse_response(body)


def test_an_error_keeps_its_request_id() -> None:
    """It is in the body too."""
    with pytest.raises(e.OverloadedError) as caught:
        parse_response({"type": "error", "error": {"type": "overloaded_error"}, "request_id": "req_1"})
    assert (caught.value.request_id, caught.value.status) == ("req_1", 529)


ROLES = st.sampled_from(["user", "assistant", "tool", "system"])
IDS = st.sampled_from(["a", "b", "c:1", ""])
CALLS = st.lists(st.fixed_dictionaries({"id": IDS, "name": st.just("add")}), max_size=3)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": ROLES,
            "content": st.sampled_from(["", " ", "Hi", None]),
            "tool_call_id": IDS,
            "tool_calls": CALLS,
        }
    ),
    max_size=8,
)


@given(MESSAGES)
def test_any_conversation_goes_out_in_order(messages: list[dict[str, Any]]) -> None:
    """Roles alternate from the user on, no text is empty, and each call has one result right after it."""
    sent = request(messages)["messages"]
    assert [t["role"] for t in sent] == ["user", "assistant"] * (len(sent) // 2) + ["user"] * (len(sent) % 2)
    used = [b["id"] for t in sent for b in t["content"] if b["type"] == "tool_use"]
    assert len(used) == len(set(used))
    for turn, after in zip(sent, [*sent[1:], {"content": []}], strict=True):
        assert all(b["text"].strip() for b in turn["content"] if b["type"] == "text")
        ids = [b["id"] for b in turn["content"] if b["type"] == "tool_use"]
        answered = [b.get("tool_use_id") for b in after["content"]]
        assert answered[: len(ids)] == ids
        assert set(answered[len(ids) :]) <= {None}
