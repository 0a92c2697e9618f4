"""The Anthropic Messages dialect, on the way out: neutral messages, tools and options to a request. Pure; no I/O.

Owns the order the service demands (user first, every tool call answered in the next message, thinking unchanged and
in place), images, and the marks for its cache. Options are ``gathering.llm.anthropic_params``'s; what comes back is
``gathering.llm.anthropic_answer``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gathering.core.errors import ConfigurationError
from gathering.core.images import Image
from gathering.core.messages import MessageDict, ToolCall, ToolSpec, text_of
from gathering.llm.anthropic_answer import input_of
from gathering.llm.anthropic_params import MOST_UNSTREAMED, request_fields, tool_fields

__all__ = ["build_request", "count_request"]

#: Said in place of nothing: the service refuses empty texts, and conversations that a user does not begin.
NOTHING, OPENING = "(empty message)", "(the conversation begins)"
UNANSWERED = "Error: the call was not run, there is no result"
#: Marks for the cache a request may have; the service keeps what stands before each of them.
MOST_MARKS = 4


def build_request(
    model: str,
    messages: Sequence[MessageDict],
    tools: Sequence[ToolSpec] | None,
    params: Mapping[str, Any],
    *,
    stream: bool,
    origin: str = "",
) -> dict[str, Any]:
    """The body of a request, as a dict ready for JSON. ``origin`` is whose thinking may go back."""
    body = count_request(model, messages, tools, origin=origin)
    body.update(request_fields(model, params, has_tools=bool(tools)))
    if params.get("prompt_cache"):
        _mark_for_cache(body, params["prompt_cache"])
    if stream or body["max_tokens"] > MOST_UNSTREAMED:
        body["stream"] = True
    return body


def count_request(
    model: str, messages: Sequence[MessageDict], tools: Sequence[ToolSpec] | None, *, origin: str = ""
) -> dict[str, Any]:
    """What of a request is read, and so counted: no options."""
    body: dict[str, Any] = {"model": model, "messages": _Turns(origin).of(messages)}
    if system := _system(messages):
        body["system"] = system
    if tools:
        body["tools"] = tool_fields(tools)
    return body


def _mark_for_cache(body: dict[str, Any], asked: Any) -> None:
    """Have the service keep tools, system prompt and conversation, as far as no mark of the caller's stands there."""
    if asked not in (True, "5m", "1h"):
        raise ConfigurationError(f"prompt_cache is {asked!r}: give True, '5m', '1h' or False")
    mark = {"type": "ephemeral"} if asked is True else {"type": "ephemeral", "ttl": asked}
    if isinstance(body.get("system"), str):
        body["system"] = [{"type": "text", "text": body["system"]}]
    turns = [turn["content"] for turn in body["messages"]]
    places = [turns[-1], body.get("system", []), body.get("tools", [])]
    free = MOST_MARKS - sum("cache_control" in block for blocks in (*turns, *places[1:]) for block in blocks)
    for blocks in places:
        at = next((i for i in range(len(blocks) - 1, -1, -1) if _can_be_marked(blocks[i])), None)
        if at is not None and free > 0 and "cache_control" not in blocks[at]:
            blocks[at] = {**blocks[at], "cache_control": mark}
            free -= 1


def _can_be_marked(block: Mapping[str, Any]) -> bool:
    return block.get("type") not in ("thinking", "redacted_thinking")


def _system(messages: Iterable[MessageDict]) -> str | list[Any]:
    """What all system messages say: text, or blocks where one of them has blocks (cached ones, say)."""
    said = [m.get("content") for m in messages if m.get("role") in ("system", "developer")]
    if any(isinstance(content, list) for content in said):
        return [block for content in said for block in _blocks(content)]
    return "\n\n".join(text for text in map(text_of, said) if text.strip())


