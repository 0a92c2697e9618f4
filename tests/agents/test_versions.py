"""Agents kept by name: saved, numbered, loaded by another process with what was said, and without any key."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gathering
from gathering import Agent
from gathering.agents import Competency, LongTermMemory, PersonalityBlock, SummaryMemory, WindowMemory
from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.interfaces import ITool
from gathering.core.permissions import Decision, PermissionRequest
from gathering.core.registry import TOOLS
from gathering.storage import SQLiteStore, Trace
from gathering.testing import ScriptedProvider
from gathering.tools.calculator import CalculatorTool
from gathering.tools.permissions import Policy, Rule

KEY = "sk-proj-Ab3dEfGh1jKlMnOpQrStUv"


@pytest.fixture
def store() -> Iterator[SQLiteStore]:
    with SQLiteStore(":memory:") as made:
        yield made


def made(store: SQLiteStore, **parts: Any) -> Agent:
    return Agent("ada", **{"llm_provider": "local", "store": store, **parts})


def scripted(*answers: str) -> ScriptedProvider:
    return ScriptedProvider(list(answers))


def test_all_that_data_can_say_comes_back(store: SQLiteStore) -> None:
    """Every part, as it was; the description is what from_config takes."""
    ada = made(
        store,
        age=36,
        history="a mathematician",
        system_prompt="Be brief.",
        personality_blocks=[PersonalityBlock("curious", 0.8), PersonalityBlock("pirate", prompt="Say arr.")],
        competencies=[Competency("maths", 0.9, ["sums"], evidence=["20 years of teaching"])],
        tools=["calculator", {"name": "files", "type": "filesystem", "base_path": "."}],
        permissions=["ask * write", "deny files delete"],
        memory=LongTermMemory(SummaryMemory(WindowMemory(900), words=50), shared="class", limit=3),
        params={"temperature": 0},
        max_rounds=3,
    )
    ada.competencies[0].record(True)  # type: ignore[attr-defined]
    assert ada.save() == 1
    again = gathering.load("ada", store=store)
    assert again.explain("Hi").messages == ada.explain("Hi").messages
    assert list(again.tools) == ["calculator", "files"]
    assert repr(again.memory) == repr(ada.memory)
    assert [str(r) for r in again.permissions.rules] == ["ask * write", "deny files delete"]  # type: ignore[union-attr]
    assert (again.params, again.max_rounds, again.age, again.version) == ({"temperature": 0}, 3, 36, 1)
    outcomes = again.competencies[0].outcomes  # type: ignore[attr-defined]
    assert (outcomes.done, outcomes.tried) == (1, 1)
    assert again.competencies[0].evidence == ("20 years of teaching",)  # type: ignore[attr-defined]
    assert again.save() == 1


def test_a_change_is_a_new_version_and_old_ones_stay(store: SQLiteStore) -> None:
    """Saving the same again is the same version; going back to an old state is that one's number."""
    ada = made(store, history="a teacher")
    assert (ada.save(), ada.save()) == (1, 1)
    ada.history = "a baker"
    assert ada.save() == 2
    assert gathering.load("ada", store=store).history == "a baker"
    assert gathering.load("ada", 1, store=store).history == "a teacher"
    ada.history = "a teacher"
    assert ada.save() == 1
    assert gathering.load("ada", store=store).history == "a teacher"
    frame = Trace(store).agents()
    assert frame[["agent", "version", "model"]].values.tolist() == [
        ["ada", 1, "local:smollm2"],
        ["ada", 2, "local:smollm2"],
    ]


def test_turns_say_with_which_version_they_were_taken(store: SQLiteStore) -> None:
    """None before the first saving, and none while the agent is not as it was saved."""
    ada = made(store, llm_provider=scripted("a", "b", "c", "d"))
    ada.ask("1")
    ada.save()
    ada.ask("2")
    ada.history = "a baker"
    ada.ask("3")
    ada.save()
    ada.ask("4")
    versions = [row["agent_version"] for row in store.rows("calls")]
    assert versions == [None, 1, None, 2]


def test_what_was_said_is_remembered(store: SQLiteStore) -> None:
    """The conversation goes on where it was, with its turns; or begins anew."""
    ada = made(store, llm_provider=scripted("Hello Bob.", "Bob."))
    ada.ask("I am Bob.")
    ada.save()
    again = gathering.load("ada", store=store, llm_provider=scripted("You are Bob."))
    again.ask("Who am I?")
    sent = again.llm_provider.requests[0].messages  # type: ignore[attr-defined]
    assert [m["content"] for m in sent] == ["I am Bob.", "Hello Bob.", "Who am I?"]
    assert len(again.turns) == 2
    assert again.conversation == ada.conversation
    assert (
        gathering.load("ada", store=store, llm_provider=scripted(), conversation=False).turns.__len__() == 0
    )


def test_what_only_code_can_make_is_handed_in(store: SQLiteStore) -> None:
    """The error names it; with it the agent is whole. A saved tool may be replaced too."""

    @gathering.tool
    def weather(city: str) -> str:
        """The weather."""
        return city

    made(store, tools=["calculator", weather], llm_provider="local").save()
    with pytest.raises(
        ConfigurationError, match=r"with tools that only code can make \(weather\): hand them in"
    ):
        gathering.load("ada", store=store)
    again = gathering.load("ada", store=store, tools=[weather])
    assert sorted(again.tools) == ["calculator", "weather"]


