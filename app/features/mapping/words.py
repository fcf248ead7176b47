"""Meanings of the words of headers, read from words.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

SHORTEST_BEGINNING = 3
"""Fewest letters of a word that stand for it."""


class Words(msgspec.Struct, frozen=True):
    stands_for: dict[str, tuple[str, ...]]
    """Words that a word is short for, or a synonym of."""
    concepts: dict[tuple[str, ...], str]
    """Concept that a phrase names, by its words, sorted: languages order them in different ways."""
    qualifiers: dict[str, str]
    """Kind of difference, by the word that tells two columns of a kind apart."""
    noise: frozenset[str]
    near: frozenset[frozenset[str]]
    """Pairs of concepts of which one may replace the other."""
    opposites: dict[str, frozenset[tuple[int, int]]]
    """(line, side) of each word that has an opposite, and of its beginnings."""
    fillers: frozenset[str]
    """Words that do not change the meaning of a phrase."""
    vocabulary: frozenset[str]
    """All known words."""


@cache
def words() -> Words:
    path = Path(__file__).with_suffix(".toml")
    data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    stands_for: dict[str, tuple[str, ...]] = {}
    for full, shorts in data["words"].items():
        stands_for |= dict.fromkeys(shorts, tuple(full.split()))
    concepts = {}
    for concept, phrases in data["concepts"].items():
        for phrase in phrases:
            concepts[tuple(sorted(phrase.split()))] = concept
    qualifiers: dict[str, str] = {}
    for kind, members in data["qualifiers"].items():
        qualifiers |= dict.fromkeys(members, kind)
    return Words(
        stands_for,
        concepts,
        qualifiers,
        frozenset(data["noise"]["words"]),
        frozenset(frozenset(pair) for pair in data["near"]["pairs"]),
        _opposites(data["opposites"]["pairs"]),
        frozenset(data["noise"]["fillers"]),
        _vocabulary(data["words"], data["concepts"]),
    )


def _opposites(pairs: list[list[list[str]]]) -> dict[str, frozenset[tuple[int, int]]]:
    sides: dict[str, set[tuple[int, int]]] = {}
    for line, pair in enumerate(pairs):
        for side, members in enumerate(pair):
            for word in members:
                for size in range(min(SHORTEST_BEGINNING, len(word)), len(word) + 1):
                    sides.setdefault(word[:size], set()).add((line, side))
    # A beginning that both sides of a line have says nothing.
    return {
        word: frozenset((line, side) for line, side in places if (line, 1 - side) not in places)
        for word, places in sides.items()
    }


def _vocabulary(shorts: dict[str, list[str]], concepts: dict[str, list[str]]) -> frozenset[str]:
    known = set()
    for full, others in shorts.items():
        known |= {*full.split(), *others}
    for phrases in concepts.values():
        known.update(word for phrase in phrases for word in phrase.split())
    return frozenset(known)
