"""The pytest plugin: a switch against live calls, and notebooks under nbval without any configuration.

Owns what pytest is told. A notebook run by nbval replays its tapes, cannot reach a model, and is compared without
dates, durations, addresses and ids. ``--gathering-live`` lifts all of that for the lane that asks real models.
"""

from __future__ import annotations

import ast
import functools
import os
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gathering.core import session
from gathering.testing.cell_diff import compared
from gathering.testing.cells import cell_label, check_lines
from gathering.testing.nbmake_errors import expects_a_miss, seeing_all_errors
from gathering.testing.outputs import read_settled, reply_error

__all__ = [
    "no_live_calls",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_runtest_call",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "sanitize_patterns",
]

#: The setting of the mode of tapes, as a variable.
_MODE = "GATHERING_TAPE_MODE"
#: Seconds a kernel may take for a question of the runner.
_PATIENCE = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--gathering-live`` and ``--gathering-tape``."""
    parser.getgroup("gathering").addoption(
        "--gathering-live",
        action="store_true",
        help="let tests and notebooks call real models, past tapes and the no_live_calls fixture",
    )
    parser.getgroup("gathering").addoption(
        "--gathering-tape",
        choices=("record", "replay", "live"),
        help="the mode of tapes; GATHERING_TAPE_MODE and what a notebook or a test says itself are stronger",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the cells of a notebook on one worker of ``-n``: they need the same kernel. Tell tapes their mode."""
    if _runs_notebooks(config) and config.getoption("dist", "no") == "load":
        config.option.dist = "loadfile"
    mode = "live" if config.getoption("--gathering-live") else config.getoption("--gathering-tape")
    if mode and not os.environ.get(_MODE):
        os.environ[_MODE] = mode
        config.add_cleanup(functools.partial(os.environ.__delitem__, _MODE))


@pytest.fixture
def no_live_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test in which a live call raises ``LiveCallError``; ``--gathering-live`` switches it off."""
    if request.config.getoption("--gathering-live"):
        yield
        return
    with session.no_live_calls(f"the test {request.node.name!r} allows none"):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Start a notebook's kernel in the environment of a test, and mend its outputs' comparison."""
    if not _is_cell(item):
        return (yield)
    with _kernel_environment(item.config):
        result = yield
    cell: Any = item
    cell.compare_outputs = functools.partial(compared, cell, cell.compare_outputs)
    notebook: Any = item.parent
    read_settled(notebook.kernel)
    notebook.kernel.execute_cell_input = functools.partial(_execute, notebook.kernel)
    for pattern, replacement in sanitize_patterns():
        notebook.sanitize_patterns.setdefault(pattern, replacement)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Generator[None, Any, Any]:
    """Name the cells of a notebook by what they ask: ``Cell 3: What is 15% of 2500?``."""
    found = yield
    for notebook in found:
        if _is_cell(notebook):
            notebook.collect = functools.partial(_named, notebook, notebook.collect)
    return found


def _named(notebook: Any, collect: Callable[[], Iterator[Any]]) -> Iterator[pytest.Item]:
    for cell in collect():
        label = cell_label(cell.cell.source)
        name = f"{cell.name}: {label}" if label else cell.name
        made = type(cell).from_parent(
            notebook, name=name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
        )
        made.reportinfo = functools.partial(_where, made)
        yield made


def _where(cell: Any) -> tuple[Path, int, str]:
    return (
        cell.path,
        0,
        f"{cell.nodeid} ",
    )  # with the blank it is no Python name, whose points pytest would change


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """After a cell has run and its outputs were compared, look for a wrong magic, and do the checks of its tags."""
    if _is_of("nbmake", item):
        with _kernel_environment(item.config), seeing_all_errors(item.path):
            return (yield)
    cell: Any = item
    try:
        result = yield
    except Exception as error:
        if _is_cell(item):
            _say_what_was_missed(cell, error)
        raise
    if _is_cell(item):
        if (missed := _missed(cell)) and not expects_a_miss(cell.cell.get("outputs")):
            cell.raise_cell_error("Cell asked for what is not on the tape", missed)
        if (failed := reply_error(cell.parent.kernel)) and not cell.options["check_exception"]:
            cell.raise_cell_error("Cell execution caused an exception", failed)
        lines = check_lines(cell.cell.metadata)
        if lines and (failed := asked_of_kernel(cell.parent.kernel, _CHECKS.format(lines=lines))):
            cell.raise_cell_error(failed)
        _done(cell.parent).add(item.nodeid)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, Any]:
    """After the last cell, an entry of a tape that no cell has played is an error."""
    if _is_cell(item) and (nextitem is None or nextitem.parent is not item.parent):
        notebook: Any = item.parent
        cells = sum(cell.cell_type == "code" for cell in notebook.nb.cells)
        if (
            len(_done(notebook)) == cells and notebook.kernel.is_alive()
        ):  # otherwise it is no wonder that some are left
            unused = asked_of_kernel(notebook.kernel, _UNUSED)
            if unused:
                try:
                    return (yield)
                finally:
                    pytest.fail(unused, pytrace=False)
    return (yield)


