"""Cells of JSON objects for a transform: the content of a string, nothing for null, and the JSON as
written for any other value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.profiling.json_columns import KeyColumn, columns_of, laid_out
from app.profiling.sketches import layout


def cells_of(raw: Sequence[bytes], names: Iterable[str]) -> dict[str, pa.StringArray]:
    """Return the cells under these keys, null where a record has none. `raw` as `columns_of` takes
    them.
    """
    names = list(names)
    columns, _ = columns_of(raw, len(names), among=set(names))
    by_name = {column.name: column for column in columns}
    return {name: _cells(by_name.get(name), len(raw)) for name in names}


def _cells(column: KeyColumn | None, count: int) -> pa.StringArray:
    if column is None:
        return pa.nulls(count, pa.string())
    texts = _texts(column.values)
    if column.records is None:
        return texts
    places = np.full(count, -1)
    places[column.records] = np.arange(len(texts))
    return texts.take(pa.array(places, mask=places < 0))


def _texts(values: pa.StringArray) -> pa.StringArray:
    data, offsets = layout(values)
    heads = data[offsets[:-1]]
    is_string, is_null = heads == ord('"'), heads == ord("n")
    if not is_string.any():
        return pc.if_else(pa.array(is_null), pa.scalar(None, pa.string()), values)
    whole = data.tobytes()
    if is_string.all() and b"\\" not in whole:
        # Without an escape the only quotes are those around each string.
        return laid_out(whole.replace(b'"', b""), np.diff(offsets) - 2)
    return pa.array(map(_text, values.to_pylist()), pa.string())


def _text(written: str) -> str | None:
    if written.startswith('"'):
        return msgspec.json.decode(written, type=str)
    return None if written == "null" else written
