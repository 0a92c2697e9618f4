"""Server-sent events: the same events however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.llm.sse import SSEReader


def read(*pieces: bytes) -> list[tuple[str, str]]:
    reader = SSEReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.flush()


LINES = st.lists(
    st.sampled_from(
        [
            "data: one",
            "data:two",
            "data:  spaced ",
            "data",
            "data:",
            "event: error",
            "event:",
            ": comment",
            ":",
            "id: 7",
            "retry: 10",
            "odd line",
            "data: é—🙂\u2028\u2029\x85\x0b\x0c",
            'data: {"a": "\\u2028"}',
            "",
            "",
        ]
    ),
    max_size=12,
)


@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.data())
def test_any_cut_gives_the_same_events(lines: list[str], end: str, bom: bool, data: st.DataObject) -> None:
    """Wherever the network cuts, in a character or between CR and LF, the events are those of one piece."""
    body = ("\ufeff" * bom + "".join(line + end for line in lines)).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert read(*pieces) == read(body) == read(*(body[i : i + 1] for i in range(len(body))))


@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_fast_path_reads_as_the_slow_one(lines: list[str], end: str) -> None:
    """A plain line-by-line reading of the format gives the same events."""
    expected, name, parts = [], "", []
    for line in [*lines, "", ""]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if "\n".join(parts):
                expected.append((name, "\n".join(parts)))
            name, parts = "", []
        elif field == "data":
            parts.append(value)
        elif field == "event":
            name = value
    assert read("".join(line + end for line in lines).encode()) == expected


@given(st.binary(max_size=200))
def test_no_bytes_break_it(body: bytes) -> None:
    """Whatever arrives, reading goes on."""
    read(body)


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [("", "a"), ("", "b")]),
        (b"data: a\ndata: b\n\n", [("", "a\nb")]),
        (b"data: a\r\n\r\n", [("", "a")]),
        (b"data: a\r\rdata: b\r\r", [("", "a"), ("", "b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
        (b": keep-alive\n\n\n\ndata: a\n\n", [("", "a")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [("error", "a"), ("", "b")]),
        (b"event: ping\n\ndata: b\n\n", [("", "b")]),
        (b"data: a", [("", "a")]),
        (b"data: a\n", [("", "a")]),
        ('data: "x\u2028y\x85z"\n\n'.encode(), [("", '"x\u2028y\x85z"')]),
        (b"data: \xff\n\n", [("", "\ufffd")]),
    ],
)
def test_the_forms_of_an_event(body: bytes, events: list[tuple[str, str]]) -> None:
    """Each form that services send gives the event it means."""
    assert read(body) == events


def test_an_event_is_given_when_its_blank_line_arrives() -> None:
    """Nothing waits for the next read: a lone CR ends the line at once."""
    reader = SSEReader()
    assert reader.feed(b"data: a\r\n\r") == [("", "a")]
    assert reader.feed(b"\ndata: b\n\n") == [("", "b")]
