"""Signals for and against each pair of columns: from names, meanings, values and places.

Each signal is a matrix of (targets, sources), mostly from 0 to 1. None of them decides; weights.json
says what each is worth.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import JaroWinkler
from scipy import sparse

from app.features.mapping.names import Name, normal
from app.features.mapping.texts import LONGEST_HEADER, WORD, cut, raw_words, read_names
from app.features.mapping.values import SURE_KINDS, Side, kind_of
from app.features.mapping.words import words

Matrix = npt.NDArray[np.float32]
Vectors = npt.NDArray[np.float32]
Signals = dict[str, Matrix]

KINDS = ("text", "number", "date", "boolean")
KNOWN_VALUES = 64
UNRELATED = 0.3
"""Cosine that names have without being related."""
FEW_ROWS = 20
MORE = 0.2
"""Share of a name without a counterpart with which it says more than the other."""
MORE_LETTERS = 5
ALIKE = 0.75
"""Share of the words of two names with a counterpart below which they are other words."""
STEM_ENDINGS = re.compile(r"(?<=\w{3})(?:ies|es|s|ed|ing|ion|al|ic)$")
VOWELS = re.compile(r"(?<=\w)[aeiou]")
NUMBER_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Meanings:
    """Vectors of unit length of the columns of one table, (columns, dimensions)."""

    names: Vectors
    values: Vectors
    """Vectors of values alone; zeros where there are no words."""


def signals(
    targets: Sequence[Side],
    sources: Sequence[Side],
    meanings: tuple[Meanings, Meanings] | None,
    usual: Mapping[str, float],
) -> Signals:
    """Return all signals by name. `usual` has, for words that headers often have, the share of
    headers that have them. Without `meanings`, of targets and of sources, those signals are absent.
    """
    headers = cut([side.name for side in targets]), cut([side.name for side in sources])
    of_names = name_signals(*headers, *read_names(*headers, usual), usual)
    of_values = value_signals(targets, sources)
    every = {**of_names, **of_values, **place_signals(len(targets), len(sources))}
    if meanings is not None:
        every |= meaning_signals(*meanings)
    shared = np.maximum(every["value_sets"], every["value_hashes"])
    every["values_elsewhere"] = _elsewhere(shared, every["values_missing"])
    # Synonyms say little where another column has the values.
    for name in ("words_equal", "concept_same"):
        doubt = every["values_elsewhere"] * (1 - every["equal"])
        every[name] = np.asarray(every[name] * (1 - doubt), np.float32)
    every |= _best(every)
    every["in_doubt"] = _in_doubt(every)
    return every


def _in_doubt(every: Signals) -> Matrix:
    """Return 1 where no pair can be certain, whatever else speaks for it: one name says more than the
    other, the names are opposites, or they have nothing in common.
    """
    is_more = np.maximum(every["says_more"], every["in_other"]) >= MORE
    is_other = (every["words"] < ALIKE) & (every["concept_same"] == 0)
    is_same = np.maximum(every["equal"], every["words_equal"]) > 0
    doubts = (is_more | is_other) & ~is_same | (every["opposites"] > 0)
    return np.asarray(doubts, np.float32)


def _best(every: Signals) -> Signals:
    """Return the best of several signals of one kind: each of them may be enough, and together they
    say no more.
    """
    names = [every["words"], 0.95 * every["concept_same"], 0.9 * every["grams"]]
    values = [every["value_sets"], every["value_words"], every["value_hashes"]]
    if "meaning" in every:
        names.append(np.clip((every["meaning"] - UNRELATED) / 0.6, 0, 1))
        values.append(np.clip((every["meaning_of_values"] - 0.4) / 0.6, 0, 1))
    best = np.maximum.reduce(names)
    return {
        "name_best": best,
        "values_best": np.maximum.reduce(values),
        "name_without_values": best * every["values_missing"],
    }


def _elsewhere(shared: Matrix, missing: Matrix) -> Matrix:
    """Return how much more of the values another column shares, of the same row or column."""
    most = np.maximum(shared.max(axis=1, keepdims=True), shared.max(axis=0, keepdims=True))
    return np.asarray((most - shared) * (1 - missing), np.float32)


# ------------------------------------------------------------------ names


def name_signals(
    target_headers: Sequence[str],
    source_headers: Sequence[str],
    targets: Sequence[Name],
    sources: Sequence[Name],
    usual: Mapping[str, float],
) -> Signals:
    plain = [name.plain for name in targets], [name.plain for name in sources]
    raw = [_header_words(name) for name in targets], [_header_words(name) for name in sources]
    whole = [list(name.words) for name in targets], [list(name.words) for name in sources]
    raw_words, raw_more = _covered(*raw, usual)
    whole_words, whole_more = _covered(*whole, usual)
    headers = (
        [normal(header).plain for header in side] for side in (target_headers, source_headers)
    )
    every = {
        "equal": np.maximum(_equal(*headers), _equal(*plain)),
        "words_equal": _equal(*([" ".join(sorted(name)) for name in side] for side in whole)),
        "words": np.maximum(raw_words, whole_words),
        "letters": _cdist(*plain, JaroWinkler.similarity),
        "grams": _cosines(*([_grams(name) for name in side] for side in plain)),
        "digits_differ": _digits_differ(*raw),
        "opposites": _opposites(targets, sources),
    }
    # `order date` and `reason for order date`: the one name says more than the other.
    more = np.minimum(raw_more, whole_more)
    every["says_more"] = np.asarray(more * (1 - every["words_equal"]), np.float32)
    every["in_other"] = np.maximum(_one_in_other(*plain), _one_repeats(*whole))
    return every | _concepts(targets, sources)


def _header_words(name: Name) -> list[str]:
    return name.header.split() or [name.header]


def _equal(targets: Sequence[str], sources: Sequence[str]) -> Matrix:
    codes = {text: code for code, text in enumerate({*targets, *sources})}
    mine = np.array([codes[text] for text in targets])
    theirs = np.array([codes[text] for text in sources])
    return np.asarray(mine[:, None] == theirs[None, :], np.float32)


def _cdist(targets: Sequence[str], sources: Sequence[str], scorer: object) -> Matrix:
    return process.cdist(targets, sources, scorer=scorer, dtype=np.float32)  # type: ignore[arg-type]


def _grams(text: str) -> list[str]:
    padded = f" {text} "
    return [padded[i : i + 3] for i in range(len(padded) - 2)]


def _cosines(targets: Sequence[Iterable[str]], sources: Sequence[Iterable[str]]) -> Matrix:
    """Return the cosines of bags of words, in which a word counts more the fewer bags have it."""
    mine, theirs = _weighted_bags(targets, sources)
    for side in (mine, theirs):
        norms = np.sqrt(np.asarray(side.multiply(side).sum(axis=1))).ravel()
        side.data /= np.repeat(np.maximum(norms, 1e-9), np.diff(side.indptr))
    return np.asarray((mine @ theirs.T).todense(), np.float32)


def _weighted_bags(
    targets: Sequence[Iterable[str]], sources: Sequence[Iterable[str]]
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    bags = [Counter(bag) for bag in [*targets, *sources]]
    places: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for bag in bags:
        seen.update(bag.keys())
        for word in bag:
            places.setdefault(word, len(places))
    weights = {word: math.log(1 + len(bags) / count) for word, count in seen.items()}
    indices, data, starts = [], [], [0]
    for bag in bags:
        for word, count in bag.items():
            indices.append(places[word])
            data.append((1 + math.log(count)) * weights[word])
        starts.append(len(indices))
    every = sparse.csr_matrix(
        (np.array(data, np.float32), np.array(indices, np.int32), np.array(starts, np.int32)),
        shape=(len(bags), max(1, len(places))),
    )
    return every[: len(targets)], every[len(targets) :]


def _covered(
    targets: Sequence[Sequence[str]], sources: Sequence[Sequence[str]], usual: Mapping[str, float]
) -> tuple[Matrix, Matrix]:
    """Return how much of the words of both names has a counterpart in the other, and how much more
    of the one than of the other. Rare words weigh more; abbreviations and initials of the other
    name's words count.
    """
    weights = _rarity([*targets, *sources], usual)
    of_targets = _coverage(targets, sources, weights)
    of_sources = _coverage(sources, targets, weights).T
    both = 2 * of_targets * of_sources / np.maximum(of_targets + of_sources, 1e-9)
    return np.asarray(both, np.float32), np.abs(of_targets - of_sources)


def _rarity(names: Sequence[Sequence[str]], usual: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each word, from how many of the names have it, here and in general."""
    seen = Counter(word for name in names for word in set(name))
    weights = {}
    for word, count in seen.items():
        share = max((count - 0.5) / (len(names) + 20), usual.get(word, 0.0), 0.002)
        weights[word] = max(0.15, -math.log(share)) * (0.5 if word.isdigit() else 1.0)
    return weights


