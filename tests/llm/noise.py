"""Streams that went wrong, for the fuzz tests of the dialects: bytes altered anywhere, and values of other types."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from hypothesis import strategies as st

from gathering.core.errors import ProviderError
from gathering.core.events import Done, Event

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


class Reader(Protocol):
    """A stream reader, as far as it is tested here."""

    failure: ProviderError | None

    def feed(self, data: bytes) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


def outcome(reader: Reader, pieces: Sequence[bytes]) -> Done | ProviderError:
    """How the stream of these bytes ends: whole, or in a typed error with what had arrived. Anything else raises."""
    events: list[Event] = []
    try:
        for piece in pieces:
            events += reader.feed(piece)
        events += reader.finish()
    except ProviderError as error:
        return error
    assert isinstance(events[-1], Done)
    return events[-1]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes with up to six cuts, gaps, repeats and foreign bytes in them, in pieces."""
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 40)))
        put = draw(
            st.sampled_from([b"", data[at:end] * 2, b"\n", b"\r\n\r\n", b"data: "]) | st.binary(max_size=4)
        )
        data = data[:at] + put + data[end:]
    size = draw(st.integers(1, 200))
    return [data[i : i + size] for i in range(0, len(data), size)]


@st.composite
def confused(draw: st.DrawFn, values: Sequence[Any]) -> list[Any]:
    """The JSON values with one to four of their inner values exchanged for any others."""
    changed = copy.deepcopy(list(values))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(changed))
        container, key = places[draw(st.integers(0, len(places) - 1))]
        container[key] = draw(JSON)
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a nested value, as the container and its key."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def million(framed: bool = False) -> list[bytes]:
    """A million bytes of noise, the same ones each time, in pieces of any size; ``framed`` as events that hold it."""
    chance = random.Random(20)
    pieces: list[bytes] = []
    while (size := sum(map(len, pieces))) < 1_000_000:
        noise = chance.randbytes(min(chance.randrange(1, 20_000), 1_000_000 - size))
        pieces.append(b"data: %s\n\n" % noise.replace(b"\n", b" ") if framed else noise)
    return pieces
