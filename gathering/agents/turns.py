"""The turns an agent has taken, as a path in a tree that its forks share.

A turn is addressed by its content and by the turn before it, so that branches which said the same share the same node.
Owns the path and the views of it; what is sent to a model is the memory's business.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gathering.core import display
from gathering.core.errors import ConfigurationError
from gathering.core.messages import Message

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Turn", "Turns", "difference"]


@dataclass(frozen=True, eq=False)
class Turn:
    """One turn: what was said in it, by which model, and the turn before it."""

    turn_id: str
    model: str
    messages: tuple[Message, ...]
    before: Turn | None = None

    @property
    def node(self) -> str:
        """Its address: what was said in it and before it. Worked out when it is asked for, and kept."""
        open_turns: list[Turn] = []
        turn: Turn | None = self
        while turn is not None and "_node" not in turn.__dict__:
            open_turns.append(turn)
            turn = turn.before
        for turn in reversed(open_turns):  # not by recursion: a path may have thousands of turns
            turn.__dict__["_node"] = _node(turn.parent, turn.messages)
        found: str = self.__dict__["_node"]
        return found

    @property
    def parent(self) -> str:
        """The address of the turn before it; empty for the first."""
        return self.before.node if self.before is not None else ""

    @property
    def question(self) -> str:
        """What the person said."""
        return self.messages[0].content

    @property
    def answer(self) -> str:
        """What the agent said at the end; empty for a turn that was cut before it did."""
        said = (m.content for m in reversed(self.messages) if m.role == "assistant")
        return next(said, "")


class _Taken:
    """Every turn of an agent and its forks, which share it; those that said the same in one place are one node.

    Turns are sorted in when somebody looks: taking one costs nothing of it.
    """

    def __init__(self) -> None:
        self.new: deque[Turn] = deque()
        self._nodes: dict[str, Turn] = {}
        self._after: dict[str, list[Turn]] = {}
        self._lock = threading.Lock()

    def nodes(self) -> list[Turn]:
        """One turn for each node, oldest first."""
        self._sort_in()
        return list(self._nodes.values())

    def after(self, node: str) -> list[Turn]:
        """Those that come right after this node, oldest first."""
        self._sort_in()
        return list(self._after.get(node, ()))

    def _sort_in(self) -> None:
        with self._lock:
            while self.new:
                turn = self.new.popleft()
                if turn.node not in self._nodes:
                    self._nodes[turn.node] = turn
                    self._after.setdefault(turn.parent, []).append(turn)


class Turns:
    """An agent's turns in order: ``len``, ``turns[i]``, iteration, ``df()`` and the ``tree()`` of all its forks."""

    def __init__(self, path: Sequence[Turn] = (), taken: _Taken | None = None) -> None:
        self._path = list(path)
        self._taken = _Taken() if taken is None else taken

    def add(self, turn_id: str, model: str, messages: Sequence[Message]) -> Turn:
        """The turn, put at the end of the path."""
        turn = Turn(turn_id, model, tuple(messages), self._path[-1] if self._path else None)
        self._path.append(turn)
        self._taken.new.append(turn)
        return turn

    def until(self, at: int | str | None) -> Turns:
        """The path up to and with the turn of this number (1 is the first, 0 none, -1 the last) or id, in the same tree.

        Raises ``ConfigurationError`` for a turn there is not.
        """
        return Turns(self._path[: self._count(at)], self._taken)

    def versions(self, turn: Turn) -> list[Turn]:
        """The turns that were taken in the same place, on this path and its forks, oldest first; ``turn`` among them."""
        return self._taken.after(turn.parent)

    def messages(self) -> list[Message]:
        """Everything said on the path, in order."""
        return [message for turn in self._path for message in turn.messages]

    def _count(self, at: int | str | None) -> int:
        count = len(self._path)
        if at is None:
            return count
        if isinstance(at, str):
            found = next((i for i, turn in enumerate(self._path, 1) if turn.turn_id == at), None)
        else:
            found = at if at >= 0 else count + 1 + at
            found = found if not isinstance(at, bool) and 0 <= found <= count else None
        if found is None:
            raise ConfigurationError(
                f"there is no turn {at!r}: give a number from 0 to {count}, or the id of one of them"
            )
        return found

    def df(self) -> pd.DataFrame:
        """One row for each turn: ``turn, turn_id, node, parent, model, question, answer``."""
        import pandas as pd

        rows = [
            (i, t.turn_id, t.node, t.parent, t.model, t.question, t.answer)
            for i, t in enumerate(self._path, 1)
        ]
        columns = ["turn", "turn_id", "node", "parent", "model", "question", "answer"]
        return pd.DataFrame(rows, columns=columns)

    def tree(self) -> Tree:
        """All turns of this agent and its forks, as a tree; this agent's path is marked."""
        return Tree(self._taken.nodes(), {turn.node for turn in self._path})

    def __iter__(self) -> Iterator[Turn]:
        """The turns, oldest first."""
        return iter(self._path)

    def __len__(self) -> int:
        """How many turns there are."""
        return len(self._path)

    def __getitem__(self, index: int) -> Turn:
        """The turn at this place, 0 the first."""
        return self._path[index]

    def __repr__(self) -> str:
        """How many turns there are."""
        return f"Turns({len(self._path)})"


