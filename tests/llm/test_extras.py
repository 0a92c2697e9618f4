"""What services do beside writing: refused under a ceiling where nobody can know its price, and part of the cost after it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_service import Answer, Service

import gathering
from gathering.core import budget as budgets
from gathering.core.budget import Account
from gathering.core.errors import BudgetExceededError
from gathering.core.prices import set_price
from gathering.llm.extras import runs_at_the_service, searches_in, unpriced
from gathering.llm.prices import search_fee
from gathering.storage import SQLiteStore

ASK = [{"role": "user", "content": "?"}]
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
CLAUDE = {
    "type": "message",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1000, "output_tokens": 100, "server_tool_use": {"web_search_requests": 2}},
}


@pytest.fixture(autouse=True)
def no_budget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(budgets, "_session", Account())
    yield
    budgets.budget_off()


def as_json(body: Any) -> Answer:
    return Answer([json.dumps(body).encode()], headers={"content-type": "application/json"})


def chat(**more: Any) -> Answer:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    message = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage}
    return as_json({**message, **more})


@pytest.mark.parametrize(
    ("tools", "params"),
    [
        ([SEARCH], {}),
        ([{"type": "web_search"}], {}),
        ([{"googleSearch": {}}], {}),
        (None, {"web_search_options": {}, "mcp_servers": [{"url": "https://x"}]}),
        (None, {"plugins": [{"id": "web"}]}),
        (None, {"service_tier": "priority"}),
        (None, {"speed": "fast"}),
        (None, {"service_tier": {"name": "priority"}}),
        (None, {"previous_response_id": "resp_1"}),
        (None, {"conversation": {"id": "conv_1"}}),
        (None, {"cachedContent": "cachedContents/1"}),
    ],
)
def test_work_of_the_service_s_own_has_no_price_beforehand(tools: Any, params: dict[str, Any]) -> None:
    """Searches read what nobody knows before, faster service costs more than the table says."""
    assert unpriced(tools, params)


@pytest.mark.parametrize(
    ("tools", "params"),
    [
        (None, {"service_tier": "flex", "temperature": 0, "web_search_options": None}),
        ([{"name": "add", "description": "", "parameters": {}}], {}),
        ([{"type": "function", "function": {"name": "add"}}], {}),
        ([{"type": "custom", "name": "add", "input_schema": {}}], {}),
    ],
)
def test_the_rest_is_its_tokens(tools: Any, params: dict[str, Any]) -> None:
    """Functions run here, and cost nothing there."""
    assert unpriced(tools, params) == ""
    assert not any(map(runs_at_the_service, tools or ()))


def test_under_a_ceiling_such_a_call_is_refused_or_asked_about(service: Service, tmp_path: Any) -> None:
    """As one whose price is not known; with on_unknown='allow' it goes out, booked as its tokens."""
    store = SQLiteStore(tmp_path / "t.sqlite")
    provider = gathering.provider("openai:gpt-4o-mini", api_key="0123456789", base_url=service.url)
    ada = gathering.Agent("ada", llm_provider=provider, store=store)
    service.will(chat())
    with gathering.budget(1.0), pytest.raises(BudgetExceededError, match="web_search_options"):
        ada.ask("?", max_tokens=10, web_search_options={"user_location": None})
    assert service.received == []
    asked: list[str] = []

    def agree(what: str) -> bool:
        asked.append(what)
        return True

    with gathering.budget(1.0, on_unknown=agree) as ceiling:
        ada.ask("?", max_tokens=10, service_tier="priority")
        assert 0 < ceiling.spent < 0.001
    assert asked == ["openai:gpt-4o-mini with its service_tier='priority'"]
    with gathering.budget(1.0):
        ada.ask("?", max_tokens=10)
    store.close()


def test_several_answers_are_booked_as_so_many(service: Service, tmp_path: Any) -> None:
    """Each of them may be as long as max_tokens says."""
    set_price("openai-compatible:m", input=0.0, output=1000.0)
    provider = gathering.provider("openai-compatible:m", base_url=service.url)
    ada = gathering.Agent("ada", llm_provider=provider, store=SQLiteStore(tmp_path / "t.sqlite"))
    service.will(chat(usage={"prompt_tokens": 1, "completion_tokens": 40}))
    with gathering.budget(0.03), pytest.raises(BudgetExceededError):
        ada.ask("?", max_tokens=10, n=4)
    with gathering.budget(0.05) as ceiling:
        ada.ask("?", max_tokens=10, n=4)
        assert ceiling.spent == pytest.approx(0.04)
    set_price("openai-compatible:m")


def test_several_answers_are_booked_as_so_many_also_by_who_stands_behind(
    service: Service, tmp_path: Any
) -> None:
    """A guarded provider, and one of several, sends what its own configuration says."""
    set_price("openai-compatible:m", input=0.0, output=1000.0)
    asked = gathering.provider("openai-compatible:m", base_url=service.url, params={"n": 4, "max_tokens": 10})
    several = gathering.provider("fallback", providers=[asked])
    for provider, guardrails in ((asked, [{"name": "no secrets", "pattern": "secret"}]), (several, [])):
        ada = gathering.Agent(
            "ada", llm_provider=provider, guardrails=guardrails, store=SQLiteStore(tmp_path / "t.sqlite")
        )
        with gathering.budget(0.03), pytest.raises(BudgetExceededError, match="could cost 0.04"):
            ada.ask("?")
    assert service.received == []
    set_price("openai-compatible:m")


def test_searches_are_part_of_the_cost(service: Service) -> None:
    """Ten dollars for a thousand, beside the tokens; those before a pause too."""
    provider: Any = gathering.provider(
        "anthropic:claude-sonnet-4-5", api_key="0123456789", base_url=service.url
    )
    assert search_fee("anthropic", "claude-sonnet-4-5") == pytest.approx(0.01)
    tokens = provider.get_cost(gathering.core.messages.Usage(1000, 100, 0))
    service.will(as_json(CLAUDE))
    assert provider.cost_of(provider.complete(ASK)) == pytest.approx(tokens + 0.02)
    paused = {**CLAUDE, "stop_reason": "pause_turn"}
    service.will(as_json(paused), as_json(CLAUDE))
    whole = provider.complete(ASK, [SEARCH])
    assert searches_in(whole.raw) == 4
    assert provider.cost_of(whole) == pytest.approx(2 * tokens + 0.04)


def test_a_search_whose_fee_nobody_knows_leaves_the_cost_unknown(service: Service) -> None:
    """Never as if it had been free."""
    provider: Any = gathering.provider("groq:openai/gpt-oss-20b", api_key="0123456789", base_url=service.url)
    service.will(chat(), chat(output=[{"type": "web_search_call"}]))
    assert provider.cost_of(provider.complete(ASK)) is not None
    assert provider.cost_of(provider.complete(ASK)) is None


def test_an_answer_served_faster_has_no_known_cost(service: Service) -> None:
    """Its tokens cost more than the table says."""
    provider: Any = gathering.provider("openai:gpt-4o-mini", api_key="0123456789", base_url=service.url)
    service.will(chat(service_tier="priority"), chat(service_tier="default"))
    assert provider.cost_of(provider.complete(ASK)) is None
    assert provider.cost_of(provider.complete(ASK)) is not None


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (None, 0),
        ({"usage": []}, 0),
        ({"output": [{"type": "web_search_call", "action": {"type": "search"}}, 7, {"type": "message"}]}, 1),
        ({"output": [{"type": "web_search_call", "action": {"type": "open_page"}}]}, 0),
        ({"candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}]}, 2),
    ],
)
def test_searches_are_counted_in_every_format(raw: Any, count: int) -> None:
    """As the services say them, and nothing where they say something else."""
    assert searches_in(raw) == count
