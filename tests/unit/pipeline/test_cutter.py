"""The cutter: limits of chunks, oversized records, stopping and continuing."""

from __future__ import annotations

import io
import zlib

import msgspec
import pytest

from app.formats.base import Offsets
from app.formats.csv import CsvDialect
from app.formats.json import JsonDialect
from app.formats.registry import Dialect, open_format
from app.pipeline.cutter import Limits, Position, cut
from tests.formats.reading import Setting, cut_all, read_all, read_spans

ROW_BYTES = 1000
CSV = CsvDialect(columns=["a", "b"])
LINES = JsonDialect(root="lines")


@pytest.fixture(autouse=True)
def small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.formats.base.MAX_ROW_BYTES", ROW_BYTES)
    monkeypatch.setattr("app.formats.csv_scan.MAX_ROW_BYTES", ROW_BYTES)
    monkeypatch.setattr("app.pipeline.cutter.WINDOW_BYTES", 98)


def csv_row(length: int, end: str = "\n", encoding: str = "utf-8") -> bytes:
    return f"1,{'x' * (length - 2)}{end}".encode(encoding)


def json_row(length: int, end: bytes = b"\n") -> bytes:
    return b'{"v":"' + b"x" * (length - 8) + b'"}' + end


def tricky(count: int) -> bytes:
    """Full of characters that would end it outside a string or brackets."""
    return b'{"v":["' + rb"a,]}\"[{\\" * count + b'",{"w":[1,{"x":2}]}],"y":"\\\\"},'


def csv_case(
    newline: str, encoding: str = "utf-8", delimiter: str = ","
) -> tuple[Dialect, bytes, bytes, bytes]:
    """(dialect, small record, oversized record, record of the size of a window)."""
    end = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}[newline]
    small = f"7,small{end}".replace(",", delimiter).encode(encoding)
    dialect = CsvDialect(
        newline=newline, encoding=encoding, delimiter=delimiter, columns=["a", "b"]
    )
    return dialect, small, csv_row(5000, end, encoding), csv_row(20_000, end, encoding)


