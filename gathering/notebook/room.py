"""The room of one agent: what is said there, whoever says it, and what the panels that look in are told.

Owns the log of items, the one turn that runs, the questions to a person. All of it on the I/O thread; callers on
other threads hand work over. What a panel is, and its view, is ``gathering.notebook.panel``.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gathering.core.errors import ConfigurationError, GatheringError
from gathering.core.images import Image
from gathering.core.messages import Message, ToolCall, Usage
from gathering.core.permissions import Decision, asked_by
from gathering.core.portal import portal
from gathering.core.registry import create_provider
from gathering.notebook.answer import Answer
from gathering.notebook.asking import Asking
from gathering.notebook.channel import Channel, State
from gathering.notebook.items import Item, Part, question_item, sendable, turn_items

if TYPE_CHECKING:
    from gathering.agents import Agent

__all__ = ["PAGE", "Follower", "Room", "follow_cells", "followers", "room_of"]

#: Items a view is sent at once.
PAGE = 50
#: Turns taken elsewhere whose tokens and cost are looked up in the trace when a panel catches up.
LOOKED_UP = 100


class Room:
    """One agent's conversation as its panels show it."""

    def __init__(self, agent: Agent, family: list[Agent] | None = None) -> None:
        self.agent = agent
        self.channel = Channel()
        self.items: list[Item] = []
        self.answer: Answer | None = None
        self.task: asyncio.Task[None] | None = None
        #: Called when a turn is over.
        self.ended: list[Callable[[], None]] = []
        self._count = 0
        self._shown: list[str] = []
        self._so_far = Usage()
        self.asking = Asking(self._decided)
        # The agents that were forked from each other here: what a branch is gone back to.
        self._family = [] if family is None else family
        self._family.append(agent)
        self._caught_up()
        self._keep()

    # What is there

    @property
    def busy(self) -> bool:
        """Whether an answer is coming into this room."""
        return self.answer is not None

    def state(self) -> State:
        """How it stands."""
        usage = sum((item.usage for item in self.items), self._so_far)
        costs = [item.cost for item in self.items if item.usage != Usage()]
        if self._so_far != Usage():
            costs.append(self.agent.llm_provider.get_cost(self._so_far))
        known = [cost for cost in costs if cost is not None]
        return {
            "phase": "answering" if self.busy else "cell" if self.agent.busy else "idle",
            "model": self.agent.model,
            "tokens": {"input": usage.input_tokens or 0, "output": usage.output_tokens or 0},
            "cost": sum(known) if len(known) == len(costs) else None,
            "turns": len(self._shown),
            "branch": self._family.index(self.agent),
        }

    def page(self, size: int, before: str | None = None) -> tuple[list[Item], bool]:
        """The last items, or those before the one with this id, and whether there are older ones."""
        end = len(self.items) if before is None else self._place(before)
        start = max(0, end - size)
        return self.items[start:end], start > 0

    def catch_up(self) -> bool:
        """Show turns that were taken elsewhere, in a cell for example; whether there were any."""
        if not self._caught_up():
            return False
        items, more = self.page(PAGE)
        self.channel.post({"t": "reset", "items": [item.to_dict() for item in items], "more": more})
        self.tell_state()
        for ended in list(self.ended):
            ended()
        return True

    def _caught_up(self) -> bool:
        path = list(self.agent.turns)
        if self.busy or [turn.turn_id for turn in path] == self._shown:
            return False
        if [turn.turn_id for turn in path[: len(self._shown)]] != self._shown:
            self.items, self._shown = [], []  # rewound, or another path altogether
        known = len(self.items)
        for turn in path[len(self._shown) :]:
            ids = (self._new_id(), self._new_id())
            self.items += turn_items(ids, self.agent.name, turn.model, turn.turn_id, turn.messages)
            self._shown.append(turn.turn_id)
        self._look_up(self.items[known:])
        self._mark_branches(self.items[known:])
        return True

    def _look_up(self, items: Sequence[Item]) -> None:
        """What the newest turns took, from the trace."""
        answers = {item.turn: item for item in items[-2 * LOOKED_UP :] if item.role == "assistant"}
        if not answers:
            return
        for row in self.agent.trace_rows("calls", {"turn_id": list(answers)}):
            item = answers[row["turn_id"]]
            first = item.usage == Usage()
            item.usage += Usage(
                row["input_tokens"], row["output_tokens"], row["cached_tokens"], row["reasoning_tokens"]
            )
            cost = row["cost_usd"]
            item.cost = cost if first else None if cost is None or item.cost is None else item.cost + cost
            item.ms = (item.ms or 0.0) + (row["latency_ms"] or 0.0)

    def _mark_branches(self, items: Sequence[Item]) -> None:
        turns = {turn.turn_id: turn for turn in self.agent.turns}
        for item in items:
            turn = turns.get(item.turn)
            if item.role != "user" or turn is None:
                continue
            versions = [other.node for other in self.agent.turns.versions(turn)]
            if len(versions) > 1:
                item.branch = {"index": versions.index(turn.node), "count": len(versions)}

    # Asking

    def begin(self, message: str, images: Sequence[Image] = ()) -> Answer:
        """The question and an open answer are in the log; the caller feeds it and calls ``finish``."""
        if self.busy or self.agent.busy:
            where = "it is answering already: wait, or press Stop" if self.busy else "a cell has it just now"
            raise ConfigurationError(f"{self.agent.name!r} cannot take the message: {where}")
        self.catch_up()
        asked = question_item(self._new_id(), Message("user", message, images=tuple(images)))
        item = Item(self._new_id(), "assistant", self.agent.name, status="open", model=self.agent.model)
        for new in (asked, item):
            self.items.append(new)
            self.channel.start(new)
        self.answer = Answer(self.channel, item, self._counted)
        self.tell_state()
        return self.answer

    def finish(self, error: BaseException | None = None, reply: Any = None) -> None:
        """The turn of ``begin`` is over."""
        answer, self.answer = self.answer, None
        assert answer is not None
        self._so_far = Usage()
        turns = list(self.agent.turns)
        kept = turns[-1].turn_id if len(turns) > len(self._shown) else ""
        if kept:
            self._shown.append(kept)
            self.items[-2].turn = kept
            self._mark_branches(self.items[-2:-1])
        if error is None:
            answer.end(reply)
        else:
            answer.fail(error, kept)
        if self.items[-2].branch is not None:
            self.channel.end(self.items[-2])
        self._keep()
        self.tell_state()
        for ended in list(self.ended):
            ended()

    def _keep(self) -> None:
        """Let a later kernel bring the agent back (``%gathering restore``); one that cannot be written down is not kept."""
        with contextlib.suppress(GatheringError):
            self.agent.save()

    def send(self, message: str, images: Sequence[Image] = ()) -> None:
        """Ask, and let the answer come."""
        if not message.strip() and not images:
            raise ConfigurationError("the message is empty: write something to send")
        self.begin(message, images)
        self.task = asyncio.get_running_loop().create_task(self._turn(message, images))

    async def _turn(self, message: str, images: Sequence[Image]) -> None:
        answer = self.answer
        assert answer is not None
        try:
            with asked_by(self.asking.ask):
                async with self.agent.stream(message, images=images) as stream:
                    async for batch in stream.batches_async():
                        answer.take(batch)
        except BaseException as error:  # noqa: BLE001 - nobody awaits this task: what cut it is shown in its place
            self.finish(error)
        else:
            self.finish(reply=stream.reply)
        finally:
            self.task = None

    def stop(self) -> None:
        """End the answer that is coming; its connection is closed."""
        if self.task is not None:
            self.task.cancel()
        elif self.busy:
            raise ConfigurationError("a cell asked this: interrupt the kernel to stop it")

    def interrupt(self) -> None:
        """End the answer that is coming, if a panel asked for it."""
        if self.task is not None:
            self.task.cancel()

    def _counted(self, usage: Usage) -> None:
        self._so_far = usage
        # Some services count with every piece: it travels with the text.
        self.channel.later(lambda: {"t": "state", "state": self.state()})

    def tell_state(self) -> None:
        """Tell all views how it stands."""
        self.channel.post({"t": "state", "state": self.state()})

    def _decided(self, call: ToolCall, decision: Decision) -> None:
        if self.answer is not None:
            self.answer.decided(call, decision)

    # Other paths

    def fork_before(self, identity: str) -> tuple[Room, str, list[dict[str, str]]]:
        """A room where the message with this id, or the one this answers, was not said yet; the message and its images.

        A message whose turn failed is taken back in this room: nothing of it would be kept in another.
        """
        if self.busy or self.agent.busy:
            raise ConfigurationError(f"{self.agent.name!r} is in the middle of a turn: press Stop first")
        place = self._place(identity)
        while place > 0 and self.items[place].role != "user":
            place -= 1
        asked = self.items[place]
        if asked.role != "user":
            raise ConfigurationError("there is no message before this one: send a new one")
        if not asked.turn:
            self._take_back(place)
            return self, asked.text, asked.images
        twin = self.agent.fork(at=self._shown.index(asked.turn))
        return room_of(twin, self._family), asked.text, asked.images

    def _take_back(self, place: int) -> None:
        if any(item.turn for item in self.items[place:]):
            raise ConfigurationError("more was said since then: send the message again")
        del self.items[place:]

    def branch(self, identity: str, index: int) -> Room:
        """The room where the message with this id is its version number ``index``."""
        turn = next(
            (t for t in self.agent.turns if t.turn_id == self.items[self._place(identity)].turn), None
        )
        versions = [] if turn is None else self.agent.turns.versions(turn)
        if not 0 <= index < len(versions):
            raise ConfigurationError(
                f"there is no version {index + 1} of this message: {len(versions)} are known"
            )
        wanted = versions[index].node
        for agent in reversed(self._family):
            if any(turn.node == wanted for turn in agent.turns):
                return room_of(agent, self._family)
        raise ConfigurationError(
            "the agent of that branch was forked in a cell: open its own panel with chat()"
        )

    async def use_model(self, name: str) -> None:
        """Answer with this model from now on."""
        if self.busy or self.agent.busy:
            raise ConfigurationError(f"{self.agent.name!r} is in the middle of a turn: press Stop first")
        # Making a provider may read a keyring or a file.
        self.agent.llm_provider = await asyncio.to_thread(create_provider, name)
        self.note(f"{self.agent.model} answers from here on")
        self.tell_state()

    def note(self, text: str) -> None:
        """Say in the log that something happened."""
        item = Item(self._new_id(), "note", parts=[Part.of_text("text", sendable(text))])
        self.items.append(item)
        self.channel.start(item)

    def _place(self, identity: str) -> int:
        for place in range(len(self.items) - 1, -1, -1):
            if self.items[place].id == identity:
                return place
        raise ConfigurationError("this message is not shown any more: reload the panel")

    def _new_id(self) -> str:
        self._count += 1
        return f"i{self._count}"


