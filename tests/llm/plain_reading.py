"""What recorded bodies say, read as plainly as can be: the whole text at once, no cuts, no care for what never came.

Shares nothing with the dialects of the package. Each reader gives the same eleven figures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass
class Said:
    """What an answer says. Calls are pairs of name and arguments; a text of arguments that is no JSON stays one."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = "stop"
    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None


def arguments(text: Any) -> Any:
    if not isinstance(text, str):
        return text or {}
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def events(body: str) -> Iterator[tuple[str, Json]]:
    """Name and JSON of each server-sent event."""
    for block in re.split(r"\n\n+", body.replace("\r\n", "\n")):
        fields = re.findall(r"^(event|data): ?(.*)$", block, re.MULTILINE)
        data = "\n".join(v for k, v in fields if k == "data")
        if data and data.strip() != "[DONE]":
            yield next((v for k, v in fields if k == "event"), ""), json.loads(data)


def finished(said: Said, reason: str) -> Said:
    """The reason to stop, where calls and refusals count by their presence."""
    if reason == "stop":
        reason = "tool_calls" if said.calls else "refusal" if said.refusal else "stop"
    said.finish = "other" if reason == "tool_calls" and not said.calls else reason
    return said


# -- chat completions ----------------------------------------------------------------------------------------------

CHAT = {
    "max_tokens": "length",
    "model_length": "length",
    "function_call": "tool_calls",
    None: "stop",
    "": "stop",
}


def chat(body: str, stream: bool) -> Said:
    chunks = [c for _, c in events(body)] if stream else [json.loads(body)]
    said, reason, calls = Said(), "stop", {}
    usage: Json = {}
    for chunk in chunks:
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or usage
        for choice in chunk["choices"][:1]:
            if choice.get("index"):
                continue
            message = choice.get("delta" if stream else "message") or {}
            chat_message(said, message)
            for i, call in enumerate(message.get("tool_calls") or []):
                key = call.get("id") or (list(calls) or [f"#{i}"])[-1] if not stream else call.get("index", i)
                if key in calls and stream and call.get("id") and calls[key][2] not in ("", call["id"]):
                    key = call["id"]
                name, text, identity = calls.get(key, ("", "", ""))
                function = call.get("function") or {}
                piece = function.get("arguments") or ""
                piece = piece if isinstance(piece, str) else json.dumps(piece)
                calls[key] = (
                    name or function.get("name") or "",
                    text + piece,
                    identity or call.get("id") or "",
                )
            reason = choice.get("finish_reason") or reason
    said.calls = [(name, arguments(text)) for name, text, _ in calls.values()]
    said.input, said.output = usage.get("prompt_tokens"), usage.get("completion_tokens")
    said.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    if said.cached is None:
        said.cached = usage.get("prompt_cache_hit_tokens")
    said.reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    return finished(said, CHAT.get(reason, reason))


def chat_message(said: Said, message: Json) -> None:
    content = message.get("content") or ""
    for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
        if part["type"] == "thinking":
            said.thinking += "".join(p["text"] for p in part["thinking"])
        else:
            said.text += part.get("text", "")
    said.thinking += message.get("reasoning_content") or message.get("reasoning") or ""
    said.refusal += message.get("refusal") or ""


# -- responses -----------------------------------------------------------------------------------------------------


def responses(body: str, stream: bool) -> Said:
    if stream:
        ends = ("response.completed", "response.incomplete")
        answer = next(e["response"] for _, e in events(body) if e["type"] in ends)
    else:
        answer = json.loads(body)
    said, thoughts = Said(), []
    for item in answer["output"]:
        if item["type"] == "message":
            said.text += "".join(p["text"] for p in item["content"] if p["type"] == "output_text")
            said.refusal += "".join(p["refusal"] for p in item["content"] if p["type"] == "refusal")
        elif item["type"] == "reasoning":
            thoughts += [p["text"] for p in [*(item.get("summary") or []), *(item.get("content") or [])]]
        elif item["type"] == "function_call":
            said.calls.append((item["name"], arguments(item["arguments"])))
    said.thinking = "\n\n".join(t for t in thoughts if t)
    usage = answer.get("usage") or {}
    said.input, said.output = usage.get("input_tokens"), usage.get("output_tokens")
    said.cached = (usage.get("input_tokens_details") or {}).get("cached_tokens")
    said.reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens")
    reason = (answer.get("incomplete_details") or {}).get("reason") or "stop"
    return finished(said, {"max_output_tokens": "length"}.get(reason, reason))


# -- anthropic -----------------------------------------------------------------------------------------------------

MESSAGES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}


def messages(body: str, stream: bool) -> Said:
    answer = assembled(body) if stream else json.loads(body)
    said = Said()
    for block in answer["content"]:
        said.text += block.get("text", "") if block["type"] == "text" else ""
        said.thinking += block.get("thinking", "") if block["type"] == "thinking" else ""
        if block["type"] == "tool_use":
            said.calls.append((block["name"], arguments(block["input"])))
    usage = answer["usage"]
    passes = usage.get("iterations") or [usage]  # what the service did in several goes is billed for each
    said.cached = total([u.get("cache_read_input_tokens") for u in passes])
    counted = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    said.input = total([u.get(name) for u in passes for name in counted])
    said.output = total([u["output_tokens"] for u in passes])
    said.reasoning = (usage.get("output_tokens_details") or {}).get("thinking_tokens")
    said.finish = MESSAGES.get(answer["stop_reason"], "other")
    return said


