"""The sample generator: files are as documented, and the verdicts of a dirty one are right."""

import csv
import gzip
import importlib.util
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "generate_csv.py"
FORMATS = ["csv", "json", "jsonl"]


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_csv", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


def read_csv(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def dirty_file(
    folder: Path, format: str, rows: int, rate: float = 0.5, seed: int = 5, **more: Any
) -> list[tuple[dict[str, Any], bytes]]:
    """Return each verdict of a dirty file, with the bytes from its line to the line of the next
    one.
    """
    summary = script.generate(
        folder / f"dirty.{format}", rows, format=format, dirty=rate, seed=seed, **more
    )
    # only LF ends a line; splitlines() would cut at CR too
    lines = summary.path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    if format == "json":
        assert (lines[0], lines.pop()) == (b"[", b"]")
    verdicts = [
        json.loads(line, parse_float=Decimal)
        for line in summary.verdicts.read_text("ascii").split("\n")[:-1]
    ]
    assert [verdict["row"] for verdict in verdicts] == list(range(1, rows + 1))
    starts = [verdict["line"] - 1 for verdict in verdicts]
    assert starts[0] == (0 if format == "jsonl" else 1)
    assert starts == sorted(set(starts))
    ends = [*starts[1:], len(lines)]
    records = [b"\n".join(lines[start:end]) for start, end in zip(starts, ends, strict=True)]
    if format == "json":
        assert all(record.endswith(b",") for record in records[:-1])
        records = [*(record[:-1] for record in records[:-1]), records[-1]]
    return list(zip(verdicts, records, strict=True))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dirty", [0.0, 0.3])
def test_a_seed_fixes_the_bytes(tmp_path: Path, format: str, dirty: float) -> None:
    def content(name: str, seed: int | None) -> list[bytes]:
        script.generate(tmp_path / name / "f", 500, format=format, dirty=dirty, seed=seed)
        return [file.read_bytes() for file in sorted((tmp_path / name).iterdir())]

    first = content("a", 1)
    assert len(first) == (2 if dirty else 1)
    assert content("b", 1) == first
    assert content("c", 2) != first
    assert content("d", None) != content("e", None)


def test_csv_has_the_columns_the_count_the_bounds_and_the_names(tmp_path: Path) -> None:
    rows = script.BLOCK_ROWS + 7  # more than one block
    seen: list[int] = []
    path = tmp_path / "new" / "folder" / "f.csv"
    summary = script.generate(path, rows, seed=1, minimum=-2, maximum=2, progress=seen.append)
    data = path.read_bytes()
    assert summary[:4] == (rows, len(data), path, None)
    assert seen == [script.BLOCK_ROWS, rows]
    assert b"\r" not in data
    header, *body = read_csv(data)
    assert header == ["id", "name", "value"]
    assert [row[0] for row in body] == [str(number) for number in range(1, rows + 1)]
    assert {row[1] for row in body} == set(script.DEFAULT_NAMES)
    assert {row[2] for row in body} == {"-2", "-1", "0", "1", "2"}


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_clean_json_and_jsonl_parse(tmp_path: Path, rows: int) -> None:
    names = ['O"Neil', "Zo\u00eb", "a\nb\\"]
    whole = script.generate(tmp_path / "f.json", rows, format="json", seed=1, names=names).path
    array = whole.read_text("utf-8")
    records = json.loads(array)
    assert [record["id"] for record in records] == list(range(1, rows + 1))
    assert all(list(record) == ["id", "name", "value"] for record in records)
    assert all(record["name"] in names and type(record["value"]) is int for record in records)
    assert array.count("\n") == rows + 2
    lines = script.generate(tmp_path / "f.jsonl", rows, format="jsonl", seed=1, names=names).path
    assert [json.loads(line) for line in lines.read_text("utf-8").split("\n")[:-1]] == records


def test_gzip_holds_the_same_file_and_no_time_or_name(tmp_path: Path) -> None:
    plain = script.generate(tmp_path / "f.csv", 300, seed=1).path
    packed = script.generate(tmp_path / "f.csv", 300, seed=1, gzip=True).path
    again = script.generate(tmp_path / "again.csv.gz", 300, seed=1, gzip=True).path
    assert (packed.name, again.name) == ("f.csv.gz", "again.csv.gz")
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert again.read_bytes() == packed.read_bytes()
    assert packed.read_bytes()[3:8] == bytes(5)  # no flags (so no name), and the time 0
    assert script.generate(plain, 9, gzip=True, dirty=1).verdicts.name == "f.csv.gz.verdicts.jsonl"


@pytest.mark.parametrize("format", FORMATS)
def test_every_kind_of_mistake_appears_with_its_code_and_share(tmp_path: Path, format: str) -> None:
    kinds = script.KINDS[format]
    verdicts = [verdict for verdict, _ in dirty_file(tmp_path, format, 2000)]
    counts = Counter(verdict["kind"] for verdict in verdicts)
    assert set(counts) == set(kinds)
    assert 900 < counts.pop("clean") < 1100
    # forced after each unclosed quote, so more often than the others
    counts.pop("quoted_delimiter", None)
    assert all(
        1000 / len(kinds) * 0.5 < count < 1000 / len(kinds) * 1.6 for count in counts.values()
    )
    for verdict in verdicts:
        assert verdict["code"] == kinds[verdict["kind"]].code
        assert verdict["verdict"] == ("reject" if verdict["code"] else "ok")
        assert (verdict["data"] is None) == (verdict["verdict"] == "reject")


def test_right_csv_rows_are_what_csv_reads_and_wrong_ones_are_wrong(tmp_path: Path) -> None:
    names = ["Ann", 'Al "the" Pal', ",x", '"', "a\r\nb"]  # also with names that have to be quoted
    wrong: dict[str, Callable[[bytes], object]] = {
        "column_count": lambda record: len(read_csv(record)[0]) != 3,
        "invalid_utf8": lambda record: "\ufffd" in record.decode(errors="replace"),
        "nul_character": lambda record: b"\0" in record,
        "csv_bad_quote": lambda record: re.search(rb',(5" disk|"Bob"x),', record),
        "csv_unclosed_quote": lambda record: re.fullmatch(rb'\d+,"[^"\n]+', record),
    }
    for verdict, record in dirty_file(tmp_path, "csv", 2000, names=names):
        if verdict["verdict"] == "ok":
            (cells,) = read_csv(record)
            # an empty cell after the last is none
            assert cells in (verdict["data"], [*verdict["data"], ""]), verdict
        else:
            assert wrong[verdict["code"]](record), verdict


@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_the_quote_after_an_unclosed_one_cannot_close_it(tmp_path: Path, rate: float) -> None:
    pairs = dirty_file(tmp_path, "csv", 1500, rate, names=['"', ",", "\n"])
    for (verdict, _), (after, record) in pairwise(pairs):
        if verdict["kind"] == "unclosed_quote":
            assert after["kind"] == "quoted_delimiter"
            assert re.match(rb'\d+,"[A-Za-z]', record)


def test_the_last_row_is_never_an_unclosed_quote(tmp_path: Path) -> None:
    last = {dirty_file(tmp_path, "csv", 1, 1.0, seed)[0][0]["kind"] for seed in range(200)}
    assert set(script.KINDS["csv"]) - last == {"clean", "unclosed_quote"}


def split_json_array(data: bytes) -> list[bytes]:
    """Return the items of an array, found by strings and brackets alone, even if items are
    invalid.
    """
    items, depth, quoted, start = [], 0, False, 0
    for token in re.finditer(rb'\\.|["\[\]{},]', data, re.DOTALL):
        sign = token[0]
        if sign == b'"':
            quoted = not quoted
        elif quoted or sign[:1] == b"\\":
            continue
        elif sign in b"[{":
            depth += 1
            start = token.end() if depth == 1 else start
        elif sign in b"]}":
            depth -= 1
        if not quoted and ((sign == b"," and depth == 1) or depth == 0):
            items.append(data[start : token.start()].strip(b"\n"))
            start = token.end()
    return items


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_right_json_records_parse_to_their_data_and_wrong_ones_are_wrong(
    tmp_path: Path, format: str
) -> None:
    pairs = dirty_file(tmp_path, format, 2000)
    for verdict, record in pairs:
        if verdict["verdict"] == "ok":
            assert verdict["raw"] == record.decode()
            assert json.loads(record, parse_float=Decimal) == verdict["data"]
        elif verdict["kind"] in ("syntax", "bad_utf8"):
            with pytest.raises(ValueError, match=r"Expecting|Illegal|codec"):
                json.loads(record.decode())
        elif (
            verdict["kind"] != "long_int"
        ):  # Python refuses that one too, but with a limit of its own
            value = json.loads(record)
            if verdict["code"] == "json_row_not_object":
                assert not isinstance(value, dict)
            elif verdict["code"] == "duplicate_key":
                assert len(json.loads(record, object_pairs_hook=list)) > len(value)
            elif verdict["code"] == "invalid_unicode":
                assert re.search("[\ud800-\udfff]", value["name"])
        if format == "jsonl":
            assert b"\n" not in record
    if format == "json":
        assert split_json_array((tmp_path / "dirty.json").read_bytes()) == [
            record for _, record in pairs
        ]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_command_line_defaults(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    size = (tmp_path / "sample.csv").stat().st_size
    assert re.fullmatch(
        rf"1,000 rows, {size:,} bytes, sample\.csv, [\d.]+ s, [\d,]+ rows/s\n", done.stdout
    )
    body = read_csv((tmp_path / "sample.csv").read_bytes())[1:]
    assert len(body) == 1000
    assert all(1 <= int(value) <= 1000 for _, _, value in body)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-n", "-1"], "rows"),
        (["--min", "5", "--max", "4"], "min"),
        (["--max", str(2**63)], "64 bits"),
        (["--dirty", "1.5"], "dirty"),
        (["--dirty", "nan"], "dirty"),
        (["--seed", "-1"], "seed"),
        (["--names"], "--names"),
        (["--names", "Ann", ""], "names"),
        (["--format", "xml"], "--format"),
    ],
)
def test_bad_arguments_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        script.main(["--out", str(tmp_path / "f"), *arguments])
    assert stop.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dirty", [0.0, 0.01])
def test_an_interrupted_run_leaves_what_was_there(tmp_path: Path, dirty: float) -> None:
    def interrupt(done: int) -> None:
        assert (tmp_path / "f.csv.part").exists()
        raise KeyboardInterrupt

    old = tmp_path / "f.csv.verdicts.jsonl"
    old.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        script.generate(tmp_path / "f.csv", 50_000, dirty=dirty, progress=interrupt)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(old.name, "old")]


def test_a_clean_run_removes_the_verdicts_of_a_dirty_one(tmp_path: Path) -> None:
    assert script.generate(tmp_path / "f.csv", 10, dirty=1).verdicts.exists()
    script.generate(tmp_path / "f.csv", 10)
    assert [file.name for file in tmp_path.iterdir()] == ["f.csv"]
