"""From a checked description to the parts of an agent: names become objects here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gathering.agents.competency import Competency
from gathering.agents.memory import WindowMemory
from gathering.agents.personality import PersonalityBlock
from gathering.agents.spec import AgentSpec, BlockSpec, CompetencySpec, MemorySpec, read_spec
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import ILLMProvider, IMemory
from gathering.core.registry import create_provider

__all__ = ["parts_of"]


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
            Competency(c.name, c.level, c.keywords) if isinstance(c, CompetencySpec) else c
            for c in spec.competencies
        ],
        "tools": spec.tools,
        "memory": _memory(spec.memory),
        "max_rounds": spec.max_rounds,
        "params": spec.params,
        "permissions": spec.permissions,
        "store": spec.store,
    }


def _memory(spec: MemorySpec | IMemory | None) -> IMemory | None:
    return WindowMemory(spec.max_tokens) if isinstance(spec, MemorySpec) else spec


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
