"""``%gathering`` in a shell: what it does, gives back, stores and shows, and how it fails."""

from __future__ import annotations

import _thread
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from gathering import Agent, Reply, compare
from gathering.core import config
from gathering.core.interfaces import ILLMProvider
from gathering.testing.scripted import ScriptedProvider

Run = Callable[[str], ExecutionResult]
Failing = Callable[[str], str]
Shown = list[dict[str, Any]]

pytestmark = pytest.mark.usefixtures("ada")


def test_a_cell_asks_and_stores_the_reply(run: Run, shell: InteractiveShell, ada: ScriptedProvider) -> None:
    """The design's cell: the prompt is expanded, the reply is stored, and it is the cell's value too."""
    run("amount = 250")
    result = run("%%gathering ask ada -o reply\nWhat is 15% of {{ amount }}?\n")
    reply = shell.user_ns["reply"]
    assert isinstance(reply, Reply)
    assert reply.text == "The answer is **42**."
    assert result.result is reply
    assert ada.requests[0].messages[-1]["content"] == "What is 15% of 250?"


def test_a_reply_is_shown_once(
    run: Run, displayed: Shown, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The transcript is the one display; the cell's value adds nothing, and is still in ``_``."""
    run("%gathering @ada hi")
    assert len(displayed) == 1
    assert "42" not in capsys.readouterr().out
    assert isinstance(shell.user_ns["_"], Reply)


def test_a_reply_is_shown_again_when_it_is_asked_for(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """In a later cell a reply is a value like any other."""
    run("x = %gathering @ada hi")
    capsys.readouterr()
    run("x")
    assert "The answer is **42**." in capsys.readouterr().out


def test_two_replies_of_one_cell_are_both_shown_once(run: Run, displayed: Shown) -> None:
    """Each line magic shows its own answer."""
    run("a = %gathering @ada one\nb = %gathering @ada two\nb")
    assert [d["data"]["text/plain"] for d in displayed] == ["The answer is **42**.", "Again: 42."]


@pytest.mark.parametrize("cell", ["%gathering @ada hi;", "%%gathering @ada;\nhi"])
def test_a_semicolon_silences_and_still_asks(
    cell: str, run: Run, displayed: Shown, ada: ScriptedProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is shown; the turn is taken."""
    run(cell)
    assert not displayed
    assert "42" not in capsys.readouterr().out
    assert ada.requests[0].messages[-1]["content"] == "hi"


def test_options_reach_the_provider(run: Run, ada: ScriptedProvider) -> None:
    """Temperature and length are the turn's; without streaming the answer comes whole and looks the same."""
    run("%gathering @ada --temperature 0 --max-tokens 50 --no-stream hi")
    assert ada.requests[0].params == {"temperature": 0.0, "max_tokens": 50}


def test_whole_and_streamed_answers_look_the_same(
    run: Run, displayed: Shown, shell: InteractiveShell
) -> None:
    """``--no-stream`` changes when an answer is shown, not how."""
    run("%gathering @ada hi")
    shell.user_ns["ada"] = Agent("ada", llm_provider=ScriptedProvider(["The answer is **42**."]))
    run("%gathering @ada --no-stream hi")
    assert displayed[0]["data"] == displayed[1]["data"]


def test_another_model_answers_once(
    run: Run, shell: InteractiveShell, parrot: str, ada: ScriptedProvider
) -> None:
    """``--model`` counts for one turn; the memory is the agent's."""
    run(f"%gathering @ada --model {parrot} -o reply polly")
    assert shell.user_ns["reply"].text == "polly"
    run("%gathering @ada again")
    assert [m["content"] for m in ada.requests[0].messages] == ["polly", "polly", "again"]


def test_show_displays_the_prompt_as_it_is_sent(run: Run, displayed: Shown) -> None:
    """``--show`` puts the expanded prompt before the answer."""
    run("n = 6")
    run("%gathering @ada --show {{ n }} times {7}")
    assert displayed[0]["data"]["text/plain"] == "6 times {7}"


def test_marks_of_a_test_runner_are_not_sent(run: Run, ada: ScriptedProvider) -> None:
    """A cell may carry nbval's comments."""
    run("%%gathering @ada\n# NBVAL_IGNORE_OUTPUT\nWhy?")
    assert ada.requests[0].messages[-1]["content"] == "Why?"


def test_unicode_and_a_megabyte_are_sent_as_they_are(
    run: Run, ada: ScriptedProvider, shell: InteractiveShell
) -> None:
    """Every character arrives, and a large prompt is refused only by its size, in one line."""
    run("%%gathering @ada\nπ ≈ 3.14 — 你好 👋🏽")
    assert ada.requests[0].messages[-1]["content"] == "π ≈ 3.14 — 你好 👋🏽"
    shell.user_ns["text"] = "ä" * 500_000
    result = shell.run_cell("%gathering @ada {{ text }}", store_history=True)
    assert type(result.error_in_exec).__name__ == "ContextOverflowError"
    assert "\n" not in str(result.error_in_exec)


def test_a_cell_describes_an_agent(run: Run, shell: InteractiveShell, parrot: str) -> None:
    """The YAML of the design's cell makes the agent, and puts it into the namespace."""
    result = run(
        f"""%%gathering agent eve
model: {parrot}
personality_blocks: [patient, {{name: curious, intensity: 0.8}}]
competencies: [{{name: mathematics, level: 0.9}}]
history: 20 years of teaching mathematics
tools: [calculator]
"""
    )
    eve = shell.user_ns["eve"]
    assert result.result is eve
    assert eve.model == "parrot"
    assert [b.name for b in eve.personality_blocks] == ["patient", "curious"]
    assert list(eve.tools) == ["calculator"]


def test_an_agent_alone_on_its_line_shows_its_card(run: Run, shell: InteractiveShell) -> None:
    """Without a cell ``agent`` gives the one there is."""
    assert run("%gathering agent ada").result is shell.user_ns["ada"]
    assert run("%%gathering agent ada").result is shell.user_ns["ada"]


def test_running_the_cell_again_makes_the_agent_anew(run: Run, shell: InteractiveShell, parrot: str) -> None:
    """A second run replaces the agent, with an empty memory."""
    run(f"%%gathering agent eve\nmodel: {parrot}")
    first = shell.user_ns["eve"]
    run(f"%%gathering agent eve\nmodel: {parrot}")
    assert shell.user_ns["eve"] is not first


def test_agents_made_in_python_are_found_by_either_name(run: Run, shell: InteractiveShell) -> None:
    """The variable's name or the agent's own name will do."""
    shell.user_ns["teacher"] = Agent("bob", llm_provider=ScriptedProvider(["one", "two"]))
    run("%gathering @teacher hi")
    run("%gathering ask bob hi")
    assert len(shell.user_ns["teacher"].memory.get_conversation_history()) == 4
    listed = run("%gathering agents").result
    assert list(listed["variable"]) == ["ada", "teacher"]
    assert list(listed["agent"]) == ["ada", "bob"]


def test_what_was_done_is_seen_as_dataframes(run: Run, shell: InteractiveShell) -> None:
    """Memory, calls, messages and tools of an agent are the agent's own DataFrames."""
    run("%gathering @ada hi")
    assert list(run("%gathering memory ada").result["kind"]) == ["user", "assistant"]
    calls = run("%gathering calls ada").result
    assert list(calls["status"]) == ["ok"]
    assert list(run("%gathering messages @ada").result["role"]) == ["user", "assistant"]
    assert run("%gathering tool-calls ada").result.empty
    assert run("%gathering tools ada").result.empty
    assert "calculator" in list(run("%gathering tools").result["tool"])


def test_a_call_knows_its_cell(run: Run) -> None:
    """The trace has the number the cell is shown with."""
    run("1 + 1")
    asked = run("%gathering @ada hi")
    assert list(run("%gathering calls ada").result["cell"]) == [asked.execution_count]


def test_explain_shows_what_would_be_sent(run: Run, ada: ScriptedProvider) -> None:
    """Nothing is sent."""
    explanation = run("%gathering explain ada What is {{ 6 * 7 }}?").result
    assert explanation.messages[-1]["content"] == "What is 42?"
    assert not ada.requests


def test_use_sets_the_default_model(run: Run, parrot: str, shell: InteractiveShell) -> None:
    """An agent without a model gets the notebook's."""
    assert repr(run(f"%gathering use {parrot}").result) == "default model: parrot"
    run("%%gathering agent eve\nage: 30")
    assert shell.user_ns["eve"].model == "parrot"


def test_agents_converse_in_a_cell(run: Run, displayed: Shown) -> None:
    """Names with or without commas, options as in Python; the conversation is the cell's value and shown once."""
    run("import gathering\nfrom gathering.testing import ScriptedProvider")
    for name in ("eve", "bob"):
        run(
            f"{name} = gathering.Agent('{name}', "
            f"llm_provider=ScriptedProvider(['{name} one', '{name} two', '1 yes']))"
        )
    displayed.clear()
    cell = "%%gathering converse eve, bob --turns 4 --strategy mention --vote majority -o talk\nWell, bob?"
    talk = run(cell).result
    assert repr(talk).startswith("moderation: Well, bob?\nbob: bob one\neve: eve one")
    assert talk.agreements[0].winner == "bob two"
    assert run("talk.ended").result == "ended after 4 turns (max_turns)"
    assert displayed == []


def test_a_conversation_that_is_stopped_keeps_what_was_said(
    shell: InteractiveShell, run: Run, displayed: Shown
) -> None:
    """The speeches before a Stop are shown, marked as stopped."""
    run("import gathering\nfrom gathering.testing import ScriptedProvider")
    run("eve = gathering.Agent('eve', llm_provider=ScriptedProvider(['one', KeyboardInterrupt()]))")
    assert not shell.run_cell("%%gathering converse eve --turns 3\nGo.").success
    assert "eve: one" in displayed[-1]["data"]["text/plain"]
    assert "(stopped)" in displayed[-1]["data"]["text/plain"]


@pytest.mark.parametrize(
    "line", ["%gathering ask ada How are you?", "reply = %gathering ask ada Why, and what for??"]
)
def test_a_question_on_a_line_is_asked(run: Run, line: str) -> None:
    """IPython would take a question mark at a line's end for a request for help on the last word."""
    run("import gathering\nfrom gathering.testing import ScriptedProvider")
    run("ada = gathering.Agent('ada', llm_provider=ScriptedProvider(['Well.']))")
    run(line)
    asked = run("ada.llm_provider.requests[0].messages[-1]['content']").result
    assert asked == line.split("ada ", 1)[1]


def test_a_question_in_another_magic_s_cell_is_left_alone(run: Run, tmp_path: Path) -> None:
    """What is written to a file is written as it is."""
    target = tmp_path / "cell.txt"
    run(f"%%writefile {target}\n%gathering ask ada Why?\n")
    assert target.read_text() == "%gathering ask ada Why?\n"


def test_a_chain_of_models_can_be_used_asked_and_described(
    run: Run, parrot: str, shell: InteractiveShell
) -> None:
    """Quoted on the line, as it is in a description; without a key the next one answers, and the reply says so."""
    run(f'%gathering use "openai:m | {parrot}"')
    run("%%gathering agent eve\nhistory: none")
    assert str(run("%gathering @eve -o reply Hello").result) == "Hello"
    assert shell.user_ns["reply"].model == parrot
    run(f"%%gathering agent bob\nmodel: openai:m | {parrot}")
    assert str(run("%gathering @bob Hi").result) == "Hi"
    assert str(run(f'%gathering ask bob --model "openai:n | {parrot}" Hey').result) == "Hey"


def test_settings_are_shown_set_and_say_where_they_come_from(run: Run, shell: InteractiveShell) -> None:
    """``config`` is above ``%config``, and both are above a default."""
    run("%config Gathering.traceback = 'full'")
    assert config.source("traceback") == "traitlet"
    assert repr(run("%gathering config traceback short").result) == "traceback = 'short' (from magic)"
    assert "traceback: 'short' (from magic)" in repr(run("%gathering config").result)


def test_the_status_names_model_providers_tape_and_trace(run: Run, parrot: str) -> None:
    """Nothing at all asks for the status, in three forms, without a network."""
    note = run("%gathering").result
    text = repr(note)
    for word in (
        "default model: local (from default)",
        "provider parrot: registered",
        "tape: none",
        "trace: ",
    ):
        assert word in text
    assert set(note._repr_mimebundle_()) == {"text/plain", "text/markdown", "text/html"}


def test_models_are_a_dataframe(run: Run, parrot: str) -> None:
    """One row a model, with what is not known missing."""
    models = run("%gathering models").result.set_index("provider")
    assert list(models.columns) == ["model", "context", "price_in", "price_out", "available", "why_not"]
    assert models.loc[parrot, "context"] == 8192
    assert "local" in models.index


@pytest.mark.parametrize("cell", ["%gathering help ask", "%gathering ask -h", "%gathering @ada --help"])
def test_help_helps_everywhere(cell: str, run: Run) -> None:
    """Every way of asking for the help of a subcommand gives it."""
    text = repr(run(cell).result)
    assert "--max-tokens" in text
    assert "%%gathering ask NAME TEXT" in text


def test_overview_of_all_subcommands(run: Run, shell: InteractiveShell) -> None:
    """``help``, ``-h`` and ``%gathering?`` list every subcommand."""
    assert repr(run("%gathering help").result) == repr(run("%gathering -h").result)
    assert shell.find_line_magic("gathering").__doc__ == repr(run("%gathering help").result)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("%gathering ask eda hi", "UnknownNameError: unknown agent 'eda': did you mean 'ada'?"),
        ("%gathering aks ada hi", "UnknownNameError: unknown subcommand 'aks': did you mean 'ask'?"),
        ("%gathering @ada --tempreature 1 hi", "did you mean '--temperature'?"),
        ("%gathering @ada {{ missing }}", "UnknownNameError: unknown variable 'missing'"),
        ("%%gathering ask ada\n   \n", "ConfigurationError: there is nothing to ask"),
        ("%%gathering ask ada", "ConfigurationError: there is nothing to ask"),
        ("%gathering use nowhere:x", "UnknownNameError: unknown provider 'nowhere'"),
        ('%gathering use "local | nowhere:x"', "UnknownNameError: unknown provider 'nowhere'"),
        ("%gathering @ada --model nowhere:x hi", "UnknownNameError: unknown provider 'nowhere'"),
        ("%gathering config colour", "UnknownNameError: unknown setting 'colour'"),
        ("%gathering config local_threads many", "ConfigurationError: local_threads = 'many'"),
        ("%%gathering agent eve\n- a list", "is a list, not a mapping"),
        ("%%gathering agent eve\nage: 3\ntools: [", "is no YAML at line 3, column 9"),
        ("%%gathering agent eve\ntols: []", "unknown key 'tols': did you mean 'tools'?"),
        ("%%gathering agent eve\nage: -1", "ConfigurationError: agent 'eve'"),
        ("%%gathering agent print\nage: 3", "the name 'print' holds a builtin_function_or_method"),
        ("%%gathering agent class\nage: 3", "cannot be a variable"),
        ("%%gathering models\nwhat", "models takes no cell"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(cell: str, shown: str, failing: Failing) -> None:
    """A real exception, shown as one line without frames."""
    text = failing(cell)
    assert shown in text
    assert "\n" not in text


def test_a_variable_that_is_no_agent_is_not_replaced(failing: Failing, shell: InteractiveShell) -> None:
    """The user's own values are safe from ``%%gathering agent``."""
    shell.user_ns["eve"] = 5
    assert "the name 'eve' holds an int" in failing("%%gathering agent eve\nage: 3")
    assert shell.user_ns["eve"] == 5


def test_debug_brings_the_frames_back_for_one_cell(failing: Failing) -> None:
    """The full traceback is one option away, and one cell long."""
    assert "Traceback" in failing("%gathering ask eda --debug hi")
    assert "Traceback" not in failing("%gathering ask eda hi")


def test_full_tracebacks_can_be_a_setting(failing: Failing, run: Run) -> None:
    """``traceback full`` shows the frames until it is set back."""
    run("%gathering config traceback full")
    assert "Traceback" in failing("%gathering ask eda hi")


def test_a_provider_s_error_is_one_line_and_its_text_is_kept(
    failing: Failing, shell: InteractiveShell, displayed: Shown
) -> None:
    """What had arrived before the error is shown and remembered."""
    from gathering.core.errors import IncompleteStreamError

    error = IncompleteStreamError("the stream ended without its end mark: ask again")
    shell.user_ns["ada"] = Agent(
        "ada", llm_provider=ScriptedProvider([{"content": "Half an", "raises": error}])
    )
    assert failing("%gathering @ada hi") == f"IncompleteStreamError: {error}"
    assert (
        displayed[0]["data"]["text/plain"]
        == "Half an\n[broken off after 7 characters; the partial answer is kept]"
    )


def test_stop_is_raised_again_and_the_agent_goes_on(
    shell: InteractiveShell, run: Run, displayed: Shown
) -> None:
    """After KeyboardInterrupt the partial answer is shown and kept, and the next cell works."""
    provider = ScriptedProvider([{"content": "Half an", "raises": KeyboardInterrupt()}, "Whole."])
    shell.user_ns["ada"] = Agent("ada", llm_provider=provider)
    result = shell.run_cell("%gathering @ada hi", store_history=True)
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "[stopped after 7 characters; the partial answer is kept]" in displayed[0]["data"]["text/plain"]
    assert run("%gathering @ada go on").result.text == "Whole."
    assert list(run("%gathering calls ada").result["status"]) == ["interrupted", "ok"]


def test_compare_asks_models_and_agents_the_same(run: Run, shell: InteractiveShell, parrot: str) -> None:
    """Each part of the cell goes to each model and agent; the comparison is given back and stored."""
    result = run(f"%%gathering compare {parrot} @ada -o result\nn = {{{{ 40 + 2 }}}}\n---\nand again").result
    assert shell.user_ns["result"] is result
    rows = [(r["prompt"], r["model"], r["output"]) for r in result.rows]
    assert rows[0] == ("n = 42", parrot, "n = 42")
    assert {r[1] for r in rows} == {parrot, "ada"}
    assert len(rows) == 4


class StoppedBySomebody(ILLMProvider):
    """Lets the other one answer; then the cell is interrupted, as by the Stop button. Would never answer itself."""

    def complete(self, messages: Any, tools: Any = None, **params: Any) -> Any:
        raise NotImplementedError

    async def complete_async(self, messages: Any, tools: Any = None, **params: Any) -> Any:
        while not compare.last().done:  # noqa: ASYNC110 - a comparison has no event to wait for
            await asyncio.sleep(0)
        _thread.interrupt_main()
        await asyncio.Event().wait()


def test_a_stopped_comparison_is_kept_as_far_as_it_came(
    shell: InteractiveShell, displayed: Shown, parrot: str
) -> None:
    """Stop is raised again, and what had been answered is in the variable."""

    shell.user_ns["eve"] = Agent("eve", llm_provider=StoppedBySomebody("stopped", {}))
    result = shell.run_cell(f"%%gathering compare {parrot} @eve -o result\nhi", store_history=True)
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert "interrupted" in {row["status"] for row in shell.user_ns["result"].rows}
    assert len(displayed) == 1


def test_a_comparison_with_nobody_known_is_one_line(failing: Failing) -> None:
    """A model or agent that is not known is named before anything is sent."""
    assert "unknown provider 'nowhere'" in failing("%%gathering compare local nowhere:x\nhi")
    assert "unknown agent 'eda'" in failing("%%gathering compare @eda\nhi")
    assert "compare needs MODEL" in failing("%%gathering compare\nhi")


def test_a_tape_is_put_in_and_taken_out(
    run: Run, failing: Failing, shell: InteractiveShell, tmp_path: Path, parrot: str
) -> None:
    """What was recorded is replayed; under a test runner a missing recording is an error with the prompt in it."""
    path = str(tmp_path / "a tape.jsonl")
    run(f"%%gathering agent eve\nmodel: {parrot}")
    run(f"%gathering tape '{path}' --mode record")
    run("%gathering @eve hello")
    assert "a tape.jsonl" in repr(run("%gathering").result)
    run(f"%%gathering agent eve\nmodel: {parrot}")
    run(f"%gathering tape '{path}'")
    run("%gathering @eve -o reply hello")
    assert list(run("%gathering calls eve").result["source"]) == ["tape"]
    assert "'something else'" in failing("%gathering @eve something else")
    run("%gathering tape off")
    assert repr(run("%gathering tape").result) == "tape: none"
