"""The folder a file of the project is kept in. Owns no file."""

from __future__ import annotations

from pathlib import Path

__all__ = ["make_folder"]


def make_folder(folder: Path) -> None:
    """Make the folder if it is not there. Our own one, ``.gathering``, keeps itself out of version control."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if folder.name == ".gathering":
        (folder / ".gitignore").write_text("*\n", "utf-8")