def _coverage(
    names: Sequence[Sequence[str]], others: Sequence[Sequence[str]], weights: Mapping[str, float]
) -> Matrix:
    """Return the share, by weight, of the words of each name that each other name has."""
    vocabulary = list(dict.fromkeys(word for name in names for word in name))
    theirs = list(dict.fromkeys(word for name in others for word in name))
    place = {word: i for i, word in enumerate(theirs)}
    alike = _alike_words(vocabulary, theirs)
    best = np.zeros((len(vocabulary), len(others)), np.float32)
    for j, other in enumerate(others):
        best[:, j] = alike[:, [place[word] for word in other]].max(axis=1)
    mine = {word: i for i, word in enumerate(vocabulary)}
    having: dict[str, list[int]] = {}
    for j, other in enumerate(others):
        for word in other:
            having.setdefault(word, []).append(j)
        for _, initials in _initials(other):
            if (i := mine.get(initials)) is not None:
                best[i, j] = max(best[i, j], 0.9)
    shares = np.zeros((len(names), len(vocabulary)), np.float32)
    for row, name in enumerate(names):
        for word in name:
            shares[row, mine[word]] += weights[word]
    covered = shares @ best
    # The words whose initials are one word of the other name are covered by it.
    for row, name in enumerate(names):
        for start, initials in _initials(name):
            span = [(mine[word], weights[word]) for word in name[start : start + len(initials)]]
            for j in having.get(initials, ()):
                gain = sum(weight * (0.9 - best[i, j]) for i, weight in span)
                covered[row, j] += max(0.0, gain)
    covered /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(np.minimum(covered, 1), np.float32)


