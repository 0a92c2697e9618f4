"""The line of ``%gathering``: words, options, text and body."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import ConfigurationError, GatheringError, UnknownNameError
from gathering.notebook.grammar import SUBCOMMANDS
from gathering.notebook.parse import clean_body, parse, words


def test_nothing_is_the_status() -> None:
    """An empty line asks for the status."""
    assert parse("").subcommand.name == "status"


def test_the_text_after_name_and_options_is_taken_as_it_is() -> None:
    """Apostrophes, quotes, braces, dollars and inner spaces of the text need no care."""
    request = parse("""ask ada -o reply What's  "15%" of {x} and $5?""")
    assert request.names == ["ada"]
    assert request.output == "reply"
    assert request.text == """What's  "15%" of {x} and $5?"""


def test_an_at_sign_asks_an_agent() -> None:
    """``@ada`` is short for ``ask ada``."""
    request = parse("@ada --temperature 0.5 hello")
    assert (request.subcommand.name, request.names, request.text) == ("ask", ["ada"], "hello")
    assert request.options == {"temperature": 0.5}


def test_two_dashes_end_the_options() -> None:
    """After ``--`` a text may begin with a dash; a negative number may anyway."""
    assert parse("@ada -- --show me").text == "--show me"
    assert parse("@ada -5 + 3?").text == "-5 + 3?"


def test_a_value_may_be_quoted_or_attached() -> None:
    """Words are quoted as in a POSIX shell, and ``--option=value`` is one word."""
    request = parse("""tape "my tapes/a b.jsonl" --mode=replay""")
    assert request.names == ["my tapes/a b.jsonl"]
    assert request.options == {"mode": "replay"}


def test_a_result_can_be_assigned_by_arrows() -> None:
    """``name << ...`` stores as ``-o name`` does."""
    assert parse("reply << ask ada hello").output == "reply"
    assert parse("@ada what is 1 << 4?").text == "what is 1 << 4?"


def test_a_semicolon_at_the_end_silences() -> None:
    """A trailing ``;`` is not part of the text."""
    request = parse("@ada hello;")
    assert request.silent
    assert request.text == "hello"


def test_line_and_cell_are_one_prompt() -> None:
    """What stands on the line comes before the cell."""
    assert parse("@ada Translate:", "bonjour\n").prompt == "Translate:\nbonjour"


def test_marks_for_a_test_runner_are_not_sent() -> None:
    """``# NBVAL_...`` lines are dropped from a cell, other comments stay."""
    assert clean_body("# NBVAL_IGNORE_OUTPUT\nWhy?\n# really\n") == "Why?\n# really"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("comparee local", "did you mean 'compare'?"),
        ("ask ada --modle x hi", "did you mean '--model'?"),
        ("ask ada --temperature hot hi", "give a number"),
        ("ask ada --max-tokens 0 hi", "give a whole number of 1 or more"),
        ("ask ada -o 1x hi", "give a Python name"),
        ("ask ada --model", "--model needs a value"),
        ("ask ada --show=yes hi", "takes no value"),
        ("ask", "ask needs NAME"),
        ("@ hi", "names no agent"),
        ("use a b", "use has no use for 'b'"),
        ('tape "a b', "is not closed"),
        ("tape x --mode reply", "auto or record or replay or live"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(line: str, says: str) -> None:
    """Every mistake on the line names the right form."""
    with pytest.raises(ConfigurationError) as caught:
        parse(line)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cell_below_a_subcommand_without_one_is_refused() -> None:
    """A body that nothing reads is a mistake, not ignored."""
    with pytest.raises(ConfigurationError, match="takes no cell"):
        parse("models", "what?")


def test_help_is_asked_for_before_anything_is_checked() -> None:
    """``-h`` works on a line that is not complete."""
    assert parse("ask -h").options["help"]
    assert parse("-h").subcommand.name == "help"
    assert parse("--debug ask ada hi").options["debug"]


def test_unknown_subcommand_says_how_agents_are_asked() -> None:
    """A name in the subcommand's place was probably meant for an agent."""
    with pytest.raises(UnknownNameError, match="@NAME"):
        parse("zebra hello")


@given(st.text(max_size=200), st.none() | st.text(max_size=50))
def test_any_line_parses_or_says_what_is_wrong(line: str, body: str | None) -> None:
    """No line breaks the parser: it gives a request or one of our errors."""
    with contextlib.suppress(GatheringError):
        assert parse(line, body).subcommand.name in SUBCOMMANDS


@given(st.text(alphabet="abc{}$'\"%&|<>\\ ,.!?", min_size=1, max_size=60))
def test_text_after_two_dashes_is_never_changed(text: str) -> None:
    """Behind ``--`` every character reaches the agent."""
    stripped = text.strip()
    assert parse(f"@ada -- {text}").text == stripped


@given(st.text(max_size=80))
def test_words_cover_the_line_in_order(line: str) -> None:
    """The words of a half-typed line lie one after the other within it."""
    position = 0
    for word in words(line):
        assert position <= word.start < word.end <= len(line)
        position = word.end
