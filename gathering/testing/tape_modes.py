"""The mode of a tape: which of those that are said counts. Owns that order; what a mode does is the tape's."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias, get_args

from gathering.core import config, session
from gathering.core.errors import ConfigurationError

__all__ = ["COMMANDED", "Mode", "chosen_mode"]

Mode: TypeAlias = Literal["auto", "record", "replay", "live"]

#: The variable by which ``gathering test --record`` and its like tell a kernel what they run the notebook for.
COMMANDED = "GATHERING_TAPE_COMMAND"


def chosen_mode(mode: Mode | None, *, recorded_here: bool = False) -> Mode:
    """The mode that counts: the one given, else the setting; under a test runner ``auto`` means ``replay``.

    A notebook that says ``replay`` is recorded or asked live all the same where a command is there to do just that, but
    for a tape that was recorded in the same process. Raises ``ConfigurationError``.
    """
    if mode is not None and mode not in get_args(Mode):
        raise ConfigurationError(f"the tape mode {mode!r} is unknown: use {', '.join(get_args(Mode))}")
    commanded = _commanded()
    if mode == "replay" and commanded is not None and not recorded_here:
        return commanded
    chosen: Mode = config.get("tape_mode") if mode in (None, "auto") else mode
    return "replay" if chosen == "auto" and session.under_test() else chosen


def _commanded() -> Mode | None:
    said = os.environ.get(COMMANDED)
    return next((mode for mode in get_args(Mode) if mode == said), None)
