"""Settings: who wins, where a value comes from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gathering.core import config
from gathering.core.errors import ConfigurationError, UnknownNameError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and a user's folder without any file."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    return work


def test_each_layer_wins_over_the_next(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call > magic > %config > project file > user file > environment > default, and the source is told."""
    seen = [(config.get("model"), config.source("model"))]
    monkeypatch.setenv("GATHERING_MODEL", "env:m")
    seen.append((config.get("model"), config.source("model")))
    (tmp_path / "user" / "gathering").mkdir(parents=True)
    user = tmp_path / "user" / "gathering" / "config.toml"
    user.write_text('model = "user:m"')
    seen.append((config.get("model"), config.source("model")))
    project = folder / "gathering.toml"
    project.write_text('model = "project:m"')
    seen.append((config.get("model"), config.source("model")))
    for layer in ("traitlet", "magic", "call"):
        config.set("model", f"{layer}:m", layer)
        seen.append((config.get("model"), config.source("model")))
    assert seen == [
        ("local", "default"), ("env:m", "GATHERING_MODEL"), ("user:m", str(user)), ("project:m", str(project)),
        ("traitlet:m", "traitlet"), ("magic:m", "magic"), ("call:m", "call"),
    ]  # fmt: skip
    config.set("model", None)
    assert config.source("model") == "magic"


def test_a_pyproject_table_counts_and_is_found_from_below(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``[tool.gathering]`` of the project above the working folder."""
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.gathering]\nmodel = "local:x"\n')
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert config.get("model") == "local:x"
    assert config.project_folder() == folder


def test_a_pyproject_of_something_else_is_no_project_of_ours(folder: Path) -> None:
    """Only a file that names us makes a project folder."""
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert config.project_folder() == folder
    assert config.source("model") == "default"


def test_an_edited_file_counts_at_once(folder: Path) -> None:
    """No restart is needed."""
    import os

    path = folder / "gathering.toml"
    path.write_text('model = "a:1"')
    assert config.get("model") == "a:1"
    path.write_text('model = "b:2"')
    os.utime(path, (1, 1))
    assert config.get("model") == "b:2"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("model", "", "a text that is not empty"),
        ("local_threads", "many", "a whole number"),
        ("local_threads", 0, "a whole number of 1 or more"),
        ("auto_pull", "perhaps", "true or false"),
        ("traceback", "long", "'short' or 'full'"),
    ],
)
def test_a_value_that_is_not_usable_says_what_would_be(name: str, value: object, says: str) -> None:
    """In one line, with the value and where it came from."""
    with pytest.raises(ConfigurationError) as caught:
        config.set(name, value)
    assert says in str(caught.value)
    assert repr(value) in str(caught.value)


def test_a_broken_file_is_named(folder: Path) -> None:
    """The line says which file to correct."""
    (folder / "gathering.toml").write_text("model = ")
    with pytest.raises(ConfigurationError, match="gathering.toml is not valid TOML"):
        config.get("model")


def test_an_unknown_setting_names_the_nearest() -> None:
    """For reading and for setting."""
    for act in (config.get, lambda name: config.set(name, "x")):
        with pytest.raises(UnknownNameError, match="did you mean 'model'"):
            act("modl")


def test_all_settings_can_be_described() -> None:
    """One row for each, with a help text."""
    rows = config.describe()
    assert [r["name"] for r in rows] == config.names()
    assert all(r["help"] for r in rows)
