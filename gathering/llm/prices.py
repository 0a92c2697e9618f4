"""What a model of a known service costs and holds. Owns the way from a provider's name to its row in genai-prices.

The table is the one that package brings; it is never fetched. A price of the user's own goes before it
(``gathering.core.prices``), what runs on a machine of one's own is free, and what nobody knows stays None.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gathering.core.messages import Usage
from gathering.core.offers import ModelInfo
from gathering.core.prices import FREE, Price, Tier, own_price, set_price

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

__all__ = ["context_of", "cost", "price_of", "priced", "search_fee", "set_price", "warm"]

#: Served by the user's own machine.
_OWN_MACHINE = frozenset({"llamacpp", "lmstudio", "local", "ollama", "vllm"})
#: Providers that the table calls otherwise.
_TABLE_NAMES: Mapping[str, str] = {"gemini": "google", "xai": "x-ai"}
#: Prices may change with the hour of the day: this long a price is taken as it was (seconds).
_FRESH = 600

_warming: threading.Thread | None = None


def cost(provider: str, model: str, usage: Usage) -> float | None:
    """US dollars for this usage of ``provider:model``; None where the price or the tokens are not known."""
    price = price_of(provider, model)
    return None if price is None else price.cost(usage)


def price_of(provider: str, model: str) -> Price | None:
    """The price of a model now, None where it is not known. Raises ``ConfigurationError`` for a broken own table."""
    own = own_price(provider, model)
    if own is not None:
        return own
    if provider in _OWN_MACHINE:
        return FREE
    return _listed(provider, model, int(time.time() // _FRESH)) if model else None


@functools.lru_cache(maxsize=4096)
def context_of(provider: str, model: str) -> int | None:
    """Tokens a model holds as far as the table knows; None for what runs on a machine of one's own."""
    if provider in _OWN_MACHINE or not model:
        return None
    found = _row(provider, model)
    return None if found is None else found.context_window


def priced(provider: str, models: list[ModelInfo]) -> list[ModelInfo]:
    """The models with their prices, where they are known and nobody said them."""
    return [_priced(provider, info) for info in models]


def _priced(provider: str, info: ModelInfo) -> ModelInfo:
    price = price_of(provider, info.name)
    if price is None or info.input_price is not None:
        return info
    return replace(info, input_price=price.input, output_price=price.output)


def warm(provider: str) -> None:
    """Load the table beside the caller, once: it takes a fifth of a second, which an answer need not wait for."""
    global _warming
    if _warming is None and provider not in _OWN_MACHINE:
        _warming = threading.Thread(target=_load, name="gathering-prices", daemon=True)
        with contextlib.suppress(RuntimeError):  # no threads here (Pyodide): it is loaded when it is asked
            _warming.start()


def _load() -> Any:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


@functools.lru_cache(maxsize=4096)
def _listed(provider: str, model: str, slot: int) -> Price | None:
    """The row of the table as a price; the slot makes it be looked up again."""
    from datetime import UTC, datetime

    found = _row(provider, model)
    return None if found is None else _as_price(found.get_prices(datetime.now(tz=UTC)))


@functools.lru_cache(maxsize=1024)
def search_fee(provider: str, model: str) -> float | None:
    """US dollars for one web search that the service makes for a model; None where the table does not say."""
    from datetime import UTC, datetime

    found = _row(provider, model) if model else None
    fee = (
        None
        if found is None
        else getattr(found.get_prices(datetime.now(tz=UTC)), "web_searches_kcount", None)
    )
    return None if fee is None else float(getattr(fee, "base", fee)) / 1000


def _row(provider: str, model: str) -> Any:
    """The model's row of the table, None if there is none."""
    name = _TABLE_NAMES.get(provider, provider)
    if (
        provider == "huggingface"
    ):  # a door to others: who serves the model stands behind its name, as in "model:groq"
        model, _, server = model.rpartition(":")
        name = f"huggingface_{server}"
    try:
        service, found = _load().find_provider_model(model, None, name, None)
    except LookupError:
        return None
    # It takes a name that only resembles one, such as openai-compatible.
    return found if service.id == name else None


def _as_price(row: ModelPrice) -> Price | None:
    """The table's row in our terms; None for one that is not counted in tokens of text."""
    if row.input_mtok is None:
        return None
    rows = (row.input_mtok, row.output_mtok, row.cache_read_mtok)
    starts = {tier.start for price in rows for tier in getattr(price, "tiers", ())}
    per_call = _rate(row.requests_kcount, None) / 1000
    tiers = tuple(Tier(start, *_rates(row, start)) for start in sorted(starts))
    return Price(*_rates(row, None), request=per_call, tiers=tiers)


def _rates(row: ModelPrice, start: int | None) -> tuple[float, float, float]:
    """What is read, written and read again costs in requests longer than ``start``; None is for short ones."""
    again = row.input_mtok if row.cache_read_mtok is None else row.cache_read_mtok
    return _rate(row.input_mtok, start), _rate(row.output_mtok, start), _rate(again, start)


def _rate(price: Any, start: int | None) -> float:
    if price is None:
        return 0.0
    reached = [t.price for t in getattr(price, "tiers", ()) if start is not None and t.start <= start]
    return float(reached[-1] if reached else getattr(price, "base", price))
