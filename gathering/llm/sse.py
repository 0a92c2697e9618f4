"""Server-sent events out of bytes, however the network cuts them. Owns the framing, not what the events mean.

Bytes first, text later: lines end at LF, CRLF or a lone CR and nowhere else (models write U+2028 inside JSON
strings), and a character or a CRLF may be split between two reads. Each token of a stream passes through here, so
the common case, whole events of one ``data:`` line each, is cut in one split.
"""

from __future__ import annotations

__all__ = ["SSEReader", "ServerEvent"]

#: The event's name (empty if it has none) and its data.
ServerEvent = tuple[str, str]

_BOM = b"\xef\xbb\xbf"


class SSEReader:
    r"""Fed the bytes of each network read, gives the events they complete.

    >>> reader = SSEReader()
    >>> reader.feed(b'data: {"a"'), reader.feed(b': 1}\r\n\r\nda')
    ([], [('', '{"a": 1}')])
    >>> reader.feed(b"ta: the end\n"), reader.flush()
    ([], [('', 'the end')])
    """

    __slots__ = ("_begun", "_data", "_name", "_skip_lf", "_tail")

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # the pieces of a line that has not ended yet
        self._data: list[bytes] = []  # the data lines of an event that has not ended yet
        self._name = ""
        self._skip_lf = False  # the last read ended with CR: an LF that follows belongs to it
        self._begun = False

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that end within these bytes, in order."""
        if self._skip_lf and data:
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = data.rfind(b"\n") + 1
        if not end:
            if data:
                self._tail.append(data)
            return []
        lines = b"".join((*self._tail, data[:end])) if self._tail else data[:end]
        self._tail = [data[end:]] if end < len(data) else []
        if not self._begun:
            self._begun = True
            lines = lines.removeprefix(_BOM)
        return self._cut(lines)

    def flush(self) -> list[ServerEvent]:
        """The event the stream ended in without a blank line, if there is one."""
        lines = b"".join(self._tail)
        self._tail = []
        if not self._begun:
            lines = lines.removeprefix(_BOM)
        return self._cut(lines + b"\n\n")

    def _cut(self, lines: bytes) -> list[ServerEvent]:
        events: list[ServerEvent] = []
        if not self._data and not self._name:
            end = lines.rfind(b"\n\n") + 2
            if end > 1:
                for block in lines[: end - 2].split(b"\n\n"):
                    if block.startswith(b"data: ") and b"\n" not in block:
                        events.append(("", block[6:].decode("utf-8", "replace")))
                    else:
                        self._lines(block + b"\n\n", events)
                lines = lines[end:]
        if lines:
            self._lines(lines, events)
        return events

    def _lines(self, lines: bytes, events: list[ServerEvent]) -> None:
        """Take whole lines one by one; the general case."""
        for line in lines.split(b"\n")[:-1]:
            if not line:
                self._dispatch(events)
                continue
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                self._data.append(value)
            elif field == b"event":
                self._name = value.decode("utf-8", "replace")
            # Comments (an empty field), id and retry say nothing a caller needs.

    def _dispatch(self, events: list[ServerEvent]) -> None:
        data = b"\n".join(self._data)
        if data:
            events.append((self._name, data.decode("utf-8", "replace")))
        self._data, self._name = [], ""
