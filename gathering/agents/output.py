"""The form of a structured answer: a pydantic model, a dataclass, a type or a JSON schema, and reading a text into it.

Owns the schema that is sent and the check of what comes back; who brings the form about is said by the provider.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from gathering.core.errors import ConfigurationError, OutputError

__all__ = ["Output"]

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n\s*```\s*\Z", re.DOTALL | re.IGNORECASE)


class Output:
    """The form an answer is to have, made of ``output=`` in ``agent.ask``.

    A pydantic model, a dataclass, a ``TypedDict`` or any type pydantic knows (``list[int]``) gives a value of that type;
    a mapping is a JSON schema and gives plain data. Raises ``ConfigurationError`` for anything else.

    >>> Output(list[int]).read("[1, 2]")
    [1, 2]
    """

    def __init__(self, form: Any) -> None:
        self.name, self.schema, self._value = (
            _checked_by_schema(form) if isinstance(form, Mapping) else _by_type(form)
        )
        # Services want an object at the top: anything else travels as the one field of one.
        self._boxed = (
            self.schema.get("type") != "object" and "$ref" not in self.schema and "anyOf" not in self.schema
        )
        self._definitions = self.schema.get("$defs")

    @property
    def param(self) -> dict[str, Any]:
        """What a provider that keeps to a schema is sent: ``{"name", "schema"}``."""
        return {"name": self.name, "schema": self._sent()}

    @property
    def instruction(self) -> str:
        """What a model is told whose provider keeps to no schema."""
        schema = json.dumps(self._sent(), ensure_ascii=False)
        return f"Answer with one JSON value and nothing else. It must fit this JSON schema: {schema}"

    def read(self, text: str) -> Any:
        """The value in the answer. Raises ``OutputError`` saying what does not fit, and where."""
        fenced = _FENCED.match(text)
        try:
            found = json.loads(fenced[1] if fenced else text)
        except ValueError as err:
            raise OutputError(f"the answer is not JSON ({err})", text) from err
        if self._boxed and isinstance(found, dict) and set(found) == {"value"}:
            found = found["value"]
        try:
            return self._value(found)
        except _Unfit as err:
            raise OutputError(f"the answer does not fit {self.name}: {err}", text) from err

    def _sent(self) -> dict[str, Any]:
        if not self._boxed:
            return self.schema
        inner = {k: v for k, v in self.schema.items() if k != "$defs"}
        box: dict[str, Any] = {"type": "object", "properties": {"value": inner}, "required": ["value"]}
        return {
            **box,
            "additionalProperties": False,
            **({"$defs": self._definitions} if self._definitions else {}),
        }


class _Unfit(Exception):
    """Why a value does not fit, in words for the model."""


def _by_type(form: Any) -> tuple[str, dict[str, Any], Callable[[Any], Any]]:
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    try:
        adapter = TypeAdapter(form)
        schema = adapter.json_schema()
    except (PydanticUserError, TypeError, NameError) as err:
        raise ConfigurationError(
            f"output={form!r:.60} is no form for an answer: give a pydantic model, a type, or a JSON schema"
        ) from err

    def value(found: Any) -> Any:
        try:
            return adapter.validate_python(found) if not isinstance(found, dict | list) else _from_json(found)
        except ValidationError as err:
            problems = [f"{'.'.join(map(str, e['loc'])) or 'the value'}: {e['msg']}" for e in err.errors()]
            raise _Unfit("; ".join(problems[:5])) from err

    def _from_json(found: Any) -> Any:
        # JSON has no dates, tuples or sets: strings and lists may become them, as pydantic reads JSON.
        return adapter.validate_json(json.dumps(found))

    name = getattr(form, "__name__", "") if isinstance(form, type) else ""
    return name if re.fullmatch(r"[A-Za-z_]\w{0,63}", name) else "answer", schema, value


def _checked_by_schema(form: Mapping[str, Any]) -> tuple[str, dict[str, Any], Callable[[Any], Any]]:
    from jsonschema import validators
    from jsonschema.exceptions import SchemaError

    schema = dict(form)
    validator = validators.validator_for(schema)
    try:
        validator.check_schema(schema)
    except SchemaError as err:
        raise ConfigurationError(f"output= is no JSON schema ({err.message[:120]}): correct it") from err
    checker = validator(schema)

    def value(found: Any) -> Any:
        problems = [f"{e.json_path}: {e.message[:200]}" for e in checker.iter_errors(found)]
        if problems:
            raise _Unfit("; ".join(problems[:5]))
        return found

    title = str(schema.get("title") or "")
    return title if re.fullmatch(r"[A-Za-z_]\w{0,63}", title) else "answer", schema, value
