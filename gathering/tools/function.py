"""A typed function as a tool: ``@tool``. Owns how it is called, timed out and how its outcome becomes a result.

What it takes, and the check of arguments, is ``gathering.tools.parameters``.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, overload

from gathering.core.bounds import MAX_OUTPUT
from gathering.core.errors import ConfigurationError, ToolFailed
from gathering.core.interfaces import ITool
from gathering.core.portal import portal
from gathering.core.results import ToolPermission, ToolResult, Touched, result_of
from gathering.tools.limits import await_in_time, call_in_time, on_thread
from gathering.tools.parameters import Parameters

__all__ = ["Example", "FunctionTool", "tool"]

P = ParamSpec("P")
R = TypeVar("R")
Example: TypeAlias = tuple[str, Mapping[str, Any]]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what every service accepts
_LONGEST_ERROR = 1000  # characters of an exception's text that go back to the model


class FunctionTool(ITool, Generic[P, R]):
    """A function an agent may call; made by ``@tool``, and still callable as the function it was.

    A sync function runs on the caller's thread, so it sees the notebook's own objects; with a ``timeout``
    (seconds) it runs on a thread of its own, which is left behind when the time is up. In a turn the model is told
    ``max_output`` characters of a result; a caller of ``execute`` gets all of it.
    """

    checks_input = True

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        permissions: Sequence[ToolPermission | str] = (ToolPermission.EXECUTE,),
        examples: Sequence[Example] = (),
        timeout: float | None = None,
        max_output: int = MAX_OUTPUT,
    ) -> None:
        name = _usable_name(function, name)
        super().__init__(name, "function", {"permissions": _permissions(name, permissions)})
        functools.update_wrapper(self, function, updated=())
        self.timeout = _usable_timeout(name, timeout)
        self.max_output = _usable_length(name, max_output)
        self.parameters = Parameters(function, name)
        self._function, self._description = function, description
        self._examples = tuple(_usable_example(name, e, self.parameters.names) for e in examples)
        self._asynchronous = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - asks what a call would give, not whether it can be made
        )
        # In a registry a tool stands where a class would: it is its own factory.
        self.from_config = self._from_options  # type: ignore[method-assign]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FunctionTool[..., Any]:  # type: ignore[override]
        """The tool of ``config["function"]`` (a function or ``"module:function"``) with the options of ``@tool``."""
        options = {k: v for k, v in config.items() if k not in ("function", "type")}
        target = config.get("function")
        if isinstance(target, str):
            target = _imported(target)
        if isinstance(target, FunctionTool):
            return target._from_options(options)
        if not callable(target):
            raise ConfigurationError(
                f"a function tool needs a function, got {target!r}: give the function or 'module:function'"
            )
        return cls(target, **_known_options(options))

    def _from_options(self, config: Mapping[str, Any]) -> FunctionTool[P, R]:
        options = {k: v for k, v in config.items() if k != "type"}
        return FunctionTool(self._function, **(self._options() | _known_options(options)))

    def _options(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self._description,
            "permissions": tuple(self.permissions),
            "examples": self._examples,
            "timeout": self.timeout,
            "max_output": self.max_output,
        }

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the function itself gives, unchecked and untimed."""
        return self._function(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> FunctionTool[..., Any]:
        """As a method: the tool bound to its object."""
        if instance is None or not hasattr(self._function, "__get__"):
            return self
        return FunctionTool(self._function.__get__(instance, owner), **self._options())

    def execute(self, input_data: Any) -> ToolResult:
        """Call the function with checked arguments; what it raises becomes a failed result."""
        if self._asynchronous:
            return super().execute(input_data)
        try:
            outcome = call_in_time(self._prepared(input_data), self.timeout, self.name)
            if inspect.isawaitable(outcome):
                outcome = portal().run(await_in_time(outcome, self.timeout, self.name))
        except Exception as err:  # noqa: BLE001 - a tool may raise anything; the model is told, nothing else stops
            return self._failure(err)
        return result_of(outcome)

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The same, awaited; a sync function runs on a thread of its own."""
        try:
            work = self._outcome(self._prepared(input_data))
            outcome = await await_in_time(work, self.timeout, self.name)
        except Exception as err:  # noqa: BLE001 - a tool may raise anything; the model is told, nothing else stops
            return self._failure(err)
        return result_of(outcome)

    @property
    def asynchronous(self) -> bool:
        """Whether the function is an ``async def``."""
        return self._asynchronous

    async def _outcome(self, call: Callable[[], Any]) -> Any:
        try:
            outcome = call() if self._asynchronous else await asyncio.wrap_future(on_thread(call, self.name))
            return await outcome if inspect.isawaitable(outcome) else outcome
        except (SystemExit, KeyboardInterrupt) as err:
            # Either would end the loop it runs on; Stop itself reaches the main thread only.
            if isinstance(err, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            raise ToolFailed(f"{self.name} tried to end the program ({type(err).__name__})") from err

    def why_invalid(self, input_data: Any) -> str | None:
        """Which argument is wrong, and how; None if the function can be called with this."""
        try:
            self._prepared(input_data)
        except ToolFailed as refusal:
            return str(refusal)
        return None

    def validate_input(self, input_data: Any) -> bool:
        """Whether the function could be called with this."""
        return self.why_invalid(input_data) is None

    def targets(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """The arguments as the function will have them, those left out with their defaults; rules may say them as given, too."""
        given = super().targets(arguments)
        try:
            meant = super().targets(self.parameters.complete(arguments))
        except ToolFailed:  # it will not run
            return given
        return {name: _by_both(text, given.get(name, text)) for name, text in meant.items()}

    def get_description(self) -> str:
        """The description given, else the docstring's text without its parameters, else the name."""
        return self._description or self.parameters.description or self.name.replace("_", " ")

    def get_parameters_schema(self) -> dict[str, Any]:
        """The JSON schema of the function's parameters."""
        return self.parameters.schema

    def get_examples(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """The pairs of question and arguments given to ``@tool``."""
        return [(question, dict(arguments)) for question, arguments in self._examples]

    def __repr__(self) -> str:
        """The name and what it takes."""
        return f"FunctionTool({self.name}: {', '.join(self.parameters.names)})"

    def _prepared(self, input_data: Any) -> Callable[[], Any]:
        names = self.parameters.names
        if input_data is None:
            input_data = {}
        elif not isinstance(input_data, Mapping):
            if len(names) != 1:
                raise ToolFailed(
                    f"{self.name} was not run: the arguments must be an object with {', '.join(names) or 'nothing in it'}"
                )
            input_data = {names[0]: input_data}
        args, kwargs = self.parameters.bind(input_data)
        return functools.partial(self._function, *args, **kwargs)

    def _failure(self, err: Exception) -> ToolResult:
        if isinstance(err, ToolFailed):
            return ToolResult(success=False, error=str(err))
        text = " ".join(str(err).split())[:_LONGEST_ERROR]
        kind = type(err).__name__
        return ToolResult(
            success=False,
            error=f"{self.name} raised {kind}: {text}" if text else f"{self.name} raised {kind}",
        )


def _by_both(meant: str, given: str) -> str:
    """An argument by both its names: ``Color.RED`` as the function has it is ``red`` as the model wrote it."""
    if meant == given:
        return meant
    own = meant.things if isinstance(meant, Touched) else ((meant,),)
    written = given.things if isinstance(given, Touched) else ((given,),)
    if len(own) == len(written):
        return Touched(meant, [(*a, *b) for a, b in zip(own, written, strict=True)])
    return Touched(meant, (*own, *written))


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    permissions: Sequence[ToolPermission | str] = (ToolPermission.EXECUTE,),
    examples: Sequence[Example] = (),
    timeout: float | None = None,
    max_output: int = MAX_OUTPUT,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """The function as a tool. The model sees its annotations and docstring; ``timeout`` is in seconds.

    A result longer than ``max_output`` characters is cut in a turn, with a note.
    ``examples`` are pairs of a question and the arguments it calls for; small models need three to five.
    Raises ``ConfigurationError`` for a name or signature no model could use.

    >>> @tool
    ... def double(number: int) -> int:
    ...     "Twice the number."
    ...     return 2 * number
    >>> double(4), double.execute({"number": "4"}).output
    (8, 8)
    """
    if function is None:
        return functools.partial(_decorate, **_known_options(options))
    return _decorate(function, **_known_options(options))


def _decorate(function: Callable[..., Any], **options: Any) -> FunctionTool[..., Any]:
    if not callable(function):
        raise ConfigurationError(
            f"@tool needs a function, got {function!r}: write options as name=..., timeout=..."
        )
    return FunctionTool(function, **options)


_OPTIONS = ("name", "description", "permissions", "examples", "timeout", "max_output")


def _known_options(options: Mapping[str, Any]) -> dict[str, Any]:
    for option in options:
        if option not in _OPTIONS:
            from gathering.core.errors import UnknownNameError

            raise UnknownNameError("option of a tool", option, _OPTIONS)
    return dict(options)


def _usable_name(function: Callable[..., Any], name: str | None) -> str:
    found = name if name is not None else getattr(function, "__name__", None)
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise ConfigurationError(
            f"a tool cannot be named {found!r}: give it a name of 1 to 64 letters, digits, '_' or '-' "
            "by @tool(name=...)"
        )
    return found


def _permissions(name: str, wanted: Sequence[ToolPermission | str]) -> tuple[ToolPermission, ...]:
    try:
        return tuple(ToolPermission(p) for p in ([wanted] if isinstance(wanted, str) else wanted))
    except ValueError as err:
        known = ", ".join(p.value for p in ToolPermission)
        raise ConfigurationError(f"the tool {name!r}: {err}. Known permissions: {known}") from err


def _usable_timeout(name: str, timeout: float | None) -> float | None:
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise ConfigurationError(f"the tool {name!r} has timeout={timeout!r}: give seconds above 0, or None")
    return timeout


def _usable_length(name: str, length: int) -> int:
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise ConfigurationError(f"the tool {name!r} has max_output={length!r}: give characters, 1 or more")
    return length


def _usable_example(name: str, example: Any, names: Sequence[str]) -> Example:
    match example:
        case (str(question), Mapping() as arguments) if set(arguments) <= set(names):
            return question, dict(arguments)
    raise ConfigurationError(
        f"the tool {name!r} has the example {example!r}: give (question, {{argument: value}}) with arguments "
        f"of {', '.join(names) or 'none'}"
    )


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as err:
        raise ConfigurationError(
            f"the function {target!r} cannot be imported ({err}): write 'module:function'"
        ) from err
