"""Resumable uploads across deaths of the service: the file equals the sent one, is stored once, and
no acknowledged byte is lost.
"""

from __future__ import annotations

import base64
import hashlib

import httpx
import pytest

from tests.crash.service import RECOVERY_SECONDS, Input, assert_disk_agrees
from tests.engine import Engine
from tests.uploads.tus import create, offset_of, send

GIVEN = Input.clean(4_000)
"""Some 70 kB."""
PIECE = 20_000


def send_rest(client: httpx.Client, url: str, *, with_checksum: bool) -> None:
    """Send from the offset of the service, piece by piece."""
    offset = offset_of(client, url)
    while offset < len(GIVEN.data):
        piece = GIVEN.data[offset : offset + PIECE]
        digest = base64.b64encode(hashlib.sha1(piece).digest()).decode()
        checksum = {"Upload_Checksum": f"sha1 {digest}"} if with_checksum else {}
        answer = send(client, url, offset, piece, **checksum)
        assert answer.status_code == 204, answer.text
        offset = int(answer.headers["upload-offset"])


@pytest.mark.parametrize("with_checksum", [False, True], ids=["plain", "checksum"])
@pytest.mark.parametrize(
    ("point", "occurrence"),
    [
        ("tus.created", 1),
        ("tus.piece_written", 3),
        ("tus.appended", 2),
        ("tus.settled", 1),
        ("upload.after_rename", 1),
        ("upload.after_commit", 1),
    ],
)
def test_a_killed_service_loses_no_acknowledged_bytes(
    engine: Engine, point: str, occurrence: int, with_checksum: bool
) -> None:
    url = ""
    engine.start(GRANULA_FAIL=f"{point}=kill@{occurrence}")
    with engine.client() as client:
        try:
            url = create(client, len(GIVEN.data), filename="sent.csv", filetype="text/csv")
            send_rest(client, url, with_checksum=with_checksum)
        except httpx.TransportError:
            pass
    engine.wait_for_death()
    assert bool(url) == (point != "tus.created")

    engine.start()
    with engine.api() as api:
        if not url:
            url = create(api.client, len(GIVEN.data), filename="sent.csv", filetype="text/csv")
        upload = api.client.get(url).json()
        if point == "tus.piece_written":
            assert upload["offset"] >= PIECE * (occurrence - 1)
            if with_checksum:  # bytes written at the death were never compared with their checksum
                assert upload["offset"] == PIECE * (occurrence - 1)
        if upload["state"] == "uploading":
            send_rest(api.client, url, with_checksum=with_checksum)
        engine.wait_until(
            lambda: api.client.get(url).json()["state"] == "accepted",
            RECOVERY_SECONDS,
            "the file of the upload",
        )
        status = api.finished(api.client.get(url).json()["file_id"])
        assert (status["sha256"], status["rows"]["ok"]) == (GIVEN.sha256, GIVEN.row_count)
        assert len(engine.files()) == 1
    engine.kill()
    engine.sweep()
    assert_disk_agrees(engine)
