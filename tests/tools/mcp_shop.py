"""A small MCP server for tests, made with the protocol's own library: run as a program it talks over its streams."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from mcp.server.mcpserver import Image, MCPServer
from mcp_types import ToolAnnotations

__all__ = ["shop"]

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc00000030101001827d5180000000049454e44ae426082"
)

shop = MCPServer("shop")


@shop.tool(annotations=ToolAnnotations(read_only_hint=True))
def price(item: str, count: int = 1) -> float:
    """The price of some items."""
    return {"tea": 3.5, "jam": 5.0}[item] * count


@shop.tool()
def order(item: str) -> str:
    """Order an item."""
    return f"{item} is on its way"


@shop.tool()
def stock() -> dict[str, Any]:
    """What is there."""
    return {"tea": 3, "jam": [1, 2]}


@shop.tool()
def photo() -> Image:
    """A picture of the shop."""
    return Image(data=PIXEL, format="png")


@shop.tool()
def folder() -> str:
    """What the server was started with."""
    return f"{os.environ.get('SHOP_KEY')} {os.environ.get('HIDDEN_KEY')}"


@shop.tool(name="odd.name/with signs")
def odd() -> str:
    """A name no service takes."""
    return "odd"


@shop.tool()
def book() -> str:
    """A very long text."""
    return "x" * 200_000


@shop.tool()
def hang() -> str:
    """Never answer in time."""
    time.sleep(60)
    return "late"


@shop.tool()
def burn() -> str:
    """End the server."""
    print("the shop is on fire", file=sys.stderr, flush=True)
    os._exit(3)


@shop.tool()
def process() -> int:
    """The server's process."""
    return os.getpid()


if __name__ == "__main__":
    shop.run()
