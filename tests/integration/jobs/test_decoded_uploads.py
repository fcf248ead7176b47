"""Compressed files: the rows are those of the plain file, and the job reports the decoding."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator

import lz4.frame
import pytest
import zstandard

from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

CSV = b"id,name\n" + b"".join(b"%d,n%d\n" % (n, n) for n in range(500)) + b"501\n"
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lz4.frame.compress,
    "zlib": zlib.compress,
}
CODINGS = {"zlib": "deflate"}


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start(MAX_UPLOAD_MB=2)
    with engine.api() as api:
        yield api


def test_every_compression_gives_the_rows_of_the_plain_file(api: EngineApi) -> None:
    plain = api.run(CSV)
    assert plain["decoding"] == []
    rows, proof = api.rows(plain["file_id"]), api.proof(plain["file_id"])
    for name, compress in COMPRESS.items():
        packed = compress(CSV[:1000]) + compress(CSV[1000:])
        answer = api.upload(packed, name=f"data.csv.{name}", type="application/octet-stream")
        assert answer["decoding"] == [{"decoder": name}]
        status = api.finished(answer["file_id"])
        assert status["decoding"] == [{"decoder": name}]
        assert (status["size_bytes"], status["rows"]) == (len(packed), plain["rows"])
        assert api.rows(answer["file_id"]) == rows
        assert api.proof(answer["file_id"])["hash"] == proof["hash"]
        assert [reject["line"] for reject in api.rejects(answer["file_id"])] == [502]


def test_every_compression_is_a_content_encoding(api: EngineApi) -> None:
    for name, compress in COMPRESS.items():
        answer = api.client.post(
            "/api/v1/upload",
            content=compress(CSV),
            headers={"Content-Type": "text/csv", "Content-Encoding": CODINGS.get(name, name)},
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["decoding"] == [{"decoder": name}]
        assert api.finished(answer.json()["file_id"])["rows"]["total"] == 501


@pytest.mark.one_database
def test_a_content_encoding_is_checked_to_its_end(engine: Engine, api: EngineApi) -> None:
    for name, compress in COMPRESS.items():
        headers = {"Content-Encoding": CODINGS.get(name, name)}
        code = "corrupt_gzip" if name == "gzip" else "corrupt_compression"
        packed = compress(CSV)
        several = compress(CSV[:1000]) + compress(CSV[1000:])
        sent = api.client.post("/api/v1/upload", content=several, headers=headers)
        assert api.finished(sent.json()["file_id"])["rows"]["total"] == 501
        for data in (packed[:-3], packed + b"garbage", several[:-3], CSV, b""):
            refused = api.client.post("/api/v1/upload", content=data, headers=headers)
            assert_problem(refused, 422, code)
        empty = api.client.post("/api/v1/upload", content=compress(b""), headers=headers)
        assert_problem(empty, 422, "empty_file")
    assert len(engine.stored()) == len(COMPRESS)


@pytest.mark.one_database
def test_damaged_and_oversized_data_is_refused_and_removed(engine: Engine, api: EngineApi) -> None:
    for name, compress in COMPRESS.items():
        code = "corrupt_gzip" if name == "gzip" else "corrupt_compression"
        cut = api.client.post("/api/v1/upload", content=compress(CSV)[:-3])
        assert_problem(cut, 422, code)
        behind = api.client.post("/api/v1/upload", content=compress(CSV) + b"garbage")
        assert_problem(behind, 422, code)
        bomb = api.client.post("/api/v1/upload", content=compress(bytes(64 << 20)))
        assert_problem(bomb, 413, "decompressed_too_large")
        nested = api.client.post("/api/v1/upload", content=compress(gzip.compress(CSV)))
        assert_problem(nested, 415, "content_mismatch")
    assert engine.sql("SELECT count(*) FROM files") == [(0,)]
    assert [path.name for path in (engine.storage / "uploads").iterdir()] == []


@pytest.mark.one_database
def test_the_inner_extension_of_a_compressed_name_gives_the_format(api: EngineApi) -> None:
    data = zstandard.ZstdCompressor().compress(b'["id"]\n["x"]\n')
    answer = api.upload(data, name="rows.csv.zst", type="application/zstd")
    assert answer["format"] == "csv"
