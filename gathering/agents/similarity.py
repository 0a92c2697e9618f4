"""The vectors of a memory as one table of figures, and how near each row is to a vector.

Owns their form: all figures of a row, or only those that are not 0 where most are (runs of letters hashed into
thousands of places: a fourteenth of the room, and quicker, with the same figures). Rows are numbered from 0 by who keeps them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Table", "packed", "table_for", "unpacked", "with_room"]

#: A packed vector that leaves zeros out: this byte, its length, the places, their figures. Never a multiple of 4 bytes, as all
#: figures are.
_SPARSE, _HEAD = b"\x01", struct.Struct("<cI")
_PLACES, _FIGURES = "<u2", "<f4"
#: Zeros are left out where at least so many of a vector's figures are 0, and places fit into two bytes.
_MOSTLY, _LONGEST = 0.75, 65_536
_LEAST_ROOM = 64


class Table(Protocol):
    """Rows of figures of one length."""

    def put(self, row: int, vector: NDArray[np.float32]) -> None:
        """Give a row these figures."""

    def empty(self, row: int) -> None:
        """Leave nothing of what a row had."""

    def near(self, vector: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The dot product of each of the first ``count`` rows with the vector."""


def packed(vector: Sequence[float]) -> bytes:
    """The vector in single precision, as it stands in the store.

    >>> len(packed([0.5] * 8)), len(packed([0.0] * 999 + [1.0]))
    (32, 11)
    """
    import numpy as np

    figures = np.asarray(vector, dtype=_FIGURES)
    if not _is_sparse(figures):
        return figures.tobytes()
    places = np.flatnonzero(figures)
    return _HEAD.pack(_SPARSE, len(figures)) + places.astype(_PLACES).tobytes() + figures[places].tobytes()


def unpacked(data: bytes) -> NDArray[np.float32]:
    """The figures of a vector of the store."""
    import numpy as np

    if len(data) % 4 == 0:
        return np.frombuffer(data, dtype=_FIGURES)
    _, length = _HEAD.unpack_from(data)
    count = (len(data) - _HEAD.size) // 6
    figures = np.zeros(length, dtype=np.float32)
    places = np.frombuffer(data, _PLACES, count, _HEAD.size)
    figures[places] = np.frombuffer(data, _FIGURES, count, _HEAD.size + 2 * count)
    return figures


def table_for(vector: NDArray[np.float32]) -> Table:
    """An empty table in the form that suits such vectors."""
    return _Sparse(len(vector)) if _is_sparse(vector) else _Dense(len(vector))


def _is_sparse(vector: NDArray[np.float32]) -> bool:
    import numpy as np

    length = len(vector)
    return 0 < length <= _LONGEST and int(np.count_nonzero(vector)) <= (1 - _MOSTLY) * length


class _Dense:
    """All figures."""

    def __init__(self, width: int) -> None:
        import numpy as np

        self._figures = np.zeros((_LEAST_ROOM, width), dtype=np.float32)

    def put(self, row: int, vector: NDArray[np.float32]) -> None:
        self._figures = with_room(self._figures, row + 1)
        self._figures[row] = vector

    def empty(self, row: int) -> None:
        self._figures[row] = 0

    def near(self, vector: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        near: NDArray[np.float32] = self._figures[:count] @ vector
        return near


class _Sparse:
    """The figures that are not 0, row behind row. What a row had before it was put again is left behind, as zeros."""

    def __init__(self, width: int) -> None:
        import numpy as np

        self._width = width
        self._places = np.zeros(_LEAST_ROOM, dtype=np.uint16)
        self._figures = np.zeros(_LEAST_ROOM, dtype=np.float32)
        self._used = 0
        self._starts, self._pieces = np.zeros(_LEAST_ROOM, dtype=np.int64), 0
        #: The piece of each row, -1 before it has one.
        self._piece = np.full(_LEAST_ROOM, -1, dtype=np.int64)

    def put(self, row: int, vector: NDArray[np.float32]) -> None:
        import numpy as np

        if len(vector) != self._width:
            raise ValueError(f"a vector of {len(vector)} figures among those of {self._width}")
        self.empty(row)
        places = np.flatnonzero(vector)
        if not len(places):
            places = np.zeros(1, dtype=np.int64)  # no piece is empty: its sum would be its neighbour's figure
        end = self._used + len(places)
        self._places, self._figures = with_room(self._places, end), with_room(self._figures, end)
        self._starts = with_room(self._starts, self._pieces + 1)
        self._piece = with_room(self._piece, row + 1, -1)
        self._places[self._used : end], self._figures[self._used : end] = places, vector[places]
        self._starts[self._pieces], self._piece[row] = self._used, self._pieces
        self._used, self._pieces = end, self._pieces + 1

    def empty(self, row: int) -> None:
        piece = int(self._piece[row]) if row < len(self._piece) else -1
        if piece >= 0:
            end = self._starts[piece + 1] if piece + 1 < self._pieces else self._used
            self._figures[self._starts[piece] : end] = 0

    def near(self, vector: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        import numpy as np

        products = vector[self._places[: self._used]]
        products *= self._figures[: self._used]
        near: NDArray[np.float32] = np.add.reduceat(products, self._starts[: self._pieces])
        return near[self._piece[:count]]


def with_room(table: NDArray[Any], count: int, empty: int = 0) -> NDArray[Any]:
    """The table, or one with at least twice its rows where so many do not fit."""
    import numpy as np

    if count <= len(table):
        return table
    larger = np.full((max(count, 2 * len(table)), *table.shape[1:]), empty, dtype=table.dtype)
    larger[: len(table)] = table
    return larger
