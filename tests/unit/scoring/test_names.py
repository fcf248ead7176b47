"""Columns that scoring adds to a row hide none of its own."""

from __future__ import annotations

import json

from app.features.scoring.answers import Prediction
from app.features.scoring.scored import _with_predictions
from app.formats.base import CellRows, ObjectRows, cell_names

ADDED = [Prediction(label="fraud", fraud_score=0.5, model_version="m1", latency_ms=1)]


def test_a_file_column_keeps_its_name_next_to_added_columns() -> None:
    found = _with_predictions(CellRows(["id", "prediction"], [1], [["1", "mine"]]), ADDED)
    assert isinstance(found, CellRows)
    assert found.columns == ["id", "prediction", "prediction_2", "fraud_score", "model_version"]
    assert found.cells == [["1", "mine", "fraud", "0.5", "m1"]]


def test_cells_beyond_the_header_get_names_of_their_own() -> None:
    found = _with_predictions(CellRows(["id", "a"], [1], [["1", "2", "EXTRA"]]), ADDED)
    assert isinstance(found, CellRows)
    (row,) = found.cells
    assert dict(zip(cell_names(found.columns, len(row)), row, strict=True)) == {
        "id": "1",
        "a": "2",
        "prediction": "fraud",
        "fraud_score": "0.5",
        "model_version": "m1",
        "column_6": "EXTRA",
    }


def test_a_record_member_keeps_its_name_next_to_added_members() -> None:
    for key in ("prediction", r"predi\u0063tion"):
        raw = b'{"id":1,"%s":"mine"}' % key.encode()
        found = _with_predictions(ObjectRows(["id", "prediction"], [1], [raw]), ADDED)
        assert isinstance(found, ObjectRows)
        assert found.columns == ["id", "prediction", "prediction_2", "fraud_score", "model_version"]
        assert json.loads(found.raw[0]) == {
            "id": 1,
            "prediction": "mine",
            "prediction_2": "fraud",
            "fraud_score": 0.5,
            "model_version": "m1",
        }
