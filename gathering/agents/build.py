"""From a checked description to the parts of an agent: names become objects here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gathering.agents.competency import Competency
from gathering.agents.longterm import LongTermMemory
from gathering.agents.memory import WindowMemory
from gathering.agents.personality import PersonalityBlock
from gathering.agents.spec import AgentSpec, BlockSpec, CompetencySpec, MemorySpec, read_spec
from gathering.agents.summary import SummaryMemory
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import ILLMProvider, IMemory
from gathering.core.registry import create_provider

__all__ = ["described_memory", "parts_of"]


def parts_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of ``Agent`` for this description. Raises ``ConfigurationError``."""
    spec = read_spec(config)
    return {
        "name": spec.name,
        "llm_provider": _provider(spec),
        "age": spec.age,
        "history": spec.history,
        "system_prompt": spec.system_prompt,
        "personality_blocks": [
            PersonalityBlock(b.name, b.intensity, prompt=b.prompt) if isinstance(b, BlockSpec) else b
            for b in spec.personality_blocks
        ],
        "competencies": [
            Competency(c.name, c.level, c.keywords, evidence=c.evidence, embedder=c.embedder)
            if isinstance(c, CompetencySpec)
            else c
            for c in spec.competencies
        ],
        "tools": spec.tools,
        "memory": _memory(spec.name, spec.memory),
        "max_rounds": spec.max_rounds,
        "params": spec.params,
        "permissions": spec.permissions,
        "guardrails": spec.guardrails,
        "store": spec.store,
    }


def described_memory(agent: str, description: Any) -> IMemory:
    """The memory of ``"long_term"``, of a mapping with ``type`` and options, or of a list of these. Raises ``ConfigurationError``."""
    memory = _memory(agent, read_spec({"name": agent, "memory": description}).memory)
    assert memory is not None
    return memory


def _memory(agent: str, given: MemorySpec | list[MemorySpec] | IMemory | None) -> IMemory | None:
    """The memory, each kind put around the one before it: a window first, facts that stay last."""
    if given is None or isinstance(given, IMemory):
        return given
    specs = given if isinstance(given, list) else [given]
    kinds = [spec.type for spec in specs]
    if len(set(kinds)) < len(kinds):
        raise ConfigurationError(
            f"agent {agent!r}: memory has two of one type ({', '.join(kinds)}): leave one out"
        )
    if kinds != sorted(kinds, key=_MEMORIES.index):
        raise ConfigurationError(
            f"agent {agent!r}: memory is built from the inside out: window first, then summary, then long_term"
        )
    memory: IMemory | None = None
    for spec in specs:
        memory = _one_memory(agent, spec, memory)
    return memory


#: The types of memory from the inside out, and the options each of them takes.
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "window": ("max_tokens",),
    "summary": ("model", "words", "every"),
    "long_term": ("shared", "embedder", "limit", "max_tokens", "min_similarity", "half_life_days"),
}
_MEMORIES = tuple(_OPTIONS)


def _one_memory(agent: str, spec: MemorySpec, inner: IMemory | None) -> IMemory:
    options = {k: v for k, v in spec.model_dump(exclude={"type"}).items() if v is not None}
    odd = [k for k in options if k not in _OPTIONS[spec.type]]
    if odd:
        raise ConfigurationError(
            f"agent {agent!r}: a {spec.type} memory takes no {odd[0]}: it takes {', '.join(_OPTIONS[spec.type])}"
        )
    if spec.type == "window":
        return WindowMemory(**options)
    if spec.type == "summary":
        return SummaryMemory(inner if isinstance(inner, WindowMemory) else None, **options)
    return LongTermMemory(inner, **options)


def _provider(spec: AgentSpec) -> ILLMProvider | str | None:
    """``llm_provider`` may be a provider, its name beside ``model``, or a mapping with its options."""
    given, model = spec.llm_provider, spec.model
    if isinstance(given, ILLMProvider):
        return given
    if isinstance(given, dict):
        options = dict(given)
        name = options.pop("provider", None) or options.pop("name", None)
        if not isinstance(name, str):
            raise ConfigurationError(
                f"agent {spec.name!r}: llm_provider {given!r:.60} names no provider: add provider: NAME"
            )
        return create_provider(name, **({"model": model} if model else {}), **options)
    if given is None:
        return model
    return f"{given}:{model}" if model else given
