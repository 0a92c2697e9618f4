"""What ``%gathering`` understands: its subcommands, their words and their options. Data, no behaviour.

Parsing (``parse``), help (``help``) and completion (``complete``) all read this one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["COMMON", "SUBCOMMANDS", "Option", "Subcommand", "Tail"]

Tail: TypeAlias = Literal["none", "text", "many"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``read`` turns its value's text into the value; None for an option that takes none.

    One that counts each time it is given has ``several``: its value is the list of them.
    """

    name: str
    help: str
    read: Callable[[str], Any] | None = None
    metavar: str = ""
    short: str = ""
    choices: tuple[str, ...] = ()
    several: bool = False

    @property
    def key(self) -> str:
        """The name as a keyword: ``--max-tokens`` is ``max_tokens``."""
        return self.name.lstrip("-").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One subcommand: the words it needs, the words it may have, what follows them, and what a cell's body is."""

    name: str
    help: str
    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    tail: Tail = "none"
    body: str = ""
    options: tuple[Option, ...] = ()
    example: str = ""

    @property
    def usage(self) -> str:
        """How it is written, without the magic's name."""
        words = [self.name, *self.needs, *(f"[{word}]" for word in self.may)]
        if self.tail == "many":
            words.append("...")
        if self.tail == "text":
            words.append("TEXT")
        return " ".join(words)

    def option(self, name: str) -> Option | None:
        """The option of this long or short name."""
        return next((o for o in (*self.options, *COMMON) if name in (o.name, o.short) and name), None)

    def option_names(self) -> list[str]:
        """The long names of all options."""
        return [o.name for o in (*self.options, *COMMON)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("a whole number of 1 or more")
    return int(text)


def _variable(text: str) -> str:
    if not text.isidentifier():
        raise ValueError("a Python name")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(" or ".join(words))
        return text

    return read


#: Strategies that need nothing but their name, and the rules of a vote (``gathering.agents``).
STRATEGIES = ("round_robin", "everyone", "mention", "moderator", "bidding")
RULES = ("majority", "borda", "approval", "unanimity", "judge")
TAPE_MODES = ("auto", "record", "replay", "live")
#: What ``%gathering tape`` takes in place of a file.
TAPE_WORDS = ("off", "show", "check", "prune", "merge", "rerecord", "scan")
TAPE_TOOLS, TAPE_UNUSED = ("tape", "live"), ("error", "ignore")
SCOPES = ("session", "project")
ON_UNKNOWN = ("refuse", "allow", "ask")

#: Options of every subcommand.
COMMON = (
    Option("--output", "store the result in this variable", _variable, "NAME", short="-o"),
    Option("--debug", "show the full traceback of an error"),
    Option("--help", "show this help", short="-h"),
)

_ASK = (
    Option("--model", "answer with this model, this time", str, "MODEL"),
    Option("--temperature", "0 always takes the likeliest word", _number, "NUMBER"),
    Option("--max-tokens", "the longest answer", _count, "COUNT"),
    Option("--no-stream", "show the answer when it is whole"),
    Option("--show", "show the prompt as it is sent, after {{ }} is filled in"),
)

#: Each is a method of ``gathering.check``; ``--by`` belongs to ``--judged``, ``--threshold`` to ``--similar``.
_CHECKS = (
    Option("--contains", "this stands in the answer", str, "TEXT", several=True),
    Option("--lacks", "this does not", str, "TEXT", several=True),
    Option("--matches", "a regular expression fits", str, "PATTERN", several=True),
    Option("--equals", "the answer is this", str, "TEXT", several=True),
    Option("--json-schema", "the answer fits the schema in this variable", _variable, "NAME", several=True),
    Option(
        "--tool-called", "the model called it: NAME, or 'NAME(argument=value)'", str, "TOOL", several=True
    ),
    Option("--no-tool", "it called none"),
    Option("--max-tokens", "it wrote no more", _count, "COUNT", several=True),
    Option("--max-cost", "it cost no more US dollars", _number, "DOLLARS", several=True),
    Option("--max-latency", "it took no more seconds", _number, "SECONDS", several=True),
    Option("--language", "it is in this language, as 'de'", str, "CODE", several=True),
    Option("--similar", "it means about the same", str, "TEXT", several=True),
    Option("--threshold", "how similar, from 0 to 1 (0.7)", _number, "NUMBER"),
    Option("--judged", "a model says yes to this question about it", str, "QUESTION", several=True),
    Option("--by", "the model that judges", str, "MODEL"),
    Option("--refused", "the model declined to answer"),
    Option(
        "--satisfies", "the function in this variable gives something true", _variable, "NAME", several=True
    ),
)

SUBCOMMANDS: Mapping[str, Subcommand] = {
    s.name: s
    for s in (
        Subcommand("status", "what is here: default model, providers, tape, trace (also: nothing at all)"),
        Subcommand(
            "models",
            "the models that are known, and why one cannot be used now; those a provider lists, if one is named",
            may=("PROVIDER",),
            example="models openai",
        ),
        Subcommand(
            "doctor",
            "ask each provider, or those named: where its key comes from, whether it answers, what to do",
            may=("PROVIDER",),
            tail="many",
            example="doctor openai",
        ),
        Subcommand("use", "make a model the default of this notebook", ("MODEL",), example="use local"),
        Subcommand(
            "agent",
            "make the agent the cell describes; without a cell, show its card",
            ("NAME",),
            body="YAML",
            example="agent ada",
        ),
        Subcommand("agents", "the agents of this notebook and those that were saved, as a DataFrame"),
        Subcommand(
            "ask",
            "ask an agent (also: @NAME TEXT)",
            ("NAME",),
            tail="text",
            body="the prompt",
            options=_ASK,
            example="ask ada -o reply What is 15% of {{ amount }}?",
        ),
        Subcommand(
            "chat",
            "a chat panel with an agent",
            ("NAME",),
            options=(
                Option("--height", "how high it is, in pixels (420)", _count, "PIXELS"),
                Option("--readonly", "a panel to read, not to write in"),
            ),
            example="chat ada",
        ),
        Subcommand(
            "panel",
            "a panel on what the variable holds: an agent's trace, a conversation, a comparison; --memory, an agent's memory",
            ("NAME",),
            options=(
                Option("--memory", "what the agent remembers, to pin, edit and forget"),
                Option("--height", "pixels", _count, "PIXELS"),
                Option("--readonly", "a panel that shows and takes nothing"),
            ),
            example="panel ada --memory",
        ),
        Subcommand(
            "compare",
            "ask several models or @agents the same, side by side",
            ("MODEL",),
            tail="many",
            body="the prompt; several are parted by a line ---",
            options=(
                Option("--repeats", "ask each of them this often", _count, "COUNT"),
                Option("--budget", "the most it may cost, in US dollars", _number, "DOLLARS"),
                Option("--resume", "go on with the comparison in this variable", _variable, "NAME"),
                Option("--panel", "show a grid in which all answers stream at once"),
            ),
            example="compare local openai:gpt-5-mini --repeats 3 -o result",
        ),
        Subcommand(
            "converse",
            "let agents talk with each other; the text is what they talk about",
            ("NAME",),
            tail="many",
            body="what they talk about",
            options=(
                Option("--turns", "end after this many turns", _count, "COUNT"),
                Option("--strategy", "who speaks next", str, "NAME", choices=STRATEGIES),
                Option(
                    "--vote",
                    "let them decide among their last words by this rule",
                    str,
                    "RULE",
                    choices=RULES,
                ),
                Option("--seed", "the seed of whatever is left to chance", int, "NUMBER"),
            ),
            example="converse ada bob --turns 6 --strategy mention -o talk",
        ),
        Subcommand(
            "memory",
            "what an agent remembers, as a DataFrame",
            ("NAME",),
            options=(
                Option("--remember", "keep this text for long", str, "TEXT"),
                Option("--importance", "how much it counts, 0 to 1 (0.5)", _number, "NUMBER"),
                Option("--pin", "put it into every prompt"),
                Option("--search", "what of it fits this text, best first", str, "TEXT"),
                Option("--forget", "forget what has this id, or says exactly this", str, "WHAT"),
            ),
            example='memory ada --remember "Bob is allergic to peanuts."',
        ),
        Subcommand(
            "check",
            "what must hold of a reply; fails the cell where it does not",
            ("NAME",),
            options=_CHECKS,
            example="check reply --contains 375 --tool-called calculator --max-cost 0.01",
        ),
        Subcommand("tools", "the tools there are, or those of an agent, as a DataFrame", may=("NAME",)),
        Subcommand("calls", "the requests made to models, as a DataFrame", may=("NAME",)),
        Subcommand("messages", "what was said, as a DataFrame", may=("NAME",)),
        Subcommand("tool-calls", "what tools were called with and gave, as a DataFrame", may=("NAME",)),
        Subcommand("permissions", "the rules of agents and what was decided by them", may=("NAME",)),
        Subcommand(
            "restore",
            "bring back the agents of a kernel that is gone, with what they had said",
            may=("NAME",),
            tail="many",
            example="restore",
        ),
        Subcommand(
            "resume",
            "go on with the turn of an agent that a kernel that is gone left in the middle; asks again what waited for you",
            ("NAME",),
            options=(
                Option("--conversation", "the conversation, by its id (the agent's newest)", str, "ID"),
                *_ASK[1:3],
            ),
            example="resume ada -o reply",
        ),
        Subcommand(
            "explain",
            "exactly what would be sent for a message; sends nothing",
            ("NAME",),
            tail="text",
            body="the message",
            example="explain ada What is overfitting?",
        ),
        Subcommand(
            "tape",
            "replay recorded exchanges with models; 'off' takes it out; show, check, prune, merge, rerecord, scan [FILE]",
            may=("FILE",),
            tail="many",
            options=(
                Option(
                    "--mode",
                    "auto: replay what is recorded",
                    _one_of(*TAPE_MODES),
                    "MODE",
                    choices=TAPE_MODES,
                ),
                Option("--speed", "0 replays at once, 1 in the recorded rhythm", _number, "NUMBER"),
                Option(
                    "--tools",
                    "live: tools run and persons are asked in a replay too",
                    _one_of(*TAPE_TOOLS),
                    "WHERE",
                    choices=TAPE_TOOLS,
                ),
                Option(
                    "--unused",
                    "whether entries that nobody plays are an error at 'off'",
                    _one_of(*TAPE_UNUSED),
                    "WHAT",
                    choices=TAPE_UNUSED,
                ),
                Option("--notebook", "the notebook that uses the tape, for prune and rerecord", str, "FILE"),
            ),
            example="tape tapes/quickstart.jsonl",
        ),
        Subcommand(
            "budget",
            "a ceiling on what calls may cost; without an amount, how far it is used; 'off' takes it away",
            may=("DOLLARS",),
            options=(
                Option(
                    "--scope",
                    "what counts: this session, or all of the project",
                    _one_of(*SCOPES),
                    "SCOPE",
                    choices=SCOPES,
                ),
                Option(
                    "--on-unknown",
                    "what to do where a price is not known (ask)",
                    _one_of(*ON_UNKNOWN),
                    "WHAT",
                    choices=ON_UNKNOWN,
                ),
            ),
            example="budget 1.00",
        ),
        Subcommand(
            "config", "all settings and where each comes from; NAME VALUE sets one", may=("NAME", "VALUE")
        ),
        Subcommand("help", "this help, or that of one subcommand", may=("SUBCOMMAND",)),
    )
}
