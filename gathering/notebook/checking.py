"""``%gathering check``: the options of a line as checks of a reply, all of them tried before the cell fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gathering.core.errors import CheckFailedError, ConfigurationError, GatheringError
from gathering.testing import Check, check

__all__ = ["check_reply", "check_tagged"]

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
    for name, value in wanted.items():
        try:
            _one(checks, name, value, options, variable)
        except CheckFailedError as error:
            failed.append(str(error))
    if failed:
        raise CheckFailedError("; ".join(failed))
    return checks


def _one(
    checks: Check, name: str, value: Any, options: Mapping[str, Any], variable: Callable[[str], Any]
) -> None:
    if name in _FLAGS:
        getattr(checks, name)()
    elif name == "json_schema":
        checks.json_schema(variable(value))
    elif name == "similar":
        checks.similar(value, options.get("threshold", 0.7))
    elif name == "judged":
        checks.judged(value, by=options["by"])
    else:
        getattr(checks, name)(value)


def check_tagged(lines: Sequence[str]) -> str:
    """What a cell's tags ask for, done with the answer that was the cell's value; what failed, empty if nothing did.

    Called in the kernel by the test runner, after the cell.
    """
    from IPython.core.getipython import get_ipython

    from gathering.notebook.magics import Magic

    try:
        Magic(get_ipython()).run(f"check _ {' '.join(lines)}", None)
    except GatheringError as error:
        return str(error)
    return ""
