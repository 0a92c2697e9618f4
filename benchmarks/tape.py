"""What a tape costs: opening 10,000 entries and 200 MB, the memory to replay them, and a replay beside its recording.

    python benchmarks/tape.py [--check]

- **open**: seconds to put in a tape of 10,000 entries and 200 MB, beside reading its bytes.
- **memory**: MB that replaying 1,000 of them adds to the process, at its highest.
- **replay**: seconds of an agent's 50 streamed turns from a tape at ``speed=0``, beside recording them from a model that
  sends a piece every 2 ms. The bound: a fiftieth.

``--check`` ends with code 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from measure import Row, show

import gathering
from gathering.core.interfaces import ILLMProvider
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider
from gathering.testing.tape_file import TapeFile
from gathering.testing.tape_lines import tape_key

ENTRIES, PIECES, TURNS = 10_000, 700, 50


class Unhurried(ILLMProvider):
    """A piece every 2 ms, as a fast service sends them."""

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
        raise AssertionError("only streams are measured")

    async def stream(self, messages: Any, tools: Any = None, **params: Any) -> AsyncGenerator[str, None]:  # type: ignore[override]
        for _ in range(60):
            await asyncio.sleep(0.002)
            yield "word "


def large(path: Path) -> None:
    """A tape of 10,000 different requests with long answers."""
    stream = [[n * 1.5, {"text": "words "}] for n in range(PIECES)]
    answer = {"content": "words " * 80, "finish_reason": "stop", "usage": {}, "model": ""}
    body = {"started_at": 0, "latency_ms": 1050, "stream": stream, "answer": answer}
    rest = json.dumps(body)[1:] + "\n"
    TapeFile(path).rewrite(_line(number, rest) for number in range(ENTRIES))


def _line(number: int, rest: str) -> bytes:
    messages = [{"role": "user", "content": f"Question {number}?"}]
    request = {"provider": "scripted", "model": "script", "messages": messages, "tools": [], "params": {}}
    head = json.dumps({"key": tape_key(request), "ordinal": 0, "request": request})
    return f"{head[:-1]}, {rest}".encode()


def opening(path: Path) -> list[Row]:
    """Putting the large tape in, and replaying all of it."""
    begun = time.perf_counter()
    with path.open("rb") as file:
        size = sum(map(len, file))
    read = time.perf_counter() - begun
    begun = time.perf_counter()
    tape = gathering.tape(path, "replay")
    opened = time.perf_counter() - begun
    before = _highest()
    provider = tape.wrap(ScriptedProvider([]))
    for number in range(0, ENTRIES, 10):
        provider.complete([{"role": "user", "content": f"Question {number}?"}])
    tape.close()
    return [
        Row(f"open a tape of {size / 1e6:.0f} MB, seconds", read * 1e3, opened * 1e3, "ms", opened, 1.0),
        Row("replay 1,000 of them, MB more", 0.0, _highest() - before, "MB", _highest() - before, 50.0),
    ]


def _highest() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def replaying(path: Path) -> list[Row]:
    """Streamed turns, recorded and replayed."""
    times = []
    for mode in ("record", "replay"):
        store = SQLiteStore(":memory:")
        begun = time.perf_counter()
        with gathering.tape(path, mode):  # type: ignore[arg-type]
            ada = gathering.Agent("ada", llm_provider=Unhurried("unhurried", {}), store=store)
            for number in range(TURNS):
                ada.memory.clear()
                list(ada.stream(f"Question {number}?"))
        times.append(time.perf_counter() - begun)
        store.close()
    recorded, replayed = times
    return [
        Row(
            "replay / record, streamed turns", recorded * 1e3, replayed * 1e3, "ms", replayed / recorded, 0.02
        )
    ]


def main() -> int:
    """Measure; the exit code for ``--check``."""
    parser = argparse.ArgumentParser(description="What a tape costs.")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is broken")
    chosen = parser.parse_args()
    os.environ.pop("GATHERING_TAPE_MODE", None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.jsonl"
        large(path)
        rows = opening(path) + replaying(Path(folder) / "lesson.jsonl")
    show(rows)
    return int(chosen.check and not all(row.holds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
