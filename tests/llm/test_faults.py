"""Refused and broken answers: every shape of body, the error it is, whether to try again and when."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core import errors as e
from gathering.llm.faults import error_in_body, fault_of_answer, fault_of_error


def fault(status: int, body: Any, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fault_of_answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw)


def openai(message: str = "m", **fields: Any) -> dict[str, Any]:
    return {
        "error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}
    }


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, openai("Bad stop.", code="unsupported_parameter", param="stop"), "Bad stop"),
        (404, {"type": "error", "error": {"type": "not_found_error", "message": "no such"}}, "no such"),
        (401, {"detail": "Invalid API Key"}, "Invalid API Key"),
        (429, {"object": "error", "message": "slow", "type": "rate_limited", "code": "1300"}, "slow"),
        (
            422,
            {"object": "error", "message": {"detail": [{"loc": ["body", "x"], "msg": "extra"}]}},
            "body.x: extra",
        ),
        (
            422,
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "store"], "msg": "no"}]},
            "body.store: no",
        ),
        (400, {"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}, "bad"),
        (400, [{"error": {"code": 400, "message": "in a list"}}], "in a list"),
        (404, {"error": "model 'x' not found"}, "model 'x' not found"),
        (
            429,
            {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "up"}}},
            "(up)",
        ),
        (400, {"code": "invalid-argument", "error": "odd"}, "odd"),
        (500, {"error": {"message": None, "type": "None", "code": None}}, "said nothing"),
        (502, b"<html><head><title>502 Bad Gateway</title></head></html>", "502 Bad Gateway"),
        (500, b"plain words", "plain words"),
        (500, b"", "said nothing"),
        (500, b"\xff\xfe", "answered 500"),
        (500, b"7", "answered 500"),
    ],
)
def test_every_shape_of_body_is_read(status: int, body: Any, words: str) -> None:
    """The server's own words are in the message, in one line, with the next step."""
    error = fault(status, body).error
    assert words in str(error)
    assert "Next: " in str(error)
    assert "\n" not in str(error)
    assert error.status == status


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry"),
    [
        (400, openai(), e.BadRequestError, False),
        (401, openai(), e.AuthenticationError, False),
        (400, openai("API key not valid. Please pass a valid API key."), e.AuthenticationError, False),
        (
            400,
            {"code": "invalid-argument", "error": "Incorrect API key provided."},
            e.AuthenticationError,
            False,
        ),
        (402, openai("Insufficient Balance"), e.QuotaError, False),
        (403, openai("no access"), e.PermissionDeniedError, False),
        (403, openai("flagged by moderation"), e.ContentFilterError, False),
        (400, openai(code="content_filter"), e.ContentFilterError, False),
        (404, openai(code="model_not_found"), e.ModelNotFoundError, False),
        (400, openai("The requested model 'x' does not exist."), e.ModelNotFoundError, False),
        (400, openai(code="context_length_exceeded"), e.ContextOverflowError, False),
        (400, openai("prompt is too long: 5 tokens > 4 maximum"), e.ContextOverflowError, False),
        (400, openai("This model's maximum context length is 5 tokens."), e.ContextOverflowError, False),
        (400, openai("prompt too long; exceeded max context length by 5"), e.ContextOverflowError, False),
        (400, openai(type="exceed_context_size_error"), e.ContextOverflowError, False),
        (400, openai("The input token count (9) exceeds the maximum"), e.ContextOverflowError, False),
        (
            400,
            openai("Prompt contains 9 tokens, too large for model with 5 maximum"),
            e.ContextOverflowError,
            False,
        ),
        (408, openai(), e.ProviderTimeoutError, True),
        (409, openai(), e.OverloadedError, True),
        (413, openai("Request too large: tokens per minute"), e.RateLimitError, False),
        (422, openai(), e.BadRequestError, False),
        (429, openai(), e.RateLimitError, True),
        (429, openai("TPM: Limit 30000, Used 29000, Requested 1200."), e.RateLimitError, True),
        (429, openai("TPM: Limit 30000, Requested 35000."), e.RateLimitError, False),
        (429, openai(code="insufficient_quota"), e.QuotaError, False),
        (429, {"error": {"details": [{"violations": [{"quotaId": "RequestsPerDay"}]}]}}, e.QuotaError, False),
        (498, openai(), e.OverloadedError, True),
        (500, openai(), e.OverloadedError, True),
        (501, openai(), e.BadRequestError, False),
        (503, openai(), e.OverloadedError, True),
        (529, openai(), e.OverloadedError, True),
        (400, openai(code="tool_use_failed"), e.BadRequestError, True),
    ],
)
def test_which_error_it_is_and_whether_to_try_again(
    status: int, body: Any, kind: type[Any], retry: bool
) -> None:
    """Quota is not rate, overflow is not just a bad request, and only what may pass is sent again."""
    found = fault(status, body)
    assert type(found.error) is kind
    assert found.retry is retry


def test_the_server_may_say_whether_to_retry() -> None:
    """x-should-retry overrules the status."""
    assert not fault(500, openai(), x_should_retry="false").retry
    assert fault(400, openai(), x_should_retry="true").retry


def test_a_wait_in_the_body_counts() -> None:
    """Gemini says it there."""
    assert fault(429, {"error": {"details": [{"retryDelay": "48.9s"}]}}).error.retry_after == 48.9


def test_a_redirect_says_what_to_do() -> None:
    """It is not followed: the key would go with it."""
    found = fault(302, b"", location="https://elsewhere/")
    assert isinstance(found.error, e.MalformedResponseError)
    assert "base_url" in str(found.error)
    assert not found.retry


def test_the_request_id_is_kept() -> None:
    """A service can find the request by it."""
    assert fault(500, openai(), x_request_id="req_7").error.request_id == "req_7"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (openai(code="unsupported_parameter", param="stop"), "stop"),
        (openai(code="unsupported_value", param="temperature"), "temperature"),
        (openai(code="unsupported_value", param="messages[0].role"), ""),
        (
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": ""}]},
            "stream_options",
        ),
        (openai(param="stop"), ""),
    ],
)
def test_the_field_that_must_go(body: Any, field: str) -> None:
    """Only an optional field the server names as unknown may be left out."""
    assert fault(400, body).drop == field


def test_errors_in_a_good_answer() -> None:
    """A body without an error has none; one with a status of its own may be retried by it."""
    assert error_in_body({"choices": []}) is None
    assert error_in_body({"error": None}) is None
    error = error_in_body({"error": {"code": 503, "message": "busy"}})
    assert isinstance(error, e.OverloadedError)
    assert fault_of_error(error).retry
    assert not fault_of_error(e.IncompleteStreamError("cut")).retry


@given(st.integers(400, 599), st.binary(max_size=60))
def test_no_body_breaks_the_reading(status: int, body: bytes) -> None:
    """Whatever a gateway sends, there is a typed error of one line."""
    assert "\n" not in str(fault_of_answer(status, {}, body).error)


@pytest.mark.parametrize("field", ["input[0].content", "messages[1]", "contents", "system", "instructions"])
def test_the_question_itself_is_never_left_out(field: str) -> None:
    """A retry without it would ask something else."""
    body = {"error": {"message": "not supported", "code": "unsupported_value", "param": field}}
    assert fault(400, body).drop == ""
