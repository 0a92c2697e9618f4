"""Prices: the table's figures in our terms, a user's own before them, and None for what nobody knows."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

import gathering
from gathering.core import config
from gathering.core.errors import ConfigurationError
from gathering.core.messages import Completion, Usage
from gathering.core.offers import ModelInfo
from gathering.llm import prices

MILLION = 1_000_000


def cost(model: str, *tokens: int | None) -> float | None:
    provider, _, name = model.partition(":")
    return prices.cost(provider, name, Usage(*tokens))


#: Rows that are counted in tokens of text alone.
TEXT = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok"}
OURS = {"google": "gemini", "x-ai": "xai"}


def is_found(provider: str, model: str) -> bool:
    """Whether the table finds a row by the row's own name; of a few it does not."""
    try:
        get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return False
    return True


ROWS = [
    (p.id, m.id)
    for p in get_snapshot().providers
    for m in p.models
    if set(vars(m.get_prices(datetime.now(tz=UTC)))) <= TEXT
    and m.get_prices(datetime.now(tz=UTC)).input_mtok is not None
    and not p.id.startswith("huggingface_")
    and is_found(p.id, m.id)
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ROWS), st.integers(0, 2 * MILLION), st.integers(0, 100_000), st.floats(0, 1))
def test_a_cost_is_what_the_table_s_own_arithmetic_gives(
    row: tuple[str, str], read: int, written: int, share: float
) -> None:
    """For each model of the table, long prompts with their own rates included."""
    provider, model = row
    again = int(read * share)
    usage = genai_prices.Usage(input_tokens=read, output_tokens=written, cache_read_tokens=again)
    expected = genai_prices.calc_price(usage, model, provider_id=provider).total_price
    found = cost(f"{OURS.get(provider, provider)}:{model}", read, written, again)
    assert found is not None
    assert math.isclose(found, float(expected), rel_tol=1e-9, abs_tol=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        "anthropic:claude-haiku-4-5",
        "azure:gpt-4o",
        "cerebras:gpt-oss-120b",
        "deepseek:deepseek-chat",
        "gemini:gemini-2.5-flash",
        "groq:llama-3.3-70b-versatile",
        "huggingface:meta-llama/Llama-3.3-70B-Instruct:together",
        "mistral:mistral-small-latest",
        "openai:gpt-5-mini-2025-08-07",
        "openrouter:openai/gpt-5-mini",
        "perplexity:sonar",
        "together:meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "xai:grok-4",
    ],
)
def test_each_service_has_its_row(model: str) -> None:
    """Our names of providers lead to the table's."""
    price = cost(model, MILLION, MILLION)
    assert price is not None
    assert 0.05 < price < 200


def test_a_fee_for_each_call_is_counted() -> None:
    """Some services take a fee beside the tokens."""
    fee = cost("perplexity:sonar", 0, 0)
    assert fee is not None
    assert fee > 0


def test_what_runs_here_is_free_and_what_nobody_knows_is_none() -> None:
    """An unknown price is missing, never 0."""
    assert [cost(f"{host}:any", 1, 1) for host in ("local", "ollama", "vllm", "lmstudio", "llamacpp")] == [
        0.0
    ] * 5
    assert cost("openai:gpt-99", 1, 1) is None
    assert cost("openai-compatible:gpt-5-mini", 1, 1) is None
    assert cost("huggingface:meta-llama/Llama-3.3-70B-Instruct", 1, 1) is None
    assert cost("openai:gpt-5-mini", None, None) is None
    assert cost("openai:gpt-5-mini", 10, None) is None


@pytest.fixture
def own() -> Any:
    given: list[str] = []

    def say(model: str, **figures: float) -> None:
        given.append(model)
        prices.set_price(model, **figures)

    yield say
    for model in given:
        prices.set_price(model)


def test_a_price_of_one_s_own_goes_first(own: Any) -> None:
    """For a model of a service, for one nobody knows, for all of a provider; and can be taken back."""
    own("openai:gpt-5-mini", input=1, output=2, cached=0.5)
    own("mine", input=3, output=4)
    assert cost("openai:gpt-5-mini", MILLION, MILLION, MILLION // 2) == 0.5 + 0.25 + 2
    assert cost("mine:anything", MILLION, MILLION, MILLION) == 7
    prices.set_price("mine")
    assert cost("mine:anything", 1, 1) is None


def test_prices_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting names it; a changed file counts, a price said in Python goes before it."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "prices.toml"
    file.write_text('["mine:m"]\ninput = 1\noutput = 2\n["vllm"]\ninput = 5\noutput = 5\n')
    config.set("prices", "prices.toml")
    assert (cost("mine:m", MILLION, MILLION), cost("vllm:x", MILLION, 0)) == (3, 5)
    file.write_text('["mine:m"]\ninput = 10\noutput = 20\n')
    os.utime(file, (1, 1))
    assert cost("mine:m", MILLION, 0) == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not toml", "not valid TOML"),
        ('["m:x"]\ninput = 1\n', "needs both input and output"),
        ('["m:x"]\ninput = -1\noutput = 1\n', "input of the price of 'm:x' is -1"),
        ('["m:x"]\ninput = "one"\noutput = 1\n', "is 'one': give a number"),
        ('["m:x"]\nin = 1\noutput = 1\n', "write input, output, cached"),
        ('"m:x" = 3\n', "write input, output, cached"),
    ],
)
def test_a_broken_file_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    """It says which price is wrong and how one is written."""
    (tmp_path / "p.toml").write_text(text)
    config.set("prices", str(tmp_path / "p.toml"))
    with pytest.raises(ConfigurationError, match="^[^\n]*$") as caught:
        cost("openai:gpt-5-mini", 1, 1)
    assert said in str(caught.value)
    config.set("prices", str(tmp_path / "away.toml"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        cost("openai:gpt-5-mini", 1, 1)


def test_a_price_needs_a_model() -> None:
    """Nothing is not priced."""
    with pytest.raises(ConfigurationError, match='give "provider:model"'):
        prices.set_price(":", input=1, output=1)


def test_providers_know_what_an_answer_cost() -> None:
    """A provider over HTTP by its table, a user's own class by the price that was given for it."""
    provider = gathering.provider("openai:gpt-5-mini", api_key="k")
    answer = Completion("x", usage=Usage(MILLION, 0, 0, 0))
    assert provider.cost_of(answer) == pytest.approx(0.25)
    assert gathering.provider("local").cost_of(answer) == 0.0
    assert gathering.provider("ollama:llama3.2").cost_of(answer) == 0.0


def test_lists_of_models_get_their_prices() -> None:
    """A price the service itself says stays."""
    listed = [ModelInfo("gpt-5-mini"), ModelInfo("gpt-99"), ModelInfo("gpt-5", input_price=9.0)]
    found = prices.priced("openai", listed)
    assert [(i.input_price, i.output_price) for i in found] == [(0.25, 2.0), (None, None), (9.0, None)]


def test_the_table_is_loaded_when_it_is_asked_and_never_fetched() -> None:
    """Importing loads nothing; what runs here needs no table; a look-up opens no socket."""
    code = """
import sys, socket
import gathering, gathering.llm.prices as prices
from gathering.core.messages import Usage
def refuse(*a, **k): raise AssertionError("a socket was opened")
socket.socket.connect = refuse
assert prices.cost("local", "smollm2", Usage(1, 1)) == 0.0
prices.warm("local")
assert "genai_prices" not in sys.modules
prices.warm("openai"); prices.warm("openai")
assert prices.cost("openai", "gpt-5-mini", Usage(1000, 0)) == 0.00025
assert "genai_prices" in sys.modules
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
