"""Every error of the package, in one tree. This file owns their names and how they read; it raises none.

    GatheringError
    ├── Signal                      a tool or a hook says something on purpose; nothing is broken
    │   └── ToolFailed                  "tell the model exactly this"
    ├── ConfigurationError          your mistake: a name, an option or a value is wrong
    │   └── UnknownNameError            carries the nearest right name
    └── (it failed)
        ├── ProviderError               with provider, model, status, request_id, retry_after, partial
        │   ├── AuthenticationError, PermissionDeniedError, ModelNotFoundError, BadRequestError,
        │   │   ContextOverflowError, ContentFilterError, RateLimitError, QuotaError, OverloadedError
        │   └── ProviderConnectionError, ProviderTimeoutError, IncompleteStreamError, MalformedResponseError
        ├── LocalModelError             the embedded model cannot be used here
        ├── ToolExecutionError
        ├── TurnLimitError              the model did not come to an answer within the allowed rounds
        ├── LiveCallError               a live call where only recorded ones are allowed
        ├── BudgetExceededError
        ├── TapeError
        │   └── MissingRecordingError
        ├── CheckFailedError
        └── StoreError

A message is one line: what failed (with the value), why, and after a colon or a stop what to do next.
In a notebook that line is all that is shown; ``GatheringError.show_full_traceback = True`` (the magic's
``--debug``) brings the frames back.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = [
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "CheckFailedError",
    "ConfigurationError",
    "ContentFilterError",
    "ContextOverflowError",
    "GatheringError",
    "IncompleteStreamError",
    "LiveCallError",
    "LocalModelError",
    "MalformedResponseError",
    "MissingRecordingError",
    "ModelNotFoundError",
    "OutputError",
    "OverloadedError",
    "PermissionDeniedError",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderTimeoutError",
    "QuotaError",
    "RateLimitError",
    "Signal",
    "StoreError",
    "TapeError",
    "ToolExecutionError",
    "ToolFailed",
    "TurnLimitError",
    "UnknownNameError",
    "nearest",
]


class GatheringError(Exception):
    """The base of all errors of the package: ``except GatheringError`` catches each of them."""

    show_full_traceback: ClassVar[bool] = False

    def _render_traceback_(self) -> list[str]:
        """The lines IPython shows: one, unless the full traceback was asked for."""
        if GatheringError.show_full_traceback:
            return traceback.format_exception(self)
        return [f"{type(self).__name__}: {self}"]


class Signal(GatheringError):
    """Raised on purpose by a tool or hook to say something; nothing is broken."""


class ToolFailed(Signal):
    """Raise it in a tool: the model sees a failed result with exactly this text."""


class ConfigurationError(GatheringError):
    """A name, option or value given by the caller is wrong; the message says which and what would be right."""


#: So many names are listed to somebody who wrote one that is not known.
_SHOWN = 30


class UnknownNameError(ConfigurationError):
    """A name that is not known; ``suggestions`` holds the nearest right ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        self.kind, self.name = kind, name
        self.suggestions = nearest(name, known) if isinstance(name, str) else []
        if self.suggestions:
            advice = f"did you mean {self.suggestions[0]!r}?"
        elif known:
            more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
            advice = "known: " + ", ".join(known[:_SHOWN]) + more
        else:
            advice = f"no {kind} is known yet"
        super().__init__(f"unknown {kind} {shown(name)}: {advice}{' ' + hint if hint else ''}")


class ProviderError(GatheringError):
    """A provider refused, broke off or answered nonsense. All details are attributes.

    ``partial`` is the text that had arrived, ``retry_after`` seconds or None.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        partial: str = "",
    ) -> None:
        super().__init__(message)
        self.provider, self.model, self.status = provider, model, status
        self.request_id, self.retry_after, self.partial = request_id, retry_after, partial

    def __reduce__(self) -> tuple[Any, ...]:
        """Keyword-only details survive pickling (worker processes send errors back)."""
        return _rebuild, (type(self), str(self), self.__dict__.copy())


def _rebuild(cls: type[ProviderError], message: str, state: dict[str, Any]) -> ProviderError:
    error = cls(message)
    error.__dict__.update(state)
    return error


class AuthenticationError(ProviderError):
    """The key is missing or wrong."""


class PermissionDeniedError(ProviderError):
    """The key may not do this: region, plan or terms of the model."""


class ModelNotFoundError(ProviderError):
    """The provider has no model (or path) of this name."""


class BadRequestError(ProviderError):
    """The provider did not accept the request as it was written."""


class ContextOverflowError(BadRequestError):
    """The messages are longer than the model can read."""


class ContentFilterError(ProviderError):
    """The provider's filter stopped the request or the answer."""


