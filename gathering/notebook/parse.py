"""From the line and the body of ``%gathering`` to a request. Owns quoting and the order of words; does nothing.

The first word is a subcommand or ``@agent``; options come before the text, ``--`` ends them; words are quoted as
in a POSIX shell, but the text after them is taken as it is, so that an apostrophe needs no care.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.notebook.grammar import SUBCOMMANDS, Option, Subcommand

__all__ = ["Request", "Word", "clean_body", "parse", "words"]

_TEST_MARK = re.compile(r"^[ \t]*#[ \t]*(NBVAL_\w+|PYTEST_VALIDATE_\w+)[ \t]*$")
_ASSIGNED = re.compile(r"\s*([^\W\d]\w*)\s*<<(?:\s+|$)")


@dataclass(slots=True)
class Request:
    """What one ``%gathering`` asks for. ``text`` is the rest of the line, ``body`` the cell's, None without one."""

    subcommand: Subcommand
    names: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    body: str | None = None
    silent: bool = False

    @property
    def prompt(self) -> str:
        """The text of line and cell together."""
        return "\n".join(part for part in (self.text, self.body) if part)

    @property
    def output(self) -> str | None:
        """The variable that takes the result."""
        name: str | None = self.options.get("output")
        return name


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a line: its value, where it begins and ends, and whether it was quoted."""

    value: str
    start: int
    end: int
    quoted: bool


def parse(line: str, body: str | None = None) -> Request:
    """The request. Raises ``UnknownNameError`` and ``ConfigurationError``, each with the right form."""
    line, silent = _silenced(line)
    output, line = _assigned(line)
    reader = _Reader(line)
    request = _begun(reader)
    request.body = None if body is None else clean_body(body)
    request.silent = silent
    if output:
        request.options["output"] = output
    _read_words(reader, request)
    if "help" not in request.options:
        _check(request)
    return request


def clean_body(body: str) -> str:
    """The body without the marks that are meant for a test runner and without its last line end."""
    if "NBVAL_" in body or "PYTEST_VALIDATE_" in body:
        body = "\n".join(line for line in body.split("\n") if not _TEST_MARK.match(line))
    return body.removesuffix("\n")


def words(line: str) -> list[Word]:
    """The words of a line; an open quote ends with it. For completion, which sees lines half typed."""
    found, position = [], 0
    while (word := _word(line, position, strict=False)) is not None:
        found.append(word)
        position = word.end
    return found


def _silenced(line: str) -> tuple[str, bool]:
    """A ``;`` at the line's end silences, as it does after an expression."""
    bare = line.rstrip()
    return (bare[:-1], True) if bare.endswith(";") else (line, False)


def _assigned(line: str) -> tuple[str | None, str]:
    """``name << ...`` stores the result in ``name``."""
    match = _ASSIGNED.match(line)
    return (match[1], line[match.end() :]) if match else (None, line)


class _Reader:
    """A line, read word by word."""

    def __init__(self, line: str) -> None:
        self.line, self.position = line, 0

    def next(self) -> Word | None:
        """The next word, taken."""
        word = _word(self.line, self.position, strict=True)
        if word is not None:
            self.position = word.end
        return word

    def looks_like_option(self) -> bool:
        """Whether the next word begins as options do. A negative number is text."""
        return bool(re.match(r"\s*-(-|[^\W\d])", self.line[self.position :]))

    def rest(self) -> str:
        """What is left, taken as it is."""
        text = self.line[self.position :].strip()
        self.position = len(self.line)
        return text


def _begun(reader: _Reader) -> Request:
    """The request with its subcommand; options of every subcommand may stand before it."""
    request = Request(SUBCOMMANDS["status"])
    while reader.looks_like_option():
        _read_option(reader, request)
    first = reader.next()
    if first is None:
        if "help" in request.options:
            request.subcommand = SUBCOMMANDS["help"]
    elif first.value.startswith("@"):
        request.subcommand = SUBCOMMANDS["ask"]
        request.names.append(_agent_name(first.value))
    elif first.value in SUBCOMMANDS:
        request.subcommand = SUBCOMMANDS[first.value]
    else:
        raise UnknownNameError("subcommand", first.value, SUBCOMMANDS, "(an agent is asked with @NAME)")
    return request


