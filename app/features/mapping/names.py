"""How alike two headers are, in several normal forms. No values are looked at here."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler

from app.features.mapping.words import words

EQUAL, SAME_CONCEPT, NEAR_CONCEPT, RELATED = 1.0, 0.95, 0.72, 0.5
TO = ("shipping", "billing", "sold")
INSTEAD, OTHER_CONCEPT, OTHER_OF_A_KIND, ALIKE_AT_MOST = 0.58, 0.2, 0.3, 0.7


@dataclass(frozen=True, slots=True)
class Name:
    """A header in its normal forms."""

    header: str
    plain: str
    """Lower case letters and digits alone."""
    words: tuple[str, ...]
    """With abbreviations and other languages replaced."""
    concept: str | None
    is_whole: bool
    """Whether the concept covers all of its words but noise and qualifiers."""
    qualifiers: frozenset[str]


@lru_cache(maxsize=10_000)
def normal(header: str) -> Name:
    text = unicodedata.normalize("NFKD", header.replace("ß", "ss"))
    text = "".join(character for character in text if not unicodedata.combining(character))
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text).replace(
        "#", " number "
    )
    parts = re.findall(r"[a-z]+|[0-9]+|[^\W\d_]+", text.lower())
    known = words()
    expanded = tuple(word for part in parts for word in known.stands_for.get(part, (part,)))
    expanded = tuple(word for word in expanded if word not in known.fillers) or expanded
    # `ship to name` has no end.
    expanded = tuple(
        word
        for before, word in zip(("", *expanded), expanded, strict=False)
        if word != "to" or before not in TO
    )
    if not expanded:
        expanded = (header.strip().lower(),)
    if len(parts) > 1 and (joined := known.stands_for.get("".join(parts))) is not None:
        expanded = joined
    phrase, concept = _concept(expanded)
    left = [word for word in expanded if word not in phrase]
    qualifiers = frozenset(known.qualifiers[word] for word in left if word in known.qualifiers)
    is_whole = all(word in known.noise or word in known.qualifiers for word in left)
    return Name(header, "".join(parts), expanded, concept, is_whole, qualifiers)


def _concept(expanded: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The longest phrase in the words that names something, the last
    one of them: the noun stands at the end."""
    known = words().concepts
    for size in range(len(expanded), 0, -1):
        for start in range(len(expanded) - size, -1, -1):
            phrase = expanded[start : start + size]
            if (concept := known.get(tuple(sorted(phrase)))) is not None:
                return phrase, concept
    return (), None


def similarity(one: Name, other: Name) -> tuple[float, str]:
    """0 to 1, and why."""
    if one.plain == other.plain and one.plain:
        return EQUAL, "the names are equal"
    if one.words == other.words:
        return EQUAL - 0.02, "the names are the same words, written in another way"
    apart = one.qualifiers ^ other.qualifiers
    against = bool(one.qualifiers - other.qualifiers) and bool(other.qualifiers - one.qualifiers)
    if one.concept and one.concept == other.concept:
        if against:
            return OTHER_OF_A_KIND, f"both name a {_said(one)}, but different ones"
        if one.is_whole and other.is_whole:
            if not apart:
                return SAME_CONCEPT - 0.05 * (1 - _alike(one, other)), f"both name a {_said(one)}"
            return NEAR_CONCEPT, f"both name a {_said(one)}, one of them more closely"
        return RELATED + 0.2 * _alike(one, other), f"both seem to name a {_said(one)}"
    score = min(ALIKE_AT_MOST, _alike(one, other))
    if one.concept and other.concept:
        if one.is_whole and other.is_whole:
            if {one.concept, other.concept} in words().near and not against:
                why = f"one names a {_said(one)}, which may stand for a {_said(other)}"
                return INSTEAD, why
            why = f"one names a {_said(one)}, the other a {_said(other)}"
            return min(score, OTHER_CONCEPT), why
        score *= 0.6
    if against:
        score *= 0.6
    return score, f"the names are {'alike' if score > RELATED else 'different'}"


def _said(name: Name) -> str:
    return (name.concept or "").replace("_", " ")


def _alike(one: Name, other: Name) -> float:
    """By letters and by words; 0.4 is what unrelated names have in common."""
    letters = float(JaroWinkler.similarity(one.plain, other.plain))
    words_of_one, words_of_other = " ".join(one.words), " ".join(other.words)
    by_words = float(fuzz.token_set_ratio(words_of_one, words_of_other)) / 100
    by_order = float(fuzz.ratio(words_of_one, words_of_other)) / 100
    likeness = 0.3 * letters + 0.35 * by_words + 0.35 * by_order
    return max(0.0, (likeness - 0.4) / 0.6)
