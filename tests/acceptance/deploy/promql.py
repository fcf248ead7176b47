"""Finds the metrics and labels in an expression of PromQL, as far as our expressions go; promtool
checks the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "offset",
    "bool",
}
NOT_METRICS = (
    r"\{[^}]*\}",
    r"\[[^\]]*\]",
    r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)",
    r"\boffset\s+\w+",
)


def metrics(expression: str) -> set[str]:
    """Return the names of all metrics: words that are neither keywords nor functions."""
    for pattern in NOT_METRICS:
        expression = re.sub(pattern, "", expression)
    return {
        name
        for name, called in re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)\s*(\()?", expression)
        if not called and name not in WORDS
    }


def selectors(expression: str) -> Iterator[tuple[str, str, str, str]]:
    """Return metric, label, operator and value of each `metric{label OPERATOR "value"}`."""
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}", expression):
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
            yield name, label, operator, value
