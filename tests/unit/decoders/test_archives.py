"""Archives: every file of them is read or reported, whatever else is wrong in the archive.

Archives are written by Python's zipfile and tarfile, and those in `archives/` by Info-ZIP 3.0 and GNU
tar 1.34:

    zip -X info.zip a.csv sub sub/b.csv; zip -X -Z bzip2 info.zip packed.csv
    zip -X -P pw info.zip secret.csv; cat a.csv | zip -X -fz stream.zip -
    tar --sparse -cf gnu.tar a.csv hard.csv link.csv sub xxx...x.csv holes.csv
    tar --format=v7 -cf v7.tar a.csv sub/b.csv
    tar --format=pax --pax-option=comment=hi -cf pax.tar a.csv xxx...x.csv
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import xlsxwriter
import zstandard

from app.decoders.archives.members import clean_name, matches, name_error
from app.decoders.base import Wanted
from app.decoders.chain import Chain
from app.errors import RequestError

FIXTURES = Path(__file__).parent / "archives"
TEXT = b"id,name\n" + b"".join(b"%d,name %d\n" % (n, n) for n in range(2_000))
Files = dict[str, bytes]


def unpacked(data: bytes, **wanted: object) -> tuple[dict[str, bytes | str], Chain]:
    """Return the content of each file by its path in the archive, or the code of its error."""
    wanted_all = Wanted(**{"takes_parts": True} | wanted)  # type: ignore[arg-type]
    chain = Chain()
    parts: dict[int, bytes] = {}
    try:
        for start in range(0, len(data), 1 << 16):
            for piece in chain.feed(data[start : start + (1 << 16)]):
                parts[chain.part] = parts.get(chain.part, b"") + piece
        for piece in chain.finish(wanted_all, also_heavy=True):
            parts[chain.part] = parts.get(chain.part, b"") + piece
    finally:
        chain.close()
    files: dict[str, bytes | str] = {}
    for part in range(chain.file_count):
        reports = chain.reports(part)
        name = "/".join(r.facts["member"] for r in reports if "member" in r.facts)
        name += "".join("#" + r.facts["sheet"] for r in reports if "sheet" in r.facts)
        error = next((r.error for r in reports if r.error is not None), None)
        files[name] = parts[part] if error is None else error.code
    return files, chain


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: Files, format_: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def refused(data: bytes, **wanted: object) -> str:
    with pytest.raises(RequestError) as raised:
        unpacked(data, **wanted)
    return raised.value.code


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
}


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_file_of_a_zip_is_read(method: int) -> None:
    files = {"a.csv": TEXT, "sub/b.csv": b"id\n1\n", "sub/": b"", "empty.csv": b""}
    result, chain = unpacked(zipped(files, method))
    assert result == {"a.csv": TEXT, "sub/b.csv": b"id\n1\n", "empty.csv": b""}
    assert chain.skipped == []


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_file_of_a_tar_is_read(format_: int) -> None:
    long = "folder/" * 20 + "x" * 80 + ".csv"
    files = {"./a.csv": TEXT, long: b"id\n1\n", "é.csv": b"x\n"}
    result, _ = unpacked(tarred(files, format_))
    assert result == {"a.csv": TEXT, long: b"id\n1\n", "é.csv": b"x\n"}


@pytest.mark.parametrize("name", COMPRESS)
def test_compressed_archives_and_members_are_read(name: str) -> None:
    compress = COMPRESS[name]
    inside = {"a.csv": TEXT, "b.csv.z": compress(TEXT)}
    result, chain = unpacked(compress(tarred(inside)))
    assert result == {"a.csv": TEXT, "b.csv.z": TEXT}
    assert [report.decoder for report in chain.reports(1)] == [name, "tar", name]
    assert unpacked(zipped(inside))[0] == {"a.csv": TEXT, "b.csv.z": TEXT}


def test_workbooks_in_an_archive_have_a_file_for_each_sheet() -> None:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        for name in ("One", "Two"):
            book.add_worksheet(name).write_row(0, 0, ["a", name])
    data = zipped({"first.csv": b"x\n", "book.xlsx": out.getvalue(), "last.csv": b"y\n"})
    result, _ = unpacked(data)
    assert result == {
        "first.csv": b"x\n",
        "book.xlsx#One": b"a,One\r\n",
        "book.xlsx#Two": b"a,Two\r\n",
        "last.csv": b"y\n",
    }
    assert unpacked(data, sheet="Two", members="*.xlsx")[0] == {"book.xlsx#Two": b"a,Two\r\n"}


def test_archives_inside_of_archives_are_read_to_one_level() -> None:
    inner = {"b.csv": b"b\n", "c.csv.gz": gzip.compress(b"c\n")}
    deepest = zipped({"x.zip": zipped({"y.csv": b"y\n"})})
    data = zipped(
        {
            "a.csv": b"a\n",
            "in.zip": zipped(inner),
            "in.tar.gz": gzip.compress(tarred(inner)),
            "deep.zip": deepest,
        }
    )
    result, _ = unpacked(data)
    assert result == {
        "a.csv": b"a\n",
        "in.zip/b.csv": b"b\n",
        "in.zip/c.csv.gz": b"c\n",
        "in.tar.gz/b.csv": b"b\n",
        "in.tar.gz/c.csv.gz": b"c\n",
        "deep.zip/x.zip": "unsupported_member",
    }
    # What an archive too deep has in it is not known, so it is always reported.
    deep = {"deep.zip/x.zip"}
    assert set(unpacked(data, members="b.csv")[0]) == {"in.zip/b.csv", "in.tar.gz/b.csv"} | deep
    assert set(unpacked(data, members="in.zip,a.*")[0]) == deep | {
        "a.csv",
        "in.zip/b.csv",
        "in.zip/c.csv.gz",
    }


def test_names_choose_the_files() -> None:
    data = zipped({"a.csv": b"a\n", "2024/b.CSV": b"b\n", "c.txt": b"c\n", "not.zip": b"d,e\n"})
    assert set(unpacked(data, members="*.csv")[0]) == {"a.csv", "2024/b.CSV"}
    assert set(unpacked(data, members="2024/*, c.txt")[0]) == {"2024/b.CSV", "c.txt"}
    assert refused(data, members="*.xlsx") == "member_not_found"
    assert refused(zipped({"sub/": b""})) == "member_not_found"
    assert matches("a/b.csv", "b.csv")
    assert not matches("a/b.csv", "a")


def test_one_file_is_needed_where_parts_are_not_taken() -> None:
    data = zipped({"a.csv": b"a\n", "b.csv": b"b\n"})
    assert refused(data, takes_parts=False) == "member_not_found"
    assert unpacked(data, takes_parts=False, members="b.csv")[0] == {"b.csv": b"b\n"}
    assert (
        refused(zipped({"a.gz": COMPRESS["gzip"](TEXT)[:99]}), takes_parts=False) == "corrupt_gzip"
    )


def test_files_of_systems_and_links_are_skipped_with_a_reason() -> None:
    junk = ("__MACOSX/._a.csv", "sub/.DS_Store", "Thumbs.db", ".git/config", "out/_SUCCESS")
    result, chain = unpacked(zipped({"a.csv": b"a\n"} | dict.fromkeys(junk, b"junk")))
    assert result == {"a.csv": b"a\n"}
    assert [skipped.name for skipped in chain.skipped] == list(junk)
    assert chain.skipped[0].why == "file of macOS"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for mode in (0o120777, 0o020644):
            info = zipfile.ZipInfo(f"{mode}.csv")
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, "/etc/passwd")
        archive.writestr("a.csv", "a\n")
    result, chain = unpacked(out.getvalue())
    assert result == {"a.csv": b"a\n"}
    assert [skipped.why for skipped in chain.skipped] == ["symbolic link", "device"]


@pytest.mark.parametrize(
    "name",
    ["../a.csv", "x/../../a.csv", "/etc/passwd", "C:\\a.csv", "\\\\host\\a.csv", "..\\a.csv"],
)
def test_names_that_point_elsewhere_cost_their_file_alone(name: str) -> None:
    assert name_error(clean_name(name)) is not None
    for data in (zipped({name: b"x\n", "b.csv": b"b\n"}), tarred({name: b"x\n", "b.csv": b"b\n"})):
        result, _ = unpacked(data)
        assert result.pop("b.csv") == b"b\n"
        assert list(result.values()) == ["unsafe_member"]


def test_names_are_shown_without_what_is_not_shown() -> None:
    assert clean_name("./a\x00b\u202ec\\d.csv") == "a_b_c/d.csv"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("ü.csv", b"x\n")
    utf8 = out.getvalue()
    raw = "ü.csv".encode()
    flagged = struct.pack("<H", 0x800)
    cp437 = utf8.replace(raw, "ü ".encode("cp437") + b".csv").replace(flagged, b"\0\0")
    assert set(unpacked(utf8)[0]) == {"ü.csv"}
    assert set(unpacked(cp437)[0]) == {"ü .csv"}
    # macOS writes UTF-8 without saying so.
    assert set(unpacked(utf8.replace(flagged, b"\0\0"))[0]) == {"ü.csv"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_ambiguous() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for content in ("1\n", "2\n"):
            archive.writestr("a.csv", content)
        archive.writestr("b.csv", "b\n")
    result, chain = unpacked(out.getvalue())
    assert result == {"a.csv": "unsafe_member", "b.csv": b"b\n"}
    assert chain.file_count == 3


def test_a_damaged_file_costs_itself_alone() -> None:
    files = {"a.csv": TEXT, "b.csv": TEXT, "c.csv.gz": gzip.compress(TEXT)[:-9], "d.csv": b"d\n"}
    data = bytearray(zipped(files, zipfile.ZIP_STORED))
    data[data.index(b"name 1000", data.index(b"b.csv"))] ^= 1
    result, _ = unpacked(bytes(data))
    assert result == {
        "a.csv": TEXT,
        "b.csv": "corrupt_archive",
        "c.csv.gz": "corrupt_gzip",
        "d.csv": b"d\n",
    }


def test_flipped_bits_are_found_or_do_not_matter() -> None:
    dice = random.Random(18)
    files = {f"{n}.csv": TEXT for n in range(3)}
    whole = zipped(files)
    for data in (whole, gzip.compress(tarred(files))):
        damaged = 0
        for _ in range(150):
            broken = bytearray(data)
            broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
            try:
                result, _ = unpacked(bytes(broken))
            except RequestError:
                damaged += 1
                continue
            for content in result.values():
                damaged += isinstance(content, str)
                assert isinstance(content, str) or content == TEXT
        assert damaged > 100


def test_truncated_archives_are_refused() -> None:
    files = {"a.csv": TEXT, "b.csv": TEXT}
    for data in (zipped(files), tarred(files)):
        for end in (
            600,
            len(data) // 2,
            len(data) - 11_000 if data[:2] != b"PK" else len(data) - 1,
        ):
            assert refused(data[:end]) in ("corrupt_archive", "corrupt_workbook"), end
    tar = tarred(files)
    ended = tar[: len(tar.rstrip(b"\0"))]
    assert refused(ended + bytes(-len(ended) % 512)) == "corrupt_archive"
    assert refused(zipped(files) + b"more") == "corrupt_archive"
    assert refused(tar + b"more") == "corrupt_archive"
    assert unpacked(tar + tarred({"c.csv": b"c\n"}))[0] == files | {"c.csv": b"c\n"}
    assert unpacked(zipped(files) + bytes(100))[0] == files


def test_archives_of_other_programs_are_read() -> None:
    read = {"a.csv": b"id,name\n1,a\n2,b\n", "sub/b.csv": b"id,name\n3,c\n"}
    result, _ = unpacked((FIXTURES / "info.zip").read_bytes())
    assert result.pop("secret.csv") == "encrypted_member"
    packed = result.pop("packed.csv")
    assert isinstance(packed, bytes)
    assert zlib.crc32(packed) == 0x1363248D  # as `unzip -v` shows
    assert result == read
    streamed, _ = unpacked((FIXTURES / "stream.zip").read_bytes())  # zip64, sizes behind the data
    assert streamed == {"-": read["a.csv"]}
    result, chain = unpacked((FIXTURES / "gnu.tar.xz").read_bytes())
    assert result.pop("holes.csv") == "unsupported_member"
    assert result.pop("x" * 120 + ".csv") == b"id,name\n9,z\n"
    assert result == read
    assert [(skipped.name, skipped.why) for skipped in chain.skipped] == [
        ("hard.csv", "hard link"),
        ("link.csv", "symbolic link"),
    ]
    assert unpacked((FIXTURES / "v7.tar.gz").read_bytes())[0] == read
    assert unpacked((FIXTURES / "pax.tar.xz").read_bytes())[0] == {
        "a.csv": read["a.csv"],
        "x" * 120 + ".csv": b"id,name\n9,z\n",
    }


def test_large_archives_in_zip64_are_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a.csv", "w", force_zip64=True) as file:
        file.write(TEXT)
    assert unpacked(out.getvalue())[0] == {"a.csv": TEXT}


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Replace bytes in the last header with this signature."""
    place = data.rindex(signature) + offset
    return data[:place] + value + data[place + len(value) :]


