"""The sheet of a transform: it has a limit of rows, and the error says so to the service."""

from __future__ import annotations

import io
import pickle
from types import SimpleNamespace

import pyarrow as pa
import pytest

from app.destinations.assembly import OutputWriter
from app.features.files import xlsx
from app.features.transform import assemble


def test_more_rows_than_a_sheet_holds_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "MAX_ROWS", 2)
    batch = pa.record_batch([pa.array([1, 2]), pa.array(["a", "b"])], ["row number", "0"])
    column = SimpleNamespace(type=SimpleNamespace(name="text"))
    spec = SimpleNamespace(columns=[column], names=["word"])
    assert assemble._write_sheet(spec, iter([batch]), OutputWriter(io.BytesIO())) == 2
    with pytest.raises(assemble.TooManyRowsForSheet, match="more than 2 rows") as raised:
        assemble._write_sheet(spec, iter([batch, batch]), OutputWriter(io.BytesIO()))
    assert pickle.loads(pickle.dumps(raised.value)).code == "too_many_rows"
