"""Running a comparison: many turns at once on an event loop, each by a fork, so that no case sees another.

Owns concurrency, failures and Stop. From a sync cell the turns run on the I/O thread and what they gave is written
down, scored and shown on the caller's; awaited, all of it runs on the caller's loop.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gathering.agents import Agent
from gathering.compare.plan import CasesLike, Plan, Trial, make_cases
from gathering.compare.result import FIGURES, OWN, Comparison, Outcome
from gathering.compare.scoring import ScorerLike, make_scorers
from gathering.compare.subjects import SubjectsLike, labelled
from gathering.core.budget import Budget, Purse
from gathering.core.errors import (
    BudgetExceededError,
    ConfigurationError,
    LiveCallError,
    StoreError,
    TapeError,
)
from gathering.core.interfaces import IRecorder
from gathering.core.messages import Reply
from gathering.core.portal import WAKING, Job, beat, portal, wait_for
from gathering.storage.cache import number_wanted

__all__ = ["Progress", "compare", "compare_async", "last"]

#: Called with how many answers are there and how many there are to be.
Progress: TypeAlias = Callable[[int, int], None]
_Hear: TypeAlias = Callable[[Outcome], None]

#: Failures that are not the case's: every other call would meet them, and some must not be shown as a result.
_ENDS_THE_RUN = (TapeError, LiveCallError, StoreError)

_last: Comparison | None = None


def last() -> Comparison | None:
    """The comparison that runs, or ran last: also one that was stopped, with what had been answered."""
    return _last


def compare(
    cases: CasesLike,
    models: SubjectsLike = (),
    *,
    agents: Iterable[Agent] = (),
    prompt: str | None = None,
    repeats: int = 1,
    scorers: Iterable[ScorerLike] | Mapping[str, ScorerLike] | ScorerLike = (),
    concurrency: int = 16,
    params: Mapping[str, Any] | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
    store: IRecorder | None = None,
    resume: Comparison | None = None,
    panel: bool = False,
) -> Comparison:
    """What the models answer to the cases, side by side.

    ``cases`` is a text, a list of texts or dicts, or a DataFrame; ``prompt`` is filled from each, as in
    ``"Classify: {{ text }}"``. ``models`` are ``"provider:model"``, providers or agents, or a dict
    of them by labels of your own; each case is put to an agent as it is now. ``scorers`` are functions of ``(text)`` or ``(reply, case)``. ``concurrency`` calls run at
    once, with these ``params``. ``budget`` is the most it may cost, in US dollars. ``progress(done, total)`` is called
    on this thread. ``resume`` is an earlier comparison: what it has an answer to is not asked again, so a run that was
    stopped goes on, and one more case, model or repeat costs only what is new. ``panel`` opens a grid in the cell
    (``result.panel()``) in which all answers stream at once.

    An answer that fails is a row that says why, also one that a budget has no room for. Stop raises ``KeyboardInterrupt`` at once; what had been answered
    is in ``gathering.compare.last()``. Raises ``ConfigurationError`` for what cannot be asked at all, before
    anything is sent, and what a tape or the trace forbids.

    >>> from gathering.testing import ScriptedProvider
    >>> result = compare(["Say hi."], [ScriptedProvider(["Hi!"], "a"), ScriptedProvider(["Hello!"], "b")])
    >>> [row["output"] for row in result.rows]
    ['Hi!', 'Hello!']
    """
    run = _prepared(
        cases,
        models,
        agents=agents,
        prompt=prompt,
        repeats=repeats,
        scorers=scorers,
        concurrency=concurrency,
        params=params,
        budget=budget,
        progress=progress,
        store=store,
        resume=resume,
        panel=panel,
    )
    try:
        run.tell()
        _beside(run)
    finally:
        run.end()
    return run.comparison


@functools.wraps(compare, assigned=(), updated=())
async def compare_async(cases: CasesLike, models: SubjectsLike = (), **options: Any) -> Comparison:
    """The same as ``compare``, awaited: everything runs on the running loop, ``progress`` and scorers too."""
    run = _prepared(cases, models, **options)
    try:
        run.tell()
        await run.ask_all(run.hear)
    except BaseException:
        run.end()
        raise
    await asyncio.to_thread(run.end)
    return run.comparison


@dataclass(slots=True)
class _Run:
    """One comparison while it runs."""

    comparison: Comparison
    subjects: Mapping[str, Agent]
    concurrency: int
    params: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress | None = None
    purse: Purse = Purse(patient=True)  # noqa: RUF009 - a frozen value
    refused: list[BudgetExceededError] = field(default_factory=list)
    #: Shows the answers while they come: ``gathering.notebook.grid_panel``.
    grid: Any = None

    async def ask_all(self, hear: _Hear) -> None:
        """Put every trial to its subject, so many at once; ``hear`` gets each outcome as it comes."""
        places = asyncio.Semaphore(self.concurrency)  # over all queues together

        async def work(waiting: Iterator[Trial]) -> None:
            for trial in waiting:
                async with places:
                    await self._ask(trial, hear)

        tasks = [
            asyncio.ensure_future(work(waiting)) for waiting, width in self._queues() for _ in range(width)
        ]
        try:
            with beat():
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _queues(self) -> Iterator[tuple[Iterator[Trial], int]]:
        """The trials, in queues, and how many of each queue run at once.

        A model that answers one at a time has a queue of its own: its latency is then that of the answer and not
        of the wait, and nobody else waits behind it.
        """
        queues: dict[str, list[Trial]] = {}
        for trial in self.comparison.open_trials():
            provider = self.subjects[trial.subject].llm_provider
            queues.setdefault(provider.name if provider.one_at_a_time else "", []).append(trial)
        for name, trials in queues.items():
            yield iter(trials), 1 if name else min(self.concurrency, len(trials))

    async def _ask(self, trial: Trial, hear: _Hear) -> None:
        agent = self.subjects[trial.subject].fork()
        agent.purse = self.purse
        outcome = functools.partial(Outcome, trial, agent.trace.store, agent.conversation)
        try:
            reply = await self._reply(agent, trial)
        except _ENDS_THE_RUN as error:
            hear(outcome(error=error, status="error"))
            raise
        except BudgetExceededError as error:  # another model may be cheaper, or free
            self.refused.append(error)
            hear(outcome(error=error, status="error"))
        except Exception as error:  # noqa: BLE001 - whatever one answer fails with is its row, and stops no other
            hear(outcome(error=error, status="error"))
        except BaseException:
            hear(outcome(status="interrupted"))
            raise
        else:
            hear(outcome(reply=reply))

    async def _reply(self, agent: Agent, trial: Trial) -> Reply:
        params = self._params(agent, trial)
        if self.grid is None:
            return await agent.ask_async(trial.case.prompt, **params)
        self.grid.begin(trial)
        async with agent.stream(trial.case.prompt, **params) as stream:
            async for batch in stream.batches_async():
                self.grid.take(trial, batch)
        return stream.reply

    def _params(self, agent: Agent, trial: Trial) -> dict[str, Any]:
        """The params of one question; from a cache each repeat has an answer of its own."""
        wishes = (self.params.get("cache"), agent.params.get("cache"))
        return {**self.params, "cache": number_wanted(agent.llm_provider, trial.repeat, *wishes)}

    def hear(self, outcome: Outcome) -> None:
        """Write an outcome down and say how far it is."""
        self.settle(outcome)
        self.tell()

    def settle(self, outcome: Outcome) -> None:
        """Write an outcome down."""
        self.comparison.settle(outcome)
        if self.grid is not None:
            self.grid.settle(outcome)

    def end(self) -> None:
        """Close the comparison, with a note on what the budget had no room for."""
        if self.refused:
            self.comparison.notes.append(
                f"{len(self.refused)} of {self.comparison.total} answers were not asked for: {self.refused[0]}"
            )
        self.comparison.end()
        if self.grid is not None:
            self.grid.end()

    def tell(self) -> None:
        """Say how far it is."""
        if self.progress is not None:
            self.progress(self.comparison.done, self.comparison.total)


def _prepared(
    cases: CasesLike,
    models: SubjectsLike = (),
    *,
    agents: Iterable[Agent] = (),
    prompt: str | None = None,
    repeats: int = 1,
    scorers: Iterable[ScorerLike] | Mapping[str, ScorerLike] | ScorerLike = (),
    concurrency: int = 16,
    params: Mapping[str, Any] | None = None,
    budget: float | None = None,
    progress: Progress | None = None,
    store: IRecorder | None = None,
    resume: Comparison | None = None,
    panel: bool = False,
) -> _Run:
    global _last
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise ConfigurationError(
            f"concurrency = {concurrency!r} is not usable: give a whole number of 1 or more"
        )
    purse = Purse(() if budget is None else (Budget(budget),), patient=True)
    made = make_cases(cases, prompt)
    made_scorers = make_scorers(scorers, (*OWN, *FIGURES))
    subjects = labelled(models, agents, store)
    if resume is not None and not isinstance(resume, Comparison):
        raise ConfigurationError(
            f"resume = {resume!r:.60} is no comparison: give what compare() or last() gave"
        )
    _last = Comparison(Plan(made, tuple(subjects), repeats), made_scorers)
    if resume is not None:
        _last.take_over(resume)
    run = _Run(_last, subjects, concurrency, dict(params or {}), progress, purse)
    if panel:
        run.grid = _last.panel()
        run.grid.show()
    return run


def _beside(run: _Run) -> None:
    """Ask on the I/O thread; outcomes are written down here as they come. Whatever interrupts this, cancels it."""
    io = portal()
    if threading.current_thread() is io.thread:
        raise RuntimeError("the I/O thread cannot wait for itself: await compare_async instead")
    arrived: deque[Outcome] = deque()
    news, over = threading.Event(), threading.Event()

    def arrive(outcome: Outcome) -> None:
        arrived.append(outcome)
        news.set()

    async def whole() -> None:
        try:
            await run.ask_all(arrive)
        finally:
            over.set()
            news.set()

    job = Job(whole())
    try:
        future = io.submit(job.run())
        while not over.is_set():
            news.wait(WAKING)
            news.clear()
            _take(arrived, run.hear)
        _take(arrived, run.hear)
        wait_for(future)
    except BaseException as error:
        job.stop(io.loop)
        _take(arrived, run.settle)
        if isinstance(error, CancelledError):  # a tape gives a Stop again as it was there: a cancellation
            raise KeyboardInterrupt from None
        raise


def _take(arrived: deque[Outcome], hear: _Hear) -> None:
    # An outcome goes only when it has been written down: Stop may come between any two steps.
    while arrived:
        hear(arrived[0])
        arrived.popleft()
