"""What the embedded model is told a question holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import BadRequestError
from gathering.llm.local_dialect import chat_messages
from gathering.llm.local_question import arithmetic, numbers, spans, words


@pytest.mark.parametrize(
    ("question", "operand"),
    [
        ("What is 15% of 2500?", "15% of 2500"),
        ("What's 20 percent of $350?", "20% of 350"),
        ("What is 15 * 25 + 10?", "15 * 25 + 10"),
        ("What is (3 + 4) * 2?", "(3 + 4) * 2"),
        ("What is 2^10?", "2**10"),
        ("How much is 12 \u00d7 3?", "12 * 3"),
        ("What is 1,250 / 5?", "1250 / 5"),
        ("What is the square root of 144?", "sqrt(144)"),
        ("What is 12 squared?", "12 ** 2"),
        ("How much is 200 increased by 10%?", "200 + 10% of 200"),
        ("Reduce 80 by 25 percent", "80 - 25% of 80"),
    ],
)
def test_phrases_that_mean_one_expression(question: str, operand: str) -> None:
    """A written-out expression or a fixed phrase leaves nothing to choose."""
    asked = arithmetic(question)
    assert asked is not None
    assert asked.operands == (operand,)


@pytest.mark.parametrize(
    ("question", "operands", "operators"),
    [
        ("What is six times nine?", ("6", "9"), (("*",),)),
        ("Subtract 5 from 20.", ("20", "5"), (("-",),)),
        ("What is the sum of 4, 5 and 6?", ("4", "5", "6"), (("+",), ("+",))),
        ("If 4 friends share 100 dollars, how much is it?", ("100", "4"), (("/",),)),
        ("What is 15 * 25 plus 10?", ("(15 * 25)", "10"), (("+",),)),
    ],
)
def test_operands_and_operators(
    question: str, operands: tuple[str, ...], operators: tuple[tuple[str, ...], ...]
) -> None:
    """Numbers keep their order, turned round where the words say so; operators follow the words."""
    asked = arithmetic(question)
    assert asked is not None
    assert (asked.operands, asked.operators) == (operands, operators)


def test_then_closes_what_came_before() -> None:
    """'then' takes all that was said before as one."""
    asked = arithmetic("Add 12.5 and 7, then divide by 3.")
    assert asked is not None
    assert asked.closed == (False, True)


@pytest.mark.parametrize("question", ["From 1939 to 1945", "I am 30", "", "Which one?", "Call 112 or 911"])
def test_numbers_alone_are_no_calculation(question: str) -> None:
    """Years and names of numbers ask for nothing to be worked out."""
    assert arithmetic(question) is None


def test_words_and_spans() -> None:
    """Telling words once each; runs that begin and end with one; quoted parts first."""
    assert words("What does the word arid mean?") == ("word", "arid", "mean")
    assert spans("Weather for New York") == (
        "Weather",
        "Weather for New",
        "Weather for New York",
        "New",
        "New York",
        "York",
    )
    assert spans('Read "my file.txt" now')[0] == "my file.txt"
    assert numbers("from -3 to 4.5, 1,000 times") == ("-3", "4.5", "1000")


@given(st.text(alphabet="0123456789 .,+-*/()%^of percentsquared?\n", max_size=200))
def test_any_text_is_read_without_fail(question: str) -> None:
    """No text of numbers, signs and words raises, and what comes back is in balance."""
    asked = arithmetic(question)
    if asked is not None:
        assert len(asked.operators) == len(asked.closed) == len(asked.operands) - 1
        assert all(o.count("(") == o.count(")") for o in asked.operands)


def test_images_are_refused_and_not_dropped() -> None:
    """A model that cannot see says so before anything is sent."""
    message = {"role": "user", "content": "What is it?", "images": [{"url": "https://example.org/a.png"}]}
    with pytest.raises(BadRequestError, match="reads no images"):
        chat_messages([message])
