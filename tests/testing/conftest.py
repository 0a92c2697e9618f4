"""A folder to record in, and no tape left in after a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gathering.testing import current_tape


@pytest.fixture(autouse=True)
def no_tape_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    left = current_tape()
    if left is not None:
        left.close()
