"""Tools of servers of the Model Context Protocol, as tools like any other. Owns how they look and what they give.

The connection is ``gathering.tools.mcp_session``'s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from gathering.core.errors import ConfigurationError, GatheringError, UnknownNameError, shown
from gathering.core.images import Image
from gathering.core.interfaces import ITool
from gathering.core.results import ToolPermission, ToolResult
from gathering.tools.mcp_session import Address, Session

if TYPE_CHECKING:
    from mcp_types import CallToolResult, Tool

__all__ = ["MCPServer", "MCPTool"]

_OPTIONS = (
    "name", "type", "command", "url", "env", "cwd", "headers", "include", "prefix", "permissions", "timeout", "max_output",
)  # fmt: skip
_UNUSABLE = re.compile(r"[^a-zA-Z0-9_-]")  # in a tool's name, for the services


class MCPServer(ITool):
    """The tools of one MCP server: in an agent's ``tools`` it stands for all of them.

    ``command`` starts it and talks over its standard streams, ``url`` reaches one that runs (streamable HTTP). Values
    of ``env`` and ``headers`` may be ``"env:NAME"``. ``include`` names the tools that are wanted, ``prefix`` is put
    before their names, ``permissions`` replaces what the server says of them, ``timeout`` is seconds for an answer.
    """

    def __init__(
        self,
        name: str = "mcp",
        tool_type: str = "mcp",
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        given = {**(config or {}), **options}
        for option in given:
            if option not in _OPTIONS:
                raise UnknownNameError("option of an MCP server", option, _OPTIONS)
        kinds = {} if given.get("permissions") is None else {"permissions": given["permissions"]}
        super().__init__(name, tool_type, {"permissions": ["execute"], **kinds})
        self.fixed = self.permissions if kinds else None
        self.include = None if given.get("include") is None else _texts("include", given["include"])
        self.prefix = str(given.get("prefix") or "")
        self.max_output = int(given.get("max_output") or self.max_output)
        self.session = Session(name, _address(name, given), _seconds(name, given.get("timeout", 60)))
        self._tools: list[MCPTool] | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The server described by plain data: ``{"name": ..., "type": "mcp", "command" or "url": ...}``."""
        return cls(str(config.get("name") or "mcp"), "mcp", config)

    def expand(self) -> list[ITool]:
        """The server's tools, asked for once. Raises ``ToolExecutionError`` if it cannot be reached."""
        if self._tools is None:
            found = self.session.run(Session.tools)
            missing = sorted(set(self.include or ()) - {t.name for t in found})
            if missing:
                raise UnknownNameError(f"tool of {self.name!r}", missing[0], [t.name for t in found])
            self._tools = [MCPTool(self, t) for t in found if self.include is None or t.name in self.include]
        return list(self._tools)

    async def execute_async(self, input_data: Any) -> ToolResult:
        """One of its tools by name: ``{"tool": ..., "arguments": {...}}``."""
        match input_data:
            case {"tool": str(tool)}:
                arguments = input_data.get("arguments") or {}
            case _:
                return ToolResult(
                    success=False, error=f"{self.name} takes {{'tool': ..., 'arguments': {{...}}}}"
                )
        return await self.called(tool, arguments)

    async def called(self, tool: str, arguments: Any) -> ToolResult:
        """What the server's tool gave; ``success=False`` says what went wrong."""
        if not isinstance(arguments, Mapping):
            return ToolResult(
                success=False, error=f"{tool} takes an object of arguments, got {shown(arguments)}"
            )
        try:
            return _result(await self.session.run_async(lambda session: session.call(tool, arguments)))
        except GatheringError as err:
            return ToolResult(success=False, error=str(err))

    def is_available(self) -> bool:
        """Whether it can be reached, or started, now."""
        try:
            self.expand()
        except GatheringError:
            return False
        return True

    def close(self) -> None:
        """End the connection, and the server if it was started here; it is started again when it is needed."""
        self.session.close()

    def __enter__(self) -> Self:
        """The server, closed at the end of the block."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Name and program or address; no arguments, which may hold a key."""
        return f"MCPServer({self.name}: {self.session.address})"


