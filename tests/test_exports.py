"""What the doors of the package offer: exactly what they list, each thing documented, each example true."""

from __future__ import annotations

import builtins
import doctest
import importlib
import importlib.resources
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import gathering

ROOMS = ("core", "llm", "tools", "storage", "agents", "compare", "testing", "notebook", "web")
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(gathering.__path__, "gathering.") if not m.name.endswith("__main__")
)
DOORS = ["gathering", *(f"gathering.{room}" for room in ROOMS if f"gathering.{room}" in MODULES)]


def door(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", DOORS)
def test_a_door_exports_what_it_lists(name: str) -> None:
    """Each public name that a door holds stands in ``__all__``, and the reverse; modules are not exports."""
    module = door(name)
    listed = set(module.__all__)
    held = {n for n, value in vars(module).items() if is_export(n, value, name)}
    assert held <= listed, f"not listed: {sorted(held - listed)}"
    assert all(hasattr(module, n) for n in listed)


LOADED = """
import sys, gathering
before = [room for room in {rooms!r} if "gathering." + room in sys.modules]
print(before, "openai" in gathering.llm.PROVIDERS)
print(*[getattr(gathering, room).__name__ for room in {rooms!r}])
"""


def test_the_rooms_are_there_without_an_import_of_their_own() -> None:
    """``gathering.llm.PROVIDERS`` works after a bare ``import gathering``, which loads none of the rooms."""
    rooms = ["llm", "tools", "storage", "agents", "compare", "testing", "notebook"]
    code = LOADED.format(rooms=rooms)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names = " ".join(f"gathering.{room}" for room in rooms)
    assert ran.stdout.splitlines() == ["[] True", names]


# What IPython and Jupyter look for by name; users do not.
HOOKS = {"load_ipython_extension", "unload_ipython_extension"}


def is_export(name: str, value: object, door_name: str) -> bool:
    private = name.startswith("_") or name in HOOKS or isinstance(value, ModuleType)
    origin = getattr(value, "__module__", None)
    return not private and isinstance(origin, str) and origin.startswith("gathering") and name != door_name


@pytest.mark.parametrize("name", DOORS)
def test_a_door_lists_each_name_once(name: str) -> None:
    """``__all__`` is sorted and ``dir()`` shows all of it."""
    listed = list(door(name).__all__)
    assert len(listed) == len(set(listed))
    assert set(listed) <= set(dir(door(name)))


@pytest.mark.parametrize("name", MODULES)
def test_every_module_exports_what_it_lists(name: str) -> None:
    """Each name of a module's ``__all__`` exists."""
    module = importlib.import_module(name)
    missing = [n for n in module.__all__ if not hasattr(module, n)]
    assert not missing


@pytest.mark.parametrize("name", MODULES)
def test_every_public_thing_is_documented(name: str) -> None:
    """Each exported class and function says what a caller gets."""
    module = importlib.import_module(name)
    silent = [
        n
        for n in module.__all__
        if (inspect.isclass(thing := getattr(module, n)) or inspect.isfunction(thing))
        and not inspect.getdoc(thing)
    ]
    assert not silent


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples in docstrings give what they print."""
    monkeypatch.setenv("GATHERING_STORE", ":memory:")
    module = importlib.import_module(name)
    # An example's value becomes the builtin "_", which a shell of a later test would not touch.
    monkeypatch.setattr(builtins, "_", None, raising=False)
    outcome = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert outcome.failed == 0


def test_an_unknown_name_of_the_front_door_is_an_attribute_error() -> None:
    """A wrong name fails as in any module, with the name in the text."""
    with pytest.raises(AttributeError, match="Agnet"):
        _ = gathering.Agnet  # type: ignore[attr-defined]


def test_the_package_is_typed() -> None:
    """Type checkers of users read the annotations."""
    assert (importlib.resources.files(gathering) / "py.typed").is_file()
