"""The agent: parts that are handed in, and one turn at a time over the flow.

Owns how the parts become a turn's plan and who may take a turn when. What happens in a turn is
``gathering.core.flow``; what an agent may be described by is ``gathering.agents.spec``.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from gathering.agents.competency import Competency
from gathering.agents.memory import WindowMemory
from gathering.agents.output import Output
from gathering.agents.personality import PersonalityBlock
from gathering.agents.prompt import Explanation, system_parts, system_text
from gathering.core import config, display
from gathering.core.drive import adrive, drive
from gathering.core.errors import ConfigurationError, ContextOverflowError, GatheringError
from gathering.core.flow import Flow, TurnPlan, turn
from gathering.core.images import Image
from gathering.core.interfaces import (
    IAgent,
    ICompetency,
    ILLMProvider,
    IMemory,
    IPersonalityBlock,
    IRecorder,
    ITool,
)
from gathering.core.messages import Message, MessageDict, Reply
from gathering.core.permissions import IPolicy
from gathering.core.recording import TurnRecord
from gathering.core.registry import create_provider, create_tool
from gathering.core.session import new_id, wrapped
from gathering.core.stream import Batch, Stream
from gathering.core.tooling import tool_spec

if TYPE_CHECKING:
    from gathering.storage import Trace

__all__ = ["Agent"]

#: Tokens of the context that are left for the answer, unless ``max_tokens`` says how long it may be.
ANSWER_TOKENS = 1024


class Agent(IAgent):
    """A language model with a name, a personality, competencies, tools and a memory.

    ``llm_provider`` is a provider or ``"provider:model"`` (the default model if None). Tools may be names of the
    registry, functions made by ``@tool``, or any ``ITool``. ``permissions`` are rules such as ``"ask * write"``
    (``gathering.tools.permissions``); without any a tool does what it was made to do. ``store`` is where the trace goes (the project's by
    default). Raises ``ConfigurationError`` for a part that is not usable.

    >>> from gathering.testing import ScriptedProvider
    >>> ada = Agent("ada", llm_provider=ScriptedProvider(["Hello!"]), store=None)
    >>> ada.ask("Say hello.").text
    'Hello!'
    """

    def __init__(
        self,
        name: str,
        *,
        llm_provider: ILLMProvider | str | None = None,
        memory: IMemory | None = None,
        tools: Iterable[ITool | str | Mapping[str, Any]] | Mapping[str, ITool] = (),
        personality_blocks: Iterable[IPersonalityBlock | str] = (),
        competencies: Iterable[ICompetency | str] = (),
        age: int | None = None,
        history: str = "",
        system_prompt: str | None = None,
        max_rounds: int = 8,
        params: Mapping[str, Any] | None = None,
        permissions: IPolicy | Iterable[Any] | None = None,
        store: IRecorder | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(
                f"an agent's name must be a text that is not empty, got {name!r}: give it a name"
            )
        self.name, self.age, self.history, self.system_prompt = name, age, history, system_prompt
        self.llm_provider = _provider(llm_provider)
        self.personality_blocks = tuple(
            PersonalityBlock(b) if isinstance(b, str) else b for b in personality_blocks
        )
        self.competencies = tuple(Competency(c) if isinstance(c, str) else c for c in competencies)
        self.tools = _tools(tools.values() if isinstance(tools, Mapping) else tools)
        self.memory = self._bound(memory) if memory is not None else self._window_memory()
        self.max_rounds, self.params = max_rounds, dict(params or {})
        self.permissions = _policy(permissions)
        self.conversation = new_id()
        self._store = store
        self._turn = threading.Lock()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The agent described by plain data, as in a ``%%gathering agent`` cell.

        Keys: ``name``, ``model`` (``"provider:model"``) or ``llm_provider`` with ``model``, ``age``, ``history``,
        ``system_prompt``, ``personality_blocks``, ``competencies``, ``tools``, ``permissions``, ``memory``,
        ``max_rounds``, ``params``. Raises ``ConfigurationError`` for anything else, in one line.
        """
        from gathering.agents.build import parts_of

        return cls(**parts_of(config))

    @property
    def model(self) -> str:
        """``"provider:model"`` of the provider it talks to."""
        return f"{self.llm_provider.name}:{self.llm_provider.model}".rstrip(":")

    @property
    def trace(self) -> Trace:
        """What this agent did, as DataFrames: ``calls()``, ``messages()``, ``tool_calls()``."""
        from gathering.storage import Trace

        return Trace(self._recorder(), {"conversation": self.conversation})

    def ask(self, message: str, *, output: Any = None, images: Iterable[Any] = (), **params: Any) -> Reply:
        """The reply to a message. ``params`` (``temperature``, ``max_tokens``, ...) count for this turn only.

        ``output`` is a pydantic model, a type or a JSON schema the answer must fit; its value is ``reply.output``.
        ``images`` are paths, addresses, bytes or plots. Raises ``OutputError`` for an answer that does not fit at the
        second try either, and what the provider raises.
        """
        return _drained(self._drive(_Question(message, output, images, params)))

    async def ask_async(
        self, message: str, *, output: Any = None, images: Iterable[Any] = (), **params: Any
    ) -> Reply:
        """The reply to a message, awaited."""
        reply = None
        async for batch in self._adrive(_Question(message, output, images, params)):
            reply = _reply_in(batch)
        return _there(reply)

    def stream(
        self, message: str, *, output: Any = None, images: Iterable[Any] = (), **params: Any
    ) -> Stream:
        """The turn as typed events, for ``for`` or ``async for``; ``.reply`` is there at the end."""
        question = _Question(message, output, images, params, streaming=True)
        return Stream(lambda: self._drive(question), lambda: self._adrive(question))

    def process_message(self, message: str) -> str:
        """The text of the reply."""
        return self.ask(message).text

    async def process_message_async(self, message: str) -> str:
        """The text of the reply, awaited."""
        return (await self.ask_async(message)).text

    def explain(self, message: str) -> Explanation:
        """Exactly what would be sent for this message: each part, where it came from, its tokens. Sends nothing."""
        checked = _checked(message)
        messages = [*self._context(checked), {"role": "user", "content": checked}]
        specs = [tool_spec(t) for t in self.tools.values()]
        count = wrapped(self.llm_provider).get_token_count
        return Explanation(self.name, self.model, self._system(), messages, specs, dict(self.params), count)

    def fork(self) -> Agent:
        """The same agent as it is now, with a memory and a conversation of its own."""
        copy_memory = getattr(self.memory, "copy", None)
        memory = copy_memory() if copy_memory is not None else self._window_memory()
        if copy_memory is None:
            for message in self.memory.get_conversation_history():
                memory.add_message(message)
        return Agent(
            self.name,
            llm_provider=self.llm_provider,
            memory=memory,
            tools=self.tools,
            personality_blocks=self.personality_blocks,
            competencies=self.competencies,
            age=self.age,
            history=self.history,
            system_prompt=self.system_prompt,
            max_rounds=self.max_rounds,
            params=self.params,
            permissions=self.permissions,
            store=self._store,
        )

    def _drive(self, question: _Question) -> Generator[Batch, None, None]:
        with self._one_turn():
            yield from drive(self._flow(question))

    async def _adrive(self, question: _Question) -> AsyncGenerator[Batch, None]:
        with self._one_turn():
            batches = adrive(self._flow(question))
            try:
                async for batch in batches:
                    yield batch
            finally:
                await batches.aclose()

    def _flow(self, question: _Question) -> Flow:
        message = self._message(question)
        form = None if question.output is None else Output(question.output)
        recorder = self._recorder()
        recorder.ready()
        params = {**self.params, **question.params}
        return turn(
            TurnPlan(
                provider=wrapped(self.llm_provider),
                message=message,
                record=TurnRecord(self.name, self.conversation, recorder),
                messages=self._context(message.content, params.get("max_tokens"), form),
                tools=self.tools,
                specs=[tool_spec(t) for t in self.tools.values()] or None,
                params=params,
                streaming=question.streaming,
                max_rounds=self.max_rounds,
                policy=self.permissions,
                output=form,
                remember=self._remember,
            )
        )

    def _message(self, question: _Question) -> Message:
        images = question.images
        shown = tuple(map(Image.read, [images] if isinstance(images, str | bytes) else images))
        if shown and not wrapped(self.llm_provider).takes_images:
            raise ConfigurationError(
                f"{self.model} reads no images: leave them out, or ask a model that does (gpt-5-mini, claude-sonnet-5, ...)"
            )
        return Message("user", _checked(question.message), images=shown)

    def _context(
        self, message: str, answer_tokens: Any = None, form: Output | None = None
    ) -> list[MessageDict]:
        """The system prompt and the window of memory that fits beside the message and its answer."""
        provider = wrapped(self.llm_provider)
        system = system_text(self._system(form))
        limit = provider.get_max_tokens()
        answer = answer_tokens if isinstance(answer_tokens, int) else min(ANSWER_TOKENS, limit // 4)
        needed = int(provider.get_token_count(message) + provider.get_token_count(system))
        if needed > limit:
            raise ContextOverflowError(
                f"the message and the system prompt have {needed:,} tokens, {self.model} can read {limit:,}: "
                "shorten the message or choose a model with a longer context",
                provider=provider.name,
                model=provider.model,
            )
        window = self.memory.get_context_window(max(0, limit - answer - needed))
        return [{"role": "system", "content": system}, *window] if system else window

    def _system(self, form: Output | None = None) -> list[tuple[str, str]]:
        parts = system_parts(
            self.name, self.age, self.history, self.personality_blocks, self.competencies, self.system_prompt
        )
        if form is not None and wrapped(self.llm_provider).structured_output == "prompted":
            parts.append(("output", form.instruction))
        return parts

    def _remember(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.memory.add_message(message.to_dict())

    def _window_memory(self) -> WindowMemory:
        return WindowMemory(agent=self.name, count_tokens=self._count)

    def _bound(self, memory: IMemory) -> IMemory:
        """The memory, told whose it is and how tokens are counted unless it knows already."""
        if isinstance(memory, WindowMemory):
            memory.agent = memory.agent or self.name
            memory.count_tokens = memory.count_tokens or self._count
        return memory

    def _count(self, text: str) -> int:
        return wrapped(self.llm_provider).get_token_count(text)

    def _recorder(self) -> IRecorder:
        """The agent's store: the project's one, looked up at its first turn and kept."""
        if self._store is None:
            from gathering.storage import default_store

            self._store = default_store()
        return self._store

    def _one_turn(self) -> _OneTurn:
        return _OneTurn(self)

    def __repr__(self) -> str:
        """Name and model."""
        return f"Agent({self.name!r}, model={self.model!r})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = [
            ("model", self.model),
            ("age", "" if self.age is None else str(self.age)),
            ("history", self.history),
            ("personality", ", ".join(f"{b.name} {b.intensity:g}" for b in self.personality_blocks)),
            ("competencies", ", ".join(f"{c.name} {c.level:g}" for c in self.competencies)),
            ("tools", ", ".join(self.tools)),
            ("memory", f"{len(self.memory.get_conversation_history())} messages"),
        ]
        return display.card(f"Agent {self.name}", rows)


@dataclass(frozen=True, slots=True)
class _Question:
    """What a caller asks: the message, and what counts for this turn only."""

    message: str
    output: Any
    images: Iterable[Any]
    params: Mapping[str, Any]
    streaming: bool = False


class _OneTurn:
    """The guard of an agent: one turn at a time, whichever thread or task it comes from."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def __enter__(self) -> None:
        if not self.agent._turn.acquire(blocking=False):
            raise GatheringError(
                f"{self.agent.name!r} is in the middle of another turn: "
                "wait until it is over, close its stream, or ask a fork()"
            )

    def __exit__(self, *exc: object) -> None:
        self.agent._turn.release()


def _provider(spec: ILLMProvider | str | None) -> ILLMProvider:
    if isinstance(spec, ILLMProvider):
        return spec
    if spec is not None and not isinstance(spec, str):
        raise ConfigurationError(
            f'{spec!r:.60} is no provider: give an ILLMProvider or a text like "openai:gpt-5-mini"'
        )
    return create_provider(spec or str(config.get("model")))


def _policy(permissions: IPolicy | Iterable[Any] | None) -> IPolicy | None:
    """The policy of these rules; None, which costs nothing, where there are none."""
    if permissions is None or isinstance(permissions, IPolicy):
        return permissions
    from gathering.tools.permissions import Policy

    return Policy(permissions)


def _tools(tools: Iterable[Any]) -> dict[str, ITool]:
    found: dict[str, ITool] = {}
    for item in tools:
        one = create_tool(item) if isinstance(item, str | Mapping) else _as_tool(item)
        if one.name in found:
            raise ConfigurationError(f"two tools are named {one.name!r}: give one of them another name")
        found[one.name] = one
    return found


def _as_tool(item: Any) -> ITool:
    if isinstance(item, ITool):
        return item
    if callable(item) and not isinstance(item, type):
        from gathering.tools import tool

        made: ITool = tool(item)
        return made
    raise ConfigurationError(f"{item!r:.60} is no tool: give a name, a function or an ITool")


def _checked(message: Any) -> str:
    """The message if it can be sent; a ``ConfigurationError`` that says what to do if not."""
    if not isinstance(message, str):
        raise ConfigurationError(f"the message is {type(message).__name__}, not text: give a string")
    if not message.strip():
        raise ConfigurationError("the message is empty: write something to send")
    if "\0" in message:
        raise ConfigurationError(
            f"the message has a NUL character at position {message.index(chr(0))}: remove it"
        )
    try:
        message.encode()
    except UnicodeEncodeError as err:
        raise ConfigurationError(
            f"the message has half a character (a lone surrogate) at position {err.start}: "
            "read the text as UTF-8, or clean it with text.encode('utf-8', 'replace').decode()"
        ) from err
    return message


def _drained(batches: Iterable[Batch]) -> Reply:
    reply = None
    for batch in batches:
        reply = _reply_in(batch)
    return _there(reply)


def _reply_in(batch: Batch) -> Reply | None:
    return getattr(batch[-1], "reply", None) if batch else None


def _there(reply: Reply | None) -> Reply:
    assert reply is not None, "a flow ends with Done(completion, reply)"
    return reply
