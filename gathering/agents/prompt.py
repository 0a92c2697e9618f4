"""The system prompt and what ``explain`` shows: every part with where it came from and its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.agents.memory import readable
from gathering.core import display
from gathering.core.interfaces import ICompetency, IPersonalityBlock
from gathering.core.messages import MessageDict, ToolSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Explanation", "Part", "system_parts", "system_text"]


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of what is sent: its source (``history``, ``personality:curious``, ``memory``, ...) and its text."""

    source: str
    role: str
    content: str
    tokens: int


def system_parts(
    name: str,
    age: int | None,
    history: str,
    blocks: Sequence[IPersonalityBlock],
    competencies: Sequence[ICompetency],
    system_prompt: str | None,
) -> list[tuple[str, str]]:
    """``(source, sentence)`` of each part of the system prompt; none for an agent that is only a name."""
    parts: list[tuple[str, str]] = []
    if history.strip():
        parts.append(("history", f"Your background: {history.strip().rstrip('.')}."))
    parts += [(f"competency:{c.name}", c.get_prompt_enhancement()) for c in competencies]
    parts += [(f"personality:{b.name}", sentence) for b in blocks for sentence in b.get_prompt_modifiers()]
    if system_prompt and system_prompt.strip():
        parts.append(("system_prompt", system_prompt.strip()))
    if age is not None:
        return [("name and age", f"You are {name}, {age} years old."), *parts]
    return [("name", f"You are {name}."), *parts] if parts else []


def system_text(parts: Sequence[tuple[str, str]]) -> str:
    """The system prompt: the sentences in order."""
    return " ".join(sentence for _, sentence in parts)


class Explanation:
    """Exactly what would be sent: ``messages``, ``tools`` and ``params``, and the parts they are made of.

    What guardrails do to the message is done, and each that does something is a part; ``messages`` is empty where one
    blocks it.
    """

    def __init__(
        self,
        agent: str,
        model: str,
        parts: Sequence[tuple[str, str]],
        messages: list[MessageDict],
        tools: list[ToolSpec],
        params: dict[str, Any],
        count: Callable[[str], int],
        guards: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.agent, self.model, self.messages, self.tools, self.params = agent, model, messages, tools, params
        self.parts = [Part(f"guardrail:{name}", "guardrail", does, 0) for name, does in guards]
        if messages:
            self.parts[:0] = [*self._system(parts, count), *self._rest(count), *self._tools(count)]

    @staticmethod
    def _system(parts: Sequence[tuple[str, str]], count: Callable[[str], int]) -> list[Part]:
        return [Part(source, "system", text, int(count(text))) for source, text in parts]

    def _rest(self, count: Callable[[str], int]) -> list[Part]:
        rest = [(str(m["role"]), readable(m)) for m in self.messages if m["role"] != "system"]
        sources = ["memory"] * (len(rest) - 1) + ["message"]
        return [
            Part(source, role, text, int(count(text)))
            for source, (role, text) in zip(sources, rest, strict=True)
        ]

    def _tools(self, count: Callable[[str], int]) -> list[Part]:
        return [Part(f"tool:{t['name']}", "tools", t["description"], int(count(str(t)))) for t in self.tools]

    @property
    def tokens(self) -> int:
        """The tokens of all parts together."""
        return sum(p.tokens for p in self.parts)

    def df(self) -> pd.DataFrame:
        """One row for each part: ``source, role, content, tokens``."""
        import pandas as pd

        return pd.DataFrame(
            [(p.source, p.role, p.content, p.tokens) for p in self.parts],
            columns=["source", "role", "content", "tokens"],
        )

    def __repr__(self) -> str:
        """The parts, one a line."""
        lines = [f"[{p.role}] {p.source} ({p.tokens} tokens): {p.content}" for p in self.parts]
        return "\n".join([self._title(), *lines])

    def _title(self) -> str:
        if not self.messages:
            return f"{self.agent} would send nothing to {self.model}: a guardrail blocks the message"
        return f"What {self.agent} would send to {self.model} (about {self.tokens} tokens)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = [(f"{p.source} ({p.tokens})", p.content) for p in self.parts]
        return {**display.card(self._title(), rows), "text/plain": repr(self)}
