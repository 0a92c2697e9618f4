"""Agents: personality, competencies, memory, and the turn they take together."""

from gathering.agents.agent import Agent
from gathering.agents.competency import Competency
from gathering.agents.consensus import Agreement
from gathering.agents.conversation import Conversation
from gathering.agents.delegation import AgentTool
from gathering.agents.guardrails import Guardrail
from gathering.agents.library import BEHAVIOURS, EMOTIONS, PROFESSIONS, TRAITS
from gathering.agents.longterm import LongTermMemory
from gathering.agents.manager import AgentManager, Record
from gathering.agents.memory import WindowMemory
from gathering.agents.personality import CombinedBlock, PersonalityBlock
from gathering.agents.prompt import Explanation
from gathering.agents.summary import SummaryMemory

__all__ = [
    "BEHAVIOURS",
    "EMOTIONS",
    "PROFESSIONS",
    "TRAITS",
    "Agent",
    "AgentManager",
    "AgentTool",
    "Agreement",
    "CombinedBlock",
    "Competency",
    "Conversation",
    "Explanation",
    "Guardrail",
    "LongTermMemory",
    "PersonalityBlock",
    "Record",
    "SummaryMemory",
    "WindowMemory",
]
