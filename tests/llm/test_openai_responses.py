"""The Responses dialect, whole: what is sent, and what is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_service import Service

import gathering
from gathering.core import errors as e
from gathering.core.messages import Completion, ToolCall, Usage
from gathering.llm.openai_responses import build_request
from gathering.llm.openai_responses_answer import parse_response

ASK = [{"role": "user", "content": "?"}]
HERE = "here"
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'}


def said(text: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": content, **fields}


def answered(*output: Any, **fields: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    return {"model": "m-1", "status": "completed", "output": list(output), "usage": usage, **fields}


def read(*output: Any, **fields: Any) -> Completion:
    return parse_response(answered(*output, **fields), "m", origin=HERE)


def body(messages: list[Any] = ASK, tools: Any = None, model: str = "gpt-5-mini", **params: Any) -> Any:
    return build_request(model, messages, tools, params, stream=False, origin=HERE)


def returned(*output: Any, results: tuple[str, ...] = (), **changes: Any) -> list[Any]:
    """The items of the next request that an answer's items become."""
    message = {**read(*output).message().to_dict(), **changes}
    message = json.loads(json.dumps(message))  # as it comes out of a store
    answers = [{"role": "tool", "tool_call_id": i, "content": "3"} for i in results]
    return list(body([*ASK, message, *answers])["input"][1:])


# -- out -------------------------------------------------------------------------------------------------------


def test_nothing_is_stored_and_thoughts_come_back_encrypted() -> None:
    """The history is sent whole each time; the service keeps nothing."""
    sent = build_request("gpt-5-mini", ASK, None, {}, stream=True)
    assert sent == {
        "model": "gpt-5-mini",
        "input": [{"role": "user", "content": "?"}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }
    assert "stream" not in body()


def test_a_model_that_does_not_think_is_not_asked_for_thoughts() -> None:
    """It would refuse the request."""
    assert "include" not in body(model="gpt-4o-mini")
    assert "include" in body(model="o4-mini")


def test_system_messages_at_the_start_are_the_instructions() -> None:
    """A later one stays in its place."""
    system = {"role": "system", "content": "Be brief."}
    sent = body([system, {"role": "developer", "content": "Be kind."}, *ASK, system])
    assert sent["instructions"] == "Be brief.\n\nBe kind."
    assert sent["input"] == [{"role": "user", "content": "?"}, system]


def test_parameters_have_their_names_here() -> None:
    """Neutral words are translated, others are passed on, None is left out."""
    sent = body(
        max_tokens=50,
        reasoning_effort="low",
        reasoning={"summary": "auto"},
        verbosity="low",
        temperature=0,
        top_p=None,
        include=["message.output_text.logprobs"],
        service_tier="flex",
    )
    assert sent["max_output_tokens"] == 50
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    assert sent["text"] == {"verbosity": "low"}
    assert (sent["temperature"], sent["service_tier"]) == (0, "flex")
    assert sent["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    assert not {"max_tokens", "reasoning_effort", "verbosity", "top_p"} & sent.keys()


def test_a_response_format_is_a_format_of_the_text() -> None:
    """Without the wrapper chat completions put around the schema."""
    schema = {"type": "object", "properties": {}}
    wrapped = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema, "strict": True}}
    flat = {"type": "json_schema", "name": "out", "schema": schema, "strict": True}
    assert body(response_format=wrapped, verbosity="low")["text"] == {"format": flat, "verbosity": "low"}
    assert body(response_format=flat)["text"] == {"format": flat}
    assert body(response_format={"type": "json_object"})["text"] == {"format": {"type": "json_object"}}


def test_a_form_is_a_strict_format_of_the_text() -> None:
    """An open one is sent as it is, and not strictly."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = body(output={"name": "N", "schema": schema}, verbosity="low")["text"]
    closed = {**schema, "additionalProperties": False}
    strict = {"type": "json_schema", "name": "N", "schema": closed, "strict": True}
    assert form == {"format": strict, "verbosity": "low"}
    assert body(output={"schema": {"type": "object"}})["text"]["format"]["strict"] is False


def test_probabilities_are_included() -> None:
    """As a switch or with a number of alternatives, and read from the text's parts."""
    wanted = "message.output_text.logprobs"
    assert body(logprobs=2) == {**body(), "include": [*body()["include"], wanted], "top_logprobs": 2}
    assert body(logprobs=False) == body(prompt_cache=True) == body()
    part = {
        "type": "output_text",
        "text": "Hi",
        "logprobs": [{"token": "Hi", "logprob": -0.5, "top_logprobs": []}],
    }
    item = {"type": "message", "role": "assistant", "content": [part]}
    assert read(item).logprobs == ({"token": "Hi", "logprob": -0.5, "top": []},)


