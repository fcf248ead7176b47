"""SIGTERM ends the service soon, whatever connections are open."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx

from tests.conftest import Databases
from tests.harness import Api, Server, wait_until


def test_an_open_event_stream_and_a_running_upload_do_not_delay_the_shutdown(
    databases: Databases, tmp_path: Path
) -> None:
    server = Server(
        databases.create(tmp_path / "storage"), tmp_path / "storage", BASE_BACKOFF=1000
    ).start()
    stop = threading.Event()
    seen: list[str] = []
    answers: list[int] = []

    def endless() -> object:
        yield b"id\n"
        while not stop.wait(0.01):
            yield b"1\n"

    def watch(file_id: str) -> None:
        with (
            server.client() as client,
            client.stream("GET", f"/api/v1/status/{file_id}/events") as stream,
        ):
            seen.extend(stream.iter_lines())

    def upload() -> None:
        with server.client() as client:
            try:
                answers.append(client.post("/api/v1/upload", content=endless()).status_code)  # type: ignore[arg-type]
            except httpx.TransportError:
                answers.append(0)

    with server.client() as client:
        file_id = Api(client).upload(b"id\n" + b"1\n" * 500_000, chunk_size=100)["file_id"]
    threads = [threading.Thread(target=watch, args=(file_id,)), threading.Thread(target=upload)]
    try:
        for thread in threads:
            thread.start()
        wait_until(
            lambda: list((tmp_path / "storage" / "uploads").glob("*.part")), what="the upload runs"
        )
        wait_until(lambda: seen, what="the stream runs")
        assert server.stop() in (0, -15)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert answers[0] in (503, 0)
    assert seen
    assert not list((tmp_path / "storage" / "uploads").glob("*.part"))
    assert "Traceback" not in server.tail()
