"""Train and measure the matching of columns on pairs of tables that are made with their truth.

    python scripts/train_matching.py                       writes weights.json, and figures of docs/mapping.md
    python scripts/train_matching.py --cache /tmp/vectors  keeps vectors, which take a minute, for the next run

- Wants the sentence model (./scripts/install_model).
- Pairs come from scripts/matching: domains of concepts with their names and values. The weights
  are not trained on the domains HELD_OUT; all figures of the page are theirs.
- The score is linear. It is trained so that each column of a pair chooses its counterpart, or "none",
  among all columns of the other table (a softmax by row and one by column). A signal that is to speak
  for a pair has no weight below 0, one that is to speak against it none above 0.
- The confidence is calibrated on scores of domains that the score was not trained on: a logistic
  regression of the odds, then an isotonic one. Pairs in doubt (evidence.py) have a curve of their own,
  which ends at HIGHEST_IN_DOUBT.
- Nothing is random beyond seeds, so the same code and the same model give the same weights, but for
  the last digits.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.embeddings.model import DIMENSIONS, Embedder
from app.features.mapping.evidence import Meanings, Signals, signals
from app.features.mapping.match import assign
from app.features.mapping.model import confidence, odds, score
from app.features.mapping.texts import column_texts, raw_words
from app.features.mapping.values import Side
from app.features.mapping.weights import WEIGHTS, Trained, Weights
from app.profiling.tables import Table, of_cells, report
from scripts.matching.concepts import HELD_OUT, domains, training_domains
from scripts.matching.pairs import Pair, pairs

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "mapping.md"
PLOT = ROOT / "docs" / "assets" / "mapping-calibration.svg"
MODEL = ROOT / "storage" / "models" / "all-MiniLM-L6-v2"
COUNTS = {"export": 6, "standard": 5, "unionable": 1, "view": 1, "joinable": 1, "semantic": 1}
"""Pairs of each kind and domain to train on."""
HELD_OUT_COUNTS = {
    "export": 12,
    "standard": 12,
    "unionable": 3,
    "view": 3,
    "joinable": 3,
    "semantic": 3,
}
FOLDS = 3
NEAREST, OTHERS = 5, 0.1
"""Pairs to train on: so many of each column, and a share of the others."""
FLOORS = np.arange(0.1, 0.6, 0.02)
OPEN = 0.72
"""Share of the columns without a counterpart that are to be left open: somewhat more than is wanted
on domains that were not trained on."""
USUAL_FROM = 4
HIGHEST = 0.98
HIGHEST_IN_DOUBT = 0.9
"""Confidence that a pair in doubt never exceeds, whatever the share that is right."""

FOR = (
    "equal", "words_equal", "letters", "name_best", "concept_same", "concept_near", "meaning", "meaning_across",
    "meaning_of_values_in_table", "name_in_values", "values_best", "value_shapes", "value_hashes_of_others",
    "both_numbers", "both_dates", "both_booleans", "number_range", "number_middle", "years_shared", "values_missing",
)  # fmt: skip
AGAINST = (
    "digits_differ", "opposites", "concept_other", "qualifiers_differ", "kinds_differ", "personal_on_one", "sets_apart",
    "set_on_one", "numbers_apart", "signs_differ", "decimals_differ", "years_apart", "unique_apart", "places_apart",
    "values_elsewhere",
)  # fmt: skip
OPEN_TO_BOTH = ("name_without_values",)
GROUPS = {
    "names": ("equal", "words_equal", "letters", "digits_differ", "opposites"),
    "hand-made words": ("concept_same", "concept_near", "concept_other", "qualifiers_differ"),
    "the sentence model": ("meaning", "meaning_across", "meaning_of_values_in_table"),
    "values": (
        "values_best", "value_shapes", "name_in_values", "value_hashes_of_others", "sets_apart", "set_on_one",
        "unique_apart", "personal_on_one", "meaning_of_values_in_table", "values_elsewhere",
    ),
    "types and ranges": (
        "both_numbers", "both_dates", "both_booleans", "kinds_differ", "number_range", "number_middle", "years_shared",
        "numbers_apart", "signs_differ", "decimals_differ", "years_apart",
    ),
    "places": ("places_apart",),
}  # fmt: skip
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Example:
    """A pair with its signals; `truth` has the source of each target, or -1."""

    pair: Pair
    signals: Signals
    truth: npt.NDArray[np.int64]


# ------------------------------------------------------------------ examples


def usual_words(names: Iterable[str]) -> dict[str, float]:
    """Return the share of headers that have a word, of words in several headers."""
    headers = [header for name in names for concept in domains()[name] for header in concept.names]
    seen = Counter(word for header in headers for word in set(raw_words(header)))
    return {
        word: round(count / len(headers), 5)
        for word, count in sorted(seen.items())
        if count >= USUAL_FROM
    }


def sides(table: dict[str, list[str]]) -> list[Side]:
    """Return the columns as a mapping job sees them."""
    height = max(map(len, table.values()), default=0)
    rows = [
        [values[i] if i < len(values) else "" for values in table.values()] for i in range(height)
    ]
    packed = of_cells(rows, list(table), range(1, height + 1))
    columns = Table.unpacked(packed).columns
    return [Side(column["name"], column, columns[column["name"]]) for column in report(packed)]


def examples(
    chosen: Sequence[Pair], usual: dict[str, float], encode: Callable[[Sequence[str]], Any] | None
) -> list[Example]:
    """Return the pairs with their signals; without `encode` those of the sentence model are absent."""
    tables = [(sides(pair.wanted), sides(pair.given)) for pair in chosen]
    texts = [
        column_texts([side.report for side in wanted], [side.report for side in given], usual)
        for wanted, given in tables
    ]
    vectors: dict[str, Any] = {}
    if encode is not None:
        every = dict.fromkeys(
            text for pair in texts for side in pair for two in side for text in two
        )
        every.pop("", None)
        vectors = dict(zip(every, encode(list(every)), strict=True))
    made = []
    for pair, (wanted, given), texts_of_pair in zip(chosen, tables, texts, strict=True):
        meanings = None
        if encode is not None:
            meanings = (_meanings(texts_of_pair[0], vectors), _meanings(texts_of_pair[1], vectors))
        place = {side.name: j for j, side in enumerate(given)}
        truth = [place[pair.truth[side.name]] if side.name in pair.truth else -1 for side in wanted]
        made.append(Example(pair, signals(wanted, given, meanings, usual), np.array(truth)))
    return made


def _meanings(texts: Sequence[tuple[str, str]], vectors: dict[str, Any]) -> Meanings:
    nothing = np.zeros(DIMENSIONS, np.float32)
    names = np.array([vectors.get(name, nothing) for name, _ in texts], np.float32)
    values = np.array([vectors.get(value, nothing) for _, value in texts], np.float32)
    return Meanings(names, values)


# ------------------------------------------------------------------ training


class _Cells:
    """All pairs of columns of several examples, in flat arrays."""

    def __init__(self, chosen: Sequence[Example], names: Sequence[str]) -> None:
        blocks, right, rows, columns, offsets = [], [], [], [], []
        self.row_weights: Any = []
        self.column_weights: Any = []
        row = column = 0
        for example in chosen:
            n, m = next(iter(example.signals.values())).shape
            truth = _truth(example, (n, m))
            near, others = _rivals(example.signals)
            is_sure = (truth | near).ravel()
            kept = np.flatnonzero(is_sure | others.ravel())
            offsets.append(np.where(is_sure[kept], 0.0, -math.log(OTHERS)))
            blocks.append(np.stack([example.signals[name].ravel()[kept] for name in names], axis=1))
            right.append(truth.ravel()[kept])
            rows.append(row + kept // m)
            columns.append(column + kept % m)
            self.row_weights.append(_weights_of(truth.any(axis=1)))
            self.column_weights.append(_weights_of(truth.any(axis=0)))
            row, column = row + n, column + m
        self.signals = np.concatenate(blocks).astype(np.float32)
        self.offsets = np.concatenate(offsets)
        """What to add to the score of a cell that stands for several like it."""
        self.right = np.concatenate(right).astype(np.float64)
        self.by_row = _Choices(np.concatenate(rows), self.right, np.concatenate(self.row_weights))
        self.by_column = _Choices(
            np.concatenate(columns), self.right, np.concatenate(self.column_weights)
        )
        self.total = self.by_row.weights.sum() + self.by_column.weights.sum()


def _rivals(every: Signals) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the nearest pairs of each row and column, and a sample that stands for the others."""
    near = every["name_best"] + every["values_best"] + every.get("meaning", np.float32(0))
    others = np.random.default_rng(0).random(near.shape) < OTHERS
    nearest = np.zeros(near.shape, bool)
    for axis in (0, 1):
        ranks = (-near).argsort(axis=axis, kind="stable").argsort(axis=axis, kind="stable")
        nearest |= ranks < NEAREST
    return nearest, others


