"""How a comparison looks: a grid with one column for each model and one row for each case, in three forms.

All text of models, users and errors is escaped or rendered as safe HTML. No ids, no clock times, no addresses; colours
are those of the page. Owns no figure and no order.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gathering.compare.plan import Case, Plan
from gathering.core.display import bundle, markdown_to_html

__all__ = ["Shown", "forms"]

#: A grid longer than this is for ``df()``, not for reading.
MOST_CASES = 50

_STYLE = """<style>
.gathering-comparison table {border-collapse: collapse; width: 100%; table-layout: fixed; color: inherit;}
.gathering-comparison caption {text-align: left; padding: 0.3em 0;}
.gathering-comparison th, .gathering-comparison td {vertical-align: top; padding: 0.5em;
  white-space: normal; overflow-wrap: anywhere;
  border: 1px solid var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, 0.4)));}
.gathering-comparison .gathering-prompt {white-space: pre-wrap; font-weight: normal;}
.gathering-comparison .gathering-figures {font-size: 85%; opacity: 0.75; margin-top: 0.4em;}
.gathering-comparison .gathering-answer + .gathering-answer {border-top: 1px dashed
  var(--jp-border-color2, var(--vscode-panel-border, rgba(128, 128, 128, 0.4))); margin-top: 0.5em; padding-top: 0.5em;}
.gathering-comparison .gathering-failed {color: var(--jp-error-color1, var(--vscode-errorForeground, inherit));}
</style>"""
#: Beside the text of a cell, since Jupyter's own rule for tables, which puts text to the right, is the stronger one.
_LEFT = 'style="text-align: left"'


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be seen: the plan, its rows in order, the scorers' names and the notes."""

    plan: Plan
    rows: Sequence[Mapping[str, Any]]
    scorers: Sequence[str]
    notes: Sequence[str]

    def title(self) -> str:
        """How large the comparison is, and how much of it is there."""
        parts = [_count(len(self.plan.cases), "case"), _count(len(self.plan.subjects), "model")]
        if self.plan.repeats > 1:
            parts.append(_count(self.plan.repeats, "repeat"))
        states = [row["status"] for row in self.rows]
        said = [
            f"{states.count(status)} {word}"
            for status, word in (
                ("ok", "answered"),
                ("error", "failed"),
                ("interrupted", "interrupted"),
                (None, "to come"),
            )
            if states.count(status)
        ]
        return f"{' x '.join(parts)}: {', '.join(said)}"

    def grid(self) -> Iterator[tuple[Case, list[list[Mapping[str, Any]]]]]:
        """Each case that is shown with its cells: for each model the rows of its repeats."""
        repeats, width = self.plan.repeats, self.plan.repeats * len(self.plan.subjects)
        for number, case in enumerate(self.plan.cases[:MOST_CASES]):
            rows = self.rows[number * width : (number + 1) * width]
            yield case, [list(rows[i : i + repeats]) for i in range(0, width, repeats)]

    def remarks(self) -> list[str]:
        """What stands below the grid."""
        hidden = len(self.plan.cases) - MOST_CASES
        more = [f"{_count(hidden, 'more case')}: see .df()"] if hidden > 0 else []
        return [
            *more,
            *self.notes[:5],
            *([f"{len(self.notes) - 5} more notes: see .notes"] if len(self.notes) > 5 else []),
        ]


def forms(shown: Shown) -> dict[str, str]:
    """The mime bundle of the grid."""
    return bundle(_plain(shown), markdown=_markdown(shown), html_form=_html(shown), escaped=True)


def _plain(shown: Shown) -> str:
    lines = [shown.title()]
    for case, cells in shown.grid():
        lines += ["", f"[{case.id}] {_indented(case.prompt, ' ' * (len(str(case.id)) + 3))}"]
        for label, rows in zip(shown.plan.subjects, cells, strict=True):
            for row in rows:
                head = f"{label} ({row['repeat']})" if len(rows) > 1 else label
                lines.append(f"  {head}: {_indented(_text(row), '    ')}")
                lines += [f"    {figures}" for figures in [_figures(row, shown.scorers)] if figures]
    return "\n".join([*lines, *(["", *shown.remarks()] if shown.remarks() else [])])


