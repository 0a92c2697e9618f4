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
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
)
from contextlib import aclosing
from typing import Any, ClassVar

from gathering.core.errors import (
    AuthenticationError,
    GatheringError,
    LiveCallError,
    MalformedResponseError,
    ProviderError,
)
from gathering.core.events import Done
from gathering.core.masking import mask
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage
from gathering.core.offers import ModelInfo, TokenCount
from gathering.core.portal import beat
from gathering.core.session import live_calls_forbidden, refuse_live_call
from gathering.core.stream import Batch, TextStream
from gathering.llm import prices
from gathering.llm.admission import LONGEST_WAIT, Admission
from gathering.llm.circuit import circuit_of
from gathering.llm.connection import address_of, listens
from gathering.llm.counting import learn
from gathering.llm.embedding_calls import EmbeddingCalls
from gathering.llm.exchange import Course, Dialect, Request, course
from gathering.llm.faults import fault_of_answer
from gathering.llm.figures import count_of
from gathering.llm.keys import Secret, carries_key, find_key, is_loopback, key_hint, source_of_key
from gathering.llm.known import KnownModel
from gathering.llm.limits import gate_of
from gathering.llm.listing import infos_in, remember
from gathering.llm.options import PARAMETERS, checked_options
from gathering.llm.plain import PlainDialect
from gathering.llm.wire import Fetched, Headers, Line, fetch, pump, pump_async

__all__ = ["HTTPProvider"]

#: Seconds: to connect, of silence between two bytes (a first token can take minutes), and for "is it there?".
CONNECT_TIMEOUT, READ_TIMEOUT, PROBE_TIMEOUT = 5.0, 600.0, 3.0


