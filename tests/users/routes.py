"""An example of ids and bodies for each route. A new route needs one, or the test of every route
fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import uuid4

import httpx

from tests.acceptance.users.conftest import People
from tests.harness import Api
from tests.uploads.tus import BYTES, metadata

Ids = dict[str, str]
CANARY = "canaryofowner"
TEMPLATE = {"name": CANARY, "columns": [{"reference_column": "name", "input_columns": ["n"]}]}
WATCH = {"source": "file:///srv/inbox/", "job": {"type": "rows"}, "name": CANARY}
"""Needs SOURCE_FOLDERS=/srv/inbox, which need not be there."""
SCHEDULE = {"cron": "0 0 1 1 *", "job": {"source": "s3://bucket/key.csv"}, "name": CANARY}
FILE = {"file": (f"{CANARY}.csv", b"text,n\ngood,1\nbad\n", "text/csv")}
PEOPLE = {"file": (f"{CANARY}.csv", b"name,email\nAda,ada@example.com\n", "text/csv")}
ANY_FILE = {"file": ("any.csv", b"text,n\ngood,1\nbad\n", "text/csv")}
ANY_PEOPLE = {"file": ("any.csv", b"name,email\nBob,bob@example.com\n", "text/csv")}
WEBHOOK = {"url": f"https://{CANARY}.invalid/"}
SCORE = {"source": "s3://bucket/key.csv"}


class World:
    """Two users, a revoked one, and what the first of them owns, created on demand."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.owner_key = people.create("owner")
        self.owner = people.client(self.owner_key)
        self.other = people.new("other")
        revoked = people.create("revoked")
        assert people.admin.delete("/api/v1/users/revoked").status_code == 204
        self.revoked = people.client(revoked)
        self.nobody = people.client()

    def _post(self, path: str, **given: Any) -> dict[str, Any]:
        answer = self.owner.post(path, **given)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def new_file(self) -> Ids:
        made = self._post("/api/v1/upload", files=FILE)
        Api(self.owner).finished(made["file_id"])
        return {"file_id": made["file_id"], "job_id": made["job_id"]}

    @cached_property
    def file(self) -> Ids:
        return self.new_file()

    @cached_property
    def analysis(self) -> Ids:
        made = self._post("/api/v1/jobs/analyze", json={"file_id": self.file["file_id"]})
        Api(self.owner).finished(made["job_id"])
        return {"job_id": made["job_id"]}

    @cached_property
    def template(self) -> Ids:
        return {"template_id": self._post("/api/v1/templates", json=TEMPLATE)["template_id"]}

    @cached_property
    def schedule(self) -> Ids:
        return {"schedule_id": self._post("/api/v1/schedules", json=SCHEDULE)["id"]}

    @cached_property
    def watch(self) -> Ids:
        return {"watch_id": self._post("/api/v1/watches", json=WATCH)["id"]}

    @cached_property
    def upload(self) -> Ids:
        made = self.owner.post(
            "/api/v1/uploads", headers=BYTES | {"Upload-Length": "5"} | metadata(filename=CANARY)
        )
        return {"upload_id": made.headers["location"].rpartition("/")[2]}

    @cached_property
    def batch(self) -> Ids:
        return {"batch_id": self._post("/batch/upload", files=FILE)["batch_id"]}

    @cached_property
    def imported(self) -> Ids:
        return {"import_id": str(self._post("/api/upload", files=PEOPLE)["id"])}

    @cached_property
    def webhook(self) -> Ids:
        return {"webhook_id": self._post("/api/v1/webhooks", json=WEBHOOK)["id"]}

    @cached_property
    def message(self) -> Ids:
        made = self._post(f"/api/v1/webhooks/{self.webhook['webhook_id']}/test")
        return {**self.webhook, "message_id": made["id"]}

    @cached_property
    def key(self) -> Ids:
        self.people.create("third")
        (key,) = self.people.admin.get("/api/v1/users/third/keys").json()["items"]
        return {"user_id": "third", "key_id": key["key_id"]}


def unknown(ids: Ids) -> Ids:
    """Valid ids that no object has."""
    forms = {"batch_id": "batch-0123456789ab", "import_id": "987654321", "user_id": "nemo"}
    return {name: forms.get(name, str(uuid4())) for name in ids}


