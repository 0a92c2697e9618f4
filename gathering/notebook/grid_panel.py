"""The comparison grid: a column for each model, a row for each case, every answer streaming into its cell.

Owns which cells a view has: cases are filtered, sorted and paged here, so that a page of a thousand cases is as light
as one of ten. What is asked and what it gave is the comparison's.
"""

from __future__ import annotations

from typing import Any

from gathering.compare.plan import Trial
from gathering.compare.result import Comparison, Outcome
from gathering.core.errors import ConfigurationError
from gathering.core.messages import Usage
from gathering.core.portal import portal
from gathering.core.stream import Batch
from gathering.notebook.answer import Answer
from gathering.notebook.board import Act, Board
from gathering.notebook.items import Item, Part, Status, sendable
from gathering.notebook.screen import way_of

__all__ = ["GridPanel"]

#: Cases of one page.
ROWS = 10
#: What cases can be sorted by, and the column of an answer it stands for.
SORTS = {
    "case": "",
    "latency": "latency_ms",
    "tokens": "output_tokens",
    "cost": "cost_usd",
    "length": "output",
}
_STATUS: dict[Any, Status] = {"ok": "done", "error": "error", "interrupted": "stopped"}


class GridPanel(Board):
    """A comparison side by side, while it runs and after."""

    kind = "grid"

    def __init__(self, comparison: Comparison, *, height: int = 560, readonly: bool = False) -> None:
        if not isinstance(comparison, Comparison):
            raise ConfigurationError("a grid shows a comparison: give what compare() gave")
        self.comparison = comparison
        self._start, self._sort, self._down, self._filter = 0, "case", False, ""
        self._answers: dict[int, Answer] = {}
        self._wide = len(comparison.plan.subjects) * comparison.plan.repeats
        self._order = self._ordered()
        self._cells: list[Item] = self._made()
        super().__init__("Comparison", height=height, readonly=readonly)

    def show(self) -> None:
        """Display it. One that is still empty is only shown to somebody who watches it fill."""
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if self.comparison.done or (shell is not None and way_of(shell) == "live"):
            super().show()

    # While it runs: from any thread, in the order of what happens to one answer

    def begin(self, trial: Trial) -> None:
        """A question is put."""
        portal().loop.call_soon_threadsafe(self._begin, trial)

    def take(self, trial: Trial, batch: Batch) -> None:
        """A batch of events of its answer."""
        portal().loop.call_soon_threadsafe(self._take_batch, trial.number, batch)

    def settle(self, outcome: Outcome) -> None:
        """The answer is there, or will not come."""
        portal().loop.call_soon_threadsafe(self._settle, outcome)

    def end(self) -> None:
        """The comparison is over: figures from the trace are there."""
        portal().loop.call_soon_threadsafe(self._redraw)
        self.refresh()

    def _begin(self, trial: Trial) -> None:
        place = trial.number // self._wide
        if place not in self._shown():  # on another page: it is drawn when it is looked at
            return
        cell = self._cell(trial.number)
        cell.parts, cell.status, cell.error = [], "open", None
        self._answers[trial.number] = Answer(self.channel, cell)
        self._draw(cell)

    def _take_batch(self, number: int, batch: Batch) -> None:
        answer = self._answers.get(number)
        if answer is not None:
            answer.take(batch)

    def _settle(self, outcome: Outcome) -> None:
        number = outcome.trial.number
        answer = self._answers.pop(number, None)
        self._count()
        if answer is None:
            if number // self._wide in self._shown():
                self._draw(self._cell(number))
        elif outcome.reply is not None:
            answer.end(outcome.reply)
        else:
            answer.fail(outcome.error or KeyboardInterrupt())

    # What a board says of itself

    def read(self) -> dict[str, Any]:
        """``grid``: the columns, which cases of how many are shown, in which order."""
        plan = self.comparison.plan
        return {
            "grid": {
                "models": list(plan.subjects),
                "repeats": plan.repeats,
                "cases": [
                    {
                        "row": place,
                        "id": str(plan.cases[place].id),
                        "prompt": sendable(plan.cases[place].prompt),
                    }
                    for place in self._shown()
                ],
                "start": self._start,
                "size": ROWS,
                "count": len(self._order),
                "of": len(plan.cases),
                "sort": self._sort,
                "down": self._down,
                "filter": self._filter,
                "notes": [sendable(note) for note in self.comparison.notes],
            },
            "progress": {"done": self.comparison.done, "total": self.comparison.total},
        }

    def items(self, size: int, before: str | None = None) -> tuple[list[Item], bool]:
        """The cells of the page that have begun; there may be others, on other pages."""
        return self._cells, True

    def acts(self) -> dict[str, Act]:
        """Another page, order or filter."""
        return {"look": self._look}

    def harmless(self) -> set[str]:
        """All of them only look."""
        return {"look"}

    def transcript(self) -> dict[str, str]:
        """The comparison's own forms."""
        return dict(self.comparison._repr_mimebundle_())

    # Inside

    def _look(self, value: dict[str, Any]) -> None:
        sort = str(value.get("sort", self._sort))
        if sort not in SORTS:
            raise ConfigurationError(f"cases are sorted by {', '.join(SORTS)}")
        self._sort, self._down = sort, bool(value.get("down", self._down))
        self._filter = str(value.get("filter", self._filter))
        self._order = self._ordered()
        last = max(0, (len(self._order) - 1) // ROWS * ROWS)
        self._start = min(max(0, int(value.get("start", 0))) // ROWS * ROWS, last)
        portal().loop.call_soon_threadsafe(self._redraw)

    def _shown(self) -> list[int]:
        """The places of the cases on the page."""
        return self._order[self._start : self._start + ROWS]

    def _ordered(self) -> list[int]:
        """The places of the cases that fit the filter, in the order that is wanted."""
        rows, wide, wanted = self.comparison.rows, self._wide, self._filter.lower()
        cases = [
            (case.prompt, rows[i * wide : (i + 1) * wide])
            for i, case in enumerate(self.comparison.plan.cases)
        ]
        places = [
            i
            for i, (prompt, answers) in enumerate(cases)
            if wanted in prompt.lower() or any(wanted in str(row["output"] or "").lower() for row in answers)
        ]
        if column := SORTS[self._sort]:
            places.sort(key=lambda i: max((_figure(row[column]) for row in cases[i][1]), default=-1.0))
        return places[::-1] if self._down else places

    def _made(self) -> list[Item]:
        numbers = [place * self._wide + k for place in self._shown() for k in range(self._wide)]
        rows = self.comparison.rows
        return [self._cell(n) for n in numbers if n in self._answers or rows[n]["status"] is not None]

    def _cell(self, number: int) -> Item:
        if (running := self._answers.get(number)) is not None:
            return running.item
        row = self.comparison.rows[number]
        cell = Item(f"c{number}", "assistant", str(row["model"]), model=str(row["model"]))
        cell.cell = {"row": str(number // self._wide), "column": str(row["model"]), "repeat": row["repeat"]}
        if row["output"]:
            cell.parts = [Part.of_text("text", str(row["output"]))]
        cell.status = _STATUS.get(row["status"], "open")
        if row["status"] == "error":
            cell.error = {"message": sendable(str(row["error"] or "")), "next": ""}
        cell.usage = Usage(row["input_tokens"], row["output_tokens"])
        cell.cost, cell.ms, cell.ttft = row["cost_usd"], row["latency_ms"], row["ttft_ms"]
        return cell

    def _redraw(self) -> None:
        self.channel.flush()
        self._cells = self._made()
        self.channel.post({"t": "reset", "items": [cell.to_dict() for cell in self._cells], "more": True})

    def _draw(self, cell: Item) -> None:
        self._cells = [*(one for one in self._cells if one.id != cell.id), cell]
        self.channel.start(cell)

    def _count(self) -> None:
        progress = {"done": self.comparison.done, "total": self.comparison.total}
        self._tell({**self._values, "progress": progress})


def _figure(value: Any) -> float:
    if isinstance(value, str):
        return float(len(value))
    return -1.0 if value is None else float(value)
