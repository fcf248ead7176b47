"""Conversion of rows to tables of other packages, which are imported on use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


def as_arrow(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pyarrow.Table:
    """Return an Arrow table: strings for CSV, the types of JSON for JSON. Raises ImportError."""
    import pyarrow

    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pyarrow.table([_array(values) for values in by_column], names=list(columns))


def _array(values: Sequence[Any]) -> Any:
    import pyarrow

    if all(value is None for value in values):
        return pyarrow.array(values, pyarrow.string())
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):  # a column of JSON with several types
        return pyarrow.array([None if value is None else json.dumps(value) for value in values])


def as_pandas(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pandas.DataFrame:
    """Return a data frame. Raises ImportError."""
    import pandas

    return pandas.DataFrame(rows, columns=list(columns))


def as_polars(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> polars.DataFrame:
    """Return a data frame. Raises ImportError, also if pyarrow is missing."""
    import polars

    return polars.DataFrame(as_arrow(columns, rows))
