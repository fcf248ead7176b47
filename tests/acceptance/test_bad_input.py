"""Bad input gets the answer it deserves, the same on both databases: a stable code at the door, or
rejects that name the place in the file while the rest goes through. Never a 500, and nothing is
kept of what was refused.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
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
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, wait_until

CSV = b"a,b\n1,2\n"
MARK = "zqxMark"
"""Stands in bad input where it would show up in the answer if what was sent were echoed."""
UUID_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module", autouse=True)
def nothing_went_wrong(server: Server) -> Iterator[None]:
    """Whatever is sent here, the service itself must have nothing to complain about."""
    yield
    log = server.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]
    assert " ERROR " not in log
    assert server.is_ready()


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Api]:
    """One client for all: making one costs more than most of these requests."""
    with server.client() as client:
        yield Api(client)


# ---------------------------------------------------------------------- transport


def part(
    data: bytes = CSV, *, name: str = "file", filename: str | None = "x.csv", headers: str = ""
) -> bytes:
    """One part of a form whose boundary is b."""
    disposition = f'form-data; name="{name}"' + (
        f'; filename="{filename}"' if filename is not None else ""
    )
    return f"--b\r\nContent-Disposition: {disposition}\r\n{headers}\r\n".encode() + data + b"\r\n"


def option(name: str, value: str | bytes) -> bytes:
    return part(value.encode() if isinstance(value, str) else value, name=name, filename=None)


END = b"--b--\r\n"
FORM = "multipart/form-data; boundary=b"


@dataclass(frozen=True)
class Refused:
    """A request, and why it is refused."""

    what: str
    status: int
    code: str
    body: bytes
    type: str = FORM
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""

    def __str__(self) -> str:
        return self.what


def raw(
    what: str, status: int, code: str, body: bytes, type: str = "text/csv", **headers: str
) -> Refused:
    return Refused(
        what, status, code, body, type, {k.replace("_", "-"): v for k, v in headers.items()}
    )


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


GZIPPED = gzip.compress(CSV)
GZIP = "application/gzip"

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
    raw("application/xml", 415, "unsupported_media_type", CSV, f"application/xml; {MARK}"),
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
            ("zip", "content_mismatch", b"PK\x03\x04\x14\0"),
            ("xlsx", "content_mismatch", b"PK\x03\x04\x14\0\x06\0[Content_Types].xml"),
            ("parquet", "content_mismatch", b"PAR1\x15\x04"),
            ("PDF", "content_mismatch", b"%PDF-1.7\n"),
            ("ELF", "content_mismatch", b"\x7fELF\x02\x01\x01\0"),
            ("old Excel", "content_mismatch", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            ("NULs", "binary_content", b"a\0\0b,\0\0\0" * 1000),
        )
    ),
    raw("zip in gzip", 415, "content_mismatch", gzip.compress(b"PK\x03\x04" + bytes(range(256))), GZIP),
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


def send(api: Api, request: Refused) -> httpx.Response:
    headers = {"Content-Type": request.type} | request.headers
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    return api.client.post(f"/api/v1/upload?{request.query}", content=request.body, headers=encoded)


@pytest.mark.one_database
@pytest.mark.parametrize("request_", REFUSED, ids=str)
def test_a_bad_request_is_refused_by_its_code_and_leaves_nothing(
    api: Api, server: Server, request_: Refused
) -> None:
    before = count_files(server)
    answer = send(api, request_)
    body = assert_problem(answer, request_.status, request_.code)
    assert body["instance"] == "/api/v1/upload"
    # the name of a parameter may be told, not its value
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
def test_a_priority_that_is_no_integer_from_0_to_10_is_refused(
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
def test_a_priority_given_twice_in_a_form_is_refused_wherever_it_stands(
    api: Api, body: bytes
) -> None:
    (error,) = assert_problem(
        send(api, Refused("", 422, "", body + END)), 422, "invalid_parameter"
    )["errors"]
    assert error == {"code": "repeated", "pointer": "form/priority", "detail": "Give it once."}


@pytest.mark.parametrize(
    "body", [option("priority", "7") + part(), part() + option("priority", "7")]
)
def test_a_priority_in_a_form_holds_before_and_after_the_file_and_the_query_wins_over_it(
    api: Api, body: bytes
) -> None:
    assert send(api, Refused("", 201, "", body + END)).json()["priority"] == 7
    assert send(api, Refused("", 201, "", body + END, query="priority=3")).json()["priority"] == 3


def test_names_of_columns_are_split_at_commas_in_query_and_form_alike(api: Api) -> None:
    data = b"1,2\n3,4\n"
    by_query = send(api, Refused("", 201, "", part(data) + END, query="header_rows=0&columns=x,y"))
    by_form = send(
        api,
        Refused(
            "", 201, "", part(data) + option("header_rows", "0") + option("columns", "x,y") + END
        ),
    )
    assert by_query.json()["columns"] == by_form.json()["columns"] == ["x", "y"]


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
def test_what_is_unusual_but_right_is_accepted(api: Api, what: str, request_: Refused) -> None:
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
def test_a_file_name_is_only_shown_and_never_becomes_a_path(
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
    api.finished(file_id)  # of a job that runs there is no file
    disposition = api.client.get(f"/api/v1/results/{file_id}/download").headers[
        "content-disposition"
    ]
    assert re.fullmatch(
        r"attachment; filename=\"[A-Za-z0-9._ -]*\"; filename\*=UTF-8''[A-Za-z0-9._~%-]*",
        disposition,
    )


def test_a_name_in_the_extended_syntax_that_forms_must_not_use_is_ignored(api: Api) -> None:
    body = part().replace(b'filename="x.csv"', b"filename*=UTF-8''%2e%2e%2fx") + END
    assert send(api, Refused("", 201, "", body)).json()["filename"] == "upload"


# ---------------------------------------------------------------------- doing it again


def test_a_key_gives_the_first_answer_again_and_refuses_another_body(
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


def test_a_key_that_is_in_use_is_refused_before_the_body_is_sent(api: Api, server: Server) -> None:
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


def test_20_requests_at_once_with_one_key_make_one_file(api: Api, server: Server) -> None:
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


def test_30_equal_uploads_at_once_make_one_file_if_existing_is_asked_for(
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


def test_equal_bytes_are_told_refused_or_loaded_anew_as_asked(api: Api, server: Server) -> None:
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


def test_a_deleted_file_is_no_duplicate_any_more(api: Api) -> None:
    data = f"id\n{uuid4()}\n".encode()
    first = api.upload(data, on_duplicate="existing")["file_id"]
    assert api.client.delete(f"/api/v1/files/{first}").status_code == 204
    assert api.upload(data, on_duplicate="reject")["file_id"] != first


# ---------------------------------------------------------------------- below HTTP


@pytest.fixture(scope="module")
def tight(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes at most 1 MiB and waits half a second."""
    storage = tmp_path_factory.mktemp("tight") / "storage"
    running = Server(
        databases.create(storage), storage, MAX_UPLOAD_MB=1, UPLOAD_STALL_SECONDS=0.5
    ).start()
    yield running
    running.stop()
    assert "Traceback" not in running.log.read_text()


