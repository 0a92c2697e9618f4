"""The comparison: one row for each answer, as a DataFrame and as a grid. Grows while it runs; asks nobody itself.

Figures of an answer come from the rows its calls have in the trace, added up over the calls of its turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from gathering.compare.grid import Shown, forms
from gathering.compare.plan import Plan, Trial
from gathering.compare.scoring import Scorer
from gathering.core.errors import StoreError
from gathering.core.interfaces import IRecorder
from gathering.core.messages import Reply
from gathering.core.registry import open_panel
from gathering.storage.columns import COLUMNS, Kind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FIGURES", "OWN", "Comparison", "Outcome", "Status"]

Status: TypeAlias = Literal["ok", "error", "interrupted"]

#: The columns of an answer before its figures.
OWN: Final = ("case", "prompt", "model", "repeat", "output")
#: The columns of calls; which model was asked stands before them.
FIGURES: Mapping[str, Kind] = {name: kind for name, kind in COLUMNS["calls"].items() if name != "model"}

_ADDED_UP = ("latency_ms", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "attempts")
_ROWS_AT_ONCE = 500  # databases bound how many values one question may hold


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one trial ended. ``store`` and ``conversation`` say where its rows are."""

    trial: Trial
    store: IRecorder
    conversation: str
    reply: Reply | None = None
    error: BaseException | None = None
    status: Status = "ok"


class Comparison:
    """What several models or agents answered to the same cases.

    ``rows`` are dicts in the order of the plan, ``notes`` say what could not be scored or read. An answer that
    is not there has the status ``error`` or ``interrupted`` and says why in ``error``.
    """

    def __init__(self, plan: Plan, scorers: Sequence[Scorer] = ()) -> None:
        self.plan = plan
        self.notes: list[str] = []
        self._scorers = tuple(scorers)
        names = (*FIGURES, *(s.name for s in scorers))
        self.rows: list[dict[str, Any]] = [
            {
                "case": trial.case.id,
                "prompt": trial.case.prompt,
                "model": trial.subject,
                "repeat": trial.repeat,
                "output": None,
                **dict.fromkeys(names),
            }
            for trial in plan.trials()
        ]
        self._outcomes: dict[int, Outcome] = {}
        self._answered: set[int] = set()

    @property
    def done(self) -> int:
        """How many trials are over: answered or failed."""
        return len(self._answered)

    @property
    def total(self) -> int:
        """How many answers there are to be."""
        return len(self.rows)

    @property
    def models(self) -> tuple[str, ...]:
        """Who is compared, by label."""
        return self.plan.subjects

    def df(self) -> pd.DataFrame:
        """One row for each answer: case, prompt, model, repeat, output, the columns of calls, then the scorers'."""
        from gathering.storage.frames import frame_of

        kinds: dict[str, Kind] = dict.fromkeys(OWN, "text")
        kinds |= {"case": _kind(row["case"] for row in self.rows), "repeat": "integer", **FIGURES}
        kinds |= {s.name: _kind(row[s.name] for row in self.rows) for s in self._scorers}
        return frame_of(kinds, self.rows)

    def panel(self, **options: Any) -> Any:
        """The grid as a panel of a notebook: sorted, filtered, paged, differences marked; ``height``, ``readonly``."""
        return open_panel("grid", self, **options)

    def open_trials(self) -> list[Trial]:
        """The trials that have no answer yet, in the order of the plan."""
        return [trial for trial in self.plan.trials() if trial.number not in self._answered]

    def take_over(self, earlier: Comparison) -> None:
        """Settle each trial that an earlier comparison has the answer to: same case and prompt, same label, same repeat."""
        answered = {_place(o.trial): o for o in earlier._outcomes.values() if o.status == "ok"}
        for trial in self.open_trials():
            if (outcome := answered.get(_place(trial))) is not None:
                self.settle(replace(outcome, trial=trial))

    def settle(self, outcome: Outcome) -> None:
        """Write down how a trial ended, and score it; doing so again changes nothing.

        Called on the thread of whoever waits for the comparison.
        """
        row = self.rows[outcome.trial.number]
        self._outcomes[outcome.trial.number] = outcome
        row["status"] = outcome.status
        if outcome.error is not None:
            row["error"] = _said(outcome.error)
            row["output"] = getattr(outcome.error, "partial", None) or None
        if outcome.reply is not None:
            row["output"] = outcome.reply.text
            row |= _figures_of(outcome.reply)
            self._score(row, outcome.reply, outcome.trial)
        if outcome.status != "interrupted":
            self._answered.add(outcome.trial.number)

    def end(self) -> None:
        """Mark what has no answer as interrupted, and fill in the figures from the trace. Never raises for the trace."""
        for row in self.rows:
            row["status"] = row["status"] or "interrupted"
        stores = {id(outcome.store): outcome.store for outcome in self._outcomes.values()}
        for identity, store in stores.items():
            try:
                self._fill_in(store, [o for o in self._outcomes.values() if id(o.store) == identity])
            except StoreError as error:
                self.notes.append(f"figures of the calls are missing: {error}")

    def _fill_in(self, store: IRecorder, outcomes: Sequence[Outcome]) -> None:
        numbers = {o.conversation: o.trial.number for o in outcomes}
        found: dict[str, list[dict[str, Any]]] = {}
        conversations = list(numbers)
        for start in range(0, len(conversations), _ROWS_AT_ONCE):
            for call in store.rows("calls", {"conversation": conversations[start : start + _ROWS_AT_ONCE]}):
                found.setdefault(call["conversation"], []).append(call)
        for conversation, calls in found.items():
            row = self.rows[numbers[conversation]]
            # How the turn ended is known here: its last call may have been fine when the turn was not.
            row |= _added_up(calls) | {
                "status": row["status"],
                "error": row["error"] or calls[-1].get("error"),
            }

    def _score(self, row: dict[str, Any], reply: Reply, trial: Trial) -> None:
        case = {**trial.case.values, "case": trial.case.id, "prompt": trial.case.prompt}
        for scorer in self._scorers:
            try:
                row[scorer.name] = scorer.score(reply, case)
            except Exception as error:  # noqa: BLE001 - a user's function may raise anything; the run is not lost for it
                where = f"case {trial.case.id!r}, {trial.subject}, repeat {trial.repeat}"
                self.notes.append(f"the scorer {scorer.name!r} gave nothing for {where}: {_said(error)}")

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def __repr__(self) -> str:
        """How large it is, and how far."""
        return f"Comparison({self._shown().title()})"

    def __str__(self) -> str:
        """The grid as plain text."""
        return forms(self._shown())["text/plain"]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return forms(self._shown())

    def _shown(self) -> Shown:
        return Shown(self.plan, self.rows, [s.name for s in self._scorers], self.notes)


