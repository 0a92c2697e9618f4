"""What is known of a service's model without asking the service: tokens, contexts, prices.

Owns the order in which they are looked for: what the configuration says, what the service said in this process, the
table of prices, what is usual there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, ToolSpec, Usage
from gathering.core.offers import ModelInfo
from gathering.llm import prices
from gathering.llm.counting import estimate
from gathering.llm.extras import searches_in, served_otherwise, unpriced
from gathering.llm.listing import known_model

__all__ = ["KnownModel"]


class KnownModel(ILLMProvider):
    """The part of a provider over HTTP that answers for its model's figures."""

    #: Tokens the model holds when nobody says otherwise.
    default_context: ClassVar[int] = 8192
    #: Parameters that go with each call unless it gives others.
    params: dict[str, Any]

    @property
    def base_url(self) -> str:
        """The address of the service."""
        raise NotImplementedError

    def get_token_count(self, text: str) -> int:
        """How many tokens the text has: an estimate, better with each answer of this model."""
        return estimate(self.name, self.model, text)

    def listed(self) -> ModelInfo | None:
        """What the service's list said of this model in this process, None if it was not asked for."""
        return known_model(self.name, self.base_url, self.model)

    def get_max_tokens(self) -> int:
        """Tokens the model can read and write in one call together.

        As configured, as the service listed it in this process, as the table of prices has it, or as is usual there.
        """
        if given := self.config.get("context"):
            return int(given)
        known = self.listed()
        return (known and known.context) or prices.context_of(self.name, self.model) or self.default_context

    def get_max_output(self) -> int:
        """Tokens the model can write in one call, as listed, or all it holds."""
        known = self.listed()
        return (known and known.max_output) or self.get_max_tokens()

    def get_cost(self, usage: Usage) -> float | None:
        """US dollars for this usage by the table of prices; None where the model is not in it."""
        return prices.cost(self.name, self.model, usage)

    def unpriced(self, tools: list[ToolSpec] | None, params: Mapping[str, Any]) -> str:
        """What of this request the table of prices does not cover: tools of the service's own, and dearer service."""
        return "" if self.get_cost(Usage(1, 1, 0, 0)) == 0.0 else unpriced(tools, {**self.params, **params})

    def cost_of(self, completion: Completion) -> float | None:
        """US dollars for this answer, web searches of the service's own included; None where a price is not known."""
        cost = super().cost_of(completion)
        if not cost or completion.source == "cache":
            return cost
        if served_otherwise(completion.raw):
            return None
        if not (searches := searches_in(completion.raw)):
            return cost
        fee = prices.search_fee(self.name, self.model)
        return None if fee is None else cost + searches * fee
