"""Who is compared: models by name, providers and agents, each as an agent under a label of its own.

A model without an agent is asked bare: no system prompt, no tools, no memory. Owns no run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from gathering.agents import Agent
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import ILLMProvider, IRecorder
from gathering.core.registry import create_provider

__all__ = ["Subject", "SubjectLike", "SubjectsLike", "labelled"]

SubjectLike: TypeAlias = str | ILLMProvider | Agent
#: One, several, or several under labels of one's own.
SubjectsLike: TypeAlias = SubjectLike | Iterable[SubjectLike] | Mapping[str, SubjectLike]
Subject: TypeAlias = Agent


def labelled(
    models: SubjectsLike, agents: Iterable[Agent] = (), store: IRecorder | None = None
) -> dict[str, Subject]:
    """The subjects by label: a model as it was written, a provider's name and model, an agent's name.

    In a dict the keys are the labels. A label that comes twice is numbered. Raises ``ConfigurationError`` when there is nobody to ask, and what a
    provider raises when it cannot be made.
    """
    wanted = [*_several(models), *_several(agents)]
    if not wanted:
        raise ConfigurationError('there is nobody to compare: give models=["local", ...] or agents=[...]')
    labels = _numbered([label for label, _ in wanted])
    return {label: _subject(one, label, store) for label, (_, one) in zip(labels, wanted, strict=True)}


def _several(given: SubjectsLike) -> Sequence[tuple[str, SubjectLike]]:
    """Each with its label: the one it was given, or the one it has by itself."""
    several = [given] if isinstance(given, str | ILLMProvider | Agent) else given
    if isinstance(several, Mapping):
        own = [_label(one) for one in several.values()]  # says so where one cannot be compared
        return [(str(label) or own[i], one) for i, (label, one) in enumerate(several.items())]
    return [(_label(one), one) for one in several]


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
