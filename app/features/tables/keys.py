"""The keys of a JSON file, which has no header. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from app.formats.base import Span
from app.formats.registry import from_json, open_format

MOST_RECORDS = 1000


def keys_of(dialect: Mapping[str, Any], sample: bytes, *, is_whole: bool) -> list[str]:
    """Return the keys of the first records, in the order in which they come. `sample` is the
    beginning of the file, or all of it. Records that cannot be read have none.
    """
    form, start = open_format(from_json(dict(dialect))), int(dialect["data_start"])
    data = sample[start:]
    ends = form.scan(data, eof=is_whole)
    if not len(ends):
        return []
    count = min(len(ends), MOST_RECORDS)
    end = int(ends[count - 1])
    span = Span(start, start + end, 1, count, 1, 0)
    rows = form.read(data[:end], span).rows
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    return list(dict.fromkeys(key for raw in rows.undecoded() for key in decode(raw)))