def _weights_of(has_counterpart: Any) -> Floats:
    """The columns without a counterpart together weigh no more than 0.7 of those with one."""
    share = min(1.0, max(1, has_counterpart.sum()) / max(1, (~has_counterpart).sum()))
    return np.where(has_counterpart, 1.0, 0.7 * share)


class _Choices:
    """Choices of one cell, or none, in each group of cells."""

    def __init__(self, groups: npt.NDArray[np.int64], right: Floats, weights: Floats) -> None:
        self.order = np.argsort(groups, kind="stable")
        self.back = np.argsort(self.order, kind="stable")
        self.groups = groups[self.order]
        self.starts = np.flatnonzero(np.diff(self.groups, prepend=-1))
        self.right = right[self.order]
        self.has_right = np.add.reduceat(self.right, self.starts) > 0
        self.weights = weights

    def loss(self, scores: Floats, none: float) -> tuple[float, Floats, float]:
        """Return the loss, and its slopes by score and by the score of "none"."""
        ordered = scores[self.order]
        highest = np.maximum(np.maximum.reduceat(ordered, self.starts), none)
        powers = np.exp(ordered - highest[self.groups])
        of_none = np.exp(none - highest)
        sums = np.add.reduceat(powers, self.starts) + of_none
        chosen = np.add.reduceat(ordered * self.right, self.starts)
        chosen = np.where(self.has_right, chosen, none)
        loss = float(self.weights @ (highest + np.log(sums) - chosen))
        slopes = (powers / sums[self.groups] - self.right) * self.weights[self.groups]
        slope_of_none = float(self.weights @ (of_none / sums - ~self.has_right))
        return loss, slopes[self.back], slope_of_none


