"""Bodies as JSON: what goes out and comes in whole, whatever is in it, and what is said of what is no JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from noise import JSON

from gathering.core.errors import ConfigurationError, MalformedResponseError
from gathering.llm.bodies import encoded, parsed
from gathering.llm.figures import count_of


@given(JSON)
def test_what_goes_out_is_what_was_given(value: Any) -> None:
    """Every text, number and nesting, read again by Python's own JSON."""
    sent = json.loads(encoded({"value": value}))
    assert repr(sent["value"]) == repr(json.loads(json.dumps(value)))


def test_half_a_pair_goes_out_escaped() -> None:
    """It has no UTF-8 form; the words around it arrive."""
    assert json.loads(encoded({"text": "so \ud83d und ü"})) == {"text": "so \ud83d und ü"}
    assert encoded({"text": "ü"}) == '{"text":"ü"}'.encode()


def test_what_has_no_json_form_is_a_mistake_in_the_call() -> None:
    """Said in one line, before anything is sent."""
    circle: list[Any] = []
    circle.append(circle)
    for value in (object(), circle):
        with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
            encoded({"value": value})


@pytest.mark.parametrize(
    "text",
    [
        b'"\\ud83d"',  # half a pair, as some models write it
        '{"a": "é"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"a": 1}',
        b"[" * 300 + b"]" * 300,
        b"[NaN, 1e999, 123456789012345678901234567890]",
    ],
)
def test_odd_answers_are_read_as_python_reads_them(text: bytes) -> None:
    """The faster reader refuses some of these; nobody notices."""
    assert repr(parsed(text)) == repr(json.loads(text))


@pytest.mark.parametrize("text", [b"", b"<html>", b"{", b"\xff\xfe\xff", b"[" * 200_000])
def test_what_is_no_json_is_said_to_be_what_it_is(text: bytes) -> None:
    """A typed error, also for what is nested deeper than anything can be read."""
    with pytest.raises(MalformedResponseError, match="in place of JSON"):
        parsed(text)


@pytest.mark.parametrize("figure", [-1, 10**400, math.nan, math.inf, "12", True, None, [1]])
def test_a_figure_that_is_no_count_is_unknown(figure: Any) -> None:
    """A negative one would be money back, an endless one a bill nobody owes."""
    assert count_of(figure) is None
