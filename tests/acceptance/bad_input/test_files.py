"""Unusual and invalid files, the same on both databases: rejects have their location, the rest is
loaded, and every job ends with a valid proof. The rows of each unusual file are tested without a
service in tests/unit/formats/test_odd_files.py.
"""

from __future__ import annotations

import random
import re
from urllib.parse import quote

import httpx
import pytest

from tests.api.checks import (
    assert_problem,
    count_files,
    wait_until_nothing_is_left,
)
from tests.api.forms import (
    CSV,
    END,
    FORM,
    GZIPPED,
    Refused,
    option,
    part,
    send,
)
from tests.forks import Server
from tests.formats.odd_files import ODD_FILES
from tests.harness import Api

SENT = (
    "header only",
    "UTF-16 LE with BOM",
    "latin-1 by charset",
    "cp1252 by charset",
    "cp1252 by parameter",
    "NUL",
    "overlong, surrogate and too large code points",
    "unclosed quote",
    "stray quotes kept",
    "delimiter of two characters",
    "another delimiter than there is",
    "sep=;",
    "short and long rows kept",
    "names that mean something elsewhere",
    "5,001 columns",
    "a cell of 10 MB",
    "a row of 17 MiB",
    "lines before the header",
    "lines to skip",
    "totals at the end",
    "two lines of header",
    "no header",
    "composed and decomposed letters",
    "values that are no objects",
    "cut in a record",
    "numbers that JSON does not have",
    "23 digits",
    "lone surrogates",
    "a string of 10 MB",
    "20,000 keys",
    "keys that mean something elsewhere",
    "different keys",
    "JSON Lines named .json",
    "JSON Lines named .csv",
    "bad lines",
)
"""Files that need a service: parameters beside the file, names and values that a database might not
accept, and limits on sizes.
"""

FILES = {file.what: file for file in ODD_FILES}


@pytest.fixture(scope="module")
def uploaded(api: Api) -> dict[str, httpx.Response]:
    """All uploaded first, so that one is checked while the next is processed."""
    return {
        file.what: api.client.post(
            "/api/v1/upload", params=file.params, files={"file": (file.name, file.data, file.type)}
        )
        for file in map(FILES.__getitem__, SENT)
    }


@pytest.mark.parametrize("what", SENT)
def test_each_row_of_an_odd_file_is_a_result_or_a_reject_with_its_location(
    api: Api, uploaded: dict[str, httpx.Response], what: str
) -> None:
    file = FILES[what]
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
        "total": len(rows) + len(rejects),
        "ok": len(rows),
        "invalid": len(rejects),
        "failed": 0,
        "unprocessed": 0,
    }
    assert status["progress_percent"] == 100
    assert file.columns is None or status["columns"] == file.columns
    assert api.proof(file_id)["closes"]


@pytest.mark.one_database
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
def test_a_csv_without_rows_is_refused(
    api: Api, server: Server, what: str, data: bytes, code: str
) -> None:
    before = count_files(server)
    assert_problem(send(api, Refused(what, 422, code, part(data) + END)), 422, code)
    wait_until_nothing_is_left(server, before)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("what", "data", "code"),
    [
        ("a number", b"5", "json_not_rows"),
        ("null", b"null", "json_not_rows"),
        ("a string", b'"x"', "json_not_rows"),
        ("an open array", b"[", "json_not_rows"),
        ("blanks", b" \n ", "empty_file"),
    ],
)
def test_a_json_without_rows_is_refused(
    api: Api, server: Server, what: str, data: bytes, code: str
) -> None:
    before = count_files(server)
    answer = api.client.post(
        "/api/v1/upload", files={"file": ("data.json", data, "application/json")}
    )
    assert_problem(answer, 422, code)
    wait_until_nothing_is_left(server, before)


# ---------------------------------------------------------------------- arbitrary bytes

ODD = ["", "0", "-1", "zz", "\0", "\n", '"', "\\", "\ud800", "é", "a" * 300, "1,2", ";", "tab", "none", "utf-16", "cp037",
       "rot13", "json", "jsonl", "csv", "keep", "existing", "any", "cr", "1000", "gzip", "9" * 30]  # fmt: skip
OPTIONS = ["priority", "chunk_size", "on_duplicate", "filename", "format", "encoding", "delimiter", "quote", "escape",
           "newline", "skip_rows", "header_rows", "skip_footer", "columns", "on_bad_row",
           "widths", "records", "record_key", "flatten", "colour"]  # fmt: skip
PIECES = [b"a,b\n1,2\n", b'"', b"'", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"[", b"{", b"]", b"}", b'{"a":1}', b"\r", b"\n",
          b"\\", b",", b";", b"\x1f\x8b", GZIPPED, b"--b", b"\r\n--b--\r\n", b"PK\x03\x04", b"9" * 50, b"\xed\xa0\x80",
          b"sep=;\n", b"\\u0000", b"\\ud800"]  # fmt: skip


def anything(dice: random.Random) -> Refused:
    content = b"".join(
        dice.choice([*PIECES, dice.randbytes(dice.randrange(40))])
        for _ in range(dice.randrange(1, 12))
    )
    names = dice.sample(OPTIONS, dice.choice([0, 0, 0, 1, 2, 3]))
    given = {name: dice.choice(ODD).encode("utf-8", "surrogatepass") for name in names}
    in_query = {name for name in names if dice.random() < 0.5}
    query = "&".join(f"{name}={quote(given[name])}" for name in sorted(in_query))
    headers = {
        name: value.encode("latin-1", "replace").decode("latin-1")
        for name, value in (
            ("Idempotency-Key", dice.choice(ODD)),
            ("Repr-Digest", f"sha-256=:{dice.choice(ODD)}:"),
            ("Content-Encoding", dice.choice(["gzip", "identity", "br", ""])),
            ("Accept", dice.choice(ODD)),
        )
        if dice.random() < 0.1 and not re.search(r"[\0\n]", value)
    }
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
def test_any_upload_is_accepted_or_refused_and_every_job_has_a_valid_proof(
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
def test_any_query_is_answered_or_refused(api: Api, value: str) -> None:
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
    """Return the newest file."""
    jobs = api.client.get("/api/v1/jobs?limit=1").json()["items"]
    return str(jobs[0]["file_id"] if jobs else api.run(CSV)["file_id"])