@pytest.mark.one_database
@pytest.mark.parametrize("type_", ["text/csv", FORM])
def test_a_length_over_the_limit_is_refused_before_the_body_is_sent(
    tight: Server, type_: str
) -> None:
    with RawConnection(tight) as connection:
        connection.send(head(f"Content-Type: {type_}", "Content-Length: 2000000"))
        body = assert_problem(connection.answer(), 413, "file_too_large")
        assert body["limit_bytes"] == 1 << 20
    wait_until_nothing_is_left(tight, 0)


BLOCK = b"10000\r\n" + b"a,b\n" * 16_384 + b"\r\n"


@pytest.mark.one_database
def test_a_body_without_length_is_refused_once_it_grows_past_the_limit(tight: Server) -> None:
    with RawConnection(tight) as connection:
        connection.send(head("Content-Type: text/csv", "Transfer-Encoding: chunked"), BLOCK * 40)
        answer = connection.answer()
        assert_problem(answer, 413, "file_too_large")
        assert answer.headers["connection"] == "close"
        # whoever still sends is heard out for a while, and not reset
        connection.send(BLOCK * 40, b"0\r\n\r\n")
        assert connection.is_closed_by_server()
    wait_until_nothing_is_left(tight, 0)


@pytest.mark.one_database
def test_a_body_without_end_is_cut_off_soon_after_its_refusal(tight: Server) -> None:
    with RawConnection(tight) as connection:
        connection.send(head("Content-Type: text/csv", "Transfer-Encoding: chunked"), BLOCK * 20)
        assert connection.answer().status_code == 413
        assert connection.send_until_cut(BLOCK, 1 << 30) < 1 << 30
    wait_until_nothing_is_left(tight, 0)


@pytest.mark.one_database
def test_a_client_that_sends_all_before_it_reads_still_gets_the_refusal(tight: Server) -> None:
    with tight.client() as client:
        answer = client.post(
            "/api/v1/upload", files={"file": ("x.csv", b"a,b\n" * 5_000_000, "text/csv")}
        )
        assert_problem(answer, 413, "file_too_large")
        answer = client.post("/api/v1/upload", content=iter([b"a,b\n" * 16_384] * 200))
        assert_problem(answer, 413, "file_too_large")
    wait_until_nothing_is_left(tight, 0)


@pytest.mark.one_database
def test_a_client_that_asks_first_is_told_to_go_on_only_if_it_may(tight: Server) -> None:
    asking = ("Content-Type: text/csv", "Expect: 100-continue")
    with RawConnection(tight) as connection:
        answer = connection.send(head(*asking, "Content-Length: 2000000")).answer()
        assert_problem(answer, 413, "file_too_large")
    with RawConnection(tight) as connection:
        assert connection.send(head(*asking, "Content-Length: 6")).answer().status_code == 100
        assert_problem(connection.send(b" \n \n \n").answer(), 422, "empty_file")
    wait_until_nothing_is_left(tight, 0)


