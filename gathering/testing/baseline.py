"""The baseline of a notebook: how often each of its checks held when somebody said that this is good.

Owns the small file beside the notebook, ``NOTEBOOK.baseline.json``: sorted, the same bytes for the same figures, so
that it can be committed and read in a diff.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gathering.core.errors import ConfigurationError
from gathering.testing.verdict import Rate

__all__ = ["baseline_of", "read_baseline", "write_baseline"]

VERSION = 1


def baseline_of(notebook: Path) -> Path:
    """Where the baseline of this notebook is."""
    return notebook.with_suffix(".baseline.json")


def read_baseline(notebook: Path) -> dict[str, Rate]:
    """The rates by check; none where there is no file. Raises ``ConfigurationError`` for a file that is no baseline."""
    path = baseline_of(notebook)
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["version"] != VERSION:
            raise ConfigurationError(
                f"{path.name} is of version {data['version']!r}, this is {VERSION}: write it anew with --update-baseline"
            )
        return {name: Rate(int(one["passed"]), int(one["runs"])) for name, one in data["checks"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise ConfigurationError(
            f"{path.name} is no baseline ({type(err).__name__}: {err}): write it anew with --update-baseline"
        ) from err


def write_baseline(notebook: Path, rates: Mapping[str, Rate]) -> Path:
    """Keep these rates; the file."""
    checks = {name: {"passed": rate.passed, "runs": rate.runs} for name, rate in sorted(rates.items())}
    path = baseline_of(notebook)
    path.write_text(
        json.dumps({"version": VERSION, "checks": checks}, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    return path
