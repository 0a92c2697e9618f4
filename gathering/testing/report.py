"""What a run of ``gathering test`` found: a table, JUnit XML, and one HTML page with the differences.

Owns the three forms. No key is in any of them.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from gathering.core.masking import mask
from gathering.testing.lanes import Outcome, Result, Spent

__all__ = ["exit_code", "html_page", "junit_xml", "table", "write_text"]

_SIGNS: Mapping[Outcome, str] = {
    "passed": "ok",
    "failed": "FAILED",
    "undecided": "undecided",
    "skipped": "skipped",
}
_LONGEST = 100
#: So many lines are shown from the beginning, and from the end, of what is said of a cell.
_SHOWN = 8
#: Between these lines nbval repeats a cell's source.
_SOURCE, _FOUND = "Input:", "Traceback:"
_STYLE = (
    ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #8886}"
    "pre{overflow-x:auto;padding:.6rem;background:#8882;white-space:pre-wrap}.failed{color:#c62828}.undecided{color:#b26a00}"
    "@media(prefers-color-scheme:dark){.failed{color:#ef9a9a}.undecided{color:#ffcc80}}"
    "ins{text-decoration:none;background:#2e7d3244}del{text-decoration:none;background:#c6282844}"
)


def exit_code(results: Sequence[Result]) -> int:
    """0 if all is well, 1 if something failed or is worse, 3 if nothing did but something is undecided."""
    outcomes = {result.outcome for result in results}
    return 1 if "failed" in outcomes else 3 if "undecided" in outcomes else 0


def table(results: Sequence[Result], spent: Sequence[Spent] = ()) -> str:
    """One line for each notebook and lane, and each thing that is not well below it, with its first lines.

    Of a live lane the line says what its runs took and cost.
    """
    took = {one.notebook: one.line for one in spent}
    lines: list[str] = []
    for notebook, lane in dict.fromkeys((r.notebook, r.lane) for r in results):
        of = [r for r in results if (r.notebook, r.lane) == (notebook, lane)]
        counts = Counter(r.outcome for r in of)
        said = ", ".join(f"{counts[one]} {one}" for one in _SIGNS if counts[one])
        seconds = f"{sum(r.seconds for r in of):.1f} s"
        lines.append(
            f"{notebook}  {lane:<6}  {said}  {took.get(notebook, seconds) if lane == 'live' else seconds}"
        )
        lines += [line for r in of if r.outcome != "passed" or r.verdict for line in _entry(r)]
    return mask("\n".join(lines))


def _entry(result: Result) -> list[str]:
    head = f"  {_SIGNS[result.outcome]:<9} {result.name}"
    if result.verdict is not None:
        return [f"{head}  {result.detail}"]
    # Masked before it is wrapped: half a key on each of two lines looks like none.
    lines = [line for line in mask(_plain(result.detail)).splitlines() if line.strip()]
    if _SOURCE in lines and _FOUND in lines:  # nbval's: what the cell's source is, its name says
        lines = lines[lines.index(_FOUND) + 1 :]
    wrapped = [
        piece for line in _ends(lines) for piece in textwrap.wrap(line, _LONGEST, drop_whitespace=False)
    ]
    return [head, *(f"      {line}" for line in wrapped)]


def _ends(lines: list[str]) -> list[str]:
    """The first lines and the last ones, which is where a traceback says what happened."""
    left_out = len(lines) - 2 * _SHOWN
    if left_out <= 1:
        return lines
    return [*lines[:_SHOWN], f"... {left_out} lines ...", *lines[-_SHOWN:]]


def _plain(text: str) -> str:
    """Without the colours of a terminal, which XML writes as #x1B."""
    return re.sub(r"(\x1b|#x1B)\[[0-9;]*m", "", text)


def junit_xml(results: Sequence[Result], spent: Sequence[Spent] = ()) -> str:
    """The results as JUnit XML: a suite for each notebook and lane. Undecided is skipped, with the reason.

    A live suite has the seconds of all its runs, and what they cost as the property ``cost``.
    """
    live = {one.notebook: one for one in spent}
    suites = ElementTree.Element("testsuites", name="gathering test")
    for notebook, lane in dict.fromkeys((r.notebook, r.lane) for r in results):
        of = [r for r in results if (r.notebook, r.lane) == (notebook, lane)]
        counts = Counter(r.outcome for r in of)
        took = lane == "live" and notebook in live
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=f"{notebook} {lane}",
            tests=str(len(of)),
            failures=str(counts["failed"]),
            skipped=str(counts["skipped"] + counts["undecided"]),
            time=f"{live[notebook].seconds if took else sum(r.seconds for r in of):.3f}",
        )
        if took:
            properties = ElementTree.SubElement(suite, "properties")
            ElementTree.SubElement(properties, "property", name="cost", value=live[notebook].line)
        for result in of:
            _case(suite, result)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ElementTree.Element, result: Result) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        name=_written(result.name),
        classname=f"{result.notebook}.{result.lane}",
        time=f"{result.seconds:.3f}",
    )
    if result.outcome in ("failed", "undecided", "skipped"):
        kind = "failure" if result.outcome == "failed" else "skipped"
        detail = _written(_plain(result.detail))
        ElementTree.SubElement(case, kind, message=detail.split("\n", 1)[0]).text = detail


def _written(text: str) -> str:
    """Without keys, and without what XML cannot hold."""
    return "".join(sign for sign in mask(text) if sign in "\t\n" or sign >= " ")


def html_page(results: Sequence[Result], spent: Sequence[Spent] = ()) -> str:
    """The results as one page that needs nothing else: the table, and below it what was recorded and what came instead."""
    rows = "".join(
        f'<tr class="{r.outcome}"><td>{_safe(r.notebook)}</td><td>{r.lane}</td><td>{_safe(r.name)}</td>'
        f"<td>{_SIGNS[r.outcome]}</td><td>{r.seconds:.2f} s</td></tr>"
        for r in results
    )
    details = "".join(
        f"<section><h2>{_safe(r.name)}</h2><p>{_safe(r.notebook)}, {r.lane}</p><pre>{_marked(r.detail)}</pre></section>"
        for r in results
        if r.detail and r.outcome != "passed"
    )
    counts = Counter(r.outcome for r in results)
    said = ", ".join(f"{counts[one]} {one}" for one in _SIGNS if counts[one]) or "nothing was run"
    took = "".join(f"<p>{_safe(one.notebook)}, live: {_safe(one.line)}</p>" for one in spent)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>gathering test</title>'
        f'<style>{_STYLE}</style></head><body><main><h1>gathering test</h1><p>{said}</p>{took}<table><thead><tr><th scope="col">notebook</th>'
        '<th scope="col">lane</th><th scope="col">cell or check</th><th scope="col">outcome</th><th scope="col">time</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{details}</main></body></html>\n"
    )


def _safe(text: str) -> str:
    return html.escape(mask(_plain(text)))


def _marked(detail: str) -> str:
    """The lines of a difference, marked as taken away or put in."""
    lines = []
    for line in _safe(detail).splitlines():
        tag = {"- ": "del", "+ ": "ins"}.get(line[:2], "")
        lines.append(f"<{tag}>{line}</{tag}>" if tag else line)
    return "\n".join(lines)


def write_text(path: str, text: str) -> None:
    """Write a report; its folder is made."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
