"""What a turn may ask of chat completions beside text, in each server's own way: images, forms, probabilities, turns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from fake_service import Service, answer, chunk
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.core.events import Done, TextDelta, ThinkingDelta
from gathering.core.messages import Completion
from gathering.llm.hosts import HOSTS
from gathering.llm.openai_answer import parse_response
from gathering.llm.openai_chat import ChatStyle, build_request
from gathering.llm.openai_stream import ChatStream
from gathering.llm.schemas import strict_schema

ASK = [{"role": "user", "content": "?"}]
PIXEL = {"media_type": "image/png", "data": "iVBORw0KGgo="}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 3}},
    "required": ["name"],
}
TAGS = ChatStyle(think_tags=True)


def request(messages: Any = ASK, style: ChatStyle = ChatStyle(), **params: Any) -> dict[str, Any]:  # noqa: B008
    return build_request("m", messages, None, params, stream=False, style=style)


def streamed(*chunks: Any, style: ChatStyle = TAGS) -> tuple[str, str, Completion]:
    """Text and thinking as they were given out, and the completion."""
    reader = ChatStream("m", style)
    body = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n"
    events = [*reader.feed(body.encode()), *reader.finish()]
    done = events[-1]
    assert isinstance(done, Done)
    text = "".join(e.text for e in events if isinstance(e, TextDelta))
    return text, "".join(e.text for e in events if isinstance(e, ThinkingDelta)), done.completion


# -- images --------------------------------------------------------------------------------------------------------


def test_images_stand_behind_the_text() -> None:
    """As an address where there is one, as data otherwise; alone where nothing is said."""
    there = {"role": "user", "content": "?", "images": [PIXEL, {"url": "https://h/a.png"}]}
    address = {"type": "image_url", "image_url": {"url": "https://h/a.png"}}
    assert request([there])["messages"][0]["content"] == [{"type": "text", "text": "?"}, SHOWN, address]
    silent = {"role": "user", "content": "", "images": [PIXEL]}
    assert request([silent])["messages"][0]["content"] == [SHOWN]


def test_an_image_a_tool_gave_is_shown_behind_all_results() -> None:
    """In a message of the user: a tool's own message can hold none."""
    calls = [{"id": i, "name": "f", "arguments": {}} for i in "ab"]
    results = [{"role": "tool", "content": "1", "tool_call_id": i, "images": [PIXEL]} for i in "ab"]
    for last in ([], ASK):
        sent = request([*ASK, {"role": "assistant", "content": "", "tool_calls": calls}, *results, *last])
        roles = [m["role"] for m in sent["messages"]]
        assert roles == ["user", "assistant", "tool", "tool", "user", *("user" for _ in last)]
        assert sent["messages"][4]["content"] == [SHOWN, SHOWN]


def test_a_server_that_takes_no_images_is_sent_none(service: Service) -> None:
    """The text goes, and the loss is said."""
    made = gathering.provider("deepseek:m", base_url=service.url)
    assert not made.takes_images
    with pytest.warns(UserWarning, match="deepseek does not take images=1"):
        made.complete([{"role": "user", "content": "?", "images": [PIXEL]}])
    assert service.received[0].json["messages"] == ASK


# -- the form of an answer -----------------------------------------------------------------------------------------


