"""Rules that allow, ask or deny: how they are written, which one counts, and how long a person's answer holds."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core import session
from gathering.core.errors import ConfigurationError
from gathering.core.messages import ToolCall
from gathering.core.permissions import Decision, PermissionRequest
from gathering.core.results import Reach, Touched
from gathering.tools.permissions import Policy, Rule


def request(tool: str = "files", permission: str = "read", **targets: str) -> PermissionRequest:
    return PermissionRequest("ada", ToolCall("c1", tool, dict(targets)), permission, targets)


def effect(rules: list[Any], asked: PermissionRequest) -> str:
    return Policy(rules).decide(asked).effect


def test_without_rules_a_tool_does_what_it_was_made_to_do() -> None:
    """No rule: allowed. Rules, and none fits: a person is asked."""
    assert effect([], request()) == "allow"
    assert effect(["allow calculator"], request()) == "ask"


def test_a_rule_that_denies_counts_before_any_other() -> None:
    """Wherever it stands, and whatever a person has answered."""
    policy = Policy(["allow files", "deny files delete"])
    assert policy.decide(request(permission="delete")).effect == "deny"
    policy.remember(request(permission="delete"), Decision("allow", "person", scope="always"))
    assert policy.decide(request(permission="delete")).effect == "deny"
    assert "deny files delete" in policy.decide(request(permission="delete")).reason


def test_the_first_rule_that_fits_counts() -> None:
    """Among rules that do not deny, order decides."""
    rules = ["allow files write path=notes/*", "ask files write", "allow files"]
    assert effect(rules, request(permission="write", path="notes/a.txt")) == "allow"
    assert effect(rules, request(permission="write", path="other/a.txt")) == "ask"
    assert effect(rules, request(permission="read", path="other/a.txt")) == "allow"


@pytest.mark.parametrize(
    ("glob", "value", "fits"),
    [
        ("notes/*", "notes/a.txt", True),
        ("notes/*", "notes/deep/a.txt", False),
        ("notes/**", "notes/deep/a.txt", True),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "deep/er/a.txt", True),
        ("*.example.org", "api.example.org", True),
        ("*.example.org", "example.org.evil.com", False),
        ("sal?s", "sales", True),
        ("[*]", "*", True),
        ("[*]", "anything", False),
        ("a.b", "axb", False),
        ("line*", "line\nbreak", True),
    ],
)
def test_patterns_match_whole_values(glob: str, value: str, fits: bool) -> None:
    """``*`` stays within a folder, ``**`` does not; a pattern must match all of the value."""
    assert Rule.read({"effect": "allow", "tool": "*", "where": {"t": glob}}).fits(request(t=value)) is fits


@pytest.mark.parametrize(
    "rule", ["deny files t=secret/**", "deny files t=SECRET/*", "deny files t=./Secret/a.txt"]
)
def test_what_restrains_fits_in_any_case_and_spelling(rule: str) -> None:
    """A rule that denies is no weaker for a capital, a ``./`` or a letter that is composed otherwise."""
    assert effect([rule, "allow files"], request(t="secret/a.txt")) == "deny"
    assert effect(["deny files t=caf\u00e9", "allow files"], request(t="cafe\u0301")) == "deny"


def test_what_allows_fits_letter_by_letter() -> None:
    """A capital is another file where a file system says so: a person is asked."""
    assert effect(["allow files t=Notes/*"], request(t="notes/a.txt")) == "ask"


def test_of_several_things_what_allows_fits_all_and_what_denies_any() -> None:
    """A call that touches two things is allowed by rules for both and denied by a rule about one."""
    both = Touched("a,b", [["a", "main.a"], ["b", "main.b"]])
    assert effect(["allow files t=a"], request(t=both)) == "ask"
    assert effect(["allow files t=*"], request(t=both)) == "allow"
    assert effect(["allow files t=main.*"], request(t=both)) == "allow"
    assert effect(["deny files t=b", "allow files"], request(t=both)) == "deny"
    assert effect(["ask files t=main.b", "allow files"], request(t=both)) == "ask"
    assert effect(["allow files t=a*"], request(t=Touched("a,b", [["a"], ["b"]]))) == "ask"


@pytest.mark.parametrize(
    ("rule", "reach", "decided"),
    [
        ("deny files t=secret/**", "**/*", "deny"),
        ("deny files t=secret/a.txt", "**/*", "deny"),
        ("deny files t=secret/a.txt", "**/*.txt", "deny"),
        ("deny files t=secret/a.txt", "**/*.csv", "allow"),
        ("deny files t=**/*.key", "notes/**/*", "deny"),
        ("deny files t=Secret/*", "secret/**/*", "deny"),
        ("deny files t=secret/**", "notes/**/*", "allow"),
        ("deny files t=[*].txt", "**/*.txt", "deny"),
        ("deny files t=?b.txt", "**/ab.txt", "deny"),
        ("deny files t=secret/b.txt", "secret/**/a.txt", "allow"),
    ],
)
def test_a_rule_about_a_part_of_what_is_searched_counts(rule: str, reach: str, decided: str) -> None:
    """A search that may come by what is forbidden is forbidden."""
    assert effect([rule, "allow files"], request(t=Touched("x", [[Reach(reach)]]))) == decided


@pytest.mark.parametrize(
    ("rule", "reach", "decided"),
    [
        ("allow files t=*", "**/*", "ask"),
        ("allow files t=**", "**/*", "allow"),
        ("allow files t=notes/*", "notes/**/*", "ask"),
        ("allow files t=notes/*/*", "notes/**/*", "ask"),
        ("allow files t=notes/**", "notes/**/*", "allow"),
        ("allow files t=notes/**/*.md", "notes/**/*.md", "allow"),
        ("allow files t=notes/**/*.md", "notes/**/*", "ask"),
        ("allow files t=notes/**", "**/*", "ask"),
    ],
)
def test_a_search_is_allowed_where_all_of_it_is(rule: str, reach: str, decided: str) -> None:
    """A rule for a folder's own files does not open what is below them."""
    assert effect([rule], request(t=Touched("x", [[Reach(reach)]]))) == decided


