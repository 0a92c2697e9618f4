"""What keeps each provider from being used, found out by asking it: ``gathering doctor`` and ``%gathering doctor``.

Owns the questions and the words of the answer, no table and no printing. A provider whose key is missing is not
asked; one that is gets a single short request, several providers at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gathering.core.errors import GatheringError
from gathering.core.interfaces import ILLMProvider
from gathering.core.registry import PROVIDERS, create_provider
from gathering.core.session import live_calls_forbidden
from gathering.llm.http import HTTPProvider

__all__ = ["Checkup", "checkups"]

_AT_ONCE = 16
#: The registry's name of chains, which are made of the others.
_CHAIN = "fallback"


@dataclass(frozen=True, slots=True)
class Checkup:
    """One provider: where its key comes from (``none needed`` and ``missing`` are two of the answers), whether it
    could be reached (None where it was not asked), and what to do, empty if nothing.
    """

    provider: str
    model: str
    key: str
    reachable: bool | None
    advice: str


def checkups(names: Iterable[str] = (), *, seen: Callable[[int, int], object] | None = None) -> list[Checkup]:
    """One checkup for each provider of the registry, or for those that are named (``"provider:model"`` too).

    ``seen(done, all)`` is called after each of them. Stop ends the waiting at once. Raises nothing for a provider
    that is ill, and ``UnknownNameError`` for a name nobody knows.
    """
    wanted = list(dict.fromkeys(names)) or [name for name in PROVIDERS if name != _CHAIN]
    for name in wanted:
        for one in name.split("|"):
            PROVIDERS.resolve(one.strip().partition(":")[0])
    found: list[Checkup] = []
    pool = ThreadPoolExecutor(min(_AT_ONCE, len(wanted)), "gathering-doctor")
    try:
        for checkup in pool.map(_checkup, wanted):
            found.append(checkup)
            if seen is not None:
                seen(len(found), len(wanted))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return found


def _checkup(name: str) -> Checkup:
    try:
        provider = create_provider(name)
    except GatheringError as err:
        return Checkup(name, "", "", None, str(err))
    key, asked = _key(provider), True
    try:
        advice = provider.what_is_missing() if isinstance(provider, HTTPProvider) else None
        if advice is not None or (live_calls_forbidden() and isinstance(provider, HTTPProvider)):
            asked = False
        advice = advice or provider.why_unavailable()
    except GatheringError as err:
        advice = str(err)
    except Exception as err:  # noqa: BLE001 - a provider somebody else wrote may raise anything
        advice = f"{type(err).__name__}: {err}"
    reachable = advice is None if asked else None
    return Checkup(provider.name, provider.model, key, reachable, advice or "")


def _key(provider: ILLMProvider) -> str:
    if not isinstance(provider, HTTPProvider):
        return ""
    return provider.key_source() or ("missing" if provider.needs_key else "none needed")
