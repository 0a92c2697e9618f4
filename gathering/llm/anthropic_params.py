"""The Anthropic Messages dialect, options: neutral words to the fields of a request. Pure; no I/O.

Owns what a model is asked beside its messages: how long and how hard it may think, which tools it may call, in which
form it answers. Messages and answers are ``gathering.llm.anthropic_messages``'s.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from gathering.core.messages import ToolSpec
from gathering.llm.anthropic_schema import closed_schema

__all__ = ["MOST_UNSTREAMED", "has_native_output", "most_tokens", "request_fields", "tool_fields"]

#: ``max_tokens`` must be said. Models from version 4 on write far more; of others nothing is known.
DEFAULT_TOKENS, DEFAULT_TOKENS_OLD = 16_384, 4_096
#: Whole answers longer than this may take more than the ten minutes after which the service hangs up.
MOST_UNSTREAMED = 21_333
#: Tokens of thinking that stand for an effort, where the model wants a number; the service takes no fewer than 1024.
_BUDGETS = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384}
_LARGEST_BUDGET = 24_576
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
#: Neutral words the service has nothing for, and refuses.
_UNKNOWN = ("seed", "frequency_penalty", "presence_penalty", "logprobs")
_TRANSLATED = (
    *("tool_choice", "parallel_tool_calls", "stop", "response_format", "reasoning_effort", "output"),
    "prompt_cache",  # stands on the messages, which are not dealt with here
)


def request_fields(model: str, params: Mapping[str, Any], *, has_tools: bool) -> dict[str, Any]:
    """The fields that say these parameters; those the dialect does not know are passed on as they are."""
    params = {k: v for k, v in params.items() if v is not None}
    fields = {k: v for k, v in params.items() if k not in (*_UNKNOWN, *_TRANSLATED)}
    for name in _UNKNOWN:
        if params.get(name, False) is not False:
            _left_out(name, params[name])
    if "stop" in params:
        _stop(fields, params["stop"])
    if "reasoning_effort" in params:
        _think(fields, model, str(params["reasoning_effort"]))
    if "response_format" in params:
        _format(fields, params["response_format"])
    if "output" in params:
        _structured(fields, model, params["output"])
    if has_tools and (choice := _tool_choice(params)) is not None:
        fields["tool_choice"] = choice
    _without_contradictions(fields)
    fields.setdefault("max_tokens", _default_tokens(model) + _budget(fields.get("thinking")))
    return fields


def _stop(fields: dict[str, Any], asked: Any) -> None:
    """The texts to stop at. The service refuses those of white space only."""
    stops = [asked] if isinstance(asked, str) else list(asked)
    if blank := [s for s in stops if not str(s).strip()]:
        _left_out("stop", blank)
    if stops := [s for s in stops if s not in blank]:
        fields["stop_sequences"] = stops


def tool_fields(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools as the service wants them; one that has its form already (a server tool, say) is passed on."""
    return [_tool(spec) for spec in tools]


def _tool(spec: ToolSpec) -> dict[str, Any]:
    if isinstance(spec.get("function"), Mapping):
        spec = dict(spec["function"])
    if "input_schema" in spec or spec.get("type", "custom") != "custom":
        return dict(spec)
    tool = {k: spec[k] for k in ("name", "description", "strict", "cache_control") if spec.get(k) is not None}
    schema = dict(spec.get("parameters") or {})
    schema.setdefault("type", "object")
    schema.setdefault("properties", {})
    return {**tool, "input_schema": schema}


