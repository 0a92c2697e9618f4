"""Guardrails: what they block, rewrite and flag, on the way in and out, as rows, and outside the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gathering import Agent
from gathering.agents import Guardrail
from gathering.core.budget import budget
from gathering.core.errors import BudgetExceededError, ConfigurationError
from gathering.core.events import TextDelta
from gathering.storage import SQLiteStore, Trace
from gathering.testing import ScriptedProvider

MAIL = r"[\w.]+@[\w.]+\w"


@pytest.fixture
def store() -> Iterator[SQLiteStore]:
    with SQLiteStore(":memory:") as made:
        yield made


def made(store: SQLiteStore, *rules: Any, answers: Any = ("Write to ada@b.org.", "Fine.", "Fine.")) -> Agent:
    return Agent("ada", llm_provider=ScriptedProvider(list(answers)), guardrails=rules, store=store)


def sent(agent: Agent, request: int = -1) -> list[str]:
    assert isinstance(agent.llm_provider, ScriptedProvider)
    return [m["content"] for m in agent.llm_provider.requests[request].messages]


def rows(store: SQLiteStore) -> list[tuple[Any, ...]]:
    return [(r["kind"], r["check"], r["action"], r["passed"]) for r in store.rows("checks")]


def test_an_answer_is_held_back(store: SQLiteStore) -> None:
    """The caller reads a refusal, also in a stream, and the tokens that were spent still count."""
    rule = Guardrail("no addresses", pattern=MAIL)
    ada = made(store, rule, answers=["Write to ada@b.org."] * 2)
    reply = ada.ask("How do I reach Ada?")
    assert reply.text == "[the answer was held back: guardrail 'no addresses']"
    assert reply.finish_reason == "content_filter"
    events = list(ada.stream("And now?"))
    assert "ada@b.org" not in "".join(e.text for e in events if isinstance(e, TextDelta))
    assert rows(store) == [("guardrail:output", "no addresses", "block", False)] * 2
    assert "ada@b.org" not in str(ada.memory.get_conversation_history())
    frame = Trace(store).checks()
    assert frame.loc[0, "turn_id"] == reply.turn_id
    assert frame.loc[0, "agent"] == "ada"


def test_an_answer_is_rewritten_or_flagged(store: SQLiteStore) -> None:
    """Rewritten it goes on without what was found; flagged it goes on as it is."""
    ada = made(store, Guardrail("addresses", pattern=MAIL, action="rewrite", replacement="[address]"))
    assert ada.ask("?").text == "Write to [address]."
    bob = made(store, Guardrail("seen", pattern=MAIL, action="flag"))
    assert bob.ask("?").text == "Write to ada@b.org."
    assert [action for _, _, action, _ in rows(store)] == ["rewrite", "flag"]


def test_a_message_is_not_sent(store: SQLiteStore) -> None:
    """The model is not asked, nothing is spent; the next turn works and does not send it either."""
    ada = made(store, {"name": "no numbers", "pattern": r"\d{4}", "on": "input"}, answers=["Fine."])
    reply = ada.ask("My card is 1234.")
    assert (reply.text, reply.finish_reason) == (
        "[the message was not sent: guardrail 'no numbers']",
        "content_filter",
    )
    assert ada.llm_provider.requests == []  # type: ignore[attr-defined]
    assert ada.ask("Hello").text == "Fine."
    assert "1234" not in str(sent(ada))


async def test_what_is_sent_is_rewritten_in_every_turn(store: SQLiteStore) -> None:
    """Also what was said before, and in awaited turns and streams."""
    ada = made(store, Guardrail("mail", pattern=MAIL, on="input", action="rewrite"), answers=["a", "b", "c"])
    await ada.ask_async("I am x@y.org")
    assert [e async for e in ada.stream("and z@y.org")]
    ada.ask("so?")
    assert [t for t in sent(ada) if "@" in t] == []
    assert sent(ada)[0] == "I am [removed]"


def test_a_function_and_a_schema(store: SQLiteStore) -> None:
    """A function says why, or the new text; a schema wants JSON that fits."""
    shout = Guardrail(
        "loud", function=lambda text: text.lower() if text.isupper() else None, action="rewrite"
    )
    assert made(store, shout, answers=["HELLO"]).ask("?").text == "hello"
    long = Guardrail("long", function=lambda text: "too long" if len(text) > 3 else None)
    assert made(store, long, answers=["Hello"]).ask("?").finish_reason == "content_filter"
    form = Guardrail("form", schema={"type": "object", "required": ["n"]})
    assert made(store, form, answers=['{"n": 1}']).ask("?").text == '{"n": 1}'
    assert made(store, form, answers=["Hello"]).ask("?").finish_reason == "content_filter"
    assert [r["actual"].split(":")[0] for r in store.rows("checks")][1:] == ["too long", "no JSON"]


@pytest.mark.parametrize(("verdict", "blocked"), [("Yes.", True), ("No.", False), ("Perhaps", True)])
@pytest.mark.parametrize("on", ["input", "output"])
async def test_a_model_decides(store: SQLiteStore, verdict: str, blocked: bool, on: Any) -> None:
    """What is neither yes nor no blocks; who decided is in the row."""
    judge = ScriptedProvider([verdict] * 2, name="judge")
    rule = Guardrail("rude", question="Is it rude?", by=judge, on=on)
    ada = made(store, rule, answers=["Hello"])
    reply = await ada.ask_async("Hi")
    assert (reply.finish_reason == "content_filter") is blocked
    assert "Is it rude?" in judge.requests[0].messages[-1]["content"]
    assert [r["decided_by"] for r in store.rows("checks")] == ["model"] * blocked


def test_thoughts_are_looked_at_too(store: SQLiteStore) -> None:
    """A rewritten one goes on without what was found, a blocked one takes its answer along; a schema is for answers."""
    said = {"thinking": "She is ada@b.org.", "content": "Fine."}
    reply = made(store, Guardrail("mail", pattern=MAIL, action="rewrite"), answers=[said]).ask("?")
    assert (reply.thinking, reply.text) == ("She is [removed].", "Fine.")
    blocked = made(store, Guardrail("mail", pattern=MAIL), answers=[said])
    stream = blocked.stream("?")
    done = list(stream)[-1]
    assert "ada@b.org" not in repr(done)
    assert (stream.reply.thinking, stream.reply.finish_reason) == ("", "content_filter")
    form = Guardrail("form", schema={"type": "object"})
    assert made(store, form, answers=[{"thinking": "Hm.", "content": "{}"}]).ask("?").text == "{}"


def test_a_model_that_guards_is_asked_like_any_other(store: SQLiteStore) -> None:
    """Its calls are rows, and a budget that has no room for it stops the turn instead of letting it through."""
    judge = ScriptedProvider(["No."] * 3, name="judge")
    ada = made(store, Guardrail("rude", question="Is it rude?", by=judge), answers=["Hello"] * 2)
    ada.ask("Hi")
    assert [r["agent"] for r in store.rows("calls")] == ["ada", "guardrail rude"]
    with budget(1.0, on_unknown="refuse"), pytest.raises(BudgetExceededError):
        ada.ask("Hi again")


def test_a_rule_that_breaks_lets_nothing_through(store: SQLiteStore) -> None:
    """Its error is why."""
    ada = made(store, Guardrail("broken", function=lambda text: 1 / 0))
    assert ada.ask("?").finish_reason == "content_filter"
    assert store.rows("checks")[0]["actual"].startswith("ZeroDivisionError")


def test_with_tools(store: SQLiteStore) -> None:
    """A turn of several rounds: a call passes, the answer after it is looked at."""
    call = {"tool_calls": [{"name": "calculator", "arguments": {"expression": "1+1"}}]}
    model = ScriptedProvider([call, "It is 2, ask ada@b.org."])
    rules = [Guardrail("mail", pattern=MAIL, action="rewrite"), Guardrail("in", pattern="x{9}", on="input")]
    ada = Agent("ada", llm_provider=model, tools=["calculator"], guardrails=rules, store=store)
    assert ada.ask("1+1?").text == "It is 2, ask [removed]."
    assert ada.fork().guardrails == tuple(rules)


def test_saved_and_described(store: SQLiteStore) -> None:
    """A rule of plain data comes back with a saved agent."""
    import gathering

    rule = {"name": "mail", "pattern": MAIL, "action": "flag"}
    ada = Agent.from_config({"name": "ada", "model": "local", "guardrails": [rule], "store": store})
    ada.save()
    assert gathering.load("ada", store=store).guardrails == (Guardrail(**rule),)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"name": "a"}, "needs one of"),
        ({"name": "a", "pattern": "(", "on": "output"}, "no regular expression"),
        ({"name": "a", "pattern": "a", "on": "both"}, "on is input or output"),
        ({"name": "a", "question": "?"}, "belong together"),
        ({"name": "a", "schema": {}, "action": "rewrite"}, "block or flag"),
        ({"pattern": "a"}, "name among them"),
        ("no mails", "its keys are"),
    ],
)
def test_what_is_no_rule(store: SQLiteStore, rule: Any, words: str) -> None:
    """One line, before anything is asked."""
    with pytest.raises(ConfigurationError, match=words):
        made(store, rule)


def test_two_of_one_name(store: SQLiteStore) -> None:
    """A row names one rule."""
    with pytest.raises(ConfigurationError, match="one name"):
        made(store, Guardrail("a", pattern="a"), Guardrail("a", pattern="b"))


def test_explain_shows_what_the_rules_do_to_the_message(store: SQLiteStore) -> None:
    """What is sent is what the rules let through; nothing is recorded, and a model that would be asked is not."""
    judge = ScriptedProvider([])
    ada = made(
        store,
        Guardrail("addresses", pattern=MAIL, on="input", action="rewrite", replacement="[address]"),
        Guardrail("shouting", function=str.isupper, on="input", action="flag"),
        Guardrail("advice", question="Is advice wanted?", by=judge, on="input"),
        Guardrail("answers", pattern="x"),
    )
    seen = ada.explain("I AM A@B.ORG")
    assert seen.messages[-1]["content"] == "I AM [address]"
    table = seen.df()
    assert list(table[table["role"] == "guardrail"]["source"]) == ["guardrail:addresses", "guardrail:advice"]
    assert "rewrites (pattern): I AM A@B.ORG" in repr(seen)
    assert "asks a model" in repr(seen)
    assert (judge.requests, rows(store)) == ([], [])
    ada.guardrails = ada.guardrails[:1]
    ada.ask("I am a@b.org")
    assert sent(ada)[-1] == ada.explain("I am a@b.org").messages[-1]["content"]


def test_explain_says_that_a_message_would_be_blocked(store: SQLiteStore) -> None:
    """Then nothing at all would be sent."""
    ada = made(store, Guardrail("no addresses", pattern=MAIL, on="input"))
    seen = ada.explain("I am a@b.org")
    assert (seen.messages, seen.tokens) == ([], 0)
    assert repr(seen).startswith(
        "ada would send nothing to scripted:script: a guardrail blocks the message\n"
    )
    assert "guardrail:no addresses" in repr(seen)
    assert [m["content"] for m in ada.explain("Hello").messages] == ["Hello"]
