"""Conversations of several agents: who speaks, what each is told, how it ends, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gathering
from gathering import Agent, Competency, Conversation
from gathering.agents.consensus import RULES
from gathering.agents.strategies import STRATEGIES, Choice, Strategy
from gathering.core.errors import ConfigurationError, GatheringError, UnknownNameError
from gathering.core.interfaces import IAgent
from gathering.core.messages import Completion
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider


def agent(name: str, *answers: Any, **parts: Any) -> Agent:
    return Agent(name, llm_provider=ScriptedProvider(answers), **parts)


def counting(name: str, **parts: Any) -> Agent:
    """An agent that always has something new to say."""
    said = iter(range(1000))
    return agent(name, *[lambda messages: f"{name} says {next(said)}"] * 100, **parts)


def order(conversation: Conversation) -> list[str]:
    return [s.speaker for s in conversation.floor.speeches if s.turn]


def told(agent: Agent, number: int) -> str:
    provider = agent.llm_provider
    assert isinstance(provider, ScriptedProvider)
    return str(provider.requests[number].messages[-1]["content"])


def test_each_is_told_what_others_said_since_it_last_spoke() -> None:
    """Never its own words, nothing twice, and who else is there when it comes in."""
    ada, bob = agent("ada", "I am for tea.", "Still tea."), agent("bob", "Coffee.", "Coffee!")
    Conversation([ada, bob], max_turns=4).run("Tea or coffee?")
    assert (
        told(ada, 0)
        == "You are ada in a conversation with bob. Speak for yourself only.\nmoderation: Tea or coffee?"
    )
    assert told(bob, 0).endswith("moderation: Tea or coffee?\nada: I am for tea.")
    assert told(ada, 1) == "bob: Coffee."
    assert told(bob, 1) == "ada: Still tea."


def test_process_turn_gives_the_list_of_responses() -> None:
    """One turn at a time, as messages with a name; empty when it is over."""
    conversation = Conversation.create([counting("ada"), counting("bob")], max_turns=2)
    conversation.add_message({"role": "user", "content": "Begin.", "name": "teacher"})
    assert conversation.process_turn() == [{"role": "assistant", "name": "ada", "content": "ada says 0"}]
    assert conversation.process_turn()[0]["name"] == "bob"
    assert conversation.process_turn() == []
    assert conversation.ended == "ended after 2 turns (max_turns)"
    assert conversation.get_history()[0] == {"role": "user", "name": "teacher", "content": "Begin."}


async def test_everyone_speaks_side_by_side_and_hears_the_others_afterwards() -> None:
    """In one turn nobody hears the others of it; in the next each hears all of them."""
    ada, bob = counting("ada"), counting("bob")
    conversation = await Conversation([ada, bob], strategy="everyone", max_turns=2).run_async("Go.")
    assert [(s.turn, s.speaker) for s in conversation.floor.speeches] == [
        (0, "moderation"),
        (1, "ada"),
        (1, "bob"),
        (2, "ada"),
        (2, "bob"),
    ]
    assert "bob" not in told(ada, 0).split("\n", 1)[1]
    assert told(ada, 1) == "bob: bob says 0"
    assert told(bob, 1) == "ada: ada says 0"


def test_whoever_is_named_speaks_next() -> None:
    """As a word or with @, in any case; the next in order when nobody is."""
    ada = agent("ada", "What do you think, @Cleo?", "Adamant.")
    conversation = Conversation(
        [ada, agent("bob", "Hm."), agent("cleo", "Let me see, bobsled.")], strategy="mention", max_turns=3
    )
    assert order(conversation.run("Begin.")) == ["ada", "cleo", "ada"]


def test_a_moderator_calls_and_ends() -> None:
    """The moderator only moderates; an answer that names nobody is the next in order; END ends."""
    chair = agent("chair", "I call bob.", "Who knows...", "END")
    conversation = Conversation(
        [chair, counting("ada"), counting("bob")], strategy="moderator", max_turns=9
    ).run("Discuss.")
    assert order(conversation) == ["bob", "ada"]
    assert conversation.ended == "chair ended it"
    assert [s.reason for s in conversation.floor.speeches[1:]] == [
        "called by chair",
        "chair named nobody: next in order",
    ]


def test_a_moderator_from_outside_is_a_helper() -> None:
    """It is asked and never listed among the speakers."""
    conversation = Conversation(
        [counting("ada"), counting("bob")],
        strategy={"name": "moderator"},
        helpers=[agent("chair", "ada", "end.")],
    ).run("Discuss.")
    assert order(conversation) == ["ada"]


def test_the_most_competent_one_bids_highest() -> None:
    """By competence for what was said last, never the same twice in a row, with the bids as the reason."""
    ada = agent("ada", "History is next.", "x", competencies=[Competency("mathematics", 0.9)])
    bob = agent("bob", "y", competencies=[Competency("history", 0.8)])
    conversation = Conversation([bob, ada], strategy="bidding", max_turns=2).run("A question of mathematics.")
    assert order(conversation) == ["ada", "bob"]
    assert "ada 0.90" in conversation.floor.speeches[1].reason


def test_a_graph_says_who_may_follow() -> None:
    """Along its edges to an end without one."""
    edges = {"ada": "bob", "bob": ["cleo"]}
    conversation = Conversation(
        [counting(n) for n in ("ada", "bob", "cleo")], strategy={"name": "graph", "edges": edges}
    )
    assert order(conversation.run("Go.")) == ["ada", "bob", "cleo"]
    assert conversation.ended == "no edge leads on from cleo"


def test_the_same_words_again_and_again_end_it() -> None:
    """A loop is noticed whatever the case and the spaces."""
    ada = agent("ada", "I agree.", "I  AGREE.", "i agree.")
    conversation = Conversation([ada, counting("bob")], max_turns=100).run("Well?")
    assert conversation.ended == "ended because ada said the same 3 times (repetitions)"


def test_a_ceiling_of_cost_ends_it() -> None:
    """What it has cost so far is counted after each turn."""

    class Dear(ScriptedProvider):
        def get_cost(self, usage: Any) -> float:
            return 0.4

    ada = Agent("ada", llm_provider=Dear(["a", "b", "c", "d"]), store=SQLiteStore(":memory:"))
    conversation = Conversation([ada], max_cost=1.0).run("Go.")
    assert len(order(conversation)) == 3
    assert "max_cost" in str(conversation.ended)


def test_moderation_and_votes_cost_too(tmp_path: Path) -> None:
    """A moderator's answers are no speeches, and paid all the same; a saved conversation knows what they cost."""

    class Dear(ScriptedProvider):
        def get_cost(self, usage: Any) -> float:
            return 0.4

    judge = Agent("judge", llm_provider=Dear(["ada", "ada", "1", "1"]), store=SQLiteStore(":memory:"))
    talk = Conversation([counting("ada")], helpers=[judge], strategy="moderator", max_cost=0.7).run("Go.")
    assert len(order(talk)) == 2
    assert "max_cost" in str(talk.ended)
    talk.decide("Which?", ["tea", "coffee"], rule="judge")
    assert talk.cost == pytest.approx(1.2)
    talk.save(str(tmp_path / "talk.json"))
    again = Conversation.load(str(tmp_path / "talk.json"), [counting("ada")], [judge])
    assert again.cost == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_cost": -1}, "max_cost=-1"),
        ({"max_cost": "much"}, "max_cost='much'"),
        ({"max_cost": float("nan")}, "max_cost=nan"),
        ({"seed": None}, "seed=None"),
        ({"max_turns": None}, "max_turns=None"),
    ],
)
def test_an_option_that_is_none_is_said_in_one_line(options: dict[str, Any], says: str) -> None:
    """When the conversation is made, not when it would count."""
    with pytest.raises(ConfigurationError, match=says):
        Conversation([counting("ada")], **options)


