"""``{{ }}`` and nothing else is expanded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.notebook.expand import expand


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("15% of {{ amount }}", "15% of 250"),
        ("{{amount}}{{ amount + 1 }}", "250251"),
        ("{{ {'a': {'b': 7}}['a']['b'] }}", "7"),
        ("{{ ', '.join(names) }}", "x, y"),
        ("{{ [n for n in names if n != 'x'] }}", "['y']"),
        ("{{ '{{' }} stays", "{{ stays"),
        ("{amount} $amount ${amount} {{}} }} {{", "{amount} $amount ${amount} {{}} }} {{"),
        ("title = {{Deep Learning}}", "title = {{Deep Learning}}"),
        ("{{ \n amount \n }}", "250"),
    ],
)
def test_only_double_braces_are_replaced(text: str, expanded: str) -> None:
    """An expression in double braces becomes its value; all else stays as it was."""
    assert expand(text, {"amount": 250, "names": ["x", "y"]}) == expanded


def test_a_missing_name_is_named_with_the_nearest_one() -> None:
    """A misspelt variable is an error before anything is sent."""
    with pytest.raises(UnknownNameError, match="unknown variable 'amuont': did you mean 'amount'"):
        expand("{{ amuont * 2 }}", {"amount": 1})


def test_what_an_expression_raises_becomes_one_line() -> None:
    """A failing expression is shown with its error and its source."""
    with pytest.raises(ConfigurationError, match=r"\{\{ 1 / 0 \}\} cannot be evaluated \(ZeroDivisionError"):
        expand("{{ 1 / 0 }}", {})


def test_a_broken_expression_is_a_mistake() -> None:
    """Spaced double braces are meant as an expression, so one that cannot be read is an error."""
    with pytest.raises(ConfigurationError, match="is no Python expression"):
        expand("{{ amount + }}", {"amount": 1})


@given(st.text(alphabet="ab{ }$%\n", max_size=100))
def test_text_without_an_expression_stays(text: str) -> None:
    """Without a closing pair of braces nothing is touched."""
    text = text.replace("}}", "} ")
    assert expand(text, {}) == text


@given(st.text(max_size=100))
def test_a_value_is_put_in_as_it_is(value: str) -> None:
    """The value's own braces and dollars are not expanded again."""
    assert expand("<{{ value }}>", {"value": value}) == f"<{value}>"


def test_a_large_text_of_open_braces_is_read_in_one_pass() -> None:
    """A megabyte of braces costs no more than its length."""
    text = "{{" * 500_000
    assert expand(text, {}) == text
