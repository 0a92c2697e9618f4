"""What a cell's tags check, seen from the kernel."""

from __future__ import annotations

from typing import Any

from gathering import Reply
from gathering.notebook.checking import check_tagged


def test_tags_check_the_cells_own_value(shell: Any) -> None:
    """Not that of a cell before it: a cell without a value has nothing to check."""
    shell.user_ns["reply"] = Reply("It is 375.")
    shell.run_cell("reply", store_history=True)
    assert check_tagged(["--contains 375", "--contains is"]) == ""
    assert "contains '376' does not hold" in check_tagged(["--contains 376", "--contains 375"])
    shell.run_cell("x = reply", store_history=True)
    assert "no value that its tags could check" in check_tagged(["--contains 375"])
