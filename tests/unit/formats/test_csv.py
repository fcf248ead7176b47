"""CSV: at every chunk size and every read-buffer size the rows are those written here by hand."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from app.errors import UnsupportedEncoding
from app.formats.csv import CsvDialect, CsvFormat
from tests.formats.reading import Setting, cut_all, read_spans

Cells = list[str | None]
Bad = tuple[str, int, str | None]
"""What is expected of a row that is rejected: code, line, column."""


USUAL = CsvDialect()


@dataclass(frozen=True)
class Case:
    name: str
    body: str | bytes
    expected: list[Cells | Bad]
    dialect: CsvDialect = USUAL
    header: str = "a,b\n"
    mark: bytes = b""
    csv_differs: str = ""
    """Why Python's csv reads something else here; empty if it must agree."""

    def file(self) -> tuple[bytes, CsvDialect]:
        start = self.mark + self.header.encode(self.dialect.encoding)
        body = (
            self.body if isinstance(self.body, bytes) else self.body.encode(self.dialect.encoding)
        )
        columns = self.header.strip("\r\n").split(self.dialect.delimiter)
        return start + body, replace(
            self.dialect, columns=columns, data_start=len(start), data_line=2
        )


REJECTS = "csv rejects no row"
BARE = "csv takes every CR and LF outside quotes for a line end"
CASES = [
    Case(
        "quoted_newlines", '1,"x\ny"\n"p\n\nq",2\n"\n","\n"\n3,4\n',
        [["1", "x\ny"], ["p\n\nq", "2"], ["\n", "\n"], ["3", "4"]],
    ),
    Case(
        "doubled_quotes", '1,"say ""hi"""\n"""",""\n"""x\n""",2\n"",""\n',
        [["1", 'say "hi"'], ['"', ""], ['"x\n"', "2"], ["", ""]],
    ),
    Case("lf_and_no_line_end_at_the_end", '1,2\n3,"4"', [["1", "2"], ["3", "4"]]),
    Case(
        "crlf_read_as_lf", '1,2\r\n"3\r\n4",5\r\n6,"7"\r\n8,9', [["1", "2"], ["3\r\n4", "5"], ["6", "7"], ["8", "9"]],
        header="a,b\r\n",
    ),
    Case(
        "crlf_alone_ends_lines", '1,x\ny\r\n2,z\rw\r\n"3\n",4\r\n', [["1", "x\ny"], ["2", "z\rw"], ["3\n", "4"]],
        CsvDialect(newline="crlf"), header="a,b\r\n", csv_differs=BARE,
    ),
    Case(
        "crlf_regular", '1,"\r\n2"\r\n"3",4\r\n', [["1", "\r\n2"], ["3", "4"]], CsvDialect(newline="crlf"),
        header="a,b\r\n",
    ),
    Case(
        "cr", '1,2\r"3\r4",5\r6,"7\n8"\r"9"\r', [["1", "2"], ["3\r4", "5"], ["6", "7\n8"], ("column_count", 6, "b")],
        CsvDialect(newline="cr"), header="a,b\r", csv_differs=REJECTS,
    ),
    Case(
        "cr_lf_and_crlf_mixed", '1,2\r3,4\n5,6\r\n"7\r8\n9\r\n",0\r\r\n\nx\r\n',
        [["1", "2"], ["3", "4"], ["5", "6"], ["7\r8\n9\r\n", "0"], ("column_count", 11, "b")],
        CsvDialect(newline="any"), csv_differs=REJECTS,
    ),
    Case(
        "lf_with_lone_cr_as_text", '1,x\ry\n"2\r3",4\n5,"6"\n', [["1", "x\ry"], ["2\r3", "4"], ["5", "6"]],
        csv_differs=BARE,
    ),
    Case("blank_lines", '\n\r\n1,2\n\n\r\n\n3,"4"\n\n\n5,6\n\n\r\n', [["1", "2"], ["3", "4"], ["5", "6"]]),
    Case("blank_lines_of_stray_cr", "1,2\n\r\r\n3,4\n\r\r\r\n", [["1", "2"], ["3", "4"]]),
    Case(
        "blank_lines_of_stray_cr_and_bad_quote", '1,2\n\r\r\n3,"4"x\n\r\r\n5,6\n',
        [["1", "2"], ("csv_bad_quote", 4, "b"), ["5", "6"]], csv_differs=REJECTS,
    ),
    Case("blank_lines_only", "\n\r\n\n", []),
    Case("nothing_after_the_header", "", []),
    Case("byte_order_mark", '1,"x\n"\n', [["1", "x\n"]], mark=b"\xef\xbb\xbf"),
    Case(
        "delimiter_of_two", '1||"x||y"\n"p\nq\nr"||2\n3|||4\n"5\n"|6\n7||8\n',
        [
            ["1", "x||y"], ["p\nq\nr", "2"], ["3", "|4"], ("csv_unclosed_quote", 7, "a"),
            ("csv_unclosed_quote", 8, "a"), ["7", "8"],
        ],
        CsvDialect(delimiter="||"), header="a||b\n", csv_differs="csv knows no such delimiter",
    ),
    Case(
        "delimiter_not_ascii", '1¦"x¦\n"\n2¦3\nä¦æ\n', [["1", "x¦\n"], ["2", "3"], ["ä", "æ"]],
        CsvDialect(delimiter="¦"), header="a¦b\n",
    ),
    Case(
        "delimiter_not_ascii_in_latin_1", "2¦3\nÄ¦æ\n", [["2", "3"], ["Ä", "æ"]],
        CsvDialect(delimiter="¦", encoding="latin-1"), header="a¦b\n",
    ),
    Case(
        "backslash_escapes", '1,"say \\"hi\\"\n"\n"x\\\\",2\n3\\,3,4\n"a\\\n\\"b","""\\n"\n5,6\\\\\n7,\\"8\n',
        [["1", 'say "hi"\n'], ["x\\", "2"], ["3,3", "4"], ['a\n"b', '"n'], ["5", "6\\"], ["7", '"8']],
        CsvDialect(escape="\\"),
    ),
    Case(
        "escaped_line_ends", "a\\\nb,1\nc,d\\\r\ne,f\\\n", [["a\nb", "1"], ["c", "d\r"], ["e", "f\n"]],
        CsvDialect(escape="\\"), csv_differs="csv wants another line after the last escape",
    ),
    Case(
        "escape_after_which_nothing_comes", '1,"2\\', [("csv_unclosed_quote", 2, "b")], CsvDialect(escape="\\"),
        csv_differs=REJECTS,
    ),
    Case(
        "single_quotes", "1,'x,\ny'\n'it''s',''\n\"3\",4\n", [["1", "x,\ny"], ["it's", ""], ['"3"', "4"]],
        CsvDialect(quote="'"),
    ),
    Case(
        "quote_not_ascii", "1,«p««q«\n2,«x\ny«\n3,5« disk\n", [["1", "p«q"], ["2", "x\ny"], ("csv_bad_quote", 5, "b")],
        CsvDialect(quote="«"), csv_differs=REJECTS,
    ),
    Case("no_quotes_at_all", '1,"x\n"2,y"\n', [["1", '"x'], ['"2', 'y"']], CsvDialect(quote="")),
    Case(
        "unclosed_quotes", '1,"Bob\n2,"x, y"\n3,"Al\n4,5\n"6,7',
        [
            ("csv_unclosed_quote", 2, "b"), ["2", "x, y"], ("csv_unclosed_quote", 4, "b"), ["4", "5"],
            ("csv_unclosed_quote", 6, "a"),
        ],
        csv_differs=REJECTS,
    ),
    Case(
        "unclosed_after_doubled_quotes", '1,"say ""hi\n2,3\n', [("csv_unclosed_quote", 2, "b"), ["2", "3"]],
        csv_differs=REJECTS,
    ),
    Case(
        "stray_quotes", '1,5" disk\n2,"x"y\n3,z"\n"4"\r5,6\n"7"\r\n 8,"9\n"\n',
        [
            ("csv_bad_quote", 2, "b"), ("csv_bad_quote", 3, "b"), ("csv_bad_quote", 4, "b"), ("csv_bad_quote", 5, "a"),
            ("column_count", 6, "b"), [" 8", "9\n"],
        ],
        csv_differs=REJECTS,
    ),
    Case(
        "stray_quotes_that_look_like_a_pair", '1,a"b\n2,c"\n3,"d"\n',
        [("csv_bad_quote", 2, "b"), ("csv_bad_quote", 3, "b"), ["3", "d"]], csv_differs=REJECTS,
    ),
    Case(
        "quoted_line_end_before_text_after_the_quote", '1,"x\ny"\rz\n2,3\n',
        [("csv_unclosed_quote", 2, "b"), ("csv_bad_quote", 3, "a"), ["2", "3"]], csv_differs=REJECTS,
    ),
    Case(
        "quoted_crlf_after_a_bad_quote", '1,5" x\r\n"2\r\n","x\r\ny\r\nz"\r\n3,4\r\n',
        [("csv_bad_quote", 2, "b"), ["2\r\n", "x\r\ny\r\nz"], ["3", "4"]], csv_differs=REJECTS,
    ),
    Case(
        "text_with_a_delimiter_after_the_quote", '1,"a,b"x\n2,3\n', [("csv_bad_quote", 2, "b"), ["2", "3"]],
        csv_differs=REJECTS,
    ),
    Case("latin_1", 'é,"ü\n"\n\x85,ÿ\n', [["é", "ü\n"], ["\x85", "ÿ"]], CsvDialect(encoding="latin-1")),
    Case(
        "cp1252", b'\x80,"\x93\n"\n1,\x81\n2,\xff\n', [["€", "“\n"], ("invalid_encoding", 4, "b"), ["2", "ÿ"]],
        CsvDialect(encoding="cp1252"), csv_differs=REJECTS,
    ),
    Case(
        "tabs", '1\t"x\ty"\n\t\n"\t\n"\t ', [["1", "x\ty"], ["", ""], ["\t\n", " "]], CsvDialect(delimiter="\t"),
        header="a\tb\n",
    ),
    Case(
        "one_column", '1\n\n""\n"x\ny"\n,\n2', [["1"], [""], ["x\ny"], ("column_count", 7, None), ["2"]], header="a\n",
        csv_differs=REJECTS,
    ),
    Case(
        "ragged", '1\n2,3,4\n"5",6\n,\n', [("column_count", 2, "b"), ("column_count", 3, None), ["5", "6"], ["", ""]],
        csv_differs=REJECTS,
    ),
    Case(
        "empty_cells_behind_the_last_column", '1,2,,\n3,,"",\n4\n,,\n5,6, \n7,8,,9\n',
        [["1", "2"], ["3", ""], ("column_count", 4, "b"), ("column_count", 5, None), ("column_count", 6, None),
         ("column_count", 7, None)],
        csv_differs=REJECTS,
    ),
    Case(
        "empty_cells_that_are_kept", '1,2,,\n', [["1", "2", "", ""]], CsvDialect(on_bad_row="keep"),
    ),
    Case(
        "ragged_and_kept", '1\n2,3,4\n5" x,6\n"7"x,"8\n', [["1", None], ["2", "3", "4"], ['5" x', "6"], ['"7"x', '"8']],
        CsvDialect(on_bad_row="keep"), csv_differs="csv neither pads nor keeps quotes",
    ),
    Case(
        "nul", '1,x\0y\n2,"3\n"\n\0,"4\n"\n', [("nul_character", 2, "b"), ["2", "3\n"], ("nul_character", 5, "a")],
        csv_differs=REJECTS,
    ),
    Case(
        "invalid_utf_8", b'1,\xff\n2,3\n\xc3,"4\n5"\n\xed\xa0\x80,6\n7,"\xe2\x82',
        [
            ("invalid_utf8", 2, "b"), ["2", "3"], ("invalid_utf8", 4, "a"), ("invalid_utf8", 6, "a"),
            ("invalid_utf8", 7, "b"),
        ],
        csv_differs=REJECTS,
    ),
    Case(
        "short_row_before_wrong_bytes", b"1\n2,3\n4,\xff\n5\n",
        [("column_count", 2, "b"), ["2", "3"], ("invalid_utf8", 4, "b"), ("column_count", 5, "b")],
        csv_differs=REJECTS,
    ),
    Case(
        "characters_at_which_splitlines_would_cut", "1,\u2028\n\x0b,\x0c\n\x85,\x1c\n\u2029,\x1e\n",
        [["1", "\u2028"], ["\x0b", "\x0c"], ["\x85", "\x1c"], ["\u2029", "\x1e"]],
    ),
    Case(
        "footer_of_two", '1,2\n"3\n",4\ntotal\n"end,\n\n', [["1", "2"], ["3\n", "4"]], CsvDialect(skip_footer=2),
        csv_differs=REJECTS,
    ),
    Case("footer_longer_than_the_file", "1,2\n3,4\n", [], CsvDialect(skip_footer=3), csv_differs=REJECTS),
]  # fmt: skip


