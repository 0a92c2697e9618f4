"""``gathering test NOTEBOOK...``: the words, and the order in which lanes are run. The work is done elsewhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.testing.lanes import Result, Spent, live_lane, record, replay_lane
from gathering.testing.parameters import read_values
from gathering.testing.report import exit_code, html_page, junit_xml, table, write_text

__all__ = ["add_to"]


def add_to(commands: Any) -> None:
    """Put the command into the parser of ``gathering``."""
    test = commands.add_parser(
        "test",
        help="run notebooks as tests: from their tapes, and live beside a baseline",
        description="Run notebooks as tests. Exit code 0: all is well, 1: something failed or is worse, 3: undecided.",
    )
    test.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="a notebook, or a folder of them")
    test.add_argument("--live", action="store_true", help="also run live and repeat the checks")
    test.add_argument("--repeats", type=int, metavar="K", help="how often, with --live (5)")
    test.add_argument(
        "--margin",
        type=float,
        default=0.1,
        help="how much lower a rate may be and still count as the same (0.1)",
    )
    test.add_argument(
        "--update-baseline", action="store_true", help="make the rates of this live run the baseline"
    )
    test.add_argument(
        "--record", action="store_true", help="record the tapes anew before, and the notebooks' outputs"
    )
    test.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a parameter",
    )
    test.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML")
    test.add_argument("--html", metavar="FILE", help="write the results as one HTML page")
    test.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if not options.live and (options.repeats is not None or options.update_baseline):
        raise ConfigurationError("--repeats and --update-baseline belong to --live: add it")
    repeats = 5 if options.repeats is None else options.repeats
    if repeats < 1:
        raise ConfigurationError(f"--repeats {repeats} is not usable: give 1 or more")
    values = read_values(options.parameter)
    results: list[Result] = []
    spent: list[Spent] = []
    try:
        for path in _paths(options.notebooks):
            if options.record:
                record(path, values, _seen)
            results += replay_lane(path, values, _seen)
            if options.live:
                found, took = live_lane(path, values, repeats, options.margin, options.update_baseline, _seen)
                results += found
                spent.append(took)
    finally:  # what there is, also after Stop
        if results:
            sys.stdout.write(f"{table(results, spent)}\n")
        for file, form in ((options.junit, junit_xml), (options.html, html_page)):
            if file:
                write_text(file, form(results, spent))
    return exit_code(results)


def _paths(names: list[str]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        path = Path(name)
        inside = (
            sorted(p for p in path.glob("*.ipynb") if not p.name.startswith(".")) if path.is_dir() else [path]
        )
        if not inside:
            raise ConfigurationError(f"there is no notebook in {name!r}: name one that ends in .ipynb")
        found += inside
    return found


def _seen(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{what}")
        sys.stderr.flush()