def test_methods_that_are_not_supported_are_named() -> None:
    data = zipped({"a.csv": b"a\n", "b.csv": TEXT})
    for method, name in ((9, "Deflate64"), (98, "PPMd"), (77, "method 77")):
        other = patched(data, b"PK\x01\x02", 10, struct.pack("<H", method))
        result, chain = unpacked(other)
        assert result == {"a.csv": b"a\n", "b.csv": "unsupported_member"}
        assert name in str(chain.reports(1)[0].error)


def test_data_that_overlaps_is_refused() -> None:
    """Tiny archives that become huge let many entries share their data."""
    data = zipped({"a.csv": TEXT, "b.csv": TEXT})
    start = data.index(b"PK\x03\x04")
    for value in (start, start + 5):
        result, _ = unpacked(patched(data, b"PK\x01\x02", 42, struct.pack("<L", value)))
        assert set(result.values()) == {"corrupt_archive"}


def test_sizes_that_are_not_true_are_found() -> None:
    data = zipped({"a.csv": b"a\n", "b.csv": TEXT})
    for size in (5, len(TEXT) + 5):
        lying = patched(data, b"PK\x01\x02", 24, struct.pack("<L", size))
        assert unpacked(lying)[0] == {"a.csv": b"a\n", "b.csv": "corrupt_archive"}


