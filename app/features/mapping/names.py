"""Normal forms of a header: its plain letters, its words, and what they name."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from app.features.mapping.words import words

NAMING_WORDS = 30
"""Words of a header among which a phrase is looked for."""
TO = ("shipping", "billing", "sold")


@dataclass(frozen=True, slots=True)
class Name:
    """A header in its normal forms."""

    header: str
    plain: str
    """Its letters in lower case, and digits."""
    words: tuple[str, ...]
    """Its words, with abbreviations and words of other languages replaced by English ones."""
    concept: str | None
    is_whole: bool
    """Whether the concept covers all of its words but noise and qualifiers."""
    qualifiers: frozenset[str]


@lru_cache(maxsize=10_000)
def normal(header: str) -> Name:
    """Return the normal forms of a header."""
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
    phrase, concept = _concept(expanded[:NAMING_WORDS])
    left = [word for word in expanded if word not in phrase]
    qualifiers = frozenset(known.qualifiers[word] for word in left if word in known.qualifiers)
    is_whole = all(word in known.noise or word in known.qualifiers for word in left)
    return Name(header, "".join(parts), expanded, concept, is_whole, qualifiers)


def _concept(expanded: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Return the longest phrase in the words that names something, and what it names. The last one
    of equal length wins, since the noun stands at the end.
    """
    known = words().concepts
    for size in range(len(expanded), 0, -1):
        for start in range(len(expanded) - size, -1, -1):
            phrase = expanded[start : start + size]
            if (concept := known.get(tuple(sorted(phrase)))) is not None:
                return phrase, concept
    return (), None
