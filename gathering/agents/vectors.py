"""The vectors of a memory: by which embedder, made when they are asked for, and what a service took for them as rows.

Owns no fact and no ranking (``gathering.agents.recall``). Vectors of two embedders never mix: each carries its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gathering.core.interfaces import ILLMProvider, IRecorder
from gathering.core.messages import Usage
from gathering.core.offers import Embeddings
from gathering.core.registry import create_provider
from gathering.core.session import current_cell, new_id, now, session_id, timer, wrapped

__all__ = ["Vectors"]


class Vectors:
    """Makes vectors by one embedder; ``model`` is its name once it was asked, empty before."""

    def __init__(self, embedder: ILLMProvider | str) -> None:
        self.embedder = create_provider(embedder) if isinstance(embedder, str) else embedder
        self.model = ""
        self._asked: tuple[str, tuple[float, ...]] | None = None

    def name(self, agent: str, store: IRecorder | None) -> str:
        """What its vectors are marked with."""
        if not self.model:
            self.of(["?"], agent, store)
        return self.model

    def of_question(self, text: str, agent: str, store: IRecorder | None) -> tuple[float, ...]:
        """The vector of what is looked for; the last one is kept, since a turn asks for it twice."""
        if self._asked is None or self._asked[0] != text:
            self._asked = text, self.of([text], agent, store)[0]
        return self._asked[1]

    def of(self, texts: Sequence[str], agent: str, store: IRecorder | None) -> list[tuple[float, ...]]:
        """A vector for each text. What a service was asked is a row of ``calls``, of the agent ``NAME (memory)``."""
        if self.embedder.name == "local" or store is None:  # made on this machine: no request, no cost
            made = wrapped(self.embedder).embed(texts)
        else:
            made = self._recorded(texts, f"{agent} (memory)", store)
        self.model = made.model
        return list(made.vectors)

    def _recorded(self, texts: Sequence[str], agent: str, store: IRecorder) -> Embeddings:
        row: dict[str, Any] = {
            "call_id": new_id(),
            "agent": agent,
            "provider": self.embedder.name,
            "model": self.embedder.model,
            "started_at": now(),
            "status": "started",
            "source": "live",
            "cell": current_cell(),
            "params": {"embed": len(texts)},
            "session": session_id(),
        }
        store.put("calls", dict(row))
        begun = timer()
        end: dict[str, Any] = {"call_id": row["call_id"]}
        try:
            made = wrapped(self.embedder).embed(texts)
        except BaseException as error:
            stopped = not isinstance(error, Exception)
            end |= {
                "status": "interrupted" if stopped else "error",
                "error": f"{type(error).__name__}: {error}".rstrip(": "),
            }
            raise
        else:
            model = made.model.removeprefix(f"{self.embedder.name}:")
            end |= {
                "status": "ok",
                "source": made.source,
                "model": model,
                **made.usage.to_dict(),
                "cost_usd": self._cost(model, made.usage),
            }
            return made
        finally:
            store.put("calls", {**end, "latency_ms": (timer() - begun) * 1000})

    def _cost(self, model: str, usage: Usage) -> float | None:
        from gathering.llm.prices import cost

        return cost(self.embedder.name, model, Usage(usage.input_tokens, 0, 0, 0))
