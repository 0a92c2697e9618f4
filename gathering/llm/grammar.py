"""The grammar that lets the embedded model decide on a tool call, and nothing else.

Small models ignore a list of tools but complete a pattern. So the decision is one line of completion: examples of
questions with their calls, the question, and a GBNF grammar in which only calls of the offered tools can be
written, with numbers and words taken from the question. Pure: makes text and reads text; sends nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from gathering.core.messages import ToolCall, ToolSpec
from gathering.llm.local_question import Arithmetic, arithmetic, calls_for, numbers, spans, words

__all__ = ["Decision", "decision", "quoted", "read_call"]

#: Characters of a question that are looked at; a longer one is text to read, not a thing to calculate.
LONGEST = 2000
_MOST_VALUES = 200
_DEEPEST = 4
_SHOTS = 5
_ARITHMETIC_SHOTS = (
    ("What is 6 times 9?", "6 * 9"),
    ("Add 12 and 7, then divide by 3.", "(12 + 7) / 3"),
    ("What is 100 divided by 4?", "100 / 4"),
    ("How much is 20 minus 8?", "20 - 8"),
)
_FREE_EXPRESSION = "[-0-9+*/(). ]{1,60}"
_FREE_TEXT = '[^"\\\\\\x00-\\x1f]{0,60}'


@dataclass(frozen=True, slots=True)
class Decision:
    """What to ask the model: the prompt, the grammar its answer must follow, and the tokens it may take."""

    prompt: str
    grammar: str
    tokens: int
    tools: tuple[ToolSpec, ...]


def decision(question: str, tools: Sequence[ToolSpec], *, required: bool = False) -> Decision | None:
    """The decision to put to the model, None when the question calls for none of the tools.

    ``required`` offers all of them whatever the question says.
    """
    question = " ".join(question.encode("utf-8", "replace").decode()[:LONGEST].split())
    fitting = tuple(t for t in tools if required or _fits(question, t))
    if not fitting:
        return None
    rules = [f"tool{i} ::= {_call(question, t)}" for i, t in enumerate(fitting)]
    root = "root ::= " + " | ".join(f"tool{i}" for i in range(len(fitting)))
    short = all(_only_text(t) for t in fitting)
    return Decision(_prompt(question, fitting), "\n".join([root, *rules]), 48 if short else 160, fitting)


def read_call(text: str, tools: Sequence[ToolSpec], identity: str) -> ToolCall:
    """The tool call in the model's line; what cannot be read is kept as ``malformed``."""
    name, _, rest = text.strip().partition("(")
    inside = rest.rpartition(")")[0].strip()
    spec = next((t for t in tools if t["name"] == name), None)
    if spec is None or not rest.rstrip().endswith(")"):
        return ToolCall(identity, name or "unknown", malformed=text)
    key = _only_text(spec)
    if key is not None:
        return ToolCall(identity, name, {key: inside})
    return ToolCall.from_json(identity, name, inside or "{}")