def test_what_is_touched_can_be_copied() -> None:
    """A panel or a program may hand the question on."""
    touched = Touched("a,b", [["a", "main.a"], [Reach("b/**")]])
    for twin in (copy.deepcopy(touched), pickle.loads(pickle.dumps(touched))):
        assert (twin, twin.things) == (touched, touched.things)
        assert type(twin.things[1][0]) is Reach


def test_an_answer_about_several_things_is_about_exactly_those() -> None:
    """Allowed for the session together, each alone is asked about again."""
    policy = Policy(["ask files"])
    both = request(t=Touched("a,b", [["a"], ["b"]]))
    policy.remember(both, Decision("allow", "person", scope="session"))
    assert policy.decide(both).effect == "allow"
    assert policy.decide(request(t="a")).effect == "ask"
    assert policy.decide(request(t=Touched("a,b,c", [["a"], ["b"], ["c"]]))).effect == "ask"


def test_a_target_that_is_not_there_fits_no_pattern() -> None:
    """A rule about a path says nothing about a call without one, not even ``*``."""
    assert not Rule.read("allow files path=*").fits(request(host="example.org"))


@pytest.mark.parametrize(
    "source",
    ["", "allow", "permit files", "allow files reading", "allow files read write", 3, None, {"effect": "maybe"},
     {"effect": "allow", "tols": "x"}, {"effect": "allow", "where": "path"}],
)  # fmt: skip
def test_what_is_no_rule_is_refused_in_one_line(source: Any) -> None:
    """The error shows what was written and the form of a rule."""
    with pytest.raises(ConfigurationError, match=r"allow\|ask\|deny|its keys are") as caught:
        Rule.read(source)
    assert "\n" not in str(caught.value)


def test_one_rule_alone_needs_no_list() -> None:
    """A string is one rule, not a list of letters."""
    assert [str(r) for r in Policy("ask * write").rules] == ["ask * write"]


def test_an_answer_for_the_session_is_about_exactly_that_act() -> None:
    """The same tool, kind of act and targets are allowed again; anything else is asked about."""
    policy = Policy(["ask files"])
    asked = request(permission="write", path="a*.txt")
    policy.remember(asked, Decision("allow", "person", scope="session"))
    assert policy.decide(asked).effect == "allow"
    assert policy.decide(request(permission="write", path="abc.txt")).effect == "ask"
    assert policy.decide(request(permission="delete", path="a*.txt")).effect == "ask"


