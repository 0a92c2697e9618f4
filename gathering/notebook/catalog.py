"""The models that can be named here, and whether one could be used now.

Owns the tables, not the facts: context, price and availability are what the providers say of themselves.
``models_frame`` asks no network, and nobody for a key: of a service it is only said whether its key is there, of a server
on this machine whether anything listens, and a provider somebody else wrote is only named, since asking it might take a request. ``listed_frame`` and
``doctor_frame`` do ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gathering.core import config
from gathering.core.errors import GatheringError
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Usage
from gathering.core.registry import PROVIDERS, create_provider

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["doctor_frame", "listed_frame", "models_frame", "reachable"]

_MILLION = 1_000_000
_MODELS: Mapping[str, Any] = {
    "provider": "string",
    "model": "string",
    "context": "Int64",
    "price_in": "Float64",
    "price_out": "Float64",
    "available": "boolean",
    "why_not": "string",
}
_CHECKUP = ("provider", "model", "key", "reachable", "advice")


def reachable(name: str) -> str:
    """One line on a provider: ``ready``, or what keeps it from being used."""
    made = _made(name)
    if isinstance(made, GatheringError):
        return str(made)
    if not _is_ours(made):
        return "registered"
    return _what_is_missing(made) or ("configured" if _is_remote(made) else "ready")


def models_frame() -> pd.DataFrame:
    """One row for each model that can be named: ``provider, model, context, price_in, price_out, available, why_not``.

    Prices are US dollars for a million tokens; what is not known is missing.
    """
    import pandas as pd

    from gathering.notebook.whole import whole

    specs = dict.fromkeys([str(config.get("model")), *PROVIDERS])
    rows = dict.fromkeys(_row(spec) for spec in specs)
    return whole(pd.DataFrame(list(rows), columns=list(_MODELS)).astype(_MODELS))


def listed_frame(name: str) -> pd.DataFrame:
    """What the provider itself lists, which takes a request, in the columns of ``models_frame``."""
    import pandas as pd

    provider = create_provider(name)
    rows = [
        (provider.name, m.name, m.context, m.input_price, m.output_price, True, None)
        for m in provider.models()
    ]
    return pd.DataFrame(rows, columns=list(_MODELS)).astype(_MODELS)


def doctor_frame(names: Iterable[str], seen: Callable[[int, int], object] | None = None) -> pd.DataFrame:
    """One row for each provider, each asked now: ``provider, model, key, reachable, advice``.

    ``key`` is where the key comes from, ``reachable`` missing where nobody was asked (its key is missing), ``advice``
    what to do.
    """
    import pandas as pd

    from gathering.llm.doctor import checkups
    from gathering.notebook.whole import whole

    rows = [asdict(checkup) for checkup in checkups(names, seen=seen)]
    types = {column: "boolean" if column == "reachable" else "string" for column in _CHECKUP}
    return whole(pd.DataFrame(rows, columns=list(_CHECKUP)).astype(types))


def _row(spec: str) -> tuple[object, ...]:
    made = _made(spec)
    name, _, model = spec.partition(":")
    if isinstance(made, GatheringError):
        return name, model or None, None, None, None, False, str(made)
    why_not = _what_is_missing(made) if _is_ours(made) else None
    price_in = made.get_cost(Usage(input_tokens=_MILLION, output_tokens=0))
    price_out = made.get_cost(Usage(input_tokens=0, output_tokens=_MILLION))
    available = why_not is None if _is_ours(made) else None
    return made.name, made.model or None, made.get_max_tokens(), price_in, price_out, available, why_not


def _made(spec: str) -> ILLMProvider | GatheringError:
    try:
        return create_provider(spec)
    except GatheringError as err:
        return err


def _is_ours(provider: ILLMProvider) -> bool:
    return type(provider).__module__.startswith("gathering.")


def _is_remote(provider: ILLMProvider) -> bool:
    """Whether the provider can only find out by a request: one over HTTP that does not know better."""
    from gathering.llm import HTTPProvider

    return (
        isinstance(provider, HTTPProvider) and type(provider).why_unavailable is HTTPProvider.why_unavailable
    )


def _what_is_missing(provider: ILLMProvider) -> str | None:
    from gathering.llm import HTTPProvider

    if isinstance(provider, HTTPProvider) and _is_remote(provider):
        return provider.what_is_missing() or provider.nobody_there()
    return provider.why_unavailable()