@pytest.mark.parametrize("agents", [None, "ada", 3, counting("ada")], ids=str)
def test_what_is_no_list_of_agents_is_said_in_one_line(agents: Any) -> None:
    """Also one agent alone, which is no list."""
    with pytest.raises(ConfigurationError, match="list of agents"):
        Conversation(agents)


@pytest.mark.parametrize(
    ("question", "options"), [("", ["a"]), (None, ["a"]), ("Which?", "ab"), ("Which?", [1])]
)
def test_a_vote_about_nothing_is_refused(question: Any, options: Any) -> None:
    """Nobody is asked."""
    talk = Conversation([counting("ada")])
    with pytest.raises(ConfigurationError):
        talk.decide(question, options)
    assert talk.agreements == []


def test_a_turn_that_is_cut_is_as_if_it_had_not_been() -> None:
    """Stop, or a provider's error: the conversation can be gone on with."""
    bob = agent("bob", KeyboardInterrupt(), "Here I am.")
    conversation = Conversation([agent("ada", "One."), bob], max_turns=2)
    with pytest.raises(KeyboardInterrupt):
        conversation.run("Go.")
    assert order(conversation) == ["ada"]
    assert order(conversation.run()) == ["ada", "bob"]


def test_words_from_outside_go_on_with_one_that_had_ended() -> None:
    """With room for more turns, a new message wakes it up."""
    conversation = Conversation([counting("ada")], strategy={"name": "graph", "edges": {}}).run("Go.")
    assert conversation.ended is not None
    conversation.add_message("One more thing.")
    assert conversation.ended is None


