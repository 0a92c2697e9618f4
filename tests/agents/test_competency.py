"""Competencies: words, meaning, evidence and outcomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering import Agent
from gathering.agents import Competency
from gathering.agents.competency import Record
from gathering.core.errors import UnknownNameError
from gathering.testing import ScriptedProvider


def test_a_task_by_its_words() -> None:
    """A word that begins as the field or a keyword does points to it; nothing else without an embedder."""
    maths = Competency("mathematics", 0.9, ["algebra"])
    assert maths.can_handle_task("Help me with my maths homework") == 0.9
    assert maths.can_handle_task("An algebraic proof") == 0.9
    assert maths.can_handle_task("How do I integrate a function?") == 0.0


def test_a_task_by_its_meaning() -> None:
    """With an embedder a paraphrase counts in part, and what is about something else counts less."""
    cooking = Competency("cooking", 0.8, ["preparing food in the kitchen"], embedder="local")
    near = cooking.can_handle_task("How do I roast a chicken in the oven?")
    far = cooking.can_handle_task("Who won the election in 1912?")
    assert 0.0 <= far < near <= 0.8
    assert cooking.can_handle_task("cooking") == 0.8
    assert cooking.can_handle_task(" ") == 0.0


def test_evidence_stays_out_of_the_prompt() -> None:
    """It is for people who look."""
    maths = Competency("mathematics", 0.9, evidence="a diploma of 1998")
    assert maths.evidence == ("a diploma of 1998",)
    assert "diploma" not in maths.get_prompt_enhancement()


def test_outcomes_are_counted() -> None:
    """Successes among tries, with the interval of their rate."""
    maths = Competency("mathematics")
    assert maths.outcomes.interval() == (0.0, 1.0)
    maths.record(True)
    found = maths.record(False)
    assert (found.done, found.tried) == (1, 2)
    low, high = found.interval()
    assert 0 < low < 0.5 < high < 1


@given(st.integers(0, 200), st.integers(0, 200))
def test_an_interval_holds_its_rate(done: int, failed: int) -> None:
    """Whatever was counted; and more tries make it no wider."""
    record = Record(done, done + failed)
    low, high = record.interval()
    assert 0 <= low <= high <= 1
    if record.tried:
        assert low <= done / record.tried + 1e-12
        assert done / record.tried <= high + 1e-12
        more = Record(10 * done, 10 * record.tried).interval()
        assert more[1] - more[0] <= high - low + 1e-12


def test_described_by_data() -> None:
    """Evidence and embedder are keys; an embedder nobody knows is said."""
    plain = {"name": "maths", "level": 0.7, "evidence": ["a diploma"], "embedder": "local"}
    ada = Agent.from_config({"name": "ada", "llm_provider": ScriptedProvider([]), "competencies": [plain]})
    (maths,) = ada.competencies
    assert isinstance(maths, Competency)
    assert (maths.evidence, maths.embedder and maths.embedder.name) == (("a diploma",), "local")
    with pytest.raises(UnknownNameError, match="did you mean 'local'"):
        Competency("maths", embedder="locl")
