"""The provider of Anthropic's models, and of every server that speaks Anthropic Messages.

Owns its address, its key's variable and its headers. The dialect is ``gathering.llm.anthropic_messages`` and
``gathering.llm.anthropic_stream``, everything between it and the socket ``gathering.llm.http``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from gathering.core.errors import ConfigurationError
from gathering.core.messages import Completion, MessageDict, ToolSpec
from gathering.core.offers import TokenCount
from gathering.llm.anthropic_answer import cache_surcharge, is_paused, joined, parse_response
from gathering.llm.anthropic_messages import build_request, count_request
from gathering.llm.anthropic_params import has_native_output, most_tokens
from gathering.llm.anthropic_stream import MessagesStream
from gathering.llm.courses import amended, continued
from gathering.llm.exchange import Course
from gathering.llm.extras import runs_at_the_service
from gathering.llm.http import HTTPProvider
from gathering.llm.keys import Secret
from gathering.llm.prices import price_of
from gathering.llm.wire import Headers, Line

__all__ = ["AnthropicProvider", "MessagesDialect"]

#: The version of the wire format that is spoken here; the service wants it said.
VERSION = "2023-06-01"
#: The models that hold a million tokens; the others hold 200 000.
_LARGE = re.compile(r"claude-(?:[a-z]+-(?:[5-9]|\d\d)\b|(?:opus|sonnet)-4[-.][6-9]\b|sonnet-4[-.]5\b)")


@dataclass(frozen=True, slots=True)
class MessagesDialect:
    """Anthropic Messages. ``origin`` marks the thinking that must go back to the server it came from."""

    origin: str
    path: str = "/messages"
    models_path: str = "/models?limit=1000"

    def build_request(
        self,
        model: str,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> dict[str, Any]:
        """The body of a request."""
        return build_request(model, messages, tools, params, stream=stream, origin=self.origin)

    def parse_response(self, body: Any, model: str) -> Completion:
        """The completion in a whole answer."""
        return parse_response(body, model, origin=self.origin)

    def stream_reader(self, model: str) -> MessagesStream:
        """A reader for one streamed answer."""
        return MessagesStream(model, self.origin)


class AnthropicProvider(HTTPProvider):
    """Anthropic's models: ``provider("anthropic:claude-sonnet-5")``. The key is in ``ANTHROPIC_API_KEY``.

    ``max_tokens`` is always sent, 16384 if nothing else is said; betas go into ``headers={"anthropic-beta": ...}``.
    """

    default_base_url: ClassVar[str] = "https://api.anthropic.com/v1"
    base_url_variable: ClassVar[str] = "ANTHROPIC_BASE_URL"
    key_variable: ClassVar[str] = "ANTHROPIC_API_KEY"
    default_context: ClassVar[int] = 200_000
    takes_images = True

    def __init__(self, name: str = "anthropic", config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config or {})
        api = self.config.get("api", "messages")
        if api != "messages":
            raise ConfigurationError(
                f"{name} does not speak api={api!r} here: leave api out, or give api='messages'"
            )
        own = self.base_url == self.default_base_url
        self.dialect: MessagesDialect = MessagesDialect("anthropic" if own else f"{name} {self.base_url}")
        # Of other models, behind servers that only speak the dialect, it is not known.
        native = "claude" in self.model and has_native_output(self.model)
        self.structured_output = "native" if native else "prompted"

    @property
    def base_url(self) -> str:
        """The address below which the service's paths are. Anthropic's own tools write it without the ``/v1``."""
        found = super().base_url
        return found if re.search(r"/v\d+$", found) else f"{found}/v1"

    def auth_headers(self, key: Secret | None) -> dict[str, str]:
        """The headers that carry the version and the key."""
        headers = Headers({"anthropic-version": VERSION})
        if key:
            headers["x-api-key"] = key.reveal()
        return headers

    def get_max_tokens(self) -> int:
        """Tokens the model can read and write in one call together."""
        usual = _LARGE.match(self.model) and not self.config.get("context") and not self.listed()
        return 1_000_000 if usual else super().get_max_tokens()

    def get_max_output(self) -> int:
        """Tokens an answer can have, thinking included: each request sets this limit, the model's own is higher."""
        return int(self.params.get("max_tokens") or most_tokens(self.model))

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """The service's own count; an estimate where it cannot be asked."""
        body = count_request(self.model, messages, tools, origin=self.dialect.origin)
        counted = self.counted(f"{self.dialect.path}/count_tokens", body, "input_tokens")
        return counted or super().count_tokens(messages, tools)

    def cost_of(self, completion: Completion) -> float | None:
        """US dollars for this answer, with what writing into the service's cache costs beyond reading."""
        cost = super().cost_of(completion)
        price = price_of(self.name, self.model) if cost and completion.source != "cache" else None
        if cost is None or price is None:
            return cost
        return cost + cache_surcharge(completion.raw) * price.input / 1_000_000

    def _call(
        self,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> tuple[Course, Line]:
        """The course of a call; one with tools of the service's own goes on where the service pauses."""
        call = super()._call
        run, line = call(messages, tools, params, stream=stream)

        def following(paused: Completion) -> Course | None:
            said = [*messages, paused.message().to_dict()]
            return call(said, tools, params, stream=stream)[0] if is_paused(paused) else None

        if any(map(runs_at_the_service, tools or ())):
            origin = self.dialect.origin
            run = continued(run, following, lambda before, after: joined(before, after, origin))
        if params.get("output") and self.structured_output == "native":
            run = amended(run, lambda completion: replace(completion, output_mode="native"))
        return run, line