def test_a_file_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(tight: Server) -> None:
    data = b"a\n" * (1 << 19)
    with tight.client() as client:
        accepted = client.post("/api/v1/upload", content=data)
        assert accepted.status_code == 201
        assert_problem(client.post("/api/v1/upload", content=data + b"x"), 413, "file_too_large")
        assert client.delete(f"/api/v1/files/{accepted.json()['file_id']}").status_code == 204
    wait_until(lambda: count_files(tight) == 0, 10, "removal of the file")


@pytest.mark.one_database
@pytest.mark.parametrize("type_", ["text/csv", FORM])
def test_an_upload_that_falls_silent_is_ended(tight: Server, type_: str) -> None:
    begun = part()[: -len(CSV) - 2] if type_ == FORM else b""
    with RawConnection(tight) as connection:
        connection.send(
            head(f"Content-Type: {type_}", "Content-Length: 500000"), begun, b"a,b\n" * 10_000
        )
        answer = connection.answer()
        assert_problem(answer, 408, "upload_stalled")
        assert answer.headers["connection"] == "close"
    wait_until_nothing_is_left(tight, 0)


@pytest.mark.parametrize("end", ["FIN", "RST"])
@pytest.mark.parametrize("type_", ["text/csv", FORM])
def test_a_client_that_goes_away_leaves_no_row_no_file_and_no_error(
    server: Server, type_: str, end: str
) -> None:
    before = count_files(server)
    begun = part()[: -len(CSV) - 2] if type_ == FORM else b""
    with RawConnection(server) as connection:
        connection.send(
            head(f"Content-Type: {type_}", "Content-Length: 90000000"), begun, b"a,b\n" * 1_000_000
        )
        wait_until(lambda: parts(server), 10, "part file")
        if end == "RST":
            connection.reset()
    wait_until_nothing_is_left(server, before)  # the log is looked at when the module ends


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("size", "status"), [(30_000, 200), (33_000, 431), (100_000, 431), (1_000_000, 431)]
)
def test_headers_over_32_kib_are_refused(server: Server, size: int, status: int) -> None:
    with RawConnection(server) as connection:
        answer = connection.send(
            head(f"X-Filler: {'x' * size}", method="GET", target="/health")
        ).answer()
        if status == 431:
            assert_problem(answer, 431, "headers_too_large")
        else:
            assert answer.status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: -1"],
        ["Content-Length: 1", "Content-Length: 2"],
        ["Content-Length: 99999999999999999999999999"],
        ["Content-Length: 1", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "X: 1\r\n\r\nzz"],
    ],
)
def test_contradictory_framing_is_refused_and_ends_the_connection(
    server: Server, lines: list[str]
) -> None:
    with RawConnection(server) as connection:
        assert connection.send(head("Content-Type: text/csv", *lines)).answer().status_code == 400
        assert connection.is_closed_by_server()


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/upload", 405),
        ("DELETE", "/api/v1/upload", 405),
        ("TRACE", "/health", 405),
        ("POST", "/health", 405),
        ("OPTIONS", "/api/v1/upload", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1//upload", 404),
        ("GET", "//", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/api/v1/status/%00", 404),
        ("GET", "/api/v1/status/%ff", 404),
        ("GET", "/api/v1/status/" + "a" * 3000, 404),
        ("PUT", "/api/v1/upload/..%2f..%2fx.csv", 404),
        ("GET", "/errors/nothing", 404),
    ],
)
def test_a_wrong_path_or_method_is_told_as_a_problem(
    server: Server, method: str, path: str, status: int
) -> None:
    with RawConnection(server) as connection:
        answer = connection.send(head(method=method, target=path)).answer()
    assert_problem(answer, status, "not_found" if status == 404 else "method_not_allowed")
    assert (status == 405) == ("allow" in answer.headers)


@pytest.mark.one_database
@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x" * 3000, "\xff", ""])
def test_a_host_header_that_is_no_host_is_refused(server: Server, host: str) -> None:
    for path in ("/health", "/nowhere", "/api/v1/status/x"):
        with RawConnection(server) as connection:
            connection.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
            assert_problem(connection.answer(), 400, "bad_host")


def test_an_id_that_is_none_is_unknown_or_is_deleted_gets_the_same_answer(api: Api) -> None:
    deleted = api.run(CSV)["file_id"]
    api.client.delete(f"/api/v1/files/{deleted}")
    for pattern in (
        "/api/v1/status/{}", "/api/v1/status/{}/events", "/api/v1/results/{}", "/api/v1/results/{}/download",
        "/api/v1/rejects/{}", "/api/v1/rejects/{}/download", "/api/v1/files/{}/bytes?start=0&end=1",
        "/api/v1/jobs/{}", "/api/v1/jobs/{}/proof", "/api/v1/jobs/{}/chunks",
    ):  # fmt: skip
        bodies = []
        for identifier in ("nonsense", "1", str(uuid4()), deleted):
            body = assert_problem(api.client.get(pattern.format(identifier)), 404, "not_found")
            del body["request_id"], body["instance"]
            bodies.append(body)
        assert all(body == bodies[0] for body in bodies)