#: What the kernel is asked: expressions whose value is a text, empty if all is well.
_CHECKS = "__import__('gathering.notebook.checking', fromlist=['checking']).check_tagged({lines!r})"
_MISSED = "(lambda tape: tape.missed_entries() if tape else '')(__import__('sys').modules.get('gathering.testing.tape'))"
_UNUSED = "__import__('gathering.testing.tape', fromlist=['tape']).unused_entries()"


def _missed(cell: Any) -> str:
    """What the cell asked for that is not on a tape, whatever it did with the error; of nbval's cells alone."""
    kernel = cell.parent.kernel
    if cell.options["skip"] or cell.parent.timed_out or not kernel.is_alive():
        return ""
    return asked_of_kernel(kernel, _MISSED)


def _say_what_was_missed(cell: Any, error: Exception) -> None:
    """Where the failure does not say it: a cell that handles its errors shows no more than that its output differs."""
    missed = _missed(cell)
    said = re.sub(r"\x1b\[[0-9;]*m", "", getattr(error, "inner_traceback", None) or "")
    if missed and missed not in said and hasattr(error, "inner_traceback"):
        error.inner_traceback = f"{said}\n{missed}"


def asked_of_kernel(kernel: Any, expression: str) -> str:
    """The text that an expression has in the kernel. It leaves no output there and counts no cell."""
    identity = kernel.kc.execute("", silent=True, user_expressions={"asked": expression})
    while (reply := kernel.kc.get_shell_msg(timeout=_PATIENCE))["parent_header"].get("msg_id") != identity:
        pass
    found = reply["content"].get("user_expressions", {}).get("asked", {})
    if found.get("status") != "ok":
        return f"{found.get('ename', 'the kernel')}: {found.get('evalue', 'gave no answer')}"
    return str(ast.literal_eval(found["data"]["text/plain"]))


def _done(notebook: Any) -> set[str]:
    done: set[str] = notebook.__dict__.setdefault("_gathering_done", set())
    return done


def _execute(kernel: Any, source: str, allow_stdin: bool | None = None) -> str:
    """Execute as a person does, so that cells are counted: the trace says in which one something happened."""
    identity: str = kernel.kc.execute(source, allow_stdin=allow_stdin, stop_on_error=False)
    return identity


def sanitize_patterns() -> list[tuple[str, str]]:
    """The shipped patterns and what each is replaced by, as in ``nbval_sanitize.cfg``."""
    lines = Path(__file__).with_name("nbval_sanitize.cfg").read_text("utf-8").splitlines()
    values = [line.partition(": ")[2] for line in lines if line.startswith(("regex: ", "replace: "))]
    return list(zip(values[::2], values[1::2], strict=True))


def _runs_notebooks(config: pytest.Config) -> bool:
    return bool(config.getoption("nbval", False) or config.getoption("nbval_lax", False))


def _is_cell(item: Any) -> bool:
    """Whether this is nbval's: a cell, or a notebook."""
    return _is_of("nbval", item)


def _is_of(runner: str, item: Any) -> bool:
    return type(item).__module__.partition(".")[0] == runner


class _kernel_environment:  # noqa: N801 - used as a block, like the context managers of contextlib
    """The variables a kernel inherits: no live call, unless recording or a live run was asked for."""

    def __init__(self, config: pytest.Config) -> None:
        asks = config.getoption("--gathering-live") or os.environ.get(_MODE) in ("record", "live")
        self.wanted = {} if asks else {"GATHERING_LIVE": "never"}

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.wanted}
        for name, value in self.wanted.items():
            os.environ[name] = os.environ.get(name) or value

    def __exit__(self, *exc: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
