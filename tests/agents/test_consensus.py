"""What several agents agree on: how votes are read, counted, and tied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering import Agent, Conversation
from gathering.agents.consensus import Agreement, choices_in
from gathering.testing import ScriptedProvider

OPTIONS = ["tea", "coffee", "water"]


def decide(rule: object, *votes: list[str], options: list[str] | None = None) -> Agreement:
    agents = [Agent(f"a{n}", llm_provider=ScriptedProvider(v)) for n, v in enumerate(votes)]
    return Conversation(agents).decide("What?", options or OPTIONS, rule)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("2", ["coffee"]),
        ("**2.** because", ["coffee"]),
        ("Option 3\nI like 1 too", ["water"]),
        ("3, 1, 2", ["water", "tea", "coffee"]),
        ("3 > 1 > 2", ["water", "tea", "coffee"]),
        ("1, 1, 9", ["tea"]),
        ("Water, then Tea", ["water", "tea"]),
        ("I have 2 cats", []),
        ("", []),
        ("no idea", []),
        ("0", []),
    ],
)
def test_a_vote_is_read_from_its_first_line(text: str, choices: list[str]) -> None:
    """By number, else by an option's own words; a vote that names none is an abstention."""
    assert choices_in(text, OPTIONS) == choices


@given(st.text(), st.lists(st.text(min_size=1), unique=True, max_size=5))
def test_any_words_are_a_vote_or_none(text: str, options: list[str]) -> None:
    """Never an error, never an option that is not there, never one twice."""
    found = choices_in(text, options)
    assert set(found) <= set(options)
    assert len(found) == len(set(found))


def test_a_majority_is_more_than_half_of_the_votes_cast() -> None:
    """Abstentions do not count; the tally and the reason say how it was."""
    agreement = decide("majority", ["1"], ["1"], ["2"], ["..."])
    assert (agreement.winner, agreement.reason) == ("tea", "2 of 3 votes")
    assert agreement.tally == {"tea": 2, "coffee": 1, "water": 0}


def test_without_a_majority_the_two_that_lead_go_into_a_second_round() -> None:
    """Ties for the second place go by the order of the options; a tie of two is undecided."""
    agreement = decide("majority", ["1", "1"], ["2", "2"], ["3", "1"])
    assert (agreement.winner, [v.round for v in agreement.votes]) == ("tea", [1, 1, 1, 2, 2, 2])
    assert decide("majority", ["1"], ["2"], options=["tea", "coffee"]).winner is None
    assert str(decide("majority", ["?"], ["?"])) == "undecided"


def test_borda_counts_places() -> None:
    """The one everybody can live with beats the one half of them hates."""
    agreement = decide("borda", ["1, 2, 3"], ["1, 2, 3"], ["2, 3, 1"], ["2, 3, 1"], ["2, 1, 3"])
    assert agreement.winner == "coffee"
    assert agreement.tally == {"tea": 5, "coffee": 8, "water": 2}
    assert decide("borda", ["?"]).winner is None


def test_approval_counts_everything_one_can_live_with() -> None:
    """Ties go by the order of the options."""
    assert decide("approval", ["1, 3"], ["3"], ["2"]).winner == "water"
    assert decide("approval", ["2"], ["1"]).winner == "tea"
    assert decide("approval", ["?"]).reason == "nobody approves of anything"


def test_unanimity_reads_objections_to_all_and_ends() -> None:
    """They vote again with the others' reasons, as often as is allowed."""
    agents = [
        Agent("ada", llm_provider=ScriptedProvider(["1 warm", "1", "1"])),
        Agent("bob", llm_provider=ScriptedProvider(["2 strong", "1 fine"])),
    ]
    agreement = Conversation(agents).decide("What?", OPTIONS, "unanimity")
    assert (agreement.winner, agreement.reason) == ("tea", "all agree in round 2")
    assert "bob: 2 strong" in agents[0].llm_provider.requests[1].messages[-1]["content"]  # type: ignore[attr-defined]
    left = decide({"name": "unanimity", "rounds": 1}, ["1"], ["2"])
    assert left.winner is None
    assert left.reason == "objections are left: a0 is for tea; a1 is for coffee"


def test_a_judge_decides_alone() -> None:
    """A helper, or the first of them; a judge that names nothing leaves it undecided."""
    judge = Agent("judge", llm_provider=ScriptedProvider(["2", "none of them"]))
    conversation = Conversation([Agent("ada", llm_provider=ScriptedProvider([]))], helpers=[judge])
    assert conversation.decide("What?", OPTIONS, "judge").winner == "coffee"
    assert conversation.decide("What?", OPTIONS, "judge").winner is None


def test_without_options_the_last_words_are_the_proposals() -> None:
    """Each agent's own, the same words once."""
    agents = [
        Agent(n, llm_provider=ScriptedProvider([w, "1"])) for n, w in (("ada", "Tea!"), ("bob", "Coffee!"))
    ]
    agreement = Conversation(agents, max_turns=2).run("Drinks?").decide("Whose?")
    assert agreement.options == ("Tea!", "Coffee!")
    assert agreement.winner == "Tea!"
    assert list(agreement.df()["agent"]) == ["ada", "bob"]
    assert "Whose?: Tea!" in agreement._repr_mimebundle_()["text/plain"]
