"""Records inside JSON documents: the records equal those that Python's json reads at the path, for
all pieces and chunks, and a wrong path is refused with the existing ones.
"""

from __future__ import annotations

import json
import random
from typing import Any

import pandas
import pytest

from app.decoders.base import Wanted
from app.decoders.chain import Chain
from app.decoders.json_records import records_wanted
from app.errors import InvalidParameter, JsonNotRows, RecordsNotFound
from app.formats.base import Reject
from app.formats.detect import SAMPLE_BYTES, Declared, detect
from app.formats.json import JsonDialect
from tests.formats.reading import USUAL, Setting, read_all

KEYS = ["a", "b", "items", "data", "", 'q"uote', "back\\slash", "ключ", "a.b", "x/y", "[", "}"]
TEXTS = ["", "x", '{"]}\\', "é", ",", "\\", "a" * 30]


def some_value(dice: random.Random, depth: int = 3) -> Any:
    kind = dice.randrange(6 if depth else 4)
    if kind < 4:
        return [None, dice.randrange(99), dice.choice(TEXTS), True][kind]
    count = dice.randrange(4)
    if kind == 4:
        return [some_value(dice, depth - 1) for _ in range(count)]
    return some_object(dice, depth - 1)


def some_object(dice: random.Random, depth: int = 2) -> dict[str, Any]:
    return {key: some_value(dice, depth) for key in dice.sample(KEYS, dice.randrange(4))}


def located(data: bytes, size: int, **said: Any) -> JsonDialect:
    """Return the dialect of an upload that arrives in pieces of this size."""
    declared = Declared(**said)
    chain = Chain()
    chain.or_likely = True
    chain.records = records_wanted(declared.format, declared.records, declared.record_key)
    pieces = [
        piece for at in range(0, len(data), size) for piece in chain.feed(data[at : at + size])
    ]
    assert b"".join([*pieces, *chain.finish(Wanted())]) == data
    for report in chain.reports(0):
        said |= report.declared
    dialect = detect(
        data[:SAMPLE_BYTES], complete=len(data) <= SAMPLE_BYTES, declared=Declared(**said)
    )
    assert isinstance(dialect, JsonDialect)
    return dialect.of_size(len(data))


def read(
    data: bytes, size: int = 1 << 16, setting: Setting = USUAL, **said: Any
) -> tuple[list[Any], list[Reject]]:
    rows, rejects = read_all(data, located(data, size, **said), setting)
    return [json.loads(row) for _, row in rows], rejects


def pointer(keys: list[str]) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


@pytest.mark.parametrize("seed", range(60))
def test_the_records_equal_those_of_pythons_json(seed: int) -> None:
    dice = random.Random(seed)
    records = [some_object(dice) for _ in range(dice.randrange(5))]
    path = dice.choices(KEYS, k=dice.randrange(1, 4))
    value: Any = records
    for key in reversed(path):
        siblings = [item for item in some_object(dice).items() if item[0] != key]
        siblings.insert(dice.randrange(len(siblings) + 1), (key, value))
        value = dict(siblings)
    indent = dice.choice([None, 1])
    text = json.dumps(value, indent=indent, ensure_ascii=dice.random() < 0.5).encode()
    setting = Setting(dice.randrange(1, 4), 1 << 20, 7)
    found, rejects = read(text, dice.randrange(1, 40), setting, records=pointer(path))
    assert (found, rejects) == (records, [])


@pytest.mark.parametrize("seed", range(20))
def test_members_are_records_with_their_key(seed: int) -> None:
    dice = random.Random(seed)
    members = {key: some_object(dice) for key in dice.sample(KEYS, dice.randrange(5))}
    text = json.dumps({"before": [1], "data": members, "behind": {}}).encode()
    size = dice.randrange(1, 9)
    found, rejects = read(text, size, Setting(2), records="data", record_key="the key")
    assert (found, rejects) == ([{"the key": key, **value} for key, value in members.items()], [])
    if members:
        alone, _ = read(json.dumps(members).encode(), size, record_key="the key")
        assert alone == found


@pytest.mark.parametrize("path", ["data.items", ".data.items", "$.data.items", "/data/items"])
def test_a_path_may_be_written_in_several_ways(path: str) -> None:
    assert read(b'{"data": {"items": [{"a": 1}]}}', records=path) == ([{"a": 1}], [])


def test_the_root_is_a_path() -> None:
    assert read(b'[{"a": 1}]', records=".") == ([{"a": 1}], [])


