"""Measure the memory of the service while it scores gigabytes on an S3 server. Prints Markdown;
asserts nothing.

    TEST_S3_URL=http://KEY:SECRET@127.0.0.1:9000 .venv/bin/python scripts/benchmark_scoring_memory.py
    ... --objects 4 --object-mb 100 --database postgresql

How it is measured:

- Objects of --object-mb with rows of about 20 KB (a transaction with a long free text), all
  different, are put into a bucket of their own on the S3 server, and removed afterwards.
- The service is a real server process with default settings on an empty database. The model service
  is the stub of benchmark_scoring.py, which answers each call after 50 ms. One job scores all
  objects.
- Every 100 ms: the resident memory of the service, of its largest compute process, and of all of
  them together, in which shared pages count once for each. The report has the peaks, and those of
  the first tenth of the rows next to those of the last, where growth would show.
- Every run ends with a check: as many predictions as rows, and the proof holds.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import httpx
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.features.scoring.model_service.transactions import COLUMNS, make
from scripts.benchmark_scoring import ROOT, answered, free_port, postgresql, process

STUB = ROOT / "scripts" / "benchmark_scoring.py"
TEXT_BYTES = 20_000
PART_BYTES = 16 << 20
WORDS = (
    "the of payment card account refused transfer invoice customer called asked again about a"
    " refund for order".split()
)
MIB = 1 << 20


@dataclass(slots=True)
class Peaks:
    """Peaks of resident memory in bytes."""

    service: int = 0
    service_ever: int = 0
    """Peak reported by the kernel, including the start and the proof."""
    compute: int = 0
    """Peak of one compute process."""
    together: int = 0
    processes: int = 0
    by_tenth: dict[int, int] = field(default_factory=dict)
    """Peak of all together, for each tenth of the rows."""

    def look(self, server: psutil.Process, tenth: int) -> None:
        own = server.memory_info().rss
        others = []
        for child in server.children(recursive=True):
            try:
                others.append(child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        self.service = max(self.service, own)
        self.compute = max([self.compute, *others])
        self.together = max(self.together, own + sum(others))
        self.processes = max(self.processes, len(others))
        self.by_tenth[tenth] = max(self.by_tenth.get(tenth, 0), own + sum(others))


def wide_rows(number: int, size: int) -> Iterator[bytes]:
    """Yield a CSV of about `size` bytes in pieces: the columns of a transaction and a text."""
    rng = random.Random(number)
    vocabulary = [*WORDS, *(f"{rng.randrange(10**8)}" for _ in range(500))]
    texts = [" ".join(rng.choices(vocabulary, k=TEXT_BYTES // 6))[:TEXT_BYTES] for _ in range(50)]
    yield (",".join(COLUMNS) + ",note\n").encode()
    written = 0
    for each in make(size // TEXT_BYTES, seed=1000 + number):
        row = ",".join(str(each.fields[name]) for name in COLUMNS)
        line = f"{row},{rng.randrange(10**9)} {rng.choice(texts)}\n".encode()
        written += len(line)
        yield line
        if written >= size:
            return


@contextmanager
def filled_bucket(client: Any, objects: int, size: int) -> Iterator[str]:
    """Yield the name of a bucket with these objects."""
    name = f"granula-{uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    try:
        for number in range(objects):
            key = f"part-{number:03}.csv"
            upload = client.create_multipart_upload(Bucket=name, Key=key)["UploadId"]
            parts: list[dict[str, Any]] = []
            held = bytearray()
            in_part = iter(wide_rows(number, size))
            done = False
            while not done:
                line = next(in_part, None)
                done = line is None
                held += line or b""
                if len(held) >= PART_BYTES or done:
                    part_number = len(parts) + 1
                    uploaded = client.upload_part(
                        Bucket=name,
                        Key=key,
                        UploadId=upload,
                        PartNumber=part_number,
                        Body=bytes(held),
                    )
                    parts.append({"PartNumber": part_number, "ETag": uploaded["ETag"]})
                    held.clear()
            client.complete_multipart_upload(
                Bucket=name, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        yield name
    finally:
        for key in client.list_objects_v2(Bucket=name).get("Contents", []):
            client.delete_object(Bucket=name, Key=key["Key"])
        client.delete_bucket(Bucket=name)


def follow(
    client: httpx.Client, server: psutil.Process, job_id: str
) -> tuple[dict[str, Any], Peaks]:
    """Follow the job; return its final status."""
    peaks, asked_at = Peaks(), 0.0
    status: dict[str, Any] = {"progress_percent": 0.0, "finished_at": None}
    while not status["finished_at"]:
        if time.monotonic() - asked_at > 1:
            status, asked_at = client.get(f"/api/v1/jobs/{job_id}").json(), time.monotonic()
        peaks.look(server, min(9, int(status["progress_percent"] / 10)))
        time.sleep(0.1)
    return status, peaks


def run(s3: dict[str, str], url: str, bucket: str) -> tuple[Peaks, float]:
    """Return (peaks, seconds)."""
    port, stub_port = free_port(), free_port()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="granula-"))
        url = url or f"sqlite+aiosqlite:///{Path(folder) / 'granula.db'}"
        environment = {
            "DATABASE_URL": url,
            "STORAGE_DIR": folder,
            "ML_API_URL": f"http://127.0.0.1:{stub_port}",
            **s3,
        }
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            env=os.environ | environment,
            check=True,
            capture_output=True,
        )
        stack.enter_context(
            process(sys.executable, str(STUB), "--stub", str(stub_port), "--without-faults")
        )
        answered(f"http://127.0.0.1:{stub_port}/stats")
        command = (
            sys.executable,
            "-m",
            "uvicorn",
            "app.main:app",
            "--port",
            str(port),
            "--no-access-log",
        )
        server = stack.enter_context(process(*command, **environment))
        answered(f"http://127.0.0.1:{port}/ready")
        client = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        )
        began = time.monotonic()
        response = client.post("/api/v1/jobs/score", json={"source": f"s3://{bucket}/*.csv"})
        response.raise_for_status()
        status, peaks = follow(client, server, response.json()["job_id"])
        seconds = time.monotonic() - began
        print(f"Scored in {seconds:.0f} s, the peaks until then: {peaks}", flush=True)
        proof = client.get(f"/api/v1/jobs/{status['job_id']}/proof", timeout=900).json()
        inserted = status["summary"]["written"]["predictions"]["inserted"]
        rows = status["rows"]["total"]
        if not proof["closes"] or status["rows"]["ok"] != rows or inserted != rows:
            raise SystemExit(
                f"the run is wrong: {status['rows']}, {inserted} inserted, proof {proof['closes']}"
            )
        for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peaks.service_ever = int(line.split()[1]) << 10
    print(f"{rows:,} rows, all scored; the proof closes")
    return peaks, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--objects", type=int, default=10)
    parser.add_argument("--object-mb", type=int, default=500, help="MB (10^6 bytes)")
    parser.add_argument(
        "--bucket",
        default="",
        help="with objects that are there already, and stay, instead of filling one",
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument(
        "--postgres",
        default="",
        help="URL of an empty database; by default a private server is started",
    )
    arguments = parser.parse_args()
    named = urlsplit(os.environ.get("TEST_S3_URL", ""))
    if not named.hostname:
        raise SystemExit("Name an S3 server: TEST_S3_URL=http://KEY:SECRET@HOST:PORT")
    s3 = {
        "KEY": named.username or "",
        "SECRET": named.password or "",
        "ENDPOINT_URL": f"{named.scheme}://{named.hostname}:{named.port or 80}",
    }
    client = boto3.client(
        "s3",
        endpoint_url=s3["ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=s3["KEY"],
        aws_secret_access_key=s3["SECRET"],
    )
    with ExitStack() as stack:
        began = time.monotonic()
        bucket = arguments.bucket or stack.enter_context(
            filled_bucket(client, arguments.objects, arguments.object_mb * 10**6)
        )
        found = client.list_objects_v2(Bucket=bucket)["Contents"]
        size = sum(each["Size"] for each in found)
        print(
            f"{len(found)} objects, {size / 1e9:.2f} GB, there after"
            f" {time.monotonic() - began:.0f} s",
            flush=True,
        )
        url = (
            stack.enter_context(postgresql(arguments.postgres))
            if arguments.database == "postgresql"
            else ""
        )
        peaks, seconds = run(s3, url, bucket)
    columns = (
        "database | MB/s | service: peak MiB | with the proof | one compute process | all together"
        " | 1st tenth | last"
    )
    print(f"\n| {columns} |\n" + "|---" * 8 + "|")
    sizes = (
        peaks.service,
        peaks.service_ever,
        peaks.compute,
        peaks.together,
        *(peaks.by_tenth.get(n, 0) for n in (0, 9)),
    )
    told = " | ".join(f"{size / MIB:.0f}" for size in sizes)
    print(f"| {arguments.database} | {size / 1e6 / seconds:.0f} | {told} |")


if __name__ == "__main__":
    main()
