"""A process that ends in the middle of a turn ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ABANDONED = """
import asyncio, gc, sys
from gathering import Agent
from gathering.core.interfaces import ILLMProvider
from gathering.core.portal import portal

class Silent(ILLMProvider):
    def complete(self, messages, tools=None, **params): raise NotImplementedError
    async def complete_async(self, messages, tools=None, **params):
        asked.set_result(None)
        await asyncio.Event().wait()

async def ask():
    global asked
    asked = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(Agent("ada", llm_provider=Silent("silent", {})).ask_async("hi"))
    await asked
    return task

task = portal().run(ask())
"""


def test_a_turn_that_is_abandoned_does_not_keep_the_process(tmp_path: Path) -> None:
    """Rows put while the interpreter shuts down start no thread, which could never say that it has started."""
    environment = {
        **os.environ,
        "GATHERING_STORE": str(tmp_path / "trace.sqlite"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run([sys.executable, "-c", ABANDONED], env=environment, timeout=60, check=False)
    assert done.returncode == 0
