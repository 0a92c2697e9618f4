"""The grammar of a tool decision: only calls of offered tools, with what the question holds."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.messages import ToolSpec
from gathering.llm.grammar import decision, quoted, read_call

CALCULATOR: ToolSpec = {
    "name": "calculator",
    "description": "Calculates an arithmetic expression",
    "parameters": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
    "examples": [
        ["What is 6 times 9?", {"expression": "6 * 9"}],
        ["How much is 15% of 80?", {"expression": "15% of 80"}],
        ["What is the square root of 9?", {"expression": "sqrt(9)"}],
    ],
}
LOOKUP: ToolSpec = {
    "name": "lookup",
    "description": "The meaning of a word",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    "examples": [["What does ephemeral mean?", {"word": "ephemeral"}]],
}
FILES: ToolSpec = {
    "name": "files",
    "description": "Works with files",
    "parameters": {
        "type": "object",
        "properties": {
            "action": {"enum": ["read", "list"]},
            "path": {"type": "string"},
            "lines": {"type": "integer"},
            "all": {"type": "boolean"},
        },
        "required": ["action", "path", "lines", "all"],
    },
}


def grammar(question: str, *tools: ToolSpec) -> str:
    """The grammar of the decision."""
    made = decision(question, tools)
    assert made is not None
    return made.grammar


def test_calculator_gets_the_numbers_of_the_question() -> None:
    """No number but the question's can be written."""
    assert grammar("What is 12 times 7?", CALCULATOR) == (
        'root ::= tool0\ntool0 ::= "calculator(" "12" (" * ") "7" ")"'
    )


def test_percentages_are_written_as_the_tool_writes_them() -> None:
    """A tool whose examples show ``% of`` gets it; another one gets it spelled out."""
    assert '"15% of 2500"' in grammar("What is 15% of 2500?", CALCULATOR)
    bare = {k: v for k, v in CALCULATOR.items() if k != "examples"}
    assert '"15 / 100 * 2500"' in grammar("What is 15% of 2500?", bare)


def test_unsaid_operators_are_left_to_the_model() -> None:
    """Where the question names no operator the grammar allows all four."""
    assert '(" + " | " - " | " * " | " / ")' in grammar("How much are 3 pens for 2 dollars?", CALCULATOR)


@pytest.mark.parametrize(
    "question",
    [
        "Hello!",
        "What is your name?",
        "What happened in 1939?",
        "Which cities had fairs from 1851 to 1900?",
        "",
        "%",
        "5",
    ],
)
def test_no_tool_for_a_question_that_asks_for_none(question: str) -> None:
    """Without a calculation to do the calculator is not offered; nothing is left to decide."""
    assert decision(question, [CALCULATOR]) is None


def test_only_fitting_tools_are_offered() -> None:
    """The calculator drops out of a question for a word, the lookup out of a calculation."""
    assert "calculator" not in grammar("What does austere mean?", CALCULATOR, LOOKUP)
    assert "lookup" not in grammar("What is 3 plus 4?", CALCULATOR, LOOKUP)


def test_required_offers_every_tool() -> None:
    """``required`` does not ask whether the question fits."""
    made = decision("Hello!", [CALCULATOR, LOOKUP], required=True)
    assert made is not None
    assert "calculator(" in made.grammar
    assert "lookup(" in made.grammar


def test_words_come_from_the_question() -> None:
    """A one-word argument is one of the question's telling words."""
    assert '("austere" | "mean")' in grammar("What does austere mean?", LOOKUP)


def test_shots_of_tools_take_turns() -> None:
    """The examples alternate, so that the last ones do not all belong to one tool."""
    made = decision("What does 3 plus 4 mean?", [CALCULATOR, LOOKUP])
    assert made is not None
    assert re.findall(r"A: (\w+)\(", made.prompt)[:2] == ["calculator", "lookup"]
    assert made.prompt.endswith("Q: What does 3 plus 4 mean?\nA: ")


def test_objects_follow_the_schema() -> None:
    """Enumerations, words, numbers and booleans each get their own alternatives."""
    rule = grammar("Read 20 lines of files a.txt", FILES)
    assert r'("\"read\"" | "\"list\"")' in rule
    assert r'"\"a.txt\""' in rule
    assert '"\\"lines\\": " ("20")' in rule
    assert '("true" | "false")' in rule


def test_nested_and_referenced_schemas_end() -> None:
    """A schema that refers to itself gives a grammar of bounded size."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "required": ["next"]}
    spec = {
        "name": "walk",
        "description": "Walks",
        "parameters": {
            "type": "object",
            "properties": {
                "start": {"$ref": "#/$defs/Node"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["start", "tags"],
            "$defs": {"Node": node},
        },
    }
    assert len(grammar("Walk the tree", spec)) < 5000


def test_line_becomes_a_call() -> None:
    """The model's line is read back into name and arguments."""
    tools = [CALCULATOR, LOOKUP, FILES]
    assert read_call("calculator((1 + 2) * 3)", tools, "c1").arguments == {"expression": "(1 + 2) * 3"}
    assert read_call(" lookup(arid) ", tools, "c1").arguments == {"word": "arid"}
    assert read_call('files({"action": "read"})', tools, "c1").arguments == {"action": "read"}


@pytest.mark.parametrize("line", ["", "calculator(1 + ", "files({", "other(1)", 'files({"a": )'])
def test_broken_line_is_a_malformed_call(line: str) -> None:
    """A line that was cut off is kept as it is, to be refused by name."""
    assert read_call(line, [CALCULATOR, FILES], "c1").malformed is not None


@given(st.text(max_size=300))
def test_any_question_gives_a_sound_grammar(question: str) -> None:
    """Whatever is asked, quotes are balanced, lines are rules, and the prompt can be sent."""
    made = decision(question, [CALCULATOR, LOOKUP, FILES], required=True)
    assert made is not None
    json.dumps(made.prompt).encode("utf-8")
    made.prompt.encode("utf-8")
    for line in made.grammar.split("\n"):
        assert re.match(r"(root|tool\d+) ::= ", line)
        bare = re.sub(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]', "", line)
        assert '"' not in bare
        assert bare.count("(") == bare.count(")")


@given(st.text(max_size=50))
def test_quoting_can_be_undone(text: str) -> None:
    """A terminal reads back as the text it was made of."""
    inside = quoted(text)[1:-1]
    steps = {"\\\\": "\\", '\\"': '"'}
    plain = re.sub(
        r'\\x([0-9a-f]{2})|\\\\|\\"', lambda m: chr(int(m[1], 16)) if m[1] else steps[m[0]], inside
    )
    assert plain == text


def test_a_very_long_question_stays_small() -> None:
    """A megabyte of text makes no megabyte of grammar."""
    made = decision("files " + "word " * 250_000, [FILES])
    assert made is not None
    assert len(made.grammar) + len(made.prompt) < 60_000
