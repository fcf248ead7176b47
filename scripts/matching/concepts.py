"""Read the concepts of the domains: the names that a column has, and the values that it holds.

A line of `domains/*.txt` is `name, other name, ... = values / values as another system writes them`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "domains"
HELD_OUT = ("oncology", "farming", "aviation")
"""Domains that the weights are never trained on."""


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that columns hold."""

    domain: str
    names: tuple[str, ...]
    """Names in words. A standard uses the first one."""
    values: tuple[str, ...]
    """Kinds of values, as several systems write them; see values.py."""


@cache
def domains() -> dict[str, tuple[Concept, ...]]:
    """Return the concepts of each domain, domains in the order of their names."""
    return {file.stem: _read(file) for file in sorted(FOLDER.glob("*.txt"))}


def training_domains() -> list[str]:
    """Return the names of the domains that may be trained on."""
    return [name for name in domains() if name not in HELD_OUT]


def _read(file: Path) -> tuple[Concept, ...]:
    concepts = []
    for line in file.read_text(encoding="utf-8").splitlines():
        names, _, values = line.partition(" = ")
        # Dates and the like have one form; a set of words may be written in several.
        concepts.append(
            Concept(
                file.stem,
                tuple(name.strip() for name in names.split(",")),
                tuple(spec.strip() for spec in values.split(" / ")),
            )
        )
    return tuple(concepts)
