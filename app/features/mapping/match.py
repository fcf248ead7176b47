"""Match the columns of two tables: for each reference column the best input column, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from app.features.mapping.conversions import conversions, parts_of
from app.features.mapping.evidence import Meanings, Signals, Vectors, signals
from app.features.mapping.model import confidence
from app.features.mapping.names import normal
from app.features.mapping.reasons import reasons
from app.features.mapping.values import Side
from app.features.mapping.weights import Weights, trained
from app.profiling.tables import Table

Matrix = npt.NDArray[np.float64]
RUNNERS_UP, RUNNER_UP_AT_LEAST = 3, 0.02
ACCEPTED = 1.0
"""Confidence of an accepted pair in the assignment: more than any other."""
SHOWN_AT_MOST = 0.99
SURE = 0.5
"""Confidence from which on a pair counts without a look."""
SHOWN_CELLS = 10_000
SHOWN_VALUES, SHOWN_CHARACTERS = 3, 60
"""Values of a column that are shown, and characters of each."""
NO_MATCH: dict[str, Any] = {
    "input_column": None,
    "input_columns": [],
    "confidence": 0.0,
    "reason": "no column of the input resembles it",
    "conversion": [],
}
SHOWN_MEMBERS = ("input_columns", "reference_columns", "matrix")
"""Members of a result that describe both tables."""
BY_PARTS = 0.75
"""Confidence of a column that is split or joined."""


@dataclass(slots=True)
class Compared:
    """All pairs of columns: row i for reference column i, column j for input column j."""

    signals: Signals
    confidence: Matrix
    weights: Weights
    accepted: npt.NDArray[np.bool_]


def match(
    inputs: Sequence[dict[str, Any]],
    references: Sequence[dict[str, Any]],
    input_state: str,
    reference_state: str,
    vectors: tuple[tuple[Vectors, Vectors], tuple[Vectors, Vectors]] | None,
    accepted: dict[str, list[str]],
) -> dict[str, Any]:
    """Return the mapping. `inputs` and `references` are the columns as a profile reports them, the
    states their packed tables. `vectors` has, for the reference and for the input columns, those of
    the two texts of texts.py, (columns, dimensions) each. `accepted` has, by reference header, the
    input headers that were accepted for it before.
    """
    sources, targets = _sides(inputs, input_state), _sides(references, reference_state)
    compared = compare(sources, targets, vectors, accepted)
    pairs = assign(compared.confidence, compared.weights.floor)
    mappings = [
        _mapping(i, target, sources, compared, pairs.get(i)) for i, target in enumerate(targets)
    ]
    _fill_by_parts(mappings, sources)
    body = finished(mappings, [source.name for source in sources], compared.confidence)
    body["input_columns"] = [_shown_column(side) for side in sources]
    body["reference_columns"] = [_shown_column(side) for side in targets]
    return body


def _shown_column(side: Side) -> dict[str, Any]:
    values = [value[:SHOWN_CHARACTERS] for value in side.shown[:SHOWN_VALUES]]
    return {"name": side.name, "type": side.report["type"], "values": values}


def finished(
    mappings: list[dict[str, Any]], names: Sequence[str], total: Matrix | None
) -> dict[str, Any]:
    used = {name for mapping in mappings for name in mapping["input_columns"]}
    for mapping in mappings:
        _rank_below(mapping)
    body: dict[str, Any] = {
        "mappings": mappings,
        "matched": sum(bool(mapping["input_columns"]) for mapping in mappings),
        "to_check": sum(
            bool(mapping["input_columns"]) and mapping["confidence"] < SURE for mapping in mappings
        ),
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
    """Show no runner-up as surer than the choice. It may be surer and still be chosen for another
    reference column.
    """
    if mapping["input_columns"]:
        for other in mapping["runners_up"]:
            other["confidence"] = min(other["confidence"], mapping["confidence"])


def _sides(reports: Sequence[dict[str, Any]], state: str) -> list[Side]:
    columns = Table.unpacked(state).columns
    return [Side(report["name"], report, columns[report["name"]]) for report in reports]


def compare(
    sources: Sequence[Side],
    targets: Sequence[Side],
    vectors: tuple[tuple[Vectors, Vectors], tuple[Vectors, Vectors]] | None,
    accepted: dict[str, list[str]],
) -> Compared:
    """Return the confidence of each pair, and what it is from."""
    learned = trained()
    weights = learned.without_model if vectors is None else learned.with_model
    shape = len(targets), len(sources)
    is_accepted = _accepted(sources, targets, accepted)
    if not (targets and sources):
        return Compared({}, np.zeros(shape), weights, is_accepted)
    meanings = None
    if vectors is not None:
        meanings = Meanings(*vectors[0]), Meanings(*vectors[1])
    every = signals(targets, sources, meanings, learned.usual)
    sure = confidence(every, weights)
    sure[is_accepted] = ACCEPTED
    return Compared(every, sure, weights, is_accepted)


def _accepted(
    sources: Sequence[Side], targets: Sequence[Side], accepted: dict[str, list[str]]
) -> npt.NDArray[np.bool_]:
    """Return which pairs were accepted before."""
    remembered = set()
    for target_name, source_names in accepted.items():
        for source_name in source_names:
            remembered.add((normal(target_name).plain, normal(source_name).plain))
    pairs = np.zeros((len(targets), len(sources)), bool)
    if remembered:
        plain = [normal(source.name).plain for source in sources]
        for i, target in enumerate(targets):
            header = normal(target.name).plain
            pairs[i] = [(header, name) in remembered for name in plain]
    return pairs


def assign(total: Matrix, at_least: float) -> dict[int, int]:
    """Return a column of its own for each row so that the sum is greatest. A pair below `at_least`
    counts as none.
    """
    if not total.size:
        return {}
    rows, columns = total.shape
    # A column of its own for each row, which stands for "no match",
    # makes that an answer like any other.
    none = np.full((rows, rows), at_least)
    gain = np.hstack([np.where(total >= at_least, total, 0.0), none])
    chosen_rows, chosen_columns = linear_sum_assignment(gain, maximize=True)
    pairs = zip(chosen_rows.tolist(), chosen_columns.tolist(), strict=True)
    return {i: j for i, j in pairs if j < columns and total[i, j] >= at_least}


def _mapping(
    i: int, target: Side, sources: Sequence[Side], compared: Compared, j: int | None
) -> dict[str, Any]:
    sure = compared.confidence[i]
    order = np.argsort(-sure, kind="stable").tolist()
    others = [k for k in order if k != j and sure[k] >= RUNNER_UP_AT_LEAST][:RUNNERS_UP]
    body: dict[str, Any] = {
        "reference_column": target.name,
        **NO_MATCH,
        "runners_up": [
            {"input_column": sources[k].name, "confidence": _shown(sure[k])} for k in others
        ],
    }
    if j is None:
        return body
    if compared.accepted[i, j]:
        why = "this pair was accepted before"
    else:
        why = reasons(sources[j], target, compared.signals, compared.weights.signals, (i, j))
    return body | {
        "input_column": sources[j].name,
        "input_columns": [sources[j].name],
        "confidence": _shown(sure[j]),
        "reason": why,
        "conversion": conversions(sources[j], target),
    }


def as_kept(result: dict[str, Any], kept: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mapping with the columns that a template maps, as it maps and converts them, where
    the input has all columns that it takes for one; these have `is_kept`.
    """
    names = [column["name"] for column in result["input_columns"]]
    by_name = {column["reference_column"]: column for column in kept}
    taken: set[str] = set()
    for mapping in result["mappings"]:
        column = by_name.get(mapping["reference_column"])
        columns = column["input_columns"] if column else []
        if column is None or not columns or not set(columns) <= set(names):
            continue
        taken |= set(columns)
        mapping |= {
            "input_column": columns[0] if len(columns) == 1 else None,
            "input_columns": columns,
            "confidence": SHOWN_AT_MOST,
            "reason": "the template maps it so",
            "conversion": column["conversion"],
            "is_kept": True,
        }
    if not taken:
        return result
    for mapping in result["mappings"]:
        if "is_kept" not in mapping and taken & set(mapping["input_columns"]):
            mapping |= NO_MATCH
    shown = {member: result[member] for member in SHOWN_MEMBERS if member in result}
    return finished(result["mappings"], names, None) | shown


def _shown(value: float) -> float:
    return round(min(float(value), SHOWN_AT_MOST), 3)


def _fill_by_parts(mappings: list[dict[str, Any]], sources: Sequence[Side]) -> None:
    """Split or join input columns for reference columns without a match, where that gives them."""
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
                "confidence": BY_PARTS,
                "reason": f"a {operation} can produce it",
                "conversion": [step],
            }


def adopt(
    result: dict[str, Any],
    inputs: Sequence[dict[str, Any]],
    references: Sequence[dict[str, Any]],
    input_state: str,
    reference_state: str,
    pairs: dict[str, tuple[str | None, float, str]],
) -> dict[str, Any]:
    """Return the mapping with the pairs of a language model, (input column, confidence, reason) by
    reference column. Conversions still follow from the values.
    """
    sources = {source.name: source for source in _sides(inputs, input_state)}
    mappings = []
    for mapping, target in zip(
        result["mappings"], _sides(references, reference_state), strict=True
    ):
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
    return body | {member: result[member] for member in SHOWN_MEMBERS if member in result}
