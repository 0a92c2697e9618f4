"""OpenAI, and every server that copied it: chat completions, and the Responses API by ``api="responses"``.

Owns their names, addresses and key variables. The dialects are ``gathering.llm.openai_chat`` and
``gathering.llm.openai_responses`` with the stream beside each, everything between them and the socket
``gathering.llm.http``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from gathering.core.errors import ConfigurationError
from gathering.core.messages import Completion, MessageDict, ToolSpec
from gathering.core.offers import TokenCount
from gathering.llm import openai_responses, openai_responses_answer
from gathering.llm.embeddings import form_of
from gathering.llm.http import HTTPProvider
from gathering.llm.openai_answer import parse_response
from gathering.llm.openai_chat import ChatStyle, build_request
from gathering.llm.openai_responses_stream import ResponsesStream
from gathering.llm.openai_stream import ChatStream

__all__ = [
    "OPENAI_STYLE",
    "ChatDialect",
    "OpenAICompatibleProvider",
    "OpenAIProvider",
    "ResponsesDialect",
    "dialect_of",
]

#: OpenAI's reasoning models refuse max_tokens; all of its models take the newer name.
OPENAI_STYLE = ChatStyle(max_tokens="max_completion_tokens", refuses=("top_k",), structured="strict")


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


@dataclass(frozen=True, slots=True)
class ResponsesDialect:
    """The Responses API of one server. What a model thought goes back only to the same model of this ``origin``."""

    origin: str
    path: str = "/responses"
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
        origin = self._of(model)
        return openai_responses.build_request(model, messages, tools, params, stream=stream, origin=origin)

    def parse_response(self, body: Any, model: str) -> Completion:
        """The completion in a whole answer."""
        return openai_responses_answer.parse_response(body, model, origin=self._of(model))

    def stream_reader(self, model: str) -> ResponsesStream:
        """A reader for one streamed answer."""
        return ResponsesStream(model, self._of(model))

    def _of(self, model: str) -> str:
        return f"{self.origin} responses {model}"


class OpenAIProvider(HTTPProvider):
    """OpenAI's models: ``provider("openai:gpt-5-mini")``. The key is in ``OPENAI_API_KEY``.

    ``api`` picks the format: ``"chat"``, or ``"responses"``, where a reasoning model gets its own thoughts back.
    """

    default_base_url: ClassVar[str] = "https://api.openai.com/v1"
    base_url_variable: ClassVar[str] = "OPENAI_BASE_URL"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"
    embedding_form = form_of("openai")
    default_context: ClassVar[int] = 128_000

    def __init__(self, name: str = "openai", config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config or {})
        self.dialect = dialect_of(name, self.config, replace(OPENAI_STYLE, origin=name))
        # Before them no model could be held to a schema, or see.
        old = re.match(r"gpt-(?:3\.5|4(?:-\d|$))", self.model)
        self.structured_output, self.takes_images = ("prompted", False) if old else ("native", True)

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """The service's own count; an estimate where it cannot be asked."""
        body = openai_responses.build_request(self.model, messages, tools, {}, stream=False)
        question = {k: v for k, v in body.items() if k in ("model", "input", "instructions", "tools")}
        counted = self.counted("/responses/input_tokens", question, "input_tokens")
        return counted or super().count_tokens(messages, tools)


class OpenAICompatibleProvider(HTTPProvider):
    """Any server that speaks chat completions, such as vLLM, llama.cpp, LM Studio, Ollama, DeepSeek or OpenRouter.

    ``provider("openai-compatible:llama3", base_url="http://localhost:11434/v1")``. A key (``api_key``, or
    ``OPENAI_COMPATIBLE_API_KEY``) is sent if there is one. ``api="responses"`` where the server has that format.
    """

    base_url_variable: ClassVar[str] = "OPENAI_COMPATIBLE_BASE_URL"
    key_variable: ClassVar[str] = "OPENAI_COMPATIBLE_API_KEY"
    embedding_form = form_of("openai-compatible")

    def __init__(self, name: str = "openai-compatible", config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config or {})
        if not self.base_url:
            raise ConfigurationError(
                f"{name} needs the server's address: give base_url, for example http://localhost:11434/v1, "
                f"or set {self.base_url_variable}"
            )
        style = ChatStyle(origin=f"{name} {self.base_url}", structured="any", think_tags=True)
        self.dialect = dialect_of(name, self.config, style)
        self.takes_images = True  # some of its models do; one that does not says so

    @property
    def needs_key(self) -> bool:
        """Never for certain: many of these servers take none."""
        return False


def dialect_of(name: str, config: Mapping[str, Any], style: ChatStyle) -> ChatDialect | ResponsesDialect:
    """The format the configuration asks for. Raises ``ConfigurationError``."""
    api = config.get("api") or "chat"
    if api == "chat":
        return ChatDialect(style)
    if api == "responses":
        return ResponsesDialect(style.origin)
    raise ConfigurationError(
        f"{name} does not speak api={api!r} here: leave api out, or give api='chat' or api='responses'"
    )
