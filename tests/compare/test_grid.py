"""How a comparison looks: three forms, everything escaped, nothing that changes from run to run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.compare import Comparison, Plan
from gathering.compare.plan import Case, make_cases
from gathering.compare.result import FIGURES
from gathering.compare.scoring import make_scorers
from gathering.core import display


@pytest.fixture(autouse=True)
def _plain_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "_renderer", None)


def comparison(rows: list[dict[str, Any]], *, repeats: int = 1, prompt: str = "Why?") -> Comparison:
    """One case, as many models as rows and repeats make."""
    models = tuple(f"m{n}" for n in range(len(rows) // repeats))
    made = Comparison(Plan((Case(1, prompt),), models, repeats), make_scorers([len], FIGURES))
    for row, given_row in zip(made.rows, rows, strict=True):
        row |= given_row
    return made


FULL = {
    "output": "Because.",
    "status": "ok",
    "latency_ms": 1234.5,
    "input_tokens": 1000,
    "output_tokens": 20,
    "cost_usd": 0.00123,
    "len": 8,
}


def test_the_plain_form_reads_like_a_list() -> None:
    """Time, tokens, cost and scores stand under the answer, as far as they are known."""
    shown = comparison(
        [FULL, {"output": "Two\nlines", "status": "ok"}, {"status": "error", "error": "E: no"}]
    )
    assert str(shown) == (
        "1 case x 3 models: 2 answered, 1 failed\n\n"
        "[1] Why?\n"
        "  m0: Because.\n"
        "    1.23 s \u00b7 1,000 + 20 tokens \u00b7 0.0012 USD \u00b7 len: 8\n"
        "  m1: Two\n"
        "    lines\n"
        "  m2: failed: E: no"
    )
    assert repr(shown) == "Comparison(1 case x 3 models: 2 answered, 1 failed)"


@pytest.mark.parametrize(
    ("cost", "said"),
    [(0, "0 USD"), (0.00001, "<0.0001 USD"), (1.5, "1.5000 USD"), (None, "20 tokens \u00b7 len: 8")],
)
def test_a_cost_is_said_in_dollars_and_an_unknown_one_not_at_all(cost: float | None, said: str) -> None:
    """Nothing is rounded to free, and unknown is not 0."""
    assert said in str(comparison([FULL | {"cost_usd": cost}]))


def test_repeats_and_what_is_still_to_come_are_shown() -> None:
    """While it runs, and after it was stopped."""
    shown = comparison([FULL, {}, {"status": "interrupted"}, {"status": "ok", "output": ""}], repeats=2)
    text = str(shown)
    assert "1 case x 2 models x 2 repeats: 2 answered, 1 interrupted, 1 to come" in text
    assert "m0 (2): ..." in text
    assert "m1 (1): interrupted" in text
    assert "m1 (2): (empty answer)" in text


def test_the_markdown_form_is_one_table() -> None:
    """Line ends, bars and signs of Markdown in an answer stay text."""
    shown = comparison([{"output": "a | b\n*c* $d$ [e](f)", "status": "ok"}], prompt="x\ny")
    lines = shown._repr_mimebundle_()["text/markdown"].splitlines()
    assert lines[2:4] == ["| case | m0 |", "|---|---|"]
    assert lines[4] == r"| x<br>y | a \| b<br>\*c\* \$d\$ \[e\](f) |"


def test_the_html_form_is_a_table_with_headings() -> None:
    """One column for each model, one row for each case; colours are the page's own."""
    page = comparison([FULL, FULL])._repr_mimebundle_()["text/html"]
    assert page.count('<th scope="col" style="text-align: left">') == 3
    assert page.count('<th scope="row" style="text-align: left">') == 1
    assert page.count('<td style="text-align: left">') == 2
    assert "<caption>1 case x 2 models: 2 answered</caption>" in page
    assert "var(--jp-" in page
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|\bid=", page)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)


@given(st.text(max_size=40) | st.just("<script>alert(1)</script>") | st.just("<img src=x onerror=alert(1)>"))
def test_no_text_becomes_markup(text: str) -> None:
    """Not an answer, prompt, label, error or note."""
    made = Comparison(Plan((Case(1, text),), (text,)), ())
    made.rows[0] |= {"output": text, "status": "error", "error": text}
    made.notes.append(text)
    bundle = made._repr_mimebundle_()
    tags = _Tags()
    tags.feed(bundle["text/html"])
    assert tags.seen <= {"div", "style", "table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert "<script" not in bundle["text/markdown"]


def test_a_long_comparison_shows_its_beginning() -> None:
    """And says where the rest is."""
    made = Comparison(Plan(make_cases([f"case {n}" for n in range(60)]), ("m",)), ())
    made.notes += [f"note {n}" for n in range(7)]
    text = str(made)
    assert "case 49" in text
    assert "case 50" not in text
    assert "10 more cases: see .df()" in text
    assert "2 more notes: see .notes" in text