class Tree:
    """A tree of turns, to look at: ``df()`` and a drawing. Made when it is asked for; it does not follow later turns."""

    def __init__(self, turns: list[Turn], path: set[str]) -> None:
        self.turns, self.path = turns, path

    def df(self) -> pd.DataFrame:
        """One row for each turn: ``node, parent, depth, here, model, question, answer``; ``here`` marks this agent's path."""
        import pandas as pd

        rows = [
            (t.node, t.parent, d, t.node in self.path, t.model, t.question, t.answer) for t, d in self._walk()
        ]
        columns = ["node", "parent", "depth", "here", "model", "question", "answer"]
        return pd.DataFrame(rows, columns=columns)

    def _walk(self) -> list[tuple[Turn, int]]:
        """Each turn with its depth, children after their parent, in the order in which they were taken."""
        children: dict[str, list[Turn]] = {}
        for turn in self.turns:
            children.setdefault(turn.parent, []).append(turn)
        found: list[tuple[Turn, int]] = []
        waiting = [(turn, 0) for turn in reversed(children.get("", []))]
        while waiting:
            turn, depth = waiting.pop()
            found.append((turn, depth))
            waiting += [(child, depth + 1) for child in reversed(children.get(turn.node, []))]
        return found

    def __repr__(self) -> str:
        """One line a turn, indented where a branch begins."""
        lines = []
        indents: dict[str, int] = {"": 0}
        shared = [t.parent for t in self.turns]
        for turn, _ in self._walk():
            # A turn without a sibling stays in line with the one before it: only a branch is moved in.
            indent = indents[turn.parent] + (1 if shared.count(turn.parent) > 1 else 0)
            indents[turn.node] = indent
            mark = "*" if turn.node in self.path else " "
            lines.append(f"{mark} {'  ' * indent}{_short(turn.question)} -> {_short(turn.answer)}")
        return "\n".join(lines) or "no turns yet"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return display.bundle(repr(self), markdown=f"```text\n{self!r}\n```")


def difference(one: Turns, other: Turns) -> pd.DataFrame:
    """Two paths side by side, one row a turn: ``turn, same, question, answer, other_question, other_answer``.

    ``same`` is True as long as everything said up to that turn is equal; what one path does not have is missing.
    """
    import pandas as pd

    rows = []
    for i in range(max(len(one), len(other))):
        left, right = one[i] if i < len(one) else None, other[i] if i < len(other) else None
        rows.append(
            (
                i + 1,
                left is not None and right is not None and left.node == right.node,
                *((left.question, left.answer) if left else (None, None)),
                *((right.question, right.answer) if right else (None, None)),
            )
        )
    columns = ["turn", "same", "question", "answer", "other_question", "other_answer"]
    return pd.DataFrame(rows, columns=columns)


def _node(parent: str, messages: Sequence[Message]) -> str:
    """The address of a turn: a hash of what was said in it and of the turn before. Ids of tool calls do not count."""
    said = [_content(m) for m in messages]
    text = json.dumps([parent, said], ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _content(message: Message) -> list[Any]:
    calls = [(c.name, c.arguments, c.malformed) for c in message.tool_calls]
    return [message.role, message.content, calls, [image.label() for image in message.images]]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 50 else f"{line[:49]}…"
