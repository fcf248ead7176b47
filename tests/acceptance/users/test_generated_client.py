"""A client generated from the OpenAPI document of a running service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.install_client_generator import find
from tests.acceptance.users.conftest import People
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Postgres

PROGRAM = """
import io
import sys
import time

from granula_client import AuthenticatedClient
from granula_client.api.files import (
    get_rejects,
    get_results,
    get_status,
    upload_file,
)
from granula_client.models import FileStatus, RejectPage, ResultPage, Uploaded, UploadFileFilesBody
from granula_client.types import File

address, key = sys.argv[1:]
with AuthenticatedClient(base_url=address, token=key, httpx_args={"trust_env": False}) as client:
    file = File(io.BytesIO(b"text,n\\ngood,1\\nbad\\n"), "a.csv", "text/csv")
    accepted = upload_file.sync(client=client, body=UploadFileFilesBody(file=file))
    assert isinstance(accepted, Uploaded), accepted
    file_id = str(accepted.file_id)
    while True:
        state = get_status.sync(file_id, client=client)
        assert isinstance(state, FileStatus), state
        if state.finished_at is not None:
            break
        time.sleep(0.05)
    page = get_results.sync(file_id, client=client)
    assert isinstance(page, ResultPage), page
    bad = get_rejects.sync(file_id, client=client)
    assert isinstance(bad, RejectPage), bad
print(state.status, state.counts.loaded, [row.data.to_dict() for row in page.items], [row.line for row in bad.items])
"""


@pytest.fixture(scope="module")
def databases(postgres: Postgres, templates: dict[str, str]) -> Iterator[Databases]:
    """The document is the same on both."""
    made = Databases("sqlite", postgres, templates)
    yield made
    made.close()


CONFIG = """
post_hooks: []
content_type_overrides:
  text/event-stream: application/json
"""
"""The generator does not know event streams."""


@pytest.mark.timeout(600)
def test_a_generated_client_is_typed_throughout_and_uploads_a_file(
    server: Server, people: People, tmp_path: Path
) -> None:
    generator = find()
    if generator is None:
        pytest.fail(
            "there is no generator; run .venv/bin/python scripts/install_client_generator.py"
        )
    (tmp_path / "openapi.json").write_bytes(people.admin.get("/openapi.json").content)
    (tmp_path / "generator.yml").write_text(CONFIG)
    (tmp_path / "use_it.py").write_text(PROGRAM)
    run(
        tmp_path,
        generator,
        "generate",
        "--meta",
        "none",
        "--config",
        "generator.yml",
        "--path",
        "openapi.json",
        "--output-path",
        "granula_client",
    )
    run(tmp_path, sys.executable, "-m", "mypy", "--strict", "granula_client", "use_it.py")
    said = run(
        tmp_path, sys.executable, "use_it.py", f"http://127.0.0.1:{server.port}", people.admin_key
    )
    assert said == "completed_with_errors 1 [{'row': ['good', '1']}] [3]\n"


def run(folder: Path, *command: str) -> str:
    """Return its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout
