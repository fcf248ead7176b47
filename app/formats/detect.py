"""From the first bytes of a file to its dialect: format, encoding, delimiter, quote, line ends, preamble, header.

What the user declares is taken; only the rest is detected, from the first SAMPLE_BYTES, and everything is reported, so
that a wrong guess can be seen and overruled.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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
from app.formats.csv import CsvDialect, CsvFormat
from app.formats.json import JsonDialect
from app.formats.registry import Dialect

SAMPLE_BYTES = 256 << 10
SCORED_CHARACTERS, SCORED_RECORDS = 64 << 10, 200
MAX_COLUMNS = 16_384
MAX_NAME_LENGTH = 1_000
COMMON_DELIMITERS, RARE_DELIMITERS = (",", ";", "\t", "|"), (":", "^", "~", "\x1f", " ")
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
SIGNATURES = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"), (b"PAR1", "a Parquet file"), (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"), (b"\xd0\xcf\x11\xe0", "an old Excel workbook"), (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ", "xz data"), (b"\x28\xb5\x2f\xfd", "zstd data"), (b"\x89PNG", "a picture"), (b"SQLite format 3", "a database"),
)  # fmt: skip
JSON_LINES_NAMES, JSON_NAMES = (".jsonl", ".ndjson"), (".json",)
JSON_BLANKS = " \t\r\n"
JSON_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[][{}]')
"""And strings, so that none inside of them is taken for one; one that is never closed reaches to the end."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the user said about the file; None means detect."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    newline: str | None = None
    skip_rows: int | None = None
    header_rows: int | None = None
    skip_footer: int = 0
    columns: Sequence[str] | None = None
    on_bad_row: str = "reject"


def detect(sample: bytes, *, complete: bool, declared: Declared, filename: str = "", media_type: str = "") -> Dialect:
    """The dialect of a file that begins with `sample` and, if `complete`, ends with it; raises a RequestError if none fits."""
    for signature, what in SIGNATURES:
        if sample.startswith(signature):
            raise ContentMismatch(f"The content is {what}, not CSV or JSON.")
    bom, encoding = next(((bom, name) for bom, name in BOMS if sample.startswith(bom)), (b"", ""))
    encoding = _codec(declared.encoding) if declared.encoding else encoding or _utf16_without_bom(sample) or "utf-8"
    if encoding == "utf-16":  # declared without an order: as the mark says, else as Windows writes it
        encoding = "utf-16-be" if bom == codecs.BOM_UTF16_BE else "utf-16-le"
    start = len(bom) if bom else 0
    body = sample[start:]
    text = _decode(body, encoding, complete)
    if not text.strip("\0 \t\r\n"):
        raise EmptyFile("The file holds no characters but blanks.") if complete else BinaryContent()
    kind = declared.format or _kind(text, filename.lower(), media_type, complete)
    if kind != "csv":
        return _json(kind, text, encoding, start, complete)
    if text.count("\0") > max(1, len(text) // 20):
        raise BinaryContent("The content has many NUL characters.")
    return _csv(text, encoding, start, complete, declared)


# ---------------------------------------------------------------------- encoding


def _codec(name: str) -> str:
    """The canonical name of a supported encoding: UTF-8, UTF-16, or one byte a character with ASCII inside."""
    try:
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        raise UnsupportedEncoding(f"There is no encoding named {name[:40]!r}.") from None
    if codec in ("utf-8", "utf-8-sig", "ascii"):
        return "utf-8"
    if codec in ("utf-16", "utf-16-le", "utf-16-be"):
        return codec
    try:
        # Python's escape codecs make one character of several bytes.
        ascii_inside = "escape" not in codec and bytes(range(128)).decode(codec) == "".join(map(chr, range(128)))
        single_byte = all(len(bytes([b]).decode(codec, "replace")) == 1 for b in range(128, 256))
        pairs = len(bytes(range(128, 256)).decode(codec, "replace")) == 128
    except (LookupError, ValueError, TypeError):
        ascii_inside = single_byte = pairs = False
    if not (ascii_inside and single_byte and pairs):
        raise UnsupportedEncoding(f"The encoding {codec} is not supported.")
    return codec


def _utf16_without_bom(sample: bytes) -> str:
    """UTF-16 text of Latin letters has a NUL in every second byte, and nothing else has."""
    head = sample[:4096]
    if len(head) < 4:
        return ""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) / 2
    if odd > 0.7 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and odd < 0.1 * half else ""


