"""Loading and unloading: silent, light, and without a trace afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from gathering import notebook
from gathering.core import config
from gathering.core.registry import create_tool
from gathering.core.session import current_cell


def state(shell: InteractiveShell) -> dict[str, Any]:
    """Everything the extension touches."""
    return {
        "magics": {kind: dict(found) for kind, found in shell.magics_manager.magics.items()},
        "matchers": list(shell.Completer.custom_matchers),
        "input": list(shell.input_transformers_cleanup),
        "configurables": list(shell.configurables),
        "events": {name: list(callbacks) for name, callbacks in shell.events.callbacks.items()},
        "printers": dict(shell.display_formatter.ipython_display_formatter.type_printers),
        "names": set(shell.user_ns),
        "settings": config.describe(),
        "cell": current_cell(),
    }


def test_unloading_restores_everything(bare_shell: InteractiveShell) -> None:
    """After load, use and unload the shell is as it was."""
    before = state(bare_shell)
    notebook.load(bare_shell)
    bare_shell.run_line_magic("gathering", "config traceback full")
    bare_shell.configurables[-1].model = "parrot"
    notebook.unload(bare_shell)
    assert state(bare_shell) == before


def test_the_notebook_tool_looks_into_this_shell(bare_shell: InteractiveShell) -> None:
    """A tool made from plain data sees the shell's variables while the extension is loaded, and none afterwards."""
    tool = create_tool({"name": "notebook", "names": ["result"]})
    notebook.load(bare_shell)
    bare_shell.run_cell("result = 42")
    assert tool.execute("result").output == {"variable": "result", "type": "int", "value": 42}
    notebook.unload(bare_shell)
    assert not tool.is_available()


def test_the_user_s_own_magic_of_that_name_comes_back(bare_shell: InteractiveShell) -> None:
    """What was there under the name before is there again."""

    def gathering(line: str) -> str:
        return "mine"

    bare_shell.register_magic_function(gathering, "line")
    notebook.load(bare_shell)
    notebook.unload(bare_shell)
    assert bare_shell.run_line_magic("gathering", "") == "mine"


def test_load_ext_and_reload_ext_are_silent(
    bare_shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """IPython's own commands load, load again and unload; nothing is said or shown."""
    for line in ("load_ext", "load_ext", "reload_ext", "unload_ext"):
        bare_shell.run_line_magic(line, "gathering")
        installed = bare_shell.find_line_magic("gathering") is not None
        assert installed == (line != "unload_ext")
    assert bare_shell.display_pub.outputs == []
    shown = capsys.readouterr()
    assert "gathering" not in shown.err
    assert shown.out.strip() in (
        "",
        "The gathering extension is already loaded. To reload it, use:\n  %reload_ext gathering",
    )


def test_loading_writes_no_file_and_imports_nothing_heavy(tmp_path: Path) -> None:
    """A fresh process that loads the extension has no pandas, no database, no HTTP, and no file in its folder."""
    code = (
        "import sys\n"
        "from traitlets.config import Config\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "c = Config(); c.HistoryManager.enabled = False\n"
        "shell = InteractiveShell.instance(config=c)\n"
        "before = set(sys.modules)\n"
        "shell.run_line_magic('load_ext', 'gathering')\n"
        "shell.Completer.complete('%gathering a')\n"
        "heavy = 'pandas sqlalchemy pydantic httpx yaml markdown_it ipywidgets tornado aiohttp'.split()\n"
        "print([m for m in heavy if m in set(sys.modules) - before])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=_environment(tmp_path),
    )
    assert done.stdout.strip() == "[]"
    assert [p.name for p in tmp_path.iterdir() if p.name != "ipython"] == []


def _environment(folder: Path) -> dict[str, str]:
    import os

    return {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(Path(__file__).parents[2])}


def test_a_wrong_setting_of_config_is_refused(shell: InteractiveShell) -> None:
    """``%config`` says what is wrong, and the setting stays."""
    with pytest.raises(Exception, match="traceback = 'loud'"):
        shell.configurables[-1].traceback = "loud"
    assert config.get("traceback") == "short"
