"""What GatheRing costs beside raw httpx, as ratios taken side by side in one run.

    python benchmarks/run.py [import] [call] [turn] [stream] [fanout] [agents] [all] [--check]
    python benchmarks/run.py peers        # other libraries too, each in its own environment: see peers.py

Rows of one table:

- **import**: a cold process that imports ``gathering`` beside one that imports ``httpx``, each less a bare interpreter;
  and the seconds ``%load_ext gathering`` takes in a shell that holds IPython and ipywidgets already.
- **call**: ``Agent.ask`` with the trace on, in a file, beside ``httpx.Client.post(...).json()``; and the provider alone;
  and the same awaited, beside ``httpx.AsyncClient``.
- **turn**: an agent's turn with one tool call, which is two requests, beside httpx's two bare ones.
- **stream**: ``Agent.stream`` over 2,000 chunks beside ``httpx`` with ``iter_bytes``, cut by hand and ``json.loads``;
  the same with ``async for``; and the provider alone.
- **fanout**: 1,000 awaited ``Agent.ask_async`` (an agent for each task, all on one provider, trace on), 100 at a time
  and all at once, at 200 ms latency: seconds of the best run, of which 2.0 and 0.2 are the service's.
- **agents**: building an agent with one tool: microseconds, and KiB that Python allocates for it.
- **memory**: one search of the long-term memory among 100,000 facts, beside numpy's bare dot product of the same figures.

How: the service (``server.py``) runs in a process of its own, on a processor of its own, and sends precomputed bytes. CPU is user and system time
of the client's process with all its threads, the trace's writer included: each sample ends with a flush. Ours and the
raw client take turns, a ratio is taken within each turn, and the median over the turns is shown. Absolute figures are
medians too, for scale only: quote the ratios. ``--check`` ends with code 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from measure import Row, cpu, process_cpu, service, show, side_by_side
from memory import memory

import gathering
from gathering.storage import SQLiteStore

CHUNKS, PROMPT = 2000, "What is 15% of 200?"


# -- import ------------------------------------------------------------------------------------------------------


def imports() -> list[Row]:
    """Cold processes, and the extension in a warm shell."""
    bare = statistics.median(process_cpu("pass") for _ in range(9))
    ((raw, own, _),) = side_by_side(
        lambda: process_cpu("import httpx") - bare, lambda: process_cpu("import gathering") - bare, turns=9
    )
    floor, extension = (
        statistics.median(times) for times in zip(*(_load_ext() for _ in range(5)), strict=True)
    )
    return [
        Row("import gathering / import httpx", raw * 1e3, own * 1e3, "ms", own / raw, 2.0),
        Row("%load_ext gathering, seconds", floor * 1e3, extension * 1e3, "ms", extension, 0.3),
    ]


def _load_ext() -> tuple[float, float]:
    """Seconds to import IPython and ipywidgets, and seconds for the extension after that."""
    code = """
        import os, time
        begun = time.perf_counter()
        import IPython, ipywidgets
        from IPython.core.interactiveshell import InteractiveShell
        os.environ["IPYTHONDIR"] = os.getcwd()
        shell = InteractiveShell.instance()
        warm = time.perf_counter()
        shell.run_line_magic("load_ext", "gathering")
        print(warm - begun, time.perf_counter() - warm)
    """
    lines = "\n".join(line.strip() for line in code.strip().splitlines())
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [sys.executable, "-c", lines], cwd=folder, check=True, capture_output=True, text=True
        )
    floor, extension = map(float, ended.stdout.split())
    return floor, extension


# -- calls and streams -------------------------------------------------------------------------------------------


@gathering.tool
def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


class Bench:
    """Ours and the raw client against one service."""

    def __init__(self, url: str, store: SQLiteStore) -> None:
        self.url, self.store = f"{url}/chat/completions", store
        self.provider = gathering.provider("openai:text", base_url=url, api_key="a-key")
        self.slow = gathering.provider("openai:slow", base_url=url, api_key="a-key")
        tools = gathering.provider("openai:tool", base_url=url, api_key="a-key")
        self.agent = gathering.Agent("ada", llm_provider=self.provider, store=store)
        self.able = gathering.Agent("ada", llm_provider=tools, store=store, tools=[add])
        self.messages = [{"role": "user", "content": PROMPT}]
        self.body = {"model": "text", "messages": self.messages}
        self.headers = {"authorization": "Bearer a-key"}
        self.client = httpx.Client(headers=self.headers)

    def sample(self, function: Callable[[], object], times: int, per: int) -> float:
        """CPU seconds of one piece of the function's work, the trace written."""
        begun = cpu()
        for _ in range(times):
            function()
        self.store.flush()
        return (cpu() - begun) / times / per

    async def sample_async(self, function: Callable[[], Awaitable[object]], times: int, per: int) -> float:
        """The same for what is awaited."""
        begun = cpu()
        for _ in range(times):
            await function()
        self.store.flush()
        return (cpu() - begun) / times / per

    def ask(self) -> None:
        self.agent.memory.clear()
        assert self.agent.ask(PROMPT).text

    async def ask_async(self) -> None:
        self.agent.memory.clear()
        assert (await self.agent.ask_async(PROMPT)).text

    def turn(self) -> None:
        self.able.memory.clear()
        assert [call.name for call in self.able.ask(PROMPT).tool_calls] == ["add"]

    async def turn_async(self) -> None:
        self.able.memory.clear()
        assert [call.name for call in (await self.able.ask_async(PROMPT)).tool_calls] == ["add"]

    def raw_call(self) -> None:
        assert self.client.post(self.url, json=self.body).json()["choices"]

    async def raw_call_async(self, client: httpx.AsyncClient) -> None:
        assert (await client.post(self.url, json=self.body)).json()["choices"]

    def stream(self) -> None:
        self.agent.memory.clear()
        _check(sum(1 for _ in self.agent.stream(PROMPT)))

    def raw_stream(self) -> None:
        pieces, rest = 0, b""
        with self.client.stream("POST", self.url, json={**self.body, "stream": True}) as response:
            for data in response.iter_bytes():
                found, rest = _cut(rest + data)
                pieces += found
        _check(pieces)


