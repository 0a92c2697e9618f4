"""Agents: personality, competencies, memory, and the turn they take together."""

from gathering.agents.agent import Agent
from gathering.agents.competency import Competency
from gathering.agents.memory import WindowMemory
from gathering.agents.personality import CombinedBlock, PersonalityBlock
from gathering.agents.prompt import Explanation
from gathering.agents.traits import TRAITS

__all__ = [
    "TRAITS",
    "Agent",
    "CombinedBlock",
    "Competency",
    "Explanation",
    "PersonalityBlock",
    "WindowMemory",
]