def test_what_this_format_has_not_is_left_out_and_said() -> None:
    """Each with its name."""
    for name in ("stop", "seed", "top_k", "frequency_penalty", "presence_penalty"):
        with pytest.warns(UserWarning, match=f"does not take {name}=1"):
            assert body(**{name: 1}) == body()


def test_images_stand_behind_the_text_also_in_a_result() -> None:
    """As an address or as data."""
    shown = [{"media_type": "image/png", "data": "iVBO"}, {"url": "https://h/a.png"}]
    parts = [
        {"type": "input_text", "text": "?"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBO"},
        {"type": "input_image", "image_url": "https://h/a.png"},
    ]
    assert body([{**ASK[0], "images": shown}])["input"] == [{"role": "user", "content": parts}]
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "name": "f", "arguments": {}}]}
    result = {"role": "tool", "tool_call_id": "c", "content": "", "images": shown}
    assert body([*ASK, call, result])["input"][2]["output"] == parts[1:]


def test_tools_are_flat() -> None:
    """Not strict unless said so; wrapped ones are unwrapped, the server's own are left alone."""
    spec = {"name": "add", "description": "Adds", "parameters": {"type": "object"}, "examples": [1]}
    flat = {"type": "function", "name": "add", "description": "Adds", "parameters": {"type": "object"}}
    wrapped = {"type": "function", "function": {**spec, "strict": True}}
    own = {"type": "web_search"}
    assert body(tools=[spec, wrapped, own])["tools"] == [
        {**flat, "strict": False},
        {**flat, "strict": True},
        own,
    ]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("auto", "auto"),
        ("any", "required"),
        ("add", {"type": "function", "name": "add"}),
        ({"type": "function", "function": {"name": "add"}}, {"type": "function", "name": "add"}),
        ({"type": "web_search"}, {"type": "web_search"}),
    ],
)
def test_tool_choice(choice: Any, wire: Any) -> None:
    """A tool's name chooses it; without tools there is no choice."""
    assert body(tools=[{"name": "add"}], tool_choice=choice)["tool_choice"] == wire
    assert "tool_choice" not in body(tool_choice=choice)


def test_parts_of_a_question_have_their_names_here() -> None:
    """Those of chat completions are renamed, this format's own pass."""
    own = {"type": "input_file", "file_id": "f"}
    content = [
        "Look:",
        {"type": "text", "text": "this"},
        {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}},
        {"type": "image_url", "image_url": "data:y"},
        {"type": "file", "file": {"file_data": "z"}},
        own,
    ]
    (item,) = body([{"role": "user", "content": content}])["input"]
    assert item["content"] == [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_text", "text": "this"},
        {"type": "input_image", "image_url": "data:x", "detail": "low"},
        {"type": "input_image", "image_url": "data:y"},
        {"type": "input_file", "file_data": "z"},
        own,
    ]