def _indented(text: str, by: str) -> str:
    return text.strip().replace("\n", f"\n{by}")


def _markdown(shown: Shown) -> str:
    heads = ["case", *map(_cell, shown.plan.subjects)]
    lines = [_cell(shown.title()), "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for case, cells in shown.grid():
        answers = ["<br><br>".join(_markdown_answer(row, shown.scorers) for row in rows) for rows in cells]
        lines.append(f"| {' | '.join([_cell(case.prompt), *answers])} |")
    return "\n".join([*lines, *(f"\n{_cell(remark)}" for remark in shown.remarks())])


def _markdown_answer(row: Mapping[str, Any], scorers: Sequence[str]) -> str:
    figures = _figures(row, scorers)
    return _cell(_text(row)) + (f"<br>*{_cell(figures)}*" if figures else "")


def _cell(text: str) -> str:
    escaped = html.escape(text.strip(), quote=False)
    for sign in "\\|[]*_`~$":
        escaped = escaped.replace(sign, f"\\{sign}")
    return "<br>".join(escaped.splitlines())


def _html(shown: Shown) -> str:
    heads = "".join(
        f'<th scope="col" {_LEFT}>{html.escape(label)}</th>' for label in ("case", *shown.plan.subjects)
    )
    body = "".join(
        f'<tr><th scope="row" {_LEFT}><div class="gathering-prompt">{html.escape(case.prompt)}</div></th>'
        + "".join(
            f"<td {_LEFT}>{''.join(_html_answer(row, shown.scorers) for row in rows)}</td>" for rows in cells
        )
        + "</tr>"
        for case, cells in shown.grid()
    )
    remarks = "".join(f"<p>{html.escape(remark)}</p>" for remark in shown.remarks())
    return (
        f'<div class="gathering-comparison">{_STYLE}<table><caption>{html.escape(shown.title())}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{remarks}</div>"
    )


def _html_answer(row: Mapping[str, Any], scorers: Sequence[str]) -> str:
    said = markdown_to_html(row["output"]) if row["output"] else ""
    trouble = _trouble(row)
    failed = f'<div class="gathering-failed">{html.escape(trouble)}</div>' if trouble else ""
    figures = _figures(row, scorers)
    below = f'<div class="gathering-figures">{html.escape(figures)}</div>' if figures else ""
    return f'<div class="gathering-answer">{said}{failed}{below}</div>'


def _text(row: Mapping[str, Any]) -> str:
    return "\n".join(part for part in (row["output"], _trouble(row)) if part)


def _trouble(row: Mapping[str, Any]) -> str:
    """Why there is no answer, or no whole one; in words, because a colour alone says nothing to many."""
    match row["status"]:
        case "ok":
            return "" if row["output"] else "(empty answer)"
        case "error":
            return f"failed: {row['error']}"
        case "interrupted":
            return "interrupted"
    return "..."


def _figures(row: Mapping[str, Any], scorers: Sequence[str]) -> str:
    """Time, tokens read + written, cost and scores, as far as they are known."""
    parts = []
    if row["latency_ms"] is not None:
        parts.append(f"{row['latency_ms'] / 1000:.2f} s")
    if row["input_tokens"] is not None or row["output_tokens"] is not None:
        read, written = (
            ("?" if n is None else f"{n:,}") for n in (row["input_tokens"], row["output_tokens"])
        )
        parts.append(f"{read} + {written} tokens")
    if row["cost_usd"] is not None:
        parts.append(_cost(row["cost_usd"]))
    parts += [f"{name}: {_score(row[name])}" for name in scorers if row[name] is not None]
    return " \u00b7 ".join(parts)


def _cost(dollars: float) -> str:
    # In words: two dollar signs in one output would be set as a formula.
    if not dollars:
        return "0 USD"
    return f"{dollars:.4f} USD" if dollars >= 0.0001 else "<0.0001 USD"


def _score(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