def test_an_answer_for_once_is_not_kept() -> None:
    """The next call is asked about again."""
    policy = Policy(["ask files"])
    policy.remember(request(), Decision("allow", "person", scope="once"))
    assert policy.decide(request()).effect == "ask"


def test_an_answer_for_a_cell_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the next cell the question comes again."""
    cell = 1
    session.set_cell_source(lambda: cell)
    try:
        policy = Policy(["ask files"])
        policy.remember(request(), Decision("allow", "person", scope="cell"))
        assert policy.decide(request()).effect == "allow"
        cell = 2
        assert policy.decide(request()).effect == "ask"
    finally:
        session.set_cell_source(None)


def test_an_answer_for_always_is_a_rule_from_then_on() -> None:
    """It is listed among the rules, and a copy of the policy has it; answers for a session are not copied."""
    policy = Policy(["ask files"])
    policy.remember(request(path="a"), Decision("allow", "person", scope="always"))
    policy.remember(request(path="b"), Decision("deny", "person", scope="session"))
    twin = policy.copy()
    assert twin.decide(request(path="a")).effect == "allow"
    assert twin.decide(request(path="b")).effect == "ask"
    assert list(policy.df()["scope"]) == ["rule", "rule", "session"]


@pytest.mark.parametrize("scope", ["session", "always"])
@pytest.mark.parametrize(
    ("answered", "later"), [({}, {"path": "a"}), ({"path": "a"}, {"path": "a", "force": "True"})]
)
def test_an_answer_is_about_a_call_that_touches_nothing_more(
    scope: Any, answered: dict[str, str], later: dict[str, str]
) -> None:
    """Who allowed a call without arguments, or with fewer, has not allowed one with others; nor has the saved rule."""
    policy = Policy(["ask *"])
    policy.remember(request(**answered), Decision("allow", "person", scope=scope))
    for kept in (policy, Policy([*map(str, policy.rules), *(str(rule) for rule, _ in policy.answers)])):
        assert kept.decide(request(**later)).effect == "ask"
    assert policy.decide(request(**answered)).effect == "allow"


@pytest.mark.parametrize(("rule", "path"), [("./a", "./a"), ("./a", "a"), ("a", "./a"), ("./A", "a")])
def test_a_path_of_this_folder_is_forbidden_however_it_begins(rule: str, path: str) -> None:
    """With ``./`` and without it is the same file."""
    assert effect([f"deny files path={rule}", "allow *"], request(path=path)) == "deny"


def test_an_answer_counts_again_for_a_path_that_begins_with_a_dot() -> None:
    """The same call is not asked about twice."""
    policy = Policy(["ask *"])
    policy.remember(request(path="./a"), Decision("allow", "person", scope="session"))
    assert policy.decide(request(path="./a")).effect == "allow"


_words = st.text(
    st.characters(codec="utf-8", exclude_characters='"', exclude_categories=["Z", "C"]), min_size=1
)


@given(
    st.sampled_from(["allow", "ask", "deny"]),
    _words.filter(lambda w: "=" not in w),
    st.none() | st.sampled_from(["read", "write", "execute", "delete"]),
    st.dictionaries(_words.filter(lambda w: "=" not in w), _words, max_size=3),
    st.booleans(),
)
def test_a_rule_reads_its_own_text(
    effect: str, tool: str, permission: str | None, where: dict[str, str], only: bool
) -> None:
    """Text and mapping say the same: what is written by one is read as the other."""
    rule = Rule.read({"effect": effect, "tool": tool, "permission": permission, "where": where, "only": only})
    assert Rule.read(str(rule)) == rule


@given(st.text(min_size=1), st.text())
def test_an_answer_never_fits_another_value(value: str, other: str) -> None:
    """Whatever wild cards a value holds, the kept answer is about that value alone."""
    policy = Policy(["ask files"])
    policy.remember(request(path=value), Decision("allow", "person", scope="session"))
    assert (policy.decide(request(path=other)).effect == "allow") is (other == value)
