"""Archives as uploads: each file is a part of the job, and one that cannot be read is a part that has
failed.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import xlsxwriter

from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

CSV = b"id,name\n" + b"".join(b"%d,n%d\n" % (n, n) for n in range(300))
ZIP = "application/zip"


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def workbook() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        for name in ("One", "Two"):
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, ["sheet", "n"])
            sheet.write_row(1, 0, [name, 1])
    return out.getvalue()


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start(MAX_UPLOAD_MB=4)
    with engine.api() as api:
        yield api


def upload(api: EngineApi, data: bytes, **params: Any) -> dict[str, Any]:
    return api.upload(data, name="data.zip", type=ZIP, **params)


def test_each_file_is_a_part_and_a_bad_one_costs_itself(api: EngineApi) -> None:
    data = zipped(
        {
            "a.csv": CSV,
            "sub/b.jsonl": b'{"id": 1}\n{"id": 2}\n',
            "bad.csv.gz": gzip.compress(CSV)[:-4],
            "book.xlsx": workbook(),
            "__MACOSX/._a.csv": b"x",
            "logo.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
        }
    )
    answer = upload(api, data)
    assert (answer["format"], answer["status"], len(answer["parts"])) == (
        "objects",
        "processing",
        6,
    )
    skipped = [{"name": "__MACOSX/._a.csv", "why": "file of macOS"}]
    step = {"decoder": "zip", "files": 6, "skipped": skipped, "skipped_count": 1}
    assert answer["decoding"] == [step]
    errors = {error["filename"]: error["code"] for error in answer["errors"]}
    assert errors == {
        "data.zip#bad.csv.gz": "corrupt_gzip",
        "data.zip#logo.png": "content_mismatch",
    }
    assert answer["errors"][0]["job_id"] == answer["parts"][2]
    status = api.finished(answer["file_id"])
    assert status["status"] == "completed_with_errors"
    assert status["decoding"] == [step]
    assert status["counts"]["loaded"] == 304
    assert (status["parts"]["total"], status["parts"]["failed"]) == (6, 2)
    assert {error["filename"]: error["error"]["code"] for error in status["errors"]} == errors
    assert "bad.csv.gz: " in status["errors"][0]["error"]["message"]
    first, second, bad, sheet = (api.status(part) for part in answer["parts"][:4])
    assert (first["filename"], first["format"]) == ("data.zip#a.csv", "csv")
    assert first["decoding"] == [{"decoder": "zip", "member": "a.csv"}]
    assert (second["filename"], second["format"]) == ("data.zip#sub/b.jsonl", "jsonl")
    assert sheet["filename"] == "data.zip#book.xlsx#One"
    assert [step["decoder"] for step in sheet["decoding"]] == ["zip", "xlsx"]
    assert (bad["status"], bad["rows"]["total"]) == ("failed", 0)
    assert api.rows(answer["parts"][0]) == api.rows(api.run(CSV)["file_id"])
    assert api.client.delete(f"/api/v1/files/{answer['file_id']}").is_success
    assert api.client.get(f"/api/v1/status/{answer['parts'][0]}").status_code == 404


@pytest.mark.one_database
def test_an_archive_of_one_file_is_the_file(api: EngineApi) -> None:
    for data, name in (
        (zipped({"a.csv": CSV, ".hidden": b"x"}), "zip"),
        (gzip.compress(tarred({"a.csv": CSV, ".hidden": b"x"})), "tar"),
    ):
        answer = upload(api, data)
        assert "parts" not in answer
        assert (answer["filename"], answer["format"]) == ("data.zip", "csv")
        step = answer["decoding"][-1]
        assert (step["decoder"], step["member"]) == (name, "a.csv")
        assert step["skipped"] == [{"name": ".hidden", "why": "hidden file"}]
        assert api.finished(answer["file_id"])["counts"]["loaded"] == 300
        assert api.proof(answer["file_id"])["closes"]


@pytest.mark.one_database
def test_members_chooses_files_in_every_way_to_upload(api: EngineApi) -> None:
    data = zipped({"a.csv": CSV, "b.csv": b"id\n1\n", "c.txt": b"x\n"})
    assert len(upload(api, data, members="*.csv")["parts"]) == 2
    one = upload(api, data, members="b.csv", on_duplicate="existing")
    other = upload(api, data, members="a.csv", on_duplicate="existing")
    again = upload(api, data, members="b.*", on_duplicate="existing")
    assert one["file_id"] == again["file_id"] != other["file_id"]
    # A form may have it after the file.
    part = b'Content-Disposition: form-data; name="file"; filename="d.zip"\r\n\r\n' + data
    field = b'Content-Disposition: form-data; name="members"\r\n\r\nb.csv'
    body = b"".join(b"--x\r\n" + piece + b"\r\n" for piece in (part, field)) + b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    form = api.client.post("/api/v1/upload", content=body, headers=headers)
    assert form.json()["decoding"][0]["member"] == "b.csv"
    patterns = base64.b64encode(b"b.csv").decode()
    created = api.client.post(
        "/api/v1/uploads",
        content=data,
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(data)),
            "Content-Type": "application/offset+octet-stream",
            "Upload-Metadata": f"members {patterns}",
        },
    )
    assert created.status_code == 201, created.text
    assert api.finished(created.headers["Granula-File-Id"])["rows"]["total"] == 1
    shown = api.client.post("/api/v1/preview?members=b.csv", content=data)
    assert shown.json()["columns"] == ["id"]


@pytest.mark.one_database
def test_members_are_read_as_declared(api: EngineApi) -> None:
    text = "番号,都市\n1,東京\n"
    answer = upload(api, zipped({"a.csv": text.encode("shift_jis")}), encoding="shift_jis")
    assert answer["columns"] == ["番号", "都市"]
    likely = upload(api, zipped({"a.csv": ("n,ort\n" + "1,Köln\n" * 50).encode("cp1252")}))
    assert likely["decoding"][1]["encoding"] == "cp1252"


@pytest.mark.one_database
def test_archives_without_a_usable_file_are_refused(engine: Engine, api: EngineApi) -> None:
    word = zipped({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"})
    bad = {
        "no files": (zipped({"sub/": b""}), 422, "member_not_found"),
        "only a bad file": (zipped({"../a.csv": CSV}), 422, "unsafe_member"),
        "only bad files": (
            zipped({"../a.csv": CSV, "b.gz": b"\x1f\x8b\x08"}),
            422,
            "unsafe_member",
        ),
        "an empty file": (zipped({"a.csv": b""}), 422, "empty_file"),
        "truncated": (zipped({"a.csv": CSV})[:-9], 422, "corrupt_archive"),
        "truncated tar": (tarred({"a.csv": CSV})[:3000], 422, "corrupt_archive"),
        "truncated tar.gz": (gzip.compress(tarred({"a.csv": CSV}))[:-9], 422, "corrupt_gzip"),
        "a bomb": (zipped({"a.csv": bytes(64 << 20)}), 413, "decompressed_too_large"),
        "many bombs": (
            zipped({f"{n}.csv": b"a" * (1 << 20) for n in range(6)}),
            413,
            "decompressed_too_large",
        ),
        "a document": (word, 415, "content_mismatch"),
    }
    for what, (data, status, code) in bad.items():
        answer = api.client.post("/api/v1/upload", content=data)
        assert answer.status_code == status, (what, answer.text)
        problem = assert_problem(answer, status, code)
        if code == "unsafe_member":
            assert problem["detail"].startswith("../a.csv: ")
    assert not engine.files()
    assert not engine.stored()
    batch = api.client.post(
        "/batch/upload", files={"file": ("a.csv", zipped({"a": CSV, "b": CSV}), "text/csv")}
    )
    assert "2 files: `a`, `b`" in batch.text


@pytest.mark.parametrize("point", ["upload.part_written", "upload.after_rename"])
def test_a_service_that_dies_while_it_unpacks_leaves_nothing(engine: Engine, point: str) -> None:
    data = zipped({f"{n}.csv": CSV for n in range(4)})
    engine.start(GRANULA_FAIL=f"{point}=kill" + ("@2" if "part" in point else ""))
    with engine.client() as client, pytest.raises(httpx.TransportError):
        client.post("/api/v1/upload", content=data, headers={"Content-Type": ZIP})
    engine.wait_for_death()
    engine.start()
    with engine.api() as api:
        answer = upload(api, data)
        assert api.finished(answer["file_id"])["counts"]["loaded"] == 1_200
    engine.kill()
    engine.sweep()
    assert list(engine.stored().values()) == [hashlib.sha256(CSV).hexdigest()] * 4
