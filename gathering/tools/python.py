"""Python code a model wrote, run where it can do nothing but calculate: the Python tool.

The code runs in pydantic-monty: an interpreter of its own in a process of its own, with no files, no network, no
environment and no way to the user's objects, stopped at limits of time and memory. Each call starts afresh. What
the language of that interpreter leaves out is its own business; this module owns the limits and the form of results.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from gathering.core.errors import ToolFailed, shown
from gathering.core.interfaces import ITool
from gathering.core.results import ToolPermission, ToolResult
from gathering.tools.checks import above_zero, arguments_of, options_of, permissions_of

if TYPE_CHECKING:
    from pydantic_monty import MontyError, ResourceLimits

__all__ = ["PythonTool"]

_OPTIONS = ("permissions", "timeout", "max_memory", "max_output")
_GRACE = 1.0  # seconds the process has to stop by itself before it is ended
_LONGEST_CODE = 100_000
_LONGEST_ERROR = 500
_DEEPEST = 50
_RECURSION = 200
_LONGEST_NUMBER = 14_000  # bits; Python itself does not write longer ones down
_EXAMPLES: tuple[tuple[str, str], ...] = (
    ("What is the sum of the squares from 1 to 10?", "sum(n * n for n in range(1, 11))"),
    ("How many vowels has 'notebook'?", "len([c for c in 'notebook' if c in 'aeiou'])"),
    ("Which weekday was 1 May 2024?", "import datetime\ndatetime.date(2024, 5, 1).strftime('%A')"),
    ("Print the first five powers of two.", "for n in range(5):\n    print(2 ** n)"),
)


class PythonTool(ITool):
    """Runs Python code in a sandbox: no files, no network, limits on time and memory.

    ``timeout`` is in seconds, ``max_memory`` in bytes, ``max_output`` bounds what is printed
    (bytes) and the result (characters and items). Needs ``pip install 'gathering[python]'``; raises ``ConfigurationError`` for a limit that is none.
    """

    def __init__(
        self,
        permissions: Sequence[ToolPermission | str] | str = (ToolPermission.EXECUTE,),
        *,
        name: str = "python",
        timeout: float = 5.0,
        max_memory: int = 64 * 2**20,
        max_output: int = 50_000,
    ) -> None:
        super().__init__(name, "python", {"permissions": permissions_of(name, permissions)})
        self.timeout = above_zero(name, "timeout", timeout)
        self.max_memory = int(above_zero(name, "max_memory", max_memory))
        self.max_output = int(above_zero(name, "max_output", max_output))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The tool with the options of the class."""
        return cls(**options_of("python", config, _OPTIONS))

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The value of the last line of ``{"code": ...}``, what was printed, or both under their names.

        What the code raises, and a limit it runs into, is a failed result.
        """
        try:
            code = self._code(input_data)
            if not self.has_permission(ToolPermission.EXECUTE):
                raise ToolFailed(f"{self.name} has no permission to execute code")
            return ToolResult(success=True, output=await self._run(code))
        except ToolFailed as refusal:
            return ToolResult(success=False, error=str(refusal))

    def why_invalid(self, input_data: Any) -> str | None:
        """Why there is no code in the input; None if there is some, good or bad."""
        try:
            self._code(input_data)
        except ToolFailed as refusal:
            return str(refusal)
        return None

    def validate_input(self, input_data: Any) -> bool:
        """Whether there is code in the input."""
        return self.why_invalid(input_data) is None

    def is_available(self) -> bool:
        """Whether the sandbox is installed."""
        return importlib.util.find_spec("pydantic_monty") is not None

    def permission_for(self, arguments: Mapping[str, Any]) -> ToolPermission:
        """Executing, always."""
        return ToolPermission.EXECUTE

    def get_description(self) -> str:
        """What can be run, for the model."""
        return (
            "Runs Python code and gives the value of its last line and what it prints. A sandbox: no files, no "
            "network, no packages, no generators; math, json, re, datetime, random, collections and itertools can "
            "be imported. Nothing is kept from one call to the next."
        )

    def get_parameters_schema(self) -> dict[str, Any]:
        """One text: the code."""
        return {
            "type": "object",
            "properties": {
                "code": {
                    "type": "string",
                    "description": "The code; its last line is the result, if it has a value",
                }
            },
            "required": ["code"],
            "additionalProperties": False,
        }

    def get_examples(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """Four questions with their code."""
        return [(question, {"code": code}) for question, code in _EXAMPLES]

    def _code(self, input_data: Any) -> str:
        code = (
            input_data
            if isinstance(input_data, str)
            else arguments_of(self.name, input_data, ("code",))["code"]
        )
        if not isinstance(code, str) or not code.strip():
            raise ToolFailed(f"{self.name} needs the code as text, got {shown(code)}: write '6 * 7'")
        if len(code) > _LONGEST_CODE:
            raise ToolFailed(
                f"{self.name} runs at most {_LONGEST_CODE:,} characters of code, got {len(code):,}"
            )
        try:
            code.encode()
        except UnicodeEncodeError as err:
            raise ToolFailed(f"the code for {self.name} holds half a character: send valid text") from err
        return code

    async def _run(self, code: str) -> Any:
        try:
            import pydantic_monty as monty
        except ImportError as err:
            raise ToolFailed("the Python sandbox is not installed: pip install 'gathering[python]'") from err
        printed = monty.CollectString(max_bytes=self.max_output)
        # The process's own deadline, the one it is ended at, and one for everything, getting a process included.
        deadline = self.timeout + _GRACE
        try:
            async with (
                asyncio.timeout(deadline + _GRACE),
                monty.AsyncMonty(min_processes=1, max_processes=1, request_timeout=deadline) as pool,
                pool.checkout(limits=self._limits(), os_policy={"sleep": "zero"}) as session,
            ):
                value = await session.feed_run(code, print_callback=printed)
            return _outcome(_Plain(self.max_output).value(value), printed.output)
        except monty.MontyError as err:
            raise ToolFailed(self._told(err)) from err
        except TimeoutError as err:
            raise ToolFailed(self._too_long()) from err
        except (ValueError, TypeError, RecursionError, OverflowError) as err:
            raise ToolFailed(f"the result cannot leave the sandbox ({err}): return a part of it") from err
        except (OSError, RuntimeError) as err:
            raise ToolFailed(
                f"the Python sandbox cannot be started ({err}): install 'gathering[python]' again"
            ) from err

    def _limits(self) -> ResourceLimits:
        return {
            "max_feed_duration_secs": self.timeout,
            "max_memory": self.max_memory,
            "max_recursion_depth": _RECURSION,
            "max_total_sleep_secs": self.timeout,
        }

    def _too_long(self) -> str:
        return f"the code ran longer than {self.timeout:g} s and was stopped"

    def _told(self, err: MontyError) -> str:
        """One line about what stopped the code, with the line it was on."""
        display = getattr(err, "display", None)
        said = " ".join(str(display("type-msg") if display else err).split())
        if getattr(err, "timed_out", False) or said.startswith("TimeoutError: feed time limit"):
            return self._too_long()
        if said.startswith("MemoryError") and f"> {self.max_output} bytes" in said:
            return f"the code printed more than {self.max_output:,} bytes"
        if said.startswith("MemoryError"):
            return f"the code needed more than {self.max_memory / 2**20:,.0f} MB of memory"
        traceback = getattr(err, "traceback", None)
        frames = traceback() if traceback else []
        where = f" (line {frames[-1].line})" if frames else ""
        return f"the code failed: {said[:_LONGEST_ERROR]}{where}"


def _outcome(value: Any, printed: str) -> Any:
    if not printed:
        return value
    return printed if value is None else {"result": value, "printed": printed}


class _Plain:
    """Turns a value into what JSON has. Raises ``ToolFailed`` if it is longer than ``most`` characters or items."""

    def __init__(self, most: int) -> None:
        self.most = self.room = most

    def value(self, item: Any, depth: int = 0) -> Any:
        self._take(1)
        if depth > _DEEPEST:
            return "..."
        if isinstance(item, Mapping):
            return {self._text(k): self.value(v, depth + 1) for k, v in item.items()}
        if isinstance(item, (list, tuple, set, frozenset)):
            return [self.value(i, depth + 1) for i in _in_order(item)]
        if isinstance(item, int):
            return self._number(item)
        return item if item is None or isinstance(item, float) else self._text(item)

    def _number(self, item: int) -> int:
        self._take(item.bit_length() // 3)
        if item.bit_length() > _LONGEST_NUMBER:
            raise ToolFailed("the result is a number of thousands of digits: return it modulo, or its length")
        return item

    def _text(self, item: Any) -> str:
        text = item if isinstance(item, str) else str(item)
        self._take(len(text))
        return text

    def _take(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise ToolFailed(
                f"the result has more than {self.most:,} characters or items: return a part of it"
            )


def _in_order(items: Iterable[Any]) -> Iterable[Any]:
    """A set sorted, so that the same code gives the same result every time."""
    return sorted(items, key=repr) if isinstance(items, (set, frozenset)) else items
