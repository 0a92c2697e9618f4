"""One call's place in the accounts: booked at the worst case before it is sent, settled when it is over.

Owns what a call could cost at most, and what one that was cut is taken to have cost. Who books and settles is the flow
of a turn, what a token costs the provider's word. A call whose answer is known already, from a tape or a cache, is not
booked at all.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gathering.core.budget import CRUMB, Account, Budget, dollars, enter, leave
from gathering.core.errors import (
    BudgetExceededError,
    IncompleteStreamError,
    ProviderConnectionError,
    ProviderTimeoutError,
)
from gathering.core.interfaces import ILLMProvider, IRecorder
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage

__all__ = ["Booking"]

#: Estimated tokens are taken this many times: of text full of digits or signs an estimate gives too few.
_MARGIN = 2.0
#: No service reads an image as more tokens than this, but for a few small models.
_IMAGE_TOKENS = 4000
#: Parameters that ask for several answers at once, each of which is paid.
_ANSWERS = ("n", "best_of", "candidateCount", "candidate_count")
#: No service writes faster (tokens a second): what may have been written before the first piece was to be seen.
_FASTEST = 3000


@dataclass(slots=True)
class Booking:
    """One call's place in the accounts, from before it is sent until it is settled."""

    provider: ILLMProvider
    messages: Sequence[MessageDict]
    tools: list[ToolSpec] | None
    params: Mapping[str, Any]
    budgets: tuple[Budget, ...] = ()
    #: The most it could cost, None where no ceiling counts or the price is not known.
    amount: float | None = None
    read: int = 0
    #: What makes such a call cost less, for who is refused.
    remedy: str = "give a smaller max_tokens"
    _accounts: list[Account] = field(default_factory=list)

    def needs_store(self) -> bool:
        """Whether a ceiling is on the whole project, so that what is booked must be seen by other processes."""
        return any(b.scope == "project" for b in self.budgets)

    def price(self) -> None:
        """Find what the call could cost at most. Raises ``BudgetExceededError`` where nobody knows or allows it."""
        if not self.budgets:
            return
        if self.provider.get_cost(Usage(1, 1, 0, 0)) == 0.0:
            self.amount = 0.0
            return
        if beyond := self.provider.unpriced(self.tools, self.params):
            self._refuse_beyond(beyond)
        self.read = _tokens_read(self.provider, self.messages, self.tools, self.params)
        self.amount = self._cost(self.read, _most_written(self.provider, self.params))
        if self.amount is None:
            self._refuse_unknown()

    def take(self) -> None:
        """Book it, on every account or on none. Raises ``BudgetExceededError`` for the ceiling it does not fit under."""
        self._accounts, full = enter(self.budgets, self.amount or 0.0)
        if full is not None:
            raise self._exceeded(full)

    def check_others(self, store: IRecorder) -> None:
        """Look again, now that others can see what is booked. Raises ``BudgetExceededError``, with nothing booked."""
        for one in self.budgets:
            one.look(store)
            if self.amount and one.spent + one.booked > one.ceiling + CRUMB:
                self.settle(0.0)
                raise self._exceeded(one)

    def settle(self, cost: float) -> None:
        """Put the cost in the place of what was booked. The first time counts."""
        accounts, self._accounts = self._accounts, []
        leave(accounts, self.amount or 0.0, cost)

    def answered(self, completion: Completion, cost: float | None) -> float:
        """Settle a call that has its answer; what it counts for, an upper estimate where the cost is not known."""
        counted = self._of_answer(completion) if cost is None else cost
        self.settle(counted)
        return counted

    def cut(self, error: BaseException, arrived: str, usage: Usage, hidden_seconds: float) -> float:
        """Settle a call that ended before its answer; what it counts for: nothing if it failed at once, else an estimate.

        ``hidden_seconds`` passed before the first piece was to be seen; a model may think in that time.
        """
        counted = self._of_cut(error, arrived, usage, hidden_seconds) if self._accounts else 0.0
        self.settle(counted)
        return counted

    def _of_answer(self, completion: Completion) -> float:
        said = [completion.thinking, completion.content, *(str(c.arguments) for c in completion.tool_calls)]
        usage = completion.usage
        written = self._tokens("".join(said)) if usage.output_tokens is None else usage.output_tokens
        return self._upper(usage, written)

    def _of_cut(self, error: BaseException, arrived: str, usage: Usage, hidden_seconds: float) -> float:
        if isinstance(error, Exception) and not _was_on_its_way(error):
            if not arrived and usage.output_tokens is None:
                return 0.0
            hidden_seconds = 0.0
        written = self._tokens(arrived) + round(hidden_seconds * _FASTEST)
        return self._upper(usage, max(written, usage.output_tokens or 0))

    def _upper(self, usage: Usage, written: int) -> float:
        if not self.amount:
            return 0.0
        cost = self._cost(self.read if usage.input_tokens is None else usage.input_tokens, written)
        return self.amount if cost is None else min(cost, self.amount)

    def _cost(self, read: int, written: int) -> float | None:
        cost = self.provider.get_cost(Usage(read, written, 0, 0))
        # What is written into a service's cache costs more than what is only read.
        dearer = {"1h": 2.0, True: 1.25}.get(self.params.get("prompt_cache") or False, 1.0)
        return None if cost is None else cost * dearer

    def _tokens(self, text: str) -> int:
        return math.ceil(self.provider.get_token_count(text) * _MARGIN) if text else 0

    def _label(self) -> str:
        return f"{self.provider.name}:{self.provider.model}".rstrip(":")

    def _exceeded(self, one: Budget) -> BudgetExceededError:
        spent, booked, cost = one.spent, one.booked, self.amount or 0.0
        running = f", {dollars(booked)} booked by calls that run" if booked else ""
        return BudgetExceededError(
            f"a call of {self._label()} could cost {dollars(cost)} USD, which the budget of "
            f"{dollars(one.ceiling)} USD has no room for ({dollars(spent)} spent{running}), and was not sent: "
            f"{self.remedy}, or raise it with gathering.budget(...)",
            ceiling=one.ceiling,
            spent=spent,
            booked=booked,
            cost=cost,
        )

    def _refuse_beyond(self, what: str) -> None:
        """Refuse or ask about a call whose tokens have a price, but not all that it may cost."""
        for one in self.budgets:
            if not one.allows_unknown(f"{self._label()} with {what}"):
                raise BudgetExceededError(
                    f"what {self._label()} may cost with {what}, is not known before, and the budget of "
                    f"{dollars(one.ceiling)} USD counts every call, so it was not sent: leave it out, or allow such "
                    "calls with on_unknown='allow'",
                    ceiling=one.ceiling,
                    spent=one.spent,
                    booked=one.booked,
                )

    def _refuse_unknown(self) -> None:
        for one in self.budgets:
            if not one.allows_unknown(self._label()):
                raise BudgetExceededError(
                    f"the price of {self._label()} is not known, and the budget of {dollars(one.ceiling)} USD "
                    f"counts every call, so it was not sent: say the price with gathering.llm.prices.set_price("
                    f"{self._label()!r}, input=..., output=...), or allow such calls with on_unknown='allow'",
                    ceiling=one.ceiling,
                    spent=one.spent,
                    booked=one.booked,
                )