def test_a_form_goes_out_strict_where_the_server_wants_it_so() -> None:
    """And as it is where any schema will do; an open one never strict."""
    strict = ChatStyle(structured="strict")
    sent = request(style=strict, output={"name": "Person", "schema": PERSON})["response_format"]
    properties = {"name": {"type": "string"}, "age": {"type": "integer"}}
    closed = {
        "type": "object",
        "properties": properties,
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    form = {"name": "Person", "schema": closed, "strict": True}
    assert sent == {"type": "json_schema", "json_schema": form}
    open_one = {"name": "Any", "schema": {"type": "object"}}
    assert request(style=strict, output=open_one)["response_format"]["json_schema"] == {
        **open_one,
        "strict": False,
    }
    loose = request(style=ChatStyle(structured="any"), output={"schema": PERSON})["response_format"]
    assert loose["json_schema"] == {"name": "answer", "schema": PERSON}


def test_a_server_without_forms_is_told_in_words(service: Service) -> None:
    """The provider says so; given the parameter all the same, it warns."""
    made = gathering.provider("groq:m", base_url=service.url)
    assert made.structured_output == "prompted"
    assert gathering.provider("xai:m").structured_output == "native"
    assert gathering.provider("openai:gpt-5-mini").structured_output == "native"
    assert gathering.provider("openai:gpt-4-0613").structured_output == "prompted"
    with pytest.warns(UserWarning, match="groq does not take output="):
        made.complete(ASK, output={"name": "Person", "schema": PERSON})
    assert "response_format" not in service.received[0].json


def test_an_agent_gets_an_object_back(service: Service) -> None:
    """The form is sent to the service, the value read from the text, and who brought it about is said."""
    service.will_stream(chunk('{"name": "Ada", '), chunk('"age": 36}', "stop"), "[DONE]")
    model = gathering.provider("openai:gpt-5-mini", base_url=service.url, api_key="k" * 20)
    reply = gathering.Agent("ada", llm_provider=model).ask("Who?", output=PERSON)
    assert reply.output == {"name": "Ada", "age": 36}
    assert service.received[0].json["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": True}, "required": ["a"]},
        {"oneOf": [{"type": "string"}]},
        {"anyOf": [{"type": "object"}]},
        {"type": "array", "items": {"type": "object"}},
        {"$defs": {"A": {"not": {}}}, "$ref": "#/$defs/A"},
    ],
)
def test_a_schema_that_would_mean_something_else_is_not_made_strict(schema: dict[str, Any]) -> None:
    """Open mappings, properties that may be left out, and keywords the strict form has not."""
    assert strict_schema(schema) is None


def test_a_strict_schema_is_closed_at_each_level() -> None:
    """Also behind references, which stand alone, and in lists and choices."""
    inner = {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}, "required": ["n"]}
    schema = {
        "type": "object",
        "$defs": {"In": inner},
        "properties": {
            "one": {"$ref": "#/$defs/In", "description": "One."},
            "many": {"type": "array", "items": inner, "minItems": 1},
            "some": {"anyOf": [inner, {"type": "null"}], "default": None},
        },
        "required": ["one", "many"],
    }
    closed = {**inner, "additionalProperties": False}
    assert strict_schema(schema) == {
        "type": "object",
        "$defs": {"In": closed},
        "properties": {
            "one": {"$ref": "#/$defs/In"},
            "many": {"type": "array", "items": closed, "minItems": 1},
            "some": {"anyOf": [closed, {"type": "null"}]},
        },
        "required": ["one", "many", "some"],
        "additionalProperties": False,
    }


# -- probabilities and other options -------------------------------------------------------------------------------


def test_probabilities_are_asked_for_and_read() -> None:
    """As a switch or with a number of alternatives; the same ones whole and streamed."""
    assert {**request(logprobs=True), **request(logprobs=False)} == {**request(), "logprobs": True}
    assert request(logprobs=2)["top_logprobs"] == 2
    said = {
        "content": [
            {"token": "Hi", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "Ho", "logprob": -1}]}
        ]
    }
    expected = ({"token": "Hi", "logprob": -0.5, "top": [{"token": "Ho", "logprob": -1}]},)
    choice = {"message": {"content": "Hi"}, "finish_reason": "stop", "logprobs": said}
    assert parse_response({"choices": [choice]}).logprobs == expected
    first = chunk("Hi")
    first["choices"][0]["logprobs"] = said
    assert streamed(first, chunk(finish="stop"))[2].logprobs == expected


def test_options_that_need_no_word_here_are_silent() -> None:
    """A prompt's beginning is remembered by the services themselves."""
    assert request(prompt_cache="1h") == request()


def test_a_call_without_a_result_is_answered() -> None:
    """The services refuse it otherwise; an interrupted turn leaves one."""
    calls = [{"id": i, "name": "f", "arguments": {}} for i in "ab"]
    spoken = {"role": "assistant", "content": "", "tool_calls": calls}
    sent = request([*ASK, spoken, {"role": "tool", "content": "1", "tool_call_id": "b"}, *ASK])["messages"]
    assert [(m["role"], m.get("tool_call_id")) for m in sent[2:4]] == [("tool", "a"), ("tool", "b")]
    assert "not carried out" in sent[2]["content"]


