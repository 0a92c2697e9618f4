"""The lanes of ``gathering test``: the replay of a notebook against its tape, and repeated live runs beside a baseline.

Owns how a notebook is run in each lane and what is found. The comparison of outputs is nbval's, with the plugin of this
room; the statistics are ``gathering.testing.verdict``; how results are shown is ``gathering.testing.report``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gathering.core.errors import ConfigurationError
from gathering.testing.baseline import Checked, read_baseline, write_baseline
from gathering.testing.notebook_runs import (
    LiveRun,
    check_installed,
    execute_or_say,
    live_run,
    read_notebook,
)
from gathering.testing.parameters import set_name, with_values
from gathering.testing.tape_keeping import kept_on_failure
from gathering.testing.tape_modes import COMMANDED
from gathering.testing.verdict import Rate, Verdict, Word, judge, pass_hat

__all__ = ["Lane", "Outcome", "Result", "Spent", "live_lane", "record", "replay_lane", "write_outputs"]

Lane: TypeAlias = Literal["replay", "live"]
Outcome: TypeAlias = Literal["passed", "failed", "undecided", "skipped"]
#: Told what is being done, for a person who waits.
Seen: TypeAlias = Callable[[str], None]

#: Seconds for a test run that was stopped to end its kernel.
_PATIENCE = 2
_NOTHING = 5  # what pytest ends with when it found no test


@dataclass(frozen=True, slots=True)
class Spent:
    """What the live runs of a notebook took: seconds, and US dollars without the ``unpriced`` calls of unknown cost."""

    notebook: str
    runs: int
    seconds: float
    cost: float
    unpriced: int = 0

    @property
    def line(self) -> str:
        """``5 runs, 12.0 s, $0.0031, 2 calls of unknown cost``."""
        said = [f"{self.runs} run{'s' if self.runs != 1 else ''}", f"{self.seconds:.1f} s"]
        if self.cost or not self.unpriced:
            said.append(f"${self.cost:.6f}".rstrip("0").rstrip("."))
        if self.unpriced:
            said.append(f"{self.unpriced} call{'s' if self.unpriced != 1 else ''} of unknown cost")
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class Result:
    """What one cell or check of a notebook gave in one lane."""

    notebook: str
    lane: Lane
    name: str
    outcome: Outcome
    seconds: float = 0.0
    detail: str = ""
    verdict: Verdict | None = None


def replay_lane(path: Path, values: Mapping[str, Any], seen: Seen) -> list[Result]:
    """Each cell of a notebook, run from its tape and compared with its committed output.

    With ``values`` for its parameters the outputs are other ones: then only errors and checks count. Raises
    ``ConfigurationError`` for what is no notebook.
    """
    check_installed("pytest", "nbval")
    seen(f"{path.name}: replay")
    with _ready(path, values) as (file, env), tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            str(file),
            "--nbval-lax" if values else "--nbval",
            "--nbval-current-env",
        ]
        command += ["-q", "--color=no", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
        command += [f"--rootdir={file.parent}", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        code, said = _ran(command, env)
        if not report.exists() or code == _NOTHING:
            return [Result(path.name, "replay", "notebook", "failed", 0.0, _last_words(said))]
        return _merged(list(_cells(report, path.name)))


def _ran(command: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
    """The exit code of a command and all it wrote. Stopped, it is told so, in order that it ends its kernel."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, with our own words
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C comes to it through us, once
    )
    try:
        said, _ = process.communicate()
    except BaseException:
        _end(process)
        raise
    return process.returncode, said


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.terminate() if os.name == "nt" else process.send_signal(signal.SIGINT)
        process.communicate(timeout=_PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.communicate()


def live_lane(
    path: Path, values: Mapping[str, Any], repeats: int, margin: float, update: bool, seen: Seen
) -> tuple[list[Result], Spent]:
    """Each check of a notebook, run live ``repeats`` times, beside the notebook's baseline, and each cell that raised.

    A check that a run did not come to has not held there. ``update`` makes the rates of this run the baseline, unless a cell
    raised. Raises ``ConfigurationError`` for a notebook without checks, and for a baseline that cannot be read, before
    anything is run.
    """
    check_installed("scipy")
    chosen = set_name(values)
    before = _before(path, chosen, update)
    runs: list[LiveRun] = []
    for number in range(1, repeats + 1):
        seen(f"{path.name}: live {number} of {repeats}")
        runs.append(live_run(path, values))
    raised = [error for run in runs for error in run.errors.items()]
    names = list(dict.fromkeys([*(name for run in runs for name in run.held), *(before if raised else ())]))
    if not names and not raised:
        raise ConfigurationError(
            f"{path.name} has no checks to repeat: add %gathering check, or a tag check:contains=..."
        )
    passes = {name: [run.held.get(name, False) for run in runs] for name in names}
    rates = {name: Rate(sum(held), len(held)) for name, held in passes.items()}
    if update and not raised:
        write_baseline(path, rates, chosen)
    judged = [
        _judged(path.name, str(name), rates[name], passes[name], before.get(name), margin) for name in names
    ]
    return [*judged, *_raised(path.name, raised, repeats)], _spent(path.name, runs)


def _before(path: Path, chosen: str, update: bool) -> dict[Checked, Rate]:
    """The baseline; one that cannot be read does not count where it is to be replaced."""
    try:
        return read_baseline(path, chosen)
    except ConfigurationError:
        if update:
            return {}
        raise


def _spent(notebook: str, runs: Sequence[LiveRun]) -> Spent:
    cost, unpriced = sum(run.cost for run in runs), sum(run.unpriced for run in runs)
    return Spent(notebook, len(runs), sum(run.seconds for run in runs), cost, unpriced)


def _raised(notebook: str, raised: Sequence[tuple[str, str]], repeats: int) -> Iterator[Result]:
    """One result for each cell that raised, with how often it did and what was said first."""
    for cell in dict.fromkeys(cell for cell, _ in raised):
        said = [error for one, error in raised if one == cell]
        yield Result(
            notebook, "live", cell, "failed", 0.0, f"raised in {len(said)} of {repeats} runs: {said[0]}"
        )


def _judged(
    notebook: str, name: str, rate: Rate, passes: Sequence[bool], before: Rate | None, margin: float
) -> Result:
    verdict = judge(rate, before, margin)
    outcome = _OUTCOMES[verdict.word]
    k = min(3, len(passes))
    return Result(
        notebook, "live", name, outcome, 0.0, f"{verdict.line}; pass^{k} {pass_hat(passes, k):.2f}", verdict
    )


_OUTCOMES: Mapping[Word, Outcome] = {
    "better": "passed",
    "same": "passed",
    "worse": "failed",
    "undecided": "undecided",
}


def record(path: Path, values: Mapping[str, Any], seen: Seen) -> None:
    """Record the notebook's tape anew. Without ``values`` the notebook gets its outputs as a run from that tape shows them.

    Raises ``ConfigurationError`` where a cell fails; the notebook and its tapes stay as they were then.
    """
    check_installed()
    seen(f"{path.name}: recording")
    notebook = with_values(read_notebook(path), values, path.name) if values else read_notebook(path)
    chosen = {"GATHERING_TAPE_SET": set_name(values)} if values else {}
    with kept_on_failure() as kept:
        wanted = {"GATHERING_TAPE_MODE": "record", COMMANDED: "record", **kept, **chosen}
        execute_or_say(notebook, path, wanted)
        if not values:
            write_outputs(path)


def write_outputs(path: Path) -> None:
    """Give the notebook its outputs as a run from its tape shows them, latencies included.

    Raises ``ConfigurationError`` where a cell fails; the notebook stays as it was then.
    """
    import nbformat

    notebook = read_notebook(path)
    execute_or_say(notebook, path, {"GATHERING_TAPE_MODE": "replay", "GATHERING_LIVE": "never"})
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


@contextmanager
def _ready(path: Path, values: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, str]]]:
    """The file to run, which is a copy where there are values, and the environment to run it in."""
    env = {**os.environ, "GATHERING_TAPE_MODE": "replay", "GATHERING_LIVE": "never"}
    if not values:
        read_notebook(path)
        yield path, env
        return
    import nbformat

    name = set_name(values)
    copy = path.with_name(f".{path.stem}.{name}.ipynb")
    nbformat.write(with_values(read_notebook(path), values, path.name), copy)  # type: ignore[no-untyped-call]
    try:
        yield copy, {**env, "GATHERING_TAPE_SET": name}
    finally:
        copy.unlink(missing_ok=True)


def _cells(report: Path, notebook: str) -> Iterator[Result]:
    from xml.etree import ElementTree  # our own file, just written

    for case in ElementTree.parse(report).getroot().iter("testcase"):  # noqa: S314 - written by pytest a moment ago
        outcome: Outcome = "passed"
        detail = ""
        for kind in ("failure", "error", "skipped"):
            if (found := case.find(kind)) is not None:
                outcome = "skipped" if kind == "skipped" else "failed"
                detail = (found.text or found.get("message") or "").strip()
        yield Result(notebook, "replay", str(case.get("name")), outcome, float(case.get("time") or 0), detail)


def _merged(results: list[Result]) -> list[Result]:
    """One result a cell: what was found after its run belongs to it."""
    found: dict[str, Result] = {}
    for one in results:
        before = found.get(one.name)
        if before is None or (before.outcome != "failed" and one.outcome == "failed"):
            found[one.name] = one
    return list(found.values())


def _last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-20:])