def calls(bench: Bench) -> list[Row]:
    """One whole answer."""

    def sample(function: Callable[[], object]) -> Callable[[], float]:
        return lambda: bench.sample(function, 100, 1)

    agent, provider = side_by_side(
        sample(bench.raw_call),
        sample(bench.ask),
        sample(lambda: bench.provider.complete(bench.messages)),
        turns=21,
    )
    (awaited,) = _awaited(bench, bench.ask_async, times=100)
    return [
        _row("Agent.ask, trace on", agent, "us", 1.0),
        _row("  its provider.complete", provider, "us"),
        _row("Agent.ask_async, trace on", awaited, "us", 0.6),
    ]


def turns(bench: Bench) -> list[Row]:
    """Two requests with a tool between them, beside two bare requests."""
    (turn,) = side_by_side(
        lambda: 2 * bench.sample(bench.raw_call, 100, 1),
        lambda: bench.sample(bench.turn, 50, 1),
        turns=21,
    )
    (awaited,) = _awaited(bench, bench.turn_async, times=50, requests=2)
    return [
        _row("Agent.ask with one tool, trace on", turn, "us", 1.0),
        _row("Agent.ask_async with one tool, trace on", awaited, "us", 1.0),
    ]


def _awaited(
    bench: Bench, ours: Callable[[], Awaitable[object]], *, times: int, requests: int = 1
) -> list[tuple[float, ...]]:
    """Ours beside as many bare requests of an async client, on one loop."""
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(headers=bench.headers)
        raw = functools.partial(bench.raw_call_async, client)
        figures = side_by_side(
            lambda: requests * runner.run(bench.sample_async(raw, 100, 1)),
            lambda: runner.run(bench.sample_async(ours, times, 1)),
            turns=21,
        )
        runner.run(client.aclose())
    return figures


def streams(bench: Bench) -> list[Row]:
    """2,000 chunks, sync and async."""

    def sample(function: Callable[[], object]) -> Callable[[], float]:
        return lambda: bench.sample(function, 1, CHUNKS)

    agent, provider = side_by_side(
        sample(bench.raw_stream),
        sample(bench.stream),
        sample(lambda: _check(sum(1 for _ in bench.provider.stream(bench.messages).events()))),
        turns=21,
    )
    with asyncio.Runner() as runner:
        (awaited,) = side_by_side(*_async_streams(bench, runner), turns=15)
    return [
        _row("Agent.stream, a chunk", agent, "us", 0.8),
        _row("  its provider.stream", provider, "us"),
        _row("Agent.stream with async for, a chunk", awaited, "us", 0.5),
    ]


