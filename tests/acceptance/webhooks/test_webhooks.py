"""The webhook endpoints over a real server and a real receiver, on both databases; another library
checks the signatures.
"""

from __future__ import annotations

from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from tests.harness import Api, Parameter, wait_until
from tests.webhooks.receiver import Receiver

UNKNOWN = "00000000-0000-4000-8000-000000000000"
HOOKS = "/api/v1/webhooks"


def made(
    api: Api, receiver: Receiver, *answers: int | tuple[int, dict[str, str]], **given: Any
) -> dict[str, Any]:
    """A webhook to a path of its own with these responses; with `path` and `secret`."""
    path = receiver.path(*answers)
    answer = api.client.post(HOOKS, json={"url": receiver.url(path), **given})
    assert answer.status_code == 201, answer.text
    return {**answer.json(), "path": path}


def log(api: Api, hook: dict[str, Any], **params: Parameter) -> list[dict[str, Any]]:
    answer = api.client.get(f"{HOOKS}/{hook['id']}/deliveries", params=params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def ended(api: Api, hook: dict[str, Any]) -> dict[str, Any]:
    """Return the only delivery of the webhook, once it is delivered or failed."""

    def final() -> dict[str, Any] | None:
        items = log(api, hook)
        assert len(items) <= 1
        return items[0] if items and items[0]["status"] != "pending" else None

    return wait_until(final, 20, "end of the delivery") or {}


@pytest.fixture(autouse=True)
def none_left(api: Api) -> Any:
    yield
    for hook in api.client.get(HOOKS).json()["items"]:
        assert api.client.delete(f"{HOOKS}/{hook['id']}").status_code == 204


def test_the_end_of_a_job_is_sent_once_signed_and_logged(api: Api, receiver: Receiver) -> None:
    hook = made(api, receiver)
    assert hook["secret"].startswith("whsec_")
    assert "secret" not in api.client.get(f"{HOOKS}/{hook['id']}").json()
    status = api.run(b"id\n1\n2\n")
    delivery = ended(api, hook)
    (message,) = receiver.received(hook["path"])
    content = message.verified(hook["secret"])
    assert content["type"] == "job.completed"
    assert content["timestamp"] == status["finished_at"]
    assert content["data"]["job_id"] == status["job_id"]
    assert content["data"]["rows"] == status["rows"]
    assert (delivery["status"], delivery["id"], delivery["body"]) == (
        "delivered",
        message.id,
        message.body.decode(),
    )
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [204]
    with pytest.raises(WebhookVerificationError):
        message.verified("whsec_AAAA")


def test_each_final_status_is_sent_and_a_job_with_parts_is_sent_once(
    api: Api, receiver: Receiver
) -> None:
    hook = made(api, receiver)
    told = []
    told.append((api.run(b"id,n\n1,2\n3\n")["job_id"], "job.completed_with_errors"))
    told.append((api.run(b"id\nbad\n", processor="fussy")["job_id"], "job.failed"))
    waiting = api.upload(b"id\n1\n", processor="waiting")["job_id"]
    assert api.client.post(f"/api/v1/jobs/{waiting}/cancel").status_code == 200
    told.append((waiting, "job.cancelled"))
    deleted = api.upload(b"id\n1\n", processor="waiting")
    assert api.client.delete(f"/api/v1/files/{deleted['file_id']}").status_code == 204
    told.append((deleted["job_id"], "job.cancelled"))
    file_id = api.run(b"id\n5\n")["file_id"]
    body = {"input_file_id": file_id, "reference_file_id": file_id}
    parent = api.client.post("/api/v1/jobs/mapping", json=body).json()["job_id"]
    receiver.received(hook["path"], 6)
    wait_until(
        lambda: not api.client.get(f"/api/v1/jobs/{parent}/status").json()["is_active"],
        30,
        "the mapping",
    )
    messages = [each.content for each in receiver.received(hook["path"], 6)]
    found = [(message["data"]["job_id"], message["type"]) for message in messages]
    assert set(told) <= set(found)
    assert found.count((parent, "job.completed")) == 1
    assert len(found) == 6  # the two parts sent nothing
    # again: no second message
    assert api.client.post(f"/api/v1/jobs/{waiting}/cancel").status_code == 200
    assert len(log(api, hook)) == 6


def test_a_correction_is_sent_and_the_corrected_job_is_sent_again(
    api: Api, receiver: Receiver
) -> None:
    job = api.run(b"id,n\n1,2\n3\n4\n")
    hook = made(api, receiver)
    url = f"/api/v1/files/{job['file_id']}/corrections"
    corrections = []
    for count, line in ((1, b"3,4,2\n"), (3, b"4,5,3\n")):
        answer = api.client.post(
            url, content=b"id,n,_row\n" + line, headers={"Content-Type": "text/csv"}
        )
        assert answer.status_code == 202, answer.text
        corrections.append(answer.json()["job_id"])
        receiver.received(hook["path"], count)
        api.finished(answer.json()["file_id"])
    told = {each.id: each.verified(hook["secret"]) for each in receiver.received(hook["path"], 3)}
    found = {each["data"]["job_id"]: each for each in told.values()}
    assert len(log(api, hook)) == len(told) == len(found) == 3
    assert {each["type"] for each in told.values()} == {"job.completed"}
    for correction in corrections:
        assert found[correction]["data"]["corrects"] == job["job_id"]
        assert found[correction]["data"]["rows"]["ok"] == 1
    again = found[job["job_id"]]
    assert again["data"]["corrects"] is None
    assert again["data"]["rows"] == {
        "total": 3,
        "ok": 3,
        "invalid": 0,
        "failed": 0,
        "unprocessed": 0,
    }
    assert again["timestamp"] > again["data"]["finished_at"]


def test_retry_after_is_respected_and_redirects_are_not_followed(
    api: Api, receiver: Receiver
) -> None:
    target = receiver.path()
    redirect = (307, {"Location": receiver.url(target)})
    hook = made(api, receiver, 500, (429, {"Retry-After": "1"}), redirect)
    api.run(b"id\n1\n")
    delivery = ended(api, hook)
    messages = receiver.received(hook["path"], 4)
    assert {message.id for message in messages} == {delivery["id"]}
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [500, 429, 307, 204]
    assert messages[2].at - messages[1].at >= 1.0
    assert not receiver.messages[target]
    for message in messages:
        message.verified(hook["secret"])


def test_a_message_is_given_up_and_can_be_replayed_with_its_id(
    api: Api, receiver: Receiver
) -> None:
    hook = made(api, receiver, 500, 500, 500, 500)
    api.run(b"id\n1\n")
    delivery = ended(api, hook)
    assert (delivery["status"], len(delivery["attempts"])) == ("failed", 4)
    answer = api.client.post(f"{HOOKS}/{hook['id']}/deliveries/{delivery['id']}/replay")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert receiver.received(hook["path"], 5)[-1].id == delivery["id"]
    assert ended(api, hook)["status"] == "delivered"
    assert (
        api.client.post(f"{HOOKS}/{hook['id']}/deliveries/msg_{UNKNOWN}/replay").status_code == 404
    )
    assert api.client.post(f"{HOOKS}/{hook['id']}/deliveries/nonsense/replay").status_code == 404


def test_410_disables_the_webhook_until_it_is_enabled(api: Api, receiver: Receiver) -> None:
    hook = made(api, receiver, 410)
    assert api.client.post(f"{HOOKS}/{hook['id']}/test").status_code == 202
    assert ended(api, hook)["status"] == "failed"
    assert receiver.received(hook["path"])[0].verified(hook["secret"])["type"] == "webhook.test"
    body = wait_until(
        lambda: (b := api.client.get(f"{HOOKS}/{hook['id']}").json()) and not b["enabled"] and b
    )
    assert body["disabled_reason"] == "gone"
    assert api.client.post(f"{HOOKS}/{hook['id']}/test").json()["code"] == "webhook_disabled"
    api.run(b"id\n1\n")
    assert len(log(api, hook)) == 1  # nothing is sent while it is disabled
    body = api.client.patch(f"{HOOKS}/{hook['id']}", json={"enabled": True}).json()
    assert (body["enabled"], body["disabled_reason"]) == (True, None)
    api.run(b"id\n1\n")
    receiver.received(hook["path"], 2)


def test_after_a_rotation_two_secrets_verify_and_the_one_before_does_not(
    api: Api, receiver: Receiver
) -> None:
    hook = made(api, receiver)
    secrets = [hook["secret"]]
    for count in (1, 2):
        answer = api.client.post(f"{HOOKS}/{hook['id']}/rotate").json()
        assert answer["old_secret_until"]
        secrets.append(answer["secret"])
        api.client.post(f"{HOOKS}/{hook['id']}/test")
        message = receiver.received(hook["path"], count)[-1]
        for secret in secrets[-2:]:
            message.verified(secret)
    with pytest.raises(WebhookVerificationError):
        message.verified(secrets[0])


def test_a_message_survives_its_job_and_waits_while_the_webhook_is_disabled(
    api: Api, receiver: Receiver
) -> None:
    hook = made(api, receiver, (503, {"Retry-After": "1"}))
    status = api.run(b"id\n1\n")
    receiver.received(hook["path"])
    api.client.patch(f"{HOOKS}/{hook['id']}", json={"enabled": False})
    assert api.client.delete(f"/api/v1/files/{status['file_id']}").status_code == 204
    wait_until(lambda: api.client.get(f"/api/v1/status/{status['file_id']}").status_code == 404)
    api.client.patch(f"{HOOKS}/{hook['id']}", json={"enabled": True})
    assert ended(api, hook)["status"] == "delivered"
    assert receiver.received(hook["path"], 2)[-1].content["data"]["job_id"] == status["job_id"]


def test_only_subscribed_events_are_sent_and_the_log_has_pages(
    api: Api, receiver: Receiver
) -> None:
    hook = made(api, receiver, events=["job.failed"])
    api.run(b"id\n1\n")
    assert log(api, hook) == []
    body = api.client.patch(f"{HOOKS}/{hook['id']}", json={"events": ["job.completed"]}).json()
    assert body["events"] == ["job.completed"]
    for _ in range(3):
        api.run(b"id\n1\n")
    first = api.client.get(f"{HOOKS}/{hook['id']}/deliveries", params={"limit": 2}).json()
    second = log(api, hook, limit=2, before=first["next_before"])
    numbers = [item["number"] for item in (*first["items"], *second)]
    assert len(numbers) == 3
    assert numbers == sorted(numbers, reverse=True)
    receiver.received(hook["path"], 3)
    wait_until(lambda: log(api, hook, status="pending") == [])


def test_invalid_requests_are_refused(api: Api, receiver: Receiver) -> None:
    post = api.client.post
    for url in (
        "",
        "ftp://example.com/",
        "https://",
        "https://a:b@example.com/",
        "https://example.com/#x",
        "nonsense",
    ):
        assert post(HOOKS, json={"url": url}).status_code == 422, url
    assert post(HOOKS, json={"url": "https://example.com/" + "x" * 2048}).status_code == 422
    bodies: tuple[dict[str, Any], ...] = (
        {},
        {"url": 5},
        {"url": "https://example.com", "events": []},
        {"url": "https://example.com", "x": 1},
    )
    for wrong in bodies:
        assert post(HOOKS, json=wrong).status_code == 422
    assert (
        post(HOOKS, json={"url": "https://example.com", "events": ["job.exploded"]}).status_code
        == 422
    )
    hook = made(api, receiver)
    for change in ({"enabled": "yes"}, {"url": "ftp://x"}, {"owner": "me"}):
        assert api.client.patch(f"{HOOKS}/{hook['id']}", json=change).status_code == 422
    for identifier in (UNKNOWN, "nonsense"):
        path = f"{HOOKS}/{identifier}"
        calls = [
            api.client.get(path), api.client.patch(path, json={"enabled": True}), api.client.delete(path),
            post(f"{path}/rotate"), post(f"{path}/test"), api.client.get(f"{path}/deliveries"),
            post(f"{path}/deliveries/msg_{UNKNOWN}/replay"),
        ]  # fmt: skip
        assert [answer.status_code for answer in calls] == [404] * len(calls)
