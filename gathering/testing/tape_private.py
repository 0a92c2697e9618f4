"""Texts that a user marks private, masked before anything is written to a tape or looked for on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gathering.core.errors import ConfigurationError

__all__ = ["hidden", "private_texts"]

_MASK = "***"


def private_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts, longest first, so that one inside another leaves nothing over. Raises ``ConfigurationError``."""
    found = (texts,) if isinstance(texts, str) else tuple(texts)
    if bad := [text for text in found if not isinstance(text, str) or not text.strip()]:
        raise ConfigurationError(f"private = {bad[0]!r} is not usable: give texts that are not empty")
    return tuple(sorted(found, key=len, reverse=True))


def hidden(value: Any, private: Sequence[str]) -> Any:
    """The value with these texts masked in all texts of it."""
    if not private:
        return value
    if isinstance(value, str):
        for text in private:
            value = value.replace(text, _MASK)
        return value
    if isinstance(value, dict):
        return {name: hidden(one, private) for name, one in value.items()}
    return [hidden(one, private) for one in value] if isinstance(value, (list, tuple)) else value