def _decode(body: bytes, encoding: str, complete: bool) -> str:
    """The sample as text for looking at. Wrong bytes are judged row by row later; here they must only not get in the way."""
    if encoding.startswith("utf-16"):
        body = body[: len(body) // 2 * 2]
    return body.decode(encoding, "replace")


# ---------------------------------------------------------------------- JSON


def _kind(text: str, filename: str, media_type: str, complete: bool) -> str:
    named = filename.removesuffix(".gz")
    says_lines = named.endswith(JSON_LINES_NAMES) or "ndjson" in media_type or "jsonl" in media_type
    says_json = named.endswith(JSON_NAMES) or media_type == "application/json"
    head = text.lstrip(JSON_BLANKS)
    if says_lines and not re.match(r"\[\s*\{", head):  # an array of objects is one, whatever the file is called
        return "jsonl"
    if head[0] == "[" and (says_json or re.match(r"\[\s*([{\[\]\"]|-?\d|true|false|null)", head)):
        return "json"
    if head[0] == "{":
        return "jsonl" if _are_json_lines(text, complete) else "json"
    return "json" if says_json else "csv"


def _are_json_lines(text: str, complete: bool) -> bool:
    """Whether most lines are objects on their own, or the first one ends as one and another begins as one, whatever is
    wrong in between; a single object on one line is a single object."""
    if not complete and "\n" not in text.lstrip(JSON_BLANKS):
        return True  # nobody writes so long a line in the middle of an object, and an object on one line is read alike
    split = text.split("\n")
    seen = [line for line in split if line.strip()]
    if _is_closed_object(seen[0]) and any(line.lstrip(JSON_BLANKS).startswith("{") for line in seen[1:]):
        return True
    lines = [line for line in (split if complete else split[:-1])[:100] if line.strip()]
    objects = sum(_is_object(line) for line in lines)
    return len(lines) > 1 and 2 * objects >= len(lines)


def _is_closed_object(line: str) -> bool:
    """Whether each bracket that the line opens is closed in it, the first one last, whatever stands in between."""
    depth = 0
    line = line.strip(JSON_BLANKS)
    for found in JSON_BRACKETS.finditer(line):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if depth <= 0:
            return found.end() == len(line)
    return False


def _is_object(line: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _json(kind: str, text: str, encoding: str, start: int, complete: bool) -> JsonDialect:
    if encoding != "utf-8":
        raise UnsupportedEncoding("JSON is read as UTF-8; convert the file first.")
    head = text.lstrip(JSON_BLANKS)
    before = text[: len(text) - len(head)]
    if kind == "jsonl":
        return JsonDialect(root="lines", data_start=start)
    if head[0] == "{":
        return JsonDialect(root="object", data_start=start)
    if head[0] != "[":
        raise JsonNotRows("The JSON is a single value, not an array of objects.")
    rest = head[1:].strip(JSON_BLANKS)
    if complete and rest in ("", "]"):
        if not rest:
            raise JsonNotRows("The JSON array is never closed.")
        return JsonDialect(root="array", data_start=start + len(text.encode()))  # an empty array: no rows
    return JsonDialect(root="array", data_start=start + len(before) + 1, data_line=1 + before.count("\n"))


# ---------------------------------------------------------------------- CSV


def _csv(text: str, encoding: str, start: int, complete: bool, declared: Declared) -> CsvDialect:
    newline = declared.newline or _newline(text)
    dialect = CsvDialect(
        encoding="utf-8", newline=newline, on_bad_row=declared.on_bad_row, skip_footer=declared.skip_footer
    )
    skip_rows, delimiter = declared.skip_rows, declared.delimiter
    position, line = _skip_lines(text, skip_rows or 0, newline)
    excel_hint = re.match(r"(?i)sep=(.)\r?\n", text[position:])
    if excel_hint and delimiter is None:
        delimiter, position, line = excel_hint[1], position + excel_hint.end(), line + 1
    dialect = _choose(text[position:], complete, dialect, declared, delimiter)
    records = _records(text[position:], dialect, complete)
    if skip_rows is None and declared.columns is None and declared.header_rows != 0:
        preamble = _preamble_length([width for width, _, _ in records], [text for _, text, _ in records])
        position, line = _advance(text, position, line, records, preamble, newline)
        records = records[preamble:]
        skip_rows = preamble
    header_rows = 1 if declared.header_rows is None else declared.header_rows
    if len(records) < header_rows:
        raise BadHeader(
            f"The header ({header_rows} lines) was not found in the first {len(text)} characters of the file."
        )
    dialect = replace_dialect(dialect, skip_rows=skip_rows or 0, header_rows=header_rows)
    header = [_cells(record, dialect) for _, record, _ in records[:header_rows]]
    columns = _names(header, declared.columns, len(_cells(records[0][1], dialect)) if records else 0)
    position, line = _advance(text, position, line, records, header_rows, newline)
    return replace_dialect(
        dialect,
        encoding=encoding,
        columns=columns,
        data_start=start + _byte_length(text[:position], encoding),
        data_line=line,
    )


def _byte_length(text: str, encoding: str) -> int:
    if "\ufffd" in text:  # it may stand for any number of wrong bytes
        raise BadHeader(f"The header holds bytes that are not valid {encoding}; declare the encoding of the file.")
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
    ends = re.compile({"lf": "\n", "crlf": "\r\n", "cr": "\r", "any": "\r\n|\r|\n"}[newline])
    position = 0
    for skipped in range(count):
        found = ends.search(text, position)
        if found is None:
            raise InvalidParameter(f"skip_rows={count}, but the beginning of the file has only {skipped + 1} lines.")
        position = found.end()
    return position, 1 + count


def _choose(text: str, complete: bool, dialect: CsvDialect, declared: Declared, delimiter: str | None) -> CsvDialect:
    """The delimiter, quote and escape under which the records look most alike."""
    quote = declared.quote if declared.quote is not None else _quote(text, delimiter)
    # An escape that is the quote is how PostgreSQL and others say that quotes are doubled, which is so without it.
    escape = "" if quote and declared.escape == quote else declared.escape
    if delimiter and delimiter in (quote, escape):
        raise _alike()
    escapes = [escape] if escape is not None else ["", "\\"] if quote and f"\\{quote}" in text else [""]
    best, best_score = dialect, (-1.0, 0, 0)
    for group in ([delimiter],) if delimiter else (COMMON_DELIMITERS, RARE_DELIMITERS):
        for candidate in group:
            if candidate == quote:
                continue
            for each in escapes:
                if candidate == each:
                    continue
                trial = replace_dialect(dialect, delimiter=candidate, quote=quote, escape=each)
                score = _score(text, trial, complete, rare=group is RARE_DELIMITERS)
                if score > best_score:
                    best, best_score = trial, score
        if best_score[0] > 0:
            break
    chosen = best if best_score[0] > 0 or delimiter else replace_dialect(dialect, quote=quote, escape=escapes[0])
    if chosen.delimiter in (chosen.quote, chosen.escape):
        raise _alike()
    return chosen


def _alike() -> InvalidParameter:
    return InvalidParameter("The delimiter must be neither the quote nor the escape.")


def _quote(text: str, delimiter: str | None) -> str:
    """The quote character that stands at the beginning of cells."""
    before = re.escape(delimiter) if delimiter else r"[,;\t|]"
    count = {q: len(re.findall(rf"(?:^|{before}){q}", text, re.MULTILINE)) for q in ('"', "'")}
    closed = len(re.findall(rf"'(?:{before}|\r?$)", text, re.MULTILINE))
    return "'" if count["'"] > 1 and closed >= count["'"] and not count['"'] else '"'


def _score(text: str, dialect: CsvDialect, complete: bool, *, rare: bool) -> tuple[float, int, int]:
    """(share of records with the usual number of cells, minus bad quotes; that number). 0 if nothing is separated."""
    records = _records(text, dialect, complete)
    widths = Counter(width for width, _, _ in records)
    if not widths:
        return (0.0, 0, 0)
    usual, share = max(
        ((w, n / len(records)) for w, n in widths.items() if w > 1), key=lambda x: (x[1], x[0]), default=(1, 0)
    )
    bad = sum(is_bad for _, _, is_bad in records) / len(records)
    if usual == 1 or (rare and share < 1):
        return (0.0, 0, 0)
    return (round(share - bad, 2), usual, -len(dialect.escape))


def _records(text: str, dialect: CsvDialect, complete: bool) -> list[tuple[int, str, bool]]:
    """(number of cells, text, has bad quotes) of the first records of the sample."""
    form = CsvFormat(replace_dialect(dialect, encoding="utf-8", on_bad_row="keep"))
    whole = complete and len(text) <= SCORED_CHARACTERS
    data = text[:SCORED_CHARACTERS].encode()
    ends = form.scan(data, eof=whole).tolist()
    if not ends and not whole:  # one long record: look at all there is
        data = text.encode()
        ends = form.scan(data, eof=complete).tolist()
    records = []
    for start, end in pairwise([0, *ends[:SCORED_RECORDS]]):
        record = data[start:end].decode()
        cells = form.split_record(record.strip("\r\n"))
        bad = bool(dialect.quote) and any(c and c.startswith(dialect.quote) for c in cells)
        records.append((len(cells), record, bad))
    return records


def _cells(record: str, dialect: CsvDialect) -> list[str]:
    form = CsvFormat(replace_dialect(dialect, encoding="utf-8", on_bad_row="keep"))
    return [str(cell) for cell in form.split_record(record.strip("\r\n"))]


def _preamble_length(widths: list[int], records: list[str]) -> int:
    """How many leading records are no part of the table: single cells or comments above at least two rows alike."""
    usual = Counter(w for w in widths if w > 1).most_common(1)
    if not usual or usual[0][1] < 2:
        return 0
    for index, width in enumerate(widths):
        if width > 1 and not (records[index].startswith("#") and width != usual[0][0]):
            return index
    return 0


def _advance(
    text: str, position: int, line: int, records: list[tuple[int, str, bool]], count: int, newline: str
) -> tuple[int, int]:
    taken = "".join(record for _, record, _ in records[:count])
    ends = {"cr": "\r", "any": "\r\n|\r|\n"}.get(newline, "\n")
    return position + len(taken), line + len(re.findall(ends, taken))


def _names(header: list[list[str]], declared: Sequence[str] | None, width: int) -> list[str]:
    """Unique names: given, from the header, or column_N; a name that repeats gets a number, so no column is lost."""
    if declared is not None:
        if width and header and len(declared) != width:
            raise BadHeader(f"`columns` names {len(declared)} columns, the header has {width}.")
        names = list(declared)
    elif header:
        parts = [[row[i].strip() if i < len(row) else "" for row in header] for i in range(max(map(len, header)))]
        names = [" ".join(filter(None, cell)) for cell in parts]
    else:
        names = [""] * width
    if len(names) > MAX_COLUMNS:
        raise TooManyColumns(f"The file has {len(names)} columns; at most {MAX_COLUMNS} are read.")
    seen: set[str] = set()
    following: dict[str, int] = {}  # of a name that repeats, the number to try next
    unique = []
    for index, name in enumerate(names, 1):
        if "\ufffd" in name:
            raise BadHeader(
                f"The name of column {index} holds bytes of another encoding; declare it, as in encoding=cp1252."
            )
        if len(name) > MAX_NAME_LENGTH or "\0" in name:
            raise BadHeader(f"The name of column {index} has a NUL or more than {MAX_NAME_LENGTH} characters.")
        base = candidate = name or f"column_{index}"
        number = following.get(base, 2)
        while candidate in seen:
            candidate, number = f"{base}_{number}", number + 1
        following[base] = number
        seen.add(candidate)
        unique.append(candidate)
    return unique