def _initials(name: Sequence[str]) -> list[tuple[int, str]]:
    """Return (place of the first word, initials) of each run of two words or more."""
    letters = "".join(word[:1] or " " for word in name)
    runs: list[tuple[int, str]] = []
    for start in range(len(name)):
        ends = range(start + 2, min(len(name), start + 6) + 1)
        runs.extend((start, letters[start:end]) for end in ends)
    return runs


def _alike_words(mine: Sequence[str], theirs: Sequence[str]) -> Matrix:
    alike = np.zeros((len(mine), len(theirs)), np.float32)
    by_letter: dict[str, list[int]] = {}
    for j, word in enumerate(theirs):
        by_letter.setdefault(word[:1], []).append(j)
    for i, word in enumerate(mine):
        for j in by_letter.get(word[:1], ()):
            alike[i, j] = alike_word(word, theirs[j])
    return alike


def alike_word(one: str, other: str) -> float:
    """Return how likely two words are the same, one perhaps abbreviated, 0 to 1."""
    if one == other:
        return 1.0
    short, long = sorted((one, other), key=len)
    if short.isdigit() or long.isdigit():
        return 0.0
    if long == f"{short}s" or STEM_ENDINGS.sub("", short) == STEM_ENDINGS.sub("", long):
        return 0.95
    if len(short) >= 2 and long.startswith(short):
        return 0.6 + 0.35 * min(1.0, (len(short) - 1) / 4)
    if len(short) >= 2 and VOWELS.sub("", long) == short:
        return 0.9
    if len(long) >= 5 and JaroWinkler.similarity(short, long) > 0.93:
        return 0.85
    if 2 <= len(short) <= 4 and len(long) > len(short) + 1 and _in_order(short, long):
        return 0.5 if len(short) == 2 else 0.65
    return 0.0


def _in_order(short: str, long: str) -> bool:
    rest = iter(long)
    return all(letter in rest for letter in short)


def _digits_differ(targets: Sequence[Sequence[str]], sources: Sequence[Sequence[str]]) -> Matrix:
    mine, theirs = (
        [" ".join(word for word in name if word.isdigit()) for name in side]
        for side in (targets, sources)
    )
    return 1 - _equal(mine, theirs)


def _opposites(targets: Sequence[Name], sources: Sequence[Name]) -> Matrix:
    """Return which names have words of both sides of a line, such as `departure` and `arrival`."""
    sides = [[_sides_of(name) for name in group] for group in (targets, sources)]
    against = np.zeros((len(targets), len(sources)), np.float32)
    for i, mine in enumerate(sides[0]):
        if not mine:
            continue
        others = {(line, 1 - side) for line, side in mine}
        for j, theirs in enumerate(sides[1]):
            against[i, j] = bool(others & theirs) and not mine & theirs
    return against


