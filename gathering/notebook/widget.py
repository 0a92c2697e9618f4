"""The widget of every panel: a stub in the page, a comm, and requests that are answered on the I/O thread.

Owns the talk with views that is the same for all panels: hello, pages, assets, what was taken and what refused. What a
panel shows and what it can be asked is its own (``gathering.notebook.panel`` and its siblings).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar, cast
from weakref import WeakValueDictionary

import anywidget
import traitlets

from gathering.core.errors import ConfigurationError, GatheringError
from gathering.core.portal import portal
from gathering.notebook.answer import failure
from gathering.notebook.assets import asset, asset_version, modules_version, static_text
from gathering.notebook.awaited import Taker, answer_while_awaiting
from gathering.notebook.channel import VERSION, Channel, Outgoing, PanelInfo, PanelKind, Request, State
from gathering.notebook.items import Item
from gathering.notebook.room import PAGE
from gathering.notebook.saved import Saved

__all__ = ["Handler", "Panel", "PanelWidget", "checked_height", "on_portal"]

T = TypeVar("T")

Handler: TypeAlias = "Callable[[Request, list[bytes]], Coroutine[Any, Any, None] | None]"


#: Those that are open, by the id of their comm.
_widgets: WeakValueDictionary[str, PanelWidget] = WeakValueDictionary()


class PanelWidget(anywidget.AnyWidget):
    """The stub in the page; what it says and is told passes through the comm. All of it is the panel's."""

    _esm = static_text("stub.js")
    _css = static_text("stub.css")

    #: Which view the page draws.
    kind = traitlets.Unicode().tag(sync=True)
    #: Of the modules the page loads.
    version = traitlets.Unicode().tag(sync=True)

    def __init__(self, title: str, kind: str) -> None:
        self._title = title
        super().__init__(kind=kind, version=modules_version())
        _widgets[self.model_id] = self

    def __repr__(self) -> str:
        """What it is, without an address."""
        return self._title


