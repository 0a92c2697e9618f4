"""What a process shares: ids, the switch against live calls, and what stands before a provider."""

from __future__ import annotations

import os

import pytest

import gathering
from gathering.core import session
from gathering.core.errors import LiveCallError
from gathering.testing import ScriptedProvider


def test_ids_are_unique_and_sort_by_age() -> None:
    """Also when many are made within a millisecond."""
    ids = [session.new_id() for _ in range(5000)]
    assert len(set(ids)) == 5000
    assert ids == sorted(ids)
    assert {len(i) for i in ids} == {26}


def test_a_session_has_one_id_and_a_forked_child_another() -> None:
    """Rows of two processes never mix."""
    mine = session.session_id()
    assert mine == session.session_id()
    if hasattr(os, "fork"):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if session.session_id() != mine else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_live_calls_can_be_made_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a block, in a process, or by the environment; the error names the prompt and what to do."""
    session.refuse_live_call("openai", "m")
    with gathering.no_live_calls(), pytest.raises(LiveCallError, match="'Hi there'.*ScriptedProvider"):
        session.refuse_live_call("openai", "m", [{"role": "user", "content": "Hi there"}])
    session.refuse_live_call("openai", "m")
    monkeypatch.setenv("GATHERING_LIVE", "never")
    with pytest.raises(LiveCallError, match="GATHERING_LIVE"):
        session.refuse_live_call("openai", "m")


def test_a_real_provider_makes_no_live_call_when_that_is_forbidden() -> None:
    """Asking one is an error before anything is sent; a scripted one still answers."""
    live = gathering.Agent("live", llm_provider=gathering.provider("openai:gpt-5-mini", api_key="sk-none"))
    with gathering.no_live_calls():
        with pytest.raises(LiveCallError):
            live.ask("Hi")
        assert gathering.Agent("x", llm_provider=ScriptedProvider(["ok"])).ask("Hi").text == "ok"


def test_a_wrapper_stands_before_every_provider() -> None:
    """Added, it is asked; removed, it is not; removing twice is harmless."""
    stand_in = ScriptedProvider(["wrapped"])

    def wrapper(provider: object) -> ScriptedProvider:
        return stand_in

    ada = gathering.Agent("ada", llm_provider=ScriptedProvider(["bare"]))
    session.add_wrapper(wrapper)
    try:
        assert ada.ask("Hi").text == "wrapped"
    finally:
        session.remove_wrapper(wrapper)
    session.remove_wrapper(wrapper)
    assert ada.ask("Hi").text == "bare"
