"""The subcommands of ``%gathering``: each calls the public API and gives back what it gave.

Owns no behaviour of agents, models or traces: what a subcommand does can be done in Python with the same names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gathering
from gathering.core import config
from gathering.core.display import bundle, card
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import IAgent
from gathering.core.messages import Reply
from gathering.core.registry import PROVIDERS, create_provider, split_model
from gathering.notebook.cards import preformatted, status_note
from gathering.notebook.expand import expand
from gathering.notebook.help import help_text
from gathering.notebook.live import SilentView, View, show_stream, view_on
from gathering.notebook.parse import Request
from gathering.notebook.screen import Note, Screen
from gathering.notebook.space import Space
from gathering.notebook.transcript import Transcript

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COMMANDS", "Context"]

_PARTED = re.compile(r"^[ \t]*---[ \t]*$", re.MULTILINE)
_PARAMS = ("temperature", "max_tokens")


@dataclass(frozen=True, slots=True)
class Context:
    """What a subcommand works with."""

    request: Request
    space: Space
    screen: Screen

    @property
    def name(self) -> str | None:
        """The first word after the subcommand, if there is one."""
        return self.request.names[0] if self.request.names else None

    def agent(self) -> IAgent:
        """The agent that is named."""
        assert self.name is not None
        return self.space.agent(self.name)

    def keep(self, result: Any) -> None:
        """Store what there is in the variable that takes the result, if one does."""
        if self.request.output:
            self.space.names[self.request.output] = result

    def prompt(self) -> str:
        """The text of line and cell, expanded; shown if that was asked for."""
        text = expand(self.request.prompt, self.space.names)
        if self.request.options.get("show"):
            self.screen.show(preformatted(text))
        if not text.strip():
            raise ConfigurationError(
                f"there is nothing to {self.request.subcommand.name}: write the text on the line or in the cell"
            )
        return text


def _status(context: Context) -> Note:
    return status_note()


def _models(context: Context) -> pd.DataFrame:
    from gathering.notebook.catalog import listed_frame, models_frame

    return models_frame() if context.name is None else listed_frame(context.name)


def _doctor(context: Context) -> pd.DataFrame:
    from gathering.notebook.catalog import doctor_frame

    return doctor_frame(context.request.names)


def _use(context: Context) -> Note:
    assert context.name is not None
    for one in context.name.split("|"):
        provider, _ = split_model(one)
        if provider not in PROVIDERS:
            raise UnknownNameError("provider", provider, PROVIDERS, PROVIDERS.hint)
    config.set("model", context.name, layer="magic")
    return Note(bundle(f"default model: {context.name}"))


def _agent(context: Context) -> Any:
    if context.request.body is None:
        return context.agent()
    name = str(context.name)
    context.space.check_agent_name(name)
    description = _described(expand(context.request.body, context.space.names), name)
    agent = gathering.Agent.from_config(description)
    context.space.put_agent(name, agent)
    return agent


def _described(text: str, name: str) -> dict[str, Any]:
    """The YAML mapping of an agent cell. Raises ``ConfigurationError`` with line and column."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark
        where = f" at line {mark.line + 2}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(
            f"the cell of agent {name!r} is no YAML{where} ({err.problem}): write one key: value a line"
        ) from err
    except yaml.YAMLError as err:
        raise ConfigurationError(
            f"the cell of agent {name!r} is no YAML ({str(err).splitlines()[0]}): correct it"
        ) from err
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"the cell of agent {name!r} is a {type(found).__name__}, not a mapping: write one key: value a line"
        )
    return {str(key): value for key, value in {"name": name, **found}.items()}


def _agents(context: Context) -> pd.DataFrame:
    from gathering.notebook.agents import agents_frame

    return agents_frame(context.space.agents())


