"""What GatheRing costs beside raw httpx, as ratios taken side by side in one run.

    python benchmarks/run.py [import] [call] [stream] [fanout] [all] [--check]

Rows of one table:

- **import**: a cold process that imports ``gathering`` beside one that imports ``httpx``, each less a bare interpreter;
  and the seconds ``%load_ext gathering`` takes in a shell that holds IPython and ipywidgets already.
- **call**: ``Agent.ask`` with the trace on, in a file, beside ``httpx.Client.post(...).json()``; and the provider alone.
- **stream**: ``Agent.stream`` over 2,000 chunks beside ``httpx`` with ``iter_bytes``, cut by hand and ``json.loads``;
  the same with ``async for``; and the provider alone.
- **fanout**: 1,000 awaited ``Agent.ask_async`` (an agent for each task, all on one provider, trace on), 100 at a time,
  at 200 ms latency: seconds of the best run, of which 2.0 are the service's.

How: the service (``server.py``) runs in a process of its own and sends precomputed bytes. CPU is user and system time
of the client's process with all its threads, the trace's writer included: each sample ends with a flush. Ours and the
raw client take turns, a ratio is taken within each turn, and the median over the turns is shown. Absolute figures are
medians too, for scale only: quote the ratios. ``--check`` ends with code 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import gathering
from gathering.storage import SQLiteStore

CHUNKS, PROMPT = 2000, "What is 15% of 200?"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. ``bound`` is None where the figure is there to explain another."""

    name: str
    raw: float
    ours: float
    unit: str
    figure: float
    bound: float | None = None

    @property
    def holds(self) -> bool:
        return self.bound is None or self.figure <= self.bound


@contextlib.contextmanager
def service() -> Iterator[str]:
    """The base URL of the fake service, in a process of its own."""
    script = Path(__file__).with_name("server.py")
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def cpu() -> float:
    """Seconds of user and system time of this process so far, with all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def side_by_side(raw: Callable[[], float], *ours: Callable[[], float], turns: int) -> list[tuple[float, ...]]:
    """For each of ours: the raw median, its own median and the median of the ratios."""
    for function in (raw, *ours):
        function()
    samples = [[function() for function in (raw, *ours)] for _ in range(turns)]
    base = [sample[0] for sample in samples]
    result = []
    for n in range(1, len(ours) + 1):
        own = [sample[n] for sample in samples]
        ratios = [o / b for o, b in zip(own, base, strict=True)]
        result.append((statistics.median(base), statistics.median(own), statistics.median(ratios)))
    return result


# -- import ------------------------------------------------------------------------------------------------------


def imports() -> list[Row]:
    """Cold processes, and the extension in a warm shell."""
    bare = statistics.median(_process_cpu("pass") for _ in range(9))
    ((raw, own, _),) = side_by_side(
        lambda: _process_cpu("import httpx") - bare, lambda: _process_cpu("import gathering") - bare, turns=9
    )
    floor, extension = (
        statistics.median(times) for times in zip(*(_load_ext() for _ in range(5)), strict=True)
    )
    return [
        Row("import gathering / import httpx", raw * 1e3, own * 1e3, "ms", own / raw, 2.0),
        Row("%load_ext gathering, seconds", floor * 1e3, extension * 1e3, "ms", extension, 0.3),
    ]


def _process_cpu(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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


class Bench:
    """Ours and the raw client against one service."""

    def __init__(self, url: str, store: SQLiteStore) -> None:
        self.url, self.store = f"{url}/chat/completions", store
        self.provider = gathering.provider("openai:text", base_url=url, api_key="a-key")
        self.slow = gathering.provider("openai:slow", base_url=url, api_key="a-key")
        self.agent = gathering.Agent("ada", llm_provider=self.provider, store=store)
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
        sample(lambda: bench.client.post(bench.url, json=bench.body).json()),
        sample(bench.ask),
        sample(lambda: bench.provider.complete(bench.messages)),
        turns=21,
    )
    return [
        _row("Agent.ask, trace on", agent, "us", 2.0),
        _row("  its provider.complete", provider, "us"),
    ]


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
        _row("Agent.stream, a chunk", agent, "us", 1.5),
        _row("  its provider.stream", provider, "us"),
        _row("Agent.stream with async for, a chunk", awaited, "us", 1.5),
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
    """1,000 answers of 200 ms, 100 at a time; the best of five runs, since all that others do only adds to it."""
    with asyncio.Runner() as runner:
        walls = [runner.run(_fan_out(bench)) for _ in range(6)][1:]
    wall, used = min(walls)
    return [
        Row("1,000 Agent.ask_async, 100 at a time, seconds", 2000, wall * 1e3, "ms", wall, 2.3),
        Row("  its CPU, seconds", 0, used * 1e3, "ms", used),
    ]


async def _fan_out(bench: Bench) -> tuple[float, float]:
    room = asyncio.Semaphore(100)

    async def one(n: int) -> None:
        async with room:
            agent = gathering.Agent(f"agent {n}", llm_provider=bench.slow, store=bench.store)
            assert (await agent.ask_async(PROMPT)).text

    begun, used = time.perf_counter(), cpu()
    await asyncio.gather(*(one(n) for n in range(1000)))
    return time.perf_counter() - begun, cpu() - used


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


# -- the table ---------------------------------------------------------------------------------------------------


def show(rows: list[Row]) -> None:
    """Print the rows."""
    print(f"{'':<48}{'raw':>12}{'ours':>12}{'figure':>9}{'bound':>8}")
    for row in rows:
        bound = "" if row.bound is None else f"{row.bound:.1f}{'' if row.holds else '  BROKEN'}"
        print(
            f"{row.name:<48}{row.raw:>9.1f} {row.unit}{row.ours:>9.1f} {row.unit}{row.figure:>9.2f}{bound:>8}"
        )


def main() -> int:
    """Run what is asked for; the exit code for ``--check``."""
    parser = argparse.ArgumentParser(description="GatheRing beside raw httpx, as ratios.")
    parser.add_argument(
        "what", nargs="*", choices=["import", "call", "stream", "fanout", "all"], default="all"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is broken")
    chosen = parser.parse_args()
    what = {"import", "call", "stream", "fanout"} if "all" in chosen.what else set(chosen.what)
    rows = imports() if "import" in what else []
    with service() as url, tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(os.path.join(folder, "trace.sqlite"))  # noqa: PTH118 - a text, as users give it
        bench = Bench(url, store)
        for name, part in (("call", calls), ("stream", streams), ("fanout", fanout)):
            rows += part(bench) if name in what else []
        store.close()
    show(rows)
    return int(chosen.check and not all(row.holds for row in rows))


if __name__ == "__main__":
    sys.exit(main())
