"""Detection of the dialect from the first bytes of a file: format, encoding, delimiter, quote, line
ends, preamble, header.

Values that the user declares are taken; only the rest is detected, from the first SAMPLE_BYTES, and
everything is reported, so that a wrong guess can be seen and overridden.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.errors import (
    BadHeader,
    BinaryContent,
    ContentMismatch,
    EmptyFile,
    InvalidParameter,
    JsonNotRows,
    TooManyColumns,
    UnsupportedEncoding,
)
from app.formats.base import MAX_COLUMNS, unique_names
from app.formats.csv import CsvDialect, Skipped
from app.formats.csv_header import find_header
from app.formats.csv_layout import (
    COMMON_DELIMITERS,
    Reading,
    Record,
    Wanted,
    find_layout,
    find_readings,
    records_of,
    table_cells,
)
from app.formats.csv_more_tables import find_other_tables
from app.formats.encodings import encoding_of, hint, refuse_binary
from app.formats.fixed import FixedDialect
from app.formats.fixed_layout import FixedLayout, declared_layout, ruled_layout, spaced_layout
from app.formats.json import JsonDialect
from app.formats.registry import Dialect
from app.formats.xml_beginning import html_in, xml_in

SAMPLE_BYTES = 256 << 10
SURE_OF_SPACES = 0.9
"""Confidence from which on columns between runs of spaces are read as such."""
MAX_NAME_LENGTH = 1_000
MAX_SKIPPED_CHARACTERS = 200
SIGNATURES = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\x89PNG", "a picture"),
    (b"SQLite format 3", "a database"),
)
JSON_LINES_NAMES, JSON_NAMES = (".jsonl", ".ndjson"), (".json",)
CSV_NAMES, CSV_TYPES = (
    (".csv", ".tsv", ".tab", ".psv"),
    ("text/csv", "text/tab-separated-values", "application/csv"),
)
LINE_ENDS = {"lf": r"\n", "crlf": r"\r\n", "cr": r"\r", "any": r"\r\n|\r|\n"}
BLANK_LINE = re.compile(r"(?:\r\n|\r|\n)[,;|\t ]*(?:\r\n|\r|\n)[^\r\n]")
"""Also a line of delimiters alone, above another line."""
JSON_BLANKS = " \t\r\n"
JSON_OBJECT = re.compile(r'\{\s*(?:"(?:[^"\\]|\\.)*+"\s*:|\}|$)')
ARRAY_OF_OBJECTS = re.compile(r'\[\s*\{\s*(?:"(?:[^"\\]|\\.)*+"\s*:|\}|$)')
JSON_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[][{}]')
"""Brackets, and strings, so that no bracket inside a string counts. A string that is never closed
reaches to the end.
"""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the user declared about the file; None means detect."""

    format: str | None = None
    sheet: str | None = None
    """Sheet of a workbook."""
    members: str | None = None
    """Patterns for the files of an archive."""
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    newline: str | None = None
    skip_initial_space: bool | None = None
    skip_rows: int | None = None
    header_rows: int | None = None
    skip_footer: int | None = None
    columns: Sequence[str] | None = None
    on_bad_row: str = "reject"
    cell_faults: bool = False
    """Whether the text comes from a spreadsheet, which may have marked cells."""
    decoded_from: str = ""
    """Encoding in which the text was received, if it was decoded."""
    records: str | None = None
    """Path of the records in a JSON or XML document."""
    widths: Sequence[int] | None = None
    """Characters of each column of fixed width; a last 0 is the rest of the line."""
    record_key: str | None = None
    """Column for the keys of a JSON object whose members are the records."""
    flatten: int | None = None
    """Levels of nested objects that become columns."""
    located: dict[str, Any] | None = None
    """Where a decoder found the records in a JSON document: path, start, line, end, key and
    features.
    """


class _BadBytes(Exception):
    """A part of the file with bytes of another encoding."""


