"""Signals say what they are named for, the confidence is on one scale, and the weights that are
shipped fit the code that reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from app.features.mapping.evidence import alike_word, name_signals, signals
from app.features.mapping.model import confidence, odds, score
from app.features.mapping.texts import column_texts, read_names
from app.features.mapping.values import Side
from app.features.mapping.weights import Weights, trained
from app.profiling.columns import Column
from app.profiling.tables import Table, of_cells, report
from scripts.matching.concepts import HELD_OUT, domains, training_domains
from scripts.matching.pairs import KINDS, pairs
from scripts.train_matching import AGAINST, FOR, OPEN_TO_BOTH, examples, train


def of_nothing(name: str) -> tuple[dict[str, Any], Column]:
    """Return the report and the state of a column without values."""
    packed = of_cells([[""]], [name], range(1, 2))
    return report(packed)[0], Table.unpacked(packed).columns[name]


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("date", "date", 1, 1),
        ("dates", "date", 0.9, 1),
        ("qty", "quantity", 0.5, 0.9),
        ("strt", "start", 0.85, 0.95),
        ("addr", "address", 0.8, 0.95),
        ("temperatur", "temperature", 0.8, 1),
        ("stage", "status", 0, 0),
        ("t1", "t2", 0, 0.1),
        ("2", "20", 0, 0),
    ],
)
def test_words_are_alike_if_one_may_be_short_for_the_other(
    one: str, other: str, least: float, most: float
) -> None:
    assert least <= alike_word(one, other) <= most
    assert alike_word(one, other) == alike_word(other, one)


def test_a_prefix_of_all_names_is_left_out_and_joined_words_are_split() -> None:
    wanted = ["order date", "customer name", "unit price", "ship mode"]
    given = ["shop_orderdate", "shop_customername", "shop_price", "shop_mode"]
    _, names = read_names(wanted, given, {})
    assert [name.header for name in names] == ["order date", "customer name", "price", "mode"]


def test_initials_count_as_their_words() -> None:
    names = read_names(["mean corpuscular volume", "visit date"], ["mcv", "visit"], {})
    found = name_signals(["a", "b"], ["c", "d"], *names, {})["words"]
    assert found[0, 0] > 0.8 > found[0, 1]


def test_rare_words_weigh_more_than_usual_ones() -> None:
    wanted = ["tumor code", "visit code"]
    names = read_names(wanted, ["tumor number", "study code"], {"code": 0.2, "number": 0.2})
    found = name_signals(wanted, ["x", "y"], *names, {"code": 0.2, "number": 0.2})["words"]
    assert found[0, 0] > found[0, 1]


def test_the_texts_have_values_only_where_they_are_words() -> None:
    column = {"name": "Stage", "type": "text", "top": [{"value": "I"}], "examples": ["I", "II"]}
    number = column | {"name": "Age", "type": "number"}
    wanted, given = column_texts([column], [number], {})
    assert wanted[0][1] == "I, II"
    assert given[0][1] == ""


def test_a_rival_makes_a_pair_less_sure_and_the_order_stays() -> None:
    line, doubtful = [(-5.0, 0.0), (5.0, 1.0)], [(-5.0, 0.0), (5.0, 0.5)]
    weights = Weights({"a": 2.0}, 1.0, 1.0, (0.0, 0.5, 0.5), line, doubtful, 0.4)
    signals = {"a": np.array([[2.0, 0.0, 0.5], [0.0, 2.0, 1.9]], np.float32)}
    signals["in_doubt"] = np.zeros_like(signals["a"])
    scores = score(signals, weights)
    assert scores.tolist() == pytest.approx(np.array([[4, 0, 1], [0, 4, 3.8]]))
    # The first has one rival, "none" at 1, and two weak ones; the other oddity is a near rival.
    by_row, _ = odds(scores, weights)
    assert by_row[0, 0] == pytest.approx(4 - np.log(np.exp(1) + 1 + np.exp(1)))
    sure = confidence(signals, weights)
    assert sure[0, 0] > sure[1, 1] > sure[1, 2] > sure[0, 1]
    assert ((sure >= 0) & (sure <= 1)).all()
    signals["in_doubt"][0, 0] = 1
    in_doubt = confidence(signals, weights)
    assert in_doubt[0, 0] == pytest.approx(sure[0, 0] / 2)
    assert in_doubt[1, 1] == sure[1, 1]


@pytest.mark.parametrize(
    ("one", "other", "in_doubt"),
    [
        ("order date", "order date", False),
        ("order date", "OrderDate", False),
        ("customer number", "customer no", False),
        ("icd code", "date of icd code", True),
        ("flight number", "final flight number", True),
        ("aircraft type", "reason for aircraft type", True),
        ("arrival delay", "previous arrival delay", True),
        ("area", "areaversion", True),
        ("onset year", "onset yr year", True),
        ("departure airport", "arrival airport", True),
        ("arr delay", "dep delay", True),
        ("start date", "end date", True),
        ("nitrogen mm", "nitrogen status", True),
        ("vital status", "family cancer", True),
    ],
)
def test_pairs_of_other_things_with_like_names_are_in_doubt(
    one: str, other: str, in_doubt: bool
) -> None:
    targets, sources = ([Side(name, *of_nothing(name))] for name in (one, other))
    found = signals(targets, sources, None, trained().usual)
    assert bool(found["in_doubt"][0, 0]) is in_doubt


def test_no_pair_in_doubt_is_shown_as_certain() -> None:
    for weights in (trained().with_model, trained().without_model):
        assert max(y for _, y in weights.curve_in_doubt) <= 0.9
        assert max(y for _, y in weights.curve) > 0.95


@pytest.mark.parametrize("with_model", [True, False])
def test_the_weights_that_are_shipped_fit_the_signals(with_model: bool) -> None:
    weights = trained().with_model if with_model else trained().without_model
    chosen = examples(
        list(pairs("hr", "export", 1)), trained().usual, _encode if with_model else None
    )
    assert weights.signals.keys() <= chosen[0].signals.keys()
    assert weights.signals.keys() <= {*FOR, *AGAINST, *OPEN_TO_BOTH}
    assert all(weights.signals.get(name, 0) >= 0 for name in FOR)
    assert all(weights.signals.get(name, 0) <= 0 for name in AGAINST)
    odds_of, sure = zip(*weights.curve, strict=True)
    assert list(odds_of) == sorted(odds_of)
    assert list(sure) == sorted(sure)
    assert 0 < weights.floor < 0.6
    assert sure[0] == 0
    assert sure[-1] <= 0.99


def _encode(texts: Sequence[str]) -> Any:
    vectors = np.random.default_rng(1).normal(size=(len(texts), 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_pairs_and_weights_come_out_the_same_each_time() -> None:
    first, again = (list(pairs("retail", "export", 2, "x")) for _ in range(2))
    assert first == again
    weights = [train(examples(chosen, {}, None), steps=4) for chosen in (first, again)]
    assert weights[0] == weights[1]
    assert weights[0].signals["name_best"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_of_a_pair_names_columns_that_exist(kind: str) -> None:
    for domain in ("oncology", "sensors"):
        for pair in pairs(domain, kind, 2):
            assert pair.truth
            assert pair.truth.keys() <= pair.wanted.keys()
            assert set(pair.truth.values()) <= pair.given.keys()
            assert len(set(pair.truth.values())) == len(pair.truth)


def test_no_domain_that_figures_are_measured_on_is_trained_on() -> None:
    assert set(HELD_OUT) <= domains().keys()
    assert set(HELD_OUT).isdisjoint(training_domains())
