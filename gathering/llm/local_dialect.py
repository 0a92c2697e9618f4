"""What is said to the embedded model's server: plain chat, a constrained decision, or nothing at all.

Owns the two forms of request and the sentence a tool's result becomes. The model is too small to be trusted with
either tools or results: it decides under a grammar (``gathering.llm.grammar``), and what a tool gave is put into
words here, by a template. Both are marked ``constrained`` in the completion. Pure; no I/O.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gathering.core.errors import BadRequestError, MalformedResponseError
from gathering.core.messages import Completion, Message, MessageDict, ToolCall, ToolSpec, Usage, text_of
from gathering.core.session import new_id
from gathering.llm.grammar import Decision, decision, read_call
from gathering.llm.openai_stream import ChatStream

__all__ = ["SYSTEM_PROMPT", "DecisionDialect", "chat_messages", "decide", "in_words", "said_by_tools"]

#: What the model is told when the caller says nothing: without it, half of its answers never end.
SYSTEM_PROMPT = "You are a concise assistant. Answer in one short English sentence."
_FAILED = "Error: "


@dataclass(frozen=True, slots=True)
class DecisionDialect:
    """llama.cpp's own completion endpoint, with a grammar, read back as a tool call."""

    decision: Decision
    path: str = "/completion"
    models_path: str = "/v1/models"

    def build_request(
        self,
        model: str,
        messages: list[MessageDict],
        tools: list[ToolSpec] | None,
        params: Mapping[str, Any],
        *,
        stream: bool,
    ) -> dict[str, Any]:
        """The body of the request; a decision is made at temperature 0 whatever the answer's is."""
        return {
            "prompt": self.decision.prompt,
            "grammar": self.decision.grammar,
            "n_predict": self.decision.tokens,
            "temperature": 0,
            "seed": params.get("seed", 0),
            "stop": ["\n"],
        }

    def parse_response(self, body: Any, model: str) -> Completion:
        """The completion with its one tool call."""
        if not isinstance(body, Mapping) or not isinstance(body.get("content"), str):
            raise MalformedResponseError(
                "the model's server answered a decision without 'content': ask again"
            )
        call = read_call(body["content"], self.decision.tools, f"call_{new_id()}")
        cached = (body.get("timings") or {}).get("cache_n")
        return Completion(
            tool_calls=(call,),
            finish_reason="tool_calls",
            usage=Usage(body.get("tokens_evaluated"), body.get("tokens_predicted"), cached),
            model=model,
            raw=body,
            constrained=True,
        )

    def stream_reader(self, model: str) -> ChatStream:
        """A reader, for the form: a decision is never streamed."""
        return ChatStream(model)


def decide(
    messages: Sequence[MessageDict], tools: Sequence[ToolSpec] | None, choice: Any = "auto"
) -> Decision | None:
    """The decision to take before answering, None when the model should just answer.

    ``choice`` is ``auto``, ``none``, ``required`` or the name of a tool.
    """
    if not tools or choice == "none" or not messages or messages[-1].get("role") != "user":
        return None
    named = _named(choice)
    if named is not None:
        return decision(
            text_of(messages[-1].get("content")), [t for t in tools if t["name"] == named], required=True
        )
    question = text_of(messages[-1].get("content"))
    return decision(question, tools, required=choice in ("required", "any"))


def said_by_tools(messages: Sequence[MessageDict], model: str) -> Completion | None:
    """The answer when the last messages are tools' results: a sentence for each; None if they are not."""
    said = [Message.from_dict(m) for m in messages]
    results: list[Message] = []
    while said and said[-1].role == "tool":
        results.insert(0, said.pop())
    if not results:
        return None
    calls = {c.id: c for c in (said[-1].tool_calls if said else ())}
    sentences = [_sentence(calls.get(r.tool_call_id or ""), r) for r in results]
    # Nothing was read or written by the model: its tokens are known, and they are none.
    return Completion(" ".join(sentences), model=model, usage=Usage(0, 0), constrained=True)


def in_words(messages: Sequence[MessageDict], said: str) -> list[MessageDict]:
    """The messages with what the tools gave as the model's own sentence, and the question of it once more.

    For an answer in a given form: the sentence alone would not have that form.
    """
    kept = list(messages)
    while kept and kept[-1].get("role") == "tool":
        kept.pop()
    return [*kept, {"role": "assistant", "content": said}, {"role": "user", "content": "Give that as JSON."}]


def chat_messages(messages: Sequence[MessageDict]) -> list[MessageDict]:
    """The messages as the model's chat template can take them: no tools, and always a system prompt.

    What a tool gave is in the sentence that followed it. Raises ``BadRequestError`` for images of a person.
    """
    if any(m.get("images") for m in messages if m.get("role") != "tool"):
        raise BadRequestError("the embedded model reads no images: leave them out, or ask a model that does")
    kept = [
        {"role": m.get("role", "user"), "content": _sendable(text_of(m.get("content")))}
        for m in messages
        if m.get("role") != "tool" and (text_of(m.get("content")) or not m.get("tool_calls"))
    ]
    if any(m["role"] == "system" for m in kept):
        return kept
    return [{"role": "system", "content": SYSTEM_PROMPT}, *kept]


def _named(choice: Any) -> str | None:
    if isinstance(choice, Mapping):
        return str(choice.get("function", choice).get("name", ""))
    return str(choice) if choice not in (None, "auto", "none", "required", "any") else None


def _sentence(call: ToolCall | None, result: Message) -> str:
    text = result.content.strip()
    asked = _written(call) if call is not None else result.name or "the tool"
    if text.startswith(_FAILED):
        return _ended(f"{asked} failed: {text.removeprefix(_FAILED)}")
    return _ended(f"{asked} gives {text}" if text else f"{asked} gives nothing")


def _written(call: ToolCall) -> str:
    if call.malformed is not None:
        return call.name
    values = list(call.arguments.values())
    if len(values) == 1:
        return f"{call.name}({values[0]})"
    inside = (f"{k}={json.dumps(v, ensure_ascii=False, default=str)}" for k, v in call.arguments.items())
    return f"{call.name}({', '.join(inside)})"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def _sendable(text: str) -> str:
    # Half a surrogate pair has no UTF-8 form, and the server's JSON reader refuses its escape.
    return text.encode("utf-8", "replace").decode()
