"""What of a column the sentence model reads: its name in whole words, and some of its values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from app.features.mapping.names import Name, normal
from app.features.mapping.words import words

COMMON = 0.6
"""Share of the names of a table above which a word says nothing about one of them."""
SHORT_WORDS = frozenset(("of", "to", "at", "on", "no", "id", "is", "by", "in"))
LONGEST_PART, LONGEST_JOINED = 20, 60
"""Most characters of a known word, and of a joined word that is split."""
LONGEST_HEADER = 200
"""Characters of a header that are compared; comparing takes the square of their number."""
EXAMPLES, EXAMPLE_CHARACTERS = 5, 30
WORD = re.compile(r"[^\W\d_]+|\d+")


def column_texts(
    references: Sequence[Mapping[str, Any]],
    inputs: Sequence[Mapping[str, Any]],
    usual: Mapping[str, float],
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (name, values) of each column of both tables; columns as a profile reports them. The
    values are empty unless they are words.
    """
    headers = [cut([column["name"] for column in columns]) for columns in (references, inputs)]
    names = read_names(headers[0], headers[1], usual)
    sides = []
    for columns, side in zip((references, inputs), names, strict=True):
        pairs = zip(side, columns, strict=True)
        sides.append([(" ".join(name.words), _values(column)) for name, column in pairs])
    return sides[0], sides[1]


def _values(column: Mapping[str, Any]) -> str:
    if column["type"] != "text":
        return ""
    frequent = [top["value"] for top in column["top"]]
    values = list(dict.fromkeys([*frequent, *column["examples"]]))[:EXAMPLES]
    return ", ".join(value[:EXAMPLE_CHARACTERS] for value in values)


def raw_words(header: str) -> list[str]:
    """Return the words of a header in lower case, by its signs and capitals."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", header)
    return [word.lower() for word in WORD.findall(text)] or [header.lower()]


def cut(headers: Sequence[str]) -> list[str]:
    """Return the part of each header that is compared."""
    return [header[:LONGEST_HEADER] for header in headers]


def read_names(
    targets: Sequence[str], sources: Sequence[str], usual: Mapping[str, float]
) -> tuple[list[Name], list[Name]]:
    """Return the names in normal forms, without the words that nearly all names of a table have,
    and with joined words split.
    """
    words_of = [[raw_words(header) for header in group] for group in (targets, sources)]
    known = {word for group in words_of for name in group for word in name if len(word) > 2}
    known |= words().vocabulary | usual.keys() | SHORT_WORDS
    read = []
    for group in words_of:
        common = _common(group)
        names = []
        for name in group:
            segmented = [part for word in name for part in _segmented(word, known)]
            own = [word for word in segmented if word not in common] or segmented
            names.append(normal(" ".join(own)))
        read.append(names)
    return read[0], read[1]


def _common(names: Sequence[Sequence[str]]) -> set[str]:
    """Return the words that most names of a table have, such as a prefix."""
    if len(names) < 4:
        return set()
    seen = Counter(word for name in names for word in set(name))
    return {word for word, count in seen.items() if count > COMMON * len(names)}


@lru_cache(maxsize=20_000)
def _fewest_words(word: str, known: frozenset[str]) -> tuple[str, ...]:
    """Return the fewest known words that make up the word, or the word alone."""
    best: list[tuple[str, ...] | None] = [()] + [None] * len(word)
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - LONGEST_PART), end):
            before = best[start]
            if before is None or word[start:end] not in known:
                continue
            now = best[end]
            if now is None or len(before) + 1 < len(now):
                best[end] = (*before, word[start:end])
    return best[-1] or (word,)


def _segmented(word: str, known: set[str]) -> Sequence[str]:
    is_candidate = 6 <= len(word) <= LONGEST_JOINED and not word.isdigit()
    if not is_candidate or word in words().vocabulary:
        return (word,)
    pieces = frozenset(
        word[i:j]
        for i in range(len(word))
        for j in range(i + 2, min(len(word), i + LONGEST_PART) + 1)
        if j - i < len(word) and word[i:j] in known
    )
    return _fewest_words(word, pieces) if pieces else (word,)
