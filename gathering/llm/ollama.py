"""Ollama: the models of a server on this machine or another, by its own API.

Owns where the server is, what its models can do, and the choice between its own format and the chat completions it
has as well. The dialect is ``gathering.llm.ollama_chat`` and ``gathering.llm.ollama_stream``.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from gathering.core.errors import ConfigurationError, ModelNotFoundError, ProviderError
from gathering.core.messages import Completion, MessageDict, ToolSpec
from gathering.core.offers import ModelInfo
from gathering.core.session import refuse_live_call
from gathering.llm import ollama_chat
from gathering.llm.embeddings import EmbeddingForm, OllamaEmbeddingForm
from gathering.llm.http import PROBE_TIMEOUT, HTTPProvider
from gathering.llm.keys import is_loopback
from gathering.llm.listing import remember
from gathering.llm.ollama_chat import Room
from gathering.llm.ollama_stream import OllamaStream
from gathering.llm.openai import ChatDialect
from gathering.llm.openai_chat import ChatStyle
from gathering.llm.wire import fetch

__all__ = ["OllamaDialect", "OllamaProvider", "server_address"]

#: Without ``context=`` no request makes more room than this: a context takes memory, at full length many gigabytes.
MOST = 32_768
#: Models whose contexts a list asks for, on a server of this machine.
_ASKED_FOR = 40
_PORT = 11434
_CHAT = ChatStyle(gives_back=(), structured="any", think_tags=True)

#: What each server said its models can do, for the life of the process.
_capabilities: dict[tuple[str, str], frozenset[str]] = {}


@dataclass(frozen=True, slots=True)
class OllamaDialect:
    """``/api/chat`` with the room its prompts get."""

    origin: str
    room: Room = Room()  # noqa: RUF009 - frozen
    path: str = "/chat"
    models_path: str = "/tags"
    #: Streams are lines of JSON, whatever the content type says.
    lines: ClassVar[bool] = True

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
        return ollama_chat.build_request(
            model, messages, tools, params, stream=stream, origin=self.origin, room=self.room
        )

    def parse_response(self, body: Any, model: str) -> Completion:
        """The completion in a whole answer."""
        return ollama_chat.parse_response(body, model, origin=self.origin)

    def stream_reader(self, model: str) -> OllamaStream:
        """A reader for one streamed answer."""
        return OllamaStream(model, self.origin)


class OllamaProvider(HTTPProvider):
    """Ollama's models: ``provider("ollama:llama3.2")``. The server's address is in ``OLLAMA_HOST``.

    Configuration beside the usual: ``keep_alive`` (how long a model stays loaded), ``think``; ``context`` fixes the
    tokens there is room for, otherwise each prompt gets the room it needs, up to 32,768 tokens. A key is needed at
    ollama.com alone (``OLLAMA_API_KEY``). ``api="chat"`` takes the server's chat completions instead.
    """

    base_url_variable: ClassVar[str] = "OLLAMA_BASE_URL"
    key_variable: ClassVar[str] = "OLLAMA_API_KEY"
    default_context: ClassVar[int] = 4096
    more_options: ClassVar[tuple[str, ...]] = ("keep_alive", "think")
    structured_output = "constrained"

    def __init__(self, name: str = "ollama", config: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, config or {})
        api = self.config.get("api") or "native"
        if api not in ("native", "chat"):
            raise ConfigurationError(
                f"{name} does not speak api={api!r} here: leave api out, or give api='native' or api='chat'"
            )
        self._native = api == "native"
        self.params.update({k: self.config[k] for k in self.more_options if k in self.config})
        self.dialect = OllamaDialect(name) if self._native else ChatDialect(replace(_CHAT, origin=name))
        self.embedding_form: EmbeddingForm = OllamaEmbeddingForm() if self._native else EmbeddingForm()

    @property
    def base_url(self) -> str:
        """The address of the API, out of an address with or without its path."""
        given = self.config.get("base_url") or os.environ.get(self.base_url_variable)
        root = str(given).rstrip("/") if given else server_address(os.environ.get("OLLAMA_HOST", ""))
        root = re.sub(r"/(?:api|v1)$", "", root)
        return f"{root}/api" if self._native else f"{root}/v1"

    @property
    def needs_key(self) -> bool:
        """At the cloud service alone."""
        return re.match(r"https?://(?:[\w-]+\.)*ollama\.com(?:[:/]|$)", self.base_url) is not None

    @property
    def takes_images(self) -> bool:  # type: ignore[override]
        """Whether the model sees; taken for granted until the server has said what it can do."""
        known = _capabilities.get((self.base_url, self.model))
        return known is None or "vision" in known

    def preparation(self, messages: list[MessageDict]) -> Callable[[], object] | None:
        """Asking once what the model holds and can do."""
        if not self._native:
            return None
        if (self.base_url, self.model) in _capabilities:
            self._make_room()
            return None
        refuse_live_call(self.name, self.model, messages)
        return self._ask_and_make_room

    def models(self) -> list[ModelInfo]:
        """The models the server has; on this machine with their contexts."""
        infos = super().models()
        if self._native and _on_this_machine(self.base_url):
            infos = [self._show(info.name) or info for info in infos[:_ASKED_FOR]] + infos[_ASKED_FOR:]
            remember(self.name, self.base_url, infos)
        return infos

    def get_max_tokens(self) -> int:
        """Tokens the model can read and write in one call together: as configured, or as it holds, up to 32,768."""
        return int(self.config.get("context") or min(super().get_max_tokens(), MOST))

    def signed(self, error: ProviderError) -> ProviderError:
        """The error with provider and model in it, and how a missing model is fetched."""
        new = not error.provider
        error = super().signed(error)
        if new and isinstance(error, ModelNotFoundError) and _on_this_machine(self.base_url):
            error.args = (f"{error}, or fetch it: ollama pull {self.model}",)
        return error

    def _ask_and_make_room(self) -> None:
        self._show(self.model)
        self._make_room()

    def _make_room(self) -> None:
        if isinstance(self.dialect, OllamaDialect):
            context = self.config.get("context")
            self.dialect = replace(self.dialect, room=Room(context, self._most()))

    def _most(self) -> int:
        known = self.listed()
        return min(known.context, MOST) if known and known.context else MOST

    def _show(self, model: str) -> ModelInfo | None:
        """What the server says of the model, kept for the life of the process; None where it says nothing."""
        try:
            line = self._line("/show", "POST", PROBE_TIMEOUT)
            answer = fetch(line, json.dumps({"model": model}).encode())
            said = json.loads(answer.body)
        except (ProviderError, ValueError):
            return None  # the call itself will say what is wrong
        said = said if isinstance(said, Mapping) else {}
        facts = said.get("model_info")
        facts = facts if isinstance(facts, Mapping) else {}
        context = facts.get(f"{facts.get('general.architecture')}.context_length")
        info = ModelInfo(model, context if isinstance(context, int) and context > 0 else None)
        if answer.status == 200:
            _capabilities[self.base_url, model] = frozenset(map(str, said.get("capabilities") or ()))
            remember(self.name, self.base_url, [info])
        return info


def server_address(host: str) -> str:
    """The server's address out of ``OLLAMA_HOST``, in each form the server takes it.

    >>> server_address(""), server_address("0.0.0.0"), server_address("https://gpu.example.org")
    ('http://127.0.0.1:11434', 'http://127.0.0.1:11434', 'https://gpu.example.org:443')
    """
    text = host.strip().strip("\"'").strip()
    scheme, found, rest = text.partition("://")
    port = {"http": 80, "https": 443}.get(scheme, _PORT) if found else _PORT
    if not found:
        scheme, rest = ("https", "ollama.com:443") if text == "ollama.com" else ("http", text)
    place, _, path = rest.partition("/")
    name, number = _split(place)
    chosen = int(number) if number.isdigit() and int(number) <= 65535 else port
    tail = f"/{path.strip('/')}" if path.strip("/") else ""
    return f"{scheme}://{_reachable(name)}:{chosen}{tail}"


def _on_this_machine(url: str) -> bool:
    """Whether the address is on this machine."""
    host = re.sub(r"^\w+://", "", url).partition("/")[0]
    return is_loopback(_split(host)[0])


def _split(place: str) -> tuple[str, str]:
    """Host and port; the port is empty where there is none."""
    bare = place.strip("[]")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        name, colon, number = place.rpartition(":")
        return (name.strip("[]"), number) if colon else (place, "")
    return bare, ""


def _reachable(name: str) -> str:
    """The host as a client reaches it: "on all addresses" is this machine."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name or "127.0.0.1"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"[{address}]" if address.version == 6 else str(address)