def _tool_choice(params: Mapping[str, Any]) -> dict[str, Any] | None:
    asked = params.get("tool_choice")
    choice: dict[str, Any] | None = None
    if isinstance(asked, Mapping):
        function = asked.get("function")
        named = isinstance(function, Mapping)
        choice = {"type": "tool", "name": function["name"]} if named and function else dict(asked)
    elif asked is not None:
        known = _CHOICES.get(str(asked))
        choice = {"type": known} if known else {"type": "tool", "name": str(asked)}
    if params.get("parallel_tool_calls") is False and (choice is None or choice.get("type") != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def _format(fields: dict[str, Any], asked: Any) -> None:
    """Put a JSON schema where the service looks for it; JSON without a schema it cannot promise."""
    inner = asked.get("json_schema") if isinstance(asked, Mapping) else None
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if schema is None and isinstance(asked, Mapping):
        schema = asked.get("schema")
    if isinstance(schema, Mapping):
        _put_schema(fields, dict(schema))
    elif not (isinstance(asked, Mapping) and asked.get("type") == "text"):
        _left_out("response_format", asked)


def _structured(fields: dict[str, Any], model: str, wanted: Any) -> None:
    """Have the answer keep to the schema, where the model can."""
    if has_native_output(model):
        _put_schema(fields, closed_schema(wanted["schema"]))
    else:
        _left_out("output", wanted.get("name"))


def _put_schema(fields: dict[str, Any], schema: Any) -> None:
    wanted = {"format": {"type": "json_schema", "schema": schema}}
    fields["output_config"] = {**fields.get("output_config", {}), **wanted}


def has_native_output(model: str) -> bool:
    """Whether the model keeps to a schema: all do from version 4.1 on."""
    version = _version(model)
    return version is None or version >= (4, 1)


def _without_contradictions(fields: dict[str, Any]) -> None:
    """A model that is made to call a tool cannot think, and one that thinks is not told how to sample."""
    thinks = isinstance(thinking := fields.get("thinking"), Mapping) and thinking.get("type") != "disabled"
    if thinks and (fields.get("tool_choice") or {}).get("type") in ("any", "tool"):
        _left_out("thinking", fields.pop("thinking")["type"], " beside a tool that must be called")
        return
    for name, allowed in (("temperature", 1), ("top_k", None)):
        if thinks and fields.get(name, allowed) != allowed:
            _left_out(name, fields.pop(name), " beside thinking")


def _think(fields: dict[str, Any], model: str, effort: str) -> None:
    """Newer models are told an effort and think as they see fit, older ones are given a number of tokens."""
    if effort == "none":
        fields.setdefault("thinking", {"type": "disabled"})
        return
    version = _version(model)
    if version is None or version >= (4, 6):
        level = "low" if effort == "minimal" else effort
        fields["output_config"] = {**fields.get("output_config", {}), "effort": level}
        fields.setdefault("thinking", {"type": "adaptive", "display": "summarized"})
        return
    room = fields.get("max_tokens", 1 << 30) - 1
    budget = min(_BUDGETS.get(effort, _LARGEST_BUDGET), room)
    if version < (3, 7) or budget < _BUDGETS["minimal"]:
        _left_out("reasoning_effort", effort)
    else:
        fields.setdefault("thinking", {"type": "enabled", "budget_tokens": budget})


def most_tokens(model: str) -> int:
    """The most an answer can have if nobody says a length, however long it is to think."""
    by_number = _LARGEST_BUDGET if (3, 7) <= (_version(model) or (9, 9)) < (4, 6) else 0
    return _default_tokens(model) + by_number


def _default_tokens(model: str) -> int:
    return DEFAULT_TOKENS if (_version(model) or (0, 0)) >= (4, 0) else DEFAULT_TOKENS_OLD


def _budget(thinking: Any) -> int:
    budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else 0
    return budget if isinstance(budget, int) else 0


def _version(model: str) -> tuple[int, int] | None:
    """(4, 5) of ``claude-haiku-4-5-20251001``, None of a name that says none."""
    found = re.search(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2})(?!\d))?(?!\d)", model)
    return (int(found[1]), int(found[2] or 0)) if found else None


def _left_out(name: str, value: Any, where: str = "") -> None:
    message = f"anthropic does not take {name}={value!r:.80}{where}: the request was sent without it"
    warnings.warn(message, UserWarning, stacklevel=2)
