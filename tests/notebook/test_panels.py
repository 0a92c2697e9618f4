"""``%gathering panel``: the panel of what a variable holds, and a comparison that streams into its grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from gathering import Conversation
from gathering.compare import compare
from gathering.testing import ScriptedProvider

pytestmark = pytest.mark.usefixtures("ada")
Run = Callable[[str], ExecutionResult]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("ada", "Trace"),
        ("ada --memory", "Memory of ada"),
        ("talk", "Conversation of ada"),
        ("result --height 300", "Comparison"),
        ("ada --memory --readonly", "Memory of ada"),
    ],
)
def test_a_variable_has_the_panel_of_what_it_holds(
    run: Run, shell: InteractiveShell, line: str, title: str
) -> None:
    shell.user_ns["talk"] = Conversation([shell.user_ns["ada"]])
    shell.user_ns["result"] = compare(["Hi"], [ScriptedProvider(["Hello."])])
    panel: Any = run(f"panel = %gathering panel {line}").result or shell.user_ns["panel"]
    assert panel.title == title
    assert panel.readonly is ("--readonly" in line)
    assert panel.height == 300 or "--height" not in line
    panel.close()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("number", "'number' has no panel: give an agent, a conversation"),
        ("nobody", "unknown agent 'nobody'"),
        ("number --memory", "--memory takes an agent, and 'number' holds none"),
        ("ada --height 3", "give pixels from 120 to 4000"),
    ],
)
def test_what_has_no_panel_says_what_has_one(
    failing: Callable[[str], str], shell: InteractiveShell, line: str, said: str
) -> None:
    shell.user_ns["number"] = 7
    shown = failing(f"%gathering panel {line}")
    assert said in shown
    assert "Traceback" not in shown


def test_a_cell_nobody_watches_shows_a_comparison_once(
    run: Run, shell: InteractiveShell, displayed: list[dict[str, Any]]
) -> None:
    """With --panel too: under a test runner there is nobody who could watch it fill."""
    run("%%gathering compare @ada --panel -o result\nWhat is the answer?\n")
    assert [row["output"] for row in shell.user_ns["result"].rows] == ["The answer is **42**."]
    assert not [one for one in displayed if "widget-view" in str(one)]
