"""Settings and where each comes from: call > magic > ``%config`` > project file > user file > environment > default.

The project file is ``gathering.toml``, or ``[tool.gathering]`` of a ``pyproject.toml``, in the working folder or
above; the user file is ``gathering/config.toml`` in the user's configuration folder. No key belongs in either:
keys come from the environment, the keyring or a prompt (``gathering.llm.keys``).
"""

from __future__ import annotations

import functools
import os
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gathering.core.errors import ConfigurationError, UnknownNameError

__all__ = [
    "SETTINGS",
    "Layer",
    "Setting",
    "describe",
    "get",
    "names",
    "project_folder",
    "recent",
    "reset",
    "set",
    "source",
]

Layer: TypeAlias = Literal["call", "magic", "traitlet"]
_LAYERS: tuple[Layer, ...] = ("call", "magic", "traitlet")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its meaning, its default and how a text becomes its value."""

    name: str
    help: str
    default: Any
    parse: Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a text that is not empty")
    return value.strip()


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("1", "true", "yes", "on"):
        return True
    if str(value).lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("true or false")


def _count(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("a whole number of 1 or more")
    return number


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in allowed:
            raise ValueError(" or ".join(repr(a) for a in allowed))
        return str(value)

    return parse


SETTINGS: Mapping[str, Setting] = {
    s.name: s
    for s in (
        Setting("model", 'the default model, "provider:model"', "local", _text),
        Setting("store", "the trace's file, or ':memory:'", None, _text),
        Setting("local_model", "path of a GGUF file for the embedded model", None, _text),
        Setting("local_threads", "threads of the embedded model", None, _count),
        Setting("local_context", "tokens the embedded model can hold", None, _count),
        Setting("auto_pull", "fetch the embedded model's weights at first use", False, _switch),
        Setting("tape_set", "the name of a set of parameters, which has tapes of its own", None, _text),
        Setting(
            "tape_mode", "auto, record, replay or live", "auto", _one_of("auto", "record", "replay", "live")
        ),
        Setting("prices", "a TOML file with prices of your own, for a million tokens", None, _text),
        Setting(
            "telemetry",
            "OpenTelemetry: auto (where an exporter is set up), off, or content (with what was said)",
            "auto",
            _one_of("auto", "off", "content"),
        ),
        Setting("cache", "answer equal requests from the response cache", False, _switch),
        Setting(
            "unattended",
            "a tool call that is to be asked about where nobody is there",
            "deny",
            _one_of("deny", "allow"),
        ),
        Setting("answers", "a file of rules that answer where nobody is there", None, _text),
        Setting(
            "traceback", "how errors show in a notebook: short or full", "short", _one_of("short", "full")
        ),
    )
}

_layers: dict[Layer, dict[str, Any]] = {layer: {} for layer in _LAYERS}
_changes = 0


def names() -> list[str]:
    """The names of all settings."""
    return list(SETTINGS)


def get(name: str) -> Any:
    """The value that counts now. Raises ``ConfigurationError`` for an unknown name or an unusable value."""
    return _find(name)[0]


def recent(name: str) -> Any:
    """The same, with the files looked at no more than once a second: for what is asked at every call."""
    return _recent(name, _changes, os.environ.get(_variable(name)), int(time.monotonic()))


@functools.lru_cache(maxsize=64)
def _recent(name: str, changes: int, variable: str | None, second: int) -> Any:
    return get(name)


def source(name: str) -> str:
    """Where the value that counts now comes from: a layer, a file's path, a variable's name or ``default``."""
    return _find(name)[1]


def describe() -> list[dict[str, Any]]:
    """One row for each setting: name, value, source, help."""
    return [{"name": n, "value": get(n), "source": source(n), "help": s.help} for n, s in SETTINGS.items()]


def set(name: str, value: Any, layer: Layer = "call") -> None:  # noqa: A001 - config.set reads as what it is
    """Set a value on a layer; None takes it away again."""
    global _changes
    setting = _setting(name)
    if value is None:
        _layers[layer].pop(name, None)
    else:
        _layers[layer][name] = _parsed(setting, value, layer)
    _changes += 1


def reset() -> None:
    """Forget every value set in this process."""
    global _changes
    for values in _layers.values():
        values.clear()
    _changes += 1


def project_folder() -> Path:
    """The folder the project's files are in: the nearest one up with a project file or trace, else the working one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "gathering.toml").is_file() or (folder / ".gathering").is_dir() or _pyproject(folder):
            return folder
    return here


def _setting(name: str) -> Setting:
    if name not in SETTINGS:
        raise UnknownNameError("setting", name, SETTINGS)
    return SETTINGS[name]


def _find(name: str) -> tuple[Any, str]:
    setting = _setting(name)
    for layer in _LAYERS:
        if name in _layers[layer]:
            return _layers[layer][name], layer
    for path, values in _files():
        if name in values:
            return _parsed(setting, values[name], str(path)), str(path)
    variable = _variable(name)
    if os.environ.get(variable):
        return _parsed(setting, os.environ[variable], variable), variable
    return setting.default, "default"


def _variable(name: str) -> str:
    return f"GATHERING_{name.upper()}"


def _parsed(setting: Setting, value: Any, where: str) -> Any:
    try:
        return setting.parse(value)
    except (ValueError, TypeError) as err:
        wanted = (
            err if isinstance(err, ValueError) and "invalid literal" not in str(err) else "a whole number"
        )
        raise ConfigurationError(
            f"{setting.name} = {value!r} (from {where}) is not usable: give {wanted}"
        ) from err


def _files() -> list[tuple[Path, Mapping[str, Any]]]:
    folder = project_folder()
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gathering" / "config.toml"
    own = _read(folder / "gathering.toml")
    return [
        (folder / "gathering.toml", own),
        (folder / "pyproject.toml", {} if own else _pyproject(folder)),
        (user, _read(user)),
    ]


_toml_cache: dict[Path, tuple[float, Mapping[str, Any]]] = {}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        stamp = path.stat().st_mtime
    except OSError:
        return {}
    cached = _toml_cache.get(path)
    if cached is None or cached[0] != stamp:
        try:
            cached = (stamp, tomllib.loads(path.read_text("utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
            raise ConfigurationError(f"{path} is not valid TOML ({err}): correct it or remove it") from err
        except OSError as err:
            raise ConfigurationError(
                f"{path} cannot be read ({err.strerror}): correct its permissions"
            ) from err
        _toml_cache[path] = cached
    return cached[1]


def _pyproject(folder: Path) -> Mapping[str, Any]:
    path = folder / "pyproject.toml"
    if not path.is_file() or "[tool.gathering" not in path.read_text("utf-8", "replace"):
        return {}
    table = _read(path).get("tool", {}).get("gathering", {})
    return table if isinstance(table, Mapping) else {}
