"""Checks: each holds where it should, fails where it should in one readable line, and is a row of the trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gathering
from gathering import Agent, Reply, ToolCall, Usage
from gathering.core.errors import CheckFailedError, ConfigurationError, UnknownNameError
from gathering.notebook.checking import check_reply
from gathering.notebook.parse import parse
from gathering.storage import SQLiteStore, Trace
from gathering.testing import Check, ScriptedProvider

SCHEMA = {"title": "Sum", "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
def store() -> Iterator[SQLiteStore]:
    with SQLiteStore(":memory:") as made:
        yield made


def reply(text: str = "15% of 2500 is 375.", **more: Any) -> Reply:
    calls = (ToolCall("c1", "calculator", {"expression": "15% of 2500"}),)
    known = {"usage": Usage(20, 10), "cost": 0.001, "latency": 1.5, "tool_calls": calls, "agent": "ada"}
    return Reply(text, **{**known, **more})


HOLDS: dict[str, Callable[[Check], Check]] = {
    "contains": lambda c: c.contains("375", 2500),
    "contains in any case": lambda c: c.contains("IS", ignore_case=True),
    "lacks": lambda c: c.lacks("376", "about"),
    "matches": lambda c: c.matches(r"\b\d{3}\."),
    "equals": lambda c: c.equals("15% of 2500 is 375."),
    "max_tokens": lambda c: c.max_tokens(10),
    "max_cost": lambda c: c.max_cost(0.001),
    "max_latency": lambda c: c.max_latency(2),
    "tool_called": lambda c: c.tool_called("calculator"),
    "tool_called with": lambda c: c.tool_called("calculator", expression="15% of 2500"),
    "no_tool of a name": lambda c: c.no_tool("database"),
    "satisfies": lambda c: c.satisfies(lambda r: len(r.text) < 100),
}
FAILS: dict[str, tuple[Callable[[Check], Check], str]] = {
    "contains": (
        lambda c: c.contains("375", "376"),
        "contains '376' does not hold for the answer of ada: expected 376, got 15%",
    ),
    "contains in its case": (lambda c: c.contains("IS"), "expected IS"),
    "lacks": (lambda c: c.lacks("375"), "expected no '375'"),
    "matches": (lambda c: c.matches(r"^\d{3}$"), "matches"),
    "equals": (lambda c: c.equals(375), "equals 375"),
    "json_schema": (lambda c: c.json_schema(SCHEMA), "is not of type 'object'"),
    "max_tokens": (lambda c: c.max_tokens(9), "expected at most 9, got 10"),
    "max_cost": (lambda c: c.max_cost(0.0005), "expected at most 0.0005, got 0.001"),
    "max_latency": (lambda c: c.max_latency(1), "got 1.5"),
    "tool_called": (lambda c: c.tool_called("database"), "got calculator(expression="),
    "tool_called with": (
        lambda c: c.tool_called("calculator", expression="1"),
        "tool_called calculator(expression='1')",
    ),
    "no_tool": (lambda c: c.no_tool(), "expected no call, got calculator"),
    "refused": (lambda c: c.refused(), "expected a refusal, got stop"),
    "satisfies": (lambda c: c.satisfies(is_short), "satisfies is_short"),
    "satisfies with a reason": (lambda c: c.satisfies(explains), "too long by far"),
}


def is_short(one: Reply) -> bool:
    return len(one.text) < 5


def explains(one: Reply) -> bool:
    assert len(one.text) < 5, "too long by far"
    return True


@pytest.mark.parametrize("what", HOLDS)
def test_what_holds_gives_the_check_back(what: str, store: SQLiteStore) -> None:
    """So that the next expectation can be written behind it; its line is the same in every run."""
    checked = gathering.check(reply(), store=store)
    assert HOLDS[what](checked) is checked
    assert repr(checked).startswith("check passed: ")
    assert {row["passed"] for row in store.rows("checks")} == {True}


@pytest.mark.parametrize("what", FAILS)
def test_what_does_not_hold_is_one_readable_line(what: str, store: SQLiteStore) -> None:
    """An ``AssertionError`` for test runners; expected and got are in it and in the row."""
    does, words = FAILS[what]
    with pytest.raises(CheckFailedError) as caught:
        does(gathering.check(reply(), store=store))
    assert isinstance(caught.value, AssertionError)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    row = store.rows("checks")[-1]
    assert (row["passed"], row["action"], row["agent"]) == (False, "fail", "ada")


def test_structured_answers(store: SQLiteStore) -> None:
    """The value of a structured answer is what is compared, and a JSON text counts as one."""
    gathering.check(reply(output={"n": 375}), store=store).json_schema(SCHEMA).equals({"n": 375})
    gathering.check('{"n": 375}', store=store).json_schema(SCHEMA)
    with pytest.raises(CheckFailedError, match="'n' is a required property"):
        gathering.check("{}", store=store).json_schema(SCHEMA)


def test_a_cost_that_is_not_known_does_not_hold(store: SQLiteStore) -> None:
    """Unknown is not little."""
    with pytest.raises(CheckFailedError, match="got not known"):
        gathering.check(reply(cost=None), store=store).max_cost(1.0)


def test_a_refusal(store: SQLiteStore) -> None:
    """By the reason the answer ended for."""
    gathering.check(reply(finish_reason="refusal"), store=store).refused()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Das Wetter ist heute schön, und morgen wird es regnen.", "de"),
        ("Le temps est magnifique aujourd'hui et il pleuvra demain.", "fr"),
        ("The weather is lovely today and it will rain tomorrow.", "en"),
    ],
)
def test_the_language(text: str, code: str, store: SQLiteStore) -> None:
    """Of a whole sentence."""
    gathering.check(text, store=store).language(code)
    with pytest.raises(CheckFailedError, match="language es"):
        gathering.check(text, store=store).language("es")


def test_the_meaning(store: SQLiteStore) -> None:
    """Other words may say the same; other things do not."""
    answer = "The weather will be sunny tomorrow."
    gathering.check(answer, store=store).similar("Tomorrow it is going to be sunny.", 0.7)
    with pytest.raises(CheckFailedError, match=r"expected 0.7 or more, got 0\.\d\d: The weather"):
        gathering.check(answer, store=store).similar("My dog eats fish.", 0.7)


def test_a_verdict_is_a_model_s(store: SQLiteStore) -> None:
    """It is asked about the answer, its reason is said, and who decided is in the row."""
    judge = ScriptedProvider(
        ['{"holds": true, "reason": "It is."}', '{"holds": false, "reason": "It is rude."}']
    )
    gathering.check(reply(), store=store).judged("Is it polite?", by=judge)
    with pytest.raises(CheckFailedError, match="got no: It is rude"):
        gathering.check(reply(), store=store).judged("Is it polite?", by=judge)
    assert "15% of 2500 is 375." in judge.requests[0].messages[-1]["content"]
    assert [r["decided_by"] for r in store.rows("checks")] == ["scripted:script"] * 2


def test_the_rows_join_the_turn(store: SQLiteStore) -> None:
    """A check of an agent's reply has its turn's id; the frame has the columns of the contract."""
    ada = Agent("ada", llm_provider=ScriptedProvider(["Hello sk-Ab3dEfGh1jKlMnOpQrStUv"]), store=store)
    answer = ada.ask("Hi")
    gathering.check(answer, store=store).contains("Hello")
    frame = Trace(store).checks()
    assert frame.loc[0, "turn_id"] == answer.turn_id
    assert list(frame.columns) == [
        *("check_id", "turn_id", "agent", "kind", "check", "expected", "actual", "passed"),
        *("action", "decided_by", "cell", "created_at"),
    ]
    assert frame.loc[0, "actual"] == "Hello ***"


@pytest.mark.parametrize(
    ("does", "words"),
    [
        (lambda: gathering.check(7), "int is no answer"),  # type: ignore[arg-type]
        (lambda: gathering.check("x").matches("("), "no regular expression"),
        (lambda: gathering.check("x").json_schema({"type": "objekt"}), "no JSON schema"),
    ],
)
def test_a_check_that_is_none(does: Callable[[], Any], words: str) -> None:
    """A mistake in the check is not a failure of the answer."""
    with pytest.raises(ConfigurationError, match=words):
        does()


# -- in a cell ---------------------------------------------------------------------------------------------------


def variable(name: str) -> Any:
    return {"schema": SCHEMA}[name]


def test_a_line_of_options() -> None:
    """All of them in one line; every one that fails is named, not the first alone."""
    options = {"contains": "375", "tool_called": "calculator", "max_cost": 0.01, "output": "x"}
    shown = repr(check_reply(reply(), options, variable))
    assert shown == "check passed: contains '375'; tool_called calculator; max_cost 0.01"
    with pytest.raises(CheckFailedError, match=r"contains '376' .*; check no_tool") as caught:
        check_reply(reply(), {"contains": "376", "no_tool": True, "max_tokens": 10}, variable)
    assert "max_tokens" not in str(caught.value)
    with pytest.raises(CheckFailedError, match="json_schema Sum"):
        check_reply(reply(), {"json_schema": "schema"}, variable)


def test_an_option_counts_each_time_it_is_given() -> None:
    """Every text is looked for, not the last alone."""
    options = parse("check reply --contains 376 --contains 375 --lacks about --lacks is").options
    with pytest.raises(CheckFailedError, match="contains '376' .*; check lacks 'is'"):
        check_reply(reply(), options, variable)


def test_a_call_with_its_arguments_and_a_function_of_ones_own() -> None:
    """As in Python: the arguments are among others, and the function is one of the notebook."""
    line = """check reply --tool-called 'calculator(expression="15% of 2500")' --satisfies short"""
    said = repr(check_reply(reply(), parse(line).options, {"short": lambda r: len(r.text) < 99}.__getitem__))
    assert said == "check passed: tool_called calculator(expression='15% of 2500'); satisfies short"
    with pytest.raises(CheckFailedError, match="expected a call of it, got calculator"):
        check_reply(reply(), parse("check reply --tool-called calculator(expression=1)").options, variable)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to check"),
        ({"tool_called": ["calculator(1)"]}, "write NAME, or"),
        ({"tool_called": ["calculator(a=f())"]}, "write NAME, or"),
        ({"satisfies": ["schema"]}, "it is no function"),
        ({"contains": "a", "by": "local"}, "belongs to --judged"),
        ({"judged": "?"}, "add --by"),
    ],
)
def test_options_that_make_no_check(options: dict[str, Any], words: str) -> None:
    """What to add is said."""
    with pytest.raises(ConfigurationError, match=words):
        check_reply(reply(), options, variable)


def test_a_variable_that_is_not_there_is_named() -> None:
    """With the nearest one that is."""
    from gathering.notebook.space import Space

    with pytest.raises(UnknownNameError, match="did you mean 'reply'"):
        Space({"reply": 1}).value("repyl")
