"""Lists of models as services give them, read into ``ModelInfo``: names, contexts, prices where they say so.

Owns the fields under which services write the same thing, and what lists this process has seen. Pure but for that
memory; the request is ``gathering.llm.http``'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gathering.core.offers import ModelInfo

__all__ = ["infos_in", "known_model", "remember"]

#: Where lists say how much a model holds, and how much it writes; the first that is there counts.
_CONTEXT = ("context_length", "context_window", "max_context_length", "max_model_len", "inputTokenLimit")
_CONTEXT_TOO = ("max_input_tokens", "loaded_context_length", "context_size")
_OUTPUT = ("max_completion_tokens", "max_output_tokens", "outputTokenLimit", "output_token_limit")

_seen: dict[tuple[str, str], dict[str, ModelInfo]] = {}


def infos_in(listed: Any) -> list[ModelInfo]:
    """The models of a list in one of the forms services give it; each name once.

    Raises ``LookupError``, ``TypeError`` or ``ValueError`` for anything else.

    >>> infos_in({"data": [{"id": "a", "context_length": 8192}, {"id": "b"}]})[0].context
    8192
    """
    entries = listed
    if isinstance(listed, Mapping):
        entries = listed["data"] if "data" in listed else listed["models"]
    if not isinstance(entries, list):
        raise TypeError("a list of models is a list")
    infos = [_info(entry) for entry in entries]
    return list({info.name: info for info in infos}.values())


def remember(provider: str, base_url: str, infos: Sequence[ModelInfo]) -> None:
    """Keep what a service said of its models for the life of the process."""
    _seen.setdefault((provider, base_url), {}).update({info.name: info for info in infos})


def known_model(provider: str, base_url: str, model: str) -> ModelInfo | None:
    """What the service said of this model in this process, None if it was not asked."""
    return _seen.get((provider, base_url), {}).get(model)


def _info(entry: Mapping[str, Any]) -> ModelInfo:
    name = entry.get("id") or entry.get("name") or entry["model"]
    price_in, price_out = _prices(entry.get("pricing"))
    return ModelInfo(
        str(name).removeprefix("models/"),
        context=_first(entry, (*_CONTEXT, *_CONTEXT_TOO)) or _llama_context(entry),
        max_output=_first(entry, _OUTPUT) or _nested(entry, "top_provider") or _anthropic_output(entry),
        input_price=price_in,
        output_price=price_out,
    )


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((int(v) for n in names if (v := _figure(entry.get(n)))), None)


def _nested(entry: Mapping[str, Any], group: str) -> int | None:
    inner = entry.get(group)
    return _first(inner, _OUTPUT) if isinstance(inner, Mapping) else None


def _llama_context(entry: Mapping[str, Any]) -> int | None:
    """llama.cpp's: what the server was started with, not what the model was trained for."""
    meta = entry.get("meta")
    return _first(meta, ("n_ctx",)) if isinstance(meta, Mapping) else None


def _anthropic_output(entry: Mapping[str, Any]) -> int | None:
    return _first(entry, ("max_tokens",)) if "max_input_tokens" in entry else None


def _prices(pricing: Any) -> tuple[float | None, float | None]:
    """Dollars for a million tokens in and out: listed for one token as text, or for a million as numbers."""
    if not isinstance(pricing, Mapping):
        return None, None
    if "prompt" in pricing:
        each = (_figure(pricing.get("prompt")), _figure(pricing.get("completion")))
        return tuple(None if p is None else round(p * 1e6, 6) for p in each)  # type: ignore[return-value]
    return _figure(pricing.get("input")), _figure(pricing.get("output"))


def _figure(value: Any) -> float | None:
    """The number, None for anything that is none; -1 stands for "it depends"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
