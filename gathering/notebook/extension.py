"""What ``%load_ext gathering`` puts into a shell, and takes out again. Nothing here prints, writes or connects.

Each part registers how to undo it at the moment it is installed, so that unloading cannot forget one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from IPython.core.magic import no_var_expand

from gathering.core import budget, config
from gathering.core.errors import GatheringError
from gathering.core.messages import Reply
from gathering.core.permissions import set_asker
from gathering.core.session import set_cell_source
from gathering.notebook.approval import Approval
from gathering.notebook.budgeting import PriceQuestion
from gathering.notebook.complete import matcher_for
from gathering.notebook.help import overview
from gathering.notebook.magics import Magic
from gathering.notebook.screen import Screen
from gathering.notebook.settings import settings_of
from gathering.tools.namespace import set_namespace

__all__ = ["Extension"]

NAME = "gathering"


class Extension:
    """The installed extension of one shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self._undo: list[Callable[[], object]] = []
        self.magic = Magic(shell)
        self._install_magic()
        self._install_input()
        self._install_completion()
        self._install_display()
        self._install_events()
        self._install_settings()
        self._install_asker()

    def remove(self) -> None:
        """Undo everything, the last thing first."""
        while self._undo:
            self._undo.pop()()

    def _install_magic(self) -> None:
        def run(line: str, cell: str | None = None) -> Any:
            return self.magic.run(line, cell)

        run.__name__ = run.__qualname__ = NAME
        run.__doc__ = overview()
        manager = self.shell.magics_manager
        before = {kind: manager.magics[kind].get(NAME) for kind in ("line", "cell")}
        manager.register_function(no_var_expand(run), "line_cell", NAME)
        self._undo.append(functools.partial(_restore_magics, manager.magics, before))

    def _install_input(self) -> None:
        transformers = self.shell.input_transformers_cleanup
        for transformer in (cell_without_body, question_on_a_line):
            transformers.append(transformer)
            self._undo.append(functools.partial(_drop, transformers, transformer))

    def _install_completion(self) -> None:
        completer = getattr(self.shell, "Completer", None)
        if completer is None:
            return
        matcher = matcher_for(self.shell)
        completer.custom_matchers.append(matcher)
        self._undo.append(lambda: _drop(completer.custom_matchers, matcher))

    def _install_display(self) -> None:
        """A reply that was shown while it came is not shown again as the cell's value, but still is its value."""
        formatter = self.shell.display_formatter.ipython_display_formatter
        before = formatter.for_type(Reply, self.magic.pass_over_shown)
        self._undo.append(lambda: formatter.for_type(Reply, before) if before else formatter.pop(Reply, None))

    def _install_events(self) -> None:
        for event, callback in (("pre_run_cell", _before_cell), ("post_run_cell", self.magic.after_cell)):
            self.shell.events.register(event, callback)
            self._undo.append(functools.partial(self.shell.events.unregister, event, callback))
        # The number a cell is shown with; the shell's own count moves on at another moment in each IPython.
        set_cell_source(lambda: self.shell.displayhook.prompt_count)
        self._undo.append(lambda: set_cell_source(None))
        set_namespace(lambda: self.shell.user_ns)  # for the notebook tool
        self._undo.append(lambda: set_namespace(None))
        _before_cell()
        self._undo.append(lambda: setattr(GatheringError, "show_full_traceback", False))

    def _install_settings(self) -> None:
        settings = settings_of(self.shell)
        self.shell.configurables.append(settings)
        self._undo.append(lambda: _drop(self.shell.configurables, settings))
        self._undo.append(_forget_settings)

    def _install_asker(self) -> None:
        """A tool call that needs a person's word is asked about here, and a call whose price nobody knows."""
        before = set_asker(Approval(lambda: Screen(self.shell)))
        self._undo.append(lambda: set_asker(before))
        about_prices = budget.set_asker(PriceQuestion(lambda: Screen(self.shell)))
        self._undo.append(lambda: budget.set_asker(about_prices))


def cell_without_body(lines: list[str]) -> list[str]:
    """A ``%%gathering`` line with nothing below it, as a line magic.

    IPython refuses an empty cell magic with an error that test runners do not see; ours they do.
    """
    if lines and lines[0].startswith(f"%%{NAME}") and not "".join(lines[1:]).strip():
        return [lines[0][1:]]
    return lines


_QUESTION = re.compile(rf"(\s*(?:[\w.]+\s*=\s*)?)%{NAME}[ \t]+(\S+[ \t]+.*\?)\s*")


def question_on_a_line(lines: list[str]) -> list[str]:
    """A ``%gathering ask ada ...?`` line as the call it stands for: IPython would take its last word for a request for help."""
    if lines and lines[0].startswith("%%"):
        return lines
    return [_asked(line) for line in lines]


def _asked(line: str) -> str:
    found = _QUESTION.fullmatch(line)
    if found is None:
        return line
    end = "\n" if line.endswith("\n") else ""
    return f"{found[1]}get_ipython().run_line_magic({NAME!r}, {found[2]!r}){end}"


def _before_cell(info: object = None) -> None:
    GatheringError.show_full_traceback = config.get("traceback") == "full"


def _restore_magics(magics: dict[str, dict[str, Any]], before: dict[str, Any]) -> None:
    for kind, function in before.items():
        if function is None:
            magics[kind].pop(NAME, None)
        else:
            magics[kind][NAME] = function


def _forget_settings() -> None:
    for name in config.names():
        for layer in ("magic", "traitlet"):
            config.set(name, None, layer=layer)


def _drop(items: list[Any], item: object) -> None:
    with suppress(ValueError):
        items.remove(item)
