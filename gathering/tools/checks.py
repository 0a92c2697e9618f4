"""What the built-in tools check alike: their options when they are made, their arguments before they run.

Owns the wording of those complaints. What an option or an argument means is the business of its tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gathering.core.errors import ConfigurationError, ToolFailed, UnknownNameError, nearest, shown
from gathering.core.results import ToolPermission, ToolResult, result_of

__all__ = ["above_zero", "arguments_of", "options_of", "outcome_of", "permissions_of", "text_or_form"]


def options_of(tool: str, config: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """The options a tool of plain data was given, without its type. Raises ``UnknownNameError``."""
    for option in config:
        if option not in (*known, "name", "type"):
            raise UnknownNameError(f"option of the tool {tool!r}", str(option), known)
    return {k: v for k, v in config.items() if k != "type" and v is not None}


def permissions_of(tool: str, wanted: Iterable[ToolPermission | str] | str) -> tuple[ToolPermission, ...]:
    """The permissions of these names, in any case. Raises ``ConfigurationError``."""
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    try:
        return tuple(p if isinstance(p, ToolPermission) else ToolPermission(str(p).lower()) for p in names)
    except ValueError as err:
        known = ", ".join(p.value for p in ToolPermission)
        raise ConfigurationError(f"the tool {tool!r}: {err}. Known permissions: {known}") from err


def above_zero(tool: str, option: str, value: Any) -> Any:
    """The number, if it is one above zero. Raises ``ConfigurationError``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigurationError(f"the tool {tool!r} has {option}={value!r}: give a number above 0")
    return value


def arguments_of(tool: str, input_data: Any, known: Sequence[str]) -> dict[str, Any]:
    """The arguments by name, None where one is left out. Raises ``ToolFailed`` for what is no object of these."""
    if not isinstance(input_data, Mapping):
        raise ToolFailed(f"{tool} takes an object with {', '.join(known)}, got {shown(input_data)}")
    for key in input_data:
        if key not in known:
            close = nearest(text_or_form(key), known)
            advice = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise ToolFailed(f"{tool} has no argument {shown(key, 40)}: {advice}")
    return {name: input_data.get(name) for name in known}


def text_or_form(value: Any) -> str:
    """A text as it is, anything else as it is shown: for what a model may have put in a text's place."""
    return value if isinstance(value, str) else shown(value)


def outcome_of(act: Callable[[], Any]) -> ToolResult:
    """What the act gives as a result; what it refuses with ``ToolFailed`` as a failed one."""
    try:
        output = act()
    except ToolFailed as refusal:
        return ToolResult(success=False, error=str(refusal))
    return result_of(output)
