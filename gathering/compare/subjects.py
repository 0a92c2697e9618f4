"""Who is compared: models by name, providers and agents, each as an agent under a label of its own.

A model without an agent is asked bare: no system prompt, no tools, no memory. Owns no run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from gathering.agents import Agent
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import ILLMProvider, IRecorder
from gathering.core.registry import create_provider

__all__ = ["Subject", "SubjectLike", "labelled"]

SubjectLike: TypeAlias = str | ILLMProvider | Agent
Subject: TypeAlias = Agent


def labelled(
    models: SubjectLike | Iterable[SubjectLike], agents: Iterable[Agent] = (), store: IRecorder | None = None
) -> dict[str, Subject]:
    """The subjects by label: a model as it was written, a provider's name and model, an agent's name.

    A label that comes twice is numbered. Raises ``ConfigurationError`` when there is nobody to ask, and what a
    provider raises when it cannot be made.
    """
    wanted = [*_several(models), *_several(agents)]
    if not wanted:
        raise ConfigurationError('there is nobody to compare: give models=["local", ...] or agents=[...]')
    labels = _numbered([_label(one) for one in wanted])
    return {label: _subject(one, label, store) for label, one in zip(labels, wanted, strict=True)}


def _several(given: SubjectLike | Iterable[SubjectLike]) -> Sequence[SubjectLike]:
    return [given] if isinstance(given, str | ILLMProvider | Agent) else list(given)


def _label(one: SubjectLike) -> str:
    match one:
        case str():
            return one.strip()
        case ILLMProvider():
            return f"{one.name}:{one.model}".rstrip(":")
        case Agent():
            return one.name
    raise ConfigurationError(
        f'{one!r:.60} cannot be compared: give "provider:model", a provider or a gathering.Agent'
    )


def _subject(one: SubjectLike, label: str, store: IRecorder | None) -> Subject:
    if isinstance(one, Agent):
        return one
    return Agent(
        label, llm_provider=one if isinstance(one, ILLMProvider) else create_provider(one), store=store
    )


def _numbered(labels: Sequence[str]) -> list[str]:
    often, seen = Counter(labels), Counter[str]()
    numbered = []
    for label in labels:
        seen[label] += 1
        numbered.append(label if often[label] == 1 else f"{label} ({seen[label]})")
    return numbered
