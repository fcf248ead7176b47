"""What a preview says of the beginning of a file, and how the beginning is taken out of a body."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from app.errors import BadHeader, CorruptGzip, EmptyFile
from app.features.preview.beginning import MAX_BODY_BYTES, Beginning, of_body, of_pieces
from app.features.preview.commands import app as commands
from app.features.preview.look import preview
from app.formats.detect import SAMPLE_BYTES, Declared

TABLE = "Towns of the north\nid;town;people\n" + "".join(
    f"{n};Town {n};{n * 100},5\n" for n in range(1, 81)
)
SAID = Declared()
ANSWER = msgspec.json.Decoder()


def look(data: bytes, rows: int = 50, *, is_complete: bool = True, **said: Any) -> dict[str, Any]:
    """As it is answered."""
    beginning = Beginning(data, is_complete)
    answer = preview(beginning, Declared(**said), rows)
    return dict(ANSWER.decode(msgspec.json.encode(answer)))


def test_a_table_is_shown_as_it_would_be_loaded() -> None:
    found = look(TABLE.encode() + b"81;x\n")
    assert found["columns"] == ["id", "town", "people"]
    assert found["dialect"]["skipped"][0]["why"] == "title"
    assert found["sample"]["rows"] == {"total": 81, "ok": 80, "rejected": 1}
    assert found["sample"]["rejected_by_code"] == {"column_count": 1}
    assert found["rows"] == [
        {"row_number": n, "line": n + 2, "data": [str(n), f"Town {n}", f"{n * 100},5"]}
        for n in range(1, 51)
    ]
    (reject,) = found["rejects"]
    assert (reject["row_number"], reject["line"], reject["code"]) == (81, 83, "column_count")
    assert found["confidence"]["delimiter"] > 0.8
    assert found["confidence"]["header"] > 0.99


def test_the_types_of_the_columns_are_those_of_an_analysis() -> None:
    lines = "\n".join(f"{n},{n}.5,2024-01-{n:02},x{n},0{n},true" for n in range(1, 9))
    data = f"a,b,c,d,e,f\n{lines}\n".replace("\n", ",\n").encode()
    types = look(data)["types"]
    assert [(each["type"], each["subtype"]) for each in types[:7]] == [
        ("number", "integer"),
        ("number", "decimal"),
        ("date", "date"),
        ("text", None),
        ("text", None),
        ("boolean", None),
        ("text", None),
    ]
    assert "zero" in types[4]["explanation"]
    assert [each["confidence"] for each in types[:7]] == [1.0] * 6 + [0.0]
    of_part = look(data, is_complete=False)["types"]
    assert 0.8 < of_part[0]["confidence"] < 1.0
    assert look(b'[{"n": 1, "s": "x"}]')["types"][0]["type"] == "number"


def test_a_row_has_its_line_and_the_file_its_decoding() -> None:
    data = gzip.compress(b'id,word\n1,"x\ny"\n\n2,z\n3,v\n')
    beginning = of_pieces([data], SAID)
    found = preview(beginning, beginning.declared(SAID), 10)
    assert [row["line"] for row in found["rows"]] == [2, 5, 6]
    assert found["decoding"] == [{"decoder": "gzip"}]


def test_each_alternative_equals_a_preview_with_its_settings() -> None:
    data = b"a;b,c\n1;2,3\n4;5,6\n7;8,9\n"
    found = look(data)
    assert found["readings"]
    for other in found["readings"]:
        again = look(data, **other["settings"])
        assert again["columns"] == other["columns"]
        assert again["sample"]["rows"]["ok"] == other["ok"]
        assert again["sample"]["rows"]["rejected"] == other["rejected"]
    delimiters = [other["settings"].get("delimiter") for other in found["readings"]]
    assert {found["dialect"]["delimiter"], *delimiters} >= {",", ";"}


def test_an_unsure_header_has_a_reading_without_one() -> None:
    found = look(b"red,blue\ngreen,grey\nblack,white\n")
    (without,) = [reading for reading in found["readings"] if "header_rows" in reading["settings"]]
    assert without["settings"] == {"header_rows": 0}
    assert without["columns"] == ["column_1", "column_2"]
    assert without["ok"] == 3
    assert without["confidence"] == pytest.approx(1 - found["confidence"]["header"], abs=0.002)


def test_given_settings_are_certain_and_have_no_alternatives() -> None:
    found = look(b"a;b,c\n1;2,3\n", delimiter=";", header_rows=1)
    assert found["confidence"] == {"delimiter": 1.0, "header": 1.0}
    assert found["readings"] == []
    assert found["columns"] == ["a", "b,c"]


def test_json_is_shown_with_its_digits() -> None:
    found = preview(Beginning(b'{"a":12345678901234567.890}\n{"b":1}\n{\n', True), Declared(), 50)
    assert found["confidence"] is None
    assert found["columns"] == ["a", "b"]
    assert b'{"a":12345678901234567.890}' in msgspec.json.encode(found["rows"])
    assert found["sample"]["rows"] == {"total": 3, "ok": 2, "rejected": 1}


@pytest.mark.parametrize(
    "text", ["id,name\n", '[{"id":1},', '{"id":1}\n'], ids=["csv", "array", "lines"]
)
def test_the_record_that_the_sample_cuts_is_not_counted(text: str) -> None:
    unit = {"i": "1,x\n", "[": '{"id":2},', "{": '{"id":2}\n'}[text[0]]
    data = (text + unit * 1000).encode()[:-3]
    whole = 999 + (text[0] != "i")
    found = look(data, is_complete=False)
    assert found["sample"]["rows"] == {"total": whole, "ok": whole, "rejected": 0}
    assert look(data)["sample"]["rows"]["total"] == whole + 1


def test_a_preview_refuses_what_an_upload_refuses() -> None:
    with pytest.raises(BadHeader):
        look(b"id,na\xefme\n1,2\n")


async def _body(data: bytes, piece: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), piece):
        yield data[start : start + piece]


@pytest.mark.parametrize(
    "size", [1, SAMPLE_BYTES - 1, SAMPLE_BYTES, SAMPLE_BYTES + 1, 3 * SAMPLE_BYTES]
)
@pytest.mark.parametrize("is_gzipped", [False, True], ids=["plain", "gzip"])
async def test_a_preview_reads_no_more_than_the_sample(size: int, is_gzipped: bool) -> None:
    plain = (b"0123456789,abcdef\n" * (size // 17 + 1))[:size]
    sent = gzip.compress(plain) if is_gzipped else plain
    for piece in (1 << 16, 1 << 20):
        found = await of_body(_body(sent, piece), SAID, None, is_partial=False)
        assert found.sample == plain[:SAMPLE_BYTES]
        assert found.is_complete == (size <= SAMPLE_BYTES)
        pieces = (sent[at : at + piece] for at in range(0, len(sent), piece))
        assert of_pieces(pieces, SAID) == found


async def test_the_rest_of_a_long_body_is_not_read() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1 << 16
            assert read <= MAX_BODY_BYTES
            yield b"a" * (1 << 16)

    found = await of_body(endless(), SAID, None, is_partial=False)
    assert (len(found.sample), found.is_complete) == (SAMPLE_BYTES, False)
    assert read <= SAMPLE_BYTES + (1 << 16)


async def test_the_beginning_of_a_gzipped_file_is_enough_with_its_extension() -> None:
    sent = gzip.compress(b"a,b\n1,2\n" * 1000)[:-20]
    with pytest.raises(CorruptGzip):
        await of_body(_body(sent, 100), SAID, None, is_partial=False)
    found = await of_body(_body(sent, 100), SAID, None, is_partial=True)
    assert found.sample.startswith(b"a,b\n1,2\n")
    assert not found.is_complete


async def test_multibyte_text_is_decoded_as_by_an_upload() -> None:
    sent = "도시,인구\n서울,9\n부산,3\n".encode("cp949")
    said = Declared(encoding="cp949")
    found = await of_body(_body(sent, 10), said, None, is_partial=False)
    assert found.sample.decode() == "도시,인구\n서울,9\n부산,3\n"
    answer = preview(found, found.declared(said), 50)
    assert answer["columns"] == ["도시", "인구"]


async def test_an_empty_body_is_refused() -> None:
    with pytest.raises(EmptyFile):
        await of_body(_body(b"", 1), SAID, None, is_partial=False)


def test_the_command_shows_a_file_without_a_server(tmp_path: Path) -> None:
    file = tmp_path / "towns.csv"
    file.write_text(TABLE, "utf-8")
    done = CliRunner().invoke(commands, [str(file), "-n", "2"])
    assert done.exit_code == 0
    assert "Skipped line 1 (title): Towns of the north" in done.output
    assert "80 rows, 0 rejected" in done.output
    assert "Town 2" in done.output
    assert "Town 3" not in done.output
    as_json = CliRunner().invoke(
        commands, [str(file), "--json", "-O", "header_rows=0", "-O", "skip_rows=1"]
    )
    assert json.loads(as_json.output)["sample"]["rows"]["ok"] == 81


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (b"a,b\n1\n", (), 1),
        (b"%PDF-1.7\n", (), 4),
        (b"a,b\n", ("-O", "colour=red"), 2),
        (b"a,b\n", ("-O", "header_rows=x"), 2),
    ],
    ids=["a_reject", "refused", "unknown_option", "bad_option"],
)
def test_the_exit_code_of_the_command_reports_the_outcome(
    tmp_path: Path, data: bytes, options: tuple[str, ...], code: int
) -> None:
    from app.cli.main import app as everything

    file = tmp_path / "x.csv"
    file.write_bytes(data)
    assert CliRunner().invoke(everything, ["preview", str(file), *options]).exit_code == code