def _sides_of(name: Name) -> set[tuple[int, int]]:
    opposites = words().opposites
    of_words = [opposites.get(word, frozenset()) for word in (*name.words, *_header_words(name))]
    sides = {place for places in of_words for place in places}
    # A name with both sides, such as `from to`, is on none.
    return {(line, side) for line, side in sides if (line, 1 - side) not in sides}


def _one_in_other(targets: Sequence[str], sources: Sequence[str]) -> Matrix:
    """Return which names, as letters, are the beginning or the end of a much longer one."""
    within = np.zeros((len(targets), len(sources)), np.float32)
    for i, target in enumerate(targets):
        for j, source in enumerate(sources):
            short, long = (target, source) if len(target) < len(source) else (source, target)
            is_longer = bool(short) and len(long) - len(short) >= MORE_LETTERS
            within[i, j] = is_longer and (long.startswith(short) or long.endswith(short))
    return within


def _one_repeats(targets: Sequence[Sequence[str]], sources: Sequence[Sequence[str]]) -> Matrix:
    """Return where just one of the names has a word twice."""
    mine, theirs = (
        np.array([len(set(name)) < len(name) for name in side], bool) for side in (targets, sources)
    )
    return np.asarray(mine[:, None] != theirs[None, :], np.float32)


def _concepts(targets: Sequence[Name], sources: Sequence[Name]) -> Signals:
    """Return what the hand-made words say."""
    same = _equal(*([name.concept or "" for name in side] for side in (targets, sources)))
    known = _outer(
        [name.concept is not None for name in targets],
        [name.concept is not None for name in sources],
    )
    whole = _outer([name.is_whole for name in targets], [name.is_whole for name in sources])
    near = np.zeros_like(same)
    against = np.zeros_like(same)
    for i, target in enumerate(targets):
        for j, source in enumerate(sources):
            if target.qualifiers and source.qualifiers:
                only = target.qualifiers - source.qualifiers, source.qualifiers - target.qualifiers
                against[i, j] = all(only)
            if frozenset((target.concept, source.concept)) in words().near:
                near[i, j] = 1
    return {
        "concept_same": same * known * whole,
        "concept_other": (1 - same) * known * whole * (1 - near),
        "concept_near": near * whole,
        "qualifiers_differ": against,
    }


def _outer(mine: Sequence[bool], theirs: Sequence[bool]) -> Matrix:
    return np.outer(np.array(mine, np.float32), np.array(theirs, np.float32))


# ------------------------------------------------------------------ meanings


def meaning_signals(targets: Meanings, sources: Meanings) -> Signals:
    """Return how near the texts are to the sentence model. What all columns of a table have in
    common says nothing, so the mean of the table is taken off, too.
    """
    return {
        "meaning": _nearness(targets.names, sources.names),
        "meaning_of_values": _nearness(targets.values, sources.values),
        "meaning_of_values_in_table": _nearness(_centred(targets.values), _centred(sources.values)),
        "meaning_across": np.maximum(
            _nearness(targets.names, sources.values), _nearness(targets.values, sources.names)
        ),
    }


def _nearness(targets: Vectors, sources: Vectors) -> Matrix:
    return np.asarray(np.clip(targets @ sources.T, 0, 1), np.float32)


def _centred(vectors: Vectors) -> Vectors:
    filled = np.abs(vectors).sum(axis=1) > 0
    if filled.sum() < 3:
        return vectors
    centred = np.where(filled[:, None], vectors - vectors[filled].mean(axis=0), 0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(norms, 1e-6), np.float32)


# ------------------------------------------------------------------ values


