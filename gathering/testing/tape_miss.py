"""What an entry is about, and how two requests differ, in words. Owns sentences; reads no file."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gathering.core.errors import MissingRecordingError
from gathering.core.messages import text_of
from gathering.core.stored import Request

__all__ = ["differences", "kind_of", "missing", "nearest_request", "prompt_of", "title"]

_SHOWN = 80
#: So many differing fields are named in the error; all of them are in its ``differences``.
_NAMED = 4
#: Of a long text this much is shown around the place where it changed.
_AROUND = 30
_MISSING = object()


def kind_of(request: Request) -> str:
    """``call``, ``tool call``, ``permission`` or ``embedding``."""
    if "tool" in request:
        return "tool call"
    return "permission" if "permission" in request else "embedding" if "embed" in request else "call"


def prompt_of(request: Request) -> str:
    """The last thing a person said in the request; of a tool call or a permission, the tool and its arguments.

    Of an embedding its texts.
    """
    if "embed" in request:
        return " | ".join(map(str, request["embed"]))
    if kind_of(request) != "call":
        name = request.get("tool") or request.get("asked_for")
        return f"{name}({json.dumps(request.get('arguments'), ensure_ascii=False, default=str)})"
    messages = request.get("messages") or []
    return next((text_of(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), "")


def title(request: Request) -> str:
    """The entry in a few words, for a list: its prompt on one line, shortened."""
    return _cut(" ".join(prompt_of(request).split()))


def missing(path: str, request: Request, known: int, others: Iterable[Request]) -> MissingRecordingError:
    """The error that the tape at ``path`` has no recording of the request, with the nearest of the others.

    ``known`` is how many recordings of an equal request there are, all of them played.
    """
    found: list[str] = []
    if known:
        why = f"it was recorded {known} times and asked for once more"
    elif (nearest := nearest_request(request, others)) is None:
        why = f"no {kind_of(request)} is on it: is the tape empty or missing?"
    else:
        found = differences(nearest, request)
        same = title(nearest) == title(request)
        what = "a recording of this prompt" if same else f"the nearest, {title(nearest)!r},"
        why = f"{what} differs in {'; '.join(found[:_NAMED])}"
    model = f"{request.get('provider', '')}:{request.get('model', '')}".strip(":")
    return MissingRecordingError(
        f"the tape {path!r} has no recording of {title(request)!r} for {model or request.get('agent')} ({why}): "
        "record it with GATHERING_TAPE_MODE=record, mode='record' or 'gathering tape rerecord'",
        prompt=prompt_of(request),
        differences=found,
    )


def nearest_request(request: Request, known: Iterable[Request]) -> Request | None:
    """The recorded request most like this one: of the same kind, then with the same prompt, then in all the rest."""
    kind = kind_of(request)
    candidates = [other for other in known if kind_of(other) == kind]
    return max(candidates, key=lambda other: _likeness(request, other), default=None)


def _likeness(one: Request, other: Request) -> tuple[float, int]:
    first, second = prompt_of(one)[:2000], prompt_of(other)[:2000]
    alike = 1.0 if first == second else difflib.SequenceMatcher(None, first, second).quick_ratio()
    return round(alike, 3), -sum(1 for _ in itertools.islice(_walk(one, other), 50))


def differences(then: Request, now: Request) -> list[str]:
    """One line for each field that differs, ``field: then -> now``, the telling ones first."""
    found = [f"{field}: {before} -> {after}" for field, before, after in _walk(then, now)]
    order = ("provider", "model", "params", "tools", "system", "prompt")
    return sorted(
        found, key=lambda line: next((i for i, word in enumerate(order) if line.startswith(word)), 9)
    )


def _walk(then: Request, now: Request) -> Iterator[tuple[str, str, str]]:
    for name in {**then, **now}:
        before, after = then.get(name), now.get(name)
        if before == after:
            continue
        if name == "messages":
            yield from _messages(before or [], after or [])
        elif name == "tools":
            yield from _compared("tools", _by_name(before), _by_name(after))
        else:
            yield from _compared(name, before, after)


def _messages(then: list[Any], now: list[Any]) -> Iterator[tuple[str, str, str]]:
    """System prompts together, so that one more or less does not shift all the others."""
    if (before := _system(then)) != (after := _system(now)):
        yield "system", *_excerpts(before, after)
    then, now = _without_system(then), _without_system(now)
    last = max((i for i, m in enumerate(now) if m.get("role") == "user"), default=-1)
    for index, (one, other) in enumerate(itertools.zip_longest(then, now)):
        place = "prompt" if index == last else f"messages[{index}]"
        if one is None or other is None or one.get("role") != other.get("role"):
            yield place, _said(one), _said(other)
        elif one != other:
            yield from _compared(place, _flat(one), _flat(other))


def _system(messages: list[Any]) -> str:
    return "\n\n".join(text_of(m.get("content")) for m in messages if m.get("role") == "system")


def _without_system(messages: list[Any]) -> list[Any]:
    return [m for m in messages if m.get("role") != "system"]


def _flat(message: Mapping[str, Any]) -> Any:
    """A message that is nothing but text as that text."""
    return text_of(message.get("content")) if set(message) == {"role", "content"} else message


def _said(message: Mapping[str, Any] | None) -> str:
    return "none" if message is None else f"{message.get('role')} {_cut(text_of(message.get('content')))!r}"


def _by_name(tools: Any) -> dict[str, Any]:
    return {str(tool.get("name")): tool for tool in tools or ()}


def _compared(place: str, then: Any, now: Any) -> Iterator[tuple[str, str, str]]:
    """The places at which two JSON values differ, as deep as both have the same form."""
    if then == now:
        return
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in {**then, **now}:
            yield from _compared(f"{place}.{name}", then.get(name, _MISSING), now.get(name, _MISSING))
    elif isinstance(then, str) and isinstance(now, str):
        yield place, *_excerpts(then, now)
    else:
        yield place, _shown(then), _shown(now)


def _shown(value: Any) -> str:
    return "none" if value is _MISSING else _cut(json.dumps(value, ensure_ascii=False, default=str))


def _excerpts(then: str, now: str) -> tuple[str, str]:
    """Both texts around the first place where they differ."""
    same = next(
        (i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), min(len(then), len(now))
    )
    start = 0 if same <= _AROUND else same - _AROUND
    return _excerpt(then, start), _excerpt(now, start)


def _excerpt(text: str, start: int) -> str:
    return repr(("…" if start else "") + _cut(text[start:]))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
