"""Models at Azure: each form of the address, the key's header, and what the formats take."""

from __future__ import annotations

from typing import Any

import pytest
from fake_service import Service, answer, chunk

import gathering
from gathering.core.errors import ConfigurationError, ContentFilterError, RateLimitError

ASK = [{"role": "user", "content": "?"}]
KEY = "0123456789abcdef0123456789abcdef"
OUTPUT = {"name": "N", "schema": {"type": "object", "properties": {}}}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)


def azure(service: Service, path: str = "", **config: Any) -> Any:
    root = f"http://127.0.0.1:{service.port}"
    return gathering.provider("azure:gpt-4o", base_url=root + path, api_key=KEY, max_retries=0, **config)


@pytest.mark.parametrize(
    ("address", "version", "goes_to"),
    [
        ("", None, "/openai/v1/chat/completions"),
        ("/", None, "/openai/v1/chat/completions"),
        ("/openai/v1/", None, "/openai/v1/chat/completions"),
        ("", "preview", "/openai/v1/chat/completions?api-version=preview"),
        ("", "2024-10-21", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        (
            "/openai/deployments/mine",
            "2024-10-21",
            "/openai/deployments/mine/chat/completions?api-version=2024-10-21",
        ),
        (
            "/openai/deployments/mine/chat/completions?api-version=2024-02-01",
            None,
            "/openai/deployments/mine/chat/completions?api-version=2024-02-01",
        ),
        ("/openai/deployments/mine", None, "/openai/v1/chat/completions"),
        ("/models", None, "/models/chat/completions?api-version=2024-05-01-preview"),
        ("/gateway/ai", None, "/gateway/ai/chat/completions"),
    ],
)
def test_an_address_may_have_any_of_its_forms(
    service: Service, address: str, version: str | None, goes_to: str
) -> None:
    """The request goes where that form of it means; the key stands in its own header."""
    config = {"api_version": version} if version else {}
    assert azure(service, address, **config).complete(ASK).content == "Hello!"
    (received,) = service.received
    assert received.path == goes_to
    assert received.headers["api-key"] == KEY
    assert "authorization" not in received.headers
    assert received.json["model"] == "gpt-4o"


def test_endpoint_key_and_version_come_from_the_variables(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their usual names; without an endpoint nothing can be made, and it says so."""
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_ENDPOINT"):
        gathering.provider("azure:gpt-4o")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"http://127.0.0.1:{service.port}/")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    made: Any = gathering.provider("azure:gpt-4o")
    made.complete(ASK)
    assert made.is_available()
    assert [r.headers["api-key"] for r in service.received] == [KEY, KEY]
    assert service.received[1].path == "/openai/models?api-version=2024-10-21"
    assert KEY not in repr(made)


@pytest.mark.parametrize(
    ("path", "config", "field", "form"),
    [
        ("", {}, "max_completion_tokens", "native"),
        ("", {"api_version": "2024-10-21"}, "max_completion_tokens", "native"),
        ("", {"api_version": "2024-02-01"}, "max_tokens", "prompted"),
        ("/models", {}, "max_tokens", "prompted"),
    ],
)
def test_older_formats_are_sent_what_they_know(
    service: Service, path: str, config: dict[str, Any], field: str, form: str
) -> None:
    """The name of the longest answer, the tokens of a stream, and the form of an answer."""
    made = azure(service, path, **config)
    service.will_stream(chunk("Hi", "stop"), "[DONE]")
    list(made.stream(ASK, max_tokens=5))
    sent = service.received[0].json
    assert sent[field] == 5
    assert ("stream_options" in sent) == (config.get("api_version") != "2024-02-01")
    assert made.structured_output == form


def test_responses_have_the_deployment_in_the_body(service: Service) -> None:
    """Whatever stands in the address."""
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    service.will_say({"status": "completed", "output": [item]})
    assert azure(service, api="responses").complete(ASK).content == "Hi"
    assert azure(service, api="responses", api_version="2025-04-01-preview").complete(ASK).content == "Hi"
    assert [r.path for r in service.received] == [
        "/openai/v1/responses",
        "/openai/responses?api-version=2025-04-01-preview",
    ]


def test_what_the_filter_found_is_kept(service: Service) -> None:
    """In an answer that was stopped, in a stream's first chunk, and as an error of a question that was refused."""
    found = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}]
    stopped = {
        "finish_reason": "content_filter",
        "index": 0,
        "content_filter_results": {"hate": {"filtered": True}},
    }
    service.will_say({"choices": [stopped], "prompt_filter_results": found})
    completion = azure(service).complete(ASK)
    assert (completion.finish_reason, completion.content) == ("content_filter", "")
    assert completion.raw["choices"][0]["content_filter_results"]["hate"]["filtered"]
    service.will_stream(
        {"choices": [], "prompt_filter_results": found}, chunk("Hi"), chunk("", "stop"), "[DONE]"
    )
    stream = azure(service).stream(ASK)
    assert "".join(stream) == "Hi"
    assert stream.completion.raw["prompt_filter_results"] == found
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}
    refused = {
        "error": {"code": "content_filter", "message": "The prompt was filtered.", "innererror": inner}
    }
    service.will_say(refused, 400)
    with pytest.raises(ContentFilterError, match="azure:gpt-4o"):
        azure(service).complete(ASK)


def test_a_limit_says_how_long_to_wait(service: Service) -> None:
    """In milliseconds, under Azure's name for it."""
    service.will_say(
        {"error": {"code": "RateLimitReached", "message": "Slow down."}}, 429, **{"retry-after-ms": "1500"}
    )
    with pytest.raises(RateLimitError) as caught:
        azure(service).complete(ASK)
    assert caught.value.retry_after == 1.5


def test_how_much_it_holds_is_known_by_the_name_or_said(service: Service) -> None:
    """A deployment may be called anything."""
    assert azure(service).get_max_tokens() == 128_000
    root = f"http://127.0.0.1:{service.port}"
    assert gathering.provider("azure:mine", base_url=root).get_max_tokens() == 32_768
    assert gathering.provider("azure:mine", base_url=root, context=9).get_max_tokens() == 9
    service.will_say(answer())