class _Turns:
    """Messages as the service wants them: turns that alternate, each call answered first thing in the next one."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._turns: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._open: list[
            tuple[str, str]
        ] = []  # calls of the last assistant turn, by their id here and on the wire
        self._results: dict[str, dict[str, Any]] = {}
        self._said: list[Any] = []  # what the user says after the results

    def of(self, messages: Iterable[MessageDict]) -> list[dict[str, Any]]:
        """The turns of these messages."""
        for message in messages:
            role = message.get("role", "user")
            if role == "assistant":
                self._end_user_turn()
                self._assistant(message)
            elif role == "tool":
                self._tool_result(message)
            elif role not in ("system", "developer"):
                shown = [*_images(message), *_blocks(message.get("content"))]
                self._said += shown or [{"type": "text", "text": NOTHING}]
        self._end_user_turn()
        if not self._turns or self._turns[0]["role"] != "user":
            self._turns.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
        _without_last_space(self._turns[-1])
        return self._turns

    def _assistant(self, message: MessageDict) -> None:
        calls = [ToolCall.from_dict(c) for c in message.get("tool_calls") or ()]
        self._open = [(call.id, self._wire_id(call.id)) for call in calls]
        blocks = self._given_back(message, calls)
        if blocks is None:
            blocks = _text_blocks(text_of(message.get("content")))
            blocks += [
                {"type": "tool_use", "id": wire, "name": call.name, "input": input_of(call)}
                for call, (_, wire) in zip(calls, self._open, strict=True)
            ]
        self._add("assistant", blocks)

    def _given_back(self, message: MessageDict, calls: Sequence[ToolCall]) -> list[Any] | None:
        """The blocks as this service sent them, if it did and they still say what the message says."""
        for part in message.get("parts") or ():
            value = part.get("value")
            if part.get("origin") != self._origin or part.get("type") != "content":
                continue
            blocks = [b for b in value if isinstance(b, Mapping)] if isinstance(value, list) else []
            ids = [b.get("id") for b in blocks if b.get("type") == "tool_use"]
            said = "".join(str(b.get("text", "")) for b in blocks if b.get("type") == "text")
            if said == text_of(message.get("content")) and ids == [c.id for c in calls]:
                wire = iter([wire for _, wire in self._open])
                blocks = [{**b, "id": next(wire)} if b.get("type") == "tool_use" else b for b in blocks]
                return [b for b in blocks if not _is_empty_text(b)]
        return None

    def _tool_result(self, message: MessageDict) -> None:
        identity = str(message.get("tool_call_id") or "")
        text = text_of(message.get("content"))
        wire = next((w for i, w in self._open if i == identity and w not in self._results), None)
        if wire is None:  # its call is no longer part of the conversation: told, but not as a result
            told = f"Result of the tool {message.get('name') or identity}: {text}"
            self._said += [*_text_blocks(told), *_images(message)]
            return
        images, content = _images(message), message.get("content")
        plain = not images and not isinstance(content, list)
        said = text if plain else [*_blocks(content), *images]
        self._results[wire] = _result(wire, said, bool(message.get("is_error")))

    def _end_user_turn(self) -> None:
        results = [self._results.get(w) or _result(w, UNANSWERED, True) for _, w in self._open]
        self._add("user", [*results, *self._said])
        self._open, self._results, self._said = [], {}, []

    def _add(self, role: str, blocks: list[Any]) -> None:
        if blocks and self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"] += blocks
        elif blocks:
            self._turns.append({"role": role, "content": blocks})

    def _wire_id(self, identity: str) -> str:
        """The id in the letters the service takes, and no other call's."""
        wanted = wire = re.sub(r"[^a-zA-Z0-9_-]", "_", identity) or "call"
        number = 1
        while wire in self._ids:
            number += 1
            wire = f"{wanted}_{number}"
        self._ids.add(wire)
        return wire


def _result(wire: str, content: Any, failed: bool) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": wire, "content": content}
    return {**result, "is_error": True} if failed else result


def _text_blocks(text: str) -> list[Any]:
    return [{"type": "text", "text": text}] if text.strip() else []


def _blocks(content: Any) -> list[Any]:
    """Content of any form as blocks, none of them an empty text."""
    if not isinstance(content, list):
        return _text_blocks(text_of(content))
    blocks = [_block(part) for part in content]
    return [b for b in blocks if not _is_empty_text(b)]


def _block(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return {"type": "text", "text": str(part)}
    if part.get("type") != "image_url":
        return part
    image = part.get("image_url")
    url = str(image.get("url") if isinstance(image, Mapping) else image)
    data = re.match(r"data:([^;,]+);base64,", url)
    return _image(Image(data[1], url[data.end() :]) if data else Image(url=url))


def _images(message: MessageDict) -> list[Any]:
    return [_image(Image.read(image)) for image in message.get("images") or ()]


def _image(image: Image) -> dict[str, Any]:
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    source = {"type": "base64", "media_type": image.media_type, "data": image.data}
    return {"type": "image", "source": source}


def _is_empty_text(block: Mapping[str, Any]) -> bool:
    return block.get("type") == "text" and not str(block.get("text", "")).strip()


def _without_last_space(turn: dict[str, Any]) -> None:
    """An answer that is to be continued must not end in white space."""
    last = turn["content"][-1]
    if turn["role"] == "assistant" and last.get("type") == "text":
        turn["content"][-1] = {**last, "text": last["text"].rstrip()}
