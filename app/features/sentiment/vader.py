"""VADER with the same scores in linear time. Only processes that score texts import it.

The library looks at all words of a text again for each word of its lexicon: a text of 100 000 words
takes hours. Only three words before a word and two behind it can matter, so the overridden step
sees no others.

The lexicon knows negations only with the straight apostrophe. Other apostrophes are read as it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

BEFORE, BEHIND = 3, 2
THRESHOLD = 0.05
STRAIGHT = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"))


@dataclass(frozen=True, slots=True)
class _Neighbourhood:
    """Part of a text around one word, in the shape that the library expects of a text."""

    words_and_emoticons: list[str]
    is_cap_diff: bool


class _Analyzer(SentimentIntensityAnalyzer):  # type: ignore[misc]
    def sentiment_valence(
        self,
        valence: float,
        text: Any,
        word: str,
        index: int,
        sentiments: list[float],
    ) -> list[float]:
        if word.lower() not in self.lexicon:
            sentiments.append(valence)
            return sentiments
        start = max(0, index - BEFORE)
        words = text.words_and_emoticons[start : index + BEHIND + 1]
        near = _Neighbourhood(words, text.is_cap_diff)
        valences: list[float] = super().sentiment_valence(
            valence,
            near,
            word,
            index - start,
            sentiments,
        )
        return valences

    @staticmethod
    def _but_check(words: list[str], sentiments: list[float]) -> list[float]:
        """Halve what stands before "but" and raise by half what stands behind it.

        The library changes, for each word in turn, the *first* word of the same value; so does
        this, with the places of each value in a heap instead of a search through the list.
        """
        lowered = [word.lower() for word in words]
        if "but" not in lowered:
            return sentiments
        turn = lowered.index("but")
        places: dict[float, list[int]] = {}
        for place, value in enumerate(sentiments):
            places.setdefault(value, []).append(place)
        for heap in places.values():
            heapify(heap)
        for place in range(len(sentiments)):
            value = sentiments[place]
            first = places[value][0]
            if first == turn:
                continue
            heappop(places[value])
            sentiments[first] = value * (0.5 if first < turn else 1.5)
            heappush(places.setdefault(sentiments[first], []), first)
        return sentiments


class Vader:
    """Scorer by the lexicon. The score is VADER's compound, from -1 to 1; cuts at -0.05 and 0.05
    separate the three sentiments.
    """

    def __init__(self) -> None:
        self._analyzer = _Analyzer()

    def score(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        return [(label(compound), compound) for compound in map(self._compound, texts)]

    def _compound(self, text: str) -> float:
        straight = text if text.isascii() else text.translate(STRAIGHT)
        return float(self._analyzer.polarity_scores(straight)["compound"])


def label(compound: float) -> str:
    if compound >= THRESHOLD:
        return "positive"
    return "negative" if compound <= -THRESHOLD else "neutral"