def test_places_beyond_the_file_are_damage() -> None:
    streamed = (FIXTURES / "stream.zip").read_bytes()
    huge = b"\xff" * 8
    assert refused(patched(streamed, b"PK\x06\x07", 8, huge)) == "corrupt_archive"
    assert refused(patched(streamed, b"PK\x06\x06", 48, huge)) == "corrupt_archive"
    data = zipped({"a.csv": b"a\n", "b.csv": TEXT})
    far = patched(data, b"PK\x01\x02", 42, huge[:4])
    assert unpacked(far)[0] == {"a.csv": b"a\n", "b.csv": "corrupt_archive"}
    tar = tarred({"a.csv": TEXT}, tarfile.GNU_FORMAT)
    field = b"\x80" + b"\xff" * 11
    checksum = b"%06o\0 " % sum(tar[:124] + field + tar[136:148] + b" " * 8 + tar[156:512])
    assert refused(tar[:124] + field + tar[136:148] + checksum + tar[156:]) == "corrupt_archive"


def test_too_many_members_are_refused() -> None:
    files = {f"{n}.csv": b"" for n in range(1_001)}
    assert refused(zipped(files)) == "member_not_found"
    assert refused(tarred(files)) == "member_not_found"
    assert len(unpacked(zipped(files), members="1*.csv")[0]) == 112
    halves = {name: zipped({f"{n}.csv": b"" for n in range(501)}) for name in ("a.zip", "b.zip")}
    assert refused(zipped(halves)) == "member_not_found"
    count = patched(zipped({"a": b""}), b"PK\x05\x06", 8, struct.pack("<2H", 20_000, 20_000))
    assert refused(count) in ("corrupt_archive", "unsupported_member")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_comes_in_bounded_pieces_and_is_counted(method: int) -> None:
    chain = Chain()
    list(chain.feed(zipped({"in.zip": zipped({"a.csv": b"a"}) + bytes(64 << 20)}, method)))
    sizes = []
    for piece in chain.finish(Wanted(takes_parts=True), also_heavy=True):
        sizes.append(chain.most_bytes)
        assert len(piece) <= 16 << 20
    assert max(sizes) >= 64 << 20
    steps = [after - before for before, after in zip([0, *sizes], sizes, strict=False)]
    assert max(steps) <= 8 << 20
    chain.close()


def test_split_archives_are_refused() -> None:
    data = patched(zipped({"a": b""}), b"PK\x05\x06", 4, struct.pack("<H", 1))
    assert refused(data) == "unsupported_member"


def test_memory_is_asked_for_before_a_member_needs_it() -> None:
    chain = Chain()
    list(chain.feed(zipped({"a.csv.xz": lzma.compress(TEXT, preset=0)}, zipfile.ZIP_LZMA)))
    asked = [chain.memory_bytes for _ in chain.finish(Wanted(takes_parts=True), also_heavy=True)]
    inside = (256 << 10) + (1 << 20)
    assert (asked[0], max(asked), chain.memory_bytes) == (64 << 20, (64 << 20) + inside, 0)
    chain.close()
