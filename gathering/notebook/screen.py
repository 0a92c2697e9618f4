"""Where a cell's output goes: the display publisher of the shell. Owns the ways of showing, not what is shown.

Three ways: ``live`` (a notebook somebody watches), ``text`` (a terminal) and ``final`` (a test runner, nbconvert,
anything nobody watches), where exactly one display is made. All of it on the caller's thread.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from gathering.core.masking import mask
from gathering.core.session import new_id, under_test

__all__ = ["Note", "Screen", "Way", "way_of"]

Way: TypeAlias = Literal["live", "text", "final"]

#: Everything that steers a terminal rather than being read.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def way_of(shell: Any) -> Way:
    """How this shell's output is best shown."""
    if under_test():
        return "final"
    kinds = {cls.__name__ for cls in type(shell).__mro__}
    if "TerminalInteractiveShell" in kinds:
        return "text"
    # nbconvert, nbclient, papermill and Voila take no input: nobody watches, and Voila ignores updates.
    watched = getattr(getattr(shell, "kernel", None), "_allow_stdin", True)
    return "live" if "ZMQInteractiveShell" in kinds and watched else "final"


class Screen:
    """The output of the cell that runs."""

    def __init__(self, shell: Any, way: Way | None = None) -> None:
        self.shell = shell
        self.way: Way = way or way_of(shell)

    def show(self, data: Mapping[str, str]) -> None:
        """One display for good."""
        self.shell.display_pub.publish(data=_sendable(data), metadata={})

    def open(self, data: Mapping[str, str]) -> str:
        """A display that can be painted over; its id, which is never saved."""
        identity = f"gathering-{new_id()}"
        self._publish(data, identity, update=False)
        return identity

    def paint(self, identity: str, data: Mapping[str, str]) -> None:
        """Paint over an open display."""
        self._publish(data, identity, update=True)

    def wipe(self, identity: str) -> None:
        """Leave nothing of an open display: without data a front end draws nothing, and nothing is saved."""
        self._publish({}, identity, update=True)

    def write(self, text: str) -> None:
        """Plain text, for a terminal; what would steer the terminal is left out."""
        sys.stdout.write(_CONTROL.sub("", mask(text)).encode("utf-8", "replace").decode())
        sys.stdout.flush()

    def _publish(self, data: Mapping[str, str], identity: str, *, update: bool) -> None:
        self.shell.display_pub.publish(
            data=_sendable(data), metadata={}, transient={"display_id": identity}, update=update
        )


def _sendable(data: Mapping[str, str]) -> dict[str, str]:
    """The data without keys, and without lone surrogates, which no message can carry."""
    return {kind: mask(text).encode("utf-8", "replace").decode() for kind, text in data.items()}


class Note:
    """Something to read that is not an object of its own: the status, a help text, the settings."""

    def __init__(self, data: Mapping[str, str]) -> None:
        self.data = dict(data)

    def __repr__(self) -> str:
        """The plain form."""
        return self.data["text/plain"]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return dict(self.data)