@dataclass(frozen=True)
class Example:
    ids: Callable[[World], Ids] = lambda world: {}
    """Ids of the owner; those that the path does not name are for the query or the body."""
    given: Callable[[Ids], dict[str, Any]] = lambda ids: {}
    """Arguments of the request, from the ids."""
    status: int = 200
    """Status of the response to the owner."""
    unknown_status: int = 404
    """Status of the response about unknown ids, and to other users about these ids."""
    is_open: bool = False
    """Whether no authentication is needed."""
    is_for_admins: bool = False
    fixed: tuple[tuple[str, str], ...] = ()
    """Parameters of the path that are not ids."""
    leaks: Callable[[httpx.Response], bool] = lambda answer: CANARY in answer.text
    """Whether the response to another user reveals something of the owner."""


def _of(kind: str) -> Callable[[World], Ids]:
    return lambda world: getattr(world, kind)


def _json(body: Any) -> Callable[[Ids], dict[str, Any]]:
    return lambda ids: {"json": body}


def _tus(headers: dict[str, str]) -> Callable[[Ids], dict[str, Any]]:
    return lambda ids: {"headers": BYTES | headers}


def _open(path: str, **fixed: str) -> dict[tuple[str, str], list[Example]]:
    return {("GET", path): [Example(is_open=True, fixed=tuple(fixed.items()))]}


def _admin(kind: str = "", **more: Any) -> Example:
    return Example(
        _of(kind) if kind else lambda world: {}, is_for_admins=True, unknown_status=403, **more
    )


