"""The tape: what models, tools and persons answered, recorded once and given again without network, key or weights.

Owns when an exchange is recorded and when it is replayed. The file is ``gathering.testing.tape_file``'s, the form of one
exchange ``gathering.core.stored``'s, tools and permissions ``gathering.testing.tape_acts``'. A tape stands before every
provider, also a user's own: it wraps the interface, not a service.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any, Literal, Self, TypeAlias, get_args

from gathering.core import config, session
from gathering.core.display import bundle
from gathering.core.errors import ConfigurationError, MissingRecordingError, TapeError
from gathering.core.interfaces import ILLMProvider, ITool
from gathering.core.messages import ToolCall
from gathering.core.permissions import Asker, PermissionRequest, set_witness
from gathering.core.stored import Played, Request, load
from gathering.testing import tape_acts
from gathering.testing.parameters import tape_of_set
from gathering.testing.tape_clock import TapeClock
from gathering.testing.tape_editing import keep_used
from gathering.testing.tape_file import Entry, Place, TapeFile
from gathering.testing.tape_lines import tape_key
from gathering.testing.tape_miss import kind_of, missing, title
from gathering.testing.tape_modes import Mode, chosen_mode
from gathering.testing.tape_private import hidden, private_texts
from gathering.testing.tape_provider import TapedProvider

__all__ = [
    "Tape",
    "Unused",
    "current_tape",
    "is_rehearsal",
    "missed_entries",
    "opened",
    "rehearse",
    "tape",
    "unused_entries",
]

Unused: TypeAlias = Literal["error", "ignore"]
#: Where the results of tools and a person's decisions come from.
Tools: TypeAlias = Literal["tape", "live"]

#: So many entries are looked at to find the one nearest to a request that is not on the tape.
_LOOKED_AT = 300
#: So many entries that nobody played are named in the error.
_NAMED = 4
#: The kinds of entries that are on a tape also where tools are live.
_OF_MODELS = ("call", "embedding")

_current: Tape | None = None
_opened: list[Tape] = []
_untold: deque[str] = deque(maxlen=20)
_rehearsing = False


def tape(
    path: str | PathLike[str],
    mode: Mode | None = None,
    speed: float = 0,
    *,
    tools: Tools = "tape",
    unused: Unused = "error",
    private: Iterable[str] = (),
) -> Tape:
    """The tape in this file, put in: from now on all exchanges pass through it, until it or another one is closed.

    ``mode`` is ``auto`` (replay what is recorded, record what is not; under a test runner only replay), ``record``
    (everything anew), ``replay`` or ``live`` (as without a tape). Without one the setting ``tape_mode`` counts.
    ``speed`` is the rhythm of a replayed stream: 0 at once, 1 as it was. With ``tools="live"`` tools run and persons are
    asked also in replay; otherwise what they answered is on the tape. ``private`` texts are masked on the tape, as
    keys are. Also a context manager: at the end of a block in replay, an entry that nobody played is a ``TapeError``
    unless ``unused="ignore"``. Raises ``TapeError`` for a file that is no tape; the file is left as it is.
    """
    made = Tape(path, mode, speed, tools=tools, unused=unused, private=private)
    made.insert()
    return made


def opened() -> list[Tape]:
    """All tapes that were put in in this process, also those that are out again, in that order."""
    return list(_opened)


def _recorded_here(file: TapeFile) -> bool:
    return any(one.recorded and one.file.path == file.path for one in _opened)


def unused_entries() -> str:
    """What ``check_unused`` of the tapes of this process says, in one text; empty where every entry was played."""
    said = []
    for one in _opened:
        try:
            one.check_unused()
        except TapeError as error:
            said.append(str(error))
    return "\n".join(said)


def missed_entries() -> str:
    """What the tapes of this process missed since this was asked last, as their errors said it; empty for nothing."""
    said = "\n".join(dict.fromkeys(_untold))
    _untold.clear()
    return said


def rehearse() -> None:
    """Let tapes be used, in this process, to learn what is used of them: see ``gathering.testing.tape_rehearsal``."""
    global _rehearsing
    _rehearsing = True


def is_rehearsal() -> bool:
    """Whether this process runs a notebook for ``gathering tape rerecord`` or ``prune``."""
    return _rehearsing


def current_tape() -> Tape | None:
    """The tape that is in now."""
    return _current


class Tape:
    """The recorded exchanges of one file. ``insert()`` puts it before all providers, ``close()`` takes it out.

    Equal requests are told apart by their order: the second time the same is asked, the second recording answers.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        mode: Mode | None = None,
        speed: float = 0,
        *,
        tools: Tools = "tape",
        unused: Unused = "error",
        private: Iterable[str] = (),
    ) -> None:
        self.file = TapeFile(tape_of_set(path, config.get("tape_set")))
        self.mode = chosen_mode(mode, recorded_here=_recorded_here(self.file))
        if speed < 0:
            raise ConfigurationError(f"speed = {speed!r} is not usable: give 0 (at once) or 1 (as it was)")
        _check("unused", unused, get_args(Unused))
        _check("tools", tools, get_args(Tools))
        self.speed, self.tools, self.when_unused = speed, tools, unused
        self.private = private_texts(private)
        self.played = self.recorded = 0
        self._lock = threading.Lock()
        self._asked: dict[str, int] = defaultdict(int)
        self._places: dict[str, list[Place]] = defaultdict(list)
        self._played: dict[tuple[str, int], bool] = {}  # in that order; whether it was recorded here
        self._missed: list[str] = []
        self._before: Tape | None = None
        self._clock: TapeClock | None = None
        self._fresh = self.mode == "record"
        if self._fresh:
            self.file.check_replaceable()
        elif self.mode != "live":
            self.reread()

    @property
    def path(self) -> str:
        """The file, as it was named."""
        return self.file.shown

    def __len__(self) -> int:
        """How many entries are on it."""
        return sum(map(len, self._places.values()))

    def reread(self) -> None:
        """Read again what is on the file, and play it from its beginning."""
        with self._lock:
            self._places.clear()
            self._places.update(_by_key(self.file.index()))
            self._asked.clear()
            self._played.clear()
            self._missed.clear()

    def insert(self) -> None:
        """Put the tape in, in place of the one that is in now."""
        global _current
        if _current is self:
            return
        if _current is not None:
            _current._take_out()
        self._before, _current = _current, self
        if self not in _opened:
            _opened.append(self)
        if self.mode == "live":
            return
        session.add_wrapper(self.wrap)
        if self.tools == "tape":
            session.add_tool_wrapper(self.wrap_tool)
            set_witness(self.decide)
        if self.mode == "replay":
            self._clock = self._clock or TapeClock(self.file.path.name, self._began())
            session.set_clock(self._clock)

    def close(self) -> None:
        """Take the tape out; from now on calls are live. Harmless on one that is not in."""
        global _current
        self._take_out()
        if _current is self:
            _current = None

    def _take_out(self) -> None:
        session.remove_wrapper(self.wrap)
        session.remove_tool_wrapper(self.wrap_tool)
        if _current is self:
            set_witness(None)
            session.set_clock(None)

    def __enter__(self) -> Self:
        """The tape, in until the end of the block."""
        self.insert()
        return self

    def __exit__(self, kind: object, error: BaseException | None, frames: object) -> None:
        """Take the tape out, put back the one that was in before, and ``check_unused`` unless something failed."""
        before, self._before = self._before, None
        self.close()
        if before is not None and _current is None:
            before.insert()
            before._before = None
        if error is None:
            self.check_unused()

    def wrap(self, provider: ILLMProvider) -> ILLMProvider:
        """The provider behind this tape; the provider itself where everything is live."""
        if self.mode == "live":
            return provider
        return TapedProvider(provider, self, only_replays=self.mode == "replay")

    def wrap_tool(self, tool: ITool, call: ToolCall, agent: str) -> ITool:
        """The tool that gives what is on this tape for the call, or what is to be put on it."""
        return tape_acts.wrapped_tool(self, tool, call, agent)

    def decide(self, request: PermissionRequest, ask: Asker) -> Any:
        """The decision on this tape, or the one to be put on it."""
        return tape_acts.decided(self, request, ask)

    def find(self, request: Request) -> tuple[int, Played | None]:
        """The request's number among equal ones and its recording, each one given once.

        No recording means that a live call is to be made and recorded under that number. Raises
        ``MissingRecordingError`` when none may be made.
        """
        number, entry = self.take(request)
        return number, None if entry is None else self._load(entry)

    def take(self, request: Request) -> tuple[int, Entry | None]:
        """The same for any entry, as it stands on the tape."""
        if kind_of(request) in _OF_MODELS:
            tape_acts.inside_a_tool()
        masked = hidden(request, self.private)
        key = tape_key(masked)
        with self._lock:
            number = self._asked[key]
            self._asked[key] += 1
            places = self._places.get(key, [])
            place = places[number] if self.mode != "record" and number < len(places) else None
        may_ask = self.mode == "record" or (self.mode == "auto" and session.live_calls_forbidden() is None)
        if place is not None:
            entry = self.file.load(place)
            if not (may_ask and "cut" in entry.body and not _rehearsing):  # stopped by hand: asked again
                with self._lock:
                    self.played += 1
                    self._played[place.key, place.ordinal] = False
                return place.ordinal, entry
            return place.ordinal, None
        if may_ask:
            return number, None
        raise self._missing(masked, len(places))

    def _load(self, entry: Entry) -> Played:
        try:
            played = load(entry.body)
        except (KeyError, TypeError, ValueError, AttributeError) as err:
            raise TapeError(
                f"the tape {self.path!r} holds an exchange that cannot be read ({err!r}, asked for "
                f"{title(entry.request)!r}): record it again with 'gathering tape rerecord', or mode='record'"
            ) from err
        if self._clock is not None and played.timing is not None:
            self._clock.played(played.timing.started_at + played.latency_ms / 1000)
        return played

    def _began(self) -> float:
        """When the tape was recorded: when its first exchange was."""
        places = sorted(itertools.chain.from_iterable(self._places.values()), key=lambda place: place.start)
        times = (self.file.load(place).body.get("started_at") for place in places)
        return next((float(time) for time in times if isinstance(time, (int, float))), 0.0)

    def _put(self, place: Place) -> None:
        self._places.update(_by_key([*self._places[place.key], place]))

    def keep(self, request: Request, number: int, body: dict[str, Any]) -> None:
        """Write one entry that was made live, under the number ``find`` gave its request."""
        entry = Entry(hidden(request, self.private), {"ordinal": number, **hidden(body, self.private)})
        with self._lock:
            if self._fresh:
                self.file.start_anew()
                self._fresh = False
            place = self.file.append(entry)
            self._put(place)
            self._played[place.key, place.ordinal] = True
            self.recorded += 1

    def unused(self) -> list[str]:
        """The prompts of the entries that nobody has played or recorded, in the file's order."""
        return [title(self.file.load(place).request) for place in self._left()]

    def missed(self) -> list[str]:
        """The prompts that were asked for and are not on the tape."""
        return list(self._missed)

    def used(self) -> dict[tuple[str, int], bool]:
        """The keys and ordinals of the entries that were played or recorded, in that order; True for recorded ones."""
        return dict(self._played)

    def prune(self) -> int:
        """Drop the entries that nobody has played or recorded since the tape was put in; how many."""
        with self._lock:
            gone = keep_used(self.file.path, self._played)
            self._places.clear()
            self._places.update(_by_key(self.file.index()))
        return gone

    def check_unused(self) -> None:
        """Raise ``TapeError`` if the tape is in replay and holds entries that nobody has played.

        Where something was missing, that was the error: the rest of the turn could not be played.
        """
        if self.mode != "replay" or self.when_unused == "ignore" or self._missed or _rehearsing:
            return
        if left := self.unused():
            shown = ", ".join(map(repr, left[:_NAMED])) + (", ..." if len(left) > _NAMED else "")
            raise TapeError(
                f"{len(left)} of {len(self)} entries of the tape {self.path!r} were not played ({shown}): "
                f"'gathering tape prune {self.path} --notebook NOTEBOOK' drops them, unused='ignore' allows them"
            )

    def _left(self) -> list[Place]:
        places = itertools.chain.from_iterable(self._places.values())
        left = sorted(
            (p for p in places if (p.key, p.ordinal) not in self._played), key=lambda place: place.start
        )
        if self.tools == "tape":
            return left
        return [place for place in left if kind_of(self.file.load(place).request) in _OF_MODELS]

    def _missing(self, request: Request, known: int) -> MissingRecordingError:
        self._missed.append(title(request))
        error = missing(self.path, request, known, self._candidates(kind_of(request)))
        _untold.append(str(error))
        return error

    def _candidates(self, kind: str) -> Iterator[Request]:
        """What may have been meant: first the entries of this kind that nobody has played yet."""
        places = itertools.chain.from_iterable(self._places.values())
        ordered = sorted(places, key=lambda place: ((place.key, place.ordinal) in self._played, place.start))
        requests = (self.file.load(place).request for place in ordered)
        return itertools.islice((r for r in requests if kind_of(r) == kind), _LOOKED_AT)

    def __repr__(self) -> str:
        """The file alone: a saved notebook shows the same while recording and in replay."""
        return f"Tape({self.path!r})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return bundle(repr(self), markdown=f"tape `{self.path}`")


def _by_key(places: Iterable[Place]) -> dict[str, list[Place]]:
    """The places of equal requests in the order of asking: side by side, they end in any. The last of a number counts."""
    found: dict[str, dict[int, Place]] = defaultdict(dict)
    for place in places:
        found[place.key][place.ordinal] = place
    return {key: [numbered[n] for n in sorted(numbered)] for key, numbered in found.items()}


def _check(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name} = {value!r} is not usable: give {' or '.join(map(repr, allowed))}")