@pytest.mark.parametrize(
    ("document", "path", "key", "reason"),
    [
        ('{"data": {"items": [{}]}}', "data.itmes", None, "no `data.itmes`; the beginning of the document has arrays at `data"),
        ('{"data": {"a": {}}}', "data", None, "`data` is an object; set `record_key`"),
        ('{"data": [{}]}', "data", "k", "`data` is an array"),
        ('{"data": 5}', "data", None, "`data` is a single value"),
        ('{"data": 5}', "data.x", None, "`data` is not an object"),
        ('{"a": [1, 2', "b", None, "the document is damaged, or ends, before it"),
        ('{"a" [1]}', "b", None, "damaged"),
        ('{"a": {}, "b": {"c": {}}}', "x", None, "has no array, and objects at `a`, `b`, `b.c`"),
        ('{"a.b": [{}]}', "a.b", None, "arrays at `/a.b`"),
        ('{"a": [{}]}\n{"a": [{}]}', "a", None, "several documents follow each other"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 1000])
def test_a_wrong_path_is_refused(
    document: str, path: str, key: str | None, reason: str, size: int
) -> None:
    with pytest.raises(RecordsNotFound) as refused:
        read(document.encode(), size, records=path, record_key=key)
    assert reason in refused.value.detail


def test_a_path_into_an_invalid_document_is_refused() -> None:
    with pytest.raises(JsonNotRows, match="neither"):
        read(b"a,b\n1,2\n", records="a")
    with pytest.raises(InvalidParameter, match="not in csv"):
        read(b"a,b\n1,2\n", records="a", format="csv")


def test_json_mistakes_cost_only_their_record() -> None:
    good = b'{"n": 1}'
    bad = [
        b"// no\n{}",
        b'{"n": 1,}',
        b'{"n": NaN}',
        b"{n: 1}",
        b"{'n': 1}",
        b'{"n": 1',
        b"7",
        b"",
        b'{"n": 1, "n": 2}',
    ]
    for record in bad:
        text = b'{"meta": {}, "items": [' + b",\n".join([good, record, good]) + b'], "z": 1}'
        found, rejects = read(text, 5, records="items")
        assert found.count({"n": 1}) >= 1, record
        assert rejects, record
        assert rejects[0].raw == text[rejects[0].byte_start : rejects[0].byte_end], record
    text = b'{"meta": {},\n"items": [{"n": 1},\n {"n": NaN},\n{"n": 1}],\n"z": [{}]}'
    found, (reject,) = read(text, 5, records="items")
    assert found == [{"n": 1}, {"n": 1}]
    assert (reject.row_number, reject.line, reject.code) == (2, 3, "json_syntax")
    assert text[reject.byte_start : reject.byte_end] == b'{"n": NaN}'


@pytest.mark.parametrize("cut", range(30, 62))
def test_a_truncated_document_never_passes_for_a_complete_one(cut: int) -> None:
    text = b'{"meta": {"a": 1}, "items": [{"n": 1}, {"n": 2}], "z": {}}'
    if cut >= len(text):
        assert read(text, records="items") == ([{"n": 1}, {"n": 2}], [])
        return
    if cut in (48, 57):  # between the records and the bracket that closes the document
        with pytest.raises(JsonNotRows, match="incomplete"):
            read(text[:cut], records="items")
        return
    _, rejects = read(text[:cut], records="items")
    assert rejects


def test_a_stray_bracket_loses_no_row_silently() -> None:
    text = b'{"items": [{"n": 1}, {"n": [2]]}, {"n": 3}, {"n": 4}], "z": 1}'
    found, rejects = read(text, records="items")
    assert {"n": 1} in found
    assert {"n": 3} in found
    assert rejects


def test_long_values_before_and_after_the_records_are_skipped() -> None:
    """Both are larger than the sample of detection, and the document is longer than a window."""
    random_ = random.Random(5)
    noise = [{"t": random_.choice('{}[]",\\é') * random_.randrange(40)} for _ in range(20_000)]
    records = [{"n": n, "s": 'x"]}' * (n % 7)} for n in range(5_000)]
    text = json.dumps(
        {"noise": noise, "deep": {"items": records, "also": noise}, "z": noise}
    ).encode()
    found, rejects = read(text, 1 << 18, records="deep.items")
    assert (found, rejects) == (records, [])


@pytest.mark.parametrize("size", [3, 1000])
def test_features_of_geojson_are_rows_of_properties(size: int) -> None:
    point = {"type": "Point", "coordinates": [1.5, 2]}
    features = [
        {"type": "Feature", "id": 7, "properties": {"name": "A", "geometry": "text"}, "geometry": point},
        {"type": "Feature", "properties": None, "geometry": None},
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "Feature", "properties": 5, "geometry": None},
    ]  # fmt: skip
    text = json.dumps({"type": "FeatureCollection", "bbox": [1], "features": features}).encode()
    found, rejects = read(text, size)
    assert found == [
        {"name": "A", "geometry": "text", "id": 7, "feature.geometry": point},
        {"geometry": None},
    ]
    assert [(reject.row_number, reject.column) for reject in rejects] == [
        (3, "type"),
        (4, "properties"),
    ]
    assert b"1.5, 2" in next(row for _, row in read_all(text, located(text, size))[0])


def test_an_object_that_only_mentions_a_feature_collection_is_one_record() -> None:
    inner = {"map": {"type": "FeatureCollection", "features": []}}
    assert read(json.dumps(inner).encode()) == ([inner], [])
    without = {"type": "FeatureCollection", "items": []}
    assert read(json.dumps(without).encode()) == ([without], [])


def some_nested(dice: random.Random, depth: int) -> Any:
    """A value without empty objects, which pandas drops, and without null, which it changes."""
    kind = dice.randrange(5 if depth else 3)
    if kind < 3:
        return [dice.randrange(-9, 9), dice.choice(["", "x", "yz"]), [True, "x"]][kind]
    return {key: some_nested(dice, depth - 1) for key in dice.sample("abc", dice.randrange(1, 3))}


@pytest.mark.parametrize("seed", range(30))
def test_flattening_agrees_with_pandas(seed: int) -> None:
    dice = random.Random(seed)
    record = {key: some_nested(dice, 4) for key in dice.sample("abcd", dice.randrange(1, 4))}
    depth = dice.randrange(1, 5)
    found, rejects = read(json.dumps([record]).encode(), flatten=depth)
    expected = pandas.json_normalize([record], max_level=depth).to_dict("records")
    assert (found, rejects) == (expected, [])


def test_flattening_keeps_digits_and_rejects_names_that_collide() -> None:
    text = b'[{"a": {"b": 1.50, "c": {}}, "d": [{"e": 1}]}, {"a.b": 1, "a": {"b": 2}}]'
    rows, (reject,) = read_all(text, located(text, 99, flatten=9))
    assert rows == [(1, b'{"a.b":1.50,"a.c":{},"d":[{"e": 1}]}')]
    assert (reject.code, reject.column) == ("duplicate_key", "a.b")
