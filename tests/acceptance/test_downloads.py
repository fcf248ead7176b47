"""Downloads are complete or known not to be: one that cannot continue is aborted, and one of an
unfinished job is refused, or marked.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.gate import GatedFile
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, query, wait_until

ROWS = 40_000
FORMATS = (
    "format=csv",
    "format=jsonl",
    "format=parquet",
    "format=arrow",
    "format=xlsx",
    "format=csv&gzip=true",
    "format=jsonl&gzip=true",
)


@pytest.fixture(scope="module")
def server(
    databases: Databases, gates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    storage = tmp_path_factory.mktemp("service") / "storage"
    made = {"PROCESSORS": "tests.api.gate:Gate", "TEST_GATES": gates}
    running = Server(databases.create(storage), storage, **made).start()
    yield running
    assert running.stop() in (0, -15), running.tail()


def table(rows: int = ROWS) -> bytes:
    """Wide rows: more than all buffers between the two hold, and incompressible."""
    noise = random.Random(5)
    return b"id,noise\n" + b"".join(
        b"%d,%s\n" % (i, noise.randbytes(200).hex().encode()) for i in range(rows)
    )


class Reader:
    """A client that reads the body of a response on demand."""

    def __init__(self, server: Server, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        self._file = self._socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(
            line.decode().strip().lower().split(": ", 1)
            for line in iter(self._file.readline, b"\r\n")
        )

    def rest(self) -> tuple[bytes, bool]:
        """Return (body, whether it ended as HTTP requires)."""
        with self._socket, self._file:
            if "content-length" in self.headers:
                body = self._file.read()
                return body, len(body) == int(self.headers["content-length"])
            pieces = []
            while line := self._file.readline():
                size = int(line, 16)
                pieces.append(self._file.read(size))
                if self._file.read(2) == b"\r\n" and not size:
                    return b"".join(pieces), True
            return b"".join(pieces), False


def rows_left(server: Server) -> int:
    pages, rejects = (
        query(server.url, f"SELECT count(*) FROM {name}")[0][0]
        for name in ("result_pages", "rejects")
    )
    return int(pages) + int(rejects)


@pytest.mark.parametrize("wanted", FORMATS)
def test_deleting_results_aborts_their_download(api: Api, server: Server, wanted: str) -> None:
    file_id = api.run(table())["file_id"]
    reader = Reader(server, f"/api/v1/results/{file_id}/download?{wanted}")
    assert (reader.status, reader.headers["granula-complete"]) == (200, "true")
    assert api.client.delete(f"/api/v1/files/{file_id}").status_code == 204
    wait_until(lambda: rows_left(server) == 0, what="no row left")
    body, is_whole = reader.rest()
    assert not is_whole
    if wanted == "format=parquet":
        assert not body.endswith(b"PAR1")
    if wanted == "format=xlsx":
        assert not zipfile.is_zipfile(io.BytesIO(body))
    if "gzip" in wanted:
        with pytest.raises(EOFError):
            gzip.decompress(body)


def test_deleting_rejects_aborts_their_download(api: Api, server: Server) -> None:
    file_id = api.run(table().replace(b"\n", b",surplus\n").replace(b"noise,surplus", b"noise"))[
        "file_id"
    ]
    reader = Reader(server, f"/api/v1/rejects/{file_id}/download")
    assert (reader.status, reader.headers["granula-complete"]) == (200, "true")
    assert api.client.delete(f"/api/v1/files/{file_id}").status_code == 204
    wait_until(lambda: rows_left(server) == 0, what="no row left")
    _, is_whole = reader.rest()
    assert not is_whole


def test_rows_missing_from_the_tables_abort_the_download(api: Api, server: Server) -> None:
    """Outside any request."""
    file_id = api.run(table(3_000) + b"3001,x,surplus\n" * 2_000)["file_id"]
    query(server.url, "DELETE FROM result_pages WHERE first_row > 1400", "SELECT 1")
    query(server.url, "DELETE FROM rejects WHERE row_number > 4000", "SELECT 1")
    for path in (
        "results/{}/download",
        "rejects/{}/download",
        "results/{}/download?format=parquet",
    ):
        reader = Reader(server, f"/api/v1/{path.format(file_id)}")
        _, is_whole = reader.rest()
        assert reader.status == 500 or not is_whole, path
    assert api.client.delete(f"/api/v1/files/{file_id}").status_code == 204


def test_an_open_stored_file_is_read_to_its_end_after_a_delete(api: Api, server: Server) -> None:
    data = table()
    file_id = api.run(data)["file_id"]
    reader = Reader(server, f"/api/v1/files/{file_id}/download")
    api.client.delete(f"/api/v1/files/{file_id}")
    wait_until(lambda: rows_left(server) == 0, what="no row left")
    assert reader.rest() == (data, True)


def running(api: Api, file: GatedFile) -> str:
    """A job with one completed chunk."""
    file_id = str(api.upload(file.data, chunk_size=100, processor="gate")["file_id"])
    file.open(1)
    wait_until(lambda: api.status(file_id)["rows"]["ok"] == 100, what="one chunk done")
    return file_id


def test_the_download_of_an_unfinished_job_is_refused_or_marked(api: Api, gates: Path) -> None:
    with GatedFile(gates, 3) as file:
        file_id = running(api, file)
        for what in ("results", "rejects"):
            path = f"/api/v1/{what}/{file_id}/download"
            refused = api.client.get(path)
            assert (refused.status_code, refused.json()["code"]) == (409, "download_incomplete")
            assert "partial=true" in refused.json()["remedy"]
            assert int(refused.headers["retry-after"]) > 0
            assert api.client.get(path, params={"partial": "false"}).status_code == 409
            response = api.client.get(path, params={"partial": "true"})
            assert response.status_code == 200
            assert response.headers["granula-complete"] == "false"
            assert response.headers["granula-missing-rows"] == "200"
            assert f'filename="data.{what}.partial.csv"' in response.headers["content-disposition"]
        lines = api.client.get(f"/api/v1/results/{file_id}/download?partial=true").text.splitlines()
        assert [int(line.rpartition(",")[2]) for line in lines[1:]] == list(range(100))
        assert api.client.get(f"/api/v1/results/{file_id}").json()["complete"] is False
    api.finished(file_id)
    for params in ({}, {"partial": "true"}):
        done = api.client.get(f"/api/v1/results/{file_id}/download", params=params)
        assert (done.status_code, done.headers["granula-complete"]) == (200, "true")
        assert "granula-missing-rows" not in done.headers
        assert 'filename="data.results.csv"' in done.headers["content-disposition"]
        assert len(done.text.splitlines()) == 301


def test_the_download_of_a_job_that_ended_early_says_what_is_missing(api: Api, gates: Path) -> None:
    with GatedFile(gates, 3) as file:
        file_id = running(api, file)
        job_id = api.status(file_id)["job_id"]
        assert api.client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
    for what in ("results", "rejects"):
        response = api.client.get(f"/api/v1/{what}/{file_id}/download")
        assert (response.status_code, response.headers["granula-complete"]) == (200, "false")
        assert response.headers["granula-missing-rows"] == "200"
        assert f'filename="data.{what}.partial.csv"' in response.headers["content-disposition"]


def test_a_correction_during_a_download_of_rejects_loses_nothing(api: Api, server: Server) -> None:
    """Corrected rows are results now, and the file of rejects is complete without them."""
    noise = b"x" * 400
    lines = [b"%d,%s,surplus\n" % (i, noise) for i in range(20_000)]
    file_id = api.run(b"id,noise\n" + b"".join(lines))["file_id"]
    reader = Reader(server, f"/api/v1/rejects/{file_id}/download")
    patches: list[dict[str, Any]] = [
        {"_row": row, "values": {"noise": "mended"}} for row in range(19_500, 20_001)
    ]
    response = api.client.post(f"/api/v1/files/{file_id}/corrections", json={"rows": patches})
    assert response.status_code == 202, response.text
    assert api.finished(response.json()["job_id"])["status"] == "completed"
    body, is_whole = reader.rest()
    assert is_whole
    assert 19_400 < len(body.splitlines()) - 1 <= 20_000


def test_a_results_page_of_a_batch_has_all_its_results_whatever_their_size(api: Api) -> None:
    texts = [f"{i} fine " + "-" * 700_000 for i in range(30)]  # 21 MB: more than is read at once
    source = io.BytesIO(
        b"id,text\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts)).encode()
    )
    body = api.client.post(
        "/batch/upload", files={"file": ("texts.csv", source, "text/csv")}
    ).json()
    api.finished(body["file_id"])
    answer = api.client.get(f"/batch/{body['batch_id']}/results", params={"per_page": 25})
    assert answer.headers["content-type"] == "application/json"
    page = json.loads(answer.text)
    assert list(page) == ["batch_id", "page", "per_page", "total_results", "total_pages", "results"]
    assert (page["total_results"], page["total_pages"]) == (30, 2)
    assert [result["text"] for result in page["results"]] == texts[:25]
    second = api.client.get(
        f"/batch/{body['batch_id']}/results", params={"per_page": 25, "page": 2}
    ).json()
    assert [result["text"] for result in second["results"]] == texts[25:]
    assert (
        api.client.get(f"/batch/{body['batch_id']}/results", params={"page": 9}).json()["results"]
        == []
    )
