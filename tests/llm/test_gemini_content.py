"""The Gemini dialect on the way out: contents, tools and parameters as the service takes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.messages import Message
from gathering.llm.gemini_answer import parse_response
from gathering.llm.gemini_content import build_request

TOOL = {
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {}},
    "examples": [],
}
USER = {"role": "user", "content": "1+1?"}


def request(
    messages: list[Any], tools: Any = None, model: str = "gemini-2.5-flash", **params: Any
) -> dict[str, Any]:
    return build_request(model, messages, tools, params)


def call(identity: str = "c1", name: str = "add", **arguments: Any) -> dict[str, Any]:
    return {"id": identity, "name": name, "arguments": arguments}


def asked(*calls: Any, content: str = "", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **more}


def result(content: str, identity: Any = "c1", name: Any = "add") -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": identity, "name": name}


def responses(*messages: Any) -> list[Any]:
    content = request([USER, *messages])["contents"][2]
    assert content["role"] == "user"
    return [part["functionResponse"] for part in content["parts"]]


def test_a_conversation_with_tools_goes_out_as_the_dialect_wants_it() -> None:
    """System apart, roles user and model, results as objects in one content."""
    sent = request(
        [{"role": "system", "content": "Be brief."}, USER, asked(call(a=1)), result("2")],
        [TOOL],
        tool_choice="add",
    )
    assert sent == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "1+1?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "add", "args": {"a": 1}}}]},
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "add", "response": {"result": "2"}}}],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "add", "description": "Adds.", "parametersJsonSchema": TOOL["parameters"]}
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["add"]}},
    }


def test_results_come_in_the_order_of_the_calls_each_answered() -> None:
    """A result that is missing is said to be missing; one content holds as many as there are calls."""
    calls = asked(call("c1", "f"), call("c2", "g"), call("c3", "f"))
    assert responses(calls, result("3", "c3", "f"), result("1", "c1", "f")) == [
        {"name": "f", "response": {"result": "1"}},
        {"name": "g", "response": {"error": "the tool was not run"}},
        {"name": "f", "response": {"result": "3"}},
    ]
    assert len(responses(calls)) == 3


def test_results_without_ids_are_matched_by_name_and_order() -> None:
    """Ids are missing on many servers and in many hand-written conversations."""
    calls = asked(call("a", "f"), call("b", "g"), call("c", "f"))
    given_back = responses(calls, result("1", None, "f"), result("2", None, "f"), result("3", "?", "g"))
    assert [r["response"]["result"] for r in given_back] == ["1", "3", "2"]


def test_a_result_without_its_call_becomes_text() -> None:
    """The service refuses results nobody asked for."""
    assert request([USER, result("2")])["contents"] == [
        {"role": "user", "parts": [{"text": "1+1?"}, {"text": "add gave: 2"}]}
    ]
    contents = request([USER, asked(call()), result("2"), result("9", "x", "old")])["contents"]
    assert len(contents[2]["parts"]) == 1
    assert contents[3] == {"role": "user", "parts": [{"text": "old gave: 9"}]}


@pytest.mark.parametrize(
    ("said", "response"),
    [
        ("2", {"result": "2"}),
        ("text", {"result": "text"}),
        ('{"a": 1}', {"a": 1}),
        ("[1, 2]", {"result": [1, 2]}),
        ('{"a": NaN}', {"result": '{"a": NaN}'}),
        ("Error: no", {"result": "Error: no"}),
        ("", {"result": ""}),
    ],
)
def test_a_result_is_an_object(said: str, response: Any) -> None:
    """Scalars and lists are wrapped, errors are named so, objects go as they are."""
    assert responses(asked(call()), result(said)) == [{"name": "add", "response": response}]
    failed = {**result("Error: no"), "is_error": True}
    assert responses(asked(call()), failed) == [{"name": "add", "response": {"error": "no"}}]


def test_messages_of_one_side_are_one_content() -> None:
    """But text never stands between a call and its result, nor in the content of results."""
    contents = request(
        [USER, USER, asked(content="Hm"), asked(call()), result("2"), {"role": "user", "content": "So?"}]
    )["contents"]
    assert [(c["role"], len(c["parts"])) for c in contents] == [
        ("user", 2),
        ("model", 2),
        ("user", 1),
        ("user", 1),
    ]


def test_an_empty_answer_is_no_content() -> None:
    """Parts must not be empty."""
    assert len(request([USER, {"role": "assistant", "content": ""}, USER])["contents"]) == 1


def test_images_go_as_data_or_by_address() -> None:
    """The chat form is read; the service's own form passes."""
    png = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    far = {"type": "image_url", "image_url": "https://example.org/a.png"}
    own = {"inlineData": {"mimeType": "application/pdf", "data": "BBBB"}}
    message = {"role": "user", "content": ["See", {"type": "text", "text": "this"}, png, far, own]}
    assert request([message])["contents"][0]["parts"] == [
        {"text": "See"},
        {"text": "this"},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"fileUri": "https://example.org/a.png", "mimeType": "image/png"}},
        own,
    ]