def total(figures: list[int | None]) -> int | None:
    known = [n for n in figures if n is not None]
    return sum(known) if known else None


def assembled(body: str) -> Json:
    """The message a stream puts together."""
    answer: Json = {}
    blocks: dict[int, Json] = {}
    for _, event in events(body):
        kind = event["type"]
        if kind == "message_start" and event["message"].get("id") != answer.get("id"):
            answer, blocks = event["message"], {}
        elif kind == "content_block_start":
            blocks[event["index"]] = {**event["content_block"], "pieces": ""}
        elif kind == "content_block_delta":
            grow(blocks[event["index"]], event["delta"])
        elif kind == "message_delta":
            figures = {k: v for k, v in (event.get("usage") or {}).items() if v is not None}
            answer = {**answer, **event["delta"], "usage": {**answer["usage"], **figures}}
    for block in blocks.values():
        block["input"] = arguments(block["pieces"]) if block["pieces"] else block.get("input")
    return {**answer, "content": list(blocks.values())}


def grow(block: Json, delta: Json) -> None:
    for kind, value in delta.items():
        if kind in ("text", "thinking"):
            block[kind] = block.get(kind, "") + value
        elif kind == "partial_json":
            block["pieces"] += value


# -- gemini --------------------------------------------------------------------------------------------------------

GEMINI = {"STOP": "stop", "MAX_TOKENS": "length"}


def gemini(body: str, stream: bool) -> Said:
    said, usage, reason, args = Said(), {}, "", None
    for chunk in [c for _, c in events(body)] if stream else [json.loads(body)]:
        usage = chunk.get("usageMetadata") or usage
        candidate = (chunk.get("candidates") or [{}])[0]
        for part in (candidate.get("content") or {}).get("parts") or []:
            if part.get("thought"):
                said.thinking += part.get("text", "")
            elif "functionCall" in part:
                call = part["functionCall"]
                if "name" in call:
                    args = dict(call.get("args") or {})
                    said.calls.append((call["name"], args))
                for piece in call.get("partialArgs") or []:
                    put(args, piece)
            else:
                said.text += part.get("text", "")
        reason = candidate.get("finishReason") or reason
    said.input = usage.get("promptTokenCount")
    if said.input is not None:
        said.input += usage.get("toolUsePromptTokenCount") or 0
    said.output = total([usage.get("candidatesTokenCount"), usage.get("thoughtsTokenCount")])
    if said.output is None and "totalTokenCount" in usage:
        said.output = usage["totalTokenCount"] - usage["promptTokenCount"]
    said.cached, said.reasoning = usage.get("cachedContentTokenCount"), usage.get("thoughtsTokenCount")
    return finished(said, GEMINI.get(reason, "content_filter"))


def put(args: Any, piece: Json) -> None:
    """A piece of an argument: texts grow, other values come whole."""
    names = re.findall(r"\w+", piece["jsonPath"])
    for name in names[:-1]:
        args = args.setdefault(name, {})
    if "stringValue" in piece:
        args[names[-1]] = args.get(names[-1], "") + piece["stringValue"]
    else:
        args[names[-1]] = next((v for k, v in piece.items() if k.endswith("Value")), None)


# -- ollama --------------------------------------------------------------------------------------------------------


def ollama(body: str, stream: bool) -> Said:
    said, last = Said(), {}
    for line in filter(None, (line.strip() for line in body.split("\n"))):
        last = json.loads(line)
        message = last.get("message") or {}
        said.text += message.get("content") or ""
        said.thinking += message.get("thinking") or ""
        said.calls += [
            (c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or []
        ]
    said.input, said.output = last.get("prompt_eval_count"), last.get("eval_count")
    return finished(said, last.get("done_reason") or "stop")


# -- answers to bare prompts -------------------------------------------------------------------------------------------


def completions(body: str, stream: bool) -> Said:
    chunks = [c for _, c in events(body)] if stream else [json.loads(body)]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    said = Said(text="".join(choice["text"] for choice in choices))
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    usage = next((c["usage"] for c in reversed(chunks) if c.get("usage")), {})
    said.input, said.output = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return finished(said, reasons[-1] if reasons else "stop")


def generate(body: str, stream: bool) -> Said:
    objects = [json.loads(line) for line in body.split("\n") if line.strip()]
    last = objects[-1]
    said = Said(text="".join(o["response"] for o in objects))
    said.input, said.output = last.get("prompt_eval_count"), last.get("eval_count")
    return finished(said, last.get("done_reason") or "stop")


READERS: dict[str, Callable[[str, bool], Said]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "gemini": gemini,
    "ollama": ollama,
    "completions": completions,
    "generate": generate,
}
