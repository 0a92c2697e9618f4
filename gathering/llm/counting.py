"""Estimates of token counts that get better with use: how many bytes a token of a model has, learned from its answers.

Owns the ratio of each provider and model in this process. An estimate stays one and is marked so; exact counts come
from the services that count (``count_tokens`` of their providers) and from the embedded model.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from gathering.core.messages import MessageDict, ToolSpec, Usage, text_of

__all__ = ["BYTES_PER_TOKEN", "estimate", "forget", "learn"]

#: Of English text with most tokenizers; the ratio begins here and stays within the bounds whatever is learned.
BYTES_PER_TOKEN = 4.0
_LEAST, _MOST = 2.0, 6.0
#: Tokens of experience the first guess counts for, and those after which older experience fades.
_TRUST, _MEMORY = 200.0, 20_000.0
#: Calls that are all learned from; of later ones each sixteenth: looking at a request takes its microseconds.
_FIRST, _THEN = 32, 16
#: Tokens around each message.
_FRAME = 4


@dataclass(slots=True)
class _Experience:
    calls: int = 0
    size: float = _TRUST * BYTES_PER_TOKEN
    tokens: float = _TRUST

    @property
    def ratio(self) -> float:
        return min(_MOST, max(_LEAST, self.size / self.tokens))


_lock = threading.Lock()
_known: dict[tuple[str, str], _Experience] = {}


def estimate(provider: str, model: str, text: str) -> int:
    """How many tokens the text has, as far as this process knows the model; at least 1 for any text.

    >>> estimate("some", "model", "Hello, how are you?")
    5
    """
    if not text:
        return 0
    known = _known.get((provider, model))
    size = len(text.encode("utf-8", "surrogatepass"))
    return max(1, round(size / (known.ratio if known else BYTES_PER_TOKEN)))


def learn(
    provider: str, model: str, messages: Sequence[MessageDict], tools: Sequence[ToolSpec] | None, usage: Usage
) -> None:
    """Take note of how many tokens the service read for these messages. Pictures teach nothing about text."""
    read = usage.input_tokens
    if not read or any(m.get("images") for m in messages):
        return
    with _lock:
        known = _known.setdefault((provider, model), _Experience())
        known.calls += 1
        if known.calls > _FIRST and known.calls % _THEN:
            return
        tokens = read - _FRAME * len(messages)
        if tokens > 0:
            known.size += _size(messages, tools)
            known.tokens += tokens
        if known.tokens > _MEMORY:
            known.size, known.tokens = known.size / 2, known.tokens / 2


def forget() -> None:
    """Begin anew with every model."""
    with _lock:
        _known.clear()


def _size(messages: Sequence[MessageDict], tools: Sequence[ToolSpec] | None) -> int:
    said = "".join(text_of(m.get("content")) + str(m.get("tool_calls") or "") for m in messages)
    return len((said + str(tools or "")).encode("utf-8", "surrogatepass"))
