"""``%gathering resume``: a turn that another kernel left in the middle, gone on with from a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

import gathering
from gathering.core.permissions import Decision, set_asker
from gathering.storage import default_store
from gathering.testing import ScriptedProvider


@gathering.tool(permissions=["write"])
def order(item: str) -> str:
    """Order something."""
    return f"{item} ordered"


def _cut(call: dict[str, Any]) -> None:
    """What a kernel leaves that was killed while it asked whether the tool may run."""
    store = default_store()
    row = {"conversation": "c", "agent": "ada", "turn_id": "t", "session": "gone"}
    store.put("messages", {**row, "message_id": "1", "role": "user", "content": "Order tea.", "parts": []})
    part = {"type": "tool_call", "id": "k1", "name": "order", "arguments": call}
    answer = {"message_id": "2", "call_id": "c1", "role": "assistant", "content": "", "parts": [part]}
    store.put("messages", {**row, **answer})
    store.put("calls", {**row, "call_id": "c1", "status": "ok"})
    waits = {"tool_call_id": "k1", "call_id": "c1", "tool": "order", "arguments": call}
    store.put("tool_calls", {**row, **waits, "permission": "write", "decision": "ask"})
    store.flush()


def test_what_waited_for_a_person_is_asked_again(shell: InteractiveShell, run: Callable[[str], Any]) -> None:
    """The reply comes back and goes into the variable; the tool runs as the person says."""
    _cut({"item": "tea"})
    shell.user_ns["ada"] = gathering.Agent(
        "ada", llm_provider=ScriptedProvider(["It is on its way."]), tools=[order], permissions=["ask order"]
    )
    asked: list[str] = []

    def asker(request: Any) -> Decision:
        asked.append(request.tool)
        return Decision("allow", "person")

    before = set_asker(asker)
    try:
        run("%gathering resume ada -o reply")
    finally:
        set_asker(before)
    assert asked == ["order"]
    assert shell.user_ns["reply"].text == "It is on its way."
    assert [m.content for m in shell.user_ns["reply"].messages][2] == "tea ordered"


def test_where_nothing_was_cut_the_cell_fails_in_one_line(
    shell: InteractiveShell, failing: Callable[[str], str]
) -> None:
    """As for what is no agent of ours."""
    shell.user_ns["ada"] = gathering.Agent("ada", llm_provider=ScriptedProvider([]))
    assert "nothing to resume" in failing("%gathering resume ada")
    assert "no-such" in failing("%gathering resume ada --conversation no-such")
