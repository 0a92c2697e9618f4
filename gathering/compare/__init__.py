"""Comparing models and agents on the same cases. The doors of the room, and no code but one: it can be called.

``gathering.compare(...)`` is this module, because a room and its main door share the name; ``compare_async`` is
the awaited form, ``last()`` the comparison that ran last.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any

from gathering.compare.plan import Case, Plan, Trial
from gathering.compare.result import Comparison
from gathering.compare.run import compare, compare_async, last
from gathering.compare.scoring import Scorer

__all__ = ["Case", "Comparison", "Plan", "Scorer", "Trial", "compare", "compare_async", "last"]


class _Room(ModuleType):
    """A module that is called like its main function."""

    __signature__ = inspect.signature(compare)

    def __call__(self, *args: Any, **kwargs: Any) -> Comparison:
        return compare(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
