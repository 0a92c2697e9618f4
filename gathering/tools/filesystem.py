"""Files below one folder: the tool, its acts, and how they read to a model.

How the folder is kept to is ``gathering.tools.filesystem_root``; what a path may be written like is
``gathering.tools.filesystem_rules``. Nothing here opens a file.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

from gathering.core.errors import ConfigurationError, ToolFailed, nearest, shown
from gathering.core.interfaces import ITool
from gathering.core.results import Reach, ToolPermission, ToolResult, Touched
from gathering.tools.checks import (
    above_zero,
    arguments_of,
    options_of,
    outcome_of,
    permissions_of,
    text_or_form,
)
from gathering.tools.filesystem_root import open_root
from gathering.tools.filesystem_rules import Entry, Rules, names_in

__all__ = ["FileSystemTool"]

_ACTS = {
    "read": ToolPermission.READ,
    "list": ToolPermission.READ,
    "search": ToolPermission.READ,
    "info": ToolPermission.READ,
    "write": ToolPermission.WRITE,
    "delete": ToolPermission.DELETE,
}
_ARGUMENTS = ("action", "path", "content")
_OPTIONS = (
    "base_path",
    "permissions",
    "allow_hidden",
    "allow_hard_links",
    "max_bytes",
    "max_written",
    "max_entries",
    "timeout",
)
_EXAMPLES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("What does notes.txt say?", {"action": "read", "path": "notes.txt"}),
    ("Which files are there?", {"action": "list", "path": "."}),
    ("Where is the word budget used?", {"action": "search", "path": ".", "content": "budget"}),
    ("Find all CSV files.", {"action": "search", "path": "*.csv"}),
    ("Save 'hello' in greeting.txt.", {"action": "write", "path": "greeting.txt", "content": "hello"}),
    ("Remove old.txt.", {"action": "delete", "path": "old.txt"}),
)
_SMALLEST_WRITE = 1024  # bytes booked for a file however short: names fill a disk as well
_LONGEST_LINE = 200
_LONGEST_PATTERN = 4096
_BINARY_SHARE = 0.1  # a text has fewer unreadable characters


class FileSystemTool(ITool):
    """Reads, writes, lists, searches and deletes files below one folder.

    ``permissions`` says which acts there are; sizes are bytes, ``timeout`` is the seconds a search may take,
    ``max_written`` is what one tool may write in its life. Raises ``ConfigurationError`` for no usable folder.
    """

    def __init__(
        self,
        base_path: str | os.PathLike[str],
        permissions: Sequence[ToolPermission | str] | str = (ToolPermission.READ,),
        *,
        name: str = "filesystem",
        allow_hidden: bool = False,
        allow_hard_links: bool = False,
        max_bytes: int = 1_000_000,
        max_written: int = 100_000_000,
        max_entries: int = 1000,
        timeout: float = 10.0,
    ) -> None:
        self.base_path = _usable_folder(name, base_path)
        super().__init__(
            name,
            "filesystem",
            {"base_path": str(self.base_path), "permissions": permissions_of(name, permissions)},
        )
        self.max_bytes = int(above_zero(name, "max_bytes", max_bytes))
        self.max_written = above_zero(name, "max_written", max_written)
        self.max_entries = int(above_zero(name, "max_entries", max_entries))
        self.timeout = above_zero(name, "timeout", timeout)
        self.written = 0
        self._hidden = bool(allow_hidden)
        self._root = open_root(self.base_path, Rules(self._hidden, bool(allow_hard_links), self.max_bytes))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The tool of ``{"base_path": ..., "permissions": [...]}`` and the other options of the class."""
        options = options_of("filesystem", config, _OPTIONS)
        if "base_path" not in options:
            raise ConfigurationError("the tool 'filesystem' needs a base_path: name the folder it may use")
        return cls(**options)

    def execute(self, input_data: Any) -> ToolResult:
        """Do ``{"action": ..., "path": ..., "content": ...}``; what is refused is a failed result.

        ``read`` gives the text, ``list`` names (folders end in ``/``), ``search`` lines ``path`` or
        ``path:line: text``, ``info`` a dict, ``write`` and ``delete`` a sentence.
        """
        return outcome_of(lambda: self._done(input_data))

    def why_invalid(self, input_data: Any) -> str | None:
        """Which argument is wrong; None if there is an act to do, whether it will be allowed or not."""
        try:
            self._checked(input_data)
        except ToolFailed as refusal:
            return str(refusal)
        return None

    def validate_input(self, input_data: Any) -> bool:
        """Whether the input names an act and what it needs."""
        return self.why_invalid(input_data) is None

    def is_available(self) -> bool:
        """Whether the folder is still there."""
        return self.base_path.is_dir()

    def permission_for(self, arguments: Mapping[str, Any]) -> ToolPermission:
        """What the act in the arguments does; an act there is not is as grave as can be."""
        action = arguments.get("action")
        return _ACTS.get(action, ToolPermission.DELETE) if isinstance(action, str) else ToolPermission.DELETE

    def targets(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """The ``action``, and the ``path`` as the tool understands it: of a folder what is in it, of a search all below."""
        action, path = text_or_form(arguments.get("action")), arguments.get("path")
        path = path if isinstance(path, str) else ""
        with contextlib.suppress(
            ToolFailed
        ):  # a path that is no good is refused by the tool, as it is written
            path = self._touched(action, path)
        return {"action": action, "path": path}

    def _touched(self, action: str, path: str) -> str:
        if action == "search":
            folder, pattern = _split_pattern(path)
            names = names_in(folder, self._hidden)
            last = "*" if pattern is None or any(c in pattern for c in "/[") else pattern
            return Touched(path, [[Reach("/".join((*names, "**", last)))]])
        found = "/".join(names_in(path, self._hidden))
        if action == "list":
            return Touched(found or ".", [[found, f"{found}/*"] if found else [".", "*"]])
        return found or "."

    def get_description(self) -> str:
        """What it may do here, for the model."""
        acts = ", ".join(self._actions())
        return (
            f"Works with the files of one folder ({acts}). Paths are relative to it, with '/' between names; "
            "'.' is the folder itself. read gives a text file; search finds files by a pattern in 'path' "
            "(as '*.csv' or 'notes/*.md') and, with 'content', the lines that hold it."
        )

    def get_parameters_schema(self) -> dict[str, Any]:
        """The act, where, and what to write or to look for; only acts the tool has permission for."""
        return {
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": self._actions(), "description": "What to do"},
                "path": {
                    "type": "string",
                    "description": "File or folder, relative to the root; for search a folder or a pattern",
                },
                "content": {
                    "type": "string",
                    "description": "The whole new text for write; the words to look for in search",
                },
            },
            "required": ["action", "path"],
            "additionalProperties": False,
        }

    def get_examples(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """A question for each act the tool has permission for."""
        return [(q, dict(a)) for q, a in _EXAMPLES if a["action"] in self._actions()]

    def _actions(self) -> list[str]:
        return [action for action, permission in _ACTS.items() if self.has_permission(permission)]

    def _checked(self, input_data: Any) -> tuple[str, str, str | None]:
        given = arguments_of(self.name, input_data, _ARGUMENTS)
        action, path, content = (given[a] for a in _ARGUMENTS)
        if not isinstance(action, str) or action not in _ACTS:
            close = nearest(text_or_form(action), _ACTS)
            advice = f"did you mean {close[0]!r}?" if close else f"give one of {', '.join(_ACTS)}"
            raise ToolFailed(f"{self.name} has no action {shown(action, 40)}: {advice}")
        if path is None and action in ("list", "search", "info"):
            path = "."
        if not isinstance(path, str):
            raise ToolFailed(f"{self.name} needs a path as text to {action}, got {shown(path)}")
        if not (isinstance(content, str) or (content is None and action != "write")):
            raise ToolFailed(f"{self.name} needs the content as text to {action}, got {shown(content)}")
        return action, path, content

    def _done(self, input_data: Any) -> Any:
        action, path, content = self._checked(input_data)
        if not self.has_permission(_ACTS[action]):
            allowed = ", ".join(self._actions()) or "nothing"
            raise ToolFailed(
                f"{self.name} has no permission to {action} {shown(path, 120)}; it may {allowed}"
            )
        if action == "search":
            return self._search(path, content or None)
        names = names_in(path, self._hidden)
        match action:
            case "read":
                return _text(self._root.read(names), "/".join(names))
            case "write":
                return self._write(names, content or "")
            case "list":
                return self._list(names)
            case "delete":
                self._root.delete(names)
                return f"deleted {'/'.join(names)}"
        return self._root.info(names).to_dict("/".join(names))

    def _write(self, names: Sequence[str], content: str) -> str:
        path = "/".join(names)
        try:
            encoded = content.encode()
        except UnicodeEncodeError as err:
            raise ToolFailed(f"the content for {path!r} holds half a character: send valid text") from err
        if len(encoded) > self.max_bytes:
            raise ToolFailed(
                f"{path!r} would have {len(encoded):,} bytes; {self.max_bytes:,} are written at most (max_bytes)"
            )
        booked = max(len(encoded), _SMALLEST_WRITE)
        if self.written + booked > self.max_written:
            raise ToolFailed(
                f"{path!r} is not written: this tool may write {self.max_written:,} bytes in all (max_written)"
            )
        made = self._root.write(names, encoded)
        self.written += booked
        return f"{'wrote' if made else 'replaced'} {path} ({len(encoded):,} bytes)"

    def _list(self, names: Sequence[str]) -> ToolResult:
        entries, count = self._root.entries(names, self.max_entries)
        lines = [e.name + "/" if e.folder else e.name for e in entries]
        if count > len(lines):
            lines.append(f"... and {count - len(lines):,} more")
        return ToolResult(success=True, output=lines, metadata={"entries": count})

    def _search(self, path: str, content: str | None) -> ToolResult:
        folder, pattern = _split_pattern(path)
        start = names_in(folder, self._hidden)
        deadline = time.monotonic() + self.timeout
        lines: list[str] = []
        for names in self._walk(start, deadline):
            if names is None:
                lines.append(f"... stopped after {self.timeout:g} s: search a smaller folder")
                break
            if pattern is not None and not _fits(names[len(start) :], pattern):
                continue
            lines.extend(["/".join(names)] if content is None else self._lines(names, content))
            if len(lines) > self.max_entries:
                lines[self.max_entries :] = [f"... stopped after {self.max_entries:,} matches"]
                break
        cut = bool(lines) and lines[-1].startswith("... stopped")
        return ToolResult(success=True, output=lines, metadata={"complete": not cut})

    def _walk(self, start: Sequence[str], deadline: float) -> Iterator[tuple[str, ...] | None]:
        """The files below, folder by folder in order; None when the time is up."""
        waiting = deque([tuple(start)])
        first = True
        while waiting:
            folder = waiting.popleft()
            for entry in self._entries(folder, must_be_there=first):
                if time.monotonic() > deadline:
                    yield None
                    return
                if entry.folder:
                    waiting.append((*folder, entry.name))
                else:
                    yield (*folder, entry.name)
            first = False

    def _entries(self, folder: Sequence[str], must_be_there: bool) -> list[Entry]:
        try:
            return self._root.entries(folder, 10 * self.max_entries)[0]
        except ToolFailed:
            if must_be_there:
                raise
            return []  # it went, or was exchanged, while the search came by

    def _lines(self, names: Sequence[str], content: str) -> Iterator[str]:
        path, wanted = "/".join(names), content.casefold()
        try:
            text = _text(self._root.read(names), path)
        except ToolFailed:
            return  # a search passes over what cannot be read as text
        for number, line in enumerate(text.splitlines(), start=1):
            if wanted in line.casefold():
                yield f"{path}:{number}: {line.strip()[:_LONGEST_LINE]}"


def _usable_folder(name: str, base_path: Any) -> Path:
    if not isinstance(base_path, (str, os.PathLike)) or not str(base_path):
        raise ConfigurationError(f"the tool {name!r} has base_path={base_path!r}: name a folder")
    folder = Path(base_path).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigurationError(
            f"the tool {name!r} has base_path={str(base_path)!r}, which is no folder: make it first"
        )
    return folder


def _split_pattern(path: str) -> tuple[str, str | None]:
    """The folder to search and the pattern below it, None for all files: ``notes/*.md`` is (``notes``, ``*.md``)."""
    if path.startswith("/") or len(path) > _LONGEST_PATTERN:
        names_in(path)
    names = path.split("/")
    wild = next((i for i, n in enumerate(names) if any(c in n for c in "*?[")), None)
    if wild is None:
        return path, None
    return "/".join(names[:wild]), "/".join(names[wild:])


def _fits(names: Sequence[str], pattern: str) -> bool:
    """Whether a file below the folder is meant: a pattern for names counts at any depth."""
    if "/" in pattern.removeprefix("**/"):
        return fnmatchcase("/".join(names), pattern)
    return fnmatchcase(names[-1], pattern.removeprefix("**/"))


def _text(content: bytes, path: str) -> str:
    """The text in the bytes. Raises ``ToolFailed`` if they are none."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    text = content.decode("utf-8-sig", "replace")
    if b"\0" in content or text.count("\ufffd") > _BINARY_SHARE * len(text):
        raise ToolFailed(f"{path!r} is a binary file of {len(content):,} bytes, not text")
    return text
