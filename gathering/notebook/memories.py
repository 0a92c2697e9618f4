"""What ``%gathering memory`` does with an agent's memory: show it, add to it, search it, take out of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gathering.agents import LongTermMemory
from gathering.core.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["remembered"]


def remembered(memory: Any, options: Mapping[str, Any]) -> pd.DataFrame:
    """The memory as a DataFrame, after ``remember`` and ``forget``; with ``search`` what fits, best first.

    Raises ``ConfigurationError`` for an option that takes a long-term memory where there is none.
    """
    import pandas as pd

    wanted = [name for name in ("remember", "search", "forget") if name in options]
    alone = [name for name in ("importance", "pin") if options.get(name) and "remember" not in options]
    if alone:
        raise ConfigurationError(
            f"--{alone[0]} goes with --remember TEXT: to change a fact, remember it again"
        )
    if wanted and not isinstance(memory, LongTermMemory):
        raise ConfigurationError(
            f"--{wanted[0]} takes a long-term memory: write memory: long_term in the cell of the agent"
        )
    if "remember" in options:
        importance = options.get("importance", 0.5)
        memory.remember(options["remember"], importance, pin=bool(options.get("pin")))
    if "forget" in options and not memory.forget(options["forget"]):
        near = memory.search(options["forget"], limit=1)
        advice = (
            f"did you mean {near[0].content!r:.80}?" if near else "%gathering memory NAME lists what there is"
        )
        raise ConfigurationError(
            f"nothing remembered has the id or the text {options['forget']!r:.80}: {advice}"
        )
    if "search" in options:
        rows = [
            (f.fact.memory_id, f.content, f.similarity, f.score, f.fact.importance, f.fact.pinned)
            for f in memory.search(options["search"])
        ]
        return pd.DataFrame(
            rows, columns=["memory_id", "content", "similarity", "score", "importance", "pinned"]
        )
    frame: pd.DataFrame = memory.df()
    return frame