def test_it_can_be_saved_in_the_middle_and_gone_on_with(tmp_path: Path) -> None:
    """The same inputs and the same seed give the same order, whether it was saved in between or not."""

    def fresh() -> list[Agent]:
        return [counting(n) for n in ("ada", "bob", "cleo", "dora")]

    options: dict[str, Any] = {"strategy": "bidding", "max_turns": 12, "seed": 7}
    whole = Conversation(fresh(), **options).run("Go.")
    half = Conversation(fresh(), **options)
    half.add_message("Go.")
    for _ in range(5):
        half.process_turn()
    path = str(tmp_path / "talk.json")
    half.save(path)
    loaded = Conversation.load(path, fresh())
    assert [m["content"] for m in loaded.floor.agents["ada"].memory.get_conversation_history()] == [  # type: ignore[attr-defined]
        m["content"]
        for m in half.floor.agents["ada"].memory.get_conversation_history()  # type: ignore[attr-defined]
    ]
    assert order(loaded.run()) == order(whole)


def test_a_saved_vote_comes_back(tmp_path: Path) -> None:
    """Agreements are part of the file."""
    conversation = Conversation([agent("ada", "1 yes"), agent("bob", "1 yes")])
    agreement = conversation.decide("Lunch?", ["soup", "salad"])
    conversation.save(str(tmp_path / "talk.json"))
    loaded = Conversation.load(str(tmp_path / "talk.json"), [counting("ada"), counting("bob")])
    assert loaded.agreements == [agreement]


def test_a_file_that_is_no_conversation_is_refused(tmp_path: Path) -> None:
    """Missing, foreign, of another version, damaged, or with agents that are not there: one line each."""
    path = tmp_path / "talk.json"
    Conversation([counting("ada")]).save(str(path))
    good = json.loads(path.read_text())
    broken = {k: v for k, v in good.items() if k != "strategy"}
    for text in ("", "[]", '{"gathering_conversation": 99}', json.dumps(broken)):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match="talk.json") as caught:
            Conversation.load(str(path), [counting("ada")])
        assert "\n" not in str(caught.value)
    path.write_text(json.dumps(good))
    with pytest.raises(ConfigurationError, match="needs the agents ada"):
        Conversation.load(str(path))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Conversation.load(str(tmp_path / "nowhere.json"))
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Conversation([counting("ada")]).save(str(tmp_path / "no" / "folder.json"))