class MCPTool(ITool):
    """One tool of a server. What it may do is what the server says: ``read`` if it only reads, else ``execute``."""

    def __init__(self, server: MCPServer, described: Tool) -> None:
        hints = described.annotations
        kinds = {ToolPermission.READ if hints and hints.read_only_hint else ToolPermission.EXECUTE}
        name = (server.prefix + _UNUSABLE.sub("_", described.name))[:64]
        super().__init__(name, "mcp", {"permissions": sorted(p.value for p in server.fixed or kinds)})
        self.server, self.remote_name, self.max_output = server, described.name, server.max_output
        self._description = described.description or described.title or described.name
        self._schema = {"properties": {}, **described.input_schema}

    async def execute_async(self, input_data: Any) -> ToolResult:
        """What the server gives for the arguments; a dead server is a failed result, and started again next time."""
        return await self.server.called(self.remote_name, {} if input_data is None else input_data)

    def validate_input(self, input_data: Any) -> bool:
        """Whether it is an object; the rest is the server's to say."""
        return input_data is None or isinstance(input_data, Mapping)

    def is_available(self) -> bool:
        """Whether its server is."""
        return self.server.is_available()

    def get_description(self) -> str:
        """What the server says of it."""
        return self._description

    def get_parameters_schema(self) -> dict[str, Any]:
        """What the server says it takes."""
        return self._schema

    def targets(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """The arguments, and the ``server``, whatever an argument of that name says."""
        return {**super().targets(arguments), "server": self.server.name}

    def __repr__(self) -> str:
        """Its name and its server's."""
        return f"MCPTool({self.name} of {self.server.name})"


def _result(answer: CallToolResult) -> ToolResult:
    """The answer as a result: structured if it is, else its text; images apart, in ``metadata["images"]``."""
    texts: list[str] = []
    images: list[dict[str, str]] = []
    for block in answer.content:
        match block.type:
            case "text":
                texts.append(block.text)
            case "image":
                picture = Image(media_type=block.mime_type, data=block.data)
                images.append(picture.to_dict())
                texts.append(repr(picture))
            case "resource":
                texts.append(str(getattr(block.resource, "text", None) or block.resource.uri))
            case "resource_link":
                texts.append(str(block.uri))
            case _:
                texts.append(f"[{block.type}]")
    text = "\n".join(texts)
    metadata: dict[str, Any] = {"images": images} if images else {}
    if answer.is_error:
        return ToolResult(
            success=False, error=text or "the tool failed and did not say why", metadata=metadata
        )
    output = answer.structured_content
    if isinstance(output, Mapping) and set(output) == {"result"}:  # how servers wrap what is no object
        output = output["result"]
    return ToolResult(success=True, output=text if output is None or images else output, metadata=metadata)


def _address(name: str, given: Mapping[str, Any]) -> Address:
    command, url = given.get("command"), given.get("url")
    if bool(command) == bool(url):
        raise ConfigurationError(
            f"the MCP server {name!r} needs command=[...] to start it or url='https://...' to reach it, and not both"
        )
    if url and not str(url).startswith(("http://", "https://")):
        raise ConfigurationError(f"the MCP server {name!r} has url={shown(url)}: write http:// or https://")
    return Address(
        tuple(_texts("command", command)) if command else (),
        str(url or ""),
        _values(name, "env", given.get("env")),
        None if given.get("cwd") is None else str(given["cwd"]),
        _values(name, "headers", given.get("headers")),
    )


def _texts(option: str, given: Any) -> list[str]:
    if (
        isinstance(given, str)
        or not isinstance(given, Sequence)
        or not all(isinstance(g, str) for g in given)
    ):
        raise ConfigurationError(
            f"{option} = {shown(given, 60)} is no list of texts: write ['python', 'server.py']"
        )
    return list(given)


def _values(name: str, option: str, given: Any) -> dict[str, str]:
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(f"{option} of the MCP server {name!r} must be names and values")
    values = {str(k): str(v) for k, v in (given or {}).items()}
    for key, value in values.items():
        if value.startswith("env:"):
            variable = value.removeprefix("env:")
            if variable not in os.environ:
                raise ConfigurationError(f"{option} of the MCP server {name!r}: {variable!r} is not set here")
            values[key] = os.environ[variable]
    return values


def _seconds(name: str, given: Any) -> float:
    if not isinstance(given, (int, float)) or isinstance(given, bool) or given <= 0:
        raise ConfigurationError(f"the MCP server {name!r} has timeout={given!r}: give seconds above 0")
    return float(given)
