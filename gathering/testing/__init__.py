"""Testing notebooks and agents: the tape, the scripted provider, and the pytest plugin.

Owns what stands in for a model. Expectations about answers and the notebook's own lanes stand on it.
"""

from __future__ import annotations

from gathering.testing.checks import Check, check
from gathering.testing.scripted import ScriptedProvider, ScriptedRequest
from gathering.testing.tape import Tape, current_tape, tape

__all__ = ["Check", "ScriptedProvider", "ScriptedRequest", "Tape", "check", "current_tape", "tape"]
