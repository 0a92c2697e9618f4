"""The recorded exchanges: what each is an exchange of, and how its bytes may be cut."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fake_service import recordings

#: What a request to a path is, by the path's end; what is in no row is in a format the package does not speak.
PATHS = {
    "/chat/completions": "chat",
    "/completions": "completions",
    "/responses": "responses",
    "/messages": "messages",
    ":generateContent": "gemini",
    ":streamGenerateContent": "gemini",
    "/api/chat": "ollama",
    "/api/generate": "generate",
    "/embeddings": "embeddings",
    ":batchEmbedContents": "embeddings",
    "/models": "models",
    "/count_tokens": "count",
    "/input_tokens": "count",
    ":countTokens": "count",
}
#: The same by what a recording covers, where the request was not kept.
COVERS = {
    "chat-completions": "chat",
    "responses-api": "responses",
    "ollama-native": "ollama",
    "embeddings": "embeddings",
    "models-list": "models",
    "token-count": "count",
    "legacy-completions": "completions",
}
NATIVE = {"anthropic": "messages", "gemini": "gemini"}


@dataclass(frozen=True)
class Recording:
    """One exchange."""

    name: str
    covers: tuple[str, ...]
    asked: Any
    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    stream: bool

    @property
    def provider(self) -> str:
        return self.name.partition("/")[0]

    @property
    def kind(self) -> str:
        """Its format, or what is asked for; empty where nothing here speaks it."""
        if self.url:
            path = urlsplit(self.url).path
            return next((kind for end, kind in PATHS.items() if path.endswith(end)), "")
        return next((COVERS[c] for c in self.covers if c in COVERS), NATIVE.get(self.provider, ""))

    @property
    def is_answer(self) -> bool:
        return self.kind in ("chat", "completions", "responses", "messages", "gemini", "ollama", "generate")


@functools.cache
def everything() -> tuple[Recording, ...]:
    """All recordings, none where the folder is absent."""
    found = []
    for path in recordings():
        data = json.loads(path.read_text("utf-8"))
        request, response = data["request"] or {}, data["response"]
        text = response.get("body_text")
        found.append(
            Recording(
                f"{path.parent.name}/{path.stem}",
                tuple(data["covers"]),
                request.get("json"),
                request.get("url") or "",
                response["status"],
                response["headers"],
                text.encode() if text is not None else base64.b64decode(response["body_base64"]),
                bool(response["stream"]),
            )
        )
    return tuple(found)


def cuts(body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The body in pieces, at each kind of place, with the name of the kind."""
    yield "at once", [body]
    yield "1 byte", [body[i : i + 1] for i in range(len(body))]
    inside = [i for i in range(1, len(body)) if body[i] & 0xC0 == 0x80]
    yield "inside characters", _at(body, inside)
    breaks = [i for i in range(1, len(body)) if body[i - 1 : i + 1] in (b"\r\n", b"\n\n")]
    yield "inside line ends", _at(body, breaks)
    yield "7 bytes", [body[i : i + 7] for i in range(0, len(body), 7)]


def _at(body: bytes, places: list[int]) -> list[bytes]:
    return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def table(played: dict[str, bool]) -> Iterator[str]:
    """Lines of a table: features by providers, passed of played."""
    mine = [r for r in everything() if r.name in played]
    providers = sorted({r.provider for r in mine})
    yield " " * 24 + "".join(f"{p[:9]:>10}" for p in (*providers, "all"))
    for feature in ["(any)", *sorted({c for r in mine for c in r.covers})]:
        having = [r for r in mine if feature in ("(any)", *r.covers)]
        cells = [_cell([played[r.name] for r in having if r.provider == p]) for p in providers]
        yield f"{feature[:23]:<24}" + "".join(
            f"{c:>10}" for c in (*cells, _cell([played[r.name] for r in having]))
        )


def _cell(passed: list[bool]) -> str:
    return f"{sum(passed)}/{len(passed)}" if passed else ""
