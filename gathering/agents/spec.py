"""An agent as plain data: what a YAML cell or a dict may say, checked by pydantic, and one line for what is wrong.

Imported only when an agent is made from data, since pydantic takes its time to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gathering.core.errors import ConfigurationError, nearest
from gathering.core.interfaces import ICompetency, ILLMProvider, IMemory, IPersonalityBlock, IRecorder, ITool
from gathering.core.permissions import IPolicy

__all__ = ["AgentSpec", "BlockSpec", "CompetencySpec", "MemorySpec", "read_spec"]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


def _typed(value: Any) -> Any:
    """A memory's type alone, or a list of them, as the mappings they stand for."""
    if isinstance(value, str):
        return {"type": value}
    return [_typed(one) for one in value] if isinstance(value, list) else value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class BlockSpec(_Spec):
    """A personality block: a trait's name, or a name with intensity and prompt."""

    name: str = Field(min_length=1)
    intensity: float = Field(0.5, ge=0, le=1)
    prompt: str | None = None


class CompetencySpec(_Spec):
    """A competency: a name, or a name with level, keywords, evidence and embedder."""

    name: str = Field(min_length=1)
    level: float = Field(0.5, ge=0, le=1)
    keywords: list[str] = []
    evidence: list[str] = []
    embedder: str | None = Field(None, min_length=1)


class MemorySpec(_Spec):
    """A memory by its type, with the options of that type."""

    type: Literal["window", "summary", "long_term"] = "window"
    max_tokens: int | None = Field(None, ge=1)
    model: str | None = None
    words: int | None = Field(None, ge=1)
    every: int | None = Field(None, ge=1)
    shared: str | None = Field(None, min_length=1)
    embedder: str | None = Field(None, min_length=1)
    limit: int | None = Field(None, ge=1)
    min_similarity: float | None = Field(None, ge=0, le=1)
    half_life_days: float | None = Field(None, gt=0)


class AgentSpec(_Spec):
    """Everything an agent's description may say."""

    name: str = Field(min_length=1, max_length=100, pattern=r"\S")
    model: str | None = Field(None, min_length=1)
    llm_provider: str | dict[str, Any] | ILLMProvider | None = None
    age: int | None = Field(None, ge=0, le=150)
    history: str = ""
    system_prompt: str | None = None
    personality_blocks: list[Annotated[BlockSpec | IPersonalityBlock, BeforeValidator(_named)]] = []
    competencies: list[Annotated[CompetencySpec | ICompetency, BeforeValidator(_named)]] = []
    tools: list[str | dict[str, Any] | ITool] = []
    memory: Annotated[MemorySpec | list[MemorySpec] | IMemory | None, BeforeValidator(_typed)] = None
    max_rounds: int = Field(8, ge=1)
    params: dict[str, Any] = {}
    permissions: list[str | dict[str, Any]] | str | IPolicy | None = None
    guardrails: list[Any] = []
    store: IRecorder | None = None


def read_spec(config: Mapping[str, Any]) -> AgentSpec:
    """The checked description. Raises ``ConfigurationError`` naming the first thing that is wrong."""
    if not isinstance(config, Mapping):
        raise ConfigurationError(
            f"an agent is described by a mapping of names to values, not by {config!r:.60}"
        )
    try:
        return AgentSpec.model_validate(dict(config))
    except ValidationError as err:
        raise ConfigurationError(_one_line(config, err)) from err


def _one_line(config: Mapping[str, Any], err: ValidationError) -> str:
    # Of a union, pydantic reports every branch: what it says about the plain-data branch is what helps.
    problems = [e for e in err.errors() if e["type"] != "is_instance_of"] or err.errors()
    # A misspelt key is also reported as the right one missing: the misspelling is what to tell.
    problem = next((e for e in problems if e["type"] == "extra_forbidden"), problems[0])
    path = [str(p) for p in problem["loc"] if not _is_type_name(str(p))]
    where = ".".join(path) or "the description"
    who = f"agent {config.get('name', '?')!r}: "
    if problem["type"] == "extra_forbidden":
        close = nearest(path[-1], _keys_of(path[:-1]))
        known = ", ".join(sorted(_keys_of(path[:-1])))
        return f"{who}unknown key {where!r}: " + (
            f"did you mean {close[0]!r}?" if close else f"known keys: {known}"
        )
    if problem["type"] == "missing":
        return f"{who}{where!r} is missing: give the agent's description a {path[-1]}"
    return f"{who}{where} = {problem['input']!r:.60} is not usable: {_wanted(problem)}"


def _wanted(problem: Any) -> str:
    if problem["type"] in ("string_too_short", "string_pattern_mismatch"):
        return "give a text that is not empty"
    if problem["type"] == "model_type" and problem["loc"][0] == "memory":
        return "write window, summary or long_term, a mapping with type: and options, or a list of these"
    message = str(problem["msg"])
    return message.replace("Input should be", "it should be")


def _is_type_name(part: str) -> bool:
    return part.startswith("function-") or "[" in part or part in _TYPE_NAMES


_TYPE_NAMES = {
    "BlockSpec", "CompetencySpec", "MemorySpec", "str", "dict", "IPersonalityBlock", "ICompetency", "ITool", "IMemory",
    "ILLMProvider", "IPolicy", "is-instance",
}  # fmt: skip


def _keys_of(path: list[str]) -> set[str]:
    specs: dict[str, type[BaseModel]] = {
        "personality_blocks": BlockSpec,
        "competencies": CompetencySpec,
        "memory": MemorySpec,
    }
    return set(specs[path[0]].model_fields if path and path[0] in specs else AgentSpec.model_fields)
