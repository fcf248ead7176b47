"""detect(): the properties of a file found from its first bytes, and files refused immediately."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from app.errors import RequestError
from app.formats.base import MAX_COLUMNS
from app.formats.csv import CsvDialect
from app.formats.detect import SAMPLE_BYTES, Declared, detect
from app.formats.json import JsonDialect
from app.formats.registry import from_json, to_json
from tests.formats.reading import detected, read_all

TEXT = "id,näme\n1,x\n2,y\n"
CSV_CASES: dict[str, tuple[bytes, Declared, dict[str, Any]]] = {
    "plain": (b"a,b\n1,2\n", Declared(), {
        "encoding": "utf-8", "delimiter": ",", "quote": '"', "escape": "", "newline": "lf", "skip_rows": 0,
        "header_rows": 1, "columns": ["a", "b"], "data_start": 4, "data_line": 2, "on_bad_row": "reject",
    }),
    # delimiters
    "semicolon": (b"a;b\n1,5;2\n3,5;4\n", Declared(), {"delimiter": ";", "columns": ["a", "b"]}),
    "tab": (b"a\tb\n1,0\t2\n", Declared(), {"delimiter": "\t"}),
    "pipe": (b"a|b\n1|2\n", Declared(), {"delimiter": "|"}),
    "caret": (b"a^b\n1^2\n3^4\n", Declared(), {"delimiter": "^"}),
    "unit_separator": (b"a\x1fb\n1\x1f2\n", Declared(), {"delimiter": "\x1f"}),
    "space": (b"a b\n1 2\n3 4\n", Declared(), {"delimiter": " "}),
    "space_in_text_only": (b"name\nAda L\nBob\n", Declared(), {"delimiter": ",", "columns": ["name"]}),
    "one_column": (b"a\n1\n2\n", Declared(), {"delimiter": ",", "columns": ["a"]}),
    "delimiter_within_quotes": (b'a;b\n"x, y, z";1\n"u, v, w";2\n', Declared(), {"delimiter": ";"}),
    "declared_delimiter": (b"a;b,c\n1;2,3\n", Declared(delimiter=","), {"delimiter": ",", "columns": ["a;b", "c"]}),
    "declared_long_delimiter": (b"a||b\n1||2\n", Declared(delimiter="||"), {"delimiter": "||", "columns": ["a", "b"]}),
    "sep_line": (
        b"sep=|\r\na|b,c\r\n1|2\r\n", Declared(),
        {"delimiter": "|", "columns": ["a", "b,c"], "data_start": 14, "data_line": 3},
    ),
    "sep_line_after_mark": (
        b"\xef\xbb\xbfSEP=;\na;b\n", Declared(),
        {"delimiter": ";", "columns": ["a", "b"], "data_start": 13, "data_line": 3},
    ),
    # quotes and escapes
    "single_quotes": (b"a,b\n'x, y',1\n'z, z',2\n", Declared(), {"quote": "'", "delimiter": ","}),
    "apostrophes_are_no_quotes": (b"a,b\n'tis,1\nit's,2\n", Declared(), {"quote": '"'}),
    "no_quotes": (b'a,b\n1",2\n', Declared(quote=""), {"quote": ""}),
    "backslash_escapes": (b'a,b\n"say \\"hi, you\\"",1\n"x",2\n', Declared(), {"escape": "\\"}),
    "backslashes_that_escape_nothing": (b'a,b\n"C:\\dir",1\n"x ""y""",2\n', Declared(), {"escape": ""}),
    "an_escape_that_is_the_quote": (b'a,b\n"x","y ""z"""\n', Declared(escape='"'), {"escape": "", "quote": '"'}),
    "backslash_before_a_closing_quote": (b'a,b\n"C:\\dir\\",1\n"D:\\",2\n', Declared(), {"escape": ""}),
    # line ends
    "crlf": (b"a,b\r\n1,2\r\n", Declared(), {"newline": "lf", "data_start": 5, "data_line": 2}),
    "cr": (b"a,b\r1,2\r3,4\r", Declared(), {"newline": "cr", "data_start": 4, "data_line": 2}),
    "mixed": (b"a,b\r1,2\n3,4\r5,6\r\n", Declared(), {"newline": "any", "data_start": 4, "data_line": 2}),
    "stray_cr_within_text": (b"a,b\n1,x\ry\n3,4\n", Declared(), {"newline": "lf"}),
    "cr_cr_lf": (b"a,b\r\r\n1,2\r\r\n", Declared(), {"newline": "any", "columns": ["a", "b"]}),
    "declared_crlf": (b"a,b\r\n1,x\ny\r\n", Declared(newline="crlf"), {"newline": "crlf", "data_start": 5}),
    "header_over_two_lines": (
        b'a,"b\nc"\n1,2\n', Declared(), {"columns": ["a", "b\nc"], "data_start": 8, "data_line": 3},
    ),
    "header_without_line_end": (b"a,b", Declared(), {"columns": ["a", "b"], "data_start": 3}),
    "blank_lines_before_the_header": (
        b"\n\r\na,b\n1,2\n", Declared(), {"columns": ["a", "b"], "data_start": 7, "data_line": 4},
    ),
    # encodings
    "utf_8": (TEXT.encode(), Declared(), {"encoding": "utf-8", "columns": ["id", "näme"], "data_start": 9}),
    "utf_8_mark": (
        TEXT.encode("utf-8-sig"), Declared(), {"encoding": "utf-8", "columns": ["id", "näme"], "data_start": 12},
    ),
    "two_marks": (b"\xef\xbb\xbf" * 2 + b"a,b\n", Declared(), {"columns": ["a", "b"], "data_start": 10}),
    "a_nul_in_utf_8": ("ä,b\nx\0,y\nz,\0\n".encode() + b"1,2\n" * 9, Declared(), {"encoding": "utf-8", "columns": ["ä", "b"]}),
    "blank_lines_of_one_column": (b"a\n\nx\n\n\ny\n\n", Declared(), {"columns": ["a"], "blank_lines": 4}),
    "blank_lines_in_a_cell": (b'a\n"x\n\ny"\nz\n', Declared(), {"columns": ["a"], "blank_lines": 0}),
    "blank_lines_of_two_columns": (b"a,b\n\n1,2\n", Declared(), {"blank_lines": 0}),
    "declared_cp1252": (
        "€,ä\n1,2\n".encode("cp1252"), Declared(encoding="windows-1252"),
        {"encoding": "cp1252", "columns": ["€", "ä"], "data_start": 4},
    ),
    "declared_latin_1": (
        TEXT.encode("latin-1"), Declared(encoding="latin1"),
        {"encoding": "iso8859-1", "columns": ["id", "näme"], "data_start": 8},
    ),
    "declared_cyrillic": (
        "имя,b\n1,2\n".encode("koi8-r"), Declared(encoding="KOI8-R"),
        {"encoding": "koi8-r", "columns": ["имя", "b"], "data_start": 6},
    ),
    "declared_ascii": (TEXT.encode(), Declared(encoding="ascii"), {"encoding": "utf-8"}),
    "wrong_bytes_below_the_header": (
        b"a,b\n\xff,1\n", Declared(), {"encoding": "utf-8", "columns": ["a", "b"], "data_start": 4},
    ),
    # preamble and header
    "preamble": (
        b"Report of May\n\na,b,c\n1,2,3\n4,5,6\n", Declared(),
        {"skip_rows": 1, "columns": ["a", "b", "c"], "data_start": 21, "data_line": 4},
    ),
    "comments": (
        b"# made by x, y\n# on a day\na,b,c\n1,2,3\n", Declared(),
        {"skip_rows": 2, "columns": ["a", "b", "c"], "data_line": 4},
    ),
    "declared_skip_rows": (
        b"x,y\nz\na,b\n1,2\n", Declared(skip_rows=2),
        {"skip_rows": 2, "columns": ["a", "b"], "data_start": 10, "data_line": 4},
    ),
    "declared_skip_rows_0": (
        b"title\na,b\n1,2\n", Declared(skip_rows=0), {"skip_rows": 0, "columns": ["title"], "data_start": 6},
    ),
    "no_header": (
        b"1,2\n3,4\n", Declared(header_rows=0),
        {"header_rows": 0, "columns": ["column_1", "column_2"], "data_start": 0, "data_line": 1},
    ),
    "two_header_rows": (
        b"2024,2024,\nQ1,Q2,note\n1,2,3\n", Declared(header_rows=2),
        {"columns": ["2024 Q1", "2024 Q2", "note"], "data_start": 22, "data_line": 3},
    ),
    "names_that_repeat_or_are_empty": (
        b"a,,a,\"\",a_2, b \n1,2,3,4,5,6\n", Declared(),
        {"columns": ["a", "column_2", "a_3", "column_4", "a_2", "b"]},
    ),
    "declared_columns": (b"a,b\n1,2\n", Declared(columns=["x", "y"]), {"columns": ["x", "y"], "data_start": 4}),
    "fewer_declared_columns_than_names": (b"a,b\n1,2\n", Declared(columns=["x"]), {"columns": ["x", "b"]}),
    "more_declared_columns_than_names": (
        b"a,b\n1,2,3\n", Declared(columns=["x", "y", "z"]), {"columns": ["x", "y", "z"], "data_start": 4},
    ),
    "declared_columns_above_numbers_alone": (
        b"2,1\n5,3\n2,2\n", Declared(columns=["x", "y"]), {"columns": ["x", "y"], "header_rows": 0, "data_start": 0},
    ),
    "a_header_that_is_repeated": (
        b"a,b\na,b\n1,2\n3,4\n", Declared(), {"columns": ["a", "b"], "header_rows": 2, "data_start": 8},
    ),
    "declared_columns_without_header": (
        b"1,2\n", Declared(columns=["x", "y"], header_rows=0), {"columns": ["x", "y"], "data_start": 0},
    ),
    "declared_footer_and_keep": (
        b"a,b\n1,2\nend\n", Declared(skip_footer=1, on_bad_row="keep"), {"skip_footer": 1, "on_bad_row": "keep"},
    ),
    "most_columns": (b",".join([b"a"] * MAX_COLUMNS) + b"\n", Declared(), {"delimiter": ","}),
    # CSV in spite of a first character like JSON's
    "bracket": (b"[id],[name]\n1,x\n2,y\n", Declared(), {"columns": ["[id]", "[name]"]}),
    "declared_csv": (b'[1,2]\n', Declared(format="csv"), {"columns": ["[1", "2]"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", CSV_CASES)
def test_the_dialect_of_a_csv_file_is_detected(name: str) -> None:
    data, declared, expected = CSV_CASES[name]
    dialect = detected(data, declared)
    assert isinstance(dialect, CsvDialect)
    assert {key: getattr(dialect, key) for key in expected} == expected
    assert from_json(msgspec.json.decode(msgspec.json.encode(to_json(dialect)))) == dialect
    read_all(data, dialect)


JSON_CASES: dict[str, tuple[bytes, str, Declared, str, int, int]] = {
    # data, file name, declared, root, data_start, data_line
    "array": (b'[{"a":1}]', "", Declared(), "array", 1, 1),
    "array_after_blanks": (b'\xef\xbb\xbf \n\n[\n{"a":1}]', "", Declared(), "array", 7, 3),
    "array_of_numbers": (b"[1,2]", "", Declared(), "array", 1, 1),
    "empty_array": (b" [ ]\n", "", Declared(), "array", 5, 1),
    "bracket_in_a_json_file": (b"[x", "data.JSON", Declared(), "array", 1, 1),
    "object": (b'{"a":1}', "", Declared(), "object", 0, 1),
    "object_over_lines": (b'{\n"a":1\n}\n', "", Declared(), "object", 0, 1),
    "two_lines": (b'{"a":1}\n{"a":2}', "", Declared(), "lines", 0, 1),
    "most_lines_are_right": (b'{"a":1}\n{"a":\n{"a":2}\n', "x.json", Declared(), "lines", 0, 1),
    "most_lines_are_wrong": (
        b'{"a":NaN}\n' * 60 + b'{"a":1}\n' * 20,
        "x.json",
        Declared(),
        "lines",
        0,
        1,
    ),
    "a_first_line_that_is_none": (
        b'{"a":"}",}\r\n{"a":\n{"a":\n{"a":1}\n',
        "x.json",
        Declared(),
        "lines",
        0,
        1,
    ),
    "a_compact_object": (b'{"a":{"b":"}"}}\n', "x.json", Declared(), "object", 0, 1),
    "two_objects_over_lines": (
        b'{\n"a": 1\n}\n{\n"a": 2\n}\n',
        "x.json",
        Declared(),
        "objects",
        0,
        1,
    ),
    "objects_in_an_object": (
        b'{"a": [{"b": {}}\n,\n{"b": {}}\n]}',
        "x.json",
        Declared(),
        "object",
        0,
        1,
    ),
    "one_line_in_a_jsonl_file": (b'{"a":1}', "data.jsonl.gz", Declared(), "lines", 0, 1),
    "an_array_in_a_jsonl_file": (b'[{"a":1}]', "data.jsonl", Declared(), "array", 1, 1),
    "ndjson_after_mark": (b'\xef\xbb\xbf{"a":1}', "data.ndjson", Declared(), "lines", 3, 1),
    "declared_lines": (b"1\n2\n", "data.csv", Declared(format="jsonl"), "lines", 0, 1),
    "declared_json": (b'{"a":1}\n{"a":2}', "", Declared(format="json"), "objects", 0, 1),
    "objects_one_behind_the_other": (b'{"a":1}{"a":2}', "", Declared(), "objects", 0, 1),
    "objects_over_lines_in_a_jsonl_file": (
        b'{\r\n"a": 1\r\n}\r\n{}',
        "x.jsonl",
        Declared(),
        "objects",
        0,
        1,
    ),
    "blank_lines_before_lines": (b'\n\n{"a":1}\n{"a":2}\n', "", Declared(), "lines", 0, 1),
    "blank_lines_before_lines_in_a_file_called_csv": (
        b'\n\n{"a":1}\n{"a":2}\n',
        "x.csv",
        Declared(),
        "lines",
        0,
        1,
    ),
    "lines_with_a_mistake_in_the_first": (
        b'{"a":1,}\n{"a":2}\n{"a":3}\n',
        "",
        Declared(),
        "lines",
        0,
        1,
    ),
    "an_array_in_a_file_called_csv": (
        b'[{"a":1},\n{"a":2}]\n',
        "x.csv",
        Declared(header_rows=0),
        "array",
        1,
        1,
    ),
    "an_array_and_more": (b'[{"a":1}]\nx', "", Declared(), "array", 1, 1),
    "an_array_with_a_mistake": (b'[{"a":1,},{"a":2}]', "", Declared(), "array", 1, 1),
}


@pytest.mark.parametrize("name", JSON_CASES)
def test_the_kind_of_json_is_detected(name: str) -> None:
    data, filename, declared, root, start, line = JSON_CASES[name]
    dialect = detected(data, declared, filename)
    assert isinstance(dialect, JsonDialect)
    assert (dialect.root, dialect.data_start, dialect.data_line) == (root, start, line)
    assert from_json(msgspec.json.decode(msgspec.json.encode(to_json(dialect)))) == dialect


CSV_LIKE_JSON: dict[str, tuple[bytes, str, str, Declared]] = {
    # data, file name, media type, declared
    "braces_with_all_hints": (
        b"{3F25},x\n{3F26},y\n",
        "g.csv",
        "text/csv",
        Declared(header_rows=0),
    ),
    "braces_by_name": (b"{3F25},x\n{3F26},y\n", "g.csv", "", Declared()),
    "braces_by_type": (b"{3F25},x\n{3F26},y\n", "", "text/csv", Declared()),
    "braces_by_an_option": (b"{3F25},x\n{3F26},y\n", "", "", Declared(header_rows=0)),
    "braces_without_a_hint": (b"{3F25},x\n{3F26},y\n", "", "", Declared()),
    "braces_against_the_name": (b"{3F25},x\n{3F26},y\n", "x.json", "", Declared(delimiter=",")),
    "a_brace_alone": (b"{,}\n1,2\n", "", "", Declared()),
    "objects_in_cells": (b'{"a":1},x\n{"a":2},y\n', "x.csv", "", Declared()),
    "objects_in_cells_without_a_hint": (b'{"a":1};x\n{"a":2};y\n', "", "", Declared()),
    "a_mistake_in_the_object_of_a_cell": (b'{"a":1,},x\n', "x.csv", "", Declared()),
    "an_array_in_a_cell": (b'[{"a":1}],x\n[],y\n', "x.csv", "", Declared()),
    "numbers_in_brackets": (b"[1],[2]\n[3],[4]\n", "", "", Declared()),
    "rows_in_brackets": (b"[1,2]\n[3,4]\n", "", "", Declared()),
    "texts_in_brackets": (b'["a"],b\n["c"],d\n', "", "", Declared()),
    "times_in_brackets": (
        b"[2024-01-01 10:00] INFO, up\n[2024-01-01 10:01] INFO, down\n",
        "",
        "",
        Declared(),
    ),
    "names_in_brackets": (b"[id],[name]\n1,x\n", "x.csv", "", Declared()),
    "quotes": (b'"id","name"\n"1","x"\n', "", "", Declared()),
    "lines_of_jsonl_by_name_alone": (b"{3F25},x\n{3F26},y\n", "x.jsonl", "text/csv", Declared()),
}


@pytest.mark.parametrize("name", CSV_LIKE_JSON)
def test_text_that_begins_with_a_bracket_is_json_only_if_it_parses(name: str) -> None:
    data, filename, media_type, declared = CSV_LIKE_JSON[name]
    dialect = detect(
        data, complete=True, declared=declared, filename=filename, media_type=media_type
    )
    assert isinstance(dialect, CsvDialect)
    rows, rejects = read_all(data, dialect)
    assert len(rows) + len(rejects) == data.count(b"\n") - dialect.header_rows


@pytest.mark.parametrize(
    ("begin", "root"),
    [
        (b'[{"a":"' + b"x" * SAMPLE_BYTES, "array"),
        (b'[{"a":1},{"a":"' + b"x" * SAMPLE_BYTES, "array"),
        (b"[1,2," + b"3," * SAMPLE_BYTES, "array"),
        (b'{"a":[' + b"1," * SAMPLE_BYTES, "lines"),
        (b'{\n"a":[' + b"1," * SAMPLE_BYTES, "object"),
        (b'{"a":1}{"a":2}' * SAMPLE_BYTES, "objects"),
        (b'{"a":1}\r{"a":2}\r' * SAMPLE_BYTES, "lines"),
    ],
    ids=lambda value: str(value[:9]),
)
def test_json_beyond_the_sample_is_json_whatever_its_name(begin: bytes, root: str) -> None:
    for filename in ("", "x.csv"):
        dialect = detect(
            begin[:SAMPLE_BYTES], complete=False, declared=Declared(), filename=filename
        )
        assert isinstance(dialect, JsonDialect)
        assert dialect.root == root


def test_json_lines_may_end_like_lines_of_csv() -> None:
    for end, newline in [("\n", "lf"), ("\r\n", "lf"), ("\r", "cr")]:
        data = end.join(['{"a":1}', '{"a":2}', '{"a":3}']).encode()
        dialect = detected(data, filename="x.jsonl")
        assert isinstance(dialect, JsonDialect)
        assert (dialect.root, dialect.newline) == ("lines", newline)
        assert [row for _, row in read_all(data, dialect)[0]] == [
            b'{"a":1}',
            b'{"a":2}',
            b'{"a":3}',
        ]


def test_the_media_type_tells_json_lines_and_json() -> None:
    for data, media_type, root in [
        (b'{"a":1}', "application/x-ndjson", "lines"),
        (b"[x]", "application/json", "array"),
    ]:
        dialect = detect(data, complete=True, declared=Declared(), media_type=media_type)
        assert isinstance(dialect, JsonDialect)
        assert dialect.root == root


@pytest.mark.parametrize(
    "sample",
    [b'{"a":"' + b"x" * SAMPLE_BYTES, b'{"a":1}\n{"a":"' + b"x" * SAMPLE_BYTES],
    ids=["first", "second"],
)
def test_a_line_longer_than_the_sample_is_a_line(sample: bytes) -> None:
    dialect = detect(sample[:SAMPLE_BYTES], complete=False, declared=Declared(), filename="x.json")
    assert isinstance(dialect, JsonDialect)
    assert dialect.root == "lines"


REFUSED: dict[str, tuple[bytes, Declared, str]] = {
    "zip": (b"PK\x03\x04rest", Declared(), "content_mismatch"),
    "old_excel": (b"\xd0\xcf\x11\xe0\xa1\xb1", Declared(format="csv"), "content_mismatch"),
    "parquet": (b"PAR1rest", Declared(), "content_mismatch"),
    "pdf": (b"%PDF-1.7\n", Declared(), "content_mismatch"),
    "png": (b"\x89PNG\r\n", Declared(), "content_mismatch"),
    "empty": (b"", Declared(), "empty_file"),
    "blank": (b" \r\n\t\n ", Declared(), "empty_file"),
    "mark_only": (b"\xef\xbb\xbf", Declared(), "empty_file"),
    "utf_16": (b"\xff\xfea\0\n\0", Declared(), "unsupported_encoding"),
    "declared_utf_16": (b"a\0\n\0", Declared(encoding="utf-16"), "unsupported_encoding"),
    "empty_json": (b"\n", Declared(format="json"), "empty_file"),
    "binary": (b"\0\1\2\0\0abc\0\0\0\7\0", Declared(), "binary_content"),
    "utf_32": (b"\xff\xfe\0\0" + "a,b\n1,2\n".encode("utf-32-le"), Declared(), "unsupported_encoding"),
    "scalar": (b"42", Declared(format="json"), "json_not_rows"),
    "text": (b'"a"', Declared(format="json"), "json_not_rows"),
    "blank_that_is_none_in_json": (b'\xc2\xa0[{"a":1}]', Declared(format="json"), "json_not_rows"),
    "array_of_nothing_that_is_never_closed": (b"[ \n", Declared(format="json"), "json_not_rows"),
    "json_in_utf_16": (b'\xff\xfe[\0{\0}\0]\0', Declared(), "unsupported_encoding"),
    "json_in_latin_1": (b"[{}]", Declared(encoding="latin-1"), "unsupported_encoding"),
    "shift_jis": (b"a,b\n", Declared(encoding="shift-jis"), "unsupported_encoding"),
    "utf_7": (b"a,b\n", Declared(encoding="utf-7"), "unsupported_encoding"),
    "declared_utf_32": (b"a,b\n", Declared(encoding="utf-32"), "unsupported_encoding"),
    "cp949": (b"a,b\n", Declared(encoding="cp949"), "unsupported_encoding"),
    "gbk": (b"a,b\n", Declared(encoding="gbk"), "unsupported_encoding"),
    "big5": (b"a,b\n", Declared(encoding="big5"), "unsupported_encoding"),
    "euc_jp": (b"a,b\n", Declared(encoding="euc-jp"), "unsupported_encoding"),
    "gb18030": (b"a,b\n", Declared(encoding="gb18030"), "unsupported_encoding"),
    "hz": (b"a,b\n", Declared(encoding="hz"), "unsupported_encoding"),
    "iso_2022_jp": (b"a,b\n", Declared(encoding="iso-2022-jp"), "unsupported_encoding"),
    "ebcdic": (b"a,b\n", Declared(encoding="cp037"), "unsupported_encoding"),
    "escapes_as_encoding": (b"a,b\n", Declared(encoding="unicode_escape"), "unsupported_encoding"),
    "raw_escapes_as_encoding": (b"a,b\n", Declared(encoding="raw_unicode_escape"), "unsupported_encoding"),
    "no_text_encoding": (b"a,b\n", Declared(encoding="rot13"), "unsupported_encoding"),
    "no_encoding": (b"a,b\n", Declared(encoding="nonsense\0"), "unsupported_encoding"),
    "header_in_another_encoding": ("id,näme\n1,2\n".encode("latin-1"), Declared(), "bad_header"),
    "preamble_in_another_encoding": (b"caf\xe9\na,b\n1,2\n3,4\n", Declared(), "bad_header"),
    "header_with_nul": (b"a,b\0\n1,2\n3,4\n5,6\n7,8\n", Declared(), "bad_header"),
    "header_name_too_long": (b"a," + b"b" * 1001 + b"\n1,2\n", Declared(), "bad_header"),
    "header_longer_than_the_file": (b"a,b\n", Declared(header_rows=2), "bad_header"),
    "too_many_columns": (b",".join([b"a"] * (MAX_COLUMNS + 1)) + b"\n", Declared(), "too_many_columns"),
    "quote_is_the_delimiter": (b"a,b\n1,2\n", Declared(delimiter=",", quote=","), "invalid_parameter"),
    "escape_is_the_delimiter": (b"a,b\n1,2\n", Declared(delimiter=",", escape=","), "invalid_parameter"),
    "escape_is_the_only_delimiter": (b"a,b\n1,2\n", Declared(escape=","), "invalid_parameter"),
    "skipping_more_than_there_is": (b"a,b\n1,2\n", Declared(skip_rows=9), "invalid_parameter"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_a_table_is_refused_with_its_code(name: str) -> None:
    data, declared, code = REFUSED[name]
    with pytest.raises(RequestError) as refused:
        detect(data, complete=True, declared=declared)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "encoding", ["cp949", "euc-jp", "gbk", "big5", "shift-jis", "latin-1", "cp1251"]
)
def test_a_header_in_another_encoding_is_refused_with_what_to_do(encoding: str) -> None:
    text = (
        "naïve,größe\n"
        if encoding == "latin-1"
        else "имя,дом\n"
        if encoding == "cp1251"
        else "番号,日付,山川\n"
    )
    text = {"cp949": "번호,도시\n", "big5": "號碼,日期,山川\n"}.get(encoding, text)
    with pytest.raises(RequestError) as refused:
        detected(text.encode(encoding) + b"1,2,3\n")
    assert refused.value.code == "bad_header"
    assert "convert the file to UTF-8, as with `iconv -f" in refused.value.detail
    if encoding in ("latin-1", "cp1251"):
        assert (
            "declare an encoding of one byte per character, as in encoding=cp1252"
            in refused.value.detail
        )
    if encoding in ("cp949", "euc-jp"):
        assert "declare" not in refused.value.detail


def test_a_declared_encoding_that_cannot_be_split_is_refused_with_what_to_do() -> None:
    with pytest.raises(RequestError) as refused:
        detected(b"a,b\n", Declared(encoding="EUC-KR"))
    assert "convert the file to UTF-8, as with `iconv -f euc_kr -t UTF-8`" in refused.value.detail


def test_binary_data_is_refused_before_its_columns_are_checked() -> None:
    for seed in range(200):
        data = random.Random(seed).randbytes(500)
        for declared in (Declared(), Declared(format="csv"), Declared(encoding="latin-1")):
            with pytest.raises(RequestError) as refused:
                detected(data, declared)
            assert refused.value.code == "binary_content"
            assert refused.value.detail.startswith("This is not text")


@pytest.mark.parametrize(
    ("sample", "code"),
    [(b" " * SAMPLE_BYTES, "binary_content"), (b'"' + b"x" * (SAMPLE_BYTES - 1), "bad_header")],
    ids=["blank", "header_without_end"],
)
def test_a_sample_without_the_start_of_a_table_is_refused(sample: bytes, code: str) -> None:
    with pytest.raises(RequestError) as refused:
        detect(sample, complete=False, declared=Declared())
    assert refused.value.code == code


def test_a_sample_that_ends_inside_a_character_or_a_record_does_not_mislead() -> None:
    whole = 'id;näme\r\n1;"ä, ö,\r\nü"\r\n2;ß, €\r\n'.encode()
    header = whole.index(b"\n") + 1
    for size in range(header, len(whole)):
        dialect = detect(whole[:size], complete=False, declared=Declared())
        assert isinstance(dialect, CsvDialect)
        assert (dialect.encoding, dialect.columns, dialect.data_start) == (
            "utf-8",
            ["id", "näme"],
            header,
        )
