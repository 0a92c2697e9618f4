"""A sync connection waits for bytes in short looks, so that Stop is never as late as the service is silent."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gathering.llm.connection import GLANCE, Connection, LineError


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class Looks(socket.socket):
    """A socket that counts its reads and notes how long each may take; the third finds something."""

    def __init__(self, other: socket.socket) -> None:
        super().__init__(other.family, other.type, fileno=other.detach())
        self.allowed: list[float | None] = []

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.allowed.append(self.gettimeout())
        if len(self.allowed) < 3:
            raise TimeoutError("timed out")
        return super().recv(size, flags)


def test_no_wait_is_longer_than_a_glance(ends: tuple[socket.socket, socket.socket]) -> None:
    """A signal that a system call swallowed is noticed when the call returns: each returns soon."""
    ours, theirs = ends
    looks = Looks(ours)
    theirs.sendall(b"late")
    with looks:
        assert Connection(looks).receive(600.0) == b"late"
        assert looks.allowed == [GLANCE] * 3


@pytest.mark.parametrize("seconds", [0.01, GLANCE, 2.5 * GLANCE])
def test_silence_is_what_the_caller_bears(ends: tuple[socket.socket, socket.socket], seconds: float) -> None:
    with pytest.raises(LineError) as caught:
        Connection(ends[0]).receive(seconds)
    assert caught.value.reason == "silence"
