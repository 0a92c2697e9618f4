"""An answer while it comes: shown by block, not by token, and at the end as one transcript.

Text is painted into panes. Only the last pane is repainted, at most ten times a second and less often the longer
it is; once it holds enough, its finished blocks are left alone and a new pane begins. So the bytes on the wire
grow with the answer's length and not with its square. At the end the panes are wiped and the transcript is shown
once: what is saved is the same as under a test runner.
"""

from __future__ import annotations

import html
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from gathering.core.display import markdown_to_html
from gathering.core.events import Event
from gathering.core.messages import Reply
from gathering.notebook.screen import Screen
from gathering.notebook.transcript import Said, Thought, Transcript, Used, item_html, tool_line

if TYPE_CHECKING:
    from gathering.core.stream import Stream

__all__ = [
    "PANE",
    "FinalView",
    "LiveView",
    "SilentView",
    "TextView",
    "View",
    "finished_blocks",
    "show_stream",
    "view_on",
]

#: Characters from which on a pane's finished blocks are left alone.
PANE = 800
#: Seconds between two paintings of a pane that is not longer than that.
INTERVAL = 0.1

_FENCE = re.compile(r" {0,3}(```+|~~~+)")


class View(ABC):
    """What shows a turn: takes its batches, and its end."""

    def __init__(self, screen: Screen, agent: str) -> None:
        self.screen = screen
        self.transcript = Transcript(agent)

    def add(self, batch: Iterable[Event]) -> None:
        """Take a batch of events and show what there is to show."""
        self.transcript.add(batch)
        self.advance()

    @abstractmethod
    def advance(self) -> None:
        """Show what is new in the transcript."""

    @abstractmethod
    def end(self, transcript: Transcript, notice: str = "") -> None:
        """Show the turn for good."""


class FinalView(View):
    """One display at the end."""

    def advance(self) -> None:
        """Nothing: what is shown before the end would have to be taken back."""

    def end(self, transcript: Transcript, notice: str = "") -> None:
        """The transcript, once."""
        self.screen.show(transcript.bundle(notice))


class SilentView(View):
    """Nothing: the caller ended the line with ``;``."""

    def advance(self) -> None:
        """Nothing."""

    def end(self, transcript: Transcript, notice: str = "") -> None:
        """Nothing."""


class TextView(View):
    """Text as it comes, for a terminal."""

    def __init__(self, screen: Screen, agent: str) -> None:
        super().__init__(screen, agent)
        self._item, self._pieces, self._wrote = 0, 0, False

    def advance(self) -> None:
        """Write what is new; a tool call when it is done."""
        items = self.transcript.items
        while self._item < len(items):
            item = items[self._item]
            if isinstance(item, Used):
                if item.answer is None:
                    return
                self._line(tool_line(item))
            elif type(item) is Said:
                self._text("".join(item.pieces[self._pieces :]))
                self._pieces = len(item.pieces)
            if self._item == len(items) - 1 and not isinstance(item, Used):
                return
            self._item, self._pieces = self._item + 1, 0

    def _text(self, text: str) -> None:
        if text:
            self.screen.write(text)
            self._wrote = not text.endswith("\n")

    def _line(self, line: str) -> None:
        self.screen.write(f"{chr(10) if self._wrote else ''}{line}\n")
        self._wrote = False

    def end(self, transcript: Transcript, notice: str = "") -> None:
        """A line end, and the notice on a line of its own."""
        if notice:
            self._line(f"[{notice}]")
        elif self._wrote:
            self.screen.write("\n")


