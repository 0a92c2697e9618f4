"""A conversation in a cell: each speech shown as it is said. Owns how it looks; who speaks is the conversation's."""

from __future__ import annotations

from typing import Any

from gathering.agents import Conversation
from gathering.agents.floor import Speech
from gathering.core.display import bundle
from gathering.core.interfaces import IAgent
from gathering.notebook.screen import Screen

__all__ = ["run_conversation"]


def run_conversation(
    screen: Screen, agents: list[IAgent], text: str, options: dict[str, Any]
) -> Conversation:
    """The conversation, talked to its end. What was said before a Stop stays in the cell.

    A notebook somebody watches and a terminal get each speech when it is said; elsewhere the cell's value shows it once.
    """
    vote = options.pop("vote", None)
    conversation = Conversation(agents, **options)
    watched = screen.way != "final"
    pane = screen.open({"text/plain": ""}) if screen.way == "live" else None

    def heard(speech: Speech) -> None:
        if pane is not None:
            screen.paint(pane, conversation._repr_mimebundle_())
        elif watched:
            screen.write(f"{speech.speaker}: {speech.content}\n")

    try:
        conversation.run(text, heard=heard)
        if vote is not None:
            conversation.decide(text, rule=vote)
    except BaseException:
        if pane is not None:
            screen.wipe(pane)
        screen.show(_so_far(conversation))
        raise
    if pane is not None:
        screen.wipe(pane)  # the cell's value shows it for good
    return conversation


def _so_far(conversation: Conversation) -> dict[str, str]:
    shown = conversation._repr_mimebundle_()
    return bundle(f"{shown['text/plain']}\n(stopped)", markdown=f"{shown['text/markdown']}\n\n*stopped*")