class HTTPProvider(KnownModel, EmbeddingCalls):
    """A provider that is asked by HTTP.

    Configuration: ``model``, ``api_key``, ``base_url``, ``timeout`` (seconds of silence that are borne, 600),
    ``max_retries`` (2; 0 switches retries off), ``max_wait`` (seconds within which a retry may still begin, 120),
    ``requests_per_minute`` and ``tokens_per_minute`` (kept to by everything in the process that uses the same key),
    ``headers`` (sent with each request), ``context`` (tokens the model can hold), ``dimensions`` (figures of an embedding), default parameters by name
    (``temperature=0``) or in ``params``. Raises ``ConfigurationError`` for anything else.
    """

    #: Where the service is, and the environment variables that say so and that hold its key.
    default_base_url: ClassVar[str] = ""
    base_url_variable: ClassVar[str] = ""
    key_variable: ClassVar[str] = ""
    #: Further options a subclass takes.
    more_options: ClassVar[tuple[str, ...]] = ()

    dialect: Dialect
    #: How a retry waits; tests put a function here that only takes notes.
    sleep: Callable[[float], object] = staticmethod(time.sleep)
    sleep_async: Callable[[float], Awaitable[object]] = staticmethod(asyncio.sleep)

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        config = checked_options(name, config, self.more_options)
        super().__init__(name, config)
        self.params = {
            **config.get("params", {}),
            **{p: config[p] for p in PARAMETERS if p in config},
        }
        self.timeout = float(config.get("timeout", READ_TIMEOUT))
        self.max_retries = int(config.get("max_retries", 2))
        self.max_wait = float(config.get("max_wait", LONGEST_WAIT))

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
        return bool(self.key_variable) and not is_loopback(address_of(self.base_url).url.host)

    def auth_headers(self, key: Secret | None) -> dict[str, str]:
        """The headers that carry the key."""
        return Headers(authorization=f"Bearer {key.reveal()}") if key else {}

    def path_for(self, *, stream: bool) -> str:
        """Where a request goes, below the base URL."""
        return self.dialect.path

    def preparation(self, messages: list[MessageDict]) -> Callable[[], object] | None:
        """What must be done once before a request can be built, which may take its time; None if nothing."""
        return None

    # -- calls ---------------------------------------------------------------------------------------------------

    def complete(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The whole answer. Raises a ``ProviderError``, or ``LiveCallError`` where live calls are forbidden."""
        for batch in self._batches(messages, tools, params, stream=False):  # noqa: B007 - the last one counts
            pass
        return _completion_in(batch)

    async def complete_async(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The whole answer, awaited."""
        return _completion_in(await _last(self._batches_async(messages, tools, params, stream=False)))

    def stream(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> TextStream:
        """The answer piece by piece. The request goes out when the first piece is asked for."""
        return TextStream(
            lambda: self._batches(messages, tools, params, stream=True),
            lambda: self._batches_async(messages, tools, params, stream=True),
        )

    # -- beside answers ------------------------------------------------------------------------------------------

    def models(self) -> list[ModelInfo]:
        """The models the service has, as it lists them; what it says of their contexts counts from then on."""
        answer = self._fetch_models(self.timeout)
        if not 200 <= answer.status < 300:
            raise self.signed(fault_of_answer(answer.status, answer.headers, answer.body).error)
        try:
            infos = infos_in(json.loads(answer.body))
        except (ValueError, LookupError, TypeError, AttributeError) as err:
            error = MalformedResponseError(
                "lists its models in a form that is not known. Next: check base_url"
            )
            raise self.signed(error) from err
        remember(self.name, self.base_url, infos)
        return prices.priced(self.name, infos)

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that a path below the base URL answers to this body, with a call's retries and errors."""
        for batch in pump(*self._plain_call(path, body)):  # noqa: B007 - the last one counts
            pass
        return _completion_in(batch).raw

    async def ask_async(self, path: str, body: Mapping[str, Any]) -> Any:
        """The same, awaited."""
        return _completion_in(await _last(pump_async(*self._plain_call(path, body)))).raw

    def counted(self, path: str, body: Mapping[str, Any], figure: str) -> TokenCount | None:
        """The service's own count in this figure of its answer; None where it cannot be asked."""
        try:
            count = count_of(self.ask(path, body)[figure])
        except (ProviderError, LiveCallError, LookupError, TypeError):
            return None
        return None if count is None else TokenCount(count, exact=True)

    def is_available(self) -> bool:
        """Whether the service answers and takes the key; one short request, no retry."""
        return self.why_unavailable() is None

    def why_unavailable(self) -> str | None:
        """What to do before a call can succeed, None if one can now."""
        try:
            if missing := self.what_is_missing():
                return missing
            answer = self._fetch_models(PROBE_TIMEOUT)
        except GatheringError as err:
            return str(err)
        # A server without a list of models answers 404 and is there all the same.
        if answer.status < 400 or answer.status in (404, 405, 501):
            return None
        return str(self.signed(fault_of_answer(answer.status, answer.headers, answer.body).error))

    def what_is_missing(self) -> str | None:
        """What to do before a call can succeed as far as it shows without a request: mostly, give a key."""
        return key_hint(self.key_variable) if self.needs_key and not self._key(ask=False) else None

    def nobody_there(self) -> str | None:
        """What to do when its server is to run on this machine and nothing listens there; asks no network."""
        place = address_of(self.base_url)
        if not is_loopback(place.url.host) or live_calls_forbidden() or listens(place.origin):
            return None
        return f"nothing listens at {place.site}: start the server, or say where it is with base_url"

    def key_source(self) -> str | None:
        """Where the key comes from (never the key itself); None where there is none."""
        return source_of_key(self.key_variable, self.config.get("api_key"), needed=self.needs_key)

    def signed(self, error: ProviderError) -> ProviderError:
        """The error with provider and model in it and without any key: every error leaves through here."""
        if not error.provider:
            error.provider, error.model = self.name, self.model
            who = f"{self.name}:{self.model}".rstrip(":")
            text = mask(f"{who} {error}", self._secrets())
            if isinstance(error, AuthenticationError):
                text = f"{text}, {key_hint(self.key_variable)}"
            error.args = (text,)
        return error

    # -- inside --------------------------------------------------------------------------------------------------

    def _batches(
        self,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> Generator[Batch, None, None]:
        if (prepare := self.preparation(messages)) is not None:
            prepare()
        return pump(*self._call(messages, tools, params, stream=stream))

    def _batches_async(
        self,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> AsyncGenerator[Batch, None]:
        def call() -> AsyncGenerator[Batch, None]:
            return pump_async(*self._call(messages, tools, params, stream=stream))

        prepare = self.preparation(messages)
        return call() if prepare is None else _after(prepare, call)

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
        seen = functools.partial(learn, self.name, self.model, messages, tools)
        return self._sending(self.dialect, self.path_for(stream=stream), body, stream=stream, seen=seen)

    def _plain_call(self, path: str, body: Mapping[str, Any]) -> tuple[Course, Line]:
        refuse_live_call(self.name, self.model)
        return self._sending(PlainDialect(path), path, dict(body), stream=False)

    def _sending(
        self,
        dialect: Dialect,
        path: str,
        body: dict[str, Any],
        *,
        stream: bool,
        seen: Callable[[Usage], object] | None = None,
    ) -> tuple[Course, Line]:
        key = self._key(ask=True)
        admission = self._admission(key)
        request = Request(
            dialect,
            self.model,
            body,
            stream,
            self.max_retries,
            self.signed,
            admission=admission,
            patience=self.timeout,
            seen=seen,
        )
        return course(request), self._line(path, "POST", self.timeout, key)

    def _admission(self, key: Secret | None) -> Admission:
        """The way past the limits and the circuit that the whole process has for this service and key."""
        gate = gate_of(self.name, self.base_url, key.reveal() if key else "", self.model)
        allowed = (self.config.get("requests_per_minute"), self.config.get("tokens_per_minute"))
        if allowed != (None, None):
            gate.allow(*allowed)
        return Admission(gate, circuit_of(self.name, self.base_url), self.max_wait)

    def _line(self, path: str, method: str, timeout: float, key: Secret | None = None) -> Line:
        headers = Headers(
            {
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
                "accept-encoding": "identity",
                "user-agent": "gathering",
            }
        )
        headers.update(self.auth_headers(key or self._key(ask=True)))
        headers.update(self.config.get("headers", {}))
        return Line(
            address_of(self.base_url + path),
            headers,
            min(CONNECT_TIMEOUT, timeout),
            timeout,
            method,
            self.sleep,
            self.sleep_async,
        )

    def _fetch_models(self, timeout: float) -> Fetched:
        refuse_live_call(self.name, self.model)
        try:
            answer = fetch(self._line(self.dialect.models_path, "GET", timeout))
        except ProviderError as err:
            raise self.signed(err) from err.__cause__
        if answer.status < 500:
            circuit_of(self.name, self.base_url).answered()
        return answer

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


def _completion_in(batch: Batch) -> Completion:
    last = batch[-1]
    assert isinstance(last, Done), "a course ends with Done"
    return last.completion


async def _after(
    prepare: Callable[[], object], call: Callable[[], AsyncGenerator[Batch, None]]
) -> AsyncGenerator[Batch, None]:
    """The batches of a call that something must precede: on a worker thread, the loop has others to serve."""
    with beat():
        await asyncio.to_thread(prepare)
    async with aclosing(call()) as batches:
        async for batch in batches:
            yield batch


async def _last(batches: AsyncGenerator[Batch, None]) -> Batch:
    async with aclosing(batches):
        async for batch in batches:  # noqa: B007 - the last one counts
            pass
    return batch