def detect(
    sample: bytes, *, complete: bool, declared: Declared, filename: str = "", media_type: str = ""
) -> Dialect:
    """Return the dialect of a file that begins with `sample` and, if `complete`, ends with it;
    raises a RequestError if none fits.
    """
    for signature, what in SIGNATURES:
        if sample.startswith(signature):
            raise ContentMismatch(f"The content is {what}, not CSV or JSON.")
    if declared.format is None and html_in(sample):
        raise ContentMismatch("The content is an HTML page, not CSV or JSON.")
    if declared.format is None and xml_in(sample):
        raise ContentMismatch("The content is XML, which is read here only from an upload.")
    encoding, start = encoding_of(sample, declared.encoding)
    body = sample[start:]
    text = _decode(body, encoding, complete)
    if not text.strip("\0 \t\r\n"):
        raise EmptyFile("The file holds only blanks.") if complete else BinaryContent()
    if declared.widths is not None and declared.format not in (None, "fixed"):
        raise InvalidParameter(
            "`widths` is for text with columns of fixed width, but this is read as "
            f"{declared.format}."
        )
    kind = declared.format or _kind(text, filename.lower(), media_type, complete, declared)
    if kind == "csv" or kind == "fixed":
        fixed = _fixed(text, encoding, start, complete, declared)
        if fixed is not None:
            return fixed
    if kind == "geojson" and declared.located is None:
        raise JsonNotRows("The beginning of the file does not show the features of GeoJSON.")
    if kind == "xml":
        raise ContentMismatch("XML is read here only from an upload.")
    if kind != "csv":
        dialect = _json(kind, text, encoding, start, complete, declared.located)
        return msgspec.structs.replace(dialect, flatten=declared.flatten or 0)
    if declared.flatten:
        raise InvalidParameter("`flatten` is for JSON and XML, but this is CSV.")
    refuse_binary(text if declared.delimiter is None else text.replace(declared.delimiter, ""))
    try:
        table = _csv(text, encoding, start, complete, declared)
        return _spaced(text, encoding, start, complete, declared, table) or table
    except BadHeader:
        refuse_binary(text, is_suspect=True)
        raise
    except _BadBytes as bad:
        refuse_binary(text, is_suspect=True)
        raise BadHeader(f"{bad} holds bytes that are not valid {encoding}; {hint(body)}.") from None


# ---------------------------------------------------------------------- encoding


def _decode(body: bytes, encoding: str, complete: bool) -> str:
    """Return the sample as text to inspect. Invalid bytes are rejected row by row later; here they
    must only not get in the way.
    """
    return body.decode(encoding, "replace")


# ---------------------------------------------------------------------- JSON


def _kind(text: str, filename: str, media_type: str, complete: bool, declared: Declared) -> str:
    """Return fixed, csv, json or jsonl. JSON is what parses as JSON, and what is named so; a first
    bracket alone proves nothing.
    """
    named = filename.removesuffix(".gz")
    says_lines = named.endswith(JSON_LINES_NAMES) or "ndjson" in media_type or "jsonl" in media_type
    says_json = named.endswith(JSON_NAMES) or media_type == "application/json"
    says_csv = named.endswith(CSV_NAMES) or media_type in CSV_TYPES or _has_csv_options(declared)
    head = text.lstrip(JSON_BLANKS)
    if declared.widths is not None:
        return "fixed"
    if declared.located is not None:
        return "json"
    if says_lines and not says_csv:
        if re.match(r"\[\s*\{", head):  # an array of objects is one, whatever the file is called
            return "json"
        return "json" if _are_objects(head) and not _are_json_lines(text, complete) else "jsonl"
    if head[0] == "[" and (
        (says_json and not says_csv) or _is_json_array(head, complete, says_csv)
    ):
        return "json"
    if head[0] == "{" and (
        (says_json and not says_csv) or _are_json_objects(head, complete, says_csv)
    ):
        return "jsonl" if _are_json_lines(text, complete) else "json"
    if says_csv:
        return "csv"
    return "json" if says_json else "csv"


def _has_csv_options(declared: Declared) -> bool:
    options = (
        declared.delimiter,
        declared.quote,
        declared.escape,
        declared.newline,
        declared.skip_initial_space,
        declared.skip_rows,
        declared.header_rows,
        declared.columns,
    )
    return (
        any(option is not None for option in options)
        or declared.skip_footer is not None
        or declared.on_bad_row != "reject"
    )


def _are_json_objects(head: str, complete: bool, says_csv: bool) -> bool:
    """Whether the text, which begins with a brace, begins with an object and not with a cell: no
    delimiter follows, nor, if the file is said to be CSV, anything but another object. An object
    with mistakes counts as one, except in a file that is said to be CSV.
    """
    end = _end_of_value(head)
    if end is not None:
        rest = head[end:].lstrip(JSON_BLANKS)
        is_cell = says_csv or head[end:].lstrip(" ")[:1] in COMMON_DELIMITERS
        return not rest or rest[0] == "{" or not is_cell
    is_cut = not complete and _end_of_brackets(head) is None
    return JSON_OBJECT.match(head) is not None and (is_cut or not says_csv)


