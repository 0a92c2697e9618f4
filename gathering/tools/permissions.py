"""Permissions as data: rules that allow, ask or deny by tool, kind of act and arguments, and the ledger of decisions.

Owns what the rules say and how long a person's answer holds. Who is asked is ``gathering.core.permissions``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from gathering.core import display
from gathering.core.errors import ConfigurationError
from gathering.core.permissions import Decision, Effect, IPolicy, PermissionRequest, Scope
from gathering.core.results import ToolPermission
from gathering.core.session import current_cell
from gathering.tools.patterns import fits, literal

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Policy", "Rule", "answers_in"]

_ONLY = "only"
_KINDS = tuple(p.value for p in ToolPermission)
_FORM = 'write "allow|ask|deny TOOL [read|write|execute|delete] [target=pattern ...] [only]"'


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``tool`` and the patterns of ``where`` are globs; ``permission`` None is any kind of act.

    With ``only`` it is about calls that touch what ``where`` names and nothing else.

    >>> Rule.read("ask filesystem write path=notes/*")
    Rule('ask filesystem write path=notes/*')
    """

    effect: Effect
    tool: str = "*"
    permission: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    only: bool = False
    cell: int | None = field(default=None, compare=False)  # an answer for one cell ends with it

    @classmethod
    def read(cls, source: Any) -> Rule:
        """The rule in a line of text or a mapping. Raises ``ConfigurationError`` that says the form."""
        if isinstance(source, Rule):
            return source
        if isinstance(source, Mapping):
            return cls._of_mapping(source)
        words = re.findall(r'(?:[^\s"]|"[^"]*")+', source) if isinstance(source, str) else []
        if len(words) < 2 or words[0].lower() not in get_args(Effect):
            raise ConfigurationError(f"the permission {source!r:.80} is no rule: {_FORM}")
        kinds = [w.lower() for w in words[2:] if "=" not in w]
        where = [tuple(w.replace('"', "").split("=", 1)) for w in words[2:] if "=" in w]
        only = kinds[-1:] == [_ONLY]
        rule = cls._checked(source, words[0].lower(), words[1], kinds[:-1] if only else kinds, dict(where))
        return replace(rule, only=only)

    @classmethod
    def _of_mapping(cls, source: Mapping[str, Any]) -> Rule:
        known = {"effect", "tool", "permission", "where", _ONLY}
        unknown = sorted(set(map(str, source)) - known)
        if unknown or not isinstance(source.get("where") or {}, Mapping):
            raise ConfigurationError(
                f"the permission {dict(source)!r:.80} is no rule: its keys are {', '.join(sorted(known))}"
            )
        kind = source.get("permission")
        rule = cls._checked(
            dict(source),
            str(source.get("effect", "")).lower(),
            str(source.get("tool", "*")),
            [] if kind is None else [str(kind).lower()],
            {str(k): str(v) for k, v in (source.get("where") or {}).items()},
        )
        return replace(rule, only=bool(source.get(_ONLY)))

    @classmethod
    def _checked(
        cls, source: Any, effect: str, tool: str, kinds: list[str], where: Mapping[str, str]
    ) -> Rule:
        if effect not in get_args(Effect) or len(kinds) > 1 or (kinds and kinds[0] not in _KINDS):
            raise ConfigurationError(f"the permission {source!r:.80} is no rule: {_FORM}")
        return cls(effect, tool, kinds[0] if kinds else None, tuple(sorted(where.items())))  # type: ignore[arg-type]

    def fits(self, request: PermissionRequest) -> bool:
        """Whether the rule is about this call: each target it names must be there and match."""
        if not fnmatchcase(request.tool, self.tool) or self.permission not in (None, request.permission):
            return False
        if self.cell is not None and self.cell != current_cell():
            return False
        if self.only and set(request.targets) != {name for name, _ in self.where}:
            return False
        widens = self.effect == "allow"
        return all(
            name in request.targets and fits(glob, request.targets[name], widens=widens)
            for name, glob in self.where
        )

    def __str__(self) -> str:
        """The rule as a line of text."""
        kind = [self.permission] if self.permission else []
        return " ".join([self.effect, self.tool, *kind, *self._wheres(), *([_ONLY] if self.only else [])])

    def _wheres(self) -> list[str]:
        return [f'{k}="{v}"' if " " in v else f"{k}={v}" for k, v in self.where]

    def __repr__(self) -> str:
        """The rule as a line of text."""
        return f"Rule({str(self)!r})"