def _async_streams(bench: Bench, runner: asyncio.Runner) -> tuple[Callable[[], float], Callable[[], float]]:
    client = httpx.AsyncClient(headers=bench.headers)

    async def raw() -> None:
        pieces, rest = 0, b""
        async with client.stream("POST", bench.url, json={**bench.body, "stream": True}) as response:
            async for data in response.aiter_bytes():
                found, rest = _cut(rest + data)
                pieces += found
        _check(pieces)

    async def ours() -> None:
        bench.agent.memory.clear()
        pieces = 0
        async for _ in bench.agent.stream(PROMPT):
            pieces += 1
        _check(pieces)

    return (
        lambda: runner.run(bench.sample_async(raw, 1, CHUNKS)),
        lambda: runner.run(bench.sample_async(ours, 1, CHUNKS)),
    )


def fanout(bench: Bench) -> list[Row]:
    """1,000 answers of 200 ms; the best of five runs, since all that others do only adds to it."""
    rows = []
    for at_once, bound in ((100, 2.1), (1000, 0.6)):
        with asyncio.Runner() as runner:
            wall, used = min([runner.run(_fan_out(bench, at_once)) for _ in range(6)][1:])
        ideal = 0.2 * 1000 / at_once
        name = f"1,000 Agent.ask_async, {at_once:,} at a time, s"
        rows.append(Row(name, ideal * 1e3, wall * 1e3, "ms", wall, bound))
        rows.append(Row("  its CPU, s", 0, used * 1e3, "ms", used))
    return rows


async def _fan_out(bench: Bench, at_once: int) -> tuple[float, float]:
    room = asyncio.Semaphore(at_once)

    async def one(n: int) -> None:
        async with room:
            agent = gathering.Agent(f"agent {n}", llm_provider=bench.slow, store=bench.store)
            assert (await agent.ask_async(PROMPT)).text

    begun, used = time.perf_counter(), cpu()
    await asyncio.gather(*(one(n) for n in range(1000)))
    return time.perf_counter() - begun, cpu() - used


def agents(bench: Bench) -> list[Row]:
    """Building an agent with one tool, whose schema is made already."""
    number = 2000

    def build() -> list[gathering.Agent]:
        return [
            gathering.Agent(f"agent {n}", llm_provider=bench.provider, store=bench.store, tools=[add])
            for n in range(number)
        ]

    def seconds() -> float:
        begun = time.process_time()
        build()
        return (time.process_time() - begun) / number

    seconds()
    each = statistics.median(seconds() for _ in range(9))
    tracemalloc.start()
    kept = build()
    size = tracemalloc.get_traced_memory()[0] / len(kept) / 1024
    tracemalloc.stop()
    return [
        Row("Agent(...) with one tool, us", 0, each * 1e6, "us", each * 1e6, 50),
        Row("  its memory, KiB", 0, size, "Ki", size, 4),
    ]


def _cut(data: bytes) -> tuple[int, bytes]:
    """How many pieces of text there are in whole events, and the bytes that are left."""
    *events, rest = data.split(b"\n\n")
    pieces = 0
    for event in events:
        text = event[6:]
        if text != b"[DONE]":
            choices: list[Any] = json.loads(text)["choices"]
            if choices and choices[0]["delta"].get("content"):
                pieces += 1
    return pieces, rest


def _check(pieces: int) -> None:
    assert pieces >= CHUNKS, f"only {pieces} pieces of {CHUNKS}"


def _row(name: str, figures: tuple[float, ...], unit: str, bound: float | None = None) -> Row:
    raw, own, ratio = figures
    return Row(name, raw * 1e6, own * 1e6, unit, ratio, bound)


# -- the command -------------------------------------------------------------------------------------------------


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "call": calls,
    "turn": turns,
    "stream": streams,
    "fanout": fanout,
    "agents": agents,
    "memory": lambda bench: memory(),
}


def main() -> int:
    """Run what is asked for; the exit code for ``--check``."""
    parser = argparse.ArgumentParser(description="GatheRing beside raw httpx, as ratios.")
    parser.add_argument("what", nargs="*", choices=["import", *PARTS, "all", "peers"], default="all")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is broken")
    chosen = parser.parse_args()
    if "peers" in chosen.what:
        import peers

        return peers.main()
    what = {"import", *PARTS} if "all" in chosen.what else set(chosen.what)
    rows = imports() if "import" in what else []
    with service() as url, tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(os.path.join(folder, "trace.sqlite"))  # noqa: PTH118 - a text, as users give it
        bench = Bench(url, store)
        for name, part in PARTS.items():
            rows += part(bench) if name in what else []
        store.close()
    show(rows)
    return int(chosen.check and not all(row.holds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
