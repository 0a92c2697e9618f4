"""The tape's file: readable, added to at its end, and left alone when it is not understood."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gathering.core.errors import TapeError
from gathering.core.stored import neutral_request
from gathering.testing import ScriptedProvider, tape
from gathering.testing.tape_file import Entry, TapeFile
from gathering.testing.tape_lines import tape_key

PATH = Path("lesson.jsonl")
HEADER = '{"gathering_tape": 1}\n'
GOOD = '{"request": {"messages": []}, "started_at": 0, "latency_ms": 1, "answer": {"content": "x"}}\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"dear diary\n", "line 1 (not JSON)"),
        (b"dear diary", "line 1 (not a tape)"),
        (b"[1]\n", "line 1 (not a JSON object)"),
        (b'{"cells": []}\n', "line 1 (not a tape)"),
        (b'{"gathering_tape": 9}\n', "format 9 (line 1), this GatheRing reads up to 1"),
        ((HEADER + GOOD + '{"broken\n' + GOOD).encode(), "line 3 (not JSON)"),
        ((HEADER + '{"request": {}}\n').encode(), "line 2 (no request, or no answer)"),
        (b"\x80\x81\x82\n", "line 1 (not JSON)"),
        (b"SQLite format 3\x00", "line 1 (not a tape)"),
        (b'{"gathering_tape": true}\n', "line 1 (not a tape)"),
        (b'{"gathering_tape": 0}\n', "line 1 (not a tape)"),
    ],
)
@pytest.mark.parametrize("mode", ["auto", "record"])
def test_what_is_no_tape_is_said_and_left_alone(content: bytes, said: str, mode: Any) -> None:
    """The error has the line's number, and the file is as it was: a recording takes the place of a tape only."""
    PATH.write_bytes(content)
    if mode == "record" and "line 1" not in said:  # a damaged tape may be recorded anew
        said, mode = "is damaged in line", "auto"
    with pytest.raises(TapeError) as caught:
        tape(PATH, mode)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert PATH.read_bytes() == content


def test_an_exchange_edited_into_nonsense_is_said_when_it_is_asked_for() -> None:
    """Other exchanges of the tape still play."""
    with tape(PATH, "record") as made:
        made.wrap(ScriptedProvider(["x"])).complete([{"role": "user", "content": "Hi"}])
    PATH.write_text(PATH.read_text().replace('"latency_ms"', '"latency"'))
    with tape(PATH, "replay") as made, pytest.raises(TapeError, match=r"cannot be read.*asked for 'Hi'"):
        made.wrap(ScriptedProvider([])).complete([{"role": "user", "content": "Hi"}])


def test_half_a_line_of_a_killed_process_is_dropped() -> None:
    """What was whole is read; the rest goes when the next exchange is added, not before."""
    PATH.write_text(HEADER + GOOD + GOOD[:20])
    file = TapeFile(PATH)
    with pytest.warns(UserWarning, match=r"half a line \(line 3\)"):
        assert len(list(file.entries())) == 1
    assert PATH.read_text().endswith(GOOD[:20])
    file.append(Entry({"messages": []}, {"answer": {}}))
    assert len(list(TapeFile(PATH).entries())) == 2


def test_two_files_may_record_at_once() -> None:
    """Each line is added at the end, so neither overwrites the other's."""
    first, second = TapeFile(PATH), TapeFile(PATH)
    first.append(Entry({"n": 1}, {"answer": {}}))
    second.index()
    for n in range(3):
        first.append(Entry({"n": n}, {"answer": {}}))
        second.append(Entry({"n": n}, {"answer": {}}))
    assert len(list(TapeFile(PATH).entries())) == 7


def test_a_place_that_takes_no_file_is_said() -> None:
    """One line with the reason, for reading and for writing."""
    Path("file").write_text("")
    Path("folder").mkdir()
    with pytest.raises(TapeError, match="cannot be written"):
        TapeFile("file/lesson.jsonl").append(Entry({}, {"answer": {}}))
    with pytest.raises(TapeError, match="cannot be read"):
        TapeFile("folder").index()
    assert sorted(p.name for p in Path().iterdir()) == ["file", "folder"]


