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
    """The words of a phrase, sorted, since languages order them in other ways, and what it names."""
    qualifiers: dict[str, str]
    """A word that tells two of a kind apart, and which way."""
    noise: frozenset[str]
    near: frozenset[frozenset[str]]
    """Pairs of concepts, one of which may stand where the other is wanted."""
    fillers: frozenset[str]
    """Words without which a phrase means the same."""


@cache
def words() -> Words:
    data: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return Words(
        {short: tuple(full.split()) for full, shorts in data["words"].items() for short in shorts},
        {tuple(sorted(phrase.split())): concept for concept, phrases in data["concepts"].items() for phrase in phrases},
        {word: kind for kind, members in data["qualifiers"].items() for word in members},
        frozenset(data["noise"]["words"]),
        frozenset(frozenset(pair) for pair in data["near"]["pairs"]),
        frozenset(data["noise"]["fillers"]),
    )
