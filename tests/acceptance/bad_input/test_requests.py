"""A bad request gets a stable code, never a 500, and nothing of a refused one is kept. A repeated
request is recognised, the same on both databases.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.api.checks import (
    RawConnection,
    assert_problem,
    count_files,
    head,
    parts,
    wait_until_nothing_is_left,
)
from tests.api.forms import (
    CSV,
    END,
    GZIP,
    GZIPPED,
    MARK,
    Refused,
    digest,
    option,
    part,
    raw,
    send,
)
from tests.forks import Server
from tests.harness import Api, wait_until

UUID_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# ---------------------------------------------------------------------- refusals

REFUSED = [
    # the form
    Refused("no boundary", 400, "malformed_multipart", part() + END, "multipart/form-data"),
    Refused("empty boundary", 400, "malformed_multipart", part() + END, "multipart/form-data; boundary="),
    Refused(
        "boundary of 257 bytes", 400, "malformed_multipart", part() + END, f"multipart/form-data; boundary={'b' * 257}"
    ),
    Refused(
        "another boundary than announced",
        400,
        "malformed_multipart",
        part() + END,
        f"multipart/form-data; boundary={MARK}",
    ),
    Refused("text before the first boundary", 400, "malformed_multipart", b"hello\r\n" + part() + END),
    Refused("64 KiB behind the last boundary", 400, "malformed_multipart", part() + END + b"x" * (1 << 20)),
    Refused("no closing boundary", 400, "truncated_multipart", part()),
    Refused("half a closing boundary", 400, "truncated_multipart", part() + b"--b"),
    Refused("no bytes where a form is announced", 400, "truncated_multipart", b""),
    Refused("a part without a name", 400, "malformed_multipart", part().replace(b'name="file"; ', b"") + END),
    Refused("an empty form", 422, "missing_file_part", END),
    Refused("no part named file", 422, "missing_file_part", option("priority", "5") + END),
    Refused("a file of another name only", 422, "missing_file_part", part(name="data") + END),
    Refused("two files", 422, "too_many_files", part() + part() + END),
    Refused("a second file of another name", 422, "too_many_files", part() + part(name="other") + END),
    Refused("1,100 fields", 400, "multipart_limits", b"".join(option(f"f{n}", "1") for n in range(1100)) + END),
    Refused("a field of 9 kB", 400, "multipart_limits", option("processor", "x" * 9000) + part() + END),
    Refused("a part header of 9 kB", 400, "multipart_limits", part(headers=f"X-A: {'x' * 9000}\r\n") + END),
    Refused("a part header of 1 MB", 400, "multipart_limits", part(headers=f"X-A: {'x' * 1_000_000}\r\n") + END),
    Refused(
        "10,000 part headers",
        400,
        "multipart_limits",
        part(headers="".join(f"X-{n}: 1\r\n" for n in range(10_000))) + END,
    ),
    Refused("10,000 equal part headers", 400, "multipart_limits", part(headers="X-A: 1\r\n" * 10_000) + END),
    Refused("1,100 equal fields", 422, "invalid_parameter", option("priority", "1") * 1100 + part() + END),
    Refused(
        "base64",
        415,
        "unsupported_transfer_encoding",
        part(base64.b64encode(CSV), headers="Content-Transfer-Encoding: base64\r\n") + END,
    ),
    Refused(
        "an unknown transfer encoding",
        415,
        "unsupported_transfer_encoding",
        part(headers=f"Content-Transfer-Encoding: {MARK}\r\n") + END,
    ),
    Refused(
        "HTML as the type of the part",
        415,
        "unsupported_media_type",
        part(headers=f"Content-Type: text/{MARK}\r\n") + END,
    ),
    Refused("an unknown field", 422, "invalid_parameter", option("colour", MARK) + part() + END),
    Refused("a form that is compressed as a whole", 400, "malformed_multipart", gzip.compress(part() + END),
            headers={"Content-Encoding": "gzip"}),
    Refused("an empty file in a form", 422, "empty_file", part(b"") + END),
    # types and encodings
    raw("text/html", 415, "unsupported_media_type", CSV, "text/html"),
    raw("multipart/mixed", 415, "unsupported_media_type", part() + END, "multipart/mixed; boundary=b"),
    raw("brotli", 415, "unsupported_transfer_encoding", CSV, Content_Encoding=f"br-{MARK}"),
    raw("an unknown charset", 422, "unsupported_encoding", CSV, "text/csv; charset=klingon"),
    raw("no bytes", 422, "empty_file", b""),
    # gzip
    raw("gzip announced, text sent", 422, "corrupt_gzip", CSV, Content_Encoding="gzip"),
    raw("gzip cut short", 422, "corrupt_gzip", GZIPPED[:-5], GZIP),
    raw("gzip cut in its header", 422, "corrupt_gzip", GZIPPED[:3], GZIP),
    raw("gzip with a wrong checksum", 422, "corrupt_gzip", GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:], GZIP),
    raw("gzip with garbage behind it", 422, "corrupt_gzip", GZIPPED + b"garbage", GZIP),
    raw("gzip of nothing", 422, "empty_file", gzip.compress(b""), GZIP),
    raw("gzip in gzip", 415, "content_mismatch", gzip.compress(GZIPPED), Content_Encoding="gzip"),
    raw("a gzip bomb of NULs", 413, "decompressed_too_large", gzip.compress(b"\0" * 20_000_000), GZIP),
    raw("a gzip bomb of rows", 413, "decompressed_too_large", gzip.compress(b"a,b\n" * 5_000_000, 9)),
    Refused(
        "a gzip bomb in a form", 413, "decompressed_too_large", part(gzip.compress(b"a,b\n" * 5_000_000, 9)) + END
    ),
    # other files under the name of a CSV
    *(
        Refused(f"{what} named .csv", 415, code, part(magic + bytes(range(256)) * 4) + END)
        for what, code, magic in (
            ("PDF", "content_mismatch", b"%PDF-1.7\n"),
            ("ELF", "content_mismatch", b"\x7fELF\x02\x01\x01\0"),
            ("old Excel", "content_mismatch", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            ("NULs", "binary_content", b"a\0\0b,\0\0\0" * 1000),
        )
    ),
    raw("a zip archive that is none", 422, "corrupt_archive", b"PK\x03\x04\x14\0" + bytes(range(256)) * 4),
    raw("a Parquet file that is none", 422, "corrupt_data_file", b"PAR1\x15\x04" + bytes(range(256)) * 4),
    raw("a workbook that is none", 422, "corrupt_workbook",
        b"PK\x03\x04\x14\0\x06\0[Content_Types].xml" + bytes(range(256)) * 4),
    raw("zip in gzip", 422, "corrupt_archive", gzip.compress(b"PK\x03\x04" + bytes(range(256))), GZIP),
    # digest
    raw("another digest", 422, "digest_mismatch", CSV, Repr_Digest=f"sha-256=:{digest(b'')}:"),
    raw("digest without colons", 400, "bad_digest", CSV, Repr_Digest=f"sha-256={digest(CSV)}"),
    raw("digest with one colon", 400, "bad_digest", CSV, Repr_Digest=f"sha-256=:{digest(CSV)}"),
    raw("digest that is no base64", 400, "bad_digest", CSV, Repr_Digest=f"sha-256=:{MARK}!:"),
    raw("digest that is no ASCII", 400, "bad_digest", CSV, Repr_Digest="sha-256=:é:"),
    raw("digest of 3 bytes", 400, "bad_digest", CSV, Repr_Digest="sha-256=:AAAA:"),
    raw("an empty digest", 400, "bad_digest", CSV, Repr_Digest=""),
    raw("nonsense as a digest", 400, "bad_digest", CSV, Repr_Digest=MARK),
    # idempotency key
    raw("an empty key", 400, "bad_idempotency_key", CSV, Idempotency_Key=""),
    raw("a key of 256 characters", 400, "bad_idempotency_key", CSV, Idempotency_Key=MARK + "k" * 249),
    raw("a key with an umlaut", 400, "bad_idempotency_key", CSV, Idempotency_Key=f"{MARK}ä"),
    # other parameters
    *(
        Refused(f"?{query}", 422, "invalid_parameter", part() + END, query=query)
        for query in (
            "chunk_size=0", "chunk_size=99", "chunk_size=100001", "chunk_size=1000000000", "on_duplicate=" + MARK,
            "colour=" + MARK, "format=xlsx", "newline=" + MARK, "delimiter=", "quote=ab", "header_rows=11",
            "escape=,", "skip_rows=-1", "skip_rows=9", "on_bad_row=" + MARK, "filename=" + "x" * 256, "priority=1&priority=2",
            "chunk_size=100&chunk_size=200",
        )
    ),
    Refused("?processor=none", 422, "unknown_processor", part() + END, query="processor=none"),
    Refused("?encoding=klingon", 422, "unsupported_encoding", part() + END, query="encoding=klingon"),
]  # fmt: skip


@pytest.mark.one_database
@pytest.mark.parametrize("request_", REFUSED, ids=str)
def test_a_bad_request_is_refused_with_its_code_and_stores_nothing(
    api: Api, server: Server, request_: Refused
) -> None:
    before = count_files(server)
    answer = send(api, request_)
    body = assert_problem(answer, request_.status, request_.code)
    assert body["instance"] == "/api/v1/upload"
    # the response may name the parameter, not its value
    assert MARK not in answer.text.replace(f"/{MARK}", "")
    wait_until_nothing_is_left(server, before)


PRIORITIES = [
    "-1",
    "11",
    "5.5",
    "high",
    "true",
    "NaN",
    "1e400",
    "\ud800",
    "٥",
    "1_0",
    "",
    "+5",
    " 5",
    "9" * 20,
]


@pytest.mark.one_database
@pytest.mark.parametrize("value", PRIORITIES, ids=ascii)
@pytest.mark.parametrize("place", ["query", "form"])
def test_a_priority_that_is_not_an_integer_from_0_to_10_is_refused(
    api: Api, place: str, value: str
) -> None:
    sent = value.encode("utf-8", "surrogatepass")
    query = f"priority={quote(sent)}" if place == "query" else ""
    form = option("priority", sent) if place == "form" else b""
    answer = send(api, Refused("", 422, "", form + part() + END, query=query))
    (error,) = assert_problem(answer, 422, "invalid_parameter")["errors"]
    assert error["pointer"] == f"{place}/priority"
    if len(value) > 3:
        assert value not in answer.text


@pytest.mark.one_database
@pytest.mark.parametrize(
    "body",
    [
        option("priority", "1") * 2 + part(),
        option("priority", "1") + part() + option("priority", "1"),
    ],
)
def test_a_repeated_priority_in_a_form_is_refused_at_every_position(api: Api, body: bytes) -> None:
    (error,) = assert_problem(
        send(api, Refused("", 422, "", body + END)), 422, "invalid_parameter"
    )["errors"]
    assert error == {"code": "repeated", "pointer": "form/priority", "detail": "Give it once."}


@pytest.mark.parametrize(
    "body", [option("priority", "7") + part(), part() + option("priority", "7")]
)
def test_a_priority_in_a_form_works_before_and_after_the_file_and_the_query_overrides_it(
    api: Api, body: bytes
) -> None:
    assert send(api, Refused("", 201, "", body + END)).json()["priority"] == 7
    assert send(api, Refused("", 201, "", body + END, query="priority=3")).json()["priority"] == 3


def test_column_names_are_split_at_commas_in_query_and_form(api: Api) -> None:
    data = b"1,2\n3,4\n"
    by_query = send(api, Refused("", 201, "", part(data) + END, query="header_rows=0&columns=x,y"))
    by_form = send(
        api,
        Refused(
            "", 201, "", part(data) + option("header_rows", "0") + option("columns", "x,y") + END
        ),
    )
    assert by_query.json()["columns"] == by_form.json()["columns"] == ["x", "y"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("what", "request_"),
    [
        ("a digest that fits", raw("", 201, "", CSV, Repr_Digest=f"sha-256=:{digest(CSV)}:")),
        (
            "a digest among others",
            raw("", 201, "", CSV, Repr_Digest=f"sha-512=:AAAA:, sha-256=:{digest(CSV)}:"),
        ),
        ("a digest of an unknown algorithm", raw("", 201, "", CSV, Repr_Digest="crc32c=:AAAA:")),
        ("gzip as Content-Encoding", raw("", 201, "", GZIPPED, Content_Encoding="gzip")),
        ("gzip padded with zeros", raw("", 201, "", GZIPPED + b"\0" * 1000)),
        ("x-gzip", raw("", 201, "", GZIPPED, Content_Encoding="x-gzip")),
        ("gzip as media type", raw("", 201, "", GZIPPED, "application/gzip")),
        ("gzip in a form", Refused("", 201, "", part(GZIPPED) + END)),
        (
            "gzip of two members",
            raw("", 201, "", gzip.compress(CSV[:5]) + gzip.compress(CSV[5:]), "application/gzip"),
        ),
        ("no type at all", raw("", 201, "", CSV, "")),
        ("application/octet-stream", raw("", 201, "", CSV, "application/octet-stream")),
        ("an epilogue", Refused("", 201, "", part() + END + b"goodbye")),
        (
            "a quoted boundary",
            Refused("", 201, "", part() + END, 'multipart/form-data; boundary="b"'),
        ),
        ("a key of 255 characters", raw("", 201, "", CSV, Idempotency_Key="k" * 255)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusual_but_valid_requests_are_accepted(api: Api, what: str, request_: Refused) -> None:
    if "Idempotency-Key" in request_.headers:
        request_.headers["Idempotency-Key"] = uuid4().hex + "k" * 223
    answer = send(api, request_)
    assert answer.status_code == 201, answer.text
    file_id = answer.json()["file_id"]
    assert api.finished(file_id)["status"] == "completed"
    assert api.rows(file_id) == [(1, ["1", "2"])]
    sent = request_.body
    if CSV in sent:
        sent = CSV
    elif what == "gzip in a form":
        sent = GZIPPED
    assert answer.json()["sha256"] == hashlib.sha256(sent).hexdigest()


NAMES = [
    (b"../../etc/passwd", "../../etc/passwd"),
    (b"/etc/cron.d/x", "/etc/cron.d/x"),
    (b"C:\\x.csv", "x.csv"),
    (b"a\0.csv", "a_.csv"),
    (b"a\x1b[2J\t.csv", "a_[2J_.csv"),
    (b"CON", "CON"),
    (b"-rf", "-rf"),
    (b".htaccess", ".htaccess"),
    (b"a%0d%0aSet-Cookie: x.csv", "a%0d%0aSet-Cookie: x.csv"),
    ("a\u202evsc.exe".encode(), "a_vsc.exe"),
    ("\u2028日本.csv".encode(), "_日本.csv"),
    (b"\xff\xfe.csv", "\ufffd\ufffd.csv"),
    (b"x" * 3000, "x" * 255),
    (b"", "upload"),
    (b"   ", "upload"),
    (b'a\\"b.csv', 'a"b.csv'),
    (b"file.csv.exe", "file.csv.exe"),
]


@pytest.mark.parametrize(("sent", "shown"), NAMES, ids=lambda value: ascii(value[:20]))
def test_a_file_name_never_becomes_a_path(
    api: Api, server: Server, sent: bytes, shown: str
) -> None:
    def tree() -> set[Path]:
        found = {p for p in server.storage.parent.rglob("*") if not p.name.startswith("granula.db")}
        return {
            p for p in found if not (p.parent.name == "uploads" and UUID_NAME.fullmatch(p.name))
        }

    before = tree()
    body = part(filename="NAME").replace(b"NAME", sent) + END
    answer = send(api, Refused("", 201, "", body))
    assert answer.status_code == 201, answer.text
    file_id = answer.json()["file_id"]
    listed = api.client.get("/api/v1/jobs", params={"limit": 1}).json()["items"][0]
    assert (listed["file_id"], listed["filename"]) == (file_id, shown)
    assert (server.storage / "uploads" / file_id).read_bytes() == CSV
    assert tree() == before
    api.finished(file_id)  # a running job has no file
    disposition = api.client.get(f"/api/v1/results/{file_id}/download").headers[
        "content-disposition"
    ]
    assert re.fullmatch(
        r"attachment; filename=\"[A-Za-z0-9._ -]*\"; filename\*=UTF-8''[A-Za-z0-9._~%-]*",
        disposition,
    )


def test_an_extended_file_name_parameter_in_a_form_is_ignored(api: Api) -> None:
    body = part().replace(b'filename="x.csv"', b"filename*=UTF-8''%2e%2e%2fx") + END
    assert send(api, Refused("", 201, "", body)).json()["filename"] == "upload"


# ---------------------------------------------------------------------- repeated requests


def test_an_idempotency_key_repeats_the_first_response_and_refuses_another_body(
    api: Api, server: Server
) -> None:
    headers = {"Idempotency-Key": uuid4().hex, "Content-Type": "text/csv"}
    first = api.client.post("/api/v1/upload", content=CSV, headers=headers)
    assert first.status_code == 201
    assert "Idempotency-Replayed" not in first.headers
    before = count_files(server)
    again = api.client.post("/api/v1/upload", content=CSV, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    for other in ({"content": CSV + b"3,4\n"}, {"content": CSV, "params": {"priority": 5}}):
        answer = api.client.post("/api/v1/upload", headers=headers, **other)
        assert_problem(answer, 422, "idempotency_key_reused")
    wait_until_nothing_is_left(server, before)


def test_an_idempotency_key_in_use_is_refused_before_the_body_is_sent(
    api: Api, server: Server
) -> None:
    key = f"Idempotency-Key: {uuid4().hex}"
    length = f"Content-Length: {len(CSV)}"
    with RawConnection(server) as first, RawConnection(server) as second:
        first.send(head("Content-Type: text/csv", length, key), CSV[:3])
        wait_until(lambda: parts(server), 10, "part file")
        answer = second.send(head("Content-Type: text/csv", length, key)).answer()
        assert_problem(answer, 409, "idempotency_in_flight")
        assert answer.headers["Retry-After"] == "1"
        assert first.send(CSV[3:]).answer().status_code == 201


def at_once(count: int, call: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def test_20_concurrent_requests_with_one_key_create_one_file(api: Api, server: Server) -> None:
    before = count_files(server)
    headers = {"Idempotency-Key": uuid4().hex, "Content-Type": "text/csv"}
    answers = at_once(20, lambda _: api.client.post("/api/v1/upload", content=CSV, headers=headers))
    accepted = [a for a in answers if a.status_code == 201]
    for answer in answers:
        if answer not in accepted:
            assert_problem(answer, 409, "idempotency_in_flight")
    assert len({a.json()["file_id"] for a in accepted}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in accepted) == 1
    wait_until_nothing_is_left(server, before + 1)


def test_30_concurrent_equal_uploads_create_one_file_with_on_duplicate_existing(
    api: Api, server: Server
) -> None:
    before = count_files(server)
    data = f"id\n{uuid4()}\n".encode()
    answers = at_once(
        30, lambda _: api.client.post("/api/v1/upload?on_duplicate=existing", content=data)
    )
    assert sorted(a.status_code for a in answers) == [200] * 29 + [201]
    assert len({a.json()["file_id"] for a in answers}) == 1
    assert all(a.json()["duplicate"] == (a.status_code == 200) for a in answers)
    wait_until_nothing_is_left(server, before + 1)
    stored = {p.name for p in (server.storage / "uploads").iterdir()}
    assert len(stored) == before + 1


def test_equal_bytes_are_reported_refused_or_loaded_again_by_on_duplicate(
    api: Api, server: Server
) -> None:
    data = f"id\n{uuid4()}\n".encode()
    first = api.upload(data, on_duplicate="existing")
    before = count_files(server)
    existing = api.client.post("/api/v1/upload?on_duplicate=existing", content=data)
    assert (existing.status_code, existing.json()["file_id"]) == (200, first["file_id"])
    assert existing.json()["duplicate"] is True
    refused = api.client.post("/api/v1/upload?on_duplicate=reject", content=data)
    assert assert_problem(refused, 409, "duplicate_upload")["existing_id"] == first["file_id"]
    wait_until_nothing_is_left(server, before)
    for params in ({"on_duplicate": "new"}, {}):
        anew = api.client.post("/api/v1/upload", content=data, params=params)
        assert anew.status_code == 201
        assert anew.json()["file_id"] != first["file_id"]
        assert anew.json()["duplicate"] is False
    assert count_files(server) == before + 2


def test_a_deleted_file_is_no_longer_a_duplicate(api: Api) -> None:
    data = f"id\n{uuid4()}\n".encode()
    first = api.upload(data, on_duplicate="existing")["file_id"]
    assert api.client.delete(f"/api/v1/files/{first}").status_code == 204
    assert api.upload(data, on_duplicate="reject")["file_id"] != first
