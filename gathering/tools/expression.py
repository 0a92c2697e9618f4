"""The value of an arithmetic expression a model or a person wrote: exact, bounded, and nothing but arithmetic.

Text becomes tokens from a short list, tokens become Python syntax in which every number is only an index, and the
few kinds of node that can stand in that syntax are added up here. No name is looked up, no attribute read, nothing
compiled. How a value is shown is not here (``gathering.tools.calculator``).

Whole numbers and decimals are exact fractions; roots that come out even stay exact; everything else is a float.
Decided, because people write it: ``15%`` is 0.15 unless an operand follows (``7 % 3`` is 1), also in ``200 + 10%``;
``15 % -3`` is refused, it could be either; ``of`` is ``*``; ``^`` is a power; ``1,000`` is a thousand, but refused between a function's brackets, where it could
be two arguments; a half is rounded away from zero.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NoReturn, TypeAlias

from gathering.core.errors import ToolFailed, nearest

__all__ = ["FUNCTIONS", "Number", "evaluate"]

Number: TypeAlias = Fraction | float

_LONGEST: Final = 500  # characters
_MOST_NODES: Final = 200
_DEEPEST: Final = 40
_MOST_BITS: Final = 4096  # of a numerator or denominator: about 1,200 digits
_MOST_EXPONENT: Final = 308  # of a literal such as 1e308, as for a float
_HIGHEST_ROOT: Final = 64

# Multiplication, middle dot, division, minus, en dash, no-break space and pi, as they are typed and pasted.
_SPELLINGS = str.maketrans(
    {"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u03c0": "pi"}
)
_TOKEN = re.compile(
    r"""(?P<thousands>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d))
      | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>\*\*|//|[-+*/%^(),])
      | (?P<space>\s+)""",
    re.VERBOSE | re.ASCII,
)


def evaluate(text: str) -> Number:
    """The value of the expression. Raises ``ToolFailed`` with one line that says what is wrong with it."""
    try:
        return _evaluate(text)
    except _Refused as refusal:
        reason = str(refusal)
    except ZeroDivisionError:
        reason = "division by zero"
    except OverflowError:
        reason = "a number in it is too large for this step: calculate with smaller ones"
    shown = text if len(text) <= 60 else text[:60] + "..."
    raise ToolFailed(f"cannot calculate {shown!r}: {reason}")


class _Refused(Exception):
    """Why an expression has no value here."""


def _evaluate(text: str) -> Number:
    if len(text) > _LONGEST:
        raise _Refused(f"it has {len(text)} characters, {_LONGEST} are the most: split it up")
    tokens = _tokens(text.translate(_SPELLINGS).strip().removesuffix("=").rstrip())
    if not tokens:
        raise _Refused("there is nothing in it: write numbers and operators, such as 15 * 25 + 10")
    source = _Source()
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        source.add(token, following)
    return _Evaluation(source.numbers).value(_parsed(source.text()))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    spaced: bool  # whether there is space before it


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _Refused(
                f"{text[position]!r} is not arithmetic: use numbers, + - * / // % ** ( ) and functions such as sqrt"
            )
        if match.lastgroup != "space":
            spaced = text[position - 1 : position].isspace()
            tokens.append(_Token(match.lastgroup or "", match.group(), spaced))
        position = match.end()
    return tokens


class _Source:
    """Python syntax made from tokens; numbers are kept aside and stand in it as their index."""

    def __init__(self) -> None:
        self.numbers: list[Fraction] = []
        self._pieces: list[str] = []
        self._open: list[int] = []  # where each bracket that is still open starts, with its function's name
        self._calls: list[bool] = []  # whether it is a function's
        self._last_start = 0  # where the operand just written starts
        self._after_operand = False

    def text(self) -> str:
        if self._open:
            raise _Refused("a bracket is not closed: add ')'")
        return " ".join(self._pieces)

    def add(self, token: _Token, following: _Token | None) -> None:
        match token.kind:
            case "number" | "thousands":
                self._number(token)
            case "name":
                self._name(token.text.lower(), following)
            case _:
                self._sign(token, following)

    def _number(self, token: _Token) -> None:
        if token.kind == "thousands" and self._calls and self._calls[-1]:
            raise _Refused(
                f"{token.text!r} in a function could be one number or several: "
                "write numbers without thousands separators and a space after each comma"
            )
        self._operand(self._index(_literal(token.text.replace(",", ""))), token.text)

    def _index(self, number: Fraction) -> str:
        self.numbers.append(number)
        return str(len(self.numbers) - 1)

    def _operand(self, piece: str, shown: str) -> None:
        if self._after_operand:
            raise _Refused(f"an operator is missing before {shown!r}: write for example 2 * {shown}")
        self._last_start, self._after_operand = len(self._pieces), True
        self._pieces.append(piece)

    def _name(self, name: str, following: _Token | None) -> None:
        if name == "of":
            return self._operator("*")
        called = following is not None and following.text == "("
        if name in FUNCTIONS and not called:
            raise _Refused(f"{name} needs brackets: write {name}(...)")
        if not (name in FUNCTIONS or (name in _CONSTANTS and not called)):
            close = nearest(name, (*FUNCTIONS, *_CONSTANTS))
            advice = (
                f"did you mean {close[0]!r}?" if close else "known: " + ", ".join((*FUNCTIONS, *_CONSTANTS))
            )
            raise _Refused(f"unknown name {name!r}: {advice}")
        self._operand(name, name)
        if called:
            self._after_operand = False  # its bracket follows
        return None

    def _operator(self, sign: str) -> None:
        self._pieces.append(sign)
        self._after_operand = False

    def _sign(self, token: _Token, following: _Token | None) -> None:
        sign = token.text
        if sign == "(":
            self._opening()
        elif sign == ")":
            self._closing()
        elif sign == "%" and not _starts_operand(following):
            self._percent(token, following)
        elif sign == "," and not (self._calls and self._calls[-1]):
            raise _Refused("a comma stands between arguments only: write decimals with a point, as in 1.5")
        else:
            self._operator("**" if sign == "^" else sign)

    def _opening(self) -> None:
        is_call = bool(self._pieces) and self._pieces[-1] in FUNCTIONS
        if not is_call:
            self._operand("(", "(...)")
        else:
            self._pieces.append("(")
        self._after_operand = False
        self._open.append(len(self._pieces) - (2 if is_call else 1))
        self._calls.append(is_call)

    def _closing(self) -> None:
        if not self._open:
            raise _Refused("a bracket is closed that was not opened: remove ')'")
        is_call = self._calls.pop()
        if self._pieces[-1] == "(" and not is_call:
            raise _Refused("brackets with nothing in them: remove them, or write what they should hold")
        self._last_start, self._after_operand = self._open.pop(), True
        self._pieces.append(")")

    def _percent(self, token: _Token, following: _Token | None) -> None:
        if not self._after_operand:
            raise _Refused("'%' needs a number before it: write for example 15%")
        if token.spaced and following is not None and following.text in ("+", "-"):
            raise _Refused(
                f"' % {following.text}' could be a percentage or a remainder: write 15% - 3 or 15 % (-3)"
            )
        self._pieces.insert(self._last_start, "(")
        self._pieces.extend(["/", self._index(Fraction(100)), ")"])


def _starts_operand(token: _Token | None) -> bool:
    return token is not None and (
        token.kind in ("number", "thousands")
        or token.text == "("
        or (token.kind == "name" and token.text != "of")
    )


def _literal(text: str) -> Fraction:
    digits, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > _MOST_EXPONENT:
        raise _Refused(f"{text!r} is too large or too small: exponents go to {_MOST_EXPONENT}")
    return Fraction(f"{digits.rstrip('.')}e{exponent or 0}" if digits != "." else digits)


def _parsed(source: str) -> ast.expr:
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _Refused("it is not a whole expression: an operand or an operator is missing") from None
    if sum(isinstance(node, ast.expr) for node in ast.walk(tree)) > _MOST_NODES:
        raise _Refused(f"it has more than {_MOST_NODES} parts: split it up")
    return tree.body


class _Evaluation:
    """A walk over the few kinds of node that are arithmetic."""

    def __init__(self, numbers: Sequence[Fraction]) -> None:
        self._numbers = numbers

    def value(self, node: ast.expr, depth: int = 0) -> Number:
        if depth > _DEEPEST:
            raise _Refused(f"it is nested more than {_DEEPEST} deep: split it up")
        match node:
            case ast.Constant(value=int(index)):
                return _bounded(self._numbers[index])
            case ast.Name(id=name) if name in _CONSTANTS:
                return _CONSTANTS[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand, depth + 1)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.value(operand, depth + 1)
            case ast.BinOp():
                return self._chain(node, depth)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                return _call(name, [self.value(argument, depth + 1) for argument in arguments])
        raise _Refused("only numbers, + - * / // % **, brackets and functions such as sqrt can stand in it")

    def _chain(self, node: ast.expr, depth: int) -> Number:
        # A long sum leans to the left and is walked, not nested: adding up fifty prices is no deep expression.
        rest: list[tuple[ast.operator, ast.expr]] = []
        while isinstance(node, ast.BinOp):
            rest.append((node.op, node.right))
            node = node.left
        value = self.value(node, depth + 1)
        for sign, right in reversed(rest):
            operation = _OPERATIONS.get(type(sign)) or _refuse_operator(sign)
            value = _bounded(operation(value, self.value(right, depth + 1)))
        return value


def _refuse_operator(sign: ast.operator) -> NoReturn:
    raise _Refused(f"the operator {type(sign).__name__} is not arithmetic: use + - * / // % **")


def _bounded(value: Number | int) -> Number:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Refused("the result is too large")
        return value
    exact = Fraction(value)
    if max(exact.numerator.bit_length(), exact.denominator.bit_length()) > _MOST_BITS:
        raise _Refused(f"a result in it has more than {_MOST_BITS} bits: calculate with smaller numbers")
    return exact


def _power(base: Number, exponent: Number) -> Number:
    """Exact where it comes out even; refused before it could become large."""
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            return _whole_power(base, exponent.numerator)
        root = _exact_root(base, exponent.denominator)
        if root is not None:
            return _whole_power(root, exponent.numerator)
    if base < 0 and exponent != int(exponent):
        raise _Refused("a root of a negative number is not a real number")
    result: Number = float(base) ** float(exponent)
    return result


def _whole_power(base: Fraction, exponent: int) -> Fraction:
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) not in (0, 1) and bits * abs(exponent) > _MOST_BITS:
        raise _Refused(f"a power in it has more than {_MOST_BITS} bits: calculate with smaller numbers")
    return Fraction(base**exponent)


def _exact_root(base: Fraction, degree: int) -> Fraction | None:
    if base < 0 or degree > _HIGHEST_ROOT:
        return None
    above, below = _whole_root(base.numerator, degree), _whole_root(base.denominator, degree)
    return None if above is None or below is None else Fraction(above, below)


def _whole_root(number: int, degree: int) -> int | None:
    try:
        root = math.isqrt(number) if degree == 2 else round(number ** (1 / degree))
    except OverflowError:
        return None
    return root if root**degree == number else None


def _call(name: str, arguments: Sequence[Number]) -> Number:
    function, fewest, most = FUNCTIONS[name]
    if not fewest <= len(arguments) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} or more" if most > 2 else f"{fewest} or {most}"
        raise _Refused(f"{name} takes {wanted} argument{'s' * (wanted != '1')}, {len(arguments)} given")
    try:
        return _bounded(function(*arguments))
    except ValueError:
        raise _Refused(f"{name} has no value for this argument") from None


def _round(number: Number, digits: Number = Fraction(0)) -> Fraction:
    """Rounded to so many decimals, a half away from zero as at school."""
    if digits != int(digits) or not -100 <= digits <= 100:
        raise _Refused("round takes a whole number of decimals up to 100")
    places = int(digits)
    scale = Fraction(10**places) if places >= 0 else Fraction(1, 10**-places)
    size = math.floor(abs(Fraction(number)) * scale + Fraction(1, 2)) / scale
    return size if number >= 0 else -size


def _root(number: Number) -> Number:
    if number < 0:
        raise _Refused("a root of a negative number is not a real number")
    return _power(number, Fraction(1, 2))


_OPERATIONS: Mapping[type[ast.operator], Callable[[Number, Number], Number | int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e, "tau": math.tau}

#: Each function with the fewest and the most arguments it takes.
FUNCTIONS: Mapping[str, tuple[Callable[..., Number | int], int, int]] = {
    "sqrt": (_root, 1, 1),
    "exp": (math.exp, 1, 1),
    "log": (math.log, 1, 2),
    "log2": (math.log2, 1, 1),
    "log10": (math.log10, 1, 1),
    "sin": (math.sin, 1, 1),
    "cos": (math.cos, 1, 1),
    "tan": (math.tan, 1, 1),
    "asin": (math.asin, 1, 1),
    "acos": (math.acos, 1, 1),
    "atan": (math.atan, 1, 1),
    "floor": (math.floor, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "abs": (abs, 1, 1),
    "round": (_round, 1, 2),
    "min": (lambda *numbers: min(numbers), 1, _MOST_NODES),
    "max": (lambda *numbers: max(numbers), 1, _MOST_NODES),
}