def train(chosen: Sequence[Example], left_out: Sequence[str] = (), steps: int = 80) -> Weights:
    """Return the weights of the score; its confidence is not calibrated yet."""
    present = chosen[0].signals
    every = [*FOR, *AGAINST, *OPEN_TO_BOTH]
    names = [name for name in every if name in present and name not in left_out]
    cells = _Cells(chosen, names)
    scale = np.sqrt((cells.signals**2).mean(axis=0)) + 1e-3
    bounds: list[tuple[float | None, float | None]] = []
    for name in names:
        low = 0.0 if name in FOR else None
        bounds.append((low, 0.0 if name in AGAINST else None))

    def loss(point: Floats) -> tuple[float, Floats]:
        scores = (cells.signals @ (point[:-2] / scale).astype(np.float32)).astype(np.float64)
        scores += cells.offsets
        by_row, row_slopes, none_in_row = cells.by_row.loss(scores, point[-2])
        by_column, column_slopes, none_in_column = cells.by_column.loss(scores, point[-1])
        slopes = (row_slopes + column_slopes).astype(np.float32)
        slope = np.concatenate([cells.signals.T @ slopes / scale, [none_in_row, none_in_column]])
        penalty = 1e-3 * float(point[:-2] @ point[:-2])
        slope = slope / cells.total
        slope[:-2] += 2e-3 * point[:-2]
        return (by_row + by_column) / cells.total + penalty, slope

    start = np.concatenate([np.zeros(len(names)), [3.0, 3.0]])
    options = {"maxiter": steps}
    best = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[*bounds, (None, None), (None, None)],
        options=options,
    ).x
    weights = dict(zip(names, np.round(best[:-2] / scale, 3).tolist(), strict=True))
    weights = {name: weight for name, weight in weights.items() if weight}
    curve = [(-20.0, 0.0), (20.0, 1.0)]
    none = round(float(best[-2]), 3), round(float(best[-1]), 3)
    return Weights(weights, *none, (0.0, 1.0, 1.0), curve, curve, 0.0)


