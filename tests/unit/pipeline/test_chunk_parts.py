"""A chunk between the processor and the transaction: results merged, rejects located, outputs
written.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from app.db.corrections import CorrectionPart
from app.db.rows import PageRow
from app.destinations.encoding import EncodeRejects, rejects_as_copy, rejects_as_parameters
from app.destinations.pages import merged_pages
from app.destinations.parts import part_file, write_part
from app.formats.base import CellRows, Page, Reject, Span, gaps
from app.formats.detect import Declared, detect
from app.formats.registry import open_format
from app.formats.rejecting import failed_row, located
from app.pipeline.merger import OVERTAKEN, Live, only, renumbered
from app.pipeline.prepared import Prepared, gathered
from app.processors.base import ChunkOutcome, Output
from app.processors.pieces import Pieces
from app.processors.rows import RowsProcessor
from app.sources.outputs import OutputParts

LINES = [b"id,name\n", b'1,"two\nlines"\n', b"2,b\n", b"3,c\n"]
DATA = b"".join(LINES)


class Adding(RowsProcessor):
    def combine(self, summaries: Any) -> dict[str, Any]:
        return {"rows": sum(summary["rows"] for summary in summaries)}


def rows(*numbers: int) -> CellRows:
    return CellRows(["id"], list(numbers), [[str(number)] for number in numbers])


def reject(number: int, **values: Any) -> Reject:
    return Reject(number, 0, 0, 0, b"", "refused", "It is not wanted.", **values)


def cells(page: Page) -> list[tuple[int, Any]]:
    numbers = page.numbers or range(page.first_row, page.first_row + page.row_count)
    return list(zip(numbers, msgspec.json.decode(page.data), strict=True))


def page_of(*numbers: int) -> Page:
    data = msgspec.json.encode([[str(number)] for number in numbers])
    return Page(numbers[0], len(numbers), gaps(numbers), data)


# ---------------------------------------------------------------------- prepared


def test_the_outcomes_of_halves_equal_that_of_the_whole() -> None:
    whole, halves, processor = Prepared(), Prepared(), Adding()
    whole.add(
        ChunkOutcome(rows(1, 2, 3, 4), [reject(5)], {"rows": 4}, {"records": [1, 2]}), processor
    )
    halves.add(ChunkOutcome(rows(1, 2), [], {"rows": 2}, {"records": [1]}), processor)
    halves.add(ChunkOutcome(rows(3, 4), [reject(5)], {"rows": 2}, {"records": [2]}), processor)
    assert halves.completion() == whole.completion()
    assert halves.tables == whole.tables == {"records": [1, 2]}
    assert [row for page in halves.pages for row in cells(page)] == [
        (n, [str(n)]) for n in (1, 2, 3, 4)
    ]


def test_failed_rows_are_counted_apart_from_invalid_ones() -> None:
    prepared = Prepared()
    rejects = [reject(2), reject(3, kind="failed"), reject(4)]
    prepared.add(ChunkOutcome(rows(1), rejects), RowsProcessor())
    completion = prepared.completion()
    assert (completion.rows_ok, completion.rows_invalid, completion.rows_failed) == (1, 2, 1)
    assert completion.reject_codes == {"refused": 3}


@pytest.mark.parametrize("encode", [rejects_as_copy, rejects_as_parameters])
def test_encoded_rejects_count_as_they_did_before(encode: EncodeRejects) -> None:
    given = [reject(2), reject(3, kind="failed"), reject(4)]
    plain, encoded = Prepared(rejects=[*given, reject(5)]), Prepared(rejects=given)
    encoded.encode_rejects(encode, uuid4())
    encoded.rejects.append(reject(5))
    assert encoded.completion() == plain.completion()


def test_the_hash_does_not_depend_on_the_order_of_rows_but_on_their_numbers() -> None:
    def hash_of(*parts: CellRows) -> str:
        prepared = Prepared()
        for part in parts:
            prepared.add(ChunkOutcome(part), RowsProcessor())
        return prepared.completion().hash_read

    assert hash_of(rows(1, 2)) == hash_of(rows(2), rows(1))
    assert hash_of(rows(1)) != hash_of(CellRows(["id"], [2], [["1"]]))


def test_tables_are_merged_in_the_order_of_their_parts() -> None:
    assert gathered([{"a": [1]}, {"b": [2]}, {"a": [3, 4]}]) == {"a": [1, 3, 4], "b": [2]}


# ---------------------------------------------------------------------- rejects


def span() -> Span:
    start = len(LINES[0])
    return Span(start, len(DATA), 1, 3, 2, zlib.crc32(DATA[start:]))


def test_a_refused_row_is_located_in_its_file() -> None:
    form = open_format(
        detect(DATA, complete=True, declared=Declared(), filename="a.csv", media_type="text/csv")
    )
    chunk = DATA[span().byte_start :]
    found = located(form, span(), chunk, [reject(3), reject(1)])
    for row, line in ((found[1], 2), (found[0], 5)):
        assert DATA[row.byte_start : row.byte_end] == row.raw
        assert row.line == line
    assert (found[0].raw.strip(), found[1].raw.strip()) == (LINES[3].strip(), LINES[1].strip())


def test_a_reject_with_a_known_location_is_unchanged() -> None:
    placed = Reject(2, 4, 10, 20, b"as read", "column_count", "It has other columns.")
    form = open_format(
        detect(DATA, complete=True, declared=Declared(), filename="a.csv", media_type="text/csv")
    )
    assert located(form, span(), DATA[span().byte_start :], [placed]) == [placed]


def test_the_reason_of_a_failed_row_is_text_that_every_database_accepts() -> None:
    failed = failed_row(rows(7), ValueError("a\0b" + "x" * 1000))
    assert (failed.row_number, failed.kind, failed.code) == (7, "failed", "processing_failed")
    assert failed.message.startswith("ValueError: a\\x00b")
    assert "\0" not in failed.message
    assert len(failed.message) < 520


# ---------------------------------------------------------------------- outputs


def pieces(data: bytes) -> Pieces:
    held = Pieces()
    for start in range(0, len(data), 2):
        held.add(data[start : start + 2])
    return held


def test_a_part_is_all_of_its_pieces_in_order(tmp_path: Path) -> None:
    parts, job_id = OutputParts(tmp_path), uuid4()
    outputs = [
        Output(pieces(b"first"), pieces(b"k1"), [[1]]),
        Output(pieces(b"second"), pieces(b"k2"), [[2, 0]]),
    ]
    part = write_part(parts, job_id, "7", outputs)
    assert b"".join(parts.blocks(job_id, "7.part")) == b"firstsecond"
    assert b"".join(parts.blocks(job_id, "7.keys")) == b"k1k2"
    assert part == {
        "name": "7.part",
        "size": 11,
        "crc32": zlib.crc32(b"firstsecond"),
        "keys": [[1], [2, 0]],
        "key_file": "7.keys",
    }
    file = part_file({"part": part})
    assert (file.name, file.size, file.crc32) == ("7.part", 11, zlib.crc32(b"firstsecond"))


def test_a_chunk_without_a_row_for_the_output_leaves_no_file(tmp_path: Path) -> None:
    part = write_part(OutputParts(tmp_path), uuid4(), "7", [Output(pieces(b""), pieces(b""))])
    assert part == {"name": None, "size": 0, "crc32": 0}
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- corrections


def held(page: Page) -> PageRow:
    return PageRow(page.first_row, page.row_count, page.numbers, page.data.decode())


def test_corrected_rows_are_merged_with_the_others_in_order() -> None:
    merged = list(
        merged_pages([held(page_of(1, 2, 5)), held(page_of(6, 8))], [page_of(7), page_of(3, 4)])
    )
    assert [row for page in merged for row in cells(page)] == [(n, [str(n)]) for n in range(1, 9)]
    assert [page.numbers for page in merged] == [None]


@pytest.mark.parametrize("changed", [frozenset(), frozenset({30})])
def test_rows_of_a_correction_get_the_numbers_of_the_corrected_job(changed: frozenset[int]) -> None:
    """Rows 1 to 3 of the correction are rows 10, 30 and 40 of the job; one that changed there is
    not run again.
    """
    form = open_format(
        detect(DATA, complete=True, declared=Declared(), filename="a.csv", media_type="text/csv")
    )
    parsed = form.read(DATA[span().byte_start :], span())
    live = Live(CorrectionPart(0, {10: 0, 30: 0, 40: 1}), changed)
    result = renumbered(
        parsed, span(), live, lambda numbers: [b"raw %d" % number for number in numbers]
    )
    assert list(result.rows.numbers) == [number for number in (10, 30, 40) if number not in changed]
    assert [(r.row_number, r.code, r.raw, r.kind) for r in result.rejects] == [
        (number, OVERTAKEN, b"raw 2", "failed") for number in changed
    ]


def test_a_subset_of_the_rows_of_a_part_is_a_part() -> None:
    part = only(Live(CorrectionPart(3, {10: 0, 30: 2, 40: 1}), frozenset({10})), [30, 40]).part
    assert (part.target_index, dict(part.seen)) == (3, {30: 2, 40: 1})