def test_an_empty_file_is_an_empty_tape() -> None:
    """As ``touch`` makes it."""
    PATH.touch()
    assert list(TapeFile(PATH).entries()) == []
    TapeFile(PATH).append(Entry({}, {"answer": {}}))
    assert json.loads(PATH.read_text().splitlines()[0]) == {"gathering_tape": 1}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(), st.dictionaries(st.text(min_size=1), json_values, max_size=3))
def test_any_request_is_found_again(text: str, params: dict[str, Any]) -> None:
    """Whatever was asked, with line breaks, odd characters and odd parameters, reads back to the same key."""
    PATH.unlink(missing_ok=True)
    request = neutral_request("p", "m", [{"role": "user", "content": text}], None, params)
    TapeFile(PATH).append(Entry(request, {"answer": {"content": text}}))
    (entry,) = list(TapeFile(PATH).entries())
    assert tape_key(entry.request) == tape_key(request)


def test_ids_are_numbered_and_text_is_not() -> None:
    """An id becomes a number where it stands as one; the same word in a sentence stays."""
    messages = [
        {"role": "assistant", "content": "abc", "tool_calls": [{"id": "abc", "name": "t", "arguments": {}}]},
        {"role": "tool", "content": "abc", "tool_call_id": "abc", "parts": [{"tool_use_id": "abc"}]},
    ]
    first, second = neutral_request("p", "m", messages, None, {"seed": None})["messages"]
    assert (first["content"], first["tool_calls"][0]["id"]) == ("abc", "call-1")
    assert (second["content"], second["tool_call_id"], second["parts"]) == (
        "abc",
        "call-1",
        [{"tool_use_id": "call-1"}],
    )


def test_what_json_has_no_form_for_has_no_address() -> None:
    """Two runs hand over different objects; the request is the same."""
    first, second = (neutral_request("p", "m", [], None, {"hook": object()}) for _ in range(2))
    assert tape_key(first) == tape_key(second)


KILLED = """
import os, signal
from gathering.testing.tape_file import Entry, TapeFile

file = TapeFile("lesson.jsonl")
for number in range(3):
    file.append(Entry({"messages": [], "n": number}, {"answer": {"content": "x" * 2000}}))
with open("lesson.jsonl", "ab") as half:
    half.write(b'{"key": "0123')
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_was_whole() -> None:
    """Killed in the middle of an entry: the ones before are there, the half one is said and then dropped."""
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    file = TapeFile(PATH)
    with pytest.warns(UserWarning, match=r"half a line \(line 6\), as a killed process leaves it"):
        assert len(list(file.entries())) == 3
    file.append(Entry({"messages": [], "n": 9}, {"answer": {"content": "y"}}))
    assert [e.request["n"] for e in TapeFile(PATH).entries()] == [0, 1, 2, 9]


def test_opening_reads_no_entry_whole() -> None:
    """A line of many megabytes that is damaged inside is found by its beginning, and said when it is played."""
    first, second = ({"messages": [], "n": number} for number in range(2))
    file = TapeFile(PATH)
    file.append(Entry(first, {"answer": {"content": "x"}}))
    file.append(Entry(second, {"answer": {"content": "y"}}))
    PATH.write_text(PATH.read_text().replace('"content": "x"', '"content": x'))
    places = TapeFile(PATH).index()
    assert [place.line for place in places] == [2, 3]
    with pytest.raises(TapeError, match=r"damaged in line 2 \(not JSON\)"):
        TapeFile(PATH).load(places[0])
    assert TapeFile(PATH).load(places[1]).request == second


def test_a_request_changed_by_hand_is_said() -> None:
    """An answer may be edited, a request may not: it would be found by what it was."""
    TapeFile(PATH).append(Entry({"messages": [], "n": 1}, {"answer": {"content": "x"}}))
    PATH.write_text(PATH.read_text().replace('"n": 1', '"n": 2'))
    file = TapeFile(PATH)
    with pytest.raises(TapeError, match=r"line 2 \(its request was changed by hand"):
        list(file.entries())
