"""The model service of these tests: the real one, as a process."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

import httpx

from app.features.scoring.model_service.transactions import COLUMNS, make
from tests.commands import Command
from tests.harness import ROOT, wait_until


class ModelService:
    """`python -m app ml-api` on a free port, trained on little data so that it starts fast."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "ml-api.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "app",
                    "ml-api",
                    "--port",
                    str(self.port),
                    "--train-on",
                    "2000",
                ],
                cwd=ROOT,
                env=os.environ,
                stdout=log,
                stderr=log,
            )
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        wait_until(self._is_up, 60, "model service up")

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def misbehave(self, **faults: object) -> None:
        """Set the faults from now on, and reset the counters."""
        self.client.delete("/stats").raise_for_status()
        self.client.put("/faults", json=faults).raise_for_status()

    def stats(self) -> dict[str, Any]:
        return dict(self.client.get("/stats").json())

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(30)


def transactions(count: int, *, seed: int = 1, **changed: dict[int, str]) -> bytes:
    """Return CSV; `changed` maps a column to values of some rows (from 1)."""
    out = io.StringIO()
    out.write(",".join(COLUMNS) + "\n")
    for number, each in enumerate(make(count, seed=seed), 1):
        fields = {
            name: changed.get(name, {}).get(number, value) for name, value in each.fields.items()
        }
        out.write(",".join(str(fields[name]) for name in COLUMNS) + "\n")
    return out.getvalue().encode()


class Bucket:
    """A bucket of a real S3 server over HTTP: of moto in a thread, or the one named by
    TEST_S3_URL.
    """

    def __init__(self, name: str) -> None:
        import boto3

        self._server: Any = None
        named = urlsplit(os.environ.get("TEST_S3_URL", ""))
        if named.hostname:
            self.endpoint = f"{named.scheme}://{named.hostname}:{named.port or (443 if named.scheme == 'https' else 80)}"
            self.key, self.secret = unquote(named.username or ""), unquote(named.password or "")
        else:
            from moto.moto_server.threaded_moto_server import ThreadedMotoServer

            self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
            self._server.start()
            self.endpoint = "http://{}:{}".format(*self._server.get_host_and_port())
            self.key = self.secret = "minioadmin"
        self.name = name
        keys = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret}
        self._client = boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", **keys
        )
        self._client.create_bucket(Bucket=name)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "KEY": self.key,
            "SECRET": self.secret,
            "ENDPOINT_URL": self.endpoint,
            "BUCKET": self.name,
        }

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=data)

    def keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [content["Key"] for page in pages for content in page.get("Contents", [])]

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self.name, Key=key)

    def clear(self) -> None:
        """Delete all objects, a page of the listing at a time."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        for page in pages:
            objects = [{"Key": content["Key"]} for content in page.get("Contents", [])]
            if objects:
                self._client.delete_objects(Bucket=self.name, Delete={"Objects": objects})

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            return
        self.clear()
        self._client.delete_bucket(Bucket=self.name)


class Pipeline:
    """`python -m app pipeline` as a process, forked from one that has imported everything."""

    def __init__(self, url: str, folder: Path, **environment: object) -> None:
        self.url = url
        self.folder = folder
        self.environment = {key: str(value) for key, value in environment.items()}
        self.process: Command | None = None
        self._reading: TextIO

    def whole_environment(self, **extra: object) -> dict[str, str]:
        inherited = {
            k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "GRANULA_FAIL")
        }
        environment = (
            inherited
            | {"DATABASE_URL": self.url, "STORAGE_DIR": str(self.folder)}
            | self.environment
        )
        return environment | {key: str(value) for key, value in extra.items()}

    def launch(self, *arguments: str, **extra: object) -> None:
        reading, writing = os.pipe()
        with open(os.devnull) as nothing:
            self.process = Command(
                ("app", "pipeline", *self.log_file, *arguments),
                self.whole_environment(**extra),
                (nothing.fileno(), writing, writing),
                computing_log=self.folder.parent / "computing.log",
            )
        os.close(writing)
        self._reading = open(reading, encoding="utf-8")

    @property
    def log_file(self) -> tuple[str, str]:
        return ("--log-file", str(self.folder / "logs" / "batch_pipeline.log"))

    def finish(self, seconds: float = 60) -> tuple[int, list[str]]:
        """Return (exit code, lines)."""
        assert self.process is not None
        with self._reading, ThreadPoolExecutor(1) as threads:
            out = threads.submit(self._reading.read)
            try:
                code = self.process.wait(seconds)
            except BaseException:
                self.process.kill()
                raise
            return code, out.result().splitlines()

    def kill_after(self, seconds: float) -> None:
        """Send SIGKILL this long after it printed its run id, wherever it is."""
        assert self.process is not None
        with self._reading:
            line = ""
            while "Pipeline Run ID" not in line:
                line = self._reading.readline()
                assert line, "it ended by itself"
            deadline = time.monotonic() + seconds
            while self.process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            self.process.kill()
            self.process.wait()

    def run(self, *arguments: str, **extra: object) -> tuple[int, list[str]]:
        self.launch(*arguments, **extra)
        return self.finish()

    def run_from_nothing(self, **extra: object) -> tuple[int, list[str]]:
        """Run in a new interpreter, with new ones as compute processes."""
        done = subprocess.run(
            [sys.executable, "-m", "app", "pipeline", *self.log_file],
            cwd=ROOT,
            env=self.whole_environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout.splitlines()


class FaultyStore:
    """A proxy in front of a bucket that spoils responses on demand, one fault per response, in
    order.
    """

    def __init__(self, bucket: Bucket) -> None:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                store.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._bucket = bucket
        self._client = httpx.Client(base_url=bucket.endpoint, trust_env=False, timeout=30)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.faults: list[str] = []
        self.requests: list[tuple[str, str, str]] = []
        """(path, Range, If-Match)"""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        sent = request.headers.get("Range", "")
        self.requests.append((request.path, sent, request.headers.get("If-Match", "")))
        is_list = bool(self.faults) and self.faults[0].isdigit() and "list-type" in request.path
        fault = self.faults.pop(0) if self.faults and (sent or is_list) else ""
        if fault.isdigit():
            code = {"403": "AccessDenied", "503": "SlowDown", "404": "NoSuchKey"}[fault]
            self._send(request, int(fault), {}, f"<Error><Code>{code}</Code></Error>".encode())
            return
        # All headers, Host too: the server verifies the signature of the client.
        headers = {
            k: v
            for k, v in request.headers.items()
            if k.lower() not in ("connection", "accept-encoding")
        }
        real = self._client.request(request.command, request.path, headers=headers)
        kept = {
            k: v
            for k, v in real.headers.items()
            if k.lower() in ("etag", "content-range", "last-modified", "content-type")
        }
        if request.command == "HEAD":
            kept["Content-Length"] = real.headers["content-length"]
        self._send(request, real.status_code, kept, real.content, fault)

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        body: bytes,
        fault: str = "",
    ) -> None:
        """`cut` ends the connection in the middle of the body; `reset` resets it there."""
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if "Content-Length" not in headers:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: random.randrange(len(body))] if fault else body)
        if fault:
            request.close_connection = True
        if fault == "reset":
            request.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            # shutdown(), which the server would call, closes it cleanly
            os.close(request.connection.detach())

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()
