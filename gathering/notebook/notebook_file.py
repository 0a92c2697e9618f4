"""A conversation as a notebook that makes the same agents and asks the same again.

Owns its cells. Answers stand below them as outputs, so that it can be read before it is run. The other forms of a file are
``gathering.notebook.exporting``'s.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping, Sequence
from typing import Any

from gathering.agents import Agent
from gathering.agents.versions import described
from gathering.core.interfaces import IAgent
from gathering.core.masking import mask
from gathering.notebook.items import Item
from gathering.notebook.literal import to_markdown
from gathering.notebook.saved import conversation_markdown

__all__ = ["notebook"]

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def notebook(items: Sequence[Item], agents: Mapping[str, IAgent]) -> str:
    """The notebook's text: a cell for each agent, then one for each message, or one for a conversation of several."""
    names = _variables(agents)
    asked = _asked(items, next(iter(names.values()), "agent")) if len(agents) < 2 else _talked(items, names)
    made = [_agent_cell(names[name], agent) for name, agent in agents.items()]
    cells = [_code("%load_ext gathering"), *made, *asked]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": _KERNEL}, "cells": cells}
    return mask(json.dumps(book, ensure_ascii=False, indent=1)) + "\n"


def _variables(agents: Mapping[str, IAgent]) -> dict[str, str]:
    """A Python name for each agent: its own, where that is one."""
    usable = {name: name.isidentifier() and not keyword.iskeyword(name) for name in agents}
    return {name: name if usable[name] else f"agent{place or ''}" for place, name in enumerate(agents)}


def _agent_cell(variable: str, agent: IAgent) -> dict[str, Any]:
    import yaml

    about = described(agent) if isinstance(agent, Agent) else {}
    own: Mapping[str, Sequence[str]] = about.pop("own", {})
    notes = [f"# made by code, put it in again: {part} {', '.join(names)}" for part, names in own.items()]
    if about.get("name") == variable:
        del about["name"]
    wanted = yaml.safe_dump(about or {"history": ""}, sort_keys=False, allow_unicode=True).rstrip()
    return _code("\n".join([f"%%gathering agent {variable}", *notes, _literal(wanted)]))


def _asked(items: Sequence[Item], variable: str) -> list[dict[str, Any]]:
    cells = list[dict[str, Any]]()
    for place, item in enumerate(items):
        if item.role == "note":
            cells.append({"cell_type": "markdown", "metadata": {}, "source": to_markdown(item.text)})
        elif item.role == "user":
            after = items[place + 1] if place + 1 < len(items) else None
            answer = after.text if after is not None and after.role == "assistant" else ""
            cells.append(_code(f"%%gathering ask {variable}\n{_literal(item.text)}", answer))
    return cells


def _talked(items: Sequence[Item], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One cell that begins the conversation with its first word, and what was said as its output."""
    first = next((item.text for item in items if item.role == "user"), "Go on from here.")
    turns = max(1, sum(item.role == "assistant" for item in items))
    source = f"%%gathering converse {' '.join(names.values())} --turns {turns}\n{_literal(first)}"
    return [_code(source, conversation_markdown(items))]


def _literal(text: str) -> str:
    """The text as a cell's body that means it: nothing in it is expanded."""
    return text.replace("{{", "{{ '{{' }}")


def _code(source: str, answer: str = "") -> dict[str, Any]:
    data = {"text/plain": answer, "text/markdown": to_markdown(answer)}
    return {
        "cell_type": "code",
        "metadata": {},
        "execution_count": None,
        "source": source,
        "outputs": [{"output_type": "display_data", "data": data, "metadata": {}}] if answer else [],
    }