def outcome(rows: list[tuple[int, Any]], rejects: list[Any]) -> list[Cells | Bad]:
    """Rows and rejects together in the order of the file."""
    found: dict[int, Cells | Bad] = dict(rows)
    found |= {reject.row_number: (reject.code, reject.line, reject.column) for reject in rejects}
    assert sorted(found) == list(range(1, len(found) + 1))
    return [found[number] for number in sorted(found)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_chunk_size_and_every_buffer_size_gives_the_rows_written_by_hand(case: Case) -> None:
    data, dialect = case.file()
    for chunk_rows, chunk_bytes in [
        (1000, 1 << 20),
        (1, 1 << 20),
        (2, 1 << 20),
        (3, 1 << 20),
        (1000, 1),
        (1000, 9),
    ]:
        spans = cut_all(data, dialect, Setting(chunk_rows, chunk_bytes))
        assert outcome(*read_spans(data, dialect, spans)) == case.expected
        for window_bytes in range(1, len(data) + 2):
            assert cut_all(data, dialect, Setting(chunk_rows, chunk_bytes, window_bytes)) == spans
        assert cut_all(data, dialect, Setting(chunk_rows, chunk_bytes, budget=1)) == spans
        assert (
            cut_all(data, dialect, Setting(chunk_rows, chunk_bytes, window_bytes=5, budget=1))
            == spans
        )


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.csv_differs], ids=lambda case: case.name
)
def test_the_rows_written_by_hand_agree_with_pythons_csv(case: Case) -> None:
    data, dialect = case.file()
    text = data[dialect.data_start :].decode(dialect.encoding)
    quoting: dict[str, Any] = (
        {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE}
    )
    options: dict[str, Any] = {
        "delimiter": dialect.delimiter,
        "escapechar": dialect.escape or None,
        "strict": True,
    }
    assert [
        row for row in csv.reader(io.StringIO(text, newline=""), **quoting, **options) if row
    ] == case.expected


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_file_stored_in_utf_16_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="upload it again"):
        CsvFormat(CsvDialect(encoding=encoding))
