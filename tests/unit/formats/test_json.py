"""JSON: arrays, objects and lines, at every chunk size, every read-buffer size, and cut off at
every byte.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import RequestError
from app.formats.json import JsonDialect
from app.formats.registry import open_format
from tests.formats.reading import Setting, cut_all, detected, read_all, read_spans

Bad = tuple[str, int]
"""Expectation of a rejected record: code, line."""


@dataclass(frozen=True)
class Case:
    name: str
    root: str
    data: bytes
    expected: list[bytes | Bad]
    newline: str = "lf"
    start: int = -1
    """Offset of the first data byte; usually after the bracket of the array."""

    def dialect(self, size: int | None = None) -> JsonDialect:
        start = self.start if self.start >= 0 else int(self.root == "array")
        line = 1 + self.data[:start].count(b"\n")
        return JsonDialect(
            root=self.root,
            newline=self.newline,
            data_start=start,
            data_line=line,
            data_end=len(self.data) if size is None else size,
        )

    @property
    def is_good(self) -> bool:
        return all(isinstance(row, bytes) for row in self.expected)


BACKSLASHES = [
    rb'{"a":"\"],"}', rb'{"a":"\\"}', rb'{"a":"\\\"},{"}', rb'{"a":"\\\\"}', rb'{"a":"\\\\\"]"}',
    rb'{"\\":"\"","b":"\\\\\\"}',
]  # fmt: skip
BRACKETS = [
    b'{"a":"]"}',
    b'{"},{":[{"b":"}"}],"c":"[[["}',
    b'{"":"{"}',
    b'{"a":[[],[{}],{"b":{}}]}',
    b"{}",
]
SPACED = [b'{ "a" :\t1 ,\r\n "b"\n:\n[ 1 ,\n2 ] }', b'{\n"a": "x y"\n}']
NUMBERS = [
    b'{"a":12345678901234567890123,"b":1.10,"c":1e3,"d":-0.0}',
    b'{"a":0.1234567890123456789012345678901234567890}',
]
UNICODE = ['{"ключ":"значение","😀":"\u2028\x85"}'.encode(), rb'{"a":"\u00e9\ud83d\ude00\u0000"}']
CASES = [
    Case("array_of_backslashes", "array", b"[" + b",".join(BACKSLASHES) + b"]", [*BACKSLASHES]),
    Case("array_of_brackets", "array", b"[" + b" , ".join(BRACKETS) + b" ] \n", [*BRACKETS]),
    Case("array_spread_over_lines", "array", b"[\r\n" + b"\n,\n\n".join(SPACED) + b"\n]\n\n", [*SPACED]),
    Case("array_of_numbers", "array", b"[" + b",\n".join(NUMBERS) + b"]", [*NUMBERS]),
    Case("array_of_unicode", "array", b"[" + b",".join(UNICODE) + b"]", [*UNICODE]),
    Case("array_after_blanks_and_mark", "array", b'\xef\xbb\xbf \n [{"a":1}]', [b'{"a":1}'], start=7),
    Case("lines_of_backslashes", "lines", b"\n".join(BACKSLASHES), [*BACKSLASHES]),
    Case("lines_crlf_and_blank", "lines", b"\r\n\n" + b"\r\n\n \t\r\n".join(BRACKETS) + b"\r\n  \r\n\n", [*BRACKETS]),
    Case("lines_of_unicode_and_numbers", "lines", b"\n".join([*UNICODE, *NUMBERS, b""]), [*UNICODE, *NUMBERS]),
    Case(
        "lines_with_blanks_around", "lines", b'  {"a":1} \n\t{"b":[ 2 ]}\t\r\n{"c":3}' + b" " * 70,
        [b'{"a":1}', b'{"b":[ 2 ]}', b'{"c":3}'],
    ),
    Case("lines_after_mark", "lines", b'\xef\xbb\xbf{"a":1}\n{"a":2}', [b'{"a":1}', b'{"a":2}'], start=3),
    Case("object", "object", b' \n{"a":[1,\n{"b":"}]"}]}\n\n', [b'{"a":[1,\n{"b":"}]"}]}']),
    Case("array_with_leading_comma", "array", b'[,{"a":1},{"b":2}]', [("json_syntax", 1), b'{"b":2}']),
    Case("array_with_blank_leading_comma", "array", b'[ \n,\n{"a":1}\n,{"b":2}]', [("json_syntax", 3), b'{"b":2}']),
    Case(
        "array_with_two_commas", "array", b'[{"a":1},\n,{"b":2}\n,,{"c":3}]',
        [b'{"a":1}', ("json_syntax", 2), b'{"b":2}', ("json_syntax", 3), b'{"c":3}'],
    ),
    Case("array_with_trailing_comma", "array", b'[{"a":1},\n]', [b'{"a":1}', ("json_syntax", 2)]),
    Case("array_with_trailing_garbage", "array", b'[{"a":1},{"b":2}] x', [b'{"a":1}', b'{"b":2}', ("json_syntax", 1)]),
    Case("array_with_garbage_on_the_next_line", "array", b'[{"a":"]"} ] \n\nx]', [b'{"a":"]"}', ("json_syntax", 3)]),
    Case(
        "array_with_garbage_and_commas", "array", b'[{"a":1}] x, y\n, z',
        [b'{"a":1}', ("json_syntax", 1), ("json_syntax", 1), ("json_truncated", 2)],
    ),
    Case("array_closed_twice", "array", b'[{"a":1},{"b":2}]]', [b'{"a":1}', b'{"b":2}', ("json_syntax", 1)]),
    Case("array_closed_often", "array", b'[{"a":1}\n]]\n ]\n', [b'{"a":1}', ("json_syntax", 2)]),
    Case("array_after_array", "array", b'[{"a":1}]\n[{"b":2}]', [b'{"a":1}', ("json_syntax", 2)]),
    Case("array_closed_too_early", "array", b'[{"a":1}],\n{"b":2}]', [b'{"a":1}', ("json_syntax", 1), b'{"b":2}']),
    Case("array_closed_at_once", "array", b'[] x', [("json_syntax", 1)]),
    Case("array_closed_at_once_too_early", "array", b'[ ]\n,{"a":1}]', [("json_syntax", 1), b'{"a":1}']),
    Case("array_with_a_bad_last_record", "array", b'[{"a":1},\n{"a":NaN}\n]\n', [b'{"a":1}', ("json_syntax", 2)]),
    Case(
        "array_with_a_bad_last_record_and_more", "array", b'[{"a":1},{"a":NaN}]\nx', [
            b'{"a":1}', ("json_syntax", 1), ("json_syntax", 2),
        ],
    ),
    Case("array_of_blanks", "array", b"[\n \n]", []),
    Case(
        "array_with_a_brace_too_many", "array", b'[{"a":1}},\n{"b":2},{"c":3]},{"d":4}]',
        [("json_syntax", 1), b'{"b":2}', ("json_syntax", 2), b'{"d":4}'],
    ),
    Case("array_of_other_values", "array", b'[1,\n"x",[{"a":1}],null,{"b":2},true]', [
        ("json_row_not_object", 1), ("json_row_not_object", 2), ("json_row_not_object", 2), ("json_row_not_object", 2),
        b'{"b":2}', ("json_row_not_object", 2),
    ]),
    Case("array_ended_by_a_nested_bracket", "array", b'[{"a":1},\n[2]', [b'{"a":1}', ("json_truncated", 2)]),
    Case("array_ended_by_a_bracket_in_a_string", "array", b'[{"a":1},{"b":"]', [b'{"a":1}', ("json_truncated", 1)]),
    Case("array_without_separator", "array", b'[{"a":1} {"b":2},{"c":3}]', [("json_syntax", 1), b'{"c":3}']),
    Case("lines_with_garbage", "lines", b'{"a":1}\n{"b":\n2}\n[{"c":3}]\n{"d":"\xff"}\n{"e":5} x\n{"f":6},\n{"g":7}', [
        b'{"a":1}', ("json_syntax", 2), ("json_row_not_object", 3), ("json_row_not_object", 4), ("invalid_utf8", 5),
        ("json_syntax", 6), ("json_syntax", 7), b'{"g":7}',
    ]),
    Case(
        "lines_with_keys_twice", "lines",
        b'{"a":1,"a":1}\n{"a":1,"a" :2}\n{"a":1,"\\u0061"\t:2}\n{"a":"x:y\\":","b" : 2}\n'
        b'{"a":{"b":1,"b":2}}\n{"a":":","a":1}\n{"a\\"":1,"a":2}',
        [
            ("duplicate_key", 1), ("duplicate_key", 2), ("duplicate_key", 3), b'{"a":"x:y\\":","b" : 2}',
            b'{"a":{"b":1,"b":2}}', ("duplicate_key", 6), b'{"a\\"":1,"a":2}',
        ],
    ),
    Case(
        "lines_with_bad_strings", "lines",
        b'{"a":"\\ud800"}\n{"a":"\t"}\n{"a":"\0"}\n{"a":"\\x"}\n{"a":"\\udc00 \\ud83d\\ude00"}\n{"\xc3":1}',
        [
            ("invalid_unicode", 1), ("json_syntax", 2), ("json_syntax", 3), ("json_syntax", 4), ("invalid_unicode", 5),
            ("invalid_utf8", 6),
        ],
    ),
    Case(
        "lines_that_end_with_cr", "lines", b'\r\r{"a":"\n"}\r {"b":\n1}\r\r{"c":2} x\r{"d":3}', [
            ("json_syntax", 3), b'{"b":\n1}', ("json_syntax", 6), b'{"d":3}',
        ], newline="cr",
    ),
    Case(
        "lines_that_end_with_any", "lines", b'{"a":1}\r{"b":1}\r\n\n\r{"c":\r{"d":3}\n{"e":4}', [
            b'{"a":1}', b'{"b":1}', ("json_syntax", 5), b'{"d":3}', b'{"e":4}',
        ], newline="any",
    ),
    Case("objects_on_one_line", "objects", b'{"a":1}{"a":"}{"} {}', [b'{"a":1}', b'{"a":"}{"}', b"{}"]),
    Case("objects_over_lines", "objects", b"\n\n".join(SPACED) + b"\n\n", [*SPACED]),
    Case("objects_of_backslashes", "objects", b"".join(BACKSLASHES), [*BACKSLASHES]),
    Case("objects_of_brackets", "objects", b"\r".join(BRACKETS), [*BRACKETS]),
    Case(
        "objects_with_garbage_between", "objects", b'{"a":1},\n{"b":2} x } y\n{"c":\n3}\nz', [
            b'{"a":1}', ("json_syntax", 1), b'{"b":2}', ("json_syntax", 2), b'{"c":\n3}', ("json_syntax", 5),
        ],
    ),
    Case(
        "objects_and_arrays", "objects", b'{"a":1}\n[{"b":2}]\n{"c":NaN}{"d":4}',
        [b'{"a":1}', ("json_row_not_object", 2), ("json_syntax", 3), b'{"d":4}'],
    ),
    Case("objects_of_which_one_is_not_closed", "objects", b'{"a":1}\n{"b":{"c":2}\n', [b'{"a":1}', ("json_syntax", 2)]),
    Case("object_with_garbage", "object", b'{"a":1}\n{"b":2', [("json_syntax", 1)]),
]  # fmt: skip


def outcome(rows: list[tuple[int, Any]], rejects: list[Any]) -> list[bytes | Bad]:
    """Rows and rejects together in the order of the file."""
    found: dict[int, bytes | Bad] = dict(rows)
    found |= {reject.row_number: (reject.code, reject.line) for reject in rejects}
    assert sorted(found) == list(range(1, len(found) + 1))
    return [found[number] for number in sorted(found)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_chunk_size_and_every_buffer_size_gives_the_records_written_by_hand(
    case: Case,
) -> None:
    data, dialect = case.data, case.dialect()
    for chunk_rows, chunk_bytes in [
        (1000, 1 << 20),
        (1, 1 << 20),
        (2, 1 << 20),
        (3, 1 << 20),
        (1000, 1),
        (1000, 20),
    ]:
        spans = cut_all(data, dialect, Setting(chunk_rows, chunk_bytes))
        assert outcome(*read_spans(data, dialect, spans)) == case.expected
        for window_bytes in range(1, len(data) + 2):
            assert cut_all(data, dialect, Setting(chunk_rows, chunk_bytes, window_bytes)) == spans
        assert (
            cut_all(data, dialect, Setting(chunk_rows, chunk_bytes, window_bytes=5, budget=1))
            == spans
        )


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.is_good], ids=lambda case: case.name
)
def test_the_records_written_by_hand_agree_with_pythons_json(case: Case) -> None:
    text = case.data.decode("utf-8-sig")
    if case.root == "lines":
        truth = [json.loads(line) for line in text.split("\n") if line.strip()]
    else:
        truth = values_of(text) if case.root == "objects" else json.loads(text)
        truth = [truth] if case.root == "object" else truth
    assert [json.loads(row) for row in case.expected if isinstance(row, bytes)] == truth


def values_of(text: str) -> list[Any]:
    """JSON values one after the other."""
    values, decoder, place = [], json.JSONDecoder(), 0
    while place < len(text.rstrip()):
        place += len(text[place:]) - len(text[place:].lstrip())
        value, place = decoder.raw_decode(text, place)
        values.append(value)
    return values


def is_complete(data: bytes, root: str) -> bool:
    """Return whether Python's json accepts it."""
    try:
        text = data.decode("utf-8-sig")
        if root == "objects":
            values_of(text)
            return True
        for part in text.split("\n") if root == "lines" else [text]:
            if root != "lines" or part.strip():
                json.loads(part)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.is_good], ids=lambda case: case.name
)
def test_a_truncated_file_keeps_its_complete_records_and_is_marked_incomplete(
    case: Case,
) -> None:
    for size in range(len(case.data)):
        data, dialect = case.data[:size], case.dialect(size)
        if not data[dialect.data_start :].strip():
            if not is_complete(data, case.root):
                with pytest.raises(RequestError):
                    detected(data, filename="cut.json")
            continue
        rows, rejects = read_all(data, dialect)
        assert (rows, rejects) == read_all(data, dialect, Setting(chunk_rows=1, window_bytes=3))
        assert [row for _, row in rows] == case.expected[: len(rows)]
        assert [reject.row_number for reject in rejects] == (
            [] if is_complete(data, case.root) else [len(rows) + 1]
        )


