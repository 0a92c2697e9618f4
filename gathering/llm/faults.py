"""What a refused or broken answer means: error bodies of every shape, read once and made typed errors. No I/O.

Owns which error it is, whether sending the same again can help, how long to wait, and the next step for a person.
The messages made here do not say yet which provider and model they are about, and may echo what the server wrote:
``gathering.llm.http`` puts the name in and takes keys out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gathering.core.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextOverflowError,
    MalformedResponseError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    ProviderTimeoutError,
    QuotaError,
    RateLimitError,
)
from gathering.llm.waits import wait_in_headers, wait_in_text

__all__ = [
    "Fault",
    "ServerError",
    "error_in_body",
    "fault_of_answer",
    "fault_of_error",
    "read_error",
    "request_id",
]


@dataclass(frozen=True, slots=True)
class ServerError:
    """What a server said went wrong, whichever shape it said it in. ``wait`` is in seconds."""

    message: str = ""
    code: str = ""
    type: str = ""
    param: str = ""
    status: int | None = None
    wait: float | None = None
    everything: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error, whether the same request may be sent again, and the request's field that must go first, if one must."""

    error: ProviderError
    retry: bool = False
    drop: str = ""


def fault_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """The fault in an answer that is not a 2xx."""
    if 300 <= status < 400:
        error: ProviderError = MalformedResponseError(
            f"answered {status}, a redirect, which is not followed because the key would go with it: "
            "put the address it moved to into base_url",
            status=status,
        )
        return Fault(error)
    said = read_error(_decoded(body))
    error = _typed(said, status)
    error.request_id = request_id(headers)
    waits = wait_in_headers(headers)
    error.retry_after = said.wait if waits is None else waits
    told = headers.get("x-should-retry", "").lower()
    retry = told == "true" or (told != "false" and _may_help(error, status, said))
    return Fault(error, retry, _field_to_drop(said, status))


def fault_of_error(error: ProviderError) -> Fault:
    """The fault of an error that came inside a stream or a 200; sending again helps if its status or its kind says so."""
    passes = error.status in (429, 498, 500, 502, 503, 504, 529) or isinstance(error, OverloadedError)
    return Fault(error, passes and not _is_final(error))


def error_in_body(body: Any) -> ProviderError | None:
    """The typed error in a body or chunk that came with status 200, None if there is none."""
    if isinstance(body, list):
        body = next((item for item in body if isinstance(item, dict)), {})
    if not isinstance(body, dict) or not (body.get("error") or body.get("object") == "error"):
        return None
    said = read_error(body)
    error = _typed(said, said.status)
    error.retry_after = said.wait
    return error


def request_id(headers: Mapping[str, str]) -> str | None:
    """The id under which the service knows the request."""
    names = (
        "x-request-id",
        "request-id",
        "mistral-correlation-id",
        "x-ds-trace-id",
        "x-generation-id",
        "apim-request-id",
    )
    return next((headers[name] for name in names if headers.get(name)), None)


# -- reading -----------------------------------------------------------------------------------------------------


def read_error(body: Any) -> ServerError:
    """What the server said, out of any of the shapes in which servers say it (JSON value or text)."""
    if isinstance(body, list):
        body = next((item for item in body if isinstance(item, Mapping)), {})
    if not isinstance(body, Mapping):
        text = str(body or "")
        return ServerError(message=_page_text(text), wait=wait_in_text(text), everything=text)
    inner = body.get("error")
    source: Mapping[str, Any] = inner if isinstance(inner, Mapping) else body
    message = _text(source.get("message")) or _text(source.get("detail"))
    if isinstance(inner, str):
        message = inner
    meta = source.get("metadata")
    upstream = _text(meta.get("raw")) if isinstance(meta, Mapping) else ""
    everything = json.dumps(body, default=str)
    return ServerError(
        message=f"{message} ({upstream})" if upstream and message else message or upstream,
        code=_word(source.get("code")),
        type=_word(source.get("type")) or _word(source.get("status")),
        param=_word(source.get("param")) or _extra_field(source),
        status=_status(source),
        wait=wait_in_text(everything),
        everything=everything,
    )


