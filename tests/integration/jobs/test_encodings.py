"""Uploads in encodings of several bytes a character."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

TEXTS = {
    "shift_jis": "番号,都市\n1,東京\n2,大阪\n",
    "cp949": "번호,도시\n1,서울\n2,부산\n",
    "big5": "號碼,日期\n1,山川\n2,許功蓋\n",
    "gb18030": "编号,城市\n1,北京\n2,上海\n",
    "utf-32": "id,name\n1,Zoë\n2,\U0001f600\n",
}


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start()
    with engine.api() as api:
        yield api


def test_the_rows_equal_those_of_the_text_in_utf_8(api: EngineApi) -> None:
    for encoding, text in TEXTS.items():
        answer = api.upload(text.encode(encoding), encoding=encoding)
        assert answer["decoding"][0]["decoder"] == "text"
        assert answer["dialect"]["encoding"] == "utf-8"
        plain = api.run(text.encode())
        api.finished(answer["file_id"])
        assert api.rows(answer["file_id"]) == api.rows(plain["file_id"])
        assert api.proof(answer["file_id"])["hash"] == api.proof(plain["file_id"])["hash"]


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "mac_roman", "shift_jis"])
def test_a_reject_has_its_text_in_the_encoding_of_the_file(api: EngineApi, encoding: str) -> None:
    row = "2,東,京" if encoding == "shift_jis" else "2,Nuñez,München"
    data = f"a,b\n1,x\n{row}\n".encode(encoding)
    answer = api.upload(data, encoding=encoding)
    api.finished(answer["file_id"])
    (reject,) = api.rejects(answer["file_id"])
    assert base64.b64decode(reject["raw_base64"]) == row.encode(encoding)
    assert (reject["raw"], reject["text"]) == (None, row)


def test_a_row_with_undecodable_bytes_is_a_reject_with_its_bytes(api: EngineApi) -> None:
    data = (
        "番号,都市\n1,東京\n2,".encode("shift_jis") + b"\x81\xff\n" + "3,大阪\n".encode("shift_jis")
    )
    answer = api.upload(data, encoding="shift_jis")
    api.finished(answer["file_id"])
    assert [number for number, _ in api.rows(answer["file_id"])] == [1, 3]
    (reject,) = api.rejects(answer["file_id"])
    assert (reject["code"], reject["column"], reject["line"]) == ("invalid_encoding", "都市", 3)
    assert base64.b64decode(reject["raw_base64"]) == b"2,\x81\xff"
    assert "0x81, which is not valid shift_jis" in reject["message"]
    sent = api.client.post(
        f"/api/v1/files/{answer['file_id']}/corrections",
        json={"rows": [{"_row": 2, "values": {"都市": "京都"}}]},
    )
    assert sent.status_code == 202, sent.text
    api.finished(sent.json()["file_id"])
    assert dict(api.rows(answer["file_id"]))[2] == ["2", "京都"]


@pytest.mark.one_database
def test_a_form_may_name_the_encoding_before_its_file(api: EngineApi) -> None:
    data = TEXTS["cp949"].encode("cp949")
    part = b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + data
    said = b'Content-Disposition: form-data; name="encoding"\r\n\r\ncp949'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}

    def form(*parts: bytes) -> bytes:
        return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"

    before = api.client.post("/api/v1/upload", content=form(said, part), headers=headers)
    assert before.status_code == 201, before.text
    assert before.json()["columns"] == ["번호", "도시"]
    head, _, rest = part.partition(b"\r\n\r\n")
    typed = head + b"\r\nContent-Type: text/csv; charset=cp949\r\n\r\n" + rest
    by_type = api.client.post("/api/v1/upload", content=form(typed), headers=headers)
    assert by_type.json()["columns"] == ["번호", "도시"]
    # A field that is wrong elsewhere is refused with its own error.
    bad = b'Content-Disposition: form-data; name="chunk_size"\r\n\r\n1'
    refused = api.client.post("/api/v1/upload", content=form(said, bad, part), headers=headers)
    assert_problem(refused, 422, "invalid_parameter")
    long = form(part + data[-5:] * 100_000, said)  # the file is read before the field comes
    behind = api.client.post("/api/v1/upload", content=long, headers=headers)
    assert "before the file" in assert_problem(behind, 422, "unsupported_encoding")["detail"]


@pytest.mark.one_database
def test_json_may_be_in_any_encoding_too(api: EngineApi) -> None:
    data = '[{"都市": "東京"}]'.encode("euc_jp")
    answer = api.upload(data, name="a.json", type="application/json", encoding="euc_jp")
    api.finished(answer["file_id"])
    assert answer["format"] == "json"
    assert api.rows(answer["file_id"]) == [(1, ["東京"])]


def test_a_likely_encoding_is_used_and_reported(api: EngineApi) -> None:
    text = "id,name,ort\n" + "1,Müller,Köln\n" * 50
    answer = api.upload(text.encode("cp1252"))
    (step,) = answer["decoding"]
    assert (step["decoder"], step["encoding"]) == ("text", "cp1252")
    assert 0 < step["confidence"] < 1
    status = api.finished(answer["file_id"])
    assert status["counts"]["loaded"] == 50
    assert api.rows(answer["file_id"])[0] == (1, ["1", "Müller", "Köln"])
    # What is declared is not guessed.
    declared = api.upload(text.encode("cp1252"), encoding="latin-1")
    assert declared["decoding"] == []
    assert declared["dialect"]["encoding"] == "iso8859-1"


@pytest.mark.one_database
def test_bad_bytes_in_utf_8_cost_only_their_rows(api: EngineApi) -> None:
    text = "id,name\n" + "1,Müller\n" * 50
    answer = api.upload(text.encode() + b"2,M\xfcller\n" * 5)
    assert answer["decoding"] == []
    status = api.finished(answer["file_id"])
    assert (status["counts"]["loaded"], status["counts"]["rejected"]) == (50, 5)


@pytest.mark.one_database
def test_a_form_that_names_the_encoding_after_the_file_is_refused(api: EngineApi) -> None:
    rows = "1,Müller\n".encode("cp1252") * 60_000
    part = b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nid,n\n' + rows
    said = b'Content-Disposition: form-data; name="encoding"\r\n\r\nlatin-1'
    body = b"".join(b"--x\r\n" + each + b"\r\n" for each in (part, said)) + b"--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = api.client.post("/api/v1/upload", content=body, headers=headers)
    assert "before the file" in assert_problem(refused, 422, "unsupported_encoding")["detail"]


@pytest.mark.one_database
def test_an_upload_is_read_again_with_other_settings(api: EngineApi) -> None:
    def again(file_id: str, **settings: str) -> dict[str, Any]:
        answer = api.client.post("/api/v1/read-again", params={"file_id": file_id, **settings})
        assert answer.status_code == 201, answer.text
        api.finished(answer.json()["file_id"])
        return dict(answer.json())

    windows = api.upload("id;town\n1;Köln\n2;Zürich\n".encode("cp1252"), encoding="utf-8")
    api.finished(windows["file_id"])
    assert len(api.rejects(windows["file_id"])) == 2
    read = again(windows["file_id"], encoding="windows-1252", processor="rows")
    assert read["filename"] == windows["filename"]
    assert api.rows(read["file_id"]) == [(1, ["1", "Köln"]), (2, ["2", "Zürich"])]
    assert len(api.rejects(windows["file_id"])) == 2  # the earlier upload stays
    named = {"file_id": windows["file_id"], "encoding": "cp1252"}
    seen = api.client.post("/api/v1/preview", params=named).json()
    assert [row["data"] for row in seen["rows"]] == [["1", "Köln"], ["2", "Zürich"]]

    text = TEXTS["shift_jis"]
    wrong = api.upload(gzip.compress(text.encode("shift_jis")), encoding="cp949", name="a.csv.gz")
    api.finished(wrong["file_id"])
    read = again(wrong["file_id"], encoding="shift_jis", header_rows="0")
    assert read["filename"] == "a.csv"
    cells = [line.split(",") for line in text.splitlines()]
    assert [row for _, row in api.rows(read["file_id"])] == cells


@pytest.mark.one_database
def test_a_preview_offers_the_settings_of_the_last_upload(api: EngineApi) -> None:
    data = "id#stadt\n" + "".join(f"{n}#Köln {n}\n" for n in range(9))
    said = {"delimiter": "#", "encoding": "cp850"}
    loaded = api.run(data.encode("cp850"), name="orte-1.csv", **said)

    def offered(**said: str) -> Any:
        return api.client.post(
            "/api/v1/preview",
            content=data.encode("cp850"),
            params={"filename": "orte-2.csv", **said},
        ).json()["last_time"]

    assert offered()["job_id"] == loaded["job_id"]
    assert offered()["settings"]["delimiter"] == "#"
    assert offered(delimiter="#") is None  # nothing is offered to who says how it is read
