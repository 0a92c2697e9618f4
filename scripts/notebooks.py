"""Runs the project's notebooks: as a demonstration, live, against their tapes, or to record those again.

Usage: notebooks.py demo NOTEBOOK             live run, page, strict test, and what came out as text
       notebooks.py live NOTEBOOK [TO]        live run against the embedded model, written to TO
       notebooks.py strict NOTEBOOK...        the committed outputs against a run from the tape
       notebooks.py record NOTEBOOK...        new tape, new outputs
       notebooks.py outputs NOTEBOOK...       new outputs from the tape that is there

Owns no notebook's content; it finds outputs by the cell tags ``answer``, ``tool-calls``, ``memory``, ``comparison``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

__all__ = ["execute", "main", "strict", "texts"]

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SANITIZE = ROOT / "gathering" / "testing" / "nbval_sanitize.cfg"
CELL_SECONDS = 300
# The kernel's own log says nothing a reader of the demonstration needs.
KERNEL = ("--IPKernelApp.log_level=40",)
WIDE_TABLES = "--IPKernelApp.exec_lines=import pandas; pandas.set_option('display.width', 150)"
SECTIONS = {
    "answer": "The answers",
    "tool-calls": "The tool calls, as a DataFrame",
    "memory": "The agent's memory, as a DataFrame",
    "comparison": "Two configurations, side by side",
}
# A kernel that sees this variable belongs to a test runner: it shows one final output for each cell.
AS_UNDER_TEST = {"PYTEST_VERSION": "recording"}


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """A block in which these environment variables are set, also for the kernels started in it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def execute(
    path: Path, mode: str, variables: Mapping[str, str] | None = None, kernel: Sequence[str] = ()
) -> Any:
    """The notebook with the outputs of a run, in its own folder, with its tape in this mode."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
        extra_arguments=[*KERNEL, *kernel],
    )
    with environment({"GATHERING_TAPE_MODE": mode, **(variables or {})}):
        client.execute()
    return notebook


def strict(path: Path, quiet: bool = True) -> subprocess.CompletedProcess[str]:
    """The run of the notebook as a test: every committed output is compared, and nothing is asked of a model."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(path),
        "--nbval",
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
    ]
    command += ["--nbval-sanitize-with", str(SANITIZE), "-n", "0", *(["-q"] if quiet else [])]
    env = {**os.environ, "GATHERING_TAPE_MODE": "replay", "GATHERING_LIVE": "never"}
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=600
    )


def texts(notebook: Any, tag: str) -> list[str]:
    """The plain text of each output of the cells with this tag."""
    cells = [c for c in notebook.cells if c.cell_type == "code" and tag in c.metadata.get("tags", ())]
    return [text for cell in cells for output in cell.outputs if (text := _plain(output)).strip()]


def _plain(output: Mapping[str, Any]) -> str:
    if output["output_type"] == "stream":
        return str(output["text"])
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    return str(output.get("data", {}).get("text/plain", ""))


def _page(notebook: Any, to: Path) -> None:
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter().from_notebook_node(notebook)
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(body, "utf-8")


def demo(path: Path) -> int:
    """Run the notebook live, keep it as a page, run it as a test, and show what came out."""
    started = time.monotonic()
    print(f"running {path.relative_to(ROOT)} against the embedded model ...", flush=True)
    notebook = execute(path, "live", kernel=(WIDE_TABLES,))
    page = BUILD / f"{re.sub(r'^[0-9]+_', '', path.stem)}.html"
    _page(notebook, page)
    print(
        f"  done in {time.monotonic() - started:.0f} s; now the same notebook as a regression test ...",
        flush=True,
    )
    tested = strict(path)
    lines = tested.stdout.strip().splitlines()
    for tag, title in SECTIONS.items():
        print(f"\n== {title}\n")
        print("\n\n".join(texts(notebook, tag)) or f"(no cell is tagged {tag!r})")
    print("\n== The notebook as a test: replayed from its tape, every output compared\n")
    print(lines[-1] if lines and not tested.returncode else tested.stdout + tested.stderr)
    print(f"\nThe notebook as a page: {page.relative_to(ROOT)}      To open it in JupyterLab: make lab")
    return tested.returncode


def live(path: Path, to: Path | None) -> int:
    """Run the notebook against the embedded model and write it with its outputs."""
    to = to or BUILD / path.name
    to.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(execute(path, "live"), to)
    print(f"written: {to}")
    return 0


def record(path: Path) -> int:
    """Record the notebook's tape live, then write the outputs that a run from the tape gives."""
    execute(path, "record", AS_UNDER_TEST)
    return outputs(path)


def outputs(path: Path) -> int:
    """Write the outputs that a run from the tape gives, and run the notebook as a test."""
    notebook = execute(path, "replay", {**AS_UNDER_TEST, "GATHERING_LIVE": "never"})
    notebook.metadata = nbformat.from_dict(_lasting(notebook.metadata))
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    tested = strict(path)
    print(f"{path.name}: {(tested.stdout.strip().splitlines() or ['no result'])[-1]}")
    return tested.returncode


def _lasting(metadata: Mapping[str, Any]) -> dict[str, Any]:
    # The interpreter's version would change the file on every machine.
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python", "pygments_lexer": "ipython3"}
    return {**metadata, "kernelspec": kernel, "language_info": language}


def check(path: Path) -> int:
    """Run the notebook as a test and show the runner's report."""
    tested = strict(path, quiet=False)
    print(tested.stdout + tested.stderr)
    return tested.returncode


def main(arguments: list[str]) -> int:
    """The command line; 0 when everything passed."""
    match arguments:
        case ["demo", path]:
            return demo(Path(path).resolve())
        case ["live", path, *rest] if len(rest) < 2:
            return live(Path(path).resolve(), Path(rest[0]).resolve() if rest else None)
        case ["strict", *paths] if paths:
            return max(check(Path(p).resolve()) for p in paths)
        case ["record", *paths] if paths:
            return max(record(Path(p).resolve()) for p in paths)
        case ["outputs", *paths] if paths:
            return max(outputs(Path(p).resolve()) for p in paths)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
