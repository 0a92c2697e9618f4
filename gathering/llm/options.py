"""The options of a provider over HTTP: which there are, and that each value can be used.

Owns the names and the checks; what they do is ``gathering.llm.http``'s and the dialects'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.llm.keys import Secret, shown_url
from gathering.llm.wire import Headers

__all__ = ["OPTIONS", "PARAMETERS", "checked_options"]

#: Options of a request in neutral words; each may be a default in a provider's configuration.
PARAMETERS = (
    "temperature",
    "max_tokens",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "frequency_penalty",
    "presence_penalty",
    "output",
    "logprobs",
    "prompt_cache",
)
OPTIONS = (
    *("model", "api_key", "base_url", "api", "headers", "context", "dimensions", "params"),
    *("timeout", "max_retries", "max_wait", "requests_per_minute", "tokens_per_minute"),
)
#: The least that an option which is a figure may be.
_LEAST: Mapping[str, float] = {
    "timeout": 0.001,
    "max_retries": 0,
    "max_wait": 0,
    "requests_per_minute": 1,
    "tokens_per_minute": 1,
    "context": 1,
    "dimensions": 1,
}


def checked_options(name: str, config: Mapping[str, Any], more: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration, each value usable and the key wrapped; ``more`` names options of one provider alone.

    Raises ``ConfigurationError``.
    """
    known = (*OPTIONS, *PARAMETERS, *more)
    for key in config:
        if key not in known:
            raise UnknownNameError(f"option of {name}", str(key), known)
    checked = dict(config)
    if checked.get("api_key"):
        checked["api_key"] = Secret(checked["api_key"])
    _check_figures(name, checked)
    _check_url(name, checked)
    for key in ("headers", "params"):
        if not isinstance(checked.get(key, {}), Mapping):
            # By its type: what stands there may be a key.
            raise ConfigurationError(
                f"{key} of {name} is a {type(checked[key]).__name__}: give a mapping of names to values"
            )
    if "headers" in checked:
        checked["headers"] = Headers(
            {str(k).lower(): Secret(v).reveal() for k, v in checked["headers"].items()}
        )
    return checked


def _check_figures(name: str, config: Mapping[str, Any]) -> None:
    for key, least in _LEAST.items():
        value = config.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            raise ConfigurationError(f"{key} of {name} is {value!r}: give a number of {least} or more")


def _check_url(name: str, config: Mapping[str, Any]) -> None:
    text = config.get("base_url")
    if text is None:
        return
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError) as err:
        raise ConfigurationError(
            f"base_url of {name} is {text!r}: give an address like https://host/v1"
        ) from err
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(
            f"base_url of {name} is {shown_url(str(text))!r}: give an address like https://host/v1"
        )
