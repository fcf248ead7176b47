"""Generate sample inputs for Granula: a big clean CSV/JSON/JSONL file, or a dirty one with its
oracle.

    python scripts/generate_csv.py --rows 3_000_000 --seed 7 --out data/sample.csv
    python scripts/generate_csv.py --rows 5000 --format jsonl --dirty 0.05 --seed 7 --out dirty.jsonl --gzip

With `--dirty RATE` about that share of the rows is made odd, and `<out>.verdicts.jsonl` says, row
by row, what a correct parser must make of them. Its lines hold

- `row`: the number of the data row, from 1;
- `line`: the line of the uncompressed file at which the record starts, from 1; only LF ends a line;
- `verdict` and `code`: "ok" and null, or "reject" and the stable error code;
- `kind`: a key of `KINDS[format]`;
- `data`: null when rejected; for CSV the list of the cell strings; for JSON the record, numbers
  kept exact;
- `raw` (JSON only): null when rejected, else the text of the record as it stands in the file.

The verdict file is pure ASCII.

    python scripts/generate_csv.py --kind people --rows 10_000 --dirty 0.1 --out people.csv
    python scripts/generate_csv.py --kind reviews --rows 100_000 --repeat 0.5 --out reviews.csv

Other kinds of rows (scripts/sample_kinds.py), as CSV: people with invalid e-mails, ages, names and
duplicates, whose verdict lines hold `verdict` ("valid", "invalid", "duplicate"), `kind`, the wrong
`fields` and `duplicate_of`; and reviews, with `<out>.truth.json` telling the number of rows and of
different texts.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from gzip import GzipFile
from json.encoder import encode_basestring as json_text
from json.encoder import encode_basestring_ascii as json_ascii
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.sample_kinds import Maker, People, Reviews

DEFAULT_NAMES = (
    "Ada",
    "Alan",
    "Barbara",
    "Claude",
    "Dennis",
    "Donald",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Jean",
    "John",
    "Katherine",
    "Ken",
    "Leslie",
    "Linus",
    "Margaret",
    "Niklaus",
    "Radia",
    "Tim",
)
ROW_KINDS = ("users", "people", "reviews")
HEADERS = {"csv": "id,name,value\n", "json": "[\n", "jsonl": ""}
# after each record; the last of an array has no comma
ENDS = {"csv": "\n", "json": ",\n", "jsonl": "\n"}
# Big enough that the cost per block vanishes; small enough that memory stays low when every row is
# dirty and one in twenty is 20 000 characters long.
BLOCK_ROWS = 10_000

# Broken byte sequences, as text: every record is built as text, and "surrogateescape" carries the
# raw bytes through it. In order: a byte that never occurs in UTF-8, two truncated characters, an
# overlong slash, and a UTF-16 surrogate encoded as if it were a character (CESU-8).
BAD_UTF8 = tuple(
    raw.decode("utf-8", "surrogateescape")
    for raw in (b"A\xffB", b"caf\xc3", b"smile\xf0\x9f\x98", b"A\xc0\xafB", b"A\xed\xa0\x80B")
)
# Emoji with zero-width joiners, combining marks, Hebrew and Arabic, letters outside the BMP.
UNICODE = (
    "Zo\u00eb \U0001f469\u200d\U0001f467",
    "Jose\u0301 n\u0303",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\U0001d49c\U00020bb7",
)
LINE_SEPARATORS = ("\u2028", "\x0b", "\x85", "\x1c")  # str.splitlines() cuts at these; CSV does not
NEEDS_QUOTES = re.compile('[,"\r\n]')
NOT_ONE_ASCII_LINE = re.compile("[\r\n\x80-\U0010ffff]")


class BadArgument(ValueError):
    """An argument of `generate` is out of range; the message says which."""


class Summary(NamedTuple):
    """Results of one run: `bytes` is the size on disk (after gzip), `seconds` is wall time."""

    rows: int
    bytes: int
    path: Path
    verdicts: Path | None
    seconds: float


class Row(NamedTuple):
    """The clean content of a row, and the random number that chooses among the variants of a
    kind.
    """

    id: int
    name: str
    value: int
    draw: int

    def pick(self, *options: str) -> str:
        """Return one of the options, evenly distributed."""
        return options[self.draw % len(options)]


class Kind(NamedTuple):
    """One kind of row. `make` returns the record and the JSON text of its parsed value (None:
    reject).
    """

    code: str | None
    make: Callable[[Row], tuple[str, str | None]]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _cell(text: str) -> str:
    """Return the text as a CSV cell, quoted only if needed."""
    return _quoted(text) if NEEDS_QUOTES.search(text) else text


def _csv_ok(
    name: Callable[[Row], str],
    value: Callable[[Row], str] = lambda r: str(r.value),
    write: Callable[[Row], str] | None = None,
) -> Kind:
    """Return a valid CSV row with this name and value; `write` returns its text if plain quoting is
    not enough.
    """

    def make(r: Row) -> tuple[str, str]:
        cells = name(r), value(r)
        text = write(r) if write else f"{r.id},{_cell(cells[0])},{_cell(cells[1])}"
        return text, f'["{r.id}", {json_ascii(cells[0])}, {json_ascii(cells[1])}]'

    return Kind(None, make)


def _reject(code: str, record: Callable[[Row], str]) -> Kind:
    return Kind(code, lambda r: (record(r), None))


def _object(r: Row, name: str | None = None, value: str | None = None, more: str = "") -> str:
    """Return a JSON record; name and value, if any, are JSON text used unchanged."""
    return (
        f'{{"id": {r.id}, "name": {name or json_text(r.name)}, "value": {value or r.value}{more}}}'
    )


def _spaced(r: Row, gap: str) -> str:
    """Return a JSON record with the gap at every place where JSON allows blanks."""
    name = json_text(r.name)
    tokens = [
        "{",
        '"id"',
        ":",
        str(r.id),
        ",",
        '"name"',
        ":",
        name,
        ",",
        '"value"',
        ":",
        str(r.value),
        "}",
    ]
    return gap.join(tokens)


def _json_ok(record: Callable[[Row], str]) -> Kind:
    """Return a valid JSON row. Its data is its own text, so that numbers stay exact, in ASCII and
    on one line.
    """

    def flat(found: re.Match[str]) -> str:
        # Valid JSON has line ends only between tokens, and characters other than ASCII only in
        # strings.
        return " " if found[0] in "\r\n" else json_ascii(found[0])[1:-1]

    def make(r: Row) -> tuple[str, str]:
        text = record(r)
        return text, NOT_ONE_ASCII_LINE.sub(flat, text)

    return Kind(None, make)


# Quoted text here begins with a letter: together with the row forced after an unclosed quote (see
# _Dirt) this keeps an opening quote from being read as the end of an earlier one.
CSV_KINDS = {
    "clean": _csv_ok(lambda r: r.name),
    "quoted_delimiter": _csv_ok(lambda r: r.pick("Smith, ", "Smith,, Dr., ") + r.name),
    "doubled_quotes": _csv_ok(lambda r: 'He said "hi"' + r.pick("", f" to {r.name}")),
    "quoted_newline": _csv_ok(lambda r: "Line one" + r.pick("\n", "\r\n", "\n\n") + r.name),
    "unicode": _csv_ok(lambda r: r.pick(*UNICODE)),
    "line_separator": _csv_ok(lambda r: f"left{r.pick(*LINE_SEPARATORS)}right"),
    "leading_zeros": _csv_ok(lambda r: r.name, lambda r: f"00{abs(r.value)}"),
    "formula": _csv_ok(lambda r: r.pick("=1+1", "@SUM(A1)", "+1", "-1+2")),
    "empty_cells": _csv_ok(
        lambda r: "", lambda r: "", lambda r: str(r.id) + r.pick(",,", ',"",', ',,""')
    ),
    "long_cell": _csv_ok(lambda r: "x" * 20_000),
    "backslash": _csv_ok(lambda r: r.pick("C:\\temp\\new", "ends with \\")),
    "spaces": _csv_ok(lambda r: r.pick("  Bob", "Bob  ", "  Bob  "), lambda r: f" {r.value} "),
    "quoted_all": _csv_ok(
        lambda r: r.name, write=lambda r: f'"{r.id}",{_quoted(r.name)},"{r.value}"'
    ),
    "empty_cell_behind": _csv_ok(
        lambda r: r.name, write=lambda r: f"{r.id},{_cell(r.name)},{r.value},"
    ),
    "short_row": _reject("column_count", lambda r: f"{r.id},{_cell(r.name)}"),
    "long_row": _reject(
        "column_count", lambda r: f"{r.id},{_cell(r.name)},{r.value}," + r.pick("more", ",more")
    ),
    "bad_utf8": _reject("invalid_utf8", lambda r: f"{r.id},{r.pick(*BAD_UTF8)},{r.value}"),
    "nul": _reject("nul_character", lambda r: f"{r.id},Bo\0b,{r.value}"),
    "stray_quote": _reject("csv_bad_quote", lambda r: f'{r.id},5" disk,{r.value}'),
    "text_after_quote": _reject("csv_bad_quote", lambda r: f'{r.id},"Bob"x,{r.value}'),
    "unclosed_quote": _reject("csv_unclosed_quote", lambda r: f'{r.id},"Bob,{r.value}'),
}
SYNTAX_ERRORS = ('"name": ', '"name" "Bob"', '"name": "Bob",', 'name: "Bob"')
# In all of these, quotes and brackets balance, so that the neighbouring records of a JSON array can
# be found.
JSONL_KINDS = {
    "clean": _json_ok(_object),
    "unicode": _json_ok(lambda r: _object(r, json_text(r.pick(*UNICODE, "left\u2028right")))),
    "escapes": _json_ok(lambda r: _object(r, r'"a \" b \\ c \n d \u00e9 e \/ f \ud83d\ude00"')),
    "nested": _json_ok(
        lambda r: _object(r, more=', "extra": {"tags": ["a", {"b": [1, null]}], "ok": true}')
    ),
    "big_int": _json_ok(lambda r: _object(r, value="12345678901234567890123")),
    "float_text": _json_ok(lambda r: _object(r, value=r.pick("1.10", "1e3"))),
    "braces_in_string": _json_ok(lambda r: _object(r, r'"}],{[ \" "')),
    "missing_key": _json_ok(lambda r: f'{{"id": {r.id}, "value": {r.value}}}'),
    "null_value": _json_ok(lambda r: r.pick(_object(r, name="null"), _object(r, value="null"))),
    "whitespace": _json_ok(lambda r: _spaced(r, r.pick(" ", "\t", "   "))),
    "syntax": _reject("json_syntax", lambda r: f'{{"id": {r.id}, {r.pick(*SYNTAX_ERRORS)}}}'),
    "not_object": _reject("json_row_not_object", lambda r: r.pick("42", '["a"]', '"text"', "null")),
    "duplicate_key": _reject(
        "duplicate_key", lambda r: _object(r, more=r.pick(', "name": ""', ', "id": 1'))
    ),
    "nan": _reject("json_syntax", lambda r: _object(r, value="NaN")),
    "bad_utf8": _reject("invalid_utf8", lambda r: _object(r, f'"{r.pick(*BAD_UTF8)}"')),
    "lone_surrogate": _reject(
        "invalid_unicode", lambda r: _object(r, r.pick(r'"\ud800"', r'"a \udc00 b"'))
    ),
    "too_deep": _reject("json_too_deep", lambda r: _object(r, value="[" * 100 + "]" * 100)),
    "long_int": _reject("number_out_of_range", lambda r: _object(r, value="7" * 5000)),
}
JSON_WHITESPACE = _json_ok(lambda r: _spaced(r, r.pick("  ", "\n", "\r\n\t")))
KINDS = {
    "csv": CSV_KINDS,
    "json": {**JSONL_KINDS, "whitespace": JSON_WHITESPACE},
    "jsonl": JSONL_KINDS,
}


class _Dirt:
    """Generates the blocks of a dirty file and their verdicts; keeps the state between rows."""

    def __init__(self, format: str, rate: float, rows: int, rng: np.random.Generator) -> None:
        self._format, self._rate, self._rows, self._rng = format, rate, rows, rng
        self._line = 1 + HEADERS[format].count("\n")
        self._after_unclosed = False

    def block(self, first: int, names: list[str], values: list[int]) -> tuple[bytes, bytes]:
        """Return the rows from number `first` on, and their verdict lines."""
        count, kinds, end = len(names), KINDS[self._format], ENDS[self._format]
        odd = self._rng.random(count) < self._rate
        drawn = np.where(odd, self._rng.integers(1, len(kinds), size=count), 0).tolist()
        draws = self._rng.integers(1 << 30, size=count).tolist()
        keys, records, verdicts = list(kinds), [], []
        for row in map(Row, range(first, first + count), names, values, draws):
            key = self._settle(keys[drawn[row.id - first]], row.id)
            code, make = kinds[key]
            record, data = make(row)
            judged = f'"reject", "code": "{code}"' if code else '"ok", "code": null'
            raw = (
                ""
                if self._format == "csv"
                else f', "raw": {json_ascii(record) if data else "null"}'
            )
            verdicts.append(
                f'{{"row": {row.id}, "line": {self._line}, "verdict": {judged}, "kind": "{key}", '
                f'"data": {data or "null"}{raw}}}\n'
            )
            records.append((record + end).encode("utf-8", "surrogateescape"))
            self._line += record.count("\n") + 1
        return b"".join(records), "".join(verdicts).encode("ascii")

    def _settle(self, key: str, row_id: int) -> str:
        """Return the drawn kind, unless an unclosed quote forbids it. A parser that meets an
        unclosed quote searches for the next quote, which must not look like a proper end, or the
        verdict would be ambiguous: so there always is a next row, and its first quote is before a
        letter.
        """
        if self._after_unclosed:
            key = "quoted_delimiter"
        elif key == "unclosed_quote" and row_id == self._rows:
            key = "short_row"
        self._after_unclosed = key == "unclosed_quote"
        return key


def _check(
    rows: int,
    format: str,
    dirty: float,
    seed: int | None,
    minimum: int,
    maximum: int,
    names: Sequence[str],
) -> None:
    faults = {
        f"rows must be 0 or more, not {rows}": rows < 0,
        f"format must be one of {', '.join(KINDS)}, not {format}": format not in KINDS,
        f"dirty must be from 0 to 1, not {dirty}": not 0 <= dirty <= 1,
        f"seed must be 0 or more, not {seed}": seed is not None and seed < 0,
        f"min ({minimum}) must not be above max ({maximum})": minimum > maximum,
        "min and max must fit 64 bits": minimum < -(2**63) or maximum >= 2**63,
        "names must be one or more, and none empty": not names or not all(names),
        # Either would put unusual rows into the file that the verdicts call clean.
        "names must hold no NUL and no lone surrogate": any(
            re.search("[\0\ud800-\udfff]", n) for n in names
        ),
    }
    for fault, found in faults.items():
        if found:
            raise BadArgument(fault)


def _check_kind(kind: str, format: str, dirty: float, repeat: float) -> None:
    faults = {
        f"kind must be one of {', '.join(ROW_KINDS)}, not {kind}": kind not in ROW_KINDS,
        f"{kind} are written as csv only": kind != "users" and format != "csv",
        f"repeat must be from 0 to 1, not {repeat}": not 0 <= repeat <= 1,
        "repeat is for reviews": bool(repeat) and kind != "reviews",
        "reviews have no dirty rows": bool(dirty) and kind == "reviews",
    }
    for fault, found in faults.items():
        if found:
            raise BadArgument(fault)


def _maker(kind: str, dirty: float, repeat: float, rng: np.random.Generator) -> Maker | None:
    """None for users, which have three formats and are generated below."""
    return (
        People(dirty, rng)
        if kind == "people"
        else Reviews(repeat, rng)
        if kind == "reviews"
        else None
    )


@contextmanager
def _replacing(path: Path, packed: bool) -> Iterator[BinaryIO | GzipFile]:
    """Open `<path>.part` for writing; it becomes `path` only when the block ends without an
    exception.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            if packed:  # neither name nor time in the gzip header: same rows, same bytes
                with GzipFile(
                    filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0
                ) as packer:
                    yield packer
            else:
                yield file
        part.replace(path)
    except BaseException:  # also on Ctrl-C
        part.unlink(missing_ok=True)
        raise