def test_an_agent_of_one_s_own_takes_part() -> None:
    """Any ``IAgent`` with a name."""

    class Echo(IAgent):
        name = "echo"

        @classmethod
        def from_config(cls, config: Any) -> Any:
            return cls()

        def process_message(self, message: str) -> str:
            return message.splitlines()[-1]

    assert (
        Conversation([Echo()], max_turns=1).run("Hello?").get_history()[-1]["content"] == "moderation: Hello?"
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Conversation([]), "needs agents"),
        (lambda: Conversation([counting("ada"), counting("ada")]), "two agents are named 'ada'"),
        (lambda: Conversation(["ada"]), "cannot take part"),  # type: ignore[list-item]
        (lambda: Conversation([counting("ada")], strategy="rond_robin"), "did you mean 'round_robin'"),
        (lambda: Conversation([counting("ada")], strategy={"name": "graph"}), "cannot be made of"),
        (
            lambda: Conversation([counting("ada")], strategy={"name": "graph", "edges": {"ada": "eve"}}),
            "'eve'",
        ),
        (lambda: Conversation([counting("ada")], strategy="moderator"), "nobody to moderate"),
        (lambda: Conversation([counting("ada")], max_turns=0), "max_turns=0"),
        (lambda: Conversation([counting("ada")], helpers=[counting("ada")]), "an agent and a helper"),
        (lambda: Conversation([counting("ada")]).run("  "), "is empty"),
        (lambda: Conversation([counting("ada")]).decide("?", []), "nothing to decide"),
        (lambda: Conversation([counting("ada")]).decide("?", ["a"], "majorty"), "did you mean 'majority'"),
        (
            lambda: Conversation([counting("ada")]).decide("?", ["a"], {"name": "judge", "judge": "eve"}),
            "'eve'",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(make: Callable[[], Any], says: str) -> None:
    """Before anybody is asked."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_dialogue_can_be_read_and_tabled() -> None:
    """As text, as Markdown with names, and as a DataFrame with reasons and votes."""
    conversation = Conversation(
        [agent("ada", "Tea.", "1 it is warm"), agent("bob", "Coffee.", "1 fine")], max_turns=2
    ).run("Drinks?")
    conversation.decide("What is it?", ["tea", "coffee"])
    assert (
        repr(conversation)
        == "moderation: Drinks?\nada: Tea.\nbob: Coffee.\n(ended after 2 turns (max_turns))"
    )
    shown = conversation._repr_mimebundle_()
    assert "**bob**: Coffee." in shown["text/markdown"]
    assert "tea (majority: 2 of 2 votes)" in shown["text/markdown"]
    frame = conversation.df()
    assert list(frame["vote"].dropna()) == ["tea", "tea"]
    assert frame["turn_id"].notna().sum() == 2


def test_heard_is_called_with_each_speech() -> None:
    """As soon as it is said."""
    heard: list[str] = []
    Conversation([counting("ada"), counting("bob")], max_turns=3).run(
        "Go.", heard=lambda s: heard.append(s.speaker)
    )
    assert heard == ["ada", "bob", "ada"]


class Endless(Strategy):
    """A strategy that never ends by itself."""

    name = "endless"

    def choose(self, floor: Any) -> Any:
        yield from ()
        return Choice((floor.chance.choice(floor.names),), "by chance")


_talk = st.lists(
    st.sampled_from(["ada", "bob", "cleo", "END", "1", "2, 1", "nothing", "", "@bob?"]),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(
    strategy=st.sampled_from([*STRATEGIES, "endless"]),
    rule=st.sampled_from(list(RULES)),
    talk=_talk,
    turns=st.integers(1, 9),
    seed=st.integers(0, 3),
)
def test_every_strategy_and_rule_ends_within_its_bounds(
    strategy: str, rule: str, talk: list[str], turns: int, seed: int
) -> None:
    """Whatever the agents say: bounded turns, a bounded number of questions, and the same order each time."""

    def conversation() -> Conversation:
        def saying(name: str) -> Agent:
            words = iter(range(10_000))
            return agent(name, *[lambda messages: talk[next(words) % len(talk)]] * 200)

        how: Any = {
            "endless": Endless(),
            "graph": {"name": "graph", "edges": {"ada": ["bob", "cleo"], "bob": ["ada", "cleo"]}},
        }
        talked = Conversation(
            [saying(n) for n in ("ada", "bob", "cleo")],
            strategy=how.get(strategy, strategy),
            max_turns=turns,
            seed=seed,
        )
        talked.run("Go.")
        talked.decide("Which?", ["one", "two", "three"], rule)
        return talked

    one, two = conversation(), conversation()
    assert one.ended is not None
    assert one.floor.turn <= turns
    assert order(one) == order(two)
    assert one.agreements == two.agreements
    assert one.agreements[0].winner in (None, "one", "two", "three")
    asked = sum(len(a.llm_provider.requests) for a in one.floor.agents.values())  # type: ignore[attr-defined]
    assert asked <= 4 * turns + 3 * 3


def test_completions_of_any_kind_can_be_spoken() -> None:
    """A refusal is what was said, too."""
    conversation = Conversation(
        [agent("ada", Completion("", refusal="I would rather not."))], max_turns=1
    ).run("Go.")
    assert conversation.get_history()[-1]["content"] == "I would rather not."


def test_errors_of_a_provider_reach_the_caller() -> None:
    """They are not swallowed as silence."""
    with pytest.raises(GatheringError, match="no luck"):
        Conversation([agent("ada", GatheringError("no luck"))]).run("Go.")


def test_an_unknown_moderator_is_named() -> None:
    """With the nearest right name."""
    with pytest.raises(UnknownNameError, match="did you mean 'ada'"):
        Conversation([counting("ada"), counting("bob")], strategy={"name": "moderator", "moderator": "adda"})


def test_it_is_a_name_of_the_package() -> None:
    """``gathering.Conversation`` is the class."""
    assert gathering.Conversation is Conversation
