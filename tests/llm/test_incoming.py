"""An answer out of bytes: as the standard library reads it, however the network cuts it, and what is no answer."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.llm.connection import LineError
from gathering.llm.incoming import MORE, Answer

OK = b"HTTP/1.1 200 OK\r\n"


def read(data: bytes, size: int | None = None) -> tuple[Answer, bytes]:
    """The answer in these bytes, fed in pieces of this size, then the connection's end."""
    answer, body, at = Answer(), b"", 0
    while not answer.ended:
        step = data[at : at + (size or len(data))]
        at += len(step)
        answer.feed(step)
        while isinstance(piece := answer.next(), bytes):
            body += piece
        assert piece is (None if answer.ended else MORE)
    return answer, body


@pytest.mark.parametrize(
    ("data", "status", "body", "reusable"),
    [
        (OK + b"content-length: 5\r\n\r\nhello", 200, b"hello", True),
        (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
        (
            OK + b"transfer-encoding: chunked\r\n\r\n3;x=1\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n",
            200,
            b"hello",
            True,
        ),
        (OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello", False),
        (OK + b"\r\nhello", 200, b"hello", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello", False),
        (b"HTTP/1.1 100 Continue\r\nx: 1\r\n\r\n" + OK + b"content-length: 2\r\n\r\nhi", 200, b"hi", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 429\r\ncontent-length: 2\r\n\r\nno", 429, b"no", True),
        (OK.replace(b"\r", b"") + b"content-length: 2\n\nhi", 200, b"hi", True),
    ],
)
def test_an_answer(data: bytes, status: int, body: bytes, reusable: bool) -> None:
    """Status, body and whether the connection may be used again; whole or in pieces."""
    for size in (None, 1, 2, 7):
        answer, found = read(data, size)
        assert (answer.status, found, answer.reusable) == (status, body, reusable)
        assert "x" not in answer.headers


def test_a_connection_that_says_more_than_the_answer_is_out_of_step() -> None:
    """It is not used again: the next request would get this for an answer."""
    answer, body = read(OK + b"content-length: 2\r\n\r\nhi" + OK)
    assert (body, answer.reusable) == (b"hi", False)


def test_headers_are_lower_case_and_the_last_one_counts() -> None:
    """Bytes beyond ASCII are kept as they are."""
    answer, _ = read(OK + b"X-A: 1\r\nx-a: 2\r\nX-B:  caf\xe9 \r\ncontent-length: 0\r\n\r\n")
    assert (answer.headers["x-a"], answer.headers["x-b"]) == ("2", "caf\xe9")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "before the answer was whole"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
        (b"<html>", "no HTTP"),
        (OK, "before the answer was whole"),
        (OK + b"content-length: 5\r\n\r\nhel", "before the answer was whole"),
        (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "before the answer was whole"),
        (OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n", "no HTTP"),
        (b"HTTP/1.1 101 Up\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "another protocol"),
        (OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello", "decompressed"),
    ],
)
def test_what_is_no_whole_answer(data: bytes, words: str) -> None:
    """One error that says why."""
    with pytest.raises(LineError, match=words) as caught:
        read(data)
    assert caught.value.reason == "broken"


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body(name: str, pack: Any) -> None:
    """It is unpacked as it arrives."""
    packed = pack(b"hello " * 100)
    head = OK + f"content-encoding: {name}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    for size in (None, 1, 10):
        assert read(head + packed, size)[1] == b"hello " * 100


@given(
    st.lists(st.binary(max_size=40), max_size=6),
    st.dictionaries(
        st.from_regex(r"x-[a-z]{1,8}", fullmatch=True),
        st.from_regex(r"[!-~]{0,12}", fullmatch=True),
        max_size=4,
    ),
    st.sampled_from(["length", "chunks", "end"]),
    st.integers(1, 200),
    st.integers(200, 599).filter(lambda n: n not in (204, 304)),
)
def test_it_reads_what_the_standard_library_reads(
    pieces: list[bytes], headers: dict[str, str], framing: str, size: int, status: int
) -> None:
    """For every framing of a body and every cut of the bytes."""
    body = b"".join(pieces)
    lines = [f"HTTP/1.1 {status} Status", *(f"{k}: {v}" for k, v in headers.items())]
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunks":
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\n\r\n"
    data = "\r\n".join([*lines, "", ""]).encode() + body
    answer, found = read(data, size)
    theirs = http.client.HTTPResponse(_Sock(data))  # type: ignore[arg-type]
    theirs.begin()
    assert (answer.status, found) == (theirs.status, theirs.read())
    assert answer.headers == {k.lower(): v for k, v in theirs.getheaders()}


@given(
    st.binary(max_size=300),
    st.integers(1, 50),
    st.sampled_from([b"", OK, OK + b"transfer-encoding: chunked\r\n\r\n"]),
)
def test_noise_ends_in_one_error_or_an_answer(noise: bytes, size: int, start: bytes) -> None:
    """Nothing else is raised, and nothing hangs."""
    with contextlib.suppress(LineError):
        read(start + noise, size)


class _Sock:
    """A socket for the standard library's reader."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.data)
