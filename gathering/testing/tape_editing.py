"""A tape looked at and put in order: listed, checked, pruned, merged. What stays, stays byte for byte.

Owns no recording and no words of a command line. Every change writes a whole new file and puts it in the old one's place
at one stroke.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gathering.core.errors import TapeError
from gathering.testing.scan import findings
from gathering.testing.tape_file import Place, TapeFile
from gathering.testing.tape_lines import HEADER, MARKS, Scanned, encoded, scanned
from gathering.testing.tape_miss import kind_of, title

__all__ = ["Row", "keep_used", "merged", "problems", "pruned", "rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One entry, as it is listed. ``outcome`` is answer, error, cut, result or decision."""

    line: int
    kind: str
    prompt: str
    model: str
    ordinal: int
    outcome: str
    latency_ms: float | None
    bytes: int


def rows(path: str | Path) -> Iterator[Row]:
    """The entries of the tape, in the file's order. Raises ``TapeError``."""
    file = _existing(path)
    for place in file.index():
        entry = file.load(place)
        request = entry.request
        model = f"{request.get('provider', '')}:{request.get('model', '')}".strip(":")
        latency = entry.body.get("latency_ms", (entry.body.get("result") or {}).get("execution_time_ms"))
        yield Row(
            place.line,
            kind_of(request),
            title(request),
            model or str(request.get("agent", "")),
            place.ordinal,
            entry.outcome,
            latency,
            place.size,
        )


def problems(path: str | Path) -> list[str]:
    """What is wrong with the tape, one line each with the line's number; empty for a sound one."""
    file = _existing(path)
    try:
        places = file.index()
    except TapeError as error:
        return [str(error)]
    found: list[str] = []
    sound: list[Place] = []
    seen: dict[tuple[str, int], Place] = {}
    for place in places:
        try:
            file.load(place)
            sound.append(place)
        except TapeError as error:
            found.append(str(error))
        if before := seen.get((place.key, place.ordinal)):
            found.append(
                f"line {before.line} is taken over by line {place.line}: 'gathering tape prune' drops it"
            )
        seen[place.key, place.ordinal] = place
    if len(sound) == len(places):  # of a damaged entry nobody can tell what it uses
        unused = _unused_values(file, places)
        found += [f"line {number} holds a long text that no entry uses" for number in unused]
    return found + [str(finding) for finding in findings(file.path)]


def _unused_values(file: TapeFile, places: Iterable[Place]) -> list[int]:
    wanted = {found.key for line in file.lines(places) if (found := scanned(line)).ordinal is None}
    numbered = enumerate(file.path.read_bytes().splitlines(keepends=True), 1)
    values = [(number, scanned(line)) for number, line in numbered if number > 1 and line.strip()]
    return [number for number, value in values if value.ordinal is None and value.key not in wanted]


def pruned(path: str | Path) -> int:
    """Drop what no replay can use: what a later line takes over, long texts that no entry uses, half a last line.

    An entry whose request was changed by hand is taken as it is now. How many lines went.
    """
    file = _existing(path)
    before = _count(file.path)
    last = {(place.key, place.ordinal): place for place in file.index()}
    file.rewrite(_renewed(file, sorted(last.values(), key=lambda place: place.start)))
    return before - _count(file.path)


def _renewed(file: TapeFile, places: Iterable[Place]) -> Iterator[bytes]:
    """The lines of these entries; only one whose request was changed is written anew."""
    written: set[str] = set()
    for place in places:
        entry = file.decoded(place)
        if entry.key == place.key:
            pieces = [(scanned(line), line) for line in file.lines([place])]
        else:
            pieces = encoded(entry, written.__contains__)
        for found, line in pieces:
            if found.key not in written:
                yield line
            if found.ordinal is None:
                written.add(found.key)


def keep_used(path: str | Path, used: Mapping[tuple[str, int], bool]) -> int:
    """Drop the entries that were not used; those recorded anew take their place in the order of use. How many went.

    ``used`` is ``Tape.used()``, of one run or several together.
    """
    file = _existing(path)
    last = {(place.key, place.ordinal): place for place in file.index()}
    kept = [name for name in last if name in used and not used[name]]
    previous: tuple[str, int] | None = None
    for name, fresh in used.items():
        if fresh and name in last:
            kept.insert(kept.index(previous) + 1 if previous in kept else 0, name)
        previous = name
    file.rewrite(file.lines([last[name] for name in kept]))
    return len(last) - len(kept)


def merged(ours: str | Path, theirs: str | Path | None = None) -> tuple[int, int]:
    """Put the entries of both tapes into ``ours``, its own first; how many there are, and how many were double.

    Without ``theirs``, of the two sides between the marks that a git merge left in the file. Where both have an answer to
    the same request, that of ``ours`` stays.
    """
    file = TapeFile(ours)
    lines = _lines(file) + ([] if theirs is None else _lines(TapeFile(theirs)))
    kept: dict[tuple[str, int | None], bytes] = {}
    double = 0
    for found, line in lines:
        double += (found.key, found.ordinal) in kept and found.ordinal is not None
        kept.setdefault((found.key, found.ordinal), line)
    file.rewrite(list(kept.values()))
    return sum(ordinal is not None for _, ordinal in kept), double


def _lines(file: TapeFile) -> list[tuple[Scanned, bytes]]:
    """The lines without header and marks, each with what it is. Raises ``TapeError`` for one that is none."""
    content = _existing(file.shown).path.read_bytes().splitlines(keepends=True)
    header = HEADER.encode().rstrip()
    if not any(line.startswith(header) for line in content):
        raise file.wrong(1, "not a tape")
    found: list[tuple[Scanned, bytes]] = []
    for number, line in enumerate(content, 1):
        if line.startswith((*MARKS, header)) or not line.strip():
            continue
        try:
            found.append((scanned(line), line.rstrip(b"\r\n") + b"\n"))
        except ValueError as err:
            raise file.wrong(number, str(err)) from err
    return found


def _count(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _existing(path: str | Path) -> TapeFile:
    file = TapeFile(path)
    if not file.path.is_file():
        raise TapeError(f"there is no tape {file.shown!r}: name a file that is there")
    return file
