"""Images a person shows a model: read from a file, bytes, an address or a plot, and carried as plain values.

Owns how a picture becomes base64 text with a media type. What a service makes of it is its dialect's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from gathering.core.errors import ConfigurationError

__all__ = ["Image"]

_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
#: What every service takes; other kinds are refused before anything is sent.
_KINDS = "PNG, JPEG, GIF or WebP"
#: Bytes of one image; the services refuse larger ones.
_LARGEST = 20 * 1024 * 1024
#: Images of one tool result that a model is shown.
_MOST = 10


@dataclass(frozen=True, slots=True)
class Image:
    """One image: base64 ``data`` with its ``media_type``, or the ``url`` where the service finds it."""

    media_type: str = ""
    data: str = ""
    url: str = ""

    @classmethod
    def read(cls, source: Any) -> Image:
        """The image in a path, ``https://`` or ``data:`` address, bytes, dict, or object with a PNG form (a plot).

        Raises ``ConfigurationError`` for anything that is no image of a kind the services take.
        """
        if isinstance(source, Image):
            return source
        if isinstance(source, Mapping):
            return cls(**source)
        if isinstance(source, bytes | bytearray):
            return cls._of_bytes(bytes(source), "these bytes")
        if isinstance(source, str) and source.startswith(("https://", "http://")):
            return cls(url=source)
        if isinstance(source, str) and source.startswith("data:"):
            return cls._of_data_url(source)
        if isinstance(source, str | PathLike):
            return cls._of_file(Path(source))
        return cls._of_object(source)

    @property
    def data_url(self) -> str:
        """The image as one address: its own, or a ``data:`` one."""
        return self.url or f"data:{self.media_type};base64,{self.data}"

    def to_dict(self) -> dict[str, str]:
        """The neutral dict: ``{"url"}`` or ``{"media_type", "data"}``."""
        return {"url": self.url} if self.url else {"media_type": self.media_type, "data": self.data}

    def label(self) -> dict[str, Any]:
        """What stands for the image where its bytes do not belong: its address, or its kind, size and hash."""
        if self.url:
            return {"url": self.url}
        digest = hashlib.sha256(self.data.encode()).hexdigest()
        return {"media_type": self.media_type, "bytes": len(self.data) * 3 // 4, "sha256": digest}

    def __repr__(self) -> str:
        """What it is and how large, never the bytes."""
        return (
            f"Image({self.url!r})"
            if self.url
            else f"Image({self.media_type}, {len(self.data) * 3 // 4:,} bytes)"
        )

    @classmethod
    def _of_bytes(cls, data: bytes, what: str) -> Image:
        kind = next((media for magic, media in _MAGIC if data.startswith(magic)), "")
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            kind = "image/webp"
        if not kind:
            raise ConfigurationError(f"{what} hold no image: give a {_KINDS} file, its bytes or its address")
        if len(data) > _LARGEST:
            raise ConfigurationError(
                f"{what} hold an image of {len(data) / 1e6:.0f} MB: scale it below {_LARGEST // 1024**2} MB"
            )
        return cls(kind, base64.b64encode(data).decode("ascii"))

    @classmethod
    def _of_data_url(cls, source: str) -> Image:
        head, _, data = source.partition(",")
        try:
            return cls._of_bytes(base64.b64decode(data, validate=True), f"{head[:40]!r}")
        except binascii.Error as err:
            raise ConfigurationError(
                f"{head[:40]!r} is no base64 image: write data:image/png;base64,..."
            ) from err

    @classmethod
    def _of_file(cls, path: Path) -> Image:
        try:
            return cls._of_bytes(path.expanduser().read_bytes(), f"the file {str(path)!r}")
        except (OSError, ValueError) as err:
            why = getattr(err, "strerror", None) or err
            raise ConfigurationError(
                f"the image {str(path)[:200]!r} cannot be read ({why}): check the path"
            ) from err

    @classmethod
    def _of_object(cls, source: Any) -> Image:
        png = getattr(source, "_repr_png_", None)
        found = png() if callable(png) else None
        if isinstance(found, tuple):  # with metadata, as IPython has it
            found = found[0]
        if isinstance(found, str):
            found = base64.b64decode(found)
        if not isinstance(found, bytes):
            raise ConfigurationError(
                f"{type(source).__name__} is no image: give a path, an address, bytes, or an object with _repr_png_"
            )
        return cls._of_bytes(found, f"this {type(source).__name__}")


def tool_images(found: Any) -> tuple[Image, ...]:
    """Those that a model can be shown of what a tool says are images: embedded ones of a kind the services take, at most 10.

    An address is left out: a tool's output must not make a service fetch what it likes.
    """
    images = []
    for one in found if isinstance(found, list | tuple) else ():
        data = one.data if isinstance(one, Image) else one.get("data") if isinstance(one, Mapping) else None
        try:
            images.append(Image.read(base64.b64decode(data or "", validate=True)))
        except (ConfigurationError, ValueError, TypeError):
            continue  # the text of the result says that there was one
    return tuple(images[:_MOST])