def value_signals(targets: Sequence[Side], sources: Sequence[Side]) -> Signals:
    has = _outer([side.has_values for side in targets], [side.has_values for side in sources])
    every = {"values_missing": 1 - has, **_kinds(targets, sources, has)}
    known = [[_known(side) for side in group] for group in (targets, sources)]
    text = every.pop("_both_text")
    lowered = [[[_plain_value(value) for value in values] for values in side] for side in known]
    containment = _containment(targets, sources)
    # Equal small numbers, and equal parts of dates, are everywhere.
    wordy = has * (1 - every["both_numbers"]) * (1 - every["both_dates"])
    value_words = _cosines(*([_value_words(values) for values in side] for side in lowered))
    every |= {
        "value_hashes": containment * text,
        "value_hashes_of_others": containment * (1 - text) * has,
        "value_words": value_words * wordy,
        "value_shapes": _cosines(*([_shapes(values) for values in side] for side in known)) * wordy,
        "value_sets": _sets(*lowered) * wordy,
    }
    every["name_in_values"] = np.maximum(
        _cosines(
            [raw_words(side.name[:LONGEST_HEADER]) for side in targets],
            [_value_words(values) for values in lowered[1]],
        ),
        _cosines(
            [_value_words(values) for values in lowered[0]],
            [raw_words(side.name[:LONGEST_HEADER]) for side in sources],
        ),
    )
    # Words that differ say something only where both columns hold few of them.
    are_small = _outer([_is_small(side) for side in targets], [_is_small(side) for side in sources])
    apart = 1 - np.maximum(every["value_words"], every["value_sets"])
    every["sets_apart"] = are_small * text * apart
    one_small = np.abs(
        np.array([_is_small(side) for side in targets], np.float32)[:, None]
        - np.array([_is_small(side) for side in sources], np.float32)[None, :]
    )
    every["set_on_one"] = one_small * has
    return every | _measures(targets, sources, has)


def _known(side: Side) -> list[str]:
    return side.column.known()[:KNOWN_VALUES]


def _plain_value(value: str) -> str:
    return " ".join(WORD.findall(value.lower().replace("_", " ")))


def _value_words(values: Sequence[str]) -> list[str]:
    return [
        word for value in values for word in value.split() if not word.isdigit() or len(word) < 4
    ]


def _shapes(values: Sequence[str]) -> list[str]:
    shapes = []
    for value in values:
        shape = re.sub(r"[^\W\d_]", "a", value[:40])
        shape = re.sub(r"\d", "9", shape)
        shapes.append(re.sub(r"a{2,}", "a+", shape))
        shapes.append(re.sub(r"(.)\1+", r"\1+", shape))
    return shapes


def _is_small(side: Side) -> bool:
    return side.column.is_known and side.column.distinct.count() <= 30 and kind_of(side) == "text"


def _sets(targets: Sequence[Sequence[str]], sources: Sequence[Sequence[str]]) -> Matrix:
    """Return the share of the smaller set of values that the larger one has. A value that many
    columns have, such as `unknown`, counts little.
    """
    sets = [set(values) for values in targets], [set(values) for values in sources]
    mine, theirs = _weighted_bags(*sets)
    # A value has the same weight on both sides, so the product of the roots is the weight.
    shared = np.asarray((mine.sqrt() @ theirs.sqrt().T).todense(), np.float32)
    sums = [np.asarray(side.sum(axis=1), np.float32).ravel() for side in (mine, theirs)]
    smaller = np.minimum(sums[0][:, None], sums[1][None, :])
    return np.asarray(shared / np.maximum(smaller, 1e-6), np.float32)


def _containment(targets: Sequence[Side], sources: Sequence[Side]) -> Matrix:
    """Return the share of the smaller set of values that the larger one has, from all hashes."""
    hashes = [side.column.distinct.values for side in [*targets, *sources]]
    _, places = np.unique(np.concatenate(hashes), return_inverse=True)
    starts = np.cumsum([0, *map(len, hashes)])
    every = sparse.csr_matrix(
        (np.ones(len(places), np.float32), places, starts),
        shape=(len(hashes), int(places.max(initial=0)) + 1),
    )
    shared = np.asarray((every[: len(targets)] @ every[len(targets) :].T).todense(), np.float32)
    counts = np.array([len(values) for values in hashes], np.float32)
    smaller = np.minimum(counts[: len(targets), None], counts[None, len(targets) :])
    share = shared / np.maximum(smaller, 1)
    cut = np.array([side.column.distinct.is_cut for side in [*targets, *sources]])
    uncertain = (cut[: len(targets), None] | cut[None, len(targets) :]) & (shared > 0)
    for i, j in np.argwhere(uncertain).tolist():
        one, other = targets[i].column.distinct, sources[j].column.distinct
        share[i, j] = max(one.containment(other), other.containment(one))
    return np.asarray(share, np.float32)