def _ask(context: Context) -> Reply:
    agent, text = context.agent(), context.prompt()
    options = context.request.options
    params = {key: options[key] for key in _PARAMS if key in options}
    view = _view(context, getattr(agent, "name", str(context.name)))
    with _model(agent, options.get("model")):
        if isinstance(agent, gathering.Agent) and not options.get("no_stream"):
            return show_stream(agent.stream(text, **params), view)
        return _whole(agent, text, params, view)


def _view(context: Context, agent: str) -> View:
    if context.request.silent:
        return SilentView(context.screen, agent)
    whole = context.request.options.get("no_stream")
    return view_on(Screen(context.screen.shell, "final") if whole else context.screen, agent)


def _whole(agent: IAgent, text: str, params: Mapping[str, Any], view: View) -> Reply:
    if isinstance(agent, gathering.Agent):
        reply = agent.ask(text, **params)
    else:
        reply = Reply(agent.process_message(text), agent=view.transcript.agent)
    view.end(Transcript.of(reply))
    return reply


@contextmanager
def _model(agent: IAgent, model: str | None) -> Iterator[None]:
    """The agent with another model for one turn; its memory stays its own."""
    if model is None:
        yield
        return
    if not isinstance(agent, gathering.Agent):
        raise ConfigurationError(
            f"{type(agent).__name__} has a model of its own: leave --model out, or ask a gathering.Agent"
        )
    before, agent.llm_provider = agent.llm_provider, create_provider(model)
    try:
        yield
    finally:
        agent.llm_provider = before


def _chat(context: Context) -> Any:
    from gathering.notebook.panels import open_chat

    return open_chat(context.space, str(context.name), context.request.options)


def _panel(context: Context) -> Any:
    from gathering.notebook.panels import open_view

    return open_view(context.space, str(context.name), context.request.options)


def _restore(context: Context) -> pd.DataFrame:
    from gathering.notebook.panels import restore_agents

    return restore_agents(context.space, tuple(context.request.names))


def _resume(context: Context) -> Reply:
    agent, options = context.agent(), context.request.options
    if not isinstance(agent, gathering.Agent):
        raise ConfigurationError(f"{context.name!r} cannot resume a turn: only a gathering.Agent can")
    reply = agent.resume(
        options.get("conversation"), **{key: options[key] for key in _PARAMS if key in options}
    )
    _view(context, agent.name).end(Transcript.of(reply))
    return reply


def _compare(context: Context) -> Any:
    from gathering.notebook.comparing import run_comparison

    agents = {f"@{name}": agent for name, agent in context.space.agents().items()}
    subjects = [
        context.space.agent(name[1:])
        if name.startswith("@") and name not in agents
        else agents.get(name, name)
        for name in context.request.names
    ]
    prompts = [p.strip() for p in _PARTED.split(context.prompt()) if p.strip()]
    options = {"repeats": 1, **context.request.options}
    wanted: dict[str, Any] = {name: options[name] for name in ("repeats", "budget") if name in options}
    if "resume" in options:
        wanted["resume"] = context.space.value(options["resume"])
    if options.get("panel"):
        wanted["panel"] = context.screen.way == "live"
    return run_comparison(context.screen, prompts, subjects, wanted, context.keep)


def _converse(context: Context) -> Any:
    from gathering.notebook.conversing import run_conversation

    options = context.request.options
    renamed = {"turns": "max_turns", "strategy": "strategy", "vote": "vote", "seed": "seed"}
    chosen = {new: options[old] for old, new in renamed.items() if old in options}
    agents = [
        context.space.agent(name.strip(",").removeprefix("@"))
        for name in context.request.names
        if name.strip(",")
    ]
    return run_conversation(context.screen, agents, context.prompt(), chosen)


def _memory(context: Context) -> pd.DataFrame:
    from gathering.notebook.memories import remembered

    memory: Any = getattr(context.agent(), "memory", None)
    if not hasattr(memory, "df"):
        raise ConfigurationError(
            f"the memory of {context.name!r} cannot be shown as a DataFrame: give it a memory that has df()"
        )
    return remembered(memory, context.request.options)


