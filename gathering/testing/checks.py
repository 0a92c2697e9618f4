"""Checks: what must hold of an answer whose words may vary. Each is a row of the trace, each failure one readable error.

Owns the expectations and their words. What a model judges goes through an agent's turn like any other question, so that
its verdict is on the tape too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Self

from gathering.core import display
from gathering.core.errors import CheckFailedError, ConfigurationError
from gathering.core.interfaces import ILLMProvider, IRecorder
from gathering.core.messages import Reply
from gathering.core.session import current_cell, new_id, now, session_id

__all__ = ["Check", "check"]

#: What a judge is asked to answer in.
_VERDICT = {
    "title": "verdict",
    "type": "object",
    "properties": {"holds": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["holds", "reason"],
    "additionalProperties": False,
}
_SHOWN = 200


def check(reply: Reply | str, *, store: IRecorder | None = None) -> Check:
    """The checks of an answer, to be written one after the other.

    ``store`` is where their rows go (the project's by default). Raises ``ConfigurationError`` for what is no answer.

    >>> check("It is 375.").contains("375").lacks("about")
    check passed: contains '375'; lacks 'about'
    """
    return Check(reply, store=store)


class Check:
    """What is expected of one answer. Each method holds, and gives the check back, or raises ``CheckFailedError``."""

    def __init__(self, reply: Reply | str, *, store: IRecorder | None = None) -> None:
        if not isinstance(reply, Reply | str):
            raise ConfigurationError(
                f"{type(reply).__name__} is no answer to check: give a Reply (of ask or %gathering ask -o), or a text"
            )
        self.reply = Reply(reply) if isinstance(reply, str) else reply
        self.passed: list[str] = []
        self._store = store

    # -- the text --------------------------------------------------------------------------------------------------

    def contains(self, *texts: object, ignore_case: bool = False) -> Self:
        """Each of these texts stands in the answer; with ``ignore_case`` in capitals or not."""
        said = self.reply.text.casefold() if ignore_case else self.reply.text
        for text in map(str, texts):
            held = (text.casefold() if ignore_case else text) in said
            self._hold(f"contains {text!r}", held, text, self.reply.text)
        return self

    def lacks(self, *texts: object) -> Self:
        """None of these texts stands in the answer."""
        for text in map(str, texts):
            self._hold(f"lacks {text!r}", text not in self.reply.text, f"no {text!r}", self.reply.text)
        return self

    def matches(self, pattern: str) -> Self:
        """The regular expression fits somewhere in the answer."""
        try:
            found = re.search(pattern, self.reply.text)
        except re.error as err:
            raise ConfigurationError(f"{pattern!r} is no regular expression ({err}): correct it") from err
        return self._hold(f"matches {pattern!r}", found is not None, pattern, self.reply.text)

    def equals(self, value: Any) -> Self:
        """The answer is this: the structured one where there is one, else the text without blanks around it."""
        got = self.reply.text.strip() if self.reply.output is None else self.reply.output
        return self._hold(f"equals {value!r:.80}", got == value or str(got) == str(value), value, got)

    def json_schema(self, schema: Mapping[str, Any]) -> Self:
        """The structured answer, or the JSON of the text, fits the schema."""
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError

        try:
            Draft202012Validator.check_schema(dict(schema))
        except SchemaError as err:
            raise ConfigurationError(f"this is no JSON schema ({err.message[:120]}): correct it") from err
        got = self._as_json()
        problems = [e.message for e in Draft202012Validator(dict(schema)).iter_errors(got)]
        name = f"json_schema {schema.get('title') or sorted(schema.get('properties') or schema)}"
        return self._hold(name, not problems, "; ".join(problems[:3]) or "fits", got)

    def language(self, code: str) -> Self:
        """The answer is in this language, by its two-letter code. Takes the extra ``language``; short texts are a guess."""
        try:
            from py3langid import classify
        except ImportError as err:
            raise ConfigurationError(
                "language needs py3langid: run pip install 'gathering[language]'"
            ) from err
        found = str(classify(self.reply.text)[0])
        return self._hold(f"language {code}", found == code.lower(), code, f"{found}: {self.reply.text}")

    def similar(self, text: str, threshold: float = 0.7, *, embedder: ILLMProvider | str = "local") -> Self:
        """The answer means about the same: cosine similarity of the sentence vectors of at least ``threshold``."""
        from gathering.agents.embedding import embedded
        from gathering.core.registry import create_provider

        by = create_provider(embedder) if isinstance(embedder, str) else embedder
        one, other = embedded(by, [self.reply.text, text]).vectors
        lengths = sum(a * a for a in one) ** 0.5 * sum(b * b for b in other) ** 0.5
        near = sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0
        name = f"similar to {text!r:.60} ({threshold:g})"
        return self._hold(name, near >= threshold, f"{threshold:g} or more", f"{near:.2f}: {self.reply.text}")

    # -- how it ended, and what it took ------------------------------------------------------------------------------

    def refused(self) -> Self:
        """The model, or a filter of its service, declined to answer and said so by the reason it ended for."""
        reason = self.reply.finish_reason
        return self._hold("refused", reason in ("refusal", "content_filter"), "a refusal", reason)

    def max_tokens(self, most: int) -> Self:
        """The model wrote no more tokens than this, thinking included."""
        return self._at_most("max_tokens", self.reply.usage.output_tokens, most)

    def max_cost(self, most: float) -> Self:
        """The turn cost no more US dollars than this; a cost that is not known does not hold."""
        return self._at_most("max_cost", self.reply.cost, most)

    def max_latency(self, most: float) -> Self:
        """The turn took no more seconds than this (in a replay: when it was recorded)."""
        return self._at_most("max_latency", self.reply.latency, most)

    # -- tools ------------------------------------------------------------------------------------------------------

    def tool_called(self, name: str, **arguments: Any) -> Self:
        """The model called this tool, with these arguments among others."""
        calls = [c for c in self.reply.tool_calls if c.name == name]
        fits = [c for c in calls if all(c.arguments.get(k) == v for k, v in arguments.items())]
        given = ", ".join(f"{k}={v!r}" for k, v in arguments.items())
        said = [
            f"{c.name}({', '.join(f'{k}={v!r}' for k, v in c.arguments.items())})"
            for c in self.reply.tool_calls
        ]
        name = f"tool_called {name}({given})" if given else f"tool_called {name}"
        return self._hold(name, bool(fits), "a call of it", ", ".join(said) or "no call of any tool")

    def no_tool(self, name: str | None = None) -> Self:
        """The model called no tool, or not this one."""
        calls = [c.name for c in self.reply.tool_calls if name in (None, c.name)]
        return self._hold(f"no_tool {name}" if name else "no_tool", not calls, "no call", ", ".join(calls))

    # -- by somebody else's judgement -----------------------------------------------------------------------------

    def judged(self, question: str, *, by: ILLMProvider | str) -> Self:
        """A model answers yes to a question about the answer. Its verdict and reason are in the row, and on the tape."""
        from gathering.agents import Agent

        task = "You judge an answer. Say whether what is asked about it holds, and why in one sentence."
        judge = Agent("judge", llm_provider=by, system_prompt=task, store=self._store)
        asked = f"Question: {question}\n\nThe answer to judge:\n{self.reply.text}"
        verdict = judge.ask(asked, output=_VERDICT, temperature=0).output
        return self._hold(
            f"judged {question!r:.80}", bool(verdict["holds"]), "yes", f"no: {verdict['reason']}", judge.model
        )

    def satisfies(self, function: Callable[..., Any], name: str = "") -> Self:
        """A function of the reply gives something true; what it raises as an ``AssertionError`` is why it does not hold."""
        name = name or getattr(function, "__name__", "") or type(function).__name__
        try:
            held, got = bool(function(self.reply)), self.reply.text
        except AssertionError as err:
            held, got = False, str(err) or self.reply.text
        return self._hold(f"satisfies {name}", held, "true", got)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _as_json(self) -> Any:
        output = self.reply.output
        if output is not None:
            dump = getattr(output, "model_dump", None)
            return dump(mode="json") if dump is not None else output
        try:
            return json.loads(self.reply.text)
        except ValueError:
            return self.reply.text

    def _at_most(self, name: str, got: float | None, most: float) -> Self:
        held = got is not None and got <= most
        return self._hold(
            f"{name} {most:g}", held, f"at most {most:g}", "not known" if got is None else f"{got:g}"
        )

    def _hold(self, name: str, held: bool, expected: Any, actual: Any, decided_by: str = "rule") -> Self:
        self._record(name, held, expected, actual, decided_by)
        if not held:
            raise CheckFailedError(
                f"check {name} does not hold{self._whose()}: expected {_short(expected)}, got {_short(actual)}"
            )
        self.passed.append(name)
        return self

    def _whose(self) -> str:
        return f" for the answer of {self.reply.agent}" if self.reply.agent else ""

    def _record(self, name: str, held: bool, expected: Any, actual: Any, decided_by: str) -> None:
        if self._store is None:
            from gathering.storage import default_store

            self._store = default_store()
        row = {
            "check_id": new_id(),
            "turn_id": self.reply.turn_id,
            "agent": self.reply.agent,
            "kind": "check",
            "check": name,
            "expected": _short(expected),
            "actual": _short(actual),
            "passed": held,
            "action": None if held else "fail",
            "decided_by": decided_by,
            "cell": current_cell(),
            "created_at": now(),
        }
        self._store.put("checks", {**row, "session": session_id()})

    def __repr__(self) -> str:
        """What has been found to hold, on one line that is the same in every run."""
        return f"check passed: {'; '.join(self.passed)}" if self.passed else "check: nothing expected yet"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return display.bundle(repr(self))


def _short(value: Any) -> str:
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text):,} characters)"
