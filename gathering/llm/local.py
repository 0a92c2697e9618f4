"""The embedded model: an answer on any machine, with no key and no network. Owns the provider ``local``.

llama.cpp runs in a child process (``gathering.llm.local_process``) and is spoken to by HTTP like any service; the
weights are ``gathering.llm.weights``'s, what is said is ``gathering.llm.local_dialect``'s. It shows how agents,
tools and comparisons work; it is small, and no judge of anything.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gathering.core import config as settings
from gathering.core.errors import ConfigurationError, LocalModelError, ProviderError, UnknownNameError
from gathering.core.events import Done, TextDelta
from gathering.core.messages import Completion, MessageDict, ToolSpec, Usage
from gathering.core.offers import Embeddings, ModelInfo, TokenCount
from gathering.core.session import live_calls_forbidden, refuse_live_call
from gathering.core.stream import Batch
from gathering.llm import weights
from gathering.llm.connection import Outgoing, address_of
from gathering.llm.embedder import embedder
from gathering.llm.embeddings import checked_texts
from gathering.llm.exchange import Course, Request, course
from gathering.llm.http import HTTPProvider
from gathering.llm.local_dialect import DecisionDialect, chat_messages, decide, in_words, said_by_tools
from gathering.llm.local_process import Server, ServerPlan, runtime_problem, server_for
from gathering.llm.openai import ChatDialect
from gathering.llm.openai_chat import ChatStyle
from gathering.llm.wire import Headers, Line, fetch

__all__ = ["LocalProvider"]

#: Of a call that says nothing else: llama.cpp's own temperature of 0.8 makes this model babble.
DEFAULTS: Mapping[str, Any] = {"temperature": 0, "max_tokens": 128, "seed": 0}
_FOREIGN = ("api_key", "base_url", "api", "headers")
_pulling = threading.Lock()


class LocalProvider(HTTPProvider):
    """The embedded model: ``local``, ``local:smollm2``, or ``local:/path/to/model.gguf``.

    ``local`` alone is the file of the setting ``local_model`` (``GATHERING_LOCAL_MODEL``) if there is one, else
    SmolLM2. Tool calls are decided under a grammar, and tools' results are put into words by a template; both are
    marked ``constrained``; a structured answer is held to its schema the same way. Configuration: ``threads``, ``context`` (tokens) and default parameters.
    """

    structured_output = "constrained"
    estimates_tokens: ClassVar[bool] = False
    one_at_a_time: ClassVar[bool] = True
    default_base_url: ClassVar[str] = "http://127.0.0.1"  # the port is known when the server runs
    default_context: ClassVar[int] = 2048
    more_options: ClassVar[tuple[str, ...]] = ("threads",)

    def __init__(self, name: str = "local", config: Mapping[str, Any] | None = None) -> None:
        config = dict(config or {})
        for key in _FOREIGN:
            if key in config:
                raise ConfigurationError(
                    f"{name} takes no {key}, it runs on this machine: leave it out, or use openai-compatible"
                )
        super().__init__(name, {"max_retries": 1, **config})
        self._file = _model_file(str(config.get("model") or ""))
        self.model = self._file.stem if self._file else weights.SMOLLM2.model
        self.params = {**DEFAULTS, **self.params}
        self.dialect = ChatDialect(
            ChatStyle(origin=name, structured="any"), "/v1/chat/completions", "/v1/models"
        )

    def preparation(self, messages: list[MessageDict]) -> Callable[[], object] | None:
        """Starting the server: loading the model takes its time."""
        refuse_live_call(self.name, self.model, messages)
        return None if said_by_tools(messages, self.model) is not None else lambda: server_for(self._plan())

    def models(self) -> list[ModelInfo]:
        """The one model this provider runs."""
        context = self.get_max_tokens()
        return [ModelInfo(self.model, context, context, input_price=0.0, output_price=0.0)]

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """Sentence vectors made here: by MiniLM with the extra ``memory``, else (or with ``model="hashed-ngram"``)
        by hashed letters. The language model itself has no part in them. Raises ``ConfigurationError``.
        """
        texts = checked_texts(texts)
        by = embedder(model)
        return Embeddings(tuple(by.embed(texts)), f"{self.name}:{by.name}", Usage(by.count(texts), 0))

    def embedding_model(self, model: str | None = None) -> str:
        """What makes the vectors here."""
        return f"{self.name}:{embedder(model).name}"

    async def embed_async(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """The same vectors, awaited: made on a worker thread."""
        return await asyncio.to_thread(self.embed, texts, model)

    def why_unavailable(self) -> str | None:
        """What to do before a call can succeed, None if one can now; starts nothing."""
        problem = runtime_problem()
        if problem is None and self._found() is None:
            missing = f"there is no file {str(self._file)!r}: correct the path" if self._file else _NO_WEIGHTS
            problem = None if self._may_pull() else missing
        return problem

    def get_token_count(self, text: str) -> int:
        """The model's own count; an estimate where the model cannot run, or live calls are forbidden."""
        if not text or live_calls_forbidden() or self.why_unavailable():
            return super().get_token_count(text)
        try:
            plan = self._plan()
            server_for(plan)
            return _count(plan, text)
        except (ProviderError, ValueError, KeyError):
            return super().get_token_count(text)

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """The model's own count of what it would read; an estimate where ``get_token_count`` gives one.

        With tools it is an estimate too: whether they become part of a prompt is decided by the question.
        """
        if tools or live_calls_forbidden() or self.why_unavailable():
            return super().count_tokens(messages, tools)
        try:
            plan = self._plan()
            said = _ask(plan, "/apply-template", {"messages": chat_messages(messages)})["prompt"]
            return TokenCount(_count(plan, str(said)), exact=True)
        except (ProviderError, ValueError, LookupError):
            return super().count_tokens(messages, tools)

    def get_max_tokens(self) -> int:
        """Tokens the model can read and write in one call together."""
        return int(self.config.get("context") or settings.get("local_context") or self.default_context)

    def get_cost(self, usage: Usage) -> float:
        """Nothing: it runs here."""
        return 0.0

    # -- inside --------------------------------------------------------------------------------------------------

    def _call(
        self,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> tuple[Course, Line]:
        refuse_live_call(self.name, self.model, messages)
        params = {**self.params, **params}
        said = said_by_tools(messages, self.model)
        if said is not None and params.get("output"):
            messages, said = in_words(messages, said.content), None
        decision = decide(messages, tools, params.pop("tool_choice", "auto"))
        dialect = DecisionDialect(decision) if decision else self.dialect
        line = self._line(dialect.path, "POST", self.timeout)
        if said is not None:
            return _at_once(said), line
        stream = stream and decision is None
        body = dialect.build_request(self.model, chat_messages(messages), None, params, stream=stream)
        request = Request(dialect, self.model, body, stream, self.max_retries, self.signed)
        return course(request), self._server_line(line)

    def _server_line(self, line: Line) -> Line:
        plan = self._plan()
        found = functools.partial(server_for, plan)
        found()  # what keeps it from starting is said before the call, not as a broken connection
        return _ServerLine(
            line.address,
            line.headers,
            line.connect,
            line.read,
            line.method,
            line.sleep,
            line.sleep_async,
            found,
        )

    def _plan(self) -> ServerPlan:
        """What server to run. Raises ``LocalModelError`` when there is nothing to run."""
        problem = self.why_unavailable()
        if problem is not None:
            raise LocalModelError(problem, provider=self.name, model=self.model)
        path = self._found()
        if path is None:
            with _pulling:
                path = weights.find() or weights.pull()
        threads = self.config.get("threads") or settings.get("local_threads") or _threads()
        return ServerPlan(str(path), self.model, self.get_max_tokens(), int(threads))

    def _found(self) -> Path | None:
        if self._file is None:
            return weights.find()
        return self._file if self._file.is_file() else None

    def _may_pull(self) -> bool:
        return self._file is None and bool(settings.get("auto_pull"))


_NO_WEIGHTS = f"the embedded model has no weights on this machine yet (98 MB, once); run: {weights.PULL}"


@dataclass(slots=True)
class _ServerLine(Line):
    """A line to whichever server runs when the request goes out: a retry meets the one that was started anew."""

    found: Callable[[], Server] | None = None

    def request(self, body: bytes | None) -> Outgoing:
        """The request, with the server's port and token."""
        assert self.found is not None
        server = self.found()
        address = address_of(server.url + self.address.target)
        headers = Headers({**self.headers, "authorization": f"Bearer {server.token}"})
        return Line(address, headers, self.connect, self.read, self.method).request(body)


def _at_once(completion: Completion) -> Course:
    """A course that sends nothing: the answer is known."""

    def run() -> Generator[Batch, Any, None]:
        yield [TextDelta(completion.content), Done(completion)]

    return run()


def _model_file(model: str) -> Path | None:
    """The GGUF file a model name stands for, None for the pinned weights. Raises ``UnknownNameError``."""
    if not model:
        given = settings.get("local_model")
        return Path(given).expanduser().absolute() if given else None
    if model == weights.SMOLLM2.model:
        return None
    if model.endswith(".gguf") or os.sep in model or "/" in model:
        return Path(model).expanduser().absolute()
    raise UnknownNameError(
        "local model", model, [weights.SMOLLM2.model], '(a model of your own is "local:/path/to/model.gguf")'
    )


def _threads() -> int:
    # As many threads as cores collapse to a twentieth of the speed as soon as anything else runs.
    return max(1, min(4, (os.cpu_count() or 1) // 2))


@functools.lru_cache(maxsize=4096)
def _count(plan: ServerPlan, text: str) -> int:
    said = text.encode("utf-8", "replace").decode()
    return len(_ask(plan, "/tokenize", {"content": said})["tokens"])


def _ask(plan: ServerPlan, path: str, body: Mapping[str, Any]) -> Any:
    """What the server answers beside a conversation."""
    server = server_for(plan)
    headers = Headers({"authorization": f"Bearer {server.token}", "content-type": "application/json"})
    answer = fetch(Line(address_of(server.url + path), headers, 5.0, 10.0), json.dumps(body).encode())
    return json.loads(answer.body)