def _was_on_its_way(error: Exception) -> bool:
    """Whether the service was at work on the answer when the call failed, and may have written what nobody saw."""
    if isinstance(error, ProviderTimeoutError):
        return error.sent is not False
    return isinstance(error, IncompleteStreamError) or (
        isinstance(error, ProviderConnectionError) and error.sent is True
    )


def _tokens_read(
    provider: ILLMProvider,
    messages: Sequence[MessageDict],
    tools: list[ToolSpec] | None,
    params: Mapping[str, Any],
) -> int:
    """More tokens than the request has. Asks no service: the provider's own count may."""
    count = ILLMProvider.count_tokens(provider, list(messages), tools).tokens
    count += provider.get_token_count(str(params["output"])) if params.get("output") else 0
    images = sum(len(m.get("images") or ()) for m in messages)
    margin = _MARGIN if provider.estimates_tokens else 1.1
    return math.ceil(count * margin) + images * _IMAGE_TOKENS


def _most_written(provider: ILLMProvider, params: Mapping[str, Any]) -> int:
    """The most tokens the answers can have: what the call or the provider's configuration says, else the model's limit.

    Of one that stands before others it is theirs: what goes with each call is their configuration.
    """
    behind = [getattr(provider, "provider", None), *getattr(provider, "providers", ())]
    if behind := [one for one in behind if isinstance(one, ILLMProvider)]:
        return max(_most_written(one, params) for one in behind)
    answers = max(_asked(provider, params, name) or 1 for name in _ANSWERS)
    limit = _asked(provider, params, "max_tokens")
    return answers * (provider.get_max_output() if limit is None else limit)


def _asked(provider: ILLMProvider, params: Mapping[str, Any], name: str) -> int | None:
    """The figure that is sent under this name."""
    for source in (params, getattr(provider, "params", {}), provider.config):
        with contextlib.suppress(AttributeError, TypeError, ValueError):
            if source.get(name) is not None:
                return int(source[name])
    return None