# ---------------------------------------------------------------------- content


@dataclass(frozen=True)
class Content:
    """A file that is taken, and what becomes of its rows."""

    what: str
    data: bytes
    rows: list[list[Any]]
    """The cells of the results."""
    rejects: list[tuple[int, int, str]] = field(default_factory=list)
    """(row number, line, code)"""
    params: dict[str, Any] = field(default_factory=dict)
    columns: list[str] | None = None
    name: str = "data.csv"
    type: str = "text/csv"

    def __str__(self) -> str:
        return self.what


def json_(
    what: str, data: bytes, rows: list[list[Any]], *rejects: tuple[int, int, str], **more: Any
) -> Content:
    return Content(
        what, data, rows, list(rejects), name="data.json", type="application/json", **more
    )


def lines(what: str, data: bytes, rows: list[list[Any]], *rejects: tuple[int, int, str]) -> Content:
    return Content(what, data, rows, list(rejects), name="data.jsonl", type="application/x-ndjson")


UMLAUT = "id,näme\n1,é\n"
DEEP = b"[" * 63 + b"]" * 63
NEWLINES = "\u2028 \u0085 \x0b \x0c \x1c".split(" ")

CSV_FILES = [
    Content("header only", b"a,b\n", [], columns=["a", "b"]),
    Content("header without line end", b"a,b", [], columns=["a", "b"]),
    Content("UTF-8 BOM", b"\xef\xbb\xbfid,n\n1,a\n", [["1", "a"]], columns=["id", "n"]),
    *(
        Content(f"UTF-16 {what}", bom + UMLAUT.encode(codec), [["1", "é"]], columns=["id", "näme"])
        for what, bom, codec in (
            ("LE with BOM", b"\xff\xfe", "utf-16-le"), ("BE with BOM", b"\xfe\xff", "utf-16-be"),
            ("LE without BOM", b"", "utf-16-le"), ("BE without BOM", b"", "utf-16-be"),
        )
    ),
    Content("latin-1 by charset", UMLAUT.encode("latin-1"), [["1", "é"]], type="text/csv; charset=latin-1"),
    Content("cp1252 by charset", "a\n€\n".encode("cp1252"), [["€"]], type='text/csv; charset="cp1252"'),
    Content("cp1252 by parameter", "a\n€\n".encode("cp1252"), [["€"]], params={"encoding": "cp1252"}),
    Content("undeclared latin-1", b"a,b\n1,x\n2,\xe9\n3,y\n", [["1", "x"], ["3", "y"]], [(2, 3, "invalid_utf8")]),
    Content(
        "overlong, surrogate and too large code points",
        b"a,b\n1,\xc0\xaf\n2,\xed\xa0\x80\n3,\xf5\x80\x80\x80\n4,x\n",
        [["4", "x"]],
        [(1, 2, "invalid_utf8"), (2, 3, "invalid_utf8"), (3, 4, "invalid_utf8")],
    ),
    Content("NUL", b"a,b\n1,x\0y\n2,z\n", [["2", "z"]], [(1, 2, "nul_character")]),
    Content("CRLF", b"a,b\r\n1,2\r\n3,4\r\n", [["1", "2"], ["3", "4"]]),
    Content("CR", b"a,b\r1,2\r3,4\r", [["1", "2"], ["3", "4"]]),
    Content("LF and CRLF", b"a,b\r\n1,2\n3,4\r\n", [["1", "2"], ["3", "4"]]),
    Content("no line end at the end", b"a,b\n1,2", [["1", "2"]]),
    Content("blank lines", b"a,b\n\n1,2\n\n\n3,4\n\n\n", [["1", "2"], ["3", "4"]]),
    Content(
        "other line separators are data",
        b"a,b\n" + "".join(f"{i},x{c}y\n" for i, c in enumerate(NEWLINES)).encode(),
        [[str(i), f"x{c}y"] for i, c in enumerate(NEWLINES)],
    ),
    Content("unclosed quote", b'a,b\n1,2\n3,"x\n4,5\n', [["1", "2"], ["4", "5"]], [(2, 3, "csv_unclosed_quote")]),
    Content("unclosed quote at the end", b'a,b\n1,2\n3,"x', [["1", "2"]], [(2, 3, "csv_unclosed_quote")]),
    Content(
        "stray quotes", b'a,b\n1,"x"y\n2,x"y\n3,z\n', [["3", "z"]], [(1, 2, "csv_bad_quote"), (2, 3, "csv_bad_quote")]
    ),
    Content(
        "stray quotes kept",
        b'a,b\n1,"x"y\n2,x"y\n3,z\n',
        [["1", '"x"y'], ["2", 'x"y'], ["3", "z"]],
        params={"on_bad_row": "keep"},
    ),
    Content("doubled quotes", b'a,b\n1,"x""y"\n', [["1", 'x"y']]),
    Content("backslash before quotes", b'a,b\n1,"x\\"y"\n2,"z"\n', [["1", 'x"y'], ["2", "z"]]),
    Content("single quotes", b"a,b\n1,'x,y'\n2,'z,w'\n", [["1", "x,y"], ["2", "z,w"]]),
    *(
        Content(f"delimiter {d!r}", f"a{d}b{d}c\n1{d}2{d}3\n4{d}5{d}6\n".encode(), [["1", "2", "3"], ["4", "5", "6"]])
        for d in (";", "\t", "|", " ", "\x1f")
    ),
    Content("delimiter of two characters", b"a||b\n1||2\n", [["1", "2"]], params={"delimiter": "||"}),
    Content("another delimiter than there is", b"a,b\n1,2\n", [["1,2"]], params={"delimiter": ";"}),
    Content("sep=;", b"sep=;\na;b\n1;2\n", [["1", "2"]], columns=["a", "b"]),
    Content(
        "short and long rows",
        b"a,b,c\n1,2\n1,2,3,4\n1,2,3\n",
        [["1", "2", "3"]],
        [(1, 2, "column_count"), (2, 3, "column_count")],
    ),
    Content(
        "short and long rows kept",
        b"a,b,c\n1,2\n1,2,3,4\n",
        [["1", "2", None], ["1", "2", "3", "4"]],
        params={"on_bad_row": "keep"},
    ),
    Content("a name twice in the header", b"a,a,a\n1,2,3\n", [["1", "2", "3"]], columns=["a", "a_2", "a_3"]),
    Content("an empty name in the header", b"a,b,\n1,2,3\n", [["1", "2", "3"]], columns=["a", "b", "column_3"]),
    Content(
        "names that mean something elsewhere",
        'my col,__proto__,"x; DROP TABLE files;--",日本\n1,2,3,4\n'.encode(),
        [["1", "2", "3", "4"]],
        columns=["my col", "__proto__", "x; DROP TABLE files;--", "日本"],
    ),
    Content(
        "5,001 columns",
        ",".join(f"c{n}" for n in range(5001)).encode() + b"\n" + b"1" + b",1" * 5000 + b"\n",
        [["1"] * 5001],
    ),
    Content("a cell of 10 MB", b"a,b\n1," + b"x" * 10_000_000 + b"\n2,y\n", [["1", "x" * 10_000_000], ["2", "y"]]),
    Content("a row of 17 MiB", b"a,b\n1," + b"x" * (17 << 20) + b"\n2,y\n", [["2", "y"]], [(1, 2, "row_too_large")]),
    Content(
        "lines before the header", b"Report of 2026\n# made by x\na,b,c\n1,2,3\n4,5,6\n", [["1", "2", "3"], ["4", "5", "6"]]
    ),
    Content("lines to skip", b"junk\na,b\n1,2\n", [["1", "2"]], params={"skip_rows": 1}),
    Content("totals at the end", b"a,b\n1,2\nTotal,2\n", [["1", "2"]], params={"skip_footer": 1}),
    Content("two lines of header", b"a,b\nx,y\n1,2\n", [["1", "2"]], params={"header_rows": 2}, columns=["a x", "b y"]),
    Content("no header", b"1,2\n3,4\n", [["1", "2"], ["3", "4"]], params={"header_rows": 0}),
    Content(
        "formulas are data",
        'a,b\n=1+1,+cmd|x\n-2,@SUM\n＝x,"\ty"\n'.encode(),
        [["=1+1", "+cmd|x"], ["-2", "@SUM"], ["＝x", "\ty"]],
    ),
    Content(
        "numbers are text",
        'a,b\n1e400,NaN\ninf,"1,234"\n٣,0x10\n'.encode(),
        [["1e400", "NaN"], ["inf", "1,234"], ["٣", "0x10"]],
    ),
    Content("5,000 digits", b"a\n" + b"9" * 5000 + b"\n", [["9" * 5000]]),
    Content("composed and decomposed letters", "a,b\n😀,é\nx,e\u0301\n".encode(), [["😀", "é"], ["x", "e\u0301"]]),
    Content("an id twice", b"id,v\n1,a\n1,b\n", [["1", "a"], ["1", "b"]]),
    Content("one column with empty cells", b'a\n""\n"x"\n', [[""], ["x"]]),
]  # fmt: skip

