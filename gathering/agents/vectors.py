"""The vectors of a memory: by which embedder, made when they are asked for, and what a service took for them as rows.

Owns no fact and no ranking (``gathering.agents.recall``). Vectors of two embedders never mix: each carries its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gathering.agents.embedding import embedded, vectors_cost
from gathering.core.booking import Booking
from gathering.core.interfaces import ILLMProvider, IRecorder
from gathering.core.offers import Embeddings
from gathering.core.registry import create_provider
from gathering.core.session import current_cell, new_id, now, session_id, timer

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
            made = embedded(self.embedder, texts)
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
        accounts = _Accounts(row["call_id"], store)
        end: dict[str, Any] = {"call_id": row["call_id"]}
        try:
            made = embedded(self.embedder, texts, accounts.booked, accounts.settled)
        except BaseException as error:
            stopped = not isinstance(error, Exception)
            end |= {
                "status": "interrupted" if stopped else "error",
                "error": f"{type(error).__name__}: {error}".rstrip(": "),
                **accounts.counted(None),
            }
            raise
        else:
            paid = vectors_cost(made.model, made.usage)
            end |= {
                "status": "ok",
                "source": made.source,
                "model": made.model.removeprefix(f"{self.embedder.name}:"),
                **made.usage.to_dict(),
                "cost_usd": paid,
                **accounts.counted(paid),
            }
            return made
        finally:
            store.put("calls", {**end, "latency_ms": (timer() - begun) * 1000})


class _Accounts:
    """What the row of one request says of its booking."""

    def __init__(self, call_id: str, store: IRecorder) -> None:
        self.call_id, self.store = call_id, store
        self.amount: float | None = None
        self.counts = 0.0

    def booked(self, booking: Booking) -> None:
        """Put what is booked before anything is sent; of a project's ceiling, other processes have their say."""
        self.amount = booking.amount
        if self.amount is None:
            return
        self.store.put("calls", {"call_id": self.call_id, "booked_usd": self.amount})
        if booking.needs_store():
            self.store.flush()
            booking.check_others(self.store)

    def settled(self, counted: float) -> None:
        self.counts = counted

    def counted(self, cost: float | None) -> dict[str, Any]:
        """What it counts for where its cost is not known."""
        return {} if self.amount is None or cost is not None else {"booked_usd": self.counts}