def _place(trial: Trial) -> tuple[Any, ...]:
    return trial.case.id, trial.case.prompt, trial.subject, trial.repeat


def _figures_of(reply: Reply) -> dict[str, Any]:
    """What a reply knows of itself, shown until the trace is read."""
    return {
        "turn_id": reply.turn_id,
        "agent": reply.agent,
        "latency_ms": None if reply.latency is None else reply.latency * 1000,
        "ttft_ms": None if reply.ttft is None else reply.ttft * 1000,
        "cost_usd": reply.cost,
        "finish_reason": reply.finish_reason,
        **reply.usage.to_dict(),
    }


def _added_up(calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One turn's calls as one row: ids and the end of the last, the start of the first, figures of all."""
    figures = {name: calls[-1].get(name) for name in FIGURES}
    figures |= {name: calls[0].get(name) for name in ("started_at", "ttft_ms")}
    for name in _ADDED_UP:
        known = [call[name] for call in calls if call.get(name) is not None]
        figures[name] = sum(known) if known else None
    costs = [call.get("cost_usd") for call in calls]
    figures["cost_usd"] = None if None in costs else sum(cost for cost in costs if cost is not None)
    sources = {call.get("source") for call in calls}
    figures["source"] = "live" if "live" in sources else calls[-1].get("source")
    return figures


def _kind(values: Iterable[Any]) -> Kind:
    types = {type(value) for value in values if value is not None}
    if types <= {bool}:
        return "flag" if types else "real"
    if types <= {int}:
        return "integer"
    if types <= {int, float, bool}:
        return "real"
    return "text" if types <= {str} else "json"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
