"""Chains of models: ``"openai:gpt-5-mini | anthropic:claude-haiku | local"`` asks the next one where one cannot answer.

Owns who is asked, in which order, and what sends a request on to the next. It does not retry (each provider does that
for itself), and what was shown of an answer is never taken back: a stream that breaks after its first piece is an error.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, Literal

from gathering.core.errors import (
    BadRequestError,
    ConfigurationError,
    ContentFilterError,
    ContextOverflowError,
    ProviderError,
)
from gathering.core.events import Done, UsageUpdate
from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, MessageDict, OutputMode, ToolSpec, Usage, as_completion
from gathering.core.offers import Embeddings, ModelInfo, TokenCount
from gathering.core.portal import portal
from gathering.core.registry import create_provider
from gathering.core.stream import (
    Batch,
    TextStream,
    batches_of,
    batches_of_async,
    gives_only_text,
    whole_answer,
)
from gathering.llm.http import HTTPProvider

__all__ = ["FallbackProvider"]

#: Options that belong to one provider and cannot be shared by several.
_OF_ONE = ("api_key", "base_url", "api", "headers", "context")
#: Seconds a provider that was only named may take for its retries while another one stands ready behind it.
PATIENCE = 5.0
#: Failures that would be the same wherever the request went.
_DECISIVE = (BadRequestError, ContentFilterError)
#: What a provider may fail with; one that somebody else wrote may not know the package's own errors.
_TROUBLE = (ProviderError, ConnectionError, TimeoutError)


class FallbackProvider(ILLMProvider):
    """Several providers as one: each request goes to the first that can answer it.

    The next one is asked when a provider cannot be reached, is overloaded or limits the rate, when credit, key or
    model is missing, or the answer breaks off before its first piece; after a context that is too small only one that
    reads more. A request that is wrong or filtered fails at once. ``Completion.provider`` and ``.model`` say who
    answered. Written ``provider("a | b", temperature=0)``, or ``provider("fallback", providers=[a, b])`` of providers
    with options of their own. Raises ``ConfigurationError`` for a chain that cannot be made.
    """

    def __init__(self, name: str = "fallback", config: Mapping[str, Any] | None = None) -> None:
        options = dict(config or {})
        given = options.pop("providers", None)
        chain = options.pop("model", None)
        members = _members(chain, given)
        for key in _OF_ONE:
            if key in options:
                raise ConfigurationError(
                    f"{key} belongs to one provider, not to a chain: make the providers one by one and "
                    'give provider("fallback", providers=[...])'
                )
        self.providers = tuple(create_provider(m, **options) if isinstance(m, str) else m for m in members)
        for member, provider in list(zip(members, self.providers, strict=True))[:-1]:
            if isinstance(member, str) and isinstance(provider, HTTPProvider) and "max_wait" not in options:
                provider.max_wait = PATIENCE
        labels = [m if isinstance(m, str) else _label(m) for m in members]
        super().__init__(name, {**options, "model": " | ".join(labels)})
        self.structured_output = _weakest(self.providers)
        self.takes_images = any(p.takes_images for p in self.providers)

    def complete(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The answer of the first that has one. Raises one error that says why each of them had none."""
        for attempt in self._attempts(messages):
            with attempt:
                answer: Any = attempt.provider.complete(messages, tools, **params)
                return attempt.answered(portal().run(answer) if inspect.iscoroutine(answer) else answer)
        raise AssertionError("the last attempt answers or raises")

    async def complete_async(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion:
        """The same answer, awaited."""
        for attempt in self._attempts(messages):
            with attempt:
                return attempt.answered(await attempt.provider.complete_async(messages, tools, **params))
        raise AssertionError("the last attempt answers or raises")

    def stream(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> TextStream:
        """The answer piece by piece, of the first that gives a piece."""

        def sync() -> Generator[Batch, None, None]:
            for attempt in self._attempts(messages):
                with (
                    attempt,
                    closing(batches_of(attempt.stream(messages, tools, params), attempt.provider)) as batches,
                ):
                    for batch in batches:
                        yield attempt.heard(batch)
                    return

        async def asynchronous() -> AsyncGenerator[Batch, None]:
            for attempt in self._attempts(messages):
                with attempt:
                    async with aclosing(
                        batches_of_async(attempt.stream(messages, tools, params), attempt.provider)
                    ) as batches:
                        async for batch in batches:
                            yield attempt.heard(batch)
                    return

        return TextStream(sync, asynchronous)

    def _attempts(self, messages: list[MessageDict]) -> Iterator[_Attempt]:
        walk = _Walk(self, messages)
        while walk.waiting:
            yield _Attempt(walk, walk.waiting.pop(0))

    def is_available(self) -> bool:
        """Whether one of them could answer now."""
        return any(p.is_available() for p in self.providers)

    def why_unavailable(self) -> str | None:
        """What keeps each of them from answering, None if one can."""
        reasons: list[str] = []
        for provider in self.providers:
            reason = provider.why_unavailable()
            if reason is None:
                return None
            reasons.append(f"{_label(provider)}: {reason}")
        return "; ".join(reasons)

    def get_token_count(self, text: str) -> int:
        """As the first one counts."""
        return self.providers[0].get_token_count(text)

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """As the first one counts."""
        return self.providers[0].count_tokens(messages, tools)

    def get_max_tokens(self) -> int:
        """What the first one can read: a conversation is cut to what fits there."""
        return self.providers[0].get_max_tokens()

    def get_max_output(self) -> int:
        """The most that any of them can write."""
        return max(p.get_max_output() for p in self.providers)

    def get_cost(self, usage: Usage) -> float | None:
        """What the dearest of them would ask, None where one price is not known."""
        costs = [p.get_cost(usage) for p in self.providers]
        known = [c for c in costs if c is not None]
        return max(known) if len(known) == len(costs) else None

    def unpriced(self, tools: list[ToolSpec] | None, params: Mapping[str, Any]) -> str:
        """What the first of them says that has something to say."""
        return next(filter(None, (p.unpriced(tools, params) for p in self.providers)), "")

    def cost_of(self, completion: Completion) -> float | None:
        """What the one that answered asks for this answer."""
        provider = self._answerer(completion)
        return super().cost_of(completion) if provider is None else provider.cost_of(completion)

    def _answerer(self, completion: Completion) -> ILLMProvider | None:
        """Who gave the answer: a service may name the model more exactly than it was asked for."""
        named = [p for p in self.providers if p.name == completion.provider]
        exact = [p for p in named if completion.model.startswith(p.model)]
        return max(exact or named[:1], key=lambda p: len(p.model), default=None)

    def models(self) -> list[ModelInfo]:
        """The models of the chain, in order."""
        return [ModelInfo(_label(p), p.get_max_tokens(), p.get_max_output()) for p in self.providers]

    def embedding_model(self, model: str | None = None) -> str:
        """The first one's."""
        return self.providers[0].embedding_model(model)

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """The first one's vectors: those of two models never mix."""
        return self.providers[0].embed(texts, model)


class _Walk:
    """One request on its way along the chain."""

    def __init__(self, chain: FallbackProvider, messages: list[MessageDict]) -> None:
        self.chain = chain
        self.errors: list[tuple[ILLMProvider, Exception]] = []
        providers = list(chain.providers)
        if any(m.get("images") for m in messages):
            providers = [p for p in providers if p.takes_images] or providers
        self.waiting = providers

    def goes_on(self, provider: ILLMProvider, error: Exception) -> bool:
        """Whether the next one is to be asked after this failure, which is noted."""
        self.errors.append((provider, error))
        if isinstance(error, ContextOverflowError):
            read = provider.get_max_tokens()
            self.waiting = [p for p in self.waiting if p.get_max_tokens() > read]
        elif isinstance(error, _DECISIVE):
            self.waiting = []
        return bool(self.waiting)

    def failure(self) -> ProviderError:
        """One error for all that were noted; of their type if they share one or if the last one was decisive."""
        last = self.errors[-1][1]
        kinds = {type(error) for _, error in self.errors}
        alike = len(kinds) == 1 or isinstance(last, _DECISIVE)
        kind = type(last) if alike and isinstance(last, ProviderError) else ProviderError
        waits = [w for _, e in self.errors if (w := getattr(e, "retry_after", None)) is not None]
        said = "; ".join(f"({i}) {_said(p, e)}" for i, (p, e) in enumerate(self.errors, 1))
        return kind(
            f"no answer from {len(self.errors)} of the {len(self.chain.providers)} in the chain: {said}",
            provider=self.chain.name,
            model=self.chain.model,
            status=getattr(last, "status", None),
            request_id=getattr(last, "request_id", None),
            retry_after=min(waits, default=None),
        )


class _Attempt:
    """One provider's turn at a request: a block that swallows the failure where the next one is to be asked."""

    def __init__(self, walk: _Walk, provider: ILLMProvider) -> None:
        self.walk, self.provider = walk, provider
        self.shown = False

    def __enter__(self) -> None:
        """Nothing: the attempt has its provider."""

    def __exit__(self, kind: object, error: BaseException | None, frames: object) -> bool:
        """True where the next one is to be asked. Raises the error of all where nobody is left."""
        if self.shown or not isinstance(error, _TROUBLE):
            return False
        if self.walk.goes_on(self.provider, error):
            return True
        if len(self.walk.errors) > 1:
            raise self.walk.failure() from error
        return False

    def stream(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None, params: dict[str, Any]
    ) -> Any:
        """The provider's stream; whole answers where a stream of bare strings would lose the tool calls."""
        if tools and gives_only_text(self.provider):
            return whole_answer(self.provider, messages, tools, params)
        return self.provider.stream(messages, tools, **params)

    def heard(self, batch: Batch) -> Batch:
        """The batch for the caller; from its first piece on nobody else is asked."""
        last = batch[-1] if batch else None
        if isinstance(last, Done):
            return [*batch[:-1], Done(self.answered(last.completion))]
        self.shown = self.shown or any(type(event) is not UsageUpdate for event in batch)
        return batch

    def answered(self, answer: Any) -> Completion:
        """The completion with the name of who gave it."""
        completion = as_completion(answer)
        return replace(
            completion,
            provider=completion.provider or self.provider.name,
            model=completion.model or self.provider.model,
        )


def _members(chain: Any, given: Any) -> list[str | ILLMProvider]:
    members = [part.strip() for part in str(chain or "").split("|")] if given is None else given
    if isinstance(members, list | tuple) and members and all(map(_names_one, members)):
        return list(members)
    what = f"the chain {chain!r:.80} has a gap" if chain else "a chain needs the providers it is made of"
    raise ConfigurationError(f'{what}: write "openai:gpt-5-mini | local", or give providers=[...]')


def _names_one(member: Any) -> bool:
    return isinstance(member, ILLMProvider) or (isinstance(member, str) and bool(member))


def _label(provider: ILLMProvider) -> str:
    return f"{provider.name}:{provider.model}".rstrip(":")


def _said(provider: ILLMProvider, error: Exception) -> str:
    """The failure with the provider's name in it, once."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if provider.name in text else f"{_label(provider)}: {text}"


def _weakest(providers: Sequence[ILLMProvider]) -> OutputMode:
    """What all of them can do about a structured answer."""
    order: tuple[Literal["prompted", "constrained", "native"], ...] = ("prompted", "constrained", "native")
    modes = {p.structured_output for p in providers}
    return next((mode for mode in order if mode in modes), "prompted")
