"""The mask over keys: what looks like one, what is named one, and those this process knows by heart.

One place for all that leaves: errors, the trace, tapes, spans, notebook outputs. Owns no key's origin
(``gathering.llm.keys``); it only remembers, for the life of the process, the texts it was told never to show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["MASK", "keep_secret", "mask"]

MASK = "***"

#: How keys of services begin; what follows has a digit somewhere, or words joined by hyphens would be keys.
_PREFIXES = (
    *("sk", "pk", "rk", "gsk", "xai", "hf", "nvapi", "pplx", "r8", "fw", "csk", "tgp", "jina", "tvly", "pa"),
    *("ghp", "gho", "ghu", "ghs", "github_pat", "glpat", "xoxb", "xoxp", "lsv2", "key"),
)
_KEY_VALUES = re.compile(
    # Never inside a longer word: what services encrypt for themselves is base64, and must come back as it was.
    rf"(?<![\w\-])(?:{'|'.join(_PREFIXES)})[-_](?=[A-Za-z_\-]*\d)[A-Za-z0-9_\-]{{12,}}"
    r"|(?<![\w\-+/])(?:AIza|ya29\.)[A-Za-z0-9_\-]{16,}"
    r"|\bAQ\.(?=[A-Za-z_\-]*\d)[A-Za-z0-9_\-]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"
)
#: As services echo a key they refuse: its beginning and end, with stars between.
_STARRED = re.compile(rf"\b(?:{'|'.join(_PREFIXES)})[-_][A-Za-z0-9_.\-]*\*{{2,}}[A-Za-z0-9_*.\-]*")
_BEARER = re.compile(r"(?<=\bBearer\s)[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE)
_KEY_NAMES = re.compile(
    r'("(?:[a-z]+[-_])*(?:api[-_]?key|authorization|access[-_]?token|secret|password)"\s*:\s*)"(?:[^"\\]|\\.)*"',
    re.IGNORECASE,
)
#: The same out of JSON: a header line, a shell's export, a keyword argument, a query.
_KEY_LINES = re.compile(
    r"""(?P<name>\b(?:[a-z]+[-_])*(?:api[-_ ]?key|access[-_ ]?token)["']?(?:\s*[:=]\s*["']?|\s+is\s+))"""
    r"(?P<value>(?=[A-Za-z_\-]*\d)[A-Za-z0-9_\-]{16,})",
    re.IGNORECASE,
)
# Looking for a word first is many times faster than a pattern on text that has none of it.
_VALUE_MARKS = (
    *(f"{prefix}{joint}" for prefix in _PREFIXES for joint in "-_"),
    *("AIza", "ya29.", "AQ.", "AKIA", "ASIA", "eyJ"),
)
_NAME_MARKS = ("key", "authorization", "access", "secret", "password")
#: In a short text one pattern finds them sooner than a search for each; in a long one it is the other way round.
_SHORT = 500
_ANY_VALUE = re.compile("|".join(map(re.escape, _VALUE_MARKS)))
_ANY_NAME = re.compile("|".join(map(re.escape, _NAME_MARKS)))
#: A shorter text is no key, but a word of a test or a dummy for a server that wants none.
_SHORTEST = 12

_known: set[str] = set()


def keep_secret(text: str) -> None:
    """Mask this text from now on wherever it stands, whatever it looks like."""
    if len(text) >= _SHORTEST:
        _known.add(text)


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """The text, or JSON text, with every key in it replaced by ``***``; so are ``secrets`` of four letters and more.

    >>> mask("401 for Bearer abcdef0123456789")
    '401 for Bearer ***'
    """
    if len(text) < 4:
        return text
    for secret in (*secrets, *_known):
        if len(secret) >= 4 and secret in text:
            text = text.replace(secret, MASK)
    if _has(text, _VALUE_MARKS, _ANY_VALUE):
        text = _KEY_VALUES.sub(MASK, text)
        if "**" in text:
            text = _STARRED.sub(MASK, text)
    lower = text.lower()
    if "bearer" in lower:
        text = _BEARER.sub(MASK, text)
    if _has(lower, _NAME_MARKS, _ANY_NAME):
        text = _KEY_NAMES.sub(rf'\1"{MASK}"', text)
        text = _KEY_LINES.sub(rf"\g<name>{MASK}", text)
    return text


def _has(text: str, marks: Iterable[str], pattern: re.Pattern[str]) -> bool:
    if len(text) <= _SHORT:
        return pattern.search(text) is not None
    return any(mark in text for mark in marks)
