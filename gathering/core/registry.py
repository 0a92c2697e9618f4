"""Names become objects here: providers and tools, built in, registered by a user, or installed as plugins.

A registry holds classes or ``"module:Class"`` strings, so that a name is known without importing anything.
Plugins announce themselves by the entry-point groups ``gathering.providers`` and ``gathering.tools``.
Owns no configuration: it hands what it is given to the class.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Generic, TypeVar

from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import ILLMProvider, ITool

__all__ = [
    "PANELS",
    "PROVIDERS",
    "TOOLS",
    "Registry",
    "create_provider",
    "create_tool",
    "open_panel",
    "split_model",
]

T = TypeVar("T")


class Registry(MutableMapping[str, "type[T] | str"], Generic[T]):
    """A dict of names to classes (or ``"module:Class"`` strings) that also knows installed plugins.

    >>> PROVIDERS["mine"] = "my_package.provider:MyProvider"
    >>> "mine" in PROVIDERS
    True
    >>> del PROVIDERS["mine"]
    """

    def __init__(
        self, kind: str, group: str, builtin: Mapping[str, str], hint: str = "", makes: str = ""
    ) -> None:
        self.kind, self.group, self.hint, self.makes = kind, group, hint, makes
        self._entries: dict[str, type[T] | str] = dict(builtin)
        self._plugins: dict[str, str] | None = None

    def resolve(self, name: str) -> type[T]:
        """The class of this name, imported now if it has to be. Raises ``UnknownNameError``."""
        try:
            target = self[name]
        except KeyError:
            raise UnknownNameError(self.kind, name, self, self.hint) from None
        cls: type[T] = self._load(name, target) if isinstance(target, str) else target
        return self._usable(name, cls)

    def _load(self, name: str, target: str) -> type[T]:
        module, _, attribute = target.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as err:
            raise ConfigurationError(
                f"the {self.kind} {name!r} is registered as {target!r}, which cannot be imported ({err}): "
                "install its package or correct the registration"
            ) from err
        cls: type[T] = found
        return cls

    def _usable(self, name: str, target: type[T]) -> type[T]:
        """The target itself. Raises ``ConfigurationError`` for what makes nothing of this kind."""
        if self.makes and not callable(getattr(target, self.makes, None)):
            raise ConfigurationError(
                f"the {self.kind} {name!r} cannot be {target!r:.60}, which has no {self.makes}: register its class "
                'or "module:Class"'
            )
        return target

    def _installed(self) -> dict[str, str]:
        # Scanning the environment's metadata takes milliseconds: only when a name is not known otherwise.
        if self._plugins is None:
            self._plugins = {e.name: e.value for e in importlib.metadata.entry_points(group=self.group)}
        return self._plugins

    def __getitem__(self, name: str) -> type[T] | str:
        """What is registered under the name, not imported."""
        return self._entries[name] if name in self._entries else self._installed()[name]

    def __setitem__(self, name: str, target: type[T] | str) -> None:
        """Register a class or a ``"module:Class"`` string. Raises ``ConfigurationError`` for anything else."""
        if not name:
            raise ConfigurationError(f"a {self.kind} needs a name to be registered under")
        self._entries[name] = target if isinstance(target, str) else self._usable(name, target)

    def __delitem__(self, name: str) -> None:
        """Forget a name."""
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """All names, sorted."""
        return iter(sorted({*self._entries, *self._installed()}))

    def __len__(self) -> int:
        """How many names there are."""
        return len({*self._entries, *self._installed()})


PROVIDERS: Registry[ILLMProvider] = Registry(
    "provider",
    "gathering.providers",
    {
        "anthropic": "gathering.llm.anthropic:AnthropicProvider",
        "azure": "gathering.llm.azure:AzureProvider",
        "cerebras": "gathering.llm.hosts:HostProvider",
        "deepseek": "gathering.llm.hosts:HostProvider",
        "fallback": "gathering.llm.fallback:FallbackProvider",
        "fireworks": "gathering.llm.hosts:HostProvider",
        "gemini": "gathering.llm.gemini:GeminiProvider",
        "groq": "gathering.llm.hosts:HostProvider",
        "huggingface": "gathering.llm.hosts:HostProvider",
        "llamacpp": "gathering.llm.hosts:HostProvider",
        "lmstudio": "gathering.llm.hosts:HostProvider",
        "local": "gathering.llm.local:LocalProvider",
        "mistral": "gathering.llm.hosts:HostProvider",
        "ollama": "gathering.llm.ollama:OllamaProvider",
        "openai": "gathering.llm.openai:OpenAIProvider",
        "openai-compatible": "gathering.llm.openai:OpenAICompatibleProvider",
        "openrouter": "gathering.llm.hosts:HostProvider",
        "perplexity": "gathering.llm.hosts:HostProvider",
        "together": "gathering.llm.hosts:HostProvider",
        "vllm": "gathering.llm.hosts:HostProvider",
        "xai": "gathering.llm.hosts:HostProvider",
    },
    hint='(a model is written "provider:model", for example "openai:gpt-5-mini" or "local")',
    makes="create",
)
TOOLS: Registry[ITool] = Registry(
    "tool",
    "gathering.tools",
    {
        "calculator": "gathering.tools.calculator:CalculatorTool",
        "database": "gathering.tools.database:DatabaseTool",
        "filesystem": "gathering.tools.filesystem:FileSystemTool",
        "http": "gathering.tools.http_get:HTTPTool",
        "mcp": "gathering.tools.mcp:MCPServer",
        "notebook": "gathering.tools.namespace:NotebookTool",
        "python": "gathering.tools.python:PythonTool",
    },
    makes="from_config",
)

PANELS: Registry[Any] = Registry(
    "panel",
    "gathering.panels",
    {
        "chat": "gathering.notebook.panel:ChatPanel",
        "conversation": "gathering.notebook.conversation_panel:ConversationPanel",
        "grid": "gathering.notebook.grid_panel:GridPanel",
        "memory": "gathering.notebook.memory_panel:MemoryPanel",
        "trace": "gathering.notebook.trace_panel:TracePanel",
    },
)

#: Named, not imported: the room of the store is above this one.
_CACHE = "gathering.storage.cache"


def split_model(spec: str) -> tuple[str, str]:
    """Provider and model of ``"provider:model"``; the model is empty when only the provider is named.

    Several parted by ``|`` are one chain, asked in turn: the model of the provider ``fallback``.

    >>> split_model("openai:gpt-5-mini"), split_model("local")
    (('openai', 'gpt-5-mini'), ('local', ''))
    >>> split_model("openai:gpt-5-mini | local")
    ('fallback', 'openai:gpt-5-mini | local')
    """
    if "|" in spec:
        return "fallback", spec.strip().removeprefix("fallback:")
    provider, _, model = spec.strip().partition(":")
    if not provider:
        raise ConfigurationError(f'the model {spec!r} names no provider: write "provider:model", or "local"')
    return provider, model


def create_provider(spec: str, **config: Any) -> ILLMProvider:
    """The provider of ``"provider:model"``, configured by keywords (``api_key``, ``base_url``, ``timeout``, ...).

    With ``cache=True`` it stands behind the response cache.

    A chain ``"openai:gpt-5-mini | local"`` asks the next one where one cannot answer. Raises ``UnknownNameError``
    for a provider that is not known; what else it may raise is the provider's.
    """
    name, model = split_model(spec)
    if model:
        config.setdefault("model", model)
    cache = config.pop("cache", None)
    made = PROVIDERS.resolve(name).create(name, {k: v for k, v in config.items() if v is not None})
    if cache is None:
        return made
    behind: ILLMProvider = importlib.import_module(_CACHE).cached(made, cache)
    return behind


def create_tool(spec: str | Mapping[str, Any]) -> ITool:
    """The tool of this name, or of a mapping with ``name`` and options (``type`` if it differs from the name)."""
    config = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = config.get("name") or config.get("type")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"a tool needs a name, got {spec!r}: write its name or {{name: ..., ...}}")
    config["name"] = name
    return TOOLS.resolve(str(config.get("type") or name)).from_config(config)


def open_panel(kind: str, subject: Any, **options: Any) -> Any:
    """A panel of this kind on an agent, a conversation or a result, for a notebook to show."""
    return PANELS.resolve(kind)(subject, **options)
