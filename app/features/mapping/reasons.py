"""Say in a sentence why two columns are taken for the same."""

from __future__ import annotations

from collections.abc import Mapping

from app.features.mapping.evidence import Signals
from app.features.mapping.names import normal
from app.features.mapping.values import Side

SHOWN = 3
WORTH = 0.3
"""Least worth of a signal that is shown, as logarithm of odds."""
ALIKE = 0.5
FOR = {
    "values_best": "values are the same or alike",
    "value_shapes": "values have the same pattern",
    "value_hashes_of_others": "values are the same",
    "meaning_of_values_in_table": "values are near in meaning",
    "meaning_across": "the values of one are near to the name of the other",
    "name_in_values": "words of the name are among the values of the other",
    "number_range": "the numbers have the same range",
    "years_shared": "the dates are of the same years",
    "both_dates": "both hold dates",
    "both_numbers": "both hold numbers",
    "both_booleans": "both hold yes or no",
}
AGAINST = {
    "qualifiers_differ": "a word of the names tells them apart",
    "kinds_differ": "values are of another type",
    "personal_on_one": "only one holds personal data of its kind",
    "numbers_apart": "the numbers are of another size",
    "signs_differ": "only one has negative numbers",
    "years_apart": "the dates are of other years",
    "sets_apart": "they hold other words",
    "values_elsewhere": "another column has more of the values",
}


def reasons(
    source: Side,
    target: Side,
    signals: Signals,
    weights: Mapping[str, float],
    place: tuple[int, int],
) -> str:
    """Return what speaks for the pair at `place` of the signals, the weightiest first, and the
    weightiest thing that speaks against it.
    """
    worth = {name: weight * float(signals[name][place]) for name, weight in weights.items()}
    in_favour = sorted(
        (name for name in FOR if worth.get(name, 0) > WORTH), key=lambda n: -worth[n]
    )
    against = sorted(
        (name for name in AGAINST if worth.get(name, 0) < -WORTH), key=worth.__getitem__
    )
    said = [_names(source, target, signals, place)]
    said += [FOR[name] for name in in_favour[: SHOWN - 1]]
    said += [f"but {AGAINST[name]}" for name in against[:1]]
    return "; ".join(said)


def _names(source: Side, target: Side, signals: Signals, place: tuple[int, int]) -> str:
    one, other = normal(source.name), normal(target.name)
    if one.plain == other.plain and one.plain:
        return "the names are equal"
    if signals["words_equal"][place]:
        return "the names are the same words, written in another way"
    if signals["concept_same"][place]:
        return f"both names mean {(other.concept or '').replace('_', ' ')}"
    if signals["words"][place] >= ALIKE or signals["grams"][place] >= ALIKE:
        return "the names are alike"
    if "meaning" in signals and signals["meaning"][place] >= ALIKE:
        return "the names are near in meaning"
    return "the names are different"