EXAMPLES: dict[tuple[str, str], list[Example]] = {
    **_open("/"),
    **_open("/health"),
    **_open("/ready"),
    **_open("/errors/{code}", code="not_found"),
    ("GET", "/metrics"): [Example()],
    ("POST", "/api/v1/upload"): [Example(given=lambda ids: {"files": ANY_FILE}, status=201)],
    ("PUT", "/api/v1/upload"): [Example(given=lambda ids: {"content": b"a,b\n1,2\n"}, status=201)],
    ("PUT", "/api/v1/upload/{filename}"): [
        Example(given=lambda ids: {"content": b"a,b\n1,3\n"}, status=201, fixed=(("filename", "x.csv"),))
    ],
    ("POST", "/api/v1/read-again"): [
        Example(_of("file"), lambda ids: {"params": {"file_id": ids["file_id"]}}, status=201)
    ],
    ("GET", "/api/v1/status/{file_id}"): [Example(_of("file"))],
    ("GET", "/api/v1/status/{file_id}/events"): [Example(_of("file"))],
    ("GET", "/api/v1/results/{file_id}"): [Example(_of("file"))],
    ("GET", "/api/v1/rows/{file_id}"): [Example(_of("file"), lambda ids: {"params": {"where": "n = 1"}})],
    ("GET", "/api/v1/rows/{file_id}/{row_number}"): [Example(_of("file"), fixed=(("row_number", "1"),))],
    ("GET", "/api/v1/results/{file_id}/download"): [Example(_of("file"))],
    ("GET", "/api/v1/rejects/{file_id}"): [Example(_of("file"))],
    ("GET", "/api/v1/rejects/{file_id}/causes"): [Example(_of("file"))],
    ("GET", "/api/v1/rejects/{file_id}/download"): [Example(_of("file"))],
    ("GET", "/api/v1/files/{file_id}/bytes"): [Example(_of("file"), lambda ids: {"params": {"start": 0, "end": 4}})],
    ("GET", "/api/v1/files/{file_id}/download"): [Example(_of("file"))],
    ("GET", "/api/v1/files/{file_id}/archive"): [Example(_of("file"))],
    ("POST", "/api/v1/files/{file_id}/corrections"): [
        Example(lambda world: world.new_file(), _json({"rows": [{"_row": 2, "values": {"n": "2"}}]}), 202)
    ],
    ("GET", "/api/v1/files/{file_id}/corrections/earlier"): [Example(_of("file"))],
    ("POST", "/api/v1/files/{file_id}/corrections/earlier"): [
        Example(_of("file"), _json({"job_id": str(uuid4())}), 404)  # no earlier job
    ],
    ("DELETE", "/api/v1/files/{file_id}"): [Example(lambda world: world.new_file(), status=204)],
    ("OPTIONS", "/api/v1/uploads"): [Example(status=204)],
    ("POST", "/api/v1/uploads"): [Example(given=_tus({"Upload-Length": "5"}), status=201)],
    ("OPTIONS", "/api/v1/uploads/{upload_id}"): [Example(_of("upload"), status=204, unknown_status=204)],
    ("GET", "/api/v1/uploads/{upload_id}"): [Example(_of("upload"))],
    ("PATCH", "/api/v1/uploads/{upload_id}"): [Example(_of("upload"), _tus({"Upload-Offset": "0"}), 204)],
    ("POST", "/api/v1/uploads/{upload_id}"): [
        Example(_of("upload"), _tus({"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}), 204)
    ],
    ("DELETE", "/api/v1/uploads/{upload_id}"): [Example(_of("upload"), _tus({}), 204)],
    ("GET", "/api/v1/jobs"): [
        Example(),
        Example(_of("file"), lambda ids: {"params": {"parent": ids["job_id"]}}, unknown_status=200),
    ],
    ("GET", "/api/v1/jobs/labels"): [Example()],
    ("POST", "/api/v1/jobs/bulk"): [
        Example(
            _of("file"),
            lambda ids: {"json": {"action": "label", "jobs": [ids["job_id"]], "add_labels": ["x"]}},
            unknown_status=200,
        )
    ],
    ("GET", "/api/v1/jobs/events"): [Example(given=lambda ids: {"params": {"limit": 1}})],
    ("GET", "/api/v1/system"): [Example()],
    ("GET", "/api/v1/system/history"): [Example(given=lambda ids: {"params": {"hours": 1}})],
    ("GET", "/api/v1/system/settings"): [_admin()],
    ("GET", "/api/v1/retention"): [_admin(given=lambda ids: {"params": {"jobs": 36500}})],
    ("GET", "/api/v1/jobs/{job_id}"): [Example(_of("file"))],
    ("PATCH", "/api/v1/jobs/{job_id}"): [Example(_of("file"), _json({"priority": 3}), 409)],
    ("GET", "/api/v1/jobs/{job_id}/proof"): [Example(_of("file"))],
    ("GET", "/api/v1/jobs/{job_id}/chunks"): [Example(_of("file"))],
    ("POST", "/api/v1/jobs/{job_id}/cancel"): [Example(_of("file"), status=409)],
    ("POST", "/api/v1/jobs/{job_id}/retry"): [Example(_of("file"), status=409)],
    ("GET", "/api/v1/jobs/{job_id}/status"): [Example(_of("file"))],
    ("GET", "/api/v1/jobs/{job_id}/result"): [Example(_of("analysis"))],
    ("POST", "/api/v1/jobs/analyze"): [Example(_of("file"), lambda ids: {"json": {"file_id": ids["file_id"]}}, 202)],
    ("POST", "/api/v1/jobs/mapping"): [
        Example(
            _of("file"),
            lambda ids: {"json": {"input_file_id": ids["file_id"], "reference_file_id": ids["file_id"]}},
            202,
        )
    ],
    ("POST", "/api/v1/jobs/batch"): [
        Example(_of("file"), lambda ids: {"json": {"file_ids": [ids["file_id"]], "job_type": "analyze"}}, 202)
    ],
    ("POST", "/api/v1/undo/{job_id}"): [Example(_of("file"), status=409)],
    ("POST", "/api/v1/jobs/transform"): [
        Example(
            _of("file"), lambda ids: {"json": {"input_file_id": ids["file_id"], "mapping": {"others": "keep"}}}, 202
        )
    ],
    ("POST", "/api/v1/jobs"): [
        Example(
            _of("file"),
            lambda ids: {"json": {"type": "sentiment", "file_id": ids["file_id"], "options": {"model": "vader"}}},
            202,
        )
    ],
    ("GET", "/api/v1/job-types"): [Example()],
    ("POST", "/api/v1/preview"): [
        Example(given=lambda ids: {"content": b"id\n1\n"}),
        Example(_of("file"), lambda ids: {"params": {"file_id": ids["file_id"]}}, 200),
    ],
    ("POST", "/api/v1/jobs/score"): [
        Example(given=_json(SCORE), status=503),
        Example(_of("file"), lambda ids: {"json": {"file_id": ids["file_id"]}}, 422),
    ],
    ("GET", "/api/v1/templates"): [Example()],
    ("POST", "/api/v1/templates"): [
        Example(given=_json(TEMPLATE | {"name": "t"}), status=201),
        Example(_of("analysis"), lambda ids: {"json": {"name": "t", "job_id": ids["job_id"]}}, 409),
    ],
    ("GET", "/api/v1/templates/{template_id}"): [Example(_of("template"))],
    ("PUT", "/api/v1/templates/{template_id}"): [Example(_of("template"), _json({"columns": []}))],
    ("DELETE", "/api/v1/templates/{template_id}"): [Example(_of("template"), status=204)],
    ("GET", "/api/v1/connections"): [_admin()],
    ("GET", "/api/v1/tables"): [_admin()],
    ("GET", "/api/v1/tables/{name}"): [_admin(fixed=(("name", "nowhere"),), status=404)],
    ("GET", "/api/v1/tables/{name}/rows"): [
        _admin(
            fixed=(("name", "nowhere"),), given=lambda ids: {"params": {"key": "1"}}, status=404
        )
    ],
    ("GET", "/api/v1/schedules"): [Example()],
    ("POST", "/api/v1/schedules"): [Example(given=_json(SCHEDULE | {"name": "s"}), status=201)],
    ("GET", "/api/v1/schedules/{schedule_id}"): [Example(_of("schedule"))],
    ("PATCH", "/api/v1/schedules/{schedule_id}"): [Example(_of("schedule"), _json({"paused": True}))],
    ("POST", "/api/v1/schedules/{schedule_id}/run"): [Example(_of("schedule"), status=503)],
    ("DELETE", "/api/v1/schedules/{schedule_id}"): [Example(_of("schedule"), status=204)],
    ("GET", "/api/v1/watches"): [Example()],
    ("POST", "/api/v1/watches"): [Example(given=_json(WATCH | {"name": "w"}), status=201)],
    ("GET", "/api/v1/watches/{watch_id}"): [Example(_of("watch"))],
    ("PATCH", "/api/v1/watches/{watch_id}"): [Example(_of("watch"), _json({"paused": True}))],
    ("POST", "/api/v1/watches/{watch_id}/run"): [Example(_of("watch"), status=202)],
    ("GET", "/api/v1/watches/{watch_id}/objects"): [Example(_of("watch"))],
    ("DELETE", "/api/v1/watches/{watch_id}"): [Example(_of("watch"), status=204)],
    ("GET", "/api/v1/webhooks"): [Example()],
    ("POST", "/api/v1/webhooks"): [Example(given=_json({"url": "https://any.invalid/"}), status=201)],
    ("GET", "/api/v1/webhooks/{webhook_id}"): [Example(_of("webhook"))],
    ("PATCH", "/api/v1/webhooks/{webhook_id}"): [Example(_of("webhook"), _json({"enabled": True}))],
    ("POST", "/api/v1/webhooks/{webhook_id}/rotate"): [Example(_of("webhook"))],
    ("POST", "/api/v1/webhooks/{webhook_id}/test"): [Example(_of("webhook"), status=202)],
    ("GET", "/api/v1/webhooks/{webhook_id}/deliveries"): [Example(_of("webhook"))],
    ("POST", "/api/v1/webhooks/{webhook_id}/deliveries/{message_id}/replay"): [Example(_of("message"), status=202)],
    ("DELETE", "/api/v1/webhooks/{webhook_id}"): [Example(_of("webhook"), status=204)],
    ("POST", "/batch/upload"): [Example(given=lambda ids: {"files": {"file": ("b.csv", b"text\nfine\n", "text/csv")}})],
    ("GET", "/batch/{batch_id}"): [Example(_of("batch"))],
    ("GET", "/batch/{batch_id}/results"): [Example(_of("batch"))],
    ("GET", "/batches"): [Example(leaks=lambda answer: any(b["total_count"] != 1 for b in answer.json()))],
    ("DELETE", "/batch/{batch_id}"): [Example(_of("batch"))],
    ("POST", "/api/upload"): [
        Example(given=lambda ids: {"files": ANY_PEOPLE}, status=201)
    ],
    ("GET", "/api/imports"): [Example()],
    ("GET", "/api/imports/{import_id}"): [Example(_of("imported"))],
    ("POST", "/api/records/search"): [
        Example(given=_json({}), leaks=lambda answer: len(answer.json()["records"]) > 1),
        Example(_of("imported"), lambda ids: {"json": {"import_id": int(ids["import_id"])}}, unknown_status=200),
    ],
    ("GET", "/api/stats"): [Example(leaks=lambda answer: answer.json()["total_imports"] > 1)],
    ("DELETE", "/api/imports/{import_id}"): [Example(_of("imported"))],
    ("GET", "/api/v1/me"): [Example(leaks=lambda answer: answer.json()["user_id"] == "owner")],
    ("DELETE", "/api/v1/session"): [Example(status=204)],
    ("GET", "/api/v1/users"): [_admin()],
    ("POST", "/api/v1/users"): [_admin(given=_json({"user_id": "fourth"}), status=201)],
    ("GET", "/api/v1/users/{user_id}"): [_admin("key")],
    ("GET", "/api/v1/users/{user_id}/keys"): [_admin("key")],
    ("POST", "/api/v1/users/{user_id}/keys"): [_admin("key", given=_json({}), status=201)],
    ("DELETE", "/api/v1/users/{user_id}/keys/{key_id}"): [_admin("key", status=204)],
    ("DELETE", "/api/v1/users/{user_id}"): [_admin("key", status=204)],
}  # fmt: skip
"""In this order: routes that delete come after routes that read."""
ELSEWHERE = {("POST", "/api/v1/session")}
"""Open, with a test of its own: the key is in the body."""
