"""What the benchmarks measure with: processor time, functions side by side, the fake service, and the table.

Owns no load: what is run is ``run.py``'s and ``peers.py``'s.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Row", "cpu", "process_cpu", "service", "show", "side_by_side"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``bound`` is None where the figure is there to explain another."""

    name: str
    raw: float
    ours: float
    unit: str
    figure: float
    bound: float | None = None

    @property
    def holds(self) -> bool:
        return self.bound is None or self.figure <= self.bound


@contextlib.contextmanager
def service() -> Iterator[str]:
    """The base URL of the fake service, in a process of its own."""
    script = Path(__file__).with_name("server.py")
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with _apart(process.pid):
        yield from _serving(process)


def _serving(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@contextlib.contextmanager
def _apart(server: int) -> Iterator[None]:
    """Each on a processor of its own: one that changes over to the other's finds nothing of its own in the caches."""
    if not hasattr(os, "sched_setaffinity"):  # no such thing on this system: the figures spread more
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(server, {max(cores)})
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def cpu() -> float:
    """Seconds of user and system time of this process so far, with all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def side_by_side(raw: Callable[[], float], *ours: Callable[[], float], turns: int) -> list[tuple[float, ...]]:
    """For each of ours: the raw median, its own median and the median of the ratios."""
    for function in (raw, *ours):
        function()
    samples = [[function() for function in (raw, *ours)] for _ in range(turns)]
    base = [sample[0] for sample in samples]
    result = []
    for n in range(1, len(ours) + 1):
        own = [sample[n] for sample in samples]
        ratios = [o / b for o, b in zip(own, base, strict=True)]
        result.append((statistics.median(base), statistics.median(own), statistics.median(ratios)))
    return result


def process_cpu(code: str) -> float:
    """CPU seconds of a cold process that runs this code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show(rows: list[Row]) -> None:
    """Print the rows."""
    print(f"{'':<48}{'raw':>12}{'ours':>12}{'figure':>9}{'bound':>8}")
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound:.1f}{'' if row.holds else '  BROKEN'}"
        print(
            f"{row.name:<48}{row.raw:>9.1f} {row.unit}{row.ours:>9.1f} {row.unit}{row.figure:>9.2f}{bound:>8}"
        )
