"""Unusual files that are accepted, and the outcome of each of their rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Content:
    """An accepted file, and the outcome of its rows."""

    what: str
    data: bytes
    rows: list[list[Any]]
    """The cells of the results."""
    rejects: list[tuple[int, int, str]] = field(default_factory=list)
    """(row number, line, code)"""
    params: dict[str, Any] = field(default_factory=dict)
    columns: list[str] | None = None
    name: str = "data.csv"
    type: str = "text/csv"

    def __str__(self) -> str:
        return self.what


def json_(
    what: str, data: bytes, rows: list[list[Any]], *rejects: tuple[int, int, str], **more: Any
) -> Content:
    return Content(
        what, data, rows, list(rejects), name="data.json", type="application/json", **more
    )


def lines(what: str, data: bytes, rows: list[list[Any]], *rejects: tuple[int, int, str]) -> Content:
    return Content(what, data, rows, list(rejects), name="data.jsonl", type="application/x-ndjson")


UMLAUT = "id,näme\n1,é\n"
DEEP = b"[" * 63 + b"]" * 63
NEWLINES = "\u2028 \u0085 \x0b \x0c \x1c".split(" ")

CSV_FILES = [
    Content("header only", b"a,b\n", [], columns=["a", "b"]),
    Content("header without line end", b"a,b", [], columns=["a", "b"]),
    Content("UTF-8 BOM", b"\xef\xbb\xbfid,n\n1,a\n", [["1", "a"]], columns=["id", "n"]),
    *(
        Content(f"UTF-16 {what}", bom + UMLAUT.encode(codec), [["1", "é"]], columns=["id", "näme"])
        for what, bom, codec in (
            ("LE with BOM", b"\xff\xfe", "utf-16-le"), ("BE with BOM", b"\xfe\xff", "utf-16-be"),
            ("LE without BOM", b"", "utf-16-le"), ("BE without BOM", b"", "utf-16-be"),
        )
    ),
    Content("latin-1 by charset", UMLAUT.encode("latin-1"), [["1", "é"]], type="text/csv; charset=latin-1"),
    Content("cp1252 by charset", "a\n€\n".encode("cp1252"), [["€"]], type='text/csv; charset="cp1252"'),
    Content("cp1252 by parameter", "a\n€\n".encode("cp1252"), [["€"]], params={"encoding": "cp1252"}),
    Content("undeclared latin-1", b"a,b\n1,x\n2,\xe9\n3,y\n", [["1", "x"], ["3", "y"]], [(2, 3, "invalid_utf8")]),
    Content(
        "overlong, surrogate and too large code points",
        b"a,b\n1,\xc0\xaf\n2,\xed\xa0\x80\n3,\xf5\x80\x80\x80\n4,x\n",
        [["4", "x"]],
        [(1, 2, "invalid_utf8"), (2, 3, "invalid_utf8"), (3, 4, "invalid_utf8")],
    ),
    Content("NUL", b"a,b\n1,x\0y\n2,z\n", [["2", "z"]], [(1, 2, "nul_character")]),
    Content("CRLF", b"a,b\r\n1,2\r\n3,4\r\n", [["1", "2"], ["3", "4"]]),
    Content("CR", b"a,b\r1,2\r3,4\r", [["1", "2"], ["3", "4"]]),
    Content("LF and CRLF", b"a,b\r\n1,2\n3,4\r\n", [["1", "2"], ["3", "4"]]),
    Content("no line end at the end", b"a,b\n1,2", [["1", "2"]]),
    Content("blank lines", b"a,b\n\n1,2\n\n\n3,4\n\n\n", [["1", "2"], ["3", "4"]]),
    Content(
        "other line separators are data",
        b"a,b\n" + "".join(f"{i},x{c}y\n" for i, c in enumerate(NEWLINES)).encode(),
        [[str(i), f"x{c}y"] for i, c in enumerate(NEWLINES)],
    ),
    Content("unclosed quote", b'a,b\n1,2\n3,"x\n4,5\n', [["1", "2"], ["4", "5"]], [(2, 3, "csv_unclosed_quote")]),
    Content("unclosed quote at the end", b'a,b\n1,2\n3,"x', [["1", "2"]], [(2, 3, "csv_unclosed_quote")]),
    Content(
        "stray quotes", b'a,b\n1,"x"y\n2,x"y\n3,z\n', [["3", "z"]], [(1, 2, "csv_bad_quote"), (2, 3, "csv_bad_quote")]
    ),
    Content(
        "stray quotes kept",
        b'a,b\n1,"x"y\n2,x"y\n3,z\n',
        [["1", '"x"y'], ["2", 'x"y'], ["3", "z"]],
        params={"on_bad_row": "keep"},
    ),
    Content("doubled quotes", b'a,b\n1,"x""y"\n', [["1", 'x"y']]),
    Content("backslash before quotes", b'a,b\n1,"x\\"y"\n2,"z"\n', [["1", 'x"y'], ["2", "z"]]),
    Content("single quotes", b"a,b\n1,'x,y'\n2,'z,w'\n", [["1", "x,y"], ["2", "z,w"]]),
    *(
        Content(f"delimiter {d!r}", f"a{d}b{d}c\n1{d}2{d}3\n4{d}5{d}6\n".encode(), [["1", "2", "3"], ["4", "5", "6"]])
        for d in (";", "\t", "|", " ", "\x1f")
    ),
    Content("delimiter of two characters", b"a||b\n1||2\n", [["1", "2"]], params={"delimiter": "||"}),
    Content("another delimiter than there is", b"a,b\n1,2\n", [["1,2"]], params={"delimiter": ";"}),
    Content("sep=;", b"sep=;\na;b\n1;2\n", [["1", "2"]], columns=["a", "b"]),
    Content(
        "short and long rows",
        b"a,b,c\n1,2\n1,2,3,4\n1,2,3\n",
        [["1", "2", "3"]],
        [(1, 2, "column_count"), (2, 3, "column_count")],
    ),
    Content(
        "short and long rows kept",
        b"a,b,c\n1,2\n1,2,3,4\n",
        [["1", "2", None], ["1", "2", "3", "4"]],
        params={"on_bad_row": "keep"},
    ),
    Content("a name twice in the header", b"a,a,a\n1,2,3\n", [["1", "2", "3"]], columns=["a", "a_2", "a_3"]),
    Content("an empty name in the header", b"a,b,\n1,2,3\n", [["1", "2", "3"]], columns=["a", "b", "column_3"]),
    Content(
        "names that mean something elsewhere",
        'my col,__proto__,"x; DROP TABLE files;--",日本\n1,2,3,4\n'.encode(),
        [["1", "2", "3", "4"]],
        columns=["my col", "__proto__", "x; DROP TABLE files;--", "日本"],
    ),
    Content(
        "5,001 columns",
        ",".join(f"c{n}" for n in range(5001)).encode() + b"\n" + b"1" + b",1" * 5000 + b"\n",
        [["1"] * 5001],
    ),
    Content("a cell of 10 MB", b"a,b\n1," + b"x" * 10_000_000 + b"\n2,y\n", [["1", "x" * 10_000_000], ["2", "y"]]),
    Content("a row of 17 MiB", b"a,b\n1," + b"x" * (17 << 20) + b"\n2,y\n", [["2", "y"]], [(1, 2, "row_too_large")]),
    Content(
        "lines before the header", b"Report of 2026\n# made by x\na,b,c\n1,2,3\n4,5,6\n", [["1", "2", "3"], ["4", "5", "6"]]
    ),
    Content("lines to skip", b"junk\na,b\n1,2\n", [["1", "2"]], params={"skip_rows": 1}),
    Content("totals at the end", b"a,b\n1,2\nTotal,2\n", [["1", "2"]], params={"skip_footer": 1}),
    Content("two lines of header", b"a,b\nx,y\n1,2\n", [["1", "2"]], params={"header_rows": 2}, columns=["a x", "b y"]),
    Content("no header", b"1,2\n3,4\n", [["1", "2"], ["3", "4"]], params={"header_rows": 0}),
    Content(
        "formulas are data",
        'a,b\n=1+1,+cmd|x\n-2,@SUM\n＝x,"\ty"\n'.encode(),
        [["=1+1", "+cmd|x"], ["-2", "@SUM"], ["＝x", "\ty"]],
    ),
    Content(
        "numbers are text",
        'a,b\n1e400,NaN\ninf,"1,234"\n٣,0x10\n'.encode(),
        [["1e400", "NaN"], ["inf", "1,234"], ["٣", "0x10"]],
    ),
    Content("5,000 digits", b"a\n" + b"9" * 5000 + b"\n", [["9" * 5000]]),
    Content("composed and decomposed letters", "a,b\n😀,é\nx,e\u0301\n".encode(), [["😀", "é"], ["x", "e\u0301"]]),
    Content("an id twice", b"id,v\n1,a\n1,b\n", [["1", "a"], ["1", "b"]]),
    Content("one column with empty cells", b'a\n""\n"x"\n', [[""], ["x"]]),
]  # fmt: skip

JSON_FILES = [
    json_("one object", b'{"a":1}', [[1]]),
    json_("an empty array", b" [ ] ", []),
    json_(
        "values that are no objects",
        b'[1,{"a":1},"x",null,[1]]',
        [[1]],
        *((n, 1, "json_row_not_object") for n in (1, 3, 4, 5)),
    ),
    json_("cut in a record", b'[{"a":1},\n{"a":2},\n{"a"', [[1], [2]], (3, 3, "json_truncated")),
    json_("cut behind a comma", b'[{"a":1},', [[1]], (2, 1, "json_truncated")),
    json_("a comma at the end", b'[{"a":1},]', [[1]], (2, 1, "json_syntax")),
    json_("a comment", b'[{"a":1},/*x*/{"a":2},{"a":3}]', [[1], [3]], (2, 1, "json_syntax")),
    json_("strings in single quotes", b"[{'a':1},{\"a\":2}]", [[2]], (1, 1, "json_syntax")),
    json_("unquoted keys", b'[{a:1},{"a":2}]', [[2]], (1, 1, "json_syntax")),
    json_(
        "numbers that JSON does not have",
        b'[{"a":NaN},{"a":Infinity},{"a":-Infinity},{"a":01},{"a":+1},{"a":.5},{"a":0x1},{"a":1}]',
        [[1]],
        *((n, 1, "json_syntax") for n in range(1, 8)),
    ),
    json_("64 levels", b'[{"a":' + DEEP + b'}]', [[eval(DEEP)]]),
    json_("65 levels", b'[{"a":[' + DEEP + b']},{"a":1}]', [[1]], (1, 1, "json_too_deep")),
    json_("100,000 levels", b'[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b'},{"a":1}]', [[1]], (1, 1, "json_too_deep")),
    json_("a million brackets", b"[" * 1_000_000, [], (1, 1, "json_truncated")),
    json_("4,301 digits", b"[" + b"9" * 4301 + b"]", [], (1, 1, "json_row_not_object")),
    json_("a million digits", b'[{"a":' + b"9" * 1_000_000 + b'},{"a":1}]', [[1]], (1, 1, "number_out_of_range")),
    json_("23 digits", b'[{"a":12345678901234567890123}]', [[12345678901234567890123]]),
    json_("1e400", b'[{"a":1e400},{"a":-1e400},{"a":1}]', [[1]], (1, 1, "number_out_of_range"), (2, 1, "number_out_of_range")),
    json_("a key twice", b'[{"a":1,"a":2},{"a":1}]', [[1]], (1, 1, "duplicate_key")),
    json_(
        "lone surrogates",
        rb'[{"a":"\ud800"},{"a":"\udfff\ud800"},{"a":"\u0000"},{"a":"\ud83d\ude00"}]',
        [["\0"], ["😀"]],
        (1, 1, "invalid_unicode"),
        (2, 1, "invalid_unicode"),
    ),
    json_("a control character", b'[{"a":"x\x01y"},{"a":1}]', [[1]], (1, 1, "json_syntax")),
    json_(
        "bytes that are no UTF-8",
        b'[{"a":"\xff"},{"a":"\xc0\xaf"},{"a":1}]',
        [[1]],
        (1, 1, "invalid_utf8"),
        (2, 1, "invalid_utf8"),
    ),
    json_("BOM", b'\xef\xbb\xbf[{"a":1}]', [[1]]),
    json_("a string of 10 MB", b'[{"a":"' + b"x" * 10_000_000 + b'"},{"a":1}]', [["x" * 10_000_000], [1]]),
    json_(
        "20,000 keys",
        b"[{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b'},{"a":1}]',
        [[1]],
        (1, 1, "too_many_columns"),
    ),
    json_(
        "keys that mean something elsewhere",
        rb'[{"__proto__":1,"constructor":2,"$where":3,"a.b":4,"":5,"a\u0000b":6}]',
        [[1, 2, 3, 4, 5, 6]],
        columns=["__proto__", "constructor", "$where", "a.b", "", "a\0b"],
    ),
    json_(
        "different keys", b'[{"a":1},{"b":2},{"c":null,"a":3}]', [[1, None, None], [None, 2, None], [3, None, None]]
    ),
    json_("JSON Lines named .json", b'{"a":1}\n{"a":2}\n', [[1], [2]]),
    Content("JSON Lines named .csv", b'{"a":1}\n{"a":2}\n', [[1], [2]]),
    lines("blank lines and CRLF", b'{"a":1}\r\n\r\n{"a":2}', [[1], [2]]),
    lines(
        "bad lines",
        b'{"a":1}\nxx\n[1]\n{"a":2}\n{"a":',
        [[1], [2]],
        (2, 2, "json_syntax"),
        (3, 3, "json_row_not_object"),
        (5, 5, "json_syntax"),
    ),
]  # fmt: skip


ODD_FILES = CSV_FILES + JSON_FILES
