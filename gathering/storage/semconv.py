"""The names under which a trace goes to OpenTelemetry: its conventions for generative AI, and what they have no name for.

Owns names, units and the boundaries of histograms, nothing else. The conventions are still in development: what is
renamed there is renamed here.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "BOUNDARIES",
    "OPERATIONS",
    "PARAMETERS",
    "PROVIDERS",
    "SCOPE",
    "USAGE",
]

#: The name of the instrumentation.
SCOPE = "gathering"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
CONVERSATION = "gen_ai.conversation.id"
AGENT = "gen_ai.agent.name"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL = "gen_ai.tool.call.id"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - tokens of a text
ERROR_TYPE = "error.type"

#: What was said, only where content is asked for.
INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

#: What the conventions have no name for.
COST = "gathering.cost_usd"
SOURCE = "gathering.source"
ATTEMPTS = "gathering.attempts"
TURN = "gathering.turn_id"
CELL = "gathering.cell"
DECISION = "gathering.decision"

#: The operations: a turn of an agent, a call, a tool call.
OPERATIONS: Mapping[str, str] = {"turn": "invoke_agent", "call": "chat", "tool": "execute_tool"}

#: Columns of a call and the attributes they become.
USAGE: Mapping[str, str] = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}
PARAMETERS: Mapping[str, str] = {
    "temperature": "gen_ai.request.temperature",
    "max_tokens": "gen_ai.request.max_tokens",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
#: Providers that the conventions know under another name.
PROVIDERS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}

TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - tokens of a text
CALL_DURATION = "gen_ai.client.operation.duration"
CALL_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TURN_DURATION = "gen_ai.invoke_agent.duration"
TOOL_DURATION = "gen_ai.execute_tool.duration"

_SECONDS = tuple(0.01 * 2**i for i in range(14))
#: Each histogram's unit and the boundaries the conventions advise.
BOUNDARIES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    TOKEN_USAGE: ("{token}", tuple(4.0**i for i in range(14))),
    CALL_DURATION: ("s", _SECONDS),
    CALL_FIRST_CHUNK: ("s", _SECONDS),
    TURN_DURATION: ("s", _SECONDS),
    TOOL_DURATION: ("s", _SECONDS),
}
