"""The course of one call to a service, written once: a generator without I/O.

It yields commands for the pump and batches of events for the caller, and is sent each command's result::

    Send(body)       -> a Head (status and headers), or a Broken connection
    NEXT             -> the next bytes of the answer, None at its end, or a Broken connection
    DRAIN            -> None: let the connection end its answer, so that the next call can use it
    Sleep(seconds)   -> None
    [TextDelta(...)] -> None; the caller's. The last batch ends with Done.

What is retried, how long it waits, which bytes are an answer and which an error is decided here; sockets are
``gathering.llm.http``'s, and what the bytes mean is a dialect's.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeAlias

from gathering.core.errors import (
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from gathering.core.events import Done, Event, TextDelta, ThinkingDelta
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage
from gathering.core.stream import Batch
from gathering.llm.admission import Admission
from gathering.llm.bodies import check_size, encoded, parsed
from gathering.llm.faults import Fault, fault_of_answer, fault_of_error, request_id

__all__ = [
    "DRAIN",
    "NEXT",
    "Broken",
    "Command",
    "Course",
    "Dialect",
    "Head",
    "Request",
    "Send",
    "Sleep",
    "StreamReader",
    "course",
    "forget_frames",
]

#: Bytes of an error answer that are read; a page longer than this is no explanation.
ERROR_BYTES = 1 << 20


class StreamReader(Protocol):
    """Bytes in, events out: what a dialect reads a stream with."""

    ended: bool
    failure: ProviderError | None

    @property
    def partial(self) -> str:
        """The text so far."""

    @property
    def whole(self) -> bool:
        """Whether nothing of the answer is missing."""

    def feed(self, data: bytes) -> list[Event]:
        """The events these bytes complete; an error behind them is in ``failure``, one before any is raised."""

    def finish(self) -> list[Event]:
        """The last events, with ``Done``; raises ``IncompleteStreamError``."""


class Dialect(Protocol):
    """One wire format: pure functions between neutral values and JSON. Paths are below the base URL."""

    @property
    def path(self) -> str:
        """Where requests go."""

    @property
    def models_path(self) -> str:
        """Where the list of models is."""

    def build_request(
        self,
        model: str,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> dict[str, Any]:
        """The body of a request."""

    def parse_response(self, body: Any, model: str) -> Completion:
        """The completion in a whole answer."""

    def stream_reader(self, model: str) -> StreamReader:
        """A reader for one streamed answer."""


@dataclass(slots=True)
class Request:
    """One call: what is sent, in which dialect, and how often it may be sent again."""

    dialect: Dialect
    model: str
    body: dict[str, Any]
    stream: bool
    max_retries: int
    signed: Callable[[ProviderError], ProviderError]
    jitter: Callable[[], float] = random.random
    admission: Admission = field(default_factory=Admission)
    patience: float = 600.0  # seconds
    seen: Callable[[Usage], object] | None = None  # told what the call took


@dataclass(slots=True)
class Send:
    """Send this body, JSON-encoded."""

    body: bytes


@dataclass(slots=True)
class Sleep:
    """Wait; an interrupt ends the wait and the call."""

    seconds: float


@dataclass(slots=True)
class Head:
    """The beginning of an answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]


@dataclass(slots=True)
class Broken:
    """The connection failed; whether sending again can help is the pump's to know."""

    error: ProviderConnectionError
    retry: bool = True


class _Signal:
    """A command without details."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        """Its name."""
        return self.name


NEXT: Final = _Signal("NEXT")
DRAIN: Final = _Signal("DRAIN")
Command: TypeAlias = Send | Sleep | _Signal
Course: TypeAlias = Generator["Command | Batch", Any, None]


def course(request: Request) -> Course:
    """The whole course of a call, retries included. Raises the typed error the call failed with, signed."""
    body, attempt, admission = dict(request.body), 0, request.admission
    try:
        while True:
            attempt += 1
            run = _Attempt(request, attempt)
            try:
                yield from run.go(body)
                return
            except (_Failed, ProviderError) as failed:
                fault = failed.fault if isinstance(failed, _Failed) else fault_of_error(failed)
                error = request.signed(run.explained(fault.error))
                forget_frames(failed.__cause__)
                if fault.drop in body and request.max_retries and not run.shown:
                    _leave_out(body, fault, error)
                    continue
                wait = _wait(fault, attempt, run)
                if wait is None:
                    raise error from failed.__cause__
            yield Sleep(wait)
    finally:
        admission.end()


def forget_frames(err: BaseException | None) -> None:
    """Drop the frames of an inner error and its causes: they tell nothing, and their variables may hold the key."""
    seen: set[int] = set()
    while err is not None and id(err) not in seen:
        seen.add(id(err))
        err.__traceback__ = None
        err = err.__cause__ or err.__context__


class _Failed(Exception):
    """An attempt came to nothing."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault


