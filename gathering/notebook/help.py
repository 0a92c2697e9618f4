"""The help of ``%gathering``, made from its grammar. Owns wording and layout only."""

from __future__ import annotations

from gathering.core.errors import UnknownNameError
from gathering.notebook.grammar import COMMON, SUBCOMMANDS, Option, Subcommand

__all__ = ["help_text", "overview"]


def help_text(name: str | None = None) -> str:
    """The help of one subcommand, or the overview. Raises ``UnknownNameError``."""
    if name is None:
        return overview()
    if name.startswith("@"):
        name = "ask"
    if name not in SUBCOMMANDS:
        raise UnknownNameError("subcommand", name, SUBCOMMANDS)
    return _of(SUBCOMMANDS[name])


def overview() -> str:
    """One line for each subcommand."""
    width = max(len(s.usage) for s in SUBCOMMANDS.values())
    lines = [f"  {s.usage:<{width}}  {s.help}" for s in SUBCOMMANDS.values()]
    return "\n".join(
        [
            "%gathering SUBCOMMAND [options] ...        on a line",
            "%%gathering SUBCOMMAND [options] ...       with the cell below it",
            "",
            *lines,
            f"  {'@NAME TEXT':<{width}}  ask the agent NAME",
            "",
            "In a prompt, {{ expression }} is replaced by its value; nothing else is.",
            "%gathering help SUBCOMMAND shows its options.",
        ]
    )


def _of(sub: Subcommand) -> str:
    mark = "%%" if sub.body else "%"
    lines = [f"{mark}gathering {sub.usage}", "", f"{sub.help[0].upper()}{sub.help[1:]}."]
    if sub.body:
        lines.append(f"The cell is {sub.body}.")
    lines += ["", "Options:", *(_line(option) for option in (*sub.options, *COMMON))]
    if sub.example:
        lines += ["", f"Example: {mark}gathering {sub.example}"]
    return "\n".join(lines)


def _line(option: Option) -> str:
    names = ", ".join(n for n in (option.short, option.name) if n)
    choices = f" ({', '.join(option.choices)})" if option.choices else ""
    return f"  {f'{names} {option.metavar}'.strip():<24}  {option.help}{choices}"