def test_calls_and_results_meet_by_call_id() -> None:
    """Text, calls and results are items of their own; arguments are JSON text, also wrong ones."""
    calls = [
        {"id": "c1", "name": "add", "arguments": {}},
        {"id": "c2", "name": "add", "arguments": {}, "malformed": "{oops"},
    ]
    history = [
        *ASK,
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "bad"}]},
    ]
    call = {"type": "function_call", "name": "add"}
    assert body(history)["input"][1:] == [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {**call, "call_id": "c1", "arguments": "{}"},
        {**call, "call_id": "c2", "arguments": '{"malformed": "{oops"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
        {"type": "function_call_output", "call_id": "c2", "output": "bad"},
    ]


def test_a_call_without_a_result_gets_one() -> None:
    """An interrupted turn leaves a call open, and the service refuses the conversation for it."""
    history = [*ASK, {"role": "assistant", "tool_calls": [{"id": "c1", "name": "add"}]}, *ASK]
    _, _, result, _ = body(history)["input"]
    assert (result["type"], result["call_id"]) == ("function_call_output", "c1")
    assert "not carried out" in result["output"]


def test_another_services_long_id_is_made_short_on_both_sides() -> None:
    """The service takes 64 characters."""
    history = [
        {"role": "assistant", "tool_calls": [{"id": "x" * 70, "name": "add"}]},
        {"role": "tool", "tool_call_id": "x" * 70, "content": "3"},
    ]
    call, result = body(history)["input"]
    assert call["call_id"] == result["call_id"]
    assert len(call["call_id"]) <= 64


# -- back and forth ----------------------------------------------------------------------------------------------


def test_thoughts_go_back_before_what_they_led_to() -> None:
    """Items keep their order and their ids; nulls and what requests do not take are left out."""
    thought = {**REASONING, "status": "completed", "content": []}
    items = returned(thought, {**said("Hm.", phase="commentary"), "x": None}, CALL, results=("c1",))
    assert items == [
        REASONING,
        said("Hm.", phase="commentary"),
        CALL,
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
    ]


def test_only_thoughts_that_can_be_read_without_a_store_go_back() -> None:
    """Encrypted, or in plain words as some servers send them; never as the last item."""
    plain = {"type": "reasoning", "id": "r", "content": [{"type": "reasoning_text", "text": "Hm"}]}
    hollow = {"type": "reasoning", "id": "r", "summary": []}
    assert returned(hollow, plain, said("4"), REASONING) == [{**plain, "summary": []}, said("4")]


def test_what_the_caller_changed_goes_back_changed() -> None:
    """The text and the calls of the message count, wherever they were in the answer."""
    changed = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "[cut]"}]}
    assert returned(REASONING, said("secret"), content="[cut]") == [REASONING, changed]
    assert returned(REASONING, said("secret"), content="") == []
    assert returned(REASONING, said("4"), CALL, tool_calls=[]) == [REASONING, said("4")]


def test_plain_answers_need_no_parts() -> None:
    """Text and calls alone say all of them."""
    assert read(said("4"), CALL).parts == ()
    refusal = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert returned(refusal) == [refusal]


def test_thoughts_are_dropped_for_another_model(service: Service) -> None:
    """It could not read them; neither could chat completions."""
    service.will_say(answered(REASONING, said("4")))
    first = gathering.provider("openai-compatible:gpt-5", base_url=service.url, api="responses")
    history = [*ASK, first.complete(ASK).message().to_dict(), *ASK]
    for model, kinds in (("gpt-5", ["reasoning", "message"]), ("gpt-6", ["message"])):
        other = gathering.provider(f"openai-compatible:{model}", base_url=service.url, api="responses")
        other.complete(history)
        items = service.received[-1].json["input"]
        assert [item.get("type") for item in items[1:-1]] == kinds
    chat = gathering.provider("openai-compatible:gpt-5", base_url=service.url)
    with pytest.raises(e.MalformedResponseError):
        chat.complete(history)
    assert service.received[-1].json["messages"][1] == {"role": "assistant", "content": "4"}


# -- in --------------------------------------------------------------------------------------------------------


def test_an_answer_is_read() -> None:
    """Text, thoughts, calls, tokens and the model's name; reasoning is counted in the output."""
    thought = {**REASONING, "summary": [{"type": "summary_text", "text": t} for t in ("One", "Two")]}
    got = read(thought, said("4"), CALL, {"type": "of the future"}, 7)
    assert (got.content, got.thinking, got.model) == ("4", "One\n\nTwo", "m-1")
    assert got.tool_calls == (ToolCall("c1", "add", {"a": 1}),)
    assert got.usage == Usage(9, 7, 4, 5)
    assert got.finish_reason == "tool_calls"


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens_details": None}, 3])
def test_unknown_tokens_are_none(usage: Any) -> None:
    """Not 0."""
    assert read(said("4"), usage=usage).usage == Usage()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "stop"),
        ({"status": None}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "other"),
        ({"status": "incomplete", "incomplete_details": None}, "other"),
        ({"status": "cancelled"}, "other"),
        ({"status": "of the future"}, "other"),
    ],
)
def test_why_it_ended(fields: Any, reason: str) -> None:
    """An answer that is cut off is an answer, and says so."""
    assert read(said("4"), **fields).finish_reason == reason


