"""Mistral: the chat-completions dialect with a strict server's own rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_service import Answer, Service, answer, chunk

import gathering

ASK = [{"role": "user", "content": "?"}]
TOOL = {"name": "f", "description": "F.", "parameters": {"type": "object", "properties": {}}}


def mistral(service: Service) -> Any:
    return gathering.provider("mistral:mistral-small-latest", base_url=service.url, max_retries=1)


def test_only_fields_it_knows_are_sent(service: Service) -> None:
    """A seed has another name, usage comes unasked, and a tool that must be called is ``any``."""
    service.will_stream(chunk("Hi"), chunk("", "stop"), "[DONE]")
    list(mistral(service).stream(ASK, [TOOL], seed=7, max_tokens=5, tool_choice="required"))
    body = service.received[0].json
    assert (body["random_seed"], body["max_tokens"], body["tool_choice"]) == (7, 5, "any")
    assert not {"seed", "stream_options", "max_completion_tokens"} & set(body)


def test_a_field_it_refuses_is_left_out_in_one_more_try(service: Service) -> None:
    """Its 422 names the field."""
    good = Answer([json.dumps(answer()).encode()])
    refused = b'{"detail":[{"type":"extra_forbidden","loc":["body","odd"],"msg":"no","input":1}]}'
    service.will(Answer([refused], 422, {"content-type": "application/json"}), good)
    with pytest.warns(UserWarning, match="odd=1"):
        assert mistral(service).complete(ASK, odd=1).content == "Hello!"
    assert "odd" not in service.received[1].json


def test_ids_have_nine_characters_in_call_and_result(service: Service) -> None:
    """The same ones in both, also those of another provider's history; right ones stay as they are."""
    calls = [{"id": i, "name": "f", "arguments": {}} for i in ("call_abc-1", "call_abc-2", "EscTeQY62")]
    results = [{"role": "tool", "content": "1", "tool_call_id": c["id"], "name": "f"} for c in calls]
    mistral(service).complete([*ASK, {"role": "assistant", "content": "", "tool_calls": calls}, *results])
    sent = service.received[0].json["messages"]
    asked = [c["id"] for c in sent[1]["tool_calls"]]
    assert asked == [m["tool_call_id"] for m in sent[2:]]
    assert len(set(asked)) == 3
    assert all(len(i) == 9 and i.isalnum() for i in asked)
    assert asked[2] == "EscTeQY62"
    assert sent[1]["content"] == ""


def test_thinking_comes_in_content_parts_and_goes_back_as_it_came(service: Service) -> None:
    """The last text stands in the chunk that ends the answer."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "12 * 12"}], "closed": True}
    part: dict[str, Any] = {"content": [thought, {"type": "text", "text": "1"}]}
    service.will_stream(chunk(""), chunk(**part), chunk("44", "stop"), "[DONE]", cut=1)
    stream = mistral(service).stream(ASK)
    assert "".join(stream) == "144"
    completion = stream.completion
    assert (completion.content, completion.thinking) == ("144", "12 * 12")
    again = [*ASK, completion.message().to_dict(), *ASK]
    service.will_stream(chunk("ok", "stop"), "[DONE]")
    list(mistral(service).stream(again))
    list(gathering.provider("groq:m", base_url=service.url).stream(again))  # type: ignore[call-overload]
    to_itself, to_another = (r.json["messages"][1]["content"] for r in service.received[1:])
    assert to_itself == [thought, {"type": "text", "text": "144"}]
    assert to_another == "144"