def _kinds(targets: Sequence[Side], sources: Sequence[Side], has: Matrix) -> Signals:
    mine, theirs = [kind_of(side) for side in targets], [kind_of(side) for side in sources]
    both = {
        kind: _outer([k == kind for k in mine], [k == kind for k in theirs]) * has for kind in KINDS
    }
    sure = [
        [set(side.report["personal_data"]) & set(SURE_KINDS) for side in group]
        for group in (targets, sources)
    ]
    personal = _equal(*([" ".join(sorted(kinds)) for kinds in side] for side in sure))
    any_ = _outer([bool(kinds) for kinds in sure[0]], [True] * len(sources))
    any_of_source = _outer([True] * len(targets), [bool(kinds) for kinds in sure[1]])
    return {
        "kinds_differ": (1 - _equal(mine, theirs)) * has,
        "both_numbers": both["number"],
        "both_dates": both["date"],
        "both_booleans": both["boolean"],
        "personal_on_one": (1 - personal) * np.maximum(any_, any_of_source) * has,
        "_both_text": both["text"],
    }


def _measures(targets: Sequence[Side], sources: Sequence[Side], has: Matrix) -> Signals:
    """Return how alike the sizes of numbers, dates and lengths are, and how often values repeat."""
    every = [*targets, *sources]
    n = len(targets)
    quantiles = np.array([_quantiles(side) for side in every])
    whole = np.array([side.report["subtype"] == "integer" for side in every], np.float32)
    years = np.array([_years(side) for side in every])
    rows = np.array([side.column.values for side in every])
    unique = np.array([_uniqueness(side) for side in every])
    numbers = _outer(
        [not math.isnan(q[0]) for q in quantiles[:n]], [not math.isnan(q[0]) for q in quantiles[n:]]
    )
    dates = _outer(
        [not math.isnan(y[0]) for y in years[:n]], [not math.isnan(y[0]) for y in years[n:]]
    )
    many = np.minimum(rows[:n, None], rows[None, n:]) >= FEW_ROWS
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = np.log10(np.abs(quantiles[:, 2]) + 1e-3)
        apart = np.abs(middle[:n, None] - middle[None, n:])
        signs = (quantiles[:n, None, 0] < 0) != (quantiles[None, n:, 0] < 0)
    return {
        "number_range": _shared_range(quantiles[:n, [0, 4]], quantiles[n:, [0, 4]]) * numbers,
        "number_middle": _shared_range(quantiles[:n, [1, 3]], quantiles[n:, [1, 3]]) * numbers,
        "numbers_apart": np.nan_to_num(np.minimum(apart, 3)).astype(np.float32) * numbers,
        "signs_differ": signs.astype(np.float32) * numbers,
        "decimals_differ": np.abs(whole[:n, None] - whole[None, n:]) * numbers,
        "years_shared": _shared_range(years[:n], years[n:]) * dates,
        "years_apart": (1 - _shared_range(years[:n], years[n:])) * dates,
        "unique_apart": (np.abs(unique[:n, None] - unique[None, n:]) * many).astype(np.float32)
        * has,
    }


def _quantiles(side: Side) -> list[float]:
    numbers = side.column.numbers
    if kind_of(side) != "number" or not numbers.count:
        return [math.nan] * len(NUMBER_QUANTILES)
    return [numbers.quantile(rank) for rank in NUMBER_QUANTILES]


def _years(side: Side) -> list[float]:
    """Return the first and the last year of dates."""
    if side.report["type"] != "date":
        return [math.nan, math.nan]
    years = []
    for end in (side.report["min"], side.report["max"]):
        match = re.search(r"(?:19|20)\d\d", str(end))
        years.append(float(match[0]) if match else math.nan)
    return years if not any(map(math.isnan, years)) else [math.nan, math.nan]


def _shared_range(mine: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> Matrix:
    """Return the shared part of two ranges as a share of both together; (n, 2) and (m, 2)."""
    low = np.maximum(mine[:, None, 0], theirs[None, :, 0])
    high = np.minimum(mine[:, None, 1], theirs[None, :, 1])
    first = np.minimum(mine[:, None, 0], theirs[None, :, 0])
    last = np.maximum(mine[:, None, 1], theirs[None, :, 1])
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = np.where(last > first, (high - low) / (last - first), 1.0)
    return np.asarray(np.nan_to_num(np.clip(shared, 0, 1)), np.float32)


def _uniqueness(side: Side) -> float:
    return min(1.0, side.column.distinct.count() / max(1, side.column.values))


# ------------------------------------------------------------------ places


def place_signals(rows: int, columns: int) -> Signals:
    """Return how far apart the places in the two tables are, as shares of their widths."""
    mine = np.arange(rows) / max(1, rows - 1)
    theirs = np.arange(columns) / max(1, columns - 1)
    return {"places_apart": np.abs(mine[:, None] - theirs[None, :]).astype(np.float32)}