def _is_json_array(head: str, complete: bool, says_csv: bool) -> bool:
    """Whether the text, which begins with a bracket, is an array: of objects, or of anything that
    is right to its end.
    """
    end = _end_of_value(head)
    if end is not None:
        return not head[end:].strip(JSON_BLANKS) or (
            not says_csv and ARRAY_OF_OBJECTS.match(head) is not None
        )
    is_cut = not complete and _end_of_brackets(head) is None
    if ARRAY_OF_OBJECTS.match(head) is not None:
        return is_cut or not says_csv
    inner = head[1:].lstrip(JSON_BLANKS)
    element = _end_of_value(inner) if inner else None
    return (
        is_cut and element is not None and inner[element:].lstrip(JSON_BLANKS)[:1] in (",", "]", "")
    )


def _end_of_value(text: str) -> int | None:
    """Return where the JSON value ends that the text begins with; None if there is none, or not all
    of it.
    """
    try:
        return json.JSONDecoder(strict=False).raw_decode(text)[1]
    except (ValueError, RecursionError):
        return None


def _end_of_brackets(text: str) -> int | None:
    """Return where the first bracket of the text is closed, whatever is in between."""
    depth = 0
    for match in JSON_BRACKETS.finditer(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(match[0], 0)
        if depth <= 0:
            return match.end()
    return None


def _are_objects(head: str) -> bool:
    """Whether a second object follows the first."""
    end = _end_of_brackets(head) if head[0] == "{" else None
    return end is not None and head[end:].lstrip(JSON_BLANKS)[:1] == "{"


def _are_json_lines(text: str, complete: bool) -> bool:
    """Whether most lines are objects on their own, or the first one ends as one and another begins
    as one, whatever is wrong in between; a single object on one line is a single object.
    """
    lines = [line for line in re.split(LINE_ENDS[_newline(text)], text) if line.strip(JSON_BLANKS)]
    if not complete and len(lines) == 1:
        # Nobody writes so long a line in the middle of an object, and an object on one line is read
        # alike.
        return not _are_objects(text.lstrip(JSON_BLANKS))
    first = lines[0].strip(JSON_BLANKS)
    closed = _end_of_brackets(first) == len(first)
    if closed and any(line.lstrip(JSON_BLANKS).startswith("{") for line in lines[1:]):
        return True
    whole = (lines if complete else lines[:-1])[:100]
    objects = sum(_is_object(line) for line in whole)
    return len(whole) > 1 and 2 * objects >= len(whole)


def _is_object(line: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _json(
    kind: str,
    text: str,
    encoding: str,
    start: int,
    complete: bool,
    located: dict[str, Any] | None,
) -> JsonDialect:
    if encoding != "utf-8":
        raise UnsupportedEncoding("JSON is read as UTF-8; convert the file first.")
    if located is not None:
        return _located(located)
    head = text.lstrip(JSON_BLANKS)
    before = text[: len(text) - len(head)]
    if kind == "jsonl":
        return JsonDialect(root="lines", data_start=start, newline=_newline(text))
    if head[0] == "{":
        return JsonDialect(root="objects" if _are_objects(head) else "object", data_start=start)
    if head[0] != "[":
        raise JsonNotRows("The JSON is a single value, not an array of objects.")
    rest = head[1:].strip(JSON_BLANKS)
    if complete and rest in ("", "]"):
        if not rest:
            raise JsonNotRows("The JSON array is never closed.")
        # an empty array: no rows
        return JsonDialect(root="array", data_start=start + len(text.encode()))
    return JsonDialect(
        root="array", data_start=start + len(before) + 1, data_line=1 + before.count("\n")
    )


def _located(place: dict[str, Any]) -> JsonDialect:
    return JsonDialect(
        root="members" if place["key"] else "array",
        records=place["path"],
        data_start=place["start"],
        data_line=place["line"],
        data_end=place["end"],
        record_key=place["key"],
        features=place["features"],
    )


# ---------------------------------------------------------------------- CSV


def _fixed(
    text: str, encoding: str, start: int, complete: bool, declared: Declared
) -> FixedDialect | None:
    """Return the dialect of text with columns of fixed width, if it was declared or a line rules
    them.
    """
    is_declared = declared.widths is not None or declared.format == "fixed"
    if not is_declared and (declared.format is not None or _has_csv_options(declared)):
        return None
    lines = _lines_of(text, declared)
    if declared.widths is not None:
        is_named = declared.columns is not None
        layout = declared_layout(lines, declared.widths, declared.header_rows, is_named=is_named)
        return _fixed_dialect(text, encoding, start, declared, layout)
    ruled = ruled_layout(lines, complete=complete)
    if ruled is None and not is_declared:
        return None
    if ruled is None:
        ruled = spaced_layout(lines, complete=complete, header_rows=_header_rows(declared))
    if ruled is None:
        raise InvalidParameter(
            "No line such as `---- -----` marks the columns, and no blanks separate them; give"
            " their `widths`."
        )
    return _fixed_dialect(text, encoding, start, declared, ruled)


def _header_rows(declared: Declared) -> int | None:
    """Return how many rows of names are known to be there."""
    if declared.header_rows is None and declared.columns is not None:
        return 0
    return declared.header_rows


def _lines_of(text: str, declared: Declared) -> list[str]:
    newline = declared.newline or _newline(text)
    position, _ = _skip_lines(text, declared.skip_rows or 0, newline)
    line_end = r"\r?\n" if newline == "lf" else LINE_ENDS[newline]
    return re.split(line_end, text[position:])


def spaced_columns(sample: bytes, *, complete: bool, declared: Declared) -> float:
    """Return how sure it is that the columns of the sample are kept apart by runs of spaces, from 0 to
    1, whatever else may separate them; raises the same as `detect`.
    """
    encoding, start = encoding_of(sample, declared.encoding)
    lines = _lines_of(_decode(sample[start:], encoding, complete), declared)
    layout = spaced_layout(lines, complete=complete)
    return 0.0 if layout is None else layout.sure


def _spaced(
    text: str, encoding: str, start: int, complete: bool, declared: Declared, csv: CsvDialect
) -> FixedDialect | None:
    """Return the dialect of a table with columns between runs of spaces, if the text says nothing
    else: no delimiter separates cells, and nothing is declared of one.
    """
    has_delimiter = len(csv.columns) > 1 and csv.delimiter != " "
    if has_delimiter or declared.format is not None or _has_csv_options(declared):
        return None
    layout = spaced_layout(_lines_of(text, declared), complete=complete)
    if layout is None or layout.sure < SURE_OF_SPACES:
        return None
    return _fixed_dialect(text, encoding, start, declared, layout)


def _fixed_dialect(
    text: str, encoding: str, start: int, declared: Declared, layout: FixedLayout
) -> FixedDialect:
    newline = declared.newline or _newline(text)
    position, line = _skip_lines(text, declared.skip_rows or 0, newline)
    refuse_binary(text)
    columns = _names(layout.header, declared.columns, len(layout.starts))
    if len(columns) != len(layout.starts):
        raise InvalidParameter(
            f"There are {len(layout.starts)} columns of fixed width, but {len(columns)} names."
        )
    position = _place_behind(text, position, layout.first, newline)
    return FixedDialect(
        encoding=encoding,
        starts=layout.starts,
        ends=layout.ends,
        newline=newline,
        skip_rows=declared.skip_rows or layout.skip_rows,
        skipped=layout.skipped,
        header_rows=len(layout.header),
        header_confidence=layout.confidence,
        skip_footer=layout.skip_footer if declared.skip_footer is None else declared.skip_footer,
        columns=columns,
        on_bad_row=declared.on_bad_row,
        data_start=start + _byte_length(text[:position], encoding),
        data_line=line + layout.first,
        decoded_from=declared.decoded_from,
    )


def _place_behind(text: str, position: int, count: int, newline: str) -> int:
    """Return the place behind so many lines from this place on."""
    ends = re.compile(LINE_ENDS[newline])
    for _ in range(count):
        match = ends.search(text, position)
        position = len(text) if match is None else match.end()
    return position


@dataclass(frozen=True, slots=True)
class _Beginning:
    """Facts about a CSV file before its layout is detected."""

    position: int
    line: int
    skipped: list[Skipped]
    base: CsvDialect
    wanted: Wanted


def _beginning(text: str, declared: Declared) -> _Beginning:
    newline = declared.newline or _newline(text)
    delimiter, skipped = declared.delimiter, []
    position, line = _skip_lines(text, declared.skip_rows or 0, newline)
    excel_hint = re.match(r"(?i)sep=(.)(?:\r\n|\r|\n)", text[position:])
    if excel_hint and delimiter is None:
        skipped.append(Skipped(lines=[line, line], why="delimiter", text=excel_hint[0].strip()))
        delimiter, position, line = excel_hint[1], position + excel_hint.end(), line + 1
    base = CsvDialect(
        newline=newline,
        on_bad_row=declared.on_bad_row,
        skip_footer=declared.skip_footer or 0,
        cell_faults=declared.cell_faults,
        decoded_from=declared.decoded_from,
    )
    return _Beginning(position, line, skipped, base, _wanted(declared, delimiter))


def csv_readings(sample: bytes, *, complete: bool, declared: Declared) -> list[Reading]:
    """Return the ways in which the sample of a CSV file can be split; raises the same as `detect`."""
    encoding, start = encoding_of(sample, declared.encoding)
    text = _decode(sample[start:], encoding, complete)
    beginning = _beginning(text, declared)
    rest = text[beginning.position :]
    return find_readings(rest, complete, beginning.base, beginning.wanted)


def _csv(text: str, encoding: str, start: int, complete: bool, declared: Declared) -> CsvDialect:
    beginning = _beginning(text, declared)
    position, line, wanted = beginning.position, beginning.line, beginning.wanted
    base, skipped = beginning.base, [*beginning.skipped]
    newline = base.newline
    layout = find_layout(text[position:], complete, base, wanted)
    dialect, records = layout.dialect, layout.records
    if dialect.delimiter in (dialect.quote, dialect.escape):
        raise InvalidParameter("The delimiter must be neither the quote nor the escape.")
    start_of_records = position
    for record, why in zip(records, layout.skipped, strict=False):
        after, end = _advance(text, position, line, [record], newline)
        first = line + _line_ends(
            record.text[: len(record.text) - len(record.text.lstrip("\r\n"))], newline
        )
        shown = record.text.strip("\r\n")[:MAX_SKIPPED_CHARACTERS]
        skipped.append(Skipped(lines=[first, max(first, end - 1)], why=why, text=shown))
        position, line = after, end
    skipped += _skipped_below(text, layout.footer, newline)
    if sum(len(record.text) for record in records) >= len(text[start_of_records:].rstrip("\r\n")):
        records = records[: len(records) - len(layout.footer)]
    records = records[len(layout.skipped) :]
    header_rows = wanted.header_rows
    confidence = 1.0
    if declared.header_rows is None and records:
        header = find_header(table_cells(records))
        header_rows, confidence = header.rows, header.confidence
    if len(records) < header_rows:
        raise BadHeader(
            f"The header ({header_rows} lines) was not found in the first {len(text)} characters of"
            " the file."
        )
    names = [record.cells for record in records[:header_rows]]
    columns = _names(names, declared.columns, records[0].width if records else 0)
    position, line = _advance(text, position, line, records[:header_rows], newline)
    other_tables = []
    if len(columns) > 1 and BLANK_LINE.search(text, position):
        other_tables = find_other_tables(records[header_rows:], line)
    blank_lines = _blank_lines(text[position:], dialect, complete) if len(columns) == 1 else 0
    return replace_dialect(
        dialect,
        blank_lines=blank_lines,
        other_tables=other_tables,
        encoding=encoding,
        skip_rows=declared.skip_rows or len(layout.skipped),
        skipped=skipped,
        skip_footer=declared.skip_footer or len(layout.footer),
        header_rows=header_rows,
        header_confidence=confidence,
        columns=columns,
        data_start=start + _byte_length(text[:position], encoding),
        data_line=line,
    )


def _skipped_below(text: str, footer: Sequence[tuple[Record, str]], newline: str) -> list[Skipped]:
    """Return the reports of the last records of the file, which are not rows."""
    skipped = []
    end = len(text.rstrip("\r\n"))
    for record, why in reversed(footer):
        shown = record.text.strip("\r\n")
        start = end - len(shown)
        first = 1 + _line_ends(text[:start], newline)
        last = first + _line_ends(shown, newline)
        skipped.append(Skipped(lines=[first, last], why=why, text=shown[:MAX_SKIPPED_CHARACTERS]))
        end = len(text[:start].rstrip("\r\n"))
    return skipped[::-1]


def _wanted(declared: Declared, delimiter: str | None) -> Wanted:
    names, header_rows = (
        declared.columns,
        1 if declared.header_rows is None else declared.header_rows,
    )
    return Wanted(
        delimiter=delimiter,
        quote=declared.quote,
        escape=declared.escape,
        skip_initial_space=declared.skip_initial_space,
        header_rows=header_rows,
        may_skip_footer=declared.skip_footer is None,
        may_skip=declared.skip_rows is None and names is None and header_rows > 0,
        one_column=names is not None and len(names) == 1 and header_rows == 0,
    )


def _byte_length(text: str, encoding: str) -> int:
    if "\ufffd" in text:  # it may stand for any number of wrong bytes
        raise _BadBytes("The header, or what is above it,")
    return len(text.encode(encoding))


def replace_dialect(dialect: CsvDialect, **changes: object) -> CsvDialect:
    return msgspec.structs.replace(dialect, **changes)


def _newline(text: str) -> str:
    crlf, lf, cr = text.count("\r\n"), text.count("\n"), text.count("\r")
    if cr > crlf:  # some CR stands alone: a line end only if that is the habit of the file
        alone = cr - crlf
        if not lf:
            return "cr"
        return "any" if alone >= lf else "lf"
    return "lf"


def _skip_lines(text: str, count: int, newline: str) -> tuple[int, int]:
    ends = re.compile(LINE_ENDS[newline])
    position = 0
    for skipped in range(count):
        match = ends.search(text, position)
        if match is None:
            raise InvalidParameter(
                f"skip_rows={count}, but the beginning of the file has only {skipped + 1} lines."
            )
        position = match.end()
    return position, 1 + count


def _advance(
    text: str, position: int, line: int, records: Sequence[Record], newline: str
) -> tuple[int, int]:
    """Return the place and the line behind these records."""
    taken = "".join(record.text for record in records)
    return position + len(taken), line + _line_ends(taken, newline)


def _blank_lines(text: str, dialect: CsvDialect, complete: bool) -> int:
    """Return the number of lines without a character below the header."""
    records = records_of(text, dialect, complete, all_of_it=True)
    before = "".join(
        record.text[: len(record.text) - len(record.text.lstrip("\r\n"))] for record in records
    )
    behind = text[sum(len(record.text) for record in records) :] if complete else ""
    return _line_ends(before + behind, dialect.newline)


def _line_ends(text: str, newline: str) -> int:
    return len(re.findall(LINE_ENDS["lf" if newline == "crlf" else newline], text))


def _names(header: list[list[str]], declared: Sequence[str] | None, width: int) -> list[str]:
    """Return unique names: declared, from the header, or by position. A header that is wider than
    the declared names names the rest.
    """
    if header:
        parts = [
            [row[i].strip() if i < len(row) else "" for row in header]
            for i in range(max(map(len, header)))
        ]
        names = _joined(parts)
        if len(set(names)) < len(names):
            # Cells that are merged in a spreadsheet have their text in the first of them.
            spread = _joined(_spread(parts))
            names = spread if len(set(spread)) > len(set(names)) else names
    else:
        names = [""] * (width if declared is None else 0)
    if declared is not None:
        names[: len(declared)] = declared
    if len(names) > MAX_COLUMNS:
        raise TooManyColumns(f"The file has {len(names)} columns; at most {MAX_COLUMNS} are read.")
    for place, name in enumerate(names, 1):
        if "\ufffd" in name:
            raise _BadBytes(f"The name of column {place}")
        if len(name) > MAX_NAME_LENGTH or "\0" in name:
            raise BadHeader(
                f"The name of column {place} has a NUL or more than {MAX_NAME_LENGTH} characters."
            )
    return unique_names(names)


def _joined(parts: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of columns from their cells in the rows of the header. A text in two rows
    is taken once.
    """
    return [" ".join(filter(None, dict.fromkeys(cells))) for cells in parts]


def _spread(parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the cells of a header by column, with each text of its upper rows repeated over the
    empty cells to the right.
    """
    columns: list[list[str]] = []
    before = [""] * (len(parts[0]) - 1)
    for *upper, last in parts:
        filled = [cell or left for cell, left in zip(upper, before, strict=True)]
        before = filled
        columns.append([*filled, last])
    return columns
