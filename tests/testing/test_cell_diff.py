"""What a failing cell shows."""

from __future__ import annotations

from gathering.testing.cell_diff import difference


def test_equal_texts_differ_in_nothing() -> None:
    """So that the form in which they do differ is shown."""
    assert difference("a\nb", "a\nb") == []


def test_far_lines_are_left_out_and_near_ones_are_there() -> None:
    """Two lines around each change; what is between two changes is a mark."""
    then = [str(number) for number in range(30)]
    now = [*then]
    now[5], now[25] = "five", "- minus"
    assert difference("\n".join(then), "\n".join(now)) == [
        "the output is not what is recorded (- recorded, + now):",
        *("  3", "  4", "- 5", "+ five", "  6", "  7", "  ..."),
        *("  23", "  24", "- 25", "+ - minus", "  26", "  27"),
    ]
