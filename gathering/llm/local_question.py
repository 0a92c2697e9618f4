"""What a question to the embedded model holds: its numbers, what is done to them, and its words.

The embedded model is small enough to copy and choose, not to calculate or to read a schema. So what it may write
in a tool call is taken from the question here, by rules, and left to it by a grammar (``gathering.llm.grammar``).
Pure functions of text; English.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["Arithmetic", "arithmetic", "calls_for", "numbers", "spans", "words"]

# "one" is left out: "which one?" is no number.
_NUMBER_WORDS: Mapping[str, str] = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15",
    "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20", "thirty": "30",
    "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000",
}  # fmt: skip
_NUMBER = r"\d+(?:\.\d+)?"
_PERCENT = rf"({_NUMBER})\s*(?:%|percent\b|per cent\b)"
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be but by can could do does for from give had has have how i if in into is it its let me "
        "my of on or please show so tell than that the their them then there these they this to us was we were what "
        "when where which who whom whose why will with would you your s",
    )
)
#: Operators by the words that ask for them.
_OPERATORS: Mapping[str, tuple[str, ...]] = {
    "+": ("plus", "add", "added", "sum", "total", "altogether", "together", "increase", "increased", "combined"),
    "-": ("minus", "subtract", "subtracted", "less", "difference", "left", "remain", "remains", "remaining", "fewer",
          "take", "decrease", "decreased", "reduce", "reduced", "eats", "gives", "spends", "loses", "change"),
    "*": ("times", "multiply", "multiplied", "product", "each", "every", "per", "x", "rows"),
    "/": ("divide", "divided", "split", "share", "shared", "among", "quotient", "half", "ratio", "over"),
}  # fmt: skip
_ASKS = re.compile(
    r"\b(?:calculate|compute|work out|how (?:many|much)|evaluate|solve|result)\b", re.IGNORECASE
)
_BACKWARDS = re.compile(
    r"\b(?:subtract|take)\b[^.?!]*\bfrom\b|\bless than\b|\binto\b|\d \w+ (?:share|split)\b", re.IGNORECASE
)
_MOST_OPERANDS = 6
#: Signs of multiplication, division and minus, the two dashes, a fixed blank and a raised two, as typed on a keyboard.
_SPELLINGS = str.maketrans(
    {"\u00d7": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u00b2": "^2"}
)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A calculation a question asks for: operands in their order, and between them the operators it may mean.

    ``closed`` says for each gap whether all that stands before it is to be taken together first.
    """

    operands: tuple[str, ...]
    operators: tuple[tuple[str, ...], ...] = ()
    closed: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    text: str


def numbers(question: str) -> tuple[str, ...]:
    """The numbers of the question, as digits, in order."""
    return tuple(re.findall(rf"(?<![\w.])-?{_NUMBER}|(?<=[(*+/^]){_NUMBER}", _digits(question)))


def words(question: str) -> tuple[str, ...]:
    """The words that carry meaning, each once, in order; all words if none does."""
    everything = _tokens(question)
    telling = [w for w in everything if w.lower() not in _STOP_WORDS]
    return tuple(dict.fromkeys(telling or everything))


def spans(question: str, longest: int = 6) -> tuple[str, ...]:
    """Quoted parts of the question, then its runs of up to ``longest`` words that start and end with a telling one."""
    quoted = [
        q
        for pair in re.findall(r"\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)|`([^`]+)`", question)
        for q in pair
        if q
    ]
    tokens = _tokens(question)
    ends = [i for i, token in enumerate(tokens) if token.lower() not in _STOP_WORDS] or range(len(tokens))
    runs = [" ".join(tokens[i : j + 1]) for i in ends for j in ends if i <= j < i + longest]
    return tuple(dict.fromkeys([" ".join(q.split()) for q in quoted] + runs))


def calls_for(question: str, spec: Mapping[str, Any]) -> bool:
    """Whether the question shares a telling word with what the tool says of itself.

    >>> calls_for("What does ephemeral mean?", {"name": "lookup", "description": "The meaning of a word"})
    True
    """
    return bool(_stems(words(question)) & _stems(_vocabulary(spec)))


def arithmetic(question: str, *, percent: bool = True, roots: bool = True) -> Arithmetic | None:
    """The calculation the question asks for, None if it asks for none.

    ``percent`` and ``roots`` say whether ``15% of 80`` and ``sqrt(9)`` may be written so; else it is spelled out.

    >>> arithmetic("What is 15% of 2500?").operands
    ('15% of 2500',)
    """
    text = _digits(question)
    pieces = _pieces(text, percent, roots)[:_MOST_OPERANDS]
    if not pieces or (len(pieces) == 1 and _is_number(pieces[0].text)):
        return None
    if len(pieces) == 1:
        return Arithmetic((pieces[0].text,))
    if not _asks(text):
        return None
    return _chain(text, pieces)


def _chain(text: str, pieces: list[_Piece]) -> Arithmetic:
    anywhere = _asked_operators(text)
    gaps = [text[left.end : right.start] for left, right in pairwise(pieces)]
    first = _asked_operators(text[: pieces[0].start])
    # "Add 3 and 4, then divide by 2": a gap's own words count before those in front, and those before the rest.
    operators = tuple(_asked_operators(gap) or first or anywhere or tuple(_OPERATORS) for gap in gaps)
    closed = tuple(bool(i and re.search(r"\bthen\b|\bresult\b", gap)) for i, gap in enumerate(gaps))
    operands = tuple(p.text if _is_number(p.text) else f"({p.text})" for p in pieces)
    if len(operands) == 2 and _BACKWARDS.search(text):
        operands = operands[::-1]
    return Arithmetic(operands, operators, closed)


