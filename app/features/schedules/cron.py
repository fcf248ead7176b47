"""Cron expressions (docs/scoring.md). The library that computes the times accepts more: seconds,
`L`, `#`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.errors import BadCron

MAX_SHOWN = 100
BLANKS = re.compile(r"[ \t]+")
STAR_OR_RANGE = re.compile(r"(?:\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]+))?", re.ASCII)
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    """Names of the values from `first_named` on."""
    first_named: int = 0

    def check(self, text: str) -> None:
        for item in text.lower().split(","):
            self._check_item(item, text)

    def _check_item(self, item: str, text: str) -> None:
        match = STAR_OR_RANGE.fullmatch(item)
        if match is None:
            raise self._bad(
                text,
                f"takes numbers{self._or_names}, ranges like `1-5`, `*`, steps like `*/5`, and"
                " lists",
            )
        first, last, step = match.groups()
        start = self.low if first is None else self._value(first, text)
        end = start if last is None else self._value(last, text)
        if end < start:
            split = f"{first}-{self.high},{self.low}-{last}"
            raise self._bad(
                text,
                f"has a range that ends before it begins; a list like `{split}` has both parts",
            )
        if step is not None and int(step) == 0:
            raise self._bad(text, "has a step of 0")

    def _value(self, word: str, text: str) -> int:
        if word in self.names:
            return self.names.index(word) + self.first_named
        if not word.isdigit():
            raise self._bad(text, f"takes numbers{self._or_names}, not `{word}`")
        if not self.low <= int(word) <= self.high:
            raise self._bad(text, f"must be {self.low} to {self.high}, not `{word}`")
        return int(word)

    @property
    def _or_names(self) -> str:
        return f" and names like `{self.names[0]}`" if self.names else ""

    def _bad(self, text: str, why: str) -> BadCron:
        return BadCron(f"The {self.name}, {text[:MAX_SHOWN]!r}, {why}.")


FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, tuple("jan feb mar apr may jun jul aug sep oct nov dec".split()), 1),
    _Field("day of the week", 0, 7, tuple("sun mon tue wed thu fri sat".split())),
)


def check_cron(cron: str) -> None:
    """Raises BadCron with a sentence that names the problem."""
    shown = repr(cron[:MAX_SHOWN])
    if cron.strip().startswith("@"):
        meant = NICKNAMES.get(cron.strip().lower())
        instead = f"write `{meant}`" if meant else "write the five fields"
        raise BadCron(f"{shown} is a nickname, which is not supported; {instead}.")
    texts = BLANKS.split(cron.strip(" \t"))
    if len(texts) != len(FIELDS):
        seconds_or_year = "; it has none for seconds or years" if len(texts) > len(FIELDS) else ""
        raise BadCron(f"{shown} has {len(texts)} fields, not {len(FIELDS)}{seconds_or_year}.")
    for field, text in zip(FIELDS, texts, strict=True):
        field.check(text)
