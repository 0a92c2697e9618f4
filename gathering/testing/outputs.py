"""A cell's outputs as a reader sees them in the end: displays painted over, output cleared, or taken by a widget.

nbval compares every display as it was first shown and knows no update, no clearing and no ``ipywidgets.Output``. Here the
messages of a cell are put in order before nbval reads them. Owns that order, no comparison.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["OutputWidgets", "read_settled", "reply_error", "settled"]

Message = dict[str, Any]

_OUTPUTS = frozenset({"display_data", "execute_result", "stream", "error"})


def settled(messages: Iterable[Message]) -> list[Message]:
    """The messages of one cell without updates and clearings: what they did is done to the outputs before them.

    An update of a display that an earlier cell made is left out: that cell has been compared.
    """
    kept: list[Message] = []
    clear_next = False
    for message in messages:
        kind = message["msg_type"]
        if kind == "clear_output":
            clear_next = bool(message["content"].get("wait"))
            if not clear_next:
                kept = _without_outputs(kept)
            continue
        if kind == "update_display_data":
            kept = [_updated(one, message) for one in kept]
            continue
        if clear_next and kind in _OUTPUTS:
            kept, clear_next = _without_outputs(kept), False
        kept.append(message)
    return kept


class OutputWidgets:
    """The ``ipywidgets.Output`` of one kernel: what is shown inside one is the widget's, not the cell's."""

    def __init__(self) -> None:
        self._takes: dict[Any, Any] = {}  # by widget, the request whose output it takes now

    def without_taken(self, messages: Iterable[Message]) -> list[Message]:
        """The messages but for what a widget takes, in the order in which they came."""
        return [one for one in messages if not self._taken(one)]

    def _taken(self, message: Message) -> bool:
        content, kind = message["content"], message["msg_type"]
        state = (content.get("data") or {}).get("state") or {}
        if kind == "comm_open" and state.get("_model_name") == "OutputModel":
            self._takes[content["comm_id"]] = state.get("msg_id")
        elif kind == "comm_msg" and content.get("comm_id") in self._takes and "msg_id" in state:
            self._takes[content["comm_id"]] = state["msg_id"]
        asked = message["parent_header"].get("msg_id")
        return kind in (*_OUTPUTS, "clear_output") and bool(asked) and asked in self._takes.values()


def read_settled(kernel: Any) -> None:
    """Let nbval read the messages of this kernel settled, cell by cell. Doing so again changes nothing."""
    if not isinstance(kernel.get_message, _Settling):
        kernel.get_message = _Settling(kernel.get_message)


def reply_error(kernel: Any) -> str:
    """The error with which the kernel answered the last cell, empty if it had none.

    A wrong magic of IPython is one that leaves nothing but a line on stderr among the outputs.
    """
    reply = kernel.get_message.reply
    return f"{reply['ename']}: {reply['evalue']}" if reply.get("status") == "error" else ""


class _Settling:
    """Reads a cell to its end before it hands out the first of its messages."""

    def __init__(self, read: Callable[..., Message]) -> None:
        self.read = read
        self.ready: deque[Message] = deque()
        self.reply: dict[str, Any] = {}
        self._widgets = OutputWidgets()

    def __call__(self, stream: str, timeout: float | None = None) -> Message:
        if stream != "iopub":
            message = self.read(stream, timeout=timeout)
            self.reply = message["content"]
            return message
        if not self.ready:
            message = self.read(stream, timeout=timeout)
            if message["msg_type"] != "execute_input":
                return message
            self._read_cell(message, timeout)
        return self.ready.popleft()

    def _read_cell(self, first: Message, timeout: float | None) -> None:
        held = [first]
        cell = first["parent_header"].get("msg_id")
        try:
            while not _is_end(held[-1], cell):
                held.append(self.read("iopub", timeout=timeout))
        finally:  # a cell that takes too long: nbval hears so, then what there was
            self.ready.extend(settled(self._widgets.without_taken(held)))


def _is_end(message: Message, cell: Any) -> bool:
    idle: bool = message["msg_type"] == "status" and message["content"].get("execution_state") == "idle"
    return idle and bool(message["parent_header"].get("msg_id") == cell)


def _without_outputs(messages: list[Message]) -> list[Message]:
    return [one for one in messages if one["msg_type"] not in _OUTPUTS]


def _updated(message: Message, update: Message) -> Message:
    wanted = _display_id(update)
    if wanted is None or message["msg_type"] != "display_data" or _display_id(message) != wanted:
        return message
    new = {key: update["content"].get(key, {}) for key in ("data", "metadata")}
    return {**message, "content": {**message["content"], **new}}


def _display_id(message: Message) -> Any:
    return (message["content"].get("transient") or {}).get("display_id")
