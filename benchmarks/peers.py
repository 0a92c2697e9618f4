"""The same loads through other libraries, each in an environment of its own: one table and one plot.

    python benchmarks/run.py peers            # or: python benchmarks/peers.py [name ...]

Makes ``build/peers/<name>`` with ``python -m venv`` and ``pip`` where it is not there yet, then runs
``peer_client.py`` in each of them, one process for each library and round, one after the other within a round. Each
figure is processor time; each ratio is taken to raw httpx in the same round, and the median over the rounds is shown.
Writes the table into ``docs/guides/performance.md``, between its two marks, and the plot to
``docs/_static/performance.svg``. Owns no load: what is run is ``peer_client.py``'s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from measure import service

__all__ = ["main"]

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / "build" / "peers"
PAGE, PLOT = ROOT / "docs" / "guides" / "performance.md", ROOT / "docs" / "_static" / "performance.svg"
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
ROUNDS = 5

#: What is installed for each, and how it is imported.
PEERS = {
    "httpx": (["httpx"], "import httpx"),
    "gathering": ([str(ROOT)], "import gathering"),
    "openai": (["openai"], "import openai"),
    "anthropic": (["anthropic"], "import anthropic"),
    "chatlas": (["chatlas[openai]"], "import chatlas"),
    "langchain": (["langchain", "langchain-openai"], "import langchain.agents, langchain_openai"),
    "litellm": (["litellm", "mcp"], "import litellm"),
    "pydantic-ai": (["pydantic-ai-slim[openai]"], "import pydantic_ai.models.openai"),
}
LOADS = {
    "import": "import",
    "call": "one answer",
    "call_async": "one answer, awaited",
    "stream": "a streamed chunk",
    "turn": "a turn with a tool",
}
#: No telemetry, no download at start-up, no proxy: the same for all.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
    "NO_PROXY": "127.0.0.1",
}


def environment(name: str) -> Path:
    """The Python of the peer's environment, made if need be."""
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    done = folder / "installed.json"
    wanted = PEERS[name][0]
    if not done.exists() or json.loads(done.read_text("utf-8")) != wanted or name == "gathering":
        print(f"{name}: making {folder.relative_to(ROOT)}", flush=True)
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", *wanted], check=True)
        done.write_text(json.dumps(wanted), "utf-8")
    return python


def version(name: str, python: Path) -> str:
    """What was installed."""
    package = {"pydantic-ai": "pydantic-ai-slim"}.get(name, name)
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def run(name: str, python: Path, url: str) -> dict[str, float | None]:
    """Microseconds of processor time for each load, None where the library has no such thing."""
    client = Path(__file__).with_name("peer_client.py")
    environ = {**os.environ, **QUIET}
    ended = subprocess.run(
        [python, str(client), name, url, PEERS[name][1]], env=environ, capture_output=True, text=True
    )
    if ended.returncode:
        raise SystemExit(f"{name} failed:\n{ended.stderr[-3000:]}")
    figures: dict[str, float | None] = json.loads(ended.stdout.splitlines()[-1])
    return figures


def ratios(samples: dict[str, list[dict[str, float | None]]]) -> dict[str, dict[str, float]]:
    """For each peer and load the median over the rounds of the ratio to httpx in the same round."""
    found: dict[str, dict[str, float]] = {}
    for name, rounds in samples.items():
        for load in LOADS:
            pairs = [(own[load], raw[load]) for own, raw in zip(rounds, samples["httpx"], strict=True)]
            known = [own / raw for own, raw in pairs if own is not None and raw is not None]
            if known:
                found.setdefault(name, {})[load] = statistics.median(known)
    return found


def table(figures: dict[str, dict[str, float]], versions: dict[str, str], raw: dict[str, float]) -> str:
    """The table in Markdown, cheapest answer first."""
    lines = [f"| | {' | '.join(LOADS.values())} |", f"|---|{'---|' * len(LOADS)}"]
    for name in sorted(figures, key=lambda n: figures[n]["call"]):
        cells = [f"{figures[name][load]:.2f}" if load in figures[name] else "" for load in LOADS]
        lines.append(f"| {name} {versions[name]} | {' | '.join(cells)} |")
    scale = ", ".join(
        f"{what} {raw[load] / 1e3:.0f} ms" if raw[load] > 5e3 else f"{what} {raw[load]:.0f} µs"
        for load, what in LOADS.items()
    )
    return "\n".join([*lines, "", f"For scale, raw httpx on the machine these were taken on: {scale}."])


def plot(python: Path, figures: dict[str, dict[str, float]]) -> None:
    """Draw the table; matplotlib is installed beside one of the peers."""
    subprocess.run([python, "-m", "pip", "install", "-qq", "matplotlib"], check=True)
    subprocess.run(
        [python, str(Path(__file__).with_name("peer_plot.py")), str(PLOT)],
        input=json.dumps({"figures": figures, "loads": LOADS}),
        text=True,
        check=True,
    )


def write(text: str) -> None:
    """Put the table between the marks of the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def main(chosen: list[str] | None = None, rounds: int = ROUNDS) -> int:
    """Measure all, or those that are named (then nothing is written)."""
    names = ["httpx", *(n for n in (chosen or PEERS) if n != "httpx")]
    pythons = {name: environment(name) for name in names}
    samples: dict[str, list[dict[str, float | None]]] = {name: [] for name in names}
    with service() as url:
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            for name in names:
                samples[name].append(run(name, pythons[name], url))
    figures = ratios(samples)
    raw = {load: statistics.median(one[load] or 0.0 for one in samples["httpx"]) for load in LOADS}
    text = table(figures, {name: version(name, pythons[name]) for name in names}, raw)
    print(text)
    if not chosen:
        write(text)
        plot(pythons["httpx"], figures)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="GatheRing beside other libraries, as ratios to raw httpx.")
    parser.add_argument("names", nargs="*", choices=[*PEERS, []])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    sys.exit(main(given.names, given.rounds))