def _decoded(body: bytes) -> Any:
    text = body.decode("utf-8", "replace").strip()
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    """The words of a message, which may be a string, an object or a list of complaints."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _text(value.get("message") or value.get("detail") or value.get("msg"))
    if isinstance(value, list):
        return "; ".join(filter(None, (_complaint(v) for v in value)))
    return ""


def _complaint(value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("loc"), list):
        return f"{'.'.join(str(part) for part in value['loc'])}: {value.get('msg', '')}"
    return _text(value)


def _word(value: Any) -> str:
    return "" if value is None or value == "None" else str(value) if isinstance(value, str | int) else ""


def _status(source: Mapping[str, Any]) -> int | None:
    for name in ("status_code", "raw_status_code", "code", "status"):
        value = source.get(name)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return None


def _extra_field(source: Mapping[str, Any]) -> str:
    """The field a strict server complains about: ``{"type": "extra_forbidden", "loc": ["body", "store"]}``."""
    found = re.search(
        r'"type": "extra_forbidden", "loc": \["body", "(\w+)"\]', json.dumps(source, default=str)
    )
    return found.group(1) if found else ""


def _page_text(text: str) -> str:
    """The title of an HTML page, or the text itself."""
    if not text.lstrip().startswith("<"):
        return text
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return f"an HTML page: {title.group(1).strip()}" if title else "an HTML page"


# -- classifying -------------------------------------------------------------------------------------------------

_OVERFLOW = re.compile(
    r"context_length_exceeded|exceed_context_size|prompt is too long|prompt too long|maximum context length"
    r"|max context length|input token count.{0,40}exceeds|too large for model with|context window|exceeds? the context",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient[_ ]quota|insufficient[_ ]balance|insufficient[_ ]credit|credit balance|billing_error"
    r"|billing_hard_limit|out of credits|PerDay|payment required",
    re.IGNORECASE,
)
#: How Anthropic says it under 400, where other words of the request may stand in the message.
_NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)
#: How Anthropic says that a model has lost a parameter.
_DEPRECATED = re.compile(r"^`?(\w+)`? is deprecated for this model")
_KEY = re.compile(
    r"invalid[_ ]api[_ ]key|incorrect api key|api[_ ]key[_ ](?:not valid|invalid)|no api key|authentication_error",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[_ ]filter|content_policy|ResponsibleAIPolicy|moderation|flagged", re.IGNORECASE
)
_NO_MODEL = re.compile(
    r"model_not_found|model.{0,80}(?:does not exist|not found)|unknown model", re.IGNORECASE
)
#: How OpenAI and Groq say which limit a request met.
_TOO_LARGE = re.compile(r"\bLimit:? (\d+)\b.{0,40}?\bRequested:? (\d+)\b")
_BUSY = re.compile(r"overloaded|unavailable|server_error|internal_error|capacity|timed? ?out", re.IGNORECASE)

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationError,
    402: QuotaError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    408: ProviderTimeoutError,
    409: OverloadedError,
    429: RateLimitError,
    498: OverloadedError,
}
_NEXT: Mapping[type[ProviderError], str] = {
    AuthenticationError: "check the key",
    QuotaError: "add credit or raise the limit in the account, waiting does not help",
    PermissionDeniedError: "the key may not do this, see the account's permissions, region and plan",
    ModelNotFoundError: "check the model's name (the provider's models() gives them) and base_url",
    ContextOverflowError: "shorten the messages, or take a model with a longer context",
    ContentFilterError: "change the wording, the provider's filter stopped it",
    RateLimitError: "wait and try again, or send fewer requests at once",
    OverloadedError: "the service has trouble, try again later",
    ProviderTimeoutError: "the service gave up waiting, try again later",
    BadRequestError: "correct the request",
    ProviderError: "try again, and tell the service if it stays so",
}


def _typed(said: ServerError, status: int | None) -> ProviderError:
    kind = _kind(said, status)
    what = " ".join(said.message.split())[:400] or "said nothing about it"
    head = f"answered {status}" if status is not None else "broke off with an error"
    code = f" [{said.code}]" if said.code and said.code != str(status) and said.code not in what else ""
    return kind(f"{head}{code}: {what.rstrip('.')}. Next: {_NEXT[kind]}", status=status)


def _kind(said: ServerError, status: int | None) -> type[ProviderError]:
    words = f"{said.code} {said.type} {said.message}"
    client_error = status is None or status < 500
    if client_error and status != 429 and _OVERFLOW.search(words) and "per minute" not in words:
        return ContextOverflowError
    if status in (None, 402, 403, 429) and _QUOTA.search(said.everything if status else words):
        return QuotaError
    if status == 400 and _NO_CREDIT.search(words):
        return QuotaError
    if status in (None, 400, 401, 403) and _KEY.search(words):
        return AuthenticationError
    if status in (None, 400, 403) and _FILTER.search(words):
        return ContentFilterError
    if status in (None, 400, 404) and _NO_MODEL.search(words):
        return ModelNotFoundError
    if status == 413 and "per minute" in words:
        return RateLimitError
    return _by_status(status, words)


def _by_status(status: int | None, words: str) -> type[ProviderError]:
    if status is None:
        return OverloadedError if _BUSY.search(words) else ProviderError
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return OverloadedError if status >= 500 and status != 501 else BadRequestError


def _may_help(error: ProviderError, status: int, said: ServerError) -> bool:
    """Whether the same request may succeed when sent again."""
    if said.code == "tool_use_failed":  # the generation was bad, not the request
        return True
    if (asked := _TOO_LARGE.search(said.message)) is not None and int(asked[2]) > int(asked[1]):
        return False  # it would not fit into an empty minute either
    return (status in (408, 409, 429, 498) or status >= 500) and status != 501 and not _is_final(error)


def _is_final(error: ProviderError) -> bool:
    return isinstance(error, QuotaError | ContextOverflowError | AuthenticationError | ContentFilterError)


#: Fields that are the question itself, in one dialect or another: without them another one would be asked.
_THE_QUESTION = (
    "model",
    "messages",
    "tools",
    "input",
    "instructions",
    "contents",
    "system",
    "systemInstruction",
)


def _field_to_drop(said: ServerError, status: int) -> str:
    """The optional field the model or server does not take, to be left out in one more try."""
    unsupported = (
        said.code in ("unsupported_parameter", "unsupported_value") or "extra_forbidden" in said.everything
    )
    field = re.split(r"\W", said.param)[0]
    if (lost := _DEPRECATED.match(said.message)) is not None:
        unsupported, field = True, lost[1]
    return field if unsupported and status in (400, 422) and field not in _THE_QUESTION else ""
