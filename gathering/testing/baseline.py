"""The baseline of a notebook: how often each of its checks held when somebody said that this is good.

Owns the small file beside the notebook, ``NOTEBOOK.baseline.json`` (``NOTEBOOK.amount-500.baseline.json`` for a set of
parameters): a line for each check, sorted, the same bytes for the same figures, so that it can be committed, merged and
read in a diff.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.testing.verdict import Rate

__all__ = ["Checked", "baseline_of", "read_baseline", "write_baseline"]

VERSION = 2


@dataclass(frozen=True, slots=True)
class Checked:
    """A check of a notebook, found again wherever its cell stands: ``cell`` is the cell's id, or its prompt where it has none.

    ``label`` is the cell's prompt, for a reader; it may change without the check being another one.
    """

    cell: str
    label: str = field(compare=False)
    check: str

    def __str__(self) -> str:
        """``What is 15% of 2500?: contains '375'``."""
        return f"{self.label}: {self.check}" if self.label else self.check


def baseline_of(notebook: Path, parameters: str = "") -> Path:
    """Where the baseline of this notebook is, for the set of parameters of this name."""
    return notebook.with_suffix(f".{parameters}.baseline.json" if parameters else ".baseline.json")


def read_baseline(notebook: Path, parameters: str = "") -> dict[Checked, Rate]:
    """The rates by check; none where there is no file. Raises ``ConfigurationError`` for a file that is no baseline."""
    path = baseline_of(notebook, parameters)
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["version"] != VERSION:
            raise ConfigurationError(
                f"{path.name} is of version {data['version']!r}, this is {VERSION}: write it anew with --update-baseline"
            )
        return dict(_one(line) for line in data["checks"])
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise ConfigurationError(
            f"{path.name} is no baseline ({type(err).__name__}: {err}): write it anew with --update-baseline"
        ) from err


def _one(line: Mapping[str, Any]) -> tuple[Checked, Rate]:
    checked = Checked(str(line["cell"]), str(line["prompt"]), str(line["check"]))
    return checked, Rate(int(line["passed"]), int(line["runs"]))


def write_baseline(notebook: Path, rates: Mapping[Checked, Rate], parameters: str = "") -> Path:
    """Keep these rates in place of those before, at one stroke; the file."""
    path = baseline_of(notebook, parameters)
    lines = ",\n".join(
        f"  {_line(checked, rates[checked])}"
        for checked in sorted(rates, key=lambda one: (one.label, one.cell, one.check))
    )
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(f'{{"version": {VERSION}, "checks": [\n{lines}\n]}}\n', "utf-8")
    beside.replace(path)
    return path


def _line(checked: Checked, rate: Rate) -> str:
    names = {"prompt": checked.label, "check": checked.check, "passed": rate.passed, "runs": rate.runs}
    return json.dumps({**names, "cell": checked.cell}, ensure_ascii=False)
