"""The ratios of ``peers.py`` as bars on a logarithmic scale; runs in an environment that holds matplotlib.

python peer_plot.py FILE < ratios.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "gathering"  # the same figures make the same file
from matplotlib import pyplot  # noqa: E402 - the backend is chosen first

OURS, OTHERS, RAW = "#1f6f5c", "#b9c3c0", "#d08a2e"


def main(file: str) -> None:
    """Draw one panel for each load."""
    given: dict[str, Any] = json.load(sys.stdin)
    figures, loads = given["figures"], given["loads"]
    figure, panels = pyplot.subplots(1, len(loads), figsize=(3 * len(loads), 3.2))
    for panel, (load, title) in zip(panels, loads.items(), strict=True):
        rows = sorted(((f[load], name) for name, f in figures.items() if load in f), reverse=True)
        panel.barh(
            [name for _, name in rows],
            [value for value, _ in rows],
            color=[{"gathering": OURS, "httpx": RAW}.get(name, OTHERS) for _, name in rows],
        )
        panel.set_xscale("log")
        panel.set_xlim(min(value for value, _ in rows) / 2, max(value for value, _ in rows) * 4)
        panel.set_title(title, fontsize=10)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
        for at, (value, _) in enumerate(rows):
            panel.text(value * 1.08, at, f"{value:.2f}", va="center", fontsize=8)
    figure.supxlabel(
        "processor time, as a multiple of raw httpx in the same round (less is better)", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1])
