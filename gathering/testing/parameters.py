"""A notebook run with other parameters: the cell tagged ``parameters`` says which there are, a cell after it sets others.

Owns the copy of the notebook and the name of a set of values, which gives each set a tape of its own. The convention is
papermill's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError, UnknownNameError

__all__ = ["parameters_of", "read_values", "set_name", "tape_of_set", "with_values"]

_TAG = "parameters"


def read_values(texts: Sequence[str]) -> dict[str, Any]:
    """The values of ``NAME=VALUE`` texts; a value that is no Python literal is a text. Raises ``ConfigurationError``."""
    return dict(_value(text) for text in texts)


def _value(text: str) -> tuple[str, Any]:
    name, given, value = text.partition("=")
    if not given or not name.strip().isidentifier():
        raise ConfigurationError(f"the parameter {text!r} is none: write NAME=VALUE, as in amount=500")
    try:
        return name.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return name.strip(), value


def set_name(values: Mapping[str, Any]) -> str:
    """A name for a set of values that a file can have: ``amount-500``; the same for the same set in any order."""
    parts = [f"{name}-{values[name]}" for name in sorted(values)]
    return re.sub(r"[^\w.-]+", "_", "_".join(parts))[:80]


def tape_of_set(tape: str | PathLike[str], name: str | None) -> Path:
    """The tape for the set of this name: ``lesson.amount-500.jsonl`` for ``lesson.jsonl``; the same without a name, or twice."""
    file = Path(tape)
    return (
        file.with_name(f"{file.stem}.{name}{file.suffix}")
        if name and not file.stem.endswith(f".{name}")
        else file
    )


def parameters_of(notebook: Any) -> dict[str, Any]:
    """The parameters of a notebook with their values, where those are literals (None where not)."""
    cell = _cell(notebook)
    found: dict[str, Any] = {}
    for node in [] if cell is None else ast.parse(cell.source).body:
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:
                found[target.id] = None
    return found


def with_values(notebook: Any, values: Mapping[str, Any], name: str) -> Any:
    """A copy of the notebook in which these parameters have these values.

    Raises ``ConfigurationError`` for a notebook without parameters, ``UnknownNameError`` for one it does not have.
    """
    import nbformat

    cell = _cell(notebook)
    if cell is None:
        raise ConfigurationError(
            f"{name} has no parameters: give the cell that sets them the tag 'parameters'"
        )
    known = parameters_of(notebook)
    for one in values:
        if one not in known:
            raise UnknownNameError(f"parameter of {name}", one, known)
    copy = deepcopy(notebook)
    source = "\n".join(f"{one} = {value!r}" for one, value in values.items())
    added: Any = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
        source, metadata={"tags": ["injected-parameters"]}
    )
    added["id"] = "injected-parameters"
    copy.cells.insert(notebook.cells.index(cell) + 1, added)
    return copy


def _cell(notebook: Any) -> Any:
    tagged = (c for c in notebook.cells if _TAG in c.metadata.get("tags", ()) and c.cell_type == "code")
    return next(tagged, None)
