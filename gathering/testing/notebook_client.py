"""A client of notebooks that Ctrl-C ends: nbclient's own ends its kernel and then fails over what is gone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

from nbclient import NotebookClient

__all__ = ["StoppableClient"]


class StoppableClient(NotebookClient):
    """Runs a notebook as nbclient does. On Ctrl-C the kernel is ended at once, and ``execute`` raises ``KeyboardInterrupt``."""

    _stopped = False

    async def async_start_new_kernel(self, **kwargs: Any) -> None:
        """Start the kernel; from now on Ctrl-C is ours, no longer nbclient's."""
        with contextlib.suppress(RuntimeError):  # Windows, or not the main thread: Python's own way then
            loop, running = asyncio.get_running_loop(), asyncio.current_task()
            loop.add_signal_handler(signal.SIGINT, self._stop, running)
        await super().async_start_new_kernel(**kwargs)

    def _stop(self, running: asyncio.Task[Any] | None) -> None:
        self._stopped = True
        self.shutdown_kernel = "immediate"
        if running is not None:
            running.cancel()

    def execute(self, **kwargs: Any) -> Any:
        """Run the cells. Raises as nbclient does."""
        try:
            return super().execute(**kwargs)
        except (Exception, asyncio.CancelledError):
            if self._stopped:
                raise KeyboardInterrupt from None
            raise
