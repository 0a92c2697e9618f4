"""The house around the package: make targets, the environment's maker, dependencies that are explained."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (PROJECT / "Makefile").read_text("utf-8")
TARGETS = re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE)
REQUIREMENTS = [
    *PYPROJECT["dependencies"],
    *(r for rs in PYPROJECT["optional-dependencies"].values() for r in rs),
]


def run(command: list[str], cwd: Path = PROJECT, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")} | variables
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_make_alone_lists_every_target() -> None:
    """A newcomer who types ``make`` sees what there is, and nothing is made."""
    ran = run(["make", "--no-print-directory"])
    assert ran.returncode == 0
    assert [line.split()[1] for line in ran.stdout.splitlines()] == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned(target: str) -> None:
    """Each target is declared and its commands are known to make."""
    assert re.search(rf"^\.PHONY:.*\b{target}\b", MAKEFILE, re.MULTILINE)
    assert run(["make", "-n", target]).returncode == 0


def folder_with_setup(tmp_path: Path) -> Path:
    """A project that has only the script that makes the environment."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(PROJECT / "scripts" / "venv.sh", tmp_path / "scripts")
    return tmp_path


def fake_python(folder: Path, answers: str) -> Path:
    """An interpreter that answers as the shell text says."""
    path = folder / "some-python"
    path.write_text(f"#!/bin/sh\n{answers}\n")
    path.chmod(0o755)
    return path


def bare_path(folder: Path) -> str:
    """A search path with the shell's own tools and no interpreter."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("sh", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    return str(tools)


def test_an_interpreter_without_venv_is_named_with_the_cure(tmp_path: Path) -> None:
    """Debian's Python comes without ensurepip: one line says which package to install."""
    folder = folder_with_setup(tmp_path)
    python = fake_python(tmp_path, 'case "$2" in *ensurepip*) exit 1 ;; esac; exit 0')
    ran = run(["sh", "scripts/venv.sh", "test"], folder, PYTHON=str(python), PATH=bare_path(tmp_path))
    assert ran.returncode == 1
    assert "apt install python3-venv" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_no_python_at_all_says_how_to_name_one(tmp_path: Path) -> None:
    """Where only an old interpreter is found, one line says what is needed."""
    folder = folder_with_setup(tmp_path)
    old = fake_python(tmp_path, "exit 1")
    ran = run(["sh", "scripts/venv.sh", "test"], folder, PYTHON=str(old), PATH=bare_path(tmp_path))
    assert ran.returncode == 1
    assert "no Python 3.11 or newer" in ran.stderr
    assert "PYTHON=" in ran.stderr


def test_every_dependency_is_explained() -> None:
    """The dependencies page has a line for each thing that gets installed, saying why."""
    page = (PROJECT / "docs" / "dependencies.md").read_text("utf-8")
    names = {re.split(r"[\[<>=~!; ]", requirement)[0] for requirement in REQUIREMENTS} - {"gathering"}
    assert not sorted(name for name in names if f"`{name}`" not in page)


def test_the_changelog_knows_the_version() -> None:
    """What is released is described."""
    version = re.search(
        r'__version__ = "([^"]+)"', (PROJECT / "gathering" / "__init__.py").read_text("utf-8")
    )
    assert version
    assert version[1] in (PROJECT / "CHANGELOG.md").read_text("utf-8")


def tracked_texts() -> list[Path]:
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).stdout.split("\0")
    suffixes = {".py", ".md", ".toml", ".ipynb", ".jsonl", ".yaml", ".yml", ".sh", ".cfg", ""}
    return [p for n in listed if n and (p := PROJECT / n).suffix in suffixes and p.is_file()]


def test_no_file_names_this_machine() -> None:
    """Nothing that is committed holds a path of the machine it was written on."""
    here = (f"{Path.home()}/", f"{PROJECT}/")
    found = [p.name for p in tracked_texts() if any(path in p.read_text("utf-8", "replace") for path in here)]
    assert not found
