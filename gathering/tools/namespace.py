"""A look at the notebook's variables, those a person has listed: the notebook tool. Nothing is changed or run.

Where the variables are is said by whoever has them: the notebook's extension registers its shell's namespace with
``set_namespace``, a program hands in a mapping. How a value is told is ``gathering.tools.namespace_view``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self, TypeAlias

from gathering.core.errors import ConfigurationError, ToolFailed, nearest, shown
from gathering.core.interfaces import ITool
from gathering.core.results import ToolPermission, ToolResult
from gathering.tools.checks import (
    above_zero,
    arguments_of,
    options_of,
    outcome_of,
    permissions_of,
    text_or_form,
)
from gathering.tools.namespace_view import Bounds, summary, view

__all__ = ["Namespace", "NotebookTool", "set_namespace"]

#: The variables, or a function that gives them as they are now.
Namespace: TypeAlias = "Mapping[str, Any] | Callable[[], Mapping[str, Any]]"

_OPTIONS = ("namespace", "names", "permissions", "max_rows", "max_columns", "max_text")
_MOST_LISTED = 200
#: IPython's own names, and what may be a key: a pattern does not let them through, being listed does.
_OURS = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open"})
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)

_current: Namespace | None = None


def set_namespace(namespace: Namespace | None) -> None:
    """Say where the variables of the notebook are, for tools that were made without a namespace."""
    global _current
    _current = namespace


class NotebookTool(ITool):
    """Shows variables of the notebook: what they are, their shape, how they begin.

    ``names`` are variables or patterns (``"result_*"``); a pattern passes over names that begin with ``_`` or that
    a key could have. Without a ``namespace`` it is the running notebook's. Raises ``ConfigurationError``.
    """

    def __init__(
        self,
        namespace: Namespace | None = None,
        names: Iterable[str] | str = (),
        *,
        name: str = "notebook",
        permissions: Sequence[ToolPermission | str] | str = (ToolPermission.READ,),
        max_rows: int = 10,
        max_columns: int = 50,
        max_text: int = 500,
    ) -> None:
        super().__init__(name, "notebook", {"permissions": permissions_of(name, permissions)})
        self.names = _usable_names(name, names)
        self._namespace = namespace
        self.bounds = Bounds(
            rows=int(above_zero(name, "max_rows", max_rows)),
            columns=int(above_zero(name, "max_columns", max_columns)),
            text=int(above_zero(name, "max_text", max_text)),
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The tool of ``{"names": [...]}`` and the other options of the class."""
        return cls(**options_of("notebook", config, _OPTIONS))

    def execute(self, input_data: Any) -> ToolResult:
        """The variable of ``{"variable": ...}``, or, without one, what there is to see."""
        return outcome_of(lambda: self._seen(input_data))

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The same at once, on this thread: variables do not change while they are looked at."""
        return self.execute(input_data)

    def why_invalid(self, input_data: Any) -> str | None:
        """What is wrong with the argument; None if it names a variable, there or not, or none."""
        try:
            self._variable(input_data)
        except ToolFailed as refusal:
            return str(refusal)
        return None

    def validate_input(self, input_data: Any) -> bool:
        """Whether the input names a variable, or nothing."""
        return self.why_invalid(input_data) is None

    def is_available(self) -> bool:
        """Whether there is a notebook to look into."""
        return self._namespace is not None or _current is not None

    def permission_for(self, arguments: Mapping[str, Any]) -> ToolPermission:
        """Reading, always."""
        return ToolPermission.READ

    def targets(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """The ``variable`` that would be shown; ``*`` is the list of them."""
        return {"variable": text_or_form(arguments.get("variable") or "*")}

    def get_description(self) -> str:
        """What can be seen, for the model."""
        return (
            f"Shows variables of the notebook ({', '.join(self.names)}): type, shape, columns with their types, and "
            "the first rows or items. Without a variable it lists what there is. Nothing can be changed."
        )

    def get_parameters_schema(self) -> dict[str, Any]:
        """One text: the variable's name."""
        return {
            "type": "object",
            "properties": {
                "variable": {"type": "string", "description": "The variable's name; leave it out to list all"}
            },
            "additionalProperties": False,
        }

    def get_examples(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """A question for the list, and one for a variable that is named in full."""
        plain = next((n for n in self.names if n.isidentifier()), None)
        listing: list[tuple[str, dict[str, Any]]] = [("Which variables are there?", {})]
        return [*listing, (f"What does {plain} look like?", {"variable": plain})] if plain else listing

    def _variable(self, input_data: Any) -> str | None:
        if input_data is None or isinstance(input_data, str):
            input_data = {"variable": input_data}
        variable = arguments_of(self.name, input_data, ("variable",))["variable"]
        if variable is not None and not isinstance(variable, str):
            raise ToolFailed(f"{self.name} needs the variable's name as text, got {shown(variable)}")
        return (variable or "").strip() or None

    def _seen(self, input_data: Any) -> Any:
        variable = self._variable(input_data)
        if not self.has_permission(ToolPermission.READ):
            raise ToolFailed(f"{self.name} has no permission to read variables")
        namespace = self._variables()
        if variable is None:
            return self._listed(namespace)
        if not self._visible(variable) or variable not in namespace:
            # The same words for one that is not there and one that is not shown: a guess finds out nothing.
            there = sorted(n for n in namespace if isinstance(n, str) and self._visible(n))
            close = nearest(variable, there)
            advice = (
                f"did you mean {close[0]!r}?" if close else f"there are {', '.join(there[:20]) or 'none'}"
            )
            raise ToolFailed(f"{self.name} shows no variable {shown(variable)}: {advice}")
        return {"variable": variable, **view(namespace[variable], self.bounds)}

    def _listed(self, namespace: Mapping[str, Any]) -> list[dict[str, Any]]:
        seen = sorted(n for n in namespace if isinstance(n, str) and self._visible(n))
        rows = [{"variable": n, **summary(namespace[n])} for n in seen[:_MOST_LISTED]]
        return [*rows, {"more": len(seen) - _MOST_LISTED}] if len(seen) > _MOST_LISTED else rows

    def _variables(self) -> dict[str, Any]:
        source = _current if self._namespace is None else self._namespace
        if source is None:
            raise ToolFailed(f"{self.name} has no notebook to look into: make it with namespace=globals()")
        return dict(source() if callable(source) else source)

    def _visible(self, variable: str) -> bool:
        if variable in self.names:
            return True
        if variable.startswith("_") or variable in _OURS or _SECRET.search(variable):
            return False
        return any(fnmatchcase(variable, pattern) for pattern in self.names)


def _usable_names(tool: str, names: Any) -> tuple[str, ...]:
    given = (names,) if isinstance(names, str) else tuple(names or ())
    if not given or not all(isinstance(n, str) and n.strip() for n in given):
        raise ConfigurationError(
            f"the tool {tool!r} has names={names!r:.80}: list the variables it may show, as ['df', 'result_*']"
        )
    return given