class LiveView(View):
    """Panes while the answer comes, the transcript at its end."""

    def __init__(self, screen: Screen, agent: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(screen, agent)
        self.clock = clock
        self._panes: list[str] = []
        self._item, self._pieces = 0, 0
        self._buffer, self._open, self._painted = "", False, 0.0

    def advance(self) -> None:
        """Paint what is new, if it is time to."""
        items = self.transcript.items
        while self._item < len(items):
            item = items[self._item]
            self._take(item)
            # Tools run side by side: while the first has no answer, one pane holds them all.
            busy = item.answer is None if isinstance(item, Used) else self._item == len(items) - 1
            if busy:
                self._paint_if_due(item)
                return
            self._paint(item)
            self._close()
            self._item, self._pieces = self._item + 1, 0

    def _take(self, item: Any) -> None:
        if isinstance(item, Said):
            self._buffer += "".join(item.pieces[self._pieces :])
            self._pieces = len(item.pieces)

    def _paint_if_due(self, item: Any) -> None:
        due = self._painted + INTERVAL * max(1.0, len(self._buffer) / PANE)
        if not self._open or (not isinstance(item, Used) and self.clock() >= due):
            self._paint(item)

    def _paint(self, item: Any) -> None:
        """Paint the item's open part; finished blocks of a long one get a pane of their own first."""
        if type(item) is Said and len(self._buffer) > PANE:
            cut = finished_blocks(self._buffer)
            if cut:
                finished, rest = self._buffer[:cut], self._buffer[cut:]
                self._buffer = finished
                self._put(item)
                self._close()
                self._buffer = rest
        if self._buffer.strip() or isinstance(item, Used):
            self._put(item)

    def _put(self, item: Any) -> None:
        data = self._pane(item)
        if self._open:
            self.screen.paint(self._panes[-1], data)
        else:
            self._panes.append(self.screen.open(data))
            self._open = True
        self._painted = self.clock()

    def _pane(self, item: Any) -> dict[str, str]:
        if isinstance(item, Used):
            running = [item] if item.answer is not None else self._running()
            plain, inside = "\n".join(map(tool_line, running)), "".join(map(item_html, running))
            return {"text/plain": plain, "text/html": inside}
        if isinstance(item, Thought):
            # Folded, and short while it grows: the whole of it is in the transcript.
            line = f"thinking ({len(self._buffer):,} characters)"
            return {
                "text/plain": line,
                "text/html": f"<details><summary>{html.escape(line)}</summary></details>",
            }
        return {"text/plain": self._buffer, "text/html": markdown_to_html(self._buffer)}

    def _running(self) -> list[Used]:
        return [item for item in self.transcript.items[self._item :] if isinstance(item, Used)]

    def _close(self) -> None:
        """Leave the last pane alone from now on."""
        self._open, self._buffer = False, ""

    def end(self, transcript: Transcript, notice: str = "") -> None:
        """The panes give way to the transcript."""
        for pane in self._panes:
            self.screen.wipe(pane)
        self._panes.clear()
        self.screen.show(transcript.bundle(notice))


def finished_blocks(text: str) -> int:
    r"""Where the last finished block of Markdown ends: after a blank line outside a code fence; 0 if nowhere.

    >>> finished_blocks("one\n\ntwo")
    5
    """
    fence, position, cut = "", 0, 0
    for line in text.splitlines(keepends=True):
        position += len(line)
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        elif not fence and line.endswith("\n") and not line.strip():
            cut = position
    return cut


def view_on(screen: Screen, agent: str) -> View:
    """The view that fits the screen."""
    kinds: dict[str, type[View]] = {"live": LiveView, "text": TextView, "final": FinalView}
    return kinds[screen.way](screen, agent)


def show_stream(stream: Stream, view: View) -> Reply:
    """Show a turn while it runs; its reply.

    Whatever cuts it, Stop included, closes the stream, shows what had arrived, and is raised again.
    """
    try:
        with stream:
            for batch in stream.batches():
                view.add(batch)
    except BaseException as error:
        if view.transcript.items:
            view.end(view.transcript, _cut_notice(error, view.transcript.said))
        raise
    reply = stream.reply
    view.end(Transcript.of(reply))
    return reply


def _cut_notice(error: BaseException, characters: int) -> str:
    how = "stopped" if isinstance(error, KeyboardInterrupt) else "broken off"
    return f"{how} after {characters:,} characters; the partial answer is kept"
