"""Models that run at Azure: OpenAI's in deployments of one's own, and others behind the same key.

Owns the forms such an address has and what each of them takes. The dialects are ``gathering.llm.openai``'s, everything
between them and the socket ``gathering.llm.http``'s.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from gathering.core.errors import ConfigurationError
from gathering.llm.embeddings import form_of
from gathering.llm.http import HTTPProvider
from gathering.llm.keys import Secret
from gathering.llm.openai import OPENAI_STYLE, dialect_of
from gathering.llm.openai_chat import ChatStyle
from gathering.llm.prices import context_of
from gathering.llm.wire import Headers

__all__ = ["AzureProvider"]

#: The versions of the dated format from which on answers are held to schemas, and streams tell their tokens.
_SCHEMAS_SINCE, _USAGE_SINCE = "2024-08-01", "2024-09-01"
#: The version of the format for models of several makers, where nobody names one.
_MODELS_VERSION = "2024-05-01-preview"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where requests go: the base, what stands before a dialect's path, the version of a dated format, and the kind."""

    base: str
    before: str = ""
    version: str = ""
    kind: str = "v1"  # or "deployment", "models"

    @property
    def query(self) -> str:
        return f"?api-version={quote(self.version)}" if self.version else ""


class AzureProvider(HTTPProvider):
    """Models at Azure: ``provider("azure:my-deployment")``. The key is in ``AZURE_OPENAI_API_KEY``.

    The endpoint is ``base_url`` or ``AZURE_OPENAI_ENDPOINT``, in any form the portal shows it. ``api_version``, or
    ``OPENAI_API_VERSION``, asks for a dated format; without one it is the newer one that has none. ``api`` is
    ``"chat"`` or ``"responses"``. Raises ``ConfigurationError`` without an endpoint.
    """

    base_url_variable: ClassVar[str] = "AZURE_OPENAI_ENDPOINT"
    key_variable: ClassVar[str] = "AZURE_OPENAI_API_KEY"
    embedding_form = form_of("azure")
    default_context: ClassVar[int] = 32_768  # a deployment's name does not say what it runs
    more_options: ClassVar[tuple[str, ...]] = ("api_version",)

    def __init__(self, name: str = "azure", config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config or {})
        place = self._place
        if not place.base:
            raise ConfigurationError(
                f"{name} needs the resource's endpoint: give base_url, for example https://NAME.openai.azure.com, "
                f"or set {self.base_url_variable}"
            )
        style = replace(_style(place), origin=f"{name} {place.base}")
        self.structured_output = "native" if style.structured else "prompted"
        self.takes_images = True
        dialect = dialect_of(name, self.config, style)
        # The Responses format has the deployment in its body only.
        before = place.before if dialect.path == "/chat/completions" else ""
        self.dialect = replace(
            dialect,
            path=f"{before}{dialect.path}{place.query}",
            models_path=f"{dialect.models_path}{place.query}",
        )

    @property
    def base_url(self) -> str:
        """The address below which the service's paths are, without a slash at the end."""
        return self._place.base

    @property
    def _place(self) -> _Place:
        version = self.config.get("api_version") or os.environ.get("OPENAI_API_VERSION") or ""
        return _place(super().base_url, str(version), self.model)

    def auth_headers(self, key: Secret | None) -> dict[str, str]:
        """The header that carries the key."""
        return Headers({"api-key": key.reveal()}) if key else {}

    def get_max_tokens(self) -> int:
        """Tokens the model can read and write in one call together, as far as the deployment is named after it."""
        return int(self.config.get("context") or context_of("openai", self.model) or super().get_max_tokens())


@functools.lru_cache(maxsize=64)
def _place(address: str, version: str, model: str) -> _Place:
    """Where requests go for an address as a person has it: the bare endpoint, or any longer form of it."""
    parts = urlsplit(address)
    if not parts.netloc:
        return _Place("")
    version = version or parse_qs(parts.query).get("api-version", [""])[0]
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    path = re.sub(r"/(?:chat/completions|responses)$", "", path)
    if path.endswith("/models"):
        return _Place(root + path, "", version or _MODELS_VERSION, "models")
    named = re.match(r"(.*/openai)/deployments/([^/]+)$", path)
    if named is not None and version:
        return _Place(root + named[1], f"/deployments/{named[2]}", version, "deployment")
    if path not in ("", "/openai") and named is None:
        return _Place(root + path, "", version)
    if version and version not in ("v1", "latest", "preview"):
        return _Place(f"{root}/openai", f"/deployments/{quote(model)}", version, "deployment")
    return _Place(f"{root}/openai/v1", "", version if version == "preview" else "")


def _style(place: _Place) -> ChatStyle:
    if place.kind == "models":
        return ChatStyle(think_tags=True)
    if place.kind == "v1":
        return OPENAI_STYLE
    return replace(
        OPENAI_STYLE,
        max_tokens="max_completion_tokens" if place.version >= _USAGE_SINCE else "max_tokens",
        usage_in_stream=place.version >= _USAGE_SINCE,
        structured="strict" if place.version >= _SCHEMAS_SINCE else "",
    )