class Panel:
    """What every panel is: a widget whose truth is in the kernel. ``widget`` can be put into layouts of ipywidgets.

    Requests come from any thread and are taken on the I/O thread.
    """

    kind: ClassVar[PanelKind]
    #: Set before the widget is made: what it is called, its height in pixels, and whether it takes nothing.
    title: str
    height: int
    readonly: bool
    #: What it leaves in the notebook.
    saved: Saved

    def __init__(self) -> None:
        self.widget = PanelWidget(f"{self.title} (its transcript is below)", self.kind)
        self._handlers: dict[str, Handler] = {
            "ready": self._hello_view,
            "resync": self._hello_view,
            "check": self._check,
            "page": self._page,
            "asset": self._asset,
            **self.handlers(),
        }
        self.widget.on_msg(self._received)
        _answer_in_cells()

    # What a panel says of itself

    def handlers(self) -> dict[str, Handler]:
        """The requests it takes beside those that all take."""
        return {}

    @property
    def channel(self) -> Channel:
        """What its views are told over."""
        raise NotImplementedError

    def info(self) -> PanelInfo:
        """What it is."""
        return {
            "kind": self.kind,
            "title": self.title,
            "height": self.height,
            "readonly": self.readonly,
            "starters": [],
            "agent": "",
            "models": [],
        }

    def state(self) -> State:
        """How it stands."""
        nothing = {"input": 0, "output": 0}
        return {"phase": "idle", "model": "", "tokens": nothing, "cost": None, "turns": 0, "branch": 0}

    def items(self, size: int, before: str | None = None) -> tuple[list[Item], bool]:
        """The last items, or those before one, and whether there are older ones."""
        return [], False

    def data(self) -> dict[str, Any]:
        """Values it shows beside items, by their names."""
        return {}

    # The same for all

    def _received(self, widget: Any, content: Any, buffers: Any) -> None:
        """Anything may be the caller's thread here, and it may be in the middle of a cell: only hand it on."""
        if isinstance(content, dict) and "t" in content:
            parts = [bytes(buffer) for buffer in buffers or ()]
            portal().loop.call_soon_threadsafe(self._take, cast("Request", content), parts)

    def _take(self, request: Request, buffers: list[bytes]) -> None:
        portal().loop.create_task(self._answer(request, buffers))

    async def _answer(self, request: Request, buffers: list[bytes]) -> None:
        view, number = str(request.get("view", "")), int(request.get("n") or 0)
        try:
            handler = self._handlers.get(str(request["t"]))
            if handler is None:
                raise GatheringError(f"the panel does not know {request['t']!r}: reload the page")
            later = handler(request, buffers)
            if later is not None:
                await later
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a request is told to who made it
            said = failure(error)
            self.deliver({"t": "refused", "view": view, "n": number, **cast("Outgoing", said)})
        else:
            self.deliver({"t": "ack", "view": view, "n": number})

    def deliver(self, message: Outgoing, buffers: Sequence[bytes] = ()) -> None:
        """Send to the views; a panel that was closed has none."""
        if self.widget.comm is not None:
            self.widget.send(message, list(buffers) or None)

    def hello(self, view: str | None = None) -> None:
        """Tell a view everything, or every view."""
        self.channel.flush()
        items, more = self.items(PAGE)
        message: Outgoing = {
            "t": "hello",
            "v": VERSION,
            "seq": self.channel.seq,
            "panel": self.info(),
            "items": [item.to_dict() for item in items],
            "more": more,
            "state": self.state(),
        }
        if view is not None:
            message["view"] = view
        self.deliver(message)
        for name, value in self.data().items():
            self.channel.post({"t": "data", "name": name, "value": value})

    def _hello_view(self, request: Request, buffers: list[bytes]) -> None:
        self.hello(request.get("view"))

    def _check(self, request: Request, buffers: list[bytes]) -> None:
        """Everything for a view that has missed something; for one that has not, the ack is enough."""
        self.channel.flush()
        if request.get("last") != self.channel.seq:
            self.hello(request.get("view"))

    def _page(self, request: Request, buffers: list[bytes]) -> None:
        before = request.get("before", "")
        items, more = self.items(PAGE, before)
        self.deliver(
            {
                "t": "page",
                "view": request.get("view", ""),
                "before": before,
                "items": [item.to_dict() for item in items],
                "more": more,
            }
        )

    def _asset(self, request: Request, buffers: list[bytes]) -> None:
        name = request.get("name", "")
        self.deliver(
            {"t": "asset", "view": request.get("view", ""), "name": name, "version": asset_version(name)},
            [asset(name)],
        )

    def show(self) -> None:
        """Display it in the cell that runs: the live view, and what stays in the notebook."""
        self.saved.show(self)

    def _ipython_display_(self) -> None:
        self.show()

    def close(self) -> None:
        """Take the panel out of the page."""
        self.widget.close()

    def view_bundle(self) -> dict[str, Any]:
        """What a front end draws the live view from."""
        made: Any = self.widget._repr_mimebundle_()
        return dict(made[0] if isinstance(made, tuple) else made)

    def __repr__(self) -> str:
        """What it is, without an address."""
        return f"{type(self).__name__}({self.info()['title']!r})"


def _answer_in_cells() -> None:
    """Requests are taken while a cell awaits, whichever kernel it is."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        answer_while_awaiting(shell, _taker_of)


def _taker_of(identity: str) -> Taker | None:
    widget = _widgets.get(identity)
    return None if widget is None or widget.comm is None else widget.comm.handle_msg


def on_portal(work: Callable[[], T]) -> T:
    """What the work gives, done on the I/O thread."""

    async def run() -> T:
        return work()

    return portal().run(run())


def checked_height(height: Any) -> int:
    """The height in pixels. Raises ``ConfigurationError`` for one that no panel can have."""
    if isinstance(height, bool) or not isinstance(height, int) or not 120 <= height <= 4000:
        raise ConfigurationError(f"height = {height!r} is not usable: give pixels from 120 to 4000")
    return height
