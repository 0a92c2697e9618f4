"""Cases, their prompts and ids, and the order in which they are asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.compare import Case, Plan
from gathering.compare.plan import fill, make_cases
from gathering.core.errors import ConfigurationError


def test_texts_are_numbered_from_one() -> None:
    """A single text is one case."""
    assert [(c.id, c.prompt) for c in make_cases(["a", "b"])] == [(1, "a"), (2, "b")]
    assert make_cases("a") == (Case(1, "a", {}),)
    assert [c.prompt for c in make_cases(pd.Series(["x", "y"]))] == ["x", "y"]


def test_braces_in_a_case_of_its_own_stay_as_they_are() -> None:
    """Only the shared prompt is a template."""
    assert make_cases(["say {{ x }} and {y}"])[0].prompt == "say {{ x }} and {y}"


def test_a_dataframe_fills_the_prompt_and_gives_its_index_as_ids() -> None:
    """So that results can be joined back to it."""
    table = pd.DataFrame({"text": ["good", "bad"], "n": [1, 2]}, index=[10, 20])
    cases = make_cases(table, "Classify {{text}} ({{ n }}) {as} $is")
    assert [(c.id, c.prompt) for c in cases] == [
        (10, "Classify good (1) {as} $is"),
        (20, "Classify bad (2) {as} $is"),
    ]
    assert cases[0].values == {"text": "good", "n": 1}
    dated = table.set_index(pd.to_datetime(["2026-01-01", "2026-01-02"]))
    assert make_cases(dated, "{{ text }}")[0].id == "2026-01-01 00:00:00"


def test_dicts_may_bring_their_own_prompt_and_id() -> None:
    """Under ``prompt`` and ``case``."""
    cases = make_cases([{"case": "first", "prompt": "Hi"}, {"prompt": "Ho", "case": np.int64(7)}])
    assert [(c.id, c.prompt) for c in cases] == [("first", "Hi"), (7, "Ho")]


def test_one_text_fills_the_one_place_of_a_prompt() -> None:
    """Whatever the place is called, and however often it stands there."""
    assert make_cases(["cat"], "Spell {{ word }}: {{ word }}")[0].prompt == "Spell cat: cat"


@pytest.mark.parametrize(
    ("cases", "prompt", "said"),
    [
        ([], None, "no case"),
        (pd.DataFrame({"text": []}), "{{ text }}", "no case"),
        (["a", "  "], None, "the prompt of the case 2 is empty"),
        ([{"text": "a"}], None, "has 'text' and no 'prompt'"),
        ([{"prompt": 3}], None, "is 3: give a text"),
        ([{"text": "a"}], "{{ txt }}", "did you mean 'text'?"),
        ([{"text": "a"}], "{{ other }}", "there is 'text'"),
        ([{"text": None}], "{{ text }}", "the case 1 has no value for 'text'"),
        ([{"text": float("nan")}], "{{ text }}", "no value for 'text'"),
        ([{"text": pd.NA}], "{{ text }}", "no value for 'text'"),
        (["a", "b"], "the same", "all 2 cases would be the same"),
        (["a"], "{{ x }} {{ y }}", "a case is one text"),
        (["a"], 3, "the prompt is int"),
        ([3], None, "the case 1 is int"),
        (3, None, "the cases are int"),
        ([{"case": "x", "prompt": "a"}, {"case": "x", "prompt": "b"}], None, "two cases have the id 'x'"),
        (pd.DataFrame({"prompt": ["a", "b"]}, index=[1, 1]), None, "two cases have the id 1"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(cases: Any, prompt: Any, said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        make_cases(cases, prompt)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_trials_go_case_by_case_model_by_model_repeat_by_repeat() -> None:
    """In an order that is the same from run to run."""
    plan = Plan(make_cases(["a", "b"]), ("x", "y"), repeats=2)
    trials = plan.trials()
    assert len(plan) == len(trials) == 8
    assert [t.number for t in trials] == list(range(8))
    assert [(t.case.prompt, t.subject, t.repeat) for t in trials[:5]] == [
        ("a", "x", 1),
        ("a", "x", 2),
        ("a", "y", 1),
        ("a", "y", 2),
        ("b", "x", 1),
    ]


@pytest.mark.parametrize("repeats", [0, -1, 1.5, True, "3"])
def test_repeats_are_a_whole_number(repeats: Any) -> None:
    """Anything else is one line of error."""
    with pytest.raises(ConfigurationError, match="repeats"):
        Plan(make_cases("a"), ("x",), repeats)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(max_size=20), min_size=1))
def test_a_template_is_filled_once(values: dict[str, str]) -> None:
    """Values that look like places are not filled again."""
    template = " | ".join(f"{{{{ {name} }}}}" for name in values)
    assert fill(template, values) == " | ".join(values.values())
