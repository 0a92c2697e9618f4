"""The chat panel: what a person sees of an agent's room, and what they can do there.

Owns the panel's requests and its two outputs in the cell, the live view and the saved transcript below it. The
conversation itself is the room's (``gathering.notebook.room``).
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gathering.core.errors import ConfigurationError
from gathering.core.images import Image
from gathering.core.messages import Reply
from gathering.core.portal import portal
from gathering.notebook.channel import Channel, PanelInfo, Request, State
from gathering.notebook.items import Item
from gathering.notebook.room import Room, follow_cells, room_of
from gathering.notebook.saved import Saved, kept_bundle
from gathering.notebook.widget import Handler, Panel, checked_height, on_portal

if TYPE_CHECKING:
    from gathering.agents import Agent

__all__ = ["ChatPanel"]

#: Bytes of one file of text that is put into a message; larger ones belong to a tool.
LARGEST_TEXT = 256 * 1024


class ChatPanel(Panel):
    """A chat with an agent under the cell. ``height`` is in pixels; ``starters`` are messages offered while it is empty.

    ``models`` are names to choose from beside the agent's own. A ``readonly`` panel shows and takes nothing. Several panels on one agent
    show the same; what is asked in a cell appears as well. ``agent`` is the one it shows now: an edited message
    goes on with a fork, and the agent it was opened on keeps what it had.
    """

    kind = "chat"

    def __init__(
        self,
        agent: Agent,
        *,
        height: int = 420,
        readonly: bool = False,
        starters: Iterable[str] = (),
        models: Iterable[str] = (),
    ) -> None:
        if isinstance(starters, str) or isinstance(models, str):
            raise ConfigurationError("starters and models are lists: put the text into brackets")
        self.title, self.height, self.readonly = f"Chat with {agent.name}", checked_height(height), readonly
        self.starters, self.models = [str(text) for text in starters], [str(name) for name in models]
        self.room = on_portal(lambda: room_of(agent))
        super().__init__()
        self.saved = Saved(lambda: kept_bundle(agent.name, self.room.items))
        on_portal(self._join)
        follow_cells()

    @property
    def agent(self) -> Agent:
        """The agent it shows now."""
        return self.room.agent

    def ask(self, message: str, *, images: Iterable[Any] = (), **params: Any) -> Reply:
        """The agent's reply, as ``agent.ask``; question and answer appear in the panel while they come.

        Tools run on the caller's thread, and a tool call that needs a person's word is asked about in the cell.
        """
        shown = [Image.read(image) for image in images]
        room = self.room
        answer = on_portal(lambda: room.begin(message, shown))
        try:
            with room.agent.stream(message, images=shown, **params) as stream:
                for batch in stream.batches():
                    portal().loop.call_soon_threadsafe(answer.take, batch)
            reply = stream.reply
        except BaseException as error:
            cut = error
            on_portal(lambda: room.finish(cut))
            raise
        on_portal(lambda: room.finish(reply=reply))
        return reply

    def stop(self) -> None:
        """End the answer that is coming."""
        on_portal(self.room.stop)

    def export(self, path: Any) -> None:
        """Write the conversation to a file: ``.html``, ``.md``, ``.json`` or ``.ipynb`` by the path's end.

        Raises ``ConfigurationError`` for another one.
        """
        from gathering.notebook.exporting import export

        export(path, self.agent.name, on_portal(lambda: list(self.room.items)), {self.agent.name: self.agent})

    def close(self) -> None:
        """Take the panel out of the page; the agent stays."""
        on_portal(self._leave)
        super().close()

    # What the widget asks

    def handlers(self) -> dict[str, Handler]:
        """What a person can do."""
        return {
            "send": self._send,
            "stop": self._stop,
            "retry": self._retry,
            "edit": self._edit,
            "branch": self._branch,
            "model": self._model,
            "decide": self._decide,
        }

    @property
    def channel(self) -> Channel:
        """The room's."""
        return self.room.channel

    def info(self) -> PanelInfo:
        """What it is."""
        models = list(dict.fromkeys([self.agent.model, *self.models]))
        return {**super().info(), "starters": self.starters, "agent": self.agent.name, "models": models}

    def state(self) -> State:
        """The room's."""
        return self.room.state()

    def items(self, size: int, before: str | None = None) -> tuple[list[Item], bool]:
        """The room's."""
        return self.room.page(size, before)

    # Requests, on the I/O thread

    def _send(self, request: Request, buffers: list[bytes]) -> None:
        self._may_write()
        text, images = _with_files(str(request.get("text", "")), request.get("files") or [], buffers)
        self.room.send(text, images)

    def _stop(self, request: Request, buffers: list[bytes]) -> None:
        self._may_write()
        self.room.stop()

    def _retry(self, request: Request, buffers: list[bytes]) -> None:
        self._again(str(request.get("id", "")), None)

    def _edit(self, request: Request, buffers: list[bytes]) -> None:
        text = str(request.get("text", ""))
        if not text.strip():
            raise ConfigurationError("the message is empty: write something to send")
        self._again(str(request.get("id", "")), text)

    def _again(self, identity: str, text: str | None) -> None:
        self._may_write()
        room, before, images = self.room.fork_before(identity)
        self._show(room)
        pictures = [Image(image["media_type"], image["data"]) for image in images]
        room.send(before if text is None else text, pictures)

    def _branch(self, request: Request, buffers: list[bytes]) -> None:
        if self.room.busy:
            raise ConfigurationError("an answer is coming: press Stop first")
        self._show(self.room.branch(str(request.get("id", "")), int(request.get("index", -1))))
        self.saved.refresh()

    def _model(self, request: Request, buffers: list[bytes]) -> Coroutine[Any, Any, None]:
        self._may_write()
        return self.room.use_model(str(request.get("name", "")))

    def _decide(self, request: Request, buffers: list[bytes]) -> None:
        self._may_write()
        self.room.asking.decide(request)

    def _may_write(self) -> None:
        if self.readonly:
            raise ConfigurationError("this panel is for reading: open another with chat()")

    def _show(self, room: Room) -> None:
        """Show this room in place of the one before."""
        if room is not self.room:
            self._leave()
            self.room = room
            self._join()
        self.hello()

    def _join(self) -> None:
        self.room.channel.sinks.append(self.deliver)
        self.room.ended.append(self.saved.refresh)

    def _leave(self) -> None:
        if self.deliver in self.room.channel.sinks:
            self.room.channel.sinks.remove(self.deliver)
            self.room.ended.remove(self.saved.refresh)


def _with_files(
    text: str, files: Sequence[dict[str, str]], buffers: Sequence[bytes]
) -> tuple[str, list[Image]]:
    """The message with the texts that were dropped on it, and the images."""
    if len(files) != len(buffers):
        raise ConfigurationError("a file did not arrive whole: drop it again")
    images: list[Image] = []
    for file, data in zip(files, buffers, strict=True):
        name = str(file.get("name") or "file")
        if str(file.get("media_type", "")).startswith("image/"):
            images.append(_image(name, data))
        else:
            text += f"\n\n{_fenced(name, data)}"
    return text.strip(), images


def _image(name: str, data: bytes) -> Image:
    try:
        return Image.read(data)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name!r}: {error}") from None


def _fenced(name: str, data: bytes) -> str:
    if len(data) > LARGEST_TEXT:
        raise ConfigurationError(
            f"{name!r} has {len(data):,} bytes, a message takes {LARGEST_TEXT:,}: give the agent a filesystem tool"
        )
    try:
        inside = data.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{name!r} is neither an image nor text: drop something a model can read"
        ) from None
    fence = "`" * max(3, 1 + max((len(run) for run in inside.split() if set(run) == {"`"}), default=0))
    return f"{name}:\n{fence}\n{inside}\n{fence}"