def calibrated(chosen: Sequence[Example], left_out: Sequence[str] = (), steps: int = 80) -> Weights:
    """Return weights with a confidence, calibrated on domains in turn that were not trained on."""
    names = sorted({example.pair.domain for example in chosen})
    outside: list[tuple[Example, Weights]] = []
    for fold in range(FOLDS):
        away = names[fold::FOLDS]
        inner = train([e for e in chosen if e.pair.domain not in away], left_out, steps)
        outside += [(example, inner) for example in chosen if example.pair.domain in away]
    rows, right, importance = [], [], []
    for example, inner in outside:
        scores = score(example.signals, inner)
        by_row, by_column = odds(scores, inner)
        rows.append(np.stack([by_row.ravel(), by_column.ravel()], axis=1))
        truth = _truth(example, scores.shape)
        right.append(truth.ravel())
        importance.append(np.ones(truth.size))
    constant, of_row, of_column = _logistic(np.concatenate(rows), np.concatenate(right))
    weights = train(chosen, left_out, steps)
    weights = msgspec.structs.replace(weights, odds=(constant, of_row, of_column))
    shown: list[Floats] = []
    for example, inner in outside:
        inner = msgspec.structs.replace(inner, odds=weights.odds)
        shown.append(_shown(example, inner))
    points = np.concatenate(shown)
    in_doubt = points[:, 2] > 0
    weights = msgspec.structs.replace(
        weights,
        curve=_curve(points[~in_doubt], HIGHEST),
        curve_in_doubt=_curve(points[in_doubt], HIGHEST_IN_DOUBT),
    )
    curves = {"curve": weights.curve, "curve_in_doubt": weights.curve_in_doubt}
    measured = [
        (example, msgspec.structs.replace(inner, odds=weights.odds, **curves))
        for example, inner in outside
    ]
    return msgspec.structs.replace(weights, floor=_floor(measured))


