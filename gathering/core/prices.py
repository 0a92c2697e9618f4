"""What a token costs: the price of a model as a value, and the prices a user has given. Knows no price itself.

A user's own prices come from the file the setting ``prices`` names, or from ``set_price``; they go before any table
of a service's prices (``gathering.llm.prices``). All are US dollars for a million tokens.

    # prices.toml
    ["mine:model"]
    input = 0.5
    output = 1.5
    cached = 0.05
    ["vllm"]           # every model of that provider
    input = 0
    output = 0
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gathering.core import config
from gathering.core.errors import ConfigurationError
from gathering.core.messages import Usage

__all__ = ["FREE", "Price", "Tier", "own_price", "set_price"]

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tier:
    """What counts instead once a request has more than ``above`` input tokens."""

    above: int
    input: float
    output: float
    cached: float


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs: US dollars for a million tokens, ``request`` dollars for each call.

    ``input`` is for tokens that are read fresh, ``cached`` for those the service had read before; ``output`` is for
    all that is written, reasoning included. ``tiers`` go up.

    >>> Price(input=1.0, output=10.0, cached=0.1).cost(Usage(1_000_000, 100_000, cached_tokens=500_000))
    1.55
    """

    input: float
    output: float
    cached: float
    request: float = 0.0
    tiers: tuple[Tier, ...] = ()

    def cost(self, usage: Usage) -> float | None:
        """US dollars for this usage; None where it does not say what was read and written."""
        read, written = usage.input_tokens, usage.output_tokens
        if not self.input and not self.output and not self.request:
            return 0.0
        if read is None or (written is None and self.output):
            return None
        rates: Price | Tier = next((tier for tier in reversed(self.tiers) if read > tier.above), self)
        cached = min(usage.cached_tokens or 0, read)
        tokens = (read - cached) * rates.input + cached * rates.cached + (written or 0) * rates.output
        return tokens / _MILLION + self.request


#: What runs on a machine of one's own costs nothing.
FREE = Price(0.0, 0.0, 0.0)

_given: dict[str, Price] = {}


def set_price(
    model: str,
    *,
    input: float | None = None,  # noqa: A002 - the word of the table
    output: float | None = None,
    cached: float | None = None,
    request: float = 0.0,
) -> None:
    """Say what ``"provider:model"`` (or every model of ``"provider"``) costs, in US dollars for a million tokens.

    It counts from now on in this process, before any other table. ``cached`` is the price of ``input`` if not given;
    without any figure the price is forgotten again. Raises ``ConfigurationError`` for a price that is none.
    """
    if not isinstance(model, str) or not model.strip(": "):
        raise ConfigurationError(f'a price belongs to a model, got {model!r}: give "provider:model"')
    if input is None and output is None and cached is None and not request:
        _given.pop(model, None)
        return
    _given[model] = _price(model, {"input": input, "output": output, "cached": cached, "request": request})


def own_price(provider: str, model: str) -> Price | None:
    """The price the user has given for this model, None where there is none. Raises ``ConfigurationError``."""
    file = config.recent("prices")
    if not file and not _given:
        return None
    tables = (_given, _table(file)) if file else (_given,)
    names = (f"{provider}:{model}", provider)
    return next((table[name] for name in names for table in tables if name in table), None)


def _table(path: str) -> Mapping[str, Price]:
    file = Path(path).expanduser()
    if not file.is_absolute():
        file = config.project_folder() / file
    try:
        return _read(file, file.stat().st_mtime_ns)
    except OSError as err:
        raise ConfigurationError(
            f"the prices in {path!r} cannot be read ({err.strerror}): correct the setting prices"
        ) from err


@functools.lru_cache(maxsize=8)
def _read(file: Path, stamp: int) -> Mapping[str, Price]:
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigurationError(f"{file.name} is not valid TOML ({err}): correct it") from err
    return {name: _price(name, figures) for name, figures in tables.items()}


def _price(name: str, figures: Any) -> Price:
    """The price in these figures. Raises ``ConfigurationError`` for one that cannot be counted with."""
    known = ("input", "output", "cached", "request")
    if not isinstance(figures, Mapping) or not set(figures) <= set(known):
        raise ConfigurationError(
            f"the price of {name!r} is {figures!r:.80}: write input, output, cached (US dollars for a million "
            "tokens) and request (dollars for a call)"
        )
    found = {key: _figure(name, key, value) for key, value in figures.items() if value is not None}
    if "input" not in found or "output" not in found:
        raise ConfigurationError(
            f"the price of {name!r} needs both input and output: give them, 0 if it is free"
        )
    return Price(
        found["input"], found["output"], found.get("cached", found["input"]), found.get("request", 0.0)
    )


def _figure(name: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"{key} of the price of {name!r} is {value!r}: give a number of 0 or more")
    return float(value)
