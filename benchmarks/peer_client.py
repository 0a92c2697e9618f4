"""One library under the loads of ``peers.py``; runs in that library's environment and imports nothing else.

    python peer_client.py NAME URL "import statement"

Prints one line of JSON: microseconds of processor time (user and system, all threads) for importing the library in a
cold process, less a bare interpreter; for a whole answer; for one that is awaited; for one chunk of a streamed answer
of 2,000; and for an agent's turn with one tool call, which is two requests. null is what a library does not have.
Clients and agents are made once, outside the clock; what a library makes again for each call counts. Every answer is
looked at, so that no figure is of a call that failed.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

PROMPT, CHUNKS = "What is 15% of 200?", 2000
MESSAGES = [{"role": "user", "content": PROMPT}]
ADD = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
TOOLS = [{"type": "function", "function": {"name": "add", "description": "The sum.", "parameters": ADD}}]


@dataclass
class Loads:
    """What a library is asked to do. ``stream`` gives the number of its pieces of text; ``settle`` ends what is under way."""

    call: Callable[[], object]
    call_async: Callable[[], Awaitable[object]] | None = None
    stream: Callable[[], int] | None = None
    turn: Callable[[], object] | None = None
    settle: Callable[[], object] = lambda: None


def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


def _right(text: Any) -> None:
    assert "thirty" in str(text), f"another answer: {text!r}"


def httpx(url: str) -> Loads:
    import httpx

    client, later = httpx.Client(), httpx.AsyncClient()
    address, headers = f"{url}/chat/completions", {"authorization": "Bearer a-key"}

    def body(model: str = "text", **more: Any) -> dict[str, Any]:
        return {"json": {"model": model, "messages": MESSAGES, **more}, "headers": headers}

    def call() -> None:
        _right(client.post(address, **body()).json()["choices"][0]["message"]["content"])

    async def call_async() -> None:
        _right((await later.post(address, **body())).json()["choices"][0]["message"]["content"])

    def stream() -> int:
        pieces, rest = 0, b""
        with client.stream("POST", address, **body(stream=True)) as response:
            for data in response.iter_bytes():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event != b"data: [DONE]":
                        choices = json.loads(event[6:])["choices"]
                        pieces += bool(choices and choices[0]["delta"].get("content"))
        return pieces

    def turn() -> None:
        call()
        call()

    return Loads(call, call_async, stream, turn)


def gathering(url: str) -> Loads:
    import gathering
    from gathering.storage import SQLiteStore

    folder = tempfile.mkdtemp()
    store = SQLiteStore(f"{folder}/trace.sqlite")

    def agent(model: str, **more: Any) -> Any:
        provider = gathering.provider(f"openai:{model}", base_url=url, api_key="a-key")
        return gathering.Agent("ada", llm_provider=provider, store=store, **more)

    ada, able = agent("text"), agent("tool", tools=[gathering.tool(add)])

    def call() -> None:
        ada.memory.clear()
        _right(ada.ask(PROMPT).text)

    async def call_async() -> None:
        ada.memory.clear()
        _right((await ada.ask_async(PROMPT)).text)

    def stream() -> int:
        ada.memory.clear()
        return sum(type(event).__name__ == "TextDelta" for event in ada.stream(PROMPT))

    def turn() -> None:
        able.memory.clear()
        reply = able.ask(PROMPT)
        assert len(reply.tool_calls) == 1
        _right(reply.text)

    return Loads(call, call_async, stream, turn, store.flush)


def openai(url: str) -> Loads:
    from openai import AsyncOpenAI, OpenAI

    client, later = OpenAI(base_url=url, api_key="a-key"), AsyncOpenAI(base_url=url, api_key="a-key")

    def call() -> None:
        _right(client.chat.completions.create(model="text", messages=MESSAGES).choices[0].message.content)

    async def call_async() -> None:
        answer = await later.chat.completions.create(model="text", messages=MESSAGES)
        _right(answer.choices[0].message.content)

    def stream() -> int:
        chunks = client.chat.completions.create(model="text", messages=MESSAGES, stream=True)
        return sum(bool(c.choices and c.choices[0].delta.content) for c in chunks)

    def turn() -> None:
        said: list[Any] = list(MESSAGES)
        message = client.chat.completions.create(model="tool", messages=said, tools=TOOLS).choices[0].message
        said.append(message)
        for wanted in message.tool_calls:
            result = add(**json.loads(wanted.function.arguments))
            said.append({"role": "tool", "tool_call_id": wanted.id, "content": str(result)})
        last = client.chat.completions.create(model="tool", messages=said, tools=TOOLS)
        _right(last.choices[0].message.content)

    return Loads(call, call_async, stream, turn)


def anthropic(url: str) -> Loads:
    from anthropic import Anthropic, AsyncAnthropic

    root = url.removesuffix("/v1")
    client, later = Anthropic(base_url=root, api_key="a-key"), AsyncAnthropic(base_url=root, api_key="a-key")
    asked: dict[str, Any] = {"model": "text", "max_tokens": 100, "messages": MESSAGES}

    def call() -> None:
        _right(client.messages.create(**asked).content[0].text)

    async def call_async() -> None:
        _right((await later.messages.create(**asked)).content[0].text)

    def stream() -> int:
        events = client.messages.create(**asked, stream=True)
        return sum(event.type == "content_block_delta" for event in events)

    return Loads(call, call_async, stream)


def litellm(url: str) -> Loads:
    import litellm

    asked: dict[str, Any] = {"api_base": url, "api_key": "a-key"}

    def call() -> None:
        answer = litellm.completion(model="openai/text", messages=MESSAGES, **asked)
        _right(answer.choices[0].message.content)

    async def call_async() -> None:
        answer = await litellm.acompletion(model="openai/text", messages=MESSAGES, **asked)
        _right(answer.choices[0].message.content)

    def stream() -> int:
        chunks = litellm.completion(model="openai/text", messages=MESSAGES, stream=True, **asked)
        return sum(bool(c.choices and c.choices[0].delta.content) for c in chunks)

    def turn() -> None:
        said: list[Any] = list(MESSAGES)
        first = litellm.completion(model="openai/tool", messages=said, tools=TOOLS, **asked)
        message = first.choices[0].message
        said.append(message)
        for wanted in message.tool_calls:
            result = add(**json.loads(wanted.function.arguments))
            said.append({"role": "tool", "tool_call_id": wanted.id, "content": str(result)})
        last = litellm.completion(model="openai/tool", messages=said, tools=TOOLS, **asked)
        _right(last.choices[0].message.content)

    return Loads(call, call_async, stream, turn)


def pydantic_ai(url: str) -> Loads:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def agent(name: str, **more: Any) -> Any:
        return Agent(OpenAIChatModel(name, provider=OpenAIProvider(base_url=url, api_key="a-key")), **more)

    ada, later, able = agent("text"), agent("text"), agent("tool", tools=[add])

    def call() -> None:
        _right(ada.run_sync(PROMPT).output)

    async def call_async() -> None:
        _right((await later.run(PROMPT)).output)

    def turn() -> None:
        _right(able.run_sync(PROMPT).output)

    return Loads(call, call_async, None, turn)


def langchain(url: str) -> Loads:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

    def model(name: str) -> Any:
        return ChatOpenAI(model=name, base_url=url, api_key="a-key")

    ada, able = model("text"), create_agent(model("tool"), tools=[add])

    def call() -> None:
        _right(ada.invoke(PROMPT).content)

    async def call_async() -> None:
        _right((await ada.ainvoke(PROMPT)).content)

    def stream() -> int:
        return sum(bool(chunk.content) for chunk in ada.stream(PROMPT))

    def turn() -> None:
        _right(able.invoke({"messages": MESSAGES})["messages"][-1].content)

    return Loads(call, call_async, stream, turn)


def chatlas(url: str) -> Loads:
    from chatlas import ChatOpenAICompletions

    def chat(name: str) -> Any:
        return ChatOpenAICompletions(model=name, base_url=url, api_key="a-key")

    ada, able = chat("text"), chat("tool")
    able.register_tool(add)

    def call() -> None:
        ada.set_turns([])
        _right(ada.chat(PROMPT, echo="none", stream=False))

    async def call_async() -> None:
        ada.set_turns([])
        answer = await ada.chat_async(PROMPT, echo="none", stream=False)
        _right(await answer.get_content())

    def stream() -> int:
        ada.set_turns([])
        return sum(bool(piece) for piece in ada.stream(PROMPT, echo="none"))

    def turn() -> None:
        able.set_turns([])
        _right(able.chat(PROMPT, echo="none", stream=False))

    return Loads(call, call_async, stream, turn)


def cpu(who: int = resource.RUSAGE_SELF) -> float:
    """Seconds of processor time so far."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def cold(code: str) -> float:
    """Microseconds a fresh interpreter spends on this code."""
    times = []
    for _ in range(3):
        begun = cpu(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(cpu(resource.RUSAGE_CHILDREN) - begun)
    return statistics.median(times) * 1e6


def timed(function: Callable[[], object], settle: Callable[[], object], times: int, per: int = 1) -> float:
    """Microseconds of one of ``times`` runs, after some that do not count."""
    for _ in range(max(1, times // 10)):
        function()
    settle()
    begun = cpu()
    for _ in range(times):
        function()
    settle()
    return (cpu() - begun) / times / per * 1e6


def timed_async(function: Callable[[], Awaitable[object]], settle: Callable[[], object], times: int) -> float:
    """The same for what is awaited, all on one loop."""

    async def run() -> float:
        for _ in range(times // 10):
            await function()
        settle()
        begun = cpu()
        for _ in range(times):
            await function()
        settle()
        return (cpu() - begun) / times * 1e6

    return asyncio.run(run())


def whole_stream(loads: Loads) -> None:
    assert loads.stream is not None
    pieces = loads.stream()
    assert pieces >= CHUNKS, f"only {pieces} pieces of {CHUNKS}"


def main(name: str, url: str, statement: str) -> None:
    """Run the loads of one library and print the figures."""
    figures: dict[str, float | None] = {"import": cold(statement) - cold("pass")}
    sys.stdout, out = sys.stderr, sys.stdout  # some print as they go
    loads: Loads = globals()[name.replace("-", "_")](url)
    settle = loads.settle
    figures["call"] = timed(loads.call, settle, 200)
    figures["stream"] = loads.stream and timed(lambda: whole_stream(loads), settle, 4, CHUNKS)
    figures["turn"] = loads.turn and timed(loads.turn, settle, 100)
    figures["call_async"] = loads.call_async and timed_async(loads.call_async, settle, 200)
    out.write(json.dumps(figures) + "\n")
    out.flush()
    os._exit(0)  # clients that are still open have nothing more to say


if __name__ == "__main__":
    main(*sys.argv[1:])