def quoted(text: str) -> str:
    r"""The text as a terminal of a grammar.

    >>> print(quoted('say "hi"'))
    "say \"hi\""
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\x{ord(m[0]):02x}", escaped) + '"'


def _fits(question: str, spec: ToolSpec) -> bool:
    if _calculates(spec):
        return _arithmetic(question, spec) is not None
    return calls_for(question, spec)


def _calculates(spec: ToolSpec) -> bool:
    return _only_text(spec) == "expression"


def _only_text(spec: ToolSpec) -> str | None:
    """The name of the one free text a tool takes (or needs), None if it takes anything else."""
    parameters = spec.get("parameters") or {}
    properties = parameters.get("properties") or {}
    needed = list(parameters.get("required") or ()) or list(properties)
    if len(needed) != 1 or needed[0] not in properties:
        return None
    schema = properties[needed[0]]
    return (
        needed[0]
        if schema.get("type") == "string" and "enum" not in schema and "const" not in schema
        else None
    )


def _arithmetic(question: str, spec: ToolSpec) -> Arithmetic | None:
    # How a tool writes percentages and roots shows in its examples; one that has none gets them spelled out.
    shown = " ".join(str(arguments.get("expression", "")) for _, arguments in _examples(spec))
    return arithmetic(question, percent="% of" in shown, roots="sqrt(" in shown)


def _examples(spec: ToolSpec) -> list[tuple[str, Mapping[str, Any]]]:
    return [(str(question), arguments) for question, arguments in spec.get("examples") or ()]


# --- the grammar -----------------------------------------------------------------------------------------------


def _call(question: str, spec: ToolSpec) -> str:
    name, key = quoted(f"{spec['name']}("), _only_text(spec)
    if _calculates(spec):
        return f'{name} {_calculation(_arithmetic(question, spec))} ")"'
    if key is not None:
        values = _texts(question, spec, key)
        return f'{name} {_one_of(map(quoted, values)) if values else "[^()]{1,60}"} ")"'
    return f'{name} {_Arguments(question, spec).rule()} ")"'


def _calculation(asked: Arithmetic | None) -> str:
    if asked is None:
        return _FREE_EXPRESSION
    rule = quoted(asked.operands[0])
    for operand, operators, closed in zip(asked.operands[1:], asked.operators, asked.closed, strict=True):
        if closed:
            rule = f'"(" {rule} ")"'
        signs = _one_of(quoted(f" {sign} ") for sign in operators)
        rule = f"{rule} {signs} {quoted(operand)}"
    return rule


def _texts(question: str, spec: ToolSpec, key: str) -> list[str]:
    """The texts a property may take: of the question, and those of examples that did not come from theirs."""
    examples = [(q, a[key]) for q, a in _examples(spec) if isinstance(a.get(key), str)]
    fixed = [value for q, value in examples if value.lower() not in q.lower()]
    if examples and len(fixed) == len(examples):
        return list(dict.fromkeys(fixed))
    one_word = bool(examples) and all(len(value.split()) == 1 for _, value in examples)
    own = words(question) if one_word else spans(question)
    return list(dict.fromkeys([*fixed, *own]))[:_MOST_VALUES]


def _one_of(alternatives: Iterable[str]) -> str:
    return "(" + " | ".join(dict.fromkeys(alternatives)) + ")"


class _Arguments:
    """A JSON object for a tool's schema, its values taken from the question where there are any."""

    def __init__(self, question: str, spec: ToolSpec) -> None:
        self.question, self.spec = question, spec
        self.schema: Mapping[str, Any] = spec.get("parameters") or {}
        self.shown = {key for _, arguments in _examples(spec) for key in arguments}

    def rule(self) -> str:
        return self._object(self.schema, 0)

    def _value(self, key: str, schema: Any, depth: int) -> str:
        schema = self._resolved(schema)
        if depth > _DEEPEST:
            return quoted("null")
        if "const" in schema or "enum" in schema:
            return _one_of(quoted(_json(v)) for v in schema.get("enum") or [schema.get("const")])
        choices = schema.get("anyOf") or schema.get("oneOf")
        kinds = schema.get("type", "string")
        if choices is None and isinstance(kinds, list):
            choices = [{**schema, "type": kind} for kind in kinds]
        if choices:
            return _one_of(self._value(key, choice, depth + 1) for choice in choices)
        return self._of_kind(key, kinds, schema, depth)

    def _of_kind(self, key: str, kind: str, schema: Mapping[str, Any], depth: int) -> str:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                item = self._value(key, schema.get("items") or {}, depth + 1)
                return f'"[" ({item} (", " {item}){{0,3}})? "]"'
            case "integer" | "number":
                return self._number(kind)
            case "boolean":
                return '("true" | "false")'
            case "null":
                return quoted("null")
            case _:
                return self._text(key)

    def _object(self, schema: Mapping[str, Any], depth: int) -> str:
        properties = schema.get("properties") or {}
        needed = [key for key in properties if key in (schema.get("required") or ()) or key in self.shown]
        fields = [
            f"{quoted(_json(key) + ': ')} {self._value(key, properties[key], depth + 1)}" for key in needed
        ]
        return '"{" ' + ' ", " '.join(fields) + ' "}"'

    def _number(self, kind: str) -> str:
        found = [n for n in numbers(self.question) if kind == "number" or "." not in n]
        if found:
            return _one_of(quoted(_json(float(n) if "." in n else int(n))) for n in found)
        return '"-"? [0-9]{1,6}' if kind == "integer" else '"-"? [0-9]{1,6} ("." [0-9]{1,4})?'

    def _text(self, key: str) -> str:
        values = _texts(self.question, self.spec, key)
        if values:
            return _one_of(quoted(_json(value)) for value in values)
        return f'"\\"" {_FREE_TEXT} "\\""'

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping) or "$ref" not in schema:
                break
            schema = self._definition(str(schema["$ref"]))
        return schema if isinstance(schema, Mapping) and "$ref" not in schema else {}

    def _definition(self, reference: str) -> Any:
        found: Any = self.schema
        for step in reference.removeprefix("#/").split("/"):
            found = found.get(step, {}) if isinstance(found, Mapping) else {}
        return found


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# --- the prompt ------------------------------------------------------------------------------------------------


def _prompt(question: str, tools: Sequence[ToolSpec]) -> str:
    # The last shot's tool is favoured: tools take turns, so that none has the last word by more than one shot.
    taking_turns = chain.from_iterable(zip_longest(*(_shots(t) for t in tools)))
    lines = [f"Q: {q}\nA: {call}" for q, call in filter(None, taking_turns)]
    return "\n".join([*lines, f"Q: {question}\nA: "])


def _shots(spec: ToolSpec) -> list[tuple[str, str]]:
    key = _only_text(spec)
    examples = _examples(spec)[:_SHOTS]
    if not examples and _calculates(spec):
        examples = [(q, {"expression": e}) for q, e in _ARITHMETIC_SHOTS]
    return [(q, f"{spec['name']}({a.get(key, '') if key else _json(a)})") for q, a in examples]
