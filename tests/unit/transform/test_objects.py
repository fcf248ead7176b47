"""Cells of JSON objects, compared with Python's own parser."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from app.features.transform.objects import cells_of

STRINGS = ["", "a", 'say "hi"', "C:\\dir", "é😀", "null", "{", "a, b: c"]
OTHERS = ["null", "0", "-1.50", "1E+5", "true", "false", "[1, 2]", '{"a": "b"}']
KEYS = ["a", "b", "c", 'q"']

VALUES = st.sampled_from([*map(json.dumps, STRINGS), *OTHERS])
RECORDS = st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES), min_size=1, max_size=8)
ALIKE = st.tuples(
    st.lists(st.sampled_from(KEYS), min_size=1, unique=True),
    st.lists(st.lists(VALUES, min_size=4, max_size=4), min_size=1, max_size=8),
).map(lambda drawn: [dict(zip(drawn[0], row, strict=False)) for row in drawn[1]])
STRINGS_ALONE = st.lists(
    st.fixed_dictionaries({"a": st.sampled_from(['""', '"x"', '"é"'])}), min_size=1, max_size=8
)


@settings(max_examples=300)
@given(st.one_of(RECORDS, ALIKE, STRINGS_ALONE))
def test_cells_equal_their_values(records: list[dict[str, str]]) -> None:
    """`records`: values as written, by key."""
    raw = [
        (
            "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in record.items()) + "}"
        ).encode()
        for record in records
    ]
    found = cells_of(raw, [*KEYS, "missing"])
    for name in KEYS:
        assert found[name].to_pylist() == [expected(record.get(name)) for record in records]
    assert found["missing"].to_pylist() == [None] * len(records)


def expected(written: str | None) -> str | None:
    if written is None or json.loads(written) is None:
        return None
    value = json.loads(written)
    return value if isinstance(value, str) else written
