"""Take pictures of every view of the dashboard, in both themes and at two widths, from its own
service with sample data.

    python scripts/screenshots.py                    into docs/screenshots, small enough to be kept
    python scripts/screenshots.py --all --to /tmp/x  every view in every theme and width
"""

from __future__ import annotations

import argparse
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
from playwright.sync_api import Page, sync_playwright

from scripts.install_browser import FLAGS, find

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = {"wide": (1280, 900), "phone": (360, 780)}
KEPT = {
    ("jobs", "light", "wide"),
    ("import", "light", "wide"),
    ("job", "light", "wide"),
    ("engine", "light", "wide"),
    ("results", "light", "wide"),
    ("rejects", "light", "wide"),
    ("sentiment", "light", "wide"),
    ("profile", "light", "wide"),
    ("mapping", "light", "wide"),
    ("search", "light", "wide"),
    ("tables", "light", "wide"),
    ("schedules", "light", "wide"),
    ("watches", "light", "wide"),
    ("webhooks", "light", "wide"),
    ("users", "light", "wide"),
    ("system", "light", "wide"),
    ("job", "dark", "wide"),
    ("jobs", "dark", "phone"),
}
SHIPPED = """Customer Name,E-Mail,Years,Team,Joined
"Lovelace, Ada",ada@example.org,36,Research,03.02.2024
"Hopper, Grace",grace@example.org,85,Navy,17.11.2023
"Turing, Alan",alan@example.org,41,Research,29.06.2024
"""
WANTED = """name,email,age,department,start_date
Katherine Johnson,katherine@example.org,101,NASA,2021-04-19
Edsger Dijkstra,edsger@example.org,72,Eindhoven,2020-09-30
Barbara Liskov,barbara@example.org,84,MIT,2022-01-11
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--all", action="store_true", help="not only those that are kept")
    parser.add_argument("--only", default="", help="views, separated by commas")
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="granula-") as folder,
        _service(Path(folder)) as client,
        _receiver() as url,
    ):
        for each in (url, f"{client.base_url}/nobody-here"):
            client.post(
                "/api/v1/webhooks", json={"url": each, "events": ["job.completed", "job.failed"]}
            ).raise_for_status()
        views = _load(client, Path(folder))
        if arguments.only:
            views = {name: views[name] for name in arguments.only.split(",")}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find(), args=list(FLAGS))
            for theme in ("light", "dark"):
                for width, (x, y) in WIDTHS.items():
                    wanted = [
                        name for name in views if arguments.all or (name, theme, width) in KEPT
                    ]
                    if not wanted:
                        continue
                    page = browser.new_context(
                        viewport={"width": x, "height": y},
                        color_scheme=theme,
                        reduced_motion="reduce",
                    ).new_page()
                    for name in wanted:
                        _shoot(
                            page,
                            str(client.base_url),
                            views[name],
                            arguments.to / f"{name}-{theme}-{width}.png",
                        )
            browser.close()
    return 0


def _shoot(page: Page, base: str, view: tuple[str, Callable[[Page], Any]], target: Path) -> None:
    path, prepare = view
    page.goto(f"{base}/#/{path}")
    page.reload()
    prepare(page)
    page.wait_for_timeout(300)  # wait for pending rendering
    _shrink(page.screenshot(), target)
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    print(
        f"{target.name}: {target.stat().st_size >> 10}"
        f" kB{f', {overflow} pixels too wide' if overflow > 0 else ''}"
    )


def _shrink(png: bytes, target: Path) -> None:
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        target, optimize=True
    )


@contextmanager
def _service(folder: Path) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "STORAGE_DIR": str(folder / "storage"),
        "LOG_LEVEL": "WARNING",
        "CHUNK_SIZE": "2000",
    }
    environment |= {"DATABASE_URL": "", "MAX_CONCURRENCY": "2", "WEBHOOK_ALLOW_PRIVATE": "true"}
    inbox = folder / "inbox"
    inbox.mkdir()
    (inbox / "monday.csv").write_text(SHIPPED)
    environment["SOURCE_FOLDERS"] = str(inbox)
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "app.main:app",
        "--port",
        str(port),
        "--no-access-log",
    ]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
        ) as client:
            _until(lambda: _is_ready(client))
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def _until(probe: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)
    return value


@contextmanager
def _receiver() -> Iterator[str]:
    """Yield the URL of a webhook receiver that accepts everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/granula"
        server.shutdown()