def test_the_bytes_of_the_last_record_end_with_it() -> None:
    for data in (
        b'[{"a":1},{"a":NaN}]',
        b'[\n{"a":1}\n,\n{"a":NaN}\n]\n',
        b'[{"a":1},{"a":NaN} ] x',
    ):
        dialect = JsonDialect(root="array", data_start=1, data_end=len(data))
        for setting in (Setting(), Setting(chunk_rows=1, window_bytes=1)):
            _, rejects = read_all(data, dialect, setting)
            assert rejects[0].raw == b'{"a":NaN}'
            assert rejects[0].value == '{"a":NaN}'
            assert [reject.raw for reject in rejects[1:]] == ([b"x"] if data.endswith(b"x") else [])


TOKENS = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ",",
    '"',
    '"]"',
    '{"a":1}',
    '{"a":[1,2]}',
    " ",
    "\n",
    "x",
    "\\",
    '"\\"]"',
]


@pytest.mark.parametrize("root", ["array", "objects", "lines"])
@given(
    text=st.lists(st.sampled_from(TOKENS), min_size=1, max_size=14).map("".join),
    block=st.integers(1, 9),
    setting=st.builds(
        Setting,
        chunk_rows=st.integers(1, 4),
        chunk_bytes=st.sampled_from([1, 9, 1 << 20]),
        window_bytes=st.integers(1, 40),
        budget=st.sampled_from([1, 20, 1 << 40]),
    ),
)
@example(text="}]\\", block=1, setting=Setting())
@settings(max_examples=300)
def test_a_record_ends_at_the_same_byte_for_every_reader(
    root: str, text: str, block: int, setting: Setting
) -> None:
    data = text.encode()
    dialect = JsonDialect(root=root, data_end=len(data))
    assert read_all(data, dialect, setting) == read_all(data, dialect)
    form = open_format(dialect)
    ends = form.scan(data, eof=True).tolist()
    start = 0
    for end in ends if root != "lines" else []:
        rest = data[start:]
        blocks = [rest[i : i + block] for i in range(0, len(rest), block)]
        found = form.skip(iter(blocks), 0)
        assert (len(rest) if found is None else found) == end - start
        start = end


