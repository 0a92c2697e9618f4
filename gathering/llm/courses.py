"""Courses of a call put together: one whose completion is changed, and one that goes on where an answer was broken off.

Owns what is done around ``gathering.llm.exchange.course`` without knowing any dialect: it hands commands, results and
events on as they are, and holds only the end back. A generator without I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from gathering.core.events import Done
from gathering.core.messages import Completion
from gathering.core.stream import Batch
from gathering.llm.exchange import Command, Course

__all__ = ["amended", "continued"]


def amended(run: Course, change: Callable[[Completion], Completion]) -> Course:
    """The same course with another completion at its end."""
    completion = yield from _until_done(run)
    yield [Done(change(completion))]


def continued(
    run: Course,
    following: Callable[[Completion], Course | None],
    joined: Callable[[Completion, Completion], Completion],
    most: int = 8,
) -> Course:
    """A course and up to ``most`` that follow it, as one: ``following`` gives the next, None for a whole answer."""
    completion = yield from _until_done(run)
    for _ in range(most):
        onward = following(completion)
        if onward is None:
            break
        completion = joined(completion, (yield from _until_done(onward)))
    yield [Done(completion)]


def _until_done(run: Course) -> Generator[Command | Batch, Any, Completion]:
    """All of a course but ``Done``, whose completion is returned."""
    completion, result = Completion(), None
    try:
        while True:
            item = run.send(result)
            result = None
            if type(item) is list and item and type(item[-1]) is Done:
                completion, item = item[-1].completion, item[:-1]
                if not item:
                    continue
            result = yield item
    except StopIteration:
        return completion
    finally:
        run.close()
