"""A long-term memory on the tape: what it recalls in a replay needs no embedder."""

from __future__ import annotations

from collections.abc import Sequence

import gathering
from gathering.agents import LongTermMemory
from gathering.core.offers import Embeddings
from gathering.storage import SQLiteStore
from gathering.testing import ScriptedProvider, tape


class Embedder(ScriptedProvider):
    """A vector for each text by two of its words; in a replay it must not be asked."""

    def __init__(self, live: bool) -> None:
        super().__init__([], "embedder")
        self.live = live

    def embed(self, texts: Sequence[str], model: str | None = None) -> Embeddings:
        assert self.live, "the replay asked the embedder"
        vectors = tuple((float("tea" in text), float("exam" in text), 0.1) for text in texts)
        return Embeddings(vectors, "embedder:words")


def test_what_is_recalled_needs_no_embedder() -> None:
    """The fact that fits a question is in its prompt, recorded and replayed."""

    sources: list[set[str]] = []

    def lesson(answers: list[str], live: bool) -> str:
        memory = LongTermMemory(embedder=Embedder(live))
        ada = gathering.Agent(
            "ada", llm_provider=ScriptedProvider(answers), memory=memory, store=SQLiteStore(":memory:")
        )
        memory.remember("Bob likes tea.")
        memory.remember("The exam is on Monday.")
        answer = ada.ask("When is the exam?").text
        sources.append({row["source"] for row in ada.trace.store.rows("calls", {"agent": "ada (memory)"})})
        return answer

    with tape("lesson.jsonl", "record"):
        recorded = lesson(["On Monday."], live=True)
    with tape("lesson.jsonl", "replay"):
        assert lesson([], live=False) == recorded == "On Monday."
    assert sources == [{"live"}, {"tape"}]  # what a service embeds is a row, and says where it came from


def test_a_check_by_meaning_needs_no_embedder() -> None:
    """How alike two texts are is on the tape too."""
    for mode, answers in (("record", ["Some tea, please."]), ("replay", [])):
        with tape("lesson.jsonl", mode):  # type: ignore[arg-type]
            ada = gathering.Agent(
                "ada", llm_provider=ScriptedProvider(answers), store=SQLiteStore(":memory:")
            )
            reply = ada.ask("What would you like?")
            gathering.check(reply, store=None).similar("tea", embedder=Embedder(mode == "record"))