def _check(context: Context) -> Any:
    from gathering.notebook.checking import check_reply

    reply = context.space.value(str(context.name))
    return check_reply(reply, context.request.options, context.space.value)


def _tools(context: Context) -> pd.DataFrame:
    from gathering.notebook.tools import tools_frame

    return tools_frame(None if context.name is None else getattr(context.agent(), "tools", {}))


def _table(of: Callable[[Any], Any]) -> Callable[[Context], Any]:
    def show(context: Context) -> Any:
        if context.name is None:
            return of(gathering.trace)
        agent = context.space.agent(context.name.removeprefix("@"))
        if not isinstance(agent, gathering.Agent):
            raise ConfigurationError(f"{context.name!r} keeps no trace: only a gathering.Agent does")
        return of(agent.trace)

    return show


def _permissions(context: Context) -> Any:
    from gathering.notebook.permissions import Permissions

    if context.name is None:
        agents = [a for a in context.space.agents().values() if isinstance(a, gathering.Agent)]
        return Permissions(agents, gathering.trace)
    agent = context.space.agent(context.name.removeprefix("@"))
    if not isinstance(agent, gathering.Agent):
        raise ConfigurationError(f"{context.name!r} has no rules: only a gathering.Agent does")
    return Permissions([agent], agent.trace)


def _explain(context: Context) -> Any:
    agent = context.agent()
    if not isinstance(agent, gathering.Agent):
        raise ConfigurationError(f"{context.name!r} cannot be explained: only a gathering.Agent can")
    return agent.explain(context.prompt())


def _tape(context: Context) -> Any:
    from gathering.notebook.tapes import ACTIONS, TAPE_OPTIONS, tape_action
    from gathering.testing import current_tape

    if context.name in ACTIONS:
        return tape_action(context.request.names, context.request.options.get("notebook"))
    if len(context.request.names) > 1:
        raise ConfigurationError(f"tape has no use for {context.request.names[1]!r}: %gathering help tape")
    if context.name is not None and context.name != "off":
        given = context.request.options
        return gathering.tape(context.name, **{name: given[name] for name in TAPE_OPTIONS if name in given})
    there = current_tape()
    if context.name == "off" and there is not None:
        there.close()
        there.check_unused()
        return Note(bundle(f"tape: {there.path} is out, calls are live again"))
    return there or Note(bundle("tape: none"))


def _budget(context: Context) -> Any:
    from gathering.notebook.budgeting import set_budget

    options = context.request.options
    return set_budget(context.name, options.get("scope"), options.get("on_unknown"))


def _config(context: Context) -> Any:
    names = context.request.names
    if len(names) == 2:
        config.set(names[0], names[1], layer="magic")
    if names:
        text = f"{names[0]} = {config.get(names[0])!r} (from {config.source(names[0])})"
        return Note(bundle(text))
    rows = [(s["name"], f"{s['value']!r} (from {s['source']}): {s['help']}") for s in config.describe()]
    return Note(card("settings", rows))


def _help(context: Context) -> Note:
    return Note(preformatted(help_text(context.name)))


#: What runs for each subcommand.
COMMANDS: Mapping[str, Callable[[Context], Any]] = {
    "status": _status,
    "models": _models,
    "doctor": _doctor,
    "use": _use,
    "agent": _agent,
    "agents": _agents,
    "ask": _ask,
    "chat": _chat,
    "panel": _panel,
    "compare": _compare,
    "converse": _converse,
    "memory": _memory,
    "check": _check,
    "tools": _tools,
    "calls": _table(lambda trace: trace.calls()),
    "messages": _table(lambda trace: trace.messages()),
    "tool-calls": _table(lambda trace: trace.tool_calls()),
    "permissions": _permissions,
    "restore": _restore,
    "resume": _resume,
    "explain": _explain,
    "tape": _tape,
    "budget": _budget,
    "config": _config,
    "help": _help,
}