def _read_words(reader: _Reader, request: Request) -> None:
    sub, options_over = request.subcommand, False
    while reader.line[reader.position :].strip():
        if reader.looks_like_option() and not options_over:
            options_over = _read_option(reader, request)
        elif sub.tail == "text" and len(request.names) == len(sub.needs):
            request.text = reader.rest()
        else:
            word = reader.next()
            assert word is not None
            request.names.append(word.value)


def _read_option(reader: _Reader, request: Request) -> bool:
    """Read one option into the request; True if it was ``--``, which ends them."""
    word, sub = reader.next(), request.subcommand
    assert word is not None
    if word.value == "--":
        return True
    name, equals, value = word.value.partition("=")
    option = sub.option(name)
    if option is None:
        raise UnknownNameError(
            "option", name, sub.option_names(), f"(%gathering help {sub.name} shows them all)"
        )
    if option.read is None:
        if equals:
            raise ConfigurationError(f"{name} takes no value, got {value!r}: write it alone")
        request.options[option.key] = True
        return False
    if not equals:
        following = reader.next()
        if following is None:
            raise ConfigurationError(
                f"{name} needs a value: write {name} {option.metavar}, the text comes after it"
            )
        value = following.value
    if option.several:
        request.options.setdefault(option.key, []).append(_value(option, value))
    else:
        request.options[option.key] = _value(option, value)
    return False


def _value(option: Option, text: str) -> Any:
    assert option.read is not None
    try:
        return option.read(text)
    except ValueError as err:
        raise ConfigurationError(f"{option.name} {text!r} is not usable: give {err}") from err


def _check(request: Request) -> None:
    """As many words as the subcommand takes; agents without their @."""
    sub = request.subcommand
    right = f"write %gathering {sub.usage}"
    if len(request.names) < len(sub.needs):
        raise ConfigurationError(f"{sub.name} needs {sub.needs[len(request.names)]}: {right}")
    most = len(sub.needs) + len(sub.may)
    if sub.tail != "many" and len(request.names) > most:
        raise ConfigurationError(f"{sub.name} has no use for {request.names[most]!r}: {right}")
    if request.body is not None and not sub.body and request.body.strip():
        raise ConfigurationError(f"{sub.name} takes no cell: {right} with one %")
    if "NAME" in sub.needs:
        request.names[0] = _agent_name(request.names[0])


def _agent_name(word: str) -> str:
    name = word.removeprefix("@")
    if not name:
        raise ConfigurationError("'@' names no agent: write @NAME, %gathering agents lists them")
    return name


_QUOTED = {"'": re.compile(r"[^']*"), '"': re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)}
_PLAIN = re.compile(r"(?:[^\s'\"\\]|\\.)+", re.DOTALL)


def _word(line: str, position: int, *, strict: bool) -> Word | None:
    """The word that begins at or after ``position``, as a POSIX shell would read it."""
    start = position + len(line[position:]) - len(line[position:].lstrip())
    if start >= len(line):
        return None
    value, end, quoted = [], start, False
    while end < len(line) and not line[end].isspace():
        mark = line[end]
        if mark in _QUOTED:
            match = _QUOTED[mark].match(line, end + 1)
            assert match is not None
            if strict and line[match.end() : match.end() + 1] != mark:
                raise ConfigurationError(
                    f"the quote in {line[start:].strip():.60} is not closed: "
                    "close it, or put it after the words and options"
                )
            value.append(match[0] if mark == "'" else re.sub(r'\\(["\\])', r"\1", match[0]))
            end, quoted = min(match.end() + 1, len(line)), True
        else:
            match = _PLAIN.match(line, end)
            piece = match[0] if match else line[end]
            value.append(re.sub(r"\\(.)", r"\1", piece, flags=re.DOTALL))
            end += len(piece)
    return Word("".join(value), start, end, quoted)
