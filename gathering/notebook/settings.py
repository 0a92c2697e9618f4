"""``%config Gathering.model = "local"``: the settings as traitlets. Owns the bridge, not the settings."""

from __future__ import annotations

from typing import Any

from traitlets import Any as AnyTrait
from traitlets import TraitError
from traitlets.config import Configurable

from gathering.core import config
from gathering.core.errors import ConfigurationError

__all__ = ["settings_of"]


def settings_of(shell: Any) -> Configurable:
    """The configurable that ``%config Gathering`` shows; a change sets the ``%config`` layer of the settings."""
    traits = {
        name: AnyTrait(None, allow_none=True, help=setting.help).tag(config=True)
        for name, setting in config.SETTINGS.items()
    }
    kind = type("Gathering", (Configurable,), {**traits, "__doc__": "The settings of GatheRing."})
    made: Configurable = kind(parent=shell)
    for name in traits:
        if getattr(made, name) is not None:  # said in a configuration file of IPython
            _set(name, getattr(made, name))
    made.observe(lambda change: _set(change["name"], change["new"]), list(traits))
    return made


def _set(name: str, value: Any) -> None:
    try:
        config.set(name, value, layer="traitlet")
    except ConfigurationError as err:
        raise TraitError(str(err)) from err