def record_of(value: bytes, root: str) -> tuple[bytes, JsonDialect]:
    """A file of three records, the second of which holds the value."""
    between, around = (b",", (b"[", b"]")) if root == "array" else (b"\n", (b"", b""))
    data = around[0] + between.join([b'{"id":1}', b'{"v":' + value + b"}", b'{"id":3}']) + around[1]
    return data, JsonDialect(root=root, data_start=len(around[0]), data_end=len(data))


@pytest.mark.parametrize("root", ["array", "lines"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"[" * 63 + b"]" * 63, None),
        (b"[" * 64 + b"]" * 64, "json_too_deep"),
        (b'"' + b"[" * 1000 + b'"', None),
        (b"[" * 100_000 + b"]" * 100_000, "json_too_deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "json_too_deep"),
        (b"7" * 4000, None),
        (b"7" * 5000, "number_out_of_range"),
        (b"-" + b"7" * 5000, "number_out_of_range"),
        (b'1,"w" :' + b"7" * 4300, None),  # takes the slower check for repeated keys
        (b"0." + b"1" * 5000, None),
        (b"1e999", "number_out_of_range"),
        (b"12345678901234567890123", None),
        (b"1.10", None),
        (b"1E+2", None),
    ],
    ids=lambda value: value[:12].decode() + str(len(value)) if isinstance(value, bytes) else value,
)
def test_depth_and_numbers_are_bounded_and_accepted_values_keep_their_bytes(
    root: str, value: bytes, code: str | None
) -> None:
    data, dialect = record_of(value, root)
    started = time.monotonic()

    rows, rejects = read_all(data, dialect)

    assert time.monotonic() - started < 5
    assert [reject.code for reject in rejects] == ([code] if code else [])
    found = dict(rows)
    assert (found[1], found[3]) == (b'{"id":1}', b'{"id":3}')
    if not code:
        assert found[2] == b'{"v":' + value + b"}"


@pytest.mark.parametrize("root", ["array", "lines"])
def test_a_hundred_thousand_opening_brackets_cost_one_record_and_little_time(root: str) -> None:
    data, dialect = record_of(b"[" * 100_000, root)
    started = time.monotonic()

    rows, rejects = read_all(data, dialect)

    assert time.monotonic() - started < 5
    assert rows[0] == (1, b'{"id":1}')
    # in an array nothing after them is outside them
    assert len(rows) == (1 if root == "array" else 2)
    assert [reject.row_number for reject in rejects] == [2]


def test_more_keys_than_columns_are_allowed_is_one_reject() -> None:
    keys = {f"k{i}": i for i in range(16_385)}
    data = b"\n".join(msgspec.json.encode(value) for value in (keys, dict(list(keys.items())[1:])))

    rows, rejects = read_all(data, JsonDialect(root="lines", data_end=len(data)))

    assert [reject.code for reject in rejects] == ["too_many_columns"]
    assert [number for number, _ in rows] == [2]
