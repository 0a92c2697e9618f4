"""Where the Chromium for browser tests is: named by the environment, the system's, or playwright's own.

Run as a script it prints one line; with ``--install`` it first lets playwright download one if none is found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["HOW_TO_GET_ONE", "find_chromium", "required"]

HOW_TO_GET_ONE = (
    "no Chromium was found: install one (apt install chromium), name it with CHROMIUM=/path/to/chromium, "
    "or run  .venv/bin/playwright install chromium"
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_DOWNLOAD_SECONDS = 180


def find_chromium() -> str | None:
    """The path of a Chromium, None if there is none."""
    named = os.environ.get("CHROMIUM") or os.environ.get("CHROME_PATH")
    if named:
        return shutil.which(named)
    return next((path for name in _NAMES if (path := shutil.which(name))), None) or _playwrights_own()


def required() -> bool:
    """Whether a missing browser is a failure and not a skipped test."""
    return os.environ.get("GATHERING_REQUIRE_BROWSER") == "1"


def _playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _download() -> None:
    print("browser tests: no Chromium yet, asking playwright for one", flush=True)
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        subprocess.run(command, capture_output=True, timeout=_DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        print(
            f"browser tests: the download took more than {_DOWNLOAD_SECONDS} s and was given up", flush=True
        )


def main(arguments: list[str]) -> int:
    """Print which browser will be used; 1 if one is required and missing."""
    found = find_chromium()
    if found is None and "--install" in arguments:
        _download()
        found = find_chromium()
    if found:
        print(f"browser tests: {found}")
        return 0
    print(f"browser tests {'cannot run' if required() else 'are skipped'}: {HOW_TO_GET_ONE}")
    return 1 if required() else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
