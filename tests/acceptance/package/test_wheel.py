"""The package as users install it: from the wheel, in a folder without the repository, and without
the packages of the extras.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.extras import EXTRAS
from tests.harness import FINAL, ROOT, wait_until

pytestmark = pytest.mark.one_database

HIDDEN = sorted({module for modules in EXTRAS.values() for module in modules})
WITHOUT_EXTRAS = f"""
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in {HIDDEN!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
MAPPING = {"columns": [{"name": "n", "from": "name"}]}
ROWS = b"id,name\n1,Ada\n2,Alan\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed package and its command; its requirements come from the environment of the
    tests.
    """
    folder = tmp_path_factory.mktemp("package")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--target", folder / "site", wheel], check=True, cwd=folder)
    return folder / "site"


def environment(site: Path, storage: Path, **more: str) -> dict[str, str]:
    """Environment of a user without settings, whose Python has no packages of extras."""
    hidden = storage / "hidden"
    hidden.mkdir(parents=True, exist_ok=True)
    (hidden / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    own = {"PYTHONPATH": f"{hidden}:{site}", "STORAGE_DIR": str(storage), "MIN_FREE_DISK_MB": "0"}
    unset = dict.fromkeys(("DATABASE_URL", "QUEUE", "EMBEDDING_MODEL_DIR", "GRANULA_PROGRAM"), "")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, **own, **more}


def run(site: Path, storage: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [site / "bin" / "granula", *words],
        cwd=storage,
        env=environment(site, storage, **more),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def client(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """URL of `granula serve`, started in an empty folder."""
    storage = tmp_path_factory.mktemp("storage")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = storage / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [site / "bin" / "granula", "serve", "--port", str(port)],
            cwd=storage,
            env=environment(site, storage),
            stdout=output,
            stderr=output,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        try:
            wait_until(lambda: process.poll() is not None or _is_ready(client), 60, "ready")
            assert process.poll() is None, log.read_text()
            yield client
        finally:
            process.terminate()
            process.wait(30)


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.TransportError:
        return False


def upload(client: httpx.Client, **params: str) -> Any:
    answer = client.post("/api/v1/upload", content=ROWS, params={"filename": "a.csv", **params})
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def ended(client: httpx.Client, file_id: str) -> Any:
    def status() -> Any:
        body = client.get(f"/api/v1/status/{file_id}").json()
        return body if body["status"] in FINAL else None

    return wait_until(status)


def test_the_modules_are_those_of_the_wheel(site: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import app, granula; print(app.__file__, granula.__file__)"],
        cwd=tmp_path,
        env=environment(site, tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(site / p / "__init__.py") for p in ("app", "granula")]


def test_the_wheel_installs_the_command_granula(site: Path, tmp_path: Path) -> None:
    assert run(site, tmp_path, "--version").stdout == "0.1.0\n"
    assert "granula upload data.csv --wait" in run(site, tmp_path, "--help").stdout


def test_an_installed_service_loads_a_file(client: httpx.Client) -> None:
    """The migrations are found, and the tables created."""
    made = upload(client)
    file_id = made["file_id"]
    assert ended(client, file_id)["status"] == "completed"
    items = client.get(f"/api/v1/results/{file_id}").json()["items"]
    assert [item["data"]["row"] for item in items] == [["1", "Ada"], ["2", "Alan"]]
    assert client.get(f"/api/v1/jobs/{made['job_id']}/proof").json()["closes"]


def test_the_dashboard_the_guide_and_the_error_pages_are_included(client: httpx.Client) -> None:
    browser = {"Accept": "text/html"}
    page = client.get("/", headers=browser)
    assert page.headers["content-type"].startswith("text/html")
    script = page.text.partition('src="')[2].partition('"')[0]
    assert client.get(script).headers["content-type"].startswith("text/javascript")
    assert "What to do" in client.get("/errors/not_found", headers=browser).text
    assert client.get("/docs/assets/swagger-ui.css").status_code == 200
    assert "five minutes" in client.get("/guide/").text


@pytest.mark.parametrize(
    ("extra", "job"),
    [
        ("analysis", {"type": "analyze"}),
        ("analysis", {"type": "transform", "options": {"mapping": MAPPING}}),
        ("sentiment", {"type": "sentiment", "options": {"text_column": "name"}}),
    ],
)
def test_a_job_that_needs_an_extra_names_it(
    client: httpx.Client, extra: str, job: dict[str, Any]
) -> None:
    file_id = upload(client)["file_id"]
    refused = client.post("/api/v1/jobs", json={**job, "file_id": file_id})
    assert (refused.status_code, refused.json()["code"]) == (503, "not_configured"), refused.text
    assert f"granula[{extra}]" in refused.json()["detail"]


def test_a_mapping_a_sample_and_a_download_that_need_an_extra_name_it(
    client: httpx.Client,
) -> None:
    first, second = upload(client)["file_id"], upload(client, on_duplicate="new")["file_id"]
    ended(client, first)
    mapping = {"input_file_id": first, "reference_file_id": second}
    sample = {"input_file_id": first, "mapping": MAPPING, "dry_run": True, "sample_rows": 1}
    parquet = {"format": "parquet"}
    for refused, extra in (
        (client.post("/api/v1/jobs/mapping", json=mapping), "mapping"),
        (client.post("/api/v1/jobs/transform", json=sample), "analysis"),
        (client.get(f"/api/v1/results/{first}/download", params=parquet), "analysis"),
    ):
        assert refused.status_code == 503, refused.text
        assert f"granula[{extra}]" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("extra", "variable", "value"),
    [
        ("postgres", "DATABASE_URL", "postgresql://localhost/granula"),
        ("s3", "ENDPOINT_URL", "http://localhost:9000"),
        ("telemetry", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
    ],
)
def test_a_setting_that_needs_an_extra_stops_the_start(
    site: Path, tmp_path: Path, extra: str, variable: str, value: str
) -> None:
    done = run(site, tmp_path, "serve", "--port", "0", **{variable: value})
    assert done.returncode == 2
    assert f"{variable} needs packages" in done.stderr
    assert f"granula[{extra}]" in done.stderr


def test_records_are_validated_without_the_extras(client: httpx.Client) -> None:
    people = b"name,email,age\nAda,ada@example.com,36\nAlan,nowhere,41\n"
    response = client.post("/api/upload", files={"file": ("people.csv", people)})
    assert response.status_code in (200, 201, 202), json.dumps(response.json())
    done = ended(client, response.json()["file_id"])
    assert (done["status"], done["counts"]["rejected"]) == ("completed_with_errors", 1)
