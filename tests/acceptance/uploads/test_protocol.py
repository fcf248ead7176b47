"""tus 1.0, rule by rule, and the outcome of the bytes."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from threading import Event, Thread

import httpx
import pytest

from tests.api.checks import RawConnection, assert_problem, count_files, key_of
from tests.forks import Server
from tests.harness import Api, query, wait_until
from tests.uploads.tus import BYTES, TUS, UPLOADS, create, metadata, offset_of, send

pytestmark = pytest.mark.one_database

DATA = b"id,name\n" + b"".join(b"%d,name %d\n" % (i, i) for i in range(1, 1001))


def partials(server: Server) -> list[str]:
    return [path.name for path in (server.storage / "partial").iterdir()]


def test_a_resumable_upload_creates_the_file_and_job_of_a_plain_one(
    server: Server, api: Api
) -> None:
    client = api.client
    url = create(
        client,
        len(DATA),
        filename="näme.csv",
        filetype="text/csv",
        priority="7",
        chunk_size="100",
        own="x",
    )
    assert offset_of(client, url) == 0
    answer = send(client, url, 0, DATA[:5000])
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "5000")
    assert parsedate_to_datetime(answer.headers["upload-expires"])
    assert offset_of(client, url) == 5000
    before = client.get(url).json()
    assert (before["state"], before["offset"], before["metadata"]["own"]) == (
        "uploading",
        5000,
        "x",
    )

    last = send(client, url, 5000, DATA[5000:])
    assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(DATA)))
    file_id = last.headers["granula-file-id"]
    status = api.finished(file_id)
    assert (status["filename"], status["priority"], status["total_chunks"]) == ("näme.csv", 7, 10)
    assert status["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert (status["job_id"], status["rows"]["ok"]) == (last.headers["granula-job-id"], 1000)
    assert api.proof(file_id)["closes"]

    # The response may have been lost: every repetition gets the same one.
    again = send(client, url, len(DATA), b"")
    assert (again.status_code, again.headers["granula-file-id"]) == (204, file_id)
    known = client.head(url, headers=TUS).headers
    assert (known["upload-offset"], known["granula-file-id"]) == (str(len(DATA)), file_id)
    after = client.get(url).json()
    assert (after["state"], after["file_id"], after["answer"]["sha256"]) == (
        "accepted",
        file_id,
        status["sha256"],
    )
    assert url.rpartition("/")[2] not in partials(server)
    assert client.delete(url, headers=TUS).status_code == 204
    assert api.status(file_id)["rows"]["ok"] == 1000


def test_options_are_answered_without_authentication(server: Server, api: Api) -> None:
    for url in (UPLOADS, f"{UPLOADS}/0b2dbd1c-3f3b-4f3b-8f3b-0b2dbd1c3f3b"):
        answer = api.client.options(url)
        assert answer.status_code == 204
        assert answer.headers["tus-version"] == "1.0.0"
        assert set(answer.headers["tus-checksum-algorithm"].split(",")) >= {"sha1", "sha256", "md5"}
        assert int(answer.headers["tus-max-size"]) == 500 << 20
        assert {"creation", "checksum", "expiration", "termination"} <= set(
            answer.headers["tus-extension"].split(",")
        )


def test_every_protocol_error_has_its_response_and_changes_nothing(
    server: Server, api: Api
) -> None:
    client = api.client
    url = create(client, len(DATA))
    assert send(client, url, 0, DATA[:100]).status_code == 204
    version = client.head(url, headers={"Tus-Resumable": "0.2.2"})
    assert (version.status_code, version.headers["tus-version"]) == (412, "1.0.0")
    assert_problem(
        client.patch(url, content=b"x", headers={"Upload-Offset": "100"}), 412, "tus_version"
    )
    assert_problem(client.post(UPLOADS, headers={"Upload-Length": "1"}), 412, "tus_version")
    assert_problem(send(client, url, 0, b"x"), 409, "offset_mismatch")
    assert_problem(send(client, url, 101, b"x"), 409, "offset_mismatch")
    assert_problem(send(client, url, 100, b"x" * len(DATA)), 413, "file_too_large")
    assert_problem(send(client, url, 100, iter([b"x" * 50_000] * 3)), 413, "file_too_large")
    for headers, status, code in (
        ({"Upload-Offset": "-1"}, 400, "bad_tus_request"),
        ({"Upload-Offset": "1_0"}, 400, "bad_tus_request"),
        ({}, 400, "bad_tus_request"),
        ({"Upload-Offset": "100", "Content-Type": "text/csv"}, 415, "unsupported_media_type"),
        ({"Upload-Offset": "100", "Upload-Checksum": "crc32 AAAA"}, 400, "bad_tus_request"),
        ({"Upload-Offset": "100", "Upload-Checksum": "sha1 AAAA"}, 400, "bad_tus_request"),
    ):
        assert_problem(client.patch(url, content=b"x", headers=BYTES | headers), status, code)
    for headers, status, code in (
        ({}, 400, "bad_tus_request"),
        ({"Upload-Length": "x"}, 400, "bad_tus_request"),
        ({"Upload-Length": str((500 << 20) + 1)}, 413, "file_too_large"),
        ({"Upload-Length": "1", "Upload-Metadata": "a !"}, 400, "bad_tus_request"),
        ({"Upload-Length": "1", "Upload-Concat": "final"}, 400, "bad_tus_request"),
        ({"Upload-Length": "1"} | metadata(processor="none"), 422, "unknown_processor"),
        ({"Upload-Length": "1"} | metadata(priority="11"), 422, "invalid_parameter"),
        ({"Upload-Length": "1"} | metadata(filetype="image/png"), 415, "unsupported_media_type"),
    ):
        assert_problem(client.post(UPLOADS, headers=TUS | headers), status, code)
    missing = f"{UPLOADS}/0b2dbd1c-3f3b-4f3b-8f3b-0b2dbd1c3f3b"
    assert client.head(missing, headers=TUS).status_code == 404
    assert_problem(send(client, missing, 0, b"x"), 404, "not_found")
    assert_problem(client.delete(f"{UPLOADS}/../../x", headers=TUS), 404, "not_found")
    assert offset_of(client, url) == 100
    by_post = client.post(
        url,
        content=b"x",
        headers=BYTES | {"Upload-Offset": "100", "X-HTTP-Method-Override": "PATCH"},
    )
    assert (by_post.status_code, by_post.headers["upload-offset"]) == (204, "101")
    assert client.delete(url, headers=TUS).status_code == 204
    assert client.head(url, headers=TUS).status_code == 404
    assert url.rpartition("/")[2] not in partials(server)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_bytes_with_a_checksum_are_stored_completely_or_not_at_all(
    server: Server, api: Api, algorithm: str
) -> None:
    client = api.client
    url = create(client, len(DATA))

    def checksum(data: bytes) -> str:
        return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"

    assert (
        send(client, url, 0, DATA[:4000], Upload_Checksum=checksum(DATA[:4000])).status_code == 204
    )
    wrong = send(client, url, 4000, DATA[4000:], Upload_Checksum=checksum(b"something else"))
    assert_problem(wrong, 460, "checksum_mismatch")
    assert offset_of(client, url) == 4000
    # An interrupted connection leaves no bytes that were not verified.
    with RawConnection(server) as raw:
        lines = [
            f"{k}: {v}"
            for k, v in (
                BYTES | {"Upload-Offset": "4000", "Upload-Checksum": checksum(DATA)}
            ).items()
        ]
        raw.send(
            "\r\n".join(
                [f"PATCH {url} HTTP/1.1", "Host: localhost", "Content-Length: 5000", *lines, "", ""]
            ).encode()
        )
        raw.send(DATA[4000:6000])
    assert wait_until(
        lambda: client.head(url, headers=TUS).headers["upload-offset"] == "4000",
        10,
        "the old offset",
    )

    def sent() -> httpx.Response | None:
        answer = send(client, url, 4000, DATA[4000:], Upload_Checksum=checksum(DATA[4000:]))
        return None if answer.status_code == 423 else answer

    last = wait_until(sent)
    assert last.status_code == 204, last.text
    assert (
        api.finished(last.headers["granula-file-id"])["sha256"] == hashlib.sha256(DATA).hexdigest()
    )


def test_a_second_sender_is_refused(server: Server, api: Api) -> None:
    client = api.client
    url = create(client, None, filename="a.csv")
    assert client.head(url, headers=TUS).headers["upload-defer-length"] == "1"
    go_on, answers = Event(), []

    def slow() -> Iterator[bytes]:
        yield DATA[:3000]
        go_on.wait(30)
        yield DATA[3000:6000]

    def first() -> None:
        with server.client() as other:
            answers.append(send(other, url, 0, slow(), Upload_Length=str(len(DATA))))

    thread = Thread(target=first)
    thread.start()
    wait_until(
        lambda: client.get(url).json()["length"] == len(DATA), 10, "the first sender's length"
    )
    assert_problem(send(client, url, 0, DATA), 423, "upload_locked")
    assert client.delete(url, headers=TUS).status_code == 423
    go_on.set()
    thread.join(30)
    assert answers[0].headers["upload-offset"] == "6000"


def test_asking_for_the_offset_interrupts_no_sender(server: Server, api: Api) -> None:
    url, over = create(api.client, 51), Event()

    def ask() -> None:
        with server.client() as other:
            while not over.is_set():
                other.head(url, headers=TUS)

    askers = [Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    codes = [
        send(api.client, url, offset, DATA[offset : offset + 1]).status_code for offset in range(50)
    ]
    over.set()
    for asker in askers:
        asker.join(30)
    assert codes == [204] * 50


def test_a_stalled_sender_yields_and_its_bytes_are_kept(server: Server, api: Api) -> None:
    data = b"id,name\n" + b"".join(b"%d,name %d\n" % (i, i) for i in range(1, 120_001))
    client = api.client
    url = create(client, len(data))
    with RawConnection(server) as raw:
        lines = [f"{k}: {v}" for k, v in (BYTES | {"Upload-Offset": "0"}).items()]
        raw.send(
            f"PATCH {url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n".encode()
        )
        raw.send("\r\n".join([*lines, "", ""]).encode(), data[:1_500_000])
        wait_until(lambda: client.get(url).json()["offset"] >= 1 << 20, 10, "the first block")
        assert_problem(send(client, url, 0, b""), 423, "upload_locked")
        wait_until(lambda: offset_of(client, url) == 1_500_000, 20, "the rest of what was sent")
        last = send(client, url, 1_500_000, data[1_500_000:])
        assert (
            api.finished(last.headers["granula-file-id"])["sha256"]
            == hashlib.sha256(data).hexdigest()
        )


def test_a_refused_file_repeats_its_reason(server: Server, api: Api) -> None:
    client, before = api.client, count_files(server)
    data = b"\x89PNG" + bytes(1000)
    url = create(client, len(data))
    answer = assert_problem(send(client, url, 0, data), 415, "content_mismatch")
    assert (
        assert_problem(send(client, url, len(data), b""), 415, "content_mismatch")["detail"]
        == answer["detail"]
    )
    assert client.head(url, headers=TUS).status_code == 415
    body = client.get(url).json()
    assert (body["state"], body["problem"]["code"], body["file_id"]) == (
        "refused",
        "content_mismatch",
        None,
    )
    assert count_files(server) == before
    assert url.rpartition("/")[2] not in partials(server)


def test_bytes_beyond_a_finished_upload_are_refused(server: Server, api: Api) -> None:
    client = api.client
    url = create(client, len(DATA))
    assert send(client, url, 0, DATA).status_code == 204
    for more in (b"x", iter([b"x"])):
        assert_problem(send(client, url, len(DATA), more), 413, "file_too_large")
    no_pieces: list[bytes] = []
    for nothing in (b"", iter(no_pieces)):
        assert send(client, url, len(DATA), nothing).status_code == 204
    assert offset_of(client, url) == len(DATA)


def test_creation_with_bytes_gzip_and_duplicates_work_as_in_plain_uploads(
    server: Server, api: Api
) -> None:
    packed = gzip.compress(DATA)
    headers = (
        BYTES
        | {"Upload-Length": str(len(packed))}
        | metadata(filename="a.csv.gz", on_duplicate="existing")
    )
    response = api.client.post(UPLOADS, content=packed, headers=headers, params={"chunk_size": 500})
    assert (response.status_code, response.headers["upload-offset"]) == (201, str(len(packed)))
    status = api.finished(response.headers["granula-file-id"])
    assert (status["rows"]["ok"], status["total_chunks"]) == (1000, 2)
    again = api.client.post(UPLOADS, content=packed, headers=headers, params={"chunk_size": 500})
    assert again.headers["granula-file-id"] == response.headers["granula-file-id"]


def test_parts_are_concatenated(server: Server, api: Api) -> None:
    client, urls = api.client, []
    for piece in (DATA[:4000], DATA[4000:]):
        headers = BYTES | {"Upload-Length": str(len(piece)), "Upload-Concat": "partial"}
        response = client.post(UPLOADS, content=piece, headers=headers)
        assert "granula-file-id" not in response.headers
        assert (
            client.head(response.headers["location"], headers=TUS).headers["upload-concat"]
            == "partial"
        )
        urls.append(response.headers["location"])
    base = str(client.base_url).rstrip("/")
    final = (
        TUS | {"Upload-Concat": f"final;{urls[0]} {base}{urls[1]}"} | metadata(filename="whole.csv")
    )
    incomplete = create(client, 5)
    assert_problem(
        client.post(UPLOADS, headers=TUS | {"Upload-Concat": f"final;{incomplete}"}),
        400,
        "bad_tus_request",
    )
    response = client.post(UPLOADS, headers=final)
    assert response.status_code == 201, response.text
    assert (
        api.finished(response.headers["granula-file-id"])["sha256"]
        == hashlib.sha256(DATA).hexdigest()
    )
    known = client.head(response.headers["location"], headers=TUS).headers
    assert (known["upload-concat"], known["upload-length"]) == (
        f"final;{urls[0]} {urls[1]}",
        str(len(DATA)),
    )
    assert_problem(send(client, response.headers["location"], 0, b""), 409, "offset_mismatch")


def test_an_idle_upload_expires(server: Server, api: Api) -> None:
    url = create(api.client, len(DATA))
    assert send(api.client, url, 0, DATA[:10]).status_code == 204
    upload_id = url.rpartition("/")[2]
    past = "'2020-01-01 00:00:00'"
    query(
        server.url, f"UPDATE uploads SET expires_at = {past} WHERE id = {key_of(server, upload_id)}"
    )
    answer = send(api.client, url, 10, DATA[10:])
    assert answer.status_code in (404, 410)
    wait_until(lambda: upload_id not in partials(server), 30, "removal of the bytes")
    assert api.client.head(url, headers=TUS).status_code in (404, 410)
