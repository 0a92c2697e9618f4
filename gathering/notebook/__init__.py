"""The notebook: the ``%gathering`` magic, completion, and how answers are shown.

This door loads and unloads the extension; IPython is imported by the modules behind it, when it is loaded.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load", "unload"]

#: The extension as it is installed in a shell, kept on that shell.
_PLACE = "_gathering_extension"


def load(shell: Any) -> None:
    """Install the extension in a shell. Loading it again changes nothing."""
    if getattr(shell, _PLACE, None) is None:
        from gathering.notebook.extension import Extension

        setattr(shell, _PLACE, Extension(shell))


def unload(shell: Any) -> None:
    """Take everything out again that ``load`` put into the shell."""
    extension = getattr(shell, _PLACE, None)
    if extension is not None:
        extension.remove()
        delattr(shell, _PLACE)
