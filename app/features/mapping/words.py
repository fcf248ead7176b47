"""What the words of headers mean, read from words.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec


class Words(msgspec.Struct, frozen=True):
    stands_for: dict[str, tuple[str, ...]]
    """A word, and the words that it is short for, or another word for."""
    concepts: dict[tuple[str, ...], str]
    """The words of a phrase, sorted, since languages order them in other ways, and what it
    names.
    """
    qualifiers: dict[str, str]
    """A word that tells two of a kind apart, and which way."""
    noise: frozenset[str]
    near: frozenset[frozenset[str]]
    """Pairs of concepts, one of which may stand where the other is wanted."""
    fillers: frozenset[str]
    """Words without which a phrase means the same."""


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
        frozenset(data["noise"]["fillers"]),
    )
