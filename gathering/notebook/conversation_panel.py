"""The view of a conversation: who speaks, what is voted, and a person who has a say.

Owns the panel's log and its one run; who speaks when is the conversation's (``gathering.agents.conversation``). All of it on
the I/O thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from gathering.agents import Conversation
from gathering.agents.consensus import RULES, Agreement, Rule, rule_of
from gathering.agents.conversation import asked_async
from gathering.agents.floor import Speech
from gathering.core.errors import ConfigurationError
from gathering.core.interfaces import IAgent
from gathering.core.messages import ToolCall, Usage
from gathering.core.permissions import Decision, asked_by
from gathering.notebook.answer import Answer, failure
from gathering.notebook.asking import Asking
from gathering.notebook.channel import Channel, PanelInfo, Request, State
from gathering.notebook.items import Item, Part
from gathering.notebook.room import PAGE, follow_cells, followers
from gathering.notebook.saved import Saved, kept_bundle
from gathering.notebook.widget import Handler, Panel, checked_height, on_portal

__all__ = ["ConversationPanel"]


class ConversationPanel(Panel):
    """A conversation to watch and to take part in: the next turn, all of them, a vote, a word of one's own."""

    kind = "conversation"

    def __init__(self, conversation: Conversation, *, height: int = 480, readonly: bool = False) -> None:
        if not isinstance(conversation, Conversation):
            raise ConfigurationError("this panel shows a conversation: give a gathering.Conversation")
        self.conversation = conversation
        self.title, self.height, self.readonly = (
            f"Conversation of {self._names()}",
            checked_height(height),
            readonly,
        )
        self._channel, self._items = Channel(), list[Item]()
        self._count, self._speeches, self._votes, self._usage = 0, 0, 0, Usage()
        self._ended: str | None = None
        self._open: list[Answer] = []
        self._task: asyncio.Task[None] | None = None
        self._asking = Asking(self._decided)
        self._caught_up()
        super().__init__()
        self.saved = Saved(lambda: kept_bundle(self._names(), self._items, "Conversation of"))
        on_portal(lambda: self._channel.sinks.append(self.deliver))
        followers.add(self)
        follow_cells()

    def stop(self) -> None:
        """End the turn that is being taken; it is as if it had not been."""
        on_portal(self.interrupt)

    def export(self, path: Any) -> None:
        """Write the conversation to a file: ``.html``, ``.md``, ``.json`` or ``.ipynb`` by the path's end.

        Raises ``ConfigurationError`` for another one.
        """
        from gathering.notebook.exporting import export

        items = on_portal(lambda: list(self._items))
        export(path, self._names(), items, self.conversation.floor.agents, "Conversation of")

    # What the widget asks

    def handlers(self) -> dict[str, Handler]:
        """What a person can do."""
        return {"send": self._send, "stop": self._stop, "decide": self._decide, "act": self._act}

    @property
    def channel(self) -> Channel:
        """Its own."""
        return self._channel

    def info(self) -> PanelInfo:
        """What it is."""
        return {**super().info(), "agent": self._names()}

    def state(self) -> State:
        """How it stands."""
        usage = self._usage
        return {
            "phase": "answering" if self._task is not None else "idle",
            "model": "",
            "tokens": {"input": usage.input_tokens or 0, "output": usage.output_tokens or 0},
            "cost": self.conversation.cost,
            "turns": self.conversation.floor.turn,
            "branch": 0,
        }

    def items(self, size: int, before: str | None = None) -> tuple[list[Item], bool]:
        """Speeches, words from outside, and notes on votes and the end."""
        places = {item.id: place for place, item in enumerate(self._items)}
        end = len(self._items) if before is None else places.get(before, 0)
        start = max(0, end - size)
        return self._items[start:end], start > 0

    def data(self) -> dict[str, Any]:
        """Who takes part, by which rule, and the rules to vote by."""
        return {
            "talk": {
                "speakers": self.conversation.floor.names,
                "strategy": self.conversation.strategy.name,
                "max_turns": self.conversation.max_turns,
                "rules": list(RULES),
            }
        }

    def catch_up(self) -> None:
        """Show what was said elsewhere, in a cell for example."""
        if self._task is None and self._caught_up():
            self._tell_all()

    def interrupt(self) -> None:
        """End the turn that is being taken."""
        if self._task is not None:
            self._task.cancel()

    # Requests, on the I/O thread

    def _send(self, request: Request, buffers: list[bytes]) -> None:
        self._may_act()
        if buffers:
            raise ConfigurationError("a conversation takes words only: send the message without files")
        self.conversation.add_message({"content": str(request.get("text", "")), "name": "you"})
        self._caught_up(tell=True)
        self.tell_state()
        self._start(self._talk(1))

    def _act(self, request: Request, buffers: list[bytes]) -> None:
        self._may_act()
        match request.get("name"):
            case "next":
                self._start(self._talk(1))
            case "run":
                self._start(self._talk(self.conversation.max_turns))
            case "vote":
                self._start(self._vote(*_ballot(request.get("value"))))
            case other:
                raise ConfigurationError(f"this panel does not know {other!r}: reload the page")

    def _stop(self, request: Request, buffers: list[bytes]) -> None:
        self.interrupt()

    def _decide(self, request: Request, buffers: list[bytes]) -> None:
        self._asking.decide(request)

    def _may_act(self) -> None:
        if self.readonly:
            raise ConfigurationError("this panel is for reading: open another with panel()")
        if self._task is not None:
            raise ConfigurationError("somebody is speaking: wait, or press Stop first")

    # Talking

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._guarded(work))
        self.tell_state()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        before, self.conversation.voice = self.conversation.voice, self._voice
        try:
            with asked_by(self._asking.ask):
                await work
        except asyncio.CancelledError:
            self._note("Stopped. This turn can be taken again.")
        except Exception as error:  # noqa: BLE001 - nobody awaits this task: what ended it is said in its place
            said = failure(error)
            self._note(f"{said['message']} {said['next']}".strip())
        finally:
            self.conversation.voice, self._task = before, None
            self._open.clear()
            self.tell_state()
            self.saved.refresh()

    async def _talk(self, turns: int) -> None:
        for _ in range(turns):
            await self.conversation.process_turn_async()
            self._speeches = len(self.conversation.floor.speeches)  # each is shown: its voice was heard
            self.tell_state()
            if self._tell_end():
                break

    async def _vote(self, question: str, options: list[str], rule: Rule) -> None:
        await self.conversation.decide_async(question, options or None, rule)
        self._caught_up(tell=True)

    async def _voice(self, agent: IAgent, text: str) -> Any:
        """The agent's reply, shown while it comes."""
        item = self._new("assistant", str(getattr(agent, "name", "")))
        item.status = "open"
        answer = Answer(self.channel, item)
        self._open.append(answer)
        self._items.append(item)
        self.channel.start(item)
        try:
            reply = await self._heard(agent, text, answer)
        except BaseException as error:
            answer.fail(error)
            raise
        finally:
            self._open.remove(answer)
        return reply

    async def _heard(self, agent: IAgent, text: str, answer: Answer) -> Any:
        stream = getattr(agent, "stream", None)
        if stream is None:
            reply = await asked_async(agent, text)
            answer.item.parts = [Part("text")]
            self.channel.grow(answer.item, 0, str(getattr(reply, "text", reply)))
            answer.item.status = "done"
            self.channel.end(answer.item)
            return reply
        async with stream(text) as coming:
            async for batch in coming.batches_async():
                answer.take(batch)
        answer.end(coming.reply)
        self._usage += coming.reply.usage
        return coming.reply

    def _decided(self, call: ToolCall, decision: Decision) -> None:
        for answer in self._open:
            if answer.item.place_of(call) is not None:
                answer.decided(call, decision)

    # What is shown

    def tell_state(self) -> None:
        """Tell all views how it stands."""
        self.channel.post({"t": "state", "state": self.state()})

    def _tell_all(self) -> None:
        items, more = self.items(PAGE)
        self.channel.post({"t": "reset", "items": [item.to_dict() for item in items], "more": more})
        self.tell_state()
        self.saved.refresh()

    def _tell_end(self) -> bool:
        """Say why it is over, once; whether it is."""
        ended = self.conversation.ended
        if ended is not None and ended != self._ended:
            self._note(f"The conversation {ended}.")
        self._ended = ended
        return ended is not None

    def _caught_up(self, *, tell: bool = False) -> bool:
        """Take in what was said and voted since; whether there was anything."""
        known = len(self._items)
        speeches, agreements = self.conversation.floor.speeches, self.conversation.agreements
        self._items += [self._speech(speech) for speech in speeches[self._speeches :]]
        self._items += [self._agreement(agreement) for agreement in agreements[self._votes :]]
        self._speeches, self._votes = len(speeches), len(agreements)
        if tell:
            for item in self._items[known:]:
                self.channel.start(item)
        return len(self._items) > known

    def _speech(self, speech: Speech) -> Item:
        item = self._new("assistant" if speech.turn else "user", speech.speaker)
        item.parts = [Part.of_text("text", speech.content)]
        item.turn, item.cost = speech.turn_id, speech.cost
        return item

    def _agreement(self, agreement: Agreement) -> Item:
        votes = [
            f"- **{v.agent}**: {', '.join(v.choices) or 'abstains'}. {v.reason}" for v in agreement.votes
        ]
        head = f"**Vote: {agreement.question}** {agreement} ({agreement.rule}: {agreement.reason})"
        item = self._new("note", "")
        item.parts = [Part.of_text("text", "\n".join([head, "", *votes]))]
        return item

    def _note(self, text: str) -> None:
        item = self._new("note", "")
        item.parts = [Part.of_text("text", text)]
        self._items.append(item)
        self.channel.start(item)

    def _new(self, role: Any, speaker: str) -> Item:
        self._count += 1
        return Item(f"s{self._count}", role, speaker)

    def _names(self) -> str:
        return ", ".join(self.conversation.floor.names)


def _ballot(value: Any) -> tuple[str, list[str], Rule]:
    """What is to be decided, among what (nothing: their last words), and how."""
    wanted = value if isinstance(value, dict) else {}
    question = str(wanted.get("question", "")).strip()
    if not question:
        raise ConfigurationError("the question is empty: write what is to be decided")
    options = [text for option in wanted.get("options") or () if (text := str(option).strip())]
    return question, options, rule_of(str(wanted.get("rule") or "majority"))