def test_a_refusal_is_no_text() -> None:
    """Nor an error."""
    got = read(said("", content=[{"type": "refusal", "refusal": "No."}]))
    assert (got.content, got.refusal, got.finish_reason) == ("", "No.", "refusal")


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "content": None},
        {"type": "message", "content": [None, {"type": "output_text", "text": None}, {"type": "new"}]},
        {"type": "reasoning", "summary": None, "content": "x"},
        {"type": ["odd"]},
    ],
)
def test_odd_items_say_nothing(item: Any) -> None:
    """What has no known form is passed over."""
    got = read(item, said("4"))
    assert (got.content, got.thinking) == ("4", "")


@pytest.mark.parametrize("arguments", [None, "", "{}", {}])
def test_a_call_may_have_no_arguments(arguments: Any) -> None:
    """And no id of its own: the item's is taken, or one is made."""
    (call,) = read({**CALL, "arguments": arguments}).tool_calls
    assert call == ToolCall("c1", "add")
    (call,) = read({**CALL, "call_id": None}).tool_calls
    assert call.id == "fc_1"
    (call,) = read({"type": "function_call", "name": "add", "arguments": [1]}).tool_calls
    assert call.id
    assert call.malformed == "[1]"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            {"status": "failed", "error": {"code": "server_error", "message": "boom"}},
            e.OverloadedError,
            "boom",
        ),
        (
            {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}},
            e.RateLimitError,
            "slow",
        ),
        (
            {"status": "failed", "error": {"code": "invalid_prompt", "message": "bad"}},
            e.BadRequestError,
            "bad",
        ),
        ({"status": "failed", "error": None}, e.ProviderError, "nothing says why"),
        ({"error": {"message": "no money", "code": "insufficient_quota"}}, e.QuotaError, "no money"),
        ({"error": "boom"}, e.ProviderError, "boom"),
        ({"type": "error", "code": ["odd"], "message": "boom"}, e.ProviderError, "boom"),
        ([{"error": {"message": "boom"}}], e.ProviderError, "boom"),
        ({"choices": []}, e.MalformedResponseError, "Responses API"),
        ([], e.MalformedResponseError, "Responses API"),
        (None, e.MalformedResponseError, "Responses API"),
    ],
)
def test_an_error_in_a_good_status_is_raised(answer: Any, kind: type[e.ProviderError], words: str) -> None:
    """With its type; what is no answer at all says so."""
    with pytest.raises(kind, match=words):
        parse_response(answer, "m")


def test_what_a_failed_answer_had_said_is_kept() -> None:
    """In the error's partial."""
    with pytest.raises(e.ProviderError) as caught:
        read(said("Hel"), status="failed", error={"code": "x", "message": "boom"})
    assert caught.value.partial == "Hel"


# -- the provider ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["openai", "openai-compatible"])
def test_the_format_is_chosen_by_api(name: str, service: Service) -> None:
    """``responses`` goes to its own path; chat completions is what is spoken otherwise."""
    service.will_say(answered(said("4")))
    options = {"base_url": service.url, "api_key": "sk-test"}
    provider = gathering.provider(f"{name}:gpt-5-mini", api="responses", reasoning_effort="low", **options)
    assert provider.complete(ASK, max_tokens=20).content == "4"
    request = service.received[-1]
    assert request.path == "/v1/responses"
    assert request.json["reasoning"] == {"effort": "low"}
    assert request.json["max_output_tokens"] == 20
    gathering.provider(f"{name}:m", **options).is_available()
    for api in ("chat", None):
        with pytest.raises(e.MalformedResponseError):
            gathering.provider(f"{name}:m", api=api, **options).complete(ASK)
        assert service.received[-1].path == "/v1/chat/completions"
    with pytest.raises(e.ConfigurationError, match="'chat' or api='responses'"):
        gathering.provider(f"{name}:m", api="messages", **options)


def test_it_lists_models_and_needs_no_key_to_be_made(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is the service's own."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    service.will_say({"object": "list", "data": [{"id": "gpt-5-mini"}]})
    provider = gathering.provider("openai:gpt-5-mini", api="responses", base_url=service.url)
    assert [m.name for m in provider.models()] == ["gpt-5-mini"]
    assert provider.is_available()
    assert service.received[-1].path == "/v1/models"
