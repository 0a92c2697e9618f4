"""A cancelled turn has hung up before its error reaches the cell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kernels import PATIENCE, SlowServer, serve

from gathering import Agent, provider


@pytest.fixture
def server() -> Iterator[SlowServer]:
    """A slow chat-completions server on the loopback."""
    made = SlowServer()
    stop = serve(made)
    yield made
    stop()


@pytest.mark.parametrize("streamed", [False, True], ids=["ask", "stream"])
async def test_the_connection_is_closed_before_the_loop_is_held_up(
    server: SlowServer, streamed: bool
) -> None:
    """A notebook draws the traceback on the loop that would close the socket: by then it has to be closed."""
    ada = Agent("ada", llm_provider=provider("openai-compatible:slow", base_url=server.url))

    async def cell() -> bool:
        try:
            if streamed:
                async for _ in ada.stream("tell me slowly"):
                    pass
            else:
                await ada.ask_async("tell me slowly")
        except asyncio.CancelledError:
            return server.hung_up.wait(PATIENCE)  # the loop stands still meanwhile
        return False

    task = asyncio.create_task(cell())
    await asyncio.to_thread(server.waiting.wait, PATIENCE)
    task.cancel()
    assert await task