#: By the identity of the agent, which the room keeps alive.
_rooms: weakref.WeakValueDictionary[int, Room] = weakref.WeakValueDictionary()


def room_of(agent: Agent, family: list[Agent] | None = None) -> Room:
    """The agent's room: the one that is open, or a new one."""
    room = _rooms.get(id(agent))
    if room is None:
        room = _rooms[id(agent)] = Room(agent, family)
        followers.add(room)
    return room


class Follower(Protocol):
    """What shows something that a cell may have changed."""

    def catch_up(self) -> object:
        """Show what has changed. On the I/O thread."""
        ...

    def interrupt(self) -> object:
        """End what a person asked of it. On the I/O thread."""
        ...


#: Brought up to date after each cell.
followers: weakref.WeakSet[Follower] = weakref.WeakSet()
_followed: weakref.WeakSet[Any] = weakref.WeakSet()


def follow_cells() -> None:
    """From now on a cell that has run brings the open panels up to date, and the idle kernel's interrupt stops them; nothing where there are no cells."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None and shell not in _followed:
        _followed.add(shell)
        shell.events.register("post_run_cell", _after_cell)
        _stop_with_kernel(shell)


def _after_cell(result: object = None) -> None:
    for follower in list(followers):
        portal().loop.call_soon_threadsafe(follower.catch_up)


def _stop_with_kernel(shell: Any) -> None:
    """Let an interrupt of the idle kernel end the answers of panels; one that comes while a cell runs ends the cell.

    An ipykernel puts this handler back after each cell. It documents none, so that there is nothing but this to hold on to.
    """
    kernel = getattr(shell, "kernel", None)
    if kernel is not None and hasattr(kernel, "saved_sigint_handler"):
        kernel.saved_sigint_handler = _interrupted


def _interrupted(number: int, frame: object) -> None:
    for follower in list(followers):
        portal().loop.call_soon_threadsafe(follower.interrupt)