SHOWN = [{"media_type": "image/png", "data": "AAAA"}, {"url": "https://example.org/a?b=c"}]
IMAGES = [
    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
    {"fileData": {"fileUri": "https://example.org/a?b=c"}},
]


def test_the_images_of_a_message_come_before_its_text() -> None:
    """A question may be nothing but an image."""
    parts = request([{**USER, "images": SHOWN}])["contents"][0]["parts"]
    assert parts == [*IMAGES, {"text": "1+1?"}]
    assert request([{"role": "user", "content": "", "images": SHOWN}])["contents"][0]["parts"] == IMAGES


def test_the_images_of_a_tool_follow_its_result() -> None:
    """In a content of their own, because results stand alone in theirs."""
    drawn = {**result("A plot."), "images": SHOWN}
    contents = request([USER, asked(call()), drawn, USER])["contents"]
    assert [p["functionResponse"]["response"] for p in contents[2]["parts"]] == [{"result": "A plot."}]
    assert contents[3]["parts"] == [*IMAGES, {"text": "1+1?"}]
    assert request([drawn])["contents"][0]["parts"] == [{"text": "add gave: A plot."}, *IMAGES]


def answered(*parts: Any) -> dict[str, Any]:
    body = {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "finishReason": "STOP"}]}
    return parse_response(body).message().to_dict()


def test_signatures_go_back_on_their_parts() -> None:
    """Verbatim, with the service's ids on calls and results, and no id where it gave none."""
    parts = [
        {"text": "Hm", "thought": True, "thoughtSignature": "s0"},
        {"functionCall": {"name": "f", "args": {"x": 1}, "id": "own"}, "thoughtSignature": "s1"},
        {"functionCall": {"name": "f", "args": {}}},
    ]
    message = answered(*parts)
    ids = [c["id"] for c in message["tool_calls"]]
    assert ids[0] == "own"
    assert ids[1]
    contents = request([USER, message, result("b", ids[1], "f"), result("a", "own", "f")])["contents"]
    assert contents[1] == {"role": "model", "parts": parts}
    assert [p["functionResponse"] for p in contents[2]["parts"]] == [
        {"id": "own", "name": "f", "response": {"result": "a"}},
        {"name": "f", "response": {"result": "b"}},
    ]


def test_a_signature_on_an_empty_text_goes_back() -> None:
    """It closes an answer without calls."""
    parts = [{"text": "4"}, {"text": "", "thoughtSignature": "s"}]
    message = answered({"text": "Hm", "thought": True}, *parts)
    assert request([USER, message])["contents"][1]["parts"] == parts


def test_plain_text_needs_no_parts() -> None:
    """Thoughts without a signature are not sent again."""
    message = answered({"text": "Hm", "thought": True}, {"text": "4"})
    assert "parts" not in message
    assert request([USER, message])["contents"][1]["parts"] == [{"text": "4"}]


def test_parts_of_another_service_or_of_an_edited_message_are_dropped() -> None:
    """What the message says now counts; newer models get a stand-in for the signature they demand."""
    message = answered({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s"})
    elsewhere = {**message, "parts": [{**message["parts"][0], "origin": "another"}]}
    edited = {**message, "content": "Let me see."}
    for changed in (elsewhere, edited):
        assert '"s"' not in repr(request([USER, changed])["contents"]).replace("'", '"')
    (part,) = request([USER, elsewhere], model="models/gemini-3.5-flash")["contents"][1]["parts"]
    assert part["thoughtSignature"] == "skip_thought_signature_validator"
    (part,) = request([USER, elsewhere])["contents"][1]["parts"]
    assert part == {"functionCall": {"name": "f", "args": {}}}


def test_malformed_arguments_go_back_as_an_object() -> None:
    """The service takes nothing else."""
    sent = request([USER, asked({**call(), "malformed": '{"a": '})])
    assert sent["contents"][1]["parts"][0]["functionCall"]["args"] == {"malformed": '{"a": '}


ROLES = st.sampled_from(["user", "assistant", "tool", "system"])
CALLS = st.lists(st.builds(call, st.sampled_from("abc"), st.sampled_from("fg")), max_size=3)


@given(
    st.lists(
        st.builds(
            lambda role, text, calls, identity: (
                asked(*calls, content=text)
                if role == "assistant"
                else result(text, identity, "f")
                if role == "tool"
                else {"role": role, "content": text}
            ),
            ROLES,
            st.text(max_size=3),
            CALLS,
            st.sampled_from(["a", "b", None]),
        ),
        max_size=8,
    )
)
def test_every_conversation_goes_out_in_order(messages: list[Any]) -> None:
    """Results follow their calls at once, as many as calls, and no content is empty."""
    contents = request(messages)["contents"]
    for content, following in zip(contents, [*contents[1:], None], strict=False):
        assert content["parts"]
        calls = [p["functionCall"]["name"] for p in content["parts"] if "functionCall" in p]
        if calls:
            assert following is not None
            assert [p["functionResponse"]["name"] for p in following["parts"]] == calls


@given(st.text(max_size=30))
def test_text_survives_the_way_out(text: str) -> None:
    """What a message says is what is sent."""
    assert request([Message("user", text).to_dict()])["contents"][0]["parts"] == [{"text": text}]
