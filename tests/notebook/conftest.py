"""A fresh IPython shell with the extension for each test, and what it displayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import Config

from gathering import notebook, storage
from gathering.core.interfaces import ILLMProvider
from gathering.core.registry import PROVIDERS
from gathering.testing.scripted import ScriptedProvider

Run = Callable[[str], ExecutionResult]


@pytest.fixture(scope="session")
def ipython_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for IPython's own files."""
    return str(tmp_path_factory.mktemp("ipython"))


@pytest.fixture
def bare_shell(ipython_folder: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell without the extension that keeps its displays in ``shell.display_pub.outputs``."""
    monkeypatch.setenv("IPYTHONDIR", ipython_folder)
    monkeypatch.setattr(
        storage, "_stores", {}
    )  # agents saved elsewhere in this process are none of this shell's
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.display_pub = CapturingDisplayPublisher()
    yield shell
    notebook.unload(shell)
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(bare_shell: InteractiveShell) -> InteractiveShell:
    """A shell with the extension."""
    notebook.load(bare_shell)
    return bare_shell


@pytest.fixture
def displayed(shell: InteractiveShell) -> list[dict[str, Any]]:
    """What was published, oldest first: ``data``, ``transient``, ``update``."""
    outputs: list[dict[str, Any]] = shell.display_pub.outputs
    return outputs


@pytest.fixture
def run(shell: InteractiveShell) -> Run:
    """Run a cell that must succeed."""

    def run_cell(code: str) -> ExecutionResult:
        result = shell.run_cell(code, store_history=True)
        result.raise_error()
        return result

    return run_cell


@pytest.fixture
def failing(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Run a cell that must fail; what is shown of its error."""

    def run_cell(code: str) -> str:
        capsys.readouterr()
        result = shell.run_cell(code, store_history=True)
        assert not result.success, f"{code!r} went through"
        shown = capsys.readouterr()
        return (shown.out + shown.err).strip()

    return run_cell


@pytest.fixture
def ada(shell: InteractiveShell) -> ScriptedProvider:
    """The agent ``ada`` in the notebook; the provider that says her answers."""
    from gathering import Agent
    from gathering.storage import SQLiteStore

    provider = ScriptedProvider(["The answer is **42**.", "Again: 42.", "And again."])
    shell.user_ns["ada"] = Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    return provider


class Parrot(ILLMProvider):
    """Says the last message back."""

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
        """The last message's text."""
        return {"content": str(messages[-1]["content"])}


@pytest.fixture
def parrot() -> Iterator[str]:
    """The name of a registered provider that needs nothing."""
    PROVIDERS["parrot"] = Parrot
    yield "parrot"
    del PROVIDERS["parrot"]
