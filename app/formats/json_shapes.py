"""The shape that JSON records take before they are stored: keys of members, features, flattening."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from app.formats.base import MAX_COLUMNS
from app.formats.json_records import BadRecord, Judged
from app.formats.json_structure import WHITESPACE

MAX_FLATTEN = 64
MEMBER = re.compile(rb'("(?:[^"\\]|\\.)*+")[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)
GEOMETRY, ID, PROPERTIES = "geometry", "id", "properties"
FEATURE_PREFIX = "feature."

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Shape:
    key: str = ""
    """Column for the key of each member."""
    features: bool = False
    """Whether records are GeoJSON features."""
    flatten: int = 0
    """Number of levels of nested objects that become columns."""

    @property
    def has_keys(self) -> bool:
        return bool(self.key)

    @property
    def changes_records(self) -> bool:
        """Whether records that are valid JSON objects are written anew."""
        return self.features or self.flatten > 0

    def with_key(self, text: bytes) -> bytes | BadRecord:
        """Return the object of a member (`"a": {...}`) with its key as the first value. A record
        without a key is returned as it is: a correction may send the object itself.
        """
        match = MEMBER.match(text)
        if match is None:
            return text
        value = text[match.end() :]
        if not value.startswith(b"{"):
            return BadRecord("json_row_not_object", "The value of the member is not an object.")
        rest = value[1:].lstrip(WHITESPACE)
        comma = b"" if rest.startswith(b"}") else b","
        return b"{" + _encode(self.key) + b":" + match[1] + comma + rest

    def apply(self, texts: Sequence[bytes], judged: Judged) -> tuple[list[bytes], Judged]:
        """Return the records in this shape. Records that cannot take it become bad ones."""
        shaped: list[bytes] = []
        bad = dict(judged.bad)
        columns: dict[str, None] = {}
        for index, text in enumerate(texts):
            record = bad.get(index) or self._shaped(text)
            if isinstance(record, BadRecord):
                bad[index] = record
                shaped.append(text)
                continue
            columns |= dict.fromkeys(record)
            shaped.append(_encode(record))
        return shaped, Judged(list(columns), dict(sorted(bad.items())))

    def _shaped(self, text: bytes) -> dict[str, msgspec.Raw] | BadRecord:
        record = _decoder.decode(text)
        if self.features:
            feature = _of_feature(record)
            if isinstance(feature, BadRecord):
                return feature
            record = feature
        if not self.flatten:
            return record
        flat: dict[str, msgspec.Raw] = {}
        for name, value in _flattened(record, self.flatten):
            if name in flat:
                message = f"Two values have the name {name!r} when the record is flattened."
                return BadRecord("duplicate_key", message, name)
            flat[name] = value
        if len(flat) > MAX_COLUMNS:
            message = f"The flattened record has more than {MAX_COLUMNS} keys."
            return BadRecord("too_many_columns", message)
        return flat


def _of_feature(record: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw] | BadRecord:
    """Return the properties of a feature, then its geometry and its id. A property of one of these
    names keeps it, and the member of the feature gets a prefix.
    """
    if bytes(record.get("type", b"")) != b'"Feature"':
        return BadRecord("json_row_not_object", "The record is not a GeoJSON feature.", "type")
    try:
        properties = _decoder.decode(record.get(PROPERTIES, b"null"))
    except msgspec.ValidationError:
        if bytes(record.get(PROPERTIES, b"null")) != b"null":
            message = "The properties of the feature are not an object."
            return BadRecord("json_row_not_object", message, PROPERTIES)
        properties = {}
    for name, value in record.items():
        if name in ("type", PROPERTIES):
            continue
        free = f"{FEATURE_PREFIX}{name}" if name in properties else name
        if free in properties:
            message = f"Two values have the name {free!r} in the feature."
            return BadRecord("duplicate_key", message, free)
        properties[free] = value
    return properties


def _flattened(
    record: dict[str, msgspec.Raw], depth: int, prefix: str = ""
) -> Iterator[tuple[str, msgspec.Raw]]:
    """Yield the values of a record with names such as `a.b`. Arrays and empty objects stay values,
    and so do objects below `depth` levels.
    """
    for name, value in record.items():
        inner = _decoder.decode(value) if depth and bytes(memoryview(value)[:1]) == b"{" else None
        if inner:
            yield from _flattened(inner, depth - 1, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
