"""A DataFrame that shows all of its text.

Tables of advice are read, not computed with: pandas would cut each sentence at fifty characters and each table at the
width of the page. Owns how such a table looks; it is an ordinary DataFrame otherwise.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["whole"]


_EVERYTHING = (
    *("display.max_colwidth", None),
    *("display.max_columns", None),
    *("display.max_rows", None),
    *("display.expand_frame_repr", False),
)
#: Sentences are read from the left; Jupyter sets cells to the right.
_LINE_START = re.compile(r"<t[dh](?=>)")


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table, shown with all of its rows, columns and text; what is computed from it is a plain DataFrame."""
    return _whole_class()(frame)


@functools.cache
def _whole_class() -> type[pd.DataFrame]:
    import pandas as pd

    class WholeFrame(pd.DataFrame):
        @property
        def _constructor(self) -> type[pd.DataFrame]:
            return pd.DataFrame

        def __reduce_ex__(self, protocol: Any) -> Any:
            return pd.DataFrame, (pd.DataFrame(self),)

        def __repr__(self) -> str:
            with pd.option_context(*_EVERYTHING):
                return super().__repr__()

        def _repr_html_(self) -> str | None:
            with pd.option_context(*_EVERYTHING):
                shown = super()._repr_html_()  # type: ignore[misc]  # pandas' stubs have no displays
            return shown and _LINE_START.sub(r'\g<0> style="text-align: left"', shown)

    return WholeFrame
