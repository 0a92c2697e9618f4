"""A cell of a notebook as a test: its name, and the checks its tags and metadata ask for.

Owns how they are read from the notebook's file; what a check is, is ``gathering.testing.checks``.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gathering.core.errors import ConfigurationError

__all__ = ["cell_label", "cell_names", "check_lines"]

#: Characters of a cell's name.
LONGEST = 60
_TAG = "check:"
_BRACKETS = str.maketrans("[]", "()")


def cell_label(source: str) -> str:
    r"""The first words of what a cell asks or does: of a magic's cell its body, of code the first line that is no comment.

    >>> cell_label("%%gathering ask ada -o reply\nWhat is 15% of 2500?")
    'What is 15% of 2500?'
    >>> cell_label("# set up\nimport gathering")
    'import gathering'
    """
    lines = [line.strip() for line in source.splitlines()]
    said = [line for line in lines if line and not line.startswith("#")]
    if said and said[0].startswith("%%") and len(said) > 1 and " agent " not in f"{said[0]} ":
        said = said[1:]
    # What pytest takes for its own in a name: the parts of an address, and parameters.
    text = re.sub(r"\s+", " ", said[0] if said else "").replace("::", ":").translate(_BRACKETS)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def cell_names(text: str) -> list[tuple[str, str]]:
    """Of each cell in a notebook's file what it is found again by, and its label.

    That is its id, or its label where it has none (older notebooks have no ids, and a reader makes up other ones each time):
    a cell that is put in above changes neither. Of several cells with the same label the later ones have a number.
    """
    seen: Counter[str] = Counter()
    found = []
    for cell in json.loads(text).get("cells") or ():
        source = cell.get("source") or ""
        label = cell_label(source if isinstance(source, str) else "".join(source))
        seen[label] += 1
        again = f" ({seen[label]})" if seen[label] > 1 else ""
        found.append((str(cell.get("id") or f"{label}{again}"), label))
    return found


def check_lines(metadata: Mapping[str, Any]) -> list[str]:
    """The arguments of ``%gathering check`` that a cell asks for without code, one text for each check.

    A tag ``check:contains=375`` or ``check:no-tool``; or, for what a tag cannot hold, in the cell's metadata
    ``{"gathering": {"check": {"contains": "375", "no-tool": true}}}``. Raises ``ConfigurationError``.
    """
    return [_line(name, value) for name, value in _wanted(metadata)]


def _wanted(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for tag in metadata.get("tags") or ():
        if isinstance(tag, str) and tag.startswith(_TAG):
            name, has_value, value = tag.removeprefix(_TAG).partition("=")
            yield name, value if has_value else True
    own = metadata.get("gathering")
    checks = own.get("check") if isinstance(own, Mapping) else None
    if checks is None:
        return
    if not isinstance(checks, Mapping):
        raise ConfigurationError(
            f'the cell\'s metadata gathering.check is {checks!r}: write {{"contains": "375", ...}}'
        )
    for name, value in checks.items():
        for one in value if isinstance(value, list) else [value]:
            yield str(name), one


def _line(name: str, value: Any) -> str:
    option = f"--{name.strip().replace('_', '-')}"
    if not re.fullmatch(r"--[a-z][a-z-]*", option):
        raise ConfigurationError(
            f"a cell asks for the check {name!r}, which is no name: as in check:contains=375"
        )
    return option if value is True else f"{option} {shlex.quote(str(value))}"
