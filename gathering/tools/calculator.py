"""The calculator: arithmetic for agents, because models guess at it. Owns the tool and how a value is shown.

What an expression may contain and what it is worth is ``gathering.tools.expression``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Any, Self

from gathering.core.errors import ToolFailed, nearest, shown
from gathering.core.interfaces import ITool
from gathering.core.results import ToolResult
from gathering.tools.expression import FUNCTIONS, Number, evaluate

__all__ = ["CalculatorTool"]

_EXAMPLES: tuple[tuple[str, str], ...] = (
    ("What is 6 times 9?", "6 * 9"),
    ("How much is 15% of 80?", "15% of 80"),
    ("Add 12.5 and 7, then divide by 3.", "(12.5 + 7) / 3"),
    ("What is 20 percent of 350?", "20% of 350"),
    ("What is the square root of 144?", "sqrt(144)"),
)
_EXACT_DIGITS = 60  # a decimal that ends within so many digits is given whole
_ROUNDED_DIGITS = 17


class CalculatorTool(ITool):
    """Calculates an arithmetic expression exactly."""

    def __init__(
        self, name: str = "calculator", tool_type: str = "calculator", config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(name, tool_type, config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The calculator, under ``config["name"]`` if that is given."""
        return cls(str(config.get("name") or "calculator"), "calculator", config)

    def execute(self, input_data: Any) -> ToolResult:
        """The value of ``"15 * 25 + 10"`` or ``{"expression": ...}``: an int if it is whole, else a float.

        Digits come back as text where a float could not carry them. What has no value is a failed result.

        >>> CalculatorTool().execute("0.1 + 0.2").output
        0.3
        """
        try:
            return ToolResult(success=True, output=_plain(evaluate(self._expression(input_data))))
        except ToolFailed as refusal:
            return ToolResult(success=False, error=str(refusal))

    async def execute_async(self, input_data: Any) -> ToolResult:
        """The same at once: it takes microseconds and is bounded, so no thread is worth its price."""
        return self.execute(input_data)

    def why_invalid(self, input_data: Any) -> str | None:
        """Why there is no expression in the input; None if there is one, whether it has a value or not."""
        try:
            self._expression(input_data)
        except ToolFailed as refusal:
            return str(refusal)
        return None

    def validate_input(self, input_data: Any) -> bool:
        """Whether there is an expression in the input; not whether it has a value."""
        return self.why_invalid(input_data) is None

    def get_description(self) -> str:
        """What it can do, for the model."""
        return (
            "Calculates an arithmetic expression exactly: + - * / // % ** and brackets, percentages as in "
            f"'15% of 80' (10% is 0.1), and {', '.join(FUNCTIONS)}, pi, e."
        )

    def get_parameters_schema(self) -> dict[str, Any]:
        """One text: the expression."""
        return {
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "description": "The expression in numbers and operators, for example 15 * 25 + 10",
                }
            },
            "required": ["expression"],
            "additionalProperties": False,
        }

    def get_examples(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """Five questions with their expressions."""
        return [(question, {"expression": expression}) for question, expression in _EXAMPLES]

    def _expression(self, input_data: Any) -> str:
        if isinstance(input_data, Mapping):
            for key in input_data:
                if key != "expression":
                    close = ": did you mean 'expression'?" if nearest(shown(key), ["expression"]) else ""
                    raise ToolFailed(f"{self.name} takes only 'expression', got {shown(key)}{close}")
            input_data = input_data.get("expression")
        if isinstance(input_data, (int, float)) and not isinstance(input_data, bool):
            return _written(input_data)
        if not isinstance(input_data, str):
            raise ToolFailed(
                f"{self.name} needs the expression as text, got {shown(input_data)}: write '15 * 25'"
            )
        return input_data


def _written(number: float) -> str:
    try:
        return str(number)
    except ValueError as err:  # Python writes no number of thousands of digits
        raise ToolFailed("the number has thousands of digits: calculate with a smaller one") from err


def _plain(value: Number) -> int | float | str:
    """The value as a person would write it."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if value.denominator == 1:
        return value.numerator
    near = _nearest_float(value)
    exact = _ending_decimal(value)
    if exact is not None and Decimal(repr(near)) != exact:
        return str(exact)
    if near == 0 or abs(near) == float("inf"):
        return str(_divided(value, _ROUNDED_DIGITS)[0])
    return near


def _nearest_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _ending_decimal(value: Fraction) -> Decimal | None:
    decimal, is_exact = _divided(value, _EXACT_DIGITS)
    return decimal if is_exact else None


def _divided(value: Fraction, digits: int) -> tuple[Decimal, bool]:
    context = Context(prec=digits)
    decimal = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    return decimal, not context.flags[Inexact]
