"""Columns of JSON objects: the text of each value under its key.

Most files hold records of one shape: the same keys in the same order, and no object or list in
them. The places of colons and commas then give the values, without any decoding.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from itertools import repeat
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.formats.blocks import Codes, blocks, joined
from app.formats.csv_scan import between_quotes
from app.formats.json_structure import IS_BLANK, opening_brackets

Places = npt.NDArray[np.int64]

QUOTE, COMMA, COLON, SPACE = 34, 44, 58, 32
WORD_BYTES = 8
PADDING = bytes(WORD_BYTES)
MOST_BYTES = 1 << 30
"""Most bytes of an array: Arrow counts them by 32 bits."""

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decoder_of_many = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class KeyColumn(NamedTuple):
    name: str
    values: pa.StringArray
    """Values as written, strings with their quotes."""
    records: Places | None
    """Places of the records that have the key; None for all."""


def columns_of(
    raw: Sequence[bytes], most: int, among: Container[str] | None = None
) -> tuple[list[KeyColumn], int]:
    """Return (the first `most` keys in order of appearance, the number of further keys).

    `raw`: valid objects without blanks around them, none with a key twice. `among`: only these keys
    are read.
    """
    if not raw:
        return [], 0
    names = list(_decoder.decode(raw[0]))
    pieces = _pieces_alike(raw, len(names))
    if pieces is None:
        return _columns_decoded(raw, most, among)
    places = [i for i, name in enumerate(names) if among is None or name in among]
    alike = [KeyColumn(names[i], _every(pieces, i, len(names)), None) for i in places[:most]]
    return alike, max(0, len(places) - most)


# ---------------------------------------------------------------------- records of one shape


def _pieces_alike(raw: Sequence[bytes], width: int) -> pa.StringArray | None:
    """Return the values of all records one after the other, alternating with the text between two
    values. Return None unless all records are written like the first one: the same keys in the same
    order with the same blanks between them, and no object or list.
    """
    if not width or sum(map(len, raw)) > MOST_BYTES:
        return None
    text = b"\n".join([*raw, PADDING])
    marks = _marks(text, len(raw), width)
    if marks is None:
        return None
    codes = np.frombuffer(text, np.uint8)
    sizes = np.fromiter(map(len, raw), np.int64, len(raw))
    record_ends = np.cumsum(sizes + 1) - 1
    # One row for each mark, so that bytes compared together are next to each other.
    table = np.ascontiguousarray(marks.reshape(len(raw), 2 * width - 1).T)
    if not _alternate(codes, table, record_ends - sizes, record_ends):
        return None
    colons, commas = table[0::2], table[1::2]
    key_starts = [record_ends - sizes + 1, *(commas + 1)]
    value_starts, value_ends = colons + 1, [*commas, record_ends - 1]
    if not all(map(_are_repeated, repeat(text), key_starts, colons)):
        return None
    if (codes[value_starts] == SPACE).all():
        value_starts += 1
    bounds = np.empty((len(raw), width, 2), np.int32)
    for place, (starts, ends) in enumerate(zip(value_starts, value_ends, strict=True)):
        if IS_BLANK[codes[starts]].any() or IS_BLANK[codes[ends - 1]].any():
            return None
        bounds[:, place, 0] = starts
        bounds[:, place, 1] = ends
    return pa.StringArray.from_buffers(bounds.size - 1, pa.py_buffer(bounds), pa.py_buffer(text))


def _every(pieces: pa.StringArray, place: int, width: int) -> pa.StringArray:
    """Return the values under one of the keys."""
    return pieces.take(pa.array(np.arange(2 * place, len(pieces), 2 * width)))


def _marks(text: bytes, count: int, width: int) -> Places | None:
    """Return the positions of the colons and commas outside strings. Return None unless there are
    as many as `count` flat records of `width` keys have, and no other bracket.
    """
    if b"\\" in text:
        # An escaped character neither begins nor ends a string.
        text = text.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    codes = np.frombuffer(text, np.uint8)
    in_string = between_quotes(codes, QUOTE)
    may_nest = text.count(b"{") != count or b"[" in text
    openings, places = 0, []
    for start, end in blocks(len(codes)):
        part, is_outside = codes[start:end], ~in_string[start:end]
        is_mark = part == COLON
        is_mark |= part == COMMA
        is_mark &= is_outside
        places.append(np.flatnonzero(is_mark) + start)
        if may_nest:
            openings += int(np.count_nonzero(opening_brackets(part) & is_outside))
            if openings > count:
                return None
    marks = joined(places)
    return marks if len(marks) == count * (2 * width - 1) else None


def _alternate(codes: Codes, table: Places, starts: Places, ends: Places) -> bool:
    """Return whether every record has colons and commas in turns, beginning and ending with a
    colon. `table`: (marks, records)
    """
    kinds = codes[table]
    return bool(
        (kinds[0::2] == COLON).all()
        and (kinds[1::2] == COMMA).all()
        and (table[0] > starts).all()
        and (table[-1] < ends).all()
    )


def _are_repeated(text: bytes, starts: Places, ends: Places) -> bool:
    """Return whether the texts between each two of these positions are equal."""
    words = np.ndarray((len(text) - WORD_BYTES + 1,), "<u8", text, strides=(1,))
    length = int(ends[0] - starts[0])
    if not (ends - starts == length).all():
        return False
    if length < WORD_BYTES:
        last_word = words[starts] << np.uint64(8 * (WORD_BYTES - length))
        return bool((last_word == last_word[0]).all())
    # The last word overlaps the one before it.
    for offset in [*range(0, length - WORD_BYTES, WORD_BYTES), length - WORD_BYTES]:
        word = words[starts + offset]
        if not (word == word[0]).all():
            return False
    return True


# ---------------------------------------------------------------------- any records


def _columns_decoded(
    raw: Sequence[bytes], most: int, among: Container[str] | None
) -> tuple[list[KeyColumn], int]:
    records = _decoder_of_many.decode(b"[" + b",".join(raw) + b"]")
    gathered: dict[str, tuple[list[msgspec.Raw], list[int]]] = {}
    left_out: set[str] = set()
    for place, record in enumerate(records):
        for name, value in record.items():
            if among is not None and name not in among:
                continue
            if name not in gathered:
                if len(gathered) == most:
                    left_out.add(name)
                    continue
                gathered[name] = [], []
            values, places = gathered[name]
            values.append(value)
            places.append(place)
    columns = [
        KeyColumn(name, _written(values), np.array(places, np.int64))
        for name, (values, places) in gathered.items()
    ]
    return columns, len(left_out)


def _written(values: Sequence[msgspec.Raw]) -> pa.StringArray:
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    return laid_out(b"".join(values), lengths)


def laid_out(data: bytes, lengths: Places) -> pa.StringArray:
    """Return texts of these lengths in bytes, one after the other in `data`."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(data))
