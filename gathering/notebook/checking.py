"""``%gathering check``: the options of a line as checks of a reply, all of them tried before the cell fails."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from gathering.core.errors import CheckFailedError, ConfigurationError, GatheringError
from gathering.testing import Check, check

__all__ = ["check_above", "check_reply", "check_tagged"]

#: Options that say more about another one.
_BESIDE = {"threshold": "similar", "by": "judged"}
#: Options that take no value.
_FLAGS = frozenset({"no_tool", "refused"})


def check_reply(reply: Any, options: Mapping[str, Any], variable: Callable[[str], Any]) -> Check:
    """The check, passed. Raises one ``CheckFailedError`` that names every expectation that does not hold.

    ``variable`` gives the value of a variable of the notebook, for ``--json-schema``.
    """
    wanted = {k: v for k, v in options.items() if hasattr(Check, k) and k not in _BESIDE}
    if not wanted:
        raise ConfigurationError(
            "nothing to check: add --contains TEXT or another option (%gathering check -h)"
        )
    for name, of in _BESIDE.items():
        if name in options and of not in wanted:
            raise ConfigurationError(f"--{name} belongs to --{of}: add it, or leave --{name} out")
    if "judged" in wanted and "by" not in options:
        raise ConfigurationError("--judged needs a model that judges: add --by MODEL")
    checks, failed = check(reply), []
    for name, value in ((n, v) for n, given in wanted.items() for v in _each(given)):
        try:
            _one(checks, name, value, options, variable)
        except CheckFailedError as error:
            failed.append(str(error))
    if failed:
        raise CheckFailedError("; ".join(failed))
    return checks


def _each(given: Any) -> Sequence[Any]:
    """What an option was given: several values, if it was there several times."""
    return given if isinstance(given, list) else [given]


def _one(
    checks: Check, name: str, value: Any, options: Mapping[str, Any], variable: Callable[[str], Any]
) -> None:
    if name in _FLAGS:
        getattr(checks, name)()
    elif name == "json_schema":
        checks.json_schema(variable(value))
    elif name == "satisfies":
        checks.satisfies(_function(value, variable), value)
    elif name == "tool_called":
        tool, arguments = _call(value)
        checks.tool_called(tool, **arguments)
    elif name == "similar":
        checks.similar(value, options.get("threshold", 0.7))
    elif name == "judged":
        checks.judged(value, by=options["by"])
    else:
        getattr(checks, name)(value)


def _function(name: str, variable: Callable[[str], Any]) -> Callable[..., Any]:
    found: Any = variable(name)
    if not callable(found):
        raise ConfigurationError(f"--satisfies {name}: it is no function: give one of the reply")
    return cast("Callable[..., Any]", found)


def _call(text: str) -> tuple[str, dict[str, Any]]:
    """The tool and the arguments of ``NAME`` or ``NAME(argument=value, ...)``; values are Python literals."""
    name, opened, _ = text.partition("(")
    if not opened:
        return text, {}
    try:
        call = ast.parse(f"_({text[len(name) + 1 :]}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("no arguments by name")
        return name.strip(), {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if k.arg}
    except (ValueError, SyntaxError) as err:
        raise ConfigurationError(
            f"--tool-called {text!r} is not usable: write NAME, or 'NAME(argument=\"value\")'"
        ) from err


def check_tagged(lines: Sequence[str]) -> str:
    """What a cell's tags ask for, done with the answer that was the cell's value; what failed, empty if nothing did.

    Asked of the kernel by the test runner, after the cell and outside any other.
    """
    shell = _shell()
    try:
        _check_value(shell, shell.execution_count - 1, lines)
    except GatheringError as error:
        return str(error)
    return ""


def check_above(lines: Sequence[str]) -> None:
    """The same as the cell after the tagged one. Raises what failed."""
    shell = _shell()
    _check_value(
        shell, shell.displayhook.prompt_count - 1, lines
    )  # execution_count has moved on in some IPythons


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _check_value(shell: Any, number: int, lines: Sequence[str]) -> None:
    from gathering.notebook.magics import Magic

    if number not in shell.user_ns.get("Out", ()):  # what `_` is then was an earlier cell's
        raise ConfigurationError("the cell has no value that its tags could check: end it with the answer")
    Magic(shell).run(f"check _{number} {' '.join(lines)}", None)
