"""The whole matrix, one to one: for each wanted column the best given one, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from app.features.mapping.conversions import conversions, parts_of
from app.features.mapping.names import EQUAL, normal, similarity
from app.features.mapping.values import Side, evidence, kind_of
from app.profiling.tables import Table

Matrix = npt.NDArray[np.float64]
THRESHOLD = 0.5
"""A pair below is no match."""

REST_MEANING, REST_OTHERS, REST_OF_NUMBERS = 0.7, 0.3, 0.05
REST_AT_LEAST, REST_AT_LEAST_UNREAD, REST_AT_MOST = 0.15, 0.05, 0.45
"""For pairs of columns that are left over: weights; the least, with
and without the sentence model, and the most."""

RUNNERS_UP, RUNNER_UP_AT_LEAST = 3, 0.25
BY_MEANING_AT_MOST = 0.7
"""What the embeddings of two names can say at most: they know that
things are related, not that they are the same."""

SAME_VALUES = 0.5
CONTRADICTED_AT_MOST = 0.45
"""If a column of words shares so much with another one and nothing
with this, this is no match by its name alone."""

ACCEPTED = 1.0
"""More than any likeness."""
SHOWN_CELLS = 10_000


@dataclass(slots=True)
class Scores:
    """Row i for the wanted column i, column j for the given column j."""

    names: Matrix
    for_: Matrix
    against: Matrix
    shared: Matrix
    """Share of the words in one that are in the other, too."""
    total: Matrix
    contradicted: npt.NDArray[np.bool_]
    """Pairs of which the values of the reference are in another column."""
    reasons: dict[tuple[int, int], list[str]]


def match(
    given: Sequence[dict[str, Any]],
    wanted: Sequence[dict[str, Any]],
    given_state: str,
    wanted_state: str,
    cosines: Matrix | None,
    accepted: dict[str, list[str]],
) -> dict[str, Any]:
    """The mapping. `given` and `wanted` are the columns as a profile reports them, the states their
    packed tables; `cosines[i, j]` says how near wanted i is to given j in meaning; `accepted` has,
    by wanted header, the given headers that somebody accepted for it before."""
    sources, targets = _sides(given, given_state), _sides(wanted, wanted_state)
    scores = score(sources, targets, cosines, accepted)
    pairs = assign(scores.total)
    mappings = [
        _mapping(i, target, sources, scores, pairs.get(i)) for i, target in enumerate(targets)
    ]
    _fill_by_parts(mappings, sources)
    _fill_with_rest(mappings, targets, sources, scores, cosines)
    return finished(mappings, [source.name for source in sources], scores.total)


def finished(
    mappings: list[dict[str, Any]], names: Sequence[str], total: Matrix | None
) -> dict[str, Any]:
    used = {name for mapping in mappings for name in mapping["input_columns"]}
    for mapping in mappings:
        _rank_below(mapping)
    body: dict[str, Any] = {
        "mappings": mappings,
        "matched": sum(bool(mapping["input_columns"]) for mapping in mappings),
        "unused_input_columns": [name for name in names if name not in used],
    }
    if total is not None and total.size <= SHOWN_CELLS:
        body["matrix"] = {
            "reference_columns": [mapping["reference_column"] for mapping in mappings],
            "input_columns": list(names),
            "similarity": [[round(float(value), 3) for value in row] for row in total],
        }
    return body


def _rank_below(mapping: dict[str, Any]) -> None:
    """Others may be more like this reference column and still be chosen for another one, or make
    the choice less sure: none is shown to be surer than the choice."""
    if mapping["input_columns"]:
        for other in mapping["runners_up"]:
            other["confidence"] = min(other["confidence"], mapping["confidence"])


def _sides(reports: Sequence[dict[str, Any]], state: str) -> list[Side]:
    columns = Table.unpacked(state).columns
    return [Side(report["name"], report, columns[report["name"]]) for report in reports]


def score(
    sources: Sequence[Side],
    targets: Sequence[Side],
    cosines: Matrix | None,
    accepted: dict[str, list[str]],
) -> Scores:
    """How likely each pair is the same thing, 0 to 1."""
    names, for_all, against_all, shared, total = (
        np.zeros((len(targets), len(sources))) for _ in range(5)
    )
    scores = Scores(names, for_all, against_all, shared, total, np.zeros(total.shape, bool), {})
    remembered = set()
    for target_name, source_names in accepted.items():
        for source_name in source_names:
            remembered.add((normal(target_name).plain, normal(source_name).plain))
    for i, target in enumerate(targets):
        wanted = normal(target.name)
        for j, source in enumerate(sources):
            have = normal(source.name)
            if (wanted.plain, have.plain) in remembered:
                scores.names[i, j] = scores.total[i, j] = ACCEPTED
                scores.reasons[i, j] = ["this pair was accepted before"]
                continue
            by_name, why = similarity(have, wanted)
            if cosines is not None and not (have.concept and wanted.concept):
                near = float(np.clip((cosines[i, j] - 0.4) / 0.5, 0, 1)) * BY_MEANING_AT_MOST
                if near > by_name:
                    by_name, why = near, "the names are near in meaning"
            for_, against, shared[i, j], reasons = evidence(source, target)
            scores.names[i, j], scores.for_[i, j], scores.against[i, j] = by_name, for_, against
            room = 1 - by_name if by_name >= THRESHOLD else max(0.0, 0.75 - by_name)
            weight_against = 0.4 if by_name > 0.9 else 0.7
            likeness = by_name + for_ * room * 0.9 - against * weight_against
            scores.total[i, j] = max(0.0, min(0.99, likeness))
            scores.reasons[i, j] = [why, *reasons]
    _heed_contradictions(scores)
    return scores


def _heed_contradictions(scores: Scores) -> None:
    """Words that stand for each other say little where the values of one column are all in another
    one. Names that are equal to the letter, and pairs that were accepted, stay as they are."""
    for i, shares in enumerate(scores.shared):
        if shares.max(initial=0.0) < SAME_VALUES:
            continue
        scores.contradicted[i] = (shares == 0) & (scores.names[i] < EQUAL)
        too_likely = scores.contradicted[i] & (scores.total[i] > CONTRADICTED_AT_MOST)
        for j in np.flatnonzero(too_likely).tolist():
            scores.total[i, j] = CONTRADICTED_AT_MOST
            scores.reasons[i, j].append("another column holds the values of the reference")


def assign(total: Matrix, at_least: float = THRESHOLD) -> dict[int, int]:
    """Each row with one column of its own so that the sum is
    greatest; a pair below `at_least` counts as none."""
    if not total.size:
        return {}
    rows, columns = total.shape
    # A column of its own for each row, which stands for "no match",
    # makes that an answer like any other.
    none = np.full((rows, rows), at_least)
    gain = np.hstack([np.where(total >= at_least, total, 0.0), none])
    chosen = linear_sum_assignment(gain, maximize=True)
    chosen_rows, chosen_columns = chosen
    pairs = zip(chosen_rows.tolist(), chosen_columns.tolist(), strict=True)
    return {i: j for i, j in pairs if j < columns and total[i, j] >= at_least}


def confidence(scores: Scores, i: int, j: int) -> float:
    """Lower where another column would do nearly as well."""
    value = float(scores.total[i, j])
    if scores.names[i, j] >= EQUAL - 0.02:
        return round(min(value, 0.99), 3)
    rivals = [*np.delete(scores.total[i], j).tolist(), *np.delete(scores.total[:, j], i).tolist()]
    margin = value - max(rivals, default=0.0)
    return round(value * (0.8 + 0.2 * float(np.clip(margin / 0.2, 0, 1))), 3)


def _mapping(
    i: int, target: Side, sources: Sequence[Side], scores: Scores, j: int | None
) -> dict[str, Any]:
    order = np.argsort(-scores.total[i], kind="stable").tolist() if sources else []
    others = [k for k in order if k != j and scores.total[i, k] >= RUNNER_UP_AT_LEAST][:RUNNERS_UP]
    body: dict[str, Any] = {
        "reference_column": target.name,
        "input_column": None,
        "input_columns": [],
        "confidence": 0.0,
        "reason": "no column of the input is like it",
        "runners_up": [
            {"input_column": sources[k].name, "confidence": round(float(scores.total[i, k]), 3)}
            for k in others
        ],
        "conversion": [],
    }
    if j is not None:
        body |= {
            "input_column": sources[j].name,
            "input_columns": [sources[j].name],
            "confidence": confidence(scores, i, j),
            "reason": "; ".join(scores.reasons[i, j]),
            "conversion": conversions(sources[j], target),
        }
    return body


def _fill_by_parts(mappings: list[dict[str, Any]], sources: Sequence[Side]) -> None:
    """Columns without a match may be parts of one that is there, or made of some that are."""
    for mapping in mappings:
        if mapping["input_columns"]:
            continue
        parts = parts_of(mapping["reference_column"], sources)
        if parts is not None:
            columns, step = parts
            operation = "join" if len(columns) > 1 else "split"
            mapping |= {
                "input_column": columns[0] if len(columns) == 1 else None,
                "input_columns": columns,
                "confidence": 0.75,
                "reason": f"it can be made by a {operation}",
                "conversion": [step],
            }


def _fill_with_rest(
    mappings: list[dict[str, Any]],
    targets: Sequence[Side],
    sources: Sequence[Side],
    scores: Scores,
    cosines: Matrix | None,
) -> None:
    """Pairs of what is left on both sides, by meaning, letters and values
    together. Evidence that is too weak to choose among all columns may do to
    choose among few; such a pair is never a sure one."""
    used = {name for mapping in mappings for name in mapping["input_columns"]}
    rows = [i for i, mapping in enumerate(mappings) if not mapping["input_columns"]]
    columns = [j for j, source in enumerate(sources) if source.name not in used]
    if not (rows and columns):
        return
    places = np.ix_(rows, columns)
    likely = REST_OTHERS * (scores.names[places] + scores.for_[places] - scores.against[places])
    at_least = REST_AT_LEAST_UNREAD
    if cosines is not None:
        likely += REST_MEANING * cosines[places]
        at_least = REST_AT_LEAST
    # Numbers are alike without meaning the same.
    are_numbers = np.outer(
        [kind_of(targets[i]) == "number" for i in rows],
        [kind_of(sources[j]) == "number" for j in columns],
    )
    likely -= REST_OF_NUMBERS * are_numbers
    likely[scores.contradicted[places]] = 0.0
    for a, b in assign(likely, at_least).items():
        i, j = rows[a], columns[b]
        name = sources[j].name
        runners_up = [other for other in mappings[i]["runners_up"] if other["input_column"] != name]
        reasons = ["of the columns that are left it is the nearest", *scores.reasons[i, j][1:]]
        mappings[i] |= {
            "input_column": name,
            "input_columns": [name],
            "confidence": round(min(float(likely[a, b]), REST_AT_MOST), 3),
            "reason": "; ".join(reasons),
            "runners_up": runners_up,
            "conversion": conversions(sources[j], targets[i]),
        }


def adopt(
    result: dict[str, Any],
    given: Sequence[dict[str, Any]],
    wanted: Sequence[dict[str, Any]],
    given_state: str,
    wanted_state: str,
    pairs: dict[str, tuple[str | None, float, str]],
) -> dict[str, Any]:
    """The mapping with the pairs that somebody else proposed, (input column, confidence, reason) by
    reference column; the conversions are told from the values, here as everywhere."""
    sources = {source.name: source for source in _sides(given, given_state)}
    mappings = []
    for mapping, target in zip(result["mappings"], _sides(wanted, wanted_state), strict=True):
        name, sure, reason = pairs[target.name]
        before = {
            "input_column": mapping["input_column"],
            "confidence": mapping["confidence"],
        }
        others = [before] if before["input_column"] else []
        others += mapping["runners_up"]
        others = [other for other in others if other["input_column"] != name]
        mappings.append(
            mapping
            | {
                "input_column": name,
                "input_columns": [name] if name else [],
                "confidence": round(sure, 3) if name else 0.0,
                "reason": reason,
                "runners_up": others[:RUNNERS_UP],
                "conversion": conversions(sources[name], target) if name else [],
            }
        )
    body = finished(mappings, list(sources), None)
    if "matrix" in result:
        body["matrix"] = result["matrix"]
    return body
