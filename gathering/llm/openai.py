"""The providers that speak chat completions: OpenAI itself, and every server that copied it.

Owns their names, addresses and key variables. The dialect is ``gathering.llm.openai_chat`` and
``gathering.llm.openai_stream``, everything between it and the socket ``gathering.llm.http``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gathering.core.errors import ConfigurationError
from gathering.core.messages import Completion, MessageDict, ToolSpec
from gathering.llm.http import HTTPProvider
from gathering.llm.openai_chat import ChatStyle, build_request, parse_response
from gathering.llm.openai_stream import ChatStream

__all__ = ["ChatDialect", "OpenAICompatibleProvider", "OpenAIProvider"]

#: Tokens the models of OpenAI hold, by the beginning of their names; the first that fits counts.
_CONTEXTS = (
    ("gpt-5", 400_000),
    ("gpt-4.1", 1_047_576),
    ("gpt-4o", 128_000),
    ("gpt-3.5", 16_385),
    ("gpt-4", 8_192),
)


@dataclass(frozen=True, slots=True)
class ChatDialect:
    """Chat completions as one server wants them."""

    style: ChatStyle
    path: str = "/chat/completions"
    models_path: str = "/models"

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
        return build_request(model, messages, tools, params, stream=stream, style=self.style)

    def parse_response(self, body: Any, model: str) -> Completion:
        """The completion in a whole answer."""
        return parse_response(body, model, style=self.style)

    def stream_reader(self, model: str) -> ChatStream:
        """A reader for one streamed answer."""
        return ChatStream(model, self.style)


class OpenAIProvider(HTTPProvider):
    """OpenAI's models: ``provider("openai:gpt-5-mini")``. The key is in ``OPENAI_API_KEY``."""

    default_base_url: ClassVar[str] = "https://api.openai.com/v1"
    base_url_variable: ClassVar[str] = "OPENAI_BASE_URL"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"
    default_context: ClassVar[int] = 128_000

    def __init__(self, name: str = "openai", config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config or {})
        _check_api(name, self.config)
        # OpenAI's reasoning models refuse max_tokens; all of its models take the newer name.
        self.dialect = ChatDialect(ChatStyle(origin=name, max_tokens="max_completion_tokens"))

    def get_max_tokens(self) -> int:
        """Tokens the model can read and write in one call together."""
        if self.config.get("context"):
            return int(self.config["context"])
        if re.match(r"o\d", self.model):
            return 200_000
        return next((n for start, n in _CONTEXTS if self.model.startswith(start)), self.default_context)


class OpenAICompatibleProvider(HTTPProvider):
    """Any server that speaks chat completions, such as vLLM, llama.cpp, LM Studio, Ollama, DeepSeek or OpenRouter.

    ``provider("openai-compatible:llama3", base_url="http://localhost:11434/v1")``. A key (``api_key``, or
    ``OPENAI_COMPATIBLE_API_KEY``) is sent if there is one.
    """

    base_url_variable: ClassVar[str] = "OPENAI_COMPATIBLE_BASE_URL"
    key_variable: ClassVar[str] = "OPENAI_COMPATIBLE_API_KEY"

    def __init__(self, name: str = "openai-compatible", config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config or {})
        _check_api(name, self.config)
        if not self.base_url:
            raise ConfigurationError(
                f"{name} needs the server's address: give base_url, for example http://localhost:11434/v1, "
                f"or set {self.base_url_variable}"
            )
        self.dialect = ChatDialect(ChatStyle(origin=f"{name} {self.base_url}"))

    @property
    def needs_key(self) -> bool:
        """Never for certain: many of these servers take none."""
        return False


def _check_api(name: str, config: Mapping[str, Any]) -> None:
    api = config.get("api", "chat")
    if api != "chat":
        raise ConfigurationError(f"{name} does not speak api={api!r} here: leave api out, or give api='chat'")
