"""Completion for ``%gathering``: on its line, and inside the cell below ``%%gathering``. No network, no import of pandas.

Owns where the cursor is and what could stand there; the grammar and the registries say what exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gathering.core import config
from gathering.core.registry import PROVIDERS, TOOLS
from gathering.notebook.grammar import SUBCOMMANDS, TAPE_WORDS, Option, Subcommand
from gathering.notebook.parse import Word, words
from gathering.notebook.space import Space

__all__ = ["candidates", "matcher_for"]

_LINE = re.compile(r"^\s*(?:[\w.]+\s*=\s*)?%{1,2}gathering(?:[ \t]+|$)")
_OPEN_BRACES = re.compile(r"\{\{[ \t]*([^\W\d]\w*)?$")
_BODY_AGENT = re.compile(r"(?:^|\s)(@\w*)$")
_LAST_WORD = re.compile(r"[^\s,\[\]{}'\":]*$")
_KEYS = (
    "age",
    "competencies",
    "history",
    "llm_provider",
    "max_rounds",
    "memory",
    "model",
    "params",
    "personality_blocks",
    "system_prompt",
    "tools",
)


def matcher_for(shell: Any) -> Callable[[Any], Any]:
    """A matcher for IPython's completer."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    def gathering_matcher(context: Any) -> dict[str, Any]:
        """What could be written where the cursor is in a %gathering line or cell."""
        found = candidates(
            context.full_text, context.cursor_line, context.cursor_position, Space(shell.user_ns)
        )
        if found is None:
            return {"completions": [], "suppress": False}
        fragment, texts = found
        completions = [SimpleCompletion(text, type="gathering") for text in texts]
        return {
            "completions": completions,
            "suppress": True,
            "matched_fragment": fragment,
            "ordered": True,
        }

    matcher: Callable[[Any], Any] = context_matcher()(gathering_matcher)
    return matcher


def candidates(text: str, line: int, column: int, space: Space) -> tuple[str, list[str]] | None:
    """The fragment before the cursor and what it could become; None where ``%gathering`` is not meant."""
    lines = text.split("\n")
    before = lines[line][:column]
    on_line = _LINE.match(before)
    if on_line:
        fragment, found = _on_line(before[on_line.end() :], space)
    elif line > 0 and lines[0].startswith("%%gathering") and _LINE.match(lines[0]):
        fragment, found = _in_body(lines, line, before, space)
    else:
        return None
    return fragment, sorted({c for c in found if c.startswith(fragment)})


def _on_line(before: str, space: Space) -> tuple[str, Iterable[str]]:
    braces = _OPEN_BRACES.search(before)
    if braces:
        return braces[1] or "", _variables(space)
    done = words(before)
    word = done.pop() if done and not before[-1:].isspace() else Word("", len(before), len(before), False)
    fragment = before[word.start :]
    if not done:
        return fragment, [*SUBCOMMANDS, *_agents(space, "@")]
    sub = SUBCOMMANDS["ask"] if done[0].value.startswith("@") else SUBCOMMANDS.get(done[0].value)
    if sub is None:
        return fragment, []
    option = _waiting(done, sub)
    if option is not None:
        return _last_of_chain(fragment), _values(option, space)
    if fragment.startswith("-"):
        return fragment, sub.option_names()
    return _last_of_chain(fragment), _positional(sub, _count(done, sub), space)


def _last_of_chain(fragment: str) -> str:
    """In ``"a | b"``, a chain of models, the one that is being written."""
    return fragment.rpartition("|")[2].lstrip()


def _waiting(done: list[Word], sub: Subcommand) -> Option | None:
    """The option whose value comes next, if one was begun."""
    option = sub.option(done[-1].value)
    return option if option is not None and option.read is not None else None


def _count(done: list[Word], sub: Subcommand) -> int:
    """How many of the subcommand's own words are there, options and their values left out."""
    count, valued = 0, False
    for word in done[1:]:
        option = sub.option(word.value)
        if option is None and not valued and not word.value.startswith("-"):
            count += 1
        valued = option is not None and option.read is not None
    return count + (1 if done[0].value.startswith("@") else 0)


def _positional(sub: Subcommand, index: int, space: Space) -> Iterable[str]:
    kinds = (*sub.needs, *sub.may)
    kind = kinds[index] if index < len(kinds) else kinds[-1] if sub.tail == "many" else ""
    if sub.name == "config":
        return config.names() if index == 0 else []
    if sub.name == "check":
        return _variables(space)
    if kind == "MODEL":
        return [*_models(), *(_agents(space, "@") if sub.tail == "many" else [])]
    offered: dict[str, Callable[[], Iterable[str]]] = {
        "NAME": lambda: _agents(space),
        "SUBCOMMAND": lambda: list(SUBCOMMANDS),
        "FILE": lambda: [*(TAPE_WORDS if index == 0 else ()), *_tapes()],
        "PROVIDER": lambda: list(PROVIDERS),
    }
    return offered.get(kind, list)()


def _tapes() -> list[str]:
    return [path.as_posix() for pattern in ("*.jsonl", "*/*.jsonl") for path in Path().glob(pattern)]


def _values(option: Option, space: Space) -> Iterable[str]:
    if option.choices:
        return option.choices
    return _models() if option.metavar == "MODEL" else _variables(space) if option.metavar == "NAME" else []


def _in_body(lines: list[str], line: int, before: str, space: Space) -> tuple[str, Iterable[str]]:
    braces = _OPEN_BRACES.search(before)
    if braces:
        return braces[1] or "", _variables(space)
    named = words(lines[0].partition("gathering")[2])
    if named and named[0].value == "agent":
        return _in_description("\n".join([*lines[1:line], before]))
    agent = _BODY_AGENT.search(before)
    return (agent[1], _agents(space, "@")) if agent else ("", [])


def _in_description(before: str) -> tuple[str, Iterable[str]]:
    """In the YAML of an agent: a key at a line's beginning, names of parts after it."""
    last = before.rpartition("\n")[2]
    if re.fullmatch(r"\w*", last):
        return last, [f"{key}: " for key in _KEYS]
    fragment = _LAST_WORD.search(before)
    keys = re.findall(r"^(\w+):", before, re.MULTILINE)
    key = keys[-1] if keys else ""
    if key == "model":
        return _last_of_chain(last.partition(":")[2].lstrip()), _models()
    return (fragment[0] if fragment else ""), _parts(key)


def _parts(key: str) -> Iterable[str]:
    if key == "tools":
        return list(TOOLS)
    if key == "personality_blocks":
        from gathering.agents.library import LIBRARY

        return list(LIBRARY)
    return []


def _models() -> list[str]:
    """Models that can be named without asking anybody: the providers, and what was configured."""
    return [*PROVIDERS, str(config.get("model"))]


def _agents(space: Space, prefix: str = "") -> list[str]:
    return [prefix + name for name in space.agents()]


def _variables(space: Space) -> list[str]:
    import types

    return [
        n for n, v in space.names.items() if not n.startswith("_") and not isinstance(v, types.ModuleType)
    ]
