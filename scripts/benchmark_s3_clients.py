"""Compare clients of S3: ranged GETs that name a version. Prints Markdown;
asserts nothing.

    python -m venv /tmp/s3 && /tmp/s3/bin/pip install obstore aiobotocore
    TEST_S3_URL=http://KEY:SECRET@127.0.0.1:9000 /tmp/s3/bin/python scripts/benchmark_s3_clients.py

aiobotocore is not among the requirements: it wants a botocore of its own, so give this an
environment of its own.

How it is measured: an object of --mb is put on the server. Each client reads all of it in a process
of its own, --repeat times in turns, by GETs of 8 MiB with `If-Match`, 5 at once: obstore from
threads, as the service does, and by its coroutines; aiobotocore by its coroutines. Told are the
best MB/s, the median of the CPU seconds a GB, the CPU seconds that importing it and making a client
take, and the resident memory after that and at the peak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

RANGE_BYTES, AT_ONCE = 8 << 20, 5
CLIENTS = ("obstore, threads", "obstore, coroutines", "aiobotocore")
KEY = "object.bin"


def memory_mib(name: str) -> float:
    """Return VmRSS, the resident memory now, or VmHWM, its peak."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(f"{name}:"))


def ranges(size: int) -> list[tuple[int, int]]:
    return [(start, min(size, start + RANGE_BYTES)) for start in range(0, size, RANGE_BYTES)]


def store_of(s3: dict[str, str]) -> Any:
    from obstore.store import S3Store

    return S3Store(
        s3["bucket"],
        endpoint=s3["endpoint"],
        region="us-east-1",
        access_key_id=s3["key"],
        secret_access_key=s3["secret"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def by_threads(store: Any, etag: str, size: int) -> int:
    import obstore

    def read(place: tuple[int, int]) -> int:
        return len(
            bytes(obstore.get(store, KEY, options={"range": place, "if_match": etag}).bytes())
        )

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sum(threads.map(read, ranges(size)))


async def by_coroutines(store: Any, etag: str, size: int) -> int:
    import obstore

    turn = asyncio.Semaphore(AT_ONCE)

    async def read(place: tuple[int, int]) -> int:
        async with turn:
            answer = await obstore.get_async(store, KEY, options={"range": place, "if_match": etag})
            return len(bytes(await answer.bytes_async()))

    return sum(await asyncio.gather(*map(read, ranges(size))))


async def by_aiobotocore(client: Any, bucket: str, etag: str, size: int) -> int:
    turn = asyncio.Semaphore(AT_ONCE)

    async def read(place: tuple[int, int]) -> int:
        async with turn:
            asked = f"bytes={place[0]}-{place[1] - 1}"
            answer = await client.get_object(Bucket=bucket, Key=KEY, Range=asked, IfMatch=etag)
            async with answer["Body"] as body:
                return len(await body.read())

    return sum(await asyncio.gather(*map(read, ranges(size))))


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def child(which: str, s3: dict[str, str], etag: str, size: int) -> None:
    """Read the object once with one client; print the measurements as JSON."""
    before, bare = cpu_seconds(), memory_mib("VmRSS")
    if which == "aiobotocore":
        from aiobotocore.session import get_session

        making = get_session().create_client(
            "s3",
            endpoint_url=s3["endpoint"],
            region_name="us-east-1",
            aws_access_key_id=s3["key"],
            aws_secret_access_key=s3["secret"],
        )
        async with making as client:
            made, ready = cpu_seconds() - before, memory_mib("VmRSS")
            began, spent = time.perf_counter(), cpu_seconds()
            count = await by_aiobotocore(client, s3["bucket"], etag, size)
            seconds, cpu = time.perf_counter() - began, cpu_seconds() - spent
    else:
        store = store_of(s3)
        made, ready = cpu_seconds() - before, memory_mib("VmRSS")
        began, spent = time.perf_counter(), cpu_seconds()
        if which == "obstore, threads":
            count = await asyncio.to_thread(by_threads, store, etag, size)
        else:
            count = await by_coroutines(store, etag, size)
        seconds, cpu = time.perf_counter() - began, cpu_seconds() - spent
    if count != size:
        raise SystemExit(f"{which}: {count} bytes came, the object has {size}")
    told = {
        "seconds": seconds,
        "cpu": cpu,
        "made": made,
        "ready": ready - bare,
        "peak": memory_mib("VmHWM"),
    }
    print(json.dumps(told))


async def with_object(s3: dict[str, str], size: int, work: Any) -> None:
    from aiobotocore.session import get_session

    making = get_session().create_client(
        "s3",
        endpoint_url=s3["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=s3["key"],
        aws_secret_access_key=s3["secret"],
    )
    async with making as client:
        await client.create_bucket(Bucket=s3["bucket"])
        try:
            made = await client.put_object(Bucket=s3["bucket"], Key=KEY, Body=os.urandom(size))
            await asyncio.to_thread(work, made["ETag"])
        finally:
            await client.delete_object(Bucket=s3["bucket"], Key=KEY)
            await client.delete_bucket(Bucket=s3["bucket"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--mb", type=int, default=256, help="MB (10^6 bytes)")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        told = json.loads(arguments.child)
        asyncio.run(child(told["which"], told["s3"], told["etag"], told["size"]))
        return
    named = urlsplit(os.environ.get("TEST_S3_URL", ""))
    if not named.hostname:
        raise SystemExit("Name an S3 server: TEST_S3_URL=http://KEY:SECRET@HOST:PORT")
    s3 = {
        "endpoint": f"{named.scheme}://{named.hostname}:{named.port or 80}",
        "bucket": f"granula-{uuid4().hex[:12]}",
        "key": unquote(named.username or ""),
        "secret": unquote(named.password or ""),
    }
    size = arguments.mb * 10**6

    def compare(etag: str) -> None:
        found: dict[str, list[dict[str, float]]] = {which: [] for which in CLIENTS}
        for _ in range(arguments.repeat):
            for which in CLIENTS:
                told = json.dumps({"which": which, "s3": s3, "etag": etag, "size": size})
                command = [sys.executable, __file__, "--child", told]
                found[which].append(
                    json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                )
        print(
            "| client | MB/s | CPU s a GB | CPU s to import and make | memory of that, MiB | peak"
            " memory, MiB |"
        )
        print("|---|---|---|---|---|---|")
        for which, runs in found.items():
            print(
                f"| {which} | {size / 1e6 / min(r['seconds'] for r in runs):.0f} |"
                f" {statistics.median(r['cpu'] for r in runs) / (size / 1e9):.2f} |"
                f" {statistics.median(r['made'] for r in runs):.2f} |"
                f" {statistics.median(r['ready'] for r in runs):.0f} |"
                f" {statistics.median(r['peak'] for r in runs):.0f} |"
            )

    asyncio.run(with_object(s3, size, compare))


if __name__ == "__main__":
    main()
