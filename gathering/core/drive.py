"""The two drivers of a flow: they do the I/O it asks for, and nothing else.

``drive`` runs on the caller's thread, so tools see the caller's own objects; ``adrive`` awaits. Both hand the
caller's batches out, throw a command's failure back into the flow, and close an open stream for certain.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Generator
from typing import Any, assert_never

from gathering.core.acts import AskPerson, RunTools
from gathering.core.errors import IncompleteStreamError
from gathering.core.flow import Command, Complete, Flow, NextBatch, OpenStream, Pause
from gathering.core.messages import as_completion
from gathering.core.permissions import ask_person
from gathering.core.portal import beat, portal
from gathering.core.stream import Batch, batches_of, batches_of_async
from gathering.core.tooling import run_tools, run_tools_async

__all__ = ["adrive", "drive"]


def drive(flow: Flow) -> Generator[Batch, None, None]:
    """Run the flow here and now; its batches for the caller, one by one."""
    io, result, failure = _SyncIO(), None, None
    try:
        while (item := _advance(flow, result, failure)) is not None:
            result = failure = None
            if isinstance(item, list):
                yield item
                continue
            try:
                result = io.do(item)
            except BaseException as error:  # noqa: BLE001 - the flow re-raises what it does not settle
                failure = error
    finally:
        io.close()
        flow.close()


async def adrive(flow: Flow) -> AsyncGenerator[Batch, None]:
    """Run the flow on the running loop; its batches for the caller, one by one."""
    io, result, failure = _AsyncIO(), None, None
    try:
        with beat():
            while (item := _advance(flow, result, failure)) is not None:
                result = failure = None
                if isinstance(item, list):
                    yield item
                    continue
                try:
                    result = await io.do(item)
                except BaseException as error:  # noqa: BLE001 - the flow re-raises what it does not settle
                    failure = error
    finally:
        await io.close()
        if failure is not None:
            # A loop closes its socket when it runs on. Stop ends in a traceback drawn on that very loop, which takes
            # longer than hanging up may: so let the loop run on once before the failure leaves.
            await asyncio.sleep(0)
        flow.close()


def _advance(flow: Flow, result: Any, failure: BaseException | None) -> Command | Batch | None:
    """What the flow yields next, None at its end."""
    try:
        return flow.send(result) if failure is None else flow.throw(failure)
    except StopIteration:
        return None


class _SyncIO:
    """The commands, done on this thread."""

    stream: Generator[Batch, None, None] | None = None

    def do(self, command: Command) -> Any:
        match command:
            case NextBatch():
                assert self.stream is not None
                batch = next(self.stream, None)
                return batch if batch is not None else _no_end()
            case OpenStream(provider, messages, tools, params):
                self.stream = batches_of(provider.stream(messages, tools, **params), provider)
                return None
            case Pause(seconds):
                return time.sleep(seconds)
            case Complete(provider, messages, tools, params):
                answer: Any = provider.complete(messages, tools, **params)
                return as_completion(portal().run(answer) if inspect.iscoroutine(answer) else answer)
            case AskPerson(request):
                decision = ask_person(request)
                return portal().run(_awaited(decision)) if inspect.isawaitable(decision) else decision
            case RunTools(jobs, known, done):
                return run_tools([(job.tool, job.call) for job in jobs], known, done)
            case _:
                assert_never(command)

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()


class _AsyncIO:
    """The commands, awaited; several tools run side by side."""

    stream: AsyncGenerator[Batch, None] | None = None

    async def do(self, command: Command) -> Any:
        match command:
            case NextBatch():
                assert self.stream is not None
                batch = await anext(self.stream, None)
                return batch if batch is not None else _no_end()
            case OpenStream(provider, messages, tools, params):
                self.stream = batches_of_async(provider.stream(messages, tools, **params), provider)
                return None
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Complete(provider, messages, tools, params):
                return as_completion(await provider.complete_async(messages, tools, **params))
            case AskPerson(request):
                decision = ask_person(request)
                return await decision if inspect.isawaitable(decision) else decision
            case RunTools(jobs, known, done):
                return await run_tools_async([(job.tool, job.call) for job in jobs], known, done)
            case _:
                assert_never(command)

    async def close(self) -> None:
        if self.stream is not None:
            await self.stream.aclose()


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _no_end() -> Batch:
    raise IncompleteStreamError(
        "the provider's stream ended without Done: let its last batch end with Done(completion)"
    )
