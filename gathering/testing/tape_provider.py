"""A provider behind a tape. Owns what is said of a provider while it is played; the tape says what is recorded."""

from __future__ import annotations

from gathering.core.interfaces import ILLMProvider
from gathering.core.messages import Completion, MessageDict, ToolSpec
from gathering.core.offers import TokenCount
from gathering.core.playback import Keeper, PlaybackProvider

__all__ = ["TapedProvider"]


class TapedProvider(PlaybackProvider):
    """A provider behind a tape: it answers from the tape, and asks the provider only for what is to be recorded.

    Tokens are counted by estimate, so that recording and replaying choose the same context window without the model.
    """

    def __init__(self, provider: ILLMProvider, tape: Keeper, *, only_replays: bool) -> None:
        super().__init__(provider, tape)
        self.only_replays = only_replays

    def is_available(self) -> bool:
        """A tape that only replays needs nothing."""
        return self.only_replays or self.provider.is_available()

    def why_unavailable(self) -> str | None:
        """What the provider says, when it is asked at all."""
        return None if self.only_replays else self.provider.why_unavailable()

    def get_token_count(self, text: str) -> int:
        """The estimate of any provider."""
        return ILLMProvider.get_token_count(self, text)

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """The estimate of any provider."""
        return ILLMProvider.count_tokens(self, messages, tools)

    def cost_of(self, completion: Completion) -> float | None:
        """What it cost when it was recorded: prices change."""
        return completion.cost if completion.source == "tape" else super().cost_of(completion)