def _load(client: httpx.Client, folder: Path) -> dict[str, tuple[str, Callable[[Page], Any]]]:
    """Create sample data; return for each view its path, and what to do before the picture is
    taken.
    """

    def sample(name: str, *options: str) -> bytes:
        command = [
            sys.executable,
            "scripts/generate_csv.py",
            "-o",
            str(folder / name),
            "--seed",
            "7",
            *options,
        ]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return (folder / name).read_bytes()

    def upload(
        name: str, data: bytes, path: str = "/api/v1/upload", **params: Any
    ) -> dict[str, Any]:
        answer = client.post(path, params={"filename": name, **params}, content=data)
        answer.raise_for_status()
        return dict(answer.json())

    def done(job_id: str) -> str:
        _until(lambda: client.get(f"/api/v1/jobs/{job_id}").json()["finished_at"])
        return job_id

    shipped, wanted = (
        upload("partners-q3.csv", SHIPPED.encode()),
        upload("crm-reference.csv", WANTED.encode()),
    )
    people = upload(
        "people.csv",
        sample("people.csv", "-n", "4000", "--kind", "people", "--dirty", "0.1"),
        "/api/upload",
    )
    reviews = upload(
        "reviews.csv", sample("r.csv", "-n", "20000", "--kind", "reviews"), processor="sentiment"
    )
    orders = upload(
        "orders-2026.csv", sample("orders.csv", "-n", "300000", "--dirty", "0.02"), priority=5
    )
    for job in (shipped, wanted, people, reviews, orders):
        done(job["job_id"])
    mapping = client.post(
        "/api/v1/jobs/mapping",
        json={"input_file_id": shipped["file_id"], "reference_file_id": wanted["file_id"]},
    ).json()
    done(mapping["job_id"])
    analysis = client.post("/api/v1/jobs/analyze", json={"file_id": orders["file_id"]}).json()
    done(analysis["job_id"])
    options = {"table": "customers", "mode": "create"}
    types = client.post("/api/v1/jobs/analyze", json={"file_id": shipped["file_id"]}).json()
    done(types["job_id"])  # the new table gets its types from it
    table = client.post(
        "/api/v1/jobs", json={"type": "load", "file_id": shipped["file_id"], "options": options}
    )
    done(table.raise_for_status().json()["job_id"])
    inbox = folder / "inbox"
    watch = {"source": f"file://{inbox}/", "name": "Inbox", "job": {"type": "rows"}}
    client.post("/api/v1/watches", json=watch).raise_for_status()
    job = {"source": "s3://transactions/2026/*.csv"}
    for name, cron in (("Nightly scoring", "0 2 * * *"), ("Every Monday", "30 6 * * 1")):
        client.post(
            "/api/v1/schedules",
            json={"name": name, "cron": cron, "timezone": "Europe/Berlin", "job": job},
        )
    upload("empty-lines.csv", b"id,name\n" + b"1,a,b\n" * 50)
    cancelled = upload("yesterday.jsonl", b'{"id": 1, "name": "a"}\n' * 200_000)
    client.post(f"/api/v1/jobs/{cancelled['job_id']}/cancel")
    big = sample("big.csv", "-n", "1500000")
    _until(lambda: client.get("/api/imports/3").json().get("vectors", {}).get("ready", 1))

    def live(page: Page) -> None:
        upload("warehouse-export.csv", big, priority=3)
        upload("returns.csv", b"id,reason\n" + b"1,late\n" * 400_000)
        page.get_by_text("returns.csv").first.wait_for()

    def text(words: str) -> Callable[[Page], Any]:
        return lambda page: page.get_by_text(words).first.wait_for()

    def reject(page: Page) -> None:
        page.locator("[role=gridcell].offending").first.click()
        page.get_by_role("button", name="Correct and run again").wait_for()

    def log(page: Page) -> None:
        page.get_by_text("Delivery log").first.click()
        page.locator("[data-id] summary").nth(1).click()

    def chosen(page: Page) -> None:
        page.locator("#files").set_input_files(
            {"name": "partners-q4.csv", "mimeType": "text/csv", "buffer": SHIPPED.encode()}
        )
        page.get_by_text("3 rows to load").wait_for()

    o = orders["job_id"]
    return {
        "jobs": ("jobs", live),
        "import": ("jobs", chosen),
        "job": (f"jobs/{o}", text("Verified")),
        "engine": (f"jobs/{o}/engine", text("Map of the chunks")),
        "results": (
            f"jobs/{o}/results",
            lambda page: page.locator(".virtual .grid-row:not(.loading)").nth(9).wait_for(),
        ),
        "rejects": (f"jobs/{o}/rejects", reject),
        "sentiment": (f"jobs/{reviews['job_id']}/sentiment", text("Most positive")),
        "profile": (f"jobs/{o}/profile", text("Distinct")),
        "mapping": (f"mapping/{mapping['job_id']}", text("Of the first 3 rows")),
        "mapping-start": ("mapping", text("Propose a mapping")),
        "search": (
            "search?query=people+who+sell",
            lambda page: page.locator(".record").first.wait_for(),
        ),
        "schedules": ("schedules", text("Nightly scoring")),
        "tables": ("tables", text("customers")),
        "watches": ("watches", text("Inbox")),
        "webhooks": ("webhooks", log),
        "users": ("users", text("For administrators")),
        "system": ("system", text("The last 24 hours")),
        "nowhere": ("no/such/view", text("There is nothing here")),
    }


if __name__ == "__main__":
    raise SystemExit(main())