CASES: dict[str, tuple[Dialect, bytes, bytes, bytes]] = {
    "lf": csv_case("lf"),
    "crlf": csv_case("crlf"),
    "cr": csv_case("cr"),
    "long_delimiter": csv_case("lf", delimiter="||"),
    "json_lines": (LINES, b'{"id":1}\n', json_row(5000), json_row(20_000)),
    "json_array": (
        JsonDialect(root="array"),
        b'{"id":1},\n',
        json_row(5000, b",\n"),
        json_row(20_000, b",\n"),
    ),
    "json_array_on_one_line": (JsonDialect(root="array"), b'{"id":1},', tricky(500), tricky(2000)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("window_bytes", [1, 7, 64, 1000, 1001, 4999, 5000, 5002, 9000, 1 << 20])
def test_an_oversized_record_is_one_reject_and_its_neighbours_pass(
    name: str, window_bytes: int
) -> None:
    dialect, small, long, longer = CASES[name]
    for order in ("sls", "lss", "ssl", "slls", "l", "sLsl", "LL"):
        records = [{"s": small, "l": long, "L": longer}[letter] for letter in order]
        data = b"".join(records)
        if name.startswith("json_array"):
            data = data.removesuffix(b"\n").removesuffix(b",") + b"]"
            dialect = JsonDialect(root="array", data_end=len(data))

        spans = cut_all(data, dialect, Setting(1000, 500, window_bytes), ROW_BYTES)
        rows, rejects = read_spans(data, dialect, spans)

        assert [number for number, _ in rows] == [
            i for i, letter in enumerate(order, 1) if letter == "s"
        ]
        assert [reject.row_number for reject in rejects] == [
            i for i, letter in enumerate(order, 1) if letter != "s"
        ]
        assert {reject.code for reject in rejects} == {"row_too_large"}
        for reject in rejects:
            start = sum(map(len, records[: reject.row_number - 1]))
            length = len(records[reject.row_number - 1])
            # In an array the comma, and with it the line end, starts the next record.
            assert abs(reject.byte_start - start) <= 2
            assert abs(reject.byte_end - start - length) <= 2


def test_the_end_of_an_oversized_record_is_found_at_every_block_boundary() -> None:
    dialect = CsvDialect(columns=["a", "b"], newline="crlf")
    for length in range(1500, 1500 + 98):
        data = f"1,2\r\n3,{'x' * length}\r\n5,6\r\n".encode()
        spans = cut_all(data, dialect, Setting(1000, 500, 200), ROW_BYTES)
        assert [span.is_oversize for span in spans] == [False, True, False]
        rows, rejects = read_spans(data, dialect, spans)
        assert rows == [(1, ["1", "2"]), (3, ["5", "6"])]
        assert [reject.code for reject in rejects] == ["row_too_large"]


def test_an_oversized_quoted_cell_costs_no_row_outside_it() -> None:
    data = b'1,2\n3,"' + b"x" * 5000 + b'"\n5,6\n'
    for window_bytes in (1, 100, 5000, 1 << 20):
        spans = cut_all(data, CSV, Setting(1000, 500, window_bytes), ROW_BYTES)
        rows, rejects = read_spans(data, CSV, spans)
        assert rows == [(1, ["1", "2"]), (3, ["5", "6"])]
        assert [reject.code for reject in rejects] == ["row_too_large"]


@pytest.mark.parametrize("window_bytes", [1, 700, 1500, 4000])
def test_an_unclosed_quote_does_not_hold_the_whole_file(window_bytes: int) -> None:
    table = [["3", f"x{i}"] for i in range(1000)]
    data = b'1,"2\n' + "".join(f"{a},{b}\n" for a, b in table).encode()
    spans = cut_all(data, CSV, Setting(100, 500, window_bytes), ROW_BYTES)
    rows, rejects = read_spans(data, CSV, spans)
    assert rows == list(enumerate(table, 2))
    assert [reject.code for reject in rejects] == ["csv_unclosed_quote"]


@pytest.mark.parametrize("dialect", [CSV, LINES], ids=["csv", "lines"])
def test_chunks_end_at_the_limit_of_rows_or_bytes(dialect: Dialect) -> None:
    record = b"1,2345\n" if isinstance(dialect, CsvDialect) else b'{"a":1}\n'
    data = record * 10
    for chunk_rows, chunk_bytes, counts in [
        (1, 1000, [1] * 10),
        (4, 1000, [4, 4, 2]),
        (10, 1000, [10]),
        (1000, 3 * len(record), [3, 3, 3, 1]),
        (1000, 3 * len(record) - 1, [2] * 5),
        (2, 3 * len(record), [2] * 5),
        (1000, 1, [1] * 10),
    ]:
        spans = cut_all(data, dialect, Setting(chunk_rows, chunk_bytes))
        assert [span.row_count for span in spans] == counts


def test_a_stretch_ends_at_its_budget_and_the_next_one_continues() -> None:
    data = b"".join(b"%d,x\n" % i for i in range(1000))
    form, position, stretches = open_format(CSV), Position(0, 0, 1), 0
    while True:
        made = cut(
            io.BytesIO(data),
            form,
            position,
            size=len(data),
            limits=Limits(10),
            budget=1000,
            window_bytes=200,
        )
        stretches += 1
        assert made.spans[0].byte_start == position.offset
        assert made.spans[0].first_row == position.rows + 1
        if made.done:
            break
        assert 1000 <= made.position.offset - position.offset < 1000 + 400
        position = made.position
    assert made.position == Position(len(data), 1000, 1001, zlib.crc32(data))
    assert stretches > 4


def test_reads_are_bounded_by_the_window_and_the_longest_record() -> None:
    class Watched(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1, /) -> bytes:
            block = super().read(size)
            self.most = max(self.most, len(block))
            return block

    data = b"".join(
        csv_row(length) for length in [700, 900, 10, 10, 900, 800, 900, 950] * 50
    ) + csv_row(50_000)
    file = Watched(data)
    cut(
        file,
        open_format(CSV),
        Position(0, 0, 1),
        size=len(data),
        limits=Limits(3, row_bytes=ROW_BYTES),
        budget=1 << 40,
        window_bytes=512,
    )
    assert file.most <= 16 * ROW_BYTES < len(data) / 10


OPEN_QUOTES = {
    "one_line": (b'"', b"x"),
    "lines": (b'"', b"some text, more\n"),
    "in_each_line": (b"", b'1,"some text\n'),
    "before_doubled_quotes": (b'"', b'""\n'),
    "before_closed_and_bad_ones": (b'"x""\n', b'y,""z""\n'),
    "far_from_each_other": (b"", b'1,"open\n' + b"1,two and more\n" * 300),
}


@pytest.mark.parametrize("name", OPEN_QUOTES)
@pytest.mark.parametrize("spaces", [False, True], ids=["", "spaces"])
def test_open_quotes_cost_linear_work_and_the_memory_of_a_record(name: str, spaces: bool) -> None:
    begin, repeated = OPEN_QUOTES[name]
    form = open_format(msgspec.structs.replace(CSV, skip_initial_space=spaces))
    scan, seen = form.scan, [0]

    def watched(window: bytes, *, eof: bool) -> Offsets:
        seen.append(len(window))
        return scan(window, eof=eof)

    form.scan = watched  # type: ignore[method-assign]
    data = begin + repeated * (200 * ROW_BYTES // len(repeated))
    position, done = Position(0, 0, 1), False
    while not done:
        made = cut(
            io.BytesIO(data),
            form,
            position,
            size=len(data),
            limits=Limits(100, row_bytes=ROW_BYTES),
            budget=50 * ROW_BYTES,
            window_bytes=512,
        )
        position, done = made.position, made.done
    assert position.offset == len(data)
    assert max(seen) <= 8 * ROW_BYTES
    assert sum(seen) <= 8 * len(data)


def test_a_truncated_file_ends_the_cutting() -> None:
    made = cut(
        io.BytesIO(b"1,2\n3,"),
        open_format(CSV),
        Position(0, 0, 1),
        size=100,
        limits=Limits(10),
        budget=1000,
    )
    assert made.done
    assert [(span.byte_start, span.byte_end, span.row_count) for span in made.spans] == [(0, 6, 2)]


def test_a_file_without_rows_has_no_spans() -> None:
    for data in (b"", b"\n\r\n\n"):
        assert cut_all(data, CSV) == cut_all(data, LINES) == []
        assert read_all(data, LINES) == ([], [])
