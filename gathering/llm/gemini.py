"""The provider of Google's Gemini models, in the service's own dialect.

Owns its name, address and key. The dialect is ``gathering.llm.gemini_content`` on the way out,
``gathering.llm.gemini_answer`` and ``gathering.llm.gemini_stream`` on the way back, everything between it and the
socket ``gathering.llm.http``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import quote

from gathering.core.errors import ConfigurationError
from gathering.core.messages import Completion, MessageDict, OutputMode, ToolSpec
from gathering.core.offers import TokenCount
from gathering.llm.courses import amended, continued
from gathering.llm.embeddings import EmbeddingForm
from gathering.llm.exchange import Course
from gathering.llm.gemini_answer import is_botched, parse_response
from gathering.llm.gemini_content import build_request
from gathering.llm.gemini_embeddings import GeminiEmbeddingForm
from gathering.llm.gemini_params import takes_output_with_tools
from gathering.llm.gemini_stream import GeminiStream
from gathering.llm.http import HTTPProvider
from gathering.llm.keys import Secret
from gathering.llm.wire import Headers, Line

__all__ = ["GeminiDialect", "GeminiProvider"]

#: The generations whose answers are short.
_SHORT = re.compile(r"models/gemini-(1\b|2\.0\b)")


@dataclass(frozen=True, slots=True)
class GeminiDialect:
    """generateContent. ``origin`` marks what must go back to the service it came from."""

    origin: str = "gemini"
    path: str = "/models"
    models_path: str = "/models?pageSize=1000"  # the most a page can hold, and more than there are

    def build_request(
        self,
        model: str,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> dict[str, Any]:
        """The body of a request; whether it is streamed stands in its path."""
        return build_request(model, messages, tools, params, origin=self.origin)

    def parse_response(self, body: Any, model: str) -> Completion:
        """The completion in a whole answer."""
        return parse_response(body, model, origin=self.origin)

    def stream_reader(self, model: str) -> GeminiStream:
        """A reader for one streamed answer."""
        return GeminiStream(model, self.origin)


class GeminiProvider(HTTPProvider):
    """Google's models: ``provider("gemini:gemini-2.5-flash")``. The key is in ``GEMINI_API_KEY`` or ``GOOGLE_API_KEY``."""

    default_base_url: ClassVar[str] = "https://generativelanguage.googleapis.com/v1beta"
    base_url_variable: ClassVar[str] = "GEMINI_BASE_URL"
    key_variable: ClassVar[str] = "GEMINI_API_KEY"
    default_context: ClassVar[int] = 1_048_576
    structured_output = "native"
    takes_images = True
    embedding_form = GeminiEmbeddingForm()

    def __init__(self, name: str = "gemini", config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config or {})
        api = self.config.get("api", "native")
        if api != "native":
            raise ConfigurationError(
                f"{name} does not speak api={api!r} here: leave api out, or take openai-compatible with the "
                "service's address for that dialect"
            )
        own = self.base_url == self.default_base_url
        self.dialect: GeminiDialect = GeminiDialect("gemini" if own else f"{name} {self.base_url}")

    def auth_headers(self, key: Secret | None) -> dict[str, str]:
        """The header that carries the key, which never stands in an address."""
        return Headers({"x-goog-api-key": key.reveal()}) if key else {}

    def path_for(self, *, stream: bool) -> str:
        """Where a request goes: the model and the kind of answer are in the path."""
        where = f"/{quote(_named(self.model))}"
        return f"{where}:streamGenerateContent?alt=sse" if stream else f"{where}:generateContent"

    def get_max_output(self) -> int:
        """Tokens the model can write in one call, thinking included: as listed, or as its generation can."""
        if self.listed() is not None:
            return super().get_max_output()
        return 8_192 if _SHORT.match(_named(self.model)) else 65_536

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """The service's own count; an estimate where it cannot be asked."""
        name = _named(self.model)
        request = build_request(self.model, messages, tools, {}, origin=self.dialect.origin)
        body = {"generateContentRequest": {"model": name, **request}}
        counted = self.counted(f"/{quote(name)}:countTokens", body, "totalTokens")
        return counted or super().count_tokens(messages, tools)

    def _call(
        self,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> tuple[Course, Line]:
        """The course of a call: sent once more if a tool call came to nothing, and telling how its form came about."""
        call = super()._call
        run, line = call(messages, tools, params, stream=stream)

        def following(botched: Completion) -> Course | None:
            return call(messages, tools, params, stream=stream)[0] if is_botched(botched) else None

        if tools:
            run = continued(run, following, _second_try, most=1)
        if params.get("output"):
            mode: OutputMode = "prompted" if tools and not takes_output_with_tools(self.model) else "native"
            run = amended(run, lambda completion: replace(completion, output_mode=mode))
        return run, line

    def _embedding(
        self, texts: Sequence[str], model: str | None
    ) -> tuple[EmbeddingForm, str, Iterator[Sequence[str]]]:
        """The form with its path, in which the model stands here."""
        form, name, batches = super()._embedding(texts, model)
        return replace(form, path=f"/{quote(_named(name))}:batchEmbedContents"), name, batches


def _second_try(first: Completion, second: Completion) -> Completion:
    """The second answer, with what both have cost."""
    attempts = first.attempts + second.attempts
    return replace(second, usage=first.usage + second.usage, attempts=attempts)


def _named(model: str) -> str:
    """The model's name with its collection: ``models/...``, unless it says another one itself."""
    return model if "/" in model else f"models/{model}"
