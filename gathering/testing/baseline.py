"""The baseline of a notebook: how often each of its checks held when somebody said that this is good.

Owns the small file beside the notebook, ``NOTEBOOK.baseline.json`` (``NOTEBOOK.amount-500.baseline.json`` for a set of
parameters): sorted, the same bytes for the same figures, so
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


def baseline_of(notebook: Path, parameters: str = "") -> Path:
    """Where the baseline of this notebook is, for the set of parameters of this name."""
    return notebook.with_suffix(f".{parameters}.baseline.json" if parameters else ".baseline.json")


def read_baseline(notebook: Path, parameters: str = "") -> dict[str, Rate]:
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
        return {name: Rate(int(one["passed"]), int(one["runs"])) for name, one in data["checks"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise ConfigurationError(
            f"{path.name} is no baseline ({type(err).__name__}: {err}): write it anew with --update-baseline"
        ) from err


def write_baseline(notebook: Path, rates: Mapping[str, Rate], parameters: str = "") -> Path:
    """Keep these rates in place of those before; the file."""
    checks = {name: {"passed": rate.passed, "runs": rate.runs} for name, rate in sorted(rates.items())}
    path = baseline_of(notebook, parameters)
    path.write_text(
        json.dumps({"version": VERSION, "checks": checks}, indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    return path
