"""A comparison in a cell: how far it is while it runs, and what is kept of one that was stopped. Runs nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gathering.core.display import bundle
from gathering.notebook.screen import Screen

if TYPE_CHECKING:
    from gathering.compare import Comparison

__all__ = ["run_comparison"]


def run_comparison(
    screen: Screen,
    prompts: Sequence[str],
    subjects: Iterable[Any],
    options: Mapping[str, Any],
    keep: Callable[[Any], None],
) -> Comparison:
    """The comparison. One that is stopped is shown as far as it came, given to ``keep``, and Stop is raised again."""
    from gathering.compare import compare, last

    progress = _Progress(screen) if screen.way == "live" and not options.get("panel") else None
    before = last()
    try:
        return compare(prompts, list(subjects), progress=progress, **options)
    except KeyboardInterrupt:
        partial = last()
        if partial is not None and partial is not before:
            keep(partial)
            screen.show(partial._repr_mimebundle_())
        raise
    finally:
        if progress is not None:
            progress.leave()


class _Progress:
    """One display that says how far it is, and is gone at the end."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._identity: str | None = None

    def __call__(self, done: int, total: int) -> None:
        data = bundle(f"{done} of {total} answers")
        if self._identity is None:
            self._identity = self.screen.open(data)
        else:
            self.screen.paint(self._identity, data)

    def leave(self) -> None:
        """Leave nothing behind."""
        if self._identity is not None:
            self.screen.wipe(self._identity)
