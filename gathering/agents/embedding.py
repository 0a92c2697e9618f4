"""Vectors of a service, booked before they are asked for like any call. Owns what they could cost, and what they did.

A tape stands before this: what it plays is not booked. Vectors made on this machine cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gathering.core.booking import Booking
from gathering.core.budget import current_purse
from gathering.core.errors import BudgetExceededError
from gathering.core.flow import WAITING
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, Usage
from gathering.core.offers import Embeddings
from gathering.core.playback import StandIn
from gathering.core.portal import beside
from gathering.core.session import timer, wrapped
from gathering.llm.prices import cost

__all__ = ["embedded", "vectors_cost"]


def embedded(
    provider: ILLMProvider,
    texts: Sequence[str],
    booked: Callable[[Booking], None] = lambda booking: None,
    settled: Callable[[float], None] = lambda counted: None,
) -> Embeddings:
    """A vector for each text, under the ceilings that count now. Raises ``BudgetExceededError``, with nothing sent.

    ``booked`` hears of the booking before a service is asked, ``settled`` of what it counts for in the end.
    """
    if provider.name == "local":
        return wrapped(provider).embed(texts)
    return wrapped(_Booked(provider, booked, settled)).embed(texts)


def vectors_cost(model: str, usage: Usage) -> float | None:
    """US dollars for the vectors of ``"provider:model"``; None where the price or the tokens are not known."""
    provider, _, name = model.partition(":")
    return cost(provider, name, Usage(usage.input_tokens, 0, 0, 0))


class _Booked(StandIn):
    """A provider that books its vectors at what they could cost, and settles them at what they did."""

    def __init__(
        self,
        provider: ILLMProvider,
        booked: Callable[[Booking], None],
        settled: Callable[[float], None],
    ) -> None:
        super().__init__(provider)
        self.booked, self.settled = booked, settled

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        booking = self._booking(texts, model)
        self.booked(booking)
        begun = timer()
        try:
            made = self.provider.embed(texts, model)
        except BaseException as error:
            self.settled(booking.cut(error, "", Usage(), timer() - begun))
            raise
        self.settled(booking.answered(Completion(usage=made.usage), vectors_cost(made.model, made.usage)))
        return made

    async def embed_async(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        return await beside(self.embed, texts, model)

    def _booking(self, texts: Sequence[str], model: str | None) -> Booking:
        """Taken from every ceiling that counts; of a comparison, it waits while running calls may free some room."""
        purse = current_purse()
        read = [{"role": "user", "content": text} for text in texts]
        booking = Booking(
            _Priced(self.provider, model), read, None, {"max_tokens": 0}, remedy="give fewer or shorter texts"
        )
        booking.budgets = purse.applying()
        booking.price()
        while True:
            try:
                booking.take()
                return booking
            except BudgetExceededError as error:
                if not (purse.patient and error.may_fit_later):
                    raise
            time.sleep(WAITING)


class _Priced(StandIn):
    """The provider by the name and the price of its embedding model."""

    def __init__(self, provider: ILLMProvider, model: str | None) -> None:
        super().__init__(provider)
        self.name, _, self.model = provider.embedding_model(model).partition(":")

    def get_cost(self, usage: Usage) -> float | None:
        return vectors_cost(f"{self.name}:{self.model}", usage)

    def unpriced(self, tools: object, params: object) -> str:
        return ""