class _Attempt:
    """One sending of a request and the reading of its answer."""

    def __init__(self, request: Request, number: int) -> None:
        self.request, self.number = request, number
        self.sent = False
        self.shown = False  # the caller has seen an event: this call must not be sent again
        self.head = Head(0, {})
        self.reader: StreamReader | None = None

    @property
    def _lines(self) -> bool:
        """Whether lines of JSON follow, which begin like a whole answer."""
        named = "ndjson" in self.head.headers.get("content-type", "")
        return (self.request.stream or named) and getattr(self.request.dialect, "lines", False)

    @property
    def partial(self) -> str:
        """The text that had arrived."""
        return self.reader.partial if self.reader is not None else ""

    def go(self, body: dict[str, Any]) -> Course:
        """Wait for the turn, send, read, hand out. Raises ``_Failed`` or the typed error."""
        data, admission = encoded(body), self.request.admission
        if self.number == 1:
            admission.check()
        while wait := admission.wait_seconds(len(data)):
            yield Sleep(wait)
        self.sent = True
        head = yield Send(data)
        if isinstance(head, Broken):
            raise _Failed(Fault(head.error, head.retry)) from head.error.__cause__
        self.head = head
        admission.heard(head.status, head.headers)
        if 200 <= head.status < 300:
            yield from self._answer(head)
        else:
            text = yield from _read_all(b"", ERROR_BYTES)
            raise _Failed(fault_of_answer(head.status, head.headers, text))

    def explained(self, error: ProviderError) -> ProviderError:
        """The error with all that is known of it: status, request id, the text that had arrived."""
        head = self.head
        error.status = error.status or head.status or None
        error.request_id = error.request_id or request_id(head.headers)
        error.partial = error.partial or self.partial
        if self.sent:
            self.request.admission.failed(error, head.status)
        return error.with_traceback(None)

    def _answer(self, head: Head) -> Course:
        """Events of a good status. Content type is a hint only: what the body begins with decides."""
        first = b""
        while not first.strip():  # blanks before an answer are no part of it
            data = yield NEXT
            if data is None:
                break
            first = _unbroken(data)
        if _is_stream(head, first.lstrip()[:1]) or self._lines:
            yield from self._stream(first)
        else:
            yield self._whole((yield from _read_all(first, None)))

    def _stream(self, data: Any) -> Course:
        reader = self.reader = self.request.dialect.stream_reader(self.request.model)
        feed, only_whole, quiet_since, unread = reader.feed, not self.request.stream, None, 0
        while True:
            events = feed(data)
            if not events:
                quiet_since = self._quiet(quiet_since)
                unread = check_size(unread + len(data))
            else:
                quiet_since, unread = None, 0
                if not only_whole:
                    self.shown = True
                    yield events
            if reader.failure is not None:
                raise reader.failure
            if reader.ended:
                yield DRAIN
                break
            data = yield NEXT
            if type(data) is not bytes:
                if data is not None and not reader.whole:
                    raise _Failed(Fault(data.error, data.retry)) from data.error.__cause__
                break
        yield self._numbered(reader.finish())

    def _quiet(self, since: float | None) -> float:
        """Since when bytes have brought nothing. Raises ``ProviderTimeoutError``: signs of life are no answer."""
        now, patience = self.request.admission.clock(), self.request.patience
        if since is not None and now - since > patience:
            raise ProviderTimeoutError(
                f"sent signs of life and nothing else for {patience:g} s. Next: ask again, or give a longer timeout="
            )
        return now if since is None else since

    def _whole(self, text: bytes) -> Batch:
        """The one batch of an answer that came as one JSON body."""
        model = self.request.model
        completion = self.request.dialect.parse_response(parsed(text), model)
        events: Batch = []
        if completion.thinking:
            events.append(ThinkingDelta(completion.thinking))
        if completion.content:
            events.append(TextDelta(completion.content))
        return self._numbered([*events, Done(completion)])

    def _numbered(self, events: Batch) -> Batch:
        last = events[-1]
        if isinstance(last, Done):
            self.request.admission.passed(last.completion.usage)
            if self.request.seen is not None:
                self.request.seen(last.completion.usage)
            if self.number > 1:
                events[-1] = Done(replace(last.completion, attempts=self.number))
        return events


def _is_stream(head: Head, start: bytes) -> bool:
    """Whether server-sent events follow: named so, or begun like a field, a comment or a byte-order mark."""
    if start in (b"{", b"[", b"<"):
        return False
    return "event-stream" in head.headers.get("content-type", "") or (start != b"" and start in b"deir:\xef")


def _unbroken(data: bytes | Broken) -> bytes:
    if isinstance(data, Broken):
        raise _Failed(Fault(data.error, data.retry)) from data.error.__cause__
    return data


def _read_all(first: bytes, limit: int | None) -> Generator[Command | Batch, Any, bytes]:
    """The rest of the body; with a limit, what fits into it. Raises ``MalformedResponseError`` for one without end."""
    pieces, size = [first], len(first)
    while limit is None or size < limit:
        data = yield NEXT
        if data is None:
            break
        if isinstance(data, Broken) and limit is not None:
            break  # an error answer that breaks off still says something
        pieces.append(_unbroken(data))
        size = check_size(size + len(pieces[-1]))
    return b"".join(pieces)


def _leave_out(body: dict[str, Any], fault: Fault, error: ProviderError) -> None:
    """Take the field out that the model does not know, and tell the caller."""
    value = body.pop(fault.drop)
    if fault.drop == "max_tokens" and "max_completion_tokens" in str(error):
        body["max_completion_tokens"] = value
    elif fault.drop != "stream_options":
        message = f"{error.provider}:{error.model} does not take {fault.drop}={value!r}: the request was sent without it"
        warnings.warn(message, UserWarning, stacklevel=2)


def _wait(fault: Fault, attempt: int, run: _Attempt) -> float | None:
    """Seconds before the next attempt; None when there is to be none."""
    request = run.request
    if run.shown or not fault.retry or attempt > request.max_retries:
        return None
    asked = fault.error.retry_after
    if asked is not None and asked > 0:
        return request.admission.again(asked)
    backoff: float = min(8.0, 0.5 * 2 ** (attempt - 1))
    return request.admission.again(backoff * (1 - 0.25 * request.jitter()))
