"""What a function takes, seen from outside: its JSON schema, and its arguments checked and made ready for the call.

Built once for each function, from its annotations and docstring, through pydantic. Running the function is not
here (``gathering.tools.function``). pydantic is imported when the first schema is asked for, not before.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gathering.core.errors import ConfigurationError, ToolFailed, nearest, shown

if TYPE_CHECKING:
    from docstring_parser import Docstring
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

__all__ = ["Parameters"]

_DOCUMENTED_TYPES: Mapping[str, type] = {
    "int": int,
    "float": float,
    "str": str,
    "string": str,
    "bool": bool,
    "list": list,
    "dict": dict,
}


class Parameters:
    """The parameters of one function. Raises ``ConfigurationError`` for a signature no model could call."""

    def __init__(self, function: Callable[..., Any], tool_name: str) -> None:
        self.tool_name = tool_name
        self._function = function
        self._names = _names(function, tool_name)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return self._names

    @cached_property
    def description(self) -> str:
        """What the docstring says the function does; empty without one."""
        doc = self._docstring
        return "\n\n".join(part for part in (doc.short_description, doc.long_description) if part)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments: no titles, nothing allowed that is not named."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # a default with no JSON form is simply left out of the schema
                made = self._model.model_json_schema()
        except Exception as err:  # pydantic lets errors of users' own types through as they are
            raise self._unusable(err) from err
        schema = _untitled(made)
        schema.setdefault("properties", {})
        schema.pop("description", None)
        return schema

    def bind(self, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the call. Raises ``ToolFailed`` that names the wrong ones."""
        from pydantic import ValidationError

        try:
            checked = self._model.model_validate(dict(arguments))
        except ValidationError as err:
            raise ToolFailed(f"{self.tool_name} was not run: {self._complaint(err.errors())}") from err
        except Exception as err:  # a number of 5,000 digits, a validator of the user's own that raises
            raise ToolFailed(f"{self.tool_name} was not run: {type(err).__name__}: {_one_line(err)}") from err
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        for (name, parameter), field in zip(self._signature.parameters.items(), self._fields, strict=True):
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(getattr(checked, field))
            elif field in checked.model_fields_set:  # the function fills in its own defaults
                keywords[name] = getattr(checked, field)
        return positional, keywords

    def complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function will have them, its defaults among them. Raises ``ToolFailed``."""
        args, kwargs = self.bind(arguments)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    @cached_property
    def _signature(self) -> inspect.Signature:
        try:
            return inspect.signature(self._function, eval_str=True)
        except (NameError, AttributeError, SyntaxError, TypeError) as err:
            raise ConfigurationError(
                f"an annotation of the tool {self.tool_name!r} cannot be read ({err}): "
                "import or define the types it names at the top of the module"
            ) from err

    @cached_property
    def _docstring(self) -> Docstring:
        from docstring_parser import parse

        return parse(inspect.getdoc(self._function) or "")

    @property
    def _fields(self) -> list[str]:
        # Not the parameters' own names: pydantic has a meaning for some of those (``schema``, ``copy``, ``_x``).
        return [f"argument_{number}" for number in range(len(self._names))]

    @cached_property
    def _model(self) -> type[BaseModel]:
        from pydantic import ConfigDict, Field, create_model

        told = {p.arg_name: p for p in self._docstring.params}
        fields: dict[str, Any] = {}
        for field, parameter in zip(self._fields, self._signature.parameters.values(), strict=True):
            about = told.get(parameter.name)
            default = ... if parameter.default is parameter.empty else parameter.default
            options: dict[str, Any] = {"alias": parameter.name}
            if about and about.description:  # else one in an Annotated stands
                options["description"] = " ".join(about.description.split())
            fields[field] = (
                _annotation(parameter, about.type_name if about else None),
                Field(default, **options),
            )
        try:
            return create_model(
                "Arguments", __config__=ConfigDict(extra="forbid", coerce_numbers_to_str=True), **fields
            )
        except Exception as err:  # pydantic lets errors of users' own types through as they are
            raise self._unusable(err) from err

    def _unusable(self, err: Exception) -> ConfigurationError:
        from pydantic import TypeAdapter

        for parameter in self._signature.parameters.values():
            try:
                TypeAdapter(_annotation(parameter, None)).json_schema()
            except Exception:  # noqa: BLE001 - whatever it is, this is the parameter that causes it
                kind = getattr(parameter.annotation, "__name__", parameter.annotation)
                return ConfigurationError(
                    f"the parameter {parameter.name!r} of the tool {self.tool_name!r} has the type {kind!s}, "
                    "which a model cannot write as JSON: take a str, number, list, dict, Literal or pydantic model"
                )
        return ConfigurationError(
            f"the tool {self.tool_name!r} has parameters that cannot be described: {_one_line(err)}. "
            "Annotate them with str, numbers, list, dict, Literal or a pydantic model"
        )

    def _complaint(self, errors: Iterable[ErrorDetails]) -> str:
        # The same wrong value fails every branch of a union; the first complaint about it is enough.
        first = {error["loc"][:1]: error for error in reversed(list(errors))}
        return "; ".join(self._one_complaint(error) for error in reversed(first.values()))

    def _one_complaint(self, error: ErrorDetails) -> str:
        where = ".".join(str(step) for step in error["loc"])
        match error["type"]:
            case "missing":
                return f"the argument {where!r} is missing"
            case "extra_forbidden":
                close = nearest(where, self._names)
                known = ", ".join(self._names) or "none, call it without arguments"
                return f"unknown argument {where!r}: " + (
                    f"did you mean {close[0]!r}?" if close else f"known: {known}"
                )
        return f"the argument {where!r} is wrong: {shown(error['input'])} given, {_one_line(error['msg'])}"


def _names(function: Callable[..., Any], tool_name: str) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError) as err:
        raise ConfigurationError(
            f"the parameters of {tool_name!r} cannot be read ({err}): wrap it in a function of your own"
        ) from err
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"the tool {tool_name!r} takes {str(parameter).split(':')[0]}, which a model cannot fill in: "
                "name each parameter, or take one list or dict"
            )
    return tuple(parameters)


def _annotation(parameter: inspect.Parameter, documented: str | None) -> Any:
    """The parameter's type: as annotated, else as its default or the docstring shows, else anything."""
    if parameter.annotation is not parameter.empty:
        return parameter.annotation
    if type(parameter.default) in _DOCUMENTED_TYPES.values():
        return type(parameter.default)
    return _DOCUMENTED_TYPES.get((documented or "").lower(), Any)


def _untitled(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without pydantic's titles, which repeat the names and cost tokens."""
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "title":
            continue
        if key in ("properties", "$defs"):
            plain[key] = {name: _untitled(inner) for name, inner in value.items()}
        elif key in ("default", "enum", "const", "examples"):
            plain[key] = value
        elif isinstance(value, Mapping):
            plain[key] = _untitled(value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            plain[key] = [_untitled(item) if isinstance(item, Mapping) else item for item in value]
        else:
            plain[key] = value
    return plain


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