class Policy(IPolicy):
    """Rules in order, and a person's answers.

    A rule that denies counts before everything else. Then the answers a person has given, then the first rule that
    fits. Where none fits, a policy with rules asks; one without lets a tool do what it was made to do.
    """

    def __init__(self, rules: Iterable[Any] = ()) -> None:
        self.rules = [Rule.read(rule) for rule in ([rules] if isinstance(rules, str | Mapping) else rules)]
        self.answers: list[tuple[Rule, Scope]] = []

    def decide(self, request: PermissionRequest) -> Decision:
        """What the rules and the answers so far say."""
        denied = next((r for r in self.rules if r.effect == "deny" and r.fits(request)), None)
        if denied is not None:
            return Decision("deny", "rule", f"the rule {str(denied)!r} forbids it")
        answer = next((r for r, _ in reversed(self.answers) if r.fits(request)), None)
        if answer is not None:
            return Decision(
                answer.effect, "person", "" if answer.effect == "allow" else "a person has denied it"
            )
        rule = next((r for r in self.rules if r.fits(request)), None)
        if rule is not None:
            return Decision(rule.effect, "rule", f"the rule {str(rule)!r}" if rule.effect == "ask" else "")
        return Decision("ask", "rule", "no rule is about it") if self.rules else Decision("allow")

    def remember(self, request: PermissionRequest, decision: Decision) -> None:
        """Keep an answer for its scope: for this tool, this kind of act and exactly these targets."""
        if decision.scope == "once" or decision.effect == "ask":
            return
        where = tuple(sorted((name, literal(value)) for name, value in request.targets.items()))
        cell = current_cell() if decision.scope == "cell" else None
        rule = Rule(decision.effect, literal(request.tool), request.permission, where, only=True, cell=cell)
        self.answers.append((rule, decision.scope))
        if decision.scope == "always":
            self.rules.insert(0, replace(rule, cell=None))

    def copy(self) -> Policy:
        """A policy with the same rules and no answers of this session."""
        return Policy(self.rules)

    def df(self) -> pd.DataFrame:
        """One row for each rule and answer: ``effect, tool, permission, where, scope``."""
        import pandas as pd

        rows = [
            (r.effect, r.tool, r.permission, " ".join(f"{k}={v}" for k, v in r.where), scope)
            for r, scope in self._all()
        ]
        return pd.DataFrame(rows, columns=["effect", "tool", "permission", "where", "scope"])

    def _all(self) -> list[tuple[Rule, str]]:
        return [*((r, "rule") for r in self.rules), *((r, s) for r, s in self.answers if s != "always")]

    def __repr__(self) -> str:
        """The rules, as lines of text."""
        return f"Policy({[str(r) for r in self.rules]!r})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return display.card("Permissions", [(scope, str(rule)) for rule, scope in self._all()])


def answers_in(path: str) -> Policy:
    """The rules in a file, one a line (``#`` begins a comment); where none fits they say ``ask``.

    Raises ``ConfigurationError`` for a file that cannot be read and for a line that is no rule.
    """
    try:
        text = Path(path).expanduser().read_text("utf-8-sig")
    except (OSError, ValueError) as err:
        raise ConfigurationError(
            f"the file of answers {path!r} cannot be read ({err}): correct the setting answers"
        ) from err
    lines = [line.strip() for line in text.splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    return Policy([*rules, "ask *"])