def _truth(example: Example, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    truth = np.zeros(shape, bool)
    known = np.flatnonzero(example.truth >= 0)
    truth[known, example.truth[known]] = True
    return truth


def _logistic(values: Floats, right: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    target = right.astype(np.float64)
    design = np.concatenate([np.ones((len(values), 1)), np.clip(values, -30, 30)], axis=1)

    def loss(point: Floats) -> tuple[float, Floats]:
        scores = design @ point
        value = np.logaddexp(0, scores) - target * scores
        slope = design.T @ (1 / (1 + np.exp(-scores)) - target)
        return float(value.mean()), slope / len(target)

    bounds = [(None, None), (0.05, None), (0.05, None)]
    point = minimize(loss, np.array([0.0, 0.5, 0.5]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return tuple(np.round(point, 4).tolist())


def _shown(example: Example, weights: Weights) -> Floats:
    """Return (log odds, right or not, in doubt or not) of the best pairs of each column, (n, 3)."""
    scores = score(example.signals, weights)
    constant, of_row, of_column = weights.odds
    by_row, by_column = odds(scores, weights)
    together = constant + of_row * by_row + of_column * by_column
    truth = _truth(example, scores.shape)
    chosen = assign(1 / (1 + np.exp(-together)), 0.02)
    places = list(chosen.items())
    in_doubt = example.signals["in_doubt"]
    points = [(together[i, j], truth[i, j], in_doubt[i, j]) for i, j in places]
    return np.array(points).reshape(-1, 3)


def _curve(shown: Floats, highest: float) -> list[tuple[float, float]]:
    """Return the isotonic regression up to `highest`, as points between which it is straight."""
    ordered = shown[np.argsort(shown[:, 0], kind="stable")]
    blocks: list[list[float]] = []
    size = max(20, len(ordered) // 40)
    for start in range(0, len(ordered), size):
        block = ordered[start : start + size]
        blocks.append([float(block[:, 0].mean()), float(block[:, 1].sum()), float(len(block))])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            last = blocks.pop()
            before = blocks[-1]
            weight = before[2] + last[2]
            place = (before[0] * before[2] + last[0] * last[2]) / weight
            blocks[-1] = [place, before[1] + last[1], weight]
    # One more of each kind: no block is sure because it is small.
    points = [
        (round(x, 3), round(min(highest, (right + 0.5) / (count + 1)), 4))
        for x, right, count in blocks
    ]
    low, high = points[0][0] - 6, points[-1][0] + 6
    return [
        (round(low, 3), 0.0),
        *points,
        (round(high, 3), 0.99 if highest == HIGHEST else highest),
    ]


def _floor(measured: Sequence[tuple[Example, Weights]]) -> float:
    """Return the lowest confidence at which enough columns without a counterpart stay open."""
    for floor in FLOORS:
        _, _, left_open, alone, _ = totals(measured, float(floor))
        if left_open >= OPEN * alone:
            return round(float(floor), 2)
    return float(FLOORS[-1])


# ------------------------------------------------------------------ figures


def totals(
    measured: Sequence[tuple[Example, Weights]], floor: float | None = None
) -> tuple[int, int, int, int, int]:
    """Return the right columns, the columns with a counterpart, those without one that are left
    open, those without one, and wrong pairs above 0.9. Columns are those of the narrower table.
    """
    right = known = left_open = alone = sure = 0
    for example, weights in measured:
        confidences = confidence(example.signals, weights)
        pairs_of = assign(confidences, weights.floor if floor is None else floor)
        truth = example.truth
        known += int((truth >= 0).sum())
        right += sum(truth[i] == j for i, j in pairs_of.items())
        sure += sum(truth[i] != j and confidences[i, j] > 0.9 for i, j in pairs_of.items())
        n, m = confidences.shape
        if m <= n:
            free = set(range(m)) - set(truth[truth >= 0].tolist())
            left_open += len(free - set(pairs_of.values()))
        else:
            free = {i for i in range(n) if truth[i] < 0}
            left_open += len(free - pairs_of.keys())
        alone += len(free)
    return right, known, left_open, alone, sure


def reliability(measured: Sequence[tuple[Example, Weights]]) -> list[tuple[float, float, int]]:
    """Return (mean confidence, share that is right, number) of the choices, by tenths."""
    shown = []
    for example, weights in measured:
        confidences = confidence(example.signals, weights)
        for i, j in assign(confidences, weights.floor).items():
            shown.append((confidences[i, j], example.truth[i] == j))
    points = np.array(shown)
    lines = []
    for low in np.arange(0, 1, 0.1):
        inside = points[(points[:, 0] >= low) & (points[:, 0] < low + 0.1)]
        if len(inside):
            lines.append((float(inside[:, 0].mean()), float(inside[:, 1].mean()), len(inside)))
    return lines


def first_choices(measured: Sequence[tuple[Example, Weights]]) -> float:
    """Return recall@1: the share of the columns of the narrower table whose best pair is right."""
    right = known = 0
    for example, weights in measured:
        scores = score(example.signals, weights)
        if scores.shape[0] < scores.shape[1]:
            best = scores.argmax(axis=1)
            right += sum(best[i] == j for i, j in enumerate(example.truth) if j >= 0)
        else:
            best = scores.argmax(axis=0)
            right += sum(best[j] == i for i, j in enumerate(example.truth) if j >= 0)
        known += int((example.truth >= 0).sum())
    return right / max(1, known)


def plot(lines: Sequence[tuple[float, float, int]]) -> str:
    """Return the calibration as SVG: confidence to the right, share that is right upwards."""
    size, edge = 320, 40

    def at(x: float, y: float) -> tuple[float, float]:
        return edge + x * size, edge + (1 - y) * size

    text = 'font-family="sans-serif" font-size="11" fill="#555"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size + 2 * edge}" height="{size + 2 * edge}"'
        ' role="img" aria-label="Calibration of the confidence">',
        f'<rect width="{size + 2 * edge}" height="{size + 2 * edge}" fill="#fff"/>',
    ]
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        x, y = at(tick, tick)
        parts.append(
            f'<path d="M{edge} {y:.0f}H{edge + size}M{x:.0f} {edge}V{edge + size}" stroke="#ddd"/>'
        )
        parts.append(
            f'<text x="{x:.0f}" y="{edge + size + 16}" text-anchor="middle" {text}>{tick}</text>'
        )
        parts.append(f'<text x="{edge - 6}" y="{y + 4:.0f}" text-anchor="end" {text}>{tick}</text>')
    parts.append(
        f'<path d="M{edge} {edge + size}L{edge + size} {edge}" stroke="#999" stroke-dasharray="4"/>'
    )
    points = [at(x, y) for x, y, _ in lines]
    route = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    parts.append(f'<path d="M{route}" fill="none" stroke="#06c" stroke-width="2"/>')
    for (x, y), (_, _, count) in zip(points, lines, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#06c"/>')
        parts.append(f'<text x="{x + 7:.1f}" y="{y + 12:.1f}" {text}>{count}</text>')
    middle = edge + size / 2
    parts.append(
        f'<text x="{middle}" y="{edge + size + 33}" text-anchor="middle" {text}>confidence shown</text>'
    )
    parts.append(
        f'<text x="{middle}" y="{edge - 14}" text-anchor="middle" {text}>share of the pairs that is right</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


def _figures(
    weights: Weights,
    held_out: list[Example],
    names_alone: Weights,
    without: list[Example],
) -> list[str]:
    rows = [
        "| held-out pairs | pairs | columns | recall@1 | assigned right | left open | wrong above 0.9 |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[str, Callable[[Example], bool]] = {
        "medical standard (oncology)": lambda e: (
            (e.pair.domain, e.pair.kind) == ("oncology", "standard")
        ),
        "other standards (farming, aviation)": lambda e: (
            e.pair.domain != "oncology" and e.pair.kind == "standard"
        ),
        "two exports": lambda e: e.pair.kind == "export",
        "fabricated (unionable, view, joinable, semantic)": lambda e: (
            e.pair.kind not in ("export", "standard")
        ),
        "all": lambda e: True,
    }
    for label, belongs in groups.items():
        rows.append(_row(label, [(e, weights) for e in held_out if belongs(e)]))
    rows.append(_row("all, without the sentence model", [(e, names_alone) for e in without]))
    return rows


def _row(label: str, measured: list[tuple[Example, Weights]]) -> str:
    right, known, left_open, alone, sure = totals(measured)
    first = first_choices(measured)
    return (
        f"| {label} | {len(measured)} | {known} | {first:.3f} | {right / known:.3f} |"
        f" {left_open / max(1, alone):.3f} of {alone} | {sure} |"
    )


def _by_kind(weights: Weights, held_out: list[Example]) -> str:
    standards = first_choices([(e, weights) for e in held_out if e.pair.kind == "standard"])
    exports = first_choices([(e, weights) for e in held_out if e.pair.kind == "export"])
    return f"{standards:.3f} | {exports:.3f}"


def _ablations(chosen: list[Example], held_out: list[Example], weights: Weights) -> list[str]:
    rows = [
        "| signals | recall@1 of standards | recall@1 of exports |",
        "|---|---|---|",
        f"| all | {_by_kind(weights, held_out)} |",
    ]
    for group, names in GROUPS.items():
        rows.append(f"| without {group} | {_by_kind(train(chosen, names), held_out)} |")
    every = {name for names in GROUPS.values() for name in names}
    for label, kept in (
        ("the words and letters of names alone", GROUPS["names"]),
        ("the sentence model on names alone", ("meaning",)),
    ):
        away = [
            name
            for name in {*every, *FOR, *AGAINST, *OPEN_TO_BOTH}
            if name not in kept and name != "name_best"
        ]
        if label.startswith("the sentence"):
            away.append("name_best")
        rows.append(f"| {label} | {_by_kind(train(chosen, away), held_out)} |")
    return rows


# ------------------------------------------------------------------ main


def _encoder(cache: Path | None) -> Callable[[Sequence[str]], Any]:
    embedder = Embedder(MODEL)
    known: dict[str, Any] = {}
    if cache and cache.exists():
        kept = np.load(cache)
        known.update(zip(kept["texts"].tolist(), kept["vectors"], strict=True))

    def encode(texts: Sequence[str]) -> list[Any]:
        new = [text for text in texts if text not in known]
        if new:
            known.update(zip(new, embedder.encode(new).astype(np.float16), strict=True))
            if cache:
                vectors = np.stack(list(known.values()))
                np.savez(cache, texts=np.array(list(known)), vectors=vectors)
        return [known[text] for text in texts]

    return encode


def pairs_of(names: Iterable[str], counts: dict[str, int], seed: str) -> list[Pair]:
    return [
        pair
        for name in names
        for kind, count in counts.items()
        for pair in pairs(name, kind, count, seed)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cache", type=Path, help="keep the vectors in this file (.npz)")
    parser.add_argument(
        "--figures", type=Path, help="also write the figures as text into this file"
    )
    arguments = parser.parse_args()
    encode = _encoder(arguments.cache)
    usual = usual_words(training_domains())
    chosen = pairs_of(training_domains(), COUNTS, "train")
    with_model = calibrated(training := examples(chosen, usual, encode))
    print("floor", with_model.floor, "signals", with_model.signals, flush=True)
    without_model = calibrated(examples(chosen, usual, None))
    print("floor", without_model.floor, flush=True)
    every = Trained(with_model, without_model, usual)
    WEIGHTS.write_text(json.dumps(msgspec.to_builtins(every), indent=1) + "\n")
    outside = pairs_of(HELD_OUT, HELD_OUT_COUNTS, "held out")
    held_out = examples(outside, usual, encode)
    without = examples(outside, usual, None)
    lines = reliability([(example, with_model) for example in held_out])
    PLOT.write_text(plot(lines))
    for low, share, count in lines:
        print(f"{low:.3f} {share:.3f} {count}")
    figures = _figures(with_model, held_out, without_model, without)
    print("\n".join(figures), flush=True)
    figures += ["", *_ablations(training, held_out, with_model)]
    print("\n".join(figures))
    _write("\n".join(figures))


def _write(figures: str) -> None:
    """Put the figures between their marks on the page."""
    page = PAGE.read_text()
    before, begin, rest = page.partition("<!-- figures -->")
    _, end, after = rest.partition("<!-- /figures -->")
    if begin and end:
        PAGE.write_text(f"{before}{begin}\n{figures}\n{end}{after}")


if __name__ == "__main__":
    main()
