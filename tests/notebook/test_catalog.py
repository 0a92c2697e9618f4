"""The tables of models and providers: what a provider lists itself, and what the doctor found."""

from __future__ import annotations

import pickle
import socket

import pandas as pd
import pytest

from gathering.core.interfaces import ILLMProvider
from gathering.core.offers import ModelInfo
from gathering.core.registry import PROVIDERS
from gathering.notebook.catalog import doctor_frame, listed_frame, models_frame, reachable


class Shop(ILLMProvider):
    """A provider that lists two models."""

    def complete(self, messages: object, tools: object = None, **params: object) -> dict[str, str]:
        return {"role": "assistant", "content": "Hello"}

    def models(self) -> list[ModelInfo]:
        return [ModelInfo("small", 8192, None, 0.5, 1.5), ModelInfo("large")]

    def is_available(self) -> bool:
        return False


def test_what_a_provider_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Context and prices as the provider gives them; what it does not say is missing, not 0."""
    monkeypatch.setitem(PROVIDERS, "shop", Shop)
    frame = listed_frame("shop")
    assert list(frame.columns) == [
        "provider",
        "model",
        "context",
        "price_in",
        "price_out",
        "available",
        "why_not",
    ]
    assert frame.loc[0, ["model", "context", "price_in", "price_out"]].tolist() == ["small", 8192, 0.5, 1.5]
    assert frame.loc[1, ["context", "price_in", "price_out"]].isna().all()


def test_what_the_doctor_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row a provider, and its own word on why it cannot be used."""
    monkeypatch.setitem(PROVIDERS, "shop", Shop)
    monkeypatch.delenv("XAI_API_KEY", raising=False)
    frame = doctor_frame(["shop", "xai"])
    assert list(frame.columns) == ["provider", "model", "key", "reachable", "advice"]
    assert frame.loc[0, "advice"] == "shop is not reachable"
    assert not frame.loc[0, "reachable"]
    assert frame["reachable"].isna().tolist() == [False, True]


def test_advice_is_shown_whole() -> None:
    """What to do is read in the table, as text and as HTML, however long it is and however the table is cut elsewhere."""
    frame = doctor_frame(["openai-compatible", "azure"])
    for shown in (repr(frame), frame._repr_html_()):
        assert all(advice in shown for advice in frame["advice"])
    assert shown.count('<td style="text-align: left">') == frame.size
    with pd.option_context("display.max_colwidth", 10):
        assert frame["advice"][0] in repr(frame)
        assert frame["advice"][0] not in repr(frame.query("provider == 'azure'"))


def test_a_table_of_advice_is_a_frame_like_others() -> None:
    """It is pickled, copied and written to CSV as any DataFrame."""
    frame = doctor_frame(["azure"])
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(frame)), pd.DataFrame(frame))
    assert frame["advice"][0] in frame.to_csv()


def test_a_server_of_this_machine_that_does_not_run_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said at once, with what to do; one that listens is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("VLLM_BASE_URL", f"{place}/v1")
        frame = models_frame().set_index("provider")
        assert frame.loc["vllm", "available"]
        assert reachable("vllm") == "configured"
    frame = models_frame().set_index("provider")
    assert not frame.loc["vllm", "available"]
    assert frame.loc["vllm", "why_not"] == (
        f"nothing listens at {place}: start the server, or say where it is with base_url"
    )
    assert reachable("vllm").startswith("nothing listens")
