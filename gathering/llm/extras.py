"""What a service does beside writing an answer, and asks money for: its own tools, dearer ways of being served. Pure; no I/O.

Owns the questions what of a request could cost more than can be known before it is sent, how many web searches an answer
took, and whether it was served at another price. What a search costs is the table's (``gathering.llm.prices``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gathering.core.messages import ToolSpec
from gathering.llm.figures import count_of

__all__ = ["runs_at_the_service", "searches_in", "served_otherwise", "unpriced"]

#: Parameters that have the service search, call other servers or run code: what it reads then nobody can say before.
_WORK = ("web_search_options", "search_parameters", "mcp_servers", "plugins", "container", "code_execution")
#: Parameters that name text kept at the service, which the model reads too: how much it is nobody can say before.
_KEPT = ("previous_response_id", "conversation", "prompt", "cachedContent", "cached_content")
#: Ways of being served that the table of prices does not know, by parameter, but for those that cost no more.
_USUAL: Mapping[str, frozenset[str]] = {
    "service_tier": frozenset({"auto", "batch", "default", "flex", "on_demand", "standard", "standard_only"}),
    "speed": frozenset({"standard"}),
}


def runs_at_the_service(tool: ToolSpec) -> bool:
    """Whether the service itself runs this tool, such as its web search."""
    if "function" in tool or ("name" in tool and "parameters" in tool):
        return False
    if "type" in tool:
        return tool["type"] not in ("custom", "function")
    return "name" not in tool and "functionDeclarations" not in tool


def unpriced(tools: Sequence[ToolSpec] | None, params: Mapping[str, Any]) -> str:
    """What of this request could cost more than its tokens at the usual price; empty where nothing could.

    >>> unpriced([{"type": "web_search_20250305", "name": "web_search"}], {})
    'its tool web_search, which runs at the service'
    >>> unpriced(None, {"service_tier": "priority"}), unpriced(None, {"temperature": 0})
    ("its service_tier='priority'", '')
    """
    for tool in tools or ():
        if runs_at_the_service(tool):
            return f"its tool {tool.get('name') or tool.get('type')}, which runs at the service"
    for name in _WORK:
        if params.get(name) not in (None, False, []):  # an empty mapping switches it on
            return f"its {name}, which runs at the service"
    for name in _KEPT:
        if params.get(name):
            return f"its {name}, which is text kept at the service"
    for name, usual in _USUAL.items():
        value = params.get(name)
        if value is not None and not (isinstance(value, str) and value in usual):
            return f"its {name}={value!r}"
    return ""


def searches_in(raw: Any) -> int:
    """How many web searches the service says it made for this answer, whichever format it is in.

    >>> searches_in({"usage": {"server_tool_use": {"web_search_requests": 3}}})
    3
    """
    raw = _mapping(raw)
    counted = count_of(_mapping(_mapping(raw.get("usage")).get("server_tool_use")).get("web_search_requests"))
    items = (_mapping(item) for item in _list(raw.get("output")))
    calls = sum(1 for item in items if item.get("type") == "web_search_call" and _searches(item))
    candidates = (_mapping(c) for c in _list(raw.get("candidates")))
    grounds = (_mapping(c.get("groundingMetadata")) for c in candidates)
    return (counted or 0) + calls + sum(len(_list(g.get("webSearchQueries"))) for g in grounds)


def served_otherwise(raw: Any) -> bool:
    """Whether the service says that it served this answer in a way whose price the table does not know."""
    raw = _mapping(raw)
    said = (raw.get("service_tier"), _mapping(raw.get("usage")).get("service_tier"))
    return any(
        tier is not None and tier not in _USUAL["service_tier"] for tier in said if isinstance(tier, str)
    )


def _searches(item: Mapping[str, Any]) -> bool:
    """Whether a call looked something up; one that opens a page found before is not charged."""
    kind: Any = _mapping(item.get("action")).get("type", "search")
    return bool(kind == "search")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