class RateLimitError(ProviderError):
    """Too many requests just now; ``retry_after`` says when to come back, if the provider did."""


class QuotaError(ProviderError):
    """No credit or quota left: waiting does not help."""


class OverloadedError(ProviderError):
    """The provider is down or overloaded (5xx)."""


class ProviderConnectionError(ProviderError):
    """No connection to the provider, or it was dropped.

    ``sent`` says whether the request had gone out, so that the provider may have worked on it; None where nobody knows.
    """

    sent: bool | None = None


class ProviderTimeoutError(ProviderConnectionError):
    """The provider did not answer, or fell silent, for longer than the timeout."""


class IncompleteStreamError(ProviderError):
    """The stream ended without its end mark: the answer is not whole, ``partial`` is what arrived."""


class MalformedResponseError(ProviderError):
    """The answer is not of the form the provider documents."""


class LocalModelError(ProviderError):
    """The embedded model cannot be used: no weights, no wheel for this platform, or its process ended."""


class ToolExecutionError(GatheringError):
    """A tool could not be run at all (a failing tool gives a ``ToolResult`` instead)."""


class TurnLimitError(GatheringError):
    """The model went on calling tools for more rounds than the agent allows."""


class OutputError(GatheringError):
    """A structured answer that does not have its form, also not at the second try. ``text`` is what the model said."""

    def __init__(self, problem: str, text: str) -> None:
        shown = text if len(text) <= 120 else f"{text[:119]}…"
        super().__init__(
            f"{problem} (the answer was {shown!r}): ask a larger model, raise max_tokens, or make the form simpler"
        )
        self.problem, self.text = problem, text


class LiveCallError(GatheringError):
    """A live call was about to be made where only recorded ones are allowed, as in tests."""


class BudgetExceededError(GatheringError):
    """The next call could cost more than what is left of the budget; nothing was sent. Figures are US dollars."""

    def __init__(
        self,
        message: str,
        *,
        ceiling: float | None = None,
        spent: float = 0.0,
        booked: float = 0.0,
        cost: float | None = None,
    ) -> None:
        super().__init__(message)
        self.ceiling, self.spent, self.booked, self.cost = ceiling, spent, booked, cost

    @property
    def may_fit_later(self) -> bool:
        """Whether there could be room once the calls that run now are settled."""
        return bool(self.booked) and self.spent + (self.cost or 0.0) <= (self.ceiling or 0.0) + 1e-9


class TapeError(GatheringError):
    """The tape (the recorded exchanges of a notebook) cannot be used as asked."""


class MissingRecordingError(TapeError):
    """The tape holds no recording of this request; nothing was sent.

    ``differences`` has a line for each field in which the nearest recorded request differs: ``field: then -> now``.
    """

    def __init__(self, message: str, *, prompt: str = "", differences: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.prompt, self.differences = prompt, tuple(differences)


class CheckFailedError(GatheringError, AssertionError):
    """An expectation about an answer does not hold."""


class StoreError(GatheringError):
    """The trace store cannot be opened, read or written."""


def shown(value: Any, most: int = 80) -> str:
    """A stranger's value for a message, at most so many characters; its type where it cannot be written down.

    >>> shown("x" * 100, 10), shown(10**5000)
    ("'xxxxxxxxx...", '<int>')
    """
    try:
        text = repr(value[: most + 1] if isinstance(value, str | bytes) else value)
    except Exception:  # noqa: BLE001 - a number of 5,000 digits, lists in lists in lists, a __repr__ that raises
        text = f"<{type(value).__name__}>"
    return text if len(text) <= most else text[:most] + "..."


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names close to the given one, the closest first.

    >>> nearest("calculater", ["calculator", "database"])
    ['calculator']
    """
    folded = {k.lower(): k for k in known}
    return [folded[k] for k in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
