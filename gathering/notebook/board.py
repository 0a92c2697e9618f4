"""A panel that shows values and takes acts: the memory editor, the trace explorer, the comparison grid.

Owns what they share: values are read off the I/O thread and told to every view when they change, and an act is a named
function of a few values. What the values are is each panel's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from gathering.core.errors import ConfigurationError
from gathering.core.portal import portal
from gathering.notebook.channel import Channel, Request
from gathering.notebook.saved import Saved
from gathering.notebook.widget import Handler, Panel, checked_height, on_portal

__all__ = ["Act", "Board"]

Act: TypeAlias = Callable[[dict[str, Any]], None]


class Board(Panel):
    """A panel of values. ``height`` is in pixels; a ``readonly`` one takes no act that changes anything."""

    def __init__(self, title: str, *, height: int, readonly: bool) -> None:
        self.title, self.height, self.readonly = title, checked_height(height), readonly
        self._channel = Channel()
        self._values: dict[str, Any] = {}
        self._one = asyncio.Lock()
        super().__init__()
        self.saved = Saved(self._kept)
        self._values = self.read()
        on_portal(lambda: self._channel.sinks.append(self.deliver))

    # What a board says of itself

    def read(self) -> dict[str, Any]:
        """The values as they are now, by their names; plain JSON without keys. Never called on the I/O thread."""
        raise NotImplementedError

    def acts(self) -> dict[str, Act]:
        """What a person can do by its name. Each is called off the I/O thread, and the values are read anew after it."""
        raise NotImplementedError

    def harmless(self) -> set[str]:
        """The acts that only look."""
        return set()

    def transcript(self) -> dict[str, str]:
        """What stays in the notebook."""
        raise NotImplementedError

    # The same for all

    @property
    def channel(self) -> Channel:
        """Its own."""
        return self._channel

    def data(self) -> dict[str, Any]:
        """The values as they were read last."""
        return self._values

    def refresh(self) -> None:
        """Show what has changed since: of this kernel, and of others. Not for the I/O thread."""
        values = self.read()
        portal().loop.call_soon_threadsafe(self._tell, values)
        self.saved.refresh()

    def handlers(self) -> dict[str, Handler]:
        """Acts."""
        return {"act": self._act}

    async def _act(self, request: Request, buffers: list[bytes]) -> None:
        name = str(request.get("name", ""))
        act = self.acts().get(name)
        if act is None:
            raise ConfigurationError(f"this panel does not know {name!r}: reload the page")
        if self.readonly and name not in self.harmless():
            raise ConfigurationError("this panel is for reading: open another without readonly")
        value = request.get("value")
        async with self._one:  # two views may act at once, and what they act on is no more than one thread's
            await asyncio.to_thread(act, value if isinstance(value, dict) else {})
            self._tell(await asyncio.to_thread(self.read))
        if name not in self.harmless():
            await asyncio.to_thread(self.saved.refresh)

    def _kept(self) -> dict[str, str]:
        """The transcript in the element that the live view hides."""
        forms = self.transcript()
        page = forms.get("text/html")
        return forms if page is None else {**forms, "text/html": f'<section class="g-saved">{page}</section>'}

    def _tell(self, values: dict[str, Any]) -> None:
        changed = {name: value for name, value in values.items() if self._values.get(name) != value}
        self._values = values
        for name, value in changed.items():
            self.channel.post({"t": "data", "name": name, "value": value})
