"""Sentence vectors of services: how a batch of texts is asked for, and how the answer is read. Pure; no I/O.

Owns the forms of the embedding endpoints and which host has one. The request itself is ``gathering.llm.http``'s,
vectors without a service are ``gathering.llm.embedder``'s.
"""

from __future__ import annotations

import array
import base64
import binascii
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gathering.core.errors import ConfigurationError, MalformedResponseError
from gathering.core.messages import Usage
from gathering.llm.figures import count_of

__all__ = ["EmbeddingForm", "OllamaEmbeddingForm", "checked_texts", "form_of"]

Vector = tuple[float, ...]
_NAMED_SO = re.compile(r"embed|minilm|\bbge\b|\be5\b|\bgte\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EmbeddingForm:
    """The endpoint OpenAI defined: its path, how many texts one request takes, and the model if none is named."""

    default: str = ""
    batch: int = 2048
    path: str = "/embeddings"
    #: Vectors as base64: a quarter of the bytes; only where the service is known to take the field.
    packed: bool = False

    def model(self, provider: str, own: str, named: str | None) -> str:
        """The model to ask: the named one, the provider's own if it is one for this, or the host's usual one."""
        found = named or (own if _NAMED_SO.search(own) else "") or self.default
        if not found:
            raise ConfigurationError(
                f"{provider} has no usual embedding model: name one, embed(texts, model=...)"
            )
        return found

    def body(self, model: str, texts: Sequence[str], dimensions: int | None = None) -> dict[str, Any]:
        """The body of the request for one batch; ``dimensions`` figures in each vector, or as many as is usual."""
        body: dict[str, Any] = {"model": model, "input": list(texts)}
        if dimensions is not None:
            body["dimensions"] = dimensions
        return {**body, "encoding_format": "base64"} if self.packed else body

    def read(self, body: Any, count: int) -> tuple[list[Vector], Usage]:
        """The vectors of one batch in the order of its texts. Raises ``MalformedResponseError``."""
        try:
            entries = enumerate(body["data"])
            rows = sorted((_index(entry, i), _vector(entry["embedding"])) for i, entry in entries)
            vectors = [vector for _, vector in rows]
            usage = body.get("usage") or {}
        except (LookupError, TypeError, ValueError, AttributeError, binascii.Error) as err:
            raise _unreadable("a form that is not known") from err
        if len(vectors) != count or len({len(v) for v in vectors}) > 1 or not all(vectors):
            raise _unreadable(f"{len(vectors)} vectors to {count} texts")
        return vectors, Usage(count_of(usage.get("prompt_tokens", usage.get("total_tokens"))), 0)

    def batches(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        """The texts in as many parts as it takes."""
        return (texts[i : i + self.batch] for i in range(0, len(texts), self.batch))


@dataclass(frozen=True, slots=True)
class OllamaEmbeddingForm(EmbeddingForm):
    """Ollama's own endpoint."""

    batch: int = 512
    path: str = "/embed"

    def read(self, body: Any, count: int) -> tuple[list[Vector], Usage]:
        """The vectors of one batch. Raises ``MalformedResponseError``."""
        listed = body.get("embeddings") if isinstance(body, Mapping) else None
        if listed is None and isinstance(body, Mapping) and isinstance(body.get("embedding"), list):
            listed = [body["embedding"]]  # one text at a time, as it was before
        wire = {"data": [{"embedding": v} for v in listed]} if isinstance(listed, list) else {}
        # Named by the class: a dataclass with slots is another class than the one ``super()`` would know.
        vectors, _ = EmbeddingForm.read(self, wire, count)
        return vectors, Usage(count_of(body.get("prompt_eval_count")), 0)


#: Hosts of the chat-completions family that have no embeddings, and those with a usual model for them.
_WITHOUT = frozenset(("cerebras", "deepseek", "groq", "huggingface", "perplexity", "xai"))
_FORMS: Mapping[str, EmbeddingForm] = {
    "openai": EmbeddingForm("text-embedding-3-small", packed=True),
    "azure": EmbeddingForm(packed=True),
    "mistral": EmbeddingForm("mistral-embed", batch=64),  # at most 16,384 tokens in one request
    "fireworks": EmbeddingForm("nomic-ai/nomic-embed-text-v1.5", batch=256),
    "openrouter": EmbeddingForm("openai/text-embedding-3-small", batch=256),
    "together": EmbeddingForm("intfloat/multilingual-e5-large-instruct", batch=256),
}


def form_of(provider: str) -> EmbeddingForm | None:
    """The endpoint of a host of the chat-completions family, None where it has none."""
    return None if provider in _WITHOUT else _FORMS.get(provider, EmbeddingForm(batch=256))


def checked_texts(texts: Any) -> list[str]:
    """The texts as a list. Raises ``ConfigurationError`` for one text alone, or anything that is no text."""
    found = [] if isinstance(texts, str) else list(texts)
    wrong = [texts] if isinstance(texts, str) else [t for t in found if not isinstance(t, str)]
    if wrong:
        raise ConfigurationError(
            f"embed takes a list of texts, got {wrong[0]!r:.60}: write embed([text, ...])"
        )
    return found


def _index(entry: Mapping[str, Any], position: int) -> int:
    index = entry.get("index")
    return position if index is None else int(index)


def _vector(embedding: Any) -> Vector:
    if isinstance(embedding, str):
        figures = array.array("f", base64.b64decode(embedding, validate=True))
        if sys.byteorder == "big":
            figures.byteswap()
        return tuple(figures)
    return tuple(float(x) for x in embedding)


def _unreadable(what: str) -> MalformedResponseError:
    return MalformedResponseError(
        f"answered a request for embeddings with {what}. Next: check the model's name and base_url"
    )
