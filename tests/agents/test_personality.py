"""Personality blocks and competencies: wording by intensity, combination, scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gathering
from gathering.agents import BEHAVIOURS, EMOTIONS, PROFESSIONS, TRAITS, Competency, PersonalityBlock
from gathering.agents.library import CONFLICTS, LIBRARY
from gathering.agents.personality import conflicts
from gathering.core.errors import ConfigurationError, UnknownNameError


@pytest.mark.parametrize("trait", sorted(TRAITS))
def test_each_trait_of_the_library_makes_one_sentence(trait: str) -> None:
    """It names the trait and ends as a sentence does."""
    (sentence,) = PersonalityBlock(trait).get_prompt_modifiers()
    assert sentence.startswith(f"You are {trait}: you ")
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hopeful", "You feel hopeful: you expect that it will turn out well."),
        ("asks_back", "You often ask what the other person means before you answer."),
        (
            "engineer",
            "You work as an engineer: you ask for requirements, limits and what happens when it fails.",
        ),
    ],
)
def test_each_kind_has_its_own_beginning(name: str, sentence: str) -> None:
    """Somebody is, feels, does, or works as something."""
    assert PersonalityBlock(name).get_prompt_modifiers() == [sentence]


def test_every_entry_of_the_library_is_a_sentence_and_has_one_kind() -> None:
    """At every intensity; no name stands in two of its parts."""
    for name in LIBRARY:
        for intensity in (0.1, 0.5, 0.7, 1.0):
            (sentence,) = PersonalityBlock(name, intensity).get_prompt_modifiers()
            assert sentence.startswith("You ")
            assert sentence.endswith(".")
    assert len(LIBRARY) == sum(map(len, (TRAITS, EMOTIONS, BEHAVIOURS, PROFESSIONS)))
    assert {name for pair in CONFLICTS for name in pair} <= set(LIBRARY)


def test_what_clashes_is_said_once_with_what_to_do() -> None:
    """Both names are in the warning; a block of intensity 0 clashes with nothing."""
    with pytest.warns(UserWarning, match=r"'ada' asks for opposite things \(formal with casual\): leave one"):
        gathering.Agent("ada", llm_provider="local", personality_blocks=["formal", "calm", "casual"])
    assert conflicts([PersonalityBlock("formal"), PersonalityBlock("casual", 0)]) == []
    assert conflicts([PersonalityBlock("own", prompt="Rhyme."), PersonalityBlock("casual")]) == []


def test_intensity_scales_the_wording() -> None:
    """Four wordings, and none at zero."""
    wordings = [PersonalityBlock("curious", i).get_prompt_modifiers() for i in (0, 0.1, 0.5, 0.8, 1)]
    assert wordings[0] == []
    assert [w[0].split(":")[0] for w in wordings[1:]] == [
        "You are slightly curious", "You are curious", "You are very curious", "You are extremely curious",
    ]  # fmt: skip


@given(st.floats(0, 1))
def test_any_intensity_in_range_has_a_wording(intensity: float) -> None:
    """At most one sentence, whatever the figure; a custom block as well."""
    assert len(PersonalityBlock("calm", intensity).get_prompt_modifiers()) <= 1
    assert len(PersonalityBlock("own", intensity, prompt="Rhyme.").get_prompt_modifiers()) <= 1


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_an_intensity_or_level_out_of_range_is_refused(bad: float) -> None:
    """Zero to one, nothing else."""
    with pytest.raises(ConfigurationError, match="0 to 1"):
        PersonalityBlock("curious", bad)
    with pytest.raises(ConfigurationError, match="0 to 1"):
        Competency("maths", bad)


def test_an_unknown_trait_names_the_nearest_and_the_way_out() -> None:
    """Either the right name, or a prompt of one's own."""
    with pytest.raises(UnknownNameError, match=r"did you mean 'formal'\?.*prompt of its own"):
        PersonalityBlock("formel")


def test_blocks_combine() -> None:
    """The same trait is averaged; different ones are both said."""
    same = PersonalityBlock("calm", 0.2).combine(PersonalityBlock("calm", 0.8))
    assert same.intensity == 0.5
    both = PersonalityBlock("calm").combine(PersonalityBlock("curious")).combine(PersonalityBlock("formal"))
    assert both.name == "calm+curious+formal"
    assert len(both.get_prompt_modifiers()) == 3


def test_a_competency_speaks_after_its_level_and_scores_a_task() -> None:
    """Its words point to it; another field scores zero."""
    maths = Competency("mathematics", 0.9, keywords=["equation"])
    assert maths.get_prompt_enhancement() == "You are an expert in mathematics."
    assert maths.can_handle_task("Help with maths homework") == 0.9
    assert maths.can_handle_task("Solve the equations") == 0.9
    assert maths.can_handle_task("Translate a poem") == 0.0
