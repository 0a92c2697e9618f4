"""The lanes of ``gathering test``: the replay of a notebook against its tape, and repeated live runs beside a baseline.

Owns how a notebook is run in each lane and what is found. The comparison of outputs is nbval's, with the plugin of this
room; the statistics are ``gathering.testing.verdict``; how results are shown is ``gathering.testing.report``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gathering.core.errors import ConfigurationError
from gathering.testing.baseline import read_baseline, write_baseline
from gathering.testing.cells import check_lines
from gathering.testing.parameters import set_name, with_values
from gathering.testing.verdict import Rate, Verdict, Word, judge, pass_hat

__all__ = ["Lane", "Outcome", "Result", "live_lane", "record", "replay_lane", "write_outputs"]

Lane: TypeAlias = Literal["replay", "live"]
Outcome: TypeAlias = Literal["passed", "failed", "undecided", "skipped"]
#: Told what is being done, for a person who waits.
Seen: TypeAlias = Callable[[str], None]

#: Seconds a cell may take where a model is asked.
CELL_SECONDS = 600
_NOTHING = 5  # what pytest ends with when it found no test


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
        ran = subprocess.run(  # noqa: S603 - our own interpreter, with our own words
            command, env=env, capture_output=True, text=True, check=False
        )
        if not report.exists() or ran.returncode == _NOTHING:
            return [
                Result(path.name, "replay", "notebook", "failed", 0.0, _last_words(ran.stdout + ran.stderr))
            ]
        return _merged(list(_cells(report, path.name)))


def live_lane(
    path: Path, values: Mapping[str, Any], repeats: int, margin: float, update: bool, seen: Seen
) -> list[Result]:
    """Each check of a notebook, run live ``repeats`` times, beside the notebook's baseline.

    ``update`` makes the rates of this run the baseline. Raises ``ConfigurationError`` for a notebook without checks.
    """
    runs: list[dict[str, bool]] = []
    for number in range(1, repeats + 1):
        seen(f"{path.name}: live {number} of {repeats}")
        runs.append(_live_run(path, values))
    names = sorted({name for run in runs for name in run})
    if not names:
        raise ConfigurationError(
            f"{path.name} has no checks to repeat: add %gathering check, or a tag check:contains=..."
        )
    passes = {name: [run.get(name, False) for run in runs] for name in names}
    rates = {name: Rate(sum(held), len(held)) for name, held in passes.items()}
    before = read_baseline(path)
    if update:
        write_baseline(path, {**before, **rates})
    return [_judged(path.name, name, rates[name], passes[name], before.get(name), margin) for name in names]


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

    Raises ``ConfigurationError`` where a cell fails; the notebook stays as it was then.
    """
    seen(f"{path.name}: recording")
    notebook = with_values(_read(path), values, path.name) if values else _read(path)
    chosen = {"GATHERING_TAPE_SET": set_name(values)} if values else {}
    _execute_or_say(notebook, path, {"GATHERING_TAPE_MODE": "record", **chosen})
    if not values:
        write_outputs(path)


def write_outputs(path: Path) -> None:
    """Give the notebook its outputs as a run from its tape shows them, latencies included.

    Raises ``ConfigurationError`` where a cell fails; the notebook stays as it was then.
    """
    import nbformat

    notebook = _read(path)
    _execute_or_say(notebook, path, {"GATHERING_TAPE_MODE": "replay", "GATHERING_LIVE": "never"})
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


def _execute_or_say(notebook: Any, path: Path, variables: Mapping[str, str]) -> None:
    from nbclient.exceptions import CellExecutionError

    try:
        # As under a test runner, where each cell has one final output.
        _execute(notebook, path, {"PYTEST_VERSION": "recording", **variables})
    except CellExecutionError as err:
        raise ConfigurationError(
            f"{path.name} cannot be recorded, a cell failed ({err.ename}: {err.evalue}): correct it, or tag it 'raises-exception'"
        ) from err


def _execute(notebook: Any, path: Path, variables: Mapping[str, str], **options: Any) -> None:
    """Run a notebook in its own folder with these variables; its outputs are in it then."""
    from nbclient import NotebookClient

    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--IPKernelApp.log_level=40"],  # what a kernel logs is not what was asked
        **options,
    )
    client.execute(env={**os.environ, **variables})


@contextmanager
def _ready(path: Path, values: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, str]]]:
    """The file to run, which is a copy where there are values, and the environment to run it in."""
    env = {**os.environ, "GATHERING_TAPE_MODE": "replay", "GATHERING_LIVE": "never"}
    if not values:
        _read(path)
        yield path, env
        return
    import nbformat

    name = set_name(values)
    copy = path.with_name(f".{path.stem}.{name}.ipynb")
    nbformat.write(with_values(_read(path), values, path.name), copy)  # type: ignore[no-untyped-call]
    try:
        yield copy, {**env, "GATHERING_TAPE_SET": name}
    finally:
        copy.unlink(missing_ok=True)


def _read(path: Path) -> Any:
    import nbformat

    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no notebook {str(path)!r}: name a file that ends in .ipynb"
        ) from None
    except Exception as err:  # nbformat raises errors of several libraries for what is no notebook
        raise ConfigurationError(f"{str(path)!r} is no notebook ({type(err).__name__}): name one") from err


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


def _live_run(path: Path, values: Mapping[str, Any]) -> dict[str, bool]:
    """Which checks held in one live run; each by its cell and words."""
    from gathering.storage import SQLiteStore

    notebook = with_values(_read(path), values, path.name) if values else _read(path)
    _add_checks(notebook)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.sqlite"
        wanted = {"GATHERING_TAPE_MODE": "live", "GATHERING_STORE": str(trace)}
        _execute(notebook, path, wanted, allow_errors=True)
        rows = SQLiteStore(trace).rows("checks") if trace.exists() else []
    held: dict[str, bool] = defaultdict(lambda: True)
    for row in rows:
        name = f"cell {row['cell']}: {row['check']}"
        held[name] = held[name] and bool(row["passed"])
    return dict(held)


def _add_checks(notebook: Any) -> None:
    """What the tags of cells ask for becomes a cell after them; the plugin does so in a replay."""
    import nbformat

    for place in range(len(notebook.cells) - 1, -1, -1):
        cell = notebook.cells[place]
        lines = check_lines(cell.metadata) if cell.cell_type == "code" else []
        if lines:
            source = f"%gathering check _ {' '.join(lines)}"
            added = nbformat.v4.new_code_cell(source)  # type: ignore[no-untyped-call]
            notebook.cells.insert(place + 1, added)


def _last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-20:])
