"""Services and servers that speak chat completions as OpenAI defined them: rows of data, and the one class that reads them.

Owns the table ``HOSTS``: where each host is, where its key comes from and how its requests differ. One more host is one
call of ``register_host``. The dialect is ``gathering.llm.openai_chat``'s, all else ``gathering.llm.http``'s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.registry import PROVIDERS
from gathering.llm.embeddings import form_of
from gathering.llm.http import HTTPProvider
from gathering.llm.openai import dialect_of
from gathering.llm.openai_chat import ChatStyle

__all__ = ["HOSTS", "Host", "HostProvider", "register_host"]


@dataclass(frozen=True, slots=True)
class Host:
    """One host: its address, the variables that hold its key and another address, and how its requests differ.

    ``context`` is the tokens its models hold if nobody says otherwise; ``headers`` go with each request. Without a
    ``key_variable`` no key is needed. ``mixed`` says that some of its models do not keep to a form that is sent,
    ``responses`` that it has the Responses API too (``api="responses"``).
    """

    base_url: str
    key_variable: str = ""
    base_url_variable: str = ""
    context: int = 8192
    style: ChatStyle = field(default_factory=ChatStyle)
    headers: Mapping[str, str] = field(default_factory=dict)
    mixed: bool = False
    responses: bool = False


class HostProvider(HTTPProvider):
    """A host of the table by its name: ``provider("groq:llama-3.3-70b-versatile")``.

    ``api="responses"`` takes the Responses API of a host that has it. Raises ``UnknownNameError`` for a name that has no row.
    """

    def __init__(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        if name not in HOSTS:
            raise UnknownNameError("host", name, HOSTS)
        host, config = HOSTS[name], dict(config or {})
        if host.headers:
            given = config.get("headers") or {}
            config["headers"] = {**host.headers, **{str(k).lower(): v for k, v in given.items()}}
        if (config.get("api") or "chat") != "chat" and not host.responses:
            raise ConfigurationError(
                f"{name} is asked by chat completions, not api={config['api']!r}: leave api out, or use "
                "openai-compatible with its base_url"
            )
        super().__init__(name, config)
        # What other providers say in their class stands in this one's row.
        vars(self).update(
            default_base_url=host.base_url,
            base_url_variable=host.base_url_variable or variable_of(name),
            key_variable=host.key_variable,
            default_context=host.context,
            embedding_form=form_of(name),
        )
        self.dialect = dialect_of(name, config, replace(host.style, origin=name))
        self.structured_output = "native" if host.style.structured and not host.mixed else "prompted"
        self.takes_images = host.style.images


def register_host(
    name: str,
    *,
    base_url: str,
    key_variable: str = "",
    base_url_variable: str = "",
    context: int = 8192,
    style: ChatStyle = ChatStyle(),  # noqa: B008 - frozen
    headers: Mapping[str, str] | None = None,
    responses: bool = False,
) -> None:
    """Make one more host of chat completions a provider: ``"name:model"`` works everywhere from now on.

    ``key_variable`` names the environment variable that holds its key; without it no key is asked for.
    ``responses`` says that it has the Responses API too. Raises ``ConfigurationError`` for a name or an address that
    cannot be used.
    """
    if not re.fullmatch(r"[^\s:]+", name):
        raise ConfigurationError(f"a host cannot be called {name!r}: give a name without colon or spaces")
    if not re.match(r"https?://[^/\s]", base_url):
        raise ConfigurationError(f"base_url of {name} is {base_url!r}: give an address like https://host/v1")
    lowered = {k.lower(): v for k, v in (headers or {}).items()}
    HOSTS[name] = Host(
        base_url, key_variable, base_url_variable, context, style, lowered, responses=responses
    )
    PROVIDERS[name] = HostProvider


def variable_of(name: str) -> str:
    """The environment variable that says where a host is: ``GROQ_BASE_URL`` for ``groq``.

    >>> variable_of("my-host")
    'MY_HOST_BASE_URL'
    """
    return re.sub(r"\W", "_", name).upper() + "_BASE_URL"


def _nine(identity: str) -> str:
    """The id in nine letters and digits, always the same ones for the same id."""
    if re.fullmatch(r"[a-zA-Z0-9]{9}", identity):
        return identity
    return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:9]


# Reasoning goes back only where the service asks for it; others answer 400 to the field. A host is believed to hold
# answers to a schema where all of its models do; elsewhere the model is told the form and its answer checked.
_TEXT_ONLY = ChatStyle(gives_back=(), think_tags=True)
_REASONING = ChatStyle(gives_back=("reasoning_content",))
_LOCAL = ChatStyle(gives_back=("reasoning_content",), structured="any", think_tags=True)
_MISTRAL = ChatStyle(
    usage_in_stream=False,  # it comes unasked, and each field Mistral does not know is a 422
    gives_back=("content",),
    refuses=("logit_bias", "logprobs", "store", "stream_options", "top_k", "top_logprobs", "user"),
    renames=(("seed", "random_seed"), ("max_completion_tokens", "max_tokens")),
    required="any",
    no_text="",
    call_id=_nine,
    structured="strict",
)

#: The hosts by provider name.
HOSTS: dict[str, Host] = {
    "cerebras": Host(
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        context=65_536,
        style=ChatStyle(
            max_tokens="max_completion_tokens",
            gives_back=(),
            refuses=("frequency_penalty", "logit_bias", "presence_penalty", "top_k"),
            images=False,
        ),
    ),
    "deepseek": Host(
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        context=128_000,
        style=replace(_REASONING, refuses=("top_k",), images=False),
        responses=True,
    ),
    "fireworks": Host(
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        context=131_072,
        style=_TEXT_ONLY,
        responses=True,
    ),
    "groq": Host(
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        context=131_072,
        style=replace(_TEXT_ONLY, refuses=("logit_bias", "logprobs", "top_k", "top_logprobs")),
        responses=True,
    ),
    "huggingface": Host(
        "https://router.huggingface.co/v1", "HF_TOKEN", context=32_768, style=_TEXT_ONLY, responses=True
    ),
    "mistral": Host("https://api.mistral.ai/v1", "MISTRAL_API_KEY", context=128_000, style=_MISTRAL),
    "openrouter": Host(
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        context=128_000,
        style=ChatStyle(gives_back=("reasoning_details",), structured="strict", think_tags=True),
        headers={"x-title": "GatheRing"},
        mixed=True,
        responses=True,
    ),
    "perplexity": Host(
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        context=128_000,
        style=ChatStyle(
            gives_back=(),
            usage_in_stream=False,  # each of its chunks has the usage
            structured="any",
            alternates=True,
            think_tags=True,
            notes=("citations", "search_results"),
        ),
    ),
    "together": Host("https://api.together.xyz/v1", "TOGETHER_API_KEY", context=32_768, style=_TEXT_ONLY),
    "xai": Host(
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        context=131_072,
        style=replace(_REASONING, refuses=("top_k",), structured="strict"),
        responses=True,
    ),
    # On this machine, unless base_url says otherwise.
    "llamacpp": Host("http://127.0.0.1:8080/v1", style=_LOCAL, responses=True),
    "lmstudio": Host("http://127.0.0.1:1234/v1", style=replace(_LOCAL, gives_back=()), responses=True),
    "vllm": Host("http://127.0.0.1:8000/v1", style=_LOCAL, responses=True),
}
