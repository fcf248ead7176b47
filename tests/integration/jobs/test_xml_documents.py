"""XML documents as uploads: elements are rows, and what cannot be read is refused with a sentence."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from app.decoders.places import XmlPlaces
from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

ORDERS = b"<orders>" + b"".join(
    b'<order id="%d"><who><name>n%d</name></who></order>\n' % (n, n) for n in range(1, 301)
) + b"</orders>"  # fmt: skip


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start()
    with engine.api() as api:
        yield api


@pytest.mark.one_database
def test_elements_are_rows(api: EngineApi) -> None:
    answer = api.upload(ORDERS, name="o.xml", type="application/xml", flatten=1, chunk_size=100)
    assert answer["decoding"] == [{"decoder": "xml", "records": "/orders/order"}]
    assert (answer["format"], answer["filename"]) == ("jsonl", "o.xml")
    status = api.finished(answer["file_id"])
    assert status["counts"] == {"loaded": 300, "rejected": 0, "failed": 0, "not_processed": 0}
    assert status["columns"] == ["@id", "who.name"]
    assert dict(api.rows(answer["file_id"]))[300] == ["300", "n300"]
    assert api.proof(answer["file_id"])["closes"]
    names = api.client.post(
        "/api/v1/upload?records=/orders/order/who", content=gzip.compress(ORDERS)
    )
    assert [step["decoder"] for step in names.json()["decoding"]] == ["gzip", "xml"]
    shown = api.client.post("/api/v1/preview", content=ORDERS).json()
    assert shown["rows"][0]["data"] == {"@id": "1", "who": {"name": "n1"}}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("data", "params", "status", "code"),
    [
        (b"<a><b>1</b>", {"format": "xml"}, 422, "corrupt_xml"),
        (b"<a><b/></a>", {"records": "/a/c"}, 422, "records_not_found"),
        (b"<a><b/></a>", {"records": "."}, 422, "invalid_parameter"),
        (b"<a><b/></a>", {"record_key": "k"}, 422, "invalid_parameter"),
        (b"<a><b></b></a>", {"records": "/a/b", "format": "csv"}, 422, "invalid_parameter"),
        (b"<!DOCTYPE a []><a><b/></a>", {}, 415, "content_mismatch"),
        (b"<!doctype html><p>Sign in", {}, 415, "content_mismatch"),
        (b"<html></html>", {"filename": "data.json"}, 415, "content_mismatch"),
        (b"<a>" * 1000, {"format": "xml"}, 413, "xml_too_large"),
        (b"<orders/>", {"records": "/orders/order"}, 422, "empty_file"),
    ],
)
def test_an_unreadable_document_is_refused(
    api: EngineApi, data: bytes, params: dict[str, str], status: int, code: str
) -> None:
    answer = api.client.post("/api/v1/upload", params=params, content=data)
    assert_problem(answer, status, code)


def test_the_place_of_a_row_selects_its_element() -> None:
    assert XmlPlaces("/orders/order").at(17, 3, 17) == "(/orders/order)[17]"
