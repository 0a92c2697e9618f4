"""The interfaces: what an agent, provider, memory, tool, personality block, competency and recorder must offer.

A user extends GatheRing by subclassing one of these. Everything has a default except what an extension must
say; nothing here does I/O. Messages and tools travel in the neutral dicts of ``gathering.core.messages``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from gathering.core.bounds import MAX_OUTPUT
from gathering.core.errors import ConfigurationError, shown
from gathering.core.messages import Completion, MessageDict, OutputMode, ToolSpec, Usage, text_of
from gathering.core.offers import Embeddings, ModelInfo, TokenCount
from gathering.core.portal import beside
from gathering.core.prices import own_price
from gathering.core.results import ToolPermission, ToolResult, Touched

if TYPE_CHECKING:
    from gathering.core.stream import TextStream

__all__ = [
    "IAgent",
    "IAgentManager",
    "ICompetency",
    "IConversation",
    "ILLMProvider",
    "IMemory",
    "IPersonalityBlock",
    "IRecorder",
    "ITool",
    "IToolRegistry",
    "Since",
    "ToolPermission",
    "ToolResult",
]


class ILLMProvider(ABC):
    """A service, server or embedded model that answers messages.

    An extension must say ``complete``. It may be a plain function of neutral dicts that returns
    ``{"role": "assistant", "content": ...}`` (with ``tool_calls`` if the model wants tools), or give a
    ``Completion``. ``stream`` may be an async generator of strings; by default it gives the whole answer in one piece.
    """

    #: True when the token counts of this provider are estimates, not the model's own count.
    estimates_tokens: ClassVar[bool] = True
    #: True when calls side by side would only wait for each other, as on one small machine.
    one_at_a_time: ClassVar[bool] = False
    #: What the provider does with ``output={"name": ..., "schema": ...}`` among the params: ``native`` or
    #: ``constrained``; ``prompted`` means nothing, so that the schema is put into the prompt instead.
    structured_output: OutputMode = "prompted"
    #: Whether a message may have images.
    takes_images: bool = False
    #: False when the answer is known already, so that a call sends and costs nothing.
    is_live: bool = True

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        self.name = name
        self.config = dict(config)
        self.model: str = str(self.config.get("model") or "")

    @classmethod
    def create(cls, provider_name: str, config: Mapping[str, Any]) -> Self:
        """The provider of this name with this configuration."""
        return cls(provider_name, dict(config))

    @abstractmethod
    def complete(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion | dict[str, Any]:
        """The model's answer to the messages, whole. Raises a ``ProviderError`` when there is none."""

    async def complete_async(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> Completion | dict[str, Any]:
        """The same answer, awaited; by default ``complete`` on a worker thread."""
        if inspect.iscoroutinefunction(self.complete):
            answer: Completion | dict[str, Any] = await self.complete(messages, tools, **params)
            return answer
        return await beside(lambda: self.complete(messages, tools, **params))

    def stream(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None = None, **params: Any
    ) -> TextStream | Any:
        """The answer piece by piece, for ``for`` and ``async for``: strings, or typed events by ``.events()``."""
        from gathering.core.stream import whole_answer

        return whole_answer(self, messages, tools, params)

    def prepared(
        self, messages: list[MessageDict], tools: list[ToolSpec] | None, params: dict[str, Any]
    ) -> ILLMProvider:
        """The provider for exactly this request, which is asked right after; sends nothing."""
        return self

    def is_available(self) -> bool:
        """Whether a call could succeed now. Must not raise; may do a short request."""
        return True

    def why_unavailable(self) -> str | None:
        """One line that says what to do when ``is_available()`` is False."""
        return None if self.is_available() else f"{self.name} is not reachable"

    def get_token_count(self, text: str) -> int:
        """How many tokens the text has; an estimate unless ``estimates_tokens`` is False."""
        return max(1, round(len(text.encode("utf-8", "surrogatepass")) / 4)) if text else 0

    def get_max_tokens(self) -> int:
        """How many tokens the model can read and write in one call together."""
        return 8192

    def get_max_output(self) -> int:
        """How many tokens the model can write in one call."""
        return self.get_max_tokens()

    def count_tokens(self, messages: list[MessageDict], tools: list[ToolSpec] | None = None) -> TokenCount:
        """How many tokens a request with these messages and tools has; may ask the service."""
        said = "".join(text_of(m.get("content")) + str(m.get("tool_calls") or "") for m in messages)
        offered = str(tools or "")
        count = self.get_token_count(said) + self.get_token_count(offered) + 4 * len(messages)
        return TokenCount(int(count), exact=False)

    def get_cost(self, usage: Usage) -> float | None:
        """US dollars for this usage, None where the price is not known; by default what the user's own table says."""
        price = own_price(self.name, self.model)
        return None if price is None else price.cost(usage)

    def unpriced(self, tools: list[ToolSpec] | None, params: Mapping[str, Any]) -> str:
        """What of this request could cost more than its tokens at the known price; empty where nothing could."""
        return ""

    def cost_of(self, completion: Completion) -> float | None:
        """US dollars for this answer, None where the price is not known."""
        return 0.0 if completion.source == "cache" else self.get_cost(completion.usage)

    def models(self) -> list[ModelInfo]:
        """The models this provider has; by default the one it was made for."""
        return [ModelInfo(self.model, context=self.get_max_tokens())] if self.model else []

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """One vector for each text. Raises ``ConfigurationError`` where the provider has no embeddings."""
        raise ConfigurationError(
            f"{self.name} has no embeddings: use another provider, or gathering.provider('local').embed(...)"
        )

    def embedding_model(self, model: str | None = None) -> str:
        """What ``embed`` asks for vectors, ``"provider:model"``, without asking it: its price is looked for under this name."""
        return f"{self.name}:{model or self.model}"

    async def embed_async(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        """The same vectors, awaited; by default ``embed`` on a worker thread."""
        return await beside(self.embed, texts, model)

    def __repr__(self) -> str:
        """Name and model; never the configuration, which may hold a key."""
        return (
            f"{type(self).__name__}({self.name}:{self.model})"
            if self.model
            else f"{type(self).__name__}({self.name})"
        )


class IAgent(ABC):
    """Something that answers a message of a person."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The agent described by plain data. Raises ``ConfigurationError`` for anything it does not know."""

    @abstractmethod
    def process_message(self, message: str) -> str:
        """The answer's text."""

    async def process_message_async(self, message: str) -> str:
        """The answer's text, awaited."""
        return await beside(self.process_message, message)


class IMemory(ABC):
    """What an agent remembers. Messages are the neutral dicts of ``gathering.core.messages``."""

    @abstractmethod
    def add_message(self, message: MessageDict) -> None:
        """Keep one message."""

    @abstractmethod
    def get_conversation_history(self, limit: int | None = None) -> list[MessageDict]:
        """The messages kept, oldest first; the last ``limit`` of them if given."""

    @abstractmethod
    def get_context_window(self, max_tokens: int | None = None) -> list[MessageDict]:
        """What of it would be sent to a model now, oldest first, within ``max_tokens``."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""

    def fork(self, messages: Sequence[MessageDict]) -> IMemory | None:
        """A memory of its own, like this one, whose conversation is these messages; None if it cannot make one."""
        return None

    def join(self, agent: IAgent) -> None:  # noqa: B027 - most memories need to know nothing
        """Told whose memory it is, when the agent is made. By default nothing happens."""

    def prepare(self, message: str) -> None:  # noqa: B027 - most memories need no preparation
        """Do what takes its time before a turn with this message: may ask a model. By default nothing."""

    def recall(self, message: str) -> list[tuple[str, str]]:
        """What of it belongs into the system prompt of a turn with this message: ``(source, text)`` of each part."""
        return []

    def remember(self, text: str, *args: Any, **options: Any) -> str:
        """Keep a text for long; its id. Raises ``ConfigurationError`` for a memory of the conversation alone."""
        raise ConfigurationError(self._keeps_nothing())

    def forget(self, what: Any) -> int:
        """Forget what was kept for long; how much it was. Raises ``ConfigurationError`` as ``remember``."""
        raise ConfigurationError(self._keeps_nothing())

    def _keeps_nothing(self) -> str:
        return f"{type(self).__name__} keeps the conversation alone: make the agent with memory='long_term' to remember"

    def panel(self, **options: Any) -> Any:
        """An editor of what is remembered, for a notebook: ``height`` in pixels, ``readonly``."""
        from gathering.core.registry import open_panel

        return open_panel("memory", self, **options)

    def search(self, query: str, limit: int = 5) -> list[Any]:
        """The messages that share most words with the query, best first."""
        wanted = set(query.lower().split())
        scored = [
            (len(wanted & set(str(m.get("content", "")).lower().split())), m)
            for m in self.get_conversation_history()
        ]
        return [m for score, m in sorted(scored, key=lambda pair: -pair[0]) if score][:limit]


class ITool(ABC):
    """Something an agent may do. An extension says ``execute`` or ``execute_async``; the other one follows.

    ``config["permissions"]`` lists what it may do to the world (``read`` if nothing is said).
    """

    #: Characters of a result that go into a turn; what is longer is cut, with a note that says so.
    max_output: int = MAX_OUTPUT
    #: Whether ``execute`` itself says what is wrong with its input, so that ``why_invalid`` need not be asked before.
    checks_input: ClassVar[bool] = False

    def __init__(self, name: str, tool_type: str = "custom", config: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.tool_type = tool_type
        self.config = dict(config or {})
        self.permissions = frozenset(ToolPermission(p) for p in self.config.get("permissions", ("read",)))
        if type(self).execute is ITool.execute and type(self).execute_async is ITool.execute_async:
            raise TypeError(f"{type(self).__name__} must define execute or execute_async")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The tool described by plain data; ``config["name"]`` is its name."""
        return cls(
            str(config.get("name") or cls.__name__.lower()), str(config.get("type") or "custom"), config
        )

    def execute(self, input_data: Any) -> ToolResult:
        """Do it. Bad input and failures are a ``ToolResult`` with ``success=False``, not an exception."""
        from gathering.core.portal import portal

        return portal().run(self.execute_async(input_data))

    async def execute_async(self, input_data: Any) -> ToolResult:
        """Do it, awaited; by default ``execute`` on a worker thread."""
        return await beside(self.execute, input_data)

    def validate_input(self, input_data: Any) -> bool:
        """Whether ``execute`` can make sense of the input."""
        return True

    def why_invalid(self, input_data: Any) -> str | None:
        """One line for the model about what is wrong with the input; None if ``execute`` can make sense of it."""
        if self.validate_input(input_data):
            return None
        wanted = ", ".join(self.get_parameters_schema().get("properties", {})) or "no arguments"
        return f"{self.name} cannot use {shown(input_data)}: it takes {wanted}"

    def expand(self) -> list[ITool]:
        """The tools this one stands for in an agent's list; by default itself alone."""
        return [self]

    @property
    def asynchronous(self) -> bool:
        """Whether its own form is the awaited one: several such tools run side by side, also in a sync turn."""
        return type(self).execute is ITool.execute

    def is_available(self) -> bool:
        """Whether the tool could work now."""
        return True

    def get_description(self) -> str:
        """What the tool does, for the model."""
        return (type(self).__doc__ or self.name).strip().splitlines()[0]

    def get_parameters_schema(self) -> dict[str, Any]:
        """The JSON schema of the input."""
        return {"type": "object", "properties": {}}

    def get_examples(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """Pairs of a question and the arguments it calls for; small models need them."""
        return ()

    def has_permission(self, permission: ToolPermission) -> bool:
        """Whether the tool may do acts of this kind."""
        return permission in self.permissions

    def permission_for(self, arguments: Mapping[str, Any]) -> ToolPermission:
        """The kind of act these arguments ask for; by default the gravest the tool may do."""
        gravest = (ToolPermission.DELETE, ToolPermission.EXECUTE, ToolPermission.WRITE)
        return next((p for p in gravest if p in self.permissions), ToolPermission.READ)

    def targets(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """What these arguments would touch, by name (``path``, ``host``, ``table``, ...), for rules to match.

        Where that is several things at once it is a ``Touched``: a rule that allows must fit all, one that denies any.
        """
        return {str(name): _target(value) for name, value in arguments.items()}

    def __repr__(self) -> str:
        """Class and name; never the configuration, which may hold a password."""
        return f"{type(self).__name__}({self.name})"


def _target(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset) and value:
        return Touched(_text(value), ((_text(item),) for item in value))
    return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a number of 5,000 digits, a __str__ that raises
        return shown(value)


class IPersonalityBlock(ABC):
    """One trait of an agent: sentences for the system prompt."""

    name: str
    intensity: float

    @abstractmethod
    def get_prompt_modifiers(self) -> list[str]:
        """The sentences this block puts into the system prompt."""

    @abstractmethod
    def combine(self, other: IPersonalityBlock) -> IPersonalityBlock:
        """One block that says what both say."""


class ICompetency(ABC):
    """Something an agent is good at."""

    name: str
    level: float

    @abstractmethod
    def get_prompt_enhancement(self) -> str:
        """The sentence this competency puts into the system prompt."""

    @abstractmethod
    def can_handle_task(self, task: str) -> float:
        """How well it fits the task, 0 to 1."""


class IConversation(ABC):
    """Several agents that talk under rules."""

    @classmethod
    @abstractmethod
    def create(cls, agents: Sequence[IAgent], **options: Any) -> Self:
        """A conversation of these agents."""

    @abstractmethod
    def add_message(self, message: MessageDict) -> None:
        """Say something in the conversation from outside."""

    @abstractmethod
    def process_turn(self) -> list[MessageDict]:
        """Let the next speakers speak; what they said."""

    @abstractmethod
    def get_history(self) -> list[MessageDict]:
        """Everything said so far."""

    @abstractmethod
    def save(self, path: str) -> None:
        """Write the conversation to a file."""

    @classmethod
    @abstractmethod
    def load(cls, path: str) -> Self:
        """The conversation saved in a file."""


class IAgentManager(ABC):
    """Agents by name."""

    @abstractmethod
    def create_agent(self, config: Mapping[str, Any]) -> IAgent:
        """A new agent, kept under its name."""

    @abstractmethod
    def get_agent(self, name: str) -> IAgent:
        """The agent of this name."""

    @abstractmethod
    def list_agents(self) -> list[str]:
        """The names, in the order of creation."""

    @abstractmethod
    def remove_agent(self, name: str) -> None:
        """Forget the agent of this name."""

    @abstractmethod
    def create_conversation(self, names: Sequence[str], **options: Any) -> IConversation:
        """A conversation of the named agents."""

    @abstractmethod
    def find_best_agent(self, task: str) -> IAgent | None:
        """The agent whose competencies fit the task best, None if none does."""


class IToolRegistry(ABC):
    """Tools by name, made when asked for."""

    @abstractmethod
    def register_tool_type(self, tool_type: str, factory: type[ITool]) -> None:
        """Make tools of this type known."""

    @abstractmethod
    def create_tool(self, config: Mapping[str, Any]) -> ITool:
        """A tool from plain data; ``config["type"]`` names its type."""

    @abstractmethod
    def get_tool(self, name: str) -> ITool:
        """The tool of this name."""


@dataclass(frozen=True, slots=True)
class Since:
    """Among the values that rows are asked for: this one, or one that is later or larger."""

    value: float


class IRecorder(ABC):
    """Where a turn writes its rows: the trace, seen from below.

    Rows are upserts by the table's id column; a row put twice is merged. ``put`` only queues: it takes
    microseconds, does no I/O on the caller's thread and is safe from any thread.
    """

    @abstractmethod
    def ready(self) -> None:
        """Raise ``StoreError`` if rows put now could not be written; nothing has been sent yet then."""

    @abstractmethod
    def put(self, table: str, row: dict[str, Any]) -> None:
        """Queue one row of ``calls``, ``messages``, ``tool_calls`` or ``memories``.

        A value may be a callable: it is called when the row is written, so a growing text is written as it stands.
        """

    @abstractmethod
    def flush(self) -> None:
        """Wait until everything put so far is in the store. Raises ``StoreError``."""

    @abstractmethod
    def rows(self, table: str, where: Mapping[str, Any] | None = None) -> Iterable[dict[str, Any]]:
        """The rows of a table with these values (a list: any of them; ``Since``: from there on), oldest first."""

    def turn_over(self, error: BaseException | None = None) -> None:  # noqa: B027 - most recorders have nothing to do then
        """Told when a turn has put its last row, with what ended it if it failed. By default nothing happens."""

    def living(self) -> set[str]:
        """The sessions whose processes still run, as far as the recorder can know; by default it knows of none."""
        return set()

    def spent_beside(self, session: str) -> float:
        """US dollars the calls of all other sessions cost, or are booked for where that is not known."""
        live = (row for row in self.rows("calls", {"source": "live"}) if row.get("session") != session)
        costs = (row.get("booked_usd") if row["cost_usd"] is None else row["cost_usd"] for row in live)
        return float(sum(cost for cost in costs if cost is not None))
