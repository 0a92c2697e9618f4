"""The agent: parts that are handed in, and one turn at a time over the flow.

Owns how the parts become a turn's plan and who may take a turn when. What happens in a turn is
``gathering.core.flow``; what an agent may be described by is ``gathering.agents.spec``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from gathering.agents.asking import OneTurn, Question, drained, reply_in, there
from gathering.agents.branches import Branch
from gathering.agents.guardrails import foreseen, guarded, guardrails_of
from gathering.agents.output import Output
from gathering.agents.parts import (
    blocks_of,
    checked_message,
    checked_rounds,
    checked_store,
    checked_texts,
    competencies_of,
    memory_of,
    params_of,
    policy_of,
    provider_of,
    tools_of,
)
from gathering.agents.personality import warn_of_conflicts
from gathering.agents.prompt import Explanation, system_parts, system_text
from gathering.agents.travel import TimeTravel
from gathering.agents.turns import Turns
from gathering.core import display
from gathering.core.budget import Purse, current_purse, paying
from gathering.core.drive import adrive, drive
from gathering.core.errors import ConfigurationError, ContextOverflowError
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
from gathering.core.portal import beside
from gathering.core.recording import TurnRecord
from gathering.core.registry import open_panel
from gathering.core.session import new_id, wrapped
from gathering.core.stream import Batch, Stream
from gathering.core.tooling import tool_spec

if TYPE_CHECKING:
    from gathering.agents.conversation import Conversation
    from gathering.storage import Trace

__all__ = ["Agent"]

#: Tokens of the context that are left for the answer, unless ``max_tokens`` says how long it may be.
ANSWER_TOKENS = 1024


class Agent(TimeTravel):
    """A language model with a name, a personality, competencies, tools and a memory.

    ``llm_provider`` is a provider or ``"provider:model"`` (the default model if None). Tools may be names of the
    registry, functions made by ``@tool``, or any ``ITool``. ``permissions`` are rules such as ``"ask * write"``
    (``gathering.tools.permissions``); without any a tool does what it was made to do. ``guardrails`` look at what is said
    (``gathering.agents.guardrails``). ``store`` is where the trace goes (the project's by
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
        memory: IMemory | str | Mapping[str, Any] | Sequence[Any] | None = None,
        tools: Iterable[ITool | str | Mapping[str, Any]] | Mapping[str, ITool] = (),
        personality_blocks: Iterable[IPersonalityBlock | str] = (),
        competencies: Iterable[ICompetency | str] = (),
        age: int | None = None,
        history: str = "",
        system_prompt: str | None = None,
        max_rounds: int = 8,
        params: Mapping[str, Any] | None = None,
        permissions: IPolicy | Iterable[Any] | None = None,
        guardrails: Iterable[Any] = (),
        cache: bool | None = None,
        store: IRecorder | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(
                f"an agent's name must be a text that is not empty, got {name!r}: give it a name"
            )
        checked_texts(history=history or "", system_prompt=system_prompt or "")
        self.name, self.age, self.history, self.system_prompt = name, age, history or "", system_prompt
        self.llm_provider = provider_of(llm_provider)
        self.personality_blocks = blocks_of(personality_blocks)
        warn_of_conflicts(name, self.personality_blocks)
        self.competencies = competencies_of(competencies)
        self.tools, self.tool_sources = tools_of(tools)
        self.max_rounds, self.params = checked_rounds(max_rounds), params_of(params)
        if cache is not None:
            self.params["cache"] = cache
        self.permissions = policy_of(permissions)
        self.guardrails = guardrails_of(guardrails)
        self.conversation = new_id()
        #: Ceilings on what it may spend beside those that count for all, such as a comparison's.
        self.purse = Purse()
        self._store = checked_store(store)
        self.memory = memory_of(memory, name)
        self.memory.join(self)
        self._turn = threading.Lock()
        self.turns = Turns()
        #: The number under which it was saved or loaded, while it is as it was then.
        self.version: int | None = None
        self.digest = ""
        #: Where its conversation goes on from another, until the trace has that.
        self.branch: Branch | None = None

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

    @property
    def busy(self) -> bool:
        """Whether it is in the middle of a turn."""
        return self._turn.locked()

    def trace_rows(self, table: str, where: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows of the agent's store as plain dicts, oldest first, for views that need no DataFrame."""
        return list(self._recorder().rows(table, where))

    def ask(self, message: str, *, output: Any = None, images: Iterable[Any] = (), **params: Any) -> Reply:
        """The reply to a message. ``params`` (``temperature``, ``max_tokens``, ...) count for this turn only.

        ``output`` is a pydantic model, a type or a JSON schema the answer must fit; its value is ``reply.output``.
        ``images`` are paths, addresses, bytes or plots. Raises ``OutputError`` for an answer that does not fit at the
        second try either, and what the provider raises.
        """
        return drained(self._drive(Question(message, output, images, params)))

    async def ask_async(
        self, message: str, *, output: Any = None, images: Iterable[Any] = (), **params: Any
    ) -> Reply:
        """The reply to a message, awaited."""
        reply = None
        async for batch in self._adrive(Question(message, output, images, params)):
            reply = reply_in(batch)
        return there(reply)

    def stream(
        self, message: str, *, output: Any = None, images: Iterable[Any] = (), **params: Any
    ) -> Stream:
        """The turn as typed events, for ``for`` or ``async for``; ``.reply`` is there at the end."""
        question = Question(message, output, images, params, streaming=True)
        return Stream(lambda: self._drive(question), lambda: self._adrive(question))

    def chat(self, **options: Any) -> Any:
        """A chat panel for a notebook: ``height`` in pixels, ``readonly``, ``starters`` (messages to offer), ``models``.

        ``panel.ask(...)`` asks from code, so that question and answer appear in it.
        """
        return open_panel("chat", self, **options)

    def resume(self, conversation: str | None = None, **params: Any) -> Reply:
        """The reply of a turn that an earlier kernel began and did not end: the agent's newest, or that conversation's.

        The agent has what was said before it then. A tool call that waited for a person asks again; one that may have
        run is not run twice, and the model is told. Raises ``ConfigurationError`` where nothing was cut.
        """
        return drained(self._drive(self._cut_question(conversation, params)))

    async def resume_async(self, conversation: str | None = None, **params: Any) -> Reply:
        """The reply of a turn that an earlier kernel began and did not end, awaited."""
        reply = None
        async for batch in self._adrive(self._cut_question(conversation, params)):
            reply = reply_in(batch)
        return there(reply)

    def process_message(self, message: str) -> str:
        """The text of the reply."""
        return self.ask(message).text

    async def process_message_async(self, message: str) -> str:
        """The text of the reply, awaited."""
        return (await self.ask_async(message)).text

    def explain(self, message: str) -> Explanation:
        """Exactly what would be sent for this message: each part, where it came from, its tokens. Asks no model.

        Guardrails about what a person says are applied, but for those that ask a model, which are named.
        """
        checked = checked_message(message)
        asked: list[MessageDict] = [*self._context(checked), {"role": "user", "content": checked}]
        messages, guards = foreseen(self.llm_provider, self.guardrails, asked)
        specs = [tool_spec(t) for t in self.tools.values()]
        count = wrapped(self.llm_provider).get_token_count
        return Explanation(
            self.name, self.model, self._system(checked), messages, specs, dict(self.params), count, guards
        )

    def save(self) -> int:
        """Keep the agent under its name, for ``gathering.load`` in any kernel; its version.

        A change is a new version, and turns say with which they were taken. No key is written down. Raises
        ``StoreError``.
        """
        from gathering.agents.versions import save

        return save(self, self._recorder())

    def _version_now(self) -> int | None:
        if self.version is None:
            return None
        from gathering.agents.versions import described, digest_of

        return self.version if digest_of(described(self)) == self.digest else None

    def collaborate_with(self, others: Sequence[IAgent], task: str, **options: Any) -> Conversation:
        """What this agent and others say about a task, talked to its end; ``options`` are those of ``Conversation``."""
        from gathering.agents.conversation import Conversation

        options.setdefault("max_turns", 2 * (len(others) + 1))
        return Conversation([self, *others], **options).run(task)

    def _drive(self, question: Question) -> Generator[Batch, None, None]:
        with self._one_turn():
            with paying(self.purse):
                self.memory.prepare(question.message)
            yield from drive(self._flow(question))

    async def _adrive(self, question: Question) -> AsyncGenerator[Batch, None]:
        with self._one_turn():
            if type(self.memory).prepare is not IMemory.prepare:
                with paying(self.purse):
                    await beside(self.memory.prepare, question.message)
            batches = adrive(self._flow(question))
            try:
                async for batch in batches:
                    yield batch
            finally:
                await batches.aclose()

    def _flow(self, question: Question) -> Flow:
        from gathering.storage.cache import cached
        from gathering.storage.telemetry import observed

        message = self._message(question)
        form = None if question.output is None else Output(question.output)
        recorder = self._recorder()
        recorder.ready()
        self.keep_branch()
        params = {**self.params, **question.params}
        provider = wrapped(cached(self.llm_provider, params.pop("cache", None)))
        record = TurnRecord(
            self.name, self.conversation, observed(recorder), agent_version=self._version_now()
        )
        cut = question.cut
        if cut is not None:
            record.turn_id = cut.turn_id
        return turn(
            TurnPlan(
                provider=guarded(provider, self.guardrails, record),
                message=message,
                record=record,
                messages=self._context(message.content, params.get("max_tokens"), form),
                tools=self.tools,
                specs=[tool_spec(t) for t in self.tools.values()] or None,
                params=params,
                streaming=question.streaming,
                max_rounds=self.max_rounds,
                policy=self.permissions,
                output=form,
                purse=self.purse.beside(current_purse()),
                said=cut.tell(record) if cut else (),
                said_call_id=cut.call_id if cut else "",
                waiting=cut.waiting if cut else (),
                remember=functools.partial(self._remember, record.turn_id),
            )
        )

    def _cut_question(self, conversation: str | None, params: Mapping[str, Any]) -> Question:
        from gathering.agents.resuming import take_up

        with self._one_turn():
            cut = take_up(self, self._recorder(), conversation)
        return Question(cut.said[0].content, None, (), params, cut=cut)

    def _message(self, question: Question) -> Message:
        images = question.images
        shown = tuple(map(Image.read, [images] if isinstance(images, str | bytes) else images))
        if shown and not wrapped(self.llm_provider).takes_images:
            raise ConfigurationError(
                f"{self.model} reads no images: leave them out, or ask a model that does (gpt-5-mini, claude-sonnet-5, ...)"
            )
        return Message("user", checked_message(question.message), images=shown)

    def _context(
        self, message: str, answer_tokens: Any = None, form: Output | None = None
    ) -> list[MessageDict]:
        """The system prompt and the window of memory that fits beside the message and its answer."""
        provider = wrapped(self.llm_provider)
        system = system_text(self._system(message, form))
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

    def _system(self, message: str, form: Output | None = None) -> list[tuple[str, str]]:
        parts = system_parts(
            self.name, self.age, self.history, self.personality_blocks, self.competencies, self.system_prompt
        )
        parts += self.memory.recall(message)
        if form is not None and wrapped(self.llm_provider).structured_output == "prompted":
            parts.append(("output", form.instruction))
        return parts

    def _remember(self, turn_id: str, messages: Sequence[Message]) -> None:
        self.turns.add(turn_id, self.model, messages)
        for message in messages:
            self.memory.add_message(message.to_dict())

    def count_tokens(self, text: str) -> int:
        """How many tokens its model counts in a text."""
        return int(wrapped(self.llm_provider).get_token_count(text))

    def _recorder(self) -> IRecorder:
        """The agent's store: the project's one, looked up at its first turn and kept."""
        if self._store is None:
            from gathering.storage import default_store

            self._store = default_store()
        return self._store

    def _one_turn(self) -> OneTurn:
        return OneTurn(self)

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