JSON_FILES = [
    json_("one object", b'{"a":1}', [[1]]),
    json_("an empty array", b" [ ] ", []),
    json_(
        "values that are no objects",
        b'[1,{"a":1},"x",null,[1]]',
        [[1]],
        *((n, 1, "json_row_not_object") for n in (1, 3, 4, 5)),
    ),
    json_("cut in a record", b'[{"a":1},\n{"a":2},\n{"a"', [[1], [2]], (3, 3, "json_truncated")),
    json_("cut behind a comma", b'[{"a":1},', [[1]], (2, 1, "json_truncated")),
    json_("a comma at the end", b'[{"a":1},]', [[1]], (2, 1, "json_syntax")),
    json_("a comment", b'[{"a":1},/*x*/{"a":2},{"a":3}]', [[1], [3]], (2, 1, "json_syntax")),
    json_("strings in single quotes", b"[{'a':1},{\"a\":2}]", [[2]], (1, 1, "json_syntax")),
    json_("unquoted keys", b'[{a:1},{"a":2}]', [[2]], (1, 1, "json_syntax")),
    json_(
        "numbers that JSON does not have",
        b'[{"a":NaN},{"a":Infinity},{"a":-Infinity},{"a":01},{"a":+1},{"a":.5},{"a":0x1},{"a":1}]',
        [[1]],
        *((n, 1, "json_syntax") for n in range(1, 8)),
    ),
    json_("64 levels", b'[{"a":' + DEEP + b'}]', [[eval(DEEP)]]),
    json_("65 levels", b'[{"a":[' + DEEP + b']},{"a":1}]', [[1]], (1, 1, "json_too_deep")),
    json_("100,000 levels", b'[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b'},{"a":1}]', [[1]], (1, 1, "json_too_deep")),
    json_("a million brackets", b"[" * 1_000_000, [], (1, 1, "json_truncated")),
    json_("4,301 digits", b"[" + b"9" * 4301 + b"]", [], (1, 1, "json_row_not_object")),
    json_("a million digits", b'[{"a":' + b"9" * 1_000_000 + b'},{"a":1}]', [[1]], (1, 1, "number_out_of_range")),
    json_("23 digits", b'[{"a":12345678901234567890123}]', [[12345678901234567890123]]),
    json_("1e400", b'[{"a":1e400},{"a":-1e400},{"a":1}]', [[1]], (1, 1, "number_out_of_range"), (2, 1, "number_out_of_range")),
    json_("a key twice", b'[{"a":1,"a":2},{"a":1}]', [[1]], (1, 1, "duplicate_key")),
    json_(
        "lone surrogates",
        rb'[{"a":"\ud800"},{"a":"\udfff\ud800"},{"a":"\u0000"},{"a":"\ud83d\ude00"}]',
        [["\0"], ["😀"]],
        (1, 1, "invalid_unicode"),
        (2, 1, "invalid_unicode"),
    ),
    json_("a control character", b'[{"a":"x\x01y"},{"a":1}]', [[1]], (1, 1, "json_syntax")),
    json_(
        "bytes that are no UTF-8",
        b'[{"a":"\xff"},{"a":"\xc0\xaf"},{"a":1}]',
        [[1]],
        (1, 1, "invalid_utf8"),
        (2, 1, "invalid_utf8"),
    ),
    json_("BOM", b'\xef\xbb\xbf[{"a":1}]', [[1]]),
    json_("a string of 10 MB", b'[{"a":"' + b"x" * 10_000_000 + b'"},{"a":1}]', [["x" * 10_000_000], [1]]),
    json_(
        "20,000 keys",
        b"[{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b'},{"a":1}]',
        [[1]],
        (1, 1, "too_many_columns"),
    ),
    json_(
        "keys that mean something elsewhere",
        rb'[{"__proto__":1,"constructor":2,"$where":3,"a.b":4,"":5,"a\u0000b":6}]',
        [[1, 2, 3, 4, 5, 6]],
        columns=["__proto__", "constructor", "$where", "a.b", "", "a\0b"],
    ),
    json_(
        "different keys", b'[{"a":1},{"b":2},{"c":null,"a":3}]', [[1, None, None], [None, 2, None], [3, None, None]]
    ),
    json_("JSON Lines named .json", b'{"a":1}\n{"a":2}\n', [[1], [2]]),
    Content("JSON Lines named .csv", b'{"a":1}\n{"a":2}\n', [[1], [2]]),
    lines("blank lines and CRLF", b'{"a":1}\r\n\r\n{"a":2}', [[1], [2]]),
    lines(
        "bad lines",
        b'{"a":1}\nxx\n[1]\n{"a":2}\n{"a":',
        [[1], [2]],
        (2, 2, "json_syntax"),
        (3, 3, "json_row_not_object"),
        (5, 5, "json_syntax"),
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def uploaded(api: Api) -> dict[str, httpx.Response]:
    """All of them at once, so that one is checked while the next is worked on."""
    return {
        file.what: api.client.post(
            "/api/v1/upload", params=file.params, files={"file": (file.name, file.data, file.type)}
        )
        for file in CSV_FILES + JSON_FILES
    }


@pytest.mark.parametrize("file", CSV_FILES + JSON_FILES, ids=str)
def test_each_row_of_an_odd_file_is_a_result_or_a_reject_with_its_place(
    api: Api, uploaded: dict[str, httpx.Response], file: Content
) -> None:
    assert uploaded[file.what].status_code == 201, uploaded[file.what].text
    file_id = uploaded[file.what].json()["file_id"]
    status = api.finished(file_id)
    rows, rejects = api.rows(file_id), api.rejects(file_id)
    assert [cells for _, cells in rows] == file.rows
    assert [(r["row_number"], r["line"], r["code"]) for r in rejects] == file.rejects
    assert sorted([n for n, _ in rows] + [r["row_number"] for r in rejects]) == list(
        range(1, len(rows) + len(rejects) + 1)
    )
    assert status["status"] == ("completed_with_errors" if file.rejects else "completed")
    assert status["rows"] == {
        "total": len(rows) + len(rejects), "ok": len(rows), "invalid": len(rejects), "failed": 0, "unprocessed": 0,
    }  # fmt: skip
    assert status["progress_percent"] == 100
    assert file.columns is None or status["columns"] == file.columns
    assert api.proof(file_id)["closes"]


@pytest.mark.parametrize(
    ("what", "data", "code"),
    [
        ("blank lines", b"\n\r\n\n", "empty_file"),
        ("spaces", b" \t \r\n", "empty_file"),
        ("only a BOM", b"\xef\xbb\xbf", "empty_file"),
        ("NULs", b"\0" * 100, "empty_file"),
        ("a header of bytes that are no UTF-8", b"a,\xe9\n1,2\n", "bad_header"),
        ("a name of 5,000 characters", b"x" * 5000 + b",b\n1,2\n", "bad_header"),
        ("20,000 columns", b"a" + b",a" * 19_999 + b"\n", "too_many_columns"),
    ],
)
def test_a_csv_that_can_not_be_rows_is_refused(
    api: Api, server: Server, what: str, data: bytes, code: str
) -> None:
    before = count_files(server)
    assert_problem(send(api, Refused(what, 422, code, part(data) + END)), 422, code)
    wait_until_nothing_is_left(server, before)


@pytest.mark.parametrize(
    ("what", "data", "code"),
    [
        ("a number", b"5", "json_not_rows"),
        ("null", b"null", "json_not_rows"),
        ("a string", b'"x"', "json_not_rows"),
        ("an open array", b"[", "json_not_rows"),
        ("HTML", b"<html></html>", "json_not_rows"),
        ("UTF-16", "\ufeff[{}]".encode("utf-16-le"), "unsupported_encoding"),
        ("blanks", b" \n ", "empty_file"),
    ],
)
def test_a_json_that_can_not_be_rows_is_refused(
    api: Api, server: Server, what: str, data: bytes, code: str
) -> None:
    before = count_files(server)
    answer = api.client.post(
        "/api/v1/upload", files={"file": ("data.json", data, "application/json")}
    )
    assert_problem(answer, 422, code)
    wait_until_nothing_is_left(server, before)


def test_a_json_array_cut_anywhere_keeps_the_records_before_the_cut(api: Api) -> None:
    data = b'[{"a": 1}, {"a": "x]"}]\n'
    assert_problem(
        api.client.post("/api/v1/upload?format=json", content=data[:1]), 422, "json_not_rows"
    )
    cuts = range(2, len(data) + 1)
    answers = [api.client.post("/api/v1/upload?format=json", content=data[:cut]) for cut in cuts]
    for cut, answer in zip(cuts, answers, strict=True):
        file_id = answer.json()["file_id"]
        api.finished(file_id)
        is_whole = cut >= len(data) - 1
        assert api.rows(file_id) == [(1, [1])] * (cut >= 10) + [(2, ["x]"])] * is_whole, data[:cut]
        assert [r["code"] for r in api.rejects(file_id)] == ["json_truncated"] * (not is_whole), (
            data[:cut]
        )
        assert api.proof(file_id)["closes"]


# ---------------------------------------------------------------------- anything at all

ODD = ["", "0", "-1", "zz", "\0", "\n", '"', "\\", "\ud800", "é", "a" * 300, "1,2", ";", "tab", "none", "utf-16", "cp037",
       "rot13", "json", "jsonl", "csv", "keep", "existing", "any", "cr", "1000", "gzip", "9" * 30]  # fmt: skip
OPTIONS = ["priority", "chunk_size", "on_duplicate", "filename", "format", "encoding", "delimiter", "quote", "escape",
           "newline", "skip_rows", "header_rows", "skip_footer", "columns", "on_bad_row", "colour"]  # fmt: skip
PIECES = [b"a,b\n1,2\n", b'"', b"'", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"[", b"{", b"]", b"}", b'{"a":1}', b"\r", b"\n",
          b"\\", b",", b";", b"\x1f\x8b", GZIPPED, b"--b", b"\r\n--b--\r\n", b"PK\x03\x04", b"9" * 50, b"\xed\xa0\x80",
          b"sep=;\n", b"\\u0000", b"\\ud800"]  # fmt: skip


def anything(dice: random.Random) -> Refused:
    content = b"".join(
        dice.choice([*PIECES, dice.randbytes(dice.randrange(40))])
        for _ in range(dice.randrange(1, 12))
    )
    names = dice.sample(OPTIONS, dice.choice([0, 0, 1, 2, 3]))
    given = {name: dice.choice(ODD).encode("utf-8", "surrogatepass") for name in names}
    in_query = {name for name in names if dice.random() < 0.5}
    query = "&".join(f"{name}={quote(given[name])}" for name in sorted(in_query))
    headers = {
        name: value.encode("latin-1", "replace").decode("latin-1")
        for name, value in (
            ("Idempotency-Key", dice.choice(ODD)), ("Repr-Digest", f"sha-256=:{dice.choice(ODD)}:"),
            ("Content-Encoding", dice.choice(["gzip", "identity", "br", ""])), ("Accept", dice.choice(ODD)),
        )
        if dice.random() < 0.1 and not re.search(r"[\0\n]", value)
    }  # fmt: skip
    if dice.random() < 0.5:
        types = [
            "",
            "text/csv",
            "application/json",
            "application/x-ndjson",
            "application/gzip",
            "text/plain; charset=zz",
        ]
        return Refused("", 0, "", content, dice.choice(types), headers, query)
    fields = b"".join(option(name, given[name]) for name in names if name not in in_query)
    body = fields + part(content, filename=dice.choice(["x.csv", "x.json", "x.jsonl", "x"])) + END
    for _ in range(dice.choice([0, 0, 1, 4])):
        at = dice.randrange(len(body))
        body = dice.choice(
            [
                body[:at],
                body[:at] + dice.randbytes(3) + body[at:],
                body[:at] + body[at + 5 :],
                body[at:] + body[:at],
            ]
        )
    return Refused(
        "", 0, "", body, dice.choice([FORM] * 9 + ["multipart/form-data"]), headers, query
    )


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_uploaded_is_taken_or_refused_and_every_job_ends_with_a_closing_proof(
    api: Api, server: Server, seed: int
) -> None:
    dice = random.Random(seed)
    accepted = []
    for _ in range(30):
        request = anything(dice)
        answer = send(api, request)
        if answer.status_code in (200, 201):
            accepted.append(answer.json()["file_id"])
        else:
            assert 400 <= answer.status_code < 500, (request, answer.text)
            assert_problem(answer, answer.status_code, answer.json()["code"])
    assert server.is_ready()
    assert len(accepted) > 3
    for file_id in set(accepted):
        status = api.finished(file_id)
        assert status["status"] in ("completed", "completed_with_errors"), status
        assert api.proof(file_id)["closes"]
        for path in (
            "results/{}?format=object",
            "results/{}/download?format=jsonl",
            "rejects/{}/download",
        ):
            assert api.client.get("/api/v1/" + path.format(file_id)).status_code == 200


@pytest.mark.parametrize("value", ODD, ids=ascii)
def test_whatever_is_asked_for_in_a_query_is_answered_or_refused(api: Api, value: str) -> None:
    file_id = get_any(api)
    sent = quote(value.encode("utf-8", "surrogatepass"))
    for path, names in (
        ("jobs", ("limit", "before", "status", "processor")),
        (f"results/{file_id}", ("limit", "offset", "after", "format")),
        (f"results/{file_id}/download", ("format", "gzip", "formula_guard")),
        (f"rejects/{file_id}", ("limit", "offset", "after", "code")),
        (f"files/{file_id}/bytes", ("start", "end")),
        (f"jobs/{file_id}/chunks", ("limit", "after")),
    ):
        for name in names:
            answer = api.client.get(f"/api/v1/{path}?{name}={sent}")
            assert answer.status_code in (200, 422), (path, name, answer.text)


def get_any(api: Api) -> str:
    """The newest file there is."""
    jobs = api.client.get("/api/v1/jobs?limit=1").json()["items"]
    return str(jobs[0]["file_id"] if jobs else api.run(CSV)["file_id"])


@pytest.mark.one_database
@pytest.mark.parametrize("seed", range(3))
def test_bytes_that_are_no_http_end_in_a_4xx_or_a_closed_connection(
    server: Server, seed: int
) -> None:
    dice = random.Random(seed)
    whole = head("Content-Type: text/csv", f"Content-Length: {len(CSV)}") + CSV
    for _ in range(20):
        at = dice.randrange(len(whole) - len(CSV))
        garbled = (
            whole[:at] + dice.randbytes(dice.randrange(1, 6)) + whole[at + dice.randrange(3) :]
        )
        with RawConnection(server) as connection:
            connection.send(garbled).finish()
            status = connection.status_if_any()
        assert status is None or 200 <= status < 500, garbled
    assert server.is_ready()