# -- thinking in the text ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 60), max_size=6))
def test_thinking_in_the_text_is_told_apart_over_any_cut(cuts: list[int]) -> None:
    """What is shown as text and as thinking is what the whole answer has."""
    said = "<think>\nSay <b>?\n</think>\n\nHi <there>"
    cuts = sorted(c for c in cuts if c <= len(said))
    pieces = [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)]
    text, thinking, completion = streamed(*(chunk(p) for p in pieces), chunk(finish="stop"))
    whole = parse_response(answer(said), style=TAGS)
    assert (text, thinking) == ("Hi <there>", "Say <b>?\n")
    assert (completion.content, completion.thinking) == (whole.content, whole.thinking) == (text, thinking)


def test_thinking_without_its_first_mark_is_known_at_its_end() -> None:
    """It was shown as text, and is thinking in the completion."""
    text, _, completion = streamed(chunk("Hm.\n"), chunk("</thi"), chunk("nk>\n\nHi"), chunk(finish="stop"))
    assert text == "Hm.\nHi"
    assert (completion.content, completion.thinking) == ("Hi", "Hm.\n")


def test_text_held_back_comes_at_the_end() -> None:
    """The beginning of a mark that never came is text."""
    assert streamed(chunk("<thi"), chunk(finish="stop"))[0] == "<thi"
    text, _, completion = streamed(chunk("1\n</"), chunk(finish="stop"))
    assert text == completion.content == "1\n</"
    assert streamed(chunk("<think>x"), chunk(finish="length"))[1:][0] == "x"


def test_other_servers_may_write_about_the_marks() -> None:
    """Their own fields carry the thinking."""
    text, thinking, _ = streamed(chunk("<think>a</think>"), chunk(finish="stop"), style=ChatStyle())
    assert (text, thinking) == ("<think>a</think>", "")
    for name in ("deepseek", "mistral", "xai"):
        assert not HOSTS[name].style.think_tags


# -- turns ---------------------------------------------------------------------------------------------------------


def test_where_turns_must_alternate_neighbours_are_joined() -> None:
    """Also what tools said in another provider's history, and images."""
    calls = [{"id": "a", "name": "f", "arguments": {}}]
    history = [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "1"},
        {"role": "user", "content": "2", "images": [PIXEL]},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "3", "tool_call_id": "a"},
        {"role": "assistant", "content": "4"},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "6"},
    ]
    sent = request(history, replace(HOSTS["perplexity"].style, origin="perplexity"))["messages"]
    texts = [{"type": "text", "text": t} for t in "123"]
    assert sent == [
        {"role": "system", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": [texts[0], texts[1], SHOWN, texts[2]]},
        {"role": "assistant", "content": "4\n\n5"},
        {"role": "user", "content": "6"},
    ]


def test_citations_stay_with_the_message(service: Service) -> None:
    """Whole and streamed; they do not go back."""
    cited = {"citations": ["https://h"], "search_results": []}
    made = gathering.provider("perplexity:sonar", base_url=service.url)
    service.will_say({**answer("4"), **cited})
    whole = made.complete(ASK)
    service.will_stream({**chunk("4"), **cited}, chunk(finish="stop"), "[DONE]")
    stream: Any = made.stream(ASK)
    assert "".join(stream) == "4"
    for completion in (whole, stream.completion):
        (part,) = completion.parts  # type: ignore[union-attr]
        assert (part["type"], part["value"]) == ("citations", ["https://h"])
        assert completion.raw["citations"] == ["https://h"]  # type: ignore[union-attr]
    made.complete([*ASK, stream.completion.message().to_dict(), *ASK])
    assert service.received[-1].json["messages"][1] == {"role": "assistant", "content": "4"}


def test_what_stands_in_one_chunk_only_is_kept_raw() -> None:
    """Such as what a filter found in the prompt, before the first word."""
    _, _, completion = streamed(
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}, chunk("Hi"), chunk(finish="stop")
    )
    assert completion.raw["prompt_filter_results"] == [{"prompt_index": 0}]
