"""The ``%gathering`` magic: parse the line, call the subcommand, store and give back what it gave. No behaviour.

A reply has been shown while it came. It is still the cell's value, for ``_`` and for ``x = %gathering ...``, so
it is remembered as shown until the cell is over, and the display hook passes over it.
"""

from __future__ import annotations

from typing import Any

from gathering.core.errors import GatheringError
from gathering.core.messages import Reply
from gathering.notebook.cards import preformatted
from gathering.notebook.commands import COMMANDS, Context
from gathering.notebook.help import help_text
from gathering.notebook.parse import Request, parse
from gathering.notebook.screen import Note, Screen
from gathering.notebook.space import Space

__all__ = ["Magic"]


class Magic:
    """The magic of one shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self._shown: list[Reply] = []

    def run(self, line: str, cell: str | None) -> Any:
        """What the line and the cell ask for. Raises real exceptions, which test runners see."""
        request = parse(line, cell)
        if request.options.get("debug"):
            GatheringError.show_full_traceback = True  # until the next cell
        if request.options.get("help"):
            name = request.subcommand.name
            return Note(preformatted(help_text(None if name == "help" else name)))
        context = self._context(request)
        try:
            result = COMMANDS[request.subcommand.name](context)
        except KeyboardInterrupt as stop:
            # Still a KeyboardInterrupt, so that "run all" ends here; where in a socket it struck helps nobody.
            if not GatheringError.show_full_traceback:
                stop._render_traceback_ = lambda: ["KeyboardInterrupt: stopped"]  # type: ignore[attr-defined]
            raise
        if isinstance(result, Reply):
            self._shown.append(result)
        context.keep(result)
        # A cell magic ends with its text, so the `;` of its first line is for us to see.
        return None if request.silent and cell is not None else result

    def _context(self, request: Request) -> Context:
        return Context(request, Space(self.shell.user_ns), Screen(self.shell))

    def pass_over_shown(self, reply: Reply) -> None:
        """Show nothing of a reply this cell has shown. ``NotImplementedError`` lets IPython show any other one."""
        for index, shown in enumerate(self._shown):
            if shown is reply:
                del self._shown[index]
                return
        raise NotImplementedError

    def after_cell(self, result: object = None) -> None:
        """Forget what the cell has shown: in the next one a reply is shown when it is asked for."""
        self._shown.clear()
