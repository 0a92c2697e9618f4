"""The one provider class over HTTP: configuration, headers and the calls a provider offers.

A service is a subclass that says its base URL, its key's variable and its dialect; an embedded server is one whose
``base_url`` and ``auth_headers`` are found when they are needed. The course of a call is
``gathering.llm.exchange``, its connection ``gathering.llm.wire``, its JSON the dialect.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar

import httpx

from gathering.core.errors import (
    AuthenticationError,
    ConfigurationError,
    GatheringError,
    MalformedResponseError,
    ProviderError,
    UnknownNameError,
)
from gathering.core.events import Done
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage
from gathering.core.session import refuse_live_call
from gathering.core.stream import Batch, TextStream
from gathering.llm import prices
from gathering.llm.exchange import Course, Dialect, Request, course
from gathering.llm.faults import fault_of_answer
from gathering.llm.keys import Secret, carries_key, find_key, is_loopback, key_hint, scrub, shown_url
from gathering.llm.wire import Fetched, Headers, Line, fetch, pump, pump_async

__all__ = ["HTTPProvider"]

#: Seconds: to connect, of silence between two bytes (a first token can take minutes), and for "is it there?".
CONNECT_TIMEOUT, READ_TIMEOUT, PROBE_TIMEOUT = 5.0, 600.0, 3.0

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
)
OPTIONS = ("model", "api_key", "base_url", "api", "timeout", "max_retries", "headers", "context", "params")


class HTTPProvider(ILLMProvider):
    """A provider that is asked by HTTP.

    Configuration: ``model``, ``api_key``, ``base_url``, ``timeout`` (seconds of silence that are borne, 600),
    ``max_retries`` (2; 0 switches retries off), ``headers`` (sent with each request), ``context`` (tokens the model
    can hold), default parameters by name (``temperature=0``) or in ``params``. Raises ``ConfigurationError`` for
    anything else.
    """

    #: Where the service is, and the environment variables that say so and that hold its key.
    default_base_url: ClassVar[str] = ""
    base_url_variable: ClassVar[str] = ""
    key_variable: ClassVar[str] = ""
    #: Tokens the model holds when the configuration does not say.
    default_context: ClassVar[int] = 8192
    #: Further options a subclass takes.
    more_options: ClassVar[tuple[str, ...]] = ()

    dialect: Dialect
    #: How a retry waits; tests put a function here that only takes notes.
    sleep: Callable[[float], object] = staticmethod(time.sleep)
    sleep_async: Callable[[float], Awaitable[object]] = staticmethod(asyncio.sleep)

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        config = self._checked(name, config)
        super().__init__(name, config)
        self.params: dict[str, Any] = {
            **config.get("params", {}),
            **{p: config[p] for p in PARAMETERS if p in config},
        }
        self.timeout = float(config.get("timeout", READ_TIMEOUT))
        self.max_retries = int(config.get("max_retries", 2))

    # -- what a subclass may say otherwise ---------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """The address below which the service's paths are, without a slash at the end."""
        found = (
            self.config.get("base_url")
            or os.environ.get(self.base_url_variable or "-")
            or self.default_base_url
        )
        return str(found).rstrip("/")

    @property
    def needs_key(self) -> bool:
        """Whether a call without a key is hopeless."""
        return bool(self.key_variable) and not is_loopback(_url(self.base_url).host)

    def auth_headers(self, key: Secret | None) -> dict[str, str]:
        """The headers that carry the key."""
        return Headers(authorization=f"Bearer {key.reveal()}") if key else {}

    def path_for(self, *, stream: bool) -> str:
        """Where a request goes, below the base URL."""
        return self.dialect.path

    def model_names(self, listed: Any) -> list[str]:
        """The names in the service's list of models."""
        entries = listed["data"] if isinstance(listed, dict) else listed
        return [str(entry["id"]) for entry in entries]

    # -- calls ---------------------------------------------------------------------------------------------------

    def complete(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The whole answer. Raises a ``ProviderError``, or ``LiveCallError`` where live calls are forbidden."""
        run, line = self._call(messages, tools, params, stream=False)
        for batch in pump(run, line):  # noqa: B007 - the last one counts
            pass
        return _completion_in(batch)

    async def complete_async(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The whole answer, awaited."""
        run, line = self._call(messages, tools, params, stream=False)
        batches = pump_async(run, line)
        try:
            async for batch in batches:  # noqa: B007 - the last one counts
                pass
        finally:
            await batches.aclose()
        return _completion_in(batch)

    def stream(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> TextStream:
        """The answer piece by piece. The request goes out when the first piece is asked for."""
        return TextStream(
            lambda: pump(*self._call(messages, tools, params, stream=True)),
            lambda: pump_async(*self._call(messages, tools, params, stream=True)),
        )

    def list_models(self) -> list[str]:
        """The names of the models the service has, as it lists them."""
        answer = self._fetch_models(self.timeout)
        if not 200 <= answer.status < 300:
            raise self.signed(fault_of_answer(answer.status, answer.headers, answer.body).error)
        try:
            return self.model_names(json.loads(answer.body))
        except (ValueError, LookupError, TypeError) as err:
            error = MalformedResponseError(
                "lists its models in a form that is not known. Next: check base_url"
            )
            raise self.signed(error) from err

    def is_available(self) -> bool:
        """Whether the service answers and takes the key; one short request, no retry."""
        return self.why_unavailable() is None

    def why_unavailable(self) -> str | None:
        """What to do before a call can succeed, None if one can now."""
        try:
            if self.needs_key and not self._key(ask=False):
                return key_hint(self.key_variable)
            answer = self._fetch_models(PROBE_TIMEOUT)
        except GatheringError as err:
            return str(err)
        # A server without a list of models answers 404 and is there all the same.
        if answer.status < 400 or answer.status in (404, 405, 501):
            return None
        return str(self.signed(fault_of_answer(answer.status, answer.headers, answer.body).error))

    def get_max_tokens(self) -> int:
        """Tokens the model can read and write in one call together."""
        return int(self.config.get("context") or self.default_context)

    def get_cost(self, usage: Usage) -> float | None:
        """US dollars for this usage by the table of prices; None where the model is not in it."""
        return prices.cost(self.name, self.model, usage)

    def signed(self, error: ProviderError) -> ProviderError:
        """The error with provider and model in it and without any key: every error leaves through here."""
        if not error.provider:
            error.provider, error.model = self.name, self.model
            who = f"{self.name}:{self.model}".rstrip(":")
            text = scrub(f"{who} {error}", self._secrets())
            if isinstance(error, AuthenticationError):
                text = f"{text}, {key_hint(self.key_variable)}"
            error.args = (text,)
        return error

    # -- inside --------------------------------------------------------------------------------------------------

    def _call(
        self,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> tuple[Course, Line]:
        refuse_live_call(self.name, self.model, messages)
        prices.warm(self.name)
        body = self.dialect.build_request(
            self.model, messages, tools, {**self.params, **params}, stream=stream
        )
        request = Request(self.dialect, self.model, body, stream, self.max_retries, self.signed)
        return course(request), self._line(self.path_for(stream=stream), "POST", self.timeout)

    def _line(self, path: str, method: str, timeout: float) -> Line:
        headers = Headers(
            {
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
                "accept-encoding": "identity",
                "user-agent": "gathering",
            }
        )
        headers.update(self.auth_headers(self._key(ask=True)))
        headers.update(self.config.get("headers", {}))
        url = _url(self.base_url + path)
        return Line(
            url, headers, min(CONNECT_TIMEOUT, timeout), timeout, method, self.sleep, self.sleep_async
        )

    def _fetch_models(self, timeout: float) -> Fetched:
        refuse_live_call(self.name, self.model)
        try:
            return fetch(self._line(self.dialect.models_path, "GET", timeout))
        except ProviderError as err:
            raise self.signed(err) from err.__cause__

    def _key(self, *, ask: bool) -> Secret | None:
        given = self.config.get("api_key")
        return find_key(self.key_variable, given, provider=self.name, needed=self.needs_key, ask=ask)

    def _secrets(self) -> Iterable[str]:
        key = self._key(ask=False)
        headers = self.config.get("headers", {})
        return [
            *([key.reveal()] if key else []),
            *(v for k, v in headers.items() if carries_key(k)),
        ]

    @classmethod
    def _checked(cls, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration, each value usable and the key wrapped. Raises ``ConfigurationError``."""
        known = (*OPTIONS, *PARAMETERS, *cls.more_options)
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
                raise ConfigurationError(
                    f"{key} of {name} is {checked[key]!r:.60}: give a mapping of names to values"
                )
        if "headers" in checked:
            checked["headers"] = Headers(
                {str(k).lower(): Secret(v).reveal() for k, v in checked["headers"].items()}
            )
        return checked


def _check_figures(name: str, config: Mapping[str, Any]) -> None:
    for key, least in (("timeout", 0.001), ("max_retries", 0), ("context", 1)):
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


@functools.lru_cache(maxsize=256)
def _url(text: str) -> httpx.URL:
    return httpx.URL(text)


def _completion_in(batch: Batch) -> Completion:
    last = batch[-1]
    assert isinstance(last, Done), "a course ends with Done"
    return last.completion
