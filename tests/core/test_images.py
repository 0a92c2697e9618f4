"""Images: read from wherever a person has them, carried as plain values, shown to a model that can see."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering.core.errors import ConfigurationError
from gathering.core.images import Image
from gathering.core.messages import Message
from gathering.core.results import ToolResult
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20
DATA = base64.b64encode(PNG).decode()


class Plot:
    """Shows itself as a PNG, as figures do."""

    def _repr_png_(self) -> bytes:
        return PNG


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF0000WEBP", "image/webp"),
    ],
)
def test_bytes_say_what_they_are(data: bytes, kind: str) -> None:
    """The kind is read from the bytes, not from a name."""
    assert Image.read(data).media_type == kind


def test_every_way_to_give_an_image(tmp_path: Path) -> None:
    """A path, a text path, bytes, a data address, a plot and a dict are the same image."""
    path = tmp_path / "bild ü.png"
    path.write_bytes(PNG)
    sources: list[Any] = [
        path,
        str(path),
        PNG,
        f"data:image/png;base64,{DATA}",
        Plot(),
        {"media_type": "image/png", "data": DATA},
    ]
    assert {Image.read(s) for s in sources} == {Image("image/png", DATA)}
    assert Image.read("https://example.org/a.png").to_dict() == {"url": "https://example.org/a.png"}


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"%PDF-1.7",
        "no/such/file.png",
        "data:image/png;base64,!!",
        3,
        object(),
        "nul\0.png",
        PNG + b"0" * 21_000_000,
    ],
)
def test_what_is_no_image_is_refused_in_one_line(source: Any) -> None:
    """The error says what can be given, and never shows the bytes."""
    with pytest.raises(ConfigurationError) as caught:
        Image.read(source)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_message_with_images_survives_its_dict() -> None:
    """The neutral dict has them, and a message made of it is equal."""
    message = Message("user", "What is this?", images=(Image.read(PNG),))
    assert Message.from_dict(message.to_dict()) == message


def test_an_agent_shows_images_and_the_trace_has_their_hash() -> None:
    """The provider gets the bytes; the trace says which image it was."""
    provider = ScriptedProvider(["a cat"])
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(":memory:"))
    ada.ask("What is this?", images=[PNG])
    assert provider.requests[0].messages[0]["images"] == [{"media_type": "image/png", "data": DATA}]
    parts = ada.trace.messages()["parts"].iloc[0]
    assert parts[0]["type"] == "image"
    assert DATA not in str(parts)


def test_a_model_that_sees_nothing_is_not_sent_images() -> None:
    """The error comes before anything is sent, and says what to do."""
    provider = ScriptedProvider(["?"])
    provider.takes_images = False
    with pytest.raises(ConfigurationError, match="reads no images"):
        gathering.Agent("ada", llm_provider=provider).ask("What is this?", images=PNG)
    assert provider.requests == []


# -- images that tools give ----------------------------------------------------------------------------------------


@gathering.tool
def camera(what: str) -> Any:
    """Take a picture."""
    return Image.read(PNG)


def photographed(takes_images: bool, tool: Any = camera) -> tuple[ScriptedProvider, Any]:
    provider = ScriptedProvider(
        [{"tool_calls": [{"name": tool.name, "arguments": {"what": "a cat"}}]}, "a cat"]
    )
    provider.takes_images = takes_images
    ada = gathering.Agent("ada", llm_provider=provider, tools=[tool], store=SQLiteStore(":memory:"))
    assert ada.ask("What do you see?").text == "a cat"
    return provider, ada


def test_a_model_that_sees_is_shown_what_a_tool_gave() -> None:
    """The image goes with the tool's message; the trace has its hash."""
    provider, ada = photographed(True)
    told = provider.requests[1].messages[-1]
    assert told["images"] == [{"media_type": "image/png", "data": DATA}]
    assert told["content"] == "Image(image/png, 30 bytes)"
    assert DATA not in str(ada.trace.messages()["parts"].tolist())


def test_a_model_that_sees_nothing_is_told_that_there_was_an_image() -> None:
    """The turn goes on with the text alone."""
    provider, _ = photographed(False)
    told = provider.requests[1].messages[-1]
    assert "images" not in told
    assert told["content"] == "Image(image/png, 30 bytes)"


@pytest.mark.parametrize(
    "found",
    [
        [{"url": "https://example.com/a.png"}],
        [{"media_type": "image/png", "data": "not base64!"}],
        [{"media_type": "image/svg+xml", "data": base64.b64encode(b"<svg/>").decode()}],
        [{"data": 7}, None, "x"],
        "x",
        {"data": DATA},
    ],
)
def test_what_a_tool_only_says_is_an_image_is_not_sent(found: Any) -> None:
    """An address would make the service fetch it; what cannot be read stays the text it came with."""
    result = ToolResult(success=True, output="here", metadata={"images": found})

    @gathering.tool
    def odd(what: str) -> Any:
        """Say that there is an image."""
        return result

    provider, _ = photographed(True, odd)
    assert "images" not in provider.requests[1].messages[-1]