def generate(
    path: str | PathLike[str],
    rows: int,
    *,
    format: str = "csv",
    gzip: bool = False,
    dirty: float = 0.0,
    seed: int | None = None,
    kind: str = "users",
    repeat: float = 0.0,
    minimum: int = 1,
    maximum: int = 1000,
    names: Sequence[str] = DEFAULT_NAMES,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Write a sample file of `rows` rows and, if `dirty` is above 0, its verdicts in a second file.

    `kind` is "users" (id, name, value), "people" or "reviews" (CSV only); `repeat` is the share of
    reviews whose text is repeated. `dirty` is the share of odd rows (0 to 1; in CSV slightly more,
    since the row after an unclosed quote is always odd). `minimum` and `maximum` are the inclusive
    bounds of `value`. The same arguments and seed give the same bytes (with one version of numpy);
    without a seed every run differs. With `gzip` the name gets `.gz` unless it ends so. `progress`
    is called after each block with the number of rows written so far. A clean run removes the
    verdicts of an earlier dirty one, since they no longer describe the file.

    Raises BadArgument (a ValueError) before anything is written, and OSError if the file cannot be
    written. After an error or an interruption, files with the final names are unchanged.
    """
    _check(rows, format, dirty, seed, minimum, maximum, names)
    _check_kind(kind, format, dirty, repeat)
    started = time.perf_counter()
    path = Path(f"{path}.gz" if gzip and not str(path).endswith(".gz") else path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    verdicts_path = path.with_name(path.name + ".verdicts.jsonl")
    rng = np.random.default_rng(seed)
    maker = _maker(kind, dirty, repeat, rng)
    dirt = _Dirt(format, dirty, rows, rng) if dirty else None
    # A clean record is head + id + middle + value + tail; the constant parts are computed once per
    # name.
    head, tail = ("", "\n") if format == "csv" else ('{"id": ', "}" + ENDS[format])
    middles = [
        f",{_cell(n)}," if format == "csv" else f', "name": {json_text(n)}, "value": '
        for n in names
    ]

    with ExitStack() as stack:
        out = stack.enter_context(_replacing(path, gzip))
        # Entered last, so renamed first: a dirty file never exists without its verdicts.
        verdicts = stack.enter_context(_replacing(verdicts_path, False)) if dirt else None
        out.write((maker.header if maker else HEADERS[format]).encode())
        for start in range(0, rows, BLOCK_ROWS):
            count = min(BLOCK_ROWS, rows - start)
            if maker:
                block, lines = maker.block(start + 1, count)
                out.write(block)
                if verdicts:
                    verdicts.write(lines)
                if progress:
                    progress(start + count)
                continue
            picks = rng.integers(len(names), size=count).tolist()
            values = rng.integers(minimum, maximum, size=count, endpoint=True).tolist()
            if dirt and verdicts:
                block, lines = dirt.block(start + 1, [names[pick] for pick in picks], values)
                verdicts.write(lines)
            else:
                columns = zip(range(start + 1, start + count + 1), picks, values, strict=True)
                text = "".join(
                    [f"{head}{i}{middles[pick]}{value}{tail}" for i, pick, value in columns]
                )
                block = text.encode()
            if format == "json" and start + count == rows:
                block = block.removesuffix(b",\n") + b"\n"
            out.write(block)
            if progress:
                progress(start + count)
        if format == "json":
            out.write(b"]\n")
    if not dirt:
        verdicts_path.unlink(missing_ok=True)
    truth_path = path.with_name(path.name + ".truth.json")
    if maker and (truth := maker.summary()):
        truth_path.write_text(json.dumps(truth) + "\n")
    else:
        truth_path.unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    return Summary(rows, path.stat().st_size, path, verdicts_path if dirt else None, seconds)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line. Exits with 2 for bad arguments, 1 if writing fails, 130 when
    interrupted.
    """
    parser = argparse.ArgumentParser(
        description="Generate a CSV, JSON or JSONL file: id, name, value."
    )
    add = parser.add_argument
    add(
        "--rows",
        "-n",
        type=int,
        default=1000,
        metavar="N",
        help="number of rows (default %(default)s)",
    )
    add(
        "--out",
        "-o",
        default="sample.csv",
        metavar="PATH",
        help="output file (default %(default)s)",
    )
    add("--min", type=int, default=1, help="smallest value (default %(default)s)")
    add("--max", type=int, default=1000, help="largest value (default %(default)s)")
    add(
        "--names",
        nargs="+",
        default=DEFAULT_NAMES,
        metavar="NAME",
        help="names (default: Ada, Alan, ...)",
    )
    add("--seed", type=int, help="same seed, same bytes (default: every run differs)")
    add("--format", choices=list(KINDS), default="csv", help="output format (default %(default)s)")
    add("--gzip", action="store_true", help="compress, and add .gz to the name")
    add(
        "--dirty",
        type=float,
        default=0.0,
        metavar="RATE",
        help="share of odd rows, 0 to 1 (default 0)",
    )
    add(
        "--kind",
        choices=ROW_KINDS,
        default="users",
        help="what the rows are (default %(default)s: id, name, value)",
    )
    add(
        "--repeat",
        type=float,
        default=0.0,
        metavar="RATE",
        help="share of reviews whose text returns, 0 to 1",
    )
    args = parser.parse_args(argv)
    speed_column = TextColumn("{task.fields[speed]:,.0f} rows/s")
    columns = (BarColumn(), MofNCompleteColumn(), speed_column, TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
        redirect_stdout=False,
    )
    task = bar.add_task("rows", total=args.rows, speed=0.0)
    started = time.perf_counter()

    def show(done: int) -> None:
        bar.update(task, completed=done, speed=done / (time.perf_counter() - started))

    try:
        with bar:
            done = generate(
                args.out,
                args.rows,
                format=args.format,
                gzip=args.gzip,
                dirty=args.dirty,
                seed=args.seed,
                minimum=args.min,
                maximum=args.max,
                names=args.names,
                progress=show,
                kind=args.kind,
                repeat=args.repeat,
            )
    except BadArgument as error:
        parser.error(str(error))
    except OSError as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"{parser.prog}: interrupted, nothing written\n")
    speed = done.rows / max(done.seconds, 1e-9)
    print(
        f"{done.rows:,} rows, {done.bytes:,} bytes, {done.path}, {done.seconds:.2f} s, {speed:,.0f}"
        " rows/s"
    )


if __name__ == "__main__":
    main()
