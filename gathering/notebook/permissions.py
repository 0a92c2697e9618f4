"""What ``%gathering permissions`` shows: the rules of an agent and the ledger of what was decided. A view of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gathering.core.display import bundle

if TYPE_CHECKING:
    import pandas as pd

    from gathering.agents import Agent
    from gathering.storage import Trace

__all__ = ["Permissions"]

LEDGER = ["agent", "tool", "permission", "arguments", "decision", "decided_by", "success", "error"]


class Permissions:
    """``rules`` (``agent, effect, tool, permission, where, scope``) and ``ledger`` (one row for each tool call) as DataFrames."""

    def __init__(self, agents: list[Agent], trace: Trace) -> None:
        self.rules, self.ledger = _rules(agents), trace.tool_calls()[LEDGER]

    def df(self) -> pd.DataFrame:
        """The ledger."""
        return self.ledger

    def __repr__(self) -> str:
        """Both tables, as text."""
        rules = (
            self.rules.to_string(index=False)
            if len(self.rules)
            else "none: each tool does what it was made to do"
        )
        ledger = self.ledger.to_string(index=False) if len(self.ledger) else "no tool was called yet"
        return f"Rules\n{rules}\n\nLedger\n{ledger}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        tables = "".join(
            f"<p><b>{title}</b></p>{frame.to_html(index=False) if len(frame) else '<p>none</p>'}"
            for title, frame in (("Rules", self.rules), ("Ledger", self.ledger))
        )
        return bundle(repr(self), markdown=f"```text\n{self!r}\n```", html_form=tables)


def _rules(agents: list[Agent]) -> pd.DataFrame:
    import pandas as pd

    tables = []
    for agent in agents:
        frame = getattr(agent.permissions, "df", None)
        if frame is not None:
            table = frame()
            table.insert(0, "agent", agent.name)
            tables.append(table)
    columns = ["agent", "effect", "tool", "permission", "where", "scope"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