def test_no_key_is_written(tmp_path: Path) -> None:
    """Neither that of the provider nor one in an option; a tool with a password is to be handed in."""
    path = tmp_path / "t.sqlite"
    with SQLiteStore(path) as store:
        provider = gathering.provider("openai:gpt-5-mini", api_key=KEY, headers={"x-key": KEY}, timeout=7)
        postgres = {
            "name": "shop",
            "type": "database",
            "connection_string": "postgresql://me:hunter22@localhost/shop",
        }
        made(store, llm_provider=provider, system_prompt=f"The key is {KEY}.").save()
        again = gathering.load("ada", store=store)
        assert (again.model, again.llm_provider.timeout) == ("openai:gpt-5-mini", 7)  # type: ignore[attr-defined]
        assert again.system_prompt == "The key is ***."
        made(store, tools=[postgres]).save()
        with pytest.raises(ConfigurationError, match="shop"):
            gathering.load("ada", store=store)
    assert KEY.encode() not in path.read_bytes()
    assert b"hunter22" not in path.read_bytes()


@pytest.mark.parametrize(
    ("name", "version", "words"), [("adda", None, "did you mean 'ada'"), ("ada", 7, "version of 'ada'")]
)
def test_a_name_or_version_that_is_not_there(
    store: SQLiteStore, name: str, version: int | None, words: str
) -> None:
    """The nearest one is named."""
    made(store).save()
    with pytest.raises(UnknownNameError, match=words):
        gathering.load(name, version, store=store)


class Careful(Policy):
    """A policy that denies what its rules allow."""

    def decide(self, request: PermissionRequest) -> Decision:
        return Decision("deny", "rule", "never")


class Slow(WindowMemory):
    """A window of one's own class."""


class Pair(CalculatorTool):
    """One source that stands for two tools, as a server of tools does."""

    def expand(self) -> list[ITool]:
        return [CalculatorTool("one"), CalculatorTool("two")]


@pytest.mark.parametrize("policy", [Careful(["allow *"]), Policy([Rule("allow", "calculator", cell=3)])])
def test_a_policy_never_comes_back_wider(store: SQLiteStore, policy: Policy) -> None:
    """Rules alone would allow what the policy did not, or for longer: it is to be handed in."""
    made(store, permissions=policy).save()
    with pytest.raises(ConfigurationError, match="permissions that only code can make"):
        gathering.load("ada", store=store)
    assert gathering.load("ada", store=store, permissions=policy).permissions is policy


def test_a_rule_comes_back_to_the_letter(store: SQLiteStore) -> None:
    """Also one whose pattern has blanks and quotes in it."""
    rule = Rule("allow", "my tool", "write", (("path", 'a "b" c=*'),), only=True)
    made(store, permissions=[rule]).save()
    assert gathering.load("ada", store=store).permissions.rules == [rule]  # type: ignore[union-attr]


def test_a_memory_comes_back_as_it_was(store: SQLiteStore) -> None:
    """The model of its summaries too; a class of one's own is handed in, wherever it is inside."""
    made(store, memory=SummaryMemory(WindowMemory(500), model="local", words=9, every=2)).save()
    memory = gathering.load("ada", store=store).memory
    assert isinstance(memory, SummaryMemory)
    assert isinstance(memory.model, str)
    assert (memory.model, memory.words, memory.every, memory.window.max_tokens) == ("local", 9, 2, 500)
    made(store, memory=LongTermMemory(Slow())).save()
    with pytest.raises(ConfigurationError, match=r"memory that only code can make \(LongTermMemory\)"):
        gathering.load("ada", store=store)


def test_one_source_of_several_tools(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written down once, or its tools would come twice."""
    monkeypatch.setitem(TOOLS, "pair", Pair)
    made(store, tools=["pair"]).save()
    assert sorted(gathering.load("ada", store=store).tools) == ["one", "two"]


def test_a_password_in_an_address_is_not_written(tmp_path: Path) -> None:
    """The provider is to be handed in."""
    path = tmp_path / "t.sqlite"
    with SQLiteStore(path) as store:
        provider = gathering.provider("openai-compatible:m", base_url="https://me:hunter22@host.example/v1")
        made(store, llm_provider=provider).save()
        with pytest.raises(ConfigurationError, match="llm_provider"):
            gathering.load("ada", store=store)
    assert b"hunter22" not in path.read_bytes()


def test_two_kernels_that_save_at_once_keep_both(tmp_path: Path) -> None:
    """Each state has a number of its own, whoever was first."""
    path = tmp_path / "t.sqlite"
    program = (
        "import sys\nfrom gathering import Agent\nfrom gathering.storage import SQLiteStore\n"
        f"store = SQLiteStore({str(path)!r})\n"
        "for n in range(5):\n"
        "    Agent('ada', llm_provider='local', history=f'{sys.argv[1]} {n}', store=store).save()\n"
        "store.close()\n"
    )
    with SQLiteStore(path) as store:
        store.ready()
    both = [subprocess.Popen([sys.executable, "-c", program, who]) for who in ("one", "other")]
    assert [p.wait(100) for p in both] == [0, 0]
    with SQLiteStore(path) as store:
        rows = list(store.rows("agents"))
        assert sorted(row["version"] for row in rows) == list(range(1, 11))
        assert gathering.load("ada", store=store).history.endswith(" 4")


def test_a_fork_has_the_version_of_its_agent(store: SQLiteStore) -> None:
    """As long as it is like it."""
    ada = made(store, llm_provider=scripted("a", "b"))
    ada.save()
    ada.fork().ask("Hi")
    assert [row["agent_version"] for row in store.rows("calls")] == [1]


def test_a_provider_of_ones_own_is_handed_in(store: SQLiteStore) -> None:
    """A class that no name stands for is named."""
    made(store, llm_provider=scripted("a")).save()
    with pytest.raises(
        ConfigurationError, match=r"llm_provider that only code can make \(ScriptedProvider\)"
    ):
        gathering.load("ada", store=store)
    assert gathering.load("ada", store=store, llm_provider=scripted("b")).ask("Hi").text == "b"
