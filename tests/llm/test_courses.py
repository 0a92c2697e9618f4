"""Courses put together, pumped by hand: what passes through, what is held back, and how they end."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from gathering.core.errors import OverloadedError
from gathering.core.events import Done, TextDelta
from gathering.core.messages import Completion
from gathering.llm.courses import amended, continued
from gathering.llm.exchange import NEXT, Course


class Script:
    """A course that asks for bytes, says a text, and notes what it was sent and whether it was closed."""

    def __init__(self, text: str) -> None:
        self.text, self.sent, self.closed = text, [], False  # type: ignore[var-annotated]

    def run(self) -> Generator[Any, Any, None]:
        try:
            self.sent.append((yield NEXT))
            yield [TextDelta(self.text), Done(Completion(self.text))]
        finally:
            self.closed = True


def pumped(course: Course) -> list[Any]:
    """Everything the course gives; its commands are answered with bytes."""
    given, item = [], None
    try:
        item = course.send(None)
        while True:
            given.append(item)
            item = course.send(b"bytes" if item is NEXT else None)
    except StopIteration:
        return given


def test_a_completion_is_changed_and_all_else_passes() -> None:
    """Commands and their results, and the events before the end."""
    script = Script("Hi")
    given = pumped(amended(script.run(), lambda c: replace(c, output_mode="native")))
    assert given == [NEXT, [TextDelta("Hi")], [Done(Completion("Hi", output_mode="native"))]]
    assert (script.sent, script.closed) == ([b"bytes"], True)


def test_courses_follow_each_other_until_the_answer_is_whole() -> None:
    """Their events come one after the other, and one end."""
    after = [Script("b").run(), Script("c").run()]

    def joined(before: Completion, then: Completion) -> Completion:
        return Completion(before.content + then.content)

    given = pumped(continued(Script("a").run(), lambda _: after.pop(0) if after else None, joined))
    texts = [TextDelta("a")], [TextDelta("b")], [TextDelta("c")]
    assert [item for item in given if item is not NEXT] == [*texts, [Done(Completion("abc"))]]
    endless = continued(Script("a").run(), lambda _: Script("b").run(), joined, most=3)
    assert pumped(endless)[-1] == [Done(Completion("abbb"))]


def test_whatever_ends_the_whole_ends_the_part() -> None:
    """A caller that stops, and an error of the part, which stays the same error."""
    script = Script("Hi")
    course = amended(script.run(), lambda c: c)
    next(course)
    course.close()
    assert script.closed

    def failing() -> Generator[Any, Any, None]:
        yield NEXT
        raise OverloadedError("busy")

    with pytest.raises(OverloadedError, match="busy"):
        pumped(amended(failing(), lambda c: c))
