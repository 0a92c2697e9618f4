"""The tape: exchanges with models, recorded once and given again without network, key or weights.

Owns when an exchange is recorded and when it is replayed. The file's format is ``gathering.testing.tape_file``,
the form of one exchange ``gathering.testing.exchange``. A tape stands before every provider, also a user's own:
it wraps the interface, not a service.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from os import PathLike
from typing import Any, Literal, Self, TypeAlias, get_args

from gathering.core import config, session
from gathering.core.display import bundle
from gathering.core.errors import ConfigurationError, MissingRecordingError, TapeError
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import MessageDict, ToolSpec, text_of
from gathering.core.offers import TokenCount
from gathering.core.playback import PlaybackProvider
from gathering.core.stored import Played, Request, load
from gathering.storage.requests import key_of
from gathering.testing.tape_file import Entry, TapeFile

__all__ = ["Mode", "Tape", "TapedProvider", "current_tape", "tape"]

Mode: TypeAlias = Literal["auto", "record", "replay", "live"]

_current: Tape | None = None


def tape(path: str | PathLike[str], mode: Mode | None = None, speed: float = 0) -> Tape:
    """The tape in this file, put in: from now on all exchanges pass through it, until it or another one is closed.

    ``mode`` is ``auto`` (replay what is recorded, record what is not; under a test runner only replay), ``record``
    (everything anew), ``replay`` or ``live`` (as without a tape). Without one the setting ``tape_mode`` counts.
    ``speed`` is the rhythm of a replayed stream: 0 at once, 1 as it was. Also a context manager. Raises
    ``TapeError`` for a file that is no tape; the file is left as it is.
    """
    made = Tape(path, mode, speed)
    made.insert()
    return made


def current_tape() -> Tape | None:
    """The tape that is in now."""
    return _current


class Tape:
    """The recorded exchanges of one file. ``insert()`` puts it before all providers, ``close()`` takes it out.

    Equal requests are told apart by their order: the second time the same is asked, the second recording answers.
    """

    def __init__(self, path: str | PathLike[str], mode: Mode | None = None, speed: float = 0) -> None:
        self.mode = _mode(mode)
        if speed < 0:
            raise ConfigurationError(f"speed = {speed!r} is not usable: give 0 (at once) or 1 (as it was)")
        self.speed = speed
        self.file = TapeFile(path)
        self.played = self.recorded = 0
        self._lock = threading.Lock()
        self._asked: dict[str, int] = defaultdict(int)
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self._before: Tape | None = None
        self._fresh = self.mode == "record"
        if self.mode in ("auto", "replay"):
            for entry in self.file.read():
                self._entries[key_of(entry.request)].append(entry)
            for entries in self._entries.values():
                # Side by side, equal requests end in any order: what counts is the order they were asked in.
                entries.sort(key=lambda entry: int(entry.body.get("ordinal", 0)))

    @property
    def path(self) -> str:
        """The file, as it was named."""
        return self.file.shown

    def __len__(self) -> int:
        """How many exchanges are on it."""
        return sum(map(len, self._entries.values()))

    def insert(self) -> None:
        """Put the tape in, in place of the one that is in now."""
        global _current
        if _current is self:
            return
        if _current is not None:
            session.remove_wrapper(_current.wrap)
        self._before, _current = _current, self
        if self.mode != "live":
            session.add_wrapper(self.wrap)

    def close(self) -> None:
        """Take the tape out; from now on calls are live. Harmless on one that is not in."""
        global _current
        session.remove_wrapper(self.wrap)
        if _current is self:
            _current = None

    def __enter__(self) -> Self:
        """The tape, in until the end of the block."""
        self.insert()
        return self

    def __exit__(self, *exc: object) -> None:
        """Take the tape out and put back the one that was in before."""
        before, self._before = self._before, None
        self.close()
        if before is not None and _current is None:
            before.insert()
            before._before = None

    def wrap(self, provider: ILLMProvider) -> ILLMProvider:
        """The provider behind this tape."""
        return TapedProvider(provider, self)

    def find(self, request: Request) -> tuple[int, Played | None]:
        """The request's number among equal ones and its recording, each one given once.

        No recording means that a live call is to be made and recorded under that number. Raises
        ``MissingRecordingError`` when none may be made.
        """
        key = key_of(request)
        with self._lock:
            number = self._asked[key]
            self._asked[key] += 1
            entries = self._entries.get(key, [])
            if self.mode != "record" and number < len(entries):
                self.played += 1
                return number, self._load(entries[number])
        forbidden = session.live_calls_forbidden()
        if self.mode == "record" or (self.mode == "auto" and forbidden is None):
            return number, None
        raise MissingRecordingError(self._missing(request, number, len(entries)))

    def _load(self, entry: Entry) -> Played:
        try:
            return load(entry.body)
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise TapeError(
                f"the tape {self.path!r} holds an exchange that cannot be read ({err!r}, asked for "
                f"{_prompt(entry.request)!r}): record it again with mode='record'"
            ) from err

    def keep(self, request: Request, number: int, body: dict[str, Any]) -> None:
        """Write one exchange that was made live, under the number ``find`` gave its request."""
        with self._lock:
            if self._fresh:
                self.file.start_anew()
                self._fresh = False
            entry = Entry(request, {"ordinal": number, **body})
            self.file.append(entry)
            self._entries[key_of(request)].append(entry)
            self.recorded += 1

    def _missing(self, request: Request, number: int, known: int) -> str:
        model = f"{request['provider']}:{request['model']}".rstrip(":")
        if known:
            why = f"it was recorded {known} times and asked for once more"
        else:
            why = self._difference(request)
        return (
            f"the tape {self.path!r} has no recording of {_prompt(request)!r} for {model} ({why}): "
            "record it with GATHERING_TAPE_MODE=record, or mode='record'"
        )

    def _difference(self, request: Request) -> str:
        """In which fields the recording of the same prompt differs."""
        prompt = _prompt(request)
        same = [
            e.request for entries in self._entries.values() for e in entries if _prompt(e.request) == prompt
        ]
        if not same:
            return "no exchange with this prompt is on it" if len(self) else "the tape is empty or missing"
        differing = min(([f for f in request if request[f] != r.get(f)] for r in same), key=len)
        return f"a recording of this prompt differs in {', '.join(differing) or 'nothing that is shown'}"

    def __repr__(self) -> str:
        """The file alone: a saved notebook shows the same while recording and in replay."""
        return f"Tape({self.path!r})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return bundle(repr(self), markdown=f"tape `{self.path}`")


def _mode(mode: Mode | None) -> Mode:
    """The mode that counts: the one given, else the setting; under a test runner ``auto`` means ``replay``."""
    if mode is not None and mode not in get_args(Mode):
        raise ConfigurationError(f"the tape mode {mode!r} is unknown: use {', '.join(get_args(Mode))}")
    chosen: Mode = config.get("tape_mode") if mode in (None, "auto") else mode
    return "replay" if chosen == "auto" and session.under_test() else chosen


def _prompt(request: Request) -> str:
    """The last thing a person said in the request, shortened."""
    messages = request.get("messages") or []
    said = next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")
    return said if len(said) <= 80 else f"{said[:79]}…"


class TapedProvider(PlaybackProvider):
    """A provider behind a tape: it answers from the tape, and asks the provider only for what is to be recorded.

    Tokens are counted by estimate, so that recording and replaying choose the same context window without the model.
    """

    def __init__(self, provider: ILLMProvider, tape: Tape) -> None:
        super().__init__(provider, tape)
        self.tape = tape

    def is_available(self) -> bool:
        """A tape that only replays needs nothing."""
        return self.tape.mode == "replay" or self.provider.is_available()

    def why_unavailable(self) -> str | None:
        """What the provider says, when it is asked at all."""
        return None if self.tape.mode == "replay" else self.provider.why_unavailable()

    def get_token_count(self, text: str) -> int:
        """The estimate of any provider."""
        return ILLMProvider.get_token_count(self, text)

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """The estimate of any provider."""
        return ILLMProvider.count_tokens(self, messages, tools)
