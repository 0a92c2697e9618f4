"""A request that asks for no answer of a model: JSON in, JSON out, through the same course as a call.

Owns the pretended dialect that brings retries, limits, typed errors and both pumps to embeddings and token counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gathering.core.errors import MalformedResponseError
from gathering.core.messages import Completion, MessageDict, ToolSpec
from gathering.llm.exchange import StreamReader
from gathering.llm.faults import error_in_body

__all__ = ["PlainDialect"]


@dataclass(frozen=True, slots=True)
class PlainDialect:
    """Any JSON endpoint: the answer is the ``raw`` of an empty completion."""

    path: str
    models_path: str = ""

    def build_request(
        self,
        model: str,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> dict[str, Any]:
        """The body is in the params as it is."""
        return dict(params)

    def parse_response(self, body: Any, model: str) -> Completion:
        """The answer as it came. Raises the typed error it holds."""
        if (error := error_in_body(body)) is not None:
            raise error
        return Completion(model=model, raw=body)

    def stream_reader(self, model: str) -> StreamReader:
        """None: nothing of this kind is streamed."""
        raise MalformedResponseError("answered with a stream in place of JSON. Next: check base_url")
