"""``{{ expression }}`` in a prompt, replaced by its value. Owns nothing else: all other braces and dollars stay.

Double braces around what is no Python expression stay too if they hug their content, as in ``{{Deep Learning}}``
of a bibliography; with spaces inside, ``{{ amount + }}``, they are a mistake and said to be one.
"""

from __future__ import annotations

import re
from types import CodeType
from typing import Any

from gathering.core.errors import ConfigurationError, UnknownNameError

__all__ = ["expand"]

_LITERAL = "literal braces are written {{ '{{' }}"
#: How far an expression may reach, so that a large text with many open braces is read in one pass.
_LONGEST = 1000
_TRIES = 20


def expand(text: str, namespace: dict[str, Any]) -> str:
    """The text with every ``{{ expression }}`` replaced by ``str`` of its value.

    Raises ``UnknownNameError`` for a name that is not there and ``ConfigurationError`` for what cannot be evaluated.

    >>> expand("15% of {{ amount * 2 }} is {x} and $5", {"amount": 50})
    '15% of 100 is {x} and $5'
    """
    pieces, position = [], 0
    while (start := text.find("{{", position)) != -1:
        pieces.append(text[position:start])
        found = _expression(text, start)
        if found is None:
            pieces.append("{")
            position = start + 1
        else:
            code, source, position = found
            pieces.append(_value(code, source, namespace))
    pieces.append(text[position:])
    return "".join(pieces)


def _expression(text: str, start: int) -> tuple[CodeType, str, int] | None:
    """The expression that begins at ``start`` with its source and its end, None if these are only braces."""
    end, first_end = start + 2, -1
    for _ in range(_TRIES):
        end = text.find("}}", end, start + _LONGEST)
        if end == -1:
            break
        source = text[start + 2 : end].strip()
        code = _compiled(source)
        if code is not None:
            return code, source, end + 2
        first_end = end if first_end == -1 else first_end
        end += 1
    if first_end != -1 and re.match(r"[ \t]\s*\S.*\s$", text[start + 2 : first_end], re.DOTALL):
        wrong = text[start : first_end + 2]
        raise ConfigurationError(f"{wrong!r:.80} is no Python expression: correct it; {_LITERAL}")
    return None


def _compiled(source: str) -> CodeType | None:
    if not source:
        return None
    try:
        return compile(source, "<{{ }}>", "eval")
    except (SyntaxError, ValueError):  # ValueError: a NUL in the text
        return None


def _value(code: CodeType, source: str, namespace: dict[str, Any]) -> str:
    try:
        return str(eval(code, namespace))  # noqa: S307 - the user's own expression in the user's own notebook
    except NameError as err:
        raise UnknownNameError(
            "variable", err.name or source, _names(namespace), f"(in {{{{ {source:.60} }}}}; {_LITERAL})"
        ) from err
    except Exception as err:  # whatever the expression raises becomes one line
        raise ConfigurationError(
            f"{{{{ {source:.60} }}}} cannot be evaluated ({type(err).__name__}: {err}): correct the expression"
        ) from err


def _names(namespace: dict[str, Any]) -> list[str]:
    return [name for name in namespace if not name.startswith("_")]