def _pieces(text: str, percent: bool, roots: bool) -> list[_Piece]:
    """The operands in the text: phrases first, then written-out expressions, then bare numbers."""
    found: list[_Piece] = []
    for pattern, write in _phrases(percent, roots):
        for match in re.finditer(pattern, text, re.IGNORECASE):
            _place(found, match, write(*match.groups()))
    for match in re.finditer(r"[-+(\d][\d.\s()+*/^%-]*[\d)]", text):
        if (expression := _expression(match[0])) is not None:
            _place(found, match, expression)
    for match in re.finditer(rf"(?<![\w.])-?{_NUMBER}", text):
        _place(found, match, match[0])
    return sorted(found, key=lambda piece: piece.start)


def _place(found: list[_Piece], match: re.Match[str], text: str) -> None:
    start, end = match.span()
    if all(end <= other.start or start >= other.end for other in found):
        found.append(_Piece(start, end, text))


def _phrases(percent: bool, roots: bool) -> list[tuple[str, Any]]:
    def part(share: str, whole: str) -> str:
        return f"{share}% of {whole}" if percent else f"{share} / 100 * {whole}"

    def root(number: str) -> str:
        return f"sqrt({number})" if roots else f"{number} ** 0.5"

    amount = rf"(?:the |a |an )?(?:price |bill |total )?(?:of )?\$?({_NUMBER})"
    return [
        (
            rf"{_PERCENT}\s+(?:discount|off|less)\s+(?:on|of|from|than)?\s*{amount}",
            lambda p, n: f"{n} - {part(p, n)}",
        ),
        (rf"{_PERCENT}\s+more\s+than\s+{amount}", lambda p, n: f"{n} + {part(p, n)}"),
        (rf"{_PERCENT}\s+(?:\w+\s+)?(?:of|on|from)\s+{amount}", part),
        (
            rf"\$?({_NUMBER})\s+(?:increased by|plus|and|raised by)\s+{_PERCENT}",
            lambda n, p: f"{n} + {part(p, n)}",
        ),
        (
            rf"\$?({_NUMBER})\s+(?:decreased by|reduced by|minus|less)\s+{_PERCENT}",
            lambda n, p: f"{n} - {part(p, n)}",
        ),
        (rf"(?:increase|raise)\s+\$?({_NUMBER})\s+by\s+{_PERCENT}", lambda n, p: f"{n} + {part(p, n)}"),
        (
            rf"(?:decrease|reduce|lower)\s+\$?({_NUMBER})\s+by\s+{_PERCENT}",
            lambda n, p: f"{n} - {part(p, n)}",
        ),
        (rf"square root of\s+({_NUMBER})", root),
        (rf"({_NUMBER})\s+squared\b", lambda n: f"{n} ** 2"),
        (rf"({_NUMBER})\s+cubed\b", lambda n: f"{n} ** 3"),
        (
            rf"({_NUMBER})\s+(?:raised\s+)?to the (?:power(?: of)?\s+)?({_NUMBER})(?:st|nd|rd|th)?(?: power)?",
            lambda base, power: f"{base} ** {power}",
        ),
    ]


def _expression(text: str) -> str | None:
    """The text as a written-out expression of at least two numbers, None if it is not one."""
    try:
        tree = ast.parse(text.replace("^", "**").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    kinds = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.operator, ast.unaryop)
    if not isinstance(tree, ast.BinOp) or not all(isinstance(node, kinds) for node in ast.walk(tree)):
        return None
    return " ".join(text.replace("^", "**").split())


def _digits(question: str) -> str:
    """The question with numbers and operators in their plain spelling."""
    text = question.translate(_SPELLINGS)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\d)\s*[xX]\s*(?=\d)", " * ", text)
    return re.sub(r"[A-Za-z]+", lambda m: _NUMBER_WORDS.get(m[0].lower(), m[0]), text)


def _asks(text: str) -> bool:
    return bool(_asked_operators(text) or _ASKS.search(text))


def _asked_operators(text: str) -> tuple[str, ...]:
    said = set(re.findall(r"[a-z]+", text.lower()))
    signs = {sign for sign in _OPERATORS if re.search(rf"(?:^|\s)\{sign}(?:\s|$)", text)}
    return tuple(sign for sign, asking in _OPERATORS.items() if sign in signs or said & set(asking))


def _is_number(text: str) -> bool:
    return re.fullmatch(rf"-?{_NUMBER}", text) is not None


def _tokens(question: str) -> list[str]:
    stripped = (token.strip("\"'`?!.,;:()[]{}<>") for token in question.split())
    return [token for token in stripped if token]


def _vocabulary(spec: Mapping[str, Any]) -> Iterable[str]:
    parameters = spec.get("parameters") or {}
    properties = parameters.get("properties") or {}
    texts = [str(spec.get("name", "")), str(spec.get("description", "")), *map(str, properties)]
    texts += [str(p.get("description", "")) for p in properties.values() if isinstance(p, Mapping)]
    texts += [str(question) for question, _ in spec.get("examples") or ()]
    return [w for text in texts for w in words(re.sub(r"[_/-]", " ", text))]


def _stems(telling: Iterable[str]) -> set[str]:
    # Four letters join "mean", "means" and "meaning" well enough, and "define" to "definition".
    return {w.lower()[:4] for w in telling if len(w) > 2 and w.lower() not in _STOP_WORDS}
