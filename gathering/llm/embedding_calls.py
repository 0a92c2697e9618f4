"""Asking a service for sentence vectors: in as many requests as it takes, now or awaited.

The endpoint's form is ``gathering.llm.embeddings``'s, the requests are the provider's own (``gathering.llm.http``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gathering.core.errors import ConfigurationError, ProviderError
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Usage
from gathering.core.offers import Embeddings
from gathering.llm.embeddings import EmbeddingForm, Vector, checked_texts

__all__ = ["EmbeddingCalls"]


class EmbeddingCalls(ILLMProvider):
    """The part of a provider over HTTP that gives vectors."""

    #: The service's endpoint for embeddings, if it has one.
    embedding_form: EmbeddingForm | None = None

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that a path answers to this body."""
        raise NotImplementedError

    async def ask_async(self, path: str, body: Mapping[str, Any]) -> Any:
        """The same, awaited."""
        raise NotImplementedError

    def signed(self, error: ProviderError) -> ProviderError:
        """The error with the provider's name in it."""
        raise NotImplementedError

    def embedding_model(self, model: str | None = None) -> str:
        """The named model, the provider's own if it is one for this, or the host's usual one, as ``"provider:model"``."""
        form = self.embedding_form
        return super().embedding_model(form.model(self.name, self.model, model) if form else model)

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """One vector for each text, in as many requests as it takes. Raises ``ConfigurationError`` without such a model."""
        form, name, batches = self._embedding(texts, model)
        return _joined(
            f"{self.name}:{name}",
            [
                self._read(
                    form, self.ask(form.path, form.body(name, part, self.config.get("dimensions"))), len(part)
                )
                for part in batches
            ],
        )

    async def embed_async(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """The same vectors, awaited."""
        form, name, batches = self._embedding(texts, model)
        answers = [
            (await self.ask_async(form.path, form.body(name, part, self.config.get("dimensions"))), len(part))
            for part in batches
        ]
        return _joined(f"{self.name}:{name}", [self._read(form, *answer) for answer in answers])

    def _embedding(
        self, texts: Sequence[str], model: str | None
    ) -> tuple[EmbeddingForm, str, Iterator[Sequence[str]]]:
        form, texts = self.embedding_form, checked_texts(texts)
        if form is None:
            raise ConfigurationError(
                f"{self.name} has no embeddings: use another provider, or gathering.provider('local').embed(...)"
            )
        return form, form.model(self.name, self.model, model), form.batches(texts)

    def _read(self, form: EmbeddingForm, body: Any, count: int) -> tuple[list[Vector], Usage]:
        try:
            return form.read(body, count)
        except ProviderError as err:
            raise self.signed(err) from err.__cause__


def _joined(model: str, parts: Sequence[tuple[list[Vector], Usage]]) -> Embeddings:
    vectors = tuple(vector for part, _ in parts for vector in part)
    return Embeddings(vectors, model, sum((usage for _, usage in parts), Usage()))
